"""What every answer of every door says to a browser, and what no answer says to anybody."""

import re

import pytest

from api.pages import STATIC_FOLDER
from api.signin.passwords import MOST
from registry.permissions import Permission
from tests.api.bureau import Bureau, Reader
from tests.attacks.house import doors_of, filled, rights
from tests.people import CLERK, awarding, person

INSIDE = ("Traceback", "site-packages", "/registry/", "sqlite", "msgspec", "starlette", "SELECT ", "0x7f", ".py")


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_every_answer_of_every_door_is_framed_nowhere_sniffed_never_and_loads_nothing(
    bureau: Bureau, chief: Reader, accept: str
) -> None:
    """Clickjacking, sniffing, referrers, foreign scripts: one walk over all doors, signed in and not, found and not."""
    for door in sorted(doors_of(bureau.app)):
        method, path = filled(door)
        for headers in (chief.headers, {}):
            answer = bureau.client.request(method, path, headers=headers | {"Accept": accept})
            said, at = answer.headers, (door, answer.status_code)
            assert said.get("x-content-type-options") == "nosniff", at
            assert said.get("strict-transport-security") == "max-age=31536000", at
            assert said.get("referrer-policy") in ("no-referrer", "same-origin"), at
            assert "access-control-allow-origin" not in said, at
            assert "server" not in said, at
            assert "x-powered-by" not in said, at
            if (answer.content and answer.status_code < 300) or answer.status_code >= 400:
                policy = said.get("content-security-policy", "")
                assert "frame-ancestors 'none'" in policy, at
                assert "default-src 'none'" in policy, at
                assert "unsafe" not in policy, at
                assert "script-src *" not in policy, at
            if answer.content:
                kind = said["content-type"]
                assert "charset=utf-8" in kind or not kind.startswith("text/html"), at


def test_what_is_behind_a_sign_in_is_kept_by_no_cache(bureau: Bureau, chief: Reader) -> None:
    inside = [door for door in sorted(doors_of(bureau.app)) if rights()[door] is not Permission.PUBLIC]
    for door in inside:
        method, path = filled(door)
        for headers in (chief.headers, {}):
            answer = bureau.client.request(method, path, headers=headers)
            assert answer.headers.get("cache-control") == "no-store", (door, answer.status_code)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/titles?limit=%00",
        "/api/v1/titles?cursor=AAAA",
        "/api/v1/titles/%F0%28%8C%28",
        "/api/v1/titles/title-%00",
        "/api/v1/holders/' OR 1=1 --",
        "/api/v1/titles?name=' UNION SELECT state FROM stored_events --",
        "/api/v1/titles?specialty=%25",
        "/api/v1/titles?year=1e9",
        "/api/v1/events?after=9007199254740993",
        "/api/v1/events?after=-1",
        "/api/v1/proposals/..%2f..%2fregistry.db",
        "/api/v1/paper-applications?state=%27",
        "/api/v1/certificates/../../registry.db.pdf",
        "/log/tile/999999999999999999999/000",
        "/log/proof/event/99999999999999999999999",
        "/log/proof/inclusion?index=-1&size=0",
        "/log/proof/consistency?first=5&second=1",
        "/v/%FF%FE",
        "/api/v1/verifications/{{7*7}}",
        "/static/../app.py",
        "/docs/../../etc/passwd",
    ],
)
def test_an_answer_to_rubbish_tells_nothing_of_the_inside(bureau: Bureau, chief: Reader, path: str) -> None:
    for accept in ("text/html", "application/json"):
        answer = bureau.client.request("GET", path, headers=chief.headers | {"Accept": accept})
        assert answer.status_code < 500, answer.text
        told = [word for word in INSIDE if word in answer.text]
        assert not told, (told, answer.text)
        assert "49" not in answer.text or "{{7*7}}" not in path or answer.status_code == 404


def test_searching_is_no_pattern_and_no_statement(bureau: Bureau, chief: Reader) -> None:
    """% and _ are letters like any others, and a quote ends nothing."""
    bureau.registry.award(awarding(person(1)), officer=CLERK)
    assert len(chief.read("/api/v1/titles", name="林")["titles"]) == 1
    for text in ("%", "_", "林%", "%岚", "' OR '1'='1", "林' --", '" OR ""="', "*", "林*", "NEAR(林 岚)", "\\"):
        assert chief.read("/api/v1/titles", name=text)["titles"] == [], text
        assert chief.read("/api/v1/titles", number=text)["titles"] == [], text
        assert chief.read("/api/v1/titles", specialty=text)["titles"] == [], text


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/again", "/enrol"])
def test_a_password_is_hidden_while_it_is_typed_and_can_be_pasted(bureau: Bureau, chief: Reader, path: str) -> None:
    """A password keeper fills the field in: it says what it is for, and nothing forbids that."""
    headers = (chief.headers if path == "/sign-in/again" else {}) | {"Accept": "text/html"}
    page = bureau.client.request("GET", path, headers=headers).text
    fields = [one for one in re.findall(r"<input[^>]*>", page) if "password" in one or 'name="repeated"' in one]
    assert path == "/sign-in/again" or fields
    for field in fields:
        assert 'type="password"' in field
        assert re.search(r'autocomplete="(current|new)-password"', field)
        assert "onpaste" not in field
        assert all(int(most) > MOST for most in re.findall(r'maxlength="(\d+)"', field)), "nothing is cut in silence"


def test_signing_out_is_in_sight(bureau: Bureau, chief: Reader) -> None:
    page = bureau.client.request("GET", "/account", headers=chief.headers | {"Accept": "text/html"}).text
    assert re.search(r'<form action="/sign-out[^"]*" method="post"><button', page)


def test_no_script_of_ours_keeps_anything_in_the_browser() -> None:
    scripts = [path.read_text() for path in STATIC_FOLDER.rglob("*.js")]
    assert scripts
    for text in scripts:
        assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie|caches\.", text)
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
