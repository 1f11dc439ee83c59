"""A POST that is sent twice: done once under one key, told apart by body, route and actor, and kept for a day."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from api.idempotency import (
    GIVEN_UP_SECONDS,
    KEPT_SECONDS,
    Done,
    InProgress,
    KeyReused,
    Once,
    RequestStore,
    _do_once,
)
from registry.errors import Unavailable
from registry.service import Registry
from tests.api.bureau import Bureau, Reader, refused
from tests.api.test_http_officers import award
from tests.people import CHIEF, CLERK, awarding, identity_number, person

AWARDS = "/api/v1/awards"


@pytest.fixture
def bureau(registry: Registry) -> Iterator[Bureau]:
    """The service over a fresh registry."""
    made = Bureau(registry)
    yield made
    made.close()


@pytest.fixture
def clerk(bureau: Bureau) -> Reader:
    """The clerk, signed in."""
    return bureau.signed_in(CLERK)


def test_the_same_request_gets_the_same_answer_and_is_done_once(bureau: Bureau, clerk: Reader) -> None:
    said = award(number=None)
    first = clerk.post(AWARDS, said, key="k-1")
    clerk.ok(clerk.post(AWARDS, award(9)), 201)  # meanwhile the log goes on
    head = bureau.registry.log.head()
    second = clerk.post(AWARDS, said, key="k-1")
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["location"] == first.headers["location"]
    assert bureau.registry.log.head() == head


def test_another_body_or_route_under_the_key_is_refused(bureau: Bureau, clerk: Reader) -> None:
    clerk.ok(clerk.post(AWARDS, award(1), key="k"), 201)
    head = bureau.registry.log.head()
    refused(clerk.post(AWARDS, award(2), key="k"), 422, "idempotency-key-reused", "header/Idempotency-Key")
    refused(clerk.post("/api/v1/proposals", award(1), key="k"), 422, "bad-request")
    stream = clerk.read("/api/v1/titles")["titles"][0]["title"]
    refused(clerk.post(f"/api/v1/titles/{stream}/certificates", award(1), key="k"), 422, "idempotency-key-reused")
    assert bureau.registry.log.head() == head


def test_a_key_is_its_actors_own(bureau: Bureau, clerk: Reader) -> None:
    clerk.ok(clerk.post(AWARDS, award(1), key="k"), 201)
    chief = bureau.signed_in(CHIEF)
    chief.ok(chief.post(AWARDS, award(2), key="k"), 201)
    assert len(clerk.read("/api/v1/titles")["titles"]) == 2


def test_what_was_refused_is_asked_anew(clerk: Reader) -> None:
    refused(clerk.post(AWARDS, award(1, series="无此系列"), key="k"), 422, "bad-request", "/series")
    clerk.ok(clerk.post(AWARDS, award(1), key="k"), 201)


@pytest.mark.parametrize("key", ["", "x" * 256, "空"])
def test_a_key_that_is_none_is_refused(bureau: Bureau, clerk: Reader, key: str) -> None:
    before = bureau.registry.log.head()
    headers = [(name.encode(), value.encode()) for name, value in clerk.headers.items()]
    headers.append((b"idempotency-key", key.encode()))
    answer = clerk.client.request("POST", AWARDS, json=award(1), headers=headers)
    refused(answer, 422, "bad-request", "header/Idempotency-Key")
    assert bureau.registry.log.head() == before


def test_sent_many_times_at_once_it_is_done_once(bureau: Bureau, clerk: Reader) -> None:
    before = bureau.registry.log.head()
    headers = clerk.headers | {"Idempotency-Key": "k"}
    answers = clerk.client.at_once("POST", AWARDS, 8, json=award(1, number=None), headers=headers)
    assert {one.status_code for one in answers} <= {201, 409}
    done = {one.content for one in answers if one.status_code == 201}
    assert len(done) == 1
    for busy in (one for one in answers if one.status_code == 409):
        assert refused(busy, 409, "in-progress")
        assert busy.headers["retry-after"] == "1"
    assert bureau.registry.log.head() == before + 2  # a holder and a title


def test_a_request_under_way_is_not_begun_again_until_it_is_given_up(registry: Registry, tmp_path: Path) -> None:
    now = [1_000_000.0]
    store = RequestStore(tmp_path / "requests.db", lambda: now[0])

    def one(*asked: bytes) -> Once:
        return Once(store, registry, CLERK, "k", asked)

    assert one(b"a").begin() is None
    with pytest.raises(InProgress):
        one(b"a").begin()
    with pytest.raises(KeyReused):
        one(b"b").begin()
    with pytest.raises(KeyReused):
        one(b"a", b"").begin()
    now[0] += GIVEN_UP_SECONDS  # the process that did it died
    assert one(b"a").begin() is None
    now[0] += KEPT_SECONDS + 1
    assert one(b"b").begin() is None  # forgotten after a day


def test_a_write_whose_outcome_nobody_could_tell_is_sent_again_and_is_done_once(
    registry: Registry, tmp_path: Path
) -> None:
    one = Once(RequestStore(tmp_path / "requests.db"), registry, CLERK, "k", (b"award",))
    command = awarding(person(1))

    def lost() -> Done:
        registry.award(command, officer=CLERK)
        raise Unavailable("the connection broke at the commit")

    with pytest.raises(Unavailable):
        _do_once(one, lost)
    head = registry.log.head()
    done = _do_once(one, lambda: Done(201, {"title": registry.award(command, officer=CLERK)}))
    assert registry.log.head() == head, "the same award again is no event"
    again = _do_once(one, lambda: pytest.fail("answered already"))
    assert msgspec.json.encode(again.item) == msgspec.json.encode(done.item)


def test_nothing_in_the_file_says_who_or_what(bureau: Bureau, clerk: Reader) -> None:
    began = time.time()
    clerk.ok(clerk.post(AWARDS, award(7, name="欧阳见山"), key="key-of-mine"), 201)
    path = bureau.registry.folder.path / "requests.db"
    assert path.stat().st_mode & 0o777 == 0o600
    held = b"".join(one.read_bytes() for one in path.parent.glob("requests.db*"))
    stream = clerk.read("/api/v1/titles")["titles"][0]["title"]
    for secret in ("欧阳见山", identity_number(7), "key-of-mine", CLERK, stream, "浙〔2021〕"):
        assert secret.encode() not in held
    with bureau.app.state.requests.transaction() as c:
        assert c.execute("SELECT begun FROM requests").fetchone()[0] >= began - 1
