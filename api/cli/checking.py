"""Check a proof of the transparency log, or a receipt, off line: with pinned keys and without a data folder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from api.cli.common import existing_file, option, session_of
from api.cli.printing import Output, complain, heading, particulars, show
from api.cli.tree import SAID_NO
from keys.errors import SignatureInvalid
from keys.keyring import Keyring
from registry.audit.layout import read_event
from registry.audit.receipt import checkpoint_in, read_leaf, verify_receipt
from registry.errors import BadInput, CorruptHistory, ProofInvalid
from registry.proof.checkpoint import NoteKey, read_checkpoint
from registry.proof.leaf import leaf_entry
from registry.proof.note import split_note
from registry.proof.signers import log_keys
from registry.proof.tlog_proof import TlogProof

Trusted = Callable[[str], Sequence[NoteKey]]
"""The keys that are trusted for the log of that name."""


def check(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .tlog-proof, or a receipt of a verification.")],
    keys: Annotated[
        Path | None, option("--keys", metavar="FILE", help="Public keys that you trust (JWKS); see keys export.")
    ] = None,
    key: Annotated[
        str | None, option("--key", metavar="LINE", help="Verifier key of the log that you trust; see log keys.")
    ] = None,
) -> None:
    """Check a proof or a receipt off line, without a data folder. Exit status 3 if it does not hold.

    It says that the log had this event when the checkpoint was signed. It says nothing about later events.
    """
    if (keys is None) == (key is None):
        raise typer.BadParameter("say which keys to trust, with one of them", param_hint="--keys, --key")
    trusted, data = _trusted(keys, key), existing_file(file).read_bytes()
    try:
        item = (_checked_receipt if data.startswith(b"{") else _checked_proof)(data, trusted)
    except (BadInput, ProofInvalid, SignatureInvalid) as error:
        if session_of(ctx).output is not Output.TABLE:
            show(session_of(ctx).output, {"holds": False, "code": error.code, "message": error.message})
        complain(error.code, error.message, error.fix)
        raise typer.Exit(SAID_NO) from error
    facts = {name.replace("_", " ").capitalize(): value for name, value in item.items() if name != "events"}
    events = [f"{one['index']}: {one['name']} {one['stream']} {one['recorded_at']}" for one in item["events"]]
    shown = (particulars(facts), heading("Events by leaf index"), "\n".join(events))
    show(session_of(ctx).output, {"holds": True} | item, *shown)


def _trusted(keys: Path | None, key: str | None) -> Trusted:
    if key:
        only = NoteKey.parse(key)
        return lambda _: [only]
    try:
        keyring = Keyring.from_jwks(msgspec.json.decode(existing_file(keys or Path()).read_bytes()))
    except msgspec.DecodeError as error:
        raise BadInput(f"{keys} 不是公钥文件（JWKS）：{error}", fix="用 title-registry keys export 取得") from error
    return lambda origin: log_keys(keyring, origin)


def _checked_proof(data: bytes, trusted: Trusted) -> dict[str, Any]:
    proof = TlogProof.parse(data)
    entry, failed = _entry(proof), list[Exception]()
    for key in trusted(_origin(proof.checkpoint)):
        try:
            found = proof.verify(entry, key)
        except SignatureInvalid as error:  # the next key may be the one
            failed.append(error)
        else:
            event = {"index": proof.index} | read_leaf(entry)._asdict()
            return _what_holds("proof", found.origin, found.size, [event])
    raise failed[0] if failed else BadInput("没有可用于核对的检查点公钥", fix="核对 --keys")


def _checked_receipt(data: bytes, trusted: Trusted) -> dict[str, Any]:
    receipt = verify_receipt(data, trusted(_origin(checkpoint_in(data))))
    events = [{"index": index} | leaf._asdict() for index, leaf in receipt.events.items()]
    item = _what_holds("receipt", receipt.checkpoint.origin, receipt.checkpoint.size, events)
    answer, certificate = receipt.answer, receipt.answer.certificate
    asked = {"as_of": answer.as_of, "known_at": answer.known_at, "checked_at": answer.checked_at}
    said = {"status": answer.status.value, "code": certificate.code if certificate else None}
    return item | said | {name: str(value) if value else None for name, value in asked.items()}


def _what_holds(kind: str, origin: str, size: int, events: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": kind, "log": origin, "size": size, "events": events}


def _origin(note: bytes) -> str:
    return read_checkpoint(split_note(note)[0]).origin


def _entry(proof: TlogProof) -> bytes:
    """The leaf entry, from what the proof carries: the entry itself, or the event's line as in an export."""
    if proof.extra is None:
        raise BadInput("证明没有附带叶子条目或事件", fix="用 log prove 或 /log/proof/event 重新取得")
    if not proof.extra.startswith(b"{"):
        return proof.extra
    try:
        return leaf_entry(*read_event(proof.extra))
    except (ValueError, CorruptHistory) as error:
        raise BadInput("证明附带的事件不合格式", fix="重新取得证明") from error
