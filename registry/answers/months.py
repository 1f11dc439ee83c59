"""The files of the log: one for each month (UTC), such as 2026-11.db. Append-only while it is there, dropped whole.

A month's file is made under another name and gets its own when it is complete, so that a file without the tables, or
with other ones, is always damage and never a beginning. WAL, synchronous=FULL: one write a fifth of a second costs the
disk little, while NORMAL could lose hours of a quiet day in a power cut.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from secrets import token_hex

import msgspec

from keys.files import sync_folder
from registry.errors import Unavailable

SCHEMA_VERSION = 1
BUSY_SECONDS = 10
_NAME = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])\.db")
_TABLES = """
CREATE TABLE answers (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, code TEXT NOT NULL, version INTEGER NOT NULL, status TEXT NOT NULL,
  as_of TEXT, known_at TEXT, log_position INTEGER NOT NULL, channel TEXT NOT NULL) STRICT;
CREATE TABLE tallies (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, status TEXT NOT NULL, channel TEXT NOT NULL,
  count INTEGER NOT NULL) STRICT;
CREATE TABLE gaps (
  id INTEGER PRIMARY KEY, began INTEGER NOT NULL, ended INTEGER NOT NULL, lost INTEGER NOT NULL) STRICT;
"""
_APPEND_ONLY = """
CREATE TRIGGER {0}_no_update BEFORE UPDATE ON {0} BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END;
CREATE TRIGGER {0}_no_delete BEFORE DELETE ON {0} BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END;
CREATE TRIGGER {0}_no_replace BEFORE INSERT ON {0} WHEN EXISTS (SELECT 1 FROM {0} WHERE id=NEW.id)
  BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END;
"""
_SCHEMA = _TABLES + "".join(_APPEND_ONLY.format(table) for table in ("answers", "tallies", "gaps"))
_OBJECTS = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"


class Months:
    """The month files in one folder, which need not be there yet. Safe in several processes at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """The months that have a file, oldest first. Raise Unavailable for a folder that cannot be read."""
        try:
            return sorted(name[:7] for name in os.listdir(self.folder) if _NAME.fullmatch(name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unavailable(self.folder, error) from error

    def path(self, month: str) -> Path:
        """The file of a month."""
        return self.folder / f"{month}.db"

    @contextmanager
    def reading(self, month: str) -> Iterator[sqlite3.Connection]:
        """A connection that cannot write. Raise Unavailable for a file that is damaged or not one of ours."""
        path = self.path(month)
        with self.errors(month), closing(self._connect(path, "ro")) as c:
            _check(c, path)
            yield c

    def writing(self, month: str) -> sqlite3.Connection:
        """A connection to append by, from any one thread at a time; the file is made if need be. Raise Unavailable."""
        path = self.path(month)
        with self.errors(month):
            if not path.exists():
                self._create(path)
            c = self._connect(path, "rw")
            try:
                c.execute("PRAGMA synchronous=FULL")
                _check(c, path)
            except BaseException:
                c.close()
                raise
            return c

    @contextmanager
    def errors(self, month: str) -> Iterator[None]:
        """Turn an error of the disk, of SQLite or of a value into Unavailable that names the file."""
        try:
            yield
        except (OSError, sqlite3.Error, msgspec.MsgspecError, OverflowError) as error:
            raise _unavailable(self.path(month), error) from error

    def drop(self, month: str) -> None:
        """Remove the file of a month and what SQLite keeps beside it. Raise OSError."""
        self.path(month).unlink(missing_ok=True)  # first: what is left after a crash then belongs to nothing
        for rest in [*self.folder.glob(f"{month}.db-*"), *self.folder.glob(f".{month}.*")]:
            rest.unlink(missing_ok=True)
        sync_folder(self.folder)

    @staticmethod
    def _connect(path: Path, mode: str) -> sqlite3.Connection:
        address = f"{path.resolve().as_uri()}?mode={mode}"
        return sqlite3.connect(address, uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)

    def _create(self, path: Path) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        draft = self.folder / f".{path.stem}.{token_hex(4)}"
        try:
            os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(sqlite3.connect(draft, isolation_level=None)) as c:
                c.execute("PRAGMA journal_mode=WAL")
                c.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT")
            with suppress(FileExistsError):  # another process was faster, with the same
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(self.folder)


@cache
def _expected() -> list[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as c:
        c.executescript(_SCHEMA)
        return c.execute(_OBJECTS).fetchall()


def _check(c: sqlite3.Connection, path: Path) -> None:
    """Refuse a file of a newer program, and one whose tables or triggers are not exactly ours."""
    version = c.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise Unavailable(f"答复记录 {path} 的格式为 {version}，本程序只识别到 {SCHEMA_VERSION}", fix="升级程序")
    if c.execute(_OBJECTS).fetchall() != _expected():
        raise Unavailable(f"答复记录 {path} 的结构不对：不是本程序建立的，或被改动过", fix=_FIX)


_FIX = "把该文件移到别处留存，再从备份恢复它；此后的答复会记入新文件"


def _unavailable(path: Path, error: Exception) -> Unavailable:
    said = error.strerror if isinstance(error, OSError) else str(error)
    return Unavailable(f"答复记录 {path} 不能读写：{said}", fix=_FIX if "not a database" in str(said) else _BUSY)


_BUSY = "检查磁盘空间和权限后再试；文件损坏的，移到别处留存，再从备份恢复它"
