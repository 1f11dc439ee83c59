"""For officers: search and look titles and holders up, award, issue certificates and get them again.

Whoever sees persons within an authority sees them in clear there, and each such look is recorded with its purpose;
others see masked names. An identity number is never in an address: it is looked up by POST.
"""

from functools import partial
from typing import Annotated, Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.asking import body_of, decode
from api.awards import Award, award_of
from api.certificates import certificate_item
from api.doors import (
    A_PAGE,
    Cursor,
    HandlingQuery,
    Limit,
    Reading,
    Short,
    answer,
    cursor_from,
    cursor_to,
    known_authority,
    looked,
    reading,
)
from api.employers import registry_of
from api.history import opened, sealed
from api.idempotency import Done, once
from api.paperform import identity_of
from api.signin.principal import admit
from registry.errors import Forbidden, NotFound
from registry.holders.holder import Holder
from registry.holders.identity import mask
from registry.holders.person import Identity
from registry.looks import Purpose
from registry.permissions import Permission, Sight
from registry.register.register import Query
from registry.service import Registry
from registry.terms import IdentityKind, Level, Status
from registry.titles.state import Title

_PDF = "application/pdf"


class TitlesQuery(Reading, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What titles to look for, a page of them, and why, where that is another reason than the door's."""

    number: Short | None = None
    holder: Short | None = None
    name: Short | None = None
    series: Short | None = None
    specialty: Short | None = None
    level: Level | None = None
    year: Annotated[int, msgspec.Meta(ge=1900, le=2999)] | None = None
    authority: Short | None = None
    status: Status | None = None
    limit: Limit = A_PAGE
    cursor: Cursor | None = None
    purpose: Purpose = Purpose.SEARCH


class HolderSearch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An identity number to look up, and why."""

    identity: Short
    identity_kind: IdentityKind | None = None
    country: Short | None = None
    purpose: Purpose = Purpose.SEARCH


# looking up


async def search(request: Request) -> Response:
    """GET /api/v1/titles: the titles within reach that match, a page at a time."""
    actor, registry = admit(request, Permission.READ_TITLES).actor, registry_of(request)
    query = await reading(request, TitlesQuery)
    return answer(await run_in_threadpool(_search, registry, actor, query))


def _search(registry: Registry, actor: str, query: TitlesQuery) -> dict[str, Any]:
    wanted = Query(**{name: getattr(query, name) for name in Query.__struct_fields__})
    asked = ("titles", actor, wanted)
    after = cursor_from(registry, query.cursor, *asked) if query.cursor else None
    found = registry.looking.search(
        wanted, actor=actor, purpose=query.purpose, door="GET /api/v1/titles", limit=query.limit, cursor=after
    )
    items = [{"name": name, **msgspec.to_builtins(row)} for row, name in found.rows]
    following = cursor_to(registry, found.next, *asked) if found.next else None
    return {"titles": items, "next": following, "log_position": registry.log.head()}


async def show_title(request: Request) -> Response:
    """GET /api/v1/titles/{id}: one title as it stands today, with its certificates and open proposals."""
    actor, registry = admit(request, Permission.READ_TITLES).actor, registry_of(request)
    query = await reading(request, HandlingQuery)
    return answer(await looked(partial(_show_title, registry, request.path_params["id"], actor, query.purpose)))


def _show_title(registry: Registry, stream: str, actor: str, purpose: Purpose) -> dict[str, Any]:
    found = registry.looking.title(stream, actor=actor, purpose=purpose, door="GET /api/v1/titles/{id}")
    return title_item(registry, found.title, found.name, found.sight)


def title_item(registry: Registry, title: Title, name: str, sight: Sight) -> dict[str, Any]:
    """A title as JSON, on this day; what is personal in it as far as it is seen."""
    status, decision = title.standing(registry.today)
    shown = opened if sight is Sight.CLEAR else sealed
    return {
        "title": title.id,
        "holder": title.holder,
        "name": name,
        "award": title.award,
        "paper": title.paper,
        "employer": shown(title.employer) if title.employer else None,
        "status": status,
        "decision": decision.fact if decision else None,
        "certificates": [certificate_item(one) for one in title.certificates if one.signature],
        "proposals": [one.fact.proposal for one in title.proposals],
        "log_position": registry.log.head(),
    }


async def find_holder(request: Request) -> Response:
    """POST /api/v1/holders/search: the holder with this identity number, or none within reach."""
    admitted, registry = admit(request, Permission.READ_TITLES), registry_of(request)
    if admitted.sight is not Sight.CLEAR:
        raise Forbidden("按证件号码查询，只供经办该事项的人员使用", fix="按编号查询，或由有权的人员办理")
    said: HolderSearch = decode(await body_of(request), HolderSearch)
    identity = identity_of(registry, said.identity, said.identity_kind, said.country, confirmed=True)
    found = await run_in_threadpool(_found_by, registry, identity, admitted.actor, said.purpose)
    return answer({"holders": [found] if found else [], "log_position": registry.log.head()})


def _found_by(registry: Registry, identity: Identity, actor: str, purpose: Purpose) -> dict[str, Any] | None:
    """The holder, if they are in clear reach; what is found out of it is as if it were not there."""
    stream = registry.holder_of(identity)
    try:
        found = registry.looking.holder(stream or "", actor=actor, purpose=purpose, door="POST /api/v1/holders/search")
    except (Forbidden, NotFound):
        return None
    return holder_item(found.holder, found.name, found.sight) if found.sight is Sight.CLEAR else None


async def show_holder(request: Request) -> Response:
    """GET /api/v1/holders/{id}: a person: names with their documents, masked identity numbers."""
    actor, registry = admit(request, Permission.READ_TITLES).actor, registry_of(request)
    query = await reading(request, HandlingQuery)
    return answer(await looked(partial(_show_holder, registry, request.path_params["id"], actor, query.purpose)))


def _show_holder(registry: Registry, stream: str, actor: str, purpose: Purpose) -> dict[str, Any]:
    found = registry.looking.holder(stream, actor=actor, purpose=purpose, door="GET /api/v1/holders/{id}")
    return holder_item(found.holder, found.name, found.sight)


def holder_item(holder: Holder, name: str, sight: Sight) -> dict[str, Any]:
    """A person as JSON; numbers are masked for everybody, and left out with former names where names are masked."""
    clear = sight is Sight.CLEAR
    numbers = [{"kind": one.kind, "number": mask(one), "confirmed": one.confirmed} for one in holder.identities()]
    names = [
        {
            "name": opened(change.name),
            "basis": change.basis,
            "document_no": change.document_no,
            "effective_on": change.effective_on,
            "recorded_at": change.recorded_at,
        }
        for change in holder.names
    ]
    shown = {"identities": numbers if clear else [], "names": names if clear else []}
    return {"holder": holder.id, "name": name, "registered_at": holder.registered_at} | shown


# awards


async def award(request: Request) -> Response:
    """POST /api/v1/awards: one award, judged by the rules of a list; the same award again is that title."""
    actor, registry = admit(request, Permission.AWARD).actor, registry_of(request)
    body = await body_of(request)
    said: Award = decode(body, Award)
    admit(request, Permission.AWARD, known_authority(registry, said.authority))

    def do() -> Done:
        stream = registry.award(award_of(registry, said), officer=actor)
        item = {"title": stream, "number": registry.title(stream).award.number, "log_position": registry.log.head()}
        return Done(201, item, f"/api/v1/titles/{stream}")

    return await once(request, actor, [body], do)


ROUTES = [
    Route("/api/v1/titles", search, methods=["GET"]),
    Route("/api/v1/titles/{id}", show_title, methods=["GET"]),
    Route("/api/v1/holders/search", find_holder, methods=["POST"]),
    Route("/api/v1/holders/{id}", show_holder, methods=["GET"]),
    Route("/api/v1/awards", award, methods=["POST"]),
]
