"""Officers and their roles: the first two together, every later role by two officers."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.common import DryRun, existing_file, opened, option, session_of, writing
from api.cli.decisions import Reason
from api.cli.printing import Column, moment, particulars, say, show, show_list
from api.cli.proposals import Digest, Yes, ask, need_digest
from api.cli.tree import Commands
from registry.errors import BadInput
from registry.holders.identity import parse
from registry.officers.officer import Officer, Staff, actor_of, find_waiting
from registry.permissions import Permission, Sight
from registry.service import Registry
from registry.terms import Role

app = Commands("Officers and their roles.")

HEADINGS = ("id", "name", "identity", "organisation")
People = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="CSV with the columns id,name,identity,organisation (the last may be missing); - reads it from stdin.",
    ),
]
Who = Annotated[str, typer.Argument(metavar="ID", help="Id of the officer (工号), such as clerk-01.")]
Grant = Annotated[str, typer.Argument(metavar="GRANT", help="Id of the role (from officers show).")]


@app.command("found")
def found(ctx: typer.Context, people: People, dry_run: DryRun = False) -> None:
    """Found the registry with its first two approvers, once. FILE names exactly two different persons.

    Both are approvers over the whole city: together they register others and grant roles.
    """
    founders = list(_read(people))
    if len(founders) != 2:
        raise BadInput(f"须写明两名人员，这里有 {len(founders)} 名", fix="每行一人：工号,姓名,证件号码")
    with opened(ctx) as registry:
        if dry_run:
            say("Dry run: the two could be read; nothing was written.")
            return
        registry.appointing.found(founders)
        registry.tlog.sequence()
        _show_list(ctx, registry, clear=False)
        say("They register others (officers register) and grant roles (officers propose, officers approve).")


@app.command("register")
def register(ctx: typer.Context, people: People, dry_run: DryRun = False) -> None:
    """Register persons as officers, without any role yet. The same person again changes nothing."""
    staff = list(_read(people))
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        for actor, one in staff:
            registry.appointing.register(actor, one, officer=officer)
        say(f"{len(staff)} registered. Give them roles: title-registry officers propose ID ROLE --authority CODE …")


@app.command("propose")
def propose(
    ctx: typer.Context,
    who: Who,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="clerk, approver, committee_office, auditor, operator…")],
    authority: Annotated[str, option("--authority", metavar="CODE", help="Over this authority and those below it.")],
    document: Annotated[str, option("--document", metavar="NO", help="Number of the document that grants it.")],
    dry_run: DryRun = False,
) -> None:
    """Propose a role. Another approver grants or refuses it; nobody does either for themselves."""
    wanted = _role(role)
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        grant = registry.appointing.propose(who, wanted, authority, document, officer=officer)
        _show_grant(ctx, registry.appointing.officer(who), grant)
        say(f"Another approver grants it: title-registry --officer ID officers approve {grant}")


@app.command("approve")
def approve(ctx: typer.Context, grant: Grant, digest: Digest = None, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Grant a role that another approver proposed. It counts at once."""
    need_digest(yes, digest)
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        known = registry.appointing.officer(_officer_of(grant))
        waiting = known.proposal(grant)
        if digest is None and waiting and waiting.proposed_by != officer:
            ask(particulars(_facts(known, grant)))
        done = digest or (waiting.fact.digest if waiting else "")
        _show_grant(ctx, registry.appointing.grant(grant, done, officer=officer), grant)


@app.command("refuse")
def refuse(ctx: typer.Context, grant: Grant, reason: Reason, dry_run: DryRun = False) -> None:
    """Close a proposed role without effect."""
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        registry.appointing.refuse(grant, reason, officer=officer)
        show(session_of(ctx).output, {"grant": grant, "refused": True}, particulars({"Refused": grant}))


@app.command("withdraw")
def withdraw(
    ctx: typer.Context,
    grant: Grant,
    document: Annotated[str, option("--document", metavar="NO", help="Number of the document that says so.")],
    dry_run: DryRun = False,
) -> None:
    """Take a role away. It counts at once, in every session."""
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        registry.appointing.withdraw(grant, document, officer=officer)
        show(session_of(ctx).output, {"grant": grant, "withdrawn": True}, particulars({"Withdrawn": grant}))


@app.command("list")
def list_officers(ctx: typer.Context) -> None:
    """List the officers with their roles. Names are shown to approvers only."""
    with opened(ctx) as registry:
        officer = session_of(ctx).settings.officer or ""
        sight = registry.authorising.sight(officer, Permission.READ_OFFICERS, None)
        _show_list(ctx, registry, clear=sight is Sight.CLEAR)


@app.command("show")
def show_officer(ctx: typer.Context, who: Who) -> None:
    """Show one officer: roles in force, and those that wait with the digest to approve."""
    with opened(ctx) as registry:
        known = registry.appointing.officer(who)
        item = _item(known, clear=False) | {"waiting": [_waiting(one) for one in known.proposals]}
        drawn = [particulars({"Officer": who, "Roles": _roles(known)})]
        drawn += [particulars(_facts(known, one.fact.grant)) for one in known.proposals]
        show(session_of(ctx).output, item, *drawn)


_COLUMNS = (
    Column("Officer", lambda one: one["officer"]),
    Column("Name", lambda one: one["name"] or ""),
    Column("Organisation", lambda one: one["organisation"] or "", fold=True),
    Column("Roles", lambda one: ", ".join(f"{held['role']} {held['authority']}" for held in one["roles"]), fold=True),
    Column("Waiting", lambda one: one["waiting"] or ""),
)


def _show_list(ctx: typer.Context, registry: Registry, *, clear: bool) -> None:
    items = [_item(one, clear=clear) | {"waiting": len(one.proposals)} for one in registry.appointing.all()]
    empty = "There is no officer yet: title-registry officers found FILE"
    show_list(session_of(ctx).output, items, _COLUMNS, empty=empty)


def _item(officer: Officer, *, clear: bool) -> dict[str, Any]:
    staff = officer.staff.get() if clear else None
    roles = [{"grant": one.id, "role": one.role, "authority": one.authority} for one in officer.grants]
    return {
        "officer": officer.actor,
        "name": staff.name if staff else None,
        "organisation": staff.organisation if staff else None,
        "roles": roles,
    }


def _roles(officer: Officer) -> str:
    return "; ".join(f"{one.role.zh} {one.role} over {one.authority} ({one.id})" for one in officer.grants) or "none"


def _waiting(one: Any) -> dict[str, Any]:
    fact = one.fact
    return {
        "grant": fact.grant,
        "role": fact.role,
        "authority": fact.authority,
        "document_no": fact.document_no,
        "proposed_by": one.proposed_by,
        "proposed_at": one.proposed_at,
        "digest": fact.digest,
    }


def _facts(officer: Officer, grant: str) -> dict[str, Any]:
    waiting = find_waiting(officer, grant)
    fact = waiting.fact
    return {
        "Officer": officer.actor,
        "Role": f"{fact.role.zh} {fact.role}",
        "Over": fact.authority,
        "Document": fact.document_no,
        "Proposed": f"{moment(waiting.proposed_at)} by {waiting.proposed_by}",
        "Grant": fact.grant,
        "Digest": fact.digest,
    }


def _show_grant(ctx: typer.Context, officer: Officer, grant: str) -> None:
    waiting = officer.proposal(grant)
    if waiting:
        show(session_of(ctx).output, _waiting(waiting), particulars(_facts(officer, grant)))
        return
    show(
        session_of(ctx).output,
        _item(officer, clear=False),
        particulars({"Officer": officer.actor, "Roles": _roles(officer)}),
    )


def _officer_of(grant: str) -> str:
    return actor_of(grant.rpartition(".")[0])


def _role(word: str) -> Role:
    known = {one.value: one for one in Role} | {one.zh: one for one in Role}
    if word not in known or known[word] is Role.HOLDER:
        words = ", ".join(f"{one.value} ({one.zh})" for one in Role if one is not Role.HOLDER)
        raise typer.BadParameter(f"{word!r} is none of: {words}", param_hint="ROLE")
    return known[word]


def _read(people: str) -> Iterator[tuple[str, Staff]]:
    """The persons of a CSV file or of stdin; a heading line may stand first. Raise BadInput naming the line."""
    text = sys.stdin.read() if people == "-" else existing_file(Path(people)).read_text("utf-8-sig")
    for number, row in enumerate(csv.reader(text.splitlines()), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or tuple(cells[:3]) == HEADINGS[:3]:
            continue
        if len(cells) not in (3, 4):
            raise BadInput(f"第 {number} 行有 {len(cells)} 列", fix="每行：工号,姓名,证件号码[,单位]")
        yield cells[0], Staff(cells[1], parse(cells[2]), cells[3] if cells[3:] and cells[3] else None)
