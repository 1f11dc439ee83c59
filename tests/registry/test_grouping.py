"""Many callers in one process: one of them does the work of all. Each gets what it would have got alone.

Most tests let one unit of work hold the line until all the others stand in it, so that they go with one batch.
"""

import json
import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Thread, main_thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.awarding import Awarding
from registry.errors import Forbidden, NotFound, NumberTaken, RegistryError, Unavailable, WrongState
from registry.holders.identity import index_key
from registry.log import unit as units
from registry.log.unit import Unit
from registry.service import Registry
from registry.terms import Role
from registry.titles.award import AwardTitle
from registry.titles.events import DecisionKind
from tests import engine
from tests.check_log import check_log, stored_events
from tests.people import CHIEF, CITY, CLERK, THIRD, Clock, appoint, awarding, deciding, person, proposed, staff

CALLERS = 32
PATIENCE = 60  # seconds after which a thread that hangs fails the test

Call = Callable[[], Any]


class Caller(Thread):
    """One thread that makes one call, or several; `outcomes` are what it got or what was raised."""

    def __init__(self, registry: Registry, *calls: Call) -> None:
        super().__init__(daemon=True)
        self.registry, self.calls = registry, calls
        self.outcomes: list[Any] = []
        self.start()

    def run(self) -> None:
        """Make the calls; nothing gets out."""
        for call in self.calls:
            try:
                self.outcomes.append(call())
            except BaseException as error:  # noqa: BLE001 - told to the test
                self.outcomes.append(error)
        self.registry.log.recorder.close()

    @property
    def outcome(self) -> Any:
        """What the only call came to."""
        self.join(PATIENCE)
        assert not self.is_alive(), "it hangs"
        (one,) = self.outcomes
        return one


class Holding:
    """A unit of work that leads the line and holds it until it is let go; then it may do something of its own."""

    def __init__(self, registry: Registry, then: Callable[[Unit], Any] = lambda _: None) -> None:
        self._registry, self._then = registry, then
        self._begun, self._on = Event(), Event()
        self.caller = Caller(registry, lambda: registry.log.transact(self._body, actor="system"))
        assert self._begun.wait(PATIENCE)

    def _body(self, unit: Unit) -> Any:
        self._begun.set()
        assert self._on.wait(PATIENCE)
        return self._then(unit)

    def line_up(self, calls: Sequence[Call]) -> list[Caller]:
        """Callers that stand in the line in this order."""
        found = []
        for call in calls:
            found.append(Caller(self._registry, call))
            self.until(len(found))
        return found

    def until(self, waiting: int) -> None:
        """Look until so many stand in the line."""
        deadline = time.monotonic() + PATIENCE
        while self._registry.log.waiting < waiting:
            assert time.monotonic() < deadline, "they do not line up"
            os.sched_yield()

    def go(self) -> None:
        """Let it go on."""
        self._on.set()


def together(registry: Registry, calls: Sequence[Call]) -> list[Any]:
    """The outcomes of calls that go with one batch, in this order."""
    holding = Holding(registry)
    callers = holding.line_up(calls)
    holding.go()
    assert holding.caller.outcome is None
    return [caller.outcome for caller in callers]


def award(registry: Registry, command: AwardTitle, officer: str = CLERK) -> Call:
    return partial(registry.award, command, officer=officer)


def named(registry: Registry, name: str) -> int:
    return sum(event.name == name for event in stored_events(registry))


# all that is awarded is there


def test_many_callers(registry: Registry) -> None:
    """32 callers award ten titles each as fast as they can: all are there, none is doubled."""
    commands = [[awarding(person(40 * n + at), number=f"{n}-{at}") for at in range(10)] for n in range(CALLERS)]
    callers = [Caller(registry, *(award(registry, one) for one in own)) for own in commands]
    for caller, own in zip(callers, commands, strict=True):
        caller.join(PATIENCE)
        titles = [registry.title(stream) for stream in caller.outcomes]
        assert [title.award.number for title in titles] == [command.number for command in own]
    assert named(registry, "title-awarded/1") == named(registry, "holder-registered/1") == 10 * CALLERS
    check_log(registry)


def test_many_callers_in_two_processes(registry: Registry, second: Registry) -> None:
    """Each registry has a line of its own; the store keeps them apart."""
    callers = [
        Caller(where, *(award(where, awarding(person(40 * n + at))) for at in range(8)))
        for n, where in enumerate([registry, second] * 6)
    ]
    for caller in callers:
        caller.join(PATIENCE)
    streams = [stream for caller in callers for stream in caller.outcomes]
    numbers = sorted(registry.title(stream).award.number for stream in streams)
    assert len(set(numbers)) == 96
    check_log(registry)


@pytest.mark.sqlite_file
@pytest.mark.parametrize("numbered", [True, False], ids=["numbers given", "numbers of our own"])
def test_one_wait_for_the_disk_serves_all(registry: Registry, numbered: bool) -> None:
    said: list[str] = []

    def listen(_: Unit) -> None:  # this runs in the thread that will append for all
        registry.log.recorder.connection.set_trace_callback(said.append)  # type: ignore[attr-defined]

    holding = Holding(registry, listen)
    callers = holding.line_up(
        [award(registry, awarding(person(n), number=str(n) if numbered else None)) for n in range(CALLERS)]
    )
    holding.go()
    assert all(caller.outcome.startswith("title-") for caller in callers)
    assert said.count("COMMIT") == 1
    check_log(registry)


def test_events_of_one_award_stand_together(registry: Registry) -> None:
    """In the log a batch looks as if its units had been appended one after another, in the order of the line."""
    before = registry.log.head()
    streams = together(registry, [award(registry, awarding(person(n), number=str(n))) for n in range(CALLERS)])
    new = [event for event in stored_events(registry) if event.position > before]
    assert [event.stream for event in new[1::2]] == streams
    for registered, awarded in zip(new[::2], new[1::2], strict=True):
        assert awarded.fact["holder"] == registered.stream
        assert json.loads(awarded.state)["command_id"] == json.loads(registered.state)["command_id"]


def test_numbers_of_our_own_have_no_gap(registry: Registry) -> None:
    streams = together(registry, [award(registry, awarding(person(n))) for n in range(CALLERS)])
    numbers = sorted(registry.title(stream).award.number for stream in streams)
    assert numbers == [f"3311002021{n:06d}" for n in range(1, CALLERS + 1)]
    check_log(registry)


# who does not fit beside another


def test_one_number_for_many(registry: Registry) -> None:
    outcomes = together(registry, [award(registry, awarding(person(n), number="1")) for n in range(CALLERS)])
    assert registry.find_title("1") == outcomes[0]  # who stood first
    assert all(type(one) is NumberTaken for one in outcomes[1:])
    assert named(registry, "holder-registered/1") == 1
    check_log(registry)


def test_many_titles_of_one_person(registry: Registry) -> None:
    """All find the same unknown person: one begins them, the others find them begun."""
    commands = [awarding(person(1), specialty=f"专业{n}", number=str(n)) for n in range(CALLERS)]
    streams = together(registry, [award(registry, one) for one in commands])
    assert len({registry.title(stream).holder for stream in streams}) == 1
    assert len(set(streams)) == CALLERS
    check_log(registry)


def test_the_same_award_again_and_again(registry: Registry) -> None:
    streams = together(registry, [award(registry, awarding(person(1), number="1"))] * CALLERS)
    assert len(set(streams)) == 1
    assert named(registry, "title-awarded/1") == 1


def test_one_stream_for_many(registry: Registry) -> None:
    """Each adds to the stream of one person: all are in, each at a version of its own, however many they are."""
    holder = registry.title(registry.award(awarding(person(1)), officer=CLERK)).holder
    documents = [f"丽人社保〔2026〕{n}号" for n in range(CALLERS)]
    hold = partial(registry.erasing.place_hold, holder, authority=CITY, officer=CLERK)
    outcomes = together(registry, [partial(hold, document) for document in documents])
    assert [one.document_no for one in outcomes] == documents
    assert {one.hold for one in registry.holder(holder).holds} == {one.hold for one in outcomes}
    check_log(registry)


def test_what_a_unit_saw_is_not_kept(registry: Registry, second: Registry) -> None:
    """A right is asked as of the beginning of a unit; before the next one it is asked anew."""
    registry.appointing.register("331100-clerk-99", staff(9), officer=CHIEF)
    appoint(registry, "331100-clerk-99", Role.CLERK)
    registry.award(awarding(person(1)), officer="331100-clerk-99")
    (held,) = second.appointing.officer("331100-clerk-99").grants
    second.appointing.withdraw(held.id, "丽人社免〔2026〕1号", officer=CHIEF)
    assert registry.authorising.standing("331100-clerk-99").roles == ()
    with pytest.raises(Forbidden):
        registry.award(awarding(person(2)), officer="331100-clerk-99")


def test_approved_and_refused_at_once(registry: Registry) -> None:
    stream = registry.award(awarding(person(1)), officer=CLERK)
    fact = proposed(registry, stream, deciding(DecisionKind.REVOCATION)).fact
    approve = partial(registry.approve, fact.proposal, fact.digest, officer=CHIEF)
    done, refused = together(registry, [approve, partial(registry.refuse, fact.proposal, "证据不足", officer=THIRD)])
    assert done.decisions
    assert type(refused) is NotFound  # it is open no more
    check_log(registry)


def test_a_role_that_is_taken_away_in_the_same_batch(registry: Registry) -> None:
    """Whoever stands behind the one who takes the right away has it no more; whoever stood before had it."""
    registry.appointing.register("331100-clerk-99", staff(9), officer=CHIEF)
    appoint(registry, "331100-clerk-99", Role.CLERK)
    (held,) = registry.appointing.officer("331100-clerk-99").grants
    withdraw = partial(registry.appointing.withdraw, held.id, "丽人社免〔2026〕1号", officer=CHIEF)
    with_it = partial(award, registry, officer="331100-clerk-99")
    before, _, after = together(
        registry, [with_it(awarding(person(1), number="1")), withdraw, with_it(awarding(person(2), number="2"))]
    )
    assert registry.title(before).award.number == "1"
    assert type(after) is Forbidden
    assert named(registry, "title-awarded/1") == 1
    check_log(registry)


_COMMANDS = st.builds(
    lambda who, name, specialty, number: awarding(
        person(who, name), specialty=specialty, number=None if number is None else str(number)
    ),
    st.integers(1, 4),
    st.sampled_from(["林晓岚", "林晓兰"]),
    st.sampled_from(["建筑工程", "给水排水"]),
    st.none() | st.integers(1, 4),
)


def _refusal(registry: Registry, command: AwardTitle) -> type[Exception] | None:
    """What this award would be refused with now; None if it would not be."""
    try:
        registry.log.transact(lambda unit: Awarding(unit).award(command), actor=CLERK, dry_run=True)
    except RegistryError as error:
        return type(error)
    return None


def _as_if_one_after_another(alone: Registry, wanted: Sequence[tuple[AwardTitle, Any]], order: Sequence[str]) -> None:
    """Make the same awards one after another: each refusal must be one that its award meets between two of them."""
    refused = [(command, type(outcome)) for command, outcome in wanted if not isinstance(outcome, str)]
    met = [{_refusal(alone, command)} for command, _ in refused]
    for title in order:
        alone.award(next(command for command, outcome in wanted if outcome == title), officer=CLERK)
        for (command, _), kinds in zip(refused, met, strict=True):
            kinds.add(_refusal(alone, command))
    assert all(kind in kinds for (_, kind), kinds in zip(refused, met, strict=True))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commands=st.lists(_COMMANDS, min_size=2, max_size=8))
def test_each_gets_what_it_would_get_alone(new_registry: Callable[[], Registry], commands: list[AwardTitle]) -> None:
    """As if they had come one after another; and whoever asks again, alone, is awarded the same or refused again."""
    registry = new_registry()
    outcomes = together(registry, [award(registry, one) for one in commands])
    head = registry.log.head()
    for command, outcome in zip(commands, outcomes, strict=True):
        again = Caller(registry, award(registry, command)).outcome
        if isinstance(outcome, str):
            assert again == outcome
            assert index_key(command.person.identity) in {
                index_key(one) for one in registry.holder(registry.title(outcome).holder).identities()
            }
        else:
            assert isinstance(outcome, RegistryError)
            assert isinstance(again, RegistryError)
    titles = [row[1] for row in registry.log.recorder.rows_by_position(0, head) if row[1].startswith("title-")]
    _as_if_one_after_another(new_registry(), list(zip(commands, outcomes, strict=True)), titles)
    assert registry.log.head() == head
    assert any(isinstance(one, str) for one in outcomes)
    check_log(registry)


# who fails


class Odd(Exception):
    """Nothing that we know."""


@pytest.mark.parametrize("error", [Odd("?"), SystemExit(3), WrongState("不行")], ids=["odd", "exit", "refused"])
def test_who_fails_fails_alone(registry: Registry, error: BaseException) -> None:
    """The error is its caller's, and what the failed one had recorded so far is not there."""

    def fail(unit: Unit) -> None:
        Awarding(unit).award(awarding(person(99), number="99"))
        raise error

    calls: list[Call] = [award(registry, awarding(person(n), number=str(n))) for n in range(4)]
    calls.insert(2, lambda: registry.log.transact(fail, actor=CLERK))
    outcomes = together(registry, calls)
    assert outcomes.pop(2) is error
    assert [registry.find_title(str(n)) for n in range(4)] == outcomes
    assert named(registry, "title-awarded/1") == 4
    check_log(registry)


@pytest.mark.parametrize("where", ["its own", "another's"])
def test_who_leads_is_stopped(registry: Registry, where: str) -> None:
    """Ctrl-C hits whoever leads, in whosever unit: the others have their work done by the next one."""
    stopped: list[str] = []

    def stop_once(unit: Unit) -> str:
        if not stopped:
            stopped.append("once")
            raise KeyboardInterrupt
        return Awarding(unit).award(awarding(person(50), number="50"))[0]

    holding = Holding(registry, stop_once if where == "its own" else lambda _: None)
    calls: list[Call] = [award(registry, awarding(person(n), number=str(n))) for n in range(4)]
    if where == "another's":
        calls.insert(2, lambda: registry.log.transact(stop_once, actor=CLERK))
    callers = holding.line_up(calls)
    holding.go()
    assert type(holding.caller.outcome) is KeyboardInterrupt
    streams = [caller.outcome for caller in callers]
    assert [registry.title(stream).award.number for stream in streams] == (
        ["0", "1", "2", "3"] if where == "its own" else ["0", "1", "50", "2", "3"]
    )
    check_log(registry)


def test_who_waits_is_stopped(registry: Registry) -> None:
    """Ctrl-C hits one who waits, as it can the main thread: nothing of theirs is done, and the line goes on."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupt() -> None:
        holding.until(2)
        signal.pthread_kill(main_thread().ident or 0, signal.SIGUSR1)

    holding, before = Holding(registry), signal.signal(signal.SIGUSR1, stop)
    try:
        (ahead,) = holding.line_up([award(registry, awarding(person(1), number="1"))])
        interrupter = Thread(target=interrupt)
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            registry.award(awarding(person(2), number="2"), officer=CLERK)
        interrupter.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    behind = Caller(registry, award(registry, awarding(person(3), number="3")))
    holding.until(2)
    holding.go()
    assert [registry.title(one.outcome).award.number for one in (ahead, behind)] == ["1", "3"]
    assert named(registry, "title-awarded/1") == 2
    check_log(registry)


def test_a_unit_within_a_unit(registry: Registry) -> None:
    """It would wait for itself for ever; it is told so, and the line goes on."""
    inner = award(registry, awarding(person(1)))
    outcomes = together(
        registry,
        [
            lambda: registry.log.transact(lambda _: inner(), actor=CLERK),
            award(registry, awarding(person(2), number="2")),
        ],
    )
    assert type(outcomes[0]) is RuntimeError
    assert registry.find_title("2") == outcomes[1]
    assert named(registry, "title-awarded/1") == 1


@pytest.mark.sqlite_file
def test_a_store_that_is_full(registry: Registry) -> None:
    """All of the batch are told, nothing of any is there; when there is room again all goes on."""
    limit: list[int] = []

    def fill(_: Unit) -> None:
        c: sqlite3.Connection = registry.log.recorder.connection  # type: ignore[attr-defined]
        limit.extend(c.execute("PRAGMA page_count").fetchone())
        c.execute(f"PRAGMA max_page_count={limit[0]}")

    before = engine.rows(registry, "stored_events")
    holding = Holding(registry, fill)
    commands = [awarding(person(n), number=str(n), employer="丽水建工" * 200) for n in range(CALLERS)]
    callers = holding.line_up([award(registry, one) for one in commands])
    holding.go()
    assert {type(caller.outcome) for caller in callers} == {Unavailable}
    assert engine.rows(registry, "stored_events") == before
    assert all(isinstance(one, str) for one in together(registry, [award(registry, one) for one in commands]))
    check_log(registry)


def test_a_copy_that_answers_nothing(registry: Registry) -> None:
    """The gate is asked of each before it lines up."""
    holding = Holding(registry)

    def shut() -> None:
        raise Unavailable("冻结", fix="先恢复")

    registry.log.gate = shut
    caller = Caller(registry, award(registry, awarding(person(1))))
    assert type(caller.outcome) is Unavailable
    holding.go()
    assert holding.caller.outcome is None


# who is long


def test_a_long_unit_keeps_nobody_waiting(registry: Registry) -> None:
    begun, on = Event(), Event()

    def long(unit: Unit) -> str:
        begun.set()
        assert on.wait(PATIENCE)
        return Awarding(unit).award(awarding(person(2), number="2"))[0]

    caller = Caller(registry, lambda: registry.log.transact(long, actor=CLERK, long=True))
    assert begun.wait(PATIENCE)
    first = registry.award(awarding(person(1), number="1"), officer=CLERK)
    on.set()
    last = caller.outcome
    assert [registry.find_title("1"), registry.find_title("2")] == [first, last]
    check_log(registry)


@pytest.mark.parametrize("fails", [False, True])
def test_a_list_that_is_laid_by(registry: Registry, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    """What is laid by in the thread that leads is in, or forgotten, before the next one's turn."""
    monkeypatch.setattr(units, "STAGE_EVENTS", 4)

    def body(unit: Unit) -> int:
        awards = Awarding(unit)
        for n in range(10, 17):
            awards.award(awarding(person(n), number=str(n)))
            unit.flush_if_large()
        if fails:
            raise Odd
        return 7

    calls = [award(registry, awarding(person(n), number=str(n))) for n in (1, 10, 2)]
    calls.insert(1, lambda: registry.log.transact(body, actor=CLERK))
    first, laid_by, same, last = together(registry, calls)
    assert laid_by == 7 or type(laid_by) is Odd
    assert [registry.find_title("1"), registry.find_title("10"), registry.find_title("2")] == [first, same, last]
    assert named(registry, "title-awarded/1") == (3 if fails else 9)
    check_log(registry)


def test_a_rehearsal_goes_alone(registry: Registry) -> None:
    head = registry.log.head()
    assert registry.log.transact(lambda unit: Awarding(unit).award(awarding(person(1)))[1], actor=CLERK, dry_run=True)
    assert registry.log.head() == head


# a process that is killed


def award_on(path: Path, passphrase: bytes, kill_at: int | None, to: Connection) -> None:
    """32 callers award and say so when it is done; SIGKILL at the n-th look of SQLite at its counter."""
    registry = Registry.open(path, passphrase, Clock())
    looks = 0

    def look() -> int:
        nonlocal looks
        looks += 1
        if looks == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def watch(_: Unit) -> None:  # by whichever connection leads
        if kill_at is not None:
            registry.log.recorder.connection.set_progress_handler(look, 100)  # type: ignore[attr-defined]

    def own(first: int) -> None:
        for n in range(first, first + 50):
            if n % 10 == 0:
                registry.log.transact(watch, actor="system")
            stream = registry.award(awarding(person(n), number=str(n)), officer=CLERK)
            os.write(to.fileno(), f"{n} {stream}\n".encode())  # at once and whole, whoever writes beside it

    callers = [Thread(target=own, args=(first,), daemon=True) for first in range(0, 50 * CALLERS, 50)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()


@pytest.mark.parametrize("after", [1, 200])
def test_killed_while_many_award(registry: Registry, passphrase: bytes, after: int) -> None:
    """What anybody was told is there, whole; of the rest each award is there whole or not at all."""
    told = killed(registry, passphrase, None, after)
    assert len(told) >= after
    stands(registry, told)


@pytest.mark.sqlite_file
@pytest.mark.parametrize("kill_at", [40, 300, 1_000])
def test_killed_within_a_statement(registry: Registry, passphrase: bytes, kill_at: int) -> None:
    stands(registry, killed(registry, passphrase, kill_at, None))


def killed(registry: Registry, passphrase: bytes, kill_at: int | None, after: int | None) -> list[tuple[str, str]]:
    """What a process told before it was killed: by itself at a look, or by us after so many awards."""
    registry.close()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=award_on, args=(registry.folder.path, passphrase, kill_at, theirs))
    process.start()
    theirs.close()
    with os.fdopen(os.dup(ours.fileno()), "rb") as said:
        lines = []
        for line in said:
            lines.append(line)
            if after is not None and len(lines) == after:
                process.kill()
    ours.close()
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL
    return [(number, stream) for number, stream in (line.decode().split() for line in lines)]


def stands(registry: Registry, told: list[tuple[str, str]]) -> None:
    assert {registry.find_title(number): number for number, _ in told} == {stream: number for number, stream in told}
    assert named(registry, "title-awarded/1") == named(registry, "holder-registered/1") >= len(told)
    check_log(registry)
    with suppress(NumberTaken):
        registry.award(awarding(person(9_000), number="0"), officer=CLERK)
    registry.award(awarding(person(9_001)), officer=CLERK)
    check_log(registry)
