"""Whether a copy of a data folder is whole: everything that the registry needs is there, and it is what was signed.

(1) the settings can be read
(2) every key of the key ring opens with the passphrase, the root key too, and each is the key that it is said to be
(3) the store is whole by SQLite's own check, and has every table and trigger of a log
(4) the events have the root of every signed checkpoint in the copy
(5) every scan that an application names is there, as long as its holder's data key is
"""

import sqlite3
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm

from keys.custody import Custody
from keys.errors import KeyStoreBroken
from keys.folder import read_certificate
from keys.keyring import Keyring
from keys.signing import PublicKey, Purpose
from registry.errors import CorruptHistory, LogFrozen
from registry.folder import Folder
from registry.log.log import Log
from registry.log.mapper import decode
from registry.log.sqlite import lacking
from registry.paper.application import PaperSubmitted
from registry.proof.checkpoint import Checkpoint
from registry.proof.comparing import forked, older_copy
from registry.proof.leaves import Events, generation_of
from registry.proof.published import PublishedLog
from registry.proof.signers import open_by, origin_of
from registry.proof.tree import RightEdge, leaf_hash

_OTHER = "运行 title-registry doctor；从另一份备份恢复"


class Contents(NamedTuple):
    """What a copy holds: the position of its newest event, and the size of its newest signed tree."""

    head: int
    checkpoint: int


def examine(copy: Folder, passphrase: bytes, evidence: Collection[str]) -> Contents:
    """Check a copy that nobody else uses, in the order above; `evidence` names the files of scans that go with it.

    Raise CorruptHistory, Unavailable, LogFrozen (its own checkpoints are not of these events) or
    keys.errors.KeysError, saying which part is missing or wrong.
    """
    copy.read_config()  # (1)
    keyring = _check_keys(copy.keys, passphrase)  # (2)
    _check_store(copy.log)  # (3)
    if lost := lacking(copy.log):
        raise CorruptHistory(f"数据库 {copy.log.name} 缺少 {'、'.join(lost)}", fix=_OTHER)
    with closing(Log(copy.log, None)) as log:
        tlog = published_in(copy, log.recorder, keyring, copy.beside)
        keys = tlog.keys()
        sizes = retrace(tlog, (open_by(note, keys) for note in tlog.checkpoints()))
        signed = max(sizes, default=0)  # (4)
        _check_evidence(log, evidence)  # (5)
        return Contents(log.head(), signed)


def published_in(copy: Folder, events: Events, keyring: Keyring, checkpoints: Path) -> PublishedLog:
    """The transparency log of a copy over those events, the present one if others came before it."""
    origin, outside = origin_of(copy.read_config().base_url), copy.outside(checkpoints)
    return PublishedLog(copy.tree, origin, events, lambda: keyring, outside, generation_of(copy.tree))


def retrace(tlog: PublishedLog, signed: Iterable[Checkpoint]) -> Iterator[int]:
    """Compute the tree from the stored events and yield each size at which a checkpoint, in order of size, holds.

    Raise LogFrozen for a checkpoint with another root, or one that the events do not reach.
    """
    edge = RightEdge()
    with closing(tlog.leaves.all()) as entries:  # the reading ends before the store is closed
        for checkpoint in signed:
            for entry in islice(entries, max(0, checkpoint.size - edge.size)):
                edge.append(leaf_hash(entry))
            if edge.size < checkpoint.size:
                raise older_copy(checkpoint, edge.size)
            if edge.size > checkpoint.size or edge.root() != checkpoint.root:
                raise forked(checkpoint, edge.root())
            yield edge.size


def why_frozen(tlog: PublishedLog, outside: Checkpoint) -> LogFrozen | None:
    """Why a copy cannot be gone on with: its events do not extend the checkpoint that was signed; None if they do."""
    try:
        list(retrace(tlog, [outside]))
    except LogFrozen as error:
        return error
    return None


def _check_keys(folder: Path, passphrase: bytes) -> Keyring:
    custody = Custody.open(folder, passphrase)
    keyring = custody.keyring
    custody.require_root()
    for record in keyring.records:
        custody.require_private(record)
        if record.purpose is Purpose.DOCUMENT:
            _check_certificate(folder / f"issuing-{record.kid}.pem", record.kid)
    return keyring


def _check_certificate(path: Path, kid: str) -> None:
    try:
        same = PublicKey.of(read_certificate(path).public_key(), Purpose.DOCUMENT).kid == kid
    except UnsupportedAlgorithm:
        same = False
    if not same:
        raise KeyStoreBroken(f"证书 {path.name} 与密钥 {kid} 不符", fix="放回正确的证书文件")


def _check_store(path: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as c:
            said = str(c.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        said = str(error)
    if said != "ok":
        raise CorruptHistory(f"数据库 {path.name} 已损坏：{said}", fix=_OTHER)


def _check_evidence(log: Log, present: Collection[str]) -> None:
    missing = [name for name in _evidence(log) if name not in present]
    if missing:
        raise CorruptHistory(
            f"申请所附材料缺少 {len(missing)} 个文件，第一个是 {missing[0]}", fix="把缺少的文件放回 evidence 文件夹"
        )


@contextmanager
def _rows(log: Log) -> Iterator[Iterator[tuple[int, str, int, str, bytes]]]:
    """All stored events; the reading ends before the store is closed, also when it ends early."""
    rows = log.recorder.rows_by_position(0, log.head())
    try:
        yield rows
    finally:
        if isinstance(rows, Generator):
            rows.close()


def _evidence(log: Log) -> Iterator[str]:
    """The names of the files of scans (see paper.evidence) that can still be opened."""
    with _rows(log) as rows:
        submitted = (row for row in rows if row[3].startswith("paper-submitted/"))
        for position, stream, version, name, state in submitted:
            fact = decode(stream, version, name, state, position).fact
            if isinstance(fact, PaperSubmitted) and log.recorder.wrapped_key(fact.holder) is not None:
                yield from (f"{fact.holder}-{one.sha256}.sealed" for one in fact.evidence)
