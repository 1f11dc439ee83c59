"""The key ring: ids that follow from keys, who may sign when, and a JWKS that others read."""

import base64
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from cwt import COSEKey
from hypothesis import given
from hypothesis import strategies as st

from keys import jwk
from keys.errors import KeyNotUsable, KeyStoreBroken, UnknownKey
from keys.keyring import KeyRecord, Keyring
from keys.signing import KeyState, Purpose, Signer, sign, verify

SINCE, UNTIL = datetime(2024, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TOKENS = Signer(generate_private_key(SECP256R1()), Purpose.E_CERTIFICATE)
OLDER = Signer(generate_private_key(SECP256R1()), Purpose.E_CERTIFICATE)
CHECKPOINTS = Signer(Ed25519PrivateKey.generate(), Purpose.CHECKPOINT)
COSIGNATURES = Signer(MLDSA44PrivateKey.generate(), Purpose.COSIGNATURE)


def record(signer: Signer, since: datetime = SINCE, state: KeyState = KeyState.ACTIVE) -> KeyRecord:
    return KeyRecord(signer.kid, signer.algorithm, signer.purpose, signer.public.spki(), since, UNTIL, state)


KEYRING = Keyring([record(OLDER, state=KeyState.RETIRED), record(TOKENS), record(CHECKPOINTS), record(COSIGNATURES)])


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    # RFC 8037 appendix A.2 and A.3
    key = jwk.from_members({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    expected = base64.urlsafe_b64decode("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k=")
    assert jwk.thumbprint(key) == expected
    assert jwk.kid_of(key) == base64.b32encode(expected).decode()[:8].lower()


def test_the_thumbprint_is_that_of_rfc_9964() -> None:
    # RFC 9964 (ML-DSA for JOSE and COSE), the example key of ML-DSA-44: its private seed is 32 zero bytes
    key = MLDSA44PrivateKey.from_seed_bytes(bytes(32)).public_key()
    assert jwk.to_members(key)["pub"].startswith("unH59k4RuutY-pxvu24U5h8YZD2rSVtHU5qRZsoBmBMcRPgmu9VuNOVdteXi1zNI")
    assert jwk.thumbprint(key) == base64.urlsafe_b64decode("T4xl70S7MT6Zeq6r9V9fPJGVn76wfnXJ21-gyo0Gu6o=")


def test_the_id_of_a_p256_key_follows_from_its_published_members() -> None:
    published = next(key for key in KEYRING.to_jwks()["keys"] if key["kid"] == TOKENS.kid)
    text = f'{{"crv":"P-256","kty":"EC","x":"{published["x"]}","y":"{published["y"]}"}}'
    assert TOKENS.kid == base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:8].lower()
    assert re.fullmatch("[a-z2-7]{8}", TOKENS.kid)


def test_the_jwks_says_what_each_key_is_for_and_reads_back_the_same() -> None:
    published = json.loads(json.dumps(KEYRING.to_jwks()))
    assert [set(key) - {"y"} for key in published["keys"]] == [
        {"kty", "crv", "x", "kid", "alg", "use", "purpose", "nbf", "exp", "state"}
    ] * 3 + [{"kty", "pub", "kid", "alg", "use", "purpose", "nbf", "exp", "state"}]
    assert {
        key: published["keys"][0][key] for key in ("kty", "crv", "alg", "use", "purpose", "nbf", "exp", "state")
    } == {
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "use": "sig",
        "purpose": "e-certificate/1",
        "nbf": 1704067200,
        "exp": 1798761600,
        "state": "retired",
    }
    assert published["keys"][2]["kty"] == "OKP"
    assert (published["keys"][3]["kty"], published["keys"][3]["alg"]) == ("AKP", "ML-DSA-44")
    assert Keyring.from_jwks(published).records == KEYRING.records


def test_another_library_reads_every_key_of_a_kind_that_it_has() -> None:
    found = {COSEKey.from_jwk(key).kid for key in KEYRING.to_jwks()["keys"] if key["kty"] in ("EC", "OKP")}
    assert found == {one.kid.encode() for one in (OLDER, TOKENS, CHECKPOINTS)}


def test_the_published_ml_dsa_key_is_the_key() -> None:
    [published] = [key for key in KEYRING.to_jwks()["keys"] if key["kty"] == "AKP"]
    raw = base64.urlsafe_b64decode(published["pub"] + "==")
    MLDSA44PublicKey.from_public_bytes(raw).verify(COSIGNATURES.sign_raw(b"body"), b"body")
    text = f'{{"alg":"ML-DSA-44","kty":"AKP","pub":"{published["pub"]}"}}'
    assert COSIGNATURES.kid == base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:8].lower()


def test_a_key_read_from_the_file_verifies(tmp_path: Path) -> None:
    KEYRING.save(tmp_path / "keys.json")
    found = Keyring.load(tmp_path / "keys.json").find(CHECKPOINTS.kid)
    verify(found, Purpose.CHECKPOINT, b"body", sign(CHECKPOINTS, Purpose.CHECKPOINT, b"body"))


def test_saving_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    Keyring([record(TOKENS)]).save(path)
    KEYRING.save(path)
    assert Keyring.load(path).records == KEYRING.records
    assert [file.name for file in tmp_path.iterdir()] == ["keys.json"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_unknown_id_is_refused() -> None:
    with pytest.raises(UnknownKey, match="nosuchid"):
        KEYRING.find("nosuchid")
    with pytest.raises(UnknownKey):
        KEYRING.record("")


def test_the_newest_active_key_signs() -> None:
    ring = Keyring([record(TOKENS, SINCE + timedelta(days=9)), record(OLDER), record(CHECKPOINTS)])
    assert ring.current(Purpose.E_CERTIFICATE, SINCE + timedelta(days=8)).kid == OLDER.kid
    assert ring.current(Purpose.E_CERTIFICATE, SINCE + timedelta(days=9)).kid == TOKENS.kid


@given(
    st.integers(-1500, 2000).map(lambda days: SINCE + timedelta(days=days)) | st.sampled_from([UNTIL, UNTIL - SECOND])
)
def test_a_key_signs_from_its_first_second_until_before_its_last(now: datetime) -> None:
    ring = Keyring([record(TOKENS)])
    if SINCE <= now < UNTIL:
        assert ring.current(Purpose.E_CERTIFICATE, now).kid == TOKENS.kid
    else:
        with pytest.raises(KeyNotUsable):
            ring.current(Purpose.E_CERTIFICATE, now)


REFUSALS: dict[str, tuple[list[KeyRecord], datetime, str]] = {
    "expired": ([record(TOKENS)], UNTIL, "到期"),
    "not yet valid": ([record(TOKENS)], SINCE - SECOND, "起才有效"),
    "retired": ([record(TOKENS, state=KeyState.RETIRED)], SINCE, "已停用"),
    "compromised": ([record(TOKENS, state=KeyState.COMPROMISED)], SINCE, "已泄露"),
    "for another purpose": ([record(CHECKPOINTS)], SINCE, "一把也没有"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_key_that_must_not_sign_is_refused_with_the_reason(name: str) -> None:
    records, now, reason = REFUSALS[name]
    with pytest.raises(KeyNotUsable, match=reason):
        Keyring(records).current(Purpose.E_CERTIFICATE, now)


def test_two_keys_of_one_id_are_refused() -> None:
    with pytest.raises(KeyStoreBroken, match="编号相同"):
        Keyring([record(TOKENS), record(TOKENS, state=KeyState.RETIRED)])


def test_an_id_that_is_not_the_keys_own_is_refused() -> None:
    with pytest.raises(KeyStoreBroken, match=TOKENS.kid):
        Keyring([msgspec.structs.replace(record(TOKENS), kid=OLDER.kid)])


def test_putting_a_record_keeps_the_others() -> None:
    ring = KEYRING.put(record(TOKENS, state=KeyState.COMPROMISED))
    assert len(ring.records) == 4
    assert ring.find(TOKENS.kid).state is KeyState.COMPROMISED
    assert KEYRING.find(TOKENS.kid).state is KeyState.ACTIVE


def test_a_failed_save_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "keys.json").mkdir()
    with pytest.raises(IsADirectoryError):
        KEYRING.save(tmp_path / "keys.json")
    assert [file.name for file in tmp_path.iterdir()] == ["keys.json"]


def test_a_coordinate_without_its_leading_zero_or_with_one_more_is_refused() -> None:
    # RFC 7518 section 6.2.1.2: always the full 32 bytes; else one key has two forms.
    members = next(found for number in range(1, 10**5) if (found := of_number(number))["x"].startswith("AA"))
    assert jwk.to_members(jwk.from_members(members)) == members
    stripped = base64.urlsafe_b64decode(members["x"] + "=").lstrip(b"\0")
    with pytest.raises(KeyStoreBroken):
        jwk.from_members(members | {"x": base64.urlsafe_b64encode(stripped).decode().rstrip("=")})
    padded = b"\0" + base64.urlsafe_b64decode(members["x"] + "=")
    with pytest.raises(KeyStoreBroken):
        jwk.from_members(members | {"x": base64.urlsafe_b64encode(padded).decode().rstrip("=")})


def of_number(number: int) -> dict[str, str]:
    return jwk.to_members(derive_private_key(number, SECP256R1()).public_key())


def test_signs_outside_the_alphabet_are_refused() -> None:
    published = Keyring([record(TOKENS)]).to_jwks()["keys"][0]
    with pytest.raises(KeyStoreBroken):
        Keyring.from_jwks({"keys": [published | {"x": "!!!!" + published["x"]}]})


WRONG: dict[str, dict[str, Any]] = {
    "a private key": {"d": "AAAA"},
    "a private seed": {"priv": "AAAA"},
    "another curve": {"crv": "P-384"},
    "another kind of key": {"kty": "RSA"},
    "a point off the curve": {"y": "A" * 43},
    "a short coordinate": {"x": "AAAA"},
    "no base64": {"x": "!" * 43},
    "another algorithm": {"alg": "EdDSA"},
    "an algorithm that we do not have": {"alg": "none"},
    "a key for encryption": {"use": "enc"},
    "an unknown purpose": {"purpose": "e-certificate/2"},
    "an unknown state": {"state": "paused"},
    "an id of another key": {"kid": OLDER.kid},
    "a date that no calendar has": {"exp": 10**18},
    "a date of text": {"nbf": "2024-01-01"},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_jwk_is_refused(name: str) -> None:
    published = Keyring([record(TOKENS)]).to_jwks()["keys"][0]
    with pytest.raises(KeyStoreBroken):
        Keyring.from_jwks({"keys": [published | WRONG[name]]})


WRONG_AKP: dict[str, dict[str, Any]] = {
    "a private key": {"d": "AAAA"},
    "a private seed": {"priv": "AAAA"},
    "another parameter set": {"alg": "ML-DSA-65"},
    "another kind of key": {"kty": "OKP"},
    "a short key": {"pub": "AAAA"},
    "a key one byte too long": {"pub": "A" * 1751},
    "no base64": {"pub": "!" * 1750},
    "another key": {"pub": "A" * 1750},
    "an id of another key": {"kid": OLDER.kid},
}


@pytest.mark.parametrize("name", WRONG_AKP)
def test_a_wrong_ml_dsa_jwk_is_refused(name: str) -> None:
    published = Keyring([record(COSIGNATURES)]).to_jwks()["keys"][0]
    with pytest.raises(KeyStoreBroken):
        Keyring.from_jwks({"keys": [published | WRONG_AKP[name]]})


@pytest.mark.parametrize("member", ["kty", "pub", "kid", "alg", "use", "purpose", "nbf", "exp", "state"])
def test_a_missing_member_of_an_ml_dsa_jwk_is_refused(member: str) -> None:
    published = Keyring([record(COSIGNATURES)]).to_jwks()["keys"][0]
    del published[member]
    with pytest.raises(KeyStoreBroken):
        Keyring.from_jwks({"keys": [published]})


@pytest.mark.parametrize("member", ["kty", "crv", "x", "y", "kid", "alg", "use", "purpose", "nbf", "exp", "state"])
def test_a_missing_member_is_refused(member: str) -> None:
    published = Keyring([record(TOKENS)]).to_jwks()["keys"][0]
    del published[member]
    with pytest.raises(KeyStoreBroken):
        Keyring.from_jwks({"keys": [published]})


def test_members_that_we_do_not_know_are_ignored() -> None:
    for signer in (TOKENS, CHECKPOINTS, COSIGNATURES):
        published = Keyring([record(signer)]).to_jwks()["keys"][0]
        assert Keyring.from_jwks({"keys": [published | {"x5t": "abc"}], "more": 1}).records == (record(signer),)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"keys": {}}', b"null"])
def test_a_file_that_is_no_jwks_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys.json").write_bytes(content)
    with pytest.raises(KeyStoreBroken):
        Keyring.load(tmp_path / "keys.json")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreBroken, match=r"missing\.json"):
        Keyring.load(tmp_path / "missing.json")
