"""Everything held about one person, for that person (PIPL 45): folded from the log, with the scans, and who looked.

Who looked is one list: officers who saw the person in clear, and verifications, of whose asker nothing is kept.

Held back is only why a decision was proposed while it is still open (PIPL 45 with 18, 35: knowing would stand in its
way); it is in a copy that is made after the decision.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from keys.vault import DataKey
from registry.answers import Channel
from registry.errors import NotFound, WrongState
from registry.holders.holder import HOLDERS, Holder
from registry.holders.person import Identity, Person
from registry.log.facts import NAMES, Private, Recorded
from registry.looks import What
from registry.looks.shown import IN_OFFICE, ON_LINE, ShownLook, shown
from registry.paper.application import Application, PaperSubmitted
from registry.paper.evidence import fetch
from registry.register.rows import name_rows, paper_row, title_row
from registry.requests.request import REQUESTS
from registry.streams import kind_of
from registry.titles.events import DecisionProposed
from registry.titles.state import Title

if TYPE_CHECKING:
    from registry.service import Registry

HELD_BACK = "（尚未作出决定，暂不提供）"
VERIFIER = "凭查验码的核验者"  # whoever had the code; who that is was never kept


class Held(msgspec.Struct, frozen=True):
    """One event about the person: where and when it was recorded, what it is, and all that it says, opened."""

    stream: str
    version: int
    recorded_at: datetime
    actor: str
    what: str
    fact: dict[str, Any]


class HeldScan(msgspec.Struct, frozen=True):
    """A scan that was handed in, with its bytes. `content` None: the file is missing."""

    application: str
    role: str
    media_type: str
    sha256: str
    content: bytes | None


class OwnData(msgspec.Struct, frozen=True, kw_only=True):
    """Everything held about one person at a moment. It can be written as JSON; bytes are base64."""

    made_at: datetime
    log_position: int
    holder: str
    registered_at: datetime
    person: Person
    present_name: str
    former_names: list[str]
    identities: list[Identity]
    titles: list[dict[str, Any]]
    applications: list[dict[str, Any]]
    search_names: list[dict[str, Any]]
    events: list[Held]
    scans: list[HeldScan]
    looks: list[ShownLook]


def lookups(registry: "Registry", holder: str, most: int | None = None) -> list[ShownLook]:
    """Who looked at a person and who verified their certificates: the newest so many (None: all), newest first.

    Raise Unavailable if what is kept of it cannot be read.
    """
    own = (registry.log.load(kind_of(stream), stream) for stream in registry.register.streams_of(holder))
    verified = [_verified(registry, title, most) for title in own if isinstance(title, Title) and title.certificates]
    looks = shown(registry.looks.about(holder), registry.authorising)
    return list(islice(merge(looks, *verified, key=lambda one: one.at, reverse=True), most))


def _verified(registry: "Registry", title: Title, most: int | None) -> Iterator[ShownLook]:
    codes = {one.code[:16]: one.code for one in title.certificates}
    for one in reversed(deque(registry.answers.between(title, title.recorded_at), most)):
        door = IN_OFFICE if one.channel is Channel.CLI else ON_LINE
        yield ShownLook(one.at, VERIFIER, "核验证书", What.DOCUMENT.zh, codes[one.code], door, one.status)


def own_data(registry: "Registry", holder: str) -> OwnData:
    """Everything held about a person. The door has asked who may, and records the look if an officer makes it.

    Raise NotFound, or WrongState for a person who was erased.
    """
    known = registry.log.load(HOLDERS, holder)
    if known is None:
        raise NotFound(f"没有持证人 {holder}", fix="核对")
    if known.erased:
        raise WrongState("该持证人的个人信息已删除，没有可以复制的内容", fix="职称的登记可按证书编号或查验码核验")
    streams = [holder, *registry.register.streams_of(holder), *_requests(registry, holder)]
    states = [registry.log.load(kind_of(stream), stream) for stream in streams]
    return OwnData(
        made_at=registry.clock(),
        log_position=registry.log.head(),
        holder=holder,
        registered_at=known.registered_at,
        person=known.person.reveal(),
        present_name=known.name() or "",
        former_names=[name for name in known.all_names() if name != known.name()],
        identities=known.identities(),
        titles=[_plain(title_row(one, registry.today)) for one in states if isinstance(one, Title)],
        applications=[_plain(paper_row(one)) for one in states if isinstance(one, Application)],
        search_names=[_plain(row) for row in name_rows(known)],
        events=[one for stream, state in zip(streams, states, strict=True) for one in _events(registry, stream, state)],
        scans=list(_scans(registry, known, streams)),
        looks=lookups(registry, holder),
    )


def _requests(registry: "Registry", holder: str) -> list[str]:
    found = ((stream, registry.log.load(REQUESTS, stream)) for stream in registry.log.streams_of(REQUESTS))
    return [stream for stream, one in found if one and one.fact.holder == holder]


def _events(registry: "Registry", stream: str, state: Any) -> Iterator[Held]:
    open_ = {one.fact.proposal for one in state.proposals} if isinstance(state, Title) else set()
    for event in registry.log.history(stream):
        said = _opened(event)
        if isinstance(event.fact, DecisionProposed) and event.fact.proposal in open_:
            said["reason"] = HELD_BACK
        what = NAMES[type(event.fact)]
        yield Held(stream, event.version, event.recorded_at, event.actor, what, said)


def _opened(event: Recorded[Any]) -> dict[str, Any]:
    return {field: _plain(getattr(event.fact, field)) for field in event.fact.__struct_fields__}


def _plain(value: Any) -> Any:
    """A value of ours as JSON has it; a sealed one as what it holds."""
    return msgspec.to_builtins(value.get() if isinstance(value, Private) else value)


def _scans(registry: "Registry", known: Holder, streams: Sequence[str]) -> Iterator[HeldScan]:
    key = registry.log.data_keys()(known.id)
    for stream in streams:
        for event in registry.log.history(stream):
            if isinstance(event.fact, PaperSubmitted) and key is not None:
                yield from _scans_of(registry, event, key)


def _scans_of(registry: "Registry", event: Recorded[PaperSubmitted], key: DataKey) -> Iterator[HeldScan]:
    for one in event.fact.evidence:
        try:
            content = fetch(registry.folder.evidence, event.fact.holder, one, key)
        except FileNotFoundError:
            content = None
        yield HeldScan(event.stream, one.role, one.media_type, one.sha256, content)
