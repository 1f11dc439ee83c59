"""What must hold of facts about people: erased by two officers and never under a hold, roles given by two officers."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from registry.audit.findings import Code, Finding
from registry.holders import erasure
from registry.holders.holder import ErasureProposed, ErasureRefused, Holder, HolderErased, LegalHoldLifted
from registry.log.facts import Recorded
from registry.officers import officer as officers
from registry.officers.officer import SYSTEM, Officer, RoleGranted, RoleProposed, RoleRefused, RoleWithdrawn
from registry.requests.request import DataRequest, DataRequestAnswered
from registry.terms import Role

FOUNDING = ("founding.1", "founding.2")
Wrong = tuple[Code, str]


def before(state: Any, event: Recorded[Any]) -> Iterable[Finding]:
    """What is wrong with an event about a holder, an officer or a request, in the light of the state before it."""
    if isinstance(state, (Holder, Officer, DataRequest)) or event.stream.startswith("officer-"):
        return _about(state, event)
    return ()


def _about(state: Any, event: Recorded[Any]) -> Iterator[Finding]:
    found: Iterator[Wrong] = iter(())
    match state:
        case Holder():
            found = _holder(state, event)
        case Officer():
            found = _officer(state, event)
        case DataRequest():
            found = _request(state, event)
    if isinstance(state, Holder) or event.stream.startswith("officer-"):  # a holder's first fact: see `laws.of_stream`
        own = getattr(event.fact, "holder", event.stream) == event.stream
        found = iter([*found, *([] if own else [(Code.HOLDER, "事实写的是另一人")])])
    for code, message in found:
        yield Finding(code=code, message=message, position=event.position, stream=event.stream, version=event.version)


def _holder(state: Holder, event: Recorded[Any]) -> Iterator[Wrong]:
    fact = event.fact
    if state.erased:
        yield Code.ERASED, "个人信息已删除，其后仍有关于此人的事实"
    if isinstance(fact, ErasureProposed):
        if fact.digest != erasure.content_digest(event.stream, fact.basis, fact.document_no, fact.authority):
            yield Code.PROPOSAL_DIGEST, "提议的摘要与其内容不符"
    elif isinstance(fact, ErasureRefused) and not _open(state, fact.proposal):
        yield Code.DECISION, "不同意的删除没有人提议"
    elif isinstance(fact, LegalHoldLifted) and not any(one.hold == fact.hold for one in state.holds):
        yield Code.DECISION, "解除的保全不存在"
    elif isinstance(fact, HolderErased):
        yield from _erased(state, event)


def _open(state: Holder, proposal: str) -> Any:
    return next((one for one in state.erasures if one.fact.proposal == proposal), None)


def _erased(state: Holder, event: Recorded[HolderErased]) -> Iterator[Wrong]:
    fact, open_ = event.fact, _open(state, event.fact.proposal)
    if state.holds:
        yield Code.HOLD, "保全期间删除了个人信息"
    if open_ is None:
        yield Code.DECISION, "删除没有相应的提议"
        return
    said = (open_.proposed_by, open_.fact.basis, open_.fact.document_no, open_.fact.authority)
    if (fact.proposed_by, fact.basis, fact.document_no, fact.authority) != said:
        yield Code.DECISION, "删除的内容与提议的内容不符"
    yield from lapsed(open_, event, erasure.PROPOSAL_LIFETIME)
    if event.actor == open_.proposed_by:
        yield Code.OFFICERS, "提议和批准删除的是同一人"


def lapsed(proposal: Any, event: Recorded[Any], lifetime: timedelta) -> Iterator[Wrong]:
    """A proposal that was carried out after it had lapsed."""
    if event.recorded_at - proposal.proposed_at > lifetime:
        yield Code.DECISION, "提议失效以后才批准"


def _officer(state: Officer, event: Recorded[Any]) -> Iterator[Wrong]:
    fact = event.fact
    if isinstance(fact, RoleProposed):
        if fact.digest != officers.content_digest(event.stream, fact.role, fact.authority, fact.document_no):
            yield Code.PROPOSAL_DIGEST, "提议的摘要与其内容不符"
        if event.actor == state.actor:
            yield Code.OFFICERS, "为自己提议了角色"
    elif isinstance(fact, RoleGranted):
        yield from _granted(state, event)
    elif isinstance(fact, RoleRefused) and state.proposal(fact.grant) is None:
        yield Code.DECISION, "不同意的角色没有人提议"
    elif isinstance(fact, RoleWithdrawn) and not any(one.id == fact.grant for one in state.grants):
        yield Code.DECISION, "收回的角色不在任"


def _granted(state: Officer, event: Recorded[RoleGranted]) -> Iterator[Wrong]:
    fact, waiting = event.fact, state.proposal(event.fact.grant)
    if fact.proposed_by == SYSTEM or fact.grant in FOUNDING:
        said = (event.actor, fact.proposed_by, fact.role, fact.grant in FOUNDING, state.founding)
        if said != (SYSTEM, SYSTEM, Role.APPROVER, True, None):
            yield Code.DECISION, "开办之外没有经两人授予的角色"
        return
    if waiting is None:
        yield Code.DECISION, "授予的角色没有人提议"
        return
    said_, wanted = waiting.fact, (fact.role, fact.authority, fact.proposed_by)
    if (said_.role, said_.authority, waiting.proposed_by) != wanted:
        yield Code.DECISION, "授予的角色与提议的不符"
    yield from lapsed(waiting, event, officers.GRANT_LIFETIME)
    if event.actor in (waiting.proposed_by, state.actor):
        yield Code.OFFICERS, "角色由提议人或本人授予"


def _request(state: DataRequest, event: Recorded[Any]) -> Iterator[Wrong]:
    if isinstance(event.fact, DataRequestAnswered):
        if event.fact.holder != state.fact.holder:
            yield Code.HOLDER, "答复的是另一人的请求"
        if state.outcome is not None:
            yield Code.DECISION, "同一请求答复了两次"
