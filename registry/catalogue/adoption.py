"""The one stream that says which reference data was in force from when on: plans, series, authorities, by digest."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import msgspec

from registry.catalogue.catalogue import Catalogue
from registry.errors import CorruptHistory
from registry.log.changes import Claim
from registry.log.facts import Fact, Recorded, stored
from registry.log.kind import Kind

STREAM = "reference-data"


class PlanAdopted(msgspec.Struct, frozen=True):
    """A yearly plan by its document."""

    year: int
    document_no: str
    issued_on: date
    rows: int


@stored("reference-data-adopted/1")
class ReferenceDataAdopted(Fact, frozen=True, kw_only=True):
    """Reference data with this digest came into force; the plans in it are named by their documents."""

    digest: str
    plans: tuple[PlanAdopted, ...]


class Adopted(msgspec.Struct, frozen=True):
    """Every digest that has been in force, oldest first."""

    digests: tuple[str, ...]


def evolve(adopted: Adopted | None, event: Recorded[Any]) -> Adopted:
    """Fold one fact into the state. Never judges."""
    if not isinstance(event.fact, ReferenceDataAdopted):
        raise CorruptHistory(f"{event.stream} version {event.version}: {type(event.fact).__name__} cannot follow")
    return Adopted((*(adopted.digests if adopted else ()), event.fact.digest))


def claims(_: Adopted, __: Callable[[str], str] | None) -> frozenset[Claim]:
    """Nothing to be unique about."""
    return frozenset()


REFERENCE = Kind("reference", evolve, claims)


def adopt(catalogue: Catalogue, adopted: Adopted | None) -> Sequence[Fact]:
    """Adopt the reference data of this program; the data in force already is no fact."""
    if adopted and adopted.digests[-1] == catalogue.digest:
        return []
    plans = tuple(PlanAdopted(p.year, p.document_no, p.issued_on, len(p.rows)) for p in catalogue.plans)
    return [ReferenceDataAdopted(digest=catalogue.digest, plans=plans)]
