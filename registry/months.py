"""Files of a month (UTC) each, such as 2026-11.db: answers given, looks taken. Append-only, and dropped whole.

A month's file is made under another name and gets its own when it is complete, so that a file without the tables, or
with other ones, is always damage and never a beginning. WAL, synchronous=FULL: one write a fifth of a second costs the
disk little, while NORMAL could lose hours of a quiet day in a power cut.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

import msgspec

from keys.files import sync_folder
from registry.errors import BadInput, Unavailable
from registry.sqlitefile import BUSY_SECONDS, objects, objects_of

KEPT_MONTHS = 36  # records of providing personal data are kept for three years (网络数据安全管理条例, article 12)
LEAST_MONTHS = 6  # network logs are kept for six months at least (网络安全法, article 21)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_NAME = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])\.db")
_APPEND_ONLY = """
CREATE TRIGGER {0}_no_update BEFORE UPDATE ON {0} BEGIN SELECT RAISE(ABORT, '{1} are append-only'); END;
CREATE TRIGGER {0}_no_delete BEFORE DELETE ON {0} BEGIN SELECT RAISE(ABORT, '{1} are append-only'); END;
CREATE TRIGGER {0}_no_replace BEFORE INSERT ON {0} WHEN EXISTS (SELECT 1 FROM {0} WHERE id=NEW.id)
  BEGIN SELECT RAISE(ABORT, '{1} are append-only'); END;
"""


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970, rounded down."""
    return (moment - _EPOCH) // _MS


def from_ms(stored: int) -> datetime:
    """The moment, in UTC."""
    return _EPOCH + stored * _MS


def month_of(moment: datetime) -> str:
    """The month (UTC) in whose file a moment belongs: 2026-11."""
    return moment.astimezone(UTC).isoformat()[:7]


class Shape(NamedTuple):
    """What is in such a file: its name for people, its word in refusals, its tables, and the version of all that."""

    name: str
    word: str
    tables: str
    names: tuple[str, ...]
    version: int = 1

    @property
    def schema(self) -> str:
        """The tables, each with the triggers that keep it append-only."""
        return self.tables + "".join(_APPEND_ONLY.format(table, self.word) for table in self.names)


class Months:
    """The month files in one folder, which need not be there yet. Safe in several processes at once."""

    def __init__(self, folder: Path, shape: Shape) -> None:
        self.folder, self.shape = folder, shape

    def names(self) -> list[str]:
        """The months that have a file, oldest first. Raise Unavailable for a folder that cannot be read."""
        try:
            return sorted(name[:7] for name in os.listdir(self.folder) if _NAME.fullmatch(name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unavailable(self.folder, error) from error

    def expired(self, now: datetime, keep: int) -> list[str]:
        """The months older than `keep` whole months before the present one. Raise BadInput for fewer than six."""
        if keep < LEAST_MONTHS:
            raise BadInput(
                f"{self.shape.name}至少保存 {LEAST_MONTHS} 个月，不能只保存 {keep} 个月",
                fix=f"--keep 不小于 {LEAST_MONTHS}",
            )
        now = now.astimezone(UTC)
        year, month = divmod(now.year * 12 + now.month - 1 - keep, 12)
        return [name for name in self.names() if name < f"{year:04d}-{month + 1:02d}"]

    def prune(self, now: datetime, keep: int) -> list[str]:
        """Drop the files of expired months, each as a whole, and return which. Raise BadInput, OSError."""
        dropped = self.expired(now, keep)
        for month in dropped:
            self.drop(month)
        return dropped

    def path(self, month: str) -> Path:
        """The file of a month."""
        return self.folder / f"{month}.db"

    @contextmanager
    def reading(self, month: str) -> Iterator[sqlite3.Connection]:
        """A connection that cannot write. Raise Unavailable for a file that is damaged or not one of ours."""
        path = self.path(month)
        with self.errors(month), closing(self._connect(path, "ro")) as c:
            self._check(c, path)
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
                self._check(c, path)
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
            raise self._unavailable(self.path(month), error) from error

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
                c.executescript(f"BEGIN;{self.shape.schema}PRAGMA user_version={self.shape.version};COMMIT")
            with suppress(FileExistsError):  # another process was faster, with the same
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(self.folder)

    def _check(self, c: sqlite3.Connection, path: Path) -> None:
        """Refuse a file of a newer program, and one whose tables or triggers are not exactly ours."""
        version, known = c.execute("PRAGMA user_version").fetchone()[0], self.shape.version
        if version > known:
            raise Unavailable(f"{self.shape.name} {path} 的格式为 {version}，本程序只识别到 {known}", fix="升级程序")
        if objects(c) != objects_of(self.shape.schema):
            raise Unavailable(f"{self.shape.name} {path} 的结构不对：不是本程序建立的，或被改动过", fix=_FIX)

    def _unavailable(self, path: Path, error: Exception) -> Unavailable:
        said = error.strerror if isinstance(error, OSError) else str(error)
        fix = _FIX if "not a database" in str(said) else _BUSY
        return Unavailable(f"{self.shape.name} {path} 不能读写：{said}", fix=fix)


class Pen:
    """One open connection, to the file of the month that was written last. For one thread at a time."""

    def __init__(self, months: Months) -> None:
        self.months = months
        self._month, self._inode = "", 0
        self._connection: sqlite3.Connection | None = None

    def at(self, month: str) -> sqlite3.Connection:
        """The connection to a month's file; opened anew when another file has taken its place, or none."""
        path = self.months.path(month)
        if self._connection is not None and (month, _inode(path)) == (self._month, self._inode):
            return self._connection
        self.close()
        self._connection = self.months.writing(month)
        self._month, self._inode = month, _inode(path)
        return self._connection

    def close(self) -> None:
        """Close the file, and roll back what was begun; the next time it is looked at anew."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _inode(path: Path) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


_FIX = "把该文件移到别处留存，再从备份恢复它；此后的记录会记入新文件"
_BUSY = "检查磁盘空间和权限后再试；文件损坏的，移到别处留存，再从备份恢复它"
