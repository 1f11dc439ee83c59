"""Carry a log to another store and prove that it is the same: every row, and the root of the tree that was signed."""

from contextlib import closing
from typing import NamedTuple

from keys.keyring import Keyring
from registry.backup.contents import published_in
from registry.errors import CorruptHistory
from registry.folder import Folder
from registry.log.copying import Copied, Held, copy
from registry.log.recorder import LogRecorder
from registry.proof.checkpoint import Checkpoint
from registry.proof.comparing import forked, older_copy
from registry.proof.published import PublishedLog
from registry.proof.tree import RightEdge, leaf_hash


class Proven(NamedTuple):
    """What was copied, the tree over all of it (leaves, root), and the size of the newest signed checkpoint."""

    copied: Copied
    size: int
    root: bytes
    signed: int


def transfer(folder: Folder, keyring: Keyring, source: LogRecorder, target: Held) -> Proven:
    """Copy the log of a data folder into a held store, not committed yet, and prove the tree of the copy.

    Raise LogFrozen if the source is not what was signed last, Refused for a target that holds anything else,
    CorruptHistory for a copy that is not the same.
    """
    tree = _tree(published_in(folder, source, keyring, folder.beside))
    copied = copy(source, target)
    log = published_in(folder, target, keyring, folder.beside)
    again = _tree(log)
    if again != tree:
        raise CorruptHistory(f"副本的根是 {again[1].hex()}，原库的是 {tree[1].hex()}", fix="检查磁盘和服务器后重新运行")
    return Proven(copied, *again, log.last().size)


def _tree(log: PublishedLog) -> tuple[int, bytes]:
    """The size and root over all events of a store, which must have the signed root where the last checkpoint is."""
    signed, edge = log.last(), RightEdge()
    with closing(log.leaves.all()) as entries:
        for entry in entries:
            _require_signed(signed, edge)
            edge.append(leaf_hash(entry))
    _require_signed(signed, edge)
    if edge.size < signed.size:
        raise older_copy(signed, edge.size)
    return edge.size, edge.root()


def _require_signed(signed: Checkpoint, edge: RightEdge) -> None:
    if edge.size == signed.size and edge.root() != signed.root:
        raise forked(signed, edge.root())
