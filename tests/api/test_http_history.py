"""The log for auditors, the history of a title, and the figures for operators."""

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from registry.permissions import Permission
from registry.service import Registry
from registry.terms import Role
from registry.titles.events import DecisionKind
from tests.api.bureau import Bureau, refused
from tests.people import (
    CLERK,
    QINGTIAN,
    Clock,
    awarding,
    decided,
    deciding,
    identity_number,
    paper_of_1998,
    person,
    scans,
)

NAME = "林晓岚"


@pytest.fixture
def bureau(registry: Registry) -> Iterator[Bureau]:
    """The service over a fresh registry."""
    made = Bureau(registry)
    yield made
    made.close()


def test_an_auditor_reads_the_whole_log_sealed(bureau: Bureau) -> None:
    registry = bureau.registry
    stream = registry.award(awarding(person(1), employer="某设计院"), officer=CLERK)
    decided(registry, stream, deciding(DecisionKind.REVOCATION))
    registry.submit_paper(paper_of_1998(person(2)), None, scans(), officer=CLERK)
    registry.tlog.sequence()
    auditor = bureau.officer("audit-01", Role.AUDITOR)
    events, after = [], 0
    while True:
        answer = auditor.get("/api/v1/events", after=after, limit=7)
        for secret in (NAME, identity_number(1), identity_number(2), "某设计院", "经查证不实"):
            assert secret not in answer.text
        page = answer.json()
        events += page["events"]
        if page["next"] is None:
            break
        after = page["next"]
    assert [one["position"] for one in events] == list(range(1, registry.log.head() + 1))
    sequenced = [one for one in events if one["leaf"] is not None]
    for one in sequenced:  # the leaf is the one that the public log has for it
        proof = bureau.client.request("GET", f"/log/proof/event/{one['position']}")
        assert f"index {one['leaf']}\n" in proof.text
    assert {one["leaf"] for one in events[len(sequenced) :]} <= {None}
    revoked = next(one for one in events if one["event"] == "title-revoked/1")
    assert (revoked["effective_on"], revoked["actor"]) == ("2021-09-20", "chief-02")
    assert revoked["recorded_at"].startswith("2026-03-02")
    proposed = next(one for one in events if one["event"] == "decision-proposed/1")
    assert proposed["fact"]["reason"] == "[sealed]"


def test_the_whole_log_is_the_citys(bureau: Bureau) -> None:
    county = bureau.officer("audit-02", Role.AUDITOR, QINGTIAN)
    refused(county.get("/api/v1/events"), 403, "forbidden")


def test_the_history_of_a_title_is_clear_for_officers_and_sealed_for_auditors(bureau: Bureau, clock: Clock) -> None:
    stream = bureau.registry.award(awarding(person(1), employer="某设计院"), officer=CLERK)
    clock.forward(days=1)
    decided(bureau.registry, stream, deciding(DecisionKind.REVOCATION))
    clerk, auditor = bureau.signed_in(CLERK), bureau.officer("audit-01", Role.AUDITOR)
    clear = clerk.read(f"/api/v1/titles/{stream}/history")
    assert [one["event"] for one in clear["events"]] == ["title-awarded/1", "decision-proposed/1", "title-revoked/1"]
    assert clear["events"][0]["fact"]["employer"] == "某设计院"
    assert clear["events"][1]["fact"]["reason"]["text"] == "申报材料经查证不实"
    masked = auditor.read(f"/api/v1/titles/{stream}/history")
    assert masked["events"][0]["fact"]["employer"] == "[sealed]"
    assert masked["events"][1]["fact"]["reason"] == "[sealed]"
    assert [one["position"] for one in masked["events"]] == [one["position"] for one in clear["events"]]
    first, last = clear["events"][0]["recorded_at"], clear["events"][2]["recorded_at"]
    assert first[:10] != last[:10]


@pytest.mark.parametrize("query", [{"after": -1}, {"after": 2**63}, {"limit": 201}, {"limit": 0}, {"from": 1}])
def test_a_question_about_the_log_is_read_strictly(bureau: Bureau, query: dict[str, int]) -> None:
    auditor = bureau.officer("audit-01", Role.AUDITOR)
    refused(auditor.get("/api/v1/events", **query), 422, "bad-request")


def test_an_operator_reads_figures_that_count_no_person_and_no_code(bureau: Bureau) -> None:
    operator, clerk = bureau.officer("op-01", Role.OPERATOR), bureau.signed_in(CLERK)
    stream = bureau.registry.award(awarding(person(1)), officer=CLERK)
    for _ in range(3):
        clerk.read(f"/api/v1/titles/{stream}")
    clerk.get("/api/v1/titles/title-none")
    for _ in range(2):
        bureau.client.request("GET", "/api/v1/verifications/0000000000000000A")
    bureau.client.request("GET", "/no/such/page")
    answer = operator.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    for secret in (stream, NAME, identity_number(1), "no/such", "0000000000000000A"):
        assert secret not in answer.text
    samples = {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(answer.text)
        for one in family.samples
    }
    route = "/api/v1/titles/{id}"

    def requests(status: str) -> float:
        labels = (("method", "GET"), ("route", route), ("status", status))
        return samples[("title_registry_requests_total", labels)]

    assert (requests("200"), requests("404")) == (3, 1)
    assert samples[("title_registry_request_seconds_count", (("method", "GET"), ("route", route)))] == 4
    assert samples[("title_registry_verifications_total", (("status", "404"),))] == 2
    head = bureau.registry.log.head()
    assert samples[("title_registry_log_head", ())] == head
    unsequenced = samples[("title_registry_log_unsequenced", ())]
    assert unsequenced > 0
    bureau.registry.tlog.sequence()
    assert bureau.with_key("op-01", Permission.METRICS).get("/metrics").status_code == 200
    after = operator.get("/metrics").text
    assert "title_registry_log_unsequenced 0.0\n" in after
    assert f"title_registry_log_leaves {float(head)}\n" in after


@pytest.mark.parametrize("role", [role for role in Role if role not in (Role.OPERATOR, Role.HOLDER)])
def test_figures_are_for_operators_only(bureau: Bureau, role: Role) -> None:
    refused(bureau.officer("somebody-01", role).get("/metrics"), 403, "forbidden")
    refused(bureau.nobody().get("/metrics"), 401, "sign-in-needed")
