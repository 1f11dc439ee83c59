"""The machine under a measurement, in words. Figures of two machines are compared by their ratios alone."""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec


class Machine(msgspec.Struct, frozen=True):
    """What a report says of the machine, in the order of the fields."""

    date: str
    processor: str
    cores: int
    memory: str
    load: str
    disk: str
    system: str
    python: str
    engine: str


def describe(engine: str, folder: Path) -> Machine:
    """This machine now; `folder` is on the disk that was measured."""
    return Machine(
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        processor=_field("/proc/cpuinfo", "model name") or platform.processor() or "unknown",
        cores=os.cpu_count() or 0,
        memory=f"{int((_field('/proc/meminfo', 'MemTotal') or '0').split()[0]) / 1024**2:.0f} GiB",
        load=f"{os.getloadavg()[0]:.1f} processes wanted to run at the end (1 minute)",
        disk=_disk(folder),
        system=f"{platform.system()} {platform.release()}",
        python=sys.version.split()[0],
        engine=engine,
    )


def _field(path: str, name: str) -> str | None:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)


def _disk(folder: Path) -> str:
    """The file system that the folder is on, and its device."""
    mounts = [line.split()[:3] for line in Path("/proc/mounts").read_text().splitlines()]
    within = [mount for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    device, _, kind = max(within, key=lambda mount: len(mount[1]))
    return f"{kind} on {device}"
