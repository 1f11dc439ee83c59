"""The particulars of a paper certificate, from options and from a JSON file, as an award."""

import sys
from datetime import date
from pathlib import Path

import msgspec
import typer

from api.cli.common import series_named
from api.cli.printing import say
from registry.holders.identity import born, parse, sex
from registry.holders.person import Person
from registry.service import Registry
from registry.terms import IdentityKind, Level, Obtained
from registry.titles.award import AwardTitle

_NEEDED = (
    "name",
    "identity",
    "number",
    "title",
    "level",
    "series",
    "specialty",
    "committee",
    "approval_document",
    "awarded_on",
    "authority",
)


class PaperForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a paper certificate says. In JSON the names are those of the options, with underscores."""

    name: str | None = None
    identity: str | None = None
    identity_kind: IdentityKind | None = None
    country: str | None = None
    confirmed: bool = False
    number: str | None = None
    title: str | None = None
    level: Level | None = None
    series: str | None = None
    specialty: str | None = None
    obtained: Obtained | None = None
    committee: str | None = None
    approval_document: str | None = None
    awarded_on: date | None = None
    issued_on: date | None = None
    authority: str | None = None
    employer: str | None = None


def read_form(file: Path | None, options: PaperForm) -> PaperForm:
    """The file with the options over it. Ends with a usage error that names every particular that is missing."""
    base = _from_file(file) if file else PaperForm()
    given = {name: value for name, value in msgspec.structs.asdict(options).items() if value not in (None, False)}
    form = msgspec.structs.replace(base, **given)
    missing = [name for name in _NEEDED if not getattr(form, name)]
    if missing:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise typer.BadParameter(f"still missing: {names}", param_hint="the particulars")
    return form


def _from_file(file: Path) -> PaperForm:
    words = {one.zh: one.value for kind in (Level, Obtained, IdentityKind) for one in kind}
    try:
        found = msgspec.json.decode(file.read_bytes(), type=dict[str, str | bool | None])
        plain = {name: words.get(value, value) if isinstance(value, str) else value for name, value in found.items()}
        return msgspec.convert(plain, PaperForm)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="--file") from None
    except msgspec.MsgspecError as error:
        raise typer.BadParameter(f"{file}: {error}", param_hint="--file") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not JSON in UTF-8", param_hint="--file") from None


def award_of(registry: Registry, form: PaperForm) -> AwardTitle:
    """The award that the paper tells of. Raise BadInput for a series or an identity number that cannot be."""
    number = form.identity or ""
    if number == "-":
        number = sys.stdin.readline().strip()
    identity = parse(
        number, kind=form.identity_kind, country=form.country, confirmed=form.confirmed, today=registry.today
    )
    assert form.level is not None
    assert form.awarded_on is not None
    return AwardTitle(
        person=Person((form.name or "").strip(), identity, sex(identity), born(identity)),
        series=series_named(registry, form.series or ""),
        specialty=form.specialty or "",
        level=form.level,
        title_name=form.title or "",
        obtained=form.obtained or Obtained.REVIEW,
        committee=form.committee or "",
        committee_key=None,
        approval_document=form.approval_document or "",
        awarded_on=form.awarded_on,
        authority=form.authority or "",
        number=form.number,
        employer=form.employer,
    )


def warn_of_unknown_title(registry: Registry, command: AwardTitle) -> None:
    """Say so if the reference data knows no such title in this series at this level. Old papers may still be right."""
    meanings = registry.catalogue.titles_named(command.title_name)
    if not any((one.series, one.level) == (command.series, command.level) for one in meanings):
        say(f"Note: 资料中没有“{command.series} {command.level.zh} {command.title_name}”，请对照原件。")
