"""The state of one title, folded from its facts, and its standing on a date."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import msgspec

from registry.errors import CorruptHistory
from registry.log.changes import Claim
from registry.log.facts import Private, Recorded
from registry.log.kind import Kind
from registry.terms import Status
from registry.titles.content import CertificateContent, PaperOrigin
from registry.titles.events import (
    CertificatePrepared,
    CertificateSigned,
    Decided,
    DecisionProposed,
    DecisionRefused,
    DecisionReturned,
    PaperMatched,
    Particulars,
    Reason,
    TitleAwarded,
    TitleCorrected,
    TitleInvalidated,
    TitleReinstated,
    TitleRevoked,
    TitleSuspended,
)


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """An open proposal: what, by whom, when."""

    fact: DecisionProposed
    proposed_by: str
    proposed_at: datetime


class Returned(msgspec.Struct, frozen=True, gc=False):
    """A proposal that was returned for change: why, by whom, when. Its proposer has not yet proposed that kind anew."""

    proposal: Proposal
    reason: Private[Reason]
    returned_by: str
    returned_at: datetime


class Decision(msgspec.Struct, frozen=True, gc=False):
    """An approved decision with both its dates: effective and recorded."""

    status: Status
    fact: Decided
    approved_by: str
    recorded_at: datetime


class Certificate(msgspec.Struct, frozen=True, gc=False):
    """One version of the e-certificate. Not signed yet: `signature` is None. `outdated`: corrected since.

    `leaf` is the leaf index of the prepared event (None: signed before there was a transparency log);
    `signed_position` the log position of the signed event.
    """

    version: int
    code: str
    kid: str
    content: Private[CertificateContent]
    prepared_at: datetime
    prepared_position: int = 0
    signature: bytes | None = None
    signed_at: datetime | None = None
    leaf: int | None = None
    digest: bytes | None = None
    signed_position: int = 0
    outdated: bool = False


class Title(msgspec.Struct, frozen=True, gc=False):
    """One title of one holder. `awarded` is what was awarded, `award` the same after any correction."""

    id: str
    holder: str
    award: Particulars
    awarded: Particulars
    awarded_by: str
    recorded_at: datetime
    employer: Private[str] | None = None
    paper: PaperOrigin | None = None
    application: str | None = None
    numbers: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()
    corrections: tuple[str, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    returned: tuple[Returned, ...] = ()

    def standing(self, on: date | None) -> tuple[Status, Decision | None]:
        """The status on a civil date (None: whenever the last decision is in force) and the decision behind it.

        Decisions are taken in recorded order; each rules from its effective date on.
        """
        if on is not None and on < self.award.awarded_on:
            return Status.NOT_YET_EFFECTIVE, None
        for decision in reversed(self.decisions):
            if on is None or decision.fact.effective_on <= on:
                return decision.status, None if decision.status is Status.VALID else decision
        return Status.VALID, None

    def certificate(self, version: int | None = None) -> Certificate | None:
        """A version of the certificate; without a version the newest signed one."""
        for one in reversed(self.certificates):
            if one.version == version or (version is None and one.signature):
                return one
        return None

    def proposal(self, proposal: str) -> Proposal | None:
        """An open proposal by its id."""
        return next((one for one in self.proposals if one.fact.proposal == proposal), None)


_STATUS: dict[type[Decided], Status] = {
    TitleRevoked: Status.REVOKED,
    TitleInvalidated: Status.INVALIDATED,
    TitleSuspended: Status.SUSPENDED,
    TitleReinstated: Status.VALID,
}


def evolve(title: Title | None, event: Recorded[Any]) -> Title:
    """Fold one fact into the state. Never judges, never looks at a clock."""
    fact = event.fact
    if title is None:
        if isinstance(fact, TitleAwarded):
            return _awarded(event, fact)
    elif type(fact) in _EVOLVE:
        return _EVOLVE[type(fact)](title, event)
    raise CorruptHistory(f"{event.stream} version {event.version}: {type(fact).__name__} cannot follow")


def _awarded(event: Recorded[Any], fact: TitleAwarded) -> Title:
    return Title(
        event.stream,
        fact.holder,
        fact.award,
        fact.award,
        event.actor,
        event.recorded_at,
        fact.employer,
        fact.paper,
        fact.application,
        (f"{fact.award.authority}|{fact.award.number}",),
    )


def _matched(title: Title, event: Recorded[PaperMatched]) -> Title:
    return msgspec.structs.replace(title, paper=event.fact.paper, application=event.fact.application)


def _proposed(title: Title, event: Recorded[DecisionProposed]) -> Title:
    proposal = Proposal(event.fact, event.actor, event.recorded_at)
    answered = (event.actor, event.fact.kind)
    returned = tuple(one for one in title.returned if (one.proposal.proposed_by, one.proposal.fact.kind) != answered)
    return msgspec.structs.replace(title, proposals=(*title.proposals, proposal), returned=returned)


def _closed(title: Title, event: Recorded[DecisionRefused]) -> Title:
    return msgspec.structs.replace(title, proposals=_without(title, event.fact.proposal))


def _returned(title: Title, event: Recorded[DecisionReturned]) -> Title:
    open_ = [one for one in title.proposals if one.fact.proposal == event.fact.proposal]
    returned = [Returned(one, event.fact.reason, event.actor, event.recorded_at) for one in open_]
    left = _without(title, event.fact.proposal)
    return msgspec.structs.replace(title, proposals=left, returned=(*title.returned, *returned))


def _decided(title: Title, event: Recorded[Decided]) -> Title:
    decision = Decision(_STATUS[type(event.fact)], event.fact, event.actor, event.recorded_at)
    return msgspec.structs.replace(
        title, decisions=(*title.decisions, decision), proposals=_without(title, event.fact.proposal)
    )


def _corrected(title: Title, event: Recorded[TitleCorrected]) -> Title:
    award = event.fact.award
    number = f"{award.authority}|{award.number}"
    return msgspec.structs.replace(
        title,
        award=award,
        numbers=title.numbers if number in title.numbers else (*title.numbers, number),
        corrections=(*title.corrections, event.fact.proposal),
        proposals=_without(title, event.fact.proposal),
        certificates=tuple(msgspec.structs.replace(one, outdated=True) for one in title.certificates),
    )


def _prepared(title: Title, event: Recorded[CertificatePrepared]) -> Title:
    fact = event.fact
    certificate = Certificate(fact.version, fact.code, fact.kid, fact.content, event.recorded_at, event.position)
    return msgspec.structs.replace(title, certificates=(*title.certificates, certificate))


def _signed(title: Title, event: Recorded[CertificateSigned]) -> Title:
    fact = event.fact
    said = {
        "signature": fact.signature,
        "signed_at": event.recorded_at,
        "leaf": fact.leaf,
        "digest": fact.digest,
        "signed_position": event.position,
    }
    signed = [
        msgspec.structs.replace(one, **said) if one.version == fact.version else one for one in title.certificates
    ]
    return msgspec.structs.replace(title, certificates=tuple(signed))


def _without(title: Title, proposal: str) -> tuple[Proposal, ...]:
    return tuple(one for one in title.proposals if one.fact.proposal != proposal)


_EVOLVE: dict[type, Callable[[Title, Recorded[Any]], Title]] = {
    PaperMatched: _matched,
    DecisionProposed: _proposed,
    DecisionRefused: _closed,
    DecisionReturned: _returned,
    TitleCorrected: _corrected,
    TitleRevoked: _decided,
    TitleInvalidated: _decided,
    TitleSuspended: _decided,
    TitleReinstated: _decided,
    CertificatePrepared: _prepared,
    CertificateSigned: _signed,
}


def slot(holder: str, award: Particulars) -> str:
    """The key under which a holder can have a title only once: holder, series, specialty, title name."""
    return "|".join((holder, award.series, award.specialty, award.title_name))


def origin(holder: str, awarded: Particulars) -> str:
    """The key by which a list is recognised that comes again after the title has left the slot it was awarded in."""
    return "|".join((slot(holder, awarded), awarded.awarded_on.isoformat(), awarded.approval_document))


def claims(title: Title, _: Callable[[str], str] | None) -> frozenset[Claim]:
    """Every number it ever had, every verification code, and its slot while it is neither revoked nor invalidated.

    Once it has left the slot it was awarded in, it is claimed by its origin, so that the old list brings nothing back.
    """
    held = {Claim("number", number) for number in title.numbers}
    held.update(Claim("code", one.code[:16]) for one in title.certificates)
    first, present = slot(title.holder, title.awarded), None
    if title.standing(None)[0] not in (Status.REVOKED, Status.INVALIDATED):
        present = slot(title.holder, title.award)
        held.add(Claim("title", present))
    if present != first:
        held.add(Claim("origin", origin(title.holder, title.awarded)))
    return frozenset(held)


TITLES = Kind("title", evolve, claims)
