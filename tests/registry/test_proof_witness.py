"""A witness: whatever a log sends, its cosigned checkpoints form one tree that only grows, and forks are kept.

The log here is a second implementation: the tree by the definition of RFC 6962, notes and requests by hand.
"""

import base64
import hashlib
import shutil
import sqlite3
import struct
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.errors import (
    KeysError,
    KeyStoreBroken,
    KeyStoreExists,
    LoosePermissions,
    PassphraseMissing,
    WrongPassphrase,
)
from keys.passphrase import unseal
from keys.signing import Purpose, Signer
from registry.errors import BadInput, Unavailable
from registry.proof.witness import MAX_BODY, MAX_UNPROVEN, Reply, Witness, WitnessFolder
from tests.people import Clock

PASSPHRASE = "见证人 correct horse".encode()
NAME, ORIGIN = "archive.example.cn/witness", "zc.example.cn/log"
SIZE_TYPE = "text/x.tlog.size"

# the log


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The tree hash by its definition (RFC 6962 section 2.1)."""
    if len(leaves) < 2:
        return hashlib.sha256(b"\x00" + leaves[0] if leaves else b"").digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root_of(leaves[:k]) + root_of(leaves[k:])).digest()


def proof_of(old: int, leaves: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """The consistency proof by its definition (SUBPROOF of RFC 6962 section 2.1.2)."""
    if old == len(leaves):
        return [] if whole else [root_of(leaves)]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if old <= k:
        return [*proof_of(old, leaves[:k], whole), root_of(leaves[k:])]
    return [*proof_of(old - k, leaves[k:], False), root_of(leaves[:k])]


class Log:
    """A log whose operator can do anything with it: leaves, key, notes."""

    def __init__(self, leaves: Sequence[bytes], key: Ed25519PrivateKey | None = None, origin: str = ORIGIN) -> None:
        self.leaves, self.key, self.origin = list(leaves), key or Ed25519PrivateKey.generate(), origin
        self.public = self.key.public_key().public_bytes_raw()
        self.id = hashlib.sha256(origin.encode() + b"\n\x01" + self.public).digest()[:4]
        self.vkey = f"{origin}+{self.id.hex()}+" + base64.b64encode(b"\x01" + self.public).decode()

    def forked(self, at: int) -> "Log":
        """The same log with other leaves from that index on."""
        changed = [leaf + b"'" for leaf in self.leaves[at:]]
        return Log([*self.leaves[:at], *changed], self.key, self.origin)

    def text(self, size: int, more: str = "") -> bytes:
        root = base64.b64encode(root_of(self.leaves[:size])).decode()
        return f"{self.origin}\n{size}\n{root}\n{more}".encode()

    def signature(self, text: bytes) -> bytes:
        return f"— {self.origin} {base64.b64encode(self.id + self.key.sign(text)).decode()}\n".encode()

    def note(self, size: int, more: str = "") -> bytes:
        text = self.text(size, more)
        return text + b"\n" + self.signature(text)

    def proof(self, old: int, size: int) -> list[bytes]:
        return proof_of(old, self.leaves[:size]) if 0 < old <= size else []

    def request(self, old: int, size: int) -> bytes:
        return asking(old, self.proof(old, size), self.note(size))

    def has_signed(self, note: bytes) -> bool:
        text, _, line = note.rpartition(b"\n\n")
        self.key.public_key().verify(base64.b64decode(line.split(b" ")[2])[4:], text + b"\n")
        return True


def asking(old: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """A request, written line by line."""
    return b"".join([f"old {old}\n".encode(), *(base64.b64encode(one) + b"\n" for one in proof), b"\n", note])


def cosigned_at(line: bytes, text: bytes, vkey: str) -> int:
    """The time of a cosignature line, checked with nothing of ours (C2SP tlog-cosignature). Raise InvalidSignature."""
    name, key_id, encoded = vkey.split("+", 2)
    public = base64.b64decode(encoded)
    assert (public[0], len(public)) == (4, 33)
    assert key_id == hashlib.sha256(name.encode() + b"\n" + public).hexdigest()[:8]
    dash, signer, data = line.decode().removesuffix("\n").split(" ")
    assert (dash, signer) == ("—", name)
    said, at, signature = struct.unpack(">4sQ64s", base64.b64decode(data))
    assert said.hex() == key_id
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature, b"cosignature/v1\ntime %d\n" % at + text)
    return int(at)


LOG = Log([b"leaf %d" % n for n in range(40)])
FORK = LOG.forked(6)
STRANGER = Log(LOG.leaves)


Made = tuple[Path, Signer]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A witness that serves the log, and its signer (opening one costs 0.1 s each time)."""
    folder = tmp_path_factory.mktemp("begun") / "witness"
    Witness.create(folder, NAME, PASSPHRASE).add_log(LOG.vkey)
    private = load_der_private_key(unseal((folder / "key.bin").read_bytes(), PASSPHRASE), None)
    assert isinstance(private, Ed25519PrivateKey)
    return folder, Signer(private, Purpose.COSIGNATURE)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def copied(begun: Made, folder: Path, clock: Clock) -> Witness:
    """A copy of that witness."""
    shutil.copytree(begun[0], folder)
    return Witness(WitnessFolder(folder), begun[1], clock)


@pytest.fixture
def witness(begun: Made, tmp_path: Path, clock: Clock) -> Witness:
    return copied(begun, tmp_path / "witness", clock)


def head(witness: Witness) -> tuple[int, bytes]:
    """Size and root of what it cosigned last."""
    (log,) = witness.folder.logs()
    return log.size, log.root


# what it does


def test_a_log_that_grows_is_cosigned_and_a_second_reader_agrees(witness: Witness, clock: Clock) -> None:
    for old, size in ((0, 5), (5, 5), (5, 6), (6, 13), (13, 32), (32, 33), (33, 40)):
        at = clock.forward(seconds=7)
        reply = witness.add_checkpoint(LOG.request(old, size))
        assert (reply.status, reply.alarm) == (200, "")
        assert cosigned_at(reply.body, LOG.text(size), str(witness.key)) == int(at.timestamp())
        assert head(witness) == (size, root_of(LOG.leaves[:size]))
        with pytest.raises(InvalidSignature):
            cosigned_at(reply.body, LOG.text(size - 1), str(witness.key))


def test_every_old_and_new_size_up_to_the_whole_log(begun: Made, tmp_path: Path) -> None:
    for old in (1, 2, 3, 7, 8, 12):
        witness = copied(begun, tmp_path / f"from-{old}", Clock())
        assert witness.add_checkpoint(LOG.request(0, old)).status == 200
        for size in range(old + 1, 20):
            assert witness.add_checkpoint(LOG.request(size - 1, size)).status == 200


def test_the_empty_log_may_begin(witness: Witness) -> None:
    assert witness.add_checkpoint(LOG.request(0, 0)).status == 200
    assert witness.add_checkpoint(LOG.request(0, 0)).status == 200
    assert witness.add_checkpoint(LOG.request(0, 3)).status == 200


def test_it_remembers_after_a_restart(witness: Witness) -> None:
    witness.add_checkpoint(LOG.request(0, 9))
    again = Witness.open(witness.folder.path, PASSPHRASE)
    assert again.key == witness.key
    assert again.add_checkpoint(LOG.request(0, 12)) == Reply(409, b"9\n", SIZE_TYPE)
    assert again.add_checkpoint(FORK.request(9, 12)).status == 422
    assert again.add_checkpoint(LOG.request(9, 12)).status == 200


def test_several_logs_do_not_touch_each_other(witness: Witness) -> None:
    other = Log([b"x", b"y", b"z"], origin="other.example/log")
    witness.folder.add_log(other.vkey)
    assert witness.add_checkpoint(LOG.request(0, 9)).status == 200
    assert witness.add_checkpoint(other.request(0, 2)).status == 200
    assert witness.add_checkpoint(LOG.request(9, 10)).status == 200
    assert [(log.origin, log.size) for log in witness.folder.logs()] == [("other.example/log", 2), (ORIGIN, 10)]


def test_a_rotated_key_of_the_log_counts_beside_the_old_one(witness: Witness) -> None:
    rotated = Log(LOG.leaves)
    assert witness.add_checkpoint(LOG.request(0, 3)).status == 200
    assert witness.add_checkpoint(rotated.request(3, 4)).status == 403
    witness.folder.add_log(rotated.vkey)
    witness.folder.add_log(rotated.vkey)
    assert witness.add_checkpoint(rotated.request(3, 4)).status == 200
    assert witness.add_checkpoint(LOG.request(4, 5)).status == 200
    assert witness.folder.logs()[0].vkeys == (LOG.vkey, rotated.vkey)


def test_signatures_of_unknown_keys_and_extension_lines_are_let_pass(witness: Witness) -> None:
    text = LOG.text(4, "an extension\n")
    note = text + b"\n" + STRANGER.signature(text) + LOG.signature(text)
    reply = witness.add_checkpoint(asking(0, [], note))
    assert reply.status == 200
    cosigned_at(reply.body, text, str(witness.key))


# what it refuses


def malformed() -> dict[str, bytes]:
    """Requests that are none, by what is wrong with them."""
    good = LOG.request(3, 8)
    unsigned = LOG.text(8)
    long_line = b"\n" + base64.b64encode(bytes(33)) + b"\n"
    return {
        "nothing": b"",
        "no blank line": b"old 3\n",
        "no note": b"old 0\n\n",
        "no old line": LOG.note(8),
        "leading zero": good.replace(b"old 3", b"old 03"),
        "sign": good.replace(b"old 3", b"old +3"),
        "two blanks": good.replace(b"old 3", b"old  3"),
        "another digit": good.replace(b"old 3", "old ３".encode()),
        "carriage return": good.replace(b"old 3\n", b"old 3\r\n"),
        "upper case": good.replace(b"old 3", b"OLD 3"),
        "old above size": asking(9, [], LOG.note(8)),
        "old above what there is": asking(1 << 63, [], LOG.note(8)),
        "64 hashes": asking(3, [bytes(32)] * 64, LOG.note(8)),
        "a hash of 33 bytes": good.replace(b"\n", long_line, 1),
        "a hash of 31 bytes": asking(3, [bytes(31)], LOG.note(8)),
        "base64 with blanks": asking(3, [bytes(32)], LOG.note(8)).replace(b"AAAA=", b"AAA ="),
        "base64 that is not the one form": asking(3, [bytes(32)], LOG.note(8)).replace(b"AAA=", b"AAB="),
        "size with leading zero": good.replace(b"\n8\n", b"\n08\n"),
        "size too large": good.replace(b"\n8\n", b"\n9223372036854775808\n"),
        "root of 31 bytes": asking(0, [], f"{ORIGIN}\n8\n{base64.b64encode(bytes(31)).decode()}\n\n— a b\n".encode()),
        "no signature": asking(3, LOG.proof(3, 8), unsigned),
        "an empty signature part": asking(3, LOG.proof(3, 8), unsigned + b"\n"),
        "a signature line that is none": asking(3, LOG.proof(3, 8), unsigned + b"\n- x y\n"),
        "no newline at the end": good[:-1],
        "origin that is no UTF-8": good.replace(b"zc.example", b"zc\xff.example"),
        "an empty extension line": good.replace(b"=\n\n\xe2", b"=\n\n\n\xe2"),
    }


@pytest.mark.parametrize("what", malformed())
def test_what_is_no_request_is_400(witness: Witness, what: str) -> None:
    refused(witness, malformed()[what], 400)


def refused(witness: Witness, body: bytes, status: int) -> Reply:
    """Send what must be refused: nothing cosigned, nothing changed."""
    before = (witness.folder.logs(), witness.folder.evidence())
    reply = witness.add_checkpoint(body)
    assert reply.status == status
    assert "—".encode() not in reply.body
    assert (witness.folder.logs(), witness.folder.evidence()) == before
    return reply


def test_too_large_is_413(witness: Witness) -> None:
    line = "— a " + base64.b64encode(bytes(3000)).decode() + "\n"
    body = LOG.request(0, 8) + line.encode() * 40
    assert len(body) > MAX_BODY
    refused(witness, body, 413)
    assert b"32" not in refused(witness, body[: MAX_BODY + 1], 413).body


def test_an_unknown_log_is_404(witness: Witness) -> None:
    refused(witness, Log(LOG.leaves, LOG.key, "other.example/log").request(0, 8), 404)


@pytest.mark.parametrize(
    "note",
    [
        STRANGER.note(8),
        LOG.text(8) + b"\n" + LOG.signature(LOG.text(7)),
        LOG.text(8) + b"\n" + Log(LOG.leaves, LOG.key, "other.example/log").signature(LOG.text(8)),
    ],
    ids=["another key", "of another text", "under another name"],
)
def test_no_valid_signature_of_a_trusted_key_is_403(witness: Witness, note: bytes) -> None:
    refused(witness, asking(0, [], note), 403)


@pytest.mark.parametrize("old", [0, 3, 7, 9, 12])
def test_another_old_size_than_the_latest_is_409_with_the_latest(witness: Witness, old: int) -> None:
    witness.add_checkpoint(LOG.request(0, 8))
    reply = refused(witness, LOG.request(old, 12), 409)
    assert reply == Reply(409, b"8\n", SIZE_TYPE)


def test_a_smaller_checkpoint_than_the_latest_is_409(witness: Witness) -> None:
    witness.add_checkpoint(LOG.request(0, 8))
    assert refused(witness, LOG.request(5, 5), 409).body == b"8\n"


def wrong_proofs() -> dict[str, list[bytes]]:
    """Proofs from 5 to 12 that are wrong, by what is wrong with them."""
    right = LOG.proof(5, 12)
    changed = [bytes([right[0][0] ^ 1]) + right[0][1:], *right[1:]]
    return {
        "empty": [],
        "one short": right[:-1],
        "one more": [*right, bytes(32)],
        "one bit": changed,
        "swapped": [right[1], right[0], *right[2:]],
        "of other sizes": LOG.proof(4, 12),
    }


@pytest.mark.parametrize("what", wrong_proofs())
def test_a_proof_that_fails_is_422_and_kept_until_the_right_one_comes(witness: Witness, what: str) -> None:
    witness.add_checkpoint(LOG.request(0, 5))
    reply = witness.add_checkpoint(asking(5, wrong_proofs()[what], LOG.note(12)))
    assert (reply.status, reply.alarm) == (422, f"unproven: {ORIGIN} 12")
    assert head(witness)[0] == 5
    assert [(one.kind, one.size, one.cosigned, one.offered) for one in witness.folder.evidence()] == [
        ("unproven", 12, LOG.note(5), LOG.note(12))
    ]
    assert witness.add_checkpoint(asking(5, wrong_proofs()[what], LOG.note(12))).alarm == ""
    assert witness.add_checkpoint(LOG.request(5, 12)).status == 200
    assert witness.folder.evidence() == []


def test_a_proof_where_none_may_be_is_422(witness: Witness) -> None:
    refused(witness, asking(0, [bytes(32)], LOG.note(5)), 422)
    witness.add_checkpoint(LOG.request(0, 5))
    refused(witness, asking(5, [bytes(32)], LOG.note(5)), 422)


# forks


@pytest.mark.parametrize("old", [0, 5, 9])
def test_another_root_at_the_same_size_is_409_and_proof_of_a_fork(witness: Witness, old: int) -> None:
    witness.add_checkpoint(LOG.request(0, 9))
    reply = witness.add_checkpoint(FORK.request(old, 9))
    assert reply == Reply(409, b"9\n", SIZE_TYPE, f"fork: {ORIGIN} 9")
    assert head(witness) == (9, root_of(LOG.leaves[:9]))
    (one,) = Witness.open(witness.folder.path, PASSPHRASE).folder.evidence()
    assert (one.kind, one.cosigned, one.offered) == ("fork", LOG.note(9), FORK.note(9))
    assert LOG.has_signed(one.cosigned) and LOG.has_signed(one.offered)  # noqa: PT018 - the two belong together
    assert one.cosigned.split(b"\n")[:2] == one.offered.split(b"\n")[:2]
    assert one.cosigned.split(b"\n")[2] != one.offered.split(b"\n")[2]


def test_a_fork_that_has_grown_is_refused_and_the_log_itself_goes_on(witness: Witness) -> None:
    witness.add_checkpoint(LOG.request(0, 9))
    assert witness.add_checkpoint(FORK.request(9, 20)).status == 422
    assert witness.add_checkpoint(FORK.request(9, 9)).status == 409
    assert witness.add_checkpoint(LOG.request(9, 30)).status == 200
    assert {(one.kind, one.size) for one in witness.folder.evidence()} == {("unproven", 20), ("fork", 9)}


def test_a_log_that_says_it_has_lost_everything_is_a_fork_too(witness: Witness) -> None:
    note = LOG.note(0).replace(base64.b64encode(root_of([])), base64.b64encode(bytes(32)))
    text = note.rpartition(b"\n\n")[0] + b"\n"
    assert witness.add_checkpoint(asking(0, [], text + b"\n" + LOG.signature(text))).status == 409
    assert [one.kind for one in witness.folder.evidence()] == ["fork"]


def test_nobody_fills_the_disk_with_wrong_proofs(witness: Witness) -> None:
    long = Log([b"%d" % n for n in range(MAX_UNPROVEN + 8)], LOG.key)
    witness.add_checkpoint(long.request(0, 2))
    alarms = [witness.add_checkpoint(asking(2, [], long.note(3 + n))).alarm for n in range(MAX_UNPROVEN + 5)]
    assert (sum(map(bool, alarms)), len(witness.folder.evidence())) == (MAX_UNPROVEN, MAX_UNPROVEN)
    assert witness.add_checkpoint(long.forked(1).request(2, 2)).alarm == f"fork: {ORIGIN} 2"


# its memory


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE latest SET size = 8",
        "UPDATE latest SET root = zeroblob(32)",
        "UPDATE latest SET origin = 'another'",
        "DELETE FROM latest",
        "DELETE FROM evidence WHERE kind = 'fork'",
        "UPDATE evidence SET kind = 'unproven'",
    ],
)
def test_the_database_itself_refuses_to_forget(witness: Witness, statement: str) -> None:
    witness.add_checkpoint(LOG.request(0, 9))
    witness.add_checkpoint(FORK.request(0, 9))
    connection = sqlite3.connect(witness.folder.path / "witness.db")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
    connection.close()


def test_without_its_database_it_is_not_opened(witness: Witness) -> None:
    (witness.folder.path / "witness.db").unlink()
    with pytest.raises(KeyStoreBroken, match="建立新的见证人"):
        Witness.open(witness.folder.path, PASSPHRASE)
    with pytest.raises(Unavailable):
        witness.add_checkpoint(LOG.request(0, 9))
    assert not (witness.folder.path / "witness.db").exists()


def test_with_a_damaged_database_nothing_is_cosigned(witness: Witness) -> None:
    (witness.folder.path / "witness.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(Unavailable):
        witness.add_checkpoint(LOG.request(0, 9))


def test_keys_are_private_and_belong_together(witness: Witness, tmp_path: Path) -> None:
    folder, other = witness.folder.path, Witness.create(tmp_path / "other", NAME, PASSPHRASE).path
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "key.bin": 0o600,
        "vkey": 0o600,
        "witness.db": 0o600,
    }
    with pytest.raises(WrongPassphrase):
        Witness.open(folder, b"another")
    (folder / "vkey").write_bytes((other / "vkey").read_bytes())
    with pytest.raises(KeyStoreBroken, match="不符"):
        Witness.open(folder, PASSPHRASE)
    (folder / "vkey").write_bytes(b"nothing")
    with pytest.raises(KeyStoreBroken, match="已损坏"):
        WitnessFolder(folder)
    folder.chmod(0o755)
    with pytest.raises(LoosePermissions):
        WitnessFolder(folder)


@pytest.mark.parametrize(
    ("name", "passphrase", "error"),
    [
        ("a b", PASSPHRASE, BadInput),
        ("a+b", PASSPHRASE, BadInput),
        ("", PASSPHRASE, BadInput),
        (NAME, b"", PassphraseMissing),
    ],
)
def test_a_witness_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, name: str, passphrase: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Witness.create(tmp_path / "witness", name, passphrase)
    assert list(tmp_path.iterdir()) == []


def test_keys_are_never_overwritten_and_a_folder_must_be_there(witness: Witness, tmp_path: Path) -> None:
    before = (witness.folder.path / "key.bin").read_bytes()
    with pytest.raises(KeyStoreExists):
        Witness.create(witness.folder.path, NAME, PASSPHRASE)
    assert (witness.folder.path / "key.bin").read_bytes() == before
    with pytest.raises(KeysError):
        WitnessFolder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "vkey", ["", "x", LOG.vkey[:-4], LOG.vkey.replace("zc", "zd")], ids=["empty", "word", "cut", "renamed"]
)
def test_what_is_no_key_of_a_log_is_refused(witness: Witness, vkey: str) -> None:
    before = witness.folder.logs()
    with pytest.raises(BadInput):
        witness.folder.add_log(vkey)
    with pytest.raises(BadInput):
        witness.folder.add_log(str(witness.key))
    assert witness.folder.logs() == before


# what must always hold

BRANCHES = (LOG, FORK, LOG.forked(0))


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.one_of(st.none(), st.integers(0, 12)), st.integers(0, 12), st.booleans()),
        max_size=12,
    )
)
def test_whatever_is_sent_the_answer_is_that_of_the_definition(
    begun: Made, tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[int, int | None, int, bool]]
) -> None:
    """Any branch, any sizes, right or missing proofs; `None` stands for the size that the witness has."""
    witness = copied(begun, tmp_path_factory.mktemp("any") / "witness", Clock())
    leaves: list[bytes] = []
    for branch, named, size, proven in sent:
        log, old = BRANCHES[branch], len(leaves) if named is None else named
        status = witness.add_checkpoint(asking(old, log.proof(old, size) if proven else [], log.note(size))).status
        assert status == expected(leaves, log.leaves[:size], old, proven)
        leaves = log.leaves[:size] if status == 200 else leaves
        assert head(witness) == (len(leaves), root_of(leaves))


def expected(leaves: list[bytes], new: list[bytes], old: int, proven: bool) -> int:
    """The status, by looking at the leaves themselves."""
    if old > len(new):
        return 400
    if old != len(leaves) or (len(new) == len(leaves) and new != leaves):
        return 409
    needs_none = not leaves or len(new) == len(leaves)
    return 200 if new[: len(leaves)] == leaves and (proven or needs_none) else 422


def test_two_threads_race_200_rounds_and_it_never_goes_back(witness: Witness, begun: Made) -> None:
    folder, racers = witness.folder, [witness, Witness(WitnessFolder(witness.folder.path), begun[1], Clock())]
    log, start = Log([b"0"], LOG.key), threading.Barrier(2, timeout=30)

    def send(racer: Witness, body: bytes) -> Reply:
        start.wait()
        return racer.add_checkpoint(body)

    latest = 0
    with ThreadPoolExecutor(2) as pool:
        for n in range(200):
            log.leaves += [b"%d" % n, b"%d more" % n]
            other = log.forked(len(log.leaves) - 1) if n % 2 else log
            sizes = (len(log.leaves), len(log.leaves) - 1 + n % 2)  # odd rounds: two roots at one size
            bodies = [one.request(latest, size) for one, size in zip((log, other), sizes, strict=True)]
            replies = list(pool.map(send, racers, bodies))
            winner = [reply.status for reply in replies].index(200)
            assert replies[1 - winner][:3] == (409, b"%d\n" % sizes[winner], SIZE_TYPE)
            log, latest = (log, other)[winner], sizes[winner]
            (state,) = folder.logs()
            assert (state.size, state.root) == (latest, root_of(log.leaves[:latest]))
