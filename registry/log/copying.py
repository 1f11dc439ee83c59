"""Copy a log into an empty store of either engine: the same positions, bytes, claims and data keys, in flat memory.

A store that is copied from or into is held: nobody else writes to it, and a file nobody else even reads. A copy is one
transaction, read back and compared before it is committed: it is there as a whole or not at all. A store that was left
for another one takes no event any more: a trigger refuses it, also to a program that had it open all the time.
"""

import sqlite3
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple, cast

import psycopg
from eventsourcing.persistence import IntegrityError, OperationalError

from registry.errors import CorruptHistory, Refused, Unavailable
from registry.log import pgserver, sqlite
from registry.log.changes import MOVED
from registry.log.engine import Place
from registry.log.postgres import PostgresRecorder
from registry.log.recorder import FAR_AHEAD, LogRecorder
from registry.log.sqlite import SqliteRecorder

_COLUMNS = {
    "stored_events": ("int8", "text", "int8", "text", "bytea"),
    "claims": ("text", "text", "text"),
    "data_keys": ("text", "bytea"),
}
Rows = Generator[tuple[Any, ...], None, None]
# Each is read to its end or closed: a file with an open statement would stay locked.
_READ: Mapping[str, Callable[[LogRecorder], Rows]] = {
    "stored_events": lambda store: cast("Rows", store.rows_by_position(0, FAR_AHEAD)),
    "claims": lambda store: cast("Rows", store.claims()),
    "data_keys": lambda store: cast("Rows", store.data_keys()),
}
# A session of this registry says so in its name; see pgserver.
_OTHERS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND application_name = left('title-registry ' || current_schema(), 63)
"""
_LEAVING = 20  # times 0.1 s: a session that was just closed is seen a moment longer


class Copied(NamedTuple):
    """How much a copy holds. `found`: it was there already, from a run that was interrupted after its commit."""

    events: int
    claims: int
    data_keys: int
    found: bool


class HeldFile(SqliteRecorder):
    """A file of SQLite that no other connection can open while this one is open."""

    def _connect(self) -> sqlite3.Connection:
        c = sqlite3.connect(self.path, isolation_level=None, timeout=1)
        try:
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "cache_size=-65536"):
                c.execute(f"PRAGMA {pragma}")
        except sqlite3.DatabaseError as error:
            c.close()
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise in_use(self.path) from error
            raise Unavailable(f"{self.path.name} 不能读取：{error}", fix="运行 title-registry doctor") from error
        return c

    def schema(self) -> int:
        """The version of its tables; 0 where there are none."""
        return int(self._select("PRAGMA user_version", ())[0][0])

    def begin(self) -> None:
        """Begin the transaction."""
        with self._errors():
            self.connection.execute("BEGIN IMMEDIATE")

    def write(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Write rows as they are, positions included."""
        columns = "(rowid, originator_id, originator_version, topic, state)" if table == "stored_events" else ""
        with self._errors():
            self.connection.executemany(
                f"INSERT INTO {table} {columns} VALUES ({','.join('?' * len(_COLUMNS[table]))})", rows
            )

    def leave(self, where: str) -> None:
        """Take no event any more, from the commit on."""
        words = f"{MOVED}: {where}".replace("'", "''")
        self.stay()
        with self._errors():
            self.connection.execute(
                f"CREATE TRIGGER moved BEFORE INSERT ON stored_events BEGIN SELECT RAISE(ABORT, '{words}'); END"
            )

    def stay(self) -> None:
        """Take events again."""
        with self._errors():
            self.connection.execute("DROP TRIGGER IF EXISTS moved")

    def commit(self) -> None:
        """Make it last, in one file that needs no other; nobody can open it before it is closed."""
        with self._errors():
            self.connection.execute("COMMIT")
            self.connection.execute("PRAGMA journal_mode=DELETE")


class HeldServer(PostgresRecorder):
    """A schema of PostgreSQL, as its owner, in one transaction that keeps all other writers out."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._held: pgserver.Connection | None = None

    @property
    def connection(self) -> pgserver.Connection:
        """The one connection. Raise Unavailable if it was lost: what it held is held no longer."""
        if self._held is None:
            self._held = self._local.connection = pgserver.connect(self.url, role="none")
        if self._held.closed:
            raise Unavailable("与数据库的连接中断", fix="恢复连接后重新运行；没有切换")
        return self._held

    def schema(self) -> int:
        """The version of its tables; 0 where there are none."""
        if not self._select("SELECT to_regclass('schema_version') IS NOT NULL", ())[0][0]:
            return 0
        return int(self._select("SELECT version FROM schema_version", ())[0][0])

    def begin(self) -> None:
        """Begin the transaction; wait up to 10 s for a writer that is at it."""
        self._do("BEGIN")
        self._do(f"SELECT pg_advisory_xact_lock({pgserver.KEY})")
        self._do("LOCK TABLE stored_events, claims, data_keys IN EXCLUSIVE MODE")

    def write(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Write rows as they are, positions included."""
        with self._refusals(), self.connection.cursor() as cursor:
            with cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as out:
                out.set_types(_COLUMNS[table])
                for row in rows:
                    out.write_row(row)
            cursor.execute(f"ANALYZE {table}")

    def leave(self, where: str) -> None:
        """Take no event any more, from the commit on."""
        words = f"{MOVED}: {where}".replace("'", "''").replace("%", "%%").replace("$", "")
        self._do(
            "CREATE OR REPLACE FUNCTION moved() RETURNS trigger LANGUAGE plpgsql AS $moved$ BEGIN"
            f" RAISE EXCEPTION '{words}'; END $moved$"
        )
        self._do("CREATE OR REPLACE TRIGGER moved BEFORE INSERT ON stored_events EXECUTE FUNCTION moved()")

    def stay(self) -> None:
        """Take events again."""
        self._do("DROP TRIGGER IF EXISTS moved ON stored_events")

    def commit(self) -> None:
        """Make it last; other writers go on."""
        self._do("COMMIT")

    def require_alone(self) -> None:
        """Raise Refused while another program of this registry is connected."""
        for _ in range(_LEAVING):
            if not self._select(_OTHERS, ())[0][0]:
                return
            time.sleep(0.1)
        raise in_use(self.url)

    def _do(self, statement: str) -> None:
        with self._refusals():
            self.connection.execute(statement.encode(), prepare=False)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except psycopg.errors.LockNotAvailable as error:
            raise in_use(self.url) from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise Refused("这个数据库用户不是数据表的所有者", fix="用建立数据表的用户运行（PGUSER）") from error
        except psycopg.Error as error:
            raise pgserver.translated(error) from error


Held = HeldFile | HeldServer


@contextmanager
def held(place: Place, *, in_force: bool = False) -> Iterator[Held]:
    """Hold a store; what is not committed by the end never was. One that is `in_force` must be there, others are made.

    Raise Refused if somebody else has it open (of a server: one in force) or writes to it for more than 10 s,
    Unavailable if it cannot be opened or written to, or has another schema than this program's.
    """
    store = _at(place)
    try:
        if not _require_schema(store):
            if in_force:
                raise Unavailable(f"{place} 里没有登记库的数据", fix="核对 config.json 的 database；从备份恢复")
            store.create_table()
        if in_force and isinstance(store, HeldServer):
            store.require_alone()
        store.begin()
        yield store
    except (OperationalError, IntegrityError) as error:
        raise Unavailable(f"数据库没有接受：{error}", fix="检查磁盘和服务器后重新运行；没有切换") from error
    finally:
        store.close()  # and with it a transaction that was not committed


@contextmanager
def as_of_now(place: Place) -> Iterator[LogRecorder]:
    """Read a store that is there as of one moment, while others write. Raise Unavailable if it cannot be read."""
    store = SqliteRecorder(place) if isinstance(place, Path) else PostgresRecorder(place)
    with closing(store), store.snapshot():
        yield store


def events_at(place: Place) -> int:
    """How many events a store holds; 0 where there is none, and nothing is made. Raise Unavailable as `held` does."""
    if isinstance(place, Path) and not place.exists():
        return 0
    with closing(_at(place)) as store:
        return store.max_notification_id() if _require_schema(store) else 0


def _at(place: Place) -> Held:
    return HeldFile(place) if isinstance(place, Path) else HeldServer(place)


def _require_schema(store: Held) -> int:
    known = sqlite.SCHEMA_VERSION if isinstance(store, HeldFile) else pgserver.SCHEMA_VERSION
    found = store.schema()
    if found not in (0, known):
        raise Unavailable(f"数据库的格式是 {found}，本程序的是 {known}", fix="两边用同一版程序")
    return found


def copy(source: LogRecorder, target: Held) -> Copied:
    """Fill a held store that is empty with all that the source has, and compare; the caller commits.

    The source must not change meanwhile: held, or read as of one moment. A target that has the very same already is
    taken as it is. Raise Refused for one that holds anything else, CorruptHistory for a copy that is not the same.
    """
    found = any(_has_rows(read(target)) for read in _READ.values())
    for table, read in _READ.items():
        if not found:
            with closing(read(source)) as rows:
                target.write(table, rows)
    counts = dict[str, int]()
    for table, read in _READ.items():
        with closing(read(source)) as ones, closing(read(target)) as others:
            counts[table] = _count_same(table, ones, others, found=found)
    if found:
        target.stay()
    return Copied(counts["stored_events"], counts["claims"], counts["data_keys"], found)


def _has_rows(rows: Rows) -> bool:
    with closing(rows):
        return next(rows, None) is not None


def _count_same(table: str, ones: Rows, others: Rows, *, found: bool) -> int:
    number = 0
    for number, (one, other) in enumerate(zip_longest(ones, others), 1):
        if one == other:
            continue
        if found:
            raise Refused(
                "目标数据库不是空的，其中的内容与本库不同",
                fix="换一个空的模式（options=-csearch_path%3D名称）或文件；确知无用的，先移走或删除它",
            )
        raise CorruptHistory(f"副本与原库不同：{table} 第 {number} 行", fix="检查磁盘和服务器后重新运行；没有切换")
    return number


def in_use(place: Place) -> Refused:
    """The error of a store that somebody else has open."""
    where = place.parent if isinstance(place, Path) else place
    return Refused(f"有程序正在使用 {where}", fix="先停止服务和其他命令（systemctl stop title-registry），再重新运行")
