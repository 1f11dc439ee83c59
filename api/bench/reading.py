"""What is read back: the replay, every check, the register built anew, the start of a process."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from api.bench.apart import begin
from api.bench.engines import CHUNK
from api.bench.figures import Measured, consume, rate, seconds
from api.bench.material import new_registry
from registry.audit import Report, verify_history, verify_live
from registry.log.mapper import decode
from registry.register import tables
from registry.service import Registry

FEW = 250_000  # events: fewer are read three times, and the best counts


def rounds(events: int) -> int:
    """How often a reading is repeated."""
    return 3 if events < FEW else 1


def replayed(registry: Registry) -> Measured:
    """Events a second of the replay that needs no key, as `audit history` does it, against select and typed decode."""
    return _verified("replay", registry, verify_history)


def checked(registry: Registry) -> Measured:
    """Events a second of every check there is, as `audit verify` does it, against select and typed decode."""
    return _verified("every_check", registry, verify_live)


def _verified(name: str, registry: Registry, verify: Callable[[Registry], Report]) -> Measured:
    registry.tlog.sequence()  # what was appended since the import is in the tree as well
    head, found = registry.log.head(), []
    times = rounds(head)
    floor = rate(lambda: decoded(registry), head, times)
    value = rate(lambda: found.append(verify(registry)), head, times)
    return Measured(name, value, floor, f"{head:,} events, {_said(found[-1])}")


def _said(report: Report) -> str:
    return f"{len(report.findings)} findings" if report.findings else "no finding"


def decoded(registry: Registry) -> None:
    """Select and decode every event, in log order."""
    log = registry.log
    consume(decode(*row[1:], row[0]) for row in log.recorder.rows_by_position(0, log.head()))


def rebuild(registry: Registry, folder: Path, after: int) -> list[Measured]:
    """Events a second into a new register, alone and while another process awards titles."""
    head = registry.log.head()
    times, register = rounds(head), registry.register
    register.catch_up()
    floor = min(_bare_rebuild(registry, folder) for _ in range(times))
    alone = rate(register.rebuild, head, times)
    writer = begin("award", registry.folder.path, after, 0.02)
    busy = rate(register.rebuild, head, times)
    arrived, written = writer.communicate(b"")[0], registry.log.head() - head
    if register.catch_up() < head + written:
        raise AssertionError("the register missed what was written meanwhile")
    note = f"{int(arrived):,} titles awarded meanwhile"
    return [
        Measured("register_rebuild", alone, head / floor, f"{head:,} events"),
        Measured("register_rebuild_busy", busy, head / floor, note),
    ]


def _bare_rebuild(registry: Registry, folder: Path) -> float:
    """Seconds to select, decode, and insert the finished rows into the same tables with the same indexes.

    No journal and no waiting for the disk: the register is made beside the live one and can always be made again.
    """
    into = folder / "floor-register.db"
    into.unlink(missing_ok=True)
    took = seconds(lambda: decoded(registry))
    with closing(sqlite3.connect(registry.folder.register)) as live, closing(sqlite3.connect(into)) as c:
        c.isolation_level = None
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-65536", "locking_mode=EXCLUSIVE"):
            c.execute(f"PRAGMA {pragma}")
        tables.create(c)
        c.execute("BEGIN")
        took += sum(_insert(live, c, table) for table in tables.TABLES)
        return took + seconds(lambda: _finish(c))


def _finish(c: sqlite3.Connection) -> None:
    c.execute("COMMIT")
    for table in tables.TABLES:
        tables.index(c, table)


def _insert(live: sqlite3.Connection, into: sqlite3.Connection, table: str) -> float:
    took, cursor = 0.0, live.execute(f"SELECT * FROM {table}")
    while rows := cursor.fetchmany(CHUNK):
        statement = f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})"
        took += seconds(lambda: into.executemany(statement, rows))  # noqa: B023 - called at once
    return took


def start_up(folder: Path, code: str, empty: Path, database: str) -> Measured:
    """Milliseconds until a new process has answered for a code, interpreter and imports included."""
    new_registry(empty, database).close()
    value, floor = (min(seconds(lambda: _opened(one, code)) for _ in range(3)) * 1000 for one in (folder, empty))  # noqa: B023
    return Measured("start_up", value, floor, "interpreter and imports included")


def _opened(folder: Path, code: str) -> str:
    command = [sys.executable, "-m", "api.bench.opening", str(folder), code]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()  # noqa: S603
