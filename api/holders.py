"""For a holder: their own titles and certificates, who looked, and requests about their data (PIPL 44 to 47).

The asker is the holder's own stream: there is no id of a person in any address, so nobody else's can be asked for.
"""

from functools import partial
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.asking import body_of, decode
from api.certificates import certificate_of, printing_of
from api.doors import MOST_A_PAGE, Long, Reading, answer, attachment, hidden, looked, reading
from api.employers import registry_of
from api.history import opened
from api.idempotency import Done, once
from api.officers import title_item
from api.signin.principal import admit
from registry import personal
from registry.permissions import Permission, Sight
from registry.register.register import Query
from registry.requests.request import DataRequest, RequestKind
from registry.service import Registry
from registry.titles.state import Certificate, Title

_MOST_TITLES = 1_000


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a holder asks for about their own data, in their own words."""

    kind: RequestKind
    text: Long


async def titles(request: Request) -> Response:
    """GET /api/v1/me/titles: every title of the asker, with its certificates."""
    actor, registry = admit(request, Permission.READ_OWN).actor, registry_of(request)
    await reading(request, Reading)
    return answer(await run_in_threadpool(_titles, registry, actor))


def _titles(registry: Registry, actor: str) -> dict[str, Any]:
    name = registry.holder(actor).name() or ""
    items = [title_item(registry, title, name, Sight.CLEAR) for title in _own(registry, actor)]
    for item in items:
        del item["proposals"]  # what is being considered is told when it is decided
    return {"titles": items, "log_position": registry.log.head()}


def _own(registry: Registry, actor: str) -> list[Title]:
    found = registry.register.search(Query(holder=actor), today=registry.today, limit=_MOST_TITLES)
    return [registry.title(row.title) for row, _ in found.rows]


async def certificate_pdf(request: Request) -> Response:
    """GET /api/v1/me/certificates/{id}.pdf: the document of one of the asker's own certificates, by its code."""
    actor, registry = admit(request, Permission.READ_OWN).actor, registry_of(request)
    await reading(request, Reading)
    certificate = await looked(partial(_own_certificate, registry, actor, request.path_params["id"]))
    data = await run_in_threadpool(printing_of(request).pdf, registry, certificate)
    return attachment(data, "application/pdf", f"{certificate.code}.pdf")


def _own_certificate(registry: Registry, actor: str, code: str) -> Certificate:
    title, certificate = certificate_of(registry, code)
    if title.holder != actor:
        raise hidden()
    return certificate


async def lookups(request: Request) -> Response:
    """GET /api/v1/me/lookups: who looked at the asker's data, who verified a certificate of theirs, and for what."""
    actor, registry = admit(request, Permission.READ_OWN).actor, registry_of(request)
    await reading(request, Reading)
    return answer(await run_in_threadpool(_lookups, registry, actor))


def _lookups(registry: Registry, actor: str) -> dict[str, Any]:
    return {"lookups": personal.lookups(registry, actor, MOST_A_PAGE), "log_position": registry.log.head()}


async def data(request: Request) -> Response:
    """GET /api/v1/me/data: everything held about the asker, as a file to save (PIPL 45), after a fresh sign-in."""
    actor, registry = admit(request, Permission.READ_OWN, fresh=True).actor, registry_of(request)
    await reading(request, Reading)
    return attachment(await run_in_threadpool(_data, registry, actor), "application/json", "my-data.json")


def _data(registry: Registry, actor: str) -> bytes:
    return msgspec.json.encode(personal.own_data(registry, actor))


async def ask(request: Request) -> Response:
    """POST /api/v1/me/requests: ask for a copy, a correction or an erasure; an officer answers."""
    actor, registry = admit(request, Permission.READ_OWN).actor, registry_of(request)
    body = await body_of(request)
    said: Asked = decode(body, Asked)

    def do() -> Done:
        made = registry.requesting.make(actor, said.kind, said.text, officer=actor)
        return Done(201, {"request": made, "log_position": registry.log.head()}, "/api/v1/me/requests")

    return await once(request, actor, [body], do)


async def requests(request: Request) -> Response:
    """GET /api/v1/me/requests: what the asker asked for, and the answers."""
    actor, registry = admit(request, Permission.READ_OWN).actor, registry_of(request)
    await reading(request, Reading)
    return answer(await run_in_threadpool(_requests, registry, actor))


def _requests(registry: Registry, actor: str) -> dict[str, Any]:
    items = [_item(found) for found in registry.requesting.all(actor)]
    return {"requests": items, "log_position": registry.log.head()}


def _item(found: DataRequest) -> dict[str, Any]:
    return {
        "request": found.id,
        "kind": found.fact.kind,
        "text": opened(found.fact.text),
        "made_at": found.made_at,
        "outcome": found.outcome,
        "answer": opened(found.answer) if found.answer else None,
        "answered_at": found.answered_at,
    }


ROUTES = [
    Route("/api/v1/me/titles", titles, methods=["GET"]),
    Route("/api/v1/me/certificates/{id}.pdf", certificate_pdf, methods=["GET"]),
    Route("/api/v1/me/lookups", lookups, methods=["GET"]),
    Route("/api/v1/me/data", data, methods=["GET"]),
    Route("/api/v1/me/requests", ask, methods=["POST"]),
    Route("/api/v1/me/requests", requests, methods=["GET"]),
]
