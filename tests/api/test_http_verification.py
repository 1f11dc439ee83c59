"""Verification over HTTP, from the process that serves: every state as JSON and as a page, and what must never show."""

import json
import re
import sqlite3
import statistics
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from registry.titles.code import parse_code
from registry.titles.events import DecisionKind
from tests import engine
from tests.audit_life import damage
from tests.people import CHIEF, CLERK, deciding, identity_number
from tests.served import NAME, Cabinet, Site, copied, serving, unchanged

UNKNOWN = "ZKYFSZ7WZKYFSZ7WY"  # well formed, and nobody's
MALFORMED = [
    "ZKYFSZ7WZKYFSZ7WX",
    "x",
    " ",
    "查验码",
    "\x00",
    "a" * 7000,
    "../../etc/passwd",
    "'; DROP TABLE claims;--",
    "%",
    "😀" * 17,
]
HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex",
    "x-content-type-options": "nosniff",
}
WORDS = {
    "valid": "有效",
    "revoked": "已撤销",
    "invalidated": "已注销",
    "suspended": "暂停",
    "superseded": "已换发",
    "converted": "有效",
}


def code(cabinet: Cabinet, which: str) -> str:
    found: str = getattr(cabinet, which).code
    return found


def as_path(text: str) -> str:
    """A path in which every byte is escaped, so that no client tidies it up."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def assert_private(response: httpx.Response) -> None:
    for name, value in HEADERS.items():
        assert response.headers[name] == value, (response.url, name)
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("which", WORDS)
def test_each_state_as_json_and_as_a_page(site: Site, cabinet: Cabinet, which: str) -> None:
    status = "valid" if which == "converted" else which
    answer = site.get(f"/api/v1/verifications/{code(cabinet, which)}")
    page = site.get(f"/v/{code(cabinet, which)}")
    assert (answer.status_code, answer.json()["status"]) == (200, status)
    assert answer.headers["content-type"] == "application/json"
    assert page.status_code == 200
    assert re.search(r"<h1[^>]*>(.*?)</h1>", page.text)[1] == WORDS[which]  # type: ignore[index]
    for response in (answer, page):
        assert_private(response)


def test_a_decision_shows_both_dates_and_its_document_and_never_the_reason(site: Site, cabinet: Cabinet) -> None:
    answer = site.verified(code(cabinet, "revoked"))
    decision, given = answer["decision"], deciding(DecisionKind.REVOCATION)
    assert decision["kind"] == "revoked"
    assert decision["document_no"] == given.document_no
    assert decision["from_the_start"] is True
    assert decision["effective_on"] == "2021-09-20"
    assert datetime.fromisoformat(decision["recorded_at"]) <= datetime.now(UTC)
    for text in (json.dumps(answer, ensure_ascii=False), site.get(f"/v/{code(cabinet, 'revoked')}").text):
        assert given.reason not in text


def test_a_converted_certificate_says_so_and_an_older_version_leads_to_the_newer(site: Site, cabinet: Cabinet) -> None:
    converted = site.verified(code(cabinet, "converted"))["certificate"]
    assert converted["paper"]["remark"] == "依据纸质证书换发"
    assert converted["paper"]["number"] == "浙丽 9801-0427"
    older = site.verified(code(cabinet, "superseded"))["certificate"]
    assert (older["version"], older["latest_version"], older["specialty"]) == (1, 2, "给水排水")
    assert site.verified(code(cabinet, "newer"))["status"] == "valid"


def test_no_full_name_and_no_identity_number_leaves_the_service(site: Site, cabinet: Cabinet) -> None:
    names = ("valid", "other", "revoked", "invalidated", "suspended", "superseded", "newer", "converted")
    texts = [site.get(at).text for at in ("/", "/docs", "/openapi.json", "/.well-known/jwks.json", "/readyz")]
    for which in names:
        one = code(cabinet, which)
        texts += [site.get(f"/v/{one}?lang={lang}").text for lang in ("zh", "en")]
        texts.append(site.get(f"/api/v1/verifications/{one}").text)
        texts.append(site.asked(cabinet.qr(getattr(cabinet, which))).text)
    assert sum("林*岚" in text for text in texts) == 4 * len(names)
    for text in texts:
        assert NAME not in text
        for n in range(1, 14):
            assert identity_number(n) not in text
            assert identity_number(n)[6:14] not in text, "nor the birth date"


def test_a_code_is_read_as_people_write_it(site: Site, cabinet: Cabinet) -> None:
    one = code(cabinet, "valid")
    grouped = " ".join(one[at : at + 4] for at in range(0, 17, 4))
    for written in (one, one.lower(), grouped, grouped.replace(" ", "-"), f"  {one} "):
        assert site.verified(as_path(written))["status"] == "valid", written
        assert site.asked(written).json()["status"] == "valid", written


@pytest.mark.parametrize("typed", MALFORMED)
def test_malformed_and_unknown_codes_get_one_answer(site: Site, cabinet: Cabinet, typed: str) -> None:
    assert parse_code(UNKNOWN) == UNKNOWN
    known = site.get(f"/api/v1/verifications/{UNKNOWN}")
    answer = unchanged(cabinet.registry, lambda: site.get("/api/v1/verifications/" + as_path(typed)))
    assert (known.status_code, answer.status_code) == (404, 404)
    assert_private(answer)
    first, second = known.json(), answer.json()
    assert first.pop("checked_at")
    assert second.pop("checked_at")
    assert first == second
    assert first["status"] == "unknown"
    assert "不等于假证" in first["sentence"]
    assert first["certificate"] is None
    page = site.get("/v/" + as_path(typed))
    assert page.status_code == 404
    assert "未查到不等于假证" in page.text
    assert_private(page)


def test_malformed_and_unknown_codes_take_about_as_long(site: Site) -> None:
    print("\nmedian time of an unknown and of a malformed code:", _times(site))


def _times(site: Site) -> dict[str, str]:
    """Medians in microseconds, taken in turns; printed, not judged: a shared machine cannot tell less than that."""
    taken: dict[str, list[float]] = {UNKNOWN: [], MALFORMED[0]: [], MALFORMED[1]: []}
    for _ in range(60):
        for one, times in taken.items():
            started = time.perf_counter()
            site.get(f"/api/v1/verifications/{one}")
            times.append(time.perf_counter() - started)
    middle = {one: statistics.median(times) for one, times in taken.items()}
    return {one: f"{value * 1e6:.0f} us, ratio {value / middle[UNKNOWN]:.2f}" for one, value in middle.items()}


def test_after_an_approval_in_another_process_the_next_get_says_revoked(site: Site, cabinet: Cabinet) -> None:
    certificate = cabinet.fresh[0]
    assert site.verified(certificate.code)["status"] == "valid"
    proposal = cabinet.registry.propose(
        cabinet.stream(certificate), deciding(DecisionKind.REVOCATION), officer=CLERK
    ).fact
    assert site.verified(certificate.code)["status"] == "valid", "a proposal alone changes nothing"
    cabinet.registry.approve(proposal.proposal, proposal.digest, officer=CHIEF)
    answer = site.verified(certificate.code)
    assert answer["status"] == "revoked"
    assert answer["log_position"] == cabinet.registry.log.head()
    assert "已撤销" in site.get(f"/v/{certificate.code}").text
    cabinet.decide(certificate, DecisionKind.REINSTATEMENT)
    assert site.verified(certificate.code)["status"] == "valid"


def test_as_of_asks_about_another_day_and_known_at_about_another_knowledge(site: Site, cabinet: Cabinet) -> None:
    certificate = cabinet.fresh[1]
    before = datetime.now(UTC)
    cabinet.decide(certificate, DecisionKind.INVALIDATION)
    one = certificate.code
    assert site.verified(one)["status"] == "invalidated"
    early = site.verified(one, as_of="2021-09-19")
    assert (early["status"], early["as_of"], early["known_at"]) == ("not_yet_effective", "2021-09-19", None)
    assert site.verified(one, as_of="2021-09-20")["status"] == "valid"
    known = site.verified(one, known_at=before.isoformat())
    assert known["status"] == "valid"
    assert datetime.fromisoformat(known["known_at"]) == before
    beijing = (before + timedelta(hours=8)).replace(tzinfo=None).isoformat() + "+08:00"
    unescaped = site.get(f"/api/v1/verifications/{one}?known_at={beijing}")  # its plus arrives as a blank
    assert unescaped.json()["status"] == "valid"
    longest_ago = site.get(f"/api/v1/verifications/{one}", params={"known_at": "2020-01-01T00:00:00Z"})
    assert (longest_ago.status_code, longest_ago.json()["status"]) == (404, "unknown")
    assert "不是现时状态" in site.get(f"/v/{one}", params={"as_of": "2021-09-20"}).text


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ({"as_of": "yesterday"}, ["query/as_of"]),
        ({"as_of": "2026-02-30"}, ["query/as_of"]),
        ({"known_at": "2026-01-01T00:00:00"}, ["query/known_at"]),
        ({"known_at": "10000-01-01T00:00:00Z"}, ["query/known_at"]),
        ({"known_at": "0001-01-01T00:00:00+09:01"}, ["query/known_at"]),
        ({"known_at": "9999-12-31T23:59:59-09:01"}, ["query/known_at"]),
        ({"as_of": "\x00", "known_at": "?"}, ["query/as_of", "query/known_at"]),
    ],
)
def test_a_bad_moment_is_refused_and_named(
    site: Site, cabinet: Cabinet, query: dict[str, str], pointers: list[str]
) -> None:
    one = code(cabinet, "valid")
    for response in (
        unchanged(cabinet.registry, lambda: site.get(f"/api/v1/verifications/{one}", params=query)),
        unchanged(cabinet.registry, lambda: site.post("/api/v1/verifications", params=query, json={"target": one})),
        unchanged(
            cabinet.registry, lambda: site.post("/api/v1/verifications/batch", params=query, json={"codes": [one]})
        ),
    ):
        assert response.status_code == 422
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert (problem["code"], problem["status"]) == ("bad-request", 422)
        assert [error["pointer"] for error in problem["errors"]] == pointers
        assert_private(response)


# what a scanner hands over


def test_a_qr_text_an_address_a_token_and_a_code_lead_to_the_same_answer(site: Site, cabinet: Cabinet) -> None:
    one = cabinet.valid
    written = (
        one.code,
        cabinet.qr(one),
        cabinet.qr(one).partition("#")[0],
        cabinet.digits(one),
        f"\n {cabinet.qr(one)}\n",
    )
    for target in written:
        response = site.asked(target)
        assert response.status_code == 200
        assert response.json()["status"] == "valid", target
        assert response.json()["certificate"]["code"] == one.code
        assert_private(response)


def test_the_host_of_an_address_counts_for_nothing(site: Site, cabinet: Cabinet) -> None:
    elsewhere = cabinet.qr(cabinet.valid).replace("127.0.0.1", "evil.example")
    assert site.asked(elsewhere).json()["status"] == "valid"
    assert site.asked("https://evil.example/v/?x=/v/#" + cabinet.digits(cabinet.revoked)).json()["status"] == "revoked"
    assert site.asked(f"https://evil.example/{cabinet.valid.code}").json()["status"] == "unknown"


def test_a_token_that_is_not_that_of_the_code_beside_it_is_tampered(site: Site, cabinet: Cabinet) -> None:
    text = f"https://zc.example.cn/v/{cabinet.valid.code}#{cabinet.digits(cabinet.other)}"
    answer = site.asked(text)
    assert (answer.status_code, answer.json()["status"]) == (200, "tampered")
    assert answer.json()["certificate"] is None
    assert "另一张证书" in answer.json()["steps"][0]["detail"]


def test_a_changed_token_is_tampered_wherever_it_was_changed(site: Site, cabinet: Cabinet) -> None:
    digits = cabinet.digits(cabinet.valid)
    for place in range(3, len(digits), 23):
        changed = digits[:place] + str((int(digits[place]) + 1) % 10) + digits[place + 1 :]
        answer = site.asked(f"https://zc.example.cn/v/{cabinet.valid.code}#{changed}").json()
        assert answer["status"] in ("tampered", "unreadable"), place
        assert answer["certificate"] is None


@pytest.mark.parametrize(
    "target", ["9" * 41, "1" * 5000, "a" * 60_000 + " b", "#" * 100, "http://" * 50, "\x00" * 9, "٣" * 50]
)
def test_nothing_that_is_scanned_crashes_or_stalls_the_service(site: Site, cabinet: Cabinet, target: str) -> None:
    started = time.perf_counter()
    response = unchanged(cabinet.registry, lambda: site.asked(target))
    assert time.perf_counter() - started < 5
    assert response.json()["status"] in ("unknown", "unreadable", "tampered")
    assert response.json()["certificate"] is None


# many at once


def test_a_batch_answers_each_code_in_its_order(site: Site, cabinet: Cabinet) -> None:
    codes = [cabinet.revoked.code, UNKNOWN, cabinet.valid.code, "x", cabinet.revoked.code]
    response = site.post("/api/v1/verifications/batch", json={"codes": codes})
    statuses = [answer["status"] for answer in response.json()["answers"]]
    assert (response.status_code, statuses) == (200, ["revoked", "unknown", "valid", "unknown", "revoked"])
    assert_private(response)
    most = site.post("/api/v1/verifications/batch", json={"codes": [cabinet.valid.code] * 100})
    assert len(most.json()["answers"]) == 100


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/batch", b'{"codes": []}', "/codes"),
        ("/batch", json.dumps({"codes": ["x"] * 101}).encode(), "/codes"),
        ("/batch", b'{"codes": ["x", 7]}', "/codes/1"),
        ("/batch", b'{"codes": "x"}', "/codes"),
        ("/batch", b'{"codes": ["x"], "more": 1}', ""),
        ("/batch", b"[]", ""),
        ("", b"{}", ""),
        ("", b'{"target": null}', "/target"),
        ("", b"{", ""),
        ("", b"", ""),
        ("", b'{"target": "\xff"}', ""),
        ("", b"[" * 60_000, ""),
    ],
)
def test_a_bad_body_is_refused_and_its_place_named(
    site: Site, cabinet: Cabinet, path: str, body: bytes, pointer: str
) -> None:
    kind = {"Content-Type": "application/json"}
    response = unchanged(
        cabinet.registry, lambda: site.post("/api/v1/verifications" + path, content=body, headers=kind)
    )
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    [error] = response.json()["errors"]
    assert error["pointer"] == pointer
    assert error["detail"]
    assert_private(response)


def test_a_body_that_is_too_large_is_refused_as_such(site: Site, cabinet: Cabinet) -> None:
    body = json.dumps({"target": "x" * 70_000}).encode()
    response = unchanged(cabinet.registry, lambda: site.post("/api/v1/verifications", content=body))
    assert (response.status_code, response.json()["code"]) == (413, "too-large")


# other ways to ask


@pytest.mark.parametrize("path", ["/v/{}", "/api/v1/verifications/{}"])
def test_head_is_get_without_a_body_and_other_methods_are_refused(site: Site, cabinet: Cabinet, path: str) -> None:
    at = path.format(cabinet.valid.code)
    head, get = site.head(at), site.get(at)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "POST"):
        refused = unchanged(cabinet.registry, lambda method=method: site.request(method, at))  # type: ignore[misc]
        assert refused.status_code == 405
        assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD"}
        assert refused.json()["code"] == "http-405"
        assert_private(refused)


def test_a_person_who_opens_an_address_the_wrong_way_gets_a_page(site: Site, cabinet: Cabinet) -> None:
    page = site.put(f"/v/{cabinet.valid.code}", headers={"Accept": "text/html"})
    assert (page.status_code, set(page.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert "不能这样打开" in page.text
    assert_private(page)


@pytest.mark.parametrize(
    "path",
    [
        "/static/..%2f..%2fsettings.py",
        "/static/../../etc/passwd",
        "/static/%2e%2e/pages.py",
        "/static/..%5c..%5capp.py",
        "/static/%00",
        "/static/" + "a" * 5000,
        "/static/",
        "/nothing",
        "/.well-known/",
        "/api/v1/",
    ],
)
def test_no_path_leads_outside(site: Site, cabinet: Cabinet, path: str) -> None:
    raw = httpx.URL(f"http://127.0.0.1:{site.port}").copy_with(raw_path=path.encode())
    response = unchanged(cabinet.registry, lambda: site.get(raw))
    assert response.status_code == 404
    assert "import" not in response.text
    assert "root:" not in response.text
    page = site.get(raw, headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert_private(page)


def test_a_typed_code_leads_on_and_a_wrong_one_stays_with_what_is_wrong(site: Site, cabinet: Cabinet) -> None:
    one = code(cabinet, "valid")
    found = site.get("/v", params={"code": one.lower(), "lang": "en", "elder": "1", "x": "y"})
    assert (found.status_code, found.headers["location"]) == (303, f"/v/{one}?lang=en&elder=1")
    wrong = site.get("/v", params={"code": '7K3M "9XQ4'})
    assert wrong.status_code == 422
    assert "查验码不正确" in wrong.text
    assert "7K3M &#34;9XQ4" in wrong.text, "what was typed stays in the box, escaped"
    for response in (found, wrong, site.get("/")):
        assert_private(response)


def test_pages_load_nothing_from_elsewhere_and_what_they_load_is_there(site: Site, cabinet: Cabinet) -> None:
    for path in ("/", "/docs", f"/v/{cabinet.valid.code}", f"/v/{UNKNOWN}"):
        page = site.get(path)
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*?(?:src|href)=["\']([^"\']+)', page.text)
        assert loaded, path
        for address in loaded:
            assert address.startswith("/static/"), (path, address)
            assert site.get(address).status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]


def test_a_file_with_its_hash_may_be_kept_for_ever_and_one_without_it_not(site: Site) -> None:
    [address] = re.findall(r'href="(/static/verify\.css\?v=[^"]+)"', site.get("/").text)
    assert "immutable" in site.get(address).headers["cache-control"]
    assert site.get("/static/verify.css").headers["cache-control"] == "no-cache"


# when the log cannot be read


def assert_no_verdict(site: Site, one: str) -> None:
    answer = site.get(f"/api/v1/verifications/{one}")
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    assert (answer.json()["certificate"], answer.json()["decision"]) == (None, None)
    page = site.get(f"/v/{one}")
    assert page.status_code == 503
    shown = re.sub(r"<template.*?</template>", "", page.text, flags=re.DOTALL)
    assert re.search(r"<h1[^>]*>(.*?)</h1>", shown)[1] == "暂时无法核验"  # type: ignore[index]
    assert 'class="band open unavailable"' in shown
    assert "这不表示证书有问题" in shown
    for word in ("已撤销", "已注销", "签名不符", "未查到", "假证"):
        assert word not in shown
    for response in (answer, page):
        assert_private(response)


@pytest.mark.sqlite_file  # about the pages of the file
def test_a_log_that_cannot_be_read_is_no_verdict(cabinet: Cabinet, tmp_path: Path) -> None:
    data = copied(cabinet.registry.folder.path, tmp_path / "data")
    with closing(sqlite3.connect(data / "registry.db")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (data / "registry.db").open("r+b") as file:
        file.seek(4096)  # all but the first page, so that it still opens
        file.write(b"\xa5" * ((data / "registry.db").stat().st_size - 4096))
    with serving(data) as site:
        assert_nothing_is_said(site, cabinet)


def test_a_log_whose_tables_are_lost_while_it_is_served_is_no_verdict(cabinet: Cabinet, tmp_path: Path) -> None:
    data = copied(cabinet.registry.folder.path, tmp_path / "data")
    with serving(data) as site:
        damage(data / "registry.db", "ALTER TABLE stored_events RENAME TO lost", "ALTER TABLE claims RENAME TO gone")
        assert_nothing_is_said(site, cabinet)


def assert_nothing_is_said(site: Site, cabinet: Cabinet) -> None:
    for one in (cabinet.valid.code, cabinet.revoked.code, UNKNOWN, "x"):
        assert_no_verdict(site, one)
    assert site.asked(cabinet.qr(cabinet.valid)).json()["status"] == "unavailable"
    assert site.uploaded(cabinet.pdf(cabinet.valid)).status_code == 503
    batch = site.post("/api/v1/verifications/batch", json={"codes": [cabinet.valid.code]})
    assert [answer["status"] for answer in batch.json()["answers"]] == ["unavailable"]
    ready = site.get("/readyz")
    assert (ready.status_code, ready.json()["code"]) == (503, "unavailable")
    assert site.get("/healthz").status_code == 200, "the process itself runs"


def test_one_damaged_record_takes_no_other_with_it(cabinet: Cabinet, tmp_path: Path) -> None:
    data = copied(cabinet.registry.folder.path, tmp_path / "data")
    event, key = cabinet.stream(cabinet.other), cabinet.registry.title(cabinet.stream(cabinet.fresh[2])).holder
    damage(
        data / "registry.db",
        f"UPDATE stored_events SET state='{{}}' WHERE originator_id='{event}' AND originator_version=3",
        f"UPDATE data_keys SET wrapped={engine.binary(bytes(60))} WHERE holder='{key}'",
    )
    with serving(data) as site:
        for certificate in (cabinet.other, cabinet.fresh[2]):
            assert_no_verdict(site, certificate.code)
            number = re.search(r"错误编号.*?<dd>(\w+)</dd>", site.get(f"/v/{certificate.code}").text, re.DOTALL)
            assert number
            assert number[1] in site.said
        assert site.verified(cabinet.valid.code)["status"] == "valid"
        assert site.get("/readyz").status_code == 200
        assert NAME not in site.said
