"""The append-only log: load a stream, decide, append with claims in one transaction, retry a bounded number of times.

This package is the only place that knows the event store library. A caller works in units:

    def body(unit):
        title = unit.state(TITLES, stream)
        unit.record(TITLES, stream, decide(command, title))
    log.transact(body, actor="clerk-01")

The body may run again when another process was faster, so it must only read, decide and record.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.persistence import IntegrityError, Mapper, OperationalError, StoredEvent
from eventsourcing.utils import Environment

from keys.vault import DataKey, Vault
from registry.errors import CorruptHistory, Unavailable, WrongState
from registry.log.facts import Fact, Recorded
from registry.log.mapper import FactMapper, decode, seal, unseal
from registry.log.recorder import Changes, Claim, ClaimTaken, LogRecorder
from registry.terms import new_id, utc_now

S = TypeVar("S")
T = TypeVar("T")

ATTEMPTS = 8
STAGE_EVENTS = 4_000


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
    """What the log holds under a claim, as of one moment: its head, and the events of the stream, sealed."""

    head: int
    events: list[Recorded[Any]]


class _Store(Application[str]):
    """The library's application, put together with our mapper and our recorder."""

    name = "title-registry"

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__(env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)})

    def construct_env(self, name: str, env: Any = None) -> Environment:
        """Take nothing from the process environment: a stray variable must not change the store."""
        return Environment(name, dict(env or {}))

    def construct_mapper(self) -> Mapper[str]:
        """Our mapper writes msgspec JSON with sealed boxes."""
        return FactMapper()

    def construct_recorder(self) -> LogRecorder:
        """Our recorder keeps claims and data keys beside the events."""
        recorder = LogRecorder(self._path)
        recorder.create_table()
        return recorder


class Log:
    """The log of one registry. `vault` None: personal fields stay sealed and nothing can be appended."""

    def __init__(self, path: Path, vault: Vault | None, clock: Callable[[], datetime] = utc_now) -> None:
        try:
            self._store = _Store(path)
        except OperationalError as error:
            raise Unavailable(f"the store {path} cannot be opened: {error}", fix="检查路径、权限和磁盘") from error
        self.recorder = cast("LogRecorder", self._store.recorder)
        self.vault, self.clock, self.path = vault, clock, path

    def close(self) -> None:
        """Close this thread's connection."""
        self.recorder.close()
        self._store.close()

    # reading

    def head(self) -> int:
        """The position of the newest event; 0 when there is none."""
        return self.recorder.max_notification_id()

    def snapshot(self) -> AbstractContextManager[None]:
        """Read several things as of one moment."""
        return self.recorder.snapshot()

    def claimed(self, scope: str, key: str) -> str | None:
        """The stream that holds the claim, or None."""
        return self.recorder.claimed(Claim(scope, key))

    def find(self, scope: str, key: str) -> Found:
        """The events of the stream that holds a claim, and the head, in one read; no events if no stream holds it."""
        rows = self.recorder.rows_claimed(Claim(scope, key))
        head = rows[0][0] if rows else self.head()
        return Found(head, [decode(stream, version, name, state, at) for _, at, stream, version, name, state in rows])

    def opened(self, event: Recorded[Any]) -> Recorded[Any]:
        """The event with its personal fields open; sealed as it is when the data key was destroyed."""
        return unseal(event, self._data_key)

    def load(self, kind: Kind[S], stream: str, *, known_at: datetime | None = None, sealed: bool = False) -> S | None:
        """Fold one stream from its events, as known at a recorded time; None if it has none by then.

        Personal fields are opened where the data key still exists, unless `sealed`.
        """
        return cast("S | None", self._load(kind, stream, known_at, sealed).state)

    def _load(self, kind: Kind[Any], stream: str, known_at: datetime | None = None, sealed: bool = False) -> Loaded:
        if not stream.startswith(kind.prefix + "-"):
            return Loaded(None, 0)
        fold = partial(self._fold, kind, known_at, None if sealed else self.data_keys())
        try:
            return cast("Loaded", self._store.repository.get(stream, projector_func=fold))
        except AggregateNotFoundError:
            return Loaded(None, 0)

    @staticmethod
    def _fold(
        kind: Kind[Any],
        known_at: datetime | None,
        key_of: Callable[[str], DataKey | None] | None,
        _: Any,
        events: Iterable[Any],
    ) -> Loaded | None:
        state, version = None, 0
        for event in as_known(events, known_at):
            state, version = kind.evolve(state, unseal(event, key_of) if key_of else event), event.version
        return Loaded(state, version) if version else None

    def data_keys(self) -> Callable[[str], DataKey | None]:
        """Return a look-up of data keys that asks the store once a holder. A destroyed key is None."""
        known: dict[str, DataKey | None] = {}

        def key_of(holder: str) -> DataKey | None:
            if holder not in known:
                known[holder] = self._data_key(holder)
            return known[holder]

        return key_of

    def _data_key(self, holder: str) -> DataKey | None:
        wrapped = self.recorder.wrapped_key(holder) if self.vault else None
        return self.vault.unwrap(holder, wrapped) if self.vault and wrapped else None

    def history(self, stream: str) -> list[Recorded[Any]]:
        """The events of one stream, opened where the data key exists."""
        key_of = self.data_keys()
        return [unseal(cast("Recorded[Any]", event), key_of) for event in self._store.events.get(stream)]

    def events(self, after: int, up_to: int) -> Iterator[Recorded[Any]]:
        """Events in log order between two positions, sealed, in flat memory."""
        for position, stream, version, name, state in self.recorder.rows_by_position(after, up_to):
            yield decode(stream, version, name, state, position)

    def streams(self, up_to: int) -> Iterator[tuple[str, list[Recorded[Any]]]]:
        """Every stream with its events up to a position, sealed, in flat memory."""
        current, events = "", list[Recorded[Any]]()
        for position, stream, version, name, state in self.recorder.rows_by_stream(up_to):
            if stream != current:
                if events:
                    yield current, events
                current, events = stream, []
            events.append(decode(stream, version, name, state, position))
        if events:
            yield current, events

    # writing

    def transact(
        self,
        body: "Callable[[Unit], T]",
        *,
        actor: str,
        command_id: str | None = None,
        cause: str | None = None,
        dry_run: bool = False,
    ) -> T:
        """Run the body and append what it recorded, all or nothing; run it again when another writer was faster.

        A dry run does everything but the append.

        Raise whatever the body raises (nothing is written then), and Unavailable after 8 attempts or a full lock wait.
        """
        now = self.clock()
        command_id = command_id or new_id("command", now)
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, 0.002 * 2**attempt))  # noqa: S311 - spreads writers, no secret
            unit = Unit(self, now, actor, command_id, cause)
            try:
                result = body(unit)
                if not dry_run:
                    unit.commit()
                return result
            except (IntegrityError, ClaimTaken):
                continue
            except OperationalError as error:
                raise Unavailable(f"the store did not take the write: {error}", fix="稍后再试") from error
            finally:
                unit.close()
        raise Unavailable("other writers were faster eight times in a row", fix="稍后再试")


def as_known(events: Iterable[Recorded[Any]], known_at: datetime | None) -> Iterable[Recorded[Any]]:
    """The events of a stream as known at a recorded time; None: all.

    It ends at the first later one. Order is the log's: a clock that was set back must not leave a gap in a history.
    """
    if known_at is None:
        return events
    return takewhile(lambda event: event.recorded_at <= known_at, events)


class Unit:
    """One unit of work: what it has read stays as read, what it records is appended together."""

    def __init__(self, log: Log, now: datetime, actor: str, command_id: str, cause: str | None) -> None:
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
        self._staging = False
        self._mapper = FactMapper()

    def new_id(self, kind: Kind[Any]) -> str:
        """A new stream id of that kind."""
        return new_id(kind.prefix, self.now)

    def state(self, kind: Kind[S], stream: str) -> S | None:
        """The state of a stream, with what this unit has recorded."""
        if stream not in self._loaded:
            self._loaded[stream] = self.log._load(kind, stream)
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
        for claim in new - old:
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
            self._keys[holder] = found
        return self._keys[holder]

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
        return Changes(self._events, taken, released, self._new_keys)

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
            self.log.recorder.insert_staged()
        elif self._events:
            events, *rest = self._changes()
            self.log.recorder.insert_events(events, **dict(zip(Changes._fields[1:], rest, strict=True)))

    def close(self) -> None:
        """Forget what was staged but not appended."""
        if self._staging:
            self.log.recorder.drop_staged()
