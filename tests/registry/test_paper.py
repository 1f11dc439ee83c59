"""Journey 1: a paper certificate of 1998 becomes an electronic one; and everything that is refused on the way."""

from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from keys.errors import SealBroken
from registry.conversion import Scan
from registry.errors import (
    AlreadyAwarded,
    BadInput,
    CorruptHistory,
    HolderConflict,
    NeedsSecondOfficer,
    NotFound,
    NumberTaken,
    Refused,
    RegistryError,
    WrongState,
)
from registry.log.facts import Private
from registry.paper.application import (
    APPLICATIONS,
    PaperApproved,
    PaperRefused,
    PaperReturned,
    PaperRules,
    PaperSubmitted,
    approve,
    content_digest,
    refuse,
    return_,
    submit,
)
from registry.paper.evidence import MAX_BYTES, describe, fetch
from registry.service import Registry
from registry.terms import Obtained
from registry.titles.answer import PublicPaper
from registry.titles.award import particulars
from registry.titles.content import PaperOrigin
from registry.titles.events import DecisionKind, PaperMatched, Particulars, Reason
from tests.check_log import check_log
from tests.people import (
    CHIEF,
    CLERK,
    JINYUN,
    PDF,
    QINGTIAN,
    THIRD,
    Clock,
    awarding,
    decided,
    deciding,
    fifteen,
    identity_number,
    paper_of_1998,
    person,
    scans,
    settable,
)
from tests.scenario import by, given

ISSUED = date(1998, 12, 28)
AWARD = particulars(paper_of_1998(person(5)), "浙丽 9801-0427")
PAPER = PaperOrigin("浙丽 9801-0427", ISSUED)
EVIDENCE = (describe(PDF, "scan"),)
SUBMITTED = PaperSubmitted(
    holder="holder-0001",
    award=AWARD,
    paper=PAPER,
    evidence=EVIDENCE,
    digest=content_digest("holder-0001", AWARD, PAPER, EVIDENCE),
    employer=Private("丽水地区第一建筑工程公司"),
)
APPROVED, REFUSED = PaperApproved(title="title-0001"), PaperRefused(
    holder="holder-0001", reason=Private(Reason("看不清", "salt"))
)  # fmt: skip
RETURNED = PaperReturned(holder="holder-0001", reason=Private(Reason("看不清", "salt")))


def submitting(
    award: Particulars = AWARD, paper: PaperOrigin = PAPER, evidence: Any = EVIDENCE, rules: PaperRules | None = None
) -> Callable[[Any], Any]:
    employer = "丽水地区第一建筑工程公司"
    return lambda state: submit("holder-0001", award, paper, evidence, employer, rules or PaperRules(), state)


def approving(officer: str = CHIEF, digest: str = SUBMITTED.digest) -> Callable[[Any], Any]:
    return lambda state: approve(state, "title-0001", existing=False, officer=officer, digest=digest)


def but(**changes: Any) -> Particulars:
    changed: Particulars = msgspec.structs.replace(AWARD, **changes)
    return changed


def refused(registry: Registry, kind: type[RegistryError], step: Any) -> RegistryError:
    """Exactly this error, with a fix, the log as it was, and no file more."""
    head, files = registry.log.head(), evidence_files(registry)
    with pytest.raises(RegistryError) as caught:
        step()
    assert type(caught.value) is kind, repr(caught.value)
    assert caught.value.fix
    assert registry.log.head() == head
    assert evidence_files(registry) == files
    return caught.value


def evidence_files(registry: Registry) -> set[str]:
    return {path.name for path in registry.folder.evidence.glob("*")}


def journey(registry: Registry, who: int = 5, **changes: Any) -> str:
    """Submit as the clerk, approve as the chief; return the title."""
    sent = registry.submit_paper(paper_of_1998(person(who), **changes), ISSUED, scans(), officer=CLERK)
    title = registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF).title
    assert title
    return title


# --- decisions


def test_an_application_is_submitted_once() -> None:
    given().when(submitting()).then(SUBMITTED)
    given(SUBMITTED).when(submitting()).then()
    given(SUBMITTED, by(CHIEF, APPROVED)).when(submitting()).then()


@pytest.mark.parametrize(
    ("award", "paper", "evidence"),
    [
        (but(title_name="工程师"), PAPER, EVIDENCE),
        (AWARD, PaperOrigin("浙丽 9801-0427", None), EVIDENCE),
        (AWARD, PAPER, (*EVIDENCE, describe(PDF, "document"))),
    ],
    ids=["award", "date", "evidence"],
)
def test_other_content_waits_for_the_first(award: Particulars, paper: PaperOrigin, evidence: Any) -> None:
    given(SUBMITTED).when(submitting(award, paper, evidence)).refused(WrongState)


@pytest.mark.parametrize("evidence", [(), (describe(PDF, "review_form"), describe(PDF, "document"))])
def test_no_scan_no_application(evidence: Any) -> None:
    given().when(submitting(evidence=evidence)).refused(BadInput)


def test_the_cut_off_lies_between_two_days() -> None:
    """2007 itself is ambiguous in the notice: by default a paper of 2007 may apply."""
    last, first = date(2007, 12, 31), date(2008, 1, 1)
    assert given().when(submitting(but(awarded_on=last), PaperOrigin("n", None))).facts
    given().when(submitting(but(awarded_on=first), PaperOrigin("n", None))).refused(Refused)
    strict = PaperRules(before=date(2007, 1, 1))
    given().when(submitting(but(awarded_on=date(2007, 1, 1)), PaperOrigin("n", None), rules=strict)).refused(Refused)


@pytest.mark.parametrize("obtained", [each for each in Obtained if each is not Obtained.REVIEW])
def test_only_titles_won_by_review(obtained: Obtained) -> None:
    error = given().when(submitting(but(obtained=obtained))).refused(Refused)
    assert obtained.zh in error.message


def test_a_paper_is_not_older_than_its_title() -> None:
    given().when(submitting(paper=PaperOrigin("n", date(1998, 11, 19)))).refused(BadInput)
    assert given().when(submitting(paper=PaperOrigin("n", date(1998, 11, 20)))).facts


def test_a_second_officer_approves_the_same_content() -> None:
    given(SUBMITTED).when(approving()).then(APPROVED)
    given(SUBMITTED, by(CHIEF, APPROVED)).when(approving()).then()
    given(SUBMITTED).when(approving(officer=CLERK)).refused(NeedsSecondOfficer)
    given(SUBMITTED).when(approving(digest="0" * 64)).refused(NeedsSecondOfficer)
    given(SUBMITTED, by(CHIEF, REFUSED)).when(approving()).refused(WrongState)


def test_a_refusal_has_a_reason() -> None:
    given(SUBMITTED).when(lambda state: refuse(state, " 看不清 ", salt="salt")).then(REFUSED)
    given(SUBMITTED).when(lambda state: refuse(state, " ", salt="salt")).refused(BadInput)
    for closing in (APPROVED, REFUSED):
        given(SUBMITTED, by(CHIEF, closing)).when(lambda state: refuse(state, "x", salt="s")).refused(WrongState)


def returning(officer: str = CHIEF, reason: str = " 看不清 ") -> Callable[[Any], Any]:
    return lambda state: return_(state, reason, officer=officer, salt="salt")


def test_a_returned_application_is_submitted_changed_and_approved() -> None:
    given(SUBMITTED).when(returning()).then(RETURNED)
    told = [SUBMITTED, by(CHIEF, RETURNED)]
    back = given(*told)
    assert (back.state.state, back.state.reason, back.state.decided_by) == ("returned", RETURNED.reason, CHIEF)
    back.when(approving()).refused(WrongState)
    back.when(returning()).refused(WrongState)
    better = (describe(PDF + b"better", "scan"),)
    changed = msgspec.structs.replace(
        SUBMITTED, evidence=better, digest=content_digest("holder-0001", AWARD, PAPER, better)
    )
    back.when(submitting(evidence=better)).then(changed)
    anew = given(*told, changed)
    assert (anew.state.state, anew.state.reason, anew.state.decided_by) == ("open", None, None)
    anew.when(submitting(evidence=better)).then()
    anew.when(submitting()).refused(WrongState)
    anew.when(approving()).refused(NeedsSecondOfficer)
    anew.when(approving(digest=changed.digest)).then(APPROVED)
    anew.when(approving(CLERK, changed.digest)).refused(NeedsSecondOfficer)


def test_a_returned_application_unchanged_is_no_fact() -> None:
    """It is still to be changed. What was changed may be the employer alone, which the digest does not cover."""
    back = given(SUBMITTED, by(CHIEF, RETURNED))
    back.when(submitting()).then()
    other = msgspec.structs.replace(SUBMITTED, employer=Private("丽水市某某设计院"))
    employer = "丽水市某某设计院"
    wanted = lambda state: submit("holder-0001", AWARD, PAPER, EVIDENCE, employer, PaperRules(), state)  # noqa: E731
    back.when(wanted).then(other)
    given(SUBMITTED).when(wanted).then()


def test_a_returned_application_keeps_to_the_rules() -> None:
    back = given(SUBMITTED, by(CHIEF, RETURNED))
    back.when(submitting(but(awarded_on=date(2008, 1, 1)), PaperOrigin("n", None))).refused(Refused)
    back.when(submitting(evidence=())).refused(BadInput)


def test_a_returned_application_can_be_refused() -> None:
    given(SUBMITTED, by(CHIEF, RETURNED)).when(lambda state: refuse(state, "看不清", salt="salt")).then(REFUSED)


def test_returning_needs_another_officer_a_reason_and_an_open_application() -> None:
    given(SUBMITTED).when(returning(CLERK)).refused(NeedsSecondOfficer)
    given(SUBMITTED).when(returning(reason=" ")).refused(BadInput)
    for closing in (APPROVED, REFUSED):
        given(SUBMITTED, by(CHIEF, closing)).when(returning()).refused(WrongState)


def test_only_a_returned_application_is_submitted_again() -> None:
    for told in ([], [APPROVED], [REFUSED]):
        with pytest.raises(CorruptHistory):
            given(SUBMITTED, *told, SUBMITTED)


@for_all(st.text(min_size=1, max_size=9), st.dates(date(1980, 1, 1), date(2007, 12, 31)), st.binary(max_size=9))
def test_submitting_again_is_never_a_fact(number: str, awarded_on: date, content: bytes) -> None:
    award, evidence = but(number=number, awarded_on=awarded_on), (describe(PDF + content, "scan"),)
    [fact] = submitting(award, PaperOrigin(number, None), evidence)(None)
    given(fact).when(submitting(award, PaperOrigin(number, None), evidence)).then()


# --- the journey


def test_a_paper_certificate_of_1998(registry: Registry) -> None:
    """15 digits on the paper, 18 today; the second officer approves; reapplying makes no second award."""
    number = identity_number(5)
    old = paper_of_1998(person(5, number=fifteen(number)))
    sent = registry.submit_paper(old, ISSUED, scans(b"1", b"2"), officer=CLERK)
    assert (sent.state, sent.submitted_by, len(sent.fact.evidence)) == ("open", CLERK, 2)
    done = registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF)
    assert (done.state, done.decided_by, done.fact.holder) == (
        "approved",
        CHIEF,
        registry.holder_of(person(5).identity),
    )
    assert done.title
    title = registry.title(done.title)
    assert (title.award.title_name, title.award.awarded_on) == ("高级工程师", date(1998, 11, 20))
    assert (title.paper, title.application) == (PAPER, sent.id)
    assert registry.find_title("浙丽 9801-0427") == done.title
    check_log(registry)
    head = registry.log.head()
    again = registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(b"1", b"2"), officer=THIRD)
    assert again == done
    assert registry.approve_paper(sent.id, sent.fact.digest, officer=THIRD) == done
    assert registry.log.head() == head
    assert registry.issue(done.title, settable, officer=CLERK).version == 1
    check_log(registry)


def test_an_award_that_was_registered_already_is_matched(registry: Registry) -> None:
    award = registry.award(paper_of_1998(person(5)), officer=CLERK)
    sent = registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(), officer=CLERK)
    done = registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF)
    assert done.title == award
    last = registry.history(sent.id)[-1].fact
    assert last == PaperApproved(title=award, existing=True)
    assert registry.history(award)[-1].fact == PaperMatched(application=sent.id, paper=PAPER)
    check_log(registry)
    printed = registry.issue(award, settable, officer=CLERK).content.reveal()
    assert printed.paper == PAPER
    answer = registry.verifier.check(printed.code)
    assert answer.certificate
    assert answer.certificate.paper == PublicPaper("浙丽 9801-0427", ISSUED, "依据纸质证书换发")
    check_log(registry)


def test_a_paper_that_contradicts_the_register_is_not_approved(registry: Registry) -> None:
    registry.award(paper_of_1998(person(5), awarded_on=date(1998, 11, 21)), officer=CLERK)
    sent = registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(), officer=CLERK)
    step = lambda: registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF)  # noqa: E731
    error = refused(registry, AlreadyAwarded, step)
    assert "1998-11-21" in error.message
    check_log(registry)


def test_a_paper_with_the_number_of_another_is_not_approved(registry: Registry) -> None:
    registry.award(paper_of_1998(person(6, "陈一")), officer=CLERK)
    sent = registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(), officer=CLERK)
    refused(registry, NumberTaken, lambda: registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF))
    check_log(registry)


def test_two_counties_convert_papers_of_one_number(registry: Registry) -> None:
    one = journey(registry, 5, authority=QINGTIAN, number="1998-0127")
    two = journey(registry, 6, authority=JINYUN, number="1998-0127")
    assert one != two
    check_log(registry)


def test_refused_then_applied_again(registry: Registry, clock: Clock) -> None:
    first = registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(), officer=CLERK)
    closed = registry.refuse_paper(first.id, "扫描件看不清", officer=CHIEF)
    assert closed.reason
    assert (closed.state, closed.reason.reveal().text) == ("refused", "扫描件看不清")
    clock.forward(days=1)
    second = registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(), officer=CLERK)
    assert second.id != first.id
    refused(registry, WrongState, lambda: registry.approve_paper(first.id, first.fact.digest, officer=CHIEF))
    refused(registry, WrongState, lambda: registry.refuse_paper(first.id, "再退", officer=CHIEF))
    assert registry.approve_paper(second.id, second.fact.digest, officer=CHIEF).state == "approved"
    states = {one.application: one.state for one in registry.register.papers()}
    assert states == {first.id: "refused", second.id: "approved"}
    check_log(registry)


def test_returned_changed_and_approved(registry: Registry) -> None:
    """The same application: one stream, one place in the queue, with the scans of both submissions kept."""
    first = registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(), officer=CLERK)
    refused(registry, NeedsSecondOfficer, lambda: registry.return_paper(first.id, "看不清", officer=CLERK))
    registry.return_paper(first.id, "扫描件看不清", officer=CHIEF)
    [row] = registry.register.papers()
    assert (row.application, row.state) == (first.id, "returned")
    refused(registry, WrongState, lambda: registry.approve_paper(first.id, first.fact.digest, officer=CHIEF))
    again = registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(b"sharp"), officer=THIRD)
    assert (again.id, again.state, again.submitted_by) == (first.id, "open", THIRD)
    assert len(evidence_files(registry)) == 2
    refused(registry, NeedsSecondOfficer, lambda: registry.approve_paper(first.id, first.fact.digest, officer=CHIEF))
    refused(registry, NeedsSecondOfficer, lambda: registry.approve_paper(again.id, again.fact.digest, officer=THIRD))
    done = registry.approve_paper(again.id, again.fact.digest, officer=CLERK)
    assert done.title
    assert len(registry.register.papers()) == 1
    assert registry.log.streams_of(APPLICATIONS) == [first.id]
    check_log(registry)


def test_a_renamed_holder_keeps_the_application(registry: Registry) -> None:
    sent = registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(), officer=CLERK)
    about: Any = {"basis": "change", "document_no": "丽公1号", "effective_on": date(2026, 1, 1), "officer": CLERK}
    registry.rename_holder(sent.fact.holder, "林小莉", **about)
    done = registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF)
    assert done.title
    assert registry.issue(done.title, settable, officer=CLERK).content.reveal().name == "林小莉"
    check_log(registry)


# --- refusals in the registry


def test_the_submitter_does_not_approve(registry: Registry) -> None:
    sent = registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(), officer=CLERK)
    refused(registry, NeedsSecondOfficer, lambda: registry.approve_paper(sent.id, sent.fact.digest, officer=CLERK))
    refused(registry, NeedsSecondOfficer, lambda: registry.approve_paper(sent.id, "0" * 64, officer=CHIEF))
    refused(registry, BadInput, lambda: registry.refuse_paper(sent.id, "", officer=CHIEF))
    check_log(registry)


@pytest.mark.parametrize("stream", ["paper-0000", "", "title-0000"])
def test_there_is_no_such_application(registry: Registry, stream: str) -> None:
    refused(registry, NotFound, lambda: registry.application(stream))
    refused(registry, NotFound, lambda: registry.approve_paper(stream, "0" * 64, officer=CHIEF))
    refused(registry, NotFound, lambda: registry.refuse_paper(stream, "理由", officer=CHIEF))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"number": None}, BadInput),
        ({"number": ""}, BadInput),
        ({"authority": "999999"}, NotFound),
        ({"awarded_on": date(2008, 1, 1)}, Refused),
        ({"obtained": Obtained.EXAM_BASED}, Refused),
    ],
    ids=["no number", "empty number", "authority", "after the cut-off", "by examination"],
)
def test_a_paper_outside_the_rules_is_refused(
    registry: Registry, changes: dict[str, Any], error: type[RegistryError]
) -> None:
    told = paper_of_1998(person(5), **changes)
    refused(registry, error, lambda: registry.submit_paper(told, None, scans(), officer=CLERK))
    assert registry.holder_of(person(5).identity) is None
    check_log(registry)


@pytest.mark.parametrize(
    "bad",
    [
        [],
        [Scan(PDF, "review_form")],
        [Scan(PDF, "selfie")],
        [Scan(b"")],
        [Scan(b"MZ no picture")],
        [Scan(PDF), Scan(b"GIF89a")],
        [Scan(PDF + bytes(MAX_BYTES))],
    ],
    ids=["none", "no scan", "role", "empty", "no picture", "second one", "too large"],
)
def test_evidence_that_is_none_is_refused(registry: Registry, bad: list[Scan]) -> None:
    refused(registry, BadInput, lambda: registry.submit_paper(paper_of_1998(person(5)), ISSUED, bad, officer=CLERK))
    assert registry.holder_of(person(5).identity) is None


def test_a_title_with_an_electronic_certificate_needs_no_conversion(registry: Registry) -> None:
    award = registry.award(paper_of_1998(person(5)), officer=CLERK)
    registry.issue(award, settable, officer=CLERK)
    refused(registry, Refused, lambda: registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(), officer=CLERK))
    check_log(registry)


def test_another_name_under_the_number_is_a_conflict(registry: Registry) -> None:
    registry.award(awarding(person(5)), officer=CLERK)
    told = paper_of_1998(person(5, "陈一"))
    refused(registry, HolderConflict, lambda: registry.submit_paper(told, ISSUED, scans(), officer=CLERK))


def test_a_revoked_title_does_not_come_back_by_its_paper(registry: Registry) -> None:
    title = journey(registry)
    decided(registry, title, deciding(DecisionKind.REVOCATION))
    head = registry.log.head()
    registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(), officer=CLERK)
    assert registry.log.head() == head
    assert registry.title(title).standing(None)[0] == "revoked"
    refused(registry, WrongState, lambda: registry.issue(title, settable, officer=CLERK))
    check_log(registry)


@pytest.mark.parametrize("kind", [DecisionKind.REVOCATION, DecisionKind.INVALIDATION])
def test_a_paper_of_a_title_that_was_closed_is_not_approved(registry: Registry, kind: DecisionKind) -> None:
    title = registry.award(paper_of_1998(person(5)), officer=CLERK)
    decided(registry, title, deciding(kind))
    sent = registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(), officer=CLERK)
    refused(registry, WrongState, lambda: registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF))
    decided(registry, title, deciding(DecisionKind.REINSTATEMENT))
    assert registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF).title == title
    check_log(registry)


# --- evidence


@pytest.mark.parametrize(
    ("data", "kind"),
    [(PDF, "application/pdf"), (b"\x89PNG\r\n\x1a\n...", "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg")],
)
def test_evidence_is_known_by_its_bytes(data: bytes, kind: str) -> None:
    found = describe(data, "scan")
    assert (found.media_type, found.size, len(found.sha256)) == (kind, len(data), 64)


def test_evidence_is_sealed_and_comes_back(registry: Registry) -> None:
    sent = registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(b"1", b"2"), officer=CLERK)
    key = registry.log.data_keys()(sent.fact.holder)
    assert key
    contents = [fetch(registry.folder.evidence, sent.fact.holder, one, key) for one in sent.fact.evidence]
    assert contents == [PDF + b"1", PDF + b"2"]
    stored = [path.read_bytes() for path in registry.folder.evidence.iterdir()]
    assert len(stored) == 2
    assert not any(b"%PDF" in data for data in stored)
    assert all(path.stat().st_mode & 0o077 == 0 for path in registry.folder.evidence.iterdir())


def test_evidence_that_was_changed_or_swapped_is_found(registry: Registry) -> None:
    sent = registry.submit_paper(paper_of_1998(person(5)), ISSUED, scans(b"1", b"2"), officer=CLERK)
    holder, (one, two) = sent.fact.holder, sent.fact.evidence
    key = registry.log.data_keys()(holder)
    assert key
    first, other = (registry.folder.evidence / f"{holder}-{each.sha256}.sealed" for each in (one, two))
    first.write_bytes(other.read_bytes())
    with pytest.raises((SealBroken, CorruptHistory)):
        fetch(registry.folder.evidence, holder, one, key)
    changed = bytearray(other.read_bytes())
    changed[20] ^= 1
    other.write_bytes(changed)
    with pytest.raises((SealBroken, CorruptHistory)):
        fetch(registry.folder.evidence, holder, two, key)
