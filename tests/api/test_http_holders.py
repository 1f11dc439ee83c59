"""A holder at the HTTP doors: their own titles, certificates, requests and papers, and nobody else's."""

from collections.abc import Iterator
from typing import Any

import pytest

from registry.officers.officer import Staff
from registry.personal import lookups
from registry.requests.request import Outcome
from registry.service import Registry
from registry.terms import Role
from registry.titles.events import DecisionKind
from tests.api.bureau import Bureau, Reader, refused
from tests.api.test_http_officers import paper, submit
from tests.people import (
    CHIEF,
    CLERK,
    PDF,
    Clock,
    appoint,
    awarding,
    deciding,
    identity_number,
    person,
    proposed,
    settable,
    staff,
)

NAME, OTHER = "林晓岚", "周建国"


@pytest.fixture
def bureau(registry: Registry) -> Iterator[Bureau]:
    """The service over a registry with two holders, each with a certificate."""
    made = Bureau(registry)
    for n, name in ((1, NAME), (2, OTHER)):
        stream = registry.award(awarding(person(n, name), employer="某设计院"), officer=CLERK)
        registry.issue(stream, settable, officer=CLERK)
    yield made
    made.close()


@pytest.fixture
def holders(bureau: Bureau) -> tuple[Reader, Reader]:
    """Both holders, signed in."""
    one, two = (bureau.registry.holder_of(person(n).identity) for n in (1, 2))
    assert one
    assert two
    return bureau.signed_in(one), bureau.signed_in(two)


def test_a_holder_sees_their_own_titles_and_gets_the_document(bureau: Bureau, holders: tuple[Reader, Reader]) -> None:
    (title,) = holders[0].read("/api/v1/me/titles")["titles"]
    assert (title["name"], title["employer"], title["status"]) == (NAME, "某设计院", "valid")
    (certificate,) = title["certificates"]
    address = f"/api/v1/me/certificates/{certificate['code']}.pdf"
    pdf = holders[0].get(address)
    assert (pdf.status_code, pdf.headers["content-type"]) == (200, "application/pdf")
    verdict = bureau.client.request("POST", "/api/v1/verifications", files={"file": ("c.pdf", pdf.content)}).json()
    assert verdict["status"] == "valid"
    other, none = holders[1].get(address), holders[1].get("/api/v1/me/certificates/0000000000000000A.pdf")
    assert (other.status_code, other.content) == (404, none.content)


def test_what_is_being_considered_is_not_told(bureau: Bureau, holders: tuple[Reader, Reader]) -> None:
    (title,) = holders[0].read("/api/v1/me/titles")["titles"]
    proposed(bureau.registry, title["title"], deciding(DecisionKind.REVOCATION))
    for path in ("/api/v1/me/titles", "/api/v1/me/data", "/api/v1/me/lookups"):
        assert "申报材料经查证不实" not in holders[0].get(path).text
    assert "proposals" not in title


def test_a_holder_is_no_officer_and_an_officer_no_holder(bureau: Bureau, holders: tuple[Reader, Reader]) -> None:
    clerk = bureau.signed_in(CLERK)
    for path in ("titles", "lookups", "data", "requests"):
        refused(clerk.get(f"/api/v1/me/{path}"), 403, "forbidden")
        refused(bureau.nobody().get(f"/api/v1/me/{path}"), 401, "sign-in-needed")
    for path in ("titles", "proposals", "paper-applications", "events", "holders/holder-1"):
        refused(holders[0].get(f"/api/v1/{path}"), 403, "forbidden")
    refused(holders[0].get("/metrics"), 403, "forbidden")


def test_a_holders_own_data_is_whole_and_only_theirs(bureau: Bureau, holders: tuple[Reader, Reader]) -> None:
    answer = holders[0].get("/api/v1/me/data")
    assert answer.headers["content-disposition"] == 'attachment; filename="my-data.json"'
    for own in (NAME, identity_number(1), "某设计院"):
        assert own in answer.text
    for foreign in (OTHER, identity_number(2)):
        assert foreign not in answer.text
    stream = bureau.registry.holder_of(person(1).identity)
    assert stream
    refused(bureau.signed_in(stream, fresh=False).get("/api/v1/me/data"), 401, "sign-in-again")


def test_a_request_is_made_and_its_answer_read(bureau: Bureau, holders: tuple[Reader, Reader]) -> None:
    first, other = holders
    made = first.ok(first.post("/api/v1/me/requests", {"kind": "correction", "text": "专业写错了"}, key="r"), 201)
    again = first.ok(first.post("/api/v1/me/requests", {"kind": "correction", "text": "专业写错了"}, key="r"), 201)
    assert again == made
    bureau.registry.requesting.answer(made["request"], Outcome.REFUSED, "与原件一致", officer=CLERK)
    (seen,) = first.read("/api/v1/me/requests")["requests"]
    assert (seen["text"], seen["outcome"], seen["answer"]) == ("专业写错了", "refused", "与原件一致")
    assert other.read("/api/v1/me/requests")["requests"] == []
    refused(first.post("/api/v1/me/requests", {"kind": "party", "text": "x"}), 422, "bad-request", "/kind")
    refused(first.post("/api/v1/me/requests", {"kind": "copy", "text": ""}), 422, "bad-request", "/text")


def test_a_holder_applies_for_their_own_paper_and_nobody_elses(bureau: Bureau, holders: tuple[Reader, Reader]) -> None:
    made = holders[0].ok(submit(holders[0], paper(1, name=NAME), PDF), 201)
    before = bureau.registry.log.head()
    refused(submit(holders[0], paper(2, name=OTHER, number="另 1"), PDF), 403, "forbidden")
    refused(submit(holders[0], paper(77, name=OTHER, number="另 2"), PDF), 403, "forbidden")
    confirmed = submit(holders[0], paper(1, confirmed=True), PDF)
    refused(confirmed, 422, "bad-request", "/application/confirmed")
    assert bureau.registry.log.head() == before
    address = f"/api/v1/paper-applications/{made['application']}/approval"
    refused(holders[0].post(address, {"digest": made["digest"]}), 403, "forbidden")
    chief = bureau.signed_in(CHIEF)
    assert chief.ok(chief.post(address, {"digest": made["digest"]}))["state"] == "approved"


def test_who_looked_and_which_answers_were_given(bureau: Bureau, holders: tuple[Reader, Reader]) -> None:
    clerk, clock = bureau.signed_in(CLERK), bureau.registry.clock
    (title,) = holders[0].read("/api/v1/me/titles")["titles"]
    code = title["certificates"][0]["code"]
    assert isinstance(clock, Clock)
    for _ in range(2):
        clerk.read(f"/api/v1/titles/{title['title']}")
        clock.forward(seconds=1)
        bureau.client.request("GET", f"/api/v1/verifications/{code}")
        clock.forward(seconds=1)
    newest, look, *earlier = holders[0].read("/api/v1/me/lookups")["lookups"]
    assert [one["what"] for one in (newest, look, *earlier)] == ["电子证书", "职称"] * 2
    assert (newest["who"], newest["purpose"], newest["door"]) == ("凭查验码的核验者", "核验证书", "网上服务")
    assert (newest["answer"], newest["about"]) == ("valid", code)
    assert look["who"] == "丽水市人力资源和社会保障局 经办人"
    assert (look["purpose"], look["door"]) == ("办理业务", "网上服务")
    assert (look["answer"], look["about"]) == (None, title["title"])
    assert CLERK not in str((look, earlier))
    whole = lookups(bureau.registry, title["holder"])
    for most in range(6):
        assert lookups(bureau.registry, title["holder"], most) == whole[:most]
    assert holders[1].read("/api/v1/me/lookups")["lookups"] == []


def test_an_employer_who_is_signed_in_is_no_stranger(bureau: Bureau, holders: tuple[Reader, Reader]) -> None:
    """By page, code or batch: the person reads which employer verified them. An officer who verifies is a stranger."""
    bureau.registry.appointing.register("yard-hr", Staff("某人", staff(77).identity, "某造船厂"), officer=CHIEF)
    appoint(bureau.registry, "yard-hr", Role.EMPLOYER)
    (title,) = holders[0].read("/api/v1/me/titles")["titles"]
    code = title["certificates"][0]["code"]
    before = len(holders[0].read("/api/v1/me/lookups")["lookups"])
    employer = bureau.signed_in("yard-hr")
    for answer in (
        employer.get(f"/api/v1/verifications/{code}"),
        employer.get(f"/v/{code}"),
        employer.post("/api/v1/verifications/batch", {"codes": [code, "x"]}),
        employer.post("/api/v1/verifications", {"target": code}),
    ):
        assert answer.status_code == 200
    bureau.signed_in(CLERK).get(f"/api/v1/verifications/{code}")
    seen = holders[0].read("/api/v1/me/lookups")["lookups"]
    named = [one for one in seen if one["who"] == "某造船厂 用人单位经办人"]
    assert [one["purpose"] for one in named] == ["核实身份"] * 4
    assert len(seen) == before + 4 + 5  # and each answer, as for everybody
    assert code.replace("-", "") not in str(list(bureau.registry.looks.by("yard-hr")))


def test_a_verification_is_answered_whatever_cookie_or_key_comes_with_it(bureau: Bureau, holders: Any) -> None:
    (title,) = holders[0].read("/api/v1/me/titles")["titles"]
    code = title["certificates"][0]["code"]
    for headers in ({"Cookie": "__Host-session=nobody"}, {"Authorization": "Bearer tr_nothing"}, {"Cookie": "a=b"}):
        answer = bureau.client.request("GET", f"/api/v1/verifications/{code}", headers=headers)
        assert answer.json()["status"] == "valid"
