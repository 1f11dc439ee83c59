"""PostgreSQL: one schema per registry, many machines, one writer at a time by an advisory lock.

Each thread has one connection. A write is one call of one function (postgres.sql), one round trip; lists come in by
COPY through temporary tables. The service acts as the role `title_registry_service`, which may read and call the two
appending functions, and nothing else: it can neither change nor delete an event. Whether a write whose connection
broke was committed is looked up, never guessed.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from itertools import count
from typing import Any
from zlib import crc32

import psycopg
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8

from registry.errors import Unavailable
from registry.log.changes import Changes, Claim, Outcome, Overtaken, Seen, can_be_held, independent, together
from registry.log.pgserver import KEY, Connection, checked, connect, create, translated, unreadable
from registry.log.recorder import CLAIMED, OR_NOBODY, ClaimedRow, LogRecorder
from registry.log.scattered import SCATTERED

RESOLVE_SECONDS = 45  # longer than a fail-over takes
LISTEN_SECONDS = 1.0  # a notification can be missed, so the head is looked at as well
FETCH = 5_000  # rows

_APPEND = f"SELECT append({', '.join(['%b'] * 17)})"
_APPEND_STAGED = "SELECT append_staged(%b, %b, %b)"
_CLAIMED = CLAIMED.format(
    number="number",
    held="unnest(?::text[]) WITH ORDINALITY AS wanted(key, number)" + OR_NOBODY,
    key="wanted.key",
    order="number, originator_version",
)
# As below: of many keys, each by the index.
_LOOK = """
SELECT scope, key, (SELECT stream FROM claims WHERE claims.scope=one.scope AND claims.key=one.key), 0::bigint
FROM unnest(?::text[], ?::text[]) AS one(scope, key)
UNION ALL SELECT NULL, NULL, stream,
  coalesce((SELECT max(originator_version) FROM stored_events WHERE originator_id=stream), 0)
FROM unnest(?::text[]) AS two(stream)
"""
_HOLDER = "(convert_from(state, 'UTF8')::json->'fact'->>'holder')"
_STAGING = """
CREATE TEMP TABLE staged_events (
  position bigint PRIMARY KEY, originator_id text COLLATE "C" NOT NULL, originator_version bigint NOT NULL,
  topic text COLLATE "C" NOT NULL, state bytea NOT NULL, UNIQUE (originator_id, originator_version));
CREATE TEMP TABLE staged_claims (
  scope text COLLATE "C", key text COLLATE "C", stream text NOT NULL, PRIMARY KEY (scope, key));
CREATE TEMP TABLE staged_scattered (scope text COLLATE "C", key text COLLATE "C", stream text NOT NULL);
CREATE TEMP TABLE staged_keys (holder text COLLATE "C" PRIMARY KEY, wrapped bytea NOT NULL);
"""
_STAGED = ("staged_events", "staged_claims", "staged_scattered", "staged_keys")
# Goes through the write-ahead log, so that its commit waits for the synchronous standby, if there is one.
_MARK = "SELECT pg_logical_emit_message(true, 'title-registry', 'mark')"
_OWNER = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'stored_events'::regclass"
_MOMENT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresRecorder(LogRecorder):
    """The log in a schema of a PostgreSQL database, the first one on the search path of the address."""

    def __init__(self, url: str) -> None:
        self.url = self.place = checked(url)
        self._local = threading.local()

    def create_table(self) -> None:
        """Make the tables once; see `pgserver.create`."""
        create(self.url)

    # connections

    @property
    def connection(self) -> Connection:
        """This thread's connection, opened again if it was lost. Raise Unavailable if what was staged went with it."""
        found: Connection | None = getattr(self._local, "connection", None)
        if found is None or found.closed:
            if self.staging:
                raise Unavailable("连接中断，名单没有登记", fix="重新导入")
            found = self._local.connection = self._open()
        return found

    def _open(self) -> Connection:
        return connect(self.url)

    def close(self) -> None:
        """Close what this thread has open."""
        for name in ("connection", "listening"):
            if getattr(self._local, name, None) is not None:
                getattr(self._local, name).close()
                setattr(self._local, name, None)
        self._local.staged = None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read several things as of one moment. May be nested; the outer one counts."""
        if self.in_snapshot:
            yield
            return
        self._execute(_MOMENT, ())
        c = self.connection
        try:
            yield
        finally:
            with suppress(psycopg.OperationalError):  # it was lost; what was read before stands
                c.execute("ROLLBACK")

    @property
    def in_snapshot(self) -> bool:
        """Whether this thread reads as of a fixed moment."""
        found: Connection | None = getattr(self._local, "connection", None)
        return found is not None and found.pgconn.transaction_status > TransactionStatus.ACTIVE

    def newest(self) -> int:
        """The position of the newest event now, also from within a snapshot that does not see it."""
        with closing(connect(self.url)) as c:
            return _number(c, "SELECT coalesce(max(position), 0) FROM stored_events", ())

    def fold_in(self) -> bool:
        """Nothing to do here: dead rows are the server's to clean, its write-ahead log expires with the backups."""
        return True

    # writing

    def append(self, changes: Changes) -> range:
        """Append in one round trip; see LogRecorder."""
        rests = [changes.rests] if changes.rests else []
        return self._commit(_APPEND, _values(changes, rests), changes.events[0], len(changes.events))

    def insert_batch(self, batch: Sequence[Changes]) -> list[Outcome]:
        """Append several writes in one call, or else each by itself; see LogRecorder."""
        if independent(batch):
            one, rests = together(batch), [changes.rests for changes in batch if changes.rests]
            with suppress(IntegrityError):
                at = self._commit(_APPEND, _values(one, rests), one.events[0], len(one.events)).start
                return [range(at, at := at + len(changes.events)) for changes in batch]
        return [self._try(changes) for changes in batch]

    def _try(self, changes: Changes) -> Outcome:
        try:
            return self.append(changes)
        except (IntegrityError, OperationalError, Unavailable) as error:
            return error

    def _commit(self, statement: str, values: Sequence[Any], first: StoredEvent, events: int) -> range:
        """Append; a commit whose answer was lost is looked up by the first event, which no other write can have."""
        c = self.connection
        c.warned = False
        try:
            head = _number(c, statement, values)
            if c.warned:  # somebody ended the wait for the standby: it is committed here, and perhaps nowhere else
                head = self._look_up(first)
        except psycopg.OperationalError as error:
            if not c.closed:
                raise translated(error) from error
            head = self._look_up(first)
        except psycopg.Error as error:
            if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
                c.close()  # it leads no more; the next attempt finds the one that does
                raise Overtaken("another server leads now") from error
            raise translated(error) from error
        return range(head + 1, head + events + 1)

    def _look_up(self, first: StoredEvent) -> int:
        """Find a write whose connection broke: return the head before it, or raise Overtaken if it is not there.

        The state holds the id of its command and is compared whole. Raise Unavailable if no server answers in time.
        """
        deadline = time.monotonic() + RESOLVE_SECONDS
        while True:
            try:
                position = _position_of(self.url, first)
                break
            except (Unavailable, psycopg.OperationalError) as error:
                if time.monotonic() > deadline:
                    fix = "用同样的内容再做一次：同一操作不会登记两次"
                    raise Unavailable("提交时连接中断，还不能确定是否已登记", fix=fix) from error
                time.sleep(0.2)
        if position is None:
            raise Overtaken("the connection broke before the commit")
        return position - 1

    def stage(self, changes: Changes) -> None:
        """Lay changes by in temporary tables of this connection; see LogRecorder."""
        if changes.released or changes.destroyed or changes.head is not None:
            raise ValueError("a staged write cannot release claims, destroy keys or rest on the head")
        c = self.connection
        try:
            if not self.staging:
                self._begin_staging(c, changes.events[0])
            numbers = self._local.numbers
            events = ((next(numbers), e.originator_id, e.originator_version, e.topic, e.state) for e in changes.events)
            with c.transaction():
                _copy(c, "staged_events", ("int8", "text", "int8", "text", "bytea"), events)
                for table, scattered in (("staged_claims", False), ("staged_scattered", True)):
                    rows = (one for one in changes.taken if (one[0] in SCATTERED) is scattered)
                    _copy(c, table, ("text", "text", "text"), rows)
                _copy(c, "staged_keys", ("text", "bytea"), changes.data_keys)
        except psycopg.Error as error:
            raise translated(error) from error

    def _begin_staging(self, c: Connection, first: StoredEvent) -> None:
        owner = sql.Identifier(c.execute(_OWNER).fetchall()[0][0])
        with c.transaction():
            c.execute(_STAGING, prepare=False)
            c.execute(
                sql.SQL("GRANT SELECT ON staged_events, staged_claims, staged_scattered, staged_keys TO {}").format(
                    owner
                )
            )
        self._local.staged, self._local.numbers = first, count(1)

    @property
    def staging(self) -> bool:
        """Whether this connection has something staged; then its reads see that too."""
        return getattr(self._local, "staged", None) is not None

    def insert_staged(self, relied: Sequence[str] = (), rests: tuple[str, int] | None = None) -> range:
        """Append everything staged, in one transaction; see LogRecorder."""
        resting = ([rests[0]], [Int8(rests[1])]) if rests else ([], [])
        events = next(self._local.numbers) - 1
        return self._commit(_APPEND_STAGED, ([*relied], *resting), self._local.staged, events)

    def drop_staged(self) -> None:
        """Forget what was staged. A connection that was lost has nothing staged."""
        c, self._local.staged = self._local.connection, None
        with suppress(psycopg.OperationalError):
            c.execute(f"DROP TABLE IF EXISTS {', '.join(f'pg_temp.{table}' for table in _STAGED)}")

    def secure(self) -> None:
        """Wait for the synchronous standby: a server that recovered in place may show what no standby has yet.

        Raise Unavailable if somebody ended the wait.
        """
        c = self.connection
        c.warned = False
        try:
            c.execute(_MARK)
        except psycopg.Error as error:
            raise unreadable(error) from error
        _require_waited(c)

    # one of many

    def lead(self, name: str) -> "_SessionLead | None":
        """Become the only process that does this: an advisory lock of a connection, which ends with the process."""
        c = connect(self.url)
        key = Int8(crc32(name.encode()) >> 1)
        try:
            got = c.execute(f"SELECT pg_try_advisory_lock(%s::int, ({KEY} %% 2147483647)::int)", (key,)).fetchall()
        except psycopg.Error as error:
            c.close()
            raise unreadable(error) from error
        if got[0][0]:
            return _SessionLead(c)
        c.close()
        return None

    def wait(self, after: int, seconds: float) -> int:
        """Wait until the head is beyond that position or the time is up; return the head."""
        deadline = time.monotonic() + seconds
        try:
            c = self._listening()
            while (head := self.max_notification_id()) <= after and (left := deadline - time.monotonic()) > 0:
                for _ in c.notifies(timeout=min(left, LISTEN_SECONDS), stop_after=1):
                    pass
        except psycopg.Error as error:
            raise unreadable(error) from error
        return head

    def _listening(self) -> Connection:
        c: Connection | None = getattr(self._local, "listening", None)
        if c is None or c.closed:
            c = self._local.listening = connect(self.url)
            table = _number(c, f"SELECT {KEY}", ())
            c.execute(sql.SQL("LISTEN {}").format(sql.Identifier(f"title_registry_{table}")))
        return c

    # reading

    def rows_claimed(self, scope: str, keys: Sequence[str]) -> list[ClaimedRow]:
        """All keys in one round trip; see LogRecorder."""
        return self._select(_CLAIMED, ([*keys], scope))

    def look(self, claims: Sequence[Claim], streams: Sequence[str]) -> Seen:
        """All in one round trip; see LogRecorder."""
        if self.staging:
            return super().look(claims, streams)
        asked = [claim for claim in claims if can_be_held(claim.key)]
        rows = self._select(_LOOK, ([one.scope for one in asked], [one.key for one in asked], [*streams]))
        holders: dict[Claim, str | None] = dict.fromkeys(claims)
        holders.update((Claim(scope, key), stream) for scope, key, stream, _ in rows if scope is not None)
        return Seen(holders, {stream: version for scope, _, stream, version in rows if scope is None})

    def _execute(self, statement: str, parameters: Sequence[Any]) -> "psycopg.Cursor[tuple[Any, ...]]":
        """Run a reading statement; once more on a new connection if this one was found broken."""
        c, within = self.connection, self.in_snapshot
        try:
            return c.cursor(binary=True).execute(_sql(statement), parameters)
        except psycopg.DataError:
            raise
        except psycopg.Error as error:
            if within or not c.closed:
                raise unreadable(error) from error
        try:
            return self.connection.cursor(binary=True).execute(_sql(statement), parameters)
        except psycopg.Error as error:
            raise unreadable(error) from error

    def _select(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        try:
            return self._execute(statement, parameters).fetchall()
        except (UnicodeEncodeError, psycopg.DataError):
            return []

    def _stream(self, statement: str, parameters: Sequence[Any]) -> Iterator[Any]:
        try:
            if self.in_snapshot:
                yield from _fetch(self.connection, statement, parameters)
                return
            with closing(connect(self.url)) as c:  # of its own: the thread goes on reading and writing meanwhile
                c.execute(_MOMENT)
                yield from _fetch(c, statement, parameters)
        except psycopg.Error as error:
            raise unreadable(error) from error


class _SessionLead:
    def __init__(self, c: Connection) -> None:
        self._c = c

    def held(self) -> bool:
        """Ask the server: the lock went with a connection that was lost."""
        try:
            self._c.execute("SELECT 1")
        except psycopg.Error:
            self._c.close()
        return not self._c.closed

    def release(self) -> None:
        """Close the connection."""
        self._c.close()


def _fetch(c: Connection, statement: str, parameters: Sequence[Any]) -> Iterator[Any]:
    with c.cursor(name=f"rows_{next(_cursors)}", binary=True) as cursor:
        cursor.itersize = FETCH
        yield from cursor.execute(_sql(statement), parameters)


_cursors = count()


def _position_of(url: str, event: StoredEvent) -> int | None:
    """Where exactly this event is in the log.

    The lock waits for a server process that may still be at it. What is found must also be where the others are.
    """
    where = "originator_id=%s AND originator_version=%s AND state=%s"
    with closing(connect(url, role="none")) as c, c.transaction():
        c.execute(f"SELECT pg_advisory_xact_lock({KEY})")
        asked = event.originator_id, event.originator_version, event.state
        rows = c.execute(f"SELECT position FROM stored_events WHERE {where}", asked).fetchall()
        c.execute(_MARK)
    _require_waited(c)
    return int(rows[0][0]) if rows else None


def _require_waited(c: Connection) -> None:
    if c.warned:
        raise Unavailable("等待同步备库时被中断", fix="稍后再试；检查备库是否在线")


def _values(changes: Changes, rests: Sequence[tuple[str, int]]) -> list[Any]:
    """The arguments of the appending function, an array a column."""
    events = changes.events
    return [
        [str(e.originator_id) for e in events],
        [Int8(e.originator_version) for e in events],
        [e.topic for e in events],
        [e.state for e in events],
        *_columns(changes.taken, 3),
        *_columns(changes.released, 3),
        *_columns(changes.data_keys, 2),
        [holder for (holder,) in changes.destroyed],
        [*changes.relied],
        [stream for stream, _ in rests],
        [Int8(version) for _, version in rests],
        None if changes.head is None else Int8(changes.head),
    ]


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[column] for row in rows] for column in range(width)]


def _copy(c: Connection, table: str, types: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    with c.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _number(c: Connection, statement: str, parameters: Sequence[Any]) -> int:
    with c.cursor(binary=True) as cursor:
        return int(cursor.execute(statement, parameters).fetchall()[0][0])


@cache
def _sql(statement: str) -> str:
    return statement.replace("POSITION", "position").replace("HOLDER", _HOLDER).replace("?", "%s")
