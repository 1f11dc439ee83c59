"""Schemathesis over the application's own description, with every role: nothing fails, all is as described, no leak.

`TITLE_REGISTRY_FUZZ_CASES` says how many cases there are in all (400); the same number makes the same cases. Ids of
what is really there are put among the made-up ones. `min_position` is left out: it would only wait.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from keys.custody import Custody
from registry.folder import Folder
from registry.service import Registry
from registry.terms import Role
from registry.titles.events import DecisionKind
from tests import engine
from tests.api.bureau import PAGE, Bureau
from tests.attacks.house import unlimited
from tests.people import (
    CITY,
    CLERK,
    JINYUN,
    QINGTIAN,
    Clock,
    awarding,
    deciding,
    fifteen,
    identity_number,
    paper_of_1998,
    person,
    proposed,
    scans,
    settable,
)

CASES = int(os.environ.get("TITLE_REGISTRY_FUZZ_CASES", "400"))
CHECKS = [not_a_server_error, response_schema_conformance, content_type_conformance, status_code_conformance]
PAGES = ("/", "/v", "/v/{code}")  # an error is a page here for whoever wants one
CLEAR = (Role.CLERK, Role.APPROVER)
# Names that stand nowhere else, so that any trace of one is a leak.
NAMES = {QINGTIAN: "鑫䶮㛃", JINYUN: "靐龗㐂", CITY: "爩厵㵘"}


class Who(NamedTuple):
    """Somebody who asks, and what must never be shown to them."""

    label: str
    headers: dict[str, str]
    forbidden: frozenset[str]


class Fuzzed(NamedTuple):
    """A service, everybody who asks it, and ids of what is there, by the name of the parameter."""

    bureau: Bureau
    people: Sequence[Who]
    ids: dict[str, list[str]]


@pytest.fixture(scope="module")
def fuzzed(made: tuple[Path, Custody], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    """A scratch registry with a person of each authority, and everybody signed in."""
    folder = tmp_path_factory.mktemp("fuzzed") / "data"
    engine.copy(made[0], folder)
    registry = Registry(Folder(folder), made[1], Clock())
    bureau = Bureau(registry)
    unlimited(bureau.app)
    ids: dict[str, list[str]] = {"id": [], "code": [], "sha256": [], "provider": ["none"], "name": ["verify.css"]}
    holder = ""
    for n, place in enumerate(NAMES, 1):
        holder = _somebody(registry, n, place, ids) if n == 1 else _somebody(registry, n, place, ids) and holder
    registry.tlog.sequence()
    yield Fuzzed(bureau, list(_everybody(bureau, holder)), ids)
    bureau.close()
    registry.close()


def _somebody(registry: Registry, n: int, place: str, ids: dict[str, list[str]]) -> str:
    """A person with a title, a certificate, a proposal and a paper that waits; return the holder."""
    who = person(7_000 + n, NAMES[place])
    title = registry.award(
        awarding(who, authority=place, number=f"甲{n}", employer=NAMES[place] + "设计院"), officer=CLERK
    )
    ids["code"].append(registry.issue(title, settable, officer=CLERK).code)
    made = proposed(registry, title, deciding(DecisionKind.REVOCATION, authority=place, reason=f"{NAMES[place]}不实"))
    paper = registry.submit_paper(paper_of_1998(who, authority=place, number=f"丽{n}"), None, scans(), officer=CLERK)
    ids["id"] += [title, registry.title(title).holder, made.fact.proposal, paper.id, ids["code"][-1]]
    ids["sha256"].append(paper.fact.evidence[0].sha256)
    return registry.title(title).holder


def _everybody(bureau: Bureau, holder: str) -> Iterator[Who]:
    numbers = {place: identity_number(7_000 + n) for n, place in enumerate(NAMES, 1)}
    every = frozenset(NAMES.values()) | {form for number in numbers.values() for form in (number, fifteen(number))}
    yield Who("nobody", dict(PAGE), every)
    own = {NAMES[QINGTIAN], numbers[QINGTIAN], fifteen(numbers[QINGTIAN])}
    yield Who("holder", bureau.signed_in(holder).headers, every - own)
    for role in (one for one in Role if one is not Role.HOLDER):
        for over in (QINGTIAN, CITY):
            seen = {NAMES[QINGTIAN]} if over == QINGTIAN else set(NAMES.values())
            actor = f"{role.value.replace('_', '-')}-{over}"
            reader = bureau.officer(actor, role, over)
            yield Who(actor, reader.headers, every - (seen if role in CLEAR else set()))


# the cases


def leaks(answer: httpx.Response, forbidden: frozenset[str]) -> list[str]:
    """Which of the words stand in an answer: in its text, escaped for JSON, for HTML, or for an address."""
    body = answer.content.decode("utf-8", "replace") + str(answer.headers)
    forms = {word: (word, json.dumps(word)[1:-1], quote(word), _entities(word)) for word in forbidden}
    return [word for word, written in forms.items() if any(one in body for one in written)]


def _entities(word: str) -> str:
    return "".join(f"&#{ord(character)};" for character in word)


def test_the_search_for_leaks_finds_what_is_there(fuzzed: Fuzzed) -> None:
    """Control: each name is found where somebody may see it, so that not finding it means something."""
    clerk = next(one for one in fuzzed.people if one.label == f"clerk-{CITY}")
    answer = fuzzed.bureau.client.request("GET", "/api/v1/titles", headers=clerk.headers)
    assert set(leaks(answer, frozenset(NAMES.values()))) == set(NAMES.values())
    assert all(not leaks(answer, one.forbidden) for one in fuzzed.people if one.label == clerk.label)


def operations(app: Any) -> dict[str, Any]:
    """Every operation of the description, by its name."""
    schema = schemathesis.openapi.from_dict(app.openapi())
    return {found.ok().label: found.ok() for found in schema.get_all_operations()}


@pytest.mark.parametrize("share", range(8))
def test_nothing_fails_all_is_as_described_and_nobody_sees_more_than_their_role(fuzzed: Fuzzed, share: int) -> None:
    every = operations(fuzzed.bureau.app)
    for label in sorted(every)[share::8]:
        attack(fuzzed, every[label], max(2, CASES // len(every)))


def attack(fuzzed: Fuzzed, operation: Any, cases: int) -> None:
    """So many cases of one operation, half of them as described and half of them not, by whomever."""
    modes = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]
    people = fuzzed.people[:1] if operation.label == "POST /sign-out" else fuzzed.people
    names = re.findall(r"\{(\w+)\}", operation.path)
    real = st.fixed_dictionaries({name: st.sampled_from([None, *fuzzed.ids.get(name, [])]) for name in names})

    @settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(modes), who=st.sampled_from(people), ids=real)
    def ask(case: Case, who: Who, ids: dict[str, str | None]) -> None:
        case.path_parameters = {**(case.path_parameters or {}), **{name: one for name, one in ids.items() if one}}
        if isinstance(case.query, dict):
            case.query.pop("min_position", None)
        answer = sent(fuzzed.bureau, case, who)
        assert answer.status_code < 500, (who.label, answer.text)
        if not ("http-404" in answer.text and answer.status_code == 404):  # such an address leads to no door at all
            case.validate_response(answer, checks=CHECKS)
        assert leaks(answer, who.forbidden) == [], (who.label, answer.text)

    ask()


def sent(bureau: Bureau, case: Case, who: Who) -> httpx.Response:
    """Send a case as somebody, in the bytes that `requests` makes of it."""
    said = case.as_transport_kwargs(base_url=bureau.registry.config.base_url)
    known = {
        name: said[name] for name in ("method", "url", "headers", "params", "json", "data", "files") if name in said
    }
    made = requests.Request(**known).prepare()
    kept = {name: value for name, value in made.headers.items() if name.lower() not in ("cookie", "host")}
    body = made.body.encode() if isinstance(made.body, str) else made.body
    accept = {"Accept": "text/html"} if case.path in PAGES else {}
    return bureau.client.request(made.method, made.url, content=body, headers={**kept, **accept, **who.headers})
