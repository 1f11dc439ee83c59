"""The tables: stored events (append-only), claims (uniqueness), data keys (destroyable). One file, many processes.

Each thread has one connection. A write is one `BEGIN IMMEDIATE` transaction with one `executemany` per table. Events
are protected by triggers: UPDATE, DELETE and REPLACE fail. WAL; synchronous=FULL; secure_delete, for keys.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import IntegrityError, Notification, OperationalError, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from registry.errors import Unavailable

SCHEMA_VERSION = 1
BUSY_MS = 10_000

_SCHEMA = """
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
_STAGING = """
CREATE TEMP TABLE staged_events (
  originator_id TEXT, originator_version INTEGER, topic TEXT, state BLOB,
  PRIMARY KEY (originator_id, originator_version));
CREATE TEMP TABLE staged_claims (
  scope TEXT NOT NULL, key TEXT NOT NULL, stream TEXT NOT NULL, PRIMARY KEY (scope, key)) WITHOUT ROWID;
CREATE TEMP TABLE staged_keys (holder TEXT NOT NULL PRIMARY KEY, wrapped BLOB NOT NULL) WITHOUT ROWID;
"""


class Claim(NamedTuple):
    """A right to be the only one: (scope, key) belongs to one stream."""

    scope: str
    key: str


class ClaimTaken(IntegrityError):
    """Another stream holds a claim that this write needs."""


class Overtaken(IntegrityError):
    """Another writer came between, and what this write rests on may be so no longer."""


_STAGED = {"stored_events": "staged_events", "claims": "staged_claims", "data_keys": "staged_keys"}
# One statement is one moment: the events of the stream that holds a claim, each with the head of the log beside it.
_CLAIMED = """
SELECT (SELECT max(rowid) FROM stored_events), rowid, * FROM stored_events
WHERE originator_id=(SELECT stream FROM claims WHERE scope=? AND key=?) ORDER BY originator_version
"""
_VERSION = "SELECT max(originator_version) FROM stored_events WHERE originator_id=?"
_WITH = "SELECT DISTINCT originator_id FROM stored_events WHERE topic=?"


class Changes(NamedTuple):
    """What one write does, all of it or nothing: events, claims taken and released, data keys made and destroyed.

    It rests on the data keys in `relied`, which must still be there, on `head`, if it is one, being the newest, and on
    a stream, if one is named in `rests`, standing at that version.
    """

    events: Sequence[StoredEvent]
    taken: Sequence[tuple[str, str, str]] = ()
    released: Sequence[tuple[str, str, str]] = ()
    data_keys: Sequence[tuple[str, bytes]] = ()
    destroyed: Sequence[tuple[str]] = ()
    relied: Sequence[str] = ()
    head: int | None = None
    rests: tuple[str, int] | None = None


class LogRecorder(SQLiteApplicationRecorder):
    """The recorder of the event store, with claims and data keys in the same transaction as the events."""

    def __init__(self, path: Path) -> None:
        super().__init__(SQLiteDatastore(db_name=str(path), originator_id_type="text"))
        self.path = path
        self._local = threading.local()

    def create_table(self) -> None:
        """Create the tables and triggers once. Refuse a file that a newer version has written."""
        with self._errors(), self.connection as c:
            found = c.execute("PRAGMA user_version").fetchone()[0]
            if found > SCHEMA_VERSION:
                raise Unavailable(f"the store has schema {found}, this program knows {SCHEMA_VERSION}", fix="升级程序")
            if found < SCHEMA_VERSION:
                c.executescript(";".join(self.create_table_statements) + ";" + _SCHEMA)
                c.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = self._connect()
        return found

    def _connect(self) -> sqlite3.Connection:
        with self._errors():
            c = sqlite3.connect(self.path, isolation_level=None, timeout=BUSY_MS / 1000, cached_statements=256)
            c.execute("PRAGMA journal_mode=WAL")
            for pragma in ("synchronous=FULL", "secure_delete=ON", "cache_size=-65536", "mmap_size=268435456"):
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

    # writing

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Append events with their claims and data keys in one transaction; return their positions.

        Raise IntegrityError for a version that exists, ClaimTaken for a claim that another stream holds, Overtaken if
        what the write rests on is so no longer.
        """
        changes = Changes(stored_events, **kwargs)
        rows = [(e.originator_id, e.originator_version, e.topic, e.state) for e in changes.events]
        with self._writing() as c:
            _require_unchanged(c, changes.relied, changes.head, changes.rests)
            c.executemany(self.insert_events_statement, rows)
            last = c.execute("SELECT last_insert_rowid()").fetchone()[0]
            c.executemany("DELETE FROM claims WHERE scope=? AND key=? AND stream=?", changes.released)
            c.executemany("INSERT INTO claims VALUES (?,?,?)", changes.taken)
            c.executemany("INSERT INTO data_keys VALUES (?,?)", changes.data_keys)
            c.executemany("DELETE FROM data_keys WHERE holder=?", changes.destroyed)
        return range(last - len(rows) + 1, last + 1)

    def stage(self, changes: Changes) -> None:
        """Lay changes by in temporary tables of this connection, outside the log. Two equal claims: ClaimTaken."""
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
            c.executemany("INSERT INTO staged_claims VALUES (?,?,?)", changes.taken)
            c.executemany("INSERT INTO staged_keys VALUES (?,?)", changes.data_keys)
            c.execute("COMMIT")

    @property
    def staging(self) -> bool:
        """Whether this connection has something staged; then its reads see that too."""
        return getattr(self._local, "staging", False)

    def insert_staged(self, relied: Sequence[str] = (), rests: tuple[str, int] | None = None) -> range:
        """Append everything staged, in one short transaction; claims go in sorted. Return the positions.

        Raise Overtaken if what it rests on (see Changes) is no longer so.
        """
        with self._writing() as c:
            count = c.execute("SELECT count(*) FROM staged_events").fetchone()[0]
            c.execute("INSERT INTO stored_events SELECT * FROM staged_events ORDER BY rowid")
            last = c.execute("SELECT last_insert_rowid()").fetchone()[0]
            c.execute("INSERT INTO claims SELECT * FROM staged_claims ORDER BY scope, key")
            c.execute("INSERT INTO data_keys SELECT * FROM staged_keys ORDER BY holder")
            _require_unchanged(c, relied, None, rests)  # those that were laid by are in by now
        return range(last - count + 1, last + 1)

    def drop_staged(self) -> None:
        """Forget what was staged."""
        c = self.connection
        if c.in_transaction:
            c.execute("ROLLBACK")
        for table in ("staged_events", "staged_claims", "staged_keys"):
            c.execute(f"DROP TABLE IF EXISTS temp.{table}")
        self._local.staging = False

    # reading

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The events of one stream in order of version, each with its position in the log."""
        rows = self._both(
            "SELECT rowid, * FROM stored_events WHERE originator_id=? AND originator_version>?"
            f" AND originator_version<=? ORDER BY originator_version {'DESC' if desc else 'ASC'} LIMIT ?",
            (str(originator_id), gt or 0, 1 << 62 if lte is None else lte, -1 if limit is None else limit),
        )
        return [_notification(row) for row in rows]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Events in log order from a position on."""
        first = (start or 0) + (0 if inclusive_of_start else 1)
        named = f"AND topic IN ({','.join('?' * len(topics))})" if topics else ""
        rows = self._select(
            f"SELECT rowid, * FROM stored_events WHERE rowid>=? AND rowid<=? {named} ORDER BY rowid LIMIT ?",
            (first, 1 << 62 if stop is None else stop, *topics, limit),
        )
        return [_notification(row) for row in rows]

    def max_notification_id(self) -> int:
        """The position of the newest event; 0 for an empty log."""
        return int(self._select("SELECT max(rowid) FROM stored_events", ())[0][0] or 0)

    def newest(self) -> int:
        """The position of the newest event now, also from within a snapshot that does not see it."""
        with closing(self._connect()) as c:
            return int(c.execute("SELECT max(rowid) FROM stored_events").fetchone()[0] or 0)

    def rows_by_stream(self, up_to: int) -> Iterator[tuple[int, str, int, str, bytes]]:
        """All rows (position, stream, version, name, bytes) up to a position, stream by stream; flat memory."""
        yield from self._stream(
            "SELECT rowid, * FROM stored_events WHERE rowid<=? ORDER BY originator_id, originator_version", (up_to,)
        )

    def rows_by_position(self, after: int, up_to: int) -> Iterator[tuple[int, str, int, str, bytes]]:
        """All rows (position, stream, version, name, bytes) in log order between two positions; flat memory."""
        yield from self._stream(
            "SELECT rowid, * FROM stored_events WHERE rowid>? AND rowid<=? ORDER BY rowid", (after, up_to)
        )

    def claimed(self, claim: Claim) -> str | None:
        """The stream that holds a claim."""
        rows = self._both("SELECT stream FROM claims WHERE scope=? AND key=?", claim)
        return rows[0][0] if rows else None

    def rows_claimed(self, claim: Claim) -> list[tuple[int, int, str, int, str, bytes]]:
        """The stream that holds a claim: rows of the log's head, then position, stream, version, name, bytes."""
        return self._select(_CLAIMED, claim)

    def claims(self) -> Iterator[tuple[str, str, str]]:
        """All claims (scope, key, stream), of whatever scope, in order of scope and key; flat memory."""
        yield from self._stream("SELECT * FROM claims ORDER BY scope, key", ())

    def last_claim(self, scope: str, prefix: str) -> str | None:
        """The greatest key of a scope that begins with the prefix."""
        rows = self._both(
            "SELECT max(key) FROM claims WHERE scope=? AND key>=? AND key<?", (scope, prefix, prefix + "\U0010ffff")
        )
        return max((row[0] for row in rows if row[0]), default=None)

    def version(self, stream: str) -> int:
        """The newest version of a stream; 0 when there is none."""
        return int(self._select(_VERSION, (stream,))[0][0] or 0)

    def streams_of(self, prefix: str) -> list[str]:
        """The streams whose ids begin so, in order."""
        within = "SELECT DISTINCT originator_id FROM stored_events WHERE originator_id>=? AND originator_id<?"
        return [row[0] for row in self._select(f"{within} ORDER BY 1", (prefix, prefix + "\U0010ffff"))]

    def wrapped_key(self, holder: str) -> bytes | None:
        """The wrapped data key of a holder; None when it was destroyed or never existed."""
        rows = self._both("SELECT wrapped FROM data_keys WHERE holder=?", (holder,))
        return rows[0][0] if rows else None

    def streams_with(self, name: str) -> list[str]:
        """The streams that have an event of this stored name, in order; reads the whole log."""
        return [row[0] for row in self._select(f"{_WITH} ORDER BY 1", (name,))]

    def fold_in(self) -> bool:
        """Fold the write-ahead log into the file and leave it empty, so that nothing destroyed stays in it.

        False: another connection is reading an older state; it must be done again.
        """
        return not self._select("PRAGMA wal_checkpoint(TRUNCATE)", ())[0][0]

    def _both(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        """Select from the log, and then from what this connection has staged."""
        rows = self._select(statement, parameters)
        if self.staging:
            for table, staged in _STAGED.items():
                statement = statement.replace(f" FROM {table} ", f" FROM {staged} ")
            rows += self._select(statement, parameters)
        return rows

    def _select(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        try:
            return self.connection.execute(statement, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            raise _unreadable(error) from error

    def _stream(self, statement: str, parameters: Sequence[Any]) -> Iterator[Any]:
        try:
            yield from self.connection.cursor().execute(statement, parameters)
        except sqlite3.DatabaseError as error:
            raise _unreadable(error) from error


def _require_unchanged(
    c: sqlite3.Connection, relied: Sequence[str], head: int | None, rests: tuple[str, int] | None
) -> None:
    for holder in relied:
        if c.execute("SELECT 1 FROM data_keys WHERE holder=?", (holder,)).fetchone() is None:
            raise Overtaken(f"the data key of {holder} was destroyed meanwhile")
    if head is not None and head != (c.execute("SELECT max(rowid) FROM stored_events").fetchone()[0] or 0):
        raise Overtaken("another writer came between")
    if rests is not None and rests[1] != (c.execute(_VERSION, rests[:1]).fetchone()[0] or 0):
        raise Overtaken(f"{rests[0]} has moved on")


def _unreadable(error: sqlite3.DatabaseError) -> Unavailable:
    """Reading failed: busy, damaged or gone. Never an error of a library."""
    return Unavailable(f"the log could not be read: {error}", fix="稍后再试；仍不行的运行 doctor，必要时从备份恢复")


def _translated(error: sqlite3.DatabaseError) -> Exception:
    """The library's error for SQLite's; damage is Unavailable."""
    if isinstance(error, sqlite3.IntegrityError):
        return (ClaimTaken if "claims" in str(error) else IntegrityError)(str(error))
    if isinstance(error, sqlite3.OperationalError):
        return OperationalError(str(error))
    return Unavailable(f"the store cannot be read: {error}", fix="运行 doctor；必要时从备份恢复")


def _notification(row: tuple[Any, ...]) -> Notification:
    return Notification(row[1], row[2], row[3], row[4], row[0])
