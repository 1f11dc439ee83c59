"""Group commit: whoever comes first does the work of all who come meanwhile, and one wait for the disk serves them.

Callers line up with their units of work. The first one leads: in its own thread it looks up, in one read, what all of
them foresee to ask, and runs the bodies of the line one after another, each judged against what is committed; it
appends what they recorded in one transaction, and only then wakes the others, each with its own result or error. Then
the next in line leads. Nobody waits for company: one who is alone goes at once, and no thread runs in the background.

A unit that does not fit beside another of its batch (a version, a claim, a right, a data key) runs once more, by
itself, right after it: in one process nobody comes between then.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any, Generic, TypeVar, cast

from eventsourcing.persistence import IntegrityError

from registry.log.changes import NOTHING_SEEN, Changes, Claim, Outcome, Overtaken, Seen
from registry.log.recorder import LogRecorder
from registry.log.unit import Unit

T = TypeVar("T")

MOST = 64  # units in one transaction; who comes later goes with the next


class Turn(Generic[T]):
    """One caller's unit of work, from lining up to its result; the claims it will ask for, the stream it rests on."""

    __slots__ = ("_error", "_result", "_run", "_told", "_wake", "claims", "done", "rests", "unit")

    def __init__(
        self,
        run: Callable[[Sequence[Unit], Seen], tuple[Unit, T]],
        claims: Sequence[Claim] = (),
        rests: str | None = None,
    ) -> None:
        self._run, self._wake, self.claims, self.rests = run, threading.Lock(), claims, rests
        self._wake.acquire()
        self.unit: Unit | None = None
        self._result: T | None = None
        self._error: BaseException | None = None
        self._told = self.done = False

    def run(self, ahead: Sequence[Unit] = (), seen: Seen = NOTHING_SEEN) -> Changes | None:
        """Run the body; return what is to be appended, None for nothing. Those ahead go before it, unless they fail.

        What it asks for and was not seen is looked up by itself.
        """
        self._told = False
        try:
            self.unit, self._result = self._run(ahead, seen)
        except KeyboardInterrupt:  # meant for this thread, whoever's body it runs
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the caller's
            self.settle(error)
            return None
        changes = self.unit.changes()
        if changes is None:
            self.settle(None)
        return changes

    def settle(self, outcome: Outcome | BaseException | None) -> None:
        """Say what became of it: nothing was recorded for a reason, or all is durable."""
        self._error = outcome if isinstance(outcome, BaseException) else None
        self._told = True

    @property
    def overtaken(self) -> bool:
        """Whether another writer was faster."""
        return isinstance(self._error, IntegrityError)

    def finish(self) -> None:
        """Let the caller go; one of whom nothing is known goes to try again, which is safe: the same is no fact."""
        if not self._told:
            self.settle(Overtaken("whoever led the line was stopped"))
        self.done = True
        self.wake()

    def wake(self) -> None:
        """Let the caller go on, to lead if it is not done."""
        self._wake.release()

    def wait(self) -> None:
        """Sleep until woken."""
        self._wake.acquire()

    def result(self) -> T:
        """What the body returned. Raise the reason if nothing was recorded."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
            return cast("T", self._result)
        finally:
            del error  # its traceback leads back here


class Line:
    """The line of those who want to write, within one process."""

    def __init__(self, recorder: LogRecorder) -> None:
        self._recorder = recorder
        self._mutex = threading.Lock()
        self._waiting: deque[Turn[Any]] = deque()
        self._leader: Turn[Any] | None = None
        self._leading = threading.local()
        self._crowded = False

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    def close(self) -> None:
        """Close what those who wrote in turn have used; not while they do."""
        with self._mutex:
            if self._leader is None:
                self._recorder.close_shared()

    def take(self, turn: Turn[T]) -> T:
        """Return what the body returned, once what it recorded is durable.

        Raise what the body raised, IntegrityError if another writer was faster, OperationalError or Unavailable if the
        store did not take it; RuntimeError from within a body: there nothing else can be begun.
        """
        if getattr(self._leading, "now", False):
            raise RuntimeError("a unit of work cannot begin another")
        try:
            if not self._line_up(turn):
                turn.wait()
            if not turn.done:
                self._lead()
        except BaseException:
            self._leave(turn)
            raise
        finally:
            self._hand_on(turn)
        return turn.result()

    def _line_up(self, turn: Turn[Any]) -> bool:
        """Whether it leads at once."""
        with self._mutex:
            self._waiting.append(turn)
            if self._leader is None:
                self._leader = turn
            return self._leader is turn

    def _leave(self, turn: Turn[Any]) -> None:
        with self._mutex:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _hand_on(self, turn: Turn[Any]) -> None:
        """Let the next one lead, if this one did."""
        with self._mutex:
            if self._leader is turn:
                self._leader = self._waiting[0] if self._waiting else None
                if self._leader is not None:
                    self._leader.wake()

    def _lead(self) -> None:
        """Do everyone's work, the leader's first."""
        batch: list[Turn[Any]] = []
        self._leading.now = True
        try:
            with self._recorder.shared() if self._crowded else nullcontext():  # many callers need one connection
                self._append(self._gather(batch))
        finally:
            self._leading.now = False
            self._crowded = len(batch) > 1
            for turn in batch:
                turn.finish()

    def _next(self, batch: list[Turn[Any]]) -> Sequence[Turn[Any]]:
        """All who wait now, as far as there is room."""
        with self._mutex:
            some = list(islice(self._waiting, MOST - len(batch)))
            batch += some  # first in the one, then out of the other: nobody is ever in neither
            for _ in some:
                self._waiting.popleft()
            return some

    def _gather(self, batch: list[Turn[Any]]) -> list[tuple[Turn[Any], Changes]]:
        """Run the bodies of the line, also of those who come meanwhile; return what is to be appended for whom."""
        wanted: list[tuple[Turn[Any], Changes]] = []
        ahead: list[Unit] = []
        while some := self._next(batch):
            if (seen := self._look(some)) is None:
                continue
            for turn in some:
                changes = turn.run(ahead, seen)
                if changes is not None and turn.unit is not None:
                    wanted.append((turn, changes))
                    ahead.append(turn.unit)
        return wanted

    def _look(self, some: Sequence[Turn[Any]]) -> Seen | None:
        """What they ask for, in one read; None if it cannot be read, which each of them is told."""
        claims = [claim for turn in some for claim in turn.claims]
        streams = {turn.rests for turn in some if turn.rests is not None}
        try:
            return self._recorder.look(claims, sorted(streams)) if claims or streams else NOTHING_SEEN
        except Exception as error:  # noqa: BLE001 - each caller gets it
            for turn in some:
                turn.settle(error)
            return None

    def _append(self, wanted: Sequence[tuple[Turn[Any], Changes]]) -> None:
        if len(wanted) < 2:
            for turn, changes in wanted:
                self._append_one(turn, changes)
            return
        try:
            outcomes = self._recorder.insert_batch([changes for _, changes in wanted])
        except Exception as error:  # noqa: BLE001 - each caller gets it
            outcomes = [error] * len(wanted)
        for (turn, _), outcome in zip(wanted, outcomes, strict=True):
            turn.settle(outcome)
        for turn, _ in wanted:
            if turn.overtaken and (again := turn.run()) is not None:
                self._append_one(turn, again)

    def _append_one(self, turn: Turn[Any], changes: Changes) -> None:
        try:
            turn.settle(self._recorder.append(changes))
        except Exception as error:  # noqa: BLE001 - its caller gets it
            turn.settle(error)
