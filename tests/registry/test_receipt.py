"""Signed receipts: what was answered, what it rests on; a second implementation agrees, every change is refused."""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys.errors import KeysError, SignatureInvalid
from keys.signing import Purpose
from registry.audit.receipt import make_receipt, read_leaf, verify_receipt
from registry.errors import BadInput, LogFrozen, NotFound, ProofInvalid, RegistryError
from registry.proof.checkpoint import sign_note
from registry.service import Registry
from registry.terms import Status
from registry.titles.decisions import DecisionKind
from registry.titles.state import Certificate
from tests.people import CLERK, Clock, awarding, decided, deciding, person, settable
from tests.rotating import rotate

Parts = dict[str, Any]


@pytest.fixture
def certificate(registry: Registry) -> Certificate:
    """A certificate in a log where others come before and after it."""
    registry.award(awarding(person(1)), officer=CLERK)
    stream = registry.award(awarding(person(2)), officer=CLERK)
    issued = registry.issue(stream, settable, officer=CLERK)
    registry.award(awarding(person(3)), officer=CLERK)
    return issued


def receipt_of(registry: Registry, certificate: Certificate, **asked: Any) -> bytes:
    return make_receipt(registry, registry.verifier.check(certificate.code, **asked), certificate.code)


def stream_of(registry: Registry, certificate: Certificate) -> str:
    return registry.certificate(certificate.code)[0].id


# a second implementation, from docs/proof.md alone


def climbed(leaf: bytes, index: int, size: int, hashes: Sequence[bytes]) -> bytes:
    """The root from an inclusion proof, by the recursion of RFC 6962 section 2.1.1."""
    if size == 1:
        assert not hashes
        return leaf
    half, rest, top = 1 << (size - 1).bit_length() - 1, hashes[:-1], hashes[-1]
    if index < half:
        return hashlib.sha256(b"\x01" + climbed(leaf, index, half, rest) + top).digest()
    return hashlib.sha256(b"\x01" + top + climbed(leaf, index - half, size - half, rest)).digest()


def noted(note: str, name: str, public: bytes) -> str:
    """The text of a note, if the first line with that name is a signature of that key."""
    text, _, lines = note.rpartition("\n\n")
    line = next(one for one in lines.split("\n") if one.startswith(f"— {name} "))
    signed = base64.b64decode(line.rpartition(" ")[2])
    assert signed[:4] == hashlib.sha256(f"{name}\n\x01".encode() + public).digest()[:4]
    Ed25519PublicKey.from_public_bytes(public).verify(signed[4:], f"{text}\n".encode())
    return text + "\n"


def by_hand(data: bytes, origin: str, public: bytes) -> tuple[Parts, list[list[Any]]]:
    """The answer and the leaves of a receipt that holds."""
    document: Parts = json.loads(data)
    note = document.pop("note")
    body = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    said = f"title-registry/receipt/1\nsha256:{hashlib.sha256(body).hexdigest()}\n"
    assert noted(note, f"{origin}/receipt", public) == said
    name, size, root, _ = noted(document["checkpoint"], origin, public).split("\n")
    assert name == origin
    leaves = []
    for event in document["events"]:
        entry = base64.b64decode(event["entry"])
        leaf, hashes = hashlib.sha256(b"\x00" + entry).digest(), [base64.b64decode(one) for one in event["hashes"]]
        assert climbed(leaf, event["index"], int(size), hashes) == base64.b64decode(root)
        leaves.append(cbor2.loads(entry))
    return document["answer"], leaves


def public_of(registry: Registry) -> bytes:
    keys = registry.custody.keyring.to_jwks()["keys"]
    return base64.urlsafe_b64decode(next(one["x"] for one in keys if one["purpose"] == "checkpoint/1") + "=")


def test_a_receipt_holds_for_us_and_for_a_program_of_somebody_else(
    registry: Registry, certificate: Certificate
) -> None:
    data = receipt_of(registry, certificate)
    answer, leaves = by_hand(data, "zc.example.cn/log", public_of(registry))
    assert (answer["status"], answer["certificate"]["code"]) == ("valid", certificate.code)
    stream = stream_of(registry, certificate)
    stored = [one for one in registry.log.recorder.rows_by_position(0, registry.log.head()) if one[1] == stream]
    assert [(one[1], one[2], one[3], one[4], one[6]) for one in leaves] == [
        (position, stream, version, name, hashlib.sha256(state).digest())
        for position, _, version, name, state in stored
    ]
    receipt = verify_receipt(data, registry.tlog.keys())
    assert receipt.answer == registry.verifier.check(certificate.code)
    assert [leaf.name for leaf in receipt.events.values()] == [one[4] for one in leaves]
    assert receipt.checkpoint == registry.tlog.checkpoint()


def test_after_a_revocation_the_receipt_has_it_and_one_as_known_before_has_not(
    registry: Registry, certificate: Certificate, clock: Clock
) -> None:
    before = clock.now
    clock.forward(days=1)
    decided(registry, stream_of(registry, certificate), deciding(DecisionKind.REVOCATION))
    now = verify_receipt(receipt_of(registry, certificate), registry.tlog.keys())
    assert now.answer.status is Status.REVOKED
    assert [one.name for one in now.events.values()][-2:] == ["decision-proposed/1", "title-revoked/1"]
    then = verify_receipt(receipt_of(registry, certificate, known_at=before), registry.tlog.keys())
    assert (then.answer.status, then.answer.known_at) == (Status.VALID, before)
    assert [one.name for one in then.events.values()] == [one.name for one in now.events.values()][:-2]
    day = verify_receipt(receipt_of(registry, certificate, as_of=date(2021, 9, 1)), registry.tlog.keys())
    assert (day.answer.status, day.answer.as_of) == (Status.NOT_YET_EFFECTIVE, date(2021, 9, 1))


def test_what_is_in_no_checkpoint_yet_is_taken_in_first(registry: Registry, certificate: Certificate) -> None:
    registry.award(awarding(person(4)), officer=CLERK)
    decided(registry, stream_of(registry, certificate), deciding(DecisionKind.SUSPENSION))
    assert (registry.tlog.checkpoint() or (0, 0))[1] < registry.log.head()
    receipt = verify_receipt(receipt_of(registry, certificate), registry.tlog.keys())
    assert receipt.checkpoint.size == registry.log.head() == receipt.answer.log_position


def test_an_event_that_came_after_the_answer_is_not_in_its_receipt(
    registry: Registry, certificate: Certificate
) -> None:
    answer = registry.verifier.check(certificate.code)
    decided(registry, stream_of(registry, certificate), deciding(DecisionKind.REVOCATION))
    receipt = verify_receipt(make_receipt(registry, answer, certificate.code), registry.tlog.keys())
    assert receipt.answer.status is Status.VALID
    assert "title-revoked/1" not in [one.name for one in receipt.events.values()]


def test_it_holds_after_the_key_was_rotated(
    registry: Registry, certificate: Certificate, clock: Clock, passphrase: bytes
) -> None:
    data, keys = receipt_of(registry, certificate), registry.tlog.keys()
    clock.forward(days=1)
    own = Registry.open(registry.folder.path, passphrase, clock)  # the other tests keep the keys that they share
    rotate(own.custody, Purpose.CHECKPOINT, clock.now)
    assert len(own.tlog.keys()) == len(keys) + 1
    verify_receipt(data, own.tlog.keys())
    fresh = receipt_of(own, certificate)
    verify_receipt(fresh, own.tlog.keys())
    with pytest.raises(SignatureInvalid):
        verify_receipt(fresh, keys)
    own.close()


# refusals


def test_no_receipt_for_a_code_that_is_nobodys(registry: Registry) -> None:
    answer = registry.verifier.check("0" * 17)
    with pytest.raises(NotFound):
        make_receipt(registry, answer, "0" * 17)


def test_no_receipt_from_a_frozen_log(registry: Registry, certificate: Certificate) -> None:
    answer = registry.verifier.check(certificate.code)
    registry.tlog.outside.write_bytes(b"something else\n")
    with pytest.raises(LogFrozen):
        make_receipt(registry, answer, certificate.code)


def test_another_logs_key_and_no_key_at_all(registry: Registry, certificate: Certificate) -> None:
    data, [own, *_] = receipt_of(registry, certificate), registry.tlog.keys()
    renamed = type(own)("other.example.cn/log", own.public)
    with pytest.raises(SignatureInvalid):
        verify_receipt(data, [renamed])
    with pytest.raises(BadInput):
        verify_receipt(data, [])


def forged(registry: Registry, data: bytes, name: str = "zc.example.cn/log/receipt", **changes: Any) -> bytes:
    """A receipt with other contents, signed with the log's own key: what only the form and the proofs can stop."""
    document: Parts = json.loads(data) | changes
    del document["note"]
    body = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    said = f"title-registry/receipt/1\nsha256:{hashlib.sha256(body).hexdigest()}\n".encode()
    signer = registry.custody.signer(Purpose.CHECKPOINT, registry.clock())
    document["note"] = sign_note(said, name, signer).decode()
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_even_with_the_key_a_receipt_must_rest_on_one_whole_stream(
    registry: Registry, certificate: Certificate
) -> None:
    data, keys = receipt_of(registry, certificate), registry.tlog.keys()
    document: Parts = json.loads(data)
    events, answer = document["events"], document["answer"]
    assert verify_receipt(forged(registry, data), keys)
    wrong: list[Parts] = [
        {"events": []},
        {"events": events[1:]},
        {"events": [events[0], *events[2:]]},
        {"events": events[::-1]},
        {"events": [events[0], *events]},
        {"events": [events[0] | {"index": events[0]["index"] + 1}, *events[1:]]},
        {"events": [events[0] | {"entry": events[1]["entry"]}, *events[1:]]},
        {"events": [events[0] | {"hashes": events[0]["hashes"][:-1]}, *events[1:]]},
        {"answer": answer | {"log_position": 1}},
        {"answer": answer | {"known_at": "2026-01-01T00:00:00Z"}},
    ]
    for changes in wrong:
        with pytest.raises(ProofInvalid):
            verify_receipt(forged(registry, data, **changes), keys)
    for other in ({"status": "good"}, {}, answer | {"status": 1}):
        with pytest.raises(BadInput):
            verify_receipt(forged(registry, data, answer=other), keys)


def test_a_manifest_or_a_checkpoint_is_no_receipt(registry: Registry, certificate: Certificate) -> None:
    data, keys = receipt_of(registry, certificate), registry.tlog.keys()
    for name in ("zc.example.cn/log", "zc.example.cn/log/export"):
        with pytest.raises(SignatureInvalid):
            verify_receipt(forged(registry, data, name=name), keys)
    document: Parts = json.loads(data)
    swapped = json.dumps(
        document | {"note": document["checkpoint"]}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    with pytest.raises((BadInput, SignatureInvalid)):
        verify_receipt(swapped.encode(), keys)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text.replace(":", ": ", 1),
        lambda text: text[:-1] + ',"zz":1}',
        lambda text: text.replace('"schema":', '"schema":"title-registry/receipt/1","schema":'),
        lambda text: json.dumps(json.loads(text), indent=1),
        lambda text: json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")),
        lambda text: text.replace("receipt/1", "receipt/2"),
        lambda text: "[" * 100_000,
        lambda text: "null",
        lambda text: "",
    ],
)
def test_another_writing_of_the_same_is_refused(registry: Registry, certificate: Certificate, change: Any) -> None:
    data = receipt_of(registry, certificate)
    with pytest.raises(BadInput):
        verify_receipt(change(data.decode()).encode(), registry.tlog.keys())


def test_a_further_signature_is_refused(registry: Registry, certificate: Certificate) -> None:
    document: Parts = json.loads(receipt_of(registry, certificate))
    document["note"] += "— somebody.example " + base64.b64encode(bytes(68)).decode() + "\n"
    data = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    with pytest.raises(BadInput):
        verify_receipt(data, registry.tlog.keys())


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=st.data())
def test_every_changed_byte_is_found(
    registry: Registry, certificate: Certificate, kept: list[bytes], change: st.DataObject
) -> None:
    if not kept:
        kept.append(receipt_of(registry, certificate))
    data = bytearray(kept[0])
    at = change.draw(st.integers(0, len(data) - 1))
    data[at] ^= change.draw(st.integers(1, 255))
    with pytest.raises((RegistryError, KeysError)):
        verify_receipt(bytes(data), registry.tlog.keys())


@pytest.fixture
def kept() -> list[bytes]:
    """The receipt whose bytes are changed."""
    return []


# leaves


def test_a_leaf_is_read_in_its_one_encoding(registry: Registry, certificate: Certificate) -> None:
    entry = registry.tlog.entry(2)
    leaf = read_leaf(entry)
    assert [type(one) for one in leaf] == [int, str, int, str, str, bytes]
    assert datetime.fromisoformat(leaf.recorded_at).astimezone(UTC) == registry.clock()
    fields = cbor2.loads(entry)
    for wrong in (
        entry + b"\x00",
        entry[:-1],
        b"",
        b"\x9f" + entry[1:] + b"\xff",
        cbor2.dumps(["leaf/2", *fields[1:]], canonical=True),
        cbor2.dumps([*fields[:2], 1, *fields[3:]], canonical=True),
        cbor2.dumps([*fields[:6], b"short"], canonical=True),
        cbor2.dumps([*fields, 1], canonical=True),
        cbor2.dumps({"leaf/1": 1}, canonical=True),
        cbor2.dumps([fields[0], True, *fields[2:]], canonical=True),
        b"\x81" * 5_000,
    ):
        with pytest.raises(BadInput):
            read_leaf(wrong)
