"""A log's tree on the disk as tiles and entry bundles (C2SP tlog-tiles), so that any file server can hand it out.

    tile/<L>/<N>[.p/<W>]          up to 256 hashes, each the root of 256**L leaves; W of them while it is not full
    tile/entries/<N>[.p/<W>]      up to 256 leaf entries, each after its length (uint16, big-endian)

N is written in groups of three digits, all but the last with an x before it: 1234067 is x001/x234/067. A full tile
never changes. A partial one is never changed either: a wider one is written beside it, and both go once it is full.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import chain
from pathlib import Path
from shutil import rmtree

from keys.files import sync_folder
from registry.errors import CorruptHistory, Unavailable
from registry.proof.tree import HASH_SIZE, leaf_hash, node_hash

WIDTH = 256
MOST_BYTES = 0xFFFF  # of one entry
ENTRIES = "entries"
_KEPT_TILES = 1_024
_AT_ONCE = 16  # waits for the disk: one commit of the file system serves many
_RESOURCE = re.compile(r"tile/(entries|0|[1-5]?[0-9]|6[0-3])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")

HashReader = Callable[[int, int], bytes]
"""(level, index): the root of the complete subtree of 2**level leaves, the index-th at that level."""


class TileStore:
    """The tiles of one log. What `write` wrote is durable when it returns; a reader only ever sees whole files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._full = lru_cache(maxsize=_KEPT_TILES)(self._read_full)

    def forget(self) -> None:
        """Read every tile from the disk again."""
        self._full.cache_clear()

    def write(self, first: int, entries: Sequence[bytes]) -> None:
        """Add leaf entries, the first of them at index `first`, where the tiles must end until now.

        Raise CorruptHistory for an entry that is longer than 65,535 bytes, Unavailable if the tiles before are missing.
        """
        if any(len(entry) > MOST_BYTES for entry in entries):
            raise CorruptHistory("a leaf entry is longer than 65,535 bytes")
        before = list(self.entries(first - first % WIDTH, first, first))
        files = _Files(self.folder)
        for number, chunk in _chunks(first, [*before, *entries]):
            files.put(ENTRIES, number, len(chunk), b"".join(len(one).to_bytes(2) + one for one in chunk))
        hashes = [leaf_hash(entry) for entry in entries]
        level = 0
        while hashes:
            kept = self._hashes(level, first // WIDTH, first % WIDTH) if first % WIDTH else []
            above = []
            for number, chunk in _chunks(first, [*kept, *hashes]):
                files.put(str(level), number, len(chunk), b"".join(chunk))
                if len(chunk) == WIDTH:
                    above.append(subtree_root(chunk))
            level, first, hashes = level + 1, first // WIDTH, above
        files.sync()

    def reader(self, size: int) -> HashReader:
        """The hashes of the tree of that size. The reader raises Unavailable for a tile that is missing."""

        def node(level: int, index: int) -> bytes:
            tile_level, height = divmod(level, 8)
            number, at = divmod(index << height, WIDTH)
            wide = min(WIDTH, (size >> 8 * tile_level) - number * WIDTH)
            if at + (1 << height) > wide:
                raise ValueError(f"a tree of {size} leaves has no complete subtree {index} at level {level}")
            return subtree_root(self._hashes(tile_level, number, wide)[at : at + (1 << height)])

        return node

    def entries(self, first: int, end: int, size: int) -> Iterator[bytes]:
        """The leaf entries from `first` to before `end` in a tree of that size. Raise Unavailable or CorruptHistory."""
        while first < end:
            number, at = divmod(first, WIDTH)
            wide = min(WIDTH, size - number * WIDTH)
            bundle = split_bundle(self._read(ENTRIES, number, wide))
            if len(bundle) < wide:
                raise CorruptHistory(f"entry bundle {number} has {len(bundle)} entries, {wide} are needed")
            yield from bundle[at : min(wide, at + end - first)]
            first = (number + 1) * WIDTH

    def read(self, resource: str) -> bytes | None:
        """A tile or entry bundle by its path ("tile/0/x001/067.p/5"); None for what is no such path or not there."""
        match = _RESOURCE.fullmatch(resource)
        if match is None or int(match[3] or 0) >= WIDTH:
            return None
        number = int(match[2].replace("/", "").replace("x", ""))
        if tile_path(match[1], number) != f"tile/{match[1]}/{match[2]}":  # a longer spelling of the number
            return None
        wide = int(match[3] or WIDTH)
        try:
            data = self._read(match[1], number, wide)
        except Unavailable:
            return None
        if match[1] == ENTRIES:
            return b"".join(len(one).to_bytes(2) + one for one in split_bundle(data)[:wide])
        return data[: wide * HASH_SIZE]

    def _hashes(self, level: int, number: int, wide: int) -> list[bytes]:
        data = self._read(str(level), number, wide)
        if len(data) % HASH_SIZE or len(data) < wide * HASH_SIZE:
            raise CorruptHistory(f"tile {level}/{number} has {len(data)} bytes")
        return [data[at : at + HASH_SIZE] for at in range(0, wide * HASH_SIZE, HASH_SIZE)]

    def _read(self, kind: str, number: int, wide: int) -> bytes:
        """A tile or bundle that is at least that wide: the one itself, the full one, or a wider partial one."""
        if wide == WIDTH:
            return self._full(kind, number)
        partial, full = (self.folder / tile_path(kind, number, one) for one in (wide, WIDTH))
        for path in chain((partial, full), _wider(partial), (full,)):  # again: it may just have replaced them
            data = _content(path)
            if data is not None:
                return data
        raise _missing(partial)

    def _read_full(self, kind: str, number: int) -> bytes:
        path = self.folder / tile_path(kind, number)
        data = _content(path)
        if data is None:
            raise _missing(path)
        return data


def tile_path(kind: str, number: int, wide: int = WIDTH) -> str:
    """The path of a tile ("0", "1", …) or entry bundle ("entries") below the log's prefix."""
    groups, rest = [f"{number % 1000:03}"], number // 1000
    while rest:
        groups.insert(0, f"x{rest % 1000:03}")
        rest //= 1000
    return f"tile/{kind}/{'/'.join(groups)}{'' if wide == WIDTH else f'.p/{wide}'}"


def resources(size: int) -> Iterator[str]:
    """The paths of all tiles and entry bundles that a log of that size has, entry bundles first."""
    kinds, level = [(ENTRIES, size)], 0
    while size >> 8 * level:
        kinds.append((str(level), size >> 8 * level))
        level += 1
    for kind, count in kinds:
        for number in range(count // WIDTH):
            yield tile_path(kind, number)
        if count % WIDTH:
            yield tile_path(kind, count // WIDTH, count % WIDTH)


def subtree_root(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def split_bundle(data: bytes) -> list[bytes]:
    """The entries of an entry bundle. Raise CorruptHistory for one that is cut."""
    found, at = list[bytes](), 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        if end > len(data) or at + 2 > len(data):
            raise CorruptHistory("an entry bundle is cut")
        found.append(data[at + 2 : end])
        at = end
    return found


def _chunks(first: int, items: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Cut what begins with the tile that index `first` is in into tiles with their numbers."""
    for at in range(0, len(items), WIDTH):
        yield first // WIDTH + at // WIDTH, items[at : at + WIDTH]


def _wider(partial: Path) -> Iterator[Path]:
    """The partial tiles that are wider; looked for only when they are asked for."""
    try:
        names = os.listdir(partial.parent)
    except FileNotFoundError:
        return
    found = sorted(int(name) for name in names if name.isdigit())
    yield from (partial.with_name(str(one)) for one in found if one > int(partial.name))


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Unavailable(f"the tile {path} cannot be read: {error.strerror}", fix="运行 doctor") from error


def _missing(path: Path) -> Unavailable:
    return Unavailable(f"the tile {path} is missing", fix="运行 title-registry log rebuild，由事件重建")


class _Files:
    """Writes files, each in one step, and brings them to the disk together: many small waits would be slow."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: list[tuple[Path, int]] = []
        self._full: list[Path] = []

    def put(self, kind: str, number: int, wide: int, data: bytes) -> None:
        """Lay a file by under a name of its own; it counts after `sync`."""
        path = self._folder / tile_path(kind, number, wide)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        with os.fdopen(os.dup(descriptor), "wb") as out:
            out.write(data)
        self._written.append((path, descriptor))
        if wide == WIDTH:
            self._full.append(path)

    def sync(self) -> None:
        """Bring every file to the disk, then give each its name; then partial tiles go that a full one replaced."""
        with ThreadPoolExecutor(_AT_ONCE) as waiting:
            list(waiting.map(os.fsync, [descriptor for _, descriptor in self._written]))
        for path, descriptor in self._written:
            os.close(descriptor)
            os.replace(f"{path}.new", path)
        above = {one for path, _ in self._written for one in path.parents if one.is_relative_to(self._folder)}
        for folder in above:
            sync_folder(folder)
        for path in self._full:
            rmtree(f"{path}.p", ignore_errors=True)
