"""Officers: one person is one officer, the first two found the registry together, every role needs two others."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from keys.custody import Custody
from registry.errors import (
    BadInput,
    Forbidden,
    NeedsSecondOfficer,
    NotFound,
    Refused,
    RegistryError,
    WrongState,
)
from registry.folder import Folder
from registry.holders.identity import parse
from registry.officers.officer import Staff, find_waiting, stream_of
from registry.service import Registry
from registry.terms import Role
from registry.titles.events import DecisionKind
from tests import engine
from tests.check_log import check_log
from tests.conftest import CONFIG
from tests.people import (
    CHIEF,
    CITY,
    CLERK,
    JINYUN,
    QINGTIAN,
    THIRD,
    Clock,
    appoint,
    awarding,
    deciding,
    identity_number,
    paper_of_1998,
    person,
    proposed,
    scans,
    settable,
    staff,
)

PAPER = "丽人社授〔2026〕2号"


def refused(registry: Registry, kind: type[RegistryError], act: Callable[[], Any]) -> RegistryError:
    """Refused with exactly this error, which says what to do; nothing was written."""
    head = registry.log.head()
    with pytest.raises(kind) as caught:
        act()
    assert type(caught.value) is kind, repr(caught.value)
    assert caught.value.message
    assert caught.value.fix
    assert registry.log.head() == head
    return caught.value


def waiting(registry: Registry, actor: str, role: Role, authority: str = CITY, by: str = CHIEF) -> tuple[str, str]:
    """Propose a role; return its id and digest."""
    grant = registry.appointing.propose(actor, role, authority, PAPER, officer=by)
    return grant, find_waiting(registry.appointing.officer(actor), grant).fact.digest


@pytest.fixture
def unfounded(tmp_path: Path, passphrase: bytes, clock: Clock) -> Any:
    registry = Registry.create(tmp_path / "new", passphrase, engine.kept(CONFIG), clock)
    yield registry
    registry.close()


@pytest.fixture
def newcomer(registry: Registry) -> str:
    """Registered, without a role."""
    registry.appointing.register("new-09", staff(9), officer=CHIEF)
    return "new-09"


# founding


def test_nobody_may_do_anything_before_the_founding(unfounded: Registry) -> None:
    """And whoever tries is told how it begins."""
    told = refused(unfounded, Forbidden, lambda: unfounded.award(awarding(person(1)), officer=CLERK))
    assert "officers found" in told.fix
    refused(unfounded, Forbidden, lambda: unfounded.appointing.register("x-1", staff(1), officer=CHIEF))


def test_two_persons_found_it_once(unfounded: Registry) -> None:
    appointing = unfounded.appointing
    refused(unfounded, BadInput, lambda: appointing.found([("a-1", staff(1)), ("a-2", staff(1))]))
    refused(unfounded, BadInput, lambda: appointing.found([("a-1", staff(1)), ("a-1", staff(2))]))
    refused(unfounded, BadInput, lambda: appointing.found([("A 1", staff(1)), ("a-2", staff(2))]))
    appointing.found([("a-1", staff(1)), ("a-2", staff(2))])
    refused(unfounded, WrongState, lambda: appointing.found([("b-1", staff(3)), ("b-2", staff(4))]))
    assert [one.actor for one in appointing.all()] == ["a-1", "a-2"]
    check_log(unfounded)


def test_two_foundings_at_once_are_one(unfounded: Registry, passphrase: bytes, clock: Clock) -> None:
    """The second process has read before the first wrote: the claim decides, not the look."""
    with closing(Registry.open(unfounded.folder.path, passphrase, clock)) as other:
        other.log.claimed("founding", "founding.1")
        unfounded.appointing.found([("a-1", staff(1)), ("a-2", staff(2))])
        refused(other, WrongState, lambda: other.appointing.found([("b-1", staff(3)), ("b-2", staff(4))]))


# one person, one officer


def test_one_person_has_one_id_whatever_accounts(registry: Registry, newcomer: str) -> None:
    told = refused(registry, Refused, lambda: registry.appointing.register("new-10", staff(9), officer=CHIEF))
    assert "new-09" in told.message
    registry.appointing.register(newcomer, staff(9), officer=CHIEF)
    refused(registry, Refused, lambda: registry.appointing.register(newcomer, staff(8), officer=CHIEF))
    check_log(registry)


def test_a_15_digit_number_is_the_same_person(registry: Registry) -> None:
    number = identity_number(40_009)
    old = Staff("沈知远", parse(number[:6] + number[8:17]))
    registry.appointing.register("new-09", Staff("沈知远", parse(number)), officer=CHIEF)
    refused(registry, Refused, lambda: registry.appointing.register("new-10", old, officer=CHIEF))


@pytest.mark.parametrize(
    "actor", ["", "x", "Clerk", "a b", "holder-1", "title-1", "system", "a/b", "甲", "a" * 41, "-a"]
)
def test_an_id_that_cannot_be_one(registry: Registry, actor: str) -> None:
    refused(registry, BadInput, lambda: registry.appointing.register(actor, staff(9), officer=CHIEF))


def test_an_officer_without_a_name(registry: Registry) -> None:
    refused(
        registry, BadInput, lambda: registry.appointing.register("a-1", Staff(" ", staff(9).identity), officer=CHIEF)
    )


def test_no_name_of_an_officer_in_clear(registry: Registry, newcomer: str) -> None:
    states = b"".join(row[-1] for row in engine.rows(registry, "stored_events"))
    assert newcomer.encode() in b"".join(one.encode() for one in registry.log.streams_of(_officers()))
    for word in (staff(9).name, staff(9).identity.number):
        assert word.encode() not in states


def _officers() -> Any:
    from registry.officers.officer import OFFICERS

    return OFFICERS


# roles by two officers


def test_a_role_counts_when_another_approver_granted_it(registry: Registry, newcomer: str) -> None:
    refused(registry, Forbidden, lambda: registry.award(awarding(person(1)), officer=newcomer))
    grant, digest = waiting(registry, newcomer, Role.CLERK)
    refused(registry, Forbidden, lambda: registry.award(awarding(person(1)), officer=newcomer))
    registry.appointing.grant(grant, digest, officer=THIRD)
    assert registry.award(awarding(person(1)), officer=newcomer).startswith("title-")
    head = registry.log.head()
    registry.appointing.grant(grant, digest, officer=THIRD)
    assert registry.appointing.propose(newcomer, Role.CLERK, CITY, PAPER, officer=CHIEF) == grant
    assert registry.log.head() == head
    check_log(registry)


def test_nobody_is_their_own_second_officer(registry: Registry, newcomer: str) -> None:
    grant, digest = waiting(registry, newcomer, Role.APPROVER)
    refused(registry, NeedsSecondOfficer, lambda: registry.appointing.grant(grant, digest, officer=CHIEF))
    about = registry.appointing
    refused(registry, NeedsSecondOfficer, lambda: about.propose(CHIEF, Role.AUDITOR, QINGTIAN, PAPER, officer=CHIEF))
    registry.appointing.grant(grant, digest, officer=THIRD)
    mine, what = waiting(registry, newcomer, Role.CLERK)
    refused(registry, NeedsSecondOfficer, lambda: registry.appointing.grant(mine, what, officer=newcomer))


def test_other_content_late_or_unknown_is_not_granted(registry: Registry, newcomer: str, clock: Clock) -> None:
    appointing = registry.appointing
    grant, digest = waiting(registry, newcomer, Role.CLERK)
    refused(registry, NeedsSecondOfficer, lambda: appointing.grant(grant, digest[::-1], officer=THIRD))
    refused(registry, NotFound, lambda: appointing.grant(f"{stream_of(newcomer)}.99", digest, officer=THIRD))
    refused(registry, NotFound, lambda: appointing.grant("officer-nobody.1", digest, officer=THIRD))
    clock.forward(hours=72, seconds=1)
    refused(registry, WrongState, lambda: appointing.grant(grant, digest, officer=THIRD))
    again, digest = waiting(registry, newcomer, Role.CLERK)
    assert again != grant
    appointing.grant(again, digest, officer=THIRD)


def test_a_refused_role_never_counts(registry: Registry, newcomer: str) -> None:
    appointing = registry.appointing
    grant, digest = waiting(registry, newcomer, Role.CLERK)
    refused(registry, BadInput, lambda: appointing.refuse(grant, " ", officer=THIRD))
    appointing.refuse(grant, "编制已满", officer=THIRD)
    refused(registry, NotFound, lambda: appointing.grant(grant, digest, officer=THIRD))
    check_log(registry)


def test_a_role_taken_away_stops_at_once_in_every_process(registry: Registry, second: Registry) -> None:
    second.award(awarding(person(1)), officer=CLERK)
    held = next(one for one in registry.appointing.officer(CLERK).grants if one.role is Role.CLERK)
    refused(registry, BadInput, lambda: registry.appointing.withdraw(held.id, "", officer=CHIEF))
    registry.appointing.withdraw(held.id, PAPER, officer=CHIEF)
    refused(second, Forbidden, lambda: second.award(awarding(person(2)), officer=CLERK))
    refused(registry, NotFound, lambda: registry.appointing.withdraw(held.id, PAPER, officer=CHIEF))


def test_two_approvers_over_the_city_are_left(registry: Registry) -> None:
    roles = {
        one.actor: next(held.id for held in one.grants if held.role is Role.APPROVER)
        for one in registry.appointing.all()
    }
    registry.appointing.withdraw(roles[CLERK], PAPER, officer=CHIEF)
    for actor in (CHIEF, THIRD):
        refused(
            registry, WrongState, lambda actor=actor: registry.appointing.withdraw(roles[actor], PAPER, officer=CHIEF)
        )


@pytest.mark.parametrize("alone", [Role.OPERATOR, Role.AUDITOR])
def test_who_runs_or_watches_it_decides_nothing(registry: Registry, newcomer: str, alone: Role) -> None:
    appoint(registry, newcomer, alone)
    act = registry.appointing.propose
    refused(registry, WrongState, lambda: act(newcomer, Role.CLERK, CITY, PAPER, officer=CHIEF))
    refused(registry, WrongState, lambda: act(CLERK, alone, CITY, PAPER, officer=CHIEF))


def test_two_roles_that_do_not_go_together_are_not_granted_side_by_side(registry: Registry, newcomer: str) -> None:
    """Both were proposed while neither was in force."""
    clerk, auditor = waiting(registry, newcomer, Role.CLERK), waiting(registry, newcomer, Role.AUDITOR)
    registry.appointing.grant(*auditor, officer=THIRD)
    refused(registry, WrongState, lambda: registry.appointing.grant(*clerk, officer=THIRD))


def test_a_role_that_is_none_to_grant(registry: Registry, newcomer: str) -> None:
    act = registry.appointing.propose
    refused(registry, BadInput, lambda: act(newcomer, Role.HOLDER, CITY, PAPER, officer=CHIEF))
    refused(registry, BadInput, lambda: act(newcomer, Role.CLERK, CITY, "  ", officer=CHIEF))
    refused(registry, NotFound, lambda: act(newcomer, Role.CLERK, "999999", PAPER, officer=CHIEF))
    refused(registry, NotFound, lambda: act("nobody", Role.CLERK, CITY, PAPER, officer=CHIEF))


# scope: by subordination


def test_a_county_grants_within_itself_only(registry: Registry, newcomer: str) -> None:
    """A county's approver grants no role over the city or over another county, and not over everything."""
    appointing = registry.appointing
    for actor, n in (("qt-1", 11), ("qt-2", 12)):
        appointing.register(actor, staff(n), officer=CHIEF)
        appoint(registry, actor, Role.APPROVER, QINGTIAN)
    for authority in (CITY, JINYUN):
        refused(
            registry, Forbidden, lambda authority=authority: appointing.propose(
                newcomer, Role.CLERK, authority, PAPER, officer="qt-1")
        )  # fmt: skip
        grant, digest = waiting(registry, newcomer, Role.CLERK, authority)
        refused(registry, Forbidden, lambda grant=grant, digest=digest: appointing.grant(grant, digest, officer="qt-2"))
        refused(registry, Forbidden, lambda grant=grant: appointing.refuse(grant, "不是我县", officer="qt-2"))
    grant, digest = waiting(registry, newcomer, Role.CLERK, QINGTIAN, by="qt-1")
    appointing.grant(grant, digest, officer="qt-2")
    registry.award(awarding(person(1), authority=QINGTIAN), officer=newcomer)
    for authority in (CITY, JINYUN):
        told = awarding(person(2), authority=authority)
        refused(registry, Forbidden, lambda told=told: registry.award(told, officer=newcomer))


def test_a_county_decides_its_own_and_the_city_its_counties(registry: Registry) -> None:
    appointing = registry.appointing
    for actor, n, role in (("qt-1", 11, Role.CLERK), ("qt-2", 12, Role.APPROVER), ("jy-2", 13, Role.APPROVER)):
        appointing.register(actor, staff(n), officer=CHIEF)
        appoint(registry, actor, role, JINYUN if actor == "jy-2" else QINGTIAN)
    own = registry.award(awarding(person(1), authority=QINGTIAN), officer="qt-1")
    city = registry.award(awarding(person(2)), officer=CLERK)
    told = deciding(DecisionKind.REVOCATION, authority=QINGTIAN)
    open_ = registry.propose(own, told, officer="qt-1")
    for officer in ("jy-2", "qt-1"):
        refused(
            registry, Forbidden,
            lambda officer=officer: registry.approve(open_.fact.proposal, open_.fact.digest, officer=officer),
        )  # fmt: skip
    registry.approve(open_.fact.proposal, open_.fact.digest, officer="qt-2")
    refused(registry, Forbidden, lambda: proposed(registry, city, deciding(DecisionKind.REVOCATION), "qt-1"))
    refused(registry, Forbidden, lambda: registry.issue(city, settable, officer="qt-1"))
    refused(
        registry, Forbidden,
        lambda: registry.submit_paper(paper_of_1998(person(3)), None, scans(), officer="qt-1"),
    )  # fmt: skip
    check_log(registry)


def test_a_holder_is_changed_by_an_authority_of_theirs(registry: Registry, clock: Clock) -> None:
    registry.appointing.register("qt-1", staff(11), officer=CHIEF)
    appoint(registry, "qt-1", Role.CLERK, QINGTIAN)
    stream = registry.award(awarding(person(1)), officer=CLERK)
    holder = registry.title(stream).holder
    change = {"basis": "change", "document_no": "青公〔2026〕1号", "effective_on": registry.today}
    refused(registry, Forbidden, lambda: registry.rename_holder(holder, "林小岚", **change, officer="qt-1"))
    registry.award(awarding(person(1), authority=QINGTIAN, specialty="市政工程"), officer="qt-1")
    assert registry.rename_holder(holder, "林小岚", **change, officer="qt-1").name() == "林小岚"


# their own matters


def test_nobody_decides_on_their_own_record(registry: Registry) -> None:
    """回避: the approver's own number is the holder's."""
    me = staff(1)  # CHIEF
    assert registry.appointing.officer(CHIEF).staff.reveal().identity == me.identity
    stream = registry.award(awarding(person(1, me.name, number=me.identity.number)), officer=CLERK)
    open_ = proposed(registry, stream, deciding(DecisionKind.REVOCATION))
    act = lambda officer: registry.approve(open_.fact.proposal, open_.fact.digest, officer=officer)  # noqa: E731
    assert "回避" in refused(registry, Forbidden, lambda: act(CHIEF)).message
    act(THIRD)
    sent = registry.submit_paper(
        paper_of_1998(person(1, me.name, number=me.identity.number)), None, scans(), officer=CLERK
    )
    refused(registry, Forbidden, lambda: registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF))


def test_a_holder_applies_for_themselves_only(registry: Registry) -> None:
    title = registry.award(awarding(person(1)), officer=CLERK)
    holder = registry.title(title).holder
    refused(registry, Forbidden, lambda: registry.submit_paper(paper_of_1998(person(2)), None, scans(), officer=holder))
    mine = registry.submit_paper(paper_of_1998(person(1)), None, scans(), officer=holder)
    assert mine.submitted_by == holder
    refused(registry, Forbidden, lambda: registry.approve_paper(mine.id, mine.fact.digest, officer=holder))
    refused(
        registry, Forbidden, lambda: registry.submit_paper(paper_of_1998(person(1)), None, scans(), officer="holder-x")
    )


def test_another_process_opens_the_same_officers(made: tuple[Path, Custody], registry: Registry) -> None:
    with closing(Registry(Folder(registry.folder.path), made[1])) as other:
        assert [one.actor for one in other.appointing.all()] == sorted([CHIEF, CLERK, THIRD])


def test_a_role_taken_away_between_the_check_and_the_append_does_not_count(
    registry: Registry, second: Registry
) -> None:
    """The clerk was asked and found able; then the role went, in another process; then the award was to be appended."""
    held = next(one for one in registry.appointing.officer(CLERK).grants if one.role is Role.CLERK)
    asked = registry.authorising.require
    taken_away = []

    def asked_and_then(actor: str, permission: Any, about: str | None) -> Any:
        found = asked(actor, permission, about)
        if not taken_away:
            taken_away.append(second.appointing.withdraw(held.id, PAPER, officer=CHIEF))
        return found

    registry.authorising.require = asked_and_then  # type: ignore[method-assign]
    with pytest.raises(Forbidden):
        registry.award(awarding(person(1)), officer=CLERK)
    assert taken_away
    check_log(registry)
