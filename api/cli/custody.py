"""The keys of a registry: list, rotate, and what others need to check our signatures."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from api.cli.common import DryRun, new_file, opened, option, session_of
from api.cli.printing import Column, moment, particulars, say, show, show_list
from api.cli.tree import Commands
from keys.custody import PublicStore, public_only
from keys.keyring import KeyRecord
from keys.signing import Purpose
from registry.folder import Folder

app = Commands("Keys: list, rotate, publish.")

_COLUMNS = (
    Column("Key", lambda one: one["kid"]),
    Column("For", lambda one: one["purpose"]),
    Column("Algorithm", lambda one: one["algorithm"]),
    Column("State", lambda one: one["state"]),
    Column("Signs from", lambda one: one["not_before"][:10]),
    Column("until", lambda one: one["not_after"][:10]),
)

Force = Annotated[bool, option("--force", help="Replace a file that is there.")]


def item_of(record: KeyRecord) -> dict[str, str]:
    """A key as data, without the key itself: that is in keys export."""
    return {
        "kid": record.kid,
        "purpose": record.purpose.value,
        "algorithm": record.algorithm.value,
        "state": record.state.value,
        "not_before": record.not_before.isoformat(),
        "not_after": record.not_after.isoformat(),
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
    dry_run: DryRun = False,
) -> None:
    """Make a new key for a purpose and retire the old one. What the old one signed stays valid."""
    wanted = _purpose(purpose)
    session_of(ctx).officer  # noqa: B018 - who acts must be said, as for every write
    with opened(ctx) as registry:
        now = registry.clock()
        if dry_run:
            record = registry.custody.keyring.current(wanted, now)
            say(f"Dry run: key {record.kid} would be retired for a new one; nothing was written.")
        else:
            record = registry.custody.rotate(wanted, now)
            say("Publish the new keys: title-registry keys export jwks.json --force")
        item = item_of(record)
        facts = {"Key": record.kid, "For": record.purpose, "State": record.state, "Until": moment(record.not_after)}
        show(session_of(ctx).output, item, particulars(facts))


def _purpose(word: str) -> Purpose:
    words = {one.value.partition("/")[0]: one for one in Purpose} | {one.value: one for one in Purpose}
    if word not in words:
        raise typer.BadParameter("is one of: e-certificate, document, checkpoint, cosignature", param_hint="PURPOSE")
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
