"""A person is erased by two officers: decided, refused, carried out at once, swept again after a crash."""

import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from registry.answers import Channel
from registry.audit import export, verify, verify_live
from registry.audit.replay import replay, replay_statistics
from registry.awarding import Awarding
from registry.backup import back_up, read_archive, restore
from registry.erasing import Erasing, sealable
from registry.errors import (
    BadInput,
    Forbidden,
    NeedsSecondOfficer,
    NotFound,
    Refused,
    RegistryError,
    Unavailable,
    WrongState,
)
from registry.holders import erasure
from registry.holders.holder import (
    ErasureBasis,
    ErasureProposal,
    ErasureProposed,
    ErasureRefused,
    HolderErased,
    HolderRegistered,
    LegalHoldLifted,
    LegalHoldPlaced,
)
from registry.holders.identity import parse
from registry.issuing import title_in
from registry.log.facts import Private
from registry.log.unit import Unit
from registry.looks import Purpose
from registry.officers.officer import Staff
from registry.permissions import Permission
from registry.personal import HELD_BACK, own_data
from registry.requests.request import Outcome, RequestKind
from registry.service import Registry
from registry.terms import Role, Status
from registry.titles import decisions
from registry.titles.certificate import token_of
from registry.titles.events import DecisionKind
from registry.titles.state import TITLES
from tests import engine
from tests.people import (
    BEGIN,
    CHIEF,
    CITY,
    CLERK,
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
)
from tests.scenario import by, given

NAME, OTHER = "䶮㛃鑫", "犇骉焱"
DOCUMENT, COURT = "丽人社删〔2026〕1号", "（2026）浙11协执1号"
HOLDER = "holder-0001"
REGISTERED = HolderRegistered(holder=HOLDER, person=Private(person(71, NAME)))
DIGEST = erasure.content_digest(HOLDER, ErasureBasis.REQUEST, DOCUMENT, CITY)
PROPOSED = ErasureProposed(
    holder=HOLDER, proposal=f"{HOLDER}.2", basis=ErasureBasis.REQUEST, document_no=DOCUMENT, authority=CITY,
    digest=DIGEST,
)  # fmt: skip
ERASED = HolderErased(
    proposal=f"{HOLDER}.2", proposed_by=CLERK, basis=ErasureBasis.REQUEST, document_no=DOCUMENT, authority=CITY
)
HELD = LegalHoldPlaced(hold=f"{HOLDER}.2", document_no=COURT, authority=CITY)
LATER = BEGIN + timedelta(hours=1)


def propose(state: Any, officer: str = CLERK, document: str = DOCUMENT, **more: Any) -> Any:
    now = more.pop("now", LATER)
    about: dict[str, Any] = {"proposal": f"{HOLDER}.2", "now": now, "officer": officer}
    return erasure.propose(state, ErasureBasis.REQUEST, document, CITY, **about)


def approve(state: Any, officer: str = CHIEF, digest: str = DIGEST, **more: Any) -> Any:
    about: dict[str, Any] = {"officer": officer, "digest": digest, "now": more.get("now", LATER)}
    return erasure.approve(state, f"{HOLDER}.2", **about)


class TestDecided:
    def test_proposed_and_approved(self) -> None:
        given(REGISTERED).when(propose).then(PROPOSED)
        given(REGISTERED, PROPOSED).when(approve).then(ERASED)

    def test_the_same_proposal_again_is_no_fact(self) -> None:
        given(REGISTERED, PROPOSED).when(propose).then()

    def test_another_officer_or_a_lapsed_one_proposes_anew(self) -> None:
        given(REGISTERED, PROPOSED).when(lambda state: propose(state, officer=THIRD)).then(PROPOSED)
        late = BEGIN + timedelta(hours=73)
        given(REGISTERED, PROPOSED).when(lambda state: propose(state, now=late)).then(PROPOSED)

    def test_approved_again_is_no_fact(self) -> None:
        given(REGISTERED, PROPOSED, by(CHIEF, ERASED)).when(approve).then()

    def test_refused_and_withdrawn(self) -> None:
        reason = ErasureRefused(holder=HOLDER, proposal=f"{HOLDER}.2", reason=Private("仍在保存期限内"))
        given(REGISTERED, PROPOSED).when(lambda one: erasure.refuse(one, f"{HOLDER}.2", " 仍在保存期限内 ")).then(
            reason
        )
        given(REGISTERED, PROPOSED, reason).when(approve).refused(NotFound)

    def test_held_and_lifted(self) -> None:
        given(REGISTERED).when(lambda one: erasure.place_hold(one, COURT, CITY, hold=f"{HOLDER}.2")).then(HELD)
        given(REGISTERED, HELD).when(lambda one: erasure.place_hold(one, COURT, CITY, hold="x")).then()
        lifted = LegalHoldLifted(hold=f"{HOLDER}.2", document_no="解1")
        given(REGISTERED, HELD).when(lambda one: erasure.lift_hold(one, f"{HOLDER}.2", "解1")).then(lifted)
        given(REGISTERED, HELD, lifted, PROPOSED).when(approve).then(ERASED)


@pytest.mark.parametrize(
    ("history", "decide", "error"),
    [
        ([REGISTERED, PROPOSED, ERASED], propose, WrongState),
        ([REGISTERED], lambda one: propose(one, document=" "), BadInput),
        ([REGISTERED], approve, NotFound),
        ([REGISTERED, PROPOSED], lambda one: approve(one, officer=CLERK), NeedsSecondOfficer),
        ([REGISTERED, PROPOSED], lambda one: approve(one, digest="0" * 64), NeedsSecondOfficer),
        ([REGISTERED, PROPOSED], lambda one: approve(one, now=BEGIN + timedelta(hours=73)), WrongState),
        ([REGISTERED, HELD, PROPOSED], approve, WrongState),
        ([REGISTERED, PROPOSED], lambda one: erasure.refuse(one, f"{HOLDER}.2", " "), BadInput),
        ([REGISTERED], lambda one: erasure.refuse(one, f"{HOLDER}.2", "不同意"), NotFound),
        ([REGISTERED, PROPOSED, ERASED], lambda one: erasure.place_hold(one, COURT, CITY, hold="x"), WrongState),
        ([REGISTERED], lambda one: erasure.place_hold(one, "", CITY, hold="x"), BadInput),
        ([REGISTERED], lambda one: erasure.lift_hold(one, "x", "解1"), NotFound),
        ([REGISTERED, HELD], lambda one: erasure.lift_hold(one, f"{HOLDER}.2", " "), BadInput),
    ],
    ids=[
        "erased already", "no document", "no proposal", "own proposal", "other content", "lapsed", "under a hold",
        "no reason", "nothing to refuse", "hold on nobody", "hold without document", "no hold", "lift without document",
    ],
)  # fmt: skip
def test_refused(history: list[Any], decide: Callable[[Any], Any], error: type[RegistryError]) -> None:
    given(*history).when(decide).refused(error)


def test_the_digest_changes_with_each_part() -> None:
    parts = [
        erasure.content_digest("holder-0002", ErasureBasis.REQUEST, DOCUMENT, CITY),
        erasure.content_digest(HOLDER, ErasureBasis.UNLAWFUL, DOCUMENT, CITY),
        erasure.content_digest(HOLDER, ErasureBasis.REQUEST, DOCUMENT + "之二", CITY),
        erasure.content_digest(HOLDER, ErasureBasis.REQUEST, DOCUMENT, QINGTIAN),
    ]
    assert len({DIGEST, *parts}) == 5


# joined


@pytest.fixture
def erasing(registry: Registry) -> Erasing:
    return registry.erasing


@pytest.fixture
def title(registry: Registry) -> str:
    """A title with a certificate, of a person with an employer; another person beside."""
    stream = registry.award(awarding(person(71, NAME), employer="靐龗建筑设计院"), officer=CLERK)
    registry.issue(stream, settable, officer=CLERK)
    registry.award(awarding(person(72, OTHER)), officer=CLERK)
    return stream


@pytest.fixture
def holder(registry: Registry, title: str) -> str:
    return registry.title(title).holder


def waiting(erasing: Erasing, holder: str, officer: str = CLERK) -> ErasureProposal:
    return erasing.propose(holder, ErasureBasis.REQUEST, DOCUMENT, CITY, officer=officer)


def erase(erasing: Erasing, holder: str) -> None:
    one = waiting(erasing, holder)
    erasing.approve(one.fact.proposal, one.fact.digest, officer=CHIEF)


def refused(registry: Registry, error: type[RegistryError], do: Callable[[], object]) -> RegistryError:
    """Refused, with what to do, and nothing changed."""
    before = registry.log.head(), keys_of(registry)
    with pytest.raises(error) as caught:
        do()
    assert type(caught.value) is error
    assert caught.value.fix
    assert (registry.log.head(), keys_of(registry)) == before
    return caught.value


def keys_of(registry: Registry) -> dict[str, bytes]:
    return dict(engine.rows(registry, "data_keys"))


def identity_claims(registry: Registry) -> dict[str, str]:
    return {stream: key for scope, key, stream in engine.rows(registry, "claims") if scope == "identity"}


def names_of(registry: Registry) -> set[str]:
    registry.register.catch_up()
    with closing(sqlite3.connect(registry.folder.register)) as c:
        return {name for (name,) in c.execute("SELECT name FROM names")}


@pytest.mark.sqlite_file
def test_erased_at_once_and_everywhere(registry: Registry, second: Registry, erasing: Erasing, holder: str) -> None:
    assert second.holder(holder).name() == NAME
    assert names_of(registry) == {NAME, OTHER}
    erase(erasing, holder)
    assert holder not in keys_of(registry)
    assert holder not in identity_claims(registry)
    assert names_of(registry) == {OTHER}
    for one in (registry, second):
        assert one.holder(holder).erased is not None
        assert one.holder(holder).name() is None
        assert one.holder_of(parse(identity_number(71))) is None
        assert one.register.name(holder) == ""
        assert not one.authorising.standing(holder).roles
    wal = [Path(f"{path}-wal") for path in (registry.folder.log, registry.folder.register)]
    assert [path.stat().st_size for path in wal if path.exists()] == [0, 0]
    assert erasing.sweeping.left(holder) == []
    assert erasing.sweeping.erased() == [holder]


def test_replay_export_statistics_and_audit_hold(
    registry: Registry, erasing: Erasing, holder: str, tmp_path: Path
) -> None:
    registry.tlog.sequence()
    rows, figures = list(replay(registry)), replay_statistics(registry)
    erase(erasing, holder)
    registry.tlog.sequence()
    assert verify_live(registry).findings == []
    assert (list(replay(registry)), replay_statistics(registry)) == (rows, figures)
    export(registry, tmp_path / "export")
    report = verify(tmp_path / "export")
    assert report.ok, report.findings
    live = list(registry.register.all_rows("names"))
    registry.register.rebuild()
    assert list(registry.register.all_rows("names")) == live


def test_a_name_left_in_the_register_is_found(registry: Registry, erasing: Erasing, holder: str) -> None:
    """What the audit would say if the register did not follow."""
    registry.register.catch_up()
    with closing(sqlite3.connect(registry.folder.register)) as c:
        [row] = c.execute("SELECT * FROM names WHERE holder=?", (holder,)).fetchall()
    erase(erasing, holder)
    with closing(sqlite3.connect(registry.folder.register)) as c, c:
        c.execute("INSERT INTO names VALUES (?,?,?,?,?)", row)
    assert erasing.sweeping.left(holder) == ["register.db"]
    assert not verify_live(registry).ok


def test_the_answer_says_what_is_gone(registry: Registry, erasing: Erasing, title: str, holder: str) -> None:
    certificate = registry.title(title).certificates[0]
    token = token_of(certificate)
    before = registry.verifier.check(certificate.code)
    erase(erasing, holder)
    for answer in (registry.verifier.check(certificate.code), registry.verifier.check_token(token)):
        assert answer.status is Status.VALID
        assert answer.certificate
        assert before.certificate
        assert answer.certificate.name == "（已删除）"
        assert answer.certificate.number == before.certificate.number
        assert "个人信息已依法删除" in answer.sentence
        assert "erased" in answer.sentence_en
        assert answer.steps[2].detail == "personal data erased"
        assert [one.outcome for one in answer.steps] == [one.outcome for one in before.steps]
    assert "删除" not in before.sentence
    forged = token[:-1] + bytes([token[-1] ^ 1])
    assert registry.verifier.check_token(forged).status is Status.TAMPERED


def test_no_certificate_can_be_made_any_more(registry: Registry, erasing: Erasing, title: str, holder: str) -> None:
    erase(erasing, holder)
    with pytest.raises(WrongState, match="不能再制作"):
        token_of(registry.title(title).certificates[0])
    refused(registry, WrongState, lambda: registry.issue(title, settable, officer=CLERK))
    assert title not in registry.register.without_certificate()


def test_the_same_number_begins_a_new_person(registry: Registry, erasing: Erasing, title: str, holder: str) -> None:
    erase(erasing, holder)
    again = registry.award(awarding(person(71, NAME), title_name="高级工程师"), officer=CLERK)
    assert registry.title(again).holder != holder
    assert registry.holder_of(parse(identity_number(71))) == registry.title(again).holder
    assert registry.holder(registry.title(again).holder).name() == NAME
    assert registry.title(title).holder == holder
    assert verify_live(registry).ok


def test_nothing_is_recorded_about_the_person_again(registry: Registry, erasing: Erasing, holder: str) -> None:
    erase(erasing, holder)
    about: dict[str, Any] = {"basis": "change", "document_no": "1", "effective_on": registry.today, "officer": CLERK}
    refused(registry, WrongState, lambda: registry.rename_holder(holder, "林小莉", **about))
    number = parse(identity_number(73))
    refused(registry, WrongState, lambda: registry.link_identity(holder, number, document_no="1", officer=CLERK))
    refused(registry, WrongState, lambda: waiting(erasing, holder))
    refused(registry, WrongState, lambda: own_data(registry, holder))
    assert identity_claims(registry).keys().isdisjoint({holder})


def test_the_title_can_still_be_revoked(registry: Registry, erasing: Erasing, title: str, holder: str) -> None:
    """The reason is sealed under a key of the title's own, and the second officer reads it."""
    erase(erasing, holder)

    def propose(unit: Unit) -> None:
        known = title_in(unit, title)
        facts = decisions.propose(
            deciding(DecisionKind.REVOCATION), known, officer=CLERK, proposal=f"{title}.9", salt="5a", now=unit.now
        )
        unit.record(TITLES, title, sealable(unit, known, facts))

    def approve(unit: Unit) -> None:
        known = title_in(unit, title)
        open_ = decisions.find_open(known, f"{title}.9")
        assert open_.fact.reason.reveal().text == "申报材料经查证不实"
        facts = decisions.approve(known, f"{title}.9", officer=CHIEF, digest=open_.fact.digest, now=unit.now)
        unit.record(TITLES, title, sealable(unit, known, facts))

    registry.log.transact(propose, actor=CLERK)
    registry.log.transact(approve, actor=CHIEF)
    answer = registry.verifier.check(registry.title(title).certificates[0].code)
    assert answer.status is Status.REVOKED
    assert "个人信息已依法删除" in answer.sentence
    assert title in keys_of(registry)
    assert holder not in keys_of(registry)
    assert verify_live(registry).ok


# refused


def test_only_an_approver_approves(registry: Registry, erasing: Erasing, holder: str) -> None:
    registry.appointing.register("clerk-09", _staff(9), officer=CHIEF)
    appoint(registry, "clerk-09", Role.CLERK)
    one = waiting(erasing, holder).fact
    refused(registry, Forbidden, lambda: erasing.approve(one.proposal, one.digest, officer="clerk-09"))
    refused(registry, Forbidden, lambda: erasing.refuse(one.proposal, "不同意", officer="clerk-09"))
    refused(registry, Forbidden, lambda: erasing.approve(one.proposal, one.digest, officer="nobody"))
    refused(registry, Forbidden, lambda: erasing.place_hold(holder, COURT, CITY, officer="clerk-09"))
    refused(registry, NeedsSecondOfficer, lambda: erasing.approve(one.proposal, one.digest, officer=CLERK))
    refused(registry, NeedsSecondOfficer, lambda: erasing.approve(one.proposal, "0" * 64, officer=CHIEF))


def _staff(n: int) -> Staff:
    return Staff("叶知秋", parse(identity_number(41_000 + n)))


def test_the_authority_is_over_all_titles(registry: Registry, erasing: Erasing, holder: str) -> None:
    """A county cannot erase whom the city knows, too; the city can."""
    registry.award(awarding(person(71, NAME), authority=QINGTIAN, title_name="助理工程师"), officer=CLERK)
    about = (holder, ErasureBasis.REQUEST, DOCUMENT)
    refused(registry, Forbidden, lambda: erasing.propose(*about, QINGTIAN, officer=CLERK))
    refused(registry, NotFound, lambda: erasing.propose(*about, "999999", officer=CLERK))
    assert erasing.propose(*about, CITY, officer=CLERK).fact.authority == CITY
    assert erasing.place_hold(holder, COURT, QINGTIAN, officer=CHIEF).authority == QINGTIAN


def test_a_title_that_comes_between_is_looked_at(registry: Registry, erasing: Erasing, holder: str) -> None:
    one = erasing.propose(holder, ErasureBasis.REQUEST, DOCUMENT, CITY, officer=CLERK).fact
    proposed_ = proposed(registry, registry.register.streams_of(holder)[0], deciding(DecisionKind.REVOCATION))
    error = refused(registry, WrongState, lambda: erasing.approve(one.proposal, one.digest, officer=CHIEF))
    assert proposed_.fact.proposal in error.message
    registry.refuse(proposed_.fact.proposal, "不成立", officer=CHIEF)
    erasing.approve(one.proposal, one.digest, officer=CHIEF)
    assert registry.holder(holder).erased


def test_a_paper_or_request_under_way(registry: Registry, erasing: Erasing) -> None:
    sent = registry.submit_paper(paper_of_1998(person(73, "王㛃")), None, scans(), officer=CLERK)
    holder = sent.fact.holder
    one = waiting(erasing, holder).fact
    error = refused(registry, WrongState, lambda: erasing.approve(one.proposal, one.digest, officer=CHIEF))
    assert sent.id in error.message
    registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF)
    requesting = registry.requesting
    request = requesting.make(holder, RequestKind.ERASURE, "请删除我的信息", officer=holder)
    error = refused(registry, WrongState, lambda: erasing.approve(one.proposal, one.digest, officer=CHIEF))
    assert request in error.message
    requesting.answer(request, Outcome.DONE, "同意，将予删除", officer=CLERK)
    erasing.approve(one.proposal, one.digest, officer=CHIEF)
    answered = requesting.all(holder)[0]
    assert (answered.outcome, answered.fact.text.get()) == (Outcome.DONE, None)


def test_under_a_legal_hold(registry: Registry, erasing: Erasing, holder: str) -> None:
    hold = erasing.place_hold(holder, COURT, CITY, officer=CHIEF)
    assert erasing.place_hold(holder, COURT, CITY, officer=CHIEF) == hold
    one = waiting(erasing, holder).fact
    error = refused(registry, WrongState, lambda: erasing.approve(one.proposal, one.digest, officer=CHIEF))
    assert COURT in error.message
    refused(registry, Forbidden, lambda: erasing.lift_hold(hold.hold, "解1", officer="nobody"))
    erasing.lift_hold(hold.hold, "解1", officer=CHIEF)
    erasing.approve(one.proposal, one.digest, officer=CHIEF)
    assert holder not in keys_of(registry)


def test_nobody_erases_themselves(registry: Registry, erasing: Erasing) -> None:
    """The same person as officer and as holder, known by the number."""
    own = registry.award(awarding(person(40_001, "叶书宁")), officer=CLERK)
    holder = registry.title(own).holder
    one = waiting(erasing, holder).fact
    refused(registry, Forbidden, lambda: erasing.approve(one.proposal, one.digest, officer=CHIEF))
    erasing.approve(one.proposal, one.digest, officer=THIRD)


def test_who_was_not_erased_is_not_swept(registry: Registry, erasing: Erasing, holder: str) -> None:
    refused(registry, WrongState, lambda: erasing.sweep(holder))
    assert erasing.sweeping.sweep_all() == 0
    assert NAME in names_of(registry)
    refused(registry, NotFound, lambda: erasing.propose("holder-0", ErasureBasis.REQUEST, "1", CITY, officer=CLERK))


def test_among_many_nobody_else_is_touched(registry: Registry, erasing: Erasing) -> None:
    """Many pages of names and indexes that were split and joined: secure_delete reaches them all."""
    names = ["".join(chr(0x4E00 + (n * 7919 + place * 104_729) % 20_000) for place in range(4)) for n in range(400)]

    def body(unit: Unit) -> list[str]:
        return [Awarding(unit).award(awarding(person(n, name)))[0] for n, name in enumerate(names)]

    titles = registry.log.transact(body, actor=CLERK)
    registry.register.catch_up()
    gone = range(0, 400, 23)
    for n in gone:
        erase(erasing, registry.title(titles[n]).holder)
    data = b"".join(path.read_bytes() for path in registry.folder.path.glob("register.db*"))
    found = {n for n, name in enumerate(names) if name.encode() in data}
    assert found == set(range(400)) - set(gone)


# races


@pytest.mark.parametrize("employer", [None, "某某院"], ids=["nothing sealed", "something sealed"])
def test_an_award_that_began_before_begins_a_new_person(
    registry: Registry, second: Registry, holder: str, employer: str | None
) -> None:
    """It had recognised the person when the erasure came: it looks again and recognises nobody."""
    tries = []

    def body(unit: Unit) -> str:
        stream = Awarding(unit).award(awarding(person(71, NAME), title_name="高级工程师", employer=employer))[0]
        tries.append(stream)
        if len(tries) == 1:
            erase(second.erasing, holder)
        return stream

    stream = registry.log.transact(body, actor=CLERK)
    assert len(tries) == 2
    assert registry.title(stream).holder != holder
    assert verify_live(registry).ok


def test_a_proposal_that_comes_during_the_approval_stops_it(
    registry: Registry, second: Registry, title: str, holder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    erasing = registry.erasing
    one = waiting(erasing, holder).fact
    done: list[Any] = []

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        if not done:
            done.append(proposed(second, title, deciding(DecisionKind.REVOCATION)))
        return decide(*args, **kwargs)

    decide = Unit.destroy_key
    monkeypatch.setattr(Unit, "destroy_key", meanwhile)  # the moment between the looking and the append
    with pytest.raises(WrongState) as caught:
        erasing.approve(one.proposal, one.digest, officer=CHIEF)
    assert done[0].fact.proposal in caught.value.message
    assert holder in keys_of(registry)
    assert registry.holder(holder).name() == NAME


# crashes


def die_before_the_sweep(path: Path, passphrase: bytes, proposal: str, digest: str) -> None:
    """Approve, and die between the commit and the sweep."""
    registry = Registry.open(path, passphrase, Clock())
    registry.register.catch_up()

    def die(_: Any, __: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    Erasing.sweep = die  # type: ignore[method-assign]
    registry.erasing.approve(proposal, digest, officer=CHIEF)


@pytest.mark.sqlite_file
def test_killed_between_commit_and_sweep(registry: Registry, passphrase: bytes, erasing: Erasing, clock: Clock) -> None:
    old = paper_of_1998(person(71, NAME))
    sent = registry.submit_paper(old, date(1998, 12, 28), scans(b"scan"), officer=CLERK)
    registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF)
    holder = sent.fact.holder
    one = waiting(erasing, holder).fact
    wrapped = keys_of(registry)[holder]
    registry.register.catch_up()
    registry.close()
    context = multiprocessing.get_context("spawn")
    process = context.Process(
        target=die_before_the_sweep, args=(registry.folder.path, passphrase, one.proposal, one.digest)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    again = Registry(registry.folder, registry.custody, clock)
    try:
        assert again.holder(holder).erased
        sweeping = again.erasing.sweeping
        left = sweeping.left(holder)
        assert left[0] == "register.db"
        assert left[1].endswith(".sealed")
        assert any(wrapped in path.read_bytes() for path in registry.folder.path.glob("registry.db*"))
        kept = registry.folder.path.with_name(registry.folder.path.name + ".before-restore-20260302T013000Z")
        kept.mkdir()
        found = sweeping.examine()
        assert (found.erased, found.left, found.kept) == (1, left, [kept.name])
        assert sweeping.examine().left == []
        assert sweeping.left(holder) == []
        assert not any(wrapped in path.read_bytes() for path in registry.folder.path.glob("registry.db*"))
        assert sweeping.sweep_all() == 1  # safe to repeat
        assert verify_live(again).ok
    finally:
        again.close()


@pytest.mark.sqlite_file
def test_a_reader_in_the_way_is_said(registry: Registry, erasing: Erasing, holder: str) -> None:
    """The key cannot leave the write-ahead log while somebody reads an older state: approve the same again."""
    one = waiting(erasing, holder).fact
    registry.log.recorder.connection.execute("PRAGMA busy_timeout=50")
    with closing(sqlite3.connect(registry.folder.log, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM stored_events").fetchone()
        with pytest.raises(Unavailable, match="清理没有完成"):
            erasing.approve(one.proposal, one.digest, officer=CHIEF)
    head = registry.log.head()
    erasing.approve(one.proposal, one.digest, officer=CHIEF)
    assert registry.log.head() == head
    assert Path(f"{registry.folder.log}-wal").stat().st_size == 0


def test_the_doors_forget_too(registry: Registry, holder: str) -> None:
    forgotten: list[str] = []
    registry.sweeping.also.append(forgotten.append)
    erase(registry.erasing, holder)
    assert forgotten == [holder]


# a copy of one's own data


def test_everything_held_about_one_person(registry: Registry, title: str, holder: str) -> None:
    sent = registry.submit_paper(paper_of_1998(person(71, NAME)), None, scans(b"the scan"), officer=CLERK)
    about: Any = {"basis": "change", "document_no": "丽公1号", "effective_on": date(2026, 1, 1), "officer": CLERK}
    registry.rename_holder(holder, "龘㛃鑫", **about)
    proposed(registry, title, deciding(DecisionKind.REVOCATION, reason="䨻材料系伪造"))
    registry.requesting.make(holder, RequestKind.COPY, "请给我一份", officer=CLERK)
    registry.looking.title(title, actor=CLERK, purpose=Purpose.REQUEST, door="cli titles show")
    registry.answers.record(registry.verifier.check(registry.title(title).certificates[-1].code), Channel.CODE_PAGE)
    data = own_data(registry, holder)
    assert (data.person, data.present_name, data.former_names) == (person(71, NAME), "龘㛃鑫", [NAME])
    assert [one.content for one in data.scans] == [b"%PDF-1.4\n% a made-up scan\nthe scan"]
    assert {one.stream for one in data.events} >= {holder, title, sent.id}
    said = {one.what: one.fact for one in data.events}
    assert said["title-awarded/1"]["employer"] == "靐龗建筑设计院"
    assert said["certificate-prepared/1"]["content"]["name"] == NAME
    assert said["data-request-made/1"]["text"] == "请给我一份"
    assert said["decision-proposed/1"]["reason"] == HELD_BACK
    assert "䨻材料系伪造" not in repr(data)
    assert OTHER not in repr(data)
    assert {(one.who, one.purpose, one.answer) for one in data.looks} == {
        ("丽水市人力资源和社会保障局 经办人", "处理本人请求", None),
        ("凭查验码的核验者", "核验证书", Status.VALID),
    }


def test_requests_are_answered_by_who_is_over_the_person(registry: Registry, holder: str) -> None:
    requesting = registry.requesting
    refused(registry, Forbidden, lambda: requesting.make(holder, RequestKind.COPY, "请给我", officer="nobody"))
    other = registry.title(registry.award(awarding(person(75, "张三")), officer=CLERK)).holder
    refused(registry, Forbidden, lambda: requesting.make(holder, RequestKind.COPY, "请给我", officer=other))
    stream = requesting.make(holder, RequestKind.COPY, "请给我", officer=holder)
    refused(registry, Forbidden, lambda: requesting.answer(stream, Outcome.DONE, "已给", officer=holder))
    refused(registry, NotFound, lambda: requesting.answer("request-0", Outcome.DONE, "已给", officer=CLERK))
    assert [one.id for one in requesting.within(CLERK)] == [stream]
    assert requesting.within("nobody") == []
    done = requesting.answer(stream, Outcome.REFUSED, "须本人到场核验", officer=CLERK)
    assert (done.outcome, done.answered_by) == (Outcome.REFUSED, CLERK)


def test_who_has_which_right(registry: Registry) -> None:
    """The table, as it is used here."""
    sight = registry.authorising.sight
    assert sight(CHIEF, Permission.DECIDE, CITY)
    assert sight(CLERK, Permission.ERASE, QINGTIAN)
    assert not sight("nobody", Permission.HOLD, CITY)


# backups


def backed_up(registry: Registry, passphrase: bytes, target: Path) -> Path:
    registry.tlog.sequence()
    back_up(registry.folder, target, passphrase, now=registry.clock())
    return target


def test_a_backup_says_when_it_must_be_gone(registry: Registry, passphrase: bytes, tmp_path: Path) -> None:
    archive = backed_up(registry, passphrase, tmp_path / "b.tar")
    assert read_archive(archive).expiry == BEGIN + timedelta(days=90)


def test_a_backup_past_its_time_does_not_bring_the_erased_back(
    registry: Registry, passphrase: bytes, holder: str, clock: Clock, tmp_path: Path
) -> None:
    """Before its time it is put in place, frozen, as ever; after it, not even that."""
    old = backed_up(registry, passphrase, tmp_path / "old.tar")
    erase(registry.erasing, holder)
    new = backed_up(registry, passphrase, tmp_path / "new.tar")
    registry.close()
    data = registry.folder.path
    frozen = restore(old, data, passphrase, now=clock(), dry_run=True)
    assert frozen.frozen is not None
    late = clock.forward(days=91)
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    with pytest.raises(Refused, match="已于 2026-05-31 到期"):
        restore(old, data, passphrase, now=late)
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
    with pytest.raises(Refused, match="到期"):  # nobody can tell whether it is the newest
        restore(new, tmp_path / "elsewhere", passphrase, now=late)
    done = restore(new, data, passphrase, now=late)
    assert done.frozen is None


def test_a_restore_sweeps_what_the_backup_took_too_much(
    registry: Registry, passphrase: bytes, clock: Clock, tmp_path: Path
) -> None:
    """A scan that was still there when its folder was read, of a person erased when the store was."""
    sent = registry.submit_paper(paper_of_1998(person(73, "王㛃")), None, scans(), officer=CLERK)
    registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF)
    [scan] = registry.folder.evidence.iterdir()
    kept = scan.read_bytes()
    erase(registry.erasing, sent.fact.holder)
    assert not scan.exists()
    scan.write_bytes(kept)
    archive = backed_up(registry, passphrase, tmp_path / "b.tar")
    registry.close()
    assert any(one.name.startswith("evidence/") for one in read_archive(archive).files)
    restore(archive, registry.folder.path, passphrase, now=clock())
    assert not any(registry.folder.evidence.glob("*"))
