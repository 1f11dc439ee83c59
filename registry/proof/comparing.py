"""Whether stored events and tiles are those that were signed: the newest leaf at every turn, every leaf in an audit."""

from collections.abc import Sequence
from itertools import islice

from registry.errors import CorruptHistory, LogFrozen, Unavailable
from registry.proof.checkpoint import Checkpoint
from registry.proof.leaves import Leaves, position_of
from registry.proof.proofs import tree_root
from registry.proof.tiles import WIDTH, TileStore, subtree_root
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
        """A store that went another way has another event there; a single damaged record is for `everything`."""
        [entry] = self._tiles.entries(last.size - 1, last.size, last.size)
        if self._leaves.at(position_of(entry)) != entry:
            raise forked(last, b"")

    def everything(self, last: Checkpoint, signed: Sequence[Checkpoint]) -> None:
        """Every leaf again, from the events; every tile against them; the root of every signed checkpoint.

        Raise LogFrozen for events that are not those that were signed, CorruptHistory or Unavailable for the tiles.
        """
        self._roots([*signed, last])
        self._tiles.forget()
        leaves = islice(self._leaves.all(), last.size)
        for index, (leaf, entry) in enumerate(zip(leaves, self._tiles.entries(0, last.size, last.size), strict=True)):
            if leaf != entry:
                raise CorruptHistory(f"第 {index} 个叶子与条目束不符", fix=REBUILD)
        for first in range(0, last.size, WIDTH):
            self._tile(first, last.size)

    def _tile(self, first: int, size: int) -> None:
        """The tile of these leaves, and those above it that it completes."""
        node = self._tiles.reader(size)
        hashes = [leaf_hash(entry) for entry in self._tiles.entries(first, min(first + WIDTH, size), size)]
        if hashes != [node(0, first + at) for at in range(len(hashes))]:
            raise CorruptHistory(f"第 {first} 个叶子所在的瓦片与条目不符", fix=REBUILD)
        level, end = 0, first + WIDTH
        while end <= size and end % WIDTH == 0:
            level, end = level + 8, end // WIDTH
            below = [node(level - 8, (end - 1) * WIDTH + at) for at in range(WIDTH)]
            if node(level, end - 1) != subtree_root(below):
                raise CorruptHistory(f"第 {level // 8} 级第 {end - 1} 个哈希与下级不符", fix=REBUILD)

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
