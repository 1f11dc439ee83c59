"""Sweep away what lies outside the log of a person who was erased. Whatever a crash has left is found and swept later.

Sealed scans, whose key is gone; the names in the register; documents in the data folder; what the doors keep; and the
write-ahead logs of both databases, in which the destroyed key and the names could still be read.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import msgspec

from registry.errors import Unavailable, WrongState
from registry.folder import Folder
from registry.holders.holder import HOLDERS, HolderErased
from registry.log.facts import NAMES
from registry.log.log import Log
from registry.register.register import Register
from registry.titles.state import TITLES

Forget = Callable[[str], None]


class Examined(msgspec.Struct, frozen=True):
    """What was found: how many were erased, what was still there of them, and old data folders that a restore kept."""

    erased: int
    left: list[str]
    kept: list[str]


class Sweeping(msgspec.Struct, frozen=True):
    """What sweeping needs. `also` are the doors that keep something of a holder (accounts): each forgets the holder."""

    log: Log
    register: Register
    folder: Folder
    also: list[Forget] = msgspec.field(default_factory=list)

    def erased(self) -> list[str]:
        """Every holder who was erased, in order. Reads the whole log."""
        self.log.require()
        return self.log.recorder.streams_with(NAMES[HolderErased])

    def left(self, holder: str) -> list[str]:
        """What is still there of a person who was erased: names of files, and the register if it has a name."""
        named = [self.register.path.name] * self.register.named(holder)  # before anything catches up
        return named + [path.name for path in self._files(holder)]

    def sweep(self, holder: str) -> None:
        """Destroy what lies outside the log of a person who was erased. Safe to repeat.

        Raise WrongState for a person who was not erased, Unavailable if something is still there.
        """
        known = self.log.load(HOLDERS, holder)
        if known is None or not known.erased:
            raise WrongState("该持证人的个人信息没有被删除，不能清理", fix="由两名经办人提议和批准删除")
        self._sweep([holder])

    def sweep_all(self) -> int:
        """The same for everybody who was erased; return how many. At the start of a service and after a restore."""
        holders = self.erased()
        if holders:
            self._sweep(holders)
        return len(holders)

    def examine(self) -> Examined:
        """Look for what a crash left of those who were erased, and sweep it; name old folders that still hold them."""
        left = [name for holder in self.erased() for name in self.left(holder)]
        here = self.folder.path.resolve()
        kept = sorted(path.name for path in here.parent.glob(f"{here.name}.before-restore-*"))
        kept += sorted(path.name for path in here.glob(f"{self.folder.log.name}.before-move-*"))
        return Examined(self.sweep_all(), left, kept)

    def sweep_files(self) -> int:
        """Only the files of everybody who was erased, for a copy that has no register yet; return how many holders."""
        holders = self.erased()
        for holder in holders:
            for path in self._files(holder):
                path.unlink(missing_ok=True)
        return len(holders)

    def _sweep(self, holders: list[str]) -> None:
        try:
            self.register.catch_up()
            for holder in holders:
                self.log.forget(holder)
                for path in self._files(holder):
                    path.unlink(missing_ok=True)
                for forget in self.also:
                    forget(holder)
        except OSError as error:
            raise _not_swept(str(error.strerror)) from error
        if not (self.register.fold_in() and self.log.recorder.fold_in()):
            raise _not_swept("另一个程序正在读取较早的状态")

    def _files(self, holder: str) -> Iterator[Path]:
        """The sealed scans of a holder, and documents of their titles in the data folder."""
        yield from sorted(self.folder.evidence.glob(f"*{holder}-*"))
        documents = self.folder.path / "certificates"
        if not documents.is_dir():
            return
        starts = tuple(self._document_names(holder))
        yield from (path for path in sorted(documents.iterdir()) if starts and unquote(path.name).startswith(starts))

    def _document_names(self, holder: str) -> Iterator[str]:
        """How the names of documents begin: with the code, or with authority and number."""
        for stream in self.register.streams_of(holder):
            title = self.log.load(TITLES, stream, sealed=True)
            if title is not None:
                yield from (one.code for one in title.certificates)
                yield from (f"{number.replace('|', '_', 1)}_v" for number in title.numbers)


def _not_swept(why: str) -> Unavailable:
    return Unavailable(
        f"个人信息已删除，但登记记录以外的清理没有完成：{why}", fix="运行 title-registry doctor，或再次批准同一提议"
    )
