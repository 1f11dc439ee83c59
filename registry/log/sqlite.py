"""SQLite: one file, many processes, one writer at a time.

Each thread has one connection. A write is one `BEGIN IMMEDIATE` transaction with one `executemany` per table. Events
are protected by triggers: UPDATE, DELETE and REPLACE fail. WAL; synchronous=FULL; secure_delete, for keys.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from eventsourcing.persistence import IntegrityError, OperationalError

from registry.errors import Unavailable
from registry.log.changes import MOVED, Changes, ClaimTaken, Outcome, Overtaken, independent, moved, together
from registry.log.recorder import CLAIMED, OR_NOBODY, VERSION, ClaimedRow, LogRecorder
from registry.log.scattered import SCATTERED
from registry.sqlitefile import BUSY_SECONDS, objects, objects_of, switch_to_wal

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stored_events (
  originator_id TEXT, originator_version INTEGER, topic TEXT, state BLOB,
  PRIMARY KEY (originator_id, originator_version));
CREATE TABLE IF NOT EXISTS claims (
  scope TEXT NOT NULL, key TEXT NOT NULL, stream TEXT NOT NULL, PRIMARY KEY (scope, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS data_keys (holder TEXT NOT NULL PRIMARY KEY, wrapped BLOB NOT NULL) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS stored_events_no_update BEFORE UPDATE ON stored_events
  BEGIN SELECT RAISE(ABORT, 'stored events are append-only'); END;
CREATE TRIGGER IF NOT EXISTS stored_events_no_delete BEFORE DELETE ON stored_events
  BEGIN SELECT RAISE(ABORT, 'stored events are append-only'); END;
CREATE TRIGGER IF NOT EXISTS stored_events_no_replace BEFORE INSERT ON stored_events
  WHEN EXISTS (SELECT 1 FROM stored_events WHERE rowid=NEW.rowid
    OR (originator_id=NEW.originator_id AND originator_version=NEW.originator_version))
  BEGIN SELECT RAISE(ABORT, 'stored events are append-only'); END;
"""
# Without the row for nobody there is no join and no sort: 10 us instead of 12.
_CLAIMED, _CLAIMED_OR_NOBODY = (
    CLAIMED.format(number="?", held=held, key="?", order="originator_version")
    for held in ("stored_events WHERE originator_id", "(SELECT 1)" + OR_NOBODY)
)
_HOLDER = "json_extract(CAST(state AS TEXT), '$.fact.holder')"
_STAGING = """
CREATE TEMP TABLE staged_events (
  originator_id TEXT, originator_version INTEGER, topic TEXT, state BLOB,
  PRIMARY KEY (originator_id, originator_version));
CREATE TEMP TABLE staged_claims (
  scope TEXT NOT NULL, key TEXT NOT NULL, stream TEXT NOT NULL, PRIMARY KEY (scope, key)) WITHOUT ROWID;
CREATE TEMP TABLE staged_scattered (scope TEXT NOT NULL, key TEXT NOT NULL, stream TEXT NOT NULL);
CREATE TEMP TABLE staged_keys (holder TEXT NOT NULL PRIMARY KEY, wrapped BLOB NOT NULL) WITHOUT ROWID;
"""
_CLAIM_STAGED = """
INSERT INTO claims
SELECT * FROM (SELECT * FROM staged_claims UNION ALL SELECT * FROM staged_scattered) ORDER BY scope, key
"""


class SqliteRecorder(LogRecorder):
    """The log in one file. The position of an event is its row number."""

    def __init__(self, path: Path) -> None:
        self.path = self.place = path
        self._local = threading.local()

    def create_table(self) -> None:
        """Create the tables and triggers once. Refuse a file that a newer version has written."""
        with self._errors(), self.connection as c:
            found = c.execute("PRAGMA user_version").fetchone()[0]
            if found > SCHEMA_VERSION:
                raise Unavailable(f"the store has schema {found}, this program knows {SCHEMA_VERSION}", fix="升级程序")
            if found < SCHEMA_VERSION:
                c.executescript(_SCHEMA)
                c.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    # connections

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = self._connect()
        return found

    def _connect(self) -> sqlite3.Connection:
        with self._errors():
            c = sqlite3.connect(
                self.path,
                isolation_level=None,
                timeout=BUSY_SECONDS,
                cached_statements=256,
                check_same_thread=False,  # `shared` goes from thread to thread, one at a time
            )
            switch_to_wal(c)
            for pragma in ("synchronous=FULL", "secure_delete=ON", "cache_size=-32768"):
                c.execute(f"PRAGMA {pragma}")
        return c

    def close(self) -> None:
        """Close this thread's connection."""
        if getattr(self._local, "connection", None) is not None:
            self._local.connection.close()
            self._local.connection = None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise _translated(error) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._errors():
            c = self.connection
            c.execute("BEGIN IMMEDIATE")
            try:
                yield c
                c.execute("COMMIT")
            except BaseException:
                if c.in_transaction:
                    c.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read several things as of one moment. May be nested; the outer one counts."""
        c = self.connection
        if c.in_transaction:
            yield
            return
        c.execute("BEGIN")
        try:
            yield
        finally:
            c.execute("COMMIT")

    @property
    def in_snapshot(self) -> bool:
        """Whether this thread reads as of a fixed moment."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        return found is not None and found.in_transaction

    def newest(self) -> int:
        """The position of the newest event now, also from within a snapshot that does not see it."""
        with closing(self._connect()) as c:
            return int(c.execute("SELECT max(rowid) FROM stored_events").fetchone()[0] or 0)

    def fold_in(self) -> bool:
        """Fold the write-ahead log into the file and leave it empty, so that nothing destroyed stays in it.

        False: another connection is reading an older state; it must be done again.
        """
        return not self._select("PRAGMA wal_checkpoint(TRUNCATE)", ())[0][0]

    # writing

    def append(self, changes: Changes) -> range:
        """Append in one transaction; see LogRecorder."""
        with self._writing() as c:
            return _append(c, changes)

    def insert_batch(self, batch: Sequence[Changes]) -> list[Outcome]:
        """Append several writes in one transaction: all at once, or else each under a savepoint; see LogRecorder."""
        if independent(batch):
            try:
                return self._at_once(batch)
            except IntegrityError:
                pass
        with self._writing() as c:
            return [_try(c, changes) for changes in batch]

    def _at_once(self, batch: Sequence[Changes]) -> list[Outcome]:
        with self._writing() as c:
            for rests in {changes.rests for changes in batch}:
                _require_unchanged(c, (), None, rests)
            at = _append(c, together(batch)).start
        outcomes: list[Outcome] = []
        for changes in batch:
            outcomes.append(range(at, at := at + len(changes.events)))
        return outcomes

    def stage(self, changes: Changes) -> None:
        """Lay changes by in temporary tables of this connection; see LogRecorder."""
        if changes.released or changes.destroyed or changes.head is not None:
            raise ValueError("a staged write cannot release claims, destroy keys or rest on the head")
        with self._errors():
            c = self.connection
            if not self.staging:
                c.executescript(_STAGING)
                self._local.staging = True
            c.execute("BEGIN")
            c.executemany(
                "INSERT INTO staged_events VALUES (?,?,?,?)",
                [(e.originator_id, e.originator_version, e.topic, e.state) for e in changes.events],
            )
            for table, scattered in (("staged_claims", False), ("staged_scattered", True)):
                rows = [one for one in changes.taken if (one[0] in SCATTERED) is scattered]
                c.executemany(f"INSERT INTO {table} VALUES (?,?,?)", rows)
            c.executemany("INSERT INTO staged_keys VALUES (?,?)", changes.data_keys)
            c.execute("COMMIT")

    @property
    def staging(self) -> bool:
        """Whether this connection has something staged; then its reads see that too."""
        return getattr(self._local, "staging", False)

    def insert_staged(self, relied: Sequence[str] = (), rests: tuple[str, int] | None = None) -> range:
        """Append everything staged, in one short transaction; see LogRecorder."""
        with self._writing() as c:
            count = c.execute("SELECT count(*) FROM staged_events").fetchone()[0]
            c.execute("INSERT INTO stored_events SELECT * FROM staged_events ORDER BY rowid")
            last = c.execute("SELECT last_insert_rowid()").fetchone()[0]
            c.execute(_CLAIM_STAGED)
            c.execute("INSERT INTO data_keys SELECT * FROM staged_keys ORDER BY holder")
            _require_unchanged(c, relied, None, rests)  # those that were laid by are in by now
        return range(last - count + 1, last + 1)

    def drop_staged(self) -> None:
        """Forget what was staged."""
        self.close()  # the temporary file goes with the connection; to empty its tables takes seconds
        self._local.staging = False

    def lead(self, name: str) -> "_FileLead | None":
        """Become the only process that does this: a lock on a file beside the store, which ends with the process."""
        descriptor = os.open(self.path.with_name(f".{name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return _FileLead(descriptor)

    # reading

    def rows_claimed(self, scope: str, keys: Sequence[str]) -> list[ClaimedRow]:
        """A statement a key, which costs what it takes to run it; see LogRecorder."""
        return [row for number, key in enumerate(keys, 1) for row in self._claimed(number, scope, key)]

    def _claimed(self, number: int, scope: str, key: str) -> list[ClaimedRow]:
        """The rows of one key. If nobody holds it, it is asked anew: that and the head must be of one moment."""
        asked = (number, scope, key)
        return self._select(_CLAIMED, asked) or self._select(_CLAIMED_OR_NOBODY, asked)

    def _select(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        try:
            return self.connection.execute(_sql(statement), parameters).fetchall()
        except UnicodeEncodeError:
            return []
        except sqlite3.DatabaseError as error:
            raise _unreadable(error) from error

    def _stream(self, statement: str, parameters: Sequence[Any]) -> Iterator[Any]:
        try:
            yield from self.connection.cursor().execute(_sql(statement), parameters)
        except sqlite3.DatabaseError as error:
            raise _unreadable(error) from error


class _FileLead:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def held(self) -> bool:
        """A lock on an open file is not lost."""
        return self._descriptor >= 0

    def release(self) -> None:
        """Close the file."""
        if self.held():
            os.close(self._descriptor)
            self._descriptor = -1


def whole(path: Path) -> tuple[str, str]:
    """Let SQLite check its file. Raise Unavailable if it is damaged or not there."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as c:
            said = c.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise _unreadable(error) from error
    if said != "ok":
        raise Unavailable(f"{path}: {said}", fix="从备份恢复")
    return f"{path.name}, {path.stat().st_size:,} bytes, whole", ""


def lacking(path: Path) -> list[str]:
    """The tables and triggers of a log that this file does not have as they are made here."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as c:
        return sorted(name for name, _ in objects_of(_SCHEMA) - objects(c))


@cache
def _sql(statement: str) -> str:
    return statement.replace("POSITION", "rowid").replace("HOLDER", _HOLDER)


_ALSO = (
    "DELETE FROM claims WHERE scope=? AND key=? AND stream=?",
    "INSERT INTO claims VALUES (?,?,?)",
    "INSERT INTO data_keys VALUES (?,?)",
    "DELETE FROM data_keys WHERE holder=?",
)


def _append(c: sqlite3.Connection, changes: Changes) -> range:
    rows = [(e.originator_id, e.originator_version, e.topic, e.state) for e in changes.events]
    _require_unchanged(c, changes.relied, changes.head, changes.rests)
    c.executemany("INSERT INTO stored_events VALUES (?,?,?,?)", rows)
    last = c.execute("SELECT last_insert_rowid()").fetchone()[0]
    also = (changes.released, changes.taken, changes.data_keys, changes.destroyed)
    for statement, values in zip(_ALSO, also, strict=True):
        if values:
            c.executemany(statement, values)
    return range(last - len(rows) + 1, last + 1)


def _try(c: sqlite3.Connection, changes: Changes) -> Outcome:
    c.execute("SAVEPOINT one")
    try:
        found = _append(c, changes)
    except (sqlite3.IntegrityError, Overtaken) as error:
        c.execute("ROLLBACK TO one")
        return _translated(error) if isinstance(error, sqlite3.DatabaseError) else error
    finally:
        if c.in_transaction:  # an error of the disk has ended it already
            c.execute("RELEASE one")
    return found


def _require_unchanged(
    c: sqlite3.Connection, relied: Sequence[str], head: int | None, rests: tuple[str, int] | None
) -> None:
    for holder in relied:
        if c.execute("SELECT 1 FROM data_keys WHERE holder=?", (holder,)).fetchone() is None:
            raise Overtaken(f"the data key of {holder} was destroyed meanwhile")
    if head is not None and head != (c.execute("SELECT max(rowid) FROM stored_events").fetchone()[0] or 0):
        raise Overtaken("another writer came between")
    if rests is not None and rests[1] != (c.execute(VERSION, rests[:1]).fetchone()[0] or 0):
        raise Overtaken(f"{rests[0]} has moved on")


def _unreadable(error: sqlite3.DatabaseError) -> Unavailable:
    """Reading failed: busy, damaged or gone. Never an error of a library."""
    return Unavailable(f"the log could not be read: {error}", fix="稍后再试；仍不行的运行 doctor，必要时从备份恢复")


def _translated(error: sqlite3.DatabaseError) -> Exception:
    """The library's error for SQLite's; damage is Unavailable, and so is a store that was moved away."""
    if MOVED in str(error):
        return moved(str(error))
    if isinstance(error, sqlite3.IntegrityError):
        return (ClaimTaken if "claims" in str(error) else IntegrityError)(str(error))
    if isinstance(error, sqlite3.OperationalError):
        return OperationalError(str(error))
    return Unavailable(f"the store cannot be read: {error}", fix="运行 doctor；必要时从备份恢复")
