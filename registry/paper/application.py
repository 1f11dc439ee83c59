"""One application to turn a pre-2007 paper certificate into an electronic one (notice 一(一); journey 1).

Submitted with a scan kept by its hash and the particulars as on the paper, approved by a second officer over the same
content, returned to be changed and submitted again, or refused with a reason. Applying twice yields one application
and one award.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from registry.errors import BadInput, CorruptHistory, NeedsSecondOfficer, Refused, WrongState
from registry.log.changes import Claim
from registry.log.facts import Fact, Private, Recorded, stored
from registry.log.kind import Kind
from registry.terms import Obtained
from registry.titles.content import PaperOrigin
from registry.titles.events import Particulars, Reason

# Events


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """A scan or photo: SHA-256 (hex) of its bytes, what it shows, its media type and size in bytes."""

    sha256: str
    role: str
    media_type: str
    size: int


@stored("paper-submitted/1")
class PaperSubmitted(Fact, frozen=True, kw_only=True):
    """The particulars as on the paper, with evidence. `digest` is what the second officer approves."""

    holder: str
    award: Particulars
    paper: PaperOrigin
    evidence: tuple[Evidence, ...]
    digest: str
    employer: Private[str] | None = None


@stored("paper-approved/1")
class PaperApproved(Fact, frozen=True, kw_only=True):
    """A second officer found the paper good. `existing` tells that the award was already registered."""

    title: str
    existing: bool = False


@stored("paper-refused/1")
class PaperRefused(Fact, frozen=True, kw_only=True):
    """Refused, with a reason; the holder may apply again."""

    holder: str
    reason: Private[Reason]


@stored("paper-returned/1")
class PaperReturned(Fact, frozen=True, kw_only=True):
    """退回修改: the second officer wants the application changed; it may be submitted again, changed."""

    holder: str
    reason: Private[Reason]


# State


class Application(msgspec.Struct, frozen=True, gc=False):
    """An application as it stands: open, returned, approved (with its title) or refused.

    `fact` is what was submitted last. `reason` is why it was returned or refused.
    """

    id: str
    fact: PaperSubmitted
    submitted_by: str
    submitted_at: datetime
    state: str = "open"
    decided_by: str | None = None
    decided_at: datetime | None = None
    title: str | None = None
    reason: Private[Reason] | None = None


def evolve(application: Application | None, event: Recorded[Any]) -> Application:
    """Fold one fact into the state. Never judges."""
    match application, event.fact:
        case None, PaperSubmitted() as fact:
            return Application(event.stream, fact, event.actor, event.recorded_at)
        case Application(state="returned"), PaperSubmitted() as fact:
            return Application(event.stream, fact, event.actor, event.recorded_at)
        case Application(), PaperReturned() as fact:
            return msgspec.structs.replace(
                application, state="returned", decided_by=event.actor, decided_at=event.recorded_at, reason=fact.reason
            )
        case Application(), PaperApproved() as fact:
            return msgspec.structs.replace(
                application, state="approved", decided_by=event.actor, decided_at=event.recorded_at, title=fact.title
            )
        case Application(), PaperRefused() as fact:
            return msgspec.structs.replace(
                application, state="refused", decided_by=event.actor, decided_at=event.recorded_at, reason=fact.reason
            )
    raise CorruptHistory(f"{event.stream} version {event.version}: {type(event.fact).__name__} cannot follow")


def paper_key(holder: str, award: Particulars) -> str:
    """The claim key: one application of a holder for one paper number of one authority."""
    return "|".join((holder, award.authority, award.number))


def claims(application: Application, _: Callable[[str], str] | None) -> frozenset[Claim]:
    """An application that was not refused keeps a second one from being opened."""
    if application.state == "refused":
        return frozenset()
    return frozenset({Claim("paper", paper_key(application.fact.holder, application.fact.award))})


APPLICATIONS = Kind("paper", evolve, claims)

# Decide


class PaperRules(msgspec.Struct, frozen=True):
    """Which papers may be converted.

    The notice says 2007年以后 for titles that have electronic certificates and 2007年以前 for those that may apply, so
    2007 itself is ambiguous. The default lets a paper of 2007 apply (`before` is 2008-01-01): whoever already has an
    electronic certificate is refused for that reason, not for the year. Only titles won by review are promised.
    """

    before: date = date(2008, 1, 1)
    obtained: tuple[Obtained, ...] = (Obtained.REVIEW,)


def content_digest(holder: str, award: Particulars, paper: PaperOrigin, evidence: Sequence[Evidence]) -> str:
    """SHA-256 (hex) over what the second officer approves, as canonical JSON."""
    content = {"holder": holder, "award": award, "paper": paper, "evidence": evidence}
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def submit(
    holder: str,
    award: Particulars,
    paper: PaperOrigin,
    evidence: Sequence[Evidence],
    employer: str | None,
    rules: PaperRules,
    application: Application | None,
) -> Sequence[Fact]:
    """Submit once, and again with other content after it was returned; the same application again is no fact.

    Raise BadInput without evidence, Refused for a date or way of obtaining outside the rules, WrongState if another
    content is already under way for this paper.
    """
    digest = content_digest(holder, award, paper, evidence)
    if application is not None:
        if _is_same(application, digest, employer):
            return []
        if application.state != "returned":
            raise WrongState("同一纸质证书已有申请，内容与本次不同", fix="先处理已有的申请（批准或退回），再重新提交")
    _check_rules(award, paper, evidence, rules)
    return [
        PaperSubmitted(
            holder=holder,
            award=award,
            paper=paper,
            evidence=tuple(evidence),
            digest=digest,
            employer=Private(employer) if employer else None,
        )
    ]


def _is_same(application: Application, digest: str, employer: str | None) -> bool:
    """Whether nothing was changed. The digest does not cover the employer: of a returned one that may be what was."""
    said = application.fact.employer
    changed = application.state == "returned" and (said.get() if said else None) != (employer or None)
    return application.fact.digest == digest and not changed


def _check_rules(award: Particulars, paper: PaperOrigin, evidence: Sequence[Evidence], rules: PaperRules) -> None:
    if not any(one.role == "scan" for one in evidence):
        raise BadInput("没有纸质证书的扫描件或照片", fix="附上纸质证书的扫描件或照片（PDF、PNG 或 JPEG）")
    if award.awarded_on >= rules.before:
        raise Refused(
            f"取得时间 {award.awarded_on} 不在换发范围（须早于 {rules.before}）：2007 年以后评审取得的职称已有电子证书",
            fix="按证书编号查验电子证书；没有的，请发证机关补录评审通过人员名单",
        )
    if award.obtained not in rules.obtained:
        raise Refused(
            f"取得方式为“{award.obtained.zh}”，换发限于评审取得的职称（丽人社〔2021〕53号 一（一））",
            fix="以其他方式取得的，向原发证机关查询",
        )
    if paper.issued_on and paper.issued_on < award.awarded_on:
        raise BadInput("纸质证书的发证日期早于取得时间", fix="对照纸质证书核对两个日期")


def approve(application: Application, title: str, *, existing: bool, officer: str, digest: str) -> Sequence[Fact]:
    """Approve as a second officer over the same content; approved already is no fact."""
    if application.state == "approved":
        return []
    _check_open(application)
    if application.submitted_by == officer:
        raise NeedsSecondOfficer("提交人不能批准自己的申请（须两名经办人）", fix="由另一名有权的经办人批准")
    if application.fact.digest != digest:
        raise NeedsSecondOfficer("批准的内容与申请的内容不一致", fix="重新打开申请，核对后再批准")
    return [PaperApproved(title=title, existing=existing)]


def refuse(application: Application, reason: str, *, salt: str) -> Sequence[Fact]:
    """Refuse an application that is open or was returned, with a reason."""
    if application.state != "returned":
        _check_open(application)
    if not reason.strip():
        raise BadInput("缺少不予换发的理由", fix="写明理由")
    return [PaperRefused(holder=application.fact.holder, reason=Private(Reason(reason.strip(), salt)))]


def return_(application: Application, reason: str, *, officer: str, salt: str) -> Sequence[Fact]:
    """退回修改: let an open application be changed and submitted again, with a reason.

    Raise NeedsSecondOfficer for the submitter, WrongState if it is not open.
    """
    _check_open(application)
    if application.submitted_by == officer:
        raise NeedsSecondOfficer("提交人不能退回自己的申请", fix="由另一名有权的经办人退回；不再申请的，由其不予换发")
    if not reason.strip():
        raise BadInput("缺少退回修改的理由", fix="写明要改什么")
    return [PaperReturned(holder=application.fact.holder, reason=Private(Reason(reason.strip(), salt)))]


def _check_open(application: Application) -> None:
    if application.state != "open":
        word = {"approved": "批准", "refused": "不予换发", "returned": "退回修改"}[application.state]
        raise WrongState(f"该申请已{word}", fix="查看申请的处理结果；已退回修改的，改正后重新提交")
