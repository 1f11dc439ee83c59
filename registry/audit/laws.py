"""What must hold of single facts beyond the fold: two officers, founded decisions, what was prepared is signed.

What concerns people is in `people`, key sets in `keysets`, who may record what in `roles`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from registry.audit import keysets, people
from registry.audit.certificates import signed
from registry.audit.findings import Code, Finding
from registry.holders.holder import Holder
from registry.keyset.keyset import KeySetPublished, KeySets
from registry.log.facts import Recorded
from registry.paper import application as papers
from registry.paper.application import Application, PaperApproved, PaperRefused, PaperReturned, PaperSubmitted
from registry.requests.request import DataRequest
from registry.titles.decisions import PROPOSAL_LIFETIME, content_digest
from registry.titles.events import (
    CertificateSigned,
    Decided,
    DecisionKind,
    DecisionProposed,
    DecisionRefused,
    DecisionReturned,
    TitleCorrected,
    TitleInvalidated,
    TitleReinstated,
    TitleRevoked,
    TitleSuspended,
)
from registry.titles.state import Title

_APPROVED: dict[DecisionKind, type[Decided]] = {
    DecisionKind.REVOCATION: TitleRevoked,
    DecisionKind.INVALIDATION: TitleInvalidated,
    DecisionKind.SUSPENSION: TitleSuspended,
    DecisionKind.REINSTATEMENT: TitleReinstated,
    DecisionKind.CORRECTION: TitleCorrected,
}


def before(state: Any, name: str, event: Recorded[Any]) -> Iterable[Finding]:
    """What is wrong with an event (by its stored name) in the light of the state before it."""
    law = _BEFORE.get(type(event.fact))
    return people.before(state, event) if law is None else law(state, name, event)


def _signed(state: Any, name: str, event: Recorded[CertificateSigned]) -> Iterator[Finding]:
    fact = event.fact
    prepared = state.certificate(fact.version) if isinstance(state, Title) else None
    if prepared is None or prepared.kid != fact.kid or prepared.signature is not None:
        yield _at(event, Code.CERTIFICATE, f"签发的第 {fact.version} 版没有相应的待签内容")
    if wrong := signed(name, fact):
        yield _at(event, *wrong)


def _proposed(_: Any, __: str, event: Recorded[DecisionProposed]) -> Iterator[Finding]:
    fact = event.fact
    if fact.reason.get() is not None and content_digest(event.stream, fact) != fact.digest:
        yield _at(event, Code.PROPOSAL_DIGEST, "提议的摘要与其内容不符")


def _keyset(state: Any, _: str, event: Recorded[KeySetPublished]) -> Iterator[Finding]:
    if state is None or isinstance(state, KeySets):  # else it cannot be folded
        yield from keysets.before(state, event)


def _closed(state: Any, _: str, event: Recorded[Any]) -> Iterator[Finding]:
    proposal = state.proposal(event.fact.proposal) if isinstance(state, Title) else None
    if proposal is None:
        yield _at(event, Code.DECISION, "不同意或退回的提议不存在")
    elif isinstance(event.fact, DecisionReturned) and event.actor == proposal.proposed_by:
        yield _at(event, Code.OFFICERS, "提议和退回是同一名经办人")


def _paper(state: Any, _: str, event: Recorded[Any]) -> Iterator[Finding]:
    fact = event.fact
    if state is not None and not isinstance(state, Application):
        return  # it cannot be folded
    if isinstance(fact, PaperSubmitted):
        if papers.content_digest(fact.holder, fact.award, fact.paper, fact.evidence) != fact.digest:
            yield _at(event, Code.PROPOSAL_DIGEST, "申请的摘要与其内容不符")
        if state is not None and state.fact.holder != fact.holder:
            yield _at(event, Code.HOLDER, "重新提交的是另一人的申请")
        return
    if state is None:
        return  # it cannot be folded
    if state.state != "open" and not (isinstance(fact, PaperRefused) and state.state == "returned"):
        yield _at(event, Code.DECISION, f"申请已是 {state.state}，不能再作决定")
    if isinstance(fact, PaperApproved | PaperReturned) and state.submitted_by == event.actor:
        yield _at(event, Code.OFFICERS, "提交和批准（或退回）是同一名经办人")


def _decided(state: Any, _: str, event: Recorded[Any]) -> Iterator[Finding]:
    fact = event.fact
    proposal = state.proposal(fact.proposal) if isinstance(state, Title) else None
    if proposal is None:
        yield _at(event, Code.DECISION, "决定没有相应的提议")
        return
    said, wanted = proposal.fact, _APPROVED[proposal.fact.kind]
    same = (fact.proposed_by, fact.effective_on, fact.document_no, fact.authority) == (
        proposal.proposed_by,
        said.effective_on,
        said.document_no,
        said.authority,
    )
    if not same or type(fact) is not wanted or getattr(fact, "award", None) != said.corrected:
        yield _at(event, Code.DECISION, "决定的内容与提议的内容不符")
    for code, message in people.lapsed(proposal, event, PROPOSAL_LIFETIME):
        yield _at(event, code, message)
    if event.actor == proposal.proposed_by:
        yield _at(event, Code.OFFICERS, "提议和批准是同一名经办人")


_BEFORE: dict[type, Callable[[Any, str, Recorded[Any]], Iterable[Finding]]] = {
    **dict.fromkeys(_APPROVED.values(), _decided),
    **dict.fromkeys((DecisionRefused, DecisionReturned), _closed),
    **dict.fromkeys((PaperSubmitted, PaperApproved, PaperReturned, PaperRefused), _paper),
    DecisionProposed: _proposed,
    CertificateSigned: _signed,
    KeySetPublished: _keyset,
}


def of_stream(stream: str, state: Any) -> Iterator[Finding]:
    """What is wrong with whose stream this is: a person's stream is named in all its facts."""
    if isinstance(state, Holder) and state.id != stream:
        message = "流中登记的是另一人"
        yield Finding(code=Code.HOLDER, message=message, stream=stream, expected=stream, found=state.id)


def links(state: Any) -> list[str]:
    """The streams that a state names and that must exist."""
    if isinstance(state, Title):
        return [state.holder, *([state.application] if state.application else [])]
    if isinstance(state, Application):
        return [state.fact.holder, *([state.title] if state.title else [])]
    if isinstance(state, DataRequest):
        return [state.fact.holder]
    return []


def _at(event: Recorded[Any], code: Code, message: str) -> Finding:
    return Finding(code=code, message=message, position=event.position, stream=event.stream, version=event.version)
