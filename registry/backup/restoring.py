"""Restore a backup in the place of a data folder, in one step, and say whether it is the present or the past.

(1) the archive is checked whole; nothing was touched
(2) nobody works on the data folder: no process has its store open
(3) unpacked beside the data folder, on the same file system, and checked as a backup is when it is taken
(4) compared with the last signed checkpoint outside the data folder; the copy is put in place all the same, since a
    frozen registry answers "unavailable" and never "valid", and the newer events may be nowhere else
(5) for PostgreSQL the log is copied into an empty store, compared, and proven to have the same tree
(6) the two folders change places in one step of the kernel; the old one is kept under a name that tells when
"""

import ctypes
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from keys.files import sync_folder, write_private
from keys.keyring import Keyring
from registry.backup.archive import Manifest, read_archive
from registry.backup.contents import examine, published_in, why_frozen
from registry.backup.holding import alone, own_like, set_database
from registry.backup.transfer import transfer
from registry.errors import BadInput, LogFrozen, Refused, Unavailable
from registry.folder import Folder
from registry.log.copying import events_at, held
from registry.log.log import Log
from registry.log.pgserver import checked
from registry.proof.checkpoint import Checkpoint
from registry.proof.kept import size_of
from registry.proof.published import PublishedLog
from registry.service import Registry

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2)


class Outside(NamedTuple):
    """The last signed checkpoint in the second store: where it lies, and when it was written there (UTC)."""

    path: Path
    checkpoint: Checkpoint
    at: datetime


class Restored(NamedTuple):
    """What was restored, where the folder that was there is kept, and the checkpoint that it was compared with.

    `outside` is None where no checkpoint was found: then nobody can tell whether this is the newest copy. `frozen`
    tells why the registry answers nothing from this copy; None if it does.
    """

    manifest: Manifest
    kept: Path | None
    outside: Outside | None
    frozen: LogFrozen | None


def restore(
    archive: Path,
    data: Path,
    passphrase: bytes,
    *,
    now: datetime,
    checkpoints: Path | None = None,
    database: str = "",
    dry_run: bool = False,
) -> Restored:
    """Put the backup in the place of the data folder `data`, which may be missing or empty. Nothing is ever deleted.

    Its log comes into the folder's own file, or into the empty store at `database`, a postgresql:// address.
    `checkpoints` is the folder with the last signed checkpoints, if it is not the one beside the data folder. A dry run
    checks everything and leaves all as it is.

    Raise BadInput for anything but a whole backup, Refused if another registry is there, a process works on it, it is
    past its time and not the newest state, or the store at `database` is not empty; CorruptHistory, LogFrozen or
    keys.errors.KeysError if what is in it does not fit together or does not open with this passphrase, Unavailable for
    a server that cannot be used. The data folder is as it was then.
    """
    data = data.absolute() if not data.is_symlink() else data.resolve()
    database = database and checked(database)
    manifest = read_archive(archive)  # (1)
    _check_place(data, manifest)
    with _alone(data, database), TemporaryDirectory(prefix=f".{data.name}.restore-", dir=data.parent) as draft:  # (2)
        copy = Folder(Path(draft, "data"))
        _unpack(archive, copy, manifest)
        _check_contents(copy, passphrase, manifest)  # (3)
        outside, frozen = _compare(copy, checkpoints or data.with_name(f"{data.name}.checkpoints"))  # (4)
        _check_age(manifest, outside, frozen, now)
        if frozen is None:
            _complete(copy, passphrase)
        if database:
            _to_server(copy, database, dry_run=dry_run)  # (5)
        kept = None if dry_run else _swap(copy, data, now)  # (6)
    return Restored(manifest, kept, outside, frozen)


def _check_place(data: Path, manifest: Manifest) -> None:
    root = data / "keys" / "root.pem"
    if data.exists() and not data.is_dir():
        raise Refused(f"{data} 不是文件夹", fix="用 --data 指明数据文件夹")
    if root.exists() and hashlib.sha256(root.read_bytes()).hexdigest() != manifest.registry:
        raise Refused(f"{data} 是另一个登记库，这份备份不是它的", fix="用 --data 指明它自己的文件夹，或一个新文件夹")
    if data.is_mount():
        raise Refused(f"{data} 本身是挂载点，不能整体替换", fix="恢复到其中的一个子文件夹，再用 --data 指向它")
    if not data.parent.is_dir():
        raise Refused(f"文件夹 {data.parent} 不存在", fix="先建立它")
    free = shutil.disk_usage(data.parent).free
    if free < manifest.size:
        raise Unavailable(f"{data.parent} 只剩 {free:,} 字节，恢复需要 {manifest.size:,} 字节", fix="腾出空间后重试")


@contextmanager
def _alone(data: Path, database: str) -> Iterator[None]:
    """Keep everybody away from the folder and the log in force; a server that is lost keeps nobody back."""
    with ExitStack() as stack:
        stack.enter_context(alone(data))
        present = _database_of(data)
        if present not in ("", database):
            with suppress(Unavailable):
                stack.enter_context(held(present, in_force=True))
        yield


def _database_of(data: Path) -> str:
    try:
        return Folder(data).read_config().database
    except Unavailable:
        return ""


def _unpack(archive: Path, copy: Folder, manifest: Manifest) -> None:
    copy.path.mkdir(mode=0o700)
    if read_archive(archive, copy.path) != manifest:
        raise Unavailable("备份文件在恢复时被改动", fix="换用另一份备份，恢复时不要写它")
    if copy.read_config().database:
        set_database(copy, "")  # nothing below may touch a server that the settings name


def _check_contents(copy: Folder, passphrase: bytes, manifest: Manifest) -> None:
    found = examine(copy, passphrase, {path.name for path in copy.evidence.glob("*")})
    registry = hashlib.sha256((copy.keys / "root.pem").read_bytes()).hexdigest()
    if (found.head, found.checkpoint, registry) != (manifest.head, manifest.checkpoint, manifest.registry):
        raise BadInput("备份的清单与其中的内容不符", fix="换用另一份备份")


def _compare(copy: Folder, checkpoints: Path) -> tuple[Outside | None, LogFrozen | None]:
    """The last checkpoint outside, and why the copy cannot be gone on with. One that it reaches becomes part of it."""
    with closing(Log(copy.log, None)) as log:
        tlog = published_in(copy, log.recorder, Keyring.load(copy.keys / "keys.json"), checkpoints)
        place = tlog.outside
        try:
            checkpoint = tlog.outside_checkpoint()
        except LogFrozen as error:
            return None, error
        if checkpoint is None:
            return None, None
        frozen = why_frozen(tlog, checkpoint)
        if frozen is None:
            _adopt(tlog, place.read_bytes())
    return Outside(place, checkpoint, datetime.fromtimestamp(place.stat().st_mtime, UTC)), frozen


def _adopt(tlog: PublishedLog, note: bytes) -> None:
    """A checkpoint that was signed after the backup had read the others, over events that it does hold."""
    last = tlog.kept.last()
    if last is None or size_of(last) < size_of(note):
        tlog.kept.append(note)
        write_private(tlog.folder / "checkpoint", note)


def _check_age(manifest: Manifest, outside: Outside | None, frozen: LogFrozen | None, now: datetime) -> None:
    """A backup past its time may hold people who were erased since; only one that misses nothing does not."""
    if manifest.expiry < now and (outside is None or frozen is not None):
        raise Refused(
            f"这份备份已于 {manifest.expiry:%Y-%m-%d} 到期，其中可能有此后已删除的个人信息",
            fix="用未到期的备份恢复，并销毁到期的备份；只有与最后签名的检查点相符的到期备份才能恢复",
        )


def _complete(copy: Folder, passphrase: bytes) -> None:
    """What no backup holds or must hold: the tiles follow from the events and must have the roots that were signed;
    scans of people who were erased while it was taken go.
    """
    registry = Registry.open(copy.path, passphrase)
    try:
        registry.tlog.rebuild()
        registry.sweeping.sweep_files()
    finally:
        registry.close()


def _to_server(copy: Folder, database: str, *, dry_run: bool) -> None:
    if dry_run and not events_at(database):
        return
    keyring = Keyring.load(copy.keys / "keys.json")
    with held(copy.log, in_force=True) as source, held(database) as target:
        transfer(copy, keyring, source, target)
        if dry_run:
            return
        target.commit()
    copy.log.unlink()
    set_database(copy, database)


def _swap(copy: Folder, data: Path, now: datetime) -> Path | None:
    own_like(copy.path, data if data.exists() else data.parent)
    if not data.exists() or not any(data.iterdir()):
        copy.path.rename(data)
        sync_folder(data.parent)
        return None
    if (data / "passphrase").exists():  # of a sample: it is in no backup, and stays with the data
        write_private(copy.path / "passphrase", (data / "passphrase").read_bytes())
    kept = _free_name(data, now)
    copy.path.rename(kept)  # beside, so that the old folder has its name at the very moment of the exchange
    try:
        sync_folder(data.parent)
        _exchange(kept, data)
    except BaseException:
        kept.rename(copy.path)
        raise
    sync_folder(data.parent)
    return kept


def _free_name(data: Path, now: datetime) -> Path:
    stem = f"{data.name}.before-restore-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    names = (data.with_name(stem + (f"-{n}" if n else "")) for n in range(1000))
    return next(name for name in names if not name.exists())


def _exchange(one: Path, other: Path) -> None:
    """Let two folders change places in one step, so that at no moment there is none. Raise Refused if it cannot be."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None or call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        reason = os.strerror(ctypes.get_errno()) if call else "renameat2"
        raise Refused(f"这个文件系统不能一步交换两个文件夹：{reason}", fix="恢复到一个新文件夹，再用 --data 指向它")
