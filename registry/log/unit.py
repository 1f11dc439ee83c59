"""A unit of work: what it reads stays as read; what it records is appended together with its claims, or not at all."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

from eventsourcing.persistence import StoredEvent

from keys.vault import DataKey
from registry.errors import CorruptHistory, WrongState
from registry.log.ascending import ascending
from registry.log.changes import NOTHING_SEEN, Changes, Claim, ClaimTaken, Seen, storable
from registry.log.facts import Fact, Recorded
from registry.log.kind import Kind, Loaded
from registry.log.mapper import FactMapper, seal
from registry.log.scattered import SCATTERED, Scattered

if TYPE_CHECKING:
    from registry.log.log import Log

S = TypeVar("S")

STAGE_EVENTS = 4_000


class Unit:
    """One unit of work: what it has read stays as read, what it records is appended together."""

    def __init__(
        self,
        log: "Log",
        now: datetime,
        actor: str,
        command_id: str,
        cause: str | None,
        indexes: Mapping[str, str],
        ahead: Sequence["Unit"] = (),
        seen: Seen = NOTHING_SEEN,
    ) -> None:
        self.log, self.now, self.actor, self.command_id, self.cause = log, now, actor, command_id, cause
        self._vault = log.sealing
        self._loaded: dict[str, Loaded] = {}
        self._events: list[StoredEvent] = []
        self._taken: dict[Claim, str] = {}
        self._released: dict[Claim, str] = {}
        self._keys: dict[str, DataKey] = {}
        self._new_keys: list[tuple[str, bytes]] = []
        self._started: set[str] = set()
        self._new: set[str] = set()  # of those started: the ones that did not exist before
        self._relied: set[str] = set()
        self._destroyed: list[tuple[str]] = []
        self._head: int | None = None
        self._ahead = ahead  # those that are appended just before this one, unless they fail
        self._rests = log.resting(actor, ahead, seen)
        self._staging = False
        self._mapper = FactMapper()
        self._ids = ascending(now)
        self._indexes = dict(indexes)
        self._foreseen = seen.holders
        self._laid_by = Scattered()

    def new_id(self, kind: Kind[Any]) -> str:
        """A new stream id of that kind, greater than those before."""
        return f"{kind.prefix}-{next(self._ids)}"

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
        stream = self._foreseen[claim] if claim in self._foreseen else self._look_up(claim)
        return None if self._released.get(claim) == stream else stream

    def _look_up(self, claim: Claim) -> str | None:
        laid_by = self._laid_by.get(claim.key) if claim.scope in SCATTERED and len(self._laid_by) else None
        return laid_by or self.log.recorder.claimed(claim)

    def foresee(self, claims: Iterable[Claim]) -> None:
        """Look up at once what will be asked one after another: `claimed` answers from it until more is foreseen."""
        wanted: dict[str, list[Claim]] = {}
        for claim in claims:
            wanted.setdefault(claim.scope, []).append(claim)
        self._foreseen = foreseen = dict[Claim, str | None]()
        for scope, some in wanted.items():
            held = self.log.recorder.claimants(scope, [claim.key for claim in some]).get
            laid_by = self._laid_by.get if scope in SCATTERED and len(self._laid_by) else _nobody
            foreseen.update((claim, laid_by(claim.key) or held(claim.key)) for claim in some)

    def last_claim(self, scope: str, prefix: str) -> str | None:
        """The greatest key of a scope with that prefix, with what this unit has recorded, and those ahead of it."""
        taken = (claim for unit in (*self._ahead, self) for claim in unit._taken)
        pending = (c.key for c in taken if c.scope == scope and c.key.startswith(prefix))
        known = self.log.recorder.last_claim(scope, prefix)
        return max((key for key in (*pending, known) if key), default=None)

    def blind_index(self, text: str) -> str:
        """The keyed index of a personal text."""
        if text not in self._indexes:
            self._indexes[text] = self._vault.blind_index(text)
        return self._indexes[text]

    def record(self, kind: Kind[S], stream: str, facts: Sequence[Fact]) -> S:
        """Take up facts of a stream: they are evolved, sealed and appended at the end of the unit. Return the state."""
        before = self.state(kind, stream)
        state, version = before, self._loaded[stream].version
        for fact in facts:
            version += 1
            state = self._append(kind, stream, version, fact, state)
        self._loaded[stream] = Loaded(state, version)
        if facts:
            self._claim(kind, stream, before, state)
        if state is None:
            raise CorruptHistory(f"{stream} has no state and no facts")
        return state

    def _append(self, kind: Kind[S], stream: str, version: int, fact: Fact, before: S | None) -> S:
        about = (self.now, self.actor, self.command_id, self.cause)
        sealed = seal(fact, stream, version, self.data_key)
        self._events.append(self._mapper.to_stored_event(Recorded(stream, version, sealed, *about)))
        return kind.evolve(before, Recorded(stream, version, fact, *about))

    def start(self, kind: Kind[S], facts: Sequence[Fact], stream: str | None = None) -> str:
        """Begin a new stream with these facts; return its id."""
        stream = stream or self.new_id(kind)
        self._loaded[stream] = Loaded(None, 0)
        self._started.add(stream)
        self._new.add(stream)
        self.record(kind, stream, facts)
        return stream

    def _claim(self, kind: Kind[S], stream: str, before: S | None, after: Any) -> None:
        index = self.blind_index
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
            found = None if holder in self._new else self.log._data_key(holder)
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
        if self._released or max(len(self._events), len(self._loaded)) < STAGE_EVENTS:
            return
        if self._events:
            self._stage()
        else:
            self._forget()  # only read: it can be read again

    def _changes(self) -> Changes:
        taken = [(*claim, stream) for claim, stream in self._taken.items()]
        released = [(*claim, stream) for claim, stream in self._released.items()]
        relied = () if self._staging else sorted(self._relied)
        return Changes(self._events, taken, released, self._new_keys, self._destroyed, relied, self._head, self._rests)

    def _stage(self) -> None:
        self._staging = True
        self.log.recorder.stage(self._changes())
        for claim, stream in self._taken.items():
            if claim.scope in SCATTERED:
                self._laid_by.put(claim.key, stream)
        self._foreseen = {}
        for kept in (self._taken, self._started, self._new):
            kept.clear()
        self._forget()
        self._events, self._new_keys = [], []

    def _forget(self) -> None:
        for kept in (self._loaded, self._keys, self._indexes):
            kept.clear()

    @property
    def rests(self) -> tuple[str, int] | None:
        """The stream on which the actor's right rests, and the version that this unit saw."""
        return self._rests

    @property
    def staging(self) -> bool:
        """Whether something was laid by."""
        return self._staging

    def changes(self) -> Changes | None:
        """What is left to be appended; None for nothing."""
        return self._changes() if self._events else None

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


def _nobody(_: str) -> None:
    """Nothing was laid by."""
