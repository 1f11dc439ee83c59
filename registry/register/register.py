"""The current register: a projection that pulls from the log, in a file of its own that can be rebuilt at any time.

Every reading first catches up, so a reader sees what was recorded before it asked. A rebuild is made beside the live
file and takes its place in one rename.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from registry.log.log import Log
from registry.register import tables
from registry.register.building import build
from registry.register.files import RegisterFile, begin
from registry.register.folding import added
from registry.register.rows import NameRow, PaperRow, ProposalRow, TitleRow, title_row
from registry.terms import civil_date
from registry.titles.state import TITLES

R = TypeVar("R", bound=msgspec.Struct)

BATCH = 10_000  # events
FAR = 20_000  # events: if more are missing, and a third of all, building anew is faster


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for; None means any. `name` is a name, its pinyin or its initials, from the beginning."""

    number: str | None = None
    holder: str | None = None
    name: str | None = None
    series: str | None = None
    specialty: str | None = None
    level: str | None = None
    year: int | None = None
    authority: str | None = None
    status: str | None = None


class Found(NamedTuple):
    """A page of titles with their holders' present names, and the cursor of the next page."""

    rows: list[tuple[TitleRow, str]]
    next: str | None


class Register:
    """The register of one log. Safe in several processes: whoever catches up first writes, the others find it done."""

    def __init__(self, path: Path, log: Log) -> None:
        self.path, self.log = path, log
        self._file, self._local = RegisterFile(path), threading.local()

    # the file

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection; opened anew when a rebuild has taken the file's place. Raise Unavailable."""
        inode = self._file.inode()
        if inode is None or getattr(self._local, "inode", None) != inode:
            self.close()
            self._local.connection, self._local.inode = self._file.open()
        found: sqlite3.Connection = self._local.connection
        return found

    def close(self) -> None:
        """Close this thread's connection."""
        if getattr(self._local, "connection", None) is not None:
            self._local.connection.close()
            self._local.connection, self._local.inode = None, None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read several things as of one moment."""
        connection = self.connection
        connection.execute("BEGIN")
        try:
            yield
        finally:
            connection.execute("COMMIT")

    # keeping up

    @property
    def position(self) -> int:
        """The log position up to which the register holds."""
        return _position(self.connection)

    def catch_up(self) -> int:
        """Take in whatever was recorded since; return the position. A register that is far behind is built anew."""
        self.log.require()
        while True:
            head, position = self.log.head(), self.position
            if position > head and position > self.log.recorder.newest():
                self._renew(position)  # an older log was put back: what it lost must not stay here
            elif position >= head:
                return position
            elif head - position > max(FAR, head // 3):
                self._renew(position)
            else:
                self._step(self.connection, position, head)

    def _renew(self, position: int) -> None:
        with self._file.building():
            if self.position == position:  # else another process has done it meanwhile
                self._build(lambda _: None)

    def _step(self, c: sqlite3.Connection, position: int, head: int) -> None:
        up_to = min(position + BATCH, head)
        streams = {True: list[tuple[str, Any]](), False: list[tuple[str, Any]]()}
        for (stream, state, _), new in added(self.log, position, up_to):
            streams[new].append((stream, state))
        c.execute("BEGIN IMMEDIATE")
        try:
            if _position(c) == position:
                tables.write(c, streams[True], replace=False)
                tables.write(c, streams[False], replace=True)
                c.execute("UPDATE position SET position=?", (up_to,))
            c.execute("COMMIT")
        except BaseException:
            c.execute("ROLLBACK")
            raise

    def rebuild(self, progress: Callable[[int], None] | None = None) -> int:
        """Build the register anew from the log beside the live one, then switch; return the position.

        Writers and readers go on meanwhile. Another rebuild, of whatever process, waits for this one.
        """
        self.log.require()
        with self._file.building():
            self._build(progress or (lambda _: None))
        return self.catch_up()

    def _build(self, progress: Callable[[int], None]) -> None:
        beside = self._file.beside
        build(beside, self.log, self.log.head(), progress)
        with closing(begin(beside)) as c:
            while (position := _position(c)) < (head := self.log.head()):
                self._step(c, position, head)  # what was recorded meanwhile
        self.close()
        self._file.switch()

    # asking

    def search(
        self,
        query: Query,
        *,
        today: date,
        limit: int = 50,
        cursor: str | None = None,
        within: Sequence[str] | None = None,
    ) -> Found:
        """Titles that match, newest ids last, at most `limit` (1-1000) a page. Catches up first.

        `within` are the authorities in reach; None: all.
        """
        self.catch_up()
        limit = min(max(limit, 1), 1000)
        where, values = _where(query, today)
        if within is not None:
            where.append(f"authority IN ({','.join('?' * len(within))})")
            values += within
        if cursor:
            where, values = [*where, "title>?"], [*values, cursor]
        condition = "WHERE " + " AND ".join(where) if where else ""
        rows = self._rows(TitleRow, f"SELECT * FROM titles {condition} ORDER BY title LIMIT ?", (*values, limit + 1))
        following = rows[limit - 1].title if len(rows) > limit else None
        shown = [self._present(row, today) for row in rows[:limit]]
        matching = [row for row in shown if query.status in (None, row.status)]
        return Found([(row, self.name(row.holder)) for row in matching], following)

    def _present(self, row: TitleRow, today: date) -> TitleRow:
        """A decision that is not yet in force does not show as the status."""
        if max(row.status_from or "", row.awarded_on) > today.isoformat():
            title = self.log.load(TITLES, row.title, sealed=True)
            return title_row(title, today) if title else row
        return row

    def name(self, holder: str) -> str:
        """The present name of a holder; empty when it was erased (a door then says so)."""
        row = self.connection.execute("SELECT name FROM names WHERE holder=? AND current", (holder,)).fetchone()
        return row[0] if row else ""

    def authorities_of(self, holder: str) -> list[str]:
        """The authorities that issued a holder's titles, or have their applications, in order. Catches up first."""
        self.catch_up()
        both = "SELECT authority FROM titles WHERE holder=? UNION SELECT authority FROM papers WHERE holder=?"
        return [row[0] for row in self.connection.execute(f"{both} ORDER BY 1", (holder, holder))]

    def issuer(self, title: str) -> str | None:
        """The authority of a title as last caught up: the one whose matter it is now. None for a title not there."""
        row = self.connection.execute("SELECT authority FROM titles WHERE title=?", (title,)).fetchone()
        return row[0] if row else None

    def streams_of(self, holder: str) -> list[str]:
        """The streams of a holder's titles and applications, in order. Catches up first."""
        self.catch_up()
        both = "SELECT title FROM titles WHERE holder=? UNION SELECT application FROM papers WHERE holder=?"
        return [row[0] for row in self.connection.execute(f"{both} ORDER BY 1", (holder, holder))]

    def named(self, holder: str) -> bool:
        """Whether a holder has a name in the register as it is now, caught up or not."""
        row = self.connection.execute("SELECT 1 FROM names WHERE holder=?", (holder,)).fetchone()
        return row is not None

    def fold_in(self) -> bool:
        """Leave nothing that was deleted in files beside. False: somebody reads or builds, so it must be done again."""
        return self._file.clear() and not self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]

    def proposals(self) -> list[ProposalRow]:
        """Every open proposal, oldest first."""
        self.catch_up()
        return self._rows(ProposalRow, "SELECT * FROM proposals ORDER BY proposed_at", ())

    def papers(self, state: str | None = None) -> list[PaperRow]:
        """Applications to convert paper certificates, oldest first."""
        self.catch_up()
        return self._rows(
            PaperRow, "SELECT * FROM papers WHERE ? IS NULL OR state=? ORDER BY application", (state, state)
        )

    def without_certificate(self) -> list[str]:
        """The streams of titles that are valid today and have no signed certificate; of no one who was erased."""
        self.catch_up()
        open_, today = "certificate IS NULL AND status='valid'", civil_date(self.log.clock()).isoformat()
        named = "EXISTS (SELECT 1 FROM names WHERE names.holder=titles.holder)"
        statement = f"SELECT title FROM titles WHERE {open_} AND {_IN_FORCE_FROM}<=? AND {named} ORDER BY title"
        return [row[0] for row in self.connection.execute(statement, (today,))]

    def all_rows(self, table: str) -> Iterator[msgspec.Struct]:
        """Every row of a table in a fixed order, for comparing."""
        kind = tables.TABLES[table][0]
        columns = ", ".join(kind.__struct_fields__)
        for row in self.connection.execute(f"SELECT * FROM {table} ORDER BY {columns}"):
            yield _row(kind, row)

    def _rows(self, kind: type[R], statement: str, values: Any) -> list[R]:
        return [_row(kind, row) for row in self.connection.execute(statement, values)]


def _position(c: sqlite3.Connection) -> int:
    return int(c.execute("SELECT position FROM position").fetchone()[0])


def _row(kind: type[R], values: tuple[Any, ...]) -> R:
    return msgspec.convert(dict(zip(kind.__struct_fields__, values, strict=True)), kind, strict=False)


_IN_FORCE_FROM = "max(coalesce(status_from, ''), awarded_on)"  # before this day the status is another


def _where(query: Query, today: date) -> tuple[list[str], list[Any]]:
    where, values = [], list[Any]()
    if query.status is not None:
        where.append(f"(status=? OR {_IN_FORCE_FROM}>?)")
        values += [query.status, today.isoformat()]
    for column in ("number", "holder", "series", "specialty", "level", "year", "authority"):
        value = getattr(query, column)
        if value is not None:
            where.append(f"{column}=?")
            values.append(value)
    if query.name:
        lowest, highest = query.name, query.name + "\U0010ffff"
        spelled, highest_spelled = query.name.lower(), query.name.lower() + "\U0010ffff"
        where.append(
            "holder IN (SELECT holder FROM names WHERE name>=? AND name<? UNION SELECT holder FROM names WHERE"
            " pinyin>=? AND pinyin<? UNION SELECT holder FROM names WHERE initials=?)"
        )
        values += [lowest, highest, spelled, highest_spelled, spelled]
    return where, values


__all__ = ["BATCH", "Found", "NameRow", "Query", "Register"]
