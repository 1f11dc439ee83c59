"""The register of titles, and one title with its history."""

import sys
from datetime import date
from typing import Annotated, Any

import msgspec
import typer

from api.cli.asking import Handling, Searching, asker, named_asker
from api.cli.common import (
    AsOf,
    Authority,
    Known,
    opened,
    option,
    read_kind,
    read_level,
    read_status,
    series_named,
    session_of,
)
from api.cli.listing import Page, listed
from api.cli.printing import Column, chinese, heading, moment, particulars, say, show, show_list, table
from api.cli.timeline import hidden, reason, timeline
from api.cli.tree import Commands
from registry.audit import day_of
from registry.catalogue.catalogue import Catalogue
from registry.holders.identity import parse
from registry.holders.person import Identity
from registry.log.log import KnownAt, as_known
from registry.looking import Asking
from registry.looks import Purpose
from registry.looks.looked import LookedTitle
from registry.permissions import Sight
from registry.register.register import Query
from registry.register.rows import TitleRow
from registry.service import Registry
from registry.terms import IdentityKind, Level, Status
from registry.titles.code import format_code
from registry.titles.events import Particulars
from registry.titles.state import Title

app = Commands("Look titles up.")

IdentityNumber = Annotated[
    str | None,
    option("--identity", metavar="NUMBER", help="Exact identity number; - reads it from stdin, not kept by the shell."),
]
Kind = Annotated[
    IdentityKind | None,
    option("--identity-kind", parser=read_kind, metavar="KIND", help="Kind of document, such as passport or 护照."),
]
Country = Annotated[str | None, option("--country", metavar="ABC", help="Country of a passport (ISO 3166 alpha-3).")]


def read_identity(number: str, kind: IdentityKind | None, country: str | None, *, confirmed: bool = True) -> Identity:
    """An identity number from an option, or from stdin for `-`; warns that the shell keeps what was typed."""
    if number == "-":
        number = sys.stdin.readline().strip()
    else:
        say("Note: your shell keeps this identity number in its history; --identity - reads it from stdin.")
    return parse(number, kind=kind, country=country, confirmed=confirmed)


def title_columns(catalogue: Catalogue) -> tuple[Column, ...]:
    """The columns of a list of titles, whether as rows of the register or as data with names."""

    def places(row: Any) -> str:
        return catalogue.authority(row["authority"]).places[0]

    return (
        Column("Number", lambda row: row["number"]),
        Column("Name", lambda row: row["name"], fold=True),
        Column("Title", lambda row: row["title_name"], fold=True),
        Column("Level", lambda row: chinese(Level, row["level"])),
        Column("Series", lambda row: row["series"], fold=True),
        Column("Issuer", places, fold=True),
        Column("Awarded", lambda row: row["awarded_on"]),
        Column("Status", lambda row: chinese(Status, row["status"])),
        Column("Certificate", lambda row: row["certificate"] or "-"),
    )


def title_item(row: TitleRow, name: str) -> dict[str, Any]:
    """A row of the register with the holder's name, as far as it is seen."""
    return {"name": name, **msgspec.to_builtins(row)}


@app.command("list")
def list_titles(
    ctx: typer.Context,
    number: Annotated[str | None, option("--number", metavar="NUMBER", help="Certificate number.")] = None,
    name: Annotated[
        str | None, option("--name", metavar="NAME", help="Beginning of a name or its pinyin, or the initials.")
    ] = None,
    identity: IdentityNumber = None,
    identity_kind: Kind = None,
    country: Country = None,
    series: Annotated[str | None, option("--series", metavar="SERIES", help="Series (系列).")] = None,
    level: Annotated[
        Level | None, option("--level", parser=read_level, metavar="LEVEL", help="Level, such as 中级 or intermediate.")
    ] = None,
    year: Annotated[int | None, option("--year", metavar="YEAR", help="Year of the award.")] = None,
    authority: Annotated[str | None, option("--authority", metavar="CODE", help="Issuing authority.")] = None,
    status: Annotated[
        Status | None,
        option(
            "--status",
            parser=read_status,
            metavar="STATUS",
            help="Such as valid, revoked, 已注销.",
        ),
    ] = None,
    limit: Annotated[int, option("--limit", metavar="N", min=1, max=1000, help="At most so many [default: 50].")] = 50,
    cursor: Annotated[str | None, option("--cursor", metavar="CURSOR", help="Go on after an earlier page.")] = None,
    as_of: AsOf = None,
    known_at: Known = None,
    purpose: Searching = Purpose.SEARCH,
) -> None:
    """List titles of the register, now or as they stood at any moment, with the names in force then.

    An officer sees the titles in reach; without one names are masked, and nobody is searched by name or number.
    """
    if name or identity:
        named_asker(ctx, "--name" if name else "--identity")
    with opened(ctx) as registry:
        who = read_identity(identity, identity_kind, country) if identity else None
        query = Query(
            number=number,
            name=name,
            series=series_named(registry, series) if series else None,
            level=level,
            year=year,
            authority=registry.catalogue.authority(authority).code if authority else None,
            status=status,
        )
        page = Page(as_of, known_at, limit, cursor)
        found = listed(registry, query, who, Asking(asker(ctx), purpose, "cli titles list"), page)
        rows = [title_item(row, name) for row, name in found.rows]
        empty = "No title matches. Not found does not mean that there is none under another spelling."
        show_list(session_of(ctx).output, rows, title_columns(registry.catalogue), empty=empty)
    if found.next and rows:
        say(f"More follow: add --cursor {found.next}")


@app.command("show")
def show_title(
    ctx: typer.Context,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="Certificate number, or the id of a title.")],
    authority: Authority = None,
    as_of: AsOf = None,
    known_at: Known = None,
    purpose: Handling = Purpose.HANDLING,
) -> None:
    """Show one title: particulars, standing, certificates, and what happened, with both clocks.

    An officer sees the person, and that look is recorded; without one the name is masked and reasons are left out.
    """
    with opened(ctx) as registry:
        stream = registry.find_title(number, authority)
        registry.title(stream, known_at=known_at)
        seen = registry.looking.title(
            stream,
            actor=asker(ctx),
            purpose=purpose,
            door="cli titles show",
            as_of=day_of(registry, as_of, known_at),
            known_at=known_at,
        )
        item = _item(registry, seen, as_of, known_at)
        show(session_of(ctx).output, item, *_drawn(registry, seen.title, item))


def _item(registry: Registry, seen: LookedTitle, as_of: date | None, known_at: KnownAt | None) -> dict[str, Any]:
    """Everything about one title, on that date, as known then."""
    title = seen.title
    status, decision = title.standing(day_of(registry, as_of, known_at))
    events = list(as_known(registry.history(title.id), known_at))
    return {
        "title": title.id,
        "holder": title.holder,
        "name": seen.name,
        "award": title.award,
        "paper": title.paper,
        "as_of": as_of,
        "known_at": known_at,
        "status": status,
        "decision": decision.fact if decision else None,
        "certificates": [
            {
                "version": one.version,
                "code": one.code,
                "kid": one.kid,
                "prepared_at": one.prepared_at,
                "signed_at": one.signed_at,
                "outdated": one.outdated,
            }
            for one in title.certificates
        ],
        "proposals": [one.fact.proposal for one in title.proposals],
        "timeline": timeline(events, reason if seen.sight is Sight.CLEAR else hidden),
    }


def known_text(known_at: KnownAt) -> str:
    """What was asked about, for people."""
    return f"log position {known_at}" if isinstance(known_at, int) else moment(known_at)


def award_facts(registry: Registry, award: Particulars) -> dict[str, object]:
    """The particulars of a title, with their names."""
    return {
        "Number": award.number,
        "Title": award.title_name,
        "Level": award.level.zh,
        "Series": award.series,
        "Specialty": award.specialty,
        "Obtained": award.obtained.zh,
        "Committee": award.committee,
        "Document": award.approval_document,
        "Awarded": award.awarded_on,
        "Published": award.published_on,
        "Issued": award.issued_on,
        "Authority": f"{registry.catalogue.authority(award.authority).name_zh} ({award.authority})",
    }


_TIMELINE = (
    Column("Recorded", lambda one: moment(one["recorded_at"])[:19]),
    Column("Effective", lambda one: one["effective_on"]),
    Column("What", lambda one: one["what"]),
    Column("By", lambda one: one["actor"]),
    Column("Document", lambda one: one["document"], fold=True),
    Column("Detail", lambda one: one["detail"], fold=True),
)
_CERTIFICATES = (
    Column("Version", lambda one: one["version"]),
    Column("Code", lambda one: format_code(one["code"])),
    Column("Signed", lambda one: moment(one["signed_at"])[:19] or "not yet"),
    Column("", lambda one: "更正前" if one["outdated"] else ""),
)


def _drawn(registry: Registry, title: Title, item: dict[str, Any]) -> list[Any]:
    status: Status = item["status"]
    asked = f" on {item['as_of']}" if item["as_of"] else ""
    known = f", as known at {known_text(item['known_at'])}" if item["known_at"] is not None else ""
    facts = {"Name": item["name"], **award_facts(registry, title.award)}
    if title.paper:
        facts["Paper"] = f"{title.paper.number} ({title.paper.issued_on or '发证日期不详'})"
    facts |= {"Status": f"{status.zh} ({status}){asked}{known}", "Holder": title.holder, "Title id": title.id}
    if item["proposals"]:
        facts["Open proposals"] = ", ".join(item["proposals"])
    drawn: list[Any] = [particulars(facts)]
    if item["certificates"]:
        drawn += [heading("Certificates"), table(item["certificates"], _CERTIFICATES)]
    return [*drawn, heading("What happened (Beijing time)"), table(item["timeline"], _TIMELINE)]
