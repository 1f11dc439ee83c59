"""Policies: the example of the specification, every line that cannot be right, and what meets a quorum."""

import hashlib
from datetime import UTC, datetime
from itertools import combinations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import SignatureInvalid
from keys.signing import Purpose, Signer
from registry.errors import BadInput
from registry.proof.checkpoint import Checkpoint, NoteKey, sign_checkpoint, sign_note
from registry.proof.cosignature import CosignerKey, cosign
from registry.proof.policy import Policy

SEEN = datetime(2026, 3, 1, 9, 30, 15, tzinfo=UTC)
ORIGIN = "zc.example.cn/log"
CHECKPOINT = Checkpoint(ORIGIN, 5, hashlib.sha256(b"root").digest())
LOG, ROTATED, STRANGER = (Signer(Ed25519PrivateKey.generate(), Purpose.CHECKPOINT) for _ in range(3))
LOG_KEY = NoteKey.of(ORIGIN, LOG.public)
NOTE = sign_checkpoint(CHECKPOINT, LOG)

NAMES = ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
SIGNERS = [Signer(Ed25519PrivateKey.generate(), Purpose.COSIGNATURE) for _ in NAMES[:5]]
SIGNERS.append(Signer(MLDSA44PrivateKey.generate(), Purpose.COSIGNATURE))
KEYS = [CosignerKey.of(f"{name.lower()}.example", one.public) for name, one in zip(NAMES, SIGNERS, strict=True)]
LINES = {
    name: cosign(CHECKPOINT.text(), key.name, one, SEEN) for name, key, one in zip(NAMES, KEYS, SIGNERS, strict=True)
}
X1, X2, X3, Y1, Y2, Y3 = (str(key) for key in KEYS)

# The example of C2SP tlog-policy, with keys.
EXAMPLE = f"""\
log {LOG_KEY}

witness X1 {X1}
witness X2 {X2}
witness X3 {X3}
group X-witnesses 2 X1 X2 X3

witness Y1 {Y1}
witness Y2 {Y2}
witness Y3 {Y3}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def cosigned(*names: str) -> bytes:
    return NOTE + b"".join(LINES[name] for name in names)


# what a policy says


def test_the_example_of_the_specification() -> None:
    policy = Policy.parse(EXAMPLE.encode())
    assert list(policy.logs) == [(LOG_KEY, None)]
    assert policy.witnesses == {name: (key, None) for name, key in zip(NAMES, KEYS, strict=True)}
    assert policy.quorum == "X-and-Y"
    for size in range(len(NAMES) + 1):
        for names in combinations(NAMES, size):
            judged = policy.met_by(cosigned(*names))
            xs, ys = (sum(name.startswith(letter) for name in names) for letter in "XY")
            assert (judged.met, judged.by) == (xs >= 2 and ys >= 1, names)
            assert judged.met or "X-and-Y" in judged.why


def test_addresses_blanks_comments_and_other_alphabets() -> None:
    text = f"\n# 说明\n\t # another\n\tlog  {LOG_KEY}\thttps://zc.example.cn/log/ \n"
    text += f" witness \t 档案馆  {X1} https://w.example \n"
    text += f"witness all {X2}\nwitness any {X3}\ngroup group all any all 档案馆\n  quorum\tgroup"
    policy = Policy.parse(text.encode())
    assert list(policy.logs) == [(LOG_KEY, "https://zc.example.cn/log/")]
    assert policy.witnesses["档案馆"] == (KEYS[0], "https://w.example")
    assert policy.met_by(cosigned("X1", "X2", "X3")).by == ("档案馆", "all", "any")
    assert not policy.met_by(cosigned("X1", "X2")).met


def test_names_are_octets_and_look_alikes_are_two() -> None:
    text = f"witness K {X1}\nwitness \N{KELVIN SIGN} {X2}\nquorum \N{KELVIN SIGN}\n".encode()
    assert Policy.parse(text).met_by(cosigned("X2")).met
    assert not Policy.parse(text).met_by(cosigned("X1")).met
    raw = f"witness w-\udc80 {X1}\nquorum w-\udc80\n".encode(errors="surrogateescape")
    [name] = Policy.parse(raw).witnesses
    assert name.encode().decode() == name  # it can be printed and stored
    with pytest.raises(BadInput, match="第 2 行"):
        Policy.parse(raw.replace(b"quorum w-\x80", b"quorum w-\x81"))


def test_a_single_witness_may_be_the_quorum_and_so_may_nobody() -> None:
    one = Policy.parse(f"witness Y3 {Y3}\nquorum Y3\n".encode())
    assert one.met_by(cosigned("Y3")) == (True, ("Y3",), "")
    assert not one.met_by(cosigned("X1")).met
    nobody = Policy.parse(f"witness Y3 {Y3}\nquorum none\n".encode())
    assert nobody.met_by(NOTE) == (True, (), "")
    assert nobody.met_by(cosigned("Y3")) == (True, ("Y3",), "")


def test_thirty_two_of_each_are_supported() -> None:
    signers = [Signer(Ed25519PrivateKey.generate(), Purpose.COSIGNATURE) for _ in range(32)]
    logs = [NoteKey.of(ORIGIN, Signer(Ed25519PrivateKey.generate(), Purpose.CHECKPOINT).public) for _ in range(31)]
    lines = [f"log {key}" for key in [LOG_KEY, *logs]]
    lines += [f"witness w{number} {CosignerKey.of(f'w{number}', one.public)}" for number, one in enumerate(signers)]
    lines += ["group g0 all w0"]
    lines += [f"group g{number} all g{number - 1} w{number}" for number in range(1, 32)]
    policy = Policy.parse("\n".join([*lines, "quorum g31"]).encode())
    cosignatures = [cosign(CHECKPOINT.text(), f"w{number}", one, SEEN) for number, one in enumerate(signers)]
    assert policy.met_by(NOTE + b"".join(cosignatures)).met
    assert not policy.met_by(NOTE + b"".join(cosignatures[1:])).met


# the log


def test_one_of_the_listed_logs_must_have_signed() -> None:
    policy = Policy.parse(
        f"log {NoteKey.of(ORIGIN, ROTATED.public)}\nlog {LOG_KEY}\nwitness X1 {X1}\nquorum X1\n".encode()
    )
    assert policy.met_by(cosigned("X1")).met
    assert policy.met_by(sign_checkpoint(CHECKPOINT, ROTATED) + LINES["X1"]).met
    judged = policy.met_by(sign_checkpoint(CHECKPOINT, STRANGER) + LINES["X1"])
    assert (judged.met, judged.by) == (False, ("X1",))
    assert "日志" in judged.why
    assert Policy.parse(f"witness X1 {X1}\nquorum X1\n".encode()).met_by(CHECKPOINT.text() + b"\n" + LINES["X1"]).met


def test_a_line_that_fails_fails_the_note() -> None:
    policy = Policy.parse(EXAMPLE.encode())
    other = CHECKPOINT._replace(size=6)
    with pytest.raises(SignatureInvalid):  # the witness cosigned another checkpoint
        policy.met_by(cosigned("X1", "X2", "Y1") + cosign(other.text(), KEYS[2].name, SIGNERS[2], SEEN))
    with pytest.raises(SignatureInvalid):  # and so did the log
        policy.met_by(other.text() + NOTE[len(CHECKPOINT.text()) :])
    with pytest.raises(BadInput):
        policy.met_by(sign_note(b"no checkpoint\n", ORIGIN, LOG))
    with pytest.raises(BadInput):  # under its key, and of another log
        policy.met_by(sign_note(CHECKPOINT._replace(origin="other.example/log").text(), ORIGIN, LOG))


# what no policy says

SAME_KEY = str(CosignerKey("impostor.example", KEYS[0].algorithm, KEYS[0].public))
W1, W2 = f"witness w1 {X1}\n", f"witness w2 {X2}\n"
WRONG = {
    "a control octet": ("quorum none\n\x01", 2, "0x01"),
    "a carriage return": ("quorum none\r\n", 1, "0x0d"),
    "a delete": ("# \x7f\nquorum none\n", 1, "0x7f"),
    "an unknown keyword": ("quibble w1\nquorum none\n", 1, "不认识“quibble”"),
    "a keyword in capitals": ("Quorum none\n", 1, "不认识"),
    "a comment behind a line": (W1.replace("\n", " https://w1.example # comment\n") + "quorum w1\n", 1, "witness"),
    "a log without a key": ("log\nquorum none\n", 1, "log"),
    "a log with a key that is none": ("log garbage\nquorum none\n", 1, "不是检查点公钥"),
    "a log with the key of a cosigner": (f"log {X1}\nquorum none\n", 1, "不是检查点公钥"),
    "a log twice": (f"log {LOG_KEY}\nlog {LOG_KEY} https://x.example\nquorum none\n", 2, "已在前面列出"),
    "a log twice under two names": (
        f"log {LOG_KEY}\nlog {NoteKey('b.example', LOG_KEY.public)}\nquorum none\n",
        2,
        "已在前面列出",
    ),
    "a witness without a key": ("witness w1\nquorum w1\n", 1, "witness"),
    "a witness with the key of a log": (f"witness w1 {LOG_KEY}\nquorum w1\n", 1, "不是联署公钥"),
    "a witness with a wrong key id": (W1.replace(f"+{KEYS[0].id.hex()}+", "+00000000+") + "quorum w1\n", 1, "联署公钥"),
    "a witness named none": (f"witness none {X1}\nquorum none\n", 1, "none"),
    "a witness name twice": (f"{W1}witness w1 {X2}\nquorum w1\n", 2, "w1"),
    "a witness key twice": (f"{W1}witness w2 {X1}\nquorum w1\n", 2, "已在前面列出"),
    "a witness key twice under two names": (f"{W1}witness w2 {SAME_KEY}\nquorum w1\n", 2, "已在前面列出"),
    "a group named as a witness": (f"{W1}group w1 any w1\nquorum w1\n", 2, "w1"),
    "a group named as a group": (f"{W1}{W2}group g any w1\ngroup g any w2\nquorum g\n", 4, "“g”"),
    "a group named none": (f"{W1}group none any w1\nquorum none\n", 2, "none"),
    "a group without members": (f"{W1}group g 1\nquorum g\n", 2, "group"),
    "a group of which none is needed": (f"{W1}group g 0 w1\nquorum g\n", 2, "“0”"),
    "a group with a sign": (f"{W1}group g -1 w1\nquorum g\n", 2, "“-1”"),
    "a group with a word": (f"{W1}group g most w1\nquorum g\n", 2, "“most”"),
    "a group with digits of another script": (f"{W1}group g ١ w1\nquorum g\n", 2, "“١”"),
    "a group of which more are needed than it has": (f"{W1}group g 2 w1\nquorum g\n", 2, "1 到 1"),
    "a group with a long number": (f"{W1}group g {'9' * 5000} w1\nquorum g\n", 2, "1 到 1"),
    "a member that is unknown": (f"{W1}group g any w2\nquorum g\n", 2, "没有定义“w2”"),
    "a member that is defined later": (f"group g any w1\n{W1}quorum g\n", 1, "没有定义“w1”"),
    "a group in itself": (f"{W1}group g any w1 g\nquorum g\n", 2, "没有定义“g”"),
    "none as a member": (f"{W1}group g any none w1\nquorum g\n", 2, "没有定义“none”"),
    "a member twice in a group": (f"{W1}group g all w1 w1\nquorum g\n", 2, "“w1”已在一个组里"),
    "a member of two groups": (f"{W1}{W2}group g any w1 w2\ngroup h any w1\nquorum g\n", 4, "“w1”已在一个组里"),
    "no quorum": (W1, 2, "没有 quorum"),
    "an empty file": ("", 1, "没有 quorum"),
    "two quorums": (f"{W1}quorum w1\nquorum w1\n", 3, "已在前面写过"),
    "a quorum that is unknown": ("quorum w1\n", 1, "没有定义“w1”"),
    "a quorum that is defined later": (f"quorum w1\n{W1}", 1, "没有定义“w1”"),
    "a quorum without a name": ("quorum\n", 1, "quorum"),
    "a quorum of two": (f"{W1}{W2}quorum w1 w2\n", 3, "quorum"),
    "a blank that is no blank": (W1 + "quorum\u3000w1\n", 2, "不认识"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_line_that_cannot_be_right_is_refused_by_its_number(name: str) -> None:
    text, line, reason = WRONG[name]
    with pytest.raises(BadInput, match=f"第 {line} 行") as refusal:
        Policy.parse(text.encode())
    assert reason in refusal.value.message
    assert refusal.value.about == {"line": line}
    assert refusal.value.fix


def test_more_than_a_note_could_hold_is_refused() -> None:
    with pytest.raises(BadInput, match="1000000 字节"):
        Policy.parse(b"# " + b"x" * 1_000_000 + b"\nquorum none\n")
    keys = [CosignerKey("w", KEYS[0].algorithm, bytes([number] * 32)) for number in range(100)]
    lines = [f"witness w{number} {key}" for number, key in enumerate(keys)]
    with pytest.raises(BadInput, match=r"第 100 行.*99 个"):
        Policy.parse("\n".join([*lines, "quorum none"]).encode())
    assert len(Policy.parse("\n".join([*lines[:99], "quorum none"]).encode()).witnesses) == 99


@given(st.binary(max_size=200) | st.text(" \t\nabloguwnithqrmex#0123", max_size=200).map(str.encode))
def test_whatever_is_in_the_file_it_is_read_or_refused(data: bytes) -> None:
    try:
        quorum = Policy.parse(data).quorum
    except BadInput as refusal:
        quorum, line = "", refusal.about["line"]
    assert quorum or 1 <= line <= data.count(b"\n") + 1


@given(st.permutations([f"log {LOG_KEY}", *(f"witness {name} {key}" for name, key in zip(NAMES, KEYS, strict=True))]))
def test_the_order_of_logs_and_witnesses_means_nothing(lines: list[str]) -> None:
    policy = Policy.parse("\n".join([*lines, "group g 2 Y3 X1 Y1", "quorum g"]).encode())
    judged = policy.met_by(cosigned("X1", "X2", "Y3"))
    assert judged.met
    assert set(judged.by) == {"X1", "X2", "Y3"}
    assert not policy.met_by(cosigned("X1", "X2", "X3")).met
