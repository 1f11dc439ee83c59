"""The register's file: opened, built anew beside the live one, and switched in one rename. Safe in several processes.

A write-ahead log belongs to the file that it was written for, and is found by its name alone. So nobody opens the
register while it is switched: an opener holds a lock with others, whoever switches holds it alone. A connection that
was open before goes on with the old file, which is nobody's any more.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from registry.errors import Unavailable
from registry.register import tables
from registry.sqlitefile import BUSY_SECONDS, switch_to_wal


class RegisterFile:
    """The file at a path, and the one beside it in which the next is built."""

    def __init__(self, path: Path) -> None:
        self.path, self.beside = path, path.with_suffix(".new")

    def inode(self) -> int | None:
        """Which file it is now; None if there is none."""
        try:
            return self.path.stat().st_ino
        except FileNotFoundError:
            return None

    def open(self) -> tuple[sqlite3.Connection, int | None]:
        """A connection and the file it is to; made if it is missing or of another version. Raise Unavailable."""
        self.clear()
        try:
            with self._lock("opening", fcntl.LOCK_SH):
                found = self._open()
            if found is None:
                with self._lock("opening", fcntl.LOCK_EX):
                    self._drop()
                return self.open()
            return found
        except sqlite3.DatabaseError as error:
            raise Unavailable(f"the register cannot be read: {error}", fix="title-registry register rebuild") from error

    def _open(self) -> tuple[sqlite3.Connection, int | None] | None:
        c = sqlite3.connect(self.path, isolation_level=None, timeout=BUSY_SECONDS, cached_statements=256)
        with ExitStack() as unless_good:
            unless_good.callback(c.close)
            if _version(c) not in (0, tables.SCHEMA_VERSION):
                return None
            unless_good.pop_all()
        return c, self.inode()

    @contextmanager
    def building(self) -> Iterator[None]:
        """Be the only one that builds the next file; wait for whoever does. What a crash has left is gone."""
        with self._lock("building", fcntl.LOCK_EX):
            self._discard()
            try:
                yield
            finally:
                self._discard()

    def clear(self) -> bool:
        """Remove what a crash has left of a file that was being built: it has names. False while one is being built."""
        if not self.beside.exists():
            return True
        try:
            with self._lock("building", fcntl.LOCK_EX | fcntl.LOCK_NB):
                self._discard()
        except BlockingIOError:
            return False
        return True

    def switch(self) -> None:
        """Put the built file, closed by now, in the place of the live one; it is on the disk then."""
        with _descriptor(self.beside) as descriptor:
            os.fsync(descriptor)
        with self._lock("opening", fcntl.LOCK_EX):
            self._drop(but=self.path)
            self.beside.replace(self.path)
        with _descriptor(self.path.parent) as descriptor:
            os.fsync(descriptor)

    def _drop(self, but: Path | None = None) -> None:
        for path in (self.path, Path(f"{self.path}-wal"), Path(f"{self.path}-shm")):
            if path != but:
                path.unlink(missing_ok=True)

    def _discard(self) -> None:
        self.beside.unlink(missing_ok=True)

    @contextmanager
    def _lock(self, what: str, how: int) -> Iterator[None]:
        with _descriptor(self.path.with_name(f".{self.path.stem}.{what}.lock"), os.O_RDWR | os.O_CREAT) as lock:
            fcntl.flock(lock, how)
            yield


def begin(path: Path | None = None) -> sqlite3.Connection:
    """A connection to a file that is being built: nothing is undone, and nothing is on the disk for sure.

    Without a path the file has no name, and goes with the connection.
    """
    c = sqlite3.connect(path or "", isolation_level=None, cached_statements=256)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-16384", "secure_delete=ON"):
        c.execute(f"PRAGMA {pragma}")
    return c


def _version(c: sqlite3.Connection) -> int:
    """The version of the tables, which are made if there are none."""
    switch_to_wal(c)
    for pragma in ("synchronous=NORMAL", "secure_delete=ON"):
        c.execute(f"PRAGMA {pragma}")
    c.execute("BEGIN IMMEDIATE")
    version = int(c.execute("PRAGMA user_version").fetchone()[0])
    if version == 0:
        tables.create(c)
        for table in tables.TABLES:
            tables.index(c, table)
    c.execute("COMMIT")
    return version


@contextmanager
def _descriptor(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    found = os.open(path, flags, 0o600)
    try:
        yield found
    finally:
        os.close(found)
