"""One measured figure, and how timings are taken: the best of several runs for floors and for figures alike."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """`value` and `floor` in `unit`; `ratio` compares them; `met` says whether `goal` (in words) was reached."""

    name: str
    value: float
    floor: float
    ratio: float
    goal: str
    unit: str
    met: bool
    note: str = ""


def rate(work: Callable[[], Any], items: int, rounds: int = 3) -> float:
    """Items per second of the fastest of several rounds."""
    return items / min(seconds(work) for _ in range(rounds))


def seconds(work: Callable[[], Any]) -> float:
    """The wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def memory(field: str) -> float:
    """A memory figure of this process in MB, from the kernel: VmRSS is now, VmHWM the peak since `reset_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))


def reset_peak() -> None:
    """Let the peak begin anew (a started process inherits its parent's)."""
    Path("/proc/self/clear_refs").write_text("5")
