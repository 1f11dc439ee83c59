"""What must hold of single facts beyond the fold: two officers, founded decisions, certificates that hold."""

from collections.abc import Iterator
from typing import Any

from keys.errors import KeysError
from keys.keyring import Keyring
from keys.signing import Purpose
from registry.audit.findings import Code, Finding
from registry.errors import RegistryError
from registry.holders.holder import Holder
from registry.log.facts import Recorded
from registry.paper.application import Application, PaperApproved
from registry.titles.certificate import token_of
from registry.titles.code import parse_code
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
from registry.titles.state import Certificate, Title
from registry.titles.token import read

_APPROVED: dict[DecisionKind, type[Decided]] = {
    DecisionKind.REVOCATION: TitleRevoked,
    DecisionKind.INVALIDATION: TitleInvalidated,
    DecisionKind.SUSPENSION: TitleSuspended,
    DecisionKind.REINSTATEMENT: TitleReinstated,
    DecisionKind.CORRECTION: TitleCorrected,
}


def before(state: Any, event: Recorded[Any]) -> Iterator[Finding]:
    """What is wrong with an event in the light of the state before it."""
    fact = event.fact
    if isinstance(fact, Decided):
        yield from _decided(state, event)
    elif isinstance(fact, CertificateSigned):
        prepared = state.certificate(fact.version) if isinstance(state, Title) else None
        if prepared is None or prepared.kid != fact.kid or prepared.signature is not None:
            yield _at(event, Code.CERTIFICATE, f"签发的第 {fact.version} 版没有相应的待签内容")
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


def certificates(title: Title, keyring: Keyring) -> Iterator[Finding]:
    """What is wrong with the certificates of a title. A signature is checked where the content is open."""
    for number, one in enumerate(title.certificates, 1):
        wrong = _certificate(one, number, keyring)
        if wrong:
            yield Finding(code=wrong[0], message=wrong[1], stream=title.id, field=f"certificate {number}")


def _certificate(one: Certificate, number: int, keyring: Keyring) -> tuple[Code, str] | None:
    try:
        if one.version != number or parse_code(one.code) != one.code:
            return Code.CERTIFICATE, "证书的版本号不连续，或查验码的写法不规范"
        record = keyring.record(one.kid)
        if record.purpose is not Purpose.E_CERTIFICATE or not record.not_before <= one.prepared_at < record.not_after:
            return Code.CERTIFICATE_KEY, f"密钥 {one.kid} 在准备证书时不能签发证书"
        if one.signature is None:
            return None
        if len(one.signature) != 64:
            return Code.CERTIFICATE_SIGNATURE, f"签名长度应为 64 字节，实为 {len(one.signature)} 字节"
        content = one.content.get()
        if content is None:
            return None  # sealed, or erased: the structure only
        if (content.code, content.version) != (one.code, one.version):
            return Code.CERTIFICATE, "证书内容的查验码或版本与登记的不同"
        read(keyring, token_of(one))
    except RegistryError as error:
        return Code.CERTIFICATE, error.message
    except KeysError as error:
        code = Code.CERTIFICATE_KEY if error.code == "unknown-key" else Code.CERTIFICATE_SIGNATURE
        return code, error.message
    return None


def _at(event: Recorded[Any], code: Code, message: str) -> Finding:
    return Finding(code=code, message=message, position=event.position, stream=event.stream, version=event.version)
