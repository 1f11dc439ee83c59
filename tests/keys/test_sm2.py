"""SM2 with SM3: signed here and judged by OpenSSL, signed by OpenSSL and judged here; off unless it is asked for."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from keys import jwk
from keys.cose import sign1
from keys.custody import Custody
from keys.errors import BackEndMissing, KeyNotUsable, KeyStoreBroken, SignatureInvalid
from keys.keyring import Keyring
from keys.signing import Algorithm, PublicKey, Purpose, Signer, sign, verify
from keys.sm2 import Sm2PrivateKey, Sm2PublicKey
from registry.service import Registry
from tests.people import CLERK, awarding, person, settable
from tests.rotating import OPERATOR, with_operator
from tests.tools import need

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
PASSPHRASE = b"a passphrase for sm2"
KEY = Sm2PrivateKey.generate()
SIGNER = Signer(KEY, Purpose.SM2_SEAL)
ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
MESSAGES = [f"第 {number} 份 ".encode() * (number % 7) + bytes([number % 256]) for number in range(200)]


def openssl(*arguments: str | Path, code: int | None = 0) -> bytes:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=False)
    assert code is None or done.returncode == code, done.stderr
    return done.stdout + done.stderr


def judged(folder: Path, name: str, message: bytes, signature: bytes) -> bool:
    """What OpenSSL says of r || s over a message, by the public key in `sm2.pem`."""
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    (folder / f"{name}.der").write_bytes(encode_dss_signature(r, s))
    (folder / f"{name}.txt").write_bytes(message)
    said = openssl(
        *("pkeyutl", "-verify", "-rawin", "-digest", "sm3", "-pkeyopt", "distid:1234567812345678", "-pubin"),
        *("-inkey", folder / "sm2.pem", "-in", folder / f"{name}.txt", "-sigfile", folder / f"{name}.der"),
        code=None,
    )
    return b"Signature Verified Successfully" in said


@pytest.fixture
def with_public(tmp_path: Path) -> Path:
    """A folder with our public key as OpenSSL reads it."""
    need("openssl")
    der = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "sm2.der").write_bytes(der)
    openssl("pkey", "-pubin", "-inform", "DER", "-in", tmp_path / "sm2.der", "-out", tmp_path / "sm2.pem")
    return tmp_path


# the independent verifier


def test_openssl_accepts_200_of_our_signatures_and_no_other_message(with_public: Path) -> None:
    signatures = [KEY.sign(message) for message in MESSAGES]
    assert {len(signature) for signature in signatures} == {64}

    def both(number: int) -> tuple[bool, bool]:
        right = judged(with_public, str(number), MESSAGES[number], signatures[number])
        return right, number % 10 == 0 and judged(with_public, f"{number}x", b"another", signatures[number])

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(both, range(len(MESSAGES)))) == {(True, False)}


def short() -> Iterator[tuple[str, bytes, bytes]]:
    """Signatures whose r, and whose s, begin with a zero byte, found by search (one in 128 has one of the two)."""
    wanted = {"r": lambda found: found[0] == 0, "s": lambda found: found[32] == 0}
    for number in range(100_000):
        signature = KEY.sign(message := b"search %d" % number)
        for name in [name for name, fits in wanted.items() if fits(signature)]:
            del wanted[name]
            yield name, message, signature
        if not wanted:
            return
    raise AssertionError("no leading zero in 100,000 signatures")


def test_leading_zeros_are_kept_and_openssl_accepts_such_signatures(with_public: Path) -> None:
    found = list(short())
    assert {name for name, _, _ in found} == {"r", "s"}
    for name, message, signature in found:
        assert len(signature) == 64
        assert judged(with_public, name, message, signature)
        with pytest.raises(SignatureInvalid):
            KEY.public_key().verify(signature.lstrip(b"\0")[:63], message)


def test_we_accept_the_signatures_of_openssl(tmp_path: Path) -> None:
    need("openssl")
    key = tmp_path / "key.pem"
    openssl("genpkey", "-algorithm", "SM2", "-out", key)
    spki = openssl("pkey", "-in", key, "-pubout", "-outform", "DER")
    public = PublicKey.from_spki(spki, Purpose.SM2_SEAL)
    assert public.algorithm is Algorithm.SM2
    assert public.spki() == spki

    def theirs(number: int) -> bytes:
        text, out = tmp_path / f"{number}.txt", tmp_path / f"{number}.sig"
        text.write_bytes(MESSAGES[number])
        distid = ("-pkeyopt", "distid:1234567812345678")
        openssl("pkeyutl", "-sign", "-rawin", "-digest", "sm3", *distid, "-inkey", key, "-in", text, "-out", out)
        r, s = decode_dss_signature(out.read_bytes())
        return r.to_bytes(32) + s.to_bytes(32)

    with ThreadPoolExecutor(4) as pool:
        signatures = list(pool.map(theirs, range(len(MESSAGES))))
    for message, signature in zip(MESSAGES, signatures, strict=True):
        public.verify_raw(message, signature)
        with pytest.raises(SignatureInvalid):
            public.verify_raw(message + b".", signature)


# what is refused


@given(st.binary(max_size=40), st.integers(0, 511))
def test_one_flipped_bit_of_a_signature_breaks_it(message: bytes, bit: int) -> None:
    signature = bytearray(KEY.sign(message))
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureInvalid):
        KEY.public_key().verify(bytes(signature), message)


@pytest.mark.parametrize("number", [0, ORDER, 2**256 - 1])
def test_numbers_out_of_range_are_refused(number: int) -> None:
    good = KEY.sign(b"message")
    for signature in (number.to_bytes(32) + good[32:], good[:32] + number.to_bytes(32)):
        with pytest.raises(SignatureInvalid, match="1 与 n-1"):
            KEY.public_key().verify(signature, b"message")


def test_a_point_off_the_curve_is_no_key() -> None:
    point = bytearray(KEY.public_key().point)
    point[-1] ^= 1
    with pytest.raises(ValueError, match="curve"):
        Sm2PublicKey(bytes(point))
    spki = SIGNER.public.spki()[:-64] + bytes(point)
    with pytest.raises(KeyStoreBroken):
        PublicKey.from_spki(spki, Purpose.SM2_SEAL)


def test_a_seal_passes_for_no_other_purpose_and_signs_no_token() -> None:
    signature = sign(SIGNER, Purpose.SM2_SEAL, b"body")
    verify(SIGNER.public, Purpose.SM2_SEAL, b"body", signature)
    with pytest.raises(SignatureInvalid):
        SIGNER.public.verify_raw(b"body", signature)
    for purpose in set(Purpose) - {Purpose.SM2_SEAL}:
        with pytest.raises(SignatureInvalid):
            verify(SIGNER.public, purpose, b"body", signature)
        with pytest.raises(KeyNotUsable):
            sign(SIGNER, purpose, b"body")
    for purpose in (Purpose.SM2_SEAL, Purpose.E_CERTIFICATE):
        with pytest.raises(KeyNotUsable):
            sign1(Signer(KEY, purpose), "zc1", b"payload")


# the key folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sm2") / "keys"
    Custody.create(path, PASSPHRASE, NOW, organisation="某局", also=[Purpose.SM2_SEAL])
    return path


def test_it_is_off_by_default(tmp_path: Path) -> None:
    custody = Custody.create(tmp_path / "keys", PASSPHRASE, NOW, organisation="某局")
    assert Algorithm.SM2 not in {record.algorithm for record in custody.keyring.records}
    with pytest.raises(KeyNotUsable):
        custody.signer(Purpose.SM2_SEAL, NOW)


def test_asked_for_it_signs_after_the_folder_is_opened_again(folder: Path) -> None:
    custody = Custody.open(folder, PASSPHRASE)
    signer = custody.signer(Purpose.SM2_SEAL, NOW)
    signature = sign(signer, Purpose.SM2_SEAL, b"a certificate's token")
    published = Keyring.from_jwks(custody.keyring.to_jwks())
    verify(published.find(signer.kid), Purpose.SM2_SEAL, b"a certificate's token", signature)
    members: dict[str, Any] = next(key for key in published.to_jwks()["keys"] if key["kid"] == signer.kid)
    assert (members["kty"], members["crv"], members["alg"]) == ("EC", "SM2", "SM2")
    assert jwk.kid_of(jwk.from_members(members)) == signer.kid


def test_its_private_key_lies_nowhere_in_clear_and_shows_in_no_text(folder: Path) -> None:
    key = Custody.open(folder, PASSPHRASE).signer(Purpose.SM2_SEAL, NOW)._key
    assert isinstance(key, Sm2PrivateKey)
    secret = key.private_bytes_raw()[:32]
    for path in folder.iterdir():
        assert secret not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0
    assert secret.hex() not in repr(key)
    assert repr(secret) not in repr(key)


def test_a_damaged_key_file_is_told(folder: Path, tmp_path: Path) -> None:
    custody = Custody.open(folder, PASSPHRASE)
    path = next(folder.glob("sm2-seal-*.sealed"))
    before = path.read_bytes()
    try:
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        with pytest.raises(KeyStoreBroken, match="已损坏"):
            custody.signer(Purpose.SM2_SEAL, NOW)
    finally:
        path.write_bytes(before)


def test_without_the_package_everything_else_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gmssl_pyx", None)
    custody = Custody.open(folder, PASSPHRASE)
    signer = custody.signer(Purpose.E_CERTIFICATE, NOW)
    verify(signer.public, Purpose.E_CERTIFICATE, b"x", sign(signer, Purpose.E_CERTIFICATE, b"x"))
    with pytest.raises(BackEndMissing, match=r"title-registry\[sm2\]"):
        sign(custody.signer(Purpose.SM2_SEAL, NOW), Purpose.SM2_SEAL, b"x")


def test_a_registry_turns_it_on_by_a_key_set_and_old_seals_stay_good(registry: Registry) -> None:
    with_operator(registry)
    signers = []
    for _ in range(2):
        registry.keysets.rotate(Purpose.SM2_SEAL, officer=OPERATOR)
        signers.append(registry.custody.signer(Purpose.SM2_SEAL, registry.clock()))
    old, new = signers
    assert old.kid != new.kid
    published = Keyring.from_jwks(registry.custody.keyring.to_jwks())
    for signer in signers:
        verify(published.find(signer.kid), Purpose.SM2_SEAL, b"body", sign(signer, Purpose.SM2_SEAL, b"body"))
    certificate = registry.issue(registry.award(awarding(person(1)), officer=CLERK), settable, officer=CLERK)
    assert registry.verifier.check(certificate.code).status == "valid"
