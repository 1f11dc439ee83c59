"""Local accounts on the command line: set up, closed, reset; where people are signed in; links to providers."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from api.cli import apikeys
from api.cli.apikeys import managing, require_over_or_self
from api.cli.common import option, session_of
from api.cli.printing import Column, moment, particulars, say, show, show_list
from api.cli.tree import Commands
from api.signin.accounts import Accounts
from api.signin.managing import is_alone, require_over, within
from registry.permissions import Permission

app = Commands("Local accounts, where people are signed in, API keys.")
app.add_typer(apikeys.app, name="api-key")

Actor = Annotated[
    str, typer.Argument(metavar="ACTOR", help="Id of an officer (工号), such as clerk-01, or stream of a holder.")
]
Login = Annotated[str, typer.Argument(metavar="LOGIN", help="Name of the account (accounts list).")]


@app.command("enrol")
def enrol(ctx: typer.Context, actor: Actor) -> None:
    """Make a code with which a person sets up an account, within 72 hours. It is printed once."""
    with managing(ctx) as (registry, accounts, officer):
        require_over(registry, officer, actor)
        alone = is_alone(registry, officer, actor)
        _show_code(ctx, actor, accounts.enrol(actor, by=officer, alone=alone))
        _say_countersign(actor, alone)


def _say_countersign(actor: str, alone: bool) -> None:
    if not alone:
        say(f"It counts once another approver has countersigned it: title-registry accounts countersign {actor}")


@app.command("countersign")
def countersign(ctx: typer.Context, actor: Actor) -> None:
    """Let a code count that another approver made: nobody sets up a colleague's account alone."""
    with managing(ctx) as (registry, accounts, officer):
        require_over(registry, officer, actor)
        accounts.countersign(actor, by=officer)
        show(session_of(ctx).output, {"actor": actor, "countersigned": True}, particulars({"Countersigned": actor}))


@app.command("list")
def list_accounts(ctx: typer.Context) -> None:
    """List the accounts within reach, the codes that were not redeemed yet, and the links to providers."""
    with managing(ctx) as (registry, accounts, officer):
        registry.authorising.require(officer, Permission.MANAGE_ACCOUNTS, None)
        items = [one for one in _items(accounts) if within(registry, officer, one["actor"])]
        show_list(
            session_of(ctx).output, items, _COLUMNS, empty="There is no account: title-registry accounts enrol ACTOR"
        )


@app.command("disable")
def disable(ctx: typer.Context, login: Login) -> None:
    """Close an account and end its sessions, at once."""
    with managing(ctx) as (registry, accounts, officer):
        require_over(registry, officer, accounts.actor_of(login))
        accounts.disable(login)
        show(session_of(ctx).output, {"login": login, "disabled": True}, particulars({"Closed": login}))


@app.command("enable")
def enable(ctx: typer.Context, login: Login) -> None:
    """Open a closed account again."""
    with managing(ctx) as (registry, accounts, officer):
        require_over(registry, officer, accounts.actor_of(login))
        accounts.enable(login)
        show(session_of(ctx).output, {"login": login, "disabled": False}, particulars({"Open": login}))


@app.command("reset")
def reset(ctx: typer.Context, login: Login) -> None:
    """Destroy an account's password and second factor, end all sessions of its actor, and print a new code, once."""
    with managing(ctx) as (registry, accounts, officer):
        actor = accounts.actor_of(login)
        require_over(registry, officer, actor)
        alone = is_alone(registry, officer, actor)
        _show_code(ctx, actor, accounts.reset(login, by=officer, alone=alone))
        _say_countersign(actor, alone)
        if keys := accounts.api_keys(actor):
            say(f"{len(keys)} API keys stay in force; see: accounts api-key list --of {actor}")


@app.command("sessions")
def sessions(ctx: typer.Context, actor: Actor) -> None:
    """List where an actor is signed in."""
    with managing(ctx) as (registry, accounts, officer):
        require_over_or_self(registry, officer, actor)
        items = [
            {
                "session": one.id,
                "login": one.login,
                "since": one.since,
                "seen": one.seen,
                "factors": one.factors,
            }
            for one in accounts.sessions(actor)
        ]
        show_list(session_of(ctx).output, items, _SESSION_COLUMNS, empty="Not signed in anywhere.")


@app.command("end-sessions")
def end_sessions(ctx: typer.Context, actor: Actor) -> None:
    """Sign an actor out everywhere."""
    with managing(ctx) as (registry, accounts, officer):
        require_over_or_self(registry, officer, actor)
        ended = accounts.end_sessions(actor)
        show(session_of(ctx).output, {"actor": actor, "ended": ended}, particulars({"Ended": f"{ended} sessions"}))


@app.command("link")
def link(
    ctx: typer.Context,
    actor: Actor,
    issuer: Annotated[str, option("--issuer", metavar="URL", help="The identity provider, as oidc.json names it.")],
    subject: Annotated[str, option("--subject", metavar="SUB", help="The provider's own name for the person (sub).")],
) -> None:
    """Let a person sign in as this actor through an identity provider."""
    with managing(ctx) as (registry, accounts, officer):
        require_over(registry, officer, actor)
        accounts.link(issuer, subject, actor, by=officer)
        show(session_of(ctx).output, {"actor": actor, "issuer": issuer}, particulars({"Linked": actor, "At": issuer}))


@app.command("unlink")
def unlink(
    ctx: typer.Context, link_id: Annotated[str, typer.Argument(metavar="LINK", help="Id from accounts list.")]
) -> None:
    """Take a link to an identity provider away. Sessions that are under way end with accounts end-sessions."""
    with managing(ctx) as (registry, accounts, officer):
        registry.authorising.require(officer, Permission.MANAGE_ACCOUNTS, None)
        for one in accounts.links():
            if one.id == link_id:
                require_over(registry, officer, one.actor)
        accounts.unlink(link_id)
        show(session_of(ctx).output, {"link": link_id, "unlinked": True}, particulars({"Unlinked": link_id}))


_COLUMNS = (
    Column("Account", lambda one: one["login"] or ""),
    Column("Actor", lambda one: one["actor"]),
    Column("State", lambda one: one["state"]),
    Column("Made by", lambda one: one["made_by"]),
    Column("Last used", lambda one: moment(one["used_at"])),
    Column("Until", lambda one: moment(one["until"])),
    Column("Link", lambda one: one["link"] or ""),
    Column("Provider", lambda one: one["issuer"] or "", fold=True),
)
_SESSION_COLUMNS = (
    Column("Session", lambda one: one["session"][:12]),
    Column("Account", lambda one: one["login"] or ""),
    Column("Since", lambda one: moment(one["since"])),
    Column("Last used", lambda one: moment(one["seen"])),
    Column("By", lambda one: one["factors"]),
)


def _items(accounts: Accounts) -> Iterator[dict[str, Any]]:
    nothing = {"login": None, "used_at": None, "until": None, "link": None, "issuer": None}
    for one in accounts.accounts():
        state = "closed" if one.disabled else "open"
        yield nothing | {
            "login": one.login,
            "actor": one.actor,
            "state": state,
            "made_by": one.made_by,
            "used_at": one.used_at,
        }
    for code in accounts.waiting():
        state = "reset" if code.login else "code given out"
        state = state if code.counts else "waits for a second approver"
        yield nothing | {
            "login": code.login,
            "actor": code.actor,
            "state": state,
            "made_by": code.made_by,
            "until": code.until,
        }
    for each in accounts.links():
        yield nothing | {
            "actor": each.actor,
            "state": "linked",
            "made_by": each.made_by,
            "link": each.id,
            "issuer": each.issuer,
        }


def _show_code(ctx: typer.Context, actor: str, code: str) -> None:
    show(session_of(ctx).output, {"actor": actor, "code": code}, particulars({"Actor": actor, "Code": code}))
    say("Good for 72 hours and one account, and not shown again. The person sets the account up at /enrol.")
