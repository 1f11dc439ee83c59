"""Insiders who write what the program would never record, and sign everything anew: each is found and named.

`code` is what the product calls it, `says` what the kit says; what follows from it besides is not listed.
"""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from registry.audit import Code
from tests.audit_life import OFFICER
from tests.people import CHIEF, CLERK

Event = dict[str, Any]


class Insider(NamedTuple):
    """What somebody did to the events of an export."""

    what: str
    change: Callable[[list[Event]], None]
    code: Code
    says: str


def apply(insider: Insider, lines: list[bytes]) -> None:
    """Do it to the lines of events.jsonl; what is added goes to the end, under the next position and version."""
    events = [json.loads(line) for line in lines]
    insider.change(events)
    for place, event in enumerate(events, 1):
        earlier = (one for one in events[: place - 1] if one["stream"] == event["stream"])
        event |= {"position": place, "version": 1 + sum(1 for _ in earlier)}
    order = ("position", "stream", "version", "name", "state")
    lines[:] = [msgspec.json.encode({name: event[name] for name in order}) for event in events]


def _last(events: list[Event], name: str, **said: Any) -> Event:
    """The last event of that name whose fact says this."""
    return next(one for one in reversed(events) if one["name"] == name and said.items() <= one["state"]["fact"].items())


def _fact(name: str, said: dict[str, Any] | None = None, **changes: Any) -> Callable[[list[Event]], None]:
    return lambda events: _last(events, name, **(said or {}))["state"]["fact"].update(changes)


def _actor(name: str, actor: str, **said: Any) -> Callable[[list[Event]], None]:
    return lambda events: _last(events, name, **said)["state"].update(actor=actor)


def _add(like: str, stream_of: str, actor: str, **fact: Any) -> Callable[[list[Event]], None]:
    """One more event like the last of that name, in the stream of the last of another."""

    def change(events: list[Event]) -> None:
        event = json.loads(json.dumps(_last(events, like)))
        event["stream"] = _last(events, stream_of)["stream"]
        event["state"] |= {"actor": actor, "recorded_at": events[-1]["state"]["recorded_at"]}
        event["state"]["fact"] |= {"holder": event["stream"]} if "holder" in event["state"]["fact"] else {}
        event["state"]["fact"] |= fact
        events.append(event)

    return change


def _late(name: str) -> Callable[[list[Event]], None]:
    def change(events: list[Event]) -> None:
        state = _last(events, name)["state"]
        at = datetime.fromisoformat(state["recorded_at"]) + timedelta(hours=72, microseconds=1)
        state["recorded_at"] = at.isoformat().replace("+00:00", "Z")

    return change


def _no_officers(events: list[Event]) -> None:
    events[:] = [one for one in events if not one["stream"].startswith("officer-")]


def _without(name: str) -> Callable[[list[Event]], None]:
    return lambda events: events.remove(_last(events, name))


def _document(**changes: Any) -> Callable[[list[Event]], None]:
    """Change the newest key set document, written in its one form."""

    def change(events: list[Event]) -> None:
        fact = _last(events, "key-set-published/1")["state"]["fact"]
        told = json.loads(fact["document"]) | changes
        fact["document"] = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    return change


def _spaced(events: list[Event]) -> None:
    fact = _last(events, "key-set-published/1")["state"]["fact"]
    fact["document"] = fact["document"].replace('"type":', '"type": ')


_COUNTY, _OPS = {"authority": "331121", "role": "clerk"}, {"role": "operator"}
_GRANT: dict[str, Any] = {"role": "approver", "authority": "331100", "proposed_by": "system"}

INSIDERS = [
    # roles
    Insider("grants what they proposed", _actor("role-granted/1", CHIEF, **_COUNTY), Code.OFFICERS, "one officer"),
    Insider("grants their own role", _actor("role-granted/1", OFFICER, **_COUNTY), Code.OFFICERS, "one officer"),
    Insider("grants what nobody proposed", _fact("role-granted/1", _OPS, grant="x.9"), Code.DECISION, "nobody"),
    Insider("grants another role", _fact("role-granted/1", _COUNTY, role="approver"), Code.DECISION, "not what was"),
    Insider(
        "founds a third time",
        _add("role-granted/1", "role-withdrawn/1", "system", grant="founding.3", **_GRANT),
        Code.DECISION,
        "outside the founding",
    ),
    Insider(
        "founds in the name of the system",
        _add("role-granted/1", "role-withdrawn/1", "system", grant="officer-x.3", **_GRANT),
        Code.DECISION,
        "outside the founding",
    ),
    Insider(
        "founds once more",
        _add("role-granted/1", "role-withdrawn/1", "system", grant="founding.1", **_GRANT),
        Code.CLAIM_CONFLICT,
        '"key":"founding.1","stream":"officer-331121-clerk-07"',
    ),
    Insider("proposes their own role", _actor("role-proposed/1", OFFICER, **_COUNTY), Code.OFFICERS, "the officer con"),
    Insider("forges a digest", _fact("role-proposed/1", _COUNTY, digest="0" * 64), Code.PROPOSAL_DIGEST, "digest"),
    Insider("takes away what is not held", _fact("role-withdrawn/1", grant="x.9"), Code.DECISION, "not in force"),
    # who may
    Insider("is nobody and decides", _actor("title-revoked/1", "clerk-99"), Code.ROLE, "clerk-99 was no approver then"),
    Insider("is nobody and proposes", _actor("erasure-proposed/1", "clerk-99"), Code.ROLE, "clerk-99 was no clerk or"),
    Insider(
        "awards in another county",
        lambda events: _last(events, "role-granted/1", **_COUNTY)["state"]["fact"].update(authority="331122"),
        Code.ROLE,
        f"{OFFICER} was no clerk then over 331121",
    ),
    Insider(
        "acts after the role was taken away",
        _add("holder-renamed/1", "identity-linked/1", OFFICER),
        Code.ROLE,
        f"{OFFICER} was no clerk or approver then",
    ),
    Insider("is a clerk and publishes keys", _actor("key-set-published/1", CLERK), Code.ROLE, "was no operator then"),
    Insider("is a clerk and holds", _actor("legal-hold-placed/1", "clerk-99"), Code.ROLE, "was no approver then"),
    # decisions
    Insider("returns what they proposed", _actor("decision-returned/1", CLERK), Code.OFFICERS, "proposed and returned"),
    Insider("returns what is not open", _fact("decision-returned/1", proposal="title-x.9"), Code.DECISION, "nobody pr"),
    Insider("returns what they submitted", _actor("paper-returned/1", CLERK), Code.OFFICERS, "approved or returned"),
    Insider("approves too late", _late("title-revoked/1"), Code.DECISION, "the proposal had lapsed"),
    Insider("grants too late", _late("role-granted/1"), Code.DECISION, "the proposal had lapsed"),
    Insider("erases too late", _late("holder-erased/1"), Code.DECISION, "the proposal had lapsed"),
    Insider("submits again what was not returned", _without("paper-returned/1"), Code.FOLD, "cannot follow"),
    # people
    Insider("erases otherwise", _fact("holder-erased/1", document_no="另一号"), Code.DECISION, "not what was proposed"),
    Insider("erases alone", _actor("holder-erased/1", CLERK), Code.OFFICERS, "one officer proposed and approved"),
    Insider("erases what nobody proposed", _fact("holder-erased/1", proposal="x.9"), Code.DECISION, "nobody proposed"),
    Insider("erases under a hold", _without("legal-hold-lifted/1"), Code.HOLD, "under a legal hold"),
    Insider("lifts another hold", _fact("legal-hold-lifted/1", hold="x.9"), Code.DECISION, "no such hold"),
    Insider("forges an erasure", _fact("erasure-proposed/1", digest="0" * 64), Code.PROPOSAL_DIGEST, "digest is not"),
    Insider(
        "renames who was erased",
        _add("holder-renamed/1", "holder-erased/1", CLERK),
        Code.ERASED,
        "follows after the person was erased",
    ),
    Insider("refuses what nobody proposed", _fact("erasure-refused/1", proposal="x.9"), Code.DECISION, "nobody prop"),
    Insider("refuses no role", _fact("role-refused/1", grant="x.9"), Code.DECISION, "nobody proposed it"),
    Insider("renames another", _fact("holder-renamed/1", holder="holder-x"), Code.HOLDER, "is of another: holder-x"),
    Insider(
        "answers twice", _add("data-request-answered/1", "data-request-made/1", CLERK), Code.DECISION, "cannot fol"
    ),
    Insider(
        "refuses what was approved", _add("paper-refused/1", "paper-approved/1", CHIEF), Code.DECISION, "more facts"
    ),
    Insider("submits for another", _fact("paper-submitted/1", holder="holder-x"), Code.HOLDER, "is of another holder"),
    Insider("changes a paper", _fact("paper-submitted/1", evidence=[]), Code.PROPOSAL_DIGEST, "digest is not that of"),
    Insider("returns a person", _add("paper-returned/1", "holder-renamed/1", CHIEF), Code.FOLD, "cannot follow"),
    Insider("returns an officer", _add("paper-returned/1", "role-withdrawn/1", CHIEF), Code.FOLD, "cannot follow"),
    Insider("keys a person", _add("key-set-published/1", "holder-renamed/1", CHIEF), Code.FOLD, "cannot follow"),
    Insider("erases a title", _add("holder-erased/1", "title-revoked/1", CHIEF), Code.FOLD, "cannot follow"),
    Insider("is another", _fact("officer-registered/1", holder="officer-x"), Code.HOLDER, "is of another: officer-x"),
    Insider("answers for another", _fact("data-request-answered/1", holder="holder-x"), Code.HOLDER, "is of another"),
    Insider("asks for nobody", _fact("data-request-made/1", holder="holder-x"), Code.LINK, "does not exist: holder-x"),
    # key sets
    Insider("publishes without approval", _fact("key-set-published/1", approvals=[]), Code.KEYSET, "0 approvals hold"),
    Insider("lowers the threshold", _document(threshold=0), Code.KEYSET, "keyset-published version"),
    Insider("takes a key away", _document(keys=[]), Code.KEYSET, "keys were taken away"),
    Insider("adds an approval of old", _document(created="2026-03-02T00:00:00Z"), Code.KEYSET, "InvalidSignature"),
    Insider("spells otherwise", _spaced, Code.KEYSET, "not written in its one form"),
    Insider("skips a version", _document(version=9), Code.KEYSET, "its version does not follow"),
    Insider("follows another", _document(previous="0" * 64), Code.KEYSET, "it follows another document"),
    Insider("counts otherwise", _fact("key-set-published/1", version=9), Code.KEYSET, "its version does not follow"),
]

NEED_A_ROLE = """
holder-renamed/1 identity-linked/1 legal-hold-placed/1 legal-hold-lifted/1 erasure-proposed/1 erasure-refused/1
holder-erased/1 data-request-answered/1 officer-registered/1 role-proposed/1 role-granted/1 role-refused/1
role-withdrawn/1 title-awarded/1 decision-proposed/1 decision-refused/1 decision-returned/1 title-revoked/1
title-suspended/1 title-corrected/1 title-reinstated/1 title-invalidated/1 certificate-prepared/1 paper-submitted/1
paper-approved/1 paper-refused/1 paper-returned/1
"""
INSIDERS += [
    Insider(f"is nobody: {name}", _actor(name, "clerk-99"), Code.ROLE, "clerk-99 was no ")
    for name in NEED_A_ROLE.split()
]

UNFOUNDED = Insider("was there before there were roles", _no_officers, Code.ROLE, "then over")
"""No insider: an old registry. `code` and `says` are what must not be found."""
