"""Stealing, planting and outliving a session; acting through somebody's browser; two accounts of one person."""

import re
from contextlib import closing
from datetime import timedelta

import argon2
import httpx
import pytest

from registry.errors import BadInput, Refused
from registry.permissions import Permission
from registry.service import Registry
from registry.terms import Role
from registry.titles.events import DecisionKind
from tests.api.accounts import PASSWORD, Owner, enrolled, rfc6238
from tests.api.bureau import PAGE, Bureau, Client, Reader, refused
from tests.attacks.house import doors_of, filled, rights, unchanged
from tests.people import CHIEF, CITY, CLERK, THIRD, Clock, awarding, deciding, person, proposed, staff

COOKIE = "__Host-session"


def enters(bureau: Bureau, login: str, password: str, code: str, **headers: str) -> httpx.Response:
    """Send the sign-in form from a browser of its own."""
    fields = {"login": login, "password": password, "code": code}
    with closing(Client(bureau.app, bureau.registry.config.base_url)) as browser:
        return browser.request("POST", "/sign-in", data=fields, headers=PAGE | headers)


def cookie_of(answer: httpx.Response) -> str:
    """The session that an answer gives."""
    given = answer.headers.get_list("set-cookie")
    return next(one.partition(";")[0].partition("=")[2] for one in given if one.startswith(COOKIE))


@pytest.fixture
def owner(bureau: Bureau, clock: Clock) -> Owner:
    """The clerk's local account, with hashes as dear as they are in earnest."""
    return enrolled(bureau.app.state.accounts, clock)


def test_a_planted_session_is_never_taken_up(bureau: Bureau, owner: Owner, clock: Clock) -> None:
    """Fixation: the attacker's cookie is in the victim's browser when the victim signs in."""
    for planted in ("planted-by-somebody", bureau.app.state.accounts.open_session(THIRD, None)):
        entered = enters(bureau, owner.login, PASSWORD, owner.code(clock), Cookie=f"{COOKIE}={planted}")
        assert entered.status_code == 303
        assert cookie_of(entered) not in (planted, "")
        assert Reader(bureau.client, f"{COOKIE}={planted}").get("/api/v1/titles").status_code == 401
        assert Reader(bureau.client, f"{COOKIE}={cookie_of(entered)}").get("/api/v1/titles").status_code == 200


def test_a_session_without_its_prefix_or_in_the_address_is_none(bureau: Bureau, clerk: Reader) -> None:
    """Another host of the same site can set `session`, never `__Host-session` (RFC 6265bis, 4.1.3.2)."""
    token = clerk.headers["Cookie"].partition("=")[2]
    for headers in ({"Cookie": f"session={token}"}, {"Cookie": f"__Secure-session={token}"}, {"X-Session": token}):
        answer = bureau.client.request("GET", "/api/v1/titles", headers=PAGE | headers)
        refused(answer, 401, "sign-in-needed")
    refused(bureau.nobody().get("/api/v1/proposals", session=token), 401, "sign-in-needed")
    refused(bureau.client.request("GET", f"/api/v1/titles?access_token={token}"), 401, "sign-in-needed")


FOREIGN = (
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "https://other.example.cn"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://zc.example.cn"},
    {"Origin": "https://zc.example.cn.evil.example"},
    {"Origin": "https://zc.example.cn:444"},
    {"Referer": "https://zc.example.cn/"},
    {},
)


def test_no_door_that_changes_anything_opens_to_another_sites_page(bureau: Bureau) -> None:
    """CSRF at every POST: the browser sends the cookie along, the request comes from elsewhere."""
    token = bureau.signed_in(CHIEF).headers["Cookie"]
    posts = [door for door in sorted(doors_of(bureau.app)) if door.startswith("POST ")]
    inside = [door for door in posts if rights()[door] is not Permission.PUBLIC]
    assert len(inside) >= 15
    for door in inside:
        method, path = filled(door)
        for foreign in FOREIGN:
            for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
                headers = {**foreign, "Cookie": token, "Content-Type": kind}
                answer = unchanged(
                    bureau.registry.log.head,
                    lambda method=method, path=path, headers=headers: bureau.client.request(
                        method, path, content=b"{}", headers=headers
                    ),
                )
                refused(answer, 403, "cross-site")


def test_no_door_changes_anything_by_a_method_said_to_be_safe(bureau: Bureau, chief: Reader) -> None:
    """What is a POST is no GET, HEAD or OPTIONS, whatever a header or a field says of the method."""
    posts = {door.partition(" ")[2] for door in doors_of(bureau.app) if door.startswith("POST ")}
    gets = {door.partition(" ")[2] for door in doors_of(bureau.app) if door.startswith("GET ")}
    override = {"X-HTTP-Method-Override": "POST", "X-Method-Override": "POST", "X-HTTP-Method": "POST"}
    for path in sorted(posts - gets):
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "CONNECT", "FOO"):
            headers = chief.headers | override
            url = filled(f"GET {path}")[1] + "?_method=POST"
            answer = unchanged(
                bureau.registry.log.head,
                lambda method=method, url=url, headers=headers: bureau.client.request(method, url, headers=headers),
            )
            read = method in ("GET", "HEAD")  # /holders/search is also the address of a holder called so
            assert answer.status_code in ((404, 405, 422) if read else (404, 405)), (method, path, answer.status_code)


def test_a_role_taken_away_stops_a_session_and_a_key_at_once(bureau: Bureau) -> None:
    clerk = bureau.officer("clerk-09", Role.CLERK)
    accounts = bureau.app.state.accounts
    until = bureau.registry.clock() + timedelta(days=1)
    key = accounts.make_api_key("clerk-09", "nightly", [Permission.READ_TITLES], until)
    by_key = {"Authorization": f"Bearer {key}"}
    assert clerk.get("/api/v1/titles").status_code == 200
    assert bureau.client.request("GET", "/api/v1/titles", headers=by_key).status_code == 200
    grant = bureau.registry.appointing.officer("clerk-09").grants[0].id
    bureau.registry.appointing.withdraw(grant, "丽人社免〔2026〕1号", officer=CHIEF)
    refused(clerk.get("/api/v1/titles"), 403, "forbidden")
    refused(bureau.client.request("GET", "/api/v1/titles", headers=by_key), 403, "forbidden")


def test_two_accounts_of_one_person_are_one_officer(bureau: Bureau, clock: Clock) -> None:
    """The one who proposed signs in again under another name, and is still the one who proposed."""
    accounts = bureau.app.state.accounts
    first, second = enrolled(accounts, clock, "chief", CHIEF), enrolled(accounts, clock, "other.name", CHIEF)
    cookies = [
        cookie_of(enters(bureau, one.login, PASSWORD, one.code(clock), Accept="text/html")) for one in (first, second)
    ]
    assert cookies[0] != cookies[1]
    one, other = (Reader(bureau.client, f"{COOKIE}={cookie}") for cookie in cookies)
    stream = bureau.registry.award(awarding(person(1)), officer=CLERK)
    said = {"title": stream, "kind": "revocation", "document_no": "1号", "authority": CITY, "reason": "经查证"}
    made = one.ok(one.post("/api/v1/proposals", said), 201)
    address = f"/api/v1/proposals/{made['proposal']}/approval"
    refused(other.post(address, {"digest": made["digest"]}), 409, "needs-second-officer")
    assert bureau.registry.title(stream).decisions == ()


def test_an_api_key_never_approves_and_never_goes_beyond_its_limits(bureau: Bureau) -> None:
    accounts, until = bureau.app.state.accounts, bureau.registry.clock() + timedelta(days=1)
    stream = bureau.registry.award(awarding(person(1)), officer=CLERK)
    made = proposed(bureau.registry, stream, deciding(DecisionKind.REVOCATION)).fact
    every = accounts.make_api_key(CHIEF, "all", [one for one in Permission if one not in _NOBODYS], until)
    one = accounts.make_api_key(CHIEF, "one", [Permission.READ_TITLES], until)
    approval = f"/api/v1/proposals/{made.proposal}/approval"
    for key in (every, one):
        by_key = Reader(bureau.client, None)
        by_key.headers = {"Authorization": f"Bearer {key}"}
        refused(by_key.post(approval, {"digest": made.digest}), 403, "forbidden")
        assert by_key.get("/api/v1/titles").status_code == 200
    refused(
        bureau.client.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {one}"}), 403, "forbidden"
    )
    for wrong in (one[:-1] + "0", one.upper(), one + " ", "tr_", "", "null", "é"):
        header = {"Authorization": f"Bearer {wrong}".encode()}
        answer = bureau.client.request("GET", "/api/v1/events", headers=header)
        assert answer.status_code in (401, 403), wrong
    assert bureau.registry.title(stream).decisions == ()


_NOBODYS = (Permission.PUBLIC, Permission.HOST)


def test_an_unknown_login_and_a_wrong_password_look_and_cost_the_same(
    bureau: Bureau, owner: Owner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enumeration at the form: same status, same page, one argon2 each. What is counted is argon2's own function."""
    runs, verify = list[str](), argon2.PasswordHasher.verify
    monkeypatch.setattr(argon2.PasswordHasher, "verify", lambda *args: runs.append("run") or verify(*args))
    bodies, counted = set(), set()
    right = owner.code(clock)
    tried = {
        "unknown": ("nobody.at.all", PASSWORD, right),
        "wrong password": (owner.login, PASSWORD + "x", right),
        "wrong code": (owner.login, PASSWORD, "000000"),
        "a holder's number": ("331199196001010019", PASSWORD, right),
        "too long": ("x" * 4_000, PASSWORD, right),
        "nul": ("lin\x00", PASSWORD, right),
    }
    for login, password, code in tried.values():
        runs.clear()
        answer = enters(bureau, login, password, code)
        assert (answer.status_code, "set-cookie" in answer.headers) == (422, False)
        bodies.add(re.sub(r'value="[^"]*"', "", answer.text))  # what was typed stands in the field again
        counted.add(len(runs))
    assert counted == {1}
    assert len(bodies) == 1


@pytest.mark.parametrize("login", ["lіn", "ｌｉｎ", "l\u200bin", "lin\u202e", "LIN\u0000", "ℓin", "l\u0131n"])
def test_no_account_is_made_under_a_name_that_looks_like_another(
    bureau: Bureau, owner: Owner, clock: Clock, login: str
) -> None:
    """Cyrillic, full-width, invisible and turned-about characters stand in no account's name."""
    accounts = bureau.app.state.accounts
    code = accounts.enrol(THIRD, by=CHIEF, alone=True)
    with pytest.raises(BadInput):
        accounts.begin_enrolment(code, login, PASSWORD, "192.0.2.1")
    answer = enters(bureau, login, PASSWORD, rfc6238(owner.secret, clock.forward(seconds=30).timestamp()))
    assert answer.status_code == 422, "and no such name signs in to the account that it looks like"


def test_nobody_is_registered_twice_under_two_ids(registry: Registry) -> None:
    """The same person as a second officer would approve what they proposed."""
    with pytest.raises(Refused):
        registry.appointing.register("chief-again", staff(1), officer=THIRD)
    assert registry.authorising.standing("chief-again").roles == ()
