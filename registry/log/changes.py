"""What one write does, and what may stand in its way: the same words for every engine."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from eventsourcing.persistence import IntegrityError, StoredEvent

from registry.errors import BadInput, Unavailable


class Claim(NamedTuple):
    """A right to be the only one: (scope, key) belongs to one stream."""

    scope: str
    key: str


MOST_OF_A_KEY = 1_000
"""Bytes: what every engine can hold in an index."""


def storable(claim: Claim) -> Claim:
    """The claim, if every engine can hold it. Raise BadInput for NUL, lone surrogates, more than 1,000 bytes."""
    if not can_be_held(claim.key):
        raise BadInput("编号或名称过长，或含有不能保存的字符", fix="核对后重新录入")
    return claim


def can_be_held(key: str) -> bool:
    """Whether a claim can have this key; nobody holds any other."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size <= MOST_OF_A_KEY and "\0" not in key


class ClaimTaken(IntegrityError):
    """Another stream holds a claim that this write needs."""


class Overtaken(IntegrityError):
    """Another writer came between, and what this write rests on may be so no longer."""


MOVED = "this store was moved"
"""What the engine says of a store whose events go on elsewhere; a trigger refuses every append."""


def moved(said: str) -> Unavailable:
    """The error for a store that was moved away: trying again does not help."""
    fix = "用现在的数据文件夹和它的设置（config.json 的 database）"
    return Unavailable(f"这个数据库已经迁走，不再写入：{said}", fix=fix)


class Changes(NamedTuple):
    """What one write does, all of it or nothing: events, claims taken and released, data keys made and destroyed.

    It rests on the data keys in `relied`, which must still be there, on `head`, if it is one, being the newest, and on
    a stream, if one is named in `rests`, standing at that version.
    """

    events: Sequence[StoredEvent]
    taken: Sequence[tuple[str, str, str]] = ()
    released: Sequence[tuple[str, str, str]] = ()
    data_keys: Sequence[tuple[str, bytes]] = ()
    destroyed: Sequence[tuple[str]] = ()
    relied: Sequence[str] = ()
    head: int | None = None
    rests: tuple[str, int] | None = None


class Foresight(NamedTuple):
    """What a unit of work is going to ask for: who holds these claims. With the blind indexes in them, by text."""

    claims: Sequence[Claim] = ()
    indexes: Mapping[str, str] = {}


class Seen(NamedTuple):
    """What was looked up at one moment: who holds some claims (None: nobody), and where some streams stand."""

    holders: Mapping[Claim, str | None] = {}
    versions: Mapping[str, int] = {}


NOTHING_FORESEEN, NOTHING_SEEN = Foresight(), Seen()

Outcome = range | Exception
"""The positions of a write's events, or why it was not written."""


def independent(batch: Sequence[Changes]) -> bool:
    """Whether these writes may be checked and appended together: none rests on what another of them changes."""
    written = {str(event.originator_id) for changes in batch for event in changes.events}
    destroyed = {holder for changes in batch for (holder,) in changes.destroyed}
    return not any(
        changes.head is not None
        or (changes.rests is not None and changes.rests[0] in written)
        or not destroyed.isdisjoint(changes.relied)
        for changes in batch
    )


def together(batch: Sequence[Changes]) -> Changes:
    """One write that does what all of them do; its `rests` are asked of each before."""
    events, taken, released, keys, destroyed, relied = (
        [one for changes in batch for one in changes[column]]  # type: ignore[union-attr]
        for column in range(6)
    )
    return Changes(events, taken, released, keys, destroyed, relied)  # type: ignore[arg-type]
