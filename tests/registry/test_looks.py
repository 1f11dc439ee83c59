"""The log of looks: recorded durably and for good, found by person and by officer, kept and dropped by the month."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import BadInput, Unavailable
from registry.looks import Look, LookLog, Purpose, What
from registry.looks.look import COLUMNS, from_row, to_row
from registry.terms import Role
from tests.people import BEGIN

HOLDER, OTHER = "holder-01AAAAAAAAAAAAAAAAAAAAAAAA", "holder-01BBBBBBBBBBBBBBBBBBBBBBBB"


def look(at: datetime = BEGIN, **changes: Any) -> Look:
    """A clerk of the city looks at a title."""
    fields: dict[str, Any] = {
        "at": at,
        "actor": "clerk-01",
        "role": Role.CLERK,
        "over": "331100",
        "door": "cli titles show",
        "purpose": Purpose.HANDLING,
        "holder": HOLDER,
        "what": What.TITLE,
        "stream": "title-01AAAAAAAAAAAAAAAAAAAAAAAA",
    }
    return Look(**fields | changes)


@pytest.fixture
def log(tmp_path: Path) -> LookLog:
    """A log in a folder that is not there yet."""
    return LookLog(tmp_path / "looks")


def stored(log: LookLog) -> list[tuple[Any, ...]]:
    """Every row of every file, read without our code."""
    rows = list[tuple[Any, ...]]()
    for path in sorted(log.months.folder.glob("????-??.db")):
        with closing(sqlite3.connect(path)) as c:
            rows += c.execute(f"SELECT {', '.join(COLUMNS)} FROM looks ORDER BY id").fetchall()
    return rows


def test_what_is_recorded_is_found_by_person_and_by_officer_newest_first(log: LookLog) -> None:
    first, second = (
        look(),
        look(BEGIN + timedelta(days=40), what=What.HOLDER, stream=HOLDER, document="丽人社〔2026〕1号"),
    )
    third = look(BEGIN + timedelta(days=41), actor="chief-02", role=Role.APPROVER, holder=OTHER)
    for one in (first, second, third):
        log.record([one])
    assert list(log.about(HOLDER)) == [second, first]
    assert list(log.about(OTHER)) == [third]
    assert list(log.by("clerk-01")) == [second, first]
    assert list(log.by("nobody")) == list(log.about("holder-x")) == []
    assert list(log.between(BEGIN, BEGIN + timedelta(days=40))) == [second, first]
    assert log.examine() == {"2026-03": 1, "2026-04": 2}


def test_a_row_is_what_was_seen_and_nothing_more(log: LookLog) -> None:
    log.record([look()])
    (row,) = stored(log)
    milliseconds = 1772415000000  # 2026-03-02T01:30:00Z
    assert row == (
        *(milliseconds, "clerk-01", "clerk", "331100", "cli titles show", "handling", "", HOLDER, "title"),
        "title-01AAAAAAAAAAAAAAAAAAAAAAAA",
    )
    mode = (log.months.folder / "2026-03.db").stat().st_mode & 0o777
    assert (mode, log.months.folder.stat().st_mode & 0o777) == (0o600, 0o700)


MOMENTS = st.integers(0, 7_000_000_000_000).map(
    lambda ms: datetime(1980, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
LOOKS = st.builds(
    look,
    MOMENTS,
    actor=st.text(),
    role=st.sampled_from(Role),
    purpose=st.sampled_from(Purpose),
    what=st.sampled_from(What),
    document=st.text(max_size=60),
    door=st.text(),
)


@given(LOOKS)
def test_a_look_comes_back_from_its_row_as_it_was(one: Look) -> None:
    assert from_row(to_row(one)) == one


def test_every_purpose_and_what_has_its_word() -> None:
    words = [one.zh for one in (*Purpose, *What)]
    assert all(words)
    assert len(set(words)) == len(words)


# append-only, all or none, durable


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE looks SET actor='somebody-else'",
        "DELETE FROM looks",
        "INSERT OR REPLACE INTO looks SELECT * FROM looks",
    ],
)
def test_what_is_recorded_cannot_be_changed_or_taken_away(log: LookLog, statement: str) -> None:
    log.record([look()])
    before = stored(log)
    with (
        closing(sqlite3.connect(log.months.path("2026-03"))) as c,
        pytest.raises(sqlite3.DatabaseError, match="append"),
    ):
        c.execute(statement)
    assert stored(log) == before


def test_a_file_whose_triggers_were_taken_away_is_refused(log: LookLog) -> None:
    log.record([look()])
    log.close()
    with closing(sqlite3.connect(log.months.path("2026-03"))) as c:
        c.execute("DROP TRIGGER looks_no_delete")
    for attempt in (lambda: log.record([look()]), lambda: list(log.about(HOLDER)), log.examine):
        with pytest.raises(Unavailable, match=r"2026-03\.db"):
            attempt()


def test_several_looks_are_recorded_all_or_none(log: LookLog) -> None:
    log.record([look()])
    broken = msgspec.structs.replace(look(), door=None)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        log.record([look(), look(), broken])
    assert len(stored(log)) == 1
    log.record([look(), look()])
    assert len(stored(log)) == 3


def test_where_nothing_can_be_written_it_is_said(log: LookLog, tmp_path: Path) -> None:
    log.record([look()])
    log.months.folder.rename(tmp_path / "elsewhere")
    (tmp_path / "looks").write_bytes(b"in the way")
    with pytest.raises(Unavailable, match="查看记录"):
        log.record([look()])
    (tmp_path / "looks").unlink()
    log.record([look()])  # and goes on when it can be written again
    assert log.examine() == {"2026-03": 1}


def test_a_damaged_file_is_named_and_takes_no_look(log: LookLog) -> None:
    log.record([look()])
    log.close()
    log.months.path("2026-03").write_bytes(b"garbage" * 1000)
    for attempt in (lambda: log.record([look()]), log.examine):
        with pytest.raises(Unavailable, match=r"2026-03\.db"):
            attempt()


def test_a_file_that_was_taken_away_is_followed_by_a_new_one(log: LookLog) -> None:
    log.record([look()])
    log.months.drop("2026-03")
    log.record([look(actor="chief-02")])
    assert [one.actor for one in log.about(HOLDER)] == ["chief-02"]


WRITER = """
import os, signal, sys
from datetime import datetime, UTC
from pathlib import Path
from registry.looks import LookLog
from tests.registry.test_looks import look
folder, actor, count, end = sys.argv[1:]
log = LookLog(Path(folder))
for n in range(int(count)):
    log.record([look(actor=actor, document=str(n))])
if end == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def writer(folder: Path, actor: str, count: int, end: str = "") -> "subprocess.Popen[bytes]":
    """A process of its own that records looks."""
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder), actor, str(count), end])


def test_two_processes_write_at_once_and_no_look_is_lost(log: LookLog) -> None:
    processes = [writer(log.months.folder, actor, 100) for actor in ("clerk-01", "chief-02")]
    assert [one.wait(timeout=60) for one in processes] == [0, 0]
    for actor in ("clerk-01", "chief-02"):
        assert [one.document for one in log.by(actor)] == [str(n) for n in reversed(range(100))]
    assert log.examine() == {"2026-03": 200}


def test_a_look_that_was_recorded_survives_a_kill_and_a_restart(log: LookLog) -> None:
    assert writer(log.months.folder, "clerk-01", 3, "killed").wait(timeout=60) == -signal.SIGKILL
    log.record([look(actor="chief-02")])
    log.close()
    assert [one.actor for one in LookLog(log.months.folder).about(HOLDER)] == ["chief-02", *["clerk-01"] * 3]


def test_a_look_is_on_the_disk_before_anything_is_shown(log: LookLog) -> None:
    with closing(log.months.writing("2026-03")) as c:
        assert c.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL: fsync with every commit
        assert c.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# keeping


def months_before(now: datetime, count: int) -> str:
    """By hand: the month so many months before, stepping back one by one."""
    year, month = now.year, now.month
    for _ in range(count):
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    return f"{year:04d}-{month:02d}"


@given(MOMENTS, st.integers(6, 60))
def test_what_is_kept_is_the_present_month_and_so_many_before(now: datetime, keep: int) -> None:
    log = LookLog(Path("/nowhere"))
    files = [months_before(now, back) for back in range(keep + 3)]
    log.months.names = lambda: sorted(files)  # type: ignore[method-assign]
    assert log.expired(now, keep) == sorted(files[keep + 1 :])


@pytest.mark.parametrize("keep", [5, 0, -1])
def test_less_than_six_months_is_refused_and_nothing_dropped(log: LookLog, keep: int) -> None:
    log.record([look(datetime(2019, 1, 31, tzinfo=UTC))])
    for attempt in (log.prune, log.expired):
        with pytest.raises(BadInput, match="至少保存 6 个月"):
            attempt(BEGIN, keep)
    assert log.examine() == {"2019-01": 1}


def test_whole_months_are_dropped_and_the_rest_is_as_it_was(log: LookLog) -> None:
    for month in (1, 2, 8, 9):
        log.record([look(datetime(2025, month, 1, tzinfo=UTC)), look(datetime(2025, month, 28, tzinfo=UTC))])
    log.close()
    assert log.expired(BEGIN, 6) == log.prune(BEGIN, 6) == ["2025-01", "2025-02", "2025-08"]
    assert log.examine() == {"2025-09": 2}
    assert [path.name[:7] for path in log.months.folder.glob("2025-0[128]*")] == []
    assert log.prune(BEGIN, 6) == []


def test_a_month_ends_in_utc(log: LookLog) -> None:
    log.record([look(datetime.fromisoformat("2026-04-01T07:59:59+08:00"))])
    log.record([look(datetime.fromisoformat("2026-04-01T08:00:00+08:00"))])
    assert log.examine() == {"2026-03": 1, "2026-04": 1}
