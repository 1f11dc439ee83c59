"""What a paper certificate says, in JSON, as an award; and an identity number as somebody wrote it."""

from datetime import date

import msgspec

from api.asking import decode
from api.doors import Short, known_authority
from api.errors import BadRequest, Pointed
from registry.errors import BadIdentity, DoubtfulIdentity
from registry.holders.identity import born, parse, sex
from registry.holders.person import Identity, Person
from registry.service import Registry
from registry.terms import IdentityKind, Level, Obtained
from registry.titles.award import AwardTitle


class PaperForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a paper certificate says. `confirmed`: an officer compared a number whose check character is wrong."""

    name: Short
    identity: Short
    identity_kind: IdentityKind | None = None
    country: Short | None = None
    confirmed: bool = False
    number: Short
    title_name: Short
    level: Level
    series: Short
    specialty: Short
    obtained: Obtained = Obtained.REVIEW
    committee: Short
    approval_document: Short
    awarded_on: date
    issued_on: date | None = None
    authority: Short
    employer: Short | None = None


def particulars_of(text: bytes) -> PaperForm:
    """The particulars of a form's field `application`. Raise BadRequest with each place in it."""
    try:
        said: PaperForm = decode(text, PaperForm)
    except BadRequest as error:
        raise BadRequest([Pointed(f"/application{one.pointer}", one.detail) for one in error.errors]) from None
    return said


def paper_award(registry: Registry, said: PaperForm) -> AwardTitle:
    """The award that the paper tells of. Raise BadRequest for a series, authority or number that cannot be."""
    series = registry.catalogue.series_named(said.series)
    if series is None:
        raise BadRequest([Pointed("/application/series", "不是 27 个职称系列之一")])
    identity = identity_of(
        registry, said.identity, said.identity_kind, said.country, confirmed=said.confirmed, at="/application/identity"
    )
    return AwardTitle(
        person=Person(said.name.strip(), identity, sex(identity), born(identity)),
        series=series.name_zh,
        specialty=said.specialty,
        level=said.level,
        title_name=said.title_name,
        obtained=said.obtained,
        committee=said.committee,
        committee_key=None,
        approval_document=said.approval_document,
        awarded_on=said.awarded_on,
        authority=known_authority(registry, said.authority, "/application/authority"),
        number=said.number,
        employer=said.employer,
    )


def identity_of(
    registry: Registry,
    number: str,
    kind: IdentityKind | None,
    country: str | None,
    *,
    confirmed: bool = False,
    at: str = "/identity",
) -> Identity:
    """An identity number as somebody wrote it. Raise BadRequest at its place; the number is not repeated."""
    try:
        return parse(number, kind=kind, country=country, confirmed=confirmed, today=registry.today)
    except (BadIdentity, DoubtfulIdentity) as error:
        raise BadRequest([Pointed(at, f"{error.message}。{error.fix}")]) from None
