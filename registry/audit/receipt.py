"""A signed receipt: what a verification answered, and the proof that the events it rests on are in the log.

    {"answer":…,"checkpoint":NOTE,"events":[{"entry":…,"hashes":[…],"index":…},…],"note":NOTE,"schema":…}

One JSON object in the one form of RFC 8785 (names sorted, no blanks, UTF-8); bytes are in base64. A verifier checks:

(1) the note, signed under the log's name and "/receipt", has the SHA-256 of the object without its member "note"
(2) the checkpoint is signed by the log
(3) every entry is a leaf of that tree (RFC 6962 section 2.1.1)
(4) the entries are one stream from its first event on, without a gap, and none is later than the answer

It does not show that no later event exists: ask again, or go through the leaves after the answer's log position.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import cbor2
import msgspec

from keys.signing import Purpose
from registry.errors import BadInput, NotFound, ProofInvalid, Unavailable
from registry.log.facts import Recorded
from registry.log.log import as_known
from registry.proof.checkpoint import Checkpoint, NoteKey, open_note, sign_note
from registry.proof.kept import size_of
from registry.proof.leaf import SCHEMA as LEAF_SCHEMA
from registry.proof.note import split_note
from registry.proof.proofs import verify_inclusion
from registry.proof.signers import first_that_opens, open_by
from registry.proof.tree import leaf_hash
from registry.titles.answer import Answer
from registry.titles.code import parse_code

if TYPE_CHECKING:
    from registry.service import Registry

SCHEMA = "title-registry/receipt/1"
MOST_BYTES = 1_000_000


class Leaf(NamedTuple):
    """A leaf entry, read. `recorded_at` is the text as stored, `digest` the SHA-256 of the stored bytes."""

    position: int
    stream: str
    version: int
    name: str
    recorded_at: str
    digest: bytes


class Receipt(NamedTuple):
    """A receipt that holds: the answer, the events that it rests on by leaf index, and the tree they are in."""

    answer: Answer
    checkpoint: Checkpoint
    events: dict[int, Leaf]


class _Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    index: int
    entry: bytes
    hashes: list[bytes]


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    answer: dict[str, Any]
    checkpoint: str
    events: list[_Event]
    note: str
    schema: Literal["title-registry/receipt/1"]


def receipt_text(body: bytes) -> bytes:
    """The text that the note signs. Its first line is no origin of a log, so it is never a checkpoint."""
    return f"{SCHEMA}\nsha256:{hashlib.sha256(body).hexdigest()}\n".encode()


def receipt_signer(origin: str) -> str:
    """The name under which the checkpoint key signs receipts: not the log's, so the key id differs too."""
    return f"{origin}/receipt"


def make_receipt(registry: "Registry", answer: Answer, code: str) -> bytes:
    """The receipt of an answer that was given for this code. What is not in a checkpoint yet is taken in first.

    Raise NotFound for an answer that is about no certificate, LogFrozen if this copy must not be relied on,
    keys.errors.KeyNotUsable if no checkpoint key may sign now.
    """
    if answer.certificate is None:
        raise NotFound("没有可出具回执的证书", fix="核对查验码")
    events = _rested_on(registry, answer, code)
    note = _covering(registry, answer.log_position)
    document: dict[str, Any] = {
        "answer": answer,
        "checkpoint": note.decode(),
        "events": [_proven(registry, event.position, size_of(note)) for event in events],
        "schema": SCHEMA,
    }
    signer = registry.custody.signer(Purpose.CHECKPOINT, registry.clock())
    signed = sign_note(receipt_text(_canonical(document)), receipt_signer(registry.tlog.origin), signer)
    return _canonical(document | {"note": signed.decode()})


def _rested_on(registry: "Registry", answer: Answer, code: str) -> list[Recorded[Any]]:
    """The events of the title as the answer saw them: as known at that time, up to the log position of then."""
    found = registry.log.find("code", [parse_code(code)[:16]])[0]
    return [one for one in as_known(found.events(), answer.known_at) if one.position <= answer.log_position]


def _covering(registry: "Registry", position: int) -> bytes:
    """The published checkpoint, with whatever cosignatures it has, once it covers that position."""
    try:
        registry.tlog.index_of(position)
    except NotFound:
        registry.tlog.sequence()
    note = registry.tlog.published()
    if note is None:
        raise Unavailable("还没有已发布的检查点", fix="稍后再试")
    return note


def _proven(registry: "Registry", position: int, size: int) -> _Event:
    index = registry.tlog.index_of(position)
    return _Event(index, registry.tlog.entry(index), registry.tlog.inclusion(index, size))


def _canonical(document: Any) -> bytes:
    """The one form (RFC 8785). It is this simple because there are no fractions, and all names are ASCII."""
    plain = msgspec.to_builtins(document)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


# verifying


def verify_receipt(data: bytes, keys: Sequence[NoteKey]) -> Receipt:
    """Return what a receipt says if it holds for one of these keys of the log; every change to it is refused.

    Raise BadInput for what is no receipt, keys.errors.SignatureInvalid for what those keys did not sign, ProofInvalid
    if the events are not in the tree, or are not what the answer can rest on.
    """
    document = _read(data)
    body = {name: value for name, value in msgspec.to_builtins(document).items() if name != "note"}
    _check_note(document.note.encode(), receipt_text(_canonical(body)), keys)  # (1)
    checkpoint = open_by(document.checkpoint.encode(), keys)  # (2)
    for one in document.events:
        verify_inclusion(leaf_hash(one.entry), one.index, checkpoint.size, one.hashes, checkpoint.root)  # (3)
    try:
        answer = msgspec.convert(document.answer, Answer)
    except msgspec.ValidationError as error:
        raise BadInput(f"回执中的答复不合格式：{error}") from error
    leaves = [read_leaf(one.entry) for one in document.events]
    _check_stream(leaves, answer)  # (4)
    return Receipt(answer, checkpoint, {one.index: leaf for one, leaf in zip(document.events, leaves, strict=True)})


def checkpoint_in(data: bytes) -> bytes:
    """The checkpoint in a receipt, as a note; nothing is verified. Raise BadInput for what is no receipt."""
    return _read(data).checkpoint.encode()


def _read(data: bytes) -> _Document:
    try:
        if len(data) <= MOST_BYTES:
            document = msgspec.json.decode(data, type=_Document)
            if _canonical(document) == data:
                return document
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    raise BadInput("不是回执，或不是它唯一的写法", fix="重新取得回执，按原样保存，不要重排或换行")


def _check_note(note: bytes, text: bytes, keys: Sequence[NoteKey]) -> None:
    """Raise unless one of the keys signed exactly this text; a receipt has that one signature and no other."""
    if len(split_note(note)[1]) != 1:
        raise BadInput("回执应有且只有一个签名", fix="重新取得回执")
    signers = [NoteKey(receipt_signer(key.name), key.public) for key in keys]
    if first_that_opens(lambda key: open_note(note, key), signers) != text:
        raise ProofInvalid("回执的内容与所签的摘要不符", fix="重新取得回执")


def _check_stream(leaves: Sequence[Leaf], answer: Answer) -> None:
    positions, known = [one.position for one in leaves], answer.known_at
    sound = (
        bool(leaves)
        and len({one.stream for one in leaves}) == 1
        and [one.version for one in leaves] == list(range(1, len(leaves) + 1))
        and positions == sorted(set(positions))
        and positions[-1] <= answer.log_position
        and (known is None or all(_instant(one.recorded_at) <= known for one in leaves))
    )
    if not sound:
        raise ProofInvalid("回执所列的事件不是答复所依据的一条完整记录", fix="重新取得回执")


def read_leaf(entry: bytes) -> Leaf:
    """Read a leaf entry (see proof/leaf.py), in its one encoding. Raise BadInput for anything else."""
    try:
        schema, *fields = cbor2.loads(entry)
        leaf = Leaf(*fields)
        strict = [type(one) for one in leaf] == [int, str, int, str, str, bytes] and schema == LEAF_SCHEMA
        if strict and len(leaf.digest) == 32 and cbor2.dumps([schema, *leaf], canonical=True) == entry:
            return leaf
    except (cbor2.CBORError, TypeError, ValueError, RecursionError):
        pass
    raise BadInput("不是日志的叶子条目", fix="重新取得证明")


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = datetime.min  # noqa: DTZ901 - refused below, for it has no offset
    if instant.utcoffset() is None:
        raise BadInput(f"叶子条目的登记时间 {text} 不合格式")
    return instant
