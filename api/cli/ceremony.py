"""Approving a key set: each approver's own key, the look at a draft, the approval, and the hand-over to people."""

import os
from pathlib import Path
from typing import Annotated

import typer

from api.cli.common import existing_file, new_file, option, session_of, writing
from api.cli.printing import Column, heading, particulars, say, show, table
from api.cli.tree import Commands
from keys.ceremony import (
    Draft,
    approve_draft,
    make_approver,
    open_approver,
    read_approver,
    read_draft,
    text_of,
)
from keys.files import read_private
from keys.passphrase import require

app = Commands("Approve key sets: approvers' keys, drafts, approvals. All but hand-over needs no data folder.")

_CHANGES = (Column("变更", lambda one: one.zh, fold=True), Column("Change", lambda one: one.en, fold=True))

Out = Annotated[
    Path | None, option("--out", metavar="FILE", help="Where to write the draft; default key-set-VERSION.draft.")
]
KeyPassphrase = Annotated[
    Path | None,
    option("--key-passphrase-file", metavar="FILE", help="The approver's own passphrase; asked for if not given."),
]
DraftFile = Annotated[Path, typer.Argument(metavar="DRAFT", help="The draft of a key set.")]
KeyFile = Annotated[Path, typer.Argument(metavar="KEY", help="The approver's key file.")]


@app.command("approver")
def approver(
    ctx: typer.Context,
    file: KeyFile,
    label: Annotated[str, option("--label", metavar="NAME", help="Who it is: name or office. It is published.")],
    passphrase: KeyPassphrase = None,
) -> None:
    """Make an approver's key, on a machine of their own. FILE stays with them; FILE.pub goes to the bureau."""
    new_file(file)
    public = new_file(file.with_name(file.name + ".pub"))
    made = make_approver(file, _passphrase(passphrase, new=True), label)
    public.write_bytes(text_of(made))
    show(session_of(ctx).output, made, particulars({"Approver": made.label, "Key": made.kid, "Public part": public}))


@app.command("show")
def show_draft(ctx: typer.Context, draft: DraftFile) -> None:
    """Show what a draft changes, and its digest, which approvers tell each other by another way."""
    _show(ctx, read_draft(existing_file(draft)))


@app.command("sign")
def sign(
    ctx: typer.Context,
    draft: DraftFile,
    key: KeyFile,
    out: Annotated[
        Path | None, option("--out", metavar="FILE", help="Where to write the approval; default DRAFT.KID.approval.")
    ] = None,
    passphrase: KeyPassphrase = None,
    digest: Annotated[
        str | None, option("--digest", metavar="HEX", help="The digest that was told; asked for a yes if not given.")
    ] = None,
) -> None:
    """Approve a draft with an approver's key, after its digest and its changes were shown."""
    found = read_draft(existing_file(draft))
    _show(ctx, found)
    if digest is None:
        typer.confirm(f"Approve {found.digest}?", abort=True, err=True)
    elif digest != found.digest:
        raise typer.BadParameter(f"the draft has the digest {found.digest}", param_hint="--digest")
    approval = approve_draft(open_approver(existing_file(key), _passphrase(passphrase)), found)
    path = new_file(out or draft.with_name(f"{draft.name}.{approval.approval.kid}.approval"))
    path.write_bytes(text_of(approval))
    say(f"Written: {path}")


@app.command("hand-over")
def hand_over(
    ctx: typer.Context,
    approvers: Annotated[
        list[Path], typer.Argument(metavar="APPROVER...", help="Public parts of the new approvers' keys (.pub).")
    ],
    threshold: Annotated[int, option("--threshold", metavar="K", min=1, help="How many of them must approve.")],
    out: Out = None,
) -> None:
    """Draft that from now on K of these people must approve each key set. They approve this one, too."""
    people = [read_approver(existing_file(one)) for one in approvers]
    with writing(ctx) as (registry, officer):
        draft = registry.keysets.hand_over(threshold, people, officer=officer)
    write_draft(draft, out)
    _show(ctx, draft)


def write_draft(draft: Draft, out: Path | None) -> None:
    """Write a draft that waits for approvals, and say how it goes on."""
    _, after = draft.read()
    path = new_file(out or Path(f"key-set-{after.version}.draft"))
    path.write_bytes(text_of(draft))
    say(f"Written: {path}. It waits for approvals: keys ceremony sign {path} KEY")
    say(f"Then: title-registry keys publish {path} APPROVAL...")


def _show(ctx: typer.Context, draft: Draft) -> None:
    changes, (before, after) = draft.changes(), draft.read()
    old, new = draft.missing()
    item = {
        "version": after.version,
        "digest": draft.digest,
        "changes": changes,
        "approvals": [one.kid for one in draft.approvals],
        "missing": {"before": old, "after": new},
    }
    waiting = f"{old} of version {before.version}, {new} of version {after.version}" if before else f"{new}"
    facts = {
        "Version": after.version,
        "Digest": draft.digest,
        "Approved by": "；".join(one.kid for one in draft.approvals),
        "Still to approve": waiting,
    }
    show(session_of(ctx).output, item, particulars(facts), heading("Changes"), table(changes, _CHANGES))


def _passphrase(file: Path | None, *, new: bool = False) -> bytes:
    if file is not None:
        return require(read_private(existing_file(file)).removesuffix(b"\n").removesuffix(b"\r"))
    typed: str = typer.prompt("Passphrase of the approver's key", hide_input=True, confirmation_prompt=new, err=True)
    return require(os.fsencode(typed))
