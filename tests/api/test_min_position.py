"""Who writes and then reads by the position of the write sees it, or is told that the log is not there yet."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.waiting import MOST_WAITING, WAIT_SECONDS
from registry.service import Registry
from registry.titles.events import DecisionKind
from tests.api.bureau import Client
from tests.people import CLERK, awarding, decided, deciding, person, settable

CODE = "/api/v1/verifications/{code}"
TOO_LARGE = 2**53


@pytest.fixture
def client(registry: Registry) -> Iterator[Client]:
    """A stranger at the doors of one registry."""
    client = Client(create_app(registry), registry.config.base_url)
    yield client
    client.close()


@pytest.fixture
def code(registry: Registry) -> str:
    """The code of a valid certificate."""
    title = registry.award(awarding(person(1)), officer=CLERK)
    return registry.issue(title, settable, officer=CLERK).code


def _reads(code: str) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        ("GET", CODE.format(code=code), {}),
        ("GET", CODE.format(code=code) + "/receipt", {}),
        ("POST", "/api/v1/verifications", {"json": {"target": code}}),
        ("POST", "/api/v1/verifications/batch", {"json": {"codes": [code]}}),
    ]


def test_a_verification_by_the_position_of_a_revocation_is_of_the_log_with_it(
    client: Client, registry: Registry, code: str
) -> None:
    decided(registry, registry.certificate(code)[0].id, deciding(DecisionKind.REVOCATION))
    head = registry.log.head()
    registry.tlog.sequence()
    for method, path, more in _reads(code):
        found = client.request(method, path, params={"min_position": head}, **more)
        assert found.status_code == 200, (path, found.text)
        assert '"revoked"' in found.text
        assert '"valid"' not in found.text


@pytest.mark.parametrize("which", range(4))
def test_a_position_that_nobody_wrote_is_behind_and_never_a_verdict(
    client: Client, registry: Registry, code: str, which: int
) -> None:
    method, path, more = _reads(code)[which]
    began = time.monotonic()
    _behind(client.request(method, path, params={"min_position": registry.log.head() + 1}, **more))
    assert time.monotonic() - began >= WAIT_SECONDS


def test_a_position_that_cannot_come_in_time_is_told_at_once(client: Client, registry: Registry, code: str) -> None:
    began = time.monotonic()
    _behind(client.request("GET", CODE.format(code=code), params={"min_position": registry.log.head() + 10**6}))
    assert time.monotonic() - began < WAIT_SECONDS


@pytest.mark.parametrize("said", ["", "x", "-1", "1.5", "+1", "١", str(TOO_LARGE), "9" * 5_000])
def test_what_is_no_position_is_refused(client: Client, code: str, said: str) -> None:
    for method, path, more in _reads(code):
        found = client.request(method, path, params={"min_position": said}, **more)
        assert (found.status_code, found.json()["code"]) == (422, "bad-request"), path
        assert found.json()["errors"][0]["pointer"] == "query/min_position"


def test_a_position_given_twice_is_refused(client: Client, code: str) -> None:
    found = client.request("GET", CODE.format(code=code) + "?min_position=1&min_position=2")
    assert found.status_code == 422


def test_however_many_wait_others_are_answered(client: Client, registry: Registry, code: str) -> None:
    never = {"min_position": registry.log.head() + 1}
    began = time.monotonic()
    found = client.at_once("GET", CODE.format(code=code), 3 * MOST_WAITING, params=never)
    assert time.monotonic() - began < 3 * WAIT_SECONDS, "all waited at the same time, or not at all"
    for one in found:
        _behind(one)
    waiting: Any = create_app(registry).state.waiting
    assert waiting.now == 0
    assert client.request("GET", CODE.format(code=code)).json()["status"] == "valid"


def test_every_read_is_described_with_the_parameter(client: Client) -> None:
    described = client.request("GET", "/openapi.json").json()["paths"]
    reads = {
        (method, path)
        for path, operations in described.items()
        for method in operations
        if path.startswith("/api/v1/") and (method == "get" or path.startswith("/api/v1/verifications"))
    }
    assert len(reads) >= 20
    for method, path in reads:
        said = described[path][method]
        assert "min_position" in {one["name"] for one in said["parameters"]}, path
        assert "503" in said["responses"], path


def _behind(found: httpx.Response) -> None:
    assert (found.status_code, found.json()["code"]) == (503, "behind"), found.text
    assert int(found.headers["retry-after"]) >= 1
    assert found.json()["errors"][0]["pointer"] == "query/min_position"
    assert "sentence" not in found.json()
