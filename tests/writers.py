"""Many hands at one log: what the processes of a test do. It imports little, so that they are quick to start."""

import multiprocessing
from contextlib import suppress
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any

from eventsourcing.persistence import StoredEvent

from registry.log.changes import Changes, ClaimTaken
from registry.log.engine import Place, recorder_at

PATIENCE = 120  # seconds after which a process that hangs fails the test
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload([__name__])


def started(work: Any, arguments: list[tuple[Any, ...]]) -> list[BaseProcess]:
    """Processes that do this, one for each of the arguments."""
    found: list[BaseProcess] = [processes.Process(target=work, args=each, daemon=True) for each in arguments]
    for each in found:
        each.start()
    return found


def event(stream: str, version: int = 1, state: bytes = b"{}") -> StoredEvent:
    """A stored event that means nothing."""
    return StoredEvent(stream, version, "something-happened/1", state)


def one(stream: str, version: int = 1) -> Changes:
    """A write of one such event, with a claim of its own."""
    return Changes([event(stream, version)], taken=[("test", f"{stream}.{version}", stream)])


def begin(place: Place, me: int, start: Barrier) -> None:
    """One process that opens a log which may not be there yet, and writes."""
    start.wait(PATIENCE)
    recorder = recorder_at(place)
    recorder.append(one(f"stream-{me}"))
    recorder.close()


def write(place: Place, me: int, events: int, start: Barrier) -> None:
    """One writer: single events, batches, lists that are laid by first, and writes that collide with the others'."""
    recorder = recorder_at(place)
    start.wait(PATIENCE)
    for n in range(0, events, 20):
        names = [f"stream-{me}-{n + at}" for at in range(20)]
        match (n // 20 + me) % 4:
            case 0:
                for name in names:
                    recorder.append(one(name))
            case 1:
                assert all(isinstance(done, range) for done in recorder.insert_batch([one(name) for name in names]))
            case 2:
                recorder.stage(Changes([event(name) for name in names]))
                recorder.insert_staged()
                recorder.drop_staged()
            case _:
                for name in names:
                    with suppress(ClaimTaken):
                        recorder.append(Changes([event(f"shared-{name}")], taken=[("shared", f"{n // 80}", name)]))
                    recorder.append(one(name))
    recorder.close()
