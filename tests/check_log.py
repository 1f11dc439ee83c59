"""check_log(registry): everything derived from the log is derived a second time, from the stored bytes alone.

Nothing here uses the folds, the claims or the rows of the code under test. It reads the store with a connection of its
own, opens the boxes with the data keys at the place that the format names, and compares
 (1) versions without a gap, positions in order, every event decodes and encodes to the same bytes
 (2) one data key for every holder and officer who was not erased, and for a title decided about after that; no other
 (3) the claims, the blind indexes of identity numbers among them
 (4) the register: caught up, rebuilt from nothing, and brute force.
"""

import base64
import json
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from registry.audit import verify_live
from registry.log.mapper import FactMapper, decode
from registry.register.register import Register
from registry.register.tables import TABLES
from registry.service import Registry
from tests.engine import rows

_STANDS = {"title-revoked/1": "revoked", "title-invalidated/1": "invalidated"}
_STANDS |= {"title-suspended/1": "suspended", "title-reinstated/1": "valid"}


class Stored(NamedTuple):
    """One row of the log."""

    position: int
    stream: str
    version: int
    name: str
    state: bytes

    @property
    def fact(self) -> dict[str, Any]:
        """The fact as JSON."""
        found: dict[str, Any] = json.loads(self.state)["fact"]
        return found


def check_log(registry: Registry) -> None:
    """Assert that the log is whole and that everything derived from it agrees with it."""
    events = stored_events(registry)
    streams = _check_events(events)
    claims = {(scope, key): stream for scope, key, stream in rows(registry, "claims")}
    keys = dict(rows(registry, "data_keys"))
    erased = {stream for stream, own in streams.items() if own[-1].name == "holder-erased/1"}
    people = {stream for stream in streams if stream.startswith(("holder-", "officer-"))} - erased
    assert set(keys) == people | {stream for stream, own in streams.items() if _has_own_key(own)}
    assert claims == _claims(registry, streams, keys)
    _check_register(registry, streams)
    report = verify_live(registry)
    assert report.ok, report.findings


def _has_own_key(own: list[Stored]) -> bool:
    """A title whose holder was erased: what was decided about it since is sealed under a key of its own."""
    return own[0].name == "title-awarded/1" and any(event.fact.get("holder") == event.stream for event in own)


def stored_events(registry: Registry) -> list[Stored]:
    """Every row of the log, read by a connection of our own."""
    return [Stored(*row) for row in rows(registry, "stored_events")]


def _check_events(events: list[Stored]) -> dict[str, list[Stored]]:
    streams: dict[str, list[Stored]] = defaultdict(list)
    for event in events:
        streams[event.stream].append(event)
        again = FactMapper().to_stored_event(decode(event.stream, event.version, event.name, event.state))
        assert (again.topic, again.state) == (event.name, event.state)
    for stream, own in streams.items():
        assert [event.version for event in own] == list(range(1, len(own) + 1)), stream
    return streams


def _open(registry: Registry, keys: dict[str, bytes], event: Stored, field: str) -> Any:
    holder = event.fact["holder"]
    box = base64.b64decode(event.fact[field], validate=True)
    key = registry.custody.vault().unwrap(holder, keys[holder])
    return json.loads(key.open(box, f"{event.stream}|{event.version}|{field}".encode()))


def _claims(registry: Registry, streams: dict[str, list[Stored]], keys: dict[str, bytes]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for stream, own in streams.items():
        for claim in _CLAIMS[stream.partition("-")[0]](registry, own, keys):
            assert claim not in found, f"{claim} is held by {found.get(claim)} and by {stream}"
            found[claim] = stream
    return found


def _holder_claims(registry: Registry, own: list[Stored], keys: dict[str, bytes]) -> set[tuple[str, str]]:
    if own[-1].name == "holder-erased/1":
        return set()
    identities = [_open(registry, keys, event, "identity") for event in own if event.name == "identity-linked/1"]
    identities.append(_open(registry, keys, own[0], "person")["identity"])
    texts = [f"{one['kind']}|{one.get('country') or ''}|{one['number']}" for one in identities]
    return {("identity", registry.custody.vault().blind_index(text)) for text in texts}


def _officer_claims(registry: Registry, own: list[Stored], keys: dict[str, bytes]) -> set[tuple[str, str]]:
    one = _open(registry, keys, own[0], "staff")["identity"]
    text = f"officer|{one['kind']}|{one.get('country') or ''}|{one['number']}"
    founding = {event.fact["grant"] for event in own if event.fact.get("proposed_by") == "system"}
    return {("identity", registry.custody.vault().blind_index(text))} | {("founding", grant) for grant in founding}


def _title_claims(_: Registry, own: list[Stored], __: dict[str, bytes]) -> set[tuple[str, str]]:
    awards = [event.fact["award"] for event in own if "award" in event.fact]
    claims = {("number", f"{award['authority']}|{award['number']}") for award in awards}
    claims |= {("code", event.fact["code"][:16]) for event in own if event.name == "certificate-prepared/1"}
    holder, stands = own[0].fact["holder"], _stands(own) not in ("revoked", "invalidated")
    if stands:
        claims.add(("title", "|".join((holder, *(awards[-1][field] for field in _SLOT)))))
    if not stands or any(awards[0][field] != awards[-1][field] for field in _SLOT):
        claims.add(("origin", "|".join((holder, *(awards[0][field] for field in _ORIGIN)))))
    return claims


def _paper_claims(_: Registry, own: list[Stored], __: dict[str, bytes]) -> set[tuple[str, str]]:
    if any(event.name == "paper-refused/1" for event in own):
        return set()
    award = own[0].fact["award"]
    return {("paper", f"{own[0].fact['holder']}|{award['authority']}|{award['number']}")}


_PAPERS = {"paper-approved/1": "approved", "paper-refused/1": "refused", "paper-returned/1": "returned"}
_SLOT = ("series", "specialty", "title_name")
_ORIGIN = (*_SLOT, "awarded_on", "approval_document")
_CLAIMS = {
    "holder": _holder_claims,
    "title": _title_claims,
    "paper": _paper_claims,
    "officer": _officer_claims,
    "request": lambda *_: set(),
    "keyset": lambda *_: set(),
    "reference": lambda *_: set(),
}


def _stands(own: list[Stored]) -> str:
    return ["valid", *(_STANDS[event.name] for event in own if event.name in _STANDS)][-1]


def _check_register(registry: Registry, streams: dict[str, list[Stored]]) -> None:
    assert registry.register.catch_up() == registry.log.head()
    with TemporaryDirectory() as folder:
        rebuilt = Register(Path(folder) / "register.db", registry.log)
        rebuilt.rebuild()
        for table in TABLES:
            assert list(registry.register.all_rows(table)) == list(rebuilt.all_rows(table)), table
        rebuilt.close()
    with closing(sqlite3.connect(registry.folder.register)) as c:
        columns = "title, holder, number, status, certificate, version, open_proposals"
        titles = set(c.execute(f"SELECT {columns} FROM titles"))
        papers = set(c.execute("SELECT application, state FROM papers"))
    assert titles == {_title_row(own) for stream, own in streams.items() if stream.startswith("title-")}
    assert papers == {
        (stream, _PAPERS.get(own[-1].name, "open")) for stream, own in streams.items() if stream.startswith("paper-")
    }


def _title_row(own: list[Stored]) -> tuple[Any, ...]:
    award = [event.fact["award"] for event in own if "award" in event.fact][-1]
    signed = max((event.fact["version"] for event in own if event.name == "certificate-signed/2"), default=0)
    codes = {event.fact["version"]: event.fact["code"] for event in own if event.name == "certificate-prepared/1"}
    opened = {event.fact["proposal"] for event in own if event.name == "decision-proposed/1"}
    closed = {
        event.fact["proposal"] for event in own if event.name != "decision-proposed/1" and "proposal" in event.fact
    }
    return (own[0].stream, own[0].fact["holder"], award["number"], _stands(own), codes.get(signed), signed,
            len(opened - closed))  # fmt: skip
