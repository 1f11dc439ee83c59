"""Signatures for a purpose: published vectors, a second implementation, and every refusal."""

import subprocess
from itertools import permutations
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, derive_private_key, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import KeyNotUsable, KeyStoreBroken, SignatureInvalid
from keys.signing import Algorithm, PublicKey, Purpose, Signer, sign, verify

EC_KEY = generate_private_key(SECP256R1())
ED_KEY = Ed25519PrivateKey.generate()
ML_KEY = MLDSA44PrivateKey.generate()
KEYS = [EC_KEY, ED_KEY, ML_KEY]
NAMES = ["es256", "ed25519", "ml-dsa-44"]
SIGNERS = [Signer(key, purpose) for key in KEYS for purpose in Purpose]


def test_es256_is_the_deterministic_signature_of_rfc_6979() -> None:
    # RFC 6979 appendix A.2.5, SHA-256, message "sample"
    secret = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    signer = Signer(derive_private_key(secret, SECP256R1()), Purpose.DOCUMENT)
    expected = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    expected += "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    assert signer.sign_raw(b"sample").hex() == expected
    assert signer.algorithm is Algorithm.ES256


def test_ed25519_is_the_signature_of_rfc_8032() -> None:
    # RFC 8032 section 7.1, test 1: the empty message
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    signer = Signer(Ed25519PrivateKey.from_private_bytes(secret), Purpose.CHECKPOINT)
    expected = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
    expected += "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    assert signer.sign_raw(b"").hex() == expected
    assert signer.algorithm is Algorithm.ED25519


def test_ml_dsa_44_is_signed_over_the_message_itself_with_an_empty_context() -> None:
    # The other side of it, a signature that another implementation made, is in test_proof_cosignature.py.
    signer = Signer(ML_KEY, Purpose.COSIGNATURE)
    assert signer.algorithm is Algorithm.ML_DSA_44
    one, two = signer.sign_raw(b"sample"), signer.sign_raw(b"sample")
    assert len(one) == len(two) == 2420  # FIPS 204, table 2
    assert one != two
    for signature in (one, two):
        ML_KEY.public_key().verify(signature, b"sample", b"")
        signer.public.verify_raw(b"sample", signature)
    with pytest.raises(SignatureInvalid):
        signer.public.verify_raw(b"sample", ML_KEY.sign(b"sample", b"another context"))


def test_openssl_verifies_what_the_docstring_says_is_signed(tmp_path: Path) -> None:
    signer = Signer(EC_KEY, Purpose.DOCUMENT)
    signature = sign(signer, Purpose.DOCUMENT, b"body")
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    (tmp_path / "signature").write_bytes(encode_dss_signature(r, s))
    (tmp_path / "signed").write_bytes(b"title-registry/signed/1\0document/1\0body")
    pem = EC_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(pem)
    command = ["openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "signed"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "Verified OK\n"


@given(st.sampled_from(SIGNERS), st.binary(max_size=200), st.binary(max_size=200))
def test_a_signature_holds_for_its_body_and_for_no_other(signer: Signer, body: bytes, other: bytes) -> None:
    signature = sign(signer, signer.purpose, body)
    assert len(signature) == (2420 if signer.algorithm is Algorithm.ML_DSA_44 else 64)
    if signer.algorithm is not Algorithm.ML_DSA_44:
        assert sign(signer, signer.purpose, body) == signature
    verify(signer.public, signer.purpose, body, signature)
    if other != body:
        with pytest.raises(SignatureInvalid):
            verify(signer.public, signer.purpose, other, signature)


@pytest.mark.parametrize(("made_for", "shown_as"), list(permutations(Purpose, 2)))
@pytest.mark.parametrize("key", KEYS, ids=NAMES)
def test_no_signature_for_one_purpose_passes_for_another(
    key: Ed25519PrivateKey, made_for: Purpose, shown_as: Purpose
) -> None:
    signature = sign(Signer(key, made_for), made_for, b"body")
    with pytest.raises(SignatureInvalid, match="用途"):  # the key is known to be for another purpose
        verify(PublicKey.of(key.public_key(), made_for), shown_as, b"body", signature)
    with pytest.raises(SignatureInvalid, match="不符"):  # even if one key were listed for both purposes
        verify(PublicKey.of(key.public_key(), shown_as), shown_as, b"body", signature)


@given(st.binary(max_size=30), st.sampled_from(Purpose), st.sampled_from(Purpose), st.integers(0, 30))
def test_bytes_cannot_be_moved_between_purpose_and_body(body: bytes, made: Purpose, shown: Purpose, cut: int) -> None:
    # The framing of (made, body), wherever it is cut, is no body that verifies as `shown`.
    signature = sign(Signer(ED_KEY, made), made, body)
    moved = (made.value.encode() + b"\0" + body)[cut:]
    if (shown, moved) != (made, body):
        with pytest.raises(SignatureInvalid):
            verify(PublicKey.of(ED_KEY.public_key(), shown), shown, moved, signature)


def test_a_raw_signature_is_no_signature_for_a_purpose() -> None:
    signer = Signer(EC_KEY, Purpose.E_CERTIFICATE)
    with pytest.raises(SignatureInvalid):
        verify(signer.public, Purpose.E_CERTIFICATE, b"body", signer.sign_raw(b"body"))


def test_a_key_refuses_to_sign_for_another_purpose() -> None:
    with pytest.raises(KeyNotUsable, match=r"e-certificate/1.*checkpoint/1"):
        sign(Signer(EC_KEY, Purpose.E_CERTIFICATE), Purpose.CHECKPOINT, b"body")


def test_another_key_is_refused() -> None:
    signature = sign(Signer(EC_KEY, Purpose.DOCUMENT), Purpose.DOCUMENT, b"body")
    stranger = Signer(generate_private_key(SECP256R1()), Purpose.DOCUMENT)
    with pytest.raises(SignatureInvalid):
        verify(stranger.public, Purpose.DOCUMENT, b"body", signature)


@pytest.mark.parametrize("signer", SIGNERS[:: len(Purpose)], ids=NAMES)
def test_a_signature_of_another_width_is_refused(signer: Signer) -> None:
    whole = sign(signer, signer.purpose, b"body")
    for length in {0, 63, 64, 65, 72, 2419, 2420, 2421} - {len(whole)}:
        with pytest.raises(SignatureInvalid, match=f"{len(whole)} 字节"):
            verify(signer.public, signer.purpose, b"body", (whole + b"\0" * 2421)[:length])


@pytest.mark.parametrize("part", [b"\0" * 32, b"\xff" * 32])
def test_numbers_out_of_range_are_an_invalid_signature(part: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        verify(PublicKey.of(EC_KEY.public_key(), Purpose.DOCUMENT), Purpose.DOCUMENT, b"", part * 2)


def test_another_curve_is_refused() -> None:
    with pytest.raises(KeyStoreBroken, match="secp384r1"):
        Signer(generate_private_key(SECP384R1()), Purpose.DOCUMENT)


def test_a_public_key_survives_its_der_and_garbage_is_refused() -> None:
    for signer in SIGNERS:
        public = signer.public
        assert PublicKey.from_spki(public.spki(), signer.purpose) == public
        with pytest.raises(KeyStoreBroken):
            PublicKey.from_spki(public.spki()[:-1], signer.purpose)


def test_another_parameter_set_is_refused() -> None:
    other = MLDSA65PrivateKey.generate()
    with pytest.raises(KeyStoreBroken, match="MLDSA65"):
        PublicKey.of(other.public_key(), Purpose.COSIGNATURE)
    der = other.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(KeyStoreBroken, match="MLDSA65"):
        PublicKey.from_spki(der, Purpose.COSIGNATURE)


def test_a_signer_shows_no_secret() -> None:
    signer = Signer(EC_KEY, Purpose.DOCUMENT)
    assert repr(signer) == f"Signer(kid='{signer.kid}', purpose='document/1')"
