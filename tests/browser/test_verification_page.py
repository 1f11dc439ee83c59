"""The verification page in a real browser: what a reader sees, can reach and can read, and what the script concludes.

The tokens are made by the `cwt` library, so the script verifies a foreign implementation's signatures.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import Browser, Page, expect

from keys.cose import sign1
from keys.keyring import KeyRecord, Keyring
from keys.signing import Purpose, Signer
from registry.terms import Status
from registry.titles.digits import to_digits
from registry.titles.token import TYP

PHONE = {"width": 390, "height": 844}
NON_VERDICTS = {Status.UNKNOWN, Status.LINK_EXPIRED, Status.UNREADABLE, Status.UNAVAILABLE, Status.OFFLINE}
Open = Callable[..., Page]

# Contrast by WCAG 2.2 of every visible text against what lies behind it; the rings of a band lighten it by 7 %.
CONTRASTS = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (at) => { for (; at; at = at.parentElement) {
    const [r, g, b, a = 1] = rgb(getComputedStyle(at).backgroundColor);
    if (a > 0) return at.matches(".solid") ? [r, g, b].map((v) => v + (255 - v) * 0.07) : [r, g, b]; } };
  const light = (colour) => colour.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  for (const at of document.querySelectorAll("body *")) {
    const text = [...at.childNodes].map((n) => (n.nodeType === 3 ? n.data.trim() : "")).join("");
    if (!text || !at.checkVisibility() || at.closest("template")) continue;
    const [a, b] = [light(rgb(getComputedStyle(at).color)), light(behind(at))].sort((x, y) => y - x);
    found.push([text.slice(0, 20), (a + 0.05) / (b + 0.05)]);
  }
  return found; }"""
TARGETS = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), summary")]
  .filter((at) => at.checkVisibility()).map((at) => [at.textContent.trim() || at.id,
    at.getBoundingClientRect().height, at.getBoundingClientRect().width])"""


@pytest.fixture
def opened(chromium: Browser, shown: Any) -> Iterator[Open]:
    """Open a page as a reader would; whatever the browser complains about (policy, script, 404) fails the test."""
    contexts, complaints = [], []

    def open_page(url: str, *, viewport: dict[str, int] = PHONE, **about: Any) -> Page:
        context = chromium.new_context(viewport=viewport, **about)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in complaints if "503" not in text] == []


def band(page: Page) -> str:
    return page.locator("h1").inner_text()


def places(shown: Any) -> list[str]:
    return [shown.url(status) for status in Status] + [
        f"{shown.base}/{path}" for path in ("home", "wrong", "error/404")
    ]


@pytest.mark.parametrize("status", Status)
def test_each_answer_shows_its_word_and_is_solid_only_if_it_is_a_verdict(
    opened: Open, shown: Any, status: Status
) -> None:
    page = opened(shown.url(status))
    expect(page.locator(".band")).to_have_css("border-top-style", "dashed" if status in NON_VERDICTS else "solid")
    assert band(page) == status.zh
    assert page.locator(".band svg").bounding_box()["width"] >= 40
    assert "2026-11-22 14:05" in page.locator(".band").inner_text()
    assert page.locator("html").get_attribute("lang") == "zh-CN"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(opened: Open, shown: Any, scheme: str) -> None:
    page = opened(shown.base, color_scheme=scheme)
    for place in places(shown):
        page.goto(place)
        found = page.evaluate(CONTRASTS)
        assert len(found) > 8
        assert [(place, text, ratio) for text, ratio in found if ratio < 4.5] == []


@pytest.mark.parametrize(("view", "least"), [("", 44), ("?elder=1", 60), ("?lang=en", 44), ("?elder=1&lang=en", 60)])
def test_the_narrowest_phone_needs_no_sideways_scroll_and_every_control_fits_a_finger(
    opened: Open, shown: Any, view: str, least: int
) -> None:
    page = opened(shown.base, viewport={"width": 320, "height": 640})
    for place in places(shown):
        page.goto(place + view)
        assert page.evaluate("document.documentElement.scrollWidth") == 320, place
        assert [found for found in page.evaluate(TARGETS) if min(found[1:]) < least] == [], place


def test_a_valid_certificate_fits_a_phone_with_all_facts_and_the_hint(opened: Open, shown: Any, issuer: Any) -> None:
    page = opened(shown.url("valid") + "#" + issuer.digits())
    expect(page.locator("#qr")).to_have_text("二维码签名：相符 ✓")
    hint = page.get_by_text("请与持证人身份证核对").bounding_box()
    assert hint["y"] + hint["height"] <= PHONE["height"]
    assert page.evaluate("scrollY") == 0


def test_without_scripts_every_word_stands_there_and_a_code_can_be_asked_for(opened: Open, shown: Any) -> None:
    page = opened(shown.url("revoked"), java_script_enabled=False)
    assert page.locator("h1").inner_text() == "已撤销"
    for said in ("丽人社撤〔2026〕2号", "2026年3月5日", "周*国", "建筑工程"):
        assert page.get_by_text(said).first.is_visible()
    page.get_by_text("核验步骤").click()
    assert page.get_by_text("查到对应的登记").is_visible()
    page.goto(f"{shown.base}/home")
    page.get_by_label("证书上的查验码是什么").fill(shown.code)
    page.get_by_role("button", name="核验", exact=True).click()
    assert shown.requests[-1] == f"/v?code={shown.code}" or f"/v?code={shown.code}" in shown.requests


def test_a_good_token_says_so_and_its_digits_never_leave_the_browser(opened: Open, shown: Any, issuer: Any) -> None:
    digits = issuer.digits()
    page = opened(shown.url("valid") + "#" + digits)
    expect(page.locator("#qr")).to_have_text("二维码签名：相符 ✓")
    assert band(page) == "有效"
    page.get_by_role("link", name="长辈版").click()
    page.wait_for_url("**?elder=1#*")
    expect(page.locator("#qr")).to_have_text("二维码签名：相符 ✓")
    assert page.url.endswith("#" + digits)
    assert "/.well-known/jwks.json" in shown.requests
    assert [path for path in shown.requests if digits[:12] in path] == []


def test_a_token_and_a_key_set_of_the_registry_itself_hold_as_well(opened: Open, shown: Any, issuer: Any) -> None:
    signer = Signer(ec.generate_private_key(ec.SECP256R1()), Purpose.E_CERTIFICATE)
    life = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
    record = KeyRecord(signer.kid, signer.algorithm, signer.purpose, signer.public.spki(), *life)
    shown.jwks = Keyring([record]).to_jwks()
    page = opened(shown.url("valid") + "#" + to_digits(sign1(signer, TYP, issuer.payload())))
    expect(page.locator("#qr")).to_have_text("二维码签名：相符 ✓")


def expect_tampered(page: Page) -> None:
    expect(page.locator("h1")).to_have_text("签名不符")
    expect(page.locator(".band.tampered")).to_have_attribute("role", "alert")
    assert "请勿采信" in page.locator("main").inner_text()
    assert "周*国" not in page.locator("body").inner_text()
    assert page.title().startswith("签名不符")


def test_a_digit_changed_anywhere_turns_the_verdict_into_a_bad_signature(opened: Open, shown: Any, issuer: Any) -> None:
    digits = issuer.digits()
    page = opened(shown.base)
    for at in range(3, len(digits), len(digits) // 7):
        changed = digits[:at] + str((int(digits[at]) + 1) % 10) + digits[at + 1 :]
        page.goto("about:blank")  # a change of the fragment alone would not load the page again
        page.goto(shown.url("valid") + "#" + changed)
        expect_tampered(page)


@pytest.mark.parametrize("status", ["valid", "superseded", "unknown", "unavailable"])
def test_a_signature_of_another_key_with_the_same_id_is_bad(
    opened: Open, shown: Any, stranger: Any, status: str
) -> None:
    expect_tampered(opened(shown.url(status) + "#" + stranger.digits()))


def test_a_good_token_for_another_code_is_bad(opened: Open, shown: Any, issuer: Any) -> None:
    expect_tampered(opened(shown.url("valid", shown.other_code) + "#" + issuer.digits()))


@pytest.mark.parametrize(
    "change",
    [{"typ": "zc2"}, {"level": "2"}, {"number": 7}, {"code": "7K3M"}, {"awarded_on": -1}, {"name": None}],
    ids=str,
)
def test_a_signed_token_that_is_no_certificate_is_bad(opened: Open, shown: Any, issuer: Any, change: dict) -> None:
    expect_tampered(opened(shown.url("valid") + "#" + issuer.digits(**change)))


@pytest.mark.parametrize("cut", [17, 1, 40])
def test_a_token_cut_short_is_bad(opened: Open, shown: Any, issuer: Any, cut: int) -> None:
    expect_tampered(opened(shown.url("valid") + "#" + issuer.digits()[:-cut]))


def test_two_keys_with_one_id_are_both_tried(opened: Open, shown: Any, issuer: Any, stranger: Any) -> None:
    shown.jwks = {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "2026-A"}, stranger.jwk, issuer.jwk]}
    page = opened(shown.url("valid") + "#" + issuer.digits())
    expect(page.locator("#qr")).to_have_text("二维码签名：相符 ✓")


def test_keys_out_of_reach_leave_the_verdict_as_it_is(opened: Open, shown: Any, issuer: Any) -> None:
    shown.jwks = None
    page = opened(shown.url("valid") + "#" + issuer.digits())
    expect(page.locator("#qr")).to_contain_text("二维码签名：未核对")
    assert band(page) == "有效"
    assert page.get_by_text("周*国").is_visible()


@pytest.mark.parametrize(("status", "word"), [("valid", "有效"), ("unavailable", "暂时无法核验")])
def test_a_compromised_key_proves_nothing_so_only_the_registry_speaks(
    opened: Open, shown: Any, issuer: Any, status: str, word: str
) -> None:
    shown.jwks = {"keys": [{**issuer.jwk, "purpose": "e-certificate/1", "state": "compromised"}]}
    page = opened(shown.url(status) + "#" + issuer.digits())
    expect(page.locator("#qr")).to_contain_text("二维码签名：未核对")
    assert band(page) == word


def test_a_key_for_another_purpose_signs_no_certificate(opened: Open, shown: Any, issuer: Any) -> None:
    shown.jwks = {"keys": [{**issuer.jwk, "purpose": "document/1", "state": "active"}]}
    expect_tampered(opened(shown.url("valid") + "#" + issuer.digits()))


def test_a_browser_without_webcrypto_leaves_the_verdict_as_it_is(opened: Open, shown: Any, issuer: Any) -> None:
    page = opened(shown.base)
    page.add_init_script("Object.defineProperty(crypto, 'subtle', {value: undefined})")
    page.goto(shown.url("valid") + "#" + issuer.digits())
    expect(page.locator("#qr")).to_contain_text("二维码签名：未核对")
    assert band(page) == "有效"


@pytest.mark.parametrize("fragment", ["", "#main", "#2026"])
def test_without_a_token_nothing_is_said_and_no_key_is_asked_for(opened: Open, shown: Any, fragment: str) -> None:
    page = opened(shown.url("valid") + fragment)
    page.wait_for_load_state("networkidle")
    assert page.locator("#qr").inner_text() == ""
    assert "/.well-known/jwks.json" not in shown.requests


def test_an_older_token_and_other_facts_are_named_without_a_change_of_verdict(
    opened: Open, shown: Any, issuer: Any
) -> None:
    page = opened(shown.url("valid") + "#" + issuer.digits(version=3, number="浙丽 0000", specialty=None))
    line = page.locator("#qr")
    expect(line).to_have_text("二维码签名：相符 ✓ · 二维码属于第 3 版 · 与登记不同，以本页为准：专业、证书编号")
    assert band(page) == "有效"


def test_the_registry_out_of_reach_gives_the_signed_content_but_no_status(
    opened: Open, shown: Any, issuer: Any
) -> None:
    page = opened(shown.url("unavailable") + "#" + issuer.digits(specialty=""))
    expect(page.locator("h1")).to_have_text("状态未核实")
    expect(page.locator(".band")).to_have_css("border-top-style", "dashed")
    text = page.locator("main").inner_text()
    for said in (
        "周*国",
        "高级工程师",
        "副高级",
        "浙丽 9801-0427",
        "331100",
        "1998年11月20日",
        "浙丽职 98-0427",
        "2026-A",
    ):
        assert said in text
    assert "专业" not in text
    again = page.get_by_role("link", name="再次核验").get_attribute("href")
    assert again.startswith(f"{shown.base}/v/{shown.code}#")
    assert "二维码签名：相符 ✓" in text


def test_print_drops_what_needs_a_finger_and_does_not_rely_on_ink(opened: Open, shown: Any) -> None:
    page = opened(shown.url("tampered"))
    for status in (Status.VALID, Status.REVOKED, Status.TAMPERED):
        page.goto(shown.url(status))
        page.emulate_media(media="print")
        verdict = page.locator(".band")
        expect(verdict).to_have_css("background-color", "rgb(255, 255, 255)")
        expect(verdict).to_have_css("color", "rgb(0, 0, 0)")
        expect(verdict).to_have_css("border-top-style", "solid")
        assert not page.locator("nav").is_visible()
        assert page.locator(".button:visible").count() == 0
        assert page.get_by_text("verify.example.cn").is_visible()


def test_forced_colours_keep_the_border_of_a_verdict(opened: Open, shown: Any) -> None:
    page = opened(shown.url("valid"), forced_colors="active")
    expect(page.locator(".band")).to_have_css("border-top-width", "4px")
    page.goto(shown.url("unknown"))
    expect(page.locator(".band")).to_have_css("border-top-style", "dashed")


def test_reduced_motion_is_heeded(opened: Open, shown: Any) -> None:
    page = opened(shown.url("valid"), reduced_motion="reduce")
    moving = "[...document.querySelectorAll('*')].filter(e => getComputedStyle(e).transitionDuration !== '0s').length"
    assert page.evaluate(moving) == 0


@pytest.mark.parametrize("view", ["", "?lang=en"])
def test_landmarks_headings_and_names_are_in_order(opened: Open, shown: Any, view: str) -> None:
    page = opened(shown.base)
    for place in places(shown):
        page.goto(place + view)
        levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")
        assert levels.count(1) == 1, place
        assert all(after - before <= 1 for before, after in zip(sorted(levels)[:1] + levels, levels, strict=False)), (
            place
        )
        for landmark in ("banner", "main", "contentinfo", "navigation"):
            assert page.get_by_role(landmark).count() == 1, (place, landmark)
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(ids) == len(set(ids))
        assert page.get_by_role("link", name="", exact=True).count() == 0
        assert page.title()


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(opened: Open, shown: Any) -> None:
    page = opened(shown.url("valid"))
    count = page.locator("a:visible, summary:visible").count()
    for _ in range(count):
        page.keyboard.press("Tab")
        width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert (width, style) == (3, "solid")


def test_the_error_summary_leads_to_the_field(opened: Open, shown: Any) -> None:
    page = opened(f"{shown.base}/wrong")
    page.get_by_role("alert").get_by_role("link").click()
    assert page.evaluate("document.activeElement.id") == "code"
    field = page.get_by_label("证书上的查验码是什么")
    expect(field).to_have_value("7K3M 9XQ4")
    expect(field).to_have_accessible_description(re.compile("^查验码应为 17 位，现有 8 位。.*17 位字母和数字"))
