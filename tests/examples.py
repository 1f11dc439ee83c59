"""One example of every stored fact, with boxes that hold no secret; and of every value that lies sealed in a box.

They are what the golden files hold. A changed shape is a new stored name with an upcast, never a changed example.
"""

from datetime import date
from typing import Any

from registry.catalogue.adoption import PlanAdopted, ReferenceDataAdopted
from registry.holders.holder import (
    ErasureBasis,
    ErasureProposed,
    ErasureRefused,
    HolderErased,
    HolderRegistered,
    HolderRenamed,
    IdentityLinked,
    LegalHoldLifted,
    LegalHoldPlaced,
)
from registry.holders.person import Identity, Person
from registry.keyset.keyset import Approval, KeySetPublished
from registry.log.facts import Fact, Private
from registry.officers.officer import OfficerRegistered, RoleGranted, RoleProposed, RoleRefused, RoleWithdrawn, Staff
from registry.paper.application import Evidence, PaperApproved, PaperRefused, PaperReturned, PaperSubmitted
from registry.requests.request import DataRequestAnswered, DataRequestMade, Outcome, RequestKind
from registry.terms import IdentityKind, Level, Obtained, Role, Sex
from registry.titles.content import CertificateContent, PaperOrigin
from registry.titles.events import (
    CertificatePrepared,
    CertificateSigned,
    DecisionKind,
    DecisionProposed,
    DecisionRefused,
    DecisionReturned,
    PaperMatched,
    Particulars,
    Reason,
    TitleAwarded,
    TitleCorrected,
    TitleInvalidated,
    TitleReinstated,
    TitleRevoked,
    TitleSuspended,
)

_BOX: Private[Any] = Private(box=b"a sealed box")
_AWARD = Particulars(
    series="工程技术人员",
    specialty="建筑工程",
    level=Level.SENIOR_ASSOCIATE,
    title_name="高级工程师",
    obtained=Obtained.REVIEW,
    committee="丽水市建设工程专业高级工程师评审委员会",
    committee_key="A1-1-09",
    approval_document="丽人社〔2021〕100号",
    awarded_on=date(2021, 9, 20),
    published_on=date(2021, 10, 8),
    issued_on=date(2021, 11, 1),
    authority="331100",
    number="浙丽 0098-0427",
)
_DECIDED: dict[str, Any] = {
    "proposal": "title-01KJP2N7E05FW6HCYB9ZWZ0ZTN.2",
    "proposed_by": "clerk-01",
    "effective_on": date(2021, 9, 20),
    "document_no": "丽人社撤〔2026〕2号",
    "authority": "331100",
}
_HOLDER, _TITLE = "holder-01KJP2N7E0Q9KX5Z5T4S1N3V8C", "title-01KJP2N7E05FW6HCYB9ZWZ0ZTN"
_OFFICER, _GRANT = "officer-331121-clerk-07", "officer-331121-clerk-07.2"
_ERASED: dict[str, Any] = {
    "proposal": f"{_HOLDER}.4",
    "basis": ErasureBasis.RETENTION_OVER,
    "document_no": "丽人社删〔2026〕1号",
    "authority": "331100",
}

EXAMPLES: dict[str, Fact] = {
    "holder-registered/1": HolderRegistered(holder=_HOLDER, person=_BOX),
    "holder-renamed/1": HolderRenamed(
        holder=_HOLDER, name=_BOX, basis="change", document_no="丽公〔2024〕12号", effective_on=date(2024, 5, 6)
    ),
    "identity-linked/1": IdentityLinked(holder=_HOLDER, identity=_BOX, document_no="丽公〔2025〕3号"),
    "title-awarded/1": TitleAwarded(
        holder=_HOLDER,
        award=_AWARD,
        employer=_BOX,
        paper=PaperOrigin("浙丽 9801-0427", date(1998, 12, 28)),
        application="paper-01KJP2N7E0D4ECNPBX61YMXDGG",
    ),
    "paper-matched/1": PaperMatched(
        application="paper-01KJP2N7E0D4ECNPBX61YMXDGG", paper=PaperOrigin("浙丽 9801-0427", date(1998, 12, 28))
    ),
    "decision-proposed/1": DecisionProposed(
        holder=_HOLDER,
        proposal=_DECIDED["proposal"],
        kind=DecisionKind.CORRECTION,
        effective_on=date(2021, 9, 20),
        document_no="丽人社更〔2026〕1号",
        authority="331100",
        reason=_BOX,
        digest="5e" * 32,
        corrected=_AWARD,
    ),
    "decision-refused/1": DecisionRefused(holder=_HOLDER, proposal=_DECIDED["proposal"], reason=_BOX),
    "decision-returned/1": DecisionReturned(holder=_HOLDER, proposal=_DECIDED["proposal"], reason=_BOX),
    "title-revoked/1": TitleRevoked(**_DECIDED),
    "title-invalidated/1": TitleInvalidated(**_DECIDED),
    "title-suspended/1": TitleSuspended(**_DECIDED),
    "title-reinstated/1": TitleReinstated(**_DECIDED),
    "title-corrected/1": TitleCorrected(**_DECIDED, award=_AWARD),
    "certificate-prepared/1": CertificatePrepared(
        holder=_HOLDER, version=2, code="7K3M9XQ4T2VD8HNRS", kid="ec-2026-1", content=_BOX
    ),
    "certificate-signed/2": CertificateSigned(
        version=2, kid="ec-2026-1", signature=bytes(range(64)), leaf=70_000, digest=bytes(range(32))
    ),
    "paper-submitted/1": PaperSubmitted(
        holder=_HOLDER,
        award=_AWARD,
        paper=PaperOrigin("浙丽 9801-0427", None),
        evidence=(Evidence("ab" * 32, "scan", "application/pdf", 12_345),),
        digest="5e" * 32,
        employer=_BOX,
    ),
    "paper-approved/1": PaperApproved(title=_TITLE, existing=True),
    "paper-refused/1": PaperRefused(holder=_HOLDER, reason=_BOX),
    "paper-returned/1": PaperReturned(holder=_HOLDER, reason=_BOX),
    "officer-registered/1": OfficerRegistered(holder=_OFFICER, staff=_BOX),
    "role-proposed/1": RoleProposed(
        grant=_GRANT, role=Role.APPROVER, authority="331121", document_no="丽人社授〔2026〕1号", digest="5e" * 32
    ),
    "role-granted/1": RoleGranted(grant=_GRANT, role=Role.APPROVER, authority="331121", proposed_by="chief-02"),
    "role-refused/1": RoleRefused(holder=_OFFICER, grant=_GRANT, reason=_BOX),
    "role-withdrawn/1": RoleWithdrawn(grant=_GRANT, document_no="丽人社授〔2026〕9号"),
    "erasure-proposed/1": ErasureProposed(holder=_HOLDER, digest="5e" * 32, **_ERASED),
    "erasure-refused/1": ErasureRefused(holder=_HOLDER, proposal=f"{_HOLDER}.4", reason=_BOX),
    "holder-erased/1": HolderErased(proposed_by="clerk-01", **_ERASED),
    "legal-hold-placed/1": LegalHoldPlaced(
        hold=f"{_HOLDER}.5", document_no="（2026）浙1102行初3号", authority="331100"
    ),
    "legal-hold-lifted/1": LegalHoldLifted(hold=f"{_HOLDER}.5", document_no="（2026）浙1102行初3号之二"),
    "data-request-made/1": DataRequestMade(holder=_HOLDER, kind=RequestKind.CORRECTION, text=_BOX),
    "data-request-answered/1": DataRequestAnswered(holder=_HOLDER, outcome=Outcome.REFUSED, text=_BOX),
    "key-set-published/1": KeySetPublished(
        version=2, document='{"type":"key-set/1","version":2}', approvals=(Approval("k7q2m4xa", bytes(range(64))),)
    ),
    "reference-data-adopted/1": ReferenceDataAdopted(
        digest="cd" * 32, plans=(PlanAdopted(2021, "丽人社〔2021〕53号", date(2021, 6, 2), 62),)
    ),
}

_IDENTITY = Identity(IdentityKind.RESIDENT_ID, "331102198001010019", alias="331102800101001", confirmed=True)
_REASON = Reason("申报材料不实", "00112233445566778899aabbccddeeff")
SEALED: dict[str, Any] = {
    "holder-registered/1.person": Person("林晓岚", _IDENTITY, Sex.MALE, date(1980, 1, 1), born_day_known=False),
    "holder-renamed/1.name": "阿卜杜热合曼·麦麦提",
    "identity-linked/1.identity": Identity(IdentityKind.PASSPORT, "E0000077", country="JPN"),
    "title-awarded/1.employer": "丽水地区第一建筑工程公司",
    "decision-proposed/1.reason": _REASON,
    "decision-refused/1.reason": _REASON,
    "paper-submitted/1.employer": "丽水地区第一建筑工程公司",
    "paper-refused/1.reason": _REASON,
    "paper-returned/1.reason": _REASON,
    "decision-returned/1.reason": _REASON,
    "role-refused/1.reason": _REASON,
    "officer-registered/1.staff": Staff("林晓岚", _IDENTITY, organisation="丽水市某某设计院"),
    "erasure-refused/1.reason": "申报材料仍在保管期限内",
    "data-request-made/1.text": "请更正我的姓名：林晓岚",
    "data-request-answered/1.text": "凭公安机关证明办理",
    "certificate-prepared/1.content": CertificateContent(
        code="7K3M9XQ4T2VD8HNRS",
        version=2,
        base_url="https://zc.example.cn",
        authority="331100",
        authority_name="丽水市人力资源和社会保障局",
        number="浙丽 0098-0427",
        name="林晓岚",
        sex=Sex.FEMALE,
        born_month="1980-01",
        identity_masked="331102********0019",
        series="工程技术人员",
        specialty="建筑工程",
        level=Level.SENIOR_ASSOCIATE,
        title_name="高级工程师",
        obtained=Obtained.REVIEW,
        committee="丽水市建设工程专业高级工程师评审委员会",
        awarded_on=date(2021, 9, 20),
        approval_document="丽人社〔2021〕100号",
        issued_on=date(2026, 3, 2),
        paper=PaperOrigin("浙丽 9801-0427", date(1998, 12, 28)),
        remarks=("第 2 版，此前版本已换发为本证书。",),
        template="lishui-a4/1",
        sample=True,
        name_masked="林*岚",
    ),
}

OLD: dict[str, Fact] = {
    # without a transparency log there was neither a leaf index nor a digest
    "certificate-signed/1": CertificateSigned(version=2, kid="ec-2026-1", signature=bytes(range(64))),
}
"""Names that are written no more, and what is read from them now."""
