"""The tree over the stored events against what was published, piece by piece: leaf hashes in log order, and the tiles.

Once every leaf is seen to be in the tiles, all else about the tree is asked of the tiles. Here one learns only whether
all is well; `order` and `tiling` say what is not.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from registry.errors import CorruptHistory
from registry.log.recorder import LogRecorder, Row
from registry.proof.leaf import leaf_entry
from registry.proof.tiles import ENTRIES, WIDTH, TileStore, subtree_root, tile_path
from registry.proof.tree import HASH_SIZE, RightEdge, leaf_hash

WIDE = 64 * WIDTH  # leaves of a piece: their hashes one level up lie in one tile


class Unwell(Exception):
    """Something is not as it must be. What it is, is found by looking closely."""


class Stored:
    """The leaves of one log as they follow from its events."""

    def __init__(self, recorder: LogRecorder, predecessor: bytes | None) -> None:
        self._recorder = recorder
        self._ahead = () if predecessor is None else (predecessor,)

    @property
    def first(self) -> int:
        """The leaf index of the first event."""
        return len(self._ahead)

    def entries(self, begin: int, end: int) -> Iterator[bytes]:
        """The leaf entries from one index to before another. Raise Unwell for a gap and what cannot be a leaf."""
        first = self.first
        after, up_to = max(begin - first, 0), end - first
        rows = self._recorder.rows_by_position(after, up_to)
        return chain(self._ahead[begin:end], _entries(rows, after, up_to))


def _entries(rows: Iterator[Row], after: int, up_to: int) -> Iterator[bytes]:
    position = after
    try:
        for row in rows:
            position += 1
            if row[0] != position:
                raise Unwell
            yield leaf_entry(*row)
    except CorruptHistory as error:
        raise Unwell from error
    if position != up_to:
        raise Unwell


class Tiles:
    """The published tiles of a tree of `size` leaves. Everything raises Unwell where they are not as they must be."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._store, self.size = folder, TileStore(folder), size
        self.reader = self._store.reader(size)

    def check(self, stored: Stored, begin: int) -> None:
        """Compare a piece, from a multiple of WIDE on: entry bundles, leaf hashes, and the hashes one level up."""
        end, above = min(begin + WIDE, self.size), []
        entries = stored.entries(begin, end)
        for at in range(begin, end, WIDTH):
            wide = min(WIDTH, end - at)
            some = [entry for _, entry in zip(range(wide), entries, strict=False)]
            hashes = [leaf_hash(entry) for entry in some]
            self._same(ENTRIES, at // WIDTH, wide, _bundle(some))
            self._same("0", at // WIDTH, wide, b"".join(hashes))
            if wide == WIDTH:
                above.append(subtree_root(hashes))
        for _ in entries:  # a row too many is told at the end
            raise Unwell
        self._above(begin // WIDTH, above)

    def _above(self, first: int, hashes: list[bytes]) -> None:
        number, at = divmod(first, WIDTH)
        if hashes and self._hashes(1, number)[at : at + len(hashes)] != hashes:
            raise Unwell

    def check_upper(self) -> None:
        """Compare the tiles of the levels above those that `check` compares."""
        for level in range(2, 8):
            count = self.size >> 8 * level
            for number in range(-(-count // WIDTH)):
                wide = min(WIDTH, count - number * WIDTH)
                below = [subtree_root(self._hashes(level - 1, number * WIDTH + one)) for one in range(wide)]
                if self._hashes(level, number) != below:
                    raise Unwell

    def edge(self) -> RightEdge:
        """The right edge of this tree."""
        hashes, done = list[bytes](), 0
        for level in reversed(range(self.size.bit_length())):
            if self.size >> level & 1:
                hashes.append(self.reader(level, done >> level))
                done += 1 << level
        return RightEdge(self.size, hashes)

    def _same(self, kind: str, number: int, wide: int, expected: bytes) -> None:
        if self._read(tile_path(kind, number, wide)) != expected:
            raise Unwell

    def _hashes(self, level: int, number: int) -> list[bytes]:
        wide = min(WIDTH, (self.size >> 8 * level) - number * WIDTH)
        data = self._read(tile_path(str(level), number, wide))
        if len(data) != wide * HASH_SIZE:
            raise Unwell
        return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]

    def _read(self, path: str) -> bytes:
        """A file as it is; of a partial one that was replaced meanwhile, what is left of it in a wider one."""
        try:
            return (self._folder / path).read_bytes()
        except OSError:
            pass
        try:
            found = self._store.read(path)
        except CorruptHistory as error:
            raise Unwell from error
        if found is None:
            raise Unwell
        return found


def _bundle(entries: list[bytes]) -> bytes:
    try:
        return b"".join([len(one).to_bytes(2) + one for one in entries])
    except OverflowError as error:
        raise Unwell from error
