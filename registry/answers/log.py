"""The log of answers given. Whoever answers only appends to a queue; a thread writes it down five times a second.

A verification never waits for this log and never fails because of it: a holder must not suffer from a full disk of
ours. What could not be written waits; when too much waits, answers are counted as lost, and the count is written as a
gap as soon as writing is possible again, so that the log itself says where it is incomplete.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import structlog

from registry.answers.appending import Appender
from registry.answers.given import COLUMNS, Channel, Gap, GivenAnswer, Waiting, given
from registry.answers.months import ANSWERS
from registry.errors import Unavailable
from registry.months import KEPT_MONTHS, Months, from_ms, month_of, to_ms
from registry.titles.answer import Answer
from registry.titles.state import Title

EVERY = 0.2  # seconds between two writes
MOST_WAITING = 100_000  # answers: a quarter of a minute of the greatest load, some 30 MB

_log = structlog.get_logger()


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What the log holds: months, answers about certificates, answers only counted, answers lost, and since when."""

    months: tuple[str, ...]
    answers: int
    counted: int
    lost: int
    began: datetime | None


class AnswerLog:
    """The answers given, in one folder. Safe in several threads and processes; `lost` counts this process's losses."""

    def __init__(self, folder: Path, *, every: float = EVERY, most_waiting: int = MOST_WAITING) -> None:
        self.months, self.lost = Months(folder, ANSWERS), 0
        self._every, self._most = every, most_waiting
        self._waiting, self._batch = deque[Waiting](), list[Waiting]()
        self._appender, self._appending = Appender(self.months), threading.Lock()
        self._gap: Gap | None = None
        self._rare = threading.Lock()  # for what happens seldom while answering
        self._due, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._failed = ""

    @property
    def waiting(self) -> int:
        """How many answers are remembered and not yet written."""
        return len(self._waiting) + len(self._batch)

    # writing

    def record(self, answer: Answer, channel: Channel) -> None:
        """Remember that this answer was given; it is written within a fifth of a second. Never fails, never waits."""
        if len(self._waiting) >= self._most:
            self._lose(answer.checked_at)
            return
        one = answer.certificate
        code, version = (one.code[:16], one.version) if one else (None, 0)
        moments = answer.as_of, answer.known_at
        self._waiting.append(
            Waiting(answer.checked_at, code, version, answer.status, *moments, answer.log_position, channel)
        )
        if not self._due.is_set():
            self._wake()

    def flush(self) -> None:
        """Write everything remembered so far. Raise Unavailable if it could not be; then it is still remembered."""
        with self._appending:
            self._append()  # what could not be written before
            self._batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
            self._batch.sort(key=lambda one: one.at)
            self._append()

    def close(self) -> None:
        """Write what is left and close the file. What cannot be written now is lost, and said on stderr."""
        if self._thread is not None:
            self._stop.set()
            self._due.set()
            self._thread.join()
            self._thread = None
            self._stop.clear()
            self._due.clear()
        self._round()
        with self._appending:
            self._appender.close()
        if left := len(self._waiting) + len(self._batch):
            _log.error("answers lost", count=left)

    def _append(self) -> None:
        while self._batch:
            found, gap, month = self._batch, self._gap, month_of(self._batch[0].at)
            if month_of(found[-1].at) != month:
                found = [one for one in found if month_of(one.at) == month]
            self._appender.append(month, found, gap)
            del self._batch[: len(found)]
            if gap:
                self._forget(gap)

    def _wake(self) -> None:
        with self._rare:
            self._due.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="answers", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._due.wait()
            self._stop.wait(self._every)
            self._due.clear()  # before what waits is taken: whoever comes later wakes this again
            if not self._round():
                self._due.set()

    def _round(self) -> bool:
        """Write; say once what is wrong, until it changes. Return whether everything was written."""
        failed = ""
        try:
            self.flush()
        except Unavailable as error:
            failed = error.message
        except Exception as error:  # noqa: BLE001 - whatever it is, the next answers are to be recorded
            failed = type(error).__name__
        if failed and failed != self._failed:
            _log.warning("answers not recorded", error=failed, waiting=len(self._waiting) + len(self._batch))
        if self._failed and not failed:
            _log.warning("answers recorded again", lost=self.lost)
        self._failed = failed
        return not failed

    def _lose(self, at: datetime) -> None:
        with self._rare:
            self.lost += 1
            gap = self._gap or Gap(at, at, 0)
            self._gap = Gap(min(gap.began, at), max(gap.ended, at), gap.lost + 1)

    def _forget(self, written: Gap) -> None:
        """The gap was written; what was lost meanwhile is the next one."""
        with self._rare:
            now = self._gap or written
            self._gap = Gap(written.ended, now.ended, now.lost - written.lost) if now.lost > written.lost else None

    # reading

    def between(self, title: Title, start: datetime, end: datetime | None = None) -> Iterator[GivenAnswer]:
        """The answers about any version of a title from one moment to another (None: until now), oldest first.

        Raise Unavailable for a file that cannot be read. What this process has not written yet is written first.
        """
        self.flush()
        codes = [one.code[:16] for one in title.certificates]
        statement = (
            f"SELECT {', '.join(COLUMNS)} FROM answers WHERE code IN ({','.join('?' * len(codes))})"
            " AND at BETWEEN ? AND ? ORDER BY at, id"
        )
        asked = (*codes, to_ms(start), to_ms(end) if end else 1 << 62)
        for month in self._names(start, end):
            with self.months.reading(month) as c:
                found = [given(row) for row in c.execute(statement, asked)]
            yield from found

    def _names(self, start: datetime, end: datetime | None) -> list[str]:
        last = month_of(end) if end else "9999-12"
        return [month for month in self.months.names() if month_of(start) <= month <= last]

    def gaps(self, start: datetime, end: datetime) -> Iterator[Gap]:
        """The gaps that touch a window. A gap may stand in the file of a later month."""
        statement = "SELECT began, ended, lost FROM gaps WHERE began<=? AND ended>=? ORDER BY id"
        for month in self._names(start, None):
            with self.months.reading(month) as c:
                rows = c.execute(statement, (to_ms(end), to_ms(start))).fetchall()
            yield from (Gap(from_ms(began), from_ms(ended), lost) for began, ended, lost in rows)

    def began(self) -> datetime | None:
        """When the first answer was given that is still kept; None if there is none."""
        first = "SELECT * FROM (SELECT at FROM {} ORDER BY id LIMIT 1)"
        both = " UNION ALL ".join(first.format(table) for table in ("answers", "tallies"))
        for month in self.months.names():
            with self.months.reading(month) as c:
                at = min((row[0] for row in c.execute(both)), default=None)
            if at is not None:
                return from_ms(at)
        return None

    def examine(self) -> Kept:
        """Read every file through and say what is kept. Raise Unavailable naming the first that is damaged."""
        months, answers, counted, lost = self.months.names(), 0, 0, 0
        for month in months:
            with self.months.reading(month) as c:
                said = c.execute("PRAGMA quick_check(1)").fetchone()[0]
                if said != "ok":
                    raise sqlite3.DatabaseError(said)
                answers += c.execute("SELECT count(*) FROM answers").fetchone()[0]
                counted += c.execute("SELECT coalesce(sum(count), 0) FROM tallies").fetchone()[0]
                lost += c.execute("SELECT coalesce(sum(lost), 0) FROM gaps").fetchone()[0]
        return Kept(months=tuple(months), answers=answers, counted=counted, lost=lost, began=self.began())

    # dropping

    def expired(self, now: datetime, keep: int = KEPT_MONTHS) -> list[str]:
        """The months that need not be kept any longer: see `Months.expired`."""
        return self.months.expired(now, keep)

    def prune(self, now: datetime, keep: int = KEPT_MONTHS) -> list[str]:
        """Drop the files of those months: see `Months.prune`."""
        return self.months.prune(now, keep)
