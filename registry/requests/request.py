"""One request of a holder about their own data: copy, correction, erasure (PIPL 45 to 47). Answered by an officer."""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from registry.errors import BadInput, CorruptHistory, WrongState
from registry.log.changes import Claim
from registry.log.facts import Fact, Private, Recorded, stored
from registry.log.kind import Kind

MOST_CHARACTERS = 2_000

# Events


class RequestKind(StrEnum):
    """What a holder may ask for."""

    COPY = "copy"
    CORRECTION = "correction"
    ERASURE = "erasure"


class Outcome(StrEnum):
    """How a request was answered."""

    DONE = "done"
    REFUSED = "refused"


@stored("data-request-made/1")
class DataRequestMade(Fact, frozen=True, kw_only=True):
    """A holder asked for something about their own data, in their own words."""

    holder: str
    kind: RequestKind
    text: Private[str]


@stored("data-request-answered/1")
class DataRequestAnswered(Fact, frozen=True, kw_only=True):
    """An officer answered; a refusal says why (PIPL 50)."""

    holder: str
    outcome: Outcome
    text: Private[str]


# State


class DataRequest(msgspec.Struct, frozen=True):
    """A request as it stands. `outcome` None: it waits."""

    id: str
    fact: DataRequestMade
    made_at: datetime
    made_by: str
    outcome: Outcome | None = None
    answer: Private[str] | None = None
    answered_by: str | None = None
    answered_at: datetime | None = None


def evolve(request: DataRequest | None, event: Recorded[Any]) -> DataRequest:
    """Fold one fact into the state. Never judges."""
    match request, event.fact:
        case None, DataRequestMade() as fact:
            return DataRequest(event.stream, fact, event.recorded_at, event.actor)
        case DataRequest(), DataRequestAnswered() as fact:
            return msgspec.structs.replace(
                request,
                outcome=fact.outcome,
                answer=fact.text,
                answered_by=event.actor,
                answered_at=event.recorded_at,
            )
    raise CorruptHistory(f"{event.stream} version {event.version}: {type(event.fact).__name__} cannot follow")


def claims(_: DataRequest, __: Callable[[str], str] | None) -> frozenset[Claim]:
    """Nothing to be unique about."""
    return frozenset()


REQUESTS = Kind("request", evolve, claims)

# Decide


def make(holder: str, kind: RequestKind, text: str) -> Sequence[Fact]:
    """Make a request. Raise BadInput without words, or with more than 2,000 characters."""
    if not text.strip() or len(text) > MOST_CHARACTERS:
        raise BadInput(f"请写明请求的内容（最多 {MOST_CHARACTERS} 字）", fix="写明要复制、更正或删除哪一项，以及理由")
    return [DataRequestMade(holder=holder, kind=kind, text=Private(text.strip()))]


def answer(request: DataRequest, outcome: Outcome, text: str) -> Sequence[Fact]:
    """Answer a request once; the same answer again is no fact. Raise BadInput without words, WrongState otherwise."""
    if not text.strip():
        raise BadInput("缺少答复的内容", fix="写明如何处理；不同意的须说明理由（个人信息保护法第五十条）")
    if request.outcome is not None:
        if (request.outcome, request.answer.get() if request.answer else None) == (outcome, text.strip()):
            return []
        raise WrongState("该请求已经答复", fix="查看已有的答复")
    return [DataRequestAnswered(holder=request.fact.holder, outcome=outcome, text=Private(text.strip()))]
