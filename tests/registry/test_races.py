"""Two real processes on one file. Each time exactly one wins; the other gets an error of the domain."""

import multiprocessing
from collections.abc import Callable
from datetime import date
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from registry.errors import RegistryError
from registry.service import Registry
from registry.titles.events import DecisionKind
from tests.check_log import check_log, stored_events
from tests.people import CHIEF, CLERK, THIRD, Clock, awarding, deciding, paper_of_1998, person, scans, settable

ROUNDS = 500
PATIENCE = 120  # seconds after which a process that hangs fails the test

Job = Callable[[Registry, int, int, Any], str]


def same_number(registry: Registry, me: int, turn: int, _: Any) -> str:
    """The number of this round to one of two persons."""
    return registry.award(awarding(person(2 * turn + me), number=f"丽〔2021〕{turn}"), officer=CLERK)


def same_title(registry: Registry, me: int, turn: int, _: Any) -> str:
    """The same title to the same person, unknown so far, each time with the number of one of the two."""
    return registry.award(awarding(person(turn), number=f"{me}-{turn}"), officer=CLERK)


def unnumbered(registry: Registry, me: int, turn: int, _: Any) -> str:
    """Another person each: both win, and the registry's own numbers stay apart."""
    return registry.award(awarding(person(2 * turn + me)), officer=CLERK)


def same_approval(registry: Registry, me: int, turn: int, prepared: Any) -> str:
    """Two officers approve one proposal."""
    return registry.approve(*prepared[turn], officer=(CHIEF, THIRD)[me]).id


def approve_or_refuse(registry: Registry, me: int, turn: int, prepared: Any) -> str:
    """One officer approves what the other refuses."""
    if me:
        return registry.approve(*prepared[turn], officer=CHIEF).id
    return registry.refuse(prepared[turn][0], "证据不足", officer=THIRD).id


def same_paper(registry: Registry, me: int, turn: int, _: Any) -> str:
    """The same application twice."""
    told = paper_of_1998(person(turn), number=f"浙丽{turn}")
    return registry.submit_paper(told, date(1998, 12, 28), scans(), officer=(CLERK, THIRD)[me]).id


def same_certificate(registry: Registry, me: int, turn: int, prepared: Any) -> str:
    """The certificate of one title, issued twice."""
    return registry.issue(prepared[turn], settable, officer=CLERK).code


def run(
    job: Job, path: Path, passphrase: bytes, me: int, rounds: int, prepared: Any, start: Barrier, to: Connection
) -> None:
    """One process: open the registry, then every round at the same moment as the other."""
    registry = Registry.open(path, passphrase, Clock())
    outcomes: list[str] = []
    for turn in range(rounds):
        start.wait(PATIENCE)
        try:
            outcomes.append("ok " + job(registry, me, turn, prepared))
        except RegistryError as error:
            outcomes.append(error.code)
        except BaseException as error:  # noqa: BLE001 - reported to the test
            outcomes.append("alien " + repr(error))
    registry.close()
    to.send(outcomes)
    to.close()


def race(registry: Registry, passphrase: bytes, job: Job, rounds: int, prepared: Any = None) -> list[tuple[str, str]]:
    """The outcomes of both processes, round by round."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    started = []
    for me in (0, 1):
        ours, theirs = context.Pipe(duplex=False)
        about = (job, registry.folder.path, passphrase, me, rounds, prepared, start, theirs)
        process = context.Process(target=run, args=about)
        process.start()
        theirs.close()
        started.append((process, ours))
    outcomes = [hear(ours, rounds) for _, ours in started]
    for process, ours in started:
        process.join(PATIENCE)
        assert process.exitcode == 0
        ours.close()
    pairs = list(zip(*outcomes, strict=True))
    assert not [pair for pair in pairs if any(one.startswith(("alien", "silent", "unavailable")) for one in pair)]
    return pairs


def hear(ours: Connection, rounds: int) -> list[str]:
    """What a process has to tell; "silent" when it hangs or died before the end, its reason is on stderr."""
    try:
        told: list[str] = ours.recv() if ours.poll(PATIENCE) else ["silent"] * rounds
    except EOFError:
        return ["silent"] * rounds
    return told


def named(registry: Registry, name: str) -> int:
    return sum(event.name == name for event in stored_events(registry))


def proposals(registry: Registry, rounds: int) -> list[tuple[str, str]]:
    titles = [registry.award(awarding(person(n)), officer=CLERK) for n in range(rounds)]
    made = [registry.propose(title, deciding(DecisionKind.REVOCATION), officer=CLERK) for title in titles]
    return [(one.fact.proposal, one.fact.digest) for one in made]


@pytest.mark.parametrize(
    ("job", "loser"), [(same_number, "number-taken"), (same_title, "already-awarded")], ids=["number", "title"]
)
def test_exactly_one_wins(registry: Registry, passphrase: bytes, job: Job, loser: str) -> None:
    pairs = race(registry, passphrase, job, ROUNDS)
    for pair in pairs:
        winners = [one for one in pair if one.startswith("ok ")]
        assert len(winners) == 1, pair
        assert loser in pair, pair
    assert named(registry, "title-awarded/1") == ROUNDS
    assert named(registry, "holder-registered/1") == ROUNDS
    assert {pair.index(loser) for pair in pairs} == {0, 1}, "one process was always faster: this was no race"
    check_log(registry)


def test_own_numbers_stay_apart(registry: Registry, passphrase: bytes) -> None:
    pairs = race(registry, passphrase, unnumbered, 60)
    streams = [one.removeprefix("ok ") for pair in pairs for one in pair]
    numbers = [registry.title(stream).award.number for stream in streams]
    assert sorted(numbers) == [f"3311002021{n:06d}" for n in range(1, 121)]
    check_log(registry)


def test_two_officers_approve_at_once(registry: Registry, passphrase: bytes) -> None:
    """The second one finds it done; there is one decision."""
    pairs = race(registry, passphrase, same_approval, 60, proposals(registry, 60))
    assert all(one.startswith("ok ") for pair in pairs for one in pair)
    assert named(registry, "title-revoked/1") == 60
    check_log(registry)


def test_one_approves_what_another_refuses(registry: Registry, passphrase: bytes) -> None:
    pairs = race(registry, passphrase, approve_or_refuse, 60, proposals(registry, 60))
    assert all(sorted(one.split()[0] for one in pair) == ["not-found", "ok"] for pair in pairs)
    assert named(registry, "title-revoked/1") + named(registry, "decision-refused/1") == 60
    check_log(registry)


def test_one_paper_applied_for_twice(registry: Registry, passphrase: bytes) -> None:
    pairs = race(registry, passphrase, same_paper, 40)
    assert all(one == other for one, other in pairs)
    assert named(registry, "paper-submitted/1") == 40
    check_log(registry)


def test_one_certificate_issued_twice(registry: Registry, passphrase: bytes) -> None:
    titles = [registry.award(awarding(person(n)), officer=CLERK) for n in range(40)]
    pairs = race(registry, passphrase, same_certificate, 40, titles)
    assert all(one == other for one, other in pairs)
    assert named(registry, "certificate-signed/2") == named(registry, "certificate-prepared/1") == 40
    assert {registry.verifier.check(one.removeprefix("ok ")).status for one, _ in pairs} == {"valid"}
    check_log(registry)
