"""The keys of a registry: list, rotate, give up, publish the set that counts, and what others need to check it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from api.cli import ceremony
from api.cli.common import DryRun, existing_file, new_file, opened, option, session_of, writing
from api.cli.printing import Column, moment, particulars, say, show, show_list
from api.cli.tree import Commands
from keys.ceremony import Draft, combine, read_approval, read_chain, read_draft, text_of
from keys.custody import PublicStore, public_only
from keys.keychange import differences
from keys.keyring import KeyRecord
from keys.keyset import KeySet, SignedKeySet, check_chain, check_next, digest_of, parse
from keys.signing import Algorithm, Purpose
from keys.sm2 import NOTICE_EN
from registry.errors import NotFound
from registry.folder import Folder
from registry.permissions import Permission

app = Commands("Keys: list, rotate, give up, publish.")
app.add_typer(ceremony.app, name="ceremony")

_COLUMNS = (
    Column("Key", lambda one: one["kid"]),
    Column("For", lambda one: one["purpose"]),
    Column(
        "Algorithm", lambda one: one["algorithm"] + (f" ({NOTICE_EN})" if one["algorithm"] == Algorithm.SM2 else "")
    ),
    Column("State", lambda one: one["state"]),
    Column("Signs from", lambda one: one["not_before"][:10]),
    Column("until", lambda one: one["not_after"][:10]),
    Column("Compromised from", lambda one: one["compromised_from"]),
)

Force = Annotated[bool, option("--force", help="Replace a file that is there.")]
Out = ceremony.Out


def item_of(record: KeyRecord) -> dict[str, Any]:
    """A key as data, without the key itself: that is in keys export."""
    return {
        "kid": record.kid,
        "purpose": record.purpose.value,
        "algorithm": record.algorithm.value,
        "state": record.state.value,
        "not_before": record.not_before.isoformat(),
        "not_after": record.not_after.isoformat(),
        "compromised_from": record.compromised_from,
    }


def _public(ctx: typer.Context) -> PublicStore:
    folder = Folder(session_of(ctx).settings.data)
    folder.read_config()
    return public_only(folder.keys)


@app.command("list")
def list_keys(ctx: typer.Context) -> None:
    """List the keys. Needs no passphrase."""
    items = [item_of(record) for record in _public(ctx).keyring.records]
    show_list(session_of(ctx).output, items, _COLUMNS, empty="There is no key.")


@app.command("rotate")
def rotate(
    ctx: typer.Context,
    purpose: Annotated[
        str, typer.Argument(metavar="PURPOSE", help="e-certificate, document, checkpoint or cosignature.")
    ],
    out: Out = None,
    dry_run: DryRun = False,
) -> None:
    """Make a new key for a purpose and retire the old one. What the old one signed stays valid.

    Where others must approve, a draft is written and the old key signs until it is published.
    """
    wanted = _purpose(purpose)
    officer = session_of(ctx).officer
    if dry_run:
        with opened(ctx) as registry:
            registry.authorising.require(officer, Permission.MANAGE_KEYS, None)
            record = registry.custody.keyring.current(wanted, registry.clock())
            say(f"Dry run: key {record.kid} would be retired for a new one; nothing was written.")
            _show_key(ctx, record)
            return
    with writing(ctx) as (registry, officer):
        draft = registry.keysets.rotate(wanted, officer=officer)
        _end(ctx, draft, out, max(_new(draft), key=lambda one: one.not_before))


@app.command("compromise")
def compromise(
    ctx: typer.Context,
    kid: Annotated[str, typer.Argument(metavar="KEY", help="Id of the key (keys list).")],
    position: Annotated[
        int,
        option(
            "--from",
            metavar="POSITION",
            min=0,
            help="Leaf index from which its signatures count no more: the size of the log when it was last safe.",
        ),
    ],
    out: Out = None,
) -> None:
    """Give up a stolen key, for ever. Its signatures count only on leaves before POSITION; a new key takes its place.

    POSITION can be put earlier by a further call, never later.
    """
    with writing(ctx) as (registry, officer):
        draft = registry.keysets.compromise(kid, position, officer=officer)
        _end(ctx, draft, out, parse(draft.document).key(kid))


@app.command("publish")
def publish(
    ctx: typer.Context,
    draft: Annotated[Path, typer.Argument(metavar="DRAFT", help="The draft of a key set.")],
    approvals: Annotated[
        list[Path] | None, typer.Argument(metavar="APPROVAL...", help="Approvals from keys ceremony sign.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Put a key set into force: checked against the one in force, logged, and followed by every process at once."""
    whole = combine(read_draft(existing_file(draft)), [read_approval(existing_file(one)) for one in approvals or ()])
    if dry_run:
        with opened(ctx) as registry:
            registry.authorising.require(session_of(ctx).officer, Permission.MANAGE_KEYS, None)
            newest = registry.keysets.newest()
            check_next(newest.document if newest else None, whole.document, whole.approvals)
            say("Dry run: every check passed; nothing was written.")
            return
    with writing(ctx) as (registry, officer):
        registry.keysets.publish(whole, officer=officer)
        _show_set(ctx, whole.signed)
        say("In force. Publish the new keys: title-registry keys export jwks.json --force")


@app.command("set")
def show_newest(
    ctx: typer.Context,
    whole: Annotated[bool, option("--all", help="Every set since the first, as JSON for keys verify-set.")] = False,
) -> None:
    """Print the key set in force with its approvals."""
    with opened(ctx) as registry:
        chain = registry.keysets.chain()
    if not chain:
        raise NotFound("还没有密钥集", fix="首次更换密钥（keys rotate）时建立")
    if whole:
        typer.echo(text_of(list(chain)).decode(), nl=False)
    else:
        _show_set(ctx, chain[-1])


@app.command("verify-set")
def verify_set(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Key sets from keys set --all, or one of them.")],
    since: Annotated[
        Path | None, option("--since", metavar="FILE", help="A set that is trusted already; default: the first one.")
    ] = None,
) -> None:
    """Check off line that key sets follow each other with enough approvals. Needs no data folder.

    Without --since the first set is trusted as it is: compare its digest with one that came by another way.
    """
    chain = read_chain(existing_file(file))
    pinned = read_chain(existing_file(since))[-1].document if since else None
    check_chain(chain, pinned)
    for before, one in zip((pinned, *(each.document for each in chain)), chain, strict=False):
        if one.document != before:
            _say_changes(parse(before) if before else None, parse(one.document))
    _show_set(ctx, chain[-1])
    say(f"{len(chain)} key sets, from version {parse(chain[0].document).version} ({digest_of(chain[0].document)}).")


def _say_changes(before: KeySet | None, after: KeySet) -> None:
    say(f"Version {after.version}:")
    for one in differences(before, after):
        say(f"  {one.zh} / {one.en}")


def _new(draft: Draft) -> Iterable[KeyRecord]:
    before, after = draft.read()
    known = {one.kid for one in before.keys} if before else set()
    return [one for one in after.keys if one.kid not in known]


def _end(ctx: typer.Context, draft: Draft, out: Path | None, record: KeyRecord) -> None:
    """Say what came of a draft: in force, or written to a file that waits for approvals."""
    if draft.missing() == (0, 0):
        say("In force. Publish the new keys: title-registry keys export jwks.json --force")
    else:
        ceremony.write_draft(draft, out)
    _show_key(ctx, record)


def _show_key(ctx: typer.Context, record: KeyRecord) -> None:
    facts = {
        "Key": record.kid,
        "For": record.purpose,
        "State": record.state,
        "Until": moment(record.not_after),
        "Compromised from": record.compromised_from,
    }
    show(session_of(ctx).output, item_of(record), particulars(facts))


def _show_set(ctx: typer.Context, one: SignedKeySet) -> None:
    keyset = parse(one.document)
    names = {each.kid: each.label for each in keyset.approvers}
    facts: dict[str, object] = {
        "Version": keyset.version,
        "Created": moment(keyset.created),
        "Digest": digest_of(one.document),
        "Approvers": "；".join(
            f"{each.label} ({each.kid}){'' if each.offline else ', not off line'}" for each in keyset.approvers
        ),
        "Must approve": f"{keyset.threshold} of {len(keyset.approvers)}",
        "Approved by": "；".join(
            f"{names.get(each.kid, 'an approver of the set before')} ({each.kid})" for each in one.approvals
        ),
    }
    show(session_of(ctx).output, one, particulars(facts), "\n".join(_line(each) for each in keyset.keys))


def _line(record: KeyRecord) -> str:
    since = "" if record.compromised_from is None else f" from {record.compromised_from}"
    return f"{record.kid}  {record.purpose.value}  {record.state.value}{since}  until {record.not_after:%Y-%m-%d}"


def _purpose(word: str) -> Purpose:
    known = (*Purpose.of_registry(), Purpose.SM2_SEAL)
    words = {one.value.partition("/")[0]: one for one in known} | {one.value: one for one in known}
    if word not in words:
        raise typer.BadParameter(
            "is one of: e-certificate, document, checkpoint, cosignature, sm2-seal", param_hint="PURPOSE"
        )
    return words[word]


@app.command("export")
def export(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Where to write them; default stdout.")] = None,
    force: Force = False,
) -> None:
    """Write the public keys as a JWK Set (RFC 7517): with them anyone verifies off line."""
    jwks = msgspec.json.format(msgspec.json.encode(_public(ctx).keyring.to_jwks()), indent=2) + b"\n"
    _write(file, jwks, force=force)


@app.command("root")
def root(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Where to write it; default stdout.")] = None,
    force: Force = False,
) -> None:
    """Write the root certificate (PEM) under which the PDF signatures are checked."""
    _write(file, _public(ctx).root_certificate_pem, force=force)


def _write(file: Path | None, data: bytes, *, force: bool) -> None:
    if file is None:
        typer.echo(data.decode(), nl=False)
        return
    new_file(file, force=force).write_bytes(data)
    say(f"Written: {file}")
