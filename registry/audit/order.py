"""The log as a whole: positions without a gap, and the tree over every stored event, in flat memory.

While the tree grows, it is compared with the checkpoints that were signed and with the tiles, if there are any to see.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from registry.audit.checkpoints import Watch
from registry.audit.findings import Code, Finding, Findings
from registry.audit.layout import Row
from registry.audit.tiling import Tiling
from registry.errors import CorruptHistory
from registry.proof.checkpoint import Checkpoint
from registry.proof.leaf import leaf_entry
from registry.proof.tree import RightEdge, leaf_hash


class Order:
    """Goes over events in log order; afterwards it knows how many there were and the roots."""

    def __init__(
        self,
        findings: Findings,
        watched: int | None = None,
        watch: Watch | None = None,
        tiling: Tiling | None = None,
        predecessor: bytes | None = None,
    ) -> None:
        """`watched`: also keep the root that the tree had at this size. `predecessor`: its first leaf entry, if it
        follows another log."""
        self._findings, self._watched = findings, watched
        self._watch, self._tiling = watch or Watch(iter(()), findings), tiling
        self._tiled = 0 if tiling is None else sys.maxsize if tiling.size is None else tiling.size
        self._edge = RightEdge()
        self._before = self._highest = 0
        self.root_then: bytes | None = self._edge.root() if watched == 0 else None
        self.last: Row | None = None
        self.first = 0 if predecessor is None else 1
        if predecessor is not None:
            self._grow(predecessor)

    def passing(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Hand every event on after taking it in."""
        for row in rows:
            self.take(row)
            yield row

    def take(self, row: Row) -> None:
        """Take the next event in."""
        if row[0] != self._before + 1 or row[0] <= self._highest:
            self._misplaced(row)
        self._before, self._highest = row[0], max(row[0], self._highest)
        self.last = row
        try:
            self._grow(leaf_entry(*row))
        except CorruptHistory as error:
            self._findings.add(
                Finding(code=Code.EVENT, message=error.message, position=row[0], stream=row[1], version=row[2])
            )

    def _grow(self, entry: bytes) -> None:
        edge, leaf = self._edge, leaf_hash(entry)
        edge.append(leaf)
        if edge.size == self._watched:
            self.root_then = edge.root()
        if edge.size == self._watch.size:
            self._watch.look(edge)
        if self._tiling is not None and edge.size <= self._tiled:
            self._tiling.take(entry, leaf)

    def end(self) -> None:
        """No more events: say which checkpoints lie beyond, and look at the last tiles."""
        self._watch.end(self.leaves)
        if self._tiling is not None:
            self._tiling.end()

    @property
    def size(self) -> int:
        """How many events were taken in."""
        return self._edge.size - self.first

    @property
    def leaves(self) -> int:
        """How many leaves the tree has: the events, and one before them if it follows another log."""
        return self._edge.size

    @property
    def root(self) -> bytes:
        """The root over them all."""
        return self._edge.root()

    def _misplaced(self, row: Row) -> None:
        position, expected = row[0], self._highest + 1
        if position == expected:
            return
        if position > expected:
            code, what = Code.POSITION_GAP, "位置不连续，有事件缺失"
        elif position == self._before:
            code, what = Code.POSITION_REPEATED, "同一位置出现两次"
        else:
            code, what = Code.POSITION_ORDER, "位置倒退，事件的次序被改动"
        self._findings.add(
            Finding(
                code=code, message=what, position=position, stream=row[1], expected=str(expected), found=str(position)
            )
        )

    def compare(self, checkpoint: Checkpoint) -> None:
        """Compare with the signed checkpoint (of the watched size) that must cover everything."""
        self.contain(checkpoint)
        if checkpoint.size < self.leaves and checkpoint.root == self.root_then:
            sizes: dict[str, Any] = {"expected": str(checkpoint.size), "found": str(self.leaves)}
            message = "检查点早于这份日志，其后的事件没有签名"
            self._findings.add(Finding(code=Code.CHECKPOINT_OLDER, message=message, **sizes))

    def contain(self, checkpoint: Checkpoint) -> None:
        """Compare with a signed checkpoint (of the watched size) after which the log may have gone on."""
        if checkpoint.size > self.leaves:
            sizes: dict[str, Any] = {"expected": str(checkpoint.size), "found": str(self.leaves)}
            message = "事件少于检查点所签的数目，末尾被截去"
            self._findings.add(Finding(code=Code.TAIL_MISSING, message=message, **sizes))
        elif checkpoint.root != self.root_then:
            roots: dict[str, Any] = {"expected": checkpoint.root.hex(), "found": (self.root_then or self.root).hex()}
            message = "存储的字节与检查点所签的根不符"
            self._findings.add(Finding(code=Code.TREE_ROOT, message=message, **roots))
