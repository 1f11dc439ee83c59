"""The public pages as text: what each answer says, what it must never say, and that nothing in it can become markup."""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.pages import STATIC_FOLDER, render_answer, render_error, render_home
from registry.terms import Level, Obtained, Status
from registry.titles.answer import Answer, PublicCertificate, PublicDecision, PublicPaper, Step

CODE = "7K3M9XQ4T2VD8HNRS"
VIEW: dict[str, Any] = {
    "host": "verify.example.cn",
    "language": "zh",
    "elder": False,
    "sample": False,
    "phone": "0578-000 0000",
}
CERTIFICATE = PublicCertificate(
    code=CODE,
    version=1,
    latest_version=2,
    name="周*国",
    title_name="高级工程师",
    level=Level.SENIOR_ASSOCIATE,
    level_zh="副高级",
    series="工程技术人员",
    specialty="建筑工程",
    obtained=Obtained.REVIEW,
    obtained_zh="评审",
    number="浙丽 9801-0427",
    authority="331100",
    authority_name="丽水市人力资源和社会保障局",
    awarded_on=date(1998, 11, 20),
    issued_on=date(2026, 3, 2),
    paper=PublicPaper("浙丽职 98-0427", date(1998, 12, 8), "依据纸质证书换发"),
)
FACTS = ("周*国", "高级工程师", "副高级", "工程技术人员", "建筑工程", "浙丽 9801-0427", "1998年11月20日")
DECISION = PublicDecision(
    kind="revoked",
    effective_on=date(2019, 12, 10),
    recorded_at=datetime(2026, 3, 4, 18, 30, tzinfo=UTC),
    authority_name="丽水市人力资源和社会保障局",
    document_no="丽人社撤〔2026〕2号",
    from_the_start=True,
)
FULL = Answer(
    status=Status.VALID,
    sentence="第一句说明。第二句要紧。",
    sentence_en="First sentence. Second one matters.",
    checked_at=datetime(2026, 11, 22, 16, 5, 32, tzinfo=UTC),
    log_position=1048213,
    certificate=CERTIFICATE,
    steps=(Step(1, "查到登记", "Found", "passed", "4 个事件"),),
)
EVERY_VIEW = [{"language": language, "elder": elder} for language in ("zh", "en") for elder in (False, True)]


@dataclass
class Read(HTMLParser):
    """What a parser of HTML finds: tags with attributes, the text of the page and of each fact."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    inside: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = dict(attrs).get("data-claim") or ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.inside:
            self.facts[self.inside] = self.facts.get(self.inside, "") + data

    def links(self) -> list[str]:
        return [href for tag, at in self.tags if tag == "a" and (href := at["href"]) and not href.startswith("tel:")]


def read(page: str) -> Read:
    found = Read()
    found.feed(page)
    found.close()
    return found


def page_of(status: Status, *, code: str = CODE, error_id: str | None = None, **view: Any) -> str:
    """The page of an answer with everything in it, whether or not that status may show it."""
    answer = msgspec.structs.replace(FULL, status=status, decision=DECISION if status == Status.REVOKED else None)
    return render_answer(answer, code_shown=code, error_id=error_id, **VIEW | view)


def shown(page: str) -> str:
    """The page without the templates that a script may bring forward."""
    return re.sub(r"<template.*?</template>", "", page, flags=re.S)


@pytest.mark.parametrize("view", EVERY_VIEW)
@pytest.mark.parametrize("status", Status)
def test_every_answer_is_a_small_page_that_a_strict_policy_allows(status: Status, view: dict[str, Any]) -> None:
    page = page_of(status, **view)
    found = read(page)
    assert f"<h1>{status.zh if view['language'] == 'zh' else status.en}</h1>" in page
    assert "2026-11-23 00:05" in found.text, "the time of the check is Beijing's"
    assert [at for tag, at in found.tags if tag == "script" and not (at.get("src") or "").startswith("/static/")] == []
    assert [at for _, at in found.tags if any(name == "style" or name.startswith("on") for name in at)] == []
    assert "<style" not in page
    assert len(page.encode()) + (STATIC_FOLDER / "verify.css").stat().st_size < 15_000


def test_the_script_stays_small() -> None:
    assert (STATIC_FOLDER / "verify.js").stat().st_size < 8_000


@pytest.mark.parametrize("status", [Status.VALID, Status.REVOKED, Status.SUPERSEDED, Status.SUSPENDED])
def test_a_verdict_shows_every_fact_and_the_paper_certificate_it_replaced(status: Status) -> None:
    text = read(shown(page_of(status))).text
    for fact in (*FACTS, "依据纸质证书换发", "浙丽职 98-0427", "1998年12月8日"):
        assert fact in text


@pytest.mark.parametrize(
    "status",
    [
        Status.TAMPERED,
        Status.UNKNOWN,
        Status.LINK_EXPIRED,
        Status.UNREADABLE,
        Status.UNAVAILABLE,
        Status.OFFLINE,
    ],
)
def test_what_the_registry_does_not_vouch_for_shows_no_content_even_if_given(status: Status) -> None:
    page = re.sub(r'<p hidden class="levels">.*?</p>', "", page_of(status))  # the names of all levels, for the script
    for fact in FACTS:
        assert fact not in page


@pytest.mark.parametrize("status", Status)
def test_only_a_verdict_is_solid(status: Status) -> None:
    solid = status not in {
        Status.UNKNOWN,
        Status.LINK_EXPIRED,
        Status.UNREADABLE,
        Status.UNAVAILABLE,
        Status.OFFLINE,
    }
    assert f'class="band {"solid" if solid else "open"} {status.value}"' in shown(page_of(status))


def test_a_revocation_says_from_when_recorded_when_by_whom_and_by_which_document() -> None:
    text = read(shown(page_of(Status.REVOKED))).text
    for said in (
        "2019年12月10日（取得之日，自始无效）",
        "2026年3月5日",  # 18:30 UTC on the 4th is the 5th in Beijing
        "丽水市人力资源和社会保障局",
        "丽人社撤〔2026〕2号",
        "登记之前核验的，当时结果为“有效”。现以本页为准。",
    ):
        assert said in text
    assert "请与持证人身份证核对" not in text


def test_a_correction_without_a_new_certificate_says_so() -> None:
    corrected = msgspec.structs.replace(CERTIFICATE, latest_version=1)
    answer = msgspec.structs.replace(FULL, status=Status.SUPERSEDED, certificate=corrected)
    assert "第 1 版签发之后登记有更正，新版证书尚未签发" in render_answer(answer, code_shown=CODE, **VIEW)


def test_superseded_explains_the_versions_and_unknown_is_not_forged() -> None:
    assert "您手中的是第 1 版，现行为第 2 版" in read(page_of(Status.SUPERSEDED)).text
    unknown = read(shown(page_of(Status.UNKNOWN))).text
    assert "7K3M 9XQ4 T2VD 8HNR S" in unknown
    assert "查验码是否输对" in unknown


def test_unavailable_keeps_the_code_and_offers_to_check_again() -> None:
    found = read(shown(page_of(Status.UNAVAILABLE, error_id="c41f-90d2")))
    assert "7K3M 9XQ4 T2VD 8HNR S" in found.text
    assert "c41f-90d2" in found.text
    assert f"/v/{CODE}" in found.links()


def test_the_views_show_the_same_answer_again() -> None:
    assert {f"/v/{CODE}?elder=1", f"/v/{CODE}?lang=en"} < set(read(page_of(Status.VALID)).links())
    both = read(page_of(Status.VALID, language="en", elder=True)).links()
    assert {f"/v/{CODE}?lang=en", f"/v/{CODE}?elder=1"} < set(both)


def test_no_link_leads_from_a_tampered_upload_to_the_verdict_about_its_code() -> None:
    assert [link for link in read(page_of(Status.TAMPERED)).links() if link.startswith("/v/")] == []


def test_an_answer_about_the_past_says_so_and_leads_to_the_present() -> None:
    past = msgspec.structs.replace(FULL, as_of=date(2020, 1, 31), known_at=datetime(2020, 5, 1, 16, tzinfo=UTC))
    found = read(render_answer(past, code_shown=CODE, **VIEW))
    assert "历史查询，不是现时状态" in found.text
    assert 'class="band open valid"' in render_answer(past, code_shown=CODE, **VIEW), "no verdict about the present"
    assert "2020年1月31日" in found.text
    assert "2020-05-02 00:00" in found.text
    assert f"/v/{CODE}" in found.links()
    assert f"/v/{CODE}?as_of=2020-01-31&known_at=2020-05-01T16%3A00%3A00%2B00%3A00&elder=1" in found.links()


def test_the_elder_view_has_no_english_and_the_english_view_has_english_words() -> None:
    elder = shown(page_of(Status.VALID, elder=True))
    assert re.findall(r'<(?!a)\w+[^>]* lang="en"', elder) == []
    assert "First sentence" not in elder
    assert {"Awarded on", "20 November 1998", "Senior (associate)"} < set(
        re.split(r"\s*[<>]\s*", page_of(Status.VALID, language="en"))
    )


def test_a_sample_says_so() -> None:
    assert "样例" not in page_of(Status.VALID)
    assert "样例" in page_of(Status.VALID, sample=True)


@pytest.mark.parametrize("typed", ["7k3m 9xq4 t2vd 8hnr s", "7K3M-9XQ4-T2VD-8HNR-S", f" {CODE} "])
def test_a_code_is_shown_as_printed_however_it_was_typed(typed: str) -> None:
    assert 'class="code">7K3M 9XQ4 T2VD 8HNR S<' in page_of(Status.UNKNOWN, code=typed)


def test_what_is_no_code_is_shown_as_typed_but_not_at_any_length() -> None:
    assert 'class="code">查验码 1<' in page_of(Status.UNKNOWN, code=" 查验码 1 ")
    assert "长" * 64 + "<" in page_of(Status.UNKNOWN, code="长" * 1000)


@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=40))
@settings(max_examples=60, deadline=None)
def test_no_text_of_a_certificate_or_of_a_reader_becomes_markup(text: str) -> None:
    hostile = text + "'\"><script>alert(1)</script>{{ 7*7 }}&amp;"
    certificate = msgspec.structs.replace(CERTIFICATE, title_name=hostile, number=hostile, name=hostile)
    answer = msgspec.structs.replace(FULL, certificate=certificate, sentence=f"{hostile}。{hostile}")
    found = read(render_answer(answer, code_shown=hostile, **VIEW | {"host": hostile}))
    plain = read(page_of(Status.VALID))
    assert sorted(tag for tag, _ in found.tags) == sorted(tag for tag, _ in plain.tags)
    assert found.facts["title_name"] == hostile
    assert found.facts["number"] == hostile


def test_the_start_page_asks_one_question_with_a_label_and_a_hint() -> None:
    found = read(render_home(**VIEW))
    forms = [at for tag, at in found.tags if tag == "form"]
    assert [(at["action"], at["method"], at.get("enctype")) for at in forms] == [
        ("/v", "get", None),
        ("/v", "post", "multipart/form-data"),
    ]
    inputs = {at["name"]: at for tag, at in found.tags if tag == "input"}
    assert set(inputs) == {"code", "file"}
    labelled = {at["for"] for tag, at in found.tags if tag == "label"}
    ids = {at.get("id") for _, at in found.tags}
    for control in inputs.values():
        assert control["id"] in labelled
        assert control["aria-describedby"] in ids


@pytest.mark.parametrize("wrong", ["code", "file"])
def test_a_refused_question_is_named_above_and_at_its_field_and_keeps_what_was_typed(wrong: str) -> None:
    page = render_home(**VIEW, typed='7K3M "9', error="查验码应为 17 位，现有 6 位。", error_field=wrong)  # type: ignore[arg-type]
    found = read(page)
    inputs = {at["name"]: at for tag, at in found.tags if tag == "input"}
    assert f"#{wrong}" in found.links()
    assert found.text.count("查验码应为 17 位") == 2
    assert inputs["code"]["value"] == '7K3M "9'
    assert [name for name, at in inputs.items() if at.get("aria-invalid") == "true"] == [wrong]
    assert (inputs[wrong]["aria-describedby"] or "").split()[0] == f"{wrong}-error"
    assert "<title>错误：" in page


def test_the_views_survive_the_question() -> None:
    found = read(render_home(**VIEW | {"elder": True, "language": "en"}))
    hidden = {at["name"]: at["value"] for tag, at in found.tags if at.get("type") == "hidden"}
    assert hidden == {"elder": "1", "lang": "en"}
    assert "/v?elder=1&lang=en" in [at["action"] for tag, at in found.tags if tag == "form"]


@pytest.mark.parametrize(
    ("status", "heading"),
    [
        (404, "没有这个页面"),
        (405, "不能这样打开"),
        (413, "文件太大"),
        (429, "查询太频繁"),
        (500, "系统出错了"),
        (502, "系统出错了"),
    ],
)
@pytest.mark.parametrize("view", EVERY_VIEW)
def test_an_error_page_is_no_verdict(status: int, heading: str, view: dict[str, Any]) -> None:
    page = render_error(status, error_id="c41f-90d2", **VIEW | view)
    assert 'class="band open"' in page
    assert "c41f-90d2" in page
    assert "<script" not in page
    if view["language"] == "zh":
        assert f"<h1>{heading}</h1>" in page


def test_addresses_of_static_files_name_their_content() -> None:
    for url in re.findall(r'"(/static/[^"]+)"', page_of(Status.VALID)):
        name, _, version = url.removeprefix("/static/").partition("?v=")
        assert hashlib.sha256((STATIC_FOLDER / name).read_bytes()).hexdigest().startswith(version)
        assert len(version) == 12
