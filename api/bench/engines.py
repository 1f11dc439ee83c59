"""The two engines under a measurement: where a new registry keeps its log, and the floors that are the engine's own."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from api.bench.figures import seconds

TABLES = ("stored_events", "claims", "data_keys")
CHUNK = 20_000  # rows
ROW = ("stream", 1, "name/1", b"x" * 400)
"""The one row of a durable insert: about as large as an event."""


class Engine(Protocol):
    """One engine, for the time of a measurement."""

    name: str
    version: str

    def database(self, name: str) -> str:
        """The setting `database` of a new registry: where its log goes."""

    def durable_inserts(self, count: int) -> float:
        """Seconds of that many one-row inserts, each on the disk before the next."""

    def raw_insert(self, registry: Path, database: str) -> float:
        """Seconds to insert the rows of that registry's log into new tables of the same shape, in one transaction."""


class Sqlite:
    """SQLite: the file in the data folder."""

    name = "sqlite"
    version = f"SQLite {sqlite3.sqlite_version}"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def database(self, name: str) -> str:
        """Empty: the file."""
        return ""

    def durable_inserts(self, count: int) -> float:
        """Each its own transaction, synchronous=FULL."""
        (self._folder / "floor.db").unlink(missing_ok=True)
        with closing(_connect(self._folder / "floor.db")) as c:
            c.execute("CREATE TABLE t (a TEXT, b INTEGER, c TEXT, d BLOB)")
            return seconds(lambda: [c.execute("INSERT INTO t VALUES (?,?,?,?)", ROW) for _ in range(count)])

    def raw_insert(self, registry: Path, database: str) -> float:
        """The same tables and keys, without the triggers; only the inserts and the commit are timed."""
        into = self._folder / "raw.db"
        into.unlink(missing_ok=True)
        with closing(sqlite3.connect(registry / "registry.db")) as source, closing(_connect(into)) as c:
            for (statement,) in source.execute("SELECT sql FROM sqlite_master WHERE type='table'"):
                c.execute(statement)
            c.execute("BEGIN IMMEDIATE")
            took = sum(self._copy(source, c, table) for table in TABLES) + seconds(lambda: c.execute("COMMIT"))
        into.unlink()
        return took

    @staticmethod
    def _copy(source: sqlite3.Connection, into: sqlite3.Connection, table: str) -> float:
        took, cursor = 0.0, source.execute(f"SELECT * FROM {table}")
        while rows := cursor.fetchmany(CHUNK):
            statement = f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})"
            took += seconds(lambda: into.executemany(statement, rows))  # noqa: B023 - called at once
        return took


def _connect(path: Path) -> sqlite3.Connection:
    c = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536"):
        c.execute(f"PRAGMA {pragma}")
    return c


@contextmanager
def engine_of(name: str, folder: Path) -> Iterator[Engine]:
    """The engine of that name; a PostgreSQL server is started for it and ended afterwards.

    Raise Unavailable where there is no PostgreSQL server to start.
    """
    if name == "sqlite":
        yield Sqlite(folder)
        return
    from api.bench.postgres import Postgres

    with Postgres() as engine:
        yield engine
