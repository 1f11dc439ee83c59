"""What can happen to a title: award, decisions by two officers, certificates. Stored names are contracts."""

from datetime import date
from enum import StrEnum
from typing import Any

import msgspec

from registry.log.facts import Fact, Private, stored, upcast
from registry.terms import Level, Obtained
from registry.titles.content import CertificateContent, PaperOrigin


class Particulars(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What was awarded, as awarded; three dates kept apart. `number` is opaque and unique within `authority`."""

    series: str
    specialty: str
    level: Level
    title_name: str
    obtained: Obtained
    committee: str
    committee_key: str | None = None
    approval_document: str
    awarded_on: date
    published_on: date | None = None
    issued_on: date | None = None
    authority: str
    number: str


class Reason(msgspec.Struct, frozen=True, gc=False):
    """Why, in the officer's words. The salt keeps the content digest from being guessed after erasure."""

    text: str
    salt: str


class DecisionKind(StrEnum):
    """The decisions that need two officers. 撤销, 注销, 暂停, 恢复 and 更正 are different facts."""

    REVOCATION = "revocation"
    INVALIDATION = "invalidation"
    SUSPENSION = "suspension"
    REINSTATEMENT = "reinstatement"
    CORRECTION = "correction"


@stored("title-awarded/1")
class TitleAwarded(Fact, frozen=True, kw_only=True):
    """授予: the title was obtained. `paper` and `application` tell of a converted pre-2007 certificate."""

    holder: str
    award: Particulars
    employer: Private[str] | None = None
    paper: PaperOrigin | None = None
    application: str | None = None


@stored("paper-matched/1")
class PaperMatched(Fact, frozen=True, kw_only=True):
    """A pre-2007 paper certificate was found to be of this title, which had been registered already."""

    application: str
    paper: PaperOrigin


@stored("decision-proposed/1")
class DecisionProposed(Fact, frozen=True, kw_only=True):
    """One officer proposed a decision. `digest` covers the whole content, the reason included."""

    holder: str
    proposal: str
    kind: DecisionKind
    effective_on: date
    document_no: str
    authority: str
    reason: Private[Reason]
    digest: str
    corrected: Particulars | None = None


@stored("decision-refused/1")
class DecisionRefused(Fact, frozen=True, kw_only=True):
    """Another officer (or the proposer, withdrawing) closed a proposal without effect."""

    holder: str
    proposal: str
    reason: Private[Reason]


@stored("decision-returned/1")
class DecisionReturned(Fact, frozen=True, kw_only=True):
    """退回修改: the second officer wants the proposal changed; it is closed, and its proposer may propose it anew."""

    holder: str
    proposal: str
    reason: Private[Reason]


class Decided(Fact, frozen=True, kw_only=True):
    """What every approved decision says. The actor of the event is the approver."""

    proposal: str
    proposed_by: str
    effective_on: date
    document_no: str
    authority: str


@stored("title-revoked/1")
class TitleRevoked(Decided, frozen=True, kw_only=True):
    """撤销: obtained wrongly; void from its effective date, as a rule the day of the award."""


@stored("title-invalidated/1")
class TitleInvalidated(Decided, frozen=True, kw_only=True):
    """注销: closed without fault, from its effective date on."""


@stored("title-suspended/1")
class TitleSuspended(Decided, frozen=True, kw_only=True):
    """暂停: not to be relied on from its effective date until reinstated."""


@stored("title-reinstated/1")
class TitleReinstated(Decided, frozen=True, kw_only=True):
    """恢复: valid again from its effective date."""


@stored("title-corrected/1")
class TitleCorrected(Decided, frozen=True, kw_only=True):
    """更正: the particulars had been recorded wrongly; `award` is the whole of what is right."""

    award: Particulars


@stored("certificate-prepared/1")
class CertificatePrepared(Fact, frozen=True, kw_only=True):
    """What will be signed, stored before it is signed: the whole content, and the key that will sign."""

    holder: str
    version: int
    code: str
    kid: str
    content: Private[CertificateContent]


@stored("certificate-signed/2")
class CertificateSigned(Fact, frozen=True, kw_only=True):
    """签发: the prepared content was signed. The signature is that of the token (COSE_Sign1, ES256).

    `leaf` is the index of the prepared event in the transparency log; the token carries it. `digest` is the SHA-256
    of what was signed (the Sig_structure of RFC 9052 section 4.4), so that anyone can verify the signature without
    the sealed content. It tells no more of the content than the signature does, which can be tried just as well.
    """

    version: int
    kid: str
    signature: bytes
    leaf: int | None = None
    digest: bytes | None = None


@upcast("certificate-signed/1", to="certificate-signed/2")
def _signed_1(fields: dict[str, Any]) -> dict[str, Any]:
    """Before there was a transparency log: neither a leaf index nor a digest."""
    return fields
