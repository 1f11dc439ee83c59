"""Requests to witnesses as C2SP tlog-witness writes them, and the log's side: ask the witnesses of a policy to cosign.

    old 20852014                                      the size that the witness cosigned last; 0 for none
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=      the consistency proof from there, up to 63 hashes
                                                      a blank line
    example.com/behind-the-sofa                       the checkpoint, a signed note
    ...

(1) each witness is asked from the size that it cosigned last, as far as it is known here
(2) one that remembers another size says so (409) and is asked once more, from that size
(3) a line counts only if the key that the policy pins has signed this very checkpoint
"""

import base64
import re
from collections.abc import Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import NamedTuple

from keys.errors import KeysError
from registry.errors import BadInput, RegistryError, Unavailable
from registry.proof.checkpoint import Checkpoint, read_checkpoint
from registry.proof.cosignature import CosignerKey, cosignatures
from registry.proof.note import read_base64, read_line, split_note
from registry.proof.policy import Policy
from registry.proof.tree import HASH_SIZE

Post = Callable[[str, bytes], tuple[int, bytes]]  # (address, body) -> (HTTP status, body); raise Unavailable or OSError
Consistency = Callable[[int, int], Sequence[bytes]]  # (old size, new size) -> proof

ADD_CHECKPOINT = "/add-checkpoint"
MAX_PROOF = 63  # hashes
MAX_SIZE = 1 << 63  # leaves; a log has fewer
_AT_ONCE = 16  # witnesses
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,18}")
_FIX = "按 C2SP tlog-witness 编写请求"


class Request(NamedTuple):
    """An add-checkpoint request, read and not yet judged."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes
    checkpoint: Checkpoint


class Gathered(NamedTuple):
    """Cosignature lines that hold, in the order of the policy, and why each other witness gave none, by its name."""

    lines: bytes
    skipped: dict[str, str]


def build_request(old: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """The body of an add-checkpoint request."""
    lines = b"".join(base64.b64encode(one) + b"\n" for one in proof)
    return b"old %d\n%b\n%b" % (old, lines, note)


def parse_request(body: bytes) -> Request:
    """Read an add-checkpoint request, strictly. Raise BadInput for any other spelling, or an old size above the new."""
    head, blank, note = body.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    if not blank or not first.startswith(b"old ") or len(lines) > MAX_PROOF:
        raise BadInput(f"请求应为 old 行、至多 {MAX_PROOF} 行证明、空行、检查点", fix=_FIX)
    old, proof = _number(first.removeprefix(b"old ")), tuple(_hash(line) for line in lines)
    checkpoint = checkpoint_in(note)
    if not old <= checkpoint.size < MAX_SIZE:
        raise BadInput("旧规模大于检查点的规模，或规模太大", fix="以上次联署的规模作为旧规模")
    return Request(old, proof, note, checkpoint)


def checkpoint_in(note: bytes) -> Checkpoint:
    """The checkpoint in a note, whose signatures are not judged. Raise BadInput for what is none."""
    return read_checkpoint(split_note(note)[0])


def read_reply(note: bytes, body: bytes, key: CosignerKey) -> bytes:
    """The lines of a reply with which this key cosigned the note; those of other keys are ignored.

    Raise SignatureInvalid if a line of this key fails, BadInput if there is none, or for what is no signature line.
    """
    text, lines = split_note(note)[0] + b"\n", _lines(body)
    held = [line for line in lines if cosignatures(text + line, [key])]  # (3)
    if not held:
        raise BadInput(f"答复中没有密钥 {key.name}（{key.id.hex()}）的联署", fix="核对策略中的公钥")
    return b"".join(held)


def gather(
    note: bytes, policy: Policy, consistency: Consistency, post: Post, sizes: MutableMapping[str, int]
) -> Gathered:
    """Ask every witness of the policy that has an address, all at once, to cosign a checkpoint.

    `sizes` says what each cosigned last, by its name in the policy, and is brought up to date; if it is lost, that
    costs one more request. A witness that is down, slow or wrong is skipped. Raise BadInput for what is no checkpoint.
    """
    size, one_at_a_time = checkpoint_in(note).size, Lock()
    asked = {name: (key, url) for name, (key, url) in policy.witnesses.items() if url}

    def ask(name: str) -> tuple[bytes, str]:
        key, url = asked[name]

        def send(old: int) -> tuple[int, bytes]:
            with one_at_a_time:  # reading the tree is left to one thread
                proof = consistency(old, size) if old else ()
            return post(url.rstrip("/") + ADD_CHECKPOINT, build_request(old, proof, note))

        try:
            lines = read_reply(note, _agreed(send, sizes.get(name, 0), size), key)
        except (RegistryError, KeysError, OSError) as error:
            return b"", str(error)
        sizes[name] = size
        return lines, ""

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        replies = list(pool.map(ask, asked))
    skipped = {name: why for name, (_, why) in zip(asked, replies, strict=True) if why}
    return Gathered(b"".join(lines for lines, _ in replies), skipped)


def _agreed(send: Callable[[int], tuple[int, bytes]], known: int, size: int) -> bytes:
    """What the witness answers with 200. Raise Unavailable for any other answer, after one more try on 409."""
    old = known if known <= size else 0  # (1)
    for _ in range(2):
        status, body = send(old)
        if status == 200:
            return body
        if status != 409:
            raise Unavailable(f"见证人答复 {status}：{_printable(body)}")
        told = _number(body.removesuffix(b"\n"))
        if told == old == size:
            raise Unavailable(f"见证人在规模 {size} 联署过另一个根：日志分叉，或这里不是原来的日志")
        if told > size:
            raise Unavailable(f"见证人已联署到规模 {told}，大于 {size}：检查点已过时，或这里是旧副本")
        old = told  # (2)
    raise Unavailable("见证人两次答复 409")


def _printable(body: bytes) -> str:
    text = body[:300].decode("utf-8", "replace").strip()
    return "".join(one if one.isprintable() else "?" for one in text)


def _lines(body: bytes) -> list[bytes]:
    """The signature lines of a reply, each once. Raise BadInput for what is none."""
    if not body.endswith(b"\n"):
        raise BadInput("见证人的答复不是签名行", fix="核对见证人的地址")
    return list(dict.fromkeys(read_line(line).line() for line in body.removesuffix(b"\n").split(b"\n")))


def _number(text: bytes) -> int:
    if not _NUMBER.fullmatch(text):
        raise BadInput("规模不是没有前导零的十进制数", fix=_FIX)
    return int(text)


def _hash(line: bytes) -> bytes:
    data = read_base64(line.decode(errors="replace"))
    if data is None or len(data) != HASH_SIZE:
        raise BadInput("哈希不是 32 字节的 base64", fix=_FIX)
    return data
