"""kill -9 in the middle of an import: all of it is there or nothing, and the store opens as if nothing had been."""

import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from keys.custody import Custody
from registry.awarding import Awarding
from registry.folder import Folder
from registry.log import unit as units
from registry.service import Registry
from tests import engine
from tests.check_log import check_log, stored_events
from tests.people import CLERK, Clock, awarding, person

ROWS = 400
STEP = 100  # virtual-machine instructions of SQLite between two looks at the counter


def an_import(path: Path, passphrase: bytes, stage: int, kill_at: int | None, to: Connection) -> None:
    """Import ROWS awards, laid by in parts of `stage` events; die at the n-th look during the final append.

    The parent hears of every tenth row and of the number of looks; SIGKILL leaves no time for anything else.
    """
    units.STAGE_EVENTS = stage
    registry = Registry.open(path, passphrase, Clock())
    looks = 0

    def look() -> int:
        nonlocal looks
        looks += 1
        if looks == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def body(unit: Any) -> None:
        awards = Awarding(unit)
        for n in range(ROWS):
            awards.award(awarding(person(n), employer="丽水建工"))
            unit.flush_if_large()
            if n % 10 == 0:
                to.send(n)
        registry.log.recorder.connection.set_progress_handler(look, STEP)
        to.send("append")

    registry.log.transact(body, actor=CLERK)
    to.send(looks)
    to.close()


def start(registry: Registry, passphrase: bytes, stage: int, kill_at: int | None = None) -> tuple[Any, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=an_import, args=(registry.folder.path, passphrase, stage, kill_at, theirs))
    process.start()
    theirs.close()
    return process, ours


def hear(process: Any, ours: Connection, until: Callable[[Any], bool]) -> Any:
    """Listen until it says what we wait for; None when it died before."""
    said = None
    try:
        while not (said is not None and until(said)):
            said = ours.recv()
    except EOFError:
        return None
    return said


def died(process: Any) -> None:
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def whole(registry: Registry, clock: Clock, before: int) -> str:
    """Open the folder anew: everything holds, and the import is there as a whole or not at all."""
    again = Registry(Folder(registry.folder.path), registry.custody, clock)
    try:
        new = [event for event in stored_events(again) if event.position > before]
        assert len(new) in (0, 2 * ROWS)
        check_log(again)
        again.award(awarding(person(7_000)), officer=CLERK)
        check_log(again)
        return "all" if new else "nothing"
    finally:
        again.close()


@pytest.fixture
def head(registry: Registry) -> int:
    """A registry with something in it, closed; its newest position."""
    for n in (6_000, 6_001):
        registry.award(awarding(person(n)), officer=CLERK)
    head = registry.log.head()
    registry.close()
    return head


@pytest.mark.parametrize("stage", [100, 100_000], ids=["laid by", "in memory"])
def test_killed_while_rows_are_taken(
    registry: Registry, passphrase: bytes, clock: Clock, head: int, stage: int
) -> None:
    process, ours = start(registry, passphrase, stage)
    row = random.randrange(0, ROWS - 10)
    assert hear(process, ours, lambda said: said == "append" or said >= row) != "append"
    process.kill()
    died(process)
    assert whole(registry, clock, head) == "nothing", row


@pytest.mark.sqlite_file
@pytest.mark.parametrize("stage", [100, 100_000], ids=["laid by", "in memory"])
def test_killed_during_the_append(registry: Registry, passphrase: bytes, clock: Clock, head: int, stage: int) -> None:
    """First once to the end, to count; then at random points of it, the first and the last among them."""
    saved = registry.folder.path.with_suffix(".saved")
    shutil.copytree(registry.folder.path, saved)
    process, ours = start(registry, passphrase, stage)
    looks = hear(process, ours, lambda said: said != "append" and said > ROWS)
    process.join(60)
    assert process.exitcode == 0
    assert looks > ROWS
    assert whole(registry, clock, head) == "all"
    for kill_at in (1, looks, random.randrange(2, looks)):
        shutil.rmtree(registry.folder.path)
        shutil.copytree(saved, registry.folder.path)
        process, ours = start(registry, passphrase, stage, kill_at)
        assert hear(process, ours, lambda said: said == "append") == "append"
        died(process)
        assert whole(registry, clock, head) == "nothing", f"killed at look {kill_at} of {looks}"


@pytest.mark.sqlite_file
def test_killed_while_the_file_grows(registry: Registry, passphrase: bytes, clock: Clock, head: int) -> None:
    """At no moment of our choice: as soon as the write-ahead log has begun to grow by the append."""
    wal = Path(f"{registry.folder.log}-wal")
    process, ours = start(registry, passphrase, 100_000)
    assert hear(process, ours, lambda said: said == "append") == "append"
    size = wal.stat().st_size
    while process.is_alive() and wal.exists() and wal.stat().st_size <= size:
        pass
    process.kill()
    process.join(60)
    assert whole(registry, clock, head) in ("all", "nothing")


@pytest.mark.sqlite_file
def test_a_write_ahead_log_that_breaks_off_anywhere(
    new_registry: Callable[[], Registry], made: tuple[Path, Custody], clock: Clock, tmp_path: Path
) -> None:
    """The power fails while the append reaches the disk: whatever part of it is there, it is all or nothing."""
    registry = new_registry()
    before = registry.log.head()
    with closing(sqlite3.connect(registry.folder.log)) as reader:  # keeps the log from being folded into the file
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM stored_events").fetchone()

        def body(unit: Any) -> None:
            for n in range(ROWS):
                Awarding(unit).award(awarding(person(n)))

        registry.log.transact(body, actor=CLERK)
        data, wal = registry.folder.log.read_bytes(), Path(f"{registry.folder.log}-wal").read_bytes()
    ends = [0, 32, len(wal) - 4120, len(wal) - 1, len(wal), *(random.randrange(33, len(wal)) for _ in range(6))]
    found = set()
    for end in ends:
        path = tmp_path / f"torn-{end}"
        engine.copy(made[0], path)
        (path / "registry.db").write_bytes(data)
        (path / "registry.db-wal").write_bytes(wal[:end])
        torn = Registry(Folder(path), registry.custody, clock)
        new = torn.log.head() - before
        assert new in (0, 2 * ROWS), end
        check_log(torn)
        found.add((end == len(wal), new))
        torn.close()
    assert found == {(False, 0), (True, 2 * ROWS)}
