"""The token: `cwt` reads ours and we read its, and nothing but the one form passes."""

from collections.abc import Callable
from datetime import UTC, datetime

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cwt import COSE, COSEKey
from hypothesis import given
from hypothesis import strategies as st

from keys.cose import build1, sign1, verify1
from keys.errors import KeyNotUsable, KeysError, SignatureInvalid, TokenMalformed, UnknownKey
from keys.keyring import KeyRecord, Keyring
from keys.signing import KeyState, Purpose, Signer

TOKEN_KEY = generate_private_key(SECP256R1())
SIGNER = Signer(TOKEN_KEY, Purpose.E_CERTIFICATE)
DOCUMENT = Signer(generate_private_key(SECP256R1()), Purpose.DOCUMENT)
CHECKPOINT = Signer(Ed25519PrivateKey.generate(), Purpose.CHECKPOINT)


def record(signer: Signer, state: KeyState = KeyState.ACTIVE) -> KeyRecord:
    since, until = datetime(2024, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    return KeyRecord(signer.kid, signer.algorithm, signer.purpose, signer.public.spki(), since, until, state)


KEYRING = Keyring([record(SIGNER), record(DOCUMENT), record(CHECKPOINT)])
PAYLOAD = cbor2.dumps({1: "ZC-2024-0001", 2: "测试员"})
TOKEN = sign1(SIGNER, "zc1", PAYLOAD)
PARTS = cbor2.loads(TOKEN).value  # protected, unprotected, payload, signature

payloads = st.binary(max_size=300)


def by_cwt(header: dict[int, object], payload: bytes = PAYLOAD) -> bytes:
    """Have the other library sign with our key."""
    pem = TOKEN_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return COSE.new().encode_and_sign(payload, COSEKey.from_pem(pem, alg="ES256"), protected=header)


@given(payloads)
def test_cwt_verifies_our_token_with_our_jwks(payload: bytes) -> None:
    jwks = KEYRING.to_jwks()["keys"]
    keys = [COSEKey.from_jwk({**jwk, "alg": "ES256"}) for jwk in jwks if jwk["kty"] == "EC"]
    assert COSE.new().decode(sign1(SIGNER, "zc1", payload), keys) == payload


@given(payloads)
def test_we_verify_the_token_of_cwt(payload: bytes) -> None:
    token = by_cwt({1: -7, 4: SIGNER.kid.encode(), 16: "zc1"}, payload)
    verified = verify1(KEYRING, "zc1", token)
    assert (verified.kid, verified.payload, verified.key_state) == (SIGNER.kid, payload, KeyState.ACTIVE)


def test_the_token_has_exactly_the_documented_shape() -> None:
    token = cbor2.loads(TOKEN)
    protected, unprotected, payload, signature = token.value
    assert token.tag == 18
    assert cbor2.loads(protected) == {1: -7, 4: SIGNER.kid.encode(), 16: "zc1"}
    assert (unprotected, payload, len(signature)) == ({}, PAYLOAD, 64)


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65535, 65536])
def test_every_width_of_length_is_read_back(size: int) -> None:
    payload = b"\x5a" * size
    assert verify1(KEYRING, "zc1", sign1(SIGNER, "zc1", payload)).payload == payload


@given(payloads, st.text(max_size=30))
def test_a_token_is_rebuilt_to_the_byte_from_what_was_stored(payload: bytes, typ: str) -> None:
    token = sign1(SIGNER, typ, payload)
    verified = verify1(KEYRING, typ, token)
    assert build1(verified.kid, typ, verified.payload, verified.signature) == token
    assert sign1(SIGNER, typ, payload) == token


def test_every_single_changed_bit_is_refused() -> None:
    for position in range(len(TOKEN) * 8):
        changed = bytearray(TOKEN)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises((SignatureInvalid, UnknownKey)):
            verify1(KEYRING, "zc1", bytes(changed))


def test_every_cut_and_every_added_byte_is_refused() -> None:
    for end in range(len(TOKEN)):
        with pytest.raises(TokenMalformed):
            verify1(KEYRING, "zc1", TOKEN[:end])
    with pytest.raises(TokenMalformed):
        verify1(KEYRING, "zc1", TOKEN + b"\0")


@given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda tail: TOKEN[:2] + tail))
def test_any_other_bytes_are_refused_with_our_own_error(data: bytes) -> None:
    with pytest.raises(KeysError):
        verify1(KEYRING, "zc1", data)


KID = SIGNER.kid.encode()
SHAPES: dict[str, Callable[[list[object]], bytes]] = {
    "no tag": lambda p: cbor2.dumps(p),
    "tag of COSE_Mac0": lambda p: cbor2.dumps(cbor2.CBORTag(17, p)),
    "an unprotected header": lambda p: cbor2.dumps(cbor2.CBORTag(18, [p[0], {4: KID}, *p[2:]])),
    "tag in two bytes": lambda p: b"\xd8\x12" + TOKEN[1:],
    "array of indefinite length": lambda p: b"\xd2\x9f" + TOKEN[2:] + b"\xff",
    "length of the payload in two bytes": lambda p: TOKEN.replace(
        cbor2.dumps(PAYLOAD), b"\x59" + len(PAYLOAD).to_bytes(2) + PAYLOAD
    ),
    "length of the payload in eight bytes": lambda p: TOKEN.replace(
        cbor2.dumps(PAYLOAD), b"\x5b" + len(PAYLOAD).to_bytes(8) + PAYLOAD
    ),
    "a payload of text": lambda p: cbor2.dumps(cbor2.CBORTag(18, [p[0], {}, "text", p[3]])),
    "a detached payload": lambda p: cbor2.dumps(cbor2.CBORTag(18, [p[0], {}, None, p[3]])),
    "a signature of 63 bytes": lambda p: cbor2.dumps(cbor2.CBORTag(18, [p[0], {}, p[2], PARTS[3][:63]])),
    "a signature of 65 bytes": lambda p: cbor2.dumps(cbor2.CBORTag(18, [p[0], {}, p[2], PARTS[3] + b"\0"])),
    "nested a thousand deep": lambda p: b"\xd2" + b"\x84" * 1000,
    "a length of four gigabytes": lambda p: b"\xd2\x84\x5a\xff\xff\xff\xff",
    "nothing": lambda p: b"",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_another_shape_is_refused(shape: str) -> None:
    with pytest.raises(TokenMalformed):
        verify1(KEYRING, "zc1", SHAPES[shape](PARTS))


HEADERS: dict[str, dict[int, object]] = {
    "one header more": {1: -7, 4: KID, 16: "zc1", 3: 0},
    "a critical header": {1: -7, 2: [16], 4: KID, 16: "zc1"},
    "another order": {4: KID, 1: -7, 16: "zc1"},
    "no kid": {1: -7, 16: "zc1"},
    "no typ": {1: -7, 4: KID},
    "a kid of text": {1: -7, 4: SIGNER.kid, 16: "zc1"},
    "a typ of bytes": {1: -7, 4: KID, 16: b"zc1"},
    "a numeric typ": {1: -7, 4: KID, 16: 60},
    "a kid that is not UTF-8": {1: -7, 4: b"\xff\xfe", 16: "zc1"},
    "another algorithm": {1: -35, 4: KID, 16: "zc1"},
    "no header at all": {},
}


@pytest.mark.parametrize("name", HEADERS)
def test_another_header_is_refused_even_when_it_is_truly_signed(name: str) -> None:
    protected = cbor2.dumps(HEADERS[name])
    signature = SIGNER.sign_raw(cbor2.dumps(["Signature1", protected, b"", PAYLOAD]))
    with pytest.raises(TokenMalformed):
        verify1(KEYRING, "zc1", cbor2.dumps(cbor2.CBORTag(18, [protected, {}, PAYLOAD, signature])))


def test_a_token_of_another_kind_is_refused() -> None:
    with pytest.raises(TokenMalformed, match=r"'zc1'.*'receipt1'"):
        verify1(KEYRING, "receipt1", TOKEN)


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(UnknownKey, match=SIGNER.kid):
        verify1(Keyring([record(DOCUMENT)]), "zc1", TOKEN)


def test_a_good_signature_by_a_key_for_another_purpose_is_refused() -> None:
    for signer in (DOCUMENT, CHECKPOINT):
        protected = cbor2.dumps({1: -7, 4: signer.kid.encode(), 16: "zc1"})
        signature = signer.sign_raw(cbor2.dumps(["Signature1", protected, b"", PAYLOAD]))
        with pytest.raises(SignatureInvalid, match="用途"):
            verify1(KEYRING, "zc1", build1(signer.kid, "zc1", PAYLOAD, signature))


@pytest.mark.parametrize("signer", [DOCUMENT, CHECKPOINT, Signer(Ed25519PrivateKey.generate(), Purpose.E_CERTIFICATE)])
def test_a_key_that_is_not_for_tokens_does_not_sign_one(signer: Signer) -> None:
    with pytest.raises(KeyNotUsable):
        sign1(signer, "zc1", PAYLOAD)


@pytest.mark.parametrize("state", [KeyState.RETIRED, KeyState.COMPROMISED])
def test_a_key_out_of_use_still_verifies_and_its_state_is_told(state: KeyState) -> None:
    assert verify1(Keyring([record(SIGNER, state)]), "zc1", TOKEN).key_state is state
