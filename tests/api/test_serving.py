"""The service as a process: it starts, says when it is ready, refuses a port in use, and stops when it is told to."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.app import from_environment
from api.serving import serve
from keys.errors import WrongPassphrase
from registry.errors import Unavailable
from tests.served import STOP_SECONDS, Cabinet, Site, copied, free_port, serving

PERSONAL = "林晓岚 331102198003070011"


def failing() -> FastAPI:
    """The service with one route more, which fails with a message about a person."""

    async def fail(_: Request) -> Response:
        raise LookupError(PERSONAL)

    app = from_environment()
    app.router.routes.insert(0, Route("/fail", fail))
    return app


@pytest.fixture
def copy(cabinet: Cabinet, tmp_path: Path) -> Path:
    """A data folder of the test's own."""
    return copied(cabinet.registry.folder.path, tmp_path / "data")


def test_it_is_healthy_and_ready(site: Site, cabinet: Cabinet) -> None:
    assert site.get("/healthz").json() == {"status": "ok"}
    ready = site.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert ready.json()["log_position"] == cabinet.registry.log.head()


def test_it_stops_on_sigterm_and_leaves_no_process_behind(copy: Path) -> None:
    with serving(copy, workers=2) as site:
        group = _children(site.process.pid)
        assert group
        assert site.stop() in (0, -signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while left := [pid for pid in group if Path(f"/proc/{pid}").exists()]:
            assert time.monotonic() < deadline, left
            time.sleep(0.02)
        with pytest.raises(httpx.TransportError):
            site.get("/healthz")


def test_it_stops_although_a_caller_keeps_a_connection_and_sends_nothing(copy: Path) -> None:
    with serving(copy) as site, socket.create_connection(("127.0.0.1", site.port)) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        assert site.stop() in (0, -signal.SIGTERM)


def test_a_port_in_use_is_refused_before_anything_starts(site: Site, copy: Path) -> None:
    with pytest.raises(Unavailable, match="不能监听") as refused:
        serve(copy, host="127.0.0.1", port=site.port, workers=1)
    assert "--port" in refused.value.fix


def test_a_folder_that_is_no_registry_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TITLE_REGISTRY_PASSPHRASE", "any")
    monkeypatch.setenv("TITLE_REGISTRY_DATA", "")  # put back what serving sets
    with pytest.raises(Unavailable, match=r"config\.json"):
        serve(tmp_path, host="127.0.0.1", port=free_port(), workers=1)


def test_a_wrong_passphrase_is_refused_before_anything_starts(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITLE_REGISTRY_DATA", "")
    (copy / "passphrase").write_text("another one")
    with pytest.raises(WrongPassphrase):
        serve(copy, host="127.0.0.1", port=free_port(), workers=1)


def test_what_nobody_expected_is_an_error_number_and_names_no_person(copy: Path) -> None:
    with serving(copy, target="tests.api.test_serving:failing") as site:
        answer = site.get("/fail")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        number = answer.json()["fix"].rpartition(" ")[2]
        page = site.get("/fail", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["content-type"]) == (500, "text/html; charset=utf-8")
        assert site.get("/healthz").status_code == 200
        site.stop()
        assert number in site.said, "the number leads to a line of the log"
        for text in (answer.text, page.text, site.said):
            assert PERSONAL.split()[0] not in text
            assert PERSONAL.split()[1] not in text


def test_the_log_of_the_service_holds_no_code_and_no_person(copy: Path, cabinet: Cabinet) -> None:
    with serving(copy) as site:
        site.get(f"/v/{cabinet.valid.code}")
        site.verified(cabinet.valid.code)
        site.asked(cabinet.qr(cabinet.valid))
        site.stop()
        said = site.said
    assert cabinet.valid.code not in said
    assert cabinet.valid.content.reveal().name not in said


def _children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]
