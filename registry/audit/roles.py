"""Who held which role over which authority at which position of the log, and whether a fact was theirs to record.

A registry is founded once. What was recorded before that is exempt: nobody had a role then. The table below is kept
apart from `permissions`: a right that is given or taken tomorrow changes nothing about what was recorded today.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from registry.audit.findings import Code, Finding
from registry.audit.layout import Row
from registry.errors import CorruptHistory
from registry.holders.holder import (
    ErasureProposed,
    ErasureRefused,
    HolderErased,
    HolderRenamed,
    IdentityLinked,
    LegalHoldLifted,
    LegalHoldPlaced,
)
from registry.keyset.keyset import KeySetPublished
from registry.log.facts import Fact, Recorded
from registry.log.mapper import decode
from registry.officers.officer import (
    SYSTEM,
    Officer,
    OfficerRegistered,
    RoleGranted,
    RoleProposed,
    RoleRefused,
    RoleWithdrawn,
    actor_of,
)
from registry.paper.application import Application, PaperApproved, PaperRefused, PaperReturned, PaperSubmitted
from registry.requests.request import DataRequestAnswered, DataRequestMade
from registry.terms import Role
from registry.titles.events import (
    CertificatePrepared,
    Decided,
    DecisionProposed,
    DecisionRefused,
    DecisionReturned,
    TitleAwarded,
)
from registry.titles.state import Title

_EITHER, _CLERK, _APPROVER, _OPERATOR = (Role.CLERK, Role.APPROVER), (Role.CLERK,), (Role.APPROVER,), (Role.OPERATOR,)
ANY: Literal[""] = ""


class Needed(NamedTuple):
    """One of these roles, over this authority or one above it; over whichever, if it is ANY."""

    roles: tuple[Role, ...]
    authority: str = ANY


class _Held(NamedTuple):
    grant: str
    role: str
    authority: str
    since: int


class Roles:
    """Takes the events in log order, and then tells who held what. Officers are few: this is all that is kept."""

    def __init__(self, parents: Mapping[str, str | None]) -> None:
        """`parents`: the authority above each."""
        self._parents = parents
        self._held: dict[str, list[tuple[_Held, float]]] = defaultdict(list)
        self._times: dict[tuple[str, Needed], list[tuple[int, float]]] = {}
        self.founded: float = float("inf")

    def passing(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Hand every event on after taking it in."""
        for row in rows:
            self.take(row)
            yield row

    def take(self, row: Row) -> None:
        """Take the next event in; one that is of no officer, or cannot be read, is passed over."""
        if not row[3].startswith("role-") or not row[1].startswith("officer-"):
            return
        try:
            event = decode(row[1], row[2], row[3], row[4], row[0])
        except CorruptHistory:
            return  # found where the stream is folded
        fact, own = event.fact, self._held[actor_of(event.stream)]
        self._times.clear()
        if isinstance(fact, RoleGranted):
            own.append((_Held(fact.grant, fact.role, fact.authority, event.position), float("inf")))
            if fact.proposed_by == SYSTEM:
                self.founded = min(self.founded, event.position)
        elif isinstance(fact, RoleWithdrawn):
            own[:] = [(held, min(until, event.position) if held.grant == fact.grant else until) for held, until in own]

    def held(self, actor: str, needed: Needed, position: int) -> bool:
        """Whether someone held what was needed just before this position."""
        if actor not in self._held:
            return False
        times = self._times.get((actor, needed))
        if times is None:
            times = self._times[actor, needed] = self._times_of(actor, needed)
        return any(since < position <= until for since, until in times)

    def _times_of(self, actor: str, needed: Needed) -> list[tuple[int, float]]:
        over = self._above(needed.authority)
        return [
            (held.since, until)
            for held, until in self._held[actor]
            if held.role in needed.roles and (not over or held.authority in over)
        ]

    def _above(self, authority: str) -> set[str]:
        """An authority and those above it; none for ANY."""
        found = set[str]()
        while authority and authority not in found:
            found.add(authority)
            authority = self._parents.get(authority) or ""
        return found

    def check(self, state: Any, event: Recorded[Any]) -> Iterable[Finding]:
        """Whoever recorded an event held the role that it needs, in the light of the state before it."""
        if event.position <= self.founded:
            return ()
        needed = _needed(state, event)
        if needed is None or self.held(event.actor, needed, event.position):
            return ()
        return (_without(event, needed),)


def _without(event: Recorded[Any], needed: Needed) -> Finding:
    roles = "、".join(one.zh for one in needed.roles)
    return Finding(
        code=Code.ROLE,
        message="经办人当时没有办理此事的角色",
        position=event.position,
        stream=event.stream,
        version=event.version,
        expected=f"{roles} {needed.authority}".rstrip(),
        found=event.actor,
    )


_SIMPLE: dict[type[Fact], tuple[Role, ...]] = {
    # over the authority that the fact names, or over any if it names none
    DecisionProposed: _EITHER,
    ErasureProposed: _EITHER,
    ErasureRefused: _EITHER,
    HolderErased: _APPROVER,
    LegalHoldPlaced: _APPROVER,
    LegalHoldLifted: _APPROVER,
    HolderRenamed: _EITHER,
    IdentityLinked: _EITHER,
    DataRequestAnswered: _EITHER,
    RoleProposed: _APPROVER,
    RoleGranted: _APPROVER,
}


def _needed(state: Any, event: Recorded[Any]) -> Needed | None:
    """What the actor must hold; None: nothing, or the one concerned acts themself, or the program."""
    fact, actor = event.fact, event.actor
    if type(fact) in _SIMPLE:
        founding = isinstance(fact, RoleGranted) and fact.proposed_by == SYSTEM  # judged as a founding
        return None if founding else Needed(_SIMPLE[type(fact)], getattr(fact, "authority", ANY))
    by_fact = _BY_FACT.get(type(fact))
    if by_fact is not None:
        return by_fact(fact, actor)
    return _by_state(state, event) if type(fact) in _BY_STATE else None


_BY_FACT: dict[type[Fact], Callable[[Any, str], Needed | None]] = {
    **{kind: lambda fact, _: Needed(_APPROVER, fact.authority) for kind in Decided.__subclasses__()},
    TitleAwarded: lambda fact, _: Needed(_APPROVER if fact.application else _CLERK, fact.award.authority),
    PaperSubmitted: lambda fact, actor: None if actor == fact.holder else Needed(_CLERK, fact.award.authority),
    DataRequestMade: lambda fact, actor: None if actor == fact.holder else Needed(_EITHER),
    OfficerRegistered: lambda _, actor: None if actor == SYSTEM else Needed(_APPROVER),
    KeySetPublished: lambda fact, actor: None if (actor, fact.version) == (SYSTEM, 1) else Needed(_OPERATOR),
}
_OF_STATES: tuple[type[Fact], ...] = (PaperApproved, PaperRefused, PaperReturned, CertificatePrepared)
_BY_STATE = {*_OF_STATES, DecisionRefused, DecisionReturned, RoleRefused, RoleWithdrawn}


def _by_state(state: Any, event: Recorded[Any]) -> Needed | None:
    match event.fact, state:
        case PaperApproved() | PaperRefused() | PaperReturned(), Application():
            return Needed(_APPROVER, state.fact.award.authority)
        case CertificatePrepared(), Title():
            return Needed(_EITHER, state.award.authority)
        case DecisionRefused(proposal=proposal) | DecisionReturned(proposal=proposal), Title():
            open_ = state.proposal(proposal)
            own = isinstance(event.fact, DecisionRefused) and open_ is not None and open_.proposed_by == event.actor
            return Needed(_EITHER if own else _APPROVER, open_.fact.authority if open_ else ANY)
        case RoleRefused(grant=grant) | RoleWithdrawn(grant=grant), Officer():
            over = {one.id: one.authority for one in state.grants}
            over |= {one.fact.grant: one.fact.authority for one in state.proposals}
            return Needed(_APPROVER, over.get(grant, ANY))
    return None
