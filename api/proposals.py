"""For officers: decisions by two of them. Propose, look, approve over the digest, refuse, return for change.

All five kinds are proposed at one door. Approving needs a fresh sign-in and the digest of what was read.
"""

from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.asking import body_of, decode
from api.doors import (
    A_PAGE,
    Cursor,
    DecidingQuery,
    Limit,
    Long,
    Reading,
    Short,
    answer,
    cursor_from,
    cursor_to,
    looked,
    reachable,
    reading,
)
from api.employers import registry_of
from api.errors import BadRequest, Pointed
from api.history import opened, sealed
from api.idempotency import Done, once
from api.signin.principal import admit
from registry.looks import Purpose
from registry.permissions import Permission, Sight
from registry.register.rows import ProposalRow
from registry.service import Registry
from registry.terms import civil_date
from registry.titles.decisions import PROPOSAL_LIFETIME, ProposeDecision
from registry.titles.events import DecisionKind, Particulars
from registry.titles.state import TITLES, Proposal, Title


class Proposed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A decision to be proposed. `corrected` has the fields that a correction changes, as they are to be."""

    title: Short
    kind: DecisionKind
    document_no: Short
    authority: Short
    reason: Long
    effective_on: date | None = None
    corrected: dict[str, Any] | None = None


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the content that the officer has read."""

    digest: Short


class Because(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is refused, or what is to be changed."""

    reason: Long


class ProposalsQuery(Reading, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of open proposals."""

    limit: Limit = A_PAGE
    cursor: Cursor | None = None


async def propose(request: Request) -> Response:
    """POST /api/v1/proposals: one of the five kinds; the officer's same open proposal again is that one."""
    actor, registry = admit(request, Permission.PROPOSE).actor, registry_of(request)
    body = await body_of(request)
    return await once(request, actor, [body], partial(_propose, registry, actor, decode(body, Proposed)))


def _propose(registry: Registry, actor: str, said: Proposed) -> Done:
    title = reachable(registry, actor, said.title)
    command = ProposeDecision(
        kind=said.kind,
        document_no=said.document_no,
        authority=said.authority,
        reason=said.reason,
        effective_on=said.effective_on,
        corrected=_corrected(title, said.corrected),
    )
    proposal = registry.propose(title.id, command, officer=actor)
    item = {
        "proposal": proposal.fact.proposal,
        "title": title.id,
        "digest": proposal.fact.digest,
        "lapses_at": proposal.proposed_at + PROPOSAL_LIFETIME,
        "log_position": registry.log.head(),
    }
    return Done(201, item, f"/api/v1/proposals/{proposal.fact.proposal}")


def _corrected(title: Title, changes: dict[str, Any] | None) -> Particulars | None:
    """The whole of what is right: the title's particulars with the changes. Raise BadRequest for an unknown field."""
    if changes is None:
        return None
    if strange := sorted(set(changes) - set(Particulars.__struct_fields__)):
        raise BadRequest([Pointed(f"/corrected/{name[:50]}", "没有这个字段") for name in strange])
    try:
        return msgspec.convert(msgspec.structs.asdict(title.award) | changes, Particulars)
    except msgspec.ValidationError as error:
        detail, _, place = str(error).partition(" - at `$.")
        raise BadRequest([Pointed(f"/corrected/{place.rstrip('`')}", detail)]) from error


async def approve(request: Request) -> Response:
    """POST /api/v1/proposals/{id}/approval: approve over exactly this digest, after a fresh sign-in."""
    actor, registry = admit(request, Permission.DECIDE, fresh=True).actor, registry_of(request)
    body, proposal = await body_of(request), request.path_params["id"]
    digest = decode(body, Approval).digest

    def do() -> Done:
        reachable(registry, actor, title_of(proposal))
        return _settled(registry, proposal, "approved", registry.approve(proposal, digest, officer=actor))

    return await once(request, actor, [body], do)


async def refuse(request: Request) -> Response:
    """POST /api/v1/proposals/{id}/refusal: close it without effect; its proposer withdraws it so."""
    actor, registry = admit(request, Permission.PROPOSE).actor, registry_of(request)
    body, proposal = await body_of(request), request.path_params["id"]
    reason = decode(body, Because).reason

    def do() -> Done:
        reachable(registry, actor, title_of(proposal))
        return _settled(registry, proposal, "refused", registry.refuse(proposal, reason, officer=actor))

    return await once(request, actor, [body], do)


async def give_back(request: Request) -> Response:
    """POST /api/v1/proposals/{id}/return: it is to be changed; it is closed, and may be proposed anew."""
    actor, registry = admit(request, Permission.DECIDE).actor, registry_of(request)
    body, proposal = await body_of(request), request.path_params["id"]
    reason = decode(body, Because).reason

    def do() -> Done:
        reachable(registry, actor, title_of(proposal))
        return _settled(registry, proposal, "returned", registry.return_proposal(proposal, reason, officer=actor))

    return await once(request, actor, [body], do)


def _settled(registry: Registry, proposal: str, state: str, title: Title) -> Done:
    status, _ = title.standing(civil_date(registry.clock()))
    item = {"proposal": proposal, "state": state, "title": title.id, "status": status}
    return Done(200, item | {"log_position": registry.log.head()})


def title_of(proposal: str) -> str:
    """The title that a proposal is about, by its id."""
    return proposal.partition(".")[0]


async def list_proposals(request: Request) -> Response:
    """GET /api/v1/proposals: the open ones within reach, oldest first. No person and no reason is shown here."""
    actor, registry = admit(request, Permission.READ_TITLES).actor, registry_of(request)
    query = await reading(request, ProposalsQuery)
    return answer(await run_in_threadpool(_page, registry, actor, query))


def _page(registry: Registry, actor: str, query: ProposalsQuery) -> dict[str, Any]:
    asked = ("proposals", actor)
    after = cursor_from(registry, query.cursor, *asked) if query.cursor else None
    rows = _within_reach(registry, actor, after)
    found = [row for _, row in zip(range(query.limit), rows, strict=False)]
    more = next(rows, None) if len(found) == query.limit else None
    following = cursor_to(registry, _place(found[-1]), *asked) if more else None
    return {"proposals": found, "next": following, "log_position": registry.log.head()}


def _place(row: ProposalRow) -> str:
    return f"{row.proposed_at}|{row.proposal}"


def _within_reach(registry: Registry, actor: str, after: str | None) -> Iterator[ProposalRow]:
    for row in sorted(registry.register.proposals(), key=_place):
        title = registry.log.load(TITLES, row.title, sealed=True) if after is None or _place(row) > after else None
        if title and registry.authorising.sight(actor, Permission.READ_TITLES, title.award.authority) is not None:
            yield row


async def show(request: Request) -> Response:
    """GET /api/v1/proposals/{id}: what an open proposal would do, and the digest that its approver approves."""
    actor, registry = admit(request, Permission.READ_TITLES).actor, registry_of(request)
    query = await reading(request, DecidingQuery)
    return answer(await looked(partial(_show, registry, request.path_params["id"], actor, query.purpose)))


def _show(registry: Registry, proposal: str, actor: str, purpose: Purpose) -> dict[str, Any]:
    found = registry.looking.proposal(proposal, actor=actor, purpose=purpose, door="GET /api/v1/proposals/{id}")
    return _item(found.proposal, found.title, found.name, found.sight)


def _item(proposal: Proposal, title: Title, name: str, sight: Sight) -> dict[str, Any]:
    fact = proposal.fact
    reason = opened if sight is Sight.CLEAR else sealed
    return {
        "proposal": fact.proposal,
        "title": title.id,
        "number": title.award.number,
        "name": name,
        "kind": fact.kind,
        "effective_on": fact.effective_on,
        "document_no": fact.document_no,
        "authority": fact.authority,
        "reason": reason(fact.reason),
        "proposed_by": proposal.proposed_by,
        "proposed_at": proposal.proposed_at,
        "lapses_at": proposal.proposed_at + PROPOSAL_LIFETIME,
        "digest": fact.digest,
        "recorded": title.award,
        "corrected": fact.corrected,
    }


ROUTES = [
    Route("/api/v1/proposals", propose, methods=["POST"]),
    Route("/api/v1/proposals", list_proposals, methods=["GET"]),
    Route("/api/v1/proposals/{id}", show, methods=["GET"]),
    Route("/api/v1/proposals/{id}/approval", approve, methods=["POST"]),
    Route("/api/v1/proposals/{id}/refusal", refuse, methods=["POST"]),
    Route("/api/v1/proposals/{id}/return", give_back, methods=["POST"]),
]
