"""The figures of the register: how many titles of which level, series, year and standing, and how many papers.

They follow from the rows alone, so an auditor counts them again. Memory stays flat however many rows there are.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TypeVar

import msgspec

from registry.register.rows import PaperRow, TitleRow

S = TypeVar("S", bound=msgspec.Struct)

Figures = dict[tuple[str, ...], int]
"""Every single figure by what it counts, as ("by_year", "2021", "review")."""

_BATCH = 2_000


class Statistics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What statistics.json holds; every list is sorted.

    `holders` counts the different holders of titles, `certified` the titles with a signed certificate, `papers` the
    applications in each state. `by_authority` is authority, level, status, count; `by_series` series, level, count;
    `by_year` the year of the award, the way of obtaining, count.
    """

    titles: int
    holders: int
    certified: int
    papers: dict[str, int]
    by_authority: list[tuple[str, str, str, int]]
    by_series: list[tuple[str, str, int]]
    by_year: list[tuple[int, str, int]]

    def encode(self) -> bytes:
        """The bytes of statistics.json."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic"), indent=2) + b"\n"

    def figures(self) -> Figures:
        """Every single figure, to compare."""
        found: Figures = {("titles",): self.titles, ("holders",): self.holders, ("certified",): self.certified}
        found |= {("papers", state): count for state, count in self.papers.items()}
        found |= {("by_authority", *of): count for *of, count in self.by_authority}
        found |= {("by_series", *of): count for *of, count in self.by_series}
        return found | {("by_year", str(year), obtained): count for year, obtained, count in self.by_year}


def statistics(rows: Iterable[TitleRow | PaperRow]) -> Statistics:
    """Count the rows of a register."""
    with closing(Tally()) as tally:
        for row in rows:
            tally.take(row)
        return tally.statistics()


class Tally:
    """Counts rows as they come by. Other rows than those of titles and papers are not counted."""

    COLUMNS = ("holder", "authority", "level", "status", "series", "year", "obtained", "version")
    """What `take_title` asks of a title, in this order."""

    def __init__(self) -> None:
        self._papers: Counter[str] = Counter()
        self._titles: Counter[tuple[str, str, str, str, int, str, bool]] = Counter()
        self._holders = _Different()

    def close(self) -> None:
        """Throw away what was counted."""
        self._holders.close()

    def passing(self, rows: Iterable[S]) -> Iterator[S]:
        """Hand every row on after counting it."""
        for row in rows:
            self.take(row)
            yield row

    def take(self, row: msgspec.Struct) -> None:
        """Count one row."""
        if isinstance(row, TitleRow):
            of = (row.holder, row.authority, row.level, row.status, row.series, row.year, row.obtained, row.version)
            self.take_title(of)
        elif isinstance(row, PaperRow):
            self._papers[row.state] += 1

    def take_title(self, of: tuple[str, str, str, str, str, int, str, int]) -> None:
        """Count one title by the values of its COLUMNS."""
        holder, authority, level, status, series, year, obtained, version = of
        self._holders.add(holder)
        self._titles[authority, level, status, series, year, obtained, version > 0] += 1

    def statistics(self) -> Statistics:
        """The figures of what was counted."""
        by_authority: Counter[tuple[str, str, str]] = Counter()
        by_series: Counter[tuple[str, str]] = Counter()
        by_year: Counter[tuple[int, str]] = Counter()
        certified = 0
        for of, count in self._titles.items():
            authority, level, status, series, year, obtained, has = of
            by_authority[authority, level, status] += count
            by_series[series, level] += count
            by_year[year, obtained] += count
            certified += count if has else 0
        return Statistics(
            titles=self._titles.total(),
            holders=self._holders.count(),
            certified=certified,
            papers=dict(sorted(self._papers.items())),
            by_authority=sorted((*of, count) for of, count in by_authority.items()),
            by_series=sorted((*of, count) for of, count in by_series.items()),
            by_year=sorted((*of, count) for of, count in by_year.items()),
        )


class _Different:
    """Counts different texts. SQLite keeps them in memory while they are few, and on the disk beyond."""

    def __init__(self) -> None:
        self._c = sqlite3.connect("", isolation_level=None)
        self._c.execute("PRAGMA journal_mode=OFF")
        self._c.execute("CREATE TABLE one (text TEXT)")
        self._c.execute("BEGIN")
        self._waiting: list[tuple[str]] = []

    def add(self, text: str) -> None:
        self._waiting.append((text,))
        if len(self._waiting) >= _BATCH:
            self._flush()

    def count(self) -> int:
        self._flush()
        return int(self._c.execute("SELECT count(DISTINCT text) FROM one").fetchone()[0])

    def close(self) -> None:
        self._c.close()

    def _flush(self) -> None:
        self._c.executemany("INSERT INTO one VALUES (?)", self._waiting)
        self._waiting.clear()
