"""The access log: looks are appended before anything is shown, a file a month; what cannot be recorded is not shown.

Kept for 36 months unless said otherwise, never less than 6 (网络安全法, article 21; records of providing personal data
for three years: 网络数据安全管理条例, article 12).
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from registry.looks.look import COLUMNS, Look, from_row, to_row
from registry.months import KEPT_MONTHS, Months, Pen, Shape, month_of, to_ms

LOOKS = Shape(
    "查看记录",
    "looks",
    """
CREATE TABLE looks (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, role TEXT NOT NULL, over TEXT NOT NULL,
  door TEXT NOT NULL, purpose TEXT NOT NULL, document TEXT NOT NULL, holder TEXT NOT NULL, what TEXT NOT NULL,
  stream TEXT NOT NULL) STRICT;
CREATE INDEX looks_holder ON looks(holder, at);
CREATE INDEX looks_actor ON looks(actor, at);
""",
    ("looks",),
)
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM looks"
_INSERT = f"INSERT INTO looks ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


class LookLog:
    """The looks in one folder. Safe in several threads and processes."""

    def __init__(self, folder: Path) -> None:
        self.months = Months(folder, LOOKS)
        self._pen, self._one = Pen(self.months), threading.Lock()

    def record(self, looks: Sequence[Look]) -> None:
        """Append looks of one moment, all or none, durably. Raise Unavailable: then nothing may be shown."""
        if not looks:
            return
        month = month_of(looks[0].at)
        with self._one, self.months.errors(month):
            try:
                c = self._pen.at(month)
                c.execute("BEGIN IMMEDIATE")
                c.executemany(_INSERT, [to_row(one) for one in looks])
                c.execute("COMMIT")
            except BaseException:
                self._pen.close()
                raise

    def close(self) -> None:
        """Close the file; the next look opens it again."""
        with self._one:
            self._pen.close()

    def about(self, holder: str) -> Iterator[Look]:
        """The looks at one person's data, newest first."""
        return self._found("holder=?", (holder,))

    def by(self, actor: str) -> Iterator[Look]:
        """The looks that one actor took, newest first."""
        return self._found("actor=?", (actor,))

    def between(self, start: datetime, end: datetime) -> Iterator[Look]:
        """All looks from one moment to another, newest first."""
        return self._found("at BETWEEN ? AND ?", (to_ms(start), to_ms(end)))

    def _found(self, condition: str, values: tuple[Any, ...]) -> Iterator[Look]:
        for month in reversed(self.months.names()):
            with self.months.reading(month) as c:
                rows = c.execute(f"{_SELECT} WHERE {condition} ORDER BY at DESC, id DESC", values).fetchall()
                found = [from_row(row) for row in rows]
            yield from found

    def examine(self) -> dict[str, int]:
        """Read every file through: how many looks each month holds. Raise Unavailable naming the first damaged one."""
        counts = {}
        for month in self.months.names():
            with self.months.reading(month) as c:
                said = c.execute("PRAGMA quick_check(1)").fetchone()[0]
                if said != "ok":
                    raise sqlite3.DatabaseError(said)
                counts[month] = int(c.execute("SELECT count(*) FROM looks").fetchone()[0])
        return counts

    def expired(self, now: datetime, keep: int = KEPT_MONTHS) -> list[str]:
        """The months that need not be kept any longer: see `Months.expired`."""
        return self.months.expired(now, keep)

    def prune(self, now: datetime, keep: int = KEPT_MONTHS) -> list[str]:
        """Drop the files of those months: see `Months.prune`."""
        return self.months.prune(now, keep)
