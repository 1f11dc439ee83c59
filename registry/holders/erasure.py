"""Erase a person by two officers (PIPL 47), and keep a person from being erased while a legal hold stands.

Proposed by one officer with a document, approved by another over the same digest within 72 hours. An approval under a
legal hold is refused; a proposal is not: it may wait for the hold to end. Who was erased stays erased.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from registry.errors import BadInput, NeedsSecondOfficer, NotFound, WrongState
from registry.holders.holder import (
    ErasureBasis,
    ErasureProposal,
    ErasureProposed,
    ErasureRefused,
    Holder,
    HolderErased,
    LegalHoldLifted,
    LegalHoldPlaced,
)
from registry.log.facts import Fact, Private

PROPOSAL_LIFETIME = timedelta(hours=72)
WORDS = {
    ErasureBasis.REQUEST: "本人请求",
    ErasureBasis.RETENTION_OVER: "保存期限届满或目的已实现",
    ErasureBasis.UNLAWFUL: "违法或违约处理",
}


def content_digest(holder: str, basis: ErasureBasis, document_no: str, authority: str) -> str:
    """SHA-256 (hex) over what the second officer approves, as canonical JSON."""
    content = {"holder": holder, "basis": basis, "document_no": document_no, "authority": authority}
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def propose(
    holder: Holder,
    basis: ErasureBasis,
    document_no: str,
    authority: str,
    *,
    officer: str,
    proposal: str,
    now: datetime,
) -> Sequence[Fact]:
    """Propose to erase a person; the same officer's same open proposal again is no fact, unless it has lapsed.

    Raise BadInput without a document, WrongState for a person who was erased already.
    """
    if holder.erased:
        raise _erased()
    document_no = _document(document_no)
    if find_same(holder, basis, document_no, authority, officer=officer, now=now):
        return []
    digest = content_digest(holder.id, basis, document_no, authority)
    return [
        ErasureProposed(
            holder=holder.id,
            proposal=proposal,
            basis=basis,
            document_no=document_no,
            authority=authority,
            digest=digest,
        )
    ]


def find_same(
    holder: Holder, basis: ErasureBasis, document_no: str, authority: str, *, officer: str, now: datetime
) -> ErasureProposal | None:
    """The same officer's open proposal of the same content, if it has not lapsed."""
    digest = content_digest(holder.id, basis, document_no.strip(), authority)
    same = (one for one in holder.erasures if one.fact.digest == digest and one.proposed_by == officer)
    return next((one for one in same if not _lapsed(one, now)), None)


def find_open(holder: Holder, proposal: str) -> ErasureProposal:
    """The open proposal, or NotFound."""
    found = next((one for one in holder.erasures if one.fact.proposal == proposal), None)
    if found is None:
        raise NotFound(f"没有待处理的删除提议 {proposal}", fix="核对提议编号；用 holders show 查看该持证人")
    return found


def approve(holder: Holder, proposal: str, *, officer: str, digest: str, now: datetime) -> Sequence[Fact]:
    """Approve as a second officer over exactly this digest; a proposal that was carried out already is no fact.

    Raise NotFound, NeedsSecondOfficer for the proposer or another content, WrongState after 72 hours or under a hold.
    """
    if holder.erased and holder.erased.proposal == proposal:
        return []
    if holder.erased:
        raise _erased()
    open_ = find_open(holder, proposal)
    fact = open_.fact
    if open_.proposed_by == officer:
        raise NeedsSecondOfficer("提议人不能批准自己的删除提议（须两名经办人）", fix="由另一名有权的批准人批准")
    if digest != fact.digest or content_digest(holder.id, fact.basis, fact.document_no, fact.authority) != digest:
        raise NeedsSecondOfficer("批准的内容与提议的内容不一致", fix="重新打开提议，核对后再批准")
    if _lapsed(open_, now):
        raise WrongState("删除提议已超过 72 小时，自动失效", fix="重新提议")
    if holder.holds:
        documents = "、".join(one.document_no for one in holder.holds)
        raise WrongState(f"依 {documents} 保全中的个人信息不得删除", fix="待保全解除（holders hold lift）后再批准")
    return [
        HolderErased(
            proposal=proposal,
            proposed_by=open_.proposed_by,
            basis=fact.basis,
            document_no=fact.document_no,
            authority=fact.authority,
        )
    ]


def refuse(holder: Holder, proposal: str, reason: str) -> Sequence[Fact]:
    """Close a proposal without effect, with a reason; its proposer may withdraw it so."""
    find_open(holder, proposal)
    if not reason.strip():
        raise BadInput("缺少不同意删除的理由", fix="写明理由（个人信息保护法第五十条）")
    return [ErasureRefused(holder=holder.id, proposal=proposal, reason=Private(reason.strip()))]


def place_hold(holder: Holder, document_no: str, authority: str, *, hold: str) -> Sequence[Fact]:
    """Keep a person's data from being erased, by a document; a hold by the same document again is no fact.

    Raise BadInput without a document, WrongState for a person who was erased already.
    """
    if holder.erased:
        raise _erased()
    document_no = _document(document_no)
    if any((one.document_no, one.authority) == (document_no, authority) for one in holder.holds):
        return []
    return [LegalHoldPlaced(hold=hold, document_no=document_no, authority=authority)]


def find_hold(holder: Holder, hold: str) -> LegalHoldPlaced:
    """The hold that stands, or NotFound."""
    found = next((one for one in holder.holds if one.hold == hold), None)
    if found is None:
        raise NotFound(f"没有在保全中的 {hold}", fix="用 holders hold list 查看")
    return found


def lift_hold(holder: Holder, hold: str, document_no: str) -> Sequence[Fact]:
    """End a hold, by a document. Raise NotFound for one that does not stand, BadInput without a document."""
    find_hold(holder, hold)
    return [LegalHoldLifted(hold=hold, document_no=_document(document_no))]


def _lapsed(proposal: ErasureProposal, now: datetime) -> bool:
    return now - proposal.proposed_at > PROPOSAL_LIFETIME


def _document(document_no: str) -> str:
    if not document_no.strip():
        raise BadInput("缺少依据的文号", fix="填写决定、请求登记或保全文书的文号")
    return document_no.strip()


def _erased() -> WrongState:
    return WrongState("该持证人的个人信息已删除", fix="已删除的不能恢复，也不必再删除")
