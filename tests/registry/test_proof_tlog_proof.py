"""The text of a proof (C2SP tlog-proof): one spelling, and it holds for one entry under one key."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from keys.custody import Custody
from keys.errors import SignatureInvalid
from keys.signing import PublicKey, Purpose, Signer
from registry.errors import BadInput, ProofInvalid
from registry.proof.checkpoint import Checkpoint, NoteKey, sign_checkpoint, sign_note
from registry.proof.tlog_proof import TlogProof
from tests.people import BEGIN

ORIGIN = "zc.example.cn/log"
ENTRIES = [b"entry %d" % n for n in range(5)]


def h(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


LEAVES = [h(b"\0" + entry) for entry in ENTRIES]
LEFT = h(b"\1" + h(b"\1" + LEAVES[0] + LEAVES[1]) + h(b"\1" + LEAVES[2] + LEAVES[3]))
ROOT = h(b"\1" + LEFT + LEAVES[4])
PATH = [LEAVES[3], h(b"\1" + LEAVES[0] + LEAVES[1]), LEAVES[4]]  # of entry 2


@pytest.fixture(scope="module")
def signer(made: tuple[object, Custody]) -> Signer:
    return made[1].signer(Purpose.CHECKPOINT, BEGIN)


@pytest.fixture(scope="module")
def key(signer: Signer) -> NoteKey:
    return NoteKey.of(ORIGIN, PublicKey.from_spki(signer.public.spki(), Purpose.CHECKPOINT))


@pytest.fixture(scope="module")
def proof(signer: Signer) -> TlogProof:
    return TlogProof(2, PATH, sign_checkpoint(Checkpoint(ORIGIN, 5, ROOT), signer), b'{"position":3}')


def test_the_text_is_as_the_specification_writes_it(proof: TlogProof) -> None:
    lines = proof.encode().decode().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra eyJwb3NpdGlvbiI6M30=", "index 2"]
    assert lines[3:6] == [base64.b64encode(one).decode() for one in PATH]
    assert lines[6] == ""
    assert "\n".join(lines[7:]).encode() == proof.checkpoint
    assert proof._replace(extra=None).encode().split(b"\n")[1] == b"index 2"


def test_it_holds_for_its_entry_and_no_other(proof: TlogProof, key: NoteKey) -> None:
    read = TlogProof.parse(proof.encode())
    assert read == proof
    assert read.verify(ENTRIES[2], key) == Checkpoint(ORIGIN, 5, ROOT)
    for entry in (ENTRIES[1], ENTRIES[3], b"", ENTRIES[2] + b" "):
        with pytest.raises(ProofInvalid):
            read.verify(entry, key)
    with pytest.raises(ProofInvalid):
        read._replace(index=3).verify(ENTRIES[2], key)


def test_another_key_and_another_text_are_refused(proof: TlogProof, key: NoteKey) -> None:
    with pytest.raises(SignatureInvalid):
        proof.verify(ENTRIES[2], NoteKey("zd.example.cn/log", key.public))
    with pytest.raises(SignatureInvalid):
        proof._replace(checkpoint=proof.checkpoint.replace(b"\n5\n", b"\n6\n")).verify(ENTRIES[2], key)


@given(
    st.integers(0, 2**62),
    st.lists(st.binary(min_size=32, max_size=32), max_size=63),
    st.none() | st.binary(max_size=200),
)
def test_what_is_written_is_read(proof: TlogProof, index: int, hashes: list[bytes], extra: bytes | None) -> None:
    one = TlogProof(index, hashes, proof.checkpoint, extra)
    assert TlogProof.parse(one.encode()) == one


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_another_proof_or_none(proof: TlogProof, place: int, bits: int) -> None:
    data = bytearray(proof.encode())
    data[place % len(data)] ^= bits
    try:
        read = TlogProof.parse(bytes(data))
    except BadInput:
        return
    assert read.encode() == bytes(data)
    assert read != proof


@pytest.mark.parametrize(
    "change",
    [
        (b"tlog-proof@v1", b"tlog-proof@v2"),
        (b"index 2", b"index 02"),
        (b"index 2", b"index -2"),
        (b"index 2", b"index 2 "),
        (b"index 2", b"Index 2"),
        (b"index 2\n", b""),
        (b"index 2\n", b"index 2\r\n"),
        (b"extra eyJwb3NpdGlvbiI6M30=", b"extra eyJwb3NpdGlvbiI6M30"),
        (b"extra eyJwb3NpdGlvbiI6M30=", b"extra ?"),
        (b"extra eyJwb3NpdGlvbiI6M30=\n", b"extra eyJwb3NpdGlvbiI6M30=\nextra eyJwb3NpdGlvbiI6M30=\n"),
        (base64.b64encode(PATH[0]), base64.b64encode(PATH[0][:-1])),
        (base64.b64encode(PATH[0]), b" " + base64.b64encode(PATH[0])),
        (b"\n\n", b"\n"),
    ],
    ids=str,
)
def test_no_other_spelling_is_read(proof: TlogProof, change: tuple[bytes, bytes]) -> None:
    data = proof.encode()
    assert change[0] in data
    with pytest.raises(BadInput):
        TlogProof.parse(data.replace(*change))


def test_neither_empty_nor_endless(proof: TlogProof) -> None:
    for data in (
        b"",
        b"\n\n",
        proof.encode().partition(b"\n\n")[0] + b"\n\n",
        proof._replace(hashes=[bytes(32)] * 64).encode(),
        proof._replace(extra=bytes(1_000_000)).encode(),
    ):
        with pytest.raises(BadInput):
            TlogProof.parse(data)


def second_reading(data: bytes, public: bytes) -> tuple[int, bytes | None, list[bytes], int, bytes]:
    """Read a proof line by line, checkpoint and all, with the library's own key: index, extra, path, size, root."""
    lines = data.decode().split("\n")
    assert lines.pop(0) == "c2sp.org/tlog-proof@v1"
    extra = base64.b64decode(lines.pop(0)[6:], validate=True) if lines[0].startswith("extra ") else None
    word, index = lines.pop(0).split(" ")
    assert word == "index"
    blank = lines.index("")
    path = [base64.b64decode(line, validate=True) for line in lines[:blank]]
    origin, size, root, empty, signature, end = lines[blank + 1 :]
    assert (origin, empty, end) == (ORIGIN, "", "")
    signed = base64.b64decode(signature.removeprefix(f"— {ORIGIN} "), validate=True)[4:]
    Ed25519PublicKey.from_public_bytes(public).verify(signed, f"{origin}\n{size}\n{root}\n".encode())
    return int(index), extra, path, int(size), base64.b64decode(root)


def test_a_second_reader_reads_the_same_and_comes_to_the_same_root(proof: TlogProof, key: NoteKey) -> None:
    for one in (proof, proof._replace(extra=None)):
        index, extra, path, size, root = second_reading(one.encode(), key.public)
        assert (index, extra, path, size, root) == (2, one.extra, PATH, 5, ROOT)
        pair = h(b"\1" + h(b"\0" + ENTRIES[2]) + path[0])
        assert h(b"\1" + h(b"\1" + path[1] + pair) + path[2]) == root


def test_a_log_of_one_entry_is_proven_without_a_hash(signer: Signer, key: NoteKey) -> None:
    note = sign_checkpoint(Checkpoint(ORIGIN, 1, LEAVES[0]), signer)
    data = TlogProof(0, [], note).encode()
    assert data == b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + note
    assert TlogProof.parse(data).verify(ENTRIES[0], key).size == 1
    with pytest.raises(ProofInvalid):
        TlogProof(0, [LEAVES[0]], note).verify(ENTRIES[0], key)


def test_every_changed_bit_is_found_unless_it_says_nothing_of_the_log(proof: TlogProof, key: NoteKey) -> None:
    """All bits of the file, one by one. Only `extra` may change unseen: nothing authenticates it (C2SP tlog-proof)."""
    data, unseen = proof.encode(), set()
    for place in range(len(data) * 8):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        try:
            read = TlogProof.parse(bytes(changed))
            read.verify(ENTRIES[2], key)
        except (BadInput, SignatureInvalid, ProofInvalid):
            continue
        assert read == proof._replace(extra=read.extra)
        unseen.add(place // 8)
    begin = data.index(b"extra ") + 6
    assert unseen
    assert unseen <= set(range(begin, data.index(b"\nindex")))


def test_an_extra_of_no_bytes_is_not_the_same_as_none(proof: TlogProof) -> None:
    without, empty = proof._replace(extra=None), proof._replace(extra=b"")
    assert without.encode() != empty.encode()
    assert TlogProof.parse(empty.encode()) == empty
    assert TlogProof.parse(without.encode()) == without


def test_carriage_returns_are_refused_wherever_they_stand(proof: TlogProof) -> None:
    lines = proof.encode().split(b"\n")
    for n in range(len(lines) - 1):
        data = b"\n".join([*lines[:n], lines[n] + b"\r", *lines[n + 1 :]])
        with pytest.raises(BadInput):
            TlogProof.parse(data)
    with pytest.raises(BadInput):
        TlogProof.parse(b"\r\n".join(lines))


def test_what_stands_for_the_checkpoint_must_be_one(proof: TlogProof, signer: Signer) -> None:
    head, note = proof.encode().partition(b"\n\n")[0] + b"\n\n", proof.checkpoint
    assert TlogProof.parse(head + note) == proof
    text, _, signatures = note.partition(b"\n\n")
    root = base64.b64encode(ROOT)
    for wrong in (
        b"\n" + note,
        note + b"\n",
        note[:-1],
        text + b"\n",
        text + b"\n\n",
        b"\n" + signatures,
        note.replace(b"\n5\n", b"\n05\n"),
        note.replace(b"\n5\n", b"\n-5\n"),
        note.replace(root, root[:-1]),
        sign_note(b"only a text\n", ORIGIN, signer),
        b"checkpoint\n",
    ):
        with pytest.raises(BadInput):
            TlogProof.parse(head + wrong)


# The refusals of the Go implementation (transparency-dev/merkle, proof/tlog_proof_test.go), around our checkpoint.
REFUSED = {
    "missing header": "wrong-header\nindex 0\n\n",
    "invalid extra data encoding": "c2sp.org/tlog-proof@v1\nextra !!notbase64!!\nindex 0\n\n",
    "missing index": "c2sp.org/tlog-proof@v1\n\n\n",
    "index is no number": "c2sp.org/tlog-proof@v1\nindex notanumber\n\n",
    "index is negative": "c2sp.org/tlog-proof@v1\nindex -5\n\n",
    "invalid hash": "c2sp.org/tlog-proof@v1\nindex 0\n!!notbase64!!\n\n",
    "hash too long": f"c2sp.org/tlog-proof@v1\nindex 0\n{base64.b64encode(bytes(64)).decode()}\n\n",
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_go_implementation_refuses_is_refused(proof: TlogProof, what: str) -> None:
    with pytest.raises(BadInput) as caught:
        TlogProof.parse(REFUSED[what].encode() + proof.checkpoint)
    assert caught.value.fix


def test_63_hashes_are_read_and_hold_for_no_log(proof: TlogProof, key: NoteKey) -> None:
    read = TlogProof.parse(proof._replace(hashes=[bytes(32)] * 63).encode())
    with pytest.raises(ProofInvalid):
        read.verify(ENTRIES[2], key)


@pytest.mark.parametrize("index", [5, 6, 2**62])
def test_an_index_past_the_checkpoint_is_refused(proof: TlogProof, key: NoteKey, index: int) -> None:
    with pytest.raises(ProofInvalid):
        TlogProof.parse(proof._replace(index=index).encode()).verify(ENTRIES[2], key)


def test_an_index_that_no_log_reaches_is_not_read(proof: TlogProof) -> None:
    with pytest.raises(BadInput):
        TlogProof.parse(proof._replace(index=10**19).encode())


def test_a_checkpoint_with_further_lines_is_read_but_not_believed(
    proof: TlogProof, key: NoteKey, signer: Signer
) -> None:
    """C2SP allows extension lines; this log never writes them, so a signature over some is not for this proof."""
    note = sign_note(Checkpoint(ORIGIN, 5, ROOT).text() + b"extension\n", ORIGIN, signer)
    with pytest.raises(BadInput):
        TlogProof.parse(proof._replace(checkpoint=note).encode()).verify(ENTRIES[2], key)
