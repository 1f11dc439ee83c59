"""The register built anew in one file. Holders are folded here, where the keys are; all else, if it is much, beside.

The second process opens the log on its own and has no key: what it folds stays sealed. It is only help: when it fails,
its part is done here, and what is wrong is found here.
"""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from registry.holders.holder import HOLDERS
from registry.log.kind import Kind
from registry.log.log import Log
from registry.paper.application import APPLICATIONS
from registry.processes import started
from registry.register import tables
from registry.register.files import begin
from registry.register.folding import folded
from registry.titles.state import TITLES

SEALED = (TITLES, APPLICATIONS)
WORTH = 100_000  # events: with fewer, a second process costs more than it gives
_BATCH = 1_000  # streams

Progress = Callable[[int], None]


def build(path: Path, log: Log, head: int, progress: Progress) -> None:
    """Write the register as of that position into a new file, without waiting for the disk. Raise CorruptHistory."""
    much = head >= WORTH and len(os.sched_getaffinity(0)) > 1
    if not (much and _build_in_two(path, log, head, progress)):
        path.unlink(missing_ok=True)
        _build(path, log, head, (HOLDERS, *SEALED), progress)
    progress(head)


def _build(path: Path, log: Log, head: int, kinds: tuple[Kind[Any], ...], progress: Progress) -> None:
    """All of these kinds, with the indexes of all tables but that of the names, if they are not among them."""
    with closing(begin(path)) as c:
        tables.create(c)
        _fill(c, log, head, kinds, progress)
        c.execute("UPDATE position SET position=?", (head,))
        for table in tables.TABLES:
            if table != "names" or HOLDERS in kinds:
                tables.index(c, table)


def _fill(c: sqlite3.Connection, log: Log, head: int, kinds: tuple[Kind[Any], ...], progress: Progress) -> None:
    done = 0
    c.execute("BEGIN")
    for kind in kinds:
        streams = folded(log, head, kind)
        while batch := [*islice(streams, _BATCH)]:
            tables.write(c, [(stream, state) for stream, state, _ in batch], replace=False)
            done += sum([events for _, _, events in batch])
            progress(done)
    c.execute("COMMIT")


def _build_in_two(path: Path, log: Log, head: int, progress: Progress) -> bool:
    """The names meanwhile in a file without a name, which goes with this process."""
    with _second_process(path, log, head) as second, closing(begin()) as c:
        tables.create(c)
        _fill(c, log, head, (HOLDERS,), progress)
        if second.wait():
            return False
        c.execute("ATTACH ? AS built", (str(path),))
        c.execute("PRAGMA built.journal_mode=OFF")
        c.execute("PRAGMA built.synchronous=OFF")
        c.execute("INSERT INTO built.names SELECT * FROM main.names")
        tables.index(c, "names", "built")
    return True


@contextmanager
def _second_process(path: Path, log: Log, head: int) -> Iterator["subprocess.Popen[bytes]"]:
    told = (str(path), str(log.recorder.place), str(head))
    with started("registry.register.building", *told, without=("TITLE_REGISTRY_",)) as process:
        process.stdin.close()  # type: ignore[union-attr]
        try:
            yield process
        finally:
            process.kill()


def _second(path: Path, place: str, head: int) -> None:
    log = Log(place if "://" in place else Path(place), None)
    _build(path, log, head, SEALED, lambda _: None)
    log.close()


if __name__ == "__main__":
    _second(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
