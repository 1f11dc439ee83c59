"""One award in JSON, judged by just the rules of an approved list (form 2-4): the fields are those of its columns."""

from datetime import date

import msgspec

from api.doors import Short
from api.errors import BadRequest, Pointed
from registry.intake.form import FORM, match_keys
from registry.intake.judge import Judge
from registry.intake.table import Record
from registry.service import Registry
from registry.terms import IdentityKind, Level, Obtained, Sex
from registry.titles.award import AwardTitle


class Award(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An award as the approval document says it. `number` None: the registry assigns one.

    `kind` and `country` are those of the identity document; `confirmed` tells that a number with a wrong check
    character was compared with it; `born` is a day, or a month (1971-05).
    """

    name: Short
    identity: Short
    kind: IdentityKind | None = None
    country: Short | None = None
    confirmed: bool = False
    sex: Sex | None = None
    born: Short | None = None
    employer: Short | None = None
    committee: Short
    series: Short
    specialty: Short
    level: Level
    title_name: Short
    obtained: Obtained = Obtained.REVIEW
    awarded_on: date
    published_on: date | None = None
    issued_on: date | None = None
    number: Short | None = None
    document: Short
    authority: Short


def award_of(registry: Registry, said: Award) -> AwardTitle:
    """The award. Raise BadRequest with everything that is wrong, each at its field; no identity number is repeated."""
    fields = tuple(column.field for column in FORM)
    columns, _ = match_keys(fields)
    judge = Judge(
        None,
        authority=said.authority,
        document=said.document,
        catalogue=registry.catalogue,
        today=registry.today,
    )
    result = judge.row(Record(1, [_cell(said, field) for field in fields], columns)).result
    if isinstance(result, AwardTitle):
        return result
    raise BadRequest([Pointed(f"/{one.heading}", f"{one.message}。{one.fix}（{one.rule}）") for one in result])


def _cell(said: Award, field: str) -> str:
    """A field as it would be written in a list."""
    value = getattr(said, field, None)
    if field == "confirmed":
        return "是" if value else ""
    return "" if value is None else str(getattr(value, "zh", value))
