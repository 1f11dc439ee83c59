"""Replay and difference: the register as it was after each step of a life, and which fact made each change."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.custody import Custody
from registry.audit import Difference, Moment, diff, export, layout, replay
from registry.errors import BadInput, CorruptHistory
from registry.register.rows import TitleRow
from registry.terms import Status
from tests.audit_life import Life, fresh, live_through
from tests.people import Clock


@pytest.fixture(scope="module")
def live(made: tuple[Path, Custody], tmp_path_factory: pytest.TempPathFactory) -> Life:
    clock = Clock()
    return live_through(fresh(made, tmp_path_factory.mktemp("life") / "data", clock), clock)


@pytest.fixture(scope="module")
def exported(live: Life, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("export") / "export"
    export(live.registry, directory)
    return directory


def time_of(live: Life, what: str) -> datetime:
    return next(at for step, at, _ in live.then if step == what)


def test_replay_gives_the_register_as_it_was_after_every_step(live: Life, exported: Path) -> None:
    # `then` holds what the live register answered at the time, before the later facts existed
    for what, at, rows in live.then:
        assert list(replay(live.registry, known_at=at)) == rows, what
        assert list(replay(exported, known_at=at)) == rows, what
    assert list(replay(live.registry.log)) == live.then[-1][2]
    assert list(replay(live.registry, known_at=live.then[0][1] - timedelta(days=1))) == []


def status(rows: list[TitleRow], title: str) -> tuple[str, str | None]:
    return next((row.status, row.status_from) for row in rows if row.title == title)


def test_replay_on_an_effective_date(live: Life, exported: Path) -> None:
    _, second, third, paper = live.titles
    for source in (live.registry, exported):
        before = list(replay(source, date(2021, 9, 19)))
        assert status(before, second) == (Status.NOT_YET_EFFECTIVE, None)
        assert status(before, paper) == (Status.VALID, None), "awarded in 1998"
        assert status(list(replay(source, date(2026, 3, 8))), second) == (Status.REVOKED, "2021-09-20")
        assert status(list(replay(source, date(2026, 3, 9))), second)[0] == Status.VALID, "reinstated"
        assert status(list(replay(source, date(2026, 3, 31))), third) == (Status.VALID, None)
        assert status(list(replay(source, date(2026, 4, 1))), third) == (Status.SUSPENDED, "2026-04-01")


def test_both_clocks_together(live: Life) -> None:
    _, second, _, _ = live.titles
    day, then = date(2023, 1, 1), time_of(live, "revocation proposed")
    assert status(list(replay(live.registry, day, then)), second)[0] == Status.VALID, "as known then"
    assert status(list(replay(live.registry, day)), second)[0] == Status.REVOKED, "as known now"


def test_a_damaged_export_is_not_replayed(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        list(replay(tmp_path))
    (tmp_path / layout.MANIFEST).write_bytes((exported / layout.MANIFEST).read_bytes())
    lines = (exported / layout.EVENTS).read_bytes().splitlines(keepends=True)
    (tmp_path / layout.EVENTS).write_bytes(b"".join([*lines[:6], b"what?\n", *lines[6:]]))
    with pytest.raises(CorruptHistory, match="第 7 行"):
        list(replay(tmp_path))
    (tmp_path / layout.MANIFEST).write_bytes(b"{}")
    with pytest.raises(CorruptHistory):
        list(replay(tmp_path))


def said(difference: Difference) -> list[tuple[str, object, object, str]]:
    return [(one.field, one.before, one.after, one.made_by.name) for one in difference.fields]


def test_a_difference_names_the_fact_that_made_it(live: Life) -> None:
    proposed, approved = (time_of(live, f"revocation {word}") for word in ("proposed", "approved"))
    (found,) = diff(Moment(live.registry, known_at=proposed), Moment(live.registry, known_at=approved))
    assert (found.title, found.kind) == (live.titles[1], "changed")
    assert said(found) == [
        ("status", "valid", "revoked", "title-revoked/1"),
        ("status_from", None, "2021-09-20", "title-revoked/1"),
        ("open_proposals", 1, 0, "title-revoked/1"),
    ]
    (fact,) = found.facts
    event = live.registry.history(fact.stream)[fact.version - 1]
    assert (fact.position, fact.recorded_at) == (event.position, event.recorded_at)


def test_each_field_has_its_own_fact(live: Life) -> None:
    certificate, second = time_of(live, "certificate"), time_of(live, "second version")
    (found,) = diff(Moment(live.registry, known_at=certificate), Moment(live.registry, known_at=second))
    by_field = {one.field: one.made_by.name for one in found.fields}
    assert by_field == {
        "specialty": "title-corrected/1", "certificate": "certificate-signed/1", "version": "certificate-signed/1",
    }  # fmt: skip
    assert [fact.name for fact in found.facts] == ["title-corrected/1", "certificate-signed/1"]


def test_a_title_that_is_new_came_by_its_award(live: Life) -> None:
    first, second = (time_of(live, f"awarded to {n}") for n in (1, 2))
    (found,) = diff(Moment(live.registry, known_at=first), Moment(live.registry, known_at=second))
    assert (found.title, found.kind) == (live.titles[1], "added")
    assert [fact.name for fact in found.facts] == ["title-awarded/1"]
    (lost,) = diff(Moment(live.registry, known_at=second), Moment(live.registry, known_at=first))
    assert (lost.title, lost.kind) == (live.titles[1], "removed")


def test_two_effective_dates_differ_by_the_decision_between_them(live: Life) -> None:
    found = list(diff(Moment(live.registry, date(2026, 3, 31)), Moment(live.registry, date(2026, 4, 1))))
    assert [(one.title, said(one)) for one in found] == [
        (
            live.titles[2],
            [
                ("status", "valid", "suspended", "title-suspended/1"),
                ("status_from", None, "2026-04-01", "title-suspended/1"),
            ],
        )
    ]


MOMENTS = st.tuples(
    st.none() | st.dates(date(1998, 1, 1), date(2027, 1, 1)),
    st.none() | st.integers(-2, 40),
)


@given(one=MOMENTS, other=MOMENTS)
def test_two_replays_differ_exactly_where_diff_says(
    live: Life, exported: Path, one: tuple[date | None, int | None], other: tuple[date | None, int | None]
) -> None:
    a, b = (
        Moment(source, as_of, None if minutes is None else live.then[0][1] + timedelta(minutes=minutes))
        for source, (as_of, minutes) in ((live.registry, one), (exported, other))
    )
    left, right = ({row.title: row for row in replay(m.source, m.as_of, m.known_at)} for m in (a, b))
    found = {difference.title: difference for difference in diff(a, b)}
    assert set(found) == {title for title in {*left, *right} if left.get(title) != right.get(title)}
    for title, difference in found.items():
        for field in TitleRow.__struct_fields__[1:]:
            told = [(one.before, one.after) for one in difference.fields if one.field == field]
            values = getattr(left.get(title), field, None), getattr(right.get(title), field, None)
            assert told == ([values] if values[0] != values[1] else [])
