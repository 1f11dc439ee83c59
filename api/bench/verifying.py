"""Verification over HTTP: the served application under a load of callers, beside an empty route of the same server."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import socket

import msgspec

from api.bench.figures import Measured
from api.bench.load import Load
from api.bench.opening import PASSPHRASE
from api.bench.server import EMPTY
from registry.errors import Unavailable

CALLERS, ROUNDS = 16, 5


def verify(data: Path, codes: Sequence[str], folder: Path, duration: float) -> list[Measured]:
    """Requests a second and the slowest hundredth, ours and the empty route in turns: the round in the middle by ratio.

    Both figures of a round are of the same moment; the best of each would compare a quiet one with a busy one.
    """
    paths = [f"/api/v1/verifications/{code}" for code in codes]
    with _served(data, folder) as port:
        for warm in ([EMPTY], paths):
            _load(port, warm, duration / 4)
        loads = [(_load(port, [EMPTY], duration), _load(port, paths, duration)) for _ in range(ROUNDS)]
    empty, ours = sorted(loads, key=lambda pair: pair[1].rate / pair[0].rate)[ROUNDS // 2]
    note = f"{len(codes):,} certificates, {CALLERS} callers, p50 {ours.p50:.1f} ms"
    return [
        Measured("verify", ours.rate, empty.rate, note),
        Measured("verify_p99", ours.p99, empty.p99, f"{CALLERS} callers"),
    ]


@contextmanager
def _served(data: Path, folder: Path) -> Iterator[int]:
    passphrase, port = folder / "passphrase", _free_port()
    passphrase.touch(0o600)
    passphrase.write_bytes(PASSPHRASE)
    server = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "api.bench.server", str(data), str(port)],
        env={"TITLE_REGISTRY_PASSPHRASE_FILE": str(passphrase), "PATH": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_ready(port)
        yield port
    finally:
        server.terminate()
        server.wait(15)


def _wait_ready(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise Unavailable("测量用的服务 30 秒内没有就绪", fix="先用 title-registry serve 看它能否启动")


def _load(port: int, paths: Sequence[str], duration: float) -> Load:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "api.bench.load", str(port), str(CALLERS), str(duration)],
        check=True,
        input="\n".join(paths).encode(),
        stdout=subprocess.PIPE,
    )
    return msgspec.json.decode(done.stdout, type=Load)


def _free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
