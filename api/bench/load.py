"""A small HTTP load: some callers, each with one kept connection and one request under way; loopback only."""

import asyncio
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
    def __init__(self, request: bytes, until: float, times: list[float], done: asyncio.Future[None]) -> None:
        self.request, self.until, self.times, self.done = request, until, times, done
        self.waiting, self.received, self.started = 0, 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._send()

    def _send(self) -> None:
        self.started, self.received, self.waiting = time.perf_counter(), 0, 0
        self.transport.write(self.request)  # type: ignore[attr-defined]

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


async def _load(port: int, path: str, callers: int, duration: float) -> Load:
    loop, times = asyncio.get_running_loop(), list[float]()
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    started = time.perf_counter()
    finished = [loop.create_future() for _ in range(callers)]
    for done in finished:
        await loop.create_connection(partial(_Caller, request, started + duration, times, done), "127.0.0.1", port)
    await asyncio.wait_for(asyncio.gather(*finished), duration + 20)
    took = time.perf_counter() - started
    times.sort()
    return Load(len(times) / took, times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000)


def main() -> None:
    """Print the load of argv: port, path, callers, seconds."""
    port, path, callers, duration = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(_load(port, path, callers, duration))))


if __name__ == "__main__":
    main()
