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
from keys.errors import KeyNotUsable
from keys.files import write_private
from keys.signing import Purpose
from registry.errors import BadInput, CorruptHistory, LogFrozen, Unavailable, WrongState
from registry.proof.checkpoint import Checkpoint, sign_checkpoint
from registry.proof.comparing import REBUILD, forked
from registry.proof.cosignature import cosign
from registry.proof.kept import size_of
from registry.proof.leaves import PREDECESSOR, Events, folder_of, generation_of, succession
from registry.proof.proofs import tree_root
from registry.proof.published import PublishedLog, read_file
from registry.proof.tiles import WIDTH, HashReader
from registry.proof.tree import RightEdge, leaf_hash

BATCH = 64 * WIDTH  # leaves


class TransparencyLog(PublishedLog):
    """The present log of a registry. Many processes may read; one at a time sequences."""

    def __init__(
        self,
        root: Path,
        origin: str,
        events: Events,
        custody: Custody,
        outside: Path,
        clock: Callable[[], datetime],
    ) -> None:
        self._parts, self._custody, self._clock = (root, origin, events, custody, outside, clock), custody, clock
        super().__init__(root, origin, events, lambda: custody.keyring, outside, generation_of(root))

    def earlier(self, generation: int) -> PublishedLog | None:
        """The log of that generation, which others follow, or this one; None if there never was one."""
        if generation == self.generation:
            return self
        root, origin, events, custody, outside, _ = self._parts
        there = 1 <= generation < self.generation
        return PublishedLog(root, origin, events, lambda: custody.keyring, outside, generation) if there else None

    def publish_cosigned(self, note: bytes) -> None:
        """Put cosignatures in front of readers: the note must be the published checkpoint, with further signatures."""
        with self._alone():
            published = self.published()
            if published and note.partition(b"\n\n")[0] == published.partition(b"\n\n")[0]:
                write_private(self.folder / "checkpoint", note)

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
            last = self.last()
            self.comparison().newest(last, self.outside_checkpoint())
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
            return self.leaves.all()
        return self.leaves.after(self.position(edge.size - 1, edge.size))

    def _sign(self, edge: RightEdge) -> bytes:
        if tree_root(edge.size, self.tiles.reader(edge.size)) != edge.root():  # (3)
            raise CorruptHistory("the root from the tiles is not the root in memory", fix=REBUILD)
        now = self._clock()
        self.leaves.events.secure()  # no checkpoint over what a fail-over could still lose
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
        kept = read_file(self.outside)
        if kept is None or kept.partition(b"\n\n")[0] != text:
            self.outside.parent.mkdir(parents=True, exist_ok=True)
            write_private(self.outside, note)  # (5)
        published = self.published()
        if published is None or published.partition(b"\n\n")[0] != text:
            write_private(self.folder / "checkpoint", note)  # (6)

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
        for entries in _batches(islice(self.leaves.all(), size), 0):
            self.tiles.write(edge.size, entries)
            for entry in entries:
                edge.append(leaf_hash(entry))
        return edge

    def rebuild(self) -> Checkpoint:
        """Write every tile anew from the events, and check that they have the root of the last checkpoint.

        Raise LogFrozen if they have not; nothing is signed then.
        """
        with self._alone():
            last = self.last()
            edge = self._rebuild(last.size)
            if (edge.size, edge.root()) != (last.size, last.root):
                raise forked(last, edge.root())
        return last

    def succeed(self, reason: str) -> "TransparencyLog":
        """Begin the next log, whose first leaf commits to the last signed checkpoint of this one; return it, sequenced.

        Only for a log that is frozen, when what was signed is lost for ever: the old one stays as it is, for everyone
        to see. Raise WrongState for a log that is not frozen or is followed already, BadInput without a reason of 1 to
        500 characters.
        """
        if not 1 <= len(reason.strip()) <= 500:
            raise BadInput("须写明理由，至多 500 字", fix="写明为何不能恢复")
        try:
            self.compare()
        except LogFrozen:
            pass
        else:
            raise WrongState("日志没有冻结，不能另起新日志", fix="无需处理")
        with self._alone():
            self._commit_next(reason.strip())
        following = TransparencyLog(*self._parts)
        following.sequence()
        return following

    def _commit_next(self, reason: str) -> None:
        note, folder = self._last_signed(), folder_of(self._parts[0], self.generation + 1)
        if note is None:
            raise WrongState("没有已签的检查点可以承接", fix="核对数据文件夹")
        if (folder / PREDECESSOR).exists():  # begun by another process; a second beginning would be a fork
            raise WrongState("已另起新日志", fix="重新启动服务和命令")
        folder.mkdir(parents=True, exist_ok=True)
        write_private(folder / PREDECESSOR, succession(note, reason))

    def _last_signed(self) -> bytes | None:
        """The note in the second store; where that is not this log's, the last one kept here."""
        try:
            return read_file(self.outside) if self.outside_checkpoint() else self.kept.last()
        except LogFrozen:
            return self.kept.last()

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
