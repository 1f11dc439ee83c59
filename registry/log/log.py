"""The append-only log: load a stream, decide, append with claims in one transaction, retry a bounded number of times.

This package is the only place that knows the event store library. A caller works in units:

    def body(unit):
        title = unit.state(TITLES, stream)
        unit.record(TITLES, stream, decide(command, title))
    log.transact(body, actor="clerk-01")

The body may run again when another process was faster, so it must only read, decide and record.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from itertools import groupby, takewhile
from operator import itemgetter
from typing import Any, TypeVar, cast

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.persistence import IntegrityError, Mapper, OperationalError
from eventsourcing.utils import Environment

from keys.vault import DataKey, Vault
from registry.errors import Unavailable
from registry.log.changes import NOTHING_FORESEEN, Claim, Foresight, Seen, can_be_held
from registry.log.engine import Place, recorder_at
from registry.log.facts import Recorded
from registry.log.grouping import Line, Turn
from registry.log.kind import Found, Kind, Loaded
from registry.log.mapper import FactMapper, decode, open_field, unseal
from registry.log.recorder import ClaimedRow, LogRecorder
from registry.log.unit import Unit
from registry.terms import new_id, utc_now

S = TypeVar("S")
T = TypeVar("T")

KnownAt = datetime | int
"""How much of the log was known: what was recorded up to an instant, or up to and with a log position (0: nothing)."""

ATTEMPTS = 8
MOST_KEPT = 1_000  # states that `current` keeps


class _Store(Application[str]):
    """The library's application, put together with our mapper and our recorder."""

    name = "title-registry"

    def __init__(self, place: Place) -> None:
        self._place = place
        super().__init__(env={"PERSISTENCE_MODULE": "eventsourcing.popo"})

    def construct_env(self, name: str, env: Any = None) -> Environment:
        """Take nothing from the process environment: a stray variable must not change the store."""
        return Environment(name, dict(env or {}))

    def construct_mapper(self) -> Mapper[str]:
        """Our mapper writes msgspec JSON with sealed boxes."""
        return FactMapper()

    def construct_recorder(self) -> LogRecorder:
        """Our recorder keeps claims and data keys beside the events."""
        return recorder_at(self._place)


class Rehearsed(Exception):
    """A rehearsed unit of work passed every check and was not appended. `result` is what its body returned."""

    def __init__(self, result: Any) -> None:
        super().__init__("rehearsed")
        self.result = result


class Log:
    """The log of one registry. `vault` None: personal fields stay sealed and nothing can be appended.

    `gate` is asked before anything is looked up or appended; it raises if this copy must not be relied on. `rests_on`
    names the stream on which an actor's right to write rests: what a unit recorded counts only if that stream stands at
    its end as at its beginning, else the unit runs again.
    """

    def __init__(self, place: Place, vault: Vault | None, clock: Callable[[], datetime] = utc_now) -> None:
        try:
            self._store = _Store(place)
        except OperationalError as error:
            raise Unavailable(f"the store {place} cannot be opened: {error}", fix="检查路径、权限和磁盘") from error
        self.recorder = cast("LogRecorder", self._store.recorder)
        self.vault, self.clock = vault, clock
        self.gate: Callable[[], None] = _open_gate
        self.rests_on: Callable[[str], str | None] = _on_nothing
        self.rehearsing = False  # a rehearsal appends nothing: what passes every check raises Rehearsed
        self._kept: dict[str, Loaded] = {}
        self._line, self._here = Line(self.recorder), _Here()

    def close(self) -> None:
        """Close this thread's connection."""
        self._line.close()
        self.recorder.close()
        self._store.close()

    @property
    def sealing(self) -> Vault:
        """The vault, for whoever writes. Raise Unavailable if the log was opened without keys."""
        if self.vault is None:
            raise Unavailable("this registry was opened without keys; it can only be read", fix="提供口令后重试")
        return self.vault

    def require(self) -> None:
        """Ask the gate; not within a snapshot, whose moment is fixed, whatever is signed meanwhile."""
        if not self.recorder.in_snapshot:
            self.gate()

    # reading

    def head(self) -> int:
        """The position of the newest event; 0 when there is none."""
        return self.recorder.max_notification_id()

    def snapshot(self) -> AbstractContextManager[None]:
        """Read several things as of one moment."""
        return self.recorder.snapshot()

    def claimed(self, scope: str, key: str) -> str | None:
        """The stream that holds the claim, or None."""
        self.require()
        return self.recorder.claimed(Claim(scope, key))

    def find(self, scope: str, keys: Sequence[str]) -> list[Found]:
        """For each key the events of the stream that holds it, and the head, in one read; no events if none does."""
        self.require()
        rows = self.recorder.rows_claimed(scope, [key if can_be_held(key) else "" for key in keys])
        if len(keys) == 1:
            return [_found(rows)]
        return [_found(list(some)) for _, some in groupby(rows, key=itemgetter(0))]

    def opened(self, event: Recorded[Any], field: str, wrapped: bytes | None) -> Any:
        """The personal value of one field, by its holder's wrapped key; None when that was destroyed."""
        if wrapped is None or self.vault is None:
            return None
        return open_field(event, field, self.vault.unwrap(event.fact.holder, wrapped))

    def moment(self, known_at: KnownAt | None) -> datetime | None:
        """The recorded time that was known up to: of a position that of its event; None for now, or for no event."""
        if not isinstance(known_at, int):
            return known_at
        rows = self.recorder.rows_by_position(known_at - 1, known_at)
        return next((decode(*row[1:], row[0]).recorded_at for row in rows), None)

    def load(self, kind: Kind[S], stream: str, *, known_at: KnownAt | None = None, sealed: bool = False) -> S | None:
        """Fold one stream from its events, as known at a recorded time or log position; None if it has none by then.

        Personal fields are opened where the data key still exists, unless `sealed`.
        """
        return cast("S | None", self._load(kind, stream, known_at, sealed).state)

    def _load(self, kind: Kind[Any], stream: str, known_at: KnownAt | None = None, sealed: bool = False) -> Loaded:
        self.require()
        if not stream.startswith(kind.prefix + "-"):
            return Loaded(None, 0)
        fold = partial(self._fold, kind, known_at, None if sealed else self.data_keys())
        try:
            return cast("Loaded", self._store.repository.get(stream, projector_func=fold))
        except AggregateNotFoundError:
            return Loaded(None, 0)

    def current(self, kind: Kind[S], stream: str) -> S | None:
        """The state of a stream that is asked for again and again: kept, and folded anew when the stream has grown."""
        version = self._version(stream)
        known = self._kept.get(stream)
        if known is None or known.version != version:
            known = self._kept[stream] = self._load(kind, stream)
            if len(self._kept) > MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
        return cast("S | None", known.state)

    def _version(self, stream: str) -> int:
        """The newest version; within a unit of work, of the stream that it rests on, the one that it saw at first."""
        rests = self._here.rests
        if rests is not None and rests[0] == stream:
            return rests[1]
        self.require()
        return self.recorder.version(stream)

    def forget(self, stream: str) -> None:
        """Keep nothing of a stream in memory."""
        self._kept.pop(stream, None)

    @staticmethod
    def _fold(
        kind: Kind[Any],
        known_at: KnownAt | None,
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
        self.require()
        key_of = self.data_keys()
        return [unseal(cast("Recorded[Any]", event), key_of) for event in self._store.events.get(stream)]

    def events(self, after: int, up_to: int) -> Iterator[Recorded[Any]]:
        """Events in log order between two positions, sealed, in flat memory."""
        self.require()
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

    def streams_of(self, kind: Kind[Any]) -> list[str]:
        """The ids of all streams of a kind, in order; for kinds that have few."""
        self.require()
        return self.recorder.streams_of(kind.prefix + "-")

    # writing

    @property
    def waiting(self) -> int:
        """How many callers in this process wait for their turn to write."""
        return self._line.waiting

    def transact(
        self,
        body: Callable[[Unit], T],
        *,
        actor: str,
        command_id: str | None = None,
        cause: str | None = None,
        foresees: Foresight = NOTHING_FORESEEN,
        dry_run: bool = False,
        long: bool = False,
    ) -> T:
        """Run the body and append what it recorded, all or nothing; run it again when another writer was faster.

        It may run in the thread of another caller, and what it recorded may be appended together with what others
        did (`grouping`). One that takes more than some milliseconds is `long`: it keeps nobody waiting. What it
        `foresees` to ask is looked up beforehand, in one read with what others foresee. A dry run does everything but
        the append.

        Raise whatever the body raises (nothing is written then), and Unavailable after 8 attempts or a full lock wait.
        """
        self.require()
        now = self.clock()
        begin = partial(Unit, self, now, actor, command_id or new_id("command", now), cause, foresees.indexes)
        if long or dry_run or self.rehearsing or self.recorder.in_snapshot:
            return _persistent(lambda: self._alone(begin, body, dry_run=dry_run))
        turn = partial(Turn, partial(self._in_line, begin, body), foresees.claims, self.rests_on(actor))
        return _persistent(lambda: self._line.take(turn()))

    def _alone(self, begin: Callable[[], Unit], body: Callable[[Unit], T], *, dry_run: bool) -> T:
        unit, result = self._judged(begin(), body)
        try:
            if self.rehearsing:
                raise Rehearsed(result)
            if not dry_run:
                unit.commit()
            return result
        finally:
            unit.close()

    def _in_line(
        self, begin: Callable[..., Unit], body: Callable[[Unit], T], ahead: Sequence[Unit], seen: Seen
    ) -> tuple[Unit, T]:
        unit, result = self._judged(begin(ahead, seen), body)
        if unit.staging:  # it was long after all
            try:
                unit.commit()
            finally:
                unit.close()
        return unit, result

    def _judged(self, unit: Unit, body: Callable[[Unit], T]) -> tuple[Unit, T]:
        self._here.rests = unit.rests
        try:
            return unit, body(unit)
        except BaseException:
            unit.close()
            raise
        finally:
            self._here.rests = None

    def resting(self, actor: str, ahead: Sequence[Unit], seen: Seen) -> tuple[str, int] | None:
        """The stream on which an actor's right rests, with its version: as was seen, by a unit just ahead or now."""
        behind = self.rests_on(actor)
        if behind is None:
            return None
        if ahead and (before := ahead[-1].rests) is not None and before[0] == behind:
            return before
        return behind, seen.versions[behind] if behind in seen.versions else self.recorder.version(behind)


def _persistent(attempt: Callable[[], T]) -> T:
    for number in range(ATTEMPTS):
        if number:
            time.sleep(random.uniform(0, 0.002 * 2**number))  # noqa: S311 - spreads writers, no secret
        try:
            return attempt()
        except IntegrityError:
            continue
        except OperationalError as error:
            raise Unavailable(f"the store did not take the write: {error}", fix="稍后再试") from error
    raise Unavailable("other writers were faster eight times in a row", fix="稍后再试")


def _found(rows: Sequence[ClaimedRow]) -> Found:
    head, wrapped, position = rows[0][1:4]
    return Found(head, rows, wrapped) if position else Found(head or 0, ())


class _Here(threading.local):
    """What this thread is at."""

    rests: tuple[str, int] | None = None


def _open_gate() -> None:
    """Nothing stands in the way."""


def _on_nothing(_: str) -> str | None:
    """Whoever acts may."""
    return None


def as_known(events: Iterable[Recorded[Any]], known_at: KnownAt | None) -> Iterable[Recorded[Any]]:
    """The events of a stream as known at a recorded time, or up to a log position; None: all.

    It ends at the first later one. Order is the log's: a clock that was set back must not leave a gap in a history.
    """
    if known_at is None:
        return events
    if isinstance(known_at, int):
        return takewhile(lambda event: event.position <= known_at, events)
    return takewhile(lambda event: event.recorded_at <= known_at, events)
