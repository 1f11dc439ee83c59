"""What the certificate says, in words: the statement, dates, remarks, and the names that errors give to the fields."""

from collections.abc import Iterator
from datetime import date

from registry.terms import Obtained
from registry.titles.content import CertificateContent

_OBTAINED = {
    Obtained.REVIEW: "经{committee}评审通过，",
    Obtained.EXAM_BASED: "经以考代评考试合格，",
    Obtained.EXAM_AND_REVIEW: "经{committee}考评结合评定，",
    Obtained.INITIAL_DETERMINATION: "经{committee}初定，",
    Obtained.AUTONOMOUS_EVALUATION: "经{committee}自主评聘，",
    Obtained.SERIES_CONVERSION: "经{committee}转评，",
    Obtained.QUALIFICATION_MATCH: "依照职业资格与职称的对应关系，",
    Obtained.RECOGNITION: "经确认，",
    Obtained.DIRECT_REPORT: "经{committee}直报，",
}

NO_VALUE = "—"
EQUAL_EFFECT = "电子证书与纸质证书具有同等效用（浙人社发〔2017〕117号）。"
NOT_OFFICIAL = "本版式由本系统设计，并非省统一版式。"
SAMPLE_NOTICE = "本件为样例：人物、编号均为虚构，不具法律效力。"


def statement(content: CertificateContent) -> str:
    """The sentence of award. Only a title obtained by 评审 says 评审通过 (notice, section 1.1)."""
    way = _OBTAINED[content.obtained].format(committee=content.committee)
    return f"{way}取得下列专业技术资格，特发此证。"


def remarks(content: CertificateContent) -> str:
    """All remarks as one paragraph: first the paper certificate that this one replaces, then the others."""
    return "".join(_sentences(content)) or NO_VALUE


def _sentences(content: CertificateContent) -> Iterator[str]:
    if content.paper:
        issued = f"，发证日期：{civil(content.paper.issued_on)}" if content.paper.issued_on else ""
        yield f"依据纸质证书换发。原纸质证书编号：{content.paper.number}{issued}。"
    for remark in content.remarks:
        yield remark if remark.endswith(("。", "；", ".")) else remark + "。"


def civil(day: date) -> str:
    """A date as it is written on certificates: 1998年11月20日."""
    return f"{day.year}年{day.month}月{day.day}日"


def month(born: str | None) -> str:
    """A month of birth, stored as `1961-03`, as 1961年3月. Anything else is printed as it is stored."""
    if born is None:
        return NO_VALUE
    year, mark, number = born.partition("-")
    if mark and year.isdecimal() and number.isdecimal():
        return f"{int(year)}年{int(number)}月"
    return born


def shown_address(base_url: str) -> str:
    """The address to type. `https://` goes without saying; plain http is said."""
    return f"{base_url.removeprefix('https://')}/v"
