"""Signing in, confirming, signing out, setting up an account: over HTTP, as browsers and as attackers do it."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from api.signin.origin import local_path
from registry.permissions import Permission
from tests.people import CHIEF, CLERK
from tests.signing_in import PASSWORD, WRONG_CODE, Browser, Bureau, served_bureau, text_of


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    with served_bureau(tmp_path_factory.mktemp("bureau") / "data") as bureau:
        yield bureau


@pytest.fixture
def bureau(served: Bureau, tmp_path: Path) -> Bureau:
    return served.emptied(tmp_path / "accounts.db")


@pytest.fixture
def browser(bureau: Bureau) -> Iterator[Browser]:
    with bureau.browser() as one:
        yield one


# in and out


def test_from_a_door_to_the_form_and_back_to_the_door(browser: Browser) -> None:
    refused = browser.get("/door?x=1")
    assert (refused.status_code, refused.headers["location"]) == (303, "/sign-in?next=%2Fdoor%3Fx%3D1")
    form = browser.get(refused.headers["location"])
    next_path = re.search(r'name="next" value="([^"]+)"', form.text)
    assert next_path
    entered = browser.sign_in(next=next_path[1])
    assert (entered.status_code, entered.headers["location"]) == (303, "/door?x=1")
    assert browser.get("/door?x=1").json() == {"actor": CLERK, "sight": "clear"}


@pytest.mark.parametrize("wrong", [{"login": "nobody"}, {"password": "x"}, {"code": "000000"}])
def test_what_was_wrong_is_not_said(browser: Browser, bureau: Bureau, wrong: dict[str, str]) -> None:
    page = browser.sign_in(**wrong)
    assert page.status_code == 422
    assert "账号、密码或动态码不对" in text_of(page)
    assert PASSWORD not in page.text
    assert browser.session is None
    assert not bureau.store.kept


def test_an_empty_field_is_named_above_and_at_the_field(browser: Browser) -> None:
    page = browser.sign_in(code="")
    assert page.status_code == 422
    assert '<a href="#code">请填写动态码</a>' in page.text
    assert 'aria-describedby="code-error code-hint"' in page.text
    assert page.text.index('role="alert"') < page.text.index("<form")


def test_an_id_known_before_is_worth_nothing_after(browser: Browser, bureau: Bureau) -> None:
    planted = bureau.store.open_session(CHIEF, "chief")
    browser.cookies.set("session", planted, "127.0.0.1", "/")
    entered = browser.sign_in()
    mine = bureau.store.session(_value(entered))
    assert mine
    assert mine.actor == CLERK
    assert _value(entered) != planted
    assert bureau.store.session(planted) is None
    with bureau.browser() as attacker:
        assert attacker.get("/door", headers={"Cookie": f"session={planted}"}).status_code == 303


def test_signing_in_again_ends_the_session_before(browser: Browser, bureau: Bureau) -> None:
    browser.sign_in()
    before = browser.session or ""
    browser.sign_in("chief")
    assert bureau.store.session(before) is None
    assert bureau.store.actors == [CHIEF]


def test_signing_out_ends_it_here_and_in_the_store(browser: Browser, bureau: Bureau) -> None:
    browser.sign_in()
    token = browser.session or ""
    out = browser.post("/sign-out", data={"out": "1"})
    assert out.headers["location"] == "/sign-in?out=1"
    assert out.headers["clear-site-data"] == '"cache"'
    assert browser.session is None
    assert not bureau.store.kept
    assert browser.get("/account", headers={"Cookie": f"session={token}"}).status_code == 303
    assert "您已退出登录" in browser.get("/sign-in?out=1").text


def test_the_cookie_over_https_and_on_this_machine(
    browser: Browser, bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _attributes(browser.sign_in()) == ("session", {"httponly", "samesite=lax", "path=/"})
    https = msgspec.structs.replace(bureau.registry.config, base_url="https://zc.example.cn")
    monkeypatch.setattr(bureau.registry, "config", https)
    with bureau.browser() as other:
        assert _attributes(other.sign_in()) == ("__Host-session", {"httponly", "samesite=lax", "path=/", "secure"})
        token = _value(other.sign_in())
        tossed = other.get("/account", headers={"Cookie": f"session={token}"})
        assert tossed.status_code == 303, "a cookie that plain http could have set counts for nothing"
        assert other.get("/account", headers={"Cookie": f"__Host-session={token}"}).status_code == 200


def test_over_plain_http_to_the_world_nobody_signs_in(
    browser: Browser, bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    http = msgspec.structs.replace(bureau.registry.config, base_url="http://zc.example.cn")
    monkeypatch.setattr(bureau.registry, "config", http)
    answer = browser.sign_in()
    assert answer.status_code >= 500
    assert "set-cookie" not in answer.headers


def _cookie(answer: httpx.Response) -> str:
    return next(one for one in answer.headers.get_list("set-cookie") if "session=" in one)


def _value(answer: httpx.Response) -> str:
    return _cookie(answer).partition("=")[2].partition(";")[0]


def _attributes(answer: httpx.Response) -> tuple[str, set[str]]:
    first, *rest = _cookie(answer).split(";")
    return first.partition("=")[0], {one.strip().lower() for one in rest}


# other sites


@pytest.mark.parametrize("site", ["cross-site", "same-site", ""])
@pytest.mark.parametrize("path", ["/door", "/sign-out", "/sign-in/again", "/account/sessions/end", "/account/keys/end"])
def test_another_sites_form_does_nothing(browser: Browser, bureau: Bureau, site: str, path: str) -> None:
    browser.sign_in()
    before = set(bureau.store.kept)
    answer = browser.post(path, data={"session": "x"}, headers={"Sec-Fetch-Site": site, "Accept": "*/*"})
    assert (answer.status_code, answer.json()["code"]) == (403, "cross-site")
    assert set(bureau.store.kept) == before


def test_without_sec_fetch_site_the_origin_counts(bureau: Bureau) -> None:
    token = bureau.store.open_session(CLERK, "lin")
    with httpx.Client(base_url=bureau.address, cookies={"session": token}) as old:
        for origin in ("https://evil.example", "null", f"{bureau.address}.evil.example", f"{bureau.address}/"):
            assert old.post("/door", headers={"Origin": origin}).status_code == 403
        assert old.post("/door").status_code == 403
        assert old.post("/door", headers={"Origin": bureau.address}).status_code == 200


def test_another_site_signs_nobody_in(browser: Browser, bureau: Bureau) -> None:
    answer = browser.post(
        "/sign-in",
        data={"login": "lin", "password": PASSWORD, "code": bureau.store.code()},
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status_code == 403
    assert "没有办理" in text_of(answer)
    assert not bureau.store.kept


OUTSIDE = (
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "javascript:alert(1)",
    "/\t/evil.example",
    "/\r\nSet-Cookie: a=b",
    "door",
    "",
    "/" + "a" * 600,
)


@pytest.mark.parametrize("wanted", OUTSIDE)
def test_nobody_is_sent_elsewhere(browser: Browser, wanted: str) -> None:
    assert local_path(wanted) is None
    assert browser.sign_in(next=wanted).headers["location"] == "/account"
    assert browser.get("/sign-in", params={"next": wanted}).headers["location"] == "/account"


# confirming


def test_what_decides_wants_a_fresh_sign_in(browser: Browser, bureau: Bureau) -> None:
    browser.sign_in()
    assert browser.post("/door").json()["actor"] == CLERK
    bureau.store.grow_stale()
    assert browser.get("/door").status_code == 200
    stale = browser.post("/door")
    assert (stale.status_code, stale.headers["location"]) == (303, "/sign-in/again?next=%2Faccount")
    program = browser.post("/api/v1/door", headers={"Accept": "application/json"})
    assert (program.status_code, program.json()["code"]) == (401, "sign-in-again")
    before = browser.session or ""
    wrong = browser.post("/sign-in/again", data={"password": "x", "code": bureau.store.code()})
    assert wrong.status_code == 422
    assert browser.post("/door").status_code == 303
    confirmed = browser.post(
        "/sign-in/again", data={"password": PASSWORD, "code": bureau.store.code(), "next": "/door"}
    )
    assert confirmed.headers["location"] == "/door"
    assert browser.session not in (None, before)
    assert bureau.store.session(before) is None
    assert browser.post("/door").status_code == 200


# programs


def test_an_api_key_has_its_rights_and_no_more(bureau: Bureau) -> None:
    may = bureau.store.key(CLERK, Permission.AWARD)
    keys = {
        may: 200,
        bureau.store.key(CLERK, Permission.READ_TITLES): 403,
        bureau.store.key("employer-09", Permission.AWARD): 403,
        may[:-1] + ("a" if may[-1] != "a" else "b"): 401,
        "tr_unknown": 401,
        "may": 401,
    }
    with httpx.Client(base_url=bureau.address) as program:
        for key, status in keys.items():
            answer = program.get("/api/v1/door", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == status
        deciding = program.post("/api/v1/door", headers={"Authorization": f"Bearer {may}"})
        assert (deciding.status_code, deciding.json()["code"]) == (403, "forbidden")
        assert program.get("/account", headers={"Authorization": f"Bearer {may}"}).status_code == 401


def test_without_any_sign_in_a_program_is_told_so(bureau: Bureau) -> None:
    answer = httpx.get(f"{bureau.address}/api/v1/door")
    assert (answer.status_code, answer.json()["code"]) == (401, "sign-in-needed")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    bad = httpx.get(f"{bureau.address}/api/v1/door", headers={"Authorization": "Bearer tr_x"})
    assert 'error="invalid_token"' in bad.headers["www-authenticate"]


# the account


def test_my_account_shows_mine_and_ends_only_mine(browser: Browser, bureau: Bureau) -> None:
    browser.sign_in()
    elsewhere = bureau.store.open_session(CLERK, "lin")
    theirs = bureau.store.open_session(CHIEF, "chief")
    mine, others = bureau.store.key(CLERK, Permission.AWARD), bureau.store.key(CHIEF, Permission.AWARD)
    page = browser.get("/account")
    assert "丽水市" in text_of(page)
    assert mine[:11] in page.text
    assert others[:11] not in page.text
    assert mine not in page.text, "the secret of a key is never shown again"
    for token in (elsewhere, theirs):
        session = bureau.store.session(token)
        assert session
        browser.post("/account/sessions/end", data={"session": session.id})
    for key in (mine, others):
        browser.post("/account/keys/end", data={"key": key[3:11]})
    assert bureau.store.session(elsewhere) is None
    assert bureau.store.session(theirs) is not None
    assert bureau.store.api_key(mine) is None
    assert bureau.store.api_key(others) is not None


# setting up an account


def test_an_enrolment_code_makes_one_account_once(browser: Browser, bureau: Bureau) -> None:
    code = bureau.store.enrol(CLERK, by=CHIEF, alone=True)
    form = {"enrolment": code, "login": "new.clerk", "password": PASSWORD, "repeated": PASSWORD}
    different = browser.post("/enrol", data=form | {"repeated": "x"})
    assert (different.status_code, 'href="#repeated"' in different.text) == (422, True)
    assert browser.post("/enrol", data=form).headers["location"] == "/enrol"
    second = browser.get("/enrol")
    shown = re.search(r'<span class="code whole">([A-Z2-7 ]+)</span>', second.text)
    assert shown
    bureau.store.secrets["new.clerk"] = shown[1].replace(" ", "")
    assert "<svg" in second.text
    assert browser.sign_in("new.clerk").status_code == 422, "nobody signs in before the second factor was shown"
    assert browser.post("/enrol/confirm", data={"code": WRONG_CODE}).status_code == 422
    done = browser.post("/enrol/confirm", data={"code": bureau.store.code("new.clerk")})
    recovery = re.findall(r'<li class="code">([^<]+)</li>', done.text)
    assert len(recovery) == 8
    assert browser.get("/enrol").text.count('name="enrolment"') == 1, "going back shows no secret"
    again = browser.post("/enrol", data=form | {"login": "thief"})
    assert (again.status_code, "已使用" in again.text) == (422, True)
    assert browser.sign_in("new.clerk").status_code == 303
    assert browser.sign_in("new.clerk", code=recovery[0]).status_code == 303
    browser.post("/sign-out", data={"out": "1"})
    assert browser.sign_in("new.clerk", code=recovery[0]).status_code == 422


def test_a_code_counts_once_and_guessing_is_slowed(browser: Browser, bureau: Bureau) -> None:
    code = bureau.store.code()
    assert browser.sign_in(code=code).status_code == 303
    with bureau.browser() as thief:
        assert thief.sign_in(code=code).status_code == 422
        answers = [thief.sign_in(password="guess", code=WRONG_CODE).status_code for _ in range(30)]
        assert answers[0] == 422
        assert answers[-1] == 429
    assert browser.sign_in().status_code == 303, "a stranger's guesses do not lock its owner out"


# the pages


PAGES = ("/sign-in", "/sign-in?lang=en", "/sign-in?elder=1", "/enrol", "/account", "/sign-in/again")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_needs_no_script_and_is_not_kept(browser: Browser, path: str) -> None:
    if path in ("/account", "/sign-in/again"):
        browser.sign_in()
    page = browser.get(path)
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "same-origin"
    assert not re.search(r"<script|<style|\son\w+=|\sstyle=", page.text)
    labelled = set(re.findall(r'<label for="(\w+)"', page.text))
    assert set(re.findall(r'<input id="(\w+)"', page.text)) == labelled


def test_what_is_typed_is_never_markup(browser: Browser) -> None:
    page = browser.sign_in(login='"><script>alert(1)</script>', code="1")
    assert "<script" not in page.text


def test_a_form_that_is_no_form_is_refused(browser: Browser) -> None:
    assert browser.post("/sign-in", json={"login": "lin"}).status_code == 422
    twice = b"login=a&login=b"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.post("/sign-in", content=twice, headers=kind).status_code == 422
    assert browser.post("/sign-in", content=b"a" * 20_000, headers=kind).status_code == 413
