"""Officers at the HTTP doors: awards, decisions by two, papers, certificates; who sees what, and what is 404."""

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from registry.permissions import Permission
from registry.service import Registry
from registry.terms import Role
from registry.titles.events import DecisionKind
from tests.api.bureau import Bureau, Reader, refused
from tests.lists import COMMITTEE
from tests.people import (
    CHIEF,
    CITY,
    CLERK,
    JINYUN,
    PDF,
    QINGTIAN,
    awarding,
    deciding,
    identity_number,
    paper_of_1998,
    person,
    proposed,
    scans,
)

NAME = "林晓岚"


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


@pytest.fixture
def chief(bureau: Bureau) -> Reader:
    """The approver, signed in."""
    return bureau.signed_in(CHIEF)


def award(n: int = 1, **changes: Any) -> dict[str, Any]:
    """An award in JSON; every field can be changed."""
    return {
        "name": NAME,
        "identity": identity_number(n),
        "employer": "丽水市某建筑设计院",
        "committee": COMMITTEE,
        "series": "工程技术人员",
        "specialty": "建筑工程",
        "level": "intermediate",
        "title_name": "工程师",
        "awarded_on": "2021-09-20",
        "document": "丽人社〔2021〕100号",
        "authority": CITY,
        "number": f"浙〔2021〕{n:06d}",
    } | changes


def test_from_an_award_to_a_certificate(bureau: Bureau, clerk: Reader) -> None:
    done = clerk.post("/api/v1/awards", award())
    title = clerk.ok(done, 201)
    assert done.headers["location"] == f"/api/v1/titles/{title['title']}"
    seen = clerk.read(done.headers["location"], min_position=title["log_position"])
    assert (seen["name"], seen["status"], seen["award"]["number"]) == (NAME, "valid", "浙〔2021〕000001")
    assert seen["award"]["committee_key"]  # the plan of that year was consulted, as for a list

    issued = clerk.post(f"/api/v1/titles/{title['title']}/certificates", {})
    certificate = clerk.ok(issued, 201)
    pdf = clerk.get(issued.headers["location"])
    assert pdf.status_code == 200
    assert pdf.headers["content-disposition"].startswith("attachment;")
    assert "sandbox" in pdf.headers["content-security-policy"]
    read_back = clerk.client.request("POST", "/api/v1/verifications", files={"file": ("c.pdf", pdf.content)}).json()
    assert (read_back["status"], read_back["certificate"]["code"]) == ("valid", certificate["code"])
    again = clerk.ok(clerk.post(f"/api/v1/titles/{title['title']}/certificates", {}), 201)
    assert again["code"] == certificate["code"]


def test_an_award_is_judged_like_a_list_and_every_fault_has_its_place(bureau: Bureau, clerk: Reader) -> None:
    before = bureau.registry.log.head()
    wrong = award(series="不存在的系列", awarded_on="2999-01-01", identity=identity_number(1)[:17])
    problem = refused(clerk.post("/api/v1/awards", wrong), 422, "bad-request", "/series")
    assert {one["pointer"] for one in problem["errors"]} >= {"/series", "/identity", "/awarded_on"}
    assert identity_number(1)[:17] not in str(problem)
    refused(clerk.post("/api/v1/awards", award(colour="red")), 422, "bad-request")
    refused(clerk.post("/api/v1/awards", award(authority="999999")), 422, "bad-request", "/authority")
    refused(clerk.post("/api/v1/awards", award(level="highest")), 422, "bad-request", "/level")
    assert bureau.registry.log.head() == before


@pytest.mark.parametrize("kind", DecisionKind)
def test_each_kind_is_proposed_by_one_and_approved_by_another(
    bureau: Bureau, clerk: Reader, chief: Reader, kind: DecisionKind
) -> None:
    stream = bureau.registry.award(awarding(person(1)), officer=CLERK)
    if kind is DecisionKind.REINSTATEMENT:
        first = proposed(bureau.registry, stream, deciding(DecisionKind.SUSPENSION))
        bureau.registry.approve(first.fact.proposal, first.fact.digest, officer=CHIEF)
    said = {"title": stream, "kind": kind, "document_no": "丽人社决〔2026〕7号", "authority": CITY, "reason": "经查证"}
    if kind is DecisionKind.CORRECTION:
        said["corrected"] = {"specialty": "给水排水"}
    made = clerk.ok(clerk.post("/api/v1/proposals", said), 201)
    assert clerk.ok(clerk.post("/api/v1/proposals", said), 201)["proposal"] == made["proposal"]

    open_ = chief.read("/api/v1/proposals")["proposals"]
    assert [one["proposal"] for one in open_] == [made["proposal"]]
    seen = chief.read(f"/api/v1/proposals/{made['proposal']}")
    assert (seen["reason"]["text"], seen["name"], seen["digest"]) == ("经查证", NAME, made["digest"])

    address = f"/api/v1/proposals/{made['proposal']}/approval"
    refused(clerk.post(address, {"digest": seen["digest"]}), 409, "needs-second-officer")
    refused(chief.post(address, {"digest": "0" * 64}), 409, "needs-second-officer")
    done = chief.ok(chief.post(address, {"digest": seen["digest"]}))
    after = {"revocation": "revoked", "invalidation": "invalidated", "suspension": "suspended"}
    assert done["status"] == after.get(kind.value, "valid")
    assert chief.read("/api/v1/proposals")["proposals"] == []
    refused(chief.get(f"/api/v1/proposals/{made['proposal']}"), 404, "not-found")


def test_approving_needs_a_fresh_sign_in(bureau: Bureau) -> None:
    stream = bureau.registry.award(awarding(person(1)), officer=CLERK)
    made = proposed(bureau.registry, stream, deciding(DecisionKind.REVOCATION))
    address = f"/api/v1/proposals/{made.fact.proposal}/approval"
    stale = bureau.signed_in(CHIEF, fresh=False)
    refused(stale.post(address, {"digest": made.fact.digest}), 401, "sign-in-again")
    assert bureau.registry.title(stream).decisions == ()


def test_a_proposal_is_refused_withdrawn_or_returned_with_a_reason(
    bureau: Bureau, clerk: Reader, chief: Reader
) -> None:
    stream = bureau.registry.award(awarding(person(1)), officer=CLERK)
    for reader, ending in ((chief, "refusal"), (clerk, "refusal"), (chief, "return")):
        made = proposed(bureau.registry, stream, deciding(DecisionKind.REVOCATION)).fact
        address = f"/api/v1/proposals/{made.proposal}/{ending}"
        refused(reader.post(address, {"reason": ""}), 422, "bad-request", "/reason")
        done = reader.ok(reader.post(address, {"reason": "材料不足"}))
        assert done["state"] == {"refusal": "refused", "return": "returned"}[ending]
        assert bureau.registry.title(stream).proposals == ()


def test_who_is_out_of_reach_gets_the_answer_of_what_does_not_exist(bureau: Bureau, clerk: Reader) -> None:
    stream = bureau.registry.award(awarding(person(1)), officer=CLERK)
    made = proposed(bureau.registry, stream, deciding(DecisionKind.REVOCATION)).fact
    holder = bureau.registry.title(stream).holder
    paper = bureau.registry.submit_paper(paper_of_1998(person(2)), None, scans(), officer=CLERK)
    clerk.ok(clerk.post(f"/api/v1/titles/{stream}/certificates", {}), 201)
    code = bureau.registry.title(stream).certificates[-1].code
    county = bureau.officer("331121-01", Role.CLERK, QINGTIAN)
    county_chief = bureau.officer("331121-02", Role.APPROVER, QINGTIAN)
    other = "title-01K00000000000000000000000"
    body = {"document_no": "1号", "kind": "revocation", "authority": QINGTIAN, "reason": "无"}

    pairs = [
        (lambda r, t: r.get(f"/api/v1/titles/{t}"), stream, other),
        (lambda r, t: r.get(f"/api/v1/titles/{t}/history"), stream, other),
        (lambda r, t: r.post(f"/api/v1/titles/{t}/certificates", {}), stream, other),
        (lambda r, t: r.post("/api/v1/proposals", body | {"title": t}), stream, other),
        (lambda r, t: r.get(f"/api/v1/proposals/{t}"), made.proposal, other + ".2"),
        (lambda r, t: r.post(f"/api/v1/proposals/{t}/refusal", {"reason": "无"}), made.proposal, other + ".2"),
        (lambda r, t: r.get(f"/api/v1/holders/{t}"), holder, "holder-01K00000000000000000000000"),
        (lambda r, t: r.get(f"/api/v1/paper-applications/{t}"), paper.id, "paper-01K00000000000000000000000"),
        (lambda r, t: r.get(f"/api/v1/certificates/{t}.pdf"), code, "00000000000000000"),
    ]
    for ask, real, none in pairs:
        there, nowhere = ask(county, real), ask(county, none)
        assert (there.status_code, there.content) == (nowhere.status_code, nowhere.content), real
        assert there.status_code == 404
    for ending in ("approval", "return"):
        said = {"digest": made.digest} if ending == "approval" else {"reason": "无"}
        ends = [county_chief.post(f"/api/v1/proposals/{t}/{ending}", said) for t in (made.proposal, other + ".2")]
        assert ends[0].status_code == ends[1].status_code == 404
        assert ends[0].content == ends[1].content
    assert county.read("/api/v1/titles")["titles"] == []
    assert county.read("/api/v1/proposals")["proposals"] == []
    assert county.read("/api/v1/paper-applications")["applications"] == []
    found = county.ok(county.post("/api/v1/holders/search", {"identity": identity_number(1)}))["holders"]
    assert found == county.ok(county.post("/api/v1/holders/search", {"identity": identity_number(77)}))["holders"] == []
    assert bureau.registry.title(stream).proposals  # nothing of it was done


def test_no_right_at_all_is_403_and_nobody_is_401(bureau: Bureau) -> None:
    operator = bureau.officer("op-01", Role.OPERATOR)
    for path in ("/api/v1/titles", "/api/v1/proposals", "/api/v1/paper-applications", "/api/v1/events"):
        refused(operator.get(path), 403, "forbidden")
        answer = bureau.nobody().get(path)
        refused(answer, 401, "sign-in-needed")
    refused(operator.post("/api/v1/awards", award()), 403, "forbidden")


def test_a_program_with_a_key_does_what_the_key_says_and_never_approves(bureau: Bureau) -> None:
    stream = bureau.registry.award(awarding(person(1)), officer=CLERK)
    made = proposed(bureau.registry, stream, deciding(DecisionKind.REVOCATION)).fact
    program = bureau.with_key(CHIEF, Permission.READ_TITLES, Permission.DECIDE)
    assert program.read(f"/api/v1/titles/{stream}")["name"] == NAME
    refused(program.get(f"/api/v1/titles/{stream}/history"), 403, "forbidden")
    refused(program.post("/api/v1/awards", award()), 403, "forbidden")
    approval = program.post(f"/api/v1/proposals/{made.proposal}/approval", {"digest": made.digest})
    refused(approval, 403, "forbidden")
    assert bureau.registry.title(stream).decisions == ()


def test_another_sites_page_changes_nothing(bureau: Bureau, clerk: Reader) -> None:
    before = bureau.registry.log.head()
    for said in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
        headers = {"Cookie": clerk.headers["Cookie"]} | said
        refused(clerk.client.request("POST", "/api/v1/awards", json=award(), headers=headers), 403, "cross-site")
    assert bureau.registry.log.head() == before


def test_a_county_awards_its_own_and_no_other(bureau: Bureau) -> None:
    county = bureau.officer("331121-01", Role.CLERK, QINGTIAN)
    refused(county.post("/api/v1/awards", award(authority=JINYUN)), 403, "forbidden")
    refused(county.post("/api/v1/awards", award(authority=CITY)), 403, "forbidden")


def test_an_auditor_sees_masked_names_and_no_reason(bureau: Bureau) -> None:
    stream = bureau.registry.award(awarding(person(1), employer="某设计院"), officer=CLERK)
    made = proposed(bureau.registry, stream, deciding(DecisionKind.REVOCATION)).fact
    auditor = bureau.officer("audit-01", Role.AUDITOR)
    answers = [
        auditor.get("/api/v1/titles"),
        auditor.get(f"/api/v1/titles/{stream}"),
        auditor.get(f"/api/v1/proposals/{made.proposal}"),
        auditor.get(f"/api/v1/holders/{bureau.registry.title(stream).holder}"),
        auditor.get(f"/api/v1/titles/{stream}/history"),
        auditor.get("/api/v1/events", limit=200),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        for secret in (NAME, identity_number(1), "某设计院", "经查证不实"):
            assert secret not in answer.text
    assert answers[0].json()["titles"][0]["name"] == "林*岚"
    refused(auditor.post(f"/api/v1/proposals/{made.proposal}/refusal", {"reason": "无"}), 403, "forbidden")
    refused(auditor.post("/api/v1/holders/search", {"identity": identity_number(1)}), 403, "forbidden")
    refused(auditor.get("/api/v1/titles", name="林"), 403, "forbidden")


def test_each_clear_look_is_recorded_with_its_purpose_and_a_masked_one_is_none(bureau: Bureau, clerk: Reader) -> None:
    stream = bureau.registry.award(awarding(person(1)), officer=CLERK)
    made = bureau.registry.submit_paper(paper_of_1998(person(1)), None, scans(), officer=CLERK)
    holder = bureau.registry.title(stream).holder
    clerk.read("/api/v1/titles", purpose="audit")
    clerk.read(f"/api/v1/titles/{stream}")
    clerk.read(f"/api/v1/titles/{stream}/history")
    clerk.read(f"/api/v1/holders/{holder}")
    clerk.ok(clerk.post("/api/v1/holders/search", {"identity": identity_number(1), "purpose": "request"}))
    clerk.read(f"/api/v1/paper-applications/{made.id}")
    clerk.get(f"/api/v1/paper-applications/{made.id}/evidence/{made.fact.evidence[0].sha256}")
    looks = [(one.actor, one.what, one.purpose) for one in bureau.registry.looks.about(holder)]
    assert looks[::-1] == [
        (CLERK, "title", "audit"),
        (CLERK, "title", "handling"),
        (CLERK, "history", "handling"),
        (CLERK, "holder", "handling"),
        (CLERK, "holder", "request"),
        (CLERK, "application", "deciding"),
        (CLERK, "evidence", "deciding"),
    ]
    auditor = bureau.officer("audit-01", Role.AUDITOR)
    auditor.read(f"/api/v1/titles/{stream}")
    assert [one.actor for one in bureau.registry.looks.about(holder)] == [CLERK] * 7


def test_nothing_is_shown_that_could_not_be_recorded(bureau: Bureau, clerk: Reader) -> None:
    stream = bureau.registry.award(awarding(person(1)), officer=CLERK)
    (bureau.registry.folder.path / "looks").write_bytes(b"in the way")
    for answer in (clerk.get(f"/api/v1/titles/{stream}"), clerk.get("/api/v1/titles")):
        problem = refused(answer, 503, "unavailable")
        assert NAME not in str(problem)


def test_pages_follow_a_cursor_that_fits_this_question_only(bureau: Bureau, clerk: Reader, chief: Reader) -> None:
    for n in range(1, 6):
        bureau.registry.award(awarding(person(n)), officer=CLERK)
    seen, cursor = [], None
    while True:
        page = clerk.read("/api/v1/titles", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [one["title"] for one in page["titles"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert len(seen) == len(set(seen)) == 5
    assert cursor
    assert seen[1] not in cursor
    refused(chief.get("/api/v1/titles", limit=2, cursor=cursor), 422, "bad-request", "query/cursor")
    refused(clerk.get("/api/v1/titles", level="intermediate", cursor=cursor), 422, "bad-request", "query/cursor")
    refused(clerk.get("/api/v1/proposals", cursor=cursor), 422, "bad-request", "query/cursor")
    for forged in ("", "!", "A" * 600, "AAAA", cursor[:-2] + "AA", "é"):
        refused(clerk.get("/api/v1/titles", cursor=forged), 422, "bad-request", "query/cursor")


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ({"limit": 0}, "query/limit"),
        ({"limit": 201}, "query/limit"),
        ({"limit": "x"}, "query/limit"),
        ({"year": 10**30}, "query/year"),
        ({"status": "lost"}, "query/status"),
        ({"level": "high"}, "query/level"),
        ({"min_position": -1}, "query/min_position"),
        ({"purpose": "curiosity"}, "query/purpose"),
        ({"colour": "red"}, "query"),
        ({"name": ["a", "b"]}, "query/name"),
    ],
)
def test_a_query_is_read_strictly(clerk: Reader, query: dict[str, Any], place: str) -> None:
    refused(clerk.get("/api/v1/titles", **query), 422, "bad-request", place)


def test_filters(bureau: Bureau, clerk: Reader) -> None:
    first = bureau.registry.award(awarding(person(1), number="甲1"), officer=CLERK)
    second = bureau.registry.award(
        awarding(person(2, "周建国"), number="乙2", specialty="给水排水", awarded_on=date(2020, 5, 1)), officer=CLERK
    )
    asked = {
        first: [{"number": "甲1"}, {"name": "林"}, {"name": "lxl"}, {"year": 2021}, {"specialty": "建筑工程"}],
        second: [{"holder": bureau.registry.title(second).holder}, {"name": "zhoujianguo"}, {"year": 2020}],
    }
    for stream, queries in asked.items():
        for query in queries:
            assert [one["title"] for one in clerk.read("/api/v1/titles", **query)["titles"]] == [stream], query
    assert clerk.read("/api/v1/titles", status="revoked")["titles"] == []
    (holder,) = clerk.ok(clerk.post("/api/v1/holders/search", {"identity": identity_number(2)}))["holders"]
    assert holder["name"] == "周建国"
    assert identity_number(2) not in str(holder)
    malformed = clerk.post("/api/v1/holders/search", {"identity": "331199x"})
    refused(malformed, 422, "bad-request", "/identity")


def test_a_read_waits_for_a_position_that_is_not_there(bureau: Bureau, clerk: Reader) -> None:
    head = bureau.registry.log.head()
    assert clerk.get("/api/v1/titles", min_position=head).status_code == 200
    behind = clerk.get("/api/v1/titles", min_position=head + 1)
    refused(behind, 503, "behind", "query/min_position")
    assert behind.headers["retry-after"] == "1"


# paper certificates


def paper(n: int = 1, **changes: Any) -> dict[str, Any]:
    """The particulars of a paper certificate in JSON."""
    return {
        "name": NAME,
        "identity": identity_number(n),
        "number": "浙丽 9801-0427",
        "title_name": "高级工程师",
        "level": "senior_associate",
        "series": "工程技术人员",
        "specialty": "建筑工程",
        "committee": "丽水地区工程技术高级职务评审委员会",
        "approval_document": "丽地人〔1998〕215号",
        "awarded_on": "1998-11-20",
        "authority": CITY,
    } | changes


def submit(reader: Reader, said: Any, *files: bytes, role: str = "scan") -> Any:
    """Hand a paper certificate in."""
    sent = [(role, (f"../../{n}.pdf", data, "text/html")) for n, data in enumerate(files)]
    data = {"application": said if isinstance(said, str) else json.dumps(said)}
    return reader.post("/api/v1/paper-applications", data=data, files=sent or [("x", (None, b""))])


def test_a_paper_certificate_is_submitted_and_approved(bureau: Bureau, clerk: Reader, chief: Reader) -> None:
    done = submit(clerk, paper(), PDF)
    made = clerk.ok(done, 201)
    address = done.headers["location"]
    assert [one["application"] for one in chief.read("/api/v1/paper-applications", state="open")["applications"]] == [
        made["application"]
    ]
    seen = chief.read(address)
    assert (seen["name"], seen["award"]["number"]) == (NAME, "浙丽 9801-0427")
    scan = chief.get(f"{address}/evidence/{seen['evidence'][0]['sha256']}")
    assert scan.content == PDF
    assert scan.headers["content-type"] == "application/pdf"
    assert scan.headers["content-disposition"].startswith('attachment; filename="scan-')
    assert scan.headers["content-security-policy"].endswith("sandbox")
    assert scan.headers["x-content-type-options"] == "nosniff"
    refused(chief.get(f"{address}/evidence/{'0' * 64}"), 404, "not-found")
    refused(chief.get(f"{address}/evidence/..%2f..%2fconfig.json"), 404, "http-404")

    refused(clerk.post(f"{address}/approval", {"digest": made["digest"]}), 409, "needs-second-officer")
    approved = chief.ok(chief.post(f"{address}/approval", {"digest": made["digest"]}))
    assert chief.read(f"/api/v1/titles/{approved['title']}")["paper"]["number"] == "浙丽 9801-0427"


def test_a_paper_is_refused_or_returned(bureau: Bureau, clerk: Reader, chief: Reader) -> None:
    for n, (ending, state) in enumerate((("refusal", "refused"), ("return", "returned")), 1):
        made = clerk.ok(submit(clerk, paper(n, number=f"丽 {n}"), PDF), 201)
        address = f"/api/v1/paper-applications/{made['application']}/{ending}"
        assert chief.ok(chief.post(address, {"reason": "扫描件看不清"}))["state"] == state


def test_what_is_no_paper_application_is_refused_at_its_place(bureau: Bureau, clerk: Reader) -> None:
    before = bureau.registry.log.head()
    refused(submit(clerk, paper(), b"MZ not a scan"), 422, "bad-input")
    refused(submit(clerk, paper()), 422, "bad-input")
    refused(submit(clerk, paper(), PDF, role="../x"), 422, "bad-request")
    refused(submit(clerk, paper(series="无"), PDF), 422, "bad-request", "/application/series")
    refused(submit(clerk, paper(level="无"), PDF), 422, "bad-request", "/application/level")
    refused(submit(clerk, paper(identity="33"), PDF), 422, "bad-request", "/application/identity")
    refused(submit(clerk, "{", PDF), 422, "bad-request", "/application")
    refused(submit(clerk, "[]", PDF), 422, "bad-request", "/application")
    refused(clerk.post("/api/v1/paper-applications", {}), 422, "bad-request")
    assert bureau.registry.log.head() == before


def test_an_auditor_does_not_see_a_scan(bureau: Bureau, clerk: Reader) -> None:
    made = bureau.registry.submit_paper(paper_of_1998(person(1)), None, scans(), officer=CLERK)
    auditor = bureau.officer("audit-01", Role.AUDITOR)
    seen = auditor.read(f"/api/v1/paper-applications/{made.id}")
    assert seen["name"] == "林*岚"
    address = f"/api/v1/paper-applications/{made.id}/evidence/{made.fact.evidence[0].sha256}"
    refused(auditor.get(address), 403, "forbidden")


def test_bad_bodies_are_problems(clerk: Reader, chief: Reader) -> None:
    bad = [b"", b"{", b"\xff\xfe", b'"\\ud800"', b"[" * 100_000, b"null", b"0" * 70_000]
    for path in ("/api/v1/awards", "/api/v1/proposals", "/api/v1/holders/search"):
        for body in bad:
            answer = clerk.client.request("POST", path, content=body, headers=clerk.headers)
            assert answer.status_code in (413, 422), (path, body[:20], answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
    long = {"title": "t" * 5_000, "kind": "revocation", "document_no": "\u0000", "authority": "1", "reason": "x"}
    refused(clerk.post("/api/v1/proposals", long), 422, "bad-request")
