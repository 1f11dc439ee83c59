"""Checkpoints: the published note of the Go tools to the byte, a parser of our own, and every way to be wrong."""

import base64
import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import KeyNotUsable, KeysError, SignatureInvalid
from keys.signing import Purpose, Signer
from registry.errors import BadInput, RegistryError
from registry.proof.checkpoint import Checkpoint, NoteKey, open_checkpoint, open_note, sign_checkpoint, sign_note

# The keys and the note published with golang.org/x/mod/sumdb/note (note_test.go).
VERIFIER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
NOTE = TEXT + f"\n— PeterNeumann {SIGNATURE}\n".encode()

PETER = Signer(Ed25519PrivateKey.from_private_bytes(SEED), Purpose.CHECKPOINT)
OURS = Signer(Ed25519PrivateKey.generate(), Purpose.CHECKPOINT)
ORIGIN = "zc.example.cn/log"
KEY = NoteKey.of(ORIGIN, OURS.public)
CHECKPOINT = Checkpoint(ORIGIN, 5, hashlib.sha256(b"root").digest())


def test_the_published_note_opens_and_signing_gives_the_same_bytes() -> None:
    key = NoteKey.parse(VERIFIER_KEY)
    assert (key.id.hex(), str(key)) == ("c74f20a3", VERIFIER_KEY)
    assert key == NoteKey.of("PeterNeumann", PETER.public)
    assert open_note(NOTE, key) == TEXT
    assert sign_note(TEXT, "PeterNeumann", PETER) == NOTE


def second_reading(note: bytes, public: bytes, name: str) -> tuple[str, int, bytes]:
    """Read a checkpoint line by line, with the library's own key."""
    origin, size, root, blank, signature, end = note.decode().split("\n")
    dash, signer, encoded = signature.split(" ")
    data = base64.b64decode(encoded)
    assert (blank, end, dash, signer) == ("", "", "—", name)
    assert data[:4] == hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]
    Ed25519PublicKey.from_public_bytes(public).verify(data[4:], f"{origin}\n{size}\n{root}\n".encode())
    return origin, int(size), base64.b64decode(root)


def test_a_checkpoint_reads_the_same_in_a_second_reader() -> None:
    note = sign_checkpoint(CHECKPOINT, OURS)
    assert second_reading(note, KEY.public, ORIGIN) == CHECKPOINT == open_checkpoint(note, KEY)
    with pytest.raises(InvalidSignature):
        second_reading(note.replace(b"\n5\n", b"\n6\n"), KEY.public, ORIGIN)


def test_other_signatures_may_stand_beside_ours() -> None:
    note = sign_checkpoint(CHECKPOINT, OURS)
    witness = sign_note(CHECKPOINT.text(), "witness.example/w1", PETER).rpartition(b"\n\n")[2]
    assert open_checkpoint(note + witness, KEY) == CHECKPOINT
    with pytest.raises(SignatureInvalid, match="没有密钥"):
        open_checkpoint(CHECKPOINT.text() + b"\n" + witness, KEY)


def test_another_key_of_the_same_name_is_not_judged_either() -> None:
    ours, theirs = (sign_note(TEXT, ORIGIN, signer) for signer in (OURS, PETER))
    line = theirs.rpartition(b"\n\n")[2]
    forged = line.replace(line[-12:-6], b"AAAAAA")
    assert open_note(ours + line, KEY) == open_note(ours + forged, KEY) == TEXT


def test_a_second_signature_of_ours_that_fails_fails_the_note() -> None:
    note = sign_checkpoint(CHECKPOINT, OURS)
    line = base64.b64encode(KEY.id + bytes(64)).decode()
    with pytest.raises(SignatureInvalid):
        open_checkpoint(note + f"— {ORIGIN} {line}\n".encode(), KEY)


@given(st.data())
def test_no_changed_byte_goes_unnoticed(data: st.DataObject) -> None:
    note = bytearray(sign_checkpoint(CHECKPOINT, OURS))
    place = data.draw(st.integers(0, len(note) - 1))
    note[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises((RegistryError, KeysError)):
        open_checkpoint(bytes(note), KEY)


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n05\n{'A' * 43}=\n",
        f"{ORIGIN}\n-5\n{'A' * 43}=\n",
        f"{ORIGIN}\n5 \n{'A' * 43}=\n",
        f"{ORIGIN}\n٥\n{'A' * 43}=\n",
        f"{ORIGIN}\n5\n{'A' * 42}B=\n",  # base64 of the same bytes, spelled another way
        f"{ORIGIN}\n5\n{'A' * 40}\n",
        f"{ORIGIN}\n5\n{'A' * 43}=\nmore\n",
        f"other.example/log\n5\n{'A' * 43}=\n",
        f"{ORIGIN}\n5\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="不是检查点"):
        open_checkpoint(sign_note(text.encode(), ORIGIN, OURS), KEY)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        TEXT,
        TEXT + b"\n",
        NOTE[:-1],
        NOTE + b"\n",
        NOTE.replace("—".encode(), b"-"),
        NOTE.replace(b"\xe2", b"\xff"),
        NOTE.replace(b"think", b"th\x01nk"),
        NOTE.replace(b"think", b"th\xffnk"),
        NOTE.replace(b"AM=\n", b"AN=\n"),
        NOTE + NOTE.rpartition(b"\n\n")[2] * 100,
    ],
)
def test_what_is_no_note_is_refused(note: bytes) -> None:
    with pytest.raises(BadInput):
        open_note(note, NoteKey.parse(VERIFIER_KEY))


@pytest.mark.parametrize("text", [b"", b"\n", b"no newline", b"a\x00b\n", b"\xff\n"])
def test_a_text_that_no_note_can_have_is_not_signed(text: bytes) -> None:
    with pytest.raises(BadInput):
        sign_note(text, ORIGIN, OURS)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb"])
def test_a_name_that_would_break_the_format_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        sign_note(TEXT, name, OURS)


def test_only_a_checkpoint_key_signs_checkpoints() -> None:
    ec_key = Signer(generate_private_key(SECP256R1()), Purpose.E_CERTIFICATE)
    for signer in (ec_key, Signer(Ed25519PrivateKey.generate(), Purpose.DOCUMENT)):
        with pytest.raises(KeyNotUsable):
            sign_checkpoint(CHECKPOINT, signer)


def test_a_verifier_key_is_read_whole_or_not_at_all() -> None:
    for start in range(0, len(VERIFIER_KEY), 5):
        with pytest.raises(BadInput):
            NoteKey.parse(VERIFIER_KEY[:start])
    for wrong in (VERIFIER_KEY[1:], VERIFIER_KEY + "A", VERIFIER_KEY.replace("c74f20a3", "c74f20a4")):
        with pytest.raises(BadInput):
            NoteKey.parse(wrong)
