"""One person: registered once, recognised by identity number, renamed with a document, linked to further numbers."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import msgspec

from registry.errors import CorruptHistory, HolderConflict
from registry.holders.identity import index_key
from registry.holders.person import Identity, Person
from registry.log.changes import Claim
from registry.log.facts import Fact, Private, Recorded, stored
from registry.log.kind import Kind
from registry.masking import mask_name

# Events


class ErasureBasis(StrEnum):
    """Why a person's data may be destroyed (PIPL 47, paragraph 1)."""

    REQUEST = "request"
    RETENTION_OVER = "retention-over"
    UNLAWFUL = "unlawful"


@stored("holder-registered/1")
class HolderRegistered(Fact, frozen=True, kw_only=True):
    """A person was entered with the particulars of the first list or application."""

    holder: str
    person: Private[Person]


@stored("holder-renamed/1")
class HolderRenamed(Fact, frozen=True, kw_only=True):
    """The name changed (basis "change", by a police document) or had been written wrongly ("correction")."""

    holder: str
    name: Private[str]
    basis: str
    document_no: str
    effective_on: date


@stored("identity-linked/1")
class IdentityLinked(Fact, frozen=True, kw_only=True):
    """A further identity document was found to be the same person's."""

    holder: str
    identity: Private[Identity]
    document_no: str


@stored("erasure-proposed/1")
class ErasureProposed(Fact, frozen=True, kw_only=True):
    """One officer proposed to destroy a person's data (PIPL 47). `digest` is what the second officer approves."""

    holder: str
    proposal: str
    basis: ErasureBasis
    document_no: str
    authority: str
    digest: str


@stored("erasure-refused/1")
class ErasureRefused(Fact, frozen=True, kw_only=True):
    """A proposed erasure was not carried out, or withdrawn by its proposer."""

    holder: str
    proposal: str
    reason: Private[str]


@stored("holder-erased/1")
class HolderErased(Fact, frozen=True, kw_only=True):
    """A second officer approved: data key and blind index went in the same transaction. Nothing is left to open."""

    proposal: str
    proposed_by: str
    basis: ErasureBasis
    document_no: str
    authority: str


@stored("legal-hold-placed/1")
class LegalHoldPlaced(Fact, frozen=True, kw_only=True):
    """A dispute, inspection or court order needs the data: while it stands, nothing is erased."""

    hold: str
    document_no: str
    authority: str


@stored("legal-hold-lifted/1")
class LegalHoldLifted(Fact, frozen=True, kw_only=True):
    """The hold is over."""

    hold: str
    document_no: str


# State


class NameChange(msgspec.Struct, frozen=True, gc=False):
    """A later name, with its document and both dates."""

    name: Private[str]
    basis: str
    document_no: str
    effective_on: date
    recorded_at: datetime


class ErasureProposal(msgspec.Struct, frozen=True, gc=False):
    """An erasure that waits for the second officer."""

    fact: ErasureProposed
    proposed_by: str
    proposed_at: datetime


class Holder(msgspec.Struct, frozen=True, gc=False):
    """A person as the registry knows them."""

    id: str
    person: Private[Person]
    registered_at: datetime
    names: tuple[NameChange, ...] = ()
    linked: tuple[Private[Identity], ...] = ()
    erasures: tuple[ErasureProposal, ...] = ()
    holds: tuple[LegalHoldPlaced, ...] = ()
    erased: HolderErased | None = None

    def name(self, on: date | None = None) -> str | None:
        """The name in force on a date (None: now); None when it was erased."""
        for change in reversed(self.names):
            if on is None or change.effective_on <= on:
                return change.name.get()
        person = self.person.get()
        return person.name if person else None

    def all_names(self) -> list[str]:
        """Every name this person has had here, oldest first."""
        person = self.person.get()
        names = [person.name] if person else []
        return names + [name for change in self.names if (name := change.name.get())]

    def identities(self) -> list[Identity]:
        """Every identity number that leads to this person."""
        person = self.person.get()
        return ([person.identity] if person else []) + [found for one in self.linked if (found := one.get())]


def evolve(holder: Holder | None, event: Recorded[Any]) -> Holder:
    """Fold one fact into the state. Never judges."""
    match holder, event.fact:
        case None, HolderRegistered() as fact:
            return Holder(fact.holder, fact.person, event.recorded_at)
        case Holder(), HolderRenamed() as fact:
            change = NameChange(fact.name, fact.basis, fact.document_no, fact.effective_on, event.recorded_at)
            return msgspec.structs.replace(holder, names=(*holder.names, change))
        case Holder(), IdentityLinked() as fact:
            return msgspec.structs.replace(holder, linked=(*holder.linked, fact.identity))
        case Holder(), ErasureProposed() as fact:
            waiting = ErasureProposal(fact, event.actor, event.recorded_at)
            return msgspec.structs.replace(holder, erasures=(*holder.erasures, waiting))
        case Holder(), ErasureRefused() as fact:
            return msgspec.structs.replace(holder, erasures=_without(holder, fact.proposal))
        case Holder(), HolderErased() as fact:
            return msgspec.structs.replace(holder, erasures=(), erased=fact)
        case Holder(), LegalHoldPlaced() as fact:
            return msgspec.structs.replace(holder, holds=(*holder.holds, fact))
        case Holder(), LegalHoldLifted() as fact:
            return msgspec.structs.replace(holder, holds=tuple(one for one in holder.holds if one.hold != fact.hold))
    raise CorruptHistory(f"{event.stream} version {event.version}: {type(event.fact).__name__} cannot follow")


def _without(holder: Holder, proposal: str) -> tuple[ErasureProposal, ...]:
    return tuple(one for one in holder.erasures if one.fact.proposal != proposal)


def claims(holder: Holder, index: Callable[[str], str] | None) -> frozenset[Claim]:
    """Each identity number belongs to one person, by its keyed blind index only."""
    if index is None or holder.erased:
        return frozenset()
    return frozenset(Claim("identity", index(index_key(identity))) for identity in holder.identities())


HOLDERS = Kind("holder", evolve, claims)

# Decide


def register(holder_id: str, person: Person, holder: Holder | None) -> Sequence[Fact]:
    """Register a person once; the same person again is no fact.

    Raise HolderConflict if the identity number is registered with a name never borne, another sex or birth date.
    """
    if holder is None:
        return [HolderRegistered(holder=holder_id, person=Private(person))]
    known = holder.person.reveal()
    for what, old, new in (("性别", known.sex, person.sex), ("出生日期", *_births(known, person))):
        if old is not None and new is not None and old != new:
            raise HolderConflict(
                f"该证件号码已登记，但{what}不同：登记为 {old}，本次为 {new}",
                fix="核对证件；如登记有误先更正登记，如号码有误改正号码",
            )
    if person.name not in holder.all_names():
        raise HolderConflict(
            f"该证件号码已登记在另一姓名下：登记为 {mask_name(holder.name() or '')}，本次为 {person.name}",
            fix="核对姓名与号码；确属改名的，先凭公安机关证明办理姓名变更",
        )
    return []


def _births(known: Person, person: Person) -> tuple[date | None, date | None]:
    """Two birth dates to compare: by the month where either of them is known by its month only."""
    if known.born is None or person.born is None or (known.born_day_known and person.born_day_known):
        return known.born, person.born
    return known.born.replace(day=1), person.born.replace(day=1)


def rename(holder: Holder, name: str, basis: str, document_no: str, effective_on: date) -> Sequence[Fact]:
    """Change or correct the name, with its document; the present name again is no fact."""
    if holder.name() == name:
        return []
    change = HolderRenamed(
        holder=holder.id, name=Private(name), basis=basis, document_no=document_no, effective_on=effective_on
    )
    return [change]


def link_identity(holder: Holder, identity: Identity, document_no: str) -> Sequence[Fact]:
    """Link a further identity document; one already linked is no fact."""
    if index_key(identity) in {index_key(known) for known in holder.identities()}:
        return []
    return [IdentityLinked(holder=holder.id, identity=Private(identity), document_no=document_no)]
