"""What is written: an import, one award after another, awards from many callers at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from api.bench.apart import Imported
from api.bench.engines import Engine
from api.bench.figures import Measured, seconds
from api.bench.material import OFFICER
from registry.service import Registry
from registry.titles.award import AwardTitle

CALLERS = 32


def imports(imported: Imported, engine: Engine, folder: Path, database: str) -> list[Measured]:
    """The import against a raw insert of what it wrote, and its memory."""
    rows, floor = imported.rows, engine.raw_insert(folder, database)
    note = (
        f"{rows:,} rows in {imported.whole:.1f} s: list {imported.seconds:.1f}, tree {imported.sequenced:.1f},"
        f" register {imported.registered:.1f}"
    )
    return [
        Measured("import", rows / imported.whole, rows / floor, note),
        Measured("import_memory", imported.peak, imported.before, f"{rows:,} rows"),
    ]


def award(registry: Registry, commands: Sequence[AwardTitle], engine: Engine) -> Measured:
    """Awards a second by one caller, against durable one-row inserts; in turns, because disks have moods."""
    parts = [commands[n::3] for n in range(3)]
    rounds = [(_alone(registry, part), engine.durable_inserts(len(part))) for part in parts]
    value, floor = (sum(one[side] for one in rounds) for side in (0, 1))
    return Measured("award", len(commands) / value, len(commands) / floor)


def award_group(registry: Registry, commands: Sequence[AwardTitle]) -> Measured:
    """Awards a second from 32 threads, against the same by one alone; in turns."""
    parts = [commands[n::6] for n in range(6)]
    value = sum(_together(registry, part) for part in parts[::2])
    floor = sum(_alone(registry, part) for part in parts[1::2])
    count = sum(map(len, parts[::2])), sum(map(len, parts[1::2]))
    return Measured("award_group", count[0] / value, count[1] / floor, f"{CALLERS} threads of one process")


def _alone(registry: Registry, commands: Sequence[AwardTitle]) -> float:
    return seconds(lambda: [registry.award(command, officer=OFFICER) for command in commands])


def _together(registry: Registry, commands: Sequence[AwardTitle]) -> float:
    def work(share: Sequence[AwardTitle]) -> None:
        for command in share:
            registry.award(command, officer=OFFICER)
        registry.log.recorder.close()

    shares = [commands[n::CALLERS] for n in range(CALLERS)]
    with ThreadPoolExecutor(CALLERS) as callers:
        return seconds(lambda: list(callers.map(work, shares)))
