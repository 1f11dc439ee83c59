"""Answers given are kept without a trace of the asker; a revocation recalls exactly those that it belies."""

import multiprocessing
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.answers import AnswerLog, Channel, GivenAnswer
from registry.errors import BadInput, NotFound, Unavailable
from registry.service import Registry
from registry.terms import BEIJING, Status
from registry.titles.answer import Answer, PublicCertificate
from registry.titles.events import DecisionKind
from registry.titles.state import Certificate, Title
from tests.people import CLERK, Clock, awarding, correcting, decided, deciding, identity_number, person, settable

NAME = "林晓岚"
UNKNOWN = "ZKYFSZ7WZKYFSZ7WY"  # well formed, and nobody's
MONTH = "2026-03.db"  # of the clock of the tests


@pytest.fixture
def certificate(registry: Registry) -> Certificate:
    return registry.issue(registry.award(awarding(person(1, NAME)), officer=CLERK), settable, officer=CLERK)


def asked(registry: Registry, code: str, channel: Channel = Channel.CODE_JSON, **query: Any) -> Answer:
    """A verification as a door makes it."""
    answer = registry.verifier.check(code, **query)
    registry.answers.record(answer, channel)
    return answer


def title_of(registry: Registry, certificate: Certificate) -> Title:
    return registry.certificate(certificate.code)[0]


def rows(folder: Path, table: str = "answers", month: str = MONTH) -> list[tuple[Any, ...]]:
    """What SQLite itself reads."""
    with closing(sqlite3.connect(folder / month)) as c:
        assert c.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return c.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


# --- what is kept


def test_an_answer_is_kept_with_what_it_rested_on(registry: Registry, clock: Clock, certificate: Certificate) -> None:
    moment = clock.now
    head = registry.log.head()
    clock.forward(days=1, seconds=0.123456)
    asked(registry, certificate.code, Channel.TOKEN, as_of=date(2025, 5, 1), known_at=moment)
    registry.answers.flush()
    ms = 1_000 * int((moment + timedelta(days=1)).timestamp()) + 123
    known = moment.isoformat().replace("+00:00", "Z")
    assert rows(registry.folder.answers) == [
        (1, ms, certificate.code[:16], 1, "valid", "2025-05-01", known, head, "token")
    ]
    assert list(registry.answers.between(title_of(registry, certificate), moment)) == [
        GivenAnswer(
            at=datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=123),
            code=certificate.code[:16],
            version=1,
            status=Status.VALID,
            as_of=date(2025, 5, 1),
            known_at=moment,
            log_position=head,
            channel=Channel.TOKEN,
        )
    ]


def test_nothing_personal_is_in_the_files(registry: Registry, certificate: Certificate) -> None:
    for channel in Channel:
        assert asked(registry, certificate.code, channel).certificate
    registry.answers.flush()
    content = everything(registry.folder.answers)
    assert certificate.code[:16].encode() in content  # what is searched is what was written
    for private in (NAME, "林*岚", identity_number(1), identity_number(1)[:6], "林"):
        assert private.encode() not in content
    assert (registry.folder.answers / MONTH).stat().st_mode & 0o777 == 0o600
    assert registry.folder.answers.stat().st_mode & 0o777 == 0o700


def test_guessed_codes_are_counted_and_never_stored(registry: Registry) -> None:
    for text in (UNKNOWN, UNKNOWN, "查验码", "x" * 5_000):
        assert asked(registry, text, Channel.CODE_PAGE).status is Status.UNKNOWN
    asked(registry, UNKNOWN, Channel.BATCH)
    registry.answers.flush()
    assert rows(registry.folder.answers) == []
    counted = {row[2:] for row in rows(registry.folder.answers, "tallies")}
    assert counted == {("unknown", "code-page", 4), ("unknown", "batch", 1)}
    content = everything(registry.folder.answers)
    assert not any(text in content for text in (UNKNOWN.encode(), UNKNOWN[:16].encode(), "查验".encode(), b"xxx"))


def test_nothing_is_made_before_the_first_answer(registry: Registry) -> None:
    assert registry.answers.began() is None
    assert registry.answers.examine().months == ()
    registry.close()
    assert not registry.folder.answers.exists()


@pytest.mark.parametrize("table", ["answers", "tallies", "gaps"])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {0} SET id=id+1",
        "DELETE FROM {0}",
        "INSERT OR REPLACE INTO {0} SELECT * FROM {0}",
        "REPLACE INTO {0} SELECT * FROM {0}",
    ],
)
def test_sqlite_itself_refuses_any_change(log: AnswerLog, table: str, change: str) -> None:
    log.record(answer(0), Channel.CLI)
    log.record(answer(1, code=None), Channel.CLI)
    log.flush()
    with closing(sqlite3.connect(log.months.path("2026-03"))) as c:
        c.execute("INSERT INTO gaps (began, ended, lost) VALUES (1, 2, 3)")
        c.commit()
        before = c.execute(f"SELECT * FROM {table}").fetchall()
        assert before
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            c.execute(change.format(table))
        assert c.execute(f"SELECT * FROM {table}").fetchall() == before


# --- the recall


def test_a_revocation_recalls_exactly_the_answers_that_it_belies(
    registry: Registry, clock: Clock, certificate: Certificate
) -> None:
    title = title_of(registry, certificate).id
    other = registry.issue(registry.award(awarding(person(2)), officer=CLERK), settable, officer=CLERK)
    effective = date(2026, 3, 10)
    midnight = datetime(2026, 3, 9, 16, tzinfo=UTC)  # of the tenth, in Beijing

    clock.now = midnight - timedelta(milliseconds=1)
    asked(registry, certificate.code)
    clock.now = midnight
    first = asked(registry, certificate.code, Channel.CODE_PAGE)
    asked(registry, other.code)
    clock.forward(days=1)
    earlier_day = asked(registry, certificate.code, as_of=effective - timedelta(days=1))
    decided(registry, title, deciding(DecisionKind.SUSPENSION))
    assert asked(registry, certificate.code).status is Status.SUSPENDED
    decided(registry, title, deciding(DecisionKind.REINSTATEMENT))
    decided(registry, title, correcting(registry.title(title), specialty="给水排水"))
    old = asked(registry, certificate.code, Channel.FILE)
    newer = registry.issue(title, settable, officer=CLERK)
    clock.forward(days=30)  # into the next month and its file
    new = asked(registry, newer.code, Channel.TOKEN)
    revoked = decided(registry, title, deciding(DecisionKind.REVOCATION, effective_on=effective))
    assert asked(registry, newer.code).status is Status.REVOKED
    assert asked(registry, certificate.code, known_at=midnight).status is Status.VALID  # as known then: still right

    found = registry.recall(title)
    told = [(one.at, one.status, one.version, one.channel) for one in found.answers]
    assert told == [
        (first.checked_at, Status.VALID, 1, Channel.CODE_PAGE),
        (earlier_day.checked_at, Status.VALID, 1, Channel.CODE_JSON),
        (old.checked_at, Status.SUPERSEDED, 1, Channel.FILE),
        (new.checked_at, Status.VALID, 2, Channel.TOKEN),
    ]
    assert [found.belied(one) for one in found.answers] == [True, False, True, True]
    assert (found.start, found.end) == (midnight, revoked.decisions[-1].recorded_at)
    assert (found.records_since, found.complete) == (midnight - timedelta(milliseconds=1), True)


def test_what_rested_on_an_older_log_is_recalled_whatever_the_clocks_say(
    registry: Registry, clock: Clock, certificate: Certificate
) -> None:
    before = registry.verifier.check(certificate.code)
    title = decided(registry, title_of(registry, certificate).id, deciding(DecisionKind.REVOCATION))
    late = msgspec.structs.replace(before, checked_at=clock.forward(seconds=1))
    registry.answers.record(late, Channel.CODE_JSON)
    assert [one.at for one in registry.recall(title.id).answers] == [late.checked_at]


def test_a_window_that_begins_before_the_records_says_so(
    registry: Registry, clock: Clock, certificate: Certificate
) -> None:
    title = title_of(registry, certificate).id
    decided(registry, title, deciding(DecisionKind.REVOCATION))  # from the award in 2021 on
    nothing = registry.recall(title)
    assert (nothing.answers, nothing.records_since, nothing.complete) == ((), None, False)
    asked(registry, certificate.code)
    later = registry.recall(title)
    assert (later.answers, later.records_since, later.complete) == ((), clock.now, False)
    assert later.start == datetime(2021, 9, 20, tzinfo=BEIJING)


def test_without_a_revocation_there_is_nothing_to_recall(registry: Registry, certificate: Certificate) -> None:
    title = title_of(registry, certificate).id
    for kind in (DecisionKind.SUSPENSION, DecisionKind.REINSTATEMENT, DecisionKind.INVALIDATION):
        decided(registry, title, deciding(kind))
    before = registry.log.head()
    with pytest.raises(NotFound, match="没有撤销决定") as refused:
        registry.recall(title)
    assert refused.value.fix
    assert registry.log.head() == before


# --- the log by itself


CODES = ("7K3M9XQ4T2VD8HNR5", "ZKYFSZ7WZKYFSZ7WY", "0123456789ABCDEFG")
BEGIN = datetime(2026, 3, 31, 15, 59, tzinfo=UTC)  # one minute before April in Beijing, eight hours before it in UTC


@pytest.fixture
def log(tmp_path: Path) -> Iterator[AnswerLog]:
    log = AnswerLog(tmp_path / "answers", every=0.01)
    yield log
    log.close()


def public(code: str, version: int = 1) -> PublicCertificate:
    fields: dict[str, Any] = dict.fromkeys(PublicCertificate.__struct_fields__, "")
    return PublicCertificate(**fields | {"code": code, "version": version, "paper": None})


def answer(minutes: float, code: str | None = CODES[0], status: Status = Status.VALID) -> Answer:
    at = BEGIN + timedelta(minutes=minutes)
    return Answer(
        status=status if code else Status.UNKNOWN,
        sentence="",
        sentence_en="",
        checked_at=at,
        log_position=7,
        certificate=public(code) if code else None,
    )


def titled(registry: Registry, *codes: str) -> Title:
    """A title whose certificates have these codes."""
    title = registry.title(registry.award(awarding(person(5)), officer=CLERK))
    same = registry.issue(title.id, settable, officer=CLERK)
    versions = [msgspec.structs.replace(same, version=n, code=code) for n, code in enumerate(codes, 1)]
    return msgspec.structs.replace(title, certificates=tuple(versions))


GIVEN = st.tuples(st.integers(-3, 200_000), st.sampled_from([*CODES, None]))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=st.lists(GIVEN, max_size=30), start=st.integers(-5, 200_000), length=st.integers(0, 200_000))
def test_reading_is_what_looking_through_all_answers_gives(
    registry: Registry, given: list[tuple[int, str | None]], start: int, length: int
) -> None:
    title = titled(registry, CODES[0], CODES[2])
    with TemporaryDirectory() as folder:
        log = AnswerLog(Path(folder) / "answers")
        for minutes, code in given:
            log.record(answer(minutes, code), Channel.BATCH)
        first, last = BEGIN + timedelta(minutes=start), BEGIN + timedelta(minutes=start + length)
        found = [(one.at, one.code) for one in log.between(title, first, last)]
        kept = log.examine()
        log.close()
    wanted = [
        (BEGIN + timedelta(minutes=minutes), code[:16])
        for minutes, code in given
        if code in (CODES[0], CODES[2]) and start <= minutes <= start + length
    ]
    assert sorted(found) == sorted(wanted)
    assert [at for at, _ in found] == sorted(at for at, _ in found)
    assert (kept.answers, kept.counted) == (
        len(given) - [code for _, code in given].count(None),
        len(given) - kept.answers,
    )
    assert kept.began == (min(BEGIN + timedelta(minutes=minutes) for minutes, _ in given) if given else None)


def many(folder: Path, code: str, count: int) -> None:
    log = AnswerLog(folder, every=0.01)
    for n in range(count):
        log.record(answer(n / 60_000, code), Channel.CODE_JSON)
    log.close()


def test_two_processes_write_ten_thousand_each(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    arguments = [(tmp_path / "answers", code, 10_000) for code in CODES[:2]]
    processes = [context.Process(target=many, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    written = [(row[2], row[1]) for row in rows(tmp_path / "answers")]
    assert len(written) == 20_000
    first = int(BEGIN.timestamp() * 1000)
    assert sorted(written) == sorted((code[:16], first + n) for code in CODES[:2] for n in range(10_000))


def garbage(path: Path) -> None:
    path.write_bytes(b"not a store at all\n" * 500)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as c:
        c.execute("CREATE TABLE answers (id INTEGER PRIMARY KEY)")


def unprotected(path: Path) -> None:
    change(path, "DROP TRIGGER answers_no_delete")


def from_the_future(path: Path) -> None:
    change(path, "PRAGMA user_version=2")


def a_folder(path: Path) -> None:
    path.mkdir()


def change(path: Path, statement: str) -> None:
    log = AnswerLog(path.parent)
    log.record(answer(0), Channel.CLI)
    log.close()
    with closing(sqlite3.connect(path)) as c:
        c.execute(statement)


@pytest.mark.parametrize("damage", [garbage, emptied, foreign, unprotected, from_the_future, a_folder])
def test_a_bad_file_is_named_and_stops_no_verification(
    registry: Registry, certificate: Certificate, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    bad = registry.folder.answers / MONTH
    registry.folder.answers.mkdir()
    damage(bad)
    assert asked(registry, certificate.code).status is Status.VALID
    title = title_of(registry, certificate)
    for read in (
        registry.answers.flush,
        registry.answers.examine,
        registry.answers.began,
        lambda: list(registry.answers.between(title, BEGIN - timedelta(days=60))),
    ):
        with pytest.raises(Unavailable, match="答复记录") as refused:
            read()
        assert str(bad) in refused.value.message
        assert refused.value.fix
    bad.rename(registry.folder.path / "put-aside")
    assert [one.status for one in registry.answers.between(title, BEGIN - timedelta(days=60))] == [Status.VALID]


def test_what_could_not_be_kept_is_counted_and_the_log_says_so(
    tmp_path: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "answers"
    folder.write_bytes(b"in the way")
    log = AnswerLog(folder, every=0.01, most_waiting=10)
    for n in range(1_000):
        log.record(answer(n), Channel.CODE_JSON)
    with pytest.raises(Unavailable):
        log.flush()
    log.close()
    assert log.lost > 0
    assert "answers not recorded" in "".join(capsys.readouterr())
    folder.unlink()
    log.record(answer(2_000), Channel.CODE_JSON)
    log.close()
    kept, gaps = log.examine(), list(log.gaps(BEGIN, BEGIN + timedelta(days=1)))
    assert kept.answers + kept.lost == 1_001
    assert (kept.lost, sum(gap.lost for gap in gaps)) == (log.lost, log.lost)
    assert gaps[-1].ended == BEGIN + timedelta(minutes=999)
    assert list(log.gaps(BEGIN + timedelta(days=1), BEGIN + timedelta(days=2))) == []
    assert list(log.gaps(BEGIN - timedelta(days=1), BEGIN - timedelta(minutes=1))) == []


def test_a_file_taken_away_while_it_is_open_is_noticed(log: AnswerLog, registry: Registry) -> None:
    log.record(answer(0), Channel.CLI)
    log.flush()
    shutil.rmtree(log.months.folder)
    log.record(answer(1), Channel.CLI)
    log.flush()
    assert [row[1] for row in rows(log.months.folder)] == [int(answer(1).checked_at.timestamp() * 1000)]


# --- retention


def years(log: AnswerLog) -> list[str]:
    """One answer in each month of 2025 and 2026."""
    months = [(year, month) for year in (2025, 2026) for month in range(1, 13)]
    for year, month in months:
        at = datetime(year, month, 28, 23, 59, 59, 999_999, UTC)
        log.record(msgspec.structs.replace(answer(0), checked_at=at), Channel.CODE_JSON)
    log.flush()
    return [f"{year}-{month:02d}" for year, month in months]


def test_months_are_dropped_whole_and_only_when_they_are_old(log: AnswerLog, registry: Registry) -> None:
    months = years(log)
    now = datetime(2026, 11, 15, tzinfo=UTC)
    assert log.prune(now) == []  # three years, if nothing is said
    assert log.expired(now, 6) == [month for month in months if month < "2026-05"]
    assert log.months.names() == months
    assert log.prune(now, 6) == [month for month in months if month < "2026-05"]
    assert sorted(path.name[:7] for path in log.months.folder.iterdir() if path.suffix == ".db") == months[16:]
    found = log.between(titled(registry, CODES[0]), datetime(2025, 1, 1, tzinfo=UTC))
    assert [f"{one.at:%Y-%m}" for one in found] == months[16:]
    assert log.began() == datetime(2026, 5, 28, 23, 59, 59, 999_000, UTC)
    assert log.prune(now, 6) == []


def test_less_than_six_months_is_refused(log: AnswerLog) -> None:
    months = years(log)
    with pytest.raises(BadInput, match="至少保存 6 个月") as refused:
        log.prune(datetime(2030, 1, 1, tzinfo=UTC), 5)
    assert refused.value.fix
    assert log.months.names() == months
