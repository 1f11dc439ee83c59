"""Certificates of synthetic people, an issuer of their own, and a token with real claims. Nobody here exists."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from keys.cose import sign1
from keys.custody import DocumentSigner
from keys.issuing import issue_certificate, make_root
from keys.signing import Purpose, Signer
from registry.terms import Level, Obtained, Sex
from registry.titles.code import draw_code
from registry.titles.content import CertificateContent, PaperOrigin
from registry.titles.token import TYP, payload

MADE = datetime(2026, 3, 1, tzinfo=UTC)
CODE = draw_code(lambda size: bytes(range(7, 7 + size)))

ORDINARY = CertificateContent(
    code=CODE,
    version=1,
    base_url="https://zc.example.cn",
    authority="331100",
    authority_name="丽水市人力资源和社会保障局",
    number="33112021G0100427",
    name="林晓岚",
    name_masked="林*岚",
    sex=Sex.FEMALE,
    born_month="1985-03",
    identity_masked="331102********0042",
    series="工程技术人员",
    specialty="建筑工程",
    level=Level.SENIOR_ASSOCIATE,
    title_name="高级工程师",
    obtained=Obtained.REVIEW,
    committee="丽水市建设工程技术人员高级工程师职务任职资格评审委员会",
    awarded_on=date(2021, 11, 20),
    approval_document="丽人社〔2021〕127号",
    issued_on=date(2026, 3, 2),
    sample=True,
)


def changed(**fields: Any) -> CertificateContent:
    """The ordinary certificate with other fields."""
    return msgspec.structs.replace(ORDINARY, **fields)


FROM_PAPER = changed(
    name="龚㛃䶮",
    name_masked="龚*䶮",
    number="浙丽 9801-0427",
    committee="丽水地区工程技术人员高级工程师职务任职资格评审委员会",
    awarded_on=date(1998, 11, 20),
    approval_document="丽署职改〔1998〕27号",
    paper=PaperOrigin("浙丽 9801-0427", date(1998, 12, 28)),
    version=2,
)
STRESS = changed(
    name="阿卜杜热合曼·麦麦提吐尔逊·伊敏尼亚孜·买买提依明江·阿布都克里木·古丽巴哈尔·阿依努尔江·艾力",
    name_masked="阿***力",
    committee="丽水市水利、交通、园林和建设工程技术人员高级工程师（正高级工程师）职务任职资格评审委员会"
    "（景宁畲族自治县畜牧兽医与农业技术推广第二评审组）",
    authority_name="景宁畲族自治县人力资源和社会保障局",
    title_name="高级农业技术推广研究员（畜牧兽医与水产养殖方向）",
    series="农业技术人员（畜牧兽医）",
    specialty="农业资源与生态环境保护（农村能源与废弃物循环利用）",
    approval_document="丽人社〔2021〕127号、景人社〔2021〕35号、景人社〔2022〕2号",
    number="331127-2021-ABCDEFGHIJK-000427",
    paper=PaperOrigin("浙丽 9801-0427", None),
    remarks=("2021年3月因姓名变更换发，原证书（第1版）已换发为本证书", "更正批准文号，见丽人社更〔2023〕8号。"),
    version=3,
    base_url="https://certificates.zyjs.rlsbj.lishui.zhejiang.example.gov.cn",
    sex=None,
    born_month=None,
)


@dataclass(frozen=True)
class Issuer:
    """A root, a signer under it, and the key of the tokens."""

    root: x509.Certificate
    signer: DocumentSigner
    tokens: Signer

    def token(self, content: CertificateContent = ORDINARY) -> bytes:
        """The signed token of that content."""
        return sign1(self.tokens, TYP, payload(content, None))


def new_issuer(organisation: str = "样例市人力资源和社会保障局", now: datetime = MADE) -> Issuer:
    """An issuer with fresh keys, whose certificates begin at that time."""
    root_key, key = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    root = make_root(root_key, organisation, now)
    signer = DocumentSigner(key, issue_certificate(key.public_key(), root, root_key, now), (root,))
    return Issuer(root, signer, Signer(generate_private_key(SECP256R1()), Purpose.E_CERTIFICATE))
