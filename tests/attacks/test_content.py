"""Changing what was approved, saying more than one is asked, and moving sealed bytes about in the file."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from registry.audit.live import verify_live
from registry.service import Registry
from registry.terms import Role
from registry.titles.events import DecisionKind
from tests.api.bureau import Bureau, Reader, refused
from tests.attacks.house import unchanged
from tests.lists import COMMITTEE
from tests.people import (
    CITY,
    CLERK,
    QINGTIAN,
    THIRD,
    awarding,
    correcting,
    deciding,
    identity_number,
    person,
    proposed,
    settable,
)

AWARD = {
    "name": "周建国",
    "identity": identity_number(7),
    "committee": COMMITTEE,
    "series": "工程技术人员",
    "specialty": "建筑工程",
    "level": "intermediate",
    "title_name": "工程师",
    "awarded_on": "2021-09-20",
    "document": "丽人社〔2021〕100号",
    "authority": CITY,
    "number": "浙〔2021〕000007",
}
# What a server decides and no request says: who acts, when, in what state, over which content, in which stream.
MORE = {
    "officer": "chief-02",
    "actor": "chief-02",
    "recorded_at": "2020-01-01T00:00:00Z",
    "position": 1,
    "state": "approved",
    "status": "valid",
    "approved_by": "chief-02",
    "holder": "holder-01K00000000000000000000000",
    "digest_of": "0" * 64,
    "sight": "clear",
    "limits": ["decide"],
    "__class__": "Approval",
    "": "",
}


def test_what_is_approved_is_what_was_read(bureau: Bureau, clerk: Reader, chief: Reader) -> None:
    """The digest of one content opens nothing else: another proposal, the same one proposed anew, a piece, a case."""
    stream = bureau.registry.award(awarding(person(1)), officer=CLERK)
    read = proposed(bureau.registry, stream, correcting(bureau.registry.title(stream), specialty="给水排水")).fact
    other = proposed(
        bureau.registry, stream, correcting(bureau.registry.title(stream), specialty="暖通空调"), THIRD
    ).fact
    assert read.digest != other.digest
    address = f"/api/v1/proposals/{other.proposal}/approval"
    for digest in (read.digest, other.digest.upper(), other.digest[:-1], other.digest + " ", "0" * 64):
        answer = unchanged(bureau.registry.log.head, lambda digest=digest: chief.post(address, {"digest": digest}))
        refused(answer, 409, "needs-second-officer")
    refused(chief.post(address, {"digest": [other.digest]}), 422, "bad-request")
    refused(chief.post(address, {"digest": None}), 422, "bad-request")
    refused(chief.post(address, {}), 422, "bad-request")
    assert bureau.registry.title(stream).award.specialty == "建筑工程"


def bodies(bureau: Bureau) -> dict[str, dict[str, Any]]:
    """A right body for every JSON door that writes or looks up."""
    stream = bureau.registry.award(awarding(person(1)), officer=CLERK)
    made = proposed(bureau.registry, stream, deciding(DecisionKind.REVOCATION)).fact
    said = {"kind": "suspension", "document_no": "1号", "authority": CITY, "reason": "经查证"}
    return {
        "/api/v1/awards": AWARD,
        "/api/v1/proposals": said | {"title": stream},
        f"/api/v1/proposals/{made.proposal}/approval": {"digest": made.digest},
        f"/api/v1/proposals/{made.proposal}/refusal": {"reason": "无"},
        f"/api/v1/proposals/{made.proposal}/return": {"reason": "无"},
        "/api/v1/holders/search": {"identity": identity_number(1)},
        "/api/v1/verifications": {"target": "7K3M9XQ4T2VD8HNRS"},
        "/api/v1/verifications/batch": {"codes": ["7K3M9XQ4T2VD8HNRS"]},
    }


def test_a_request_says_what_it_is_asked_and_nothing_more(bureau: Bureau, clerk: Reader, chief: Reader) -> None:
    """Mass assignment: every field that a server decides, at every JSON door."""
    for path, body in bodies(bureau).items():
        who = clerk if path in ("/api/v1/awards",) else chief
        for name, value in MORE.items():
            answer = unchanged(
                bureau.registry.log.head, lambda path=path, more=body | {name: value}, who=who: who.post(path, more)
            )
            refused(answer, 422, "bad-request")
        for wrong in ([body], [], None, "text", 7, {}, {name: [value] for name, value in body.items()}):
            answer = unchanged(
                bureau.registry.log.head,
                lambda path=path, wrong=wrong, who=who: who.client.request(
                    "POST", path, json=wrong, headers=who.headers
                ),
            )
            assert answer.status_code == 422 or wrong == {"codes": [["7K3M9XQ4T2VD8HNRS"]]}, (path, wrong)


def test_a_correction_changes_what_may_be_corrected_only(bureau: Bureau, clerk: Reader) -> None:
    stream = bureau.registry.award(awarding(person(1)), officer=CLERK)
    said = {"title": stream, "kind": "correction", "document_no": "1号", "authority": CITY, "reason": "有误"}
    for name, value in (MORE | {"holder": "x", "title": "x", "paper": None, "decisions": ()}).items():
        answer = unchanged(
            bureau.registry.log.head,
            lambda name=name, value=value: clerk.post("/api/v1/proposals", said | {"corrected": {name: value}}),
        )
        refused(answer, 422, "bad-request")


def test_a_field_said_twice_is_said_once(bureau: Bureau, clerk: Reader) -> None:
    """Two readers of one JSON text may take different values; the log takes one, and the audit sees that one."""
    text = b'{"digest": "x", "digest": "y"}'
    stream = bureau.registry.award(awarding(person(1)), officer=CLERK)
    made = proposed(bureau.registry, stream, deciding(DecisionKind.REVOCATION)).fact
    path = f"/api/v1/proposals/{made.proposal}/approval"
    before = bureau.registry.log.head()
    assert clerk.client.request("POST", path, content=text, headers=clerk.headers).status_code in (409, 422)
    twice = clerk.client.request("GET", "/api/v1/titles?authority=331100&authority=331121", headers=clerk.headers)
    refused(twice, 422, "bad-request", "query/authority")
    assert bureau.registry.log.head() == before


# --- moving sealed bytes about in the file: who has the machine, and not the passphrase


def _events(c: sqlite3.Connection, streams: tuple[str, str]) -> None:
    """Two holders' first events change places: each box is right, and in the wrong place."""
    c.execute("DROP TRIGGER stored_events_no_update")
    find = "SELECT state FROM stored_events WHERE originator_id=? AND originator_version=1"
    states = [c.execute(find, (one,)).fetchone()[0] for one in streams]
    for one, state in zip(streams, reversed(states), strict=True):
        c.execute("UPDATE stored_events SET state=? WHERE originator_id=? AND originator_version=1", (state, one))


def _keys(c: sqlite3.Connection, streams: tuple[str, str]) -> None:
    """Two rows of the data-key table change places."""
    find = "SELECT wrapped FROM data_keys WHERE holder=?"
    wrapped = [c.execute(find, (one,)).fetchone()[0] for one in streams]
    for one, key in zip(streams, reversed(wrapped), strict=True):
        c.execute("UPDATE data_keys SET wrapped=? WHERE holder=?", (key, one))


def _claims(c: sqlite3.Connection, streams: tuple[str, str]) -> None:
    """The blind index rows of two persons change places: a number would lead to the other person."""
    scope = "SELECT scope, key, stream FROM claims WHERE stream IN (?, ?)"
    for scope_, key, stream in c.execute(scope, streams).fetchall():
        other = streams[1 - streams.index(stream)]
        c.execute("UPDATE claims SET stream=? WHERE scope=? AND key=?", (other, scope_, key))


@pytest.mark.sqlite_file
@pytest.mark.parametrize("swap", [_events, _keys, _claims], ids=["sealed fields", "data keys", "blind index"])
def test_what_was_swapped_in_the_file_is_no_answer_and_the_audit_names_it(
    bureau: Bureau, second: Registry, clerk: Reader, swap: Callable[[sqlite3.Connection, tuple[str, str]], None]
) -> None:
    """Found by the seal at the next look (503, never another's name) and by the audit, without anybody looking."""
    registry = bureau.registry
    titles = [registry.award(awarding(person(n, name)), officer=CLERK) for n, name in ((1, "林晓岚"), (2, "周建国"))]
    for title in titles:
        registry.issue(title, settable, officer=CLERK)
    registry.tlog.sequence()
    holders = (registry.title(titles[0]).holder, registry.title(titles[1]).holder)
    assert verify_live(registry).ok
    with closing(sqlite3.connect(registry.folder.path / "registry.db", isolation_level=None)) as c:
        swap(c, holders)
    report = verify_live(second)
    assert not report.ok, "the audit must name it"
    if swap is not _claims:
        with closing(Bureau(second)) as afresh:
            for holder, name in zip(holders, ("周建国", "林晓岚"), strict=True):
                answer = afresh.signed_in(CLERK).get(f"/api/v1/holders/{holder}")
                assert answer.status_code == 503, answer.text
                assert name not in answer.text


def test_a_county_never_writes_into_another(bureau: Bureau) -> None:
    """An authority in the body that is not the sender's, with a title that is: neither opens the other."""
    county = bureau.officer("331121-01", Role.CLERK, QINGTIAN)
    stream = bureau.registry.award(awarding(person(1), authority=QINGTIAN), officer=CLERK)
    said = {"title": stream, "kind": "suspension", "document_no": "1号", "authority": CITY, "reason": "经查证"}
    answer = unchanged(bureau.registry.log.head, lambda: county.post("/api/v1/proposals", said))
    assert answer.status_code in (403, 409, 422), answer.text
