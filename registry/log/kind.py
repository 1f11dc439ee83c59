"""A kind of stream: how it folds, and what its state claims."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from registry.log.changes import Claim
from registry.log.facts import Recorded

S = TypeVar("S")


@dataclass(frozen=True)
class Kind(Generic[S]):
    """A kind of stream: its id prefix, its fold, and the claims that a state holds.

    `claims` gets the state and the blind index, or None where no key is at hand (then identity claims are left out).
    """

    prefix: str
    evolve: Callable[[S | None, Recorded[Any]], S]
    claims: Callable[[S, Callable[[str], str] | None], frozenset[Claim]]


class Loaded(NamedTuple):
    """A state and the version it stands at."""

    state: Any
    version: int


class Found(NamedTuple):
    """What the log holds under a claim, as of one moment: its head, the events of the stream, sealed, and their key."""

    head: int
    events: list[Recorded[Any]]
    wrapped: bytes | None = None
