"""The transparency log: one RFC 6962 tree over all events in log order, published as checkpoints and tiles (C2SP).

An event becomes a leaf outside the transaction that appended it: `sequence` takes in whatever was appended since, and
signs a checkpoint. What it does, in this order, so that it may be killed anywhere and be run again:

(1) go on from the last kept checkpoint, whose root the tiles must have
(2) the tiles of the new leaves are on the disk
(3) the root is computed twice: from the right edge in memory, and from the tiles read back
(4) the checkpoint is signed, and kept (from here on it is never signed otherwise)
(5) a copy goes to the second store, outside the data folder
(6) it is published
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path

from keys.custody import Custody
from keys.errors import KeyNotUsable, KeysError
from keys.files import write_private
from keys.keyring import Keyring
from keys.signing import Algorithm, Purpose
from registry.errors import BadInput, CorruptHistory, LogFrozen, NotFound, RegistryError, Unavailable, WrongState
from registry.proof.checkpoint import Checkpoint, NoteKey, open_checkpoint, sign_checkpoint
from registry.proof.comparing import REBUILD, Comparison, forked
from registry.proof.cosignature import CosignerKey, cosign
from registry.proof.kept import KeptCheckpoints, size_of
from registry.proof.leaves import PREDECESSOR, Events, Leaves, generation_of, position_of, succession
from registry.proof.proofs import consistency_proof, inclusion_proof, tree_root
from registry.proof.tiles import WIDTH, HashReader, TileStore
from registry.proof.tree import RightEdge, leaf_hash

BATCH = 64 * WIDTH  # leaves


def origin_of(base_url: str) -> str:
    """The name of a registry's log: its address without the scheme (C2SP tlog-checkpoint), and "/log"."""
    return base_url.partition("://")[2] + "/log"


def log_keys(keyring: Keyring, origin: str) -> list[NoteKey]:
    """Every key that signs or has signed this log's checkpoints, as note keys."""
    own = [keyring.find(one.kid) for one in keyring.records if one.purpose is Purpose.CHECKPOINT]
    return [NoteKey.of(origin, key) for key in own]


def cosigner_keys(keyring: Keyring, origin: str) -> list[CosignerKey]:
    """Every ML-DSA-44 key with which this log cosigns or has cosigned its own checkpoints."""
    own = [keyring.find(one.kid) for one in keyring.records if one.purpose is Purpose.COSIGNATURE]
    return [CosignerKey.of(origin, key) for key in own if key.algorithm is Algorithm.ML_DSA_44]


def open_by(note: bytes, keys: Iterable[NoteKey]) -> Checkpoint:
    """The checkpoint in a note that one of these keys has signed. Raise SignatureInvalid, BadInput."""
    failed: RegistryError | KeysError = BadInput("没有可用于核对的检查点公钥", fix="检查密钥环")
    for key in keys:
        try:
            return open_checkpoint(note, key)
        except (RegistryError, KeysError) as error:  # the next key may be the one
            failed = error
    raise failed


class TransparencyLog:
    """The tree of one log, its checkpoints and its proofs. Many processes may read; one at a time sequences."""

    def __init__(
        self,
        folder: Path,
        origin: str,
        events: Events,
        custody: Custody,
        outside: Path,
        clock: Callable[[], datetime],
    ) -> None:
        self.generation = generation_of(folder)
        number = "" if self.generation == 1 else str(self.generation)
        self.folder, self.origin = folder / number, f"{origin}/{number}".rstrip("/")
        self.outside = outside.with_name(f"{outside.name}.{number}".rstrip("."))
        self._first, self._custody, self._clock = (folder, origin, outside), custody, clock
        self._leaves = Leaves(events, _read(self.folder / PREDECESSOR))
        self.tiles, self.kept = TileStore(self.folder), KeptCheckpoints(self.folder / "checkpoints")

    # what is published

    def keys(self) -> list[NoteKey]:
        """Every key that signs or has signed this log's checkpoints."""
        return log_keys(self._custody.keyring, self.origin)

    def cosigner_keys(self) -> list[CosignerKey]:
        """Every ML-DSA-44 key with which this log cosigns or has cosigned."""
        return cosigner_keys(self._custody.keyring, self.origin)

    def published(self) -> bytes | None:
        """The newest checkpoint as a note, with whatever cosignatures were gathered; None before the first."""
        try:
            return (self.folder / "checkpoint").read_bytes()
        except FileNotFoundError:
            return None

    def checkpoint(self) -> Checkpoint | None:
        """The newest published checkpoint. Raise SignatureInvalid or BadInput for one that does not hold."""
        note = self.published()
        return open_by(note, self.keys()) if note else None

    def checkpoints(self) -> Iterator[bytes]:
        """Every checkpoint that was ever published, oldest first, without the cosignatures gathered later."""
        return self.kept.all()

    def checkpoint_covering(self, index: int) -> bytes | None:
        """The oldest checkpoint whose tree has that leaf; None if none has it yet."""
        return self.kept.covering(index)

    def publish_cosigned(self, note: bytes) -> None:
        """Put cosignatures in front of readers: the note must be the published checkpoint, with further signatures."""
        with self._alone():
            published = self.published()
            if published and note.partition(b"\n\n")[0] == published.partition(b"\n\n")[0]:
                _replace(self.folder / "checkpoint", note)

    # proofs

    def index_of(self, position: int) -> int:
        """The leaf index of a stored event by its position in the log. Raise NotFound if it is no leaf yet."""
        size = self._size()
        guess = min(position - 1 + self._leaves.first, size - 1)
        if guess >= 0 and self._position(guess, size) == position:
            return guess
        low, high = 0, size  # positions grow with the index, but may leave gaps
        while low < high:
            middle = (low + high) // 2
            if self._position(middle, size) < position:
                low = middle + 1
            else:
                high = middle
        if low < size and self._position(low, size) == position:
            return low
        raise NotFound(f"事件 {position} 还没有进入证明日志", fix="稍后再试")

    def entry(self, index: int) -> bytes:
        """The leaf entry of that index. Raise NotFound beyond the published tree."""
        size = self._size()
        if not 0 <= index < size:
            raise NotFound(f"证明日志没有第 {index} 个叶子（现有 {size} 个）", fix="核对编号")
        return next(self.tiles.entries(index, index + 1, size))

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The inclusion proof (RFC 6962 section 2.1.1) of a leaf in the tree of that size. Raise NotFound."""
        if not 0 <= index < size <= self._size():
            raise NotFound(f"没有这样的包含证明：叶子 {index}，规模 {size}", fix="规模不得超过最新检查点")
        return inclusion_proof(index, size, self.tiles.reader(self._size()))

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The consistency proof (RFC 6962 section 2.1.2) between two sizes. Raise NotFound."""
        if not 0 <= old <= new <= self._size():
            raise NotFound(f"没有这样的一致性证明：{old} 到 {new}", fix="规模不得超过最新检查点")
        return consistency_proof(old, new, self.tiles.reader(self._size()))

    def _size(self) -> int:
        note = self.published()
        return size_of(note) if note else 0

    def _position(self, index: int, size: int) -> int:
        return position_of(next(self.tiles.entries(index, index + 1, size)))

    # sequencing

    def sequence(self, *, wait: bool = True) -> Checkpoint | None:
        """Take everything appended so far into the tree and publish a checkpoint; the published one if nothing is new.

        Raise LogFrozen if the log does not extend its last checkpoint, here or outside; keys.errors.KeyNotUsable if no
        key may sign now. Durable when it returns; safe to kill at any point and to run again. Without `wait` it
        returns None while another process is at it.
        """
        with self._alone(wait=wait) as alone:
            if not alone:
                return None
            last = self._last()
            self._comparison().newest(last, self.outside_checkpoint())
            edge = self._resume(last)  # (1)
            for entries in _batches(self._new_entries(edge), edge.size):
                self.tiles.write(edge.size, entries)  # (2)
                for entry in entries:
                    edge.append(leaf_hash(entry))
            note = self.kept.last()
            if note is None or edge.size > size_of(note):
                note = self._sign(edge)
            self._publish(note)
            return Checkpoint(self.origin, edge.size, edge.root())

    def _new_entries(self, edge: RightEdge) -> Iterator[bytes]:
        if not edge.size:
            return self._leaves.all()
        return self._leaves.after(self._position(edge.size - 1, edge.size))

    def _sign(self, edge: RightEdge) -> bytes:
        if tree_root(edge.size, self.tiles.reader(edge.size)) != edge.root():  # (3)
            raise CorruptHistory("the root from the tiles is not the root in memory", fix=REBUILD)
        now = self._clock()
        checkpoint = Checkpoint(self.origin, edge.size, edge.root())
        note = sign_checkpoint(checkpoint, self._custody.signer(Purpose.CHECKPOINT, now))
        try:
            signer = self._custody.signer(Purpose.COSIGNATURE, now)
        except KeyNotUsable:  # a key folder from before there was one
            signer = None
        if signer is not None:
            note += cosign(checkpoint.text(), self.origin, signer, now)
        self.kept.append(note)  # (4)
        return note

    def _publish(self, note: bytes) -> None:
        text = note.partition(b"\n\n")[0]
        kept = _read(self.outside)
        if kept is None or kept.partition(b"\n\n")[0] != text:
            self.outside.parent.mkdir(parents=True, exist_ok=True)
            _replace(self.outside, note)  # (5)
        published = self.published()
        if published is None or published.partition(b"\n\n")[0] != text:
            _replace(self.folder / "checkpoint", note)  # (6)

    def _last(self) -> Checkpoint:
        note = self.kept.last()
        return open_by(note, self.keys()) if note else Checkpoint(self.origin, 0, RightEdge().root())

    def compare(self) -> None:
        """Compare the log with its last checkpoint, here and in the second store; cheap, not every leaf.

        Raise LogFrozen if it does not extend them.
        """
        outside = self.outside_checkpoint()  # first: what is there was kept before, also by another process just now
        self._comparison().newest(self._last(), outside)

    def compare_every_leaf(self) -> None:
        """Read every leaf again from the stored events; compare tiles, and roots of all checkpoints ever published.

        Raise LogFrozen for events that are not those that were signed, CorruptHistory or Unavailable for the tiles.
        """
        signed = [open_by(note, self.keys()) for note in self.kept.all()]
        self._comparison().everything(self._last(), signed)

    def _comparison(self) -> Comparison:
        return Comparison(self._leaves, self.tiles)

    def outside_checkpoint(self) -> Checkpoint | None:
        """The checkpoint in the second store. Raise LogFrozen for one that is not this log's."""
        note = _read(self.outside)
        try:
            return open_by(note, self.keys()) if note is not None else None
        except (RegistryError, KeysError) as error:
            message = f"第二存储中的检查点 {self.outside} 不是本日志签发的，或已损坏：{error}"
            raise LogFrozen(message, fix="核对该文件的来历，不要直接删除") from error

    def _resume(self, last: Checkpoint) -> RightEdge:
        try:
            edge = _edge_from(last.size, self.tiles.reader(last.size))
        except Unavailable:
            edge = self._rebuild(last.size)
        if (edge.size, edge.root()) != (last.size, last.root):
            raise forked(last, edge.root())
        return edge

    def _rebuild(self, size: int) -> RightEdge:
        """Write the tiles anew from the events: after a restore without them, or where one was lost."""
        self.tiles.forget()
        edge = RightEdge()
        for entries in _batches(islice(self._leaves.all(), size), 0):
            self.tiles.write(edge.size, entries)
            for entry in entries:
                edge.append(leaf_hash(entry))
        return edge

    def rebuild(self) -> Checkpoint:
        """Write every tile anew from the events, and check that they have the root of the last checkpoint.

        Raise LogFrozen if they have not; nothing is signed then.
        """
        with self._alone():
            last = self._last()
            edge = self._rebuild(last.size)
            if (edge.size, edge.root()) != (last.size, last.root):
                raise forked(last, edge.root())
        return last

    def succeed(self, reason: str) -> "TransparencyLog":
        """Begin the next log, whose first leaf commits to the last signed checkpoint of this one; return it, sequenced.

        Only for a log that is frozen, when what was signed is lost for ever: the old one stays as it is, for everyone
        to see. Raise WrongState for a log that is not frozen, BadInput without a reason of 1 to 500 characters.
        """
        if not 1 <= len(reason.strip()) <= 500:
            raise BadInput("须写明理由，至多 500 字", fix="写明为何不能恢复")
        try:
            self.compare()
        except LogFrozen:
            pass
        else:
            raise WrongState("日志没有冻结，不能另起新日志", fix="无需处理")
        note = _read(self.outside) or self.kept.last()
        if note is None:
            raise WrongState("没有已签的检查点可以承接", fix="核对数据文件夹")
        folder = self._first[0] / str(self.generation + 1)
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / PREDECESSOR, succession(note, reason.strip()))
        folder, origin, outside = self._first
        following = TransparencyLog(folder, origin, self._leaves.events, self._custody, outside, self._clock)
        following.sequence()
        return following

    @contextmanager
    def _alone(self, *, wait: bool = True) -> Iterator[bool]:
        """Let one process at a time sequence; say whether this is the one. The lock goes with the process."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)


def _edge_from(size: int, node: HashReader) -> RightEdge:
    hashes, done = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            hashes.append(node(level, done >> level))
            done += 1 << level
    return RightEdge(size, hashes)


def _batches(entries: Iterable[bytes], first: int) -> Iterator[list[bytes]]:
    """Cut leaf entries into batches that end where a tile ends, so that only the last leaves a partial one."""
    entries = iter(entries)
    size = BATCH - first % WIDTH
    while batch := list(islice(entries, size)):
        yield batch
        size = BATCH


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(path: Path, data: bytes) -> None:
    write_private(path, data)
