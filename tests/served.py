"""A registry served by uvicorn in a process of its own, on a free port of the loopback, and what stands in it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import httpx

from api.documents.delivery import deliver
from api.documents.press import Press
from registry.folder import Config
from registry.service import Registry
from registry.titles.certificate import token_of
from registry.titles.digits import to_digits
from registry.titles.events import DecisionKind
from registry.titles.state import Certificate
from tests import engine
from tests.people import CLERK, awarding, correcting, decided, deciding, found, paper_of_1998, person, scans, settable

START_SECONDS, STOP_SECONDS = 60, 10
PASSPHRASE = "样例口令 correct horse".encode()
_SERVE = "import sys, pathlib; from api.serving import serve; data, port, target, workers = sys.argv[1:];"
_SERVE += "serve(pathlib.Path(data), host='127.0.0.1', port=int(port), workers=int(workers), target=target)"
NAME = "林晓岚"


class Site(httpx.Client):
    """A client of one served registry. `process` is the server, `said` what it printed so far."""

    def __init__(self, data: Path, port: int, target: str, workers: int = 1) -> None:
        super().__init__(base_url=f"http://127.0.0.1:{port}", timeout=30)
        self.data, self.port, self.output = data, port, data.with_name(data.name + "-served.log")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _SERVE, data, str(port), target, str(workers)],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        """What the server has printed so far."""
        return self.output.read_text("utf-8", "replace")

    def verified(self, code: str, **query: str) -> dict[str, Any]:
        """The JSON answer for a code."""
        answer: dict[str, Any] = self.get(f"/api/v1/verifications/{code}", params=query).json()
        return answer

    def asked(self, target: str) -> httpx.Response:
        """The answer for whatever a scanner hands over."""
        return self.post("/api/v1/verifications", json={"target": target})

    def uploaded(self, data: bytes, name: str = "certificate.pdf") -> httpx.Response:
        """The answer for a file."""
        return self.post("/api/v1/verifications", files={"file": (name, data)})

    def await_answer(self) -> None:
        """Return when the server answers. Raise AssertionError if it ended or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.said
            try:
                self.get("/healthz")
                return
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError(f"no answer in {START_SECONDS} s: {self.said}")

    def stop(self) -> int:
        """Ask the server to stop; return its exit status. Raise subprocess.TimeoutExpired after 10 s."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def serving(
    data: Path, port: int | None = None, target: str = "api.app:from_environment", workers: int = 1
) -> Iterator[Site]:
    """Serve a data folder (with a file `passphrase` in it) until the end of the block."""
    with Site(data, port or free_port(), target, workers) as site:
        try:
            site.await_answer()
            yield site
        finally:
            if site.process.poll() is None:
                try:
                    site.stop()
                except subprocess.TimeoutExpired:
                    site.process.kill()
                    site.process.wait()


def until(holds: Callable[[], object]) -> None:
    """Return when it holds. Raise AssertionError if that takes longer than a start may."""
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not in {START_SECONDS} s"
        time.sleep(0.02)


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def found_registry(data: Path, port: int) -> Registry:
    """A new registry by the clock of this machine, whose codes lead to that port, with its passphrase beside it."""
    config = Config(base_url=f"http://127.0.0.1:{port}", phone="0578-000 0000", sample=True)
    registry = Registry.create(data, PASSPHRASE, engine.kept(config))
    found(registry)
    (data / "passphrase").write_bytes(PASSPHRASE)
    (data / "passphrase").chmod(0o600)
    return registry


def copied(data: Path, to: Path) -> Path:
    """A copy of a data folder that a server may have open."""
    engine.copy(data, to)
    return to


class Cabinet:
    """Certificates in every state. Opened by the test's process, beside the one that serves."""

    def __init__(self, registry: Registry) -> None:
        self.registry, self.press = registry, Press()
        self.valid = self._issued(1)
        self.other = self._issued(2)
        self.fresh = [self._issued(n) for n in (11, 12, 13)]
        self.revoked = self._decided(3, DecisionKind.REVOCATION)
        self.invalidated = self._decided(4, DecisionKind.INVALIDATION)
        self.suspended = self._decided(5, DecisionKind.SUSPENSION)
        self.superseded, self.newer = self._replaced(6)
        self.converted = self._converted(7)

    def _issued(self, n: int) -> Certificate:
        stream = self.registry.award(awarding(person(n, NAME)), officer=CLERK)
        return self.registry.issue(stream, settable, officer=CLERK)

    def _decided(self, n: int, kind: DecisionKind) -> Certificate:
        certificate = self._issued(n)
        self.decide(certificate, kind)
        return certificate

    def decide(self, certificate: Certificate, kind: DecisionKind) -> None:
        """Two officers decide; all of it happens in this process, not in the server's."""
        decided(self.registry, self.stream(certificate), deciding(kind))

    def stream(self, certificate: Certificate) -> str:
        """The title that a certificate belongs to."""
        return self.registry.certificate(certificate.code)[0].id

    def _replaced(self, n: int) -> tuple[Certificate, Certificate]:
        old = self._issued(n)
        title = self.registry.title(self.stream(old))
        decided(self.registry, title.id, correcting(title, specialty="给水排水"))
        return old, self.registry.issue(title.id, settable, officer=CLERK)

    def _converted(self, n: int) -> Certificate:
        application = self.registry.submit_paper(paper_of_1998(person(n, NAME)), None, scans(), officer=CLERK)
        approved = self.registry.approve_paper(application.id, application.fact.digest, officer="chief-02")
        assert approved.title
        return self.registry.issue(approved.title, settable, officer=CLERK)

    def pdf(self, certificate: Certificate) -> bytes:
        """The signed document of a certificate."""
        return deliver(self.registry, self.press, certificate)

    @staticmethod
    def digits(certificate: Certificate) -> str:
        """Its token, as it stands in the fragment of the QR."""
        return to_digits(token_of(certificate))

    def qr(self, certificate: Certificate) -> str:
        """What a scanner reads from it."""
        return f"{self.registry.config.base_url}/v/{certificate.code}#{self.digits(certificate)}"


def unchanged(registry: Registry, do: Callable[[], httpx.Response]) -> httpx.Response:
    """Ask something that must not crash the service nor change the log."""
    before = registry.log.head()
    response = do()
    assert response.status_code < 500 or response.status_code == 503
    assert registry.log.head() == before
    return response
