"""One person who acts at a door: of the bureau, a committee office, an employer. Roles are granted by two officers.

An officer is a person, not an account: a person who is registered by identity number once has one id, under whatever
accounts they sign in, so that nobody can be their own second officer.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from registry.errors import BadInput, CorruptHistory, NeedsSecondOfficer, NotFound, Refused, WrongState
from registry.holders.identity import index_key
from registry.holders.person import Identity
from registry.log.changes import Claim
from registry.log.facts import Fact, Private, Recorded, stored
from registry.log.kind import Kind
from registry.terms import Role
from registry.titles.events import Reason

GRANT_LIFETIME = timedelta(hours=72)
SYSTEM = "system"
FIRST = "founding.1"  # the grant of the first founder
_ID = re.compile(r"[a-z0-9][a-z0-9.-]{1,39}")
_RESERVED = ("holder-", "title-", "paper-", "system")
# Who runs the machine, or looks over the others' shoulders, decides nothing.
_APART = {Role.OPERATOR, Role.AUDITOR}

# Events


class Staff(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who an officer is. `organisation` is that of an employer's or a committee office's officer."""

    name: str
    identity: Identity
    organisation: str | None = None


@stored("officer-registered/1")
class OfficerRegistered(Fact, frozen=True, kw_only=True):
    """A person was entered as an officer. `holder` is the officer's own stream, whose data key seals who they are."""

    holder: str
    staff: Private[Staff]


@stored("role-proposed/1")
class RoleProposed(Fact, frozen=True, kw_only=True):
    """One officer proposed a role over an authority and those below it. `digest` is what the second one approves."""

    grant: str
    role: Role
    authority: str
    document_no: str
    digest: str


@stored("role-granted/1")
class RoleGranted(Fact, frozen=True, kw_only=True):
    """Another officer granted it; the actor of the event is that one."""

    grant: str
    role: Role
    authority: str
    proposed_by: str


@stored("role-refused/1")
class RoleRefused(Fact, frozen=True, kw_only=True):
    """A proposed role was not granted, or withdrawn by its proposer."""

    holder: str
    grant: str
    reason: Private[Reason]


@stored("role-withdrawn/1")
class RoleWithdrawn(Fact, frozen=True, kw_only=True):
    """A role was taken away, at once, by one officer and a document."""

    grant: str
    document_no: str


# State


class Grant(msgspec.Struct, frozen=True):
    """A role in force, over an authority and those below it."""

    id: str
    role: Role
    authority: str


class GrantProposal(msgspec.Struct, frozen=True):
    """A role that waits for the second officer."""

    fact: RoleProposed
    proposed_by: str
    proposed_at: datetime


class Officer(msgspec.Struct, frozen=True):
    """An officer with the roles in force and those that wait."""

    id: str
    staff: Private[Staff]
    registered_at: datetime
    grants: tuple[Grant, ...] = ()
    proposals: tuple[GrantProposal, ...] = ()
    founding: str | None = None

    @property
    def actor(self) -> str:
        """The name under which this officer acts, as events record it."""
        return actor_of(self.id)

    def proposal(self, grant: str) -> GrantProposal | None:
        """A role that waits, by its id."""
        return next((one for one in self.proposals if one.fact.grant == grant), None)


def evolve(officer: Officer | None, event: Recorded[Any]) -> Officer:
    """Fold one fact into the state. Never judges."""
    match officer, event.fact:
        case None, OfficerRegistered() as fact:
            return Officer(event.stream, fact.staff, event.recorded_at)
        case Officer(), RoleProposed() as fact:
            waiting = GrantProposal(fact, event.actor, event.recorded_at)
            return msgspec.structs.replace(officer, proposals=(*officer.proposals, waiting))
        case Officer(), RoleGranted() as fact:
            grants = (*officer.grants, Grant(fact.grant, fact.role, fact.authority))
            founding = fact.grant if fact.proposed_by == SYSTEM else officer.founding
            left = _without(officer, fact.grant)
            return msgspec.structs.replace(officer, grants=grants, proposals=left, founding=founding)
        case Officer(), RoleRefused() as fact:
            return msgspec.structs.replace(officer, proposals=_without(officer, fact.grant))
        case Officer(), RoleWithdrawn() as fact:
            in_force = tuple(one for one in officer.grants if one.id != fact.grant)
            return msgspec.structs.replace(officer, grants=in_force)
    raise CorruptHistory(f"{event.stream} version {event.version}: {type(event.fact).__name__} cannot follow")


def _without(officer: Officer, grant: str) -> tuple[GrantProposal, ...]:
    return tuple(one for one in officer.proposals if one.fact.grant != grant)


def staff_key(identity: Identity) -> str:
    """What the blind index of an officer is over; apart from a holder's, so that the two cannot be compared."""
    return "officer|" + index_key(identity)


def claims(officer: Officer, index: Callable[[str], str] | None) -> frozenset[Claim]:
    """One person is one officer, by the keyed blind index only; a registry is founded once."""
    staff, founded = officer.staff.get(), {Claim("founding", officer.founding)} if officer.founding else set()
    if index is None or staff is None:
        return frozenset(founded)
    return frozenset({Claim("identity", index(staff_key(staff.identity)))} | founded)


OFFICERS = Kind("officer", evolve, claims)

# Decide


def stream_of(actor: str) -> str:
    """The stream of the officer who acts under this name."""
    return "officer-" + actor


def actor_of(stream: str) -> str:
    """The name under which the officer of this stream acts."""
    return stream.removeprefix("officer-")


def check_actor(actor: str) -> str:
    """A name to act under: 2 to 40 of a-z, 0-9, dot and hyphen. Raise BadInput."""
    if not _ID.fullmatch(actor) or actor.startswith(_RESERVED):
        raise BadInput(f"工号 {actor!r} 不可用", fix="用 2 到 40 个小写字母、数字、点或连字符，例如 331121-clerk-07")
    return actor


def register(actor: str, staff: Staff, officer: Officer | None) -> Sequence[Fact]:
    """Register a person as an officer; the same person again is no fact. Raise Refused if the id is another's."""
    stream = stream_of(check_actor(actor))
    if not staff.name.strip():
        raise BadInput("缺少姓名", fix="填写姓名")
    if officer is None:
        return [OfficerRegistered(holder=stream, staff=Private(staff))]
    known = officer.staff.get()
    if known is None or index_key(known.identity) != index_key(staff.identity):
        raise Refused(f"工号 {actor} 已属于另一人", fix="换一个工号；工号不得重用")
    return []


def found(officer: Officer, place: int, authority: str) -> Sequence[Fact]:
    """Make an officer the founder of this place (1 or 2): an approver over everything, granted by nobody.

    Every later role is granted by two officers; these two cannot be, for there is nobody before them.
    """
    return [RoleGranted(grant=f"founding.{place}", role=Role.APPROVER, authority=authority, proposed_by=SYSTEM)]


def content_digest(officer: str, role: Role, authority: str, document_no: str) -> str:
    """SHA-256 (hex) over what the second officer approves, as canonical JSON."""
    content = {"officer": officer, "role": role, "authority": authority, "document_no": document_no}
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def propose_role(
    officer: Officer, role: Role, authority: str, document_no: str, *, by: str, grant: str, now: datetime
) -> Sequence[Fact]:
    """Propose a role; one that is in force or waits already is no fact.

    Raise BadInput for the role of a holder or without a document, NeedsSecondOfficer for oneself, WrongState for a
    role that does not go together with those in force (an operator or an auditor has no other).
    """
    if role is Role.HOLDER:
        raise BadInput("持证人不是授予的角色", fix="持证人按证件号码识别，不需授予")
    if not document_no.strip():
        raise BadInput("缺少授权文号", fix="填写授权所依据的文件号")
    if officer.actor == by:
        raise NeedsSecondOfficer("不能为自己提议角色", fix="由另两名有权的人员提议和批准")
    _check_together(officer, role)
    if any((one.role, one.authority) == (role, authority) for one in officer.grants):
        return []
    waiting = (one for one in officer.proposals if now - one.proposed_at <= GRANT_LIFETIME)
    if any((one.fact.role, one.fact.authority, one.proposed_by) == (role, authority, by) for one in waiting):
        return []
    document_no = document_no.strip()
    digest = content_digest(officer.id, role, authority, document_no)
    return [RoleProposed(grant=grant, role=role, authority=authority, document_no=document_no, digest=digest)]


def same_grant(officer: Officer, role: Role, authority: str) -> str:
    """The id of this role over this authority, in force or waiting."""
    held = [one.id for one in officer.grants if (one.role, one.authority) == (role, authority)]
    waiting = [one.fact.grant for one in officer.proposals if (one.fact.role, one.fact.authority) == (role, authority)]
    return (held + waiting[::-1])[0]


def _check_together(officer: Officer, role: Role) -> None:
    roles = {one.role for one in officer.grants} | {role}
    if len(roles) > 1 and roles & _APART:
        names = "、".join(sorted(one.zh for one in roles))
        raise WrongState(f"角色不能兼任：{names}", fix="运维和审计人员不得兼任其他角色；先收回原有角色")


def grant_role(officer: Officer, grant: str, *, by: str, digest: str, now: datetime) -> Sequence[Fact]:
    """Grant a proposed role as a second officer, over exactly this content; granted already is no fact.

    Raise NeedsSecondOfficer for the proposer, the officer concerned or other content, WrongState after 72 hours.
    """
    if any(one.id == grant for one in officer.grants):
        return []
    waiting = find_waiting(officer, grant)
    if by in (waiting.proposed_by, officer.actor):
        raise NeedsSecondOfficer("提议人和本人都不能批准这项角色（须两名人员）", fix="由另一名有权的批准人批准")
    fact = waiting.fact
    if not digest == fact.digest == content_digest(officer.id, fact.role, fact.authority, fact.document_no):
        raise NeedsSecondOfficer("批准的内容与提议的内容不一致", fix="重新打开提议，核对后再批准")
    if now - waiting.proposed_at > GRANT_LIFETIME:
        raise WrongState("提议已超过 72 小时，自动失效", fix="重新提议")
    _check_together(officer, fact.role)
    return [RoleGranted(grant=grant, role=fact.role, authority=fact.authority, proposed_by=waiting.proposed_by)]


def refuse_role(officer: Officer, grant: str, reason: str, *, salt: str) -> Sequence[Fact]:
    """Close a proposed role without effect, with a reason."""
    waiting = find_waiting(officer, grant)
    if not reason.strip():
        raise BadInput("缺少不同意的理由", fix="写明理由")
    sealed = Private(Reason(reason.strip(), salt))
    return [RoleRefused(holder=officer.id, grant=waiting.fact.grant, reason=sealed)]


def withdraw_role(officer: Officer, grant: str, document_no: str) -> Sequence[Fact]:
    """Take a role away at once; one that is not in force is no fact. Taking away needs no second officer."""
    if not document_no.strip():
        raise BadInput("缺少收回角色的文号", fix="填写依据的文件号")
    if not any(one.id == grant for one in officer.grants):
        return []
    return [RoleWithdrawn(grant=grant, document_no=document_no.strip())]


def find_waiting(officer: Officer, grant: str) -> GrantProposal:
    """The role that waits, or NotFound."""
    waiting = officer.proposal(grant)
    if waiting is None:
        raise NotFound(f"没有待批准的角色 {grant}", fix="用 officers list 查看")
    return waiting
