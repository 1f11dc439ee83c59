"""The one stream that says which keys count: each key set document as it was published, with its approvals.

The document is the canonical text that the approvers signed; `keys/keyset.py` reads and checks it.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from registry.errors import CorruptHistory
from registry.log.changes import Claim
from registry.log.facts import Fact, Recorded, stored
from registry.log.kind import Kind

STREAM = "keyset-published"


class Approval(msgspec.Struct, frozen=True):
    """The signature of one approver over the document."""

    kid: str
    signature: bytes


@stored("key-set-published/1")
class KeySetPublished(Fact, frozen=True, kw_only=True):
    """A key set document came into force, with enough approvals of the one before it."""

    version: int
    document: str
    approvals: tuple[Approval, ...]


class KeySets(msgspec.Struct, frozen=True):
    """Every key set document that has been in force, oldest first."""

    published: tuple[KeySetPublished, ...]


def evolve(sets: KeySets | None, event: Recorded[Any]) -> KeySets:
    """Fold one fact into the state. Never judges."""
    if not isinstance(event.fact, KeySetPublished):
        raise CorruptHistory(f"{event.stream} version {event.version}: {type(event.fact).__name__} cannot follow")
    return KeySets((*(sets.published if sets else ()), event.fact))


def claims(_: KeySets, __: Callable[[str], str] | None) -> frozenset[Claim]:
    """Nothing to be unique about."""
    return frozenset()


KEYSETS = Kind("keyset", evolve, claims)
