"""Whether stored events still extend what was signed; cheap, since it is asked at every turn. An audit reads all."""

from collections.abc import Sequence

from registry.errors import LogFrozen, Unavailable
from registry.proof.checkpoint import Checkpoint
from registry.proof.leaves import Leaves, position_of
from registry.proof.proofs import tree_root
from registry.proof.tiles import TileStore
from registry.proof.tree import RightEdge, leaf_hash

REBUILD = "运行 title-registry log rebuild，由事件重建"
RESTORE = "从最新的备份恢复（title-registry restore），或放回当前的数据文件夹；不要在旧副本上继续"


class Comparison:
    """Compares events and tiles with signed checkpoints. It changes nothing."""

    def __init__(self, leaves: Leaves, tiles: TileStore) -> None:
        self._leaves, self._tiles = leaves, tiles

    def newest(self, last: Checkpoint, outside: Checkpoint | None) -> None:
        """The events reach as far as was signed, the tiles have those roots, the newest leaf is that of its event.

        `last` is the log's own last checkpoint, `outside` the one in the second store: behind by one at most, when a
        process was killed between the two, and never ahead. Raise LogFrozen otherwise.
        """
        most = self._leaves.head() + self._leaves.first
        if outside is not None and (outside.size > last.size or outside.size > most):
            raise older_copy(outside, min(last.size, most))
        if not last.size:
            return
        try:
            if outside is not None and (root := tree_root(outside.size, self._tiles.reader(last.size))) != outside.root:
                raise forked(outside, root)
            self._newest_leaf(last)
        except LogFrozen:
            raise
        except Unavailable:  # a tile is missing: from the events, all of them
            self._roots([last, *([outside] if outside else [])])

    def _newest_leaf(self, last: Checkpoint) -> None:
        """A store that went another way has another event there; a single damaged record is for an audit."""
        [entry] = self._tiles.entries(last.size - 1, last.size, last.size)
        if self._leaves.at(position_of(entry)) != entry:
            raise forked(last, b"")

    def _roots(self, signed: Sequence[Checkpoint]) -> None:
        edge, wanted = RightEdge(), {one.size: one for one in signed}
        for entry in self._leaves.all():
            edge.append(leaf_hash(entry))
            if edge.size in wanted and edge.root() != wanted[edge.size].root:
                raise forked(wanted[edge.size], edge.root())
        if edge.size < max(wanted):
            raise older_copy(wanted[max(wanted)], edge.size)


def older_copy(signed: Checkpoint, size: int) -> LogFrozen:
    """The error of a copy from before the last checkpoint that was signed."""
    message = f"数据是旧副本：已签出的检查点有 {signed.size} 个事件，这里只有 {size} 个，其后的撤销、更正会丢失"
    return LogFrozen(message, fix=RESTORE)


def forked(signed: Checkpoint, root: bytes) -> LogFrozen:
    """The error of a log whose events are not those that were signed. `root` is empty where the newest leaf told it."""
    found = f"实为 {root.hex()}" if root else "最后的事件不是当时的事件"
    message = f"日志已分叉：前 {signed.size} 个事件的根应为 {signed.root.hex()}，{found}"
    return LogFrozen(message, fix=RESTORE)
