"""One measured figure, and how timings are taken: the best of several runs for floors and for figures alike."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

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


class Measured(NamedTuple):
    """What a measurement found: the name of a figure, its value and its floor in the same unit."""

    name: str
    value: float
    floor: float
    note: str = ""


def rate(work: Callable[[], Any], items: int, rounds: int = 3) -> float:
    """Items per second of the fastest of several rounds."""
    return items / min(seconds(work) for _ in range(rounds))


def seconds(work: Callable[[], Any]) -> float:
    """The wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def medians(work: Callable[[Any, Any], Any], sides: Sequence[tuple[Any, Sequence[Any]]]) -> list[float]:
    """The median wall time of one call in milliseconds, for each side (what it works on, its items); in turns."""
    took: list[list[float]] = [[] for _ in sides]
    for items in zip(*(items for _, items in sides), strict=False):
        for found, (on, _), item in zip(took, sides, items, strict=True):
            started = time.perf_counter()
            work(on, item)
            found.append(time.perf_counter() - started)
    return [sorted(found)[len(found) // 2] * 1000 for found in took]


def consume(items: Iterable[Any]) -> None:
    """Take everything and keep nothing."""
    for _ in items:
        pass


class Watch:
    """Watches the memory of this process and of those it started, ten times a second; pages they share count once."""

    def __init__(self) -> None:
        self.before = self.peak = _memory()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.peak = max(self.peak, _memory())

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            self.peak = max(self.peak, _memory())


def _memory() -> float:
    """MB of this process and its children, each page divided by how many of them have it (PSS)."""
    children = (_text(path).split() for path in Path("/proc/self/task").glob("*/children"))
    return sum(_share(one) for one in ("self", *chain.from_iterable(children)))


def _share(process: str) -> float:
    lines = _text(Path(f"/proc/{process}/smaps_rollup")).splitlines()
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the thread or process has ended meanwhile
        return ""
