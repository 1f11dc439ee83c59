"""A small HTTP load: some callers, each with one kept connection and one request under way; loopback only.

Each request asks for one of the given addresses, at random: one certificate asked for again and again would be found in
the processor's cache.
"""

import asyncio
import random
import sys
import time
from functools import partial
from typing import NamedTuple

import msgspec


class Load(NamedTuple):
    """Requests per second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


class _Caller(asyncio.Protocol):
    def __init__(self, requests: list[bytes], until: float, times: list[float], done: asyncio.Future[None]) -> None:
        self.requests, self.until, self.times, self.done = requests, until, times, done
        self.waiting, self.received, self.started = 0, 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._send()

    def _send(self) -> None:
        self.started, self.received, self.waiting = time.perf_counter(), 0, 0
        self.transport.write(random.choice(self.requests))  # type: ignore[attr-defined]  # noqa: S311

    def data_received(self, data: bytes) -> None:
        if not self.waiting:
            head = data.index(b"\r\n\r\n") + 4
            length = data.lower().index(b"content-length:") + 15
            if not data.startswith(b"HTTP/1.1 200"):
                raise ValueError(data[:100])
            self.waiting = head + int(data[length : data.index(b"\r\n", length)])
        self.received += len(data)
        if self.received < self.waiting:
            return
        now = time.perf_counter()
        self.times.append(now - self.started)
        if now < self.until:
            self._send()
        else:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)


async def _load(port: int, paths: list[str], callers: int, duration: float) -> Load:
    loop, times = asyncio.get_running_loop(), list[float]()
    requests = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode() for path in paths]
    started = time.perf_counter()
    finished = [loop.create_future() for _ in range(callers)]
    for done in finished:
        await loop.create_connection(partial(_Caller, requests, started + duration, times, done), "127.0.0.1", port)
    await asyncio.wait_for(asyncio.gather(*finished), duration + 20)
    took = time.perf_counter() - started
    times.sort()
    return Load(len(times) / took, times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000)


def main() -> None:
    """Print the load of argv: port, callers, seconds; the paths are the lines of the standard input."""
    port, callers, duration = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    paths = sys.stdin.read().split()
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(_load(port, paths, callers, duration))))


if __name__ == "__main__":
    main()
