"""Changing what was approved, saying more than one is asked, and moving sealed bytes about in the store."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from registry.audit.live import verify_live
from registry.folder import Folder
from registry.service import Registry
from registry.terms import Role
from registry.titles.events import DecisionKind
from tests import engine
from tests.api.bureau import Bureau, Reader, refused
from tests.attacks.house import unchanged
from tests.audit_life import damage
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


# --- moving sealed bytes about in the store: who has the machine, and not the passphrase


def _events(folder: Folder, streams: tuple[str, str]) -> None:
    """Two holders' first events change places: each box is right, and in the wrong place."""
    where = [f"originator_id='{one}' AND originator_version=1" for one in streams]
    _swap(folder, "stored_events", "state", where)


def _keys(folder: Folder, streams: tuple[str, str]) -> None:
    """Two rows of the data-key table change places."""
    _swap(folder, "data_keys", "wrapped", [f"holder='{one}'" for one in streams])


def _swap(folder: Folder, table: str, column: str, where: list[str]) -> None:
    """The bytes in this column change places between two rows."""
    found = [engine.asked(folder, f"SELECT {column} FROM {table} WHERE {one}")[0][0] for one in where]
    for one, other in zip(where, reversed(found), strict=True):
        damage(folder.log, f"UPDATE {table} SET {column}={engine.binary(other)} WHERE {one}")


def _claims(folder: Folder, streams: tuple[str, str]) -> None:
    """The blind index rows of two persons change places: a number would lead to the other person."""
    one, other = streams
    swapped = f"CASE stream WHEN '{one}' THEN '{other}' ELSE '{one}' END"
    damage(folder.log, f"UPDATE claims SET stream={swapped} WHERE stream IN ('{one}', '{other}')")


@pytest.mark.parametrize("swap", [_events, _keys, _claims], ids=["sealed fields", "data keys", "blind index"])
def test_what_was_swapped_in_the_file_is_no_answer_and_the_audit_names_it(
    bureau: Bureau, second: Registry, clerk: Reader, swap: Callable[[Folder, tuple[str, str]], None]
) -> None:
    """Found by the seal at the next look (503, never another's name) and by the audit, without anybody looking."""
    registry = bureau.registry
    titles = [registry.award(awarding(person(n, name)), officer=CLERK) for n, name in ((1, "林晓岚"), (2, "周建国"))]
    for title in titles:
        registry.issue(title, settable, officer=CLERK)
    registry.tlog.sequence()
    holders = (registry.title(titles[0]).holder, registry.title(titles[1]).holder)
    assert verify_live(registry).ok
    swap(registry.folder, holders)
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
