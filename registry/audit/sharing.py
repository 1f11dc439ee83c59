"""Two processes take pieces of one job, each when it is free, until there are none left.

The numbers of the pieces lie in a pipe from which both read. The second process has no key of the registry. It is only
help: what it took and did not finish is done here.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from registry.audit.pieces import Done, Job, Worker
from registry.log.recorder import LogRecorder
from registry.processes import started

WORTH = 30_000  # events: with fewer, a second process costs more than it gives
_NUMBER = 2  # bytes
_MOST = 30_000  # numbers: as many as a pipe holds while nobody reads

_encode = msgspec.msgpack.Encoder().encode


class Sharing:
    """One job, of which another process may be at work already."""

    def __init__(self, job: Job, recorder: LogRecorder, waiting: int, second: "subprocess.Popen[bytes] | None") -> None:
        self._job, self._waiting, self._second = job, waiting, second
        self._worker = Worker(job, recorder)

    def finish(self) -> list[Done]:
        """Do what is left, wait for what the other has taken, and return what all pieces came to, in their order.

        Raise Unwell if anything is not as it must be.
        """
        pieces, found = self._job.pieces, dict[int, Done]()
        for number in taken(self._waiting):
            found[number] = self._worker.do(pieces[number])
        found |= self._told()
        return [found.get(number) or self._worker.do(piece) for number, piece in enumerate(pieces)]

    def _told(self) -> dict[int, Done]:
        if self._second is None:
            return {}
        assert self._second.stdout is not None
        told = self._second.stdout.read()
        try:
            return dict(msgspec.msgpack.decode(told, type=list[tuple[int, Done]])) if told else {}
        except msgspec.DecodeError:
            return {}


@contextmanager
def shared(job: Job, recorder: LogRecorder) -> Iterator[Sharing]:
    """Begin with a job, beside whatever this process does until `finish`; with a second process if it is much."""
    waiting, writing = os.pipe()
    try:
        numbers = range(min(len(job.pieces), _MOST))
        os.write(writing, b"".join(number.to_bytes(_NUMBER) for number in numbers))
        os.close(writing)
        if job.head < WORTH or len(os.sched_getaffinity(0)) < 2:
            yield Sharing(job, recorder, waiting, None)
            return
        with _second_process(job, waiting) as second:
            yield Sharing(job, recorder, waiting, second)
    finally:
        os.close(waiting)


def taken(waiting: int) -> Iterator[int]:
    """The numbers of the pieces that fall to this process."""
    while number := os.read(waiting, _NUMBER):
        yield int.from_bytes(number)


@contextmanager
def _second_process(job: Job, waiting: int) -> Iterator["subprocess.Popen[bytes]"]:
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "pass_fds": (waiting,)}
    with started("registry.audit.apart", str(waiting), without=("TITLE_REGISTRY_",), **streams) as process:
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it could not begin: then all is done here
                process.stdin.write(_encode(job))
            with suppress(BrokenPipeError):
                process.stdin.close()
            yield process
        finally:
            process.kill()
