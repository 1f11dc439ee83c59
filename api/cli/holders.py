"""Persons: show one, change or correct a name by a document, link a further identity document."""

from datetime import date
from typing import Annotated, Any

import typer

from api.cli.asking import Handling, asker
from api.cli.common import Authority, DryRun, opened, option, read_date, session_of, writing
from api.cli.printing import Column, chinese, heading, moment, particulars, say, show, table
from api.cli.titles import Country, Kind, read_identity, title_columns, title_item
from api.cli.tree import Commands
from registry.holders.holder import HOLDERS, Holder
from registry.holders.identity import mask
from registry.looks import Purpose
from registry.looks.looked import LookedHolder, shown_name
from registry.permissions import Sight
from registry.register.register import Query
from registry.service import Registry
from registry.terms import IdentityKind

app = Commands("Persons: names and identity documents.")

Who = Annotated[
    str, typer.Argument(metavar="WHO", help="Id of the holder (from titles show), or a certificate number of theirs.")
]


def holder_of(registry: Registry, who: str, authority: str | None) -> Holder:
    """The holder with this id, or of the title with this number. Raise NotFound."""
    if who.startswith(HOLDERS.prefix + "-"):
        return registry.holder(who)
    return registry.holder(registry.title(registry.find_title(who, authority)).holder)


@app.command("show")
def show_holder(
    ctx: typer.Context, who: Who, authority: Authority = None, purpose: Handling = Purpose.HANDLING
) -> None:
    """Show a person: names with their documents, masked identity numbers, titles.

    An officer sees the titles in reach, and the look is recorded; without one only a masked name and titles are shown.
    """
    with opened(ctx) as registry:
        stream, actor = holder_of(registry, who, authority).id, asker(ctx)
        seen = registry.looking.holder(stream, actor=actor, purpose=purpose, door="cli holders show")
        within = sorted(registry.looking.reach(actor))
        found = registry.register.search(Query(holder=stream), today=registry.today, limit=1000, within=within)
        titles = [title_item(row, seen.name) for row, _ in found.rows]
        item = {**_item(seen), "titles": titles}
        drawn = (*_drawn(item), heading("Titles"), table(titles, title_columns(registry.catalogue)))
        show(session_of(ctx).output, item, *drawn)


def _item(seen: LookedHolder) -> dict[str, Any]:
    """The person as far as they are seen; masked: no numbers and no former names."""
    holder, clear = seen.holder, seen.sight is Sight.CLEAR
    return {
        "holder": holder.id,
        "name": seen.name,
        "registered_at": holder.registered_at,
        "identities": [
            {"kind": one.kind, "number": mask(one), "confirmed": one.confirmed}
            for one in (holder.identities() if clear else ())
        ],
        "names": [
            {
                "name": change.name.get() or "[erased]",
                "basis": change.basis,
                "document": change.document_no,
                "effective_on": change.effective_on,
                "recorded_at": change.recorded_at,
            }
            for change in (holder.names if clear else ())
        ],
    }


_NAMES = (
    Column("Recorded", lambda one: moment(one["recorded_at"])[:19]),
    Column("Effective", lambda one: one["effective_on"]),
    Column("Name", lambda one: one["name"]),
    Column("Basis", lambda one: {"change": "姓名变更", "correction": "更正"}[one["basis"]]),
    Column("Document", lambda one: one["document"], fold=True),
)


def _drawn(item: dict[str, Any]) -> list[Any]:
    numbers = [f"{chinese(IdentityKind, one['kind'])} {one['number']}" for one in item["identities"]]
    facts = {
        "Name": item["name"],
        "Identity": "; ".join(numbers) or None,
        "Registered": moment(item["registered_at"]),
        "Holder": item["holder"],
    }
    return [particulars(facts), *([heading("Names"), table(item["names"], _NAMES)] if item["names"] else [])]


@app.command("rename")
def rename(
    ctx: typer.Context,
    who: Who,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
    document: Annotated[str, option("--document", metavar="NO", help="Document that proves it (police certificate).")],
    correction: Annotated[
        bool, option("--correction", help="The name had been recorded wrongly; without this, it changed.")
    ] = False,
    effective_on: Annotated[
        date | None, option("--effective-on", parser=read_date, metavar="DATE", help="Since when; default today.")
    ] = None,
    authority: Authority = None,
    dry_run: DryRun = False,
) -> None:
    """Change or correct a person's name by a document. Certificates follow when they are issued again."""
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        stream = holder_of(registry, who, authority).id
        seen = registry.looking.holder(
            stream, actor=officer, purpose=Purpose.HANDLING, door="cli holders rename", document=document
        )
        holder = registry.rename_holder(
            stream,
            name,
            basis="correction" if correction else "change",
            document_no=document,
            effective_on=effective_on or registry.today,
            officer=officer,
        )
        item = _item(LookedHolder(seen.sight, holder, shown_name(seen.sight, holder.name() or "")))
        show(session_of(ctx).output, item, *_drawn(item))
        say("Certificates keep the old name until they are issued again: title-registry certificates issue NUMBER")


@app.command("link")
def link(
    ctx: typer.Context,
    who: Who,
    identity: Annotated[
        str,
        option(
            "--identity", metavar="NUMBER", help="The further number; - reads it from stdin, not kept by the shell."
        ),
    ],
    document: Annotated[str, option("--document", metavar="NO", help="Document that proves it is the same person.")],
    identity_kind: Kind = None,
    country: Country = None,
    confirmed: Annotated[
        bool, option("--confirmed", help="The number was compared with the document although its check digit is wrong.")
    ] = False,
    authority: Authority = None,
    dry_run: DryRun = False,
) -> None:
    """Link a further identity document to a person. Refused if it is another person's."""
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        number = read_identity(identity, identity_kind, country, confirmed=confirmed)
        stream = holder_of(registry, who, authority).id
        seen = registry.looking.holder(
            stream, actor=officer, purpose=Purpose.HANDLING, door="cli holders link", document=document
        )
        holder = registry.link_identity(stream, number, document_no=document, officer=officer)
        item = _item(LookedHolder(seen.sight, holder, seen.name))
        show(session_of(ctx).output, item, *_drawn(item))
