"""Every byte of a log's tiles and entry bundles against its leaves, made anew (C2SP tlog-tiles), in flat memory."""

from collections.abc import Callable, Iterable

from registry.audit.findings import Code, Finding, Findings
from registry.proof.tiles import ENTRIES, MOST_BYTES, WIDTH, resources, subtree_root, tile_path


class Tiling:
    """Takes leaves in order, and compares each tile as soon as it is complete, the last ones at the end.

    `read` gives the bytes of a tile by its path, or None. `size` is the size of the published tree (None: all leaves).
    """

    def __init__(self, read: Callable[[str], bytes | None], findings: Findings, size: int | None = None) -> None:
        self._read, self._findings, self.size = read, findings, size
        self._entries: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]
        self._numbers = [0]

    def take(self, entry: bytes, leaf: bytes) -> None:
        """Take the next leaf: its entry and its hash. The caller minds the size."""
        self._entries.append(entry)
        self._levels[0].append(leaf)
        if len(self._entries) == WIDTH:
            self._complete()

    def _bundle(self) -> list[bytes]:
        # An entry longer than any bundle can hold: then no bundle can be right.
        bundle = [min(len(one), MOST_BYTES).to_bytes(2) + one for one in self._entries]
        self._entries.clear()
        return bundle

    def _complete(self) -> None:
        self._compare(ENTRIES, self._numbers[0], self._bundle())
        level = 0
        while len(self._levels[level]) == WIDTH:
            hashes = self._levels[level]
            self._compare(str(level), self._numbers[level], hashes)
            if level + 1 == len(self._levels):
                self._levels.append([])
                self._numbers.append(0)
            self._levels[level + 1].append(subtree_root(hashes))
            self._numbers[level] += 1
            hashes.clear()
            level += 1

    def end(self) -> None:
        """No more leaves: compare the partial tiles."""
        if self._entries:
            self._compare(ENTRIES, self._numbers[0], self._bundle())
        for level, hashes in enumerate(self._levels):
            if hashes:
                self._compare(str(level), self._numbers[level], hashes)

    def check_listed(self, names: Iterable[str], size: int) -> None:
        """Tell which of these tiles are none of a tree of this size."""
        for name in sorted(set(names) - set(resources(size))):
            self._add(name, "这一规模的日志没有这个文件")

    def _compare(self, kind: str, number: int, parts: list[bytes]) -> None:
        path = tile_path(kind, number, len(parts))
        found = self._read(path)
        if found != b"".join(parts):
            self._add(path, "文件缺失" if found is None else "与由事件重算的不符")

    def _add(self, path: str, message: str) -> None:
        code = Code.ENTRIES if path.startswith(f"tile/{ENTRIES}/") else Code.TILE
        self._findings.add(Finding(code=code, message=f"瓦片或条目束：{message}", file=path))
