"""What proving costs: sequencing, a proof from the tiles, an award while the log is sequenced, the auditor's kit."""

import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from api.bench.figures import Measured, rate, seconds
from api.bench.material import OFFICER
from api.sequencing import Sequencing
from registry.audit import export
from registry.proof.leaf import leaf_entry
from registry.proof.proofs import inclusion_proof
from registry.proof.tiles import WIDTH, TileStore
from registry.service import Registry
from registry.titles.award import AwardTitle

LEAVES = 1_000_000
PROOFS = 500


def sequence(registry: Registry, folder: Path) -> Measured:
    """All events into tiles and a signed checkpoint, on the disk, against hashing and writing the same bytes once."""
    log, events = registry.tlog, registry.log.head()
    log.sequence()
    entries = [leaf_entry(*row) for row in registry.log.recorder.rows_by_position(0, events)]
    value = events / seconds(log.rebuild)
    floor = events / seconds(lambda: _write_once(entries, folder / "floor.bin"))
    return Measured("sequence", value, floor)


def _write_once(entries: Sequence[bytes], path: Path) -> None:
    with path.open("wb") as out:
        for entry in entries:
            out.write(entry)
            out.write(hashlib.sha256(b"\x00" + entry).digest())
        out.flush()
        os.fsync(out.fileno())


def prove(folder: Path) -> Measured:
    """An inclusion proof of a random leaf among 10^6, from tiles nobody has read yet, against reading its one tile."""
    store = TileStore(folder / "prove")
    for first in range(0, LEAVES, 64 * WIDTH):
        store.write(first, [b"leaf %d" % n for n in range(first, min(LEAVES, first + 64 * WIDTH))])
    indexes = [random.randrange(LEAVES) for _ in range(PROOFS)]  # noqa: S311 - no secret
    value = seconds(lambda: [_prove_cold(store, one) for one in indexes]) / PROOFS * 1000
    tiles = [store.folder / "tile/0" / f"x{n // 1000:03}" / f"{n % 1000:03}" for n in (i // WIDTH for i in indexes)]
    floor = seconds(lambda: [path.read_bytes() for path in tiles if path.exists()]) / PROOFS * 1000
    return Measured("prove", value, floor)


def _prove_cold(store: TileStore, index: int) -> list[bytes]:
    store.forget()
    return inclusion_proof(index, LEAVES, store.reader(LEAVES))


def award_sequenced(alone: Registry, sequenced: Registry, commands: Sequence[AwardTitle]) -> Measured:
    """An award while the log is sequenced beside it, as in the service, against the same award without."""
    half = len(commands) // 2
    sequencing = Sequencing(sequenced)
    sequencing.start()
    rounds = [(_time(alone, part), _time(sequenced, part)) for part in (commands[:half], commands[half:])]
    sequencing.stop()
    value, floor = sum(pair[1] for pair in rounds), sum(pair[0] for pair in rounds)
    per_award = 1000 / len(commands)
    return Measured("award_sequenced", value * per_award, floor * per_award)


def _time(registry: Registry, commands: Sequence[AwardTitle]) -> float:
    return seconds(lambda: [registry.award(command, officer=OFFICER) for command in commands])


def merge_delay(registry: Registry, commands: Sequence[AwardTitle]) -> Measured:
    """From the return of an append to the published checkpoint that has it: p99, against p50."""
    sequencing, waiting, delays = Sequencing(registry), list[tuple[int, float]](), list[float]()
    sequencing.start()

    def published() -> None:
        checkpoint = registry.tlog.checkpoint()
        size, now = checkpoint.size if checkpoint else 0, time.perf_counter()
        delays.extend(now - since for head, since in waiting if head <= size)
        waiting[:] = [one for one in waiting if one[0] > size]

    for command in commands:
        registry.award(command, officer=OFFICER)
        waiting.append((registry.log.head(), time.perf_counter()))
        published()
        time.sleep(0.005)
    while waiting:
        published()
        time.sleep(0.005)
    sequencing.stop()
    p50, p99 = (sorted(delays)[int(len(delays) * part)] * 1000 for part in (0.5, 0.99))
    return Measured("merge_delay", p99, p50, f"{len(commands)} awards")


def kit(registry: Registry, folder: Path) -> Measured:
    """The auditor's kit over an export, in a process of its own, against reading and hashing the same files."""
    export(registry, folder / "export")
    events = registry.log.head()
    command = [sys.executable, "-I", str(folder / "export" / "verify_export.py"), str(folder / "export")]
    took = seconds(lambda: subprocess.run(command, check=True, capture_output=True))  # noqa: S603 - our own program
    files = [path for path in (folder / "export").rglob("*") if path.is_file()]
    floor = rate(lambda: [hashlib.sha256(path.read_bytes()).digest() for path in files], events, 1)
    return Measured("kit", events / took, floor)
