"""API keys on the command line: one's own, for programs; an approver sees and stops those of others too."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Annotated, Any

import typer

from api.cli.common import opened, option, session_of
from api.cli.printing import Column, moment, particulars, say, show, show_list
from api.cli.tree import Commands
from api.signin.accounts import Accounts
from api.signin.apikeys import LONGEST, ApiKey
from api.signin.managing import grantable, require_over
from registry.permissions import Permission
from registry.service import Registry

app = Commands("One's own API keys, for programs.")

Key = Annotated[str, typer.Argument(metavar="KEY", help="Id of the key (accounts api-key list).")]


@contextmanager
def managing(ctx: typer.Context) -> Iterator[tuple[Registry, Accounts, str]]:
    """The registry with its accounts, and who acts."""
    officer = session_of(ctx).officer
    with opened(ctx) as registry, closing(Accounts.of(registry)) as accounts:
        yield registry, accounts, officer


def require_over_or_self(registry: Registry, officer: str, actor: str) -> None:
    """Let an approver manage an actor within reach, or look at what is their own. Raise Forbidden."""
    registry.authorising.require(officer, Permission.MANAGE_ACCOUNTS, None)
    if officer != actor:
        require_over(registry, officer, actor)


@app.command("create")
def create_key(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which program uses it.")],
    rights: Annotated[
        list[str],
        option("--right", metavar="RIGHT", help="What it may do, at most what you may: read-titles, award… Repeat it."),
    ],
    days: Annotated[int, option("--days", min=1, max=LONGEST.days, help="In force for so many days.")] = 90,
) -> None:
    """Make an API key of one's own. It is printed once."""
    limits = [_right(word) for word in rights]
    with managing(ctx) as (registry, accounts, officer):
        registry.authorising.require(officer, Permission.ACCOUNT, None)
        until = registry.clock() + timedelta(days=days)
        key = accounts.make_api_key(officer, name, limits, until)
        show(session_of(ctx).output, {"key": key, "until": until}, particulars({"Key": key, "Until": moment(until)}))
        say("It is not shown again.")


@app.command("list")
def list_keys(
    ctx: typer.Context,
    of: Annotated[str | None, option("--of", metavar="ACTOR", help="Somebody else's, for their approver.")] = None,
) -> None:
    """List one's own API keys in force."""
    with managing(ctx) as (registry, accounts, officer):
        registry.authorising.require(officer, Permission.ACCOUNT, None)
        if of is not None:
            require_over_or_self(registry, officer, of)
        items = [_key_item(one) for one in accounts.api_keys(of or officer)]
        show_list(session_of(ctx).output, items, _KEY_COLUMNS, empty="There is no API key.")


@app.command("revoke")
def revoke_key(ctx: typer.Context, key: Key) -> None:
    """Stop an API key, for ever: one's own, or as an approver somebody else's."""
    with managing(ctx) as (registry, accounts, officer):
        registry.authorising.require(officer, Permission.ACCOUNT, None)
        owner = accounts.owner_of_api_key(key)
        if owner != officer:
            require_over(registry, officer, owner)
        accounts.end_api_key(key, owner)
        show(session_of(ctx).output, {"key": key, "revoked": True}, particulars({"Revoked": key}))


_KEY_COLUMNS = (
    Column("Key", lambda one: one["key"]),
    Column("Name", lambda one: one["name"], fold=True),
    Column("Rights", lambda one: ", ".join(one["rights"]), fold=True),
    Column("Until", lambda one: moment(one["until"])),
    Column("Last used", lambda one: one["used_on"] or ""),
)


def _key_item(one: ApiKey) -> dict[str, Any]:
    return {
        "key": one.id,
        "name": one.name,
        "rights": sorted(one.limits),
        "made_at": one.made_at,
        "until": one.until,
        "used_on": one.used_on,
    }


def _right(word: str) -> Permission:
    known = {one.value: one for one in grantable()}
    if word not in known:
        raise typer.BadParameter(f"{word!r} is none of: {', '.join(known)}", param_hint="--right")
    return known[word]
