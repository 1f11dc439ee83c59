"""A log asks its witnesses: what holds is taken, whatever else they do is said and does no harm.

The witnesses are real ones; the request format is held to the example published in C2SP tlog-witness.
"""

import base64
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from keys.errors import SignatureInvalid
from registry.errors import BadInput, NotFound, Unavailable
from registry.proof.policy import Policy
from registry.proof.witness import Reply, Witness
from registry.proof.witnessing import Gathered, build_request, gather, parse_request, read_reply
from tests.people import Clock
from tests.registry.test_proof_witness import FORK, LOG, NAME, PASSPHRASE, Log, cosigned_at

# https://c2sp.org/tlog-witness, "Example request body"
PUBLISHED_PROOF = (
    "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=",
    "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=",
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=",
    "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=",
)
PUBLISHED_SIGNATURES = (
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=",
    "opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=",
)
PUBLISHED_NOTE = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n" + "".join(
    f"— example.com/behind-the-sofa {one}\n" for one in PUBLISHED_SIGNATURES
)
PUBLISHED = "old 20852014\n" + "\n".join(PUBLISHED_PROOF) + "\n\n" + PUBLISHED_NOTE


def test_the_published_example_is_read_and_written_to_the_byte() -> None:
    request = parse_request(PUBLISHED.encode())
    assert (request.old, request.note.decode()) == (20852014, PUBLISHED_NOTE)
    assert tuple(base64.b64encode(one).decode() for one in request.proof) == PUBLISHED_PROOF
    assert (request.checkpoint.origin, request.checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert build_request(request.old, request.proof, request.note).decode() == PUBLISHED


def test_a_request_without_a_proof_has_its_blank_line() -> None:
    assert build_request(0, (), LOG.note(3)) == b"old 0\n\n" + LOG.note(3)
    assert parse_request(build_request(0, (), LOG.note(3))).proof == ()


# witnesses


class Street:
    """Witnesses by their addresses: a real one behind each, and what was asked of it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder, self.clock, self.asked = folder, clock, list[tuple[str, int]]()
        self.doors: dict[str, Callable[[bytes], tuple[int, bytes]]] = {}
        self.lock = threading.Lock()

    def settle(self, name: str) -> Witness:
        """A new witness that serves the log, at http://NAME/."""
        path = self.folder / name
        Witness.create(path, f"{name}.example/w", PASSPHRASE).add_log(LOG.vkey)
        witness = Witness.open(path, PASSPHRASE, self.clock)
        self.doors[f"http://{name}/add-checkpoint"] = lambda body: answered(witness.add_checkpoint(body))
        return witness

    def post(self, address: str, body: bytes) -> tuple[int, bytes]:
        """What is behind that address answers."""
        with self.lock:
            self.asked.append((address, parse_request(body).old))
        return self.doors[address](body)


def answered(reply: Reply) -> tuple[int, bytes]:
    return reply.status, reply.body


def policy_of(*witnesses: Witness, quorum: str = "any") -> Policy:
    """A policy that pins these, under the names w0, w1, ... at the address that their key name begins with."""
    names = [f"w{n}" for n in range(len(witnesses))]
    rows = [
        f"witness {name} {one.key} http://{one.key.name.partition('.')[0]}/"
        for name, one in zip(names, witnesses, strict=True)
    ]
    lines = [f"log {LOG.vkey}", *rows, f"group them {quorum} {' '.join(names)}", "quorum them", ""]
    return Policy.parse("\n".join(lines).encode())


@pytest.fixture
def street(tmp_path: Path) -> Street:
    return Street(tmp_path, Clock())


def gathered(street: Street, policy: Policy, size: int, sizes: dict[str, int], log: Log = LOG) -> Gathered:
    return gather(log.note(size), policy, log.proof, street.post, sizes)


def test_every_witness_cosigns_and_the_policy_is_met(street: Street) -> None:
    witnesses, sizes = [street.settle(name) for name in ("one", "two", "three")], dict[str, int]()
    policy = policy_of(*witnesses, quorum="all")
    for size in (5, 6, 40):
        found = gathered(street, policy, size, sizes)
        assert found.skipped == {}
        lines = found.lines.splitlines(keepends=True)
        for witness, line in zip(witnesses, lines, strict=True):
            assert cosigned_at(line, LOG.text(size), str(witness.key)) == int(street.clock().timestamp())
        assert policy.met_by(LOG.note(size) + found.lines).met
        assert sizes == {"w0": size, "w1": size, "w2": size}
    assert sorted(old for _, old in street.asked) == [0, 0, 0, 5, 5, 5, 6, 6, 6]  # nobody was asked twice


def test_a_forgotten_size_costs_one_more_request(street: Street) -> None:
    witness = street.settle("one")
    policy = policy_of(witness)
    gathered(street, policy, 7, {})
    for wrong in ({}, {"w0": 3}, {"w0": 99}):
        street.asked.clear()
        sizes: dict[str, int] = dict(wrong)
        found = gathered(street, policy, 9, sizes)
        assert (found.skipped, sizes) == ({}, {"w0": 9})
        assert len(street.asked) == 2
    assert gathered(street, policy, 9, {"w0": 9}).lines


def test_what_one_witness_does_wrong_does_not_keep_the_others_from_being_asked(street: Street) -> None:
    good, other = street.settle("good"), street.settle("other")
    for bad in ("down", "busy", "silly", "late"):
        street.settle(bad)
    street.doors["http://down/add-checkpoint"] = lambda _: raising(ConnectionRefusedError("refused"))
    street.doors["http://late/add-checkpoint"] = lambda _: raising(Unavailable("没有答复"))
    street.doors["http://busy/add-checkpoint"] = lambda _: (503, b"later\x1b[31m\n")
    street.doors["http://silly/add-checkpoint"] = lambda _: (409, b"many\n")
    named = [good, *(Witness.open(street.folder / bad, PASSPHRASE) for bad in ("down", "busy", "silly", "late")), other]
    sizes = dict[str, int]()
    found = gathered(street, policy_of(*named), 9, sizes)
    lines = found.lines.splitlines(keepends=True)
    for witness, line in zip((good, other), lines, strict=True):
        cosigned_at(line, LOG.text(9), str(witness.key))
    assert set(found.skipped) == {"w1", "w2", "w3", "w4"}
    assert (found.skipped["w1"], found.skipped["w4"]) == ("refused", "没有答复")
    assert "503：later?[31m" in found.skipped["w2"]
    assert sizes == {"w0": 9, "w5": 9}


def raising(error: Exception) -> tuple[int, bytes]:
    raise error


def test_a_log_that_forked_learns_it_from_its_witness(street: Street) -> None:
    witness = street.settle("one")
    policy, sizes = policy_of(witness), {"w0": 9}
    gathered(street, policy, 9, {})
    for known in ({}, {"w0": 9}, {"w0": 4}):
        assert "分叉" in gathered(street, policy, 9, known, FORK).skipped["w0"]
    assert "422" in gathered(street, policy, 12, sizes, FORK).skipped["w0"]
    assert sizes == {"w0": 9}
    assert {(one.kind, one.size) for one in witness.folder.evidence()} == {("fork", 9), ("unproven", 12)}


def test_an_older_copy_of_the_log_learns_it_too(street: Street) -> None:
    witness, sizes = street.settle("one"), dict[str, int]()
    gathered(street, policy_of(witness), 30, {})
    assert "旧副本" in gathered(street, policy_of(witness), 12, sizes).skipped["w0"]
    assert sizes == {}


def test_a_witness_that_never_agrees_is_given_up(street: Street) -> None:
    witness = street.settle("one")
    street.doors["http://one/add-checkpoint"] = lambda body: (409, b"%d\n" % (parse_request(body).old + 1))
    assert gathered(street, policy_of(witness), 9, {}).skipped == {"w0": "见证人两次答复 409"}
    assert [old for _, old in street.asked] == [0, 1]


def test_a_proof_that_cannot_be_made_skips_the_witness(street: Street) -> None:
    witness = street.settle("one")
    found = gather(LOG.note(9), policy_of(witness), lambda old, new: missing(old, new), street.post, {"w0": 4})
    assert found == Gathered(b"", {"w0": "没有 4 到 9"})


def missing(old: int, new: int) -> list[bytes]:
    raise NotFound(f"没有 {old} 到 {new}")


def test_a_witness_without_an_address_is_not_asked(street: Street) -> None:
    witness = street.settle("one")
    policy = Policy.parse(f"witness w0 {witness.key}\nquorum w0\n".encode())
    assert gathered(street, policy, 9, {}) == Gathered(b"", {})
    assert street.asked == []


def test_what_is_no_checkpoint_is_refused_before_anybody_is_asked(street: Street) -> None:
    with pytest.raises(BadInput):
        gather(b"hello\n\n", policy_of(street.settle("one")), LOG.proof, street.post, {})
    assert street.asked == []


# replies


def reply_of(street: Street, name: str, size: int = 9) -> tuple[Witness, bytes]:
    witness = street.settle(name)
    return witness, witness.add_checkpoint(LOG.request(0, size)).body


def test_lines_of_unknown_keys_are_ignored(street: Street) -> None:
    (one, line), (_, other) = reply_of(street, "one"), reply_of(street, "two")
    assert read_reply(LOG.note(9), other + line + other, one.key) == line
    assert read_reply(LOG.note(9), line + line, one.key) == line
    with pytest.raises(BadInput):
        read_reply(LOG.note(9), other, one.key)


def test_a_cosignature_of_another_checkpoint_or_of_changed_bytes_is_refused(street: Street) -> None:
    one, line = reply_of(street, "one")
    with pytest.raises(SignatureInvalid):
        read_reply(LOG.note(8), line, one.key)
    head, data = line.decode().strip().rsplit(" ", 1)
    for at in (4, 11, 12, 40, 75):  # time and signature
        raw = bytearray(base64.b64decode(data))
        raw[at] ^= 1
        with pytest.raises(SignatureInvalid):
            read_reply(LOG.note(9), f"{head} {base64.b64encode(raw).decode()}\n".encode(), one.key)
    assert NAME not in head


@pytest.mark.parametrize("body", [b"", b"\n", b"ok\n", "— a b\n".encode(), b"\xff\n"])
def test_a_reply_without_signature_lines_is_refused(street: Street, body: bytes) -> None:
    one, line = reply_of(street, "one")
    with pytest.raises(BadInput):
        read_reply(LOG.note(9), body, one.key)
    with pytest.raises(BadInput):
        read_reply(LOG.note(9), line.removesuffix(b"\n"), one.key)
