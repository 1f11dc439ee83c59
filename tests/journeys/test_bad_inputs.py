"""Sixty-odd bad inputs by hand, through the doors that people use: each gets its own refusal and changes nothing."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from api.employers import check_file, check_text
from keys.errors import KeysError
from registry.conversion import Scan
from registry.errors import ListRefused, RegistryError
from registry.service import Registry
from registry.terms import Status
from registry.titles.decisions import ProposeDecision
from registry.titles.events import DecisionKind
from tests.people import CHIEF, CITY, CLERK, PDF, awarding, identity_number, person

GOOD = {
    "姓名": "周建国",
    "证件号码": identity_number(7),
    "评审委员会": "市建设工程技术人员中级专业技术职务任职资格评审委员会",
    "系列": "工程技术人员",
    "专业": "建筑工程",
    "级别": "中级",
    "资格名称": "工程师",
    "取得资格时间": "2021-10-18",
    "证书编号": "B-0001",
}
# the cell that is wrong, and the rule that must say so
ROWS = [
    ({"姓名": ""}, "required"),
    ({"姓名": "周 建国"}, "name-blank"),
    ({"姓名": "周建国2"}, "name-digits"),
    ({"姓名": "买买提•吐尔逊"}, "name-separator"),
    ({"姓名": "周\x07建国"}, "control-character"),
    ({"姓名": "周" * 120}, "too-long"),
    ({"证件号码": ""}, "required"),
    ({"证件号码": "3.31102E+17"}, "identity-rounded"),
    ({"证件号码": "33110219800101"}, "identity-length"),
    ({"证件号码": identity_number(7)[:-1] + "?"}, "identity-character"),
    ({"证件号码": "331102198013010017"}, "identity-birth-date"),
    ({"性别": "未知"}, "sex-unknown"),
    ({"出生日期": "1950-01-01"}, "born-conflict"),
    ({"评审委员会": "市不存在的评审委员会"}, "committee-unknown"),
    ({"评审委员会": "市经济专业人员中级专业技术职务任职资格评审委员会", "系列": "经济专业人员", "资格名称": "经济师"},
     "recommend-only"),
    ({"评审委员会": "青田县中小学教师中级专业技术职务任职资格评审委员会"}, "authority"),
    ({"系列": "工程师系列"}, "series-unknown"),
    ({"专业": ""}, "required"),
    ({"级别": "初级"}, "level-ambiguous"),
    ({"级别": "正高级", "资格名称": "正高级工程师"}, "level"),
    ({"级别": "最高"}, "level-unknown"),
    ({"资格名称": "农艺师"}, "title"),
    ({"取得方式": "赠送"}, "obtained-unknown"),
    ({"取得资格时间": ""}, "required"),
    ({"取得资格时间": "2021-02-30"}, "date-invalid"),
    ({"取得资格时间": "44487"}, "date-serial"),
    ({"取得资格时间": "2099-01-01"}, "date-future"),
    ({"取得资格时间": "1937-07-07"}, "date-too-early"),
    ({"取得资格时间": "去年秋天"}, "date-unreadable"),
    ({"取得资格时间": "10/11/2021"}, "date-ambiguous"),
    ({"取得资格时间": "2021-10-18", "公布日期": "2021-09-01"}, "date-order"),
    ({"证书编号": "B" * 70}, "too-long"),
    ({"证书编号": "=1+1"}, "formula-text"),
]  # fmt: skip


def as_csv(*rows: dict[str, str], headings: list[str] | None = None) -> bytes:
    """A list as CSV bytes."""
    out = io.StringIO()
    writer = csv.DictWriter(out, headings or list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def unchanged(registry: Registry, door: Callable[[], object]) -> RegistryError | KeysError:
    """Go through a door that must refuse, and see that nothing was written."""
    before = registry.log.head()
    with pytest.raises((RegistryError, KeysError)) as refused:
        door()
    assert registry.log.head() == before
    return refused.value


def take(registry: Registry, path: Path) -> None:
    registry.import_awards(path, authority=CITY, document="丽人社〔2021〕100号", officer=CLERK)


def test_the_good_row_is_good(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(as_csv(GOOD))
    assert registry.import_awards(path, authority=CITY, document="丽人社〔2021〕100号", officer=CLERK).awarded == 1


@pytest.mark.parametrize(("wrong", "rule"), ROWS, ids=lambda value: value if isinstance(value, str) else None)
def test_a_bad_row(registry: Registry, tmp_path: Path, wrong: dict[str, str], rule: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(as_csv({**GOOD, **wrong}))
    refused = unchanged(registry, lambda: take(registry, path))
    assert isinstance(refused, ListRefused)
    found = {error.rule for error in refused.errors}
    assert rule in found, found
    for error in refused.errors:
        assert (error.row, bool(error.column), bool(error.message), bool(error.fix)) == (2, True, True, True)


def test_rows_against_each_other_and_the_register(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    same_title = {**GOOD, "证书编号": "B-0002"}
    same_number = {**GOOD, "证件号码": identity_number(8)}
    for other, rule in ((same_title, "repeated-title"), (same_number, "repeated-number")):
        path.write_bytes(as_csv(GOOD, other))
        refused = unchanged(registry, lambda: take(registry, path))
        assert {error.rule for error in refused.errors} == {rule}  # type: ignore[union-attr]
    path.write_bytes(as_csv(GOOD))
    take(registry, path)
    for other, code, place in (
        (same_title, "already-awarded", ("G", "资格名称", "工程师")),
        (same_number, "number-taken", ("I", "证书编号", "B-0001")),
        ({**GOOD, "姓名": "周建军"}, "holder-conflict", ("A", "姓名", "周建军")),
    ):
        path.write_bytes(as_csv(other))
        refused = unchanged(registry, lambda: take(registry, path))
        [error] = refused.errors  # type: ignore[union-attr]
        assert (error.rule, error.row, (error.column, error.heading, error.raw)) == (code, 2, place)


def _zip(**parts: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in parts.items():
            packed.writestr(name, data)
    return out.getvalue()


FILES = {
    "empty.csv": b"",
    "only-headings.csv": as_csv(headings=list(GOOD)),
    "no-identity.csv": as_csv({key: value for key, value in GOOD.items() if key != "证件号码"}),
    "twice.csv": ("姓名," + ",".join(GOOD) + "\n").encode(),
    "binary.csv": bytes(range(256)) * 8,
    "list.xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
    "list.pdf": PDF,
    "renamed.xlsx": PDF,
    "broken.xlsx": b"PK\x03\x04" + b"\0" * 100,
    "no-workbook.xlsx": _zip(hello=b"world"),
    "not-objects.jsonl": b"[1,2]\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file(registry: Registry, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    refused = unchanged(registry, lambda: take(registry, path))
    assert isinstance(refused, RegistryError)
    assert refused.message
    assert refused.fix


def test_every_bad_file_has_words_of_its_own(registry: Registry, tmp_path: Path) -> None:
    said = set()
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
        refused = unchanged(registry, lambda name=name: take(registry, tmp_path / name))
        said.add(str(refused).replace(name, ""))
    assert len(said) >= len(FILES) - 2


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", Status.UNKNOWN),
        ("7K3M 9XQ4", Status.UNKNOWN),
        ("0000000000000000Z", Status.UNKNOWN),
        ("'; DROP TABLE stored_events;--", Status.UNKNOWN),
        ("../../etc/passwd", Status.UNKNOWN),
        ("9" * 41, Status.UNREADABLE),
        ("https://zc.example.cn/v/7K3M9XQ4T2VD8HNR5#123", Status.TAMPERED),
        ("https://zc.example.cn/v/7K3M9XQ4T2VD8HNR5#" + "9" * 17, Status.UNREADABLE),
        ("https://zc.example.cn/v/7K3M9XQ4T2VD8HNR5#" + "0" * 170, Status.TAMPERED),
    ],
)
def test_a_bad_code_or_token(registry: Registry, text: str, status: Status) -> None:
    before = registry.log.head()
    answer = check_text(registry, text, None, None)
    assert (answer.status, answer.certificate) == (status, None)
    assert registry.log.head() == before


@pytest.mark.parametrize(
    "data",
    [b"%PDF-", b"%PDF-1.7\n%%EOF", PDF * 100, b"\x89PNG\r\n\x1a\n", b"GIF89a", json.dumps({}).encode(), b"\0" * 1000],
    ids=["magic only", "no objects", "repeated", "cut PNG", "GIF", "JSON", "zeros"],
)
def test_a_bad_upload(registry: Registry, data: bytes) -> None:
    before = registry.log.head()
    answer = check_file(registry, data, None, None)
    assert answer.status in (Status.UNREADABLE, Status.TAMPERED)
    assert answer.certificate is None
    assert registry.log.head() == before


def test_bad_decisions_and_papers(registry: Registry) -> None:
    stream = registry.award(awarding(person(1)), officer=CLERK)

    def propose(**changes: object) -> object:
        about = {
            "kind": DecisionKind.REVOCATION,
            "document_no": "丽人社撤〔2026〕2号",
            "authority": CITY,
            "reason": "样例",
        }
        return registry.propose(stream, ProposeDecision(**{**about, **changes}), officer=CLERK)  # type: ignore[arg-type]

    proposal = propose().fact  # type: ignore[attr-defined]
    doors: list[Callable[[], object]] = [
        lambda: propose(document_no=" "),
        lambda: propose(reason=""),
        lambda: propose(authority="331121"),
        lambda: propose(effective_on=date(1990, 1, 1)),
        lambda: propose(kind=DecisionKind.REINSTATEMENT),
        lambda: registry.approve(proposal.proposal, proposal.digest, officer=CLERK),
        lambda: registry.approve(proposal.proposal, "0" * 64, officer=CHIEF),
        lambda: registry.approve(stream + ".99", proposal.digest, officer=CHIEF),
        lambda: registry.refuse(proposal.proposal, " ", officer=CHIEF),
        lambda: registry.submit_paper(awarding(person(2), number=None), None, [Scan(PDF)], officer=CLERK),
        lambda: registry.submit_paper(awarding(person(2), number="9801"), None, [], officer=CLERK),
        lambda: registry.submit_paper(awarding(person(2), number="9801"), None, [Scan(b"GIF89a")], officer=CLERK),
        lambda: registry.find_title("no such number"),
    ]
    said = [str(unchanged(registry, door)) for door in doors]
    assert len(set(said)) == len(said), "each refusal has words of its own"
