"""Several service processes over one data folder: one leads, another takes over when it is killed, nothing stops."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.sequencing import DUTIES, alone, leader_of
from registry.proof.kept import size_of
from registry.service import Registry
from tests.people import CLERK, awarding, person
from tests.served import PASSPHRASE, Cabinet, Site, copied, serving, until

TAKE_OVER_SECONDS = 5


@pytest.fixture(scope="module")
def three(cabinet: Cabinet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Registry]]:
    """A service of three processes, and the registry opened beside it by the test's own process."""
    data = copied(cabinet.registry.folder.path, tmp_path_factory.mktemp("three") / "data")
    with serving(data, workers=3) as site:
        registry = Registry.open(data, PASSPHRASE)
        yield site, registry
        registry.close()


def test_a_fresh_award_gets_its_checkpoint_and_its_row_although_the_leader_is_killed(
    three: tuple[Site, Registry],
) -> None:
    site, registry = three
    _award(registry, 50)
    until(lambda: _taken_in(registry))
    for n, duty in enumerate(("sequencing", "projecting")):
        killed = _leader(registry, duty)
        os.kill(killed, signal.SIGKILL)
        began = time.monotonic()
        _award(registry, 60 + n)
        until(lambda: _taken_in(registry))
        took = time.monotonic() - began
        assert took < TAKE_OVER_SECONDS, f"{duty}: {took:.1f} s"
        assert _leader(registry, duty) != killed
        assert site.get("/readyz").status_code == 200
    registry.continuity.require()


def test_a_killed_process_is_replaced_and_the_service_answers_all_the_while(
    three: tuple[Site, Registry], cabinet: Cabinet
) -> None:
    site, registry = three
    until(lambda: leader_of(registry.folder.path, "sequencing"))
    killed = _leader(registry, "sequencing")
    os.kill(killed, signal.SIGKILL)
    for _ in range(200):
        assert _patiently(lambda: site.verified(cabinet.valid.code))["status"] == "valid"
    until(lambda: len(_workers(site) - {killed}) == 3)


def test_when_the_first_process_is_killed_none_serves_on_and_the_port_is_free(cabinet: Cabinet, tmp_path: Path) -> None:
    data = copied(cabinet.registry.folder.path, tmp_path / "data")
    with serving(data, workers=2) as site:
        until(lambda: len(_workers(site)) == 2)
        workers = _workers(site)
        site.process.kill()
        until(lambda: not any(map(_lives, workers)))
        with serving(data, site.port) as again:
            assert again.verified(cabinet.valid.code)["status"] == "valid"


def test_one_process_leads_in_each_duty_and_no_other(three: tuple[Site, Registry]) -> None:
    _, registry = three
    until(lambda: all(_is_led(registry, duty) for duty in DUTIES))


def test_what_must_be_done_by_one_is_not_done_by_another_at_the_same_time(cabinet: Cabinet) -> None:
    done = []
    held = cabinet.registry.log.recorder.lead("tidying")
    assert held is not None
    alone(cabinet.registry, "tidying", lambda: done.append("while another is at it"))
    held.release()
    alone(cabinet.registry, "tidying", lambda: done.append("after"))
    assert done == ["after"]


def test_an_award_of_another_process_stands_in_the_register_before_anybody_asks_for_it(
    three: tuple[Site, Registry],
) -> None:
    site, registry = three
    _award(registry, 70)
    until(lambda: registry.register.position == registry.log.head())
    ready = site.get("/readyz").json()
    assert ready["register_position"] == ready["log_position"] == registry.log.head()


def _award(registry: Registry, n: int) -> None:
    registry.award(awarding(person(n)), officer=CLERK)


def _taken_in(registry: Registry) -> bool:
    """Whether a published checkpoint and the register hold everything; looks at the files, and takes nothing in."""
    note, head = registry.tlog.published(), registry.log.head()
    return note is not None and size_of(note) == head and registry.register.position == head


def _is_led(registry: Registry, duty: str) -> bool:
    """Whether a process of the service has it; one that was killed just now is followed by another soon."""
    if (lead := registry.log.recorder.lead(duty)) is None:
        return True
    lead.release()
    return False


def _leader(registry: Registry, duty: str) -> int:
    found = leader_of(registry.folder.path, duty)
    assert found is not None
    return found.process


def _workers(site: Site) -> set[int]:
    """The processes that serve: children of the first process that spawned ones import this program."""
    children = Path(f"/proc/{site.process.pid}/task/{site.process.pid}/children").read_text().split()
    commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_text() for pid in children}
    return {pid for pid, command in commands.items() if "spawn_main" in command}


def _lives(process: int) -> bool:
    """A process that has ended has no command line, if anything is left of it."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except OSError:
        return False


def _patiently(ask: Callable[[], Any]) -> Any:
    """What a client does whose connection broke off: ask again, once."""
    try:
        return ask()
    except httpx.TransportError:
        return ask()
