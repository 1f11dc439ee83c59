"""What happened to a title or a person, one line an event, with both clocks: recorded and effective."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from registry.catalogue.adoption import ReferenceDataAdopted
from registry.holders.holder import (
    ErasureProposed,
    ErasureRefused,
    HolderErased,
    HolderRegistered,
    HolderRenamed,
    IdentityLinked,
    LegalHoldLifted,
    LegalHoldPlaced,
)
from registry.keyset.keyset import KeySetPublished
from registry.log.facts import ERASED, FACTS, NAMES, Private, Recorded
from registry.officers.officer import OfficerRegistered, RoleGranted, RoleProposed, RoleRefused, RoleWithdrawn
from registry.paper.application import PaperApproved, PaperRefused, PaperReturned, PaperSubmitted
from registry.requests.request import DataRequestAnswered, DataRequestMade
from registry.titles.code import format_code
from registry.titles.decisions import WORDS
from registry.titles.events import (
    CertificatePrepared,
    CertificateSigned,
    Decided,
    DecisionProposed,
    DecisionRefused,
    DecisionReturned,
    PaperMatched,
    Particulars,
    TitleAwarded,
    TitleCorrected,
    TitleInvalidated,
    TitleReinstated,
    TitleRevoked,
    TitleSuspended,
)

_WORDS: dict[type, str] = {
    TitleAwarded: "授予",
    PaperMatched: "对上纸质证书",
    DecisionProposed: "提议",
    DecisionRefused: "不同意提议",
    DecisionReturned: "退回提议修改",
    TitleRevoked: "撤销",
    TitleInvalidated: "注销",
    TitleSuspended: "暂停",
    TitleReinstated: "恢复",
    TitleCorrected: "更正",
    CertificatePrepared: "证书预备",
    CertificateSigned: "证书签发",
    PaperSubmitted: "提交换发申请",
    PaperApproved: "同意换发",
    PaperRefused: "不予换发",
    PaperReturned: "退回申请修改",
    HolderRegistered: "登记持证人",
    HolderRenamed: "姓名变更或更正",
    IdentityLinked: "关联证件",
    ErasureProposed: "提议删除个人信息",
    ErasureRefused: "不同意删除个人信息",
    HolderErased: "删除个人信息",
    LegalHoldPlaced: "保全个人信息",
    LegalHoldLifted: "解除保全",
    DataRequestMade: "提出个人信息请求",
    DataRequestAnswered: "答复个人信息请求",
    OfficerRegistered: "登记人员",
    RoleProposed: "提议授予角色",
    RoleGranted: "授予角色",
    RoleRefused: "不同意授予角色",
    RoleWithdrawn: "收回角色",
    KeySetPublished: "公布密钥集",
    ReferenceDataAdopted: "采用参考数据",
}
FIELDS = {
    "series": "系列",
    "specialty": "专业",
    "level": "级别",
    "title_name": "资格名称",
    "obtained": "取得方式",
    "committee": "评审委员会",
    "committee_key": "计划行号",
    "approval_document": "批准文号",
    "awarded_on": "取得资格时间",
    "published_on": "公布日期",
    "issued_on": "发证日期",
    "authority": "发证机关",
    "number": "证书编号",
}


def word_of(name: str) -> str:
    """What a stored fact is called in Chinese."""
    return _WORDS.get(FACTS[name], name)


def reason(private: Private[Any]) -> str:
    """The text of a reason, or that it was erased."""
    found = private.get()
    return found.text if found else ERASED


def hidden(_: Private[Any]) -> str:
    """What stands for a reason where the person is not seen."""
    return "（不公开）"


def timeline(events: Sequence[Recorded[Any]], shown: Callable[[Private[Any]], str] = hidden) -> list[dict[str, Any]]:
    """One entry for each event of a title, oldest first; `shown` says what stands for a reason."""
    entries, award = list[dict[str, Any]](), None
    for event in events:
        entries.append(_entry(event, award, shown))
        award = getattr(event.fact, "award", award)
    return entries


def _entry(event: Recorded[Any], before: Particulars | None, shown: Callable[[Private[Any]], str]) -> dict[str, Any]:
    fact = event.fact
    return {
        "version": event.version,
        "recorded_at": event.recorded_at,
        "effective_on": fact.award.awarded_on
        if isinstance(fact, TitleAwarded)
        else getattr(fact, "effective_on", None),
        "event": NAMES[type(fact)],
        "what": _WORDS[type(fact)] + (WORDS[fact.kind] if isinstance(fact, DecisionProposed) else ""),
        "actor": event.actor,
        "document": fact.award.approval_document
        if isinstance(fact, TitleAwarded)
        else getattr(fact, "document_no", None),
        "detail": _detail(fact, before, shown),
    }


def _detail(fact: Any, before: Particulars | None, shown: Callable[[Private[Any]], str]) -> str:
    match fact:
        case TitleAwarded(paper=paper) | PaperMatched(paper=paper) if paper:
            return f"依据纸质证书 {paper.number}"
        case DecisionProposed():
            return f"提议 {_serial(fact)}：{shown(fact.reason)}"
        case DecisionRefused() | DecisionReturned():
            return f"提议 {_serial(fact)}：{shown(fact.reason)}"
        case TitleCorrected():
            return "；".join(f"{name}：{old} → {new}" for name, old, new in differences(before, fact.award))
        case Decided():
            return f"按 {fact.proposed_by} 的提议 {_serial(fact)}"
        case CertificatePrepared():
            return f"第 {fact.version} 版，{format_code(fact.code)}"
        case CertificateSigned():
            return f"第 {fact.version} 版，密钥 {fact.kid}"
    return ""


def _serial(fact: Any) -> str:
    """What follows the title's id in the id of a proposal; the rest is the same on every line."""
    return str(fact.proposal).rpartition(".")[2]


def differences(before: Particulars | None, after: Particulars) -> list[tuple[str, str, str]]:
    """The fields that differ: name in Chinese, old and new value."""
    old, new = (msgspec.structs.asdict(one) if one else {} for one in (before, after))
    return [(FIELDS[name], _text(old.get(name)), _text(new[name])) for name in FIELDS if old.get(name) != new[name]]


def _text(value: object) -> str:
    return "（空）" if value is None else str(getattr(value, "zh", value))
