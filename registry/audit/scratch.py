"""A temporary database for what must be sorted or joined and may be larger than memory. Only audits write SQL here.

SQLite keeps it in memory while it is small and on the disk when it grows; it goes when it is closed.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, Protocol

import msgspec

from registry.audit import laws
from registry.audit.layout import IDENTITY, Row
from registry.log.kind import Kind
from registry.log.log import Log
from registry.register import tables

BATCH = 2_000
Index = Callable[[str], str] | None
"""The blind index of an identity number."""

_SCHEMA = """
CREATE TABLE events (position INTEGER, stream TEXT, version INTEGER, name TEXT, state BLOB);
CREATE TABLE claims (scope TEXT, key TEXT, stream TEXT);
CREATE TABLE streams (stream TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE links (stream TEXT, target TEXT);
CREATE TABLE erased (stream TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class Sink(Protocol):
    """Takes what comes of the folded streams."""

    def put(self, stream: str, kind: Kind[Any], state: Any) -> None:
        """Take in a stream as it stands."""

    def put_erased(self, stream: str) -> None:
        """Note a holder whose data key is gone."""

    def flush(self) -> None:
        """There is no further stream."""


class _Waiting(NamedTuple):
    streams: list[tuple[str]]
    claims: list[tuple[str, str, str]]
    links: list[tuple[str, str]]


class Scratch:
    """Events to be sorted by stream; the claims, links and register rows that the folds give."""

    def __init__(self, index: Index = None) -> None:
        """`index` makes the claims of identity; without it they are left out."""
        self._index = index
        self._c = sqlite3.connect("", isolation_level=None)
        self._c.execute("PRAGMA journal_mode=OFF")
        self._c.executescript(_SCHEMA)
        tables.create(self._c)
        self._waiting, self._states = _Waiting([], [], []), list[tuple[str, Any]]()
        self._c.execute("BEGIN")

    def close(self) -> None:
        """Throw it away."""
        self._c.close()

    def put_events(self, rows: Iterable[Row]) -> None:
        """Lay events by."""
        self._c.executemany("INSERT INTO events VALUES (?,?,?,?,?)", rows)

    def events_by_stream(self) -> Iterator[Row]:
        """The events stream by stream, in order of version; equal versions in order of position."""
        yield from self._c.execute("SELECT * FROM events ORDER BY stream, version, position")

    def put(self, stream: str, kind: Kind[Any], state: Any) -> None:
        """Take in a stream: the claims and the register rows of its state, and the streams that it must find."""
        self._states.append((stream, state))
        self._waiting.claims.extend((scope, key, stream) for scope, key in kind.claims(state, self._index))
        self.put_stream(stream, laws.links(state))

    def put_stream(self, stream: str, links: Iterable[str]) -> None:
        """Note only that there is a stream, and the streams that it must find."""
        self._waiting.streams.append((stream,))
        self._waiting.links.extend((stream, target) for target in links)
        if len(self._waiting.streams) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered; before anything is read back."""
        waiting, self._waiting = self._waiting, _Waiting([], [], [])
        self._c.executemany("INSERT OR IGNORE INTO streams VALUES (?)", waiting.streams)
        self._c.executemany("INSERT INTO claims VALUES (?,?,?)", waiting.claims)
        self._c.executemany("INSERT INTO links VALUES (?,?)", waiting.links)
        tables.write(self._c, self._states, replace=False)
        self._states.clear()

    def put_erased(self, stream: str) -> None:
        """Note a holder whose data key is gone."""
        self._c.execute("INSERT OR IGNORE INTO erased VALUES (?)", (stream,))

    def erased(self, stream: str) -> bool:
        """Whether the holder's data key is gone."""
        return self._c.execute("SELECT 1 FROM erased WHERE stream=?", (stream,)).fetchone() is not None

    def scopes(self) -> set[str]:
        """The scopes of the rebuilt claims."""
        return {scope for (scope,) in self._c.execute("SELECT DISTINCT scope FROM claims")}

    def claims(self, scopes: Iterable[str]) -> Iterator[tuple[tuple[str, str], tuple[str], int]]:
        """The rebuilt claims in order: (scope, key), the stream, and how many streams hold it (1, or a conflict)."""
        statement = "SELECT key, min(stream), count(*) FROM claims WHERE scope=? GROUP BY key ORDER BY key"
        for scope in sorted(scopes):
            for key, stream, count in self._c.execute(statement, (scope,)):
                yield (scope, key), (stream,), count

    def count_claims(self, scopes: Iterable[str]) -> int:
        """How many rebuilt claims there are in these scopes."""
        return sum(self._c.execute("SELECT count(*) FROM claims WHERE scope=?", (one,)).fetchone()[0] for one in scopes)

    def missing_links(self) -> Iterator[tuple[str, str]]:
        """A stream and one that it names but that does not exist."""
        yield from self._c.execute(
            "SELECT stream, target FROM links WHERE target NOT IN (SELECT stream FROM streams) ORDER BY stream"
        )

    def rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        """The rebuilt rows of a table of the register, in order of their columns."""
        columns = ", ".join(tables.TABLES[table][0].__struct_fields__)
        yield from self._c.execute(f"SELECT {columns} FROM {table} ORDER BY {columns}")

    def values(self, table: str, columns: Iterable[str]) -> Iterator[Any]:
        """The same rows, in any order, and only these columns."""
        yield from self._c.execute(f"SELECT {', '.join(columns)} FROM {table}")

    def structs(self, table: str) -> Iterator[msgspec.Struct]:
        """The same rows as the register's own types."""
        kind = tables.TABLES[table][0]
        flags = [field.name for field in msgspec.structs.fields(kind) if field.type is bool]  # numbers in SQLite
        for row in self.rows(table):
            values = dict(zip(kind.__struct_fields__, row, strict=True))
            yield kind(**values | {flag: bool(values[flag]) for flag in flags})

    def count(self, table: str) -> int:
        """How many rows there are in a table of this database."""
        return int(self._c.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def batches(rows: Iterable[Any], size: int = BATCH) -> Iterator[list[Any]]:
    """Cut into lists of at most `size`."""
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        yield batch


def kept_claims(log: Log, *, identity: bool = True) -> Iterator[tuple[str, str, str]]:
    """The claims of the log, of whatever scope, in order of scope and key; without those of identity if so told."""
    for claim in log.recorder.claims():
        if identity or claim[0] != IDENTITY:
            yield claim
