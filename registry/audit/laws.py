"""What must hold of single facts beyond the fold: two officers, founded decisions, what was prepared is signed."""

from collections.abc import Iterator
from typing import Any

from registry.audit.certificates import signed
from registry.audit.findings import Code, Finding
from registry.holders.holder import Holder
from registry.log.facts import Recorded
from registry.paper.application import Application, PaperApproved
from registry.titles.decisions import content_digest
from registry.titles.events import (
    CertificateSigned,
    Decided,
    DecisionKind,
    DecisionProposed,
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


def before(state: Any, name: str, event: Recorded[Any]) -> Iterator[Finding]:
    """What is wrong with an event (by its stored name) in the light of the state before it."""
    fact = event.fact
    if isinstance(fact, Decided):
        yield from _decided(state, event)
    elif isinstance(fact, CertificateSigned):
        prepared = state.certificate(fact.version) if isinstance(state, Title) else None
        if prepared is None or prepared.kid != fact.kid or prepared.signature is not None:
            yield _at(event, Code.CERTIFICATE, f"签发的第 {fact.version} 版没有相应的待签内容")
        if wrong := signed(name, fact):
            yield _at(event, *wrong)
    elif isinstance(fact, DecisionProposed) and fact.reason.get() is not None:
        if content_digest(event.stream, fact) != fact.digest:
            yield _at(event, Code.PROPOSAL_DIGEST, "提议的摘要与其内容不符")
    elif isinstance(fact, PaperApproved) and isinstance(state, Application) and state.submitted_by == event.actor:
        yield _at(event, Code.OFFICERS, "提交和批准是同一名经办人")


def _decided(state: Any, event: Recorded[Any]) -> Iterator[Finding]:
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
    if event.actor == proposal.proposed_by:
        yield _at(event, Code.OFFICERS, "提议和批准是同一名经办人")


def of_stream(stream: str, state: Any) -> Iterator[Finding]:
    """What is wrong with whose stream this is: a holder's stream is named in all its facts."""
    if isinstance(state, Holder) and state.id != stream:
        message = "持证人流中登记的是另一持证人"
        yield Finding(code=Code.HOLDER, message=message, stream=stream, expected=stream, found=state.id)


def links(state: Any) -> list[str]:
    """The streams that a state names and that must exist."""
    if isinstance(state, Title):
        return [state.holder, *([state.application] if state.application else [])]
    if isinstance(state, Application):
        return [state.fact.holder, *([state.title] if state.title else [])]
    return []


def _at(event: Recorded[Any], code: Code, message: str) -> Finding:
    return Finding(code=code, message=message, position=event.position, stream=event.stream, version=event.version)
