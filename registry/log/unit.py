"""A unit of work: what it reads stays as read; what it records is appended together with its claims, or not at all."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

from eventsourcing.persistence import StoredEvent

from keys.vault import DataKey
from registry.errors import CorruptHistory, Unavailable, WrongState
from registry.log.changes import Changes, Claim, ClaimTaken, storable
from registry.log.facts import Fact, Recorded
from registry.log.kind import Kind, Loaded
from registry.log.mapper import FactMapper, seal
from registry.terms import new_id

if TYPE_CHECKING:
    from registry.log.log import Log

S = TypeVar("S")

STAGE_EVENTS = 4_000


class Unit:
    """One unit of work: what it has read stays as read, what it records is appended together."""

    def __init__(self, log: "Log", now: datetime, actor: str, command_id: str, cause: str | None) -> None:
        if log.vault is None:
            raise Unavailable("this registry was opened without keys; it can only be read", fix="提供口令后重试")
        self.log, self.now, self.actor, self.command_id, self.cause = log, now, actor, command_id, cause
        self._vault = log.vault
        self._loaded: dict[str, Loaded] = {}
        self._events: list[StoredEvent] = []
        self._taken: dict[Claim, str] = {}
        self._released: dict[Claim, str] = {}
        self._keys: dict[str, DataKey] = {}
        self._new_keys: list[tuple[str, bytes]] = []
        self._started: set[str] = set()
        self._relied: set[str] = set()
        self._destroyed: list[tuple[str]] = []
        self._head: int | None = None
        behind = log.rests_on(actor)
        self._rests = (behind, log.recorder.version(behind)) if behind else None
        self._staging = False
        self._mapper = FactMapper()

    def new_id(self, kind: Kind[Any]) -> str:
        """A new stream id of that kind."""
        return new_id(kind.prefix, self.now)

    def state(self, kind: Kind[S], stream: str) -> S | None:
        """The state of a stream, with what this unit has recorded."""
        if stream not in self._loaded:
            self._loaded[stream] = self.log._load(kind, stream)
            if self._loaded[stream].version and self.log.recorder.wrapped_key(stream):
                self._relied.add(stream)  # who was read as a person must still be one at the end
        return cast("S | None", self._loaded[stream].state)

    def version(self, stream: str) -> int:
        """The version at which a stream that this unit has read stands."""
        return self._loaded[stream].version

    def claimed(self, scope: str, key: str) -> str | None:
        """The stream that holds a claim, with what this unit has recorded."""
        claim = Claim(scope, key)
        if claim in self._taken:
            return self._taken[claim]
        stream = self.log.recorder.claimed(claim)
        return None if self._released.get(claim) == stream else stream

    def last_claim(self, scope: str, prefix: str) -> str | None:
        """The greatest key of a scope with that prefix, with what this unit has recorded."""
        pending = (c.key for c in self._taken if c.scope == scope and c.key.startswith(prefix))
        known = self.log.recorder.last_claim(scope, prefix)
        return max((key for key in (*pending, known) if key), default=None)

    def blind_index(self, text: str) -> str:
        """The keyed index of a personal text."""
        return self._vault.blind_index(text)

    def record(self, kind: Kind[S], stream: str, facts: Sequence[Fact]) -> S:
        """Take up facts of a stream: they are evolved, sealed and appended at the end of the unit. Return the state."""
        before = self.state(kind, stream)
        loaded = self._loaded.get(stream, Loaded(before, 0))
        state, version = cast("S | None", loaded.state), loaded.version
        for fact in facts:
            version += 1
            event = Recorded(stream, version, fact, self.now, self.actor, self.command_id, self.cause)
            state = kind.evolve(state, event)
            sealed = Recorded(
                stream,
                version,
                seal(fact, stream, version, self.data_key),
                self.now,
                self.actor,
                self.command_id,
                self.cause,
            )
            self._events.append(self._mapper.to_stored_event(sealed))
        self._loaded[stream] = Loaded(state, version)
        if facts:
            self._claim(kind, stream, before, state)
        if state is None:
            raise CorruptHistory(f"{stream} has no state and no facts")
        return state

    def start(self, kind: Kind[S], facts: Sequence[Fact], stream: str | None = None) -> str:
        """Begin a new stream with these facts; return its id."""
        stream = stream or self.new_id(kind)
        self._loaded[stream] = Loaded(None, 0)
        self._started.add(stream)
        self.record(kind, stream, facts)
        return stream

    def _claim(self, kind: Kind[S], stream: str, before: S | None, after: Any) -> None:
        index = self._vault.blind_index
        old = kind.claims(before, index) if before is not None else frozenset()
        new = kind.claims(after, index)
        for claim in old - new:
            if self._taken.pop(claim, None) is None:
                self._released[claim] = stream
        for claim in map(storable, new - old):
            # what the log itself holds is caught by the insert; here only this unit's own streams can collide
            holder = self._taken.get(claim, stream)
            if holder != stream:
                raise ClaimTaken(f"{claim.scope} {claim.key} is held by {holder}")
            if self._released.get(claim) == stream:
                del self._released[claim]
            else:
                self._taken[claim] = stream

    def data_key(self, holder: str) -> DataKey:
        """The data key of a holder, a new one for a holder who begins in this unit."""
        if holder not in self._keys:
            found = self.log._data_key(holder)
            if found is None:
                found = self._new_key(holder)
            elif holder not in self._started:
                self._relied.add(holder)
            self._keys[holder] = found
        return self._keys[holder]

    def begin_key(self, stream: str) -> None:
        """Let a stream that is no person have a data key of its own from now on, if it has none.

        Words about the title of a person who was erased are sealed under it.
        """
        self._started.add(stream)

    def destroy_key(self, holder: str) -> None:
        """Destroy the data key of a holder together with what this unit records. No other is ever made for them."""
        self._destroyed.append((holder,))
        self._relied.discard(holder)

    def alone(self) -> None:
        """Let this unit count only if nothing else is recorded from now on until its end; else it runs again."""
        self._head = self.log.head()

    def _new_key(self, holder: str) -> DataKey:
        """Only a holder who begins in this unit gets a key: a destroyed key is never replaced."""
        if holder not in self._started:
            raise WrongState("持证人的个人信息已销毁，不能再记录", fix="核对持证人；已销毁的不能恢复")
        key, wrapped = self._vault.new_data_key(holder)
        self._new_keys.append((holder, wrapped))
        return key

    def flush_if_large(self) -> None:
        """Lay what was recorded by, outside the log, when it is much; memory stays flat in a long import."""
        if len(self._events) >= STAGE_EVENTS and not self._released:
            self._stage()

    def _changes(self) -> Changes:
        taken = [(*claim, stream) for claim, stream in self._taken.items()]
        released = [(*claim, stream) for claim, stream in self._released.items()]
        relied = sorted(self._relied)
        return Changes(self._events, taken, released, self._new_keys, self._destroyed, relied, self._head, self._rests)

    def _stage(self) -> None:
        self._staging = True
        self.log.recorder.stage(self._changes())
        for kept in (self._loaded, self._taken, self._keys, self._started):
            kept.clear()
        self._events, self._new_keys = [], []

    def commit(self) -> None:
        """Append everything this unit recorded, or nothing."""
        if self._staging:
            if self._events:
                self._stage()
            self.log.recorder.insert_staged(sorted(self._relied), self._rests)
        elif self._events:
            self.log.recorder.append(self._changes())

    def close(self) -> None:
        """Forget what was staged but not appended."""
        if self._staging:
            self.log.recorder.drop_staged()
