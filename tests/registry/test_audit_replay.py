"""Replay and difference: the register as it was after each step of a life, and which fact made each change."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.custody import Custody
from registry.audit import (
    Difference,
    Moment,
    day_of,
    diff,
    diff_statistics,
    export,
    layout,
    replay,
    titles_at,
)
from registry.errors import BadInput, CorruptHistory, NotFound
from registry.log.facts import NAMES
from registry.register.register import Query
from registry.register.rows import TitleRow
from registry.terms import Status, civil_date
from registry.titles.events import DecisionKind
from tests.audit_life import NAMES as PEOPLE
from tests.audit_life import Life, fresh
from tests.people import CHIEF, CLERK, Clock, awarding, deciding, person, proposed


def time_of(live: Life, what: str) -> datetime:
    return next(at for step, at, _ in live.then if step == what)


def test_replay_gives_the_register_as_it_was_after_every_step(live: Life, exported: Path) -> None:
    # `then` holds what the live register answered at the time, before the later facts existed
    for what, at, rows in live.then:
        assert list(replay(live.registry, known_at=at)) == rows, what
        assert list(replay(exported, known_at=at)) == rows, what
    assert list(replay(live.registry.log)) == live.then[-1][2]
    assert list(replay(live.registry, known_at=live.then[0][1] - timedelta(days=1))) == []


def position_of(live: Life, stream: str, name: str) -> int:
    return next(event.position for event in live.registry.history(stream) if NAMES[type(event.fact)] == name)


def test_a_log_position_is_as_good_as_a_time(live: Life, exported: Path) -> None:
    events = list(live.registry.log.events(0, live.registry.log.head()))
    for source in (live.registry, exported):
        known = [{row.title: row for row in replay(source, known_at=position)} for position in range(len(events) + 1)]
        assert known[0] == {}
        assert list(known[-1].values()) == list(replay(source)) == list(replay(source, known_at=len(events) + 1000))
        revoked = position_of(live, live.titles[1], "title-revoked/1")
        assert known[revoked - 1][live.titles[1]].status == Status.VALID, "one before it"
        assert known[revoked][live.titles[1]].status == Status.REVOKED, "and with it"
        for what, at, rows in live.then:
            assert list(known[sum(one.recorded_at <= at for one in events)].values()) == rows, what


def test_a_clock_that_was_set_back_leaves_no_gap(made: tuple[Path, Custody], tmp_path: Path) -> None:
    clock = Clock()
    registry = fresh(made, tmp_path / "data", clock)
    clock.forward(minutes=20)
    title = registry.award(awarding(person(1)), officer=CLERK)
    awarded = clock.now
    clock.forward(minutes=10)
    revocation = proposed(registry, title, deciding(DecisionKind.REVOCATION))
    clock.now = awarded - timedelta(minutes=5)  # the approval is recorded before the award, by this clock
    registry.approve(revocation.fact.proposal, revocation.fact.digest, officer=CHIEF)
    head = registry.log.head()
    export(registry, tmp_path / "export")
    for source in (registry, tmp_path / "export"):
        (row,) = replay(source, known_at=awarded)
        assert (row.status, row.open_proposals) == (Status.VALID, 0), "the proposal came later: the history ends there"
        assert [one.status for one in replay(source, known_at=head)] == [Status.REVOKED]
        (row,) = replay(source, known_at=head - 1)
        assert (row.status, row.open_proposals) == (Status.VALID, 1)
        (found,) = diff(Moment(source, known_at=awarded), Moment(source, known_at=head))
        assert [fact.name for fact in found.facts] == ["title-revoked/1"]
    assert registry.title(title, known_at=awarded).decisions == ()
    registry.close()


def test_an_answer_as_known_at_a_position_rests_on_the_log_up_to_there(live: Life) -> None:
    first = live.titles[0]
    code = live.registry.title(first).certificates[0].code
    signed, corrected = (position_of(live, first, name) for name in ("certificate-signed/2", "title-corrected/1"))
    asked, head = (0, signed - 1, signed, corrected, 10_000), live.registry.log.head()
    answers = {at: live.registry.verifier.check(code, known_at=at) for at in asked}
    assert [one.status for one in answers.values()] == ["unknown", "unknown", "valid", "superseded", "superseded"]
    assert [one.log_position for one in answers.values()] == [*asked[:4], head]
    events = live.registry.history(first)
    assert answers[signed].known_at == next(one.recorded_at for one in events if one.position == signed)
    assert (answers[0].known_at, answers[10_000].known_at) == (None, None)


def test_title_and_holder_at_a_moment(live: Life) -> None:
    third = live.titles[2]
    holder, head = live.registry.title(third).holder, live.registry.log.head()
    renamed = position_of(live, holder, "holder-renamed/1")
    assert live.registry.holder(holder, known_at=head).name(date(2026, 2, 1)) == PEOPLE[5]
    assert live.registry.holder(holder, known_at=head).name(date(2026, 1, 31)) == PEOPLE[2], "not in force yet"
    assert live.registry.holder(holder, known_at=renamed - 1).name(date(2026, 2, 1)) == PEOPLE[2], "not known yet"
    with pytest.raises(NotFound):
        live.registry.title(third, known_at=0)
    with pytest.raises(NotFound):
        live.registry.holder(holder, known_at=0)
    assert day_of(live.registry, None, renamed) == civil_date(live.registry.history(holder)[1].recorded_at)


def test_a_list_of_titles_at_a_moment_has_the_names_of_then(live: Life) -> None:
    third, head = live.titles[2], live.registry.log.head()
    renamed = position_of(live, live.registry.title(third).holder, "holder-renamed/1")

    def names(as_of: date | None, known_at: int | None, **query: str) -> dict[str, str]:
        found = titles_at(live.registry, Query(**query), as_of, known_at, limit=10, cursor=None)
        return {row.title: name for row, name in found.rows}

    assert names(date(2026, 2, 1), head)[third] == PEOPLE[5]
    assert names(date(2026, 2, 1), renamed - 1)[third] == PEOPLE[2]
    assert set(names(date(2026, 4, 1), head, status=Status.SUSPENDED)) == {third, live.titles[3]}
    assert set(names(date(2026, 3, 31), head, status=Status.SUSPENDED)) == {live.titles[3]}
    first = titles_at(live.registry, Query(), None, head, limit=3, cursor=None)
    rest = titles_at(live.registry, Query(), None, head, limit=3, cursor=first.next)
    assert ([row.title for row, _ in (*first.rows, *rest.rows)], rest.next) == (sorted(live.titles), None)
    with pytest.raises(BadInput, match="按姓名"):
        names(None, head, name=PEOPLE[0])


def status(rows: list[TitleRow], title: str) -> tuple[str, str | None]:
    return next((row.status, row.status_from) for row in rows if row.title == title)


def test_replay_on_an_effective_date(live: Life, exported: Path) -> None:
    _, second, third, paper, *_ = live.titles
    for source in (live.registry, exported):
        before = list(replay(source, date(2021, 9, 19)))
        assert status(before, second) == (Status.NOT_YET_EFFECTIVE, None)
        assert status(before, paper) == (Status.VALID, None), "awarded in 1998"
        assert status(list(replay(source, date(2026, 3, 8))), second) == (Status.REVOKED, "2021-09-20")
        assert status(list(replay(source, date(2026, 3, 9))), second)[0] == Status.VALID, "reinstated"
        assert status(list(replay(source, date(2026, 3, 31))), third) == (Status.VALID, None)
        assert status(list(replay(source, date(2026, 4, 1))), third) == (Status.SUSPENDED, "2026-04-01")


def test_both_clocks_together(live: Life) -> None:
    second = live.titles[1]
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
        "specialty": "title-corrected/1", "certificate": "certificate-signed/2", "version": "certificate-signed/2",
    }  # fmt: skip
    assert [fact.name for fact in found.facts] == ["title-corrected/1", "certificate-signed/2"]


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


def test_the_figures_that_differ_are_named_with_both_numbers(live: Life) -> None:
    revoked = position_of(live, live.titles[1], "title-revoked/1")
    a, b = Moment(live.registry, known_at=revoked - 1), Moment(live.registry, known_at=revoked)
    found = [(one.figure, one.of[1:], one.before, one.after) for one in diff_statistics(a, b)]
    assert found == [
        ("by_authority", ("intermediate", "revoked"), 0, 1),
        ("by_authority", ("intermediate", "valid"), 3, 2),
    ]
    assert list(diff_statistics(b, b)) == []


Asked = tuple[date | None, timedelta | int | None]
MOMENTS = st.tuples(
    st.none() | st.dates(date(1998, 1, 1), date(2027, 1, 1)),
    st.none() | st.integers(-2, 40).map(lambda minutes: timedelta(minutes=minutes)) | st.integers(0, 40),
)


@given(one=MOMENTS, other=MOMENTS)
def test_two_replays_differ_exactly_where_diff_says(live: Life, exported: Path, one: Asked, other: Asked) -> None:
    a, b = (
        Moment(source, as_of, live.then[0][1] + known if isinstance(known, timedelta) else known)
        for source, (as_of, known) in ((live.registry, one), (exported, other))
    )
    left, right = ({row.title: row for row in replay(m.source, m.as_of, m.known_at)} for m in (a, b))
    found = {difference.title: difference for difference in diff(a, b)}
    assert set(found) == {title for title in {*left, *right} if left.get(title) != right.get(title)}
    figures = {(one.figure, *one.of): (one.before, one.after) for one in diff_statistics(a, b)}
    assert figures.get(("titles",), (len(left), len(left))) == (len(left), len(right))
    for title, difference in found.items():
        for field in TitleRow.__struct_fields__[1:]:
            told = [(one.before, one.after) for one in difference.fields if one.field == field]
            values = getattr(left.get(title), field, None), getattr(right.get(title), field, None)
            assert told == ([values] if values[0] != values[1] else [])
