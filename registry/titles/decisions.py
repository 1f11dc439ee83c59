"""Revocation, invalidation, suspension, reinstatement, correction: proposed by one officer, approved by another.

The approver approves a digest: content that changed since is refused. A proposal lapses after 72 hours.
"""

import hashlib
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import msgspec

from registry.errors import BadInput, NeedsSecondOfficer, NotFound, WrongState
from registry.log.facts import Fact, Private
from registry.terms import Status, civil_date
from registry.titles.events import (
    DecisionKind,
    DecisionProposed,
    DecisionRefused,
    DecisionReturned,
    Particulars,
    Reason,
    TitleCorrected,
    TitleInvalidated,
    TitleReinstated,
    TitleRevoked,
    TitleSuspended,
)
from registry.titles.state import Proposal, Title

PROPOSAL_LIFETIME = timedelta(hours=72)
WORDS = {
    DecisionKind.REVOCATION: "撤销",
    DecisionKind.INVALIDATION: "注销",
    DecisionKind.SUSPENSION: "暂停",
    DecisionKind.REINSTATEMENT: "恢复",
    DecisionKind.CORRECTION: "更正",
}
_FROM = {
    DecisionKind.REVOCATION: (Status.VALID, Status.SUSPENDED, Status.INVALIDATED),
    DecisionKind.INVALIDATION: (Status.VALID, Status.SUSPENDED),
    DecisionKind.SUSPENSION: (Status.VALID,),
    DecisionKind.REINSTATEMENT: (Status.REVOKED, Status.INVALIDATED, Status.SUSPENDED),
    DecisionKind.CORRECTION: (Status.VALID, Status.SUSPENDED),
}
_FACTS = {
    DecisionKind.REVOCATION: TitleRevoked,
    DecisionKind.INVALIDATION: TitleInvalidated,
    DecisionKind.SUSPENSION: TitleSuspended,
    DecisionKind.REINSTATEMENT: TitleReinstated,
}


class ProposeDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The command to propose. `effective_on` None: the day of the award for 撤销, else today (civil date)."""

    kind: DecisionKind
    document_no: str
    authority: str
    reason: str
    effective_on: date | None = None
    corrected: Particulars | None = None


def content_digest(title: str, fact: DecisionProposed) -> str:
    """SHA-256 (hex) over everything the approver approves, as canonical JSON."""
    content = {
        "title": title,
        "kind": fact.kind,
        "effective_on": fact.effective_on,
        "document_no": fact.document_no,
        "authority": fact.authority,
        "reason": fact.reason.reveal(),
        "corrected": fact.corrected,
    }
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def propose(
    command: ProposeDecision, title: Title, *, officer: str, proposal: str, salt: str, now: datetime
) -> Sequence[Fact]:
    """Propose a decision; the same officer's same open proposal again is no fact, unless it has lapsed.

    Raise WrongState if the title does not stand so that it could follow, BadInput for a missing document or reason.
    """
    check_possible(command.kind, title)
    effective_on = _effective_on(command, title, now)
    _check_content(command, title, effective_on)
    if find_same(command, title, officer, now):
        return []
    fact = DecisionProposed(
        holder=title.holder,
        proposal=proposal,
        kind=command.kind,
        effective_on=effective_on,
        document_no=command.document_no.strip(),
        authority=command.authority,
        reason=Private(Reason(command.reason.strip(), salt)),
        digest="",
        corrected=command.corrected,
    )
    return [msgspec.structs.replace(fact, digest=content_digest(title.id, fact))]


def check_possible(kind: DecisionKind, title: Title) -> None:
    """Raise WrongState if the decision cannot follow from how the title stands."""
    status, _ = title.standing(None)
    if status not in _FROM[kind]:
        raise WrongState(
            f"该职称现为“{status.zh}”，不能{WORDS[kind]}", fix="查看该职称的历史；确有需要的先作相应的决定"
        )


def _check_content(command: ProposeDecision, title: Title, effective_on: date) -> None:
    if not command.document_no.strip():
        raise BadInput("缺少决定文号", fix="填写作出决定的文件号，例如 丽人社撤〔2026〕2号")
    if not command.reason.strip():
        raise BadInput("缺少理由", fix="写明理由和依据；理由不对外公开")
    if effective_on < title.award.awarded_on:
        raise BadInput(f"生效日期 {effective_on} 早于取得日期 {title.award.awarded_on}", fix="改正生效日期")
    if (command.kind is DecisionKind.CORRECTION) != (command.corrected is not None):
        raise BadInput("更正须写明改正后的内容，其他决定不得带改正内容", fix="用更正（correct）写明字段和新值")
    right = command.corrected
    if right and not all(text.strip() for text in (right.number, right.series, right.specialty, right.title_name)):
        raise BadInput("改正后的编号、系列、专业和资格名称不能为空", fix="写明新值；没有编号的不能更正为空")
    if command.corrected is not None and command.corrected == title.award:
        raise BadInput("改正后的内容与现有内容相同", fix="写明要改的字段和新值")


def _effective_on(command: ProposeDecision, title: Title, now: datetime) -> date:
    by_rule = title.award.awarded_on if command.kind is DecisionKind.REVOCATION else civil_date(now)
    return command.effective_on or by_rule


def find_same(command: ProposeDecision, title: Title, officer: str, now: datetime) -> Proposal | None:
    """The officer's own open proposal of just this content, or None if there is none or it has lapsed."""
    document, reason = command.document_no.strip(), command.reason.strip()
    effective_on = _effective_on(command, title, now)
    wanted = (command.kind, effective_on, document, command.authority, command.corrected, reason)
    for one in title.proposals:
        fact = one.fact
        said = (
            fact.kind,
            fact.effective_on,
            fact.document_no,
            fact.authority,
            fact.corrected,
            fact.reason.reveal().text,
        )
        if one.proposed_by == officer and said == wanted and not _lapsed(one, now):
            return one
    return None


def _lapsed(proposal: Proposal, now: datetime) -> bool:
    return now - proposal.proposed_at > PROPOSAL_LIFETIME


def approve(title: Title, proposal: str, *, officer: str, digest: str, now: datetime) -> Sequence[Fact]:
    """Approve a proposal over exactly this digest; one that this title already carries out is no fact.

    Raise NeedsSecondOfficer for the proposer's own approval or other content, WrongState if it lapsed or no longer
    follows, NotFound if there is none.
    """
    if proposal in title.corrections or any(one.fact.proposal == proposal for one in title.decisions):
        return []
    open_ = find_open(title, proposal)
    if open_.proposed_by == officer:
        raise NeedsSecondOfficer("提议人不能批准自己的提议（须两名经办人）", fix="由另一名有权的经办人批准")
    if digest != open_.fact.digest or content_digest(title.id, open_.fact) != digest:
        raise NeedsSecondOfficer("批准的内容与提议的内容不一致", fix="重新打开提议，核对后再批准")
    if _lapsed(open_, now):
        raise WrongState("提议已超过 72 小时，自动失效", fix="重新提议")
    check_possible(open_.fact.kind, title)
    return [_decided(open_)]


def find_open(title: Title, proposal: str) -> Proposal:
    """The open proposal, or NotFound."""
    open_ = title.proposal(proposal)
    if open_ is None:
        raise NotFound(f"没有待处理的提议 {proposal}", fix="用 proposals list 查看待处理的提议")
    return open_


def particulars_after(title: Title, fact: Fact) -> Particulars | None:
    """What the title is to be by a correction or reinstatement, proposed or approved; None for any other fact."""
    if isinstance(fact, DecisionProposed) and fact.kind in (DecisionKind.CORRECTION, DecisionKind.REINSTATEMENT):
        return fact.corrected or title.award
    if isinstance(fact, TitleCorrected):
        return fact.award
    return title.award if isinstance(fact, TitleReinstated) else None


def _decided(open_: Proposal) -> Fact:
    about: dict[str, Any] = {
        "proposal": open_.fact.proposal,
        "proposed_by": open_.proposed_by,
        "effective_on": open_.fact.effective_on,
        "document_no": open_.fact.document_no,
        "authority": open_.fact.authority,
    }
    if open_.fact.corrected is not None:
        return TitleCorrected(**about, award=open_.fact.corrected)
    return _FACTS[open_.fact.kind](**about)


def refuse(title: Title, proposal: str, reason: str, *, salt: str) -> Sequence[Fact]:
    """Close a proposal without effect, with a reason. Anyone in scope may, the proposer by way of withdrawal."""
    open_ = find_open(title, proposal)
    if not reason.strip():
        raise BadInput("缺少不同意的理由", fix="写明理由")
    return [
        DecisionRefused(holder=title.holder, proposal=open_.fact.proposal, reason=Private(Reason(reason.strip(), salt)))
    ]


def return_(title: Title, proposal: str, reason: str, *, officer: str, salt: str) -> Sequence[Fact]:
    """退回修改: close a proposal so that its proposer may propose it anew, changed; with a reason.

    Raise NeedsSecondOfficer for the proposer, who withdraws it instead; NotFound if it is not open.
    """
    open_ = find_open(title, proposal)
    if open_.proposed_by == officer:
        raise NeedsSecondOfficer("提议人不能退回自己的提议", fix="要撤回的，用 refuse 撤回后重新提议")
    if not reason.strip():
        raise BadInput("缺少退回修改的理由", fix="写明要改什么")
    sealed = Private(Reason(reason.strip(), salt))
    return [DecisionReturned(holder=title.holder, proposal=open_.fact.proposal, reason=sealed)]
