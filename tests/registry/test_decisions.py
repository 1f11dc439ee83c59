"""Decisions on a title: proposed by one officer, approved by another, over the same content, within 72 hours."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import assume
from hypothesis import given as for_all
from hypothesis import strategies as st

from registry.errors import (
    AlreadyAwarded,
    BadInput,
    CorruptHistory,
    Forbidden,
    NeedsSecondOfficer,
    NotFound,
    NumberTaken,
    Refused,
    RegistryError,
    WrongState,
)
from registry.holders.holder import HOLDERS
from registry.log.facts import FACTS, Fact, Private, Recorded
from registry.paper.application import APPLICATIONS
from registry.service import Registry
from registry.terms import civil_date
from registry.titles import decisions
from registry.titles.award import particulars
from registry.titles.decisions import ProposeDecision, content_digest
from registry.titles.events import (
    Decided,
    DecisionKind,
    DecisionProposed,
    DecisionRefused,
    DecisionReturned,
    Reason,
    TitleAwarded,
    TitleCorrected,
    TitleInvalidated,
    TitleReinstated,
    TitleRevoked,
    TitleSuspended,
)
from registry.titles.state import TITLES, Title
from tests.check_log import check_log
from tests.examples import EXAMPLES
from tests.people import (
    BEGIN,
    CHIEF,
    CITY,
    CLERK,
    JINYUN,
    QINGTIAN,
    THIRD,
    Clock,
    awarding,
    correcting,
    decided,
    deciding,
    person,
    proposed,
)
from tests.scenario import by, given

AWARD = particulars(awarding(person(3)), "X-1")
AWARDED = TitleAwarded(holder="holder-0001", award=AWARD)
RIGHT = msgspec.structs.replace(AWARD, specialty="给水排水")
NOW = BEGIN + timedelta(hours=1)
TODAY = date(2026, 3, 2)
KINDS: dict[DecisionKind, Any] = {
    DecisionKind.REVOCATION: TitleRevoked,
    DecisionKind.INVALIDATION: TitleInvalidated,
    DecisionKind.SUSPENSION: TitleSuspended,
    DecisionKind.REINSTATEMENT: TitleReinstated,
    DecisionKind.CORRECTION: TitleCorrected,
}
BEFORE: dict[DecisionKind, DecisionKind | None] = {  # a decision that must come first
    DecisionKind.REVOCATION: None,
    DecisionKind.INVALIDATION: None,
    DecisionKind.SUSPENSION: None,
    DecisionKind.REINSTATEMENT: DecisionKind.SUSPENSION,
    DecisionKind.CORRECTION: None,
}
# Which decision can follow in which state: written down here a second time, from the glossary.
POSSIBLE = {
    "valid": {"revocation", "invalidation", "suspension", "correction"},
    "suspended": {"revocation", "invalidation", "reinstatement", "correction"},
    "invalidated": {"revocation", "reinstatement"},
    "revoked": {"reinstatement"},
}
WORDS = {"valid": "有效", "suspended": "暂停", "invalidated": "已注销", "revoked": "已撤销"}
LEADS_TO: dict[str, DecisionKind | None] = {
    "valid": None,
    "suspended": DecisionKind.SUSPENSION,
    "invalidated": DecisionKind.INVALIDATION,
    "revoked": DecisionKind.REVOCATION,
}


def proposal(kind: DecisionKind, effective_on: date = TODAY, **changes: Any) -> DecisionProposed:
    fact = DecisionProposed(
        holder="holder-0001",
        proposal="title-0001.2",
        kind=kind,
        effective_on=effective_on,
        document_no="丽人社决〔2026〕1号",
        authority=CITY,
        reason=Private(Reason("材料不实", "salt")),
        digest="",
        corrected=RIGHT if kind is DecisionKind.CORRECTION else None,
    )
    changed: DecisionProposed = msgspec.structs.replace(fact, **changes)
    return msgspec.structs.replace(changed, digest=content_digest("title-0001", changed))


def decision(kind: DecisionKind, effective_on: date = TODAY, proposed_as: str = "title-0001.2") -> Decided:
    about: dict[str, Any] = {"award": RIGHT} if kind is DecisionKind.CORRECTION else {}
    fact: Decided = KINDS[kind](
        proposal=proposed_as,
        proposed_by=CLERK,
        effective_on=effective_on,
        document_no="丽人社决〔2026〕1号",
        authority=CITY,
        **about,
    )
    return fact


def propose(command: ProposeDecision, officer: str = CLERK, now: datetime = NOW) -> Callable[[Title], Any]:
    return lambda title: decisions.propose(
        command, title, officer=officer, proposal="title-0001.2", salt="salt", now=now
    )


def approve(
    fact: DecisionProposed, officer: str = CHIEF, now: datetime = NOW, digest: str = ""
) -> Callable[[Title], Any]:
    return lambda title: decisions.approve(title, fact.proposal, officer=officer, digest=digest or fact.digest, now=now)


def command(kind: DecisionKind, **changes: Any) -> ProposeDecision:
    about: dict[str, Any] = {"document_no": "丽人社决〔2026〕1号", "authority": CITY, "reason": "材料不实"}
    corrected = RIGHT if kind is DecisionKind.CORRECTION else None
    return ProposeDecision(kind=kind, **about | {"corrected": corrected, "effective_on": TODAY} | changes)


def refused(registry: Registry, kind: type[RegistryError], step: Any) -> RegistryError:
    """Exactly this error, with a fix, and the log as it was."""
    head = registry.log.head()
    with pytest.raises(RegistryError) as caught:
        step()
    assert type(caught.value) is kind, repr(caught.value)
    assert caught.value.fix
    assert registry.log.head() == head
    return caught.value


# --- proposing


@pytest.mark.parametrize("state", POSSIBLE)
@pytest.mark.parametrize("kind", DecisionKind)
def test_what_can_follow_from_what(state: str, kind: DecisionKind) -> None:
    led = LEADS_TO[state]
    history = given(AWARDED, *([decision(led)] if led else []))
    assert history.state.standing(None)[0] == state
    if kind in POSSIBLE[state]:
        history.when(propose(command(kind))).then(proposal(kind))
    else:
        error = history.when(propose(command(kind))).refused(WrongState)
        assert WORDS[state] in error.message


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (DecisionKind.REVOCATION, date(2021, 9, 20)),
        (DecisionKind.INVALIDATION, TODAY),
        (DecisionKind.SUSPENSION, TODAY),
    ],
)
def test_a_revocation_is_from_the_start_and_others_from_today(kind: DecisionKind, expected: date) -> None:
    given(AWARDED).when(propose(command(kind, effective_on=None))).then(proposal(kind, expected))


def test_today_is_beijings() -> None:
    """17:00 UTC is one in the morning of the next day in Beijing."""
    late = datetime.fromisoformat("2026-01-01T17:00:00Z")
    given(AWARDED).when(propose(command(DecisionKind.SUSPENSION, effective_on=None), now=late)).then(
        proposal(DecisionKind.SUSPENSION, date(2026, 1, 2))
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"document_no": " "},
        {"reason": "\t"},
        {"effective_on": date(2021, 9, 19)},
        {"corrected": RIGHT},
        {"kind": DecisionKind.CORRECTION},
        {"kind": DecisionKind.CORRECTION, "corrected": AWARD},
        {"kind": DecisionKind.CORRECTION, "corrected": msgspec.structs.replace(AWARD, number="")},
        {"kind": DecisionKind.CORRECTION, "corrected": msgspec.structs.replace(AWARD, title_name=" ")},
    ],
    ids=["document", "reason", "before the award", "corrected", "not corrected", "the same", "number", "title name"],
)
def test_an_incomplete_proposal_is_refused(bad: dict[str, Any]) -> None:
    told = msgspec.structs.replace(command(DecisionKind.REVOCATION), **bad)
    given(AWARDED).when(propose(told)).refused(BadInput)


def test_the_same_proposal_again_is_no_fact() -> None:
    open_ = proposal(DecisionKind.REVOCATION)
    history = given(AWARDED, by(CLERK, open_, NOW))
    history.when(propose(command(DecisionKind.REVOCATION, reason=" 材料不实 "))).then()
    history.when(propose(command(DecisionKind.REVOCATION), officer=THIRD)).then(open_)
    history.when(propose(command(DecisionKind.REVOCATION, document_no="另一号"))).then(
        proposal(DecisionKind.REVOCATION, document_no="另一号")
    )


def test_a_lapsed_proposal_can_be_made_again() -> None:
    open_ = proposal(DecisionKind.REVOCATION)
    later = NOW + timedelta(hours=72, seconds=1)
    history = given(AWARDED, by(CLERK, open_, NOW))
    history.when(propose(command(DecisionKind.REVOCATION), now=later)).then(open_)


# --- approving


@pytest.mark.parametrize("kind", DecisionKind)
def test_another_officer_approves(kind: DecisionKind) -> None:
    first = BEFORE[kind]
    before = [decision(first, proposed_as="title-0001.1")] if first else []
    history = given(AWARDED, *before, by(CLERK, proposal(kind), NOW))
    history.when(approve(proposal(kind))).then(decision(kind))


@pytest.mark.parametrize("kind", DecisionKind)
def test_approving_again_is_no_fact(kind: DecisionKind) -> None:
    """Whoever asks again after a lost answer is not told that there is no such proposal."""
    first = BEFORE[kind]
    before = [decision(first, proposed_as="title-0001.1")] if first else []
    history = given(AWARDED, *before, by(CLERK, proposal(kind), NOW), by(CHIEF, decision(kind), NOW))
    history.when(approve(proposal(kind))).then()


def test_the_proposer_does_not_approve() -> None:
    history = given(AWARDED, by(CLERK, proposal(DecisionKind.REVOCATION), NOW))
    history.when(approve(proposal(DecisionKind.REVOCATION), officer=CLERK)).refused(NeedsSecondOfficer)


def test_other_content_is_not_approved() -> None:
    open_ = proposal(DecisionKind.REVOCATION)
    history = given(AWARDED, by(CLERK, open_, NOW))
    history.when(approve(open_, digest="0" * 64)).refused(NeedsSecondOfficer)
    forged = msgspec.structs.replace(open_, document_no="涂改")
    given(AWARDED, by(CLERK, forged, NOW)).when(approve(forged)).refused(NeedsSecondOfficer)


@pytest.mark.parametrize("field", ["kind", "effective_on", "document_no", "authority", "reason", "corrected"])
def test_the_digest_covers_every_field(field: str) -> None:
    other: dict[str, Any] = {
        "kind": DecisionKind.INVALIDATION,
        "effective_on": date(2026, 3, 3),
        "document_no": "另一号",
        "authority": QINGTIAN,
        "reason": Private(Reason("材料不实", "other salt")),
        "corrected": AWARD,
    }
    one = proposal(DecisionKind.REVOCATION)
    changed = msgspec.structs.replace(one, **{field: other[field]})
    assert content_digest("title-0001", changed) != one.digest
    assert content_digest("title-0002", one) != one.digest


def test_a_proposal_holds_for_72_hours() -> None:
    open_ = proposal(DecisionKind.REVOCATION)
    history = given(AWARDED, by(CLERK, open_, NOW))
    history.when(approve(open_, now=NOW + timedelta(hours=72))).then(decision(DecisionKind.REVOCATION))
    history.when(approve(open_, now=NOW + timedelta(hours=72, microseconds=1))).refused(WrongState)


def test_what_no_longer_follows_is_not_approved() -> None:
    open_ = proposal(DecisionKind.SUSPENSION)
    revoked = decision(DecisionKind.REVOCATION, proposed_as="title-0001.9")
    history = given(AWARDED, by(CLERK, open_, NOW), by(CHIEF, revoked, NOW))
    history.when(approve(open_)).refused(WrongState)


def test_there_is_no_such_proposal() -> None:
    given(AWARDED).when(approve(proposal(DecisionKind.REVOCATION))).refused(NotFound)
    given(AWARDED).when(lambda title: decisions.refuse(title, "title-0001.2", "x", salt="salt")).refused(NotFound)


def test_a_refusal_needs_a_reason_and_closes_the_proposal() -> None:
    open_ = proposal(DecisionKind.REVOCATION)
    history = given(AWARDED, by(CLERK, open_, NOW))
    history.when(lambda title: decisions.refuse(title, open_.proposal, " ", salt="salt")).refused(BadInput)
    closed = DecisionRefused(holder="holder-0001", proposal=open_.proposal, reason=Private(Reason("证据不足", "salt")))
    history.when(lambda title: decisions.refuse(title, open_.proposal, " 证据不足 ", salt="salt")).then(closed)
    given(AWARDED, by(CLERK, open_, NOW), by(CHIEF, closed)).when(approve(open_)).refused(NotFound)


# --- returning for change


def returning(fact: DecisionProposed, officer: str = CHIEF, reason: str = "文号写错") -> Callable[[Title], Any]:
    return lambda title: decisions.return_(title, fact.proposal, reason, officer=officer, salt="salt")


def returned(fact: DecisionProposed) -> DecisionReturned:
    return DecisionReturned(holder="holder-0001", proposal=fact.proposal, reason=Private(Reason("文号写错", "salt")))


def test_a_proposal_is_returned_changed_and_approved() -> None:
    wrong = proposal(DecisionKind.REVOCATION, document_no="丽人社决〔2025〕1号")
    right = proposal(DecisionKind.REVOCATION)
    history = given(AWARDED, by(CLERK, wrong, NOW))
    history.when(returning(wrong, reason=" 文号写错 ")).then(returned(wrong))
    told = [AWARDED, by(CLERK, wrong, NOW), by(CHIEF, returned(wrong), NOW)]
    back = given(*told)
    [one] = back.state.returned
    assert (one.proposal.fact, one.proposal.proposed_by, one.reason.reveal().text) == (wrong, CLERK, "文号写错")
    assert (one.returned_by, one.returned_at, back.state.proposals) == (CHIEF, NOW, ())
    back.when(approve(wrong)).refused(NotFound)
    back.when(returning(wrong)).refused(NotFound)
    back.when(propose(command(DecisionKind.REVOCATION))).then(right)
    anew = given(*told, by(CLERK, right, NOW))
    assert anew.state.returned == ()
    anew.when(approve(right)).then(decision(DecisionKind.REVOCATION))


def test_what_another_proposes_leaves_a_returned_proposal_to_its_proposer() -> None:
    wrong, other = proposal(DecisionKind.REVOCATION), proposal(DecisionKind.SUSPENSION, proposal="title-0001.4")
    told = [AWARDED, by(CLERK, wrong, NOW), by(CHIEF, returned(wrong), NOW)]
    for officer, kind in ((THIRD, DecisionKind.REVOCATION), (CLERK, DecisionKind.SUSPENSION)):
        more = by(officer, msgspec.structs.replace(other, kind=kind), NOW)
        assert [one.proposal.fact for one in given(*told, more).state.returned] == [wrong]


def test_the_proposer_withdraws_and_does_not_return() -> None:
    open_ = proposal(DecisionKind.REVOCATION)
    given(AWARDED, by(CLERK, open_, NOW)).when(returning(open_, officer=CLERK)).refused(NeedsSecondOfficer)


def test_returning_needs_an_open_proposal_and_a_reason() -> None:
    open_ = proposal(DecisionKind.REVOCATION)
    given(AWARDED).when(returning(open_)).refused(NotFound)
    given(AWARDED, by(CLERK, open_, NOW)).when(returning(open_, reason=" ")).refused(BadInput)
    done = by(CHIEF, decision(DecisionKind.REVOCATION), NOW)
    given(AWARDED, by(CLERK, open_, NOW), done).when(returning(open_)).refused(NotFound)


# --- properties


@for_all(st.lists(st.sampled_from(DecisionKind), max_size=8), st.sampled_from(DecisionKind))
def test_deciding_is_idempotent(path: list[DecisionKind], last: DecisionKind) -> None:
    """Whatever came before: propose and approve, each done twice, give facts once."""
    told: list[Any] = [AWARDED]
    for n, kind in enumerate(path):
        if kind in POSSIBLE[given(*told).state.standing(None)[0]]:
            told.append(by(CHIEF, decision(kind, proposed_as=f"title-0001.{n + 10}"), NOW))
    state = given(*told).state
    assume(last in POSSIBLE[state.standing(None)[0]])
    right = msgspec.structs.replace(AWARD, specialty="暖通")
    wanted = command(last, corrected=right) if last is DecisionKind.CORRECTION else command(last)
    [open_] = propose(wanted)(state)
    proposed_ = [*told, by(CLERK, open_, NOW)]
    assert propose(wanted)(given(*proposed_).state) == []
    [fact] = approve(open_)(given(*proposed_).state)
    assert approve(open_)(given(*proposed_, by(CHIEF, fact, NOW)).state) == []


@for_all(st.lists(st.sampled_from(sorted(FACTS)), max_size=12), st.sampled_from([TITLES, HOLDERS, APPLICATIONS]))
def test_any_sequence_of_facts_folds_or_is_corrupt(names: list[str], kind: Any) -> None:
    """A fold never judges and never falls over; its claims and rows are total too."""
    from registry.register.tables import rows_of

    state = None
    for version, name in enumerate(names, 1):
        event = Recorded[Fact]("x-1", version, EXAMPLES[name], NOW, CLERK, "command-1")
        try:
            state = kind.evolve(state, event)
        except CorruptHistory:
            return
        assert kind.claims(state, str) is not None
        assert rows_of(state)


# --- in the registry


@pytest.fixture
def title(registry: Registry) -> str:
    return registry.award(awarding(person(1), number="丽〔2021〕7"), officer=CLERK)


@pytest.mark.parametrize("kind", [each for each in DecisionKind if each is not DecisionKind.CORRECTION])
def test_a_decision_rules_at_once(registry: Registry, second: Registry, title: str, kind: DecisionKind) -> None:
    if first := BEFORE[kind]:
        decided(registry, title, deciding(first))
    after = decided(registry, title, deciding(kind))
    expected = {"revocation": "revoked", "invalidation": "invalidated", "suspension": "suspended"}.get(kind, "valid")
    assert after.standing(registry.today)[0] == second.title(title).standing(registry.today)[0] == expected
    check_log(registry)


def test_a_decision_has_both_dates_and_both_officers(registry: Registry, clock: Clock, title: str) -> None:
    open_ = proposed(registry, title, deciding(DecisionKind.REVOCATION, effective_on=date(2023, 1, 1)))
    approved_at = clock.forward(hours=5)
    [ruling] = registry.approve(open_.fact.proposal, open_.fact.digest, officer=CHIEF).decisions
    assert (ruling.fact.proposed_by, ruling.approved_by) == (CLERK, CHIEF)
    assert (ruling.fact.effective_on, ruling.recorded_at) == (date(2023, 1, 1), approved_at)
    last = registry.history(title)[-1]
    assert (last.actor, last.cause) == (CHIEF, open_.fact.proposal)


def test_standing_on_both_sides_of_each_date(registry: Registry, title: str) -> None:
    decided(registry, title, deciding(DecisionKind.SUSPENSION, effective_on=date(2024, 2, 1)))
    decided(registry, title, deciding(DecisionKind.REINSTATEMENT, effective_on=date(2025, 3, 1)))
    decided(registry, title, deciding(DecisionKind.INVALIDATION, effective_on=date(2026, 6, 1)))
    state = registry.title(title)
    expected = {
        date(2021, 9, 19): "not_yet_effective", date(2021, 9, 20): "valid", date(2024, 1, 31): "valid",
        date(2024, 2, 1): "suspended", date(2025, 2, 28): "suspended", date(2025, 3, 1): "valid",
        date(2026, 5, 31): "valid", date(2026, 6, 1): "invalidated",
    }  # fmt: skip
    assert {day: state.standing(day)[0] for day in expected} == expected
    check_log(registry)


def test_what_was_known_before_stays_as_it_was_known(registry: Registry, clock: Clock, title: str) -> None:
    first = clock.now
    second = clock.forward(days=10)
    decided(registry, title, deciding(DecisionKind.REVOCATION))
    clock.forward(days=10)
    decided(registry, title, deciding(DecisionKind.REINSTATEMENT))
    just = timedelta(microseconds=1)
    for known_at, status in ((first, "valid"), (second - just, "valid"), (second, "revoked"), (clock.now, "valid")):
        assert registry.title(title, known_at=known_at).standing(None)[0] == status
    refused(registry, NotFound, lambda: registry.title(title, known_at=first - just))
    check_log(registry)


def test_a_clock_that_was_set_back_leaves_no_gap(registry: Registry, clock: Clock, title: str) -> None:
    """The order is the log's. Nobody ever knew of the correction without the award before it."""
    clock.forward(days=-30)
    decided(registry, title, correcting(registry.title(title), specialty="给水排水"))
    refused(registry, NotFound, lambda: registry.title(title, known_at=clock.now))
    assert registry.title(title).award.specialty == "给水排水"
    check_log(registry)


def test_corrected_twice(registry: Registry, title: str) -> None:
    decided(registry, title, correcting(registry.title(title), specialty="给水排水"))
    decided(registry, title, correcting(registry.title(title), number="丽〔2021〕8"))
    state = registry.title(title)
    assert (state.award.specialty, state.award.number) == ("给水排水", "丽〔2021〕8")
    assert (state.awarded.specialty, state.awarded.number) == ("建筑工程", "丽〔2021〕7")
    assert registry.find_title("丽〔2021〕7") == registry.find_title("丽〔2021〕8") == title
    refused(registry, NumberTaken, lambda: registry.award(awarding(person(2), number="丽〔2021〕7"), officer=CLERK))
    check_log(registry)


def test_two_officers_and_the_same_digest(registry: Registry, title: str) -> None:
    open_ = proposed(registry, title, deciding(DecisionKind.REVOCATION))
    about = (open_.fact.proposal, open_.fact.digest)
    refused(registry, NeedsSecondOfficer, lambda: registry.approve(*about, officer=CLERK))
    refused(registry, NeedsSecondOfficer, lambda: registry.approve(about[0], "0" * 64, officer=CHIEF))
    refused(registry, BadInput, lambda: registry.refuse(about[0], "", officer=CHIEF))
    assert registry.title(title).standing(None)[0] == "valid"
    registry.approve(*about, officer=CHIEF)
    head = registry.log.head()
    registry.approve(*about, officer=CHIEF)
    registry.approve(*about, officer=THIRD)
    assert registry.log.head() == head
    refused(registry, NotFound, lambda: registry.refuse(about[0], "太晚", officer=THIRD))
    check_log(registry)


def test_returned_changed_and_approved(registry: Registry, title: str) -> None:
    wrong = proposed(registry, title, deciding(DecisionKind.SUSPENSION, document_no="丽人社决〔2025〕1号"))
    refused(
        registry,
        NeedsSecondOfficer,
        lambda: registry.return_proposal(wrong.fact.proposal, "文号写错", officer=CLERK),
    )
    [back] = registry.return_proposal(wrong.fact.proposal, "文号写错", officer=CHIEF).returned
    assert (back.proposal.fact.proposal, back.reason.reveal().text) == (wrong.fact.proposal, "文号写错")
    assert registry.register.proposals() == []
    refused(registry, NotFound, lambda: registry.approve(wrong.fact.proposal, wrong.fact.digest, officer=CHIEF))
    assert registry.title(title).standing(None)[0] == "valid"
    assert decided(registry, title, deciding(DecisionKind.SUSPENSION)).returned == ()
    check_log(registry)


def test_proposing_again_returns_that_very_proposal(registry: Registry, clock: Clock, title: str) -> None:
    one = proposed(registry, title, deciding(DecisionKind.REVOCATION, document_no="一号"))
    two = proposed(registry, title, deciding(DecisionKind.REVOCATION, document_no="二号"))
    head = registry.log.head()
    assert proposed(registry, title, deciding(DecisionKind.REVOCATION, document_no="一号")) == one
    assert proposed(registry, title, deciding(DecisionKind.REVOCATION, document_no="二号")) == two
    assert registry.log.head() == head
    clock.forward(hours=72, seconds=1)
    refused(registry, WrongState, lambda: registry.approve(one.fact.proposal, one.fact.digest, officer=CHIEF))
    again = proposed(registry, title, deciding(DecisionKind.REVOCATION, document_no="一号"))
    assert again.fact.proposal not in (one.fact.proposal, two.fact.proposal)
    registry.approve(again.fact.proposal, again.fact.digest, officer=CHIEF)
    assert registry.title(title).standing(None)[0] == "revoked"
    check_log(registry)


def test_only_the_issuer_or_the_one_above_decides(registry: Registry, title: str) -> None:
    county = registry.award(awarding(person(2), authority=QINGTIAN), officer=CLERK)
    for stream, authority, why in (
        (county, JINYUN, Refused),
        (title, QINGTIAN, Refused),
        (county, "999999", Forbidden),
        (county, "", Forbidden),
    ):
        told = deciding(DecisionKind.REVOCATION, authority=authority)
        refused(registry, why, lambda stream=stream, told=told: proposed(registry, stream, told))
    for authority in (QINGTIAN, CITY):
        proposed(registry, county, deciding(DecisionKind.REVOCATION, authority=authority))
    check_log(registry)


@pytest.mark.parametrize("stream", ["title-0000", "", "nothing", "title-0000.3"])
def test_there_is_no_such_title(registry: Registry, stream: str) -> None:
    refused(registry, NotFound, lambda: proposed(registry, stream, deciding(DecisionKind.REVOCATION)))
    refused(registry, NotFound, lambda: registry.approve(stream, "0" * 64, officer=CHIEF))
    refused(registry, NotFound, lambda: registry.refuse(stream, "理由", officer=CHIEF))


def test_a_proposal_of_a_holder_is_not_found(registry: Registry, title: str) -> None:
    holder = registry.title(title).holder
    refused(registry, NotFound, lambda: registry.approve(f"{holder}.1", "0" * 64, officer=CHIEF))
    refused(registry, NotFound, lambda: proposed(registry, holder, deciding(DecisionKind.REVOCATION)))


def test_a_correction_does_not_take_the_number_of_another(registry: Registry, title: str) -> None:
    other = registry.award(awarding(person(2), number="丽〔2021〕8"), officer=CLERK)
    told = correcting(registry.title(title), number="丽〔2021〕8")
    refused(registry, NumberTaken, lambda: proposed(registry, title, told))
    late = correcting(registry.title(title), number="丽〔2021〕9")
    open_ = proposed(registry, title, late)
    decided(registry, other, correcting(registry.title(other), number="丽〔2021〕9"))
    refused(registry, NumberTaken, lambda: registry.approve(open_.fact.proposal, open_.fact.digest, officer=CHIEF))
    check_log(registry)


def test_a_correction_does_not_lead_to_an_unknown_authority(registry: Registry, title: str) -> None:
    """Its certificates could not be checked any more."""
    for authority in ("999999", ""):
        told = correcting(registry.title(title), authority=authority)
        refused(registry, NotFound, lambda told=told: proposed(registry, title, told))


def test_a_correction_does_not_make_a_title_twice(registry: Registry, title: str) -> None:
    registry.award(awarding(person(1), specialty="给水排水"), officer=CLERK)
    told = correcting(registry.title(title), specialty="给水排水")
    refused(registry, AlreadyAwarded, lambda: proposed(registry, title, told))
    check_log(registry)


def test_what_was_awarded_anew_is_not_reinstated_beside_it(registry: Registry, title: str) -> None:
    decided(registry, title, deciding(DecisionKind.REVOCATION))
    back = proposed(registry, title, deciding(DecisionKind.REINSTATEMENT))
    anew = awarding(person(1), awarded_on=date(2026, 1, 5), approval_document="丽人社〔2026〕3号")
    second = registry.award(anew, officer=CLERK)
    refused(registry, AlreadyAwarded, lambda: registry.approve(back.fact.proposal, back.fact.digest, officer=CHIEF))
    refused(
        registry,
        AlreadyAwarded,
        lambda: proposed(registry, title, deciding(DecisionKind.REINSTATEMENT, document_no="二")),
    )
    decided(registry, second, deciding(DecisionKind.INVALIDATION))
    assert decided(registry, title, deciding(DecisionKind.REINSTATEMENT)).standing(None)[0] == "valid"
    check_log(registry)


def test_nothing_is_deleted_by_a_reinstatement(registry: Registry, title: str) -> None:
    decided(registry, title, deciding(DecisionKind.REVOCATION))
    decided(registry, title, deciding(DecisionKind.REINSTATEMENT))
    names = [type(event.fact).__name__ for event in registry.history(title)]
    assert names == ["TitleAwarded", "DecisionProposed", "TitleRevoked", "DecisionProposed", "TitleReinstated"]
    assert civil_date(registry.history(title)[-1].recorded_at) == TODAY
    check_log(registry)
