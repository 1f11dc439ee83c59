"""What an employer is told: now, as of a day, as it was known at a time; and what never gets an answer."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from keys.cose import build1, sign1
from keys.signing import Purpose
from registry.errors import CorruptHistory, Unavailable
from registry.service import Registry
from registry.terms import Status
from registry.titles.answer import Answer
from registry.titles.certificate import token_of
from registry.titles.events import DecisionKind
from registry.titles.state import Certificate
from registry.titles.token import AUTHORITY, NAME, payload
from tests import engine
from tests.audit_life import damage
from tests.check_log import check_log
from tests.people import (
    CHIEF,
    CLERK,
    Clock,
    awarding,
    correcting,
    decided,
    deciding,
    found,
    paper_of_1998,
    person,
    proposed,
    scans,
    settable,
)
from tests.rotating import rotate

DECISIONS = {
    DecisionKind.REVOCATION: Status.REVOKED,
    DecisionKind.INVALIDATION: Status.INVALIDATED,
    DecisionKind.SUSPENSION: Status.SUSPENDED,
}


@pytest.fixture
def title(registry: Registry) -> str:
    return registry.award(awarding(person(1)), officer=CLERK)


@pytest.fixture
def certificate(registry: Registry, title: str) -> Certificate:
    return registry.issue(title, settable, officer=CLERK)


def but_for_the_time(answer: Answer) -> Answer:
    same: Answer = msgspec.structs.replace(answer, checked_at=datetime(2000, 1, 1, tzinfo=UTC))
    return same


def outcomes(answer: Answer) -> list[tuple[int, str]]:
    return [(step.number, step.outcome) for step in answer.steps]


# --- states


def test_valid(registry: Registry, second: Registry, clock: Clock, certificate: Certificate) -> None:
    clock.forward(days=3)
    answer = registry.verifier.check(certificate.code)
    assert (answer.status, answer.checked_at, answer.log_position) == ("valid", clock.now, registry.log.head())
    shown = answer.certificate
    assert shown
    assert (shown.name, shown.title_name, shown.level_zh) == ("林*岚", "工程师", "中级")
    assert (shown.awarded_on, shown.issued_on) == (date(2021, 9, 20), date(2026, 3, 2))
    assert (shown.code, shown.version, shown.latest_version) == (certificate.code, 1, 1)
    assert answer.decision is None
    assert outcomes(answer) == [(n, "passed") for n in range(1, 7)]
    assert second.verifier.check(certificate.code) == answer
    assert second.verifier.check_token(token_of(certificate)).status == "valid"


@pytest.mark.parametrize("kind", DECISIONS)
def test_a_decision_is_seen_at_once_by_another_process(
    registry: Registry, second: Registry, title: str, certificate: Certificate, kind: DecisionKind
) -> None:
    assert second.verifier.check(certificate.code).status == "valid"
    open_ = proposed(registry, title, deciding(kind))
    assert second.verifier.check(certificate.code).status == "valid"
    registry.approve(open_.fact.proposal, open_.fact.digest, officer=CHIEF)
    for answer in (second.verifier.check(certificate.code), second.verifier.check_token(token_of(certificate))):
        assert answer.status == DECISIONS[kind]
        assert answer.decision
        assert (answer.decision.kind, answer.decision.document_no) == (DECISIONS[kind], open_.fact.document_no)
        assert answer.decision.from_the_start == (kind is DecisionKind.REVOCATION)
        assert "申报材料" not in str(msgspec.json.encode(answer), "utf-8")
    decided(registry, title, deciding(DecisionKind.REINSTATEMENT))
    assert second.verifier.check(certificate.code).status == "valid"


def test_an_answer_names_nobody(registry: Registry, title: str, certificate: Certificate) -> None:
    decided(registry, title, deciding(DecisionKind.REVOCATION))
    for answer in (registry.verifier.check(certificate.code), registry.verifier.check_token(token_of(certificate))):
        said = str(msgspec.json.encode(answer), "utf-8")
        for private in ("林晓岚", person(1).identity.number, "331199", CLERK, CHIEF, registry.title(title).holder):
            assert private not in said


def test_a_converted_paper_is_shown(registry: Registry) -> None:
    sent = registry.submit_paper(paper_of_1998(person(5)), date(1998, 12, 28), scans(), officer=CLERK)
    stream = registry.approve_paper(sent.id, sent.fact.digest, officer=CHIEF).title or ""
    shown = registry.verifier.check(registry.issue(stream, settable, officer=CLERK).code).certificate
    assert shown
    assert shown.paper
    assert (shown.paper.number, shown.paper.remark) == ("浙丽 9801-0427", "依据纸质证书换发")


# --- unknown


def codes_of_nothing() -> list[str]:
    return ["", " ", "nothing", "7K3M", "7K3M9XQ4T2VD8HNRS" * 3, "０" * 17, "%00", "7K3M 9XQ4 T2VD 8HNR U", "\x00" * 17]


@pytest.mark.parametrize("text", codes_of_nothing())
def test_unknown_and_malformed_get_one_answer(registry: Registry, certificate: Certificate, text: str) -> None:
    unknown = registry.verifier.check("ZZZZZZZZZZZZZZZZ6")
    answer = registry.verifier.check(text)
    assert answer.status == "unknown"
    assert but_for_the_time(answer) == but_for_the_time(unknown)
    flipped = certificate.code[:-1] + ("0" if certificate.code[-1] != "0" else "1")
    assert but_for_the_time(registry.verifier.check(flipped)) == but_for_the_time(unknown)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@for_all(text=st.text(max_size=30))
def test_any_text_is_answered(registry: Registry, text: str) -> None:
    assert registry.verifier.check(text).status == "unknown"


@pytest.mark.parametrize(
    "write",
    [
        str.lower,
        lambda code: " ".join(code),
        lambda code: code[:4] + "-" + code[4:],
        lambda code: code.replace("1", "I").replace("0", "o"),
        lambda code: "".join(chr(ord(character) + 0xFEE0) for character in code),
    ],
    ids=["lower", "blanks", "hyphen", "look-alikes", "full width"],
)
def test_a_code_as_people_type_it(registry: Registry, certificate: Certificate, write: Callable[[str], str]) -> None:
    assert registry.verifier.check(write(certificate.code)).status == "valid"


# --- tokens


def test_one_flipped_byte(registry: Registry, certificate: Certificate) -> None:
    token = token_of(certificate)
    for place in range(len(token)):
        broken = bytearray(token)
        broken[place] ^= 1
        answer = registry.verifier.check_token(bytes(broken))
        assert answer.status == "tampered", place
        assert answer.certificate is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@for_all(token=st.binary(max_size=300))
def test_any_bytes_are_answered(registry: Registry, token: bytes) -> None:
    answer = registry.verifier.check_token(token)
    assert answer.status in ("tampered", "unreadable")
    assert answer.certificate is None


def test_a_token_cut_or_lengthened(registry: Registry, certificate: Certificate) -> None:
    token = token_of(certificate)
    for broken in (token[:-1], token[1:], token + b"\0", token + token, b""):
        assert registry.verifier.check_token(broken).status in ("tampered", "unreadable")


def test_a_token_of_another_registry(tmp_path: Any, registry: Registry, clock: Clock, passphrase: bytes) -> None:
    """A genuine token of a registry with other keys is none of ours, even for the same person and title."""
    other = Registry.create(tmp_path / "other", passphrase, engine.kept(registry.config), clock)
    found(other)
    stream = other.award(awarding(person(1)), officer=CLERK)
    theirs = other.issue(stream, settable, officer=CLERK)
    assert other.verifier.check_token(token_of(theirs)).status == "valid"
    answer = registry.verifier.check_token(token_of(theirs))
    assert (answer.status, answer.certificate) == ("tampered", None)
    assert registry.verifier.check(theirs.code).status == "unknown"
    other.close()


def test_a_valid_token_of_a_certificate_that_is_not_in_this_log(
    registry: Registry, new_registry: Callable[[], Registry]
) -> None:
    """Signed with our key, and yet not recorded here: signatures do not replace the log."""
    elsewhere = new_registry()
    stream = elsewhere.award(awarding(person(1)), officer=CLERK)
    certificate = elsewhere.issue(stream, settable, officer=CLERK)
    answer = registry.verifier.check_token(token_of(certificate))
    assert (answer.status, answer.certificate) == ("unknown", None)


def signed(registry: Registry, claims: bytes) -> bytes:
    return sign1(registry.custody.signer(Purpose.E_CERTIFICATE, registry.clock()), "zc1", claims)


def test_a_token_with_our_signature_over_other_claims(registry: Registry, certificate: Certificate) -> None:
    """Whoever stole a signature key still cannot change what the log says of a code."""
    claims = cbor2.loads(payload(certificate.content.reveal(), certificate.leaf))
    for key, other in ((NAME, "陈*"), (AUTHORITY, 331121)):
        told = cbor2.dumps({**claims, key: other}, canonical=True)
        answer = registry.verifier.check_token(signed(registry, told))
        assert (answer.status, answer.certificate) == ("tampered", None)
        assert outcomes(answer)[3] == (4, "failed")


@pytest.mark.parametrize(
    "claims",
    [b"", b"\xff", cbor2.dumps([]), cbor2.dumps({}), cbor2.dumps("text"), cbor2.dumps({1: b"short", 7: 1}),
     cbor2.dumps({1: "x" * 10, 7: 1, 10: 1, 11: 1}), cbor2.dumps({1: bytes(10), 7: 99, 10: 1, 11: 1}),
     cbor2.dumps({1: bytes(10), 7: 1, 10: 2**70, 11: 1}), cbor2.dumps({1: bytes(10), 7: 1, 10: "x", 11: 1}),
     cbor2.dumps({1: bytes(10), 7: -9, 10: 1, 11: 1}), cbor2.dumps({1: bytes(10), 7: 1, 10: 1})],
)  # fmt: skip
def test_a_signed_token_that_is_not_of_this_form(registry: Registry, claims: bytes) -> None:
    answer = registry.verifier.check_token(signed(registry, claims))
    assert answer.status in ("unreadable", "unknown")
    assert answer.certificate is None


def test_a_signature_for_another_purpose(registry: Registry, certificate: Certificate) -> None:
    """The checkpoint key signs the very bytes; still no certificate."""
    signer = registry.custody.signer(Purpose.CHECKPOINT, registry.clock())
    forged = build1(signer.kid, "zc1", payload(certificate.content.reveal(), certificate.leaf), bytes(64))
    assert registry.verifier.check_token(forged).status == "tampered"
    unknown_key = build1(
        "nobody", "zc1", payload(certificate.content.reveal(), certificate.leaf), certificate.signature or b""
    )
    assert registry.verifier.check_token(unknown_key).status == "tampered"


def test_a_key_rotated_by_another_process(tmp_path: Any, registry: Registry, clock: Clock, passphrase: bytes) -> None:
    """The open verifier knows the new key at once, and still the old one: a genuine token is never called forged."""
    writer = Registry.create(tmp_path / "own", passphrase, engine.kept(registry.config), clock)
    found(writer)
    reader = Registry.open(tmp_path / "own", passphrase, clock)
    stream = writer.award(awarding(person(1)), officer=CLERK)
    old = writer.issue(stream, settable, officer=CLERK)
    assert reader.verifier.check_token(token_of(old)).status == "valid"
    clock.forward(days=30)
    rotate(writer.custody, Purpose.E_CERTIFICATE, clock.now)
    decided(writer, stream, correcting(writer.title(stream), specialty="给水排水"))
    new = writer.issue(stream, settable, officer=CLERK)
    assert new.kid != old.kid
    assert reader.verifier.check_token(token_of(new)).status == "valid"
    assert reader.verifier.check_token(token_of(old)).status == "superseded"
    check_log(writer)
    for each in (writer, reader):
        each.close()


# --- two clocks


def test_effective_dates_on_both_sides(registry: Registry, title: str, certificate: Certificate) -> None:
    decided(registry, title, deciding(DecisionKind.SUSPENSION, effective_on=date(2024, 2, 1)))
    decided(registry, title, deciding(DecisionKind.REINSTATEMENT, effective_on=date(2025, 3, 1)))
    expected = {
        date(2021, 9, 19): "not_yet_effective", date(2021, 9, 20): "valid", date(2024, 1, 31): "valid",
        date(2024, 2, 1): "suspended", date(2025, 2, 28): "suspended", date(2025, 3, 1): "valid",
    }  # fmt: skip
    for day, status in expected.items():
        answer = registry.verifier.check(certificate.code, as_of=day)
        assert (answer.status, answer.as_of) == (status, day)
        assert (answer.decision is None) == (status != "suspended")


def test_a_decision_of_tomorrow_rules_tomorrow(
    registry: Registry, clock: Clock, title: str, certificate: Certificate
) -> None:
    decided(registry, title, deciding(DecisionKind.INVALIDATION, effective_on=date(2026, 3, 3)))
    assert registry.verifier.check(certificate.code).status == "valid"
    clock.now = datetime(2026, 3, 2, 15, 59, 59, tzinfo=UTC)  # a second before midnight in Beijing
    assert registry.verifier.check(certificate.code).status == "valid"
    clock.forward(seconds=1)
    assert registry.verifier.check(certificate.code).status == "invalidated"


def test_the_day_of_an_event_is_beijings(registry: Registry, clock: Clock) -> None:
    """Recorded at 17:00 UTC of 1 January: in Beijing it is the 2nd."""
    clock.now = datetime(2027, 1, 1, 17, 0, tzinfo=UTC)
    stream = registry.award(awarding(person(9)), officer=CLERK)
    code = registry.issue(stream, settable, officer=CLERK).code
    decided(registry, stream, deciding(DecisionKind.SUSPENSION))
    answer = registry.verifier.check(code)
    assert answer.certificate
    assert answer.decision
    assert answer.certificate.issued_on == answer.decision.effective_on == date(2027, 1, 2)
    assert registry.verifier.check(code, as_of=date(2027, 1, 1)).status == "valid"
    assert registry.verifier.check(code, as_of=date(2027, 1, 2)).status == "suspended"


def test_recorded_times_on_both_sides(registry: Registry, clock: Clock, title: str) -> None:
    just = timedelta(microseconds=1)
    issued = clock.forward(days=1)
    code = registry.issue(title, settable, officer=CLERK).code
    revoked = clock.forward(days=1)
    decided(registry, title, deciding(DecisionKind.REVOCATION))
    reinstated = clock.forward(days=1)
    decided(registry, title, deciding(DecisionKind.REINSTATEMENT))
    expected = {
        issued - just: "unknown", issued: "valid", revoked - just: "valid", revoked: "revoked",
        reinstated - just: "revoked", reinstated: "valid",
    }  # fmt: skip
    for known_at, status in expected.items():
        answer = registry.verifier.check(code, known_at=known_at)
        assert (answer.status, answer.known_at) == (status, known_at), known_at


def test_both_clocks_together(registry: Registry, clock: Clock, title: str, certificate: Certificate) -> None:
    """In March the award of 2021 stood for January; in April it was known that it never had."""
    march = clock.now
    april = clock.forward(days=35)
    decided(registry, title, deciding(DecisionKind.REVOCATION))
    january = date(2026, 1, 15)
    assert registry.verifier.check(certificate.code, as_of=january, known_at=march).status == "valid"
    assert registry.verifier.check(certificate.code, as_of=january, known_at=april).status == "revoked"
    assert registry.verifier.check(certificate.code, as_of=january).status == "revoked"


def test_superseded_is_known_from_the_new_version_on(
    registry: Registry, clock: Clock, title: str, certificate: Certificate
) -> None:
    before = clock.now
    clock.forward(days=1)
    decided(registry, title, correcting(registry.title(title), specialty="给水排水"))
    corrected = clock.now
    clock.forward(days=1)
    registry.issue(title, settable, officer=CLERK)
    statuses = [registry.verifier.check(certificate.code, known_at=at).status for at in (before, corrected, clock.now)]
    assert statuses == ["valid", "superseded", "superseded"]


def test_revoked_is_said_of_every_version(registry: Registry, title: str, certificate: Certificate) -> None:
    decided(registry, title, correcting(registry.title(title), specialty="给水排水"))
    new = registry.issue(title, settable, officer=CLERK)
    decided(registry, title, deciding(DecisionKind.REVOCATION))
    assert {registry.verifier.check(code).status for code in (certificate.code, new.code)} == {"revoked"}
    check_log(registry)


def test_not_yet_effective(registry: Registry, clock: Clock) -> None:
    stream = registry.award(awarding(person(2), awarded_on=date(2026, 3, 4)), officer=CLERK)
    clock.forward(days=2)
    code = registry.issue(stream, settable, officer=CLERK).code
    clock.forward(days=-2)
    assert registry.verifier.check(code).status == "not_yet_effective"
    clock.now = datetime(2026, 3, 3, 15, 59, 59, tzinfo=UTC)
    assert registry.verifier.check(code).status == "not_yet_effective"
    clock.forward(seconds=1)
    assert registry.verifier.check(code).status == "valid"


# --- it could not be checked


def test_a_store_that_cannot_be_read_is_never_a_verdict(registry: Registry, certificate: Certificate) -> None:
    damage(registry.folder.log, "ALTER TABLE claims RENAME TO lost")
    with pytest.raises(Unavailable) as caught:
        registry.verifier.check(certificate.code)
    assert caught.value.fix
    with pytest.raises(Unavailable):
        registry.verifier.check_token(token_of(certificate))


def test_a_history_that_is_corrupt_is_never_a_verdict(registry: Registry, title: str, certificate: Certificate) -> None:
    where = f"originator_id='{title}' AND originator_version=1"
    damage(registry.folder.log, f"UPDATE stored_events SET state='{{}}' WHERE {where}")  # in SQLite this is text
    with pytest.raises(CorruptHistory) as caught:
        registry.verifier.check(certificate.code)
    assert f"{title} version 1" in caught.value.message
