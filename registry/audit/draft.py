"""The folder in which an export grows, DIR.partial beside DIR. What was killed goes on there; whole, it is renamed.

The first file in it is the checkpoint that the export is of, signed by the log: so a leftover says whose and what it
is. Every other file is made again or compared with what it must be; only the events are read back and continued.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import BinaryIO

from keys.files import sync_folder
from registry.audit import layout
from registry.audit.layout import FileEntry
from registry.errors import Refused

_NEW = ".new"
_BUFFER = 1 << 20  # bytes


class Draft:
    """One growing export. Files appear whole; what is in it when it is finished was written or checked by this run."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.folder = directory, directory.with_name(f"{directory.name}.partial")
        self._names: set[str] = set()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder for this process. Raise Refused while another one does, or if other files are in it."""
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            raise Refused(f"{self.folder} 不是文件夹", fix="换一个导出文件夹，或移走它")
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            self._lock(descriptor)
            self._refuse_foreign()
            yield
        finally:
            with suppress(OSError):
                self.folder.rmdir()  # nothing was begun, unless it is not empty
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        """The lock goes with the process. One that had just finished may have taken the folder along."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = self.folder.exists() and os.path.samestat(os.fstat(descriptor), self.folder.stat())
        except BlockingIOError:
            mine = False
        if not mine:
            raise Refused(f"另一个进程正在向 {self.directory} 导出", fix="等它完成")

    def _refuse_foreign(self) -> None:
        begun = self.checkpoint() is not None
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder).as_posix().removesuffix(_NEW)
            own = path.is_dir() or (layout.FILE_NAME.fullmatch(name) and (begun or name == layout.CHECKPOINT))
            if path.is_symlink() or not own:
                raise Refused(f"{path} 不是导出的文件，或不知道是哪次导出的", fix=f"移走或删除 {self.folder}")

    def checkpoint(self) -> bytes | None:
        """The checkpoint of what was begun here; None if nothing was."""
        path = self.folder / layout.CHECKPOINT
        return path.read_bytes() if path.is_file() else None

    def discard(self) -> None:
        """Remove everything."""
        rmtree(self.folder)

    def put(self, name: str, parts: Iterable[bytes]) -> None:
        """Write a file all the way to the disk, and give it its name."""
        path = self.folder / f"{name}{_NEW}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb", buffering=_BUFFER) as out:
            out.writelines(parts)
            out.flush()
            os.fsync(out.fileno())
        path.rename(self.folder / name)
        self._names.add(name)

    def keep(self, name: str, data: bytes) -> None:
        """Have a small file with these bytes; one that has them already is left. `finish` brings it to the disk."""
        path = self.folder / name
        self._names.add(name)
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    @contextmanager
    def continued(self, name: str) -> Iterator[BinaryIO]:
        """A file to read back what an earlier run wrote, to cut what is not whole, and to go on writing."""
        self._names.add(name)
        descriptor = os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(descriptor, "r+b", buffering=_BUFFER) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> dict[str, FileEntry]:
        """Size and hash of every file so far; what an earlier run left besides goes."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_file() and path.relative_to(self.folder).as_posix() not in self._names:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        return {name: layout.file_entry(self.folder / name) for name in sorted(self._names)}

    def finish(self) -> None:
        """Bring everything to the disk, and give the folder its name."""
        os.sync()
        self.folder.rename(self.directory)
        sync_folder(self.directory.parent)
