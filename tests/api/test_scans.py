"""Scans of the same moment over a real PostgreSQL: looked up by one statement, answered as if each had been alone."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import msgspec
import pytest

from api.app import create_app
from api.scans import Scans
from registry.folder import Config
from registry.log.kind import Found
from registry.service import Registry
from registry.terms import Status
from registry.titles.answer import Answer
from registry.titles.events import DecisionKind
from registry.titles.verification import Verifier
from tests import engine
from tests.people import CLERK, awarding, decided, deciding, found, person, settable
from tests.served import PASSPHRASE

pytestmark = pytest.mark.sqlite_file  # it brings a server of its own: once is enough
UNKNOWN, MALFORMED = "ZZZZZZZZZZZZZZZZ6", "NO-CODE"


class Counting(Verifier):
    """The verifier, which remembers what it was asked to look up together."""

    def __init__(self, registry: Registry) -> None:
        one = registry.verifier
        super().__init__(one.log, one.keyring, one.authority_of)
        self.asked: list[int] = []

    def find(self, texts: Sequence[str]) -> list[Found]:
        """Look them up."""
        self.asked.append(len(texts))
        return super().find(texts)


@pytest.fixture(scope="module")
def bureau(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, list[str]]]:
    """A registry in PostgreSQL with six certificates, the third of a title that was revoked."""
    config = Config(base_url="http://127.0.0.1:1", sample=True, database=engine.postgres_url())
    registry = Registry.create(tmp_path_factory.mktemp("bureau") / "data", PASSPHRASE, config)
    found(registry)
    titles = [registry.award(awarding(person(n), number=f"N{n}"), officer=CLERK) for n in range(1, 7)]
    codes = [registry.issue(title, settable, officer=CLERK).code for title in titles]
    decided(registry, titles[2], deciding(DecisionKind.REVOCATION))
    yield registry, codes
    registry.close()


def _but_for_the_time(answer: Answer) -> Answer:
    return msgspec.structs.replace(answer, checked_at=answer.checked_at.min)


async def _scans(registry: Registry, codes: Sequence[str]) -> list[httpx.Response]:
    transport = httpx.ASGITransport(create_app(registry))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:1") as client:
        return await asyncio.gather(*(client.get(f"/api/v1/verifications/{code}") for code in codes))


def test_scans_of_one_moment_are_looked_up_together_and_answered_as_if_alone(
    bureau: tuple[Registry, list[str]],
) -> None:
    registry, codes = bureau
    asked = [*codes, UNKNOWN, MALFORMED, codes[0]]
    counting = registry.verifier = Counting(registry)
    answers = asyncio.run(_scans(registry, asked))
    assert sum(counting.asked) == len(asked)
    assert len(counting.asked) < len(asked)
    for code, answer in zip(asked, answers, strict=True):
        alone = registry.verifier.check(code)
        assert answer.status_code == (404 if alone.status is Status.UNKNOWN else 200)
        assert _but_for_the_time(msgspec.json.decode(answer.content, type=Answer)) == _but_for_the_time(alone)
    assert [answer.json()["status"] for answer in answers[2:9]] == [
        "revoked",
        *["valid"] * 3,
        *["unknown"] * 2,
        "valid",
    ]
    assert answers[6].json()["log_position"] == registry.log.head()


def test_what_is_found_together_is_what_is_found_alone_on_either_engine(
    bureau: tuple[Registry, list[str]], registry: Registry
) -> None:
    codes = bureau[1]
    for one in (bureau[0], registry):
        keys = [codes[1][:16], "", "\0", "\ud800", "x" * 5_000, codes[0][:16], codes[1][:16]]
        together = one.log.find("code", keys)
        assert [(each.head, each.events(), each.wrapped) for each in together] == [
            (each.head, each.events(), each.wrapped) for each in (one.log.find("code", [key])[0] for key in keys)
        ]
        assert {each.head for each in together} == {one.log.head()}
    assert not registry.log.find("code", [codes[0][:16]])[0].events()  # it holds none of these


def test_one_who_gives_up_takes_nobody_along(bureau: tuple[Registry, list[str]]) -> None:
    registry, codes = bureau

    async def run() -> list[Found | None]:
        scans = Scans(registry)
        waiting = [asyncio.ensure_future(scans.find(code)) for code in codes]
        await asyncio.sleep(0)  # all have asked, none is answered
        waiting.pop(3).cancel()
        return await asyncio.gather(*waiting)

    answers = [
        registry.verifier.check(code, one).status for code, one in zip(_but(codes, 3), asyncio.run(run()), strict=True)
    ]
    assert answers == [Status.VALID, Status.VALID, Status.REVOKED, Status.VALID, Status.VALID]


def _but(codes: Sequence[str], left_out: int) -> list[str]:
    return [code for number, code in enumerate(codes) if number != left_out]


def test_a_history_that_is_corrupt_spoils_no_other_scan(tmp_path: Path) -> None:
    config = Config(base_url="http://127.0.0.1:1", sample=True, database=engine.postgres_url())
    registry = Registry.create(tmp_path / "data", PASSPHRASE, config)
    found(registry)
    titles = [registry.award(awarding(person(n), number=f"N{n}"), officer=CLERK) for n in (1, 2, 3)]
    codes = [registry.issue(title, settable, officer=CLERK).code for title in titles]
    engine.damage(config.database, f"UPDATE stored_events SET state='{{}}' WHERE originator_id='{titles[1]}'")
    answers = asyncio.run(_scans(registry, codes))
    assert [answer.json()["status"] for answer in answers] == ["valid", "unavailable", "valid"]
    batch = asyncio.run(_batch(registry, codes))
    assert [answer["status"] for answer in batch.json()["answers"]] == ["valid", "unavailable", "valid"]
    registry.close()


async def _batch(registry: Registry, codes: Sequence[str]) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(registry))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:1") as client:
        return await client.post("/api/v1/verifications/batch", json={"codes": codes})


def test_without_a_server_every_scan_is_told_that_it_could_not_be_checked(tmp_path: Path) -> None:
    server = engine.Server(**engine.QUICK)
    try:
        config = Config(base_url="http://127.0.0.1:1", sample=True, database=server.url("gone"))
        registry = Registry.create(tmp_path / "data", PASSPHRASE, config)
        found(registry)
        code = registry.issue(registry.award(awarding(person(1)), officer=CLERK), settable, officer=CLERK).code
        server.stop()
        answers = asyncio.run(_scans(registry, [code, UNKNOWN, code]))
        assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(503, "unavailable")] * 3
        batch = asyncio.run(_batch(registry, [code, UNKNOWN]))
        assert [answer["status"] for answer in batch.json()["answers"]] == ["unavailable"] * 2
        registry.close()
    finally:
        server.remove()
