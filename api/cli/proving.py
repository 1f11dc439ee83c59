"""The transparency log on the command line: checkpoints, proofs to carry away, how it stands (docs/proof.md)."""

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli import checking, witnessing
from api.cli.certificates import Force
from api.cli.common import Authority, new_file, opened, option, session_of
from api.cli.printing import complain, heading, moment, particulars, say, show
from api.cli.tree import FAILED, Commands
from keys.errors import KeysError
from keys.files import write_private
from registry.audit.proving import prove_certificate, prove_event
from registry.audit.receipt import read_leaf
from registry.errors import NotFound, RegistryError, Unavailable
from registry.proof.checkpoint import read_checkpoint
from registry.proof.cosignature import cosignatures
from registry.proof.kept import size_of
from registry.proof.note import split_note
from registry.proof.policy import Judgement, Policy
from registry.proof.proofs import tree_root, verify_consistency
from registry.proof.tlog_proof import TlogProof
from registry.service import Registry

app = Commands("The transparency log: checkpoints, proofs, and whether the log still extends what was signed.")
app.command("check")(checking.check)
app.add_typer(witnessing.app, name="witness")


def add_to(root: Commands) -> None:
    """Add `log`, with `log witness` in it."""
    root.add_typer(app, name="log", rich_help_panel="Audit")


@contextmanager
def _relied_on(ctx: typer.Context) -> Iterator[Registry]:
    """The registry, if its log extends what was signed last; LogFrozen says why otherwise."""
    with opened(ctx) as registry:
        registry.continuity.require()
        yield registry


# what is published


@app.command("checkpoint")
def checkpoint(ctx: typer.Context) -> None:
    """Take in what is new, and show the newest signed checkpoint: size, root, when, and who cosigned it."""
    with _relied_on(ctx) as registry:
        registry.tlog.sequence()
        note = _published(registry)
        found, judged = read_checkpoint(split_note(note)[0]), _judged(registry, note)
        root, at = base64.b64encode(found.root).decode(), _signed_at(registry, note)
    item = {"origin": found.origin, "size": found.size, "root": root, "at": at, "note": note.decode()}
    facts: dict[str, object] = {"Log": found.origin, "Size": found.size, "Root": root, "Signed": moment(at)}
    if judged:
        item["policy"] = {"met": judged.met, "by": judged.by, "why": judged.why}
        facts |= {"Cosigned by": "、".join(judged.by) or "nobody", "Policy": "met" if judged.met else judged.why}
    show(session_of(ctx).output, item, particulars(facts), heading("Note"), _cut(note))


def _published(registry: Registry) -> bytes:
    note = registry.tlog.published()
    if note is None:
        raise Unavailable("还没有已发布的检查点", fix="运行 title-registry log checkpoint")
    return note


def _judged(registry: Registry, note: bytes) -> Judgement | None:
    """How the note stands by the policy of this log; None without a policy."""
    file = registry.folder.policy
    return Policy.parse(file.read_bytes()).met_by(note) if file.exists() else None


def _signed_at(registry: Registry, note: bytes) -> datetime | None:
    """When the log itself cosigned the checkpoint; None for keys from before it did."""
    return next((one.at for one in cosignatures(note, registry.tlog.cosigner_keys())), None)


def _cut(note: bytes) -> str:
    """The note for people: a long signature would hide everything else."""
    lines = [
        line if len(line) < 200 else f"{line[:120]}… ({len(line)} characters)" for line in note.decode().split("\n")
    ]
    return "\n".join(lines).rstrip("\n")


@app.command("keys")
def keys(ctx: typer.Context) -> None:
    """Print the log's verifier keys, one a line: what others pin. Ed25519 first, then the ML-DSA-44 cosigners."""
    with opened(ctx) as registry:
        lines = [str(one) for one in (*registry.tlog.keys(), *registry.tlog.cosigner_keys())]
    show(session_of(ctx).output, lines, *lines)


# proofs


@app.command("prove")
def prove(
    ctx: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="POSITION|NUMBER", help="Log position of an event, or a certificate number.")
    ],
    authority: Authority = None,
    out: Annotated[Path | None, option("--out", metavar="FILE", help="Write the proof (.tlog-proof).")] = None,
    force: Force = False,
) -> None:
    """Prove that an event is in the log: for whoever checks it off line, with log check.

    A whole number up to the newest log position is a position; anything else is a certificate number, for the event by
    which its newest certificate was signed. The proof carries the event's stored line, with personal fields sealed.
    """
    target = new_file(out, force=force) if out else None
    with _relied_on(ctx) as registry:
        proof = _proof(registry, what, authority)
        leaf = read_leaf(registry.tlog.entry(proof.index))
    if target:
        write_private(target, proof.encode())
    size = size_of(proof.checkpoint)
    facts = {"Event": f"{leaf.name} #{leaf.position}", "Leaf index": proof.index, "Tree size": size, "File": target}
    item = {
        "position": leaf.position,
        "name": leaf.name,
        "stream": leaf.stream,
        "index": proof.index,
        "size": size,
        "hashes": _texts(proof.hashes),
        "proof": proof.encode().decode(),
        "file": str(target) if target else None,
    }
    show(session_of(ctx).output, item, particulars(facts), *([] if target else [_cut(proof.encode())]))
    if not target:
        say("With --out FILE.tlog-proof the whole proof is written.")


def _proof(registry: Registry, what: str, authority: str | None) -> TlogProof:
    if authority is None and what.isascii() and what.isdecimal() and int(what) <= registry.log.head():
        return prove_event(registry, int(what))
    title = registry.title(registry.find_title(what, authority))
    certificate = title.certificate()
    if certificate is None:
        raise NotFound(f"{what} 还没有签发证书", fix="先签发：title-registry certificates issue")
    return prove_certificate(registry, certificate)


@app.command("consistency")
def consistency(
    ctx: typer.Context,
    old: Annotated[int, typer.Argument(metavar="OLD", min=0, help="The smaller tree size.")],
    new: Annotated[int, typer.Argument(metavar="NEW", min=0, help="The larger tree size.")],
) -> None:
    """Prove that the tree of the larger size extends that of the smaller: nothing was changed, taken out or put in."""
    with _relied_on(ctx) as registry:
        hashes = registry.tlog.consistency(old, new)
        roots = [tree_root(size, registry.tlog.tiles.reader(size)) for size in (old, new)]
    verify_consistency(old, roots[0], new, roots[1], hashes)
    old_root, root = _texts(roots)
    item = {"old": old, "new": new, "old_root": old_root, "root": root, "hashes": _texts(hashes)}
    facts = {"Old": f"{old} {old_root}", "New": f"{new} {root}"}
    show(session_of(ctx).output, item, particulars(facts), heading("Hashes"), "\n".join(_texts(hashes)))


def _texts(hashes: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(one).decode() for one in hashes]


# how it stands


@app.command("status")
def status(ctx: typer.Context) -> None:
    """Say how large the log is, what waits, and whether it extends what was signed. Exit status 1 if it does not.

    The merge delay is from the recording of the newest event in the checkpoint until the checkpoint was signed.
    """
    with opened(ctx) as registry:
        item = _standing(registry)
    facts = {
        "Log": item["origin"],
        "Size": item["size"],
        "Root": item["root"],
        "Signed": moment(item["at"]),
        "Merge delay": f"{item['merge_delay']} s" if item["merge_delay"] is not None else None,
        "Waiting": f"{item['waiting']} events",
        "Second store": f"{item['outside']}: {item['outside_size'] if item['outside_size'] is not None else 'nothing'}",
        "Verdict": item["wrong"] or "extends what was signed",
    }
    show(session_of(ctx).output, item, particulars(facts))
    if item["wrong"]:
        complain("log-frozen", item["wrong"])
        raise typer.Exit(FAILED)


def _standing(registry: Registry) -> dict[str, Any]:
    """It must say what there is also where something is broken; what is wrong stands under `wrong`."""
    tlog, outside = registry.tlog, registry.continuity.outside
    item: dict[str, Any] = {"origin": tlog.origin, "size": 0, "root": None, "at": None, "merge_delay": None}
    head, position, wrong = registry.log.head(), 0, registry.continuity.examine()
    try:
        if note := tlog.published():
            found, at = read_checkpoint(split_note(note)[0]), _signed_at(registry, note)
            item |= {"size": found.size, "root": base64.b64encode(found.root).decode(), "at": at}
            leaf = read_leaf(tlog.entry(found.size - 1))
            position, recorded = leaf.position, datetime.fromisoformat(leaf.recorded_at)
            item["merge_delay"] = (
                max(0, round((at - recorded).total_seconds())) if at else None
            )  # `at` is whole seconds
    except (RegistryError, KeysError) as error:
        wrong = wrong or error.message
    seen = {"outside": str(outside), "outside_size": _size_in(outside)}
    return item | {"waiting": max(0, head - position)} | seen | {"wrong": wrong}


def _size_in(file: Path) -> int | None:
    """The size that the checkpoint in a file names, unverified; None if there is none."""
    try:
        return read_checkpoint(split_note(file.read_bytes())[0]).size
    except (OSError, RegistryError):
        return None


@app.command("rebuild")
def rebuild(ctx: typer.Context) -> None:
    """Write the tiles anew from the events, and check that they have the root of the last checkpoint."""
    with opened(ctx) as registry:
        found = registry.tlog.rebuild()
    root = base64.b64encode(found.root).decode()
    show(session_of(ctx).output, {"size": found.size, "root": root}, particulars({"Size": found.size, "Root": root}))


@app.command("succeed")
def succeed(
    ctx: typer.Context,
    reason: Annotated[str, option("--reason", metavar="TEXT", help="Why the log cannot be whole again; it is public.")],
) -> None:
    """Begin the next log after a frozen one, when what was signed is lost for ever. Everyone will see it, and ask.

    Its first leaf commits to the last signed checkpoint of the old log, which is not touched.
    """
    say(f"{session_of(ctx).officer} begins another log.")
    with opened(ctx) as registry:
        following = registry.tlog.succeed(reason)
        found = read_checkpoint(split_note(following.published() or b"")[0])
    item = {"origin": found.origin, "size": found.size, "root": base64.b64encode(found.root).decode()}
    facts = {"Log": found.origin, "Size": found.size, "Root": item["root"]}
    show(session_of(ctx).output, item, particulars(facts))
    say("Restart the service; give the new name and its keys (log keys) to witnesses and auditors.")
