"""A kind of stream: how it folds, and what its state claims."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from registry.log.changes import Claim
from registry.log.facts import Recorded
from registry.log.mapper import decode
from registry.log.recorder import ClaimedRow

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
    """What the log holds under a claim, as of one moment: its head, the stored events of the stream, and their key."""

    head: int
    rows: Sequence[ClaimedRow]
    wrapped: bytes | None = None

    def events(self) -> list[Recorded[Any]]:
        """The events, sealed. Raise CorruptHistory."""
        return [decode(*row[4:], row[3] or 0) for row in self.rows]
