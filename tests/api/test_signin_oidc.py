"""Signing in through a provider: a real one (oidc-provider on node), and a hostile one that tells every lie."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from api.signin.issuer import Issuer
from api.signin.oidc import Provider, Providers, SignsIn
from registry.errors import Unavailable
from tests.oidc_provider import hostile
from tests.oidc_provider.hostile import CLIENT, OTHER_KEY, RSA_KEY, SHORT_KEY, HostileIssuer, hostile_issuer, rsa_jwk
from tests.people import CHIEF, CLERK, awarding, identity_number, person, staff
from tests.signing_in import WRONG_CODE, Browser, Bureau, served_bureau, text_of

FOLDER = Path(__file__).parent.parent / "oidc_provider"
NAME = "林晓岚"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    with served_bureau(tmp_path_factory.mktemp("bureau") / "data") as bureau:
        for n in (1, 3):
            bureau.registry.award(awarding(person(n, NAME)), officer=CLERK)
        yield bureau


@pytest.fixture
def bureau(served: Bureau, tmp_path: Path) -> Bureau:
    return served.emptied(tmp_path / "accounts.db")


@pytest.fixture
def browser(bureau: Bureau) -> Iterator[Browser]:
    with bureau.browser() as one:
        yield one


@pytest.fixture
def holder(bureau: Bureau) -> str:
    found = bureau.registry.holder_of(person(1).identity)
    assert found
    return found


def use(bureau: Bureau, issuer: str, **more: Any) -> None:
    """Have the registry sign in holders (or whom is said) through this issuer, as `gov`."""
    about: dict[str, Any] = {"signs_in": SignsIn.HOLDERS, "identity_claim": "identity_number"} | more
    provider = Provider(id="gov", name="政务网", issuer=issuer, client_id=CLIENT, **about)
    bureau.app.state.signin.close()
    bureau.app.state.signin = Providers(bureau.registry.folder.path, [provider])


def refused(bureau: Bureau, page: httpx.Response, says: str, status: int = 400) -> None:
    """A clear page, and nobody is signed in."""
    assert page.status_code == status, text_of(page)
    assert "没有登录" in text_of(page)
    assert says in text_of(page)
    assert not [one for one in page.headers.get_list("set-cookie") if one.startswith(("session=", "__Host-session="))]
    assert not bureau.store.kept


# a hostile issuer


@pytest.fixture
def issuer(bureau: Bureau) -> Iterator[HostileIssuer]:
    with hostile_issuer() as one:
        one.claims = {"sub": "a", "identity_number": identity_number(1)}
        use(bureau, one.address)
        yield one


def went(browser: Browser, issuer: HostileIssuer, code: str = "") -> str:
    """Go to the issuer; the address that it sends the browser back to."""
    return issuer.authorised(browser.get("/sign-in/with/gov?next=/door").headers["location"], code)


def tried(browser: Browser, issuer: HostileIssuer) -> httpx.Response:
    """There and back."""
    return browser.get(went(browser, issuer), headers={"Sec-Fetch-Site": "cross-site"})


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "RS256", "kid": "one"},
        {"alg": "PS256", "kid": "one"},
        {"alg": "ES256", "kid": "two"},
        {"alg": "EdDSA", "kid": "three"},
    ],
)
def test_an_honest_token_lets_in(
    browser: Browser, issuer: HostileIssuer, bureau: Bureau, holder: str, header: dict[str, str]
) -> None:
    issuer.header = header
    assert tried(browser, issuer).headers["location"] == "/door"
    assert bureau.store.actors == [holder]
    form = next(form for path, form in issuer.asked if path == "/token")
    assert 43 <= len(form["code_verifier"]) <= 128


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "alg none": ({"header": {"alg": "none", "kid": "one"}, "sign": lambda _: b""}, "签名算法"),
    "HS256 with the public key": (
        {"header": {"alg": "HS256", "kid": "one"}, "sign": hostile.hs256_with_public_key},
        "签名算法",
    ),
    "a key never published": ({"sign": hostile.by_other}, "签名无效"),
    "another key's kid": ({"header": {"alg": "RS256", "kid": "two"}}, "签名无效"),
    "another key's algorithm": ({"header": {"alg": "ES256", "kid": "one"}}, "签名无效"),
    "no kid": ({"header": {"alg": "RS256"}}, "没有密钥编号"),
    "an unknown kid": ({"header": {"alg": "RS256", "kid": "nine"}}, "没有公布"),
    "a kid that two keys bear": (
        {"keys": [rsa_jwk(RSA_KEY, "one"), rsa_jwk(OTHER_KEY, "one")], "sign": hostile.by_other},
        "不唯一",
    ),
    "a short key": ({"keys": [rsa_jwk(SHORT_KEY, "one")], "sign": hostile.by_short}, "密钥过短"),
    "a key for encryption": ({"keys": [rsa_jwk(RSA_KEY, "one", use="enc")]}, "不是签名公钥"),
    "a shared secret": ({"keys": [{"kty": "oct", "kid": "one", "k": "c2VjcmV0"}]}, "不是签名公钥"),
}
for _name in ("jku", "x5u", "jwk", "x5c", "crit"):
    LIES[_name] = ({"header": {"alg": "RS256", "kid": "one", _name: "http://127.0.0.1:1/"}}, "自带密钥")


@pytest.mark.parametrize("lie", LIES)
def test_a_token_that_is_not_the_issuers_lets_nobody_in(
    browser: Browser, issuer: HostileIssuer, bureau: Bureau, lie: str
) -> None:
    changes, says = LIES[lie]
    for name, value in changes.items():
        setattr(issuer, name, value)
    refused(bureau, tried(browser, issuer), says)


FALSE: dict[str, tuple[dict[str, Any], str]] = {
    "foreign audience": ({"aud": "other"}, "不是发给本系统"),
    "audience without azp": ({"aud": [CLIENT, "other"]}, "azp"),
    "foreign azp": ({"azp": "other"}, "azp"),
    "wrong issuer": ({"iss": "https://accounts.example"}, "签发方不符"),
    "expired": ({"exp": int(time.time()) - 61}, "已过期"),
    "no expiry": ({"exp": None}, "已过期"),
    "from the future": ({"iat": int(time.time()) + 9000}, "签发时刻"),
    "no iat": ({"iat": None}, "签发时刻"),
    "not yet valid": ({"nbf": int(time.time()) + 9000}, "尚未生效"),
    "another's nonce": ({"nonce": "replayed"}, "nonce"),
    "no nonce": ({"nonce": None}, "nonce"),
    "no subject": ({"sub": None}, "sub"),
    "a time that is none": ({"exp": "tomorrow"}, "不是时刻"),
}


@pytest.mark.parametrize("claim", FALSE)
def test_a_token_that_is_not_for_this_sign_in_lets_nobody_in(
    browser: Browser, issuer: HostileIssuer, bureau: Bureau, claim: str
) -> None:
    changes, says = FALSE[claim]
    issuer.claims |= changes
    refused(bureau, tried(browser, issuer), says)


def test_within_a_minute_clocks_may_differ(browser: Browser, issuer: HostileIssuer) -> None:
    issuer.claims |= {"exp": int(time.time()) - 30, "nbf": int(time.time()) + 30}
    assert tried(browser, issuer).status_code == 303


def test_jku_is_never_asked(browser: Browser, issuer: HostileIssuer, bureau: Bureau) -> None:
    with hostile_issuer() as attacker:
        issuer.header = {"alg": "RS256", "kid": "one", "jku": f"{attacker.address}/jwks"}
        issuer.sign = hostile.by_other
        refused(bureau, tried(browser, issuer), "自带密钥")
        assert attacker.asked == []


def test_an_answer_counts_once_and_for_this_browser_only(
    browser: Browser, issuer: HostileIssuer, bureau: Bureau
) -> None:
    answer = went(browser, issuer)
    with bureau.browser() as victim:
        refused(bureau, victim.get(answer), "不是从本浏览器开始")
        victim.get("/sign-in/with/gov")
        refused(bureau, victim.get(answer), "不是从本浏览器开始")
    refused(bureau, browser.get(answer), "不是从本浏览器开始")
    answer = went(browser, issuer)
    cookie = browser.cookies.get("through") or ""
    assert browser.get(answer).status_code == 303
    bureau.store.end_all()
    browser.cookies.set("through", cookie, "127.0.0.1", "/")
    refused(bureau, browser.get(answer), "不是从本浏览器开始")
    refused(bureau, browser.get("/sign-in/with/gov/back?code=x&state=made-up"), "不是从本浏览器开始")


def test_a_code_that_was_used_is_refused_by_the_provider(
    browser: Browser, issuer: HostileIssuer, bureau: Bureau
) -> None:
    assert browser.get(went(browser, issuer, "stolen")).status_code == 303
    bureau.store.end_all()
    refused(bureau, browser.get(went(browser, issuer, "stolen")), "无效或已用过")


def test_an_answer_from_another_issuer_is_refused(browser: Browser, issuer: HostileIssuer, bureau: Bureau) -> None:
    mixed = went(browser, issuer) + "&iss=https%3A%2F%2Fother.example"
    refused(bureau, browser.get(mixed), "另一签发方")


def test_a_cancelled_sign_in_is_no_sign_in(browser: Browser, issuer: HostileIssuer, bureau: Bureau) -> None:
    state = re.search(r"state=([^&]+)", went(browser, issuer))
    assert state
    page = browser.get(f"/sign-in/with/gov/back?error=access_denied&error_description=%3Ci%3E&state={state[1]}")
    refused(bureau, page, "已取消")
    assert "<i>" not in page.text


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/jwks", "/token"])
@pytest.mark.parametrize(
    "answer",
    [
        (302, {"Location": "/elsewhere"}, b""),
        (500, {}, b"{}"),
        (200, {}, b"{"),
        (200, {}, b"[1]"),
        (200, {}, b'{"keys":[' + b" " * 300_000 + b"]}"),
    ],
)
def test_what_cannot_be_had_or_read_is_said(
    browser: Browser, issuer: HostileIssuer, bureau: Bureau, path: str, answer: tuple[int, dict[str, str], bytes]
) -> None:
    issuer.answers[path] = answer
    page = browser.get("/sign-in/with/gov")
    if path != "/.well-known/openid-configuration":
        page = browser.get(issuer.authorised(page.headers["location"]))
    refused(bureau, page, "统一身份认证", 503)
    assert "/elsewhere" not in [asked for asked, _ in issuer.asked]


def test_a_document_of_another_issuer_is_refused(browser: Browser, issuer: HostileIssuer, bureau: Bureau) -> None:
    issuer.document["issuer"] = "https://accounts.example"
    refused(bureau, browser.get("/sign-in/with/gov"), "不是所设签发方", 503)


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_plain_http_goes_to_this_machine_only(
    browser: Browser, issuer: HostileIssuer, bureau: Bureau, name: str
) -> None:
    issuer.document[name] = "http://accounts.example/x"
    refused(bureau, browser.get("/sign-in/with/gov"), "https", 503)
    with pytest.raises(Unavailable, match="https"):
        Issuer("http://accounts.example")


def test_an_unknown_kid_has_the_keys_fetched_again_at_most_once_a_minute(
    browser: Browser, issuer: HostileIssuer, bureau: Bureau
) -> None:
    tried(browser, issuer)
    bureau.store.end_all()
    issuer.header = {"alg": "RS256", "kid": "nine"}
    for _ in range(5):
        refused(bureau, tried(browser, issuer), "没有公布")
    assert [path for path, _ in issuer.asked].count("/jwks") == 1


# whom the registry knows


def test_nobody_is_stored_whom_the_registry_does_not_know(
    browser: Browser, issuer: HostileIssuer, bureau: Bureau
) -> None:
    head = bureau.registry.log.head()
    for number in (identity_number(2), "no number", None):
        issuer.claims["identity_number"] = number
        refused(bureau, tried(browser, issuer), "没有登记的职称", 403)
    assert bureau.registry.log.head() == head
    assert not bureau.store.under_way()


def test_the_name_must_be_one_the_holder_has_had(browser: Browser, issuer: HostileIssuer, bureau: Bureau) -> None:
    use(bureau, issuer.address, name_claim="name")
    issuer.claims["name"] = "别人"
    refused(bureau, tried(browser, issuer), "姓名不同", 403)
    issuer.claims["name"] = NAME
    assert tried(browser, issuer).status_code == 303


def test_an_officer_comes_by_link_or_number_and_shows_our_second_factor(
    browser: Browser, issuer: HostileIssuer, bureau: Bureau
) -> None:
    use(bureau, issuer.address, signs_in=SignsIn.OFFICERS)
    issuer.claims = {"sub": "linked"}
    refused(bureau, tried(browser, issuer), "没有在本系统登记", 403)
    bureau.store.link(issuer.address, "linked", CHIEF, by=CHIEF)
    assert tried(browser, issuer).headers["location"] == "/sign-in/with/gov/code"
    assert not bureau.store.kept
    refused(bureau, browser.post("/sign-in/with/gov/code", data={"code": WRONG_CODE}), "动态码不对")
    refused(
        bureau, browser.post("/sign-in/with/gov/code", data={"code": bureau.store.code("chief")}), "不是从本浏览器开始"
    )
    tried(browser, issuer)
    assert (
        browser.post("/sign-in/with/gov/code", data={"code": bureau.store.code("chief")}).headers["location"] == "/door"
    )
    assert bureau.store.actors == [CHIEF]


def test_two_ways_to_two_people_lead_nowhere(browser: Browser, issuer: HostileIssuer, bureau: Bureau) -> None:
    use(bureau, issuer.address, signs_in=SignsIn.OFFICERS)
    issuer.claims = {"sub": "linked", "identity_number": staff(0).identity.number}
    bureau.store.link(issuer.address, "linked", CHIEF, by=CHIEF)
    refused(bureau, tried(browser, issuer), "与证件号码不符", 403)
    issuer.claims["sub"] = "another"
    assert tried(browser, issuer).headers["location"] == "/sign-in/with/gov/code"


def test_the_state_in_an_address_is_no_second_factors_ticket(
    browser: Browser, issuer: HostileIssuer, bureau: Bureau
) -> None:
    use(bureau, issuer.address, signs_in=SignsIn.OFFICERS)
    browser.sign_in()
    sent = browser.get("/sign-in/with/gov?again=1").headers["location"]
    bureau.store.end_all()
    state = re.search(r"state=([^&]+)", sent)
    assert state
    browser.cookies.set("second", state[1], "127.0.0.1", "/")
    refused(bureau, browser.post("/sign-in/with/gov/code", data={"code": bureau.store.code("chief")}), "还没有通过")


def test_a_provider_signs_in_its_kind_of_persons_only(browser: Browser, issuer: HostileIssuer, bureau: Bureau) -> None:
    use(bureau, issuer.address, signs_in=SignsIn.EMPLOYERS)
    issuer.claims = {"sub": "linked"}
    bureau.store.link(issuer.address, "linked", CLERK, by=CHIEF)
    refused(bureau, tried(browser, issuer), "没有角色", 403)


def test_the_way_of_signing_in_that_was_asked_for_must_be_said(
    browser: Browser, issuer: HostileIssuer, bureau: Bureau
) -> None:
    use(bureau, issuer.address, signs_in=SignsIn.OFFICERS, acr="two-factors")
    bureau.store.link(issuer.address, "a", CHIEF, by=CHIEF)
    issuer.claims = {"sub": "a", "acr": "password"}
    refused(bureau, tried(browser, issuer), "acr")
    issuer.claims["acr"] = "two-factors"
    assert tried(browser, issuer).headers["location"] == "/door"


def test_confirming_needs_the_same_person_and_a_new_sign_in_there(
    browser: Browser, issuer: HostileIssuer, bureau: Bureau, holder: str
) -> None:
    assert tried(browser, issuer).status_code == 303
    before = set(bureau.store.kept)
    for more, says in (
        ({}, "没有重新登录"),
        ({"auth_time": int(time.time()) - 400}, "没有重新登录"),
        ({"auth_time": int(time.time()), "identity_number": identity_number(2)}, "没有登记"),
        ({"auth_time": int(time.time()), "identity_number": identity_number(3)}, "不是当前登录的人"),
    ):
        issuer.claims = {"sub": "a", "identity_number": identity_number(1)} | more
        answer = issuer.authorised(browser.get("/sign-in/with/gov?again=1").headers["location"])
        page = browser.get(answer)
        assert says in text_of(page)
        assert set(bureau.store.kept) == before
    issuer.claims = {"sub": "a", "identity_number": identity_number(1), "auth_time": int(time.time())}
    sent = browser.get("/sign-in/with/gov?again=1").headers["location"]
    assert "prompt=login" in sent
    assert browser.get(issuer.authorised(sent)).status_code == 303
    assert bureau.store.actors == [holder]
    assert set(bureau.store.kept) != before


# a real provider


class Real(NamedTuple):
    """oidc-provider in a process of its own."""

    address: str
    process: "subprocess.Popen[str]"


@pytest.fixture(scope="module")
def installed() -> Path:
    """The provider's packages, installed once from the lock file."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("NO NODE: sign-in was NOT tried against a real provider (install Debian's nodejs and npm)")
    if not (FOLDER / "node_modules" / "oidc-provider").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=FOLDER, check=True, capture_output=True)
    return FOLDER


@pytest.fixture(scope="module")
def real(installed: Path, served: Bureau, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    secret = served.registry.folder.path / "client-secret"
    secret.write_text("a secret of these tests only")
    secret.chmod(0o600)
    client = {
        "client_id": CLIENT,
        "client_secret": "a secret of these tests only",
        "redirect_uris": [f"{served.address}/sign-in/with/gov/back"],
    }
    people = {"known": {"identity_number": identity_number(1), "name": NAME}, "unknown": {"name": "王五"}}
    config = tmp_path_factory.mktemp("provider") / "config.json"
    config.write_text(json.dumps({"clients": [client], "people": people}))
    command = ["node", str(installed / "server.mjs"), str(config)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("listening "), line
        yield Real(f"http://127.0.0.1:{line.split()[1]}", process)
    finally:
        process.terminate()
        process.communicate()


def through(browser: Browser, real: Real, login: str, start: str = "/sign-in/with/gov?next=/account") -> str:
    """Sign in and consent on the provider's own pages; the address that it sends the browser back to."""
    there = httpx.Client(base_url=real.address)
    with there:
        answer = there.get(browser.get(start).headers["location"])
        for _ in range(8):
            if answer.is_redirect:
                address = answer.headers["location"]
                if "/sign-in/with/gov/back" in address:
                    return address
                answer = there.get(address)
            else:
                action = re.search(r'action="([^"]+)"', answer.text)
                prompt = re.search(r'name="prompt" value="([^"]+)"', answer.text)
                assert action, answer.text
                assert prompt, answer.text
                answer = there.post(action[1], data={"prompt": prompt[1], "login": login, "password": "x"})
    raise AssertionError(f"the provider never sent the browser back: {answer.status_code} {answer.text}")


@pytest.fixture
def gov(real: Real, bureau: Bureau) -> Real:
    use(bureau, real.address, client_secret_file="client-secret", name_claim="name")
    return real


def test_a_holder_signs_in_through_a_real_provider(browser: Browser, gov: Real, bureau: Bureau, holder: str) -> None:
    answer = browser.get(through(browser, gov, "known"))
    assert answer.headers["location"] == "/account", text_of(answer)
    assert bureau.store.actors == [holder]
    assert "持证人" in text_of(browser.get("/account"))
    bureau.store.grow_stale()
    assert "用政务网确认" in text_of(browser.get("/sign-in/again"))
    again = browser.get(through(browser, gov, "known", "/sign-in/with/gov?again=1"))
    assert again.status_code == 303, text_of(again)
    assert [one.fresh for one in bureau.store.kept.values()] == [True]


def test_somebody_without_titles_is_told_so(browser: Browser, gov: Real, bureau: Bureau) -> None:
    refused(bureau, browser.get(through(browser, gov, "unknown")), "没有登记的职称", 403)


def test_the_real_provider_takes_a_code_once_and_with_its_verifier(browser: Browser, gov: Real, bureau: Bureau) -> None:
    stolen = re.search(r"code=([^&]+)", through(browser, gov, "known"))
    assert stolen
    with bureau.browser() as attacker:
        own = through(attacker, gov, "unknown")
        injected = re.sub(r"code=[^&]+", f"code={stolen[1]}", own)
        refused(bureau, attacker.get(injected), "无效或已用过")


# the settings


def test_settings_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    one = {"id": "gov", "name": "政务网", "issuer": "https://a.example", "client_id": "c", "signs_in": "holders"}
    for wrong in (
        [one, one],
        [one | {"id": "../x"}],
        [one | {"allow": "none"}],
        [one | {"issuer": "http://a.example"}],
    ):
        (tmp_path / "oidc.json").write_text(json.dumps(wrong))
        with pytest.raises(Unavailable):
            Providers.read(tmp_path)
    (tmp_path / "oidc.json").write_text(json.dumps([one]))
    assert [each.id for each in Providers.read(tmp_path)] == ["gov"]
