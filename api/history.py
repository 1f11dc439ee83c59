"""For auditors, and for officers in reach: the events of the log as they are stored, and the history of one title.

Both show the recorded and the effective date, the actor, the position and the leaf. The whole log is the city's: who
reads it has the right over the city. Personal fields are sealed there for everybody; the history of one title opens
them for whoever sees the person, and that look is recorded.
"""

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.doors import A_PAGE, HandlingQuery, Limit, Position, Reading, answer, looked, reading
from api.employers import registry_of
from api.signin.principal import admit
from registry.errors import NotFound
from registry.log.facts import ERASED, NAMES, Private, Recorded
from registry.looks import Purpose
from registry.permissions import Permission, Sight
from registry.service import Registry

SEALED = "[sealed]"


class EventsQuery(Reading, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events after a log position, at most so many."""

    after: Position = 0
    limit: Limit = A_PAGE


def event_item(registry: Registry, event: Recorded[Any], shown: Callable[[Private[Any]], Any]) -> dict[str, Any]:
    """One event as JSON; `shown` says what stands for a personal field."""
    return {
        "position": event.position,
        "leaf": _leaf(registry, event.position),
        "stream": event.stream,
        "version": event.version,
        "event": NAMES[type(event.fact)],
        "recorded_at": event.recorded_at,
        "effective_on": _effective(event.fact),
        "actor": event.actor,
        "cause": event.cause,
        "fact": msgspec.to_builtins(event.fact, enc_hook=shown),
    }


def _leaf(registry: Registry, position: int) -> int | None:
    """The leaf index in the transparency log; None until it is sequenced."""
    try:
        return registry.tlog.index_of(position)
    except NotFound:
        return None


def _effective(fact: Any) -> date | None:
    """The effective date: a decision's own, an award's day; None for what has only a recorded one."""
    own: date | None = getattr(fact, "effective_on", None)
    awarded: date | None = getattr(getattr(fact, "award", None), "awarded_on", None)
    return own or awarded


def sealed(_: Private[Any]) -> str:
    """What stands for a personal field where nobody sees it."""
    return SEALED


def opened(private: Private[Any]) -> Any:
    """A personal field in clear, or that it was erased."""
    value = private.get()
    return ERASED if value is None else msgspec.to_builtins(value)


async def events(request: Request) -> Response:
    """GET /api/v1/events?after=&limit=: the log in order, personal fields sealed."""
    registry = registry_of(request)
    admit(request, Permission.READ_HISTORY, registry.catalogue.root.code)
    query = await reading(request, EventsQuery)
    found, head = await run_in_threadpool(_events, registry, query)
    following = found[-1]["position"] if found and found[-1]["position"] < head else None
    return answer({"events": found, "next": following, "log_position": head})


def _events(registry: Registry, query: EventsQuery) -> tuple[list[dict[str, Any]], int]:
    head, found = registry.log.head(), list[dict[str, Any]]()
    for event in registry.log.events(query.after, head):
        found.append(event_item(registry, event, sealed))
        if len(found) == query.limit:
            break
    return found, head


async def history(request: Request) -> Response:
    """GET /api/v1/titles/{id}/history: every event of one title, oldest first; in clear for who sees the person."""
    admitted, registry = admit(request, Permission.READ_HISTORY), registry_of(request)
    query, stream = await reading(request, HandlingQuery), request.path_params["id"]
    look = partial(_history, registry, stream, admitted.actor, query.purpose)
    return answer(await looked(look))


def _history(registry: Registry, stream: str, actor: str, purpose: Purpose) -> dict[str, Any]:
    door, right = "GET /api/v1/titles/{id}/history", Permission.READ_HISTORY
    found = registry.looking.title(stream, actor=actor, purpose=purpose, door=door, permission=right)
    shown = opened if found.sight is Sight.CLEAR else sealed
    items = [event_item(registry, event, shown) for event in registry.history(stream)]
    return {"title": stream, "sight": found.sight, "events": items, "log_position": registry.log.head()}


ROUTES = [
    Route("/api/v1/events", events, methods=["GET"]),
    Route("/api/v1/titles/{id}/history", history, methods=["GET"]),
]
