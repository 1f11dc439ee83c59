"""E-certificates: every check, then stored, then signed; one version at a time, an old one leads to the new."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import cbor2
import msgspec
import pytest
from cwt import COSE, COSEKey

from keys.custody import Custody
from keys.errors import KeyNotUsable
from keys.signing import Purpose
from registry.errors import BadCode, CorruptHistory, DocumentRefused, NotFound, RegistryError, WrongState
from registry.log.facts import Private
from registry.service import Registry
from registry.terms import Sex
from registry.titles.certificate import prepare, sign, token_of
from registry.titles.content import CertificateContent
from registry.titles.events import CertificatePrepared, CertificateSigned, DecisionKind, TitleAwarded
from registry.titles.state import TITLES
from tests.check_log import check_log, stored_events
from tests.examples import EXAMPLES, SEALED
from tests.people import (
    CHIEF,
    CLERK,
    Clock,
    awarding,
    correcting,
    decided,
    deciding,
    paper_of_1998,
    person,
    scans,
    settable,
)
from tests.scenario import given

TODAY = date(2026, 3, 2)
CONTENT: CertificateContent = SEALED["certificate-prepared/1.content"]
AWARDED = TitleAwarded(holder="holder-0001", award=EXAMPLES["title-awarded/1"].award)  # type: ignore[attr-defined]
PREPARED = CertificatePrepared(holder="holder-0001", version=2, code=CONTENT.code, kid="k-1", content=Private(CONTENT))
SIGNED = CertificateSigned(version=2, kid="k-1", signature=bytes(64))


def preparing(content: CertificateContent = CONTENT, kid: str = "k-1") -> Callable[[Any], Any]:
    return lambda title: prepare(title, content, kid, TODAY)


def refused(registry: Registry, kind: type[RegistryError], step: Any) -> RegistryError:
    """Exactly this error, with a fix, and the log as it was."""
    head = registry.log.head()
    with pytest.raises(RegistryError) as caught:
        step()
    assert type(caught.value) is kind, repr(caught.value)
    assert caught.value.fix
    assert registry.log.head() == head
    return caught.value


@pytest.fixture
def title(registry: Registry) -> str:
    return registry.award(awarding(person(1)), officer=CLERK)


# --- decisions


def test_a_content_is_prepared_once() -> None:
    given(AWARDED).when(preparing()).then(PREPARED)
    given(AWARDED, PREPARED).when(preparing()).then()
    given(AWARDED, PREPARED, SIGNED).when(preparing()).then()


def test_code_date_version_and_remark_make_no_new_version() -> None:
    later = msgspec.structs.replace(CONTENT, code="0" * 17, version=3, issued_on=date(2027, 1, 1), remarks=("x",))
    given(AWARDED, PREPARED, SIGNED).when(preparing(later)).then()


@pytest.mark.parametrize(
    "field", [name for name in CONTENT.__struct_fields__ if name not in ("code", "version", "issued_on", "remarks")]
)
def test_anything_else_that_is_printed_does(field: str) -> None:
    old = getattr(CONTENT, field)
    new = not old if isinstance(old, bool) else Sex.MALE if field == "sex" else None if field == "paper" else "另一"
    changed: CertificateContent = msgspec.structs.replace(CONTENT, **{field: new})
    anew = msgspec.structs.replace(PREPARED, content=Private(changed))
    given(AWARDED, PREPARED, SIGNED).when(preparing(changed)).then(anew)


def test_what_another_key_was_to_sign_is_prepared_anew() -> None:
    given(AWARDED, PREPARED).when(preparing(kid="k-2")).then(msgspec.structs.replace(PREPARED, kid="k-2"))
    given(AWARDED, PREPARED, SIGNED).when(preparing(kid="k-2")).then()


@pytest.mark.parametrize("kind", ["revoked", "invalidated", "suspended"])
def test_only_a_valid_title_is_certified(kind: str) -> None:
    given(AWARDED, EXAMPLES[f"title-{kind}/1"]).when(preparing()).refused(WrongState)


def test_not_before_the_award() -> None:
    given(AWARDED).when(lambda title: prepare(title, CONTENT, "k-1", date(2021, 9, 19))).refused(WrongState)


def test_a_signed_one_is_not_signed_again(made: tuple[Any, Custody], clock: Clock) -> None:
    signer, keyring = made[1].signer(Purpose.E_CERTIFICATE, clock()), made[1].keyring
    title = given(AWARDED, PREPARED, SIGNED).state
    assert sign(title.certificates[0], 0, signer, keyring) == []
    given(AWARDED, PREPARED).when(lambda state: sign(state.certificates[0], 0, signer, keyring)).refused(WrongState)


def test_an_unsigned_one_has_no_token() -> None:
    with pytest.raises(CorruptHistory):
        token_of(given(AWARDED, PREPARED).state.certificates[0])


# --- in the registry


def test_it_is_stored_before_it_is_signed(registry: Registry, title: str) -> None:
    certificate = registry.issue(title, settable, officer=CLERK)
    names = [event.name for event in stored_events(registry) if event.stream == title]
    assert names == ["title-awarded/1", "certificate-prepared/1", "certificate-signed/2"]
    content = certificate.content.reveal()
    assert (content.name, content.identity_masked) == ("林晓岚", "331199********" + person(1).identity.number[-4:])
    assert (content.issued_on, content.sex, content.born_month) == (TODAY, person(1).sex, "1960-01")
    assert (content.version, content.remarks, content.base_url) == (1, (), "https://zc.example.cn")
    check_log(registry)


def test_another_library_verifies_the_token(registry: Registry, title: str) -> None:
    certificate = registry.issue(title, settable, officer=CLERK)
    jwks = registry.custody.keyring.to_jwks()["keys"]
    keys = [COSEKey.from_jwk({**jwk, "alg": "ES256"}) for jwk in jwks if jwk["kty"] == "EC"]
    claims = cbor2.loads(COSE.new().decode(token_of(certificate), keys=keys))
    assert claims[4] == "3311002021000001"
    assert claims[5] == "林*岚"
    assert date(1970, 1, 1).toordinal() + claims[10] == date(2021, 9, 20).toordinal()
    assert person(1).identity.number.encode() not in token_of(certificate)


def test_issuing_again_gives_the_same_certificate(
    registry: Registry, second: Registry, clock: Clock, title: str
) -> None:
    first = registry.issue(title, settable, officer=CLERK)
    head = registry.log.head()
    clock.forward(days=40)
    for each in (registry, second):
        assert each.issue(title, settable, officer=CHIEF) == first
    assert registry.log.head() == head
    check_log(registry)


def test_what_was_prepared_and_not_signed_is_signed_next_time(
    registry: Registry, title: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the two appends: the second of them never happens."""
    transact, calls = registry.log.transact, []

    def dies_at_second(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return transact(*args, **options)

    monkeypatch.setattr(registry.log, "transact", dies_at_second)
    with pytest.raises(KeyboardInterrupt):
        registry.issue(title, settable, officer=CLERK)
    monkeypatch.undo()
    [prepared] = registry.title(title).certificates
    assert prepared.signature is None
    refused(registry, NotFound, lambda: registry.certificate(prepared.code))
    assert registry.verifier.check(prepared.code).status == "unknown"
    check_log(registry)
    clock.forward(days=1)
    done = registry.issue(title, settable, officer=CLERK)
    assert (done.code, done.version, done.content.reveal().issued_on) == (prepared.code, 1, TODAY)
    check_log(registry)


def test_a_changed_name_is_a_new_version_of_the_same_award(registry: Registry, title: str) -> None:
    """王丽 becomes 王莉: the old QR answers superseded and leads on."""
    old = registry.issue(title, settable, officer=CLERK)
    about: Any = {"basis": "change", "document_no": "丽公1号", "effective_on": TODAY, "officer": CLERK}
    registry.rename_holder(registry.title(title).holder, "林小莉", **about)
    assert registry.verifier.check(old.code).status == "valid"
    new = registry.issue(title, settable, officer=CLERK)
    assert (new.version, new.content.reveal().name) == (2, "林小莉")
    assert new.code != old.code
    assert "第 2 版" in new.content.reveal().remarks[0]
    answer = registry.verifier.check(old.code)
    assert answer.status == "superseded"
    assert answer.certificate
    assert (answer.certificate.version, answer.certificate.latest_version) == (1, 2)
    assert registry.verifier.check_token(token_of(old)).status == "superseded"
    assert registry.verifier.check(new.code).status == registry.verifier.check_token(token_of(new)).status == "valid"
    assert registry.certificate(old.code)[1].content.reveal().name == "林晓岚"
    check_log(registry)


def test_a_name_of_tomorrow_is_not_printed_today(registry: Registry, clock: Clock, title: str) -> None:
    about: Any = {"basis": "change", "document_no": "丽公1号", "effective_on": date(2026, 3, 3), "officer": CLERK}
    registry.rename_holder(registry.title(title).holder, "林小莉", **about)
    assert registry.issue(title, settable, officer=CLERK).content.reveal().name == "林晓岚"
    clock.forward(hours=14)  # half past eleven at night in Beijing
    assert registry.issue(title, settable, officer=CLERK).content.reveal().name == "林晓岚"
    clock.forward(minutes=31)
    new = registry.issue(title, settable, officer=CLERK).content.reveal()
    assert (new.name, new.issued_on, new.version) == ("林小莉", date(2026, 3, 3), 2)
    check_log(registry)


def test_a_name_changed_and_changed_back_is_three_versions(registry: Registry, title: str) -> None:
    names = []
    for name in ("林晓岚", "林小莉", "林晓岚"):
        about: Any = {"basis": "change", "document_no": "丽公1号", "effective_on": TODAY, "officer": CLERK}
        registry.rename_holder(registry.title(title).holder, name, **about)
        names.append(registry.issue(title, settable, officer=CLERK).content.reveal().name)
    assert names == ["林晓岚", "林小莉", "林晓岚"]
    assert [one.version for one in registry.title(title).certificates] == [1, 2, 3]
    check_log(registry)


def test_a_correction_outdates_the_certificate(registry: Registry, title: str) -> None:
    old = registry.issue(title, settable, officer=CLERK)
    decided(registry, title, correcting(registry.title(title), specialty="给水排水"))
    assert registry.verifier.check(old.code).status == "superseded"
    new = registry.issue(title, settable, officer=CLERK)
    assert (new.version, new.content.reveal().specialty) == (2, "给水排水")
    assert registry.certificate(old.code)[1].content.reveal().specialty == "建筑工程"
    assert registry.verifier.check(new.code).status == "valid"
    check_log(registry)


def test_a_correction_of_what_is_not_printed_leads_to_a_new_version_too(registry: Registry, title: str) -> None:
    """Whoever shows the old one is told that it was corrected since; the new one says the same and stands."""
    old = registry.issue(title, settable, officer=CLERK)
    decided(registry, title, correcting(registry.title(title), published_on=date(2021, 10, 8)))
    new = registry.issue(title, settable, officer=CLERK)
    assert (new.version, registry.verifier.check(new.code).status) == (2, "valid")
    assert registry.verifier.check(old.code).status == "superseded"
    assert registry.issue(title, settable, officer=CLERK) == new
    check_log(registry)


def test_a_content_that_cannot_be_set_is_refused_before_anything_is_stored(registry: Registry, title: str) -> None:
    def no_glyph(content: CertificateContent) -> None:
        raise DocumentRefused(f"没有字形：{content.name_masked}", fix="安装字体")

    refused(registry, DocumentRefused, lambda: registry.issue(title, no_glyph, officer=CLERK))
    other = registry.award(awarding(person(2)), officer=CLERK)
    seen: list[str] = []

    def second_fails(content: CertificateContent) -> None:
        seen.append(content.number)
        if len(seen) == 2:
            no_glyph(content)

    refused(registry, DocumentRefused, lambda: registry.issuing.issue([title, other], second_fails, officer=CLERK))
    assert not registry.title(title).certificates
    check_log(registry)


@pytest.mark.parametrize("kind", [DecisionKind.REVOCATION, DecisionKind.INVALIDATION, DecisionKind.SUSPENSION])
def test_a_title_that_does_not_stand_gets_no_certificate(registry: Registry, title: str, kind: DecisionKind) -> None:
    decided(registry, title, deciding(kind))
    refused(registry, WrongState, lambda: registry.issue(title, settable, officer=CLERK))
    check_log(registry)


def test_not_yet_effective_is_not_yet_certified(registry: Registry, clock: Clock) -> None:
    """A list published today may award from a later day."""
    stream = registry.award(awarding(person(2), awarded_on=date(2026, 3, 4)), officer=CLERK)
    refused(registry, WrongState, lambda: registry.issue(stream, settable, officer=CLERK))
    clock.forward(days=2)
    assert registry.issue(stream, settable, officer=CLERK).version == 1
    check_log(registry)


def test_many_at_once_and_each_once(registry: Registry) -> None:
    streams = [registry.award(awarding(person(n)), officer=CLERK) for n in range(6)]
    done = registry.issuing.issue([*streams, streams[0]], settable, officer=CLERK)
    assert len({one.code for one in done}) == 6
    assert done[0] == done[-1]
    check_log(registry)


@pytest.mark.parametrize("stream", ["title-0000", "", "holder-0000"])
def test_there_is_no_such_title(registry: Registry, title: str, stream: str) -> None:
    refused(registry, NotFound, lambda: registry.issue(stream, settable, officer=CLERK))
    refused(registry, NotFound, lambda: registry.issuing.issue([title, stream], settable, officer=CLERK))


def test_a_code_that_is_none_or_not_here(registry: Registry, title: str) -> None:
    refused(registry, BadCode, lambda: registry.certificate("no code"))
    refused(registry, NotFound, lambda: registry.certificate("0" * 17))


def test_a_key_that_has_expired_signs_nothing(registry: Registry, clock: Clock, title: str) -> None:
    clock.forward(days=4 * 365)
    head = registry.log.head()
    with pytest.raises(KeyNotUsable):
        registry.issue(title, settable, officer=CLERK)
    assert registry.log.head() == head


def test_the_paper_stays_on_the_certificate(registry: Registry) -> None:
    """Journey 1: the old number, the title name of its time, and that it is issued by a paper certificate."""
    sent = registry.submit_paper(paper_of_1998(person(5)), date(1998, 12, 28), scans(), officer=CLERK)
    done = registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF)
    assert done.title
    content = registry.issue(done.title, settable, officer=CLERK).content.reveal()
    assert content.paper
    assert (content.paper.number, content.paper.issued_on) == ("浙丽 9801-0427", date(1998, 12, 28))
    assert (content.title_name, content.awarded_on) == ("高级工程师", date(1998, 11, 20))
    check_log(registry)


def test_the_title_of_a_time(registry: Registry, clock: Clock, title: str) -> None:
    """What was known before a certificate was made does not know it."""
    before: datetime = clock.now
    clock.forward(days=1)
    registry.issue(title, settable, officer=CLERK)
    assert registry.title(title, known_at=before).certificates == ()
    loaded = registry.log.load(TITLES, title, sealed=True)
    assert loaded
    assert loaded.certificates[0].content.get() is None
