"""The writers of the drill: processes that award one title after the other and note what was acknowledged to them."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Event
from pathlib import Path

from registry.errors import LogFrozen, Unavailable
from registry.service import Registry
from tests.people import CLERK, awarding, person

SHARE = 100_000  # people of one thread: numbers that no other thread uses
REST = 0.05  # seconds between two awards of a thread: the machine is shared with two PostgreSQLs


def write(path: Path, passphrase: bytes, notes: Path, first: int, threads: int, stop: Event) -> None:
    """One service process: so many threads that award; the first process also signs tree heads."""
    registry = Registry.open(path, passphrase)
    with ThreadPoolExecutor(threads + 1) as pool:
        work = [pool.submit(_award, registry, notes, first + n, stop) for n in range(threads)]
        if first == 0:
            work.append(pool.submit(_sequence, registry, stop))
    registry.close()
    for one in work:
        one.result()  # what nobody expected ends the process with an error


def _award(registry: Registry, notes: Path, me: int, stop: Event) -> None:
    """Award person after person. The same command again until it is acknowledged: nobody knows what became of it.

    A line is on the disk before the next award: what it says was acknowledged, when, and after how many attempts.
    """
    n = me * SHARE
    with (notes / f"{me}.jsonl").open("w") as out:
        while not stop.is_set():
            title, attempts, why = _until_acknowledged(registry, n)
            note = {"person": n, "title": title, "at": time.time(), "attempts": attempts, "why": why}
            out.write(json.dumps(note, ensure_ascii=False) + "\n")
            out.flush()
            os.fsync(out.fileno())
            n += 1
            time.sleep(REST)
    registry.log.close()


def _until_acknowledged(registry: Registry, n: int) -> tuple[str, int, str]:
    attempts, why = 0, ""
    command = awarding(person(n))
    while True:
        attempts += 1
        try:
            return registry.award(command, officer=CLERK), attempts, why
        except Unavailable as error:
            if isinstance(error, LogFrozen):
                raise  # what was signed is not there any more: the very thing that must not happen
            why = f"{type(error).__name__}: {error}"
            time.sleep(0.1)


def _sequence(registry: Registry, stop: Event) -> None:
    """Sign the head of the tree all the time: an event that was lost afterwards would freeze the log for ever."""
    while not stop.wait(0.5):
        try:
            registry.tlog.sequence()
        except Unavailable as error:
            if isinstance(error, LogFrozen):
                raise
    registry.log.close()
