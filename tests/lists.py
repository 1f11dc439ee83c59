"""Form 2-4 lists of made-up people, written by the csv module, openpyxl and the json module."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from openpyxl import Workbook

from registry.catalogue.catalogue import load_catalogue
from registry.intake.rows import AwardList, Row, RowError, read_list
from registry.titles.award import AwardTitle

TODAY = date(2026, 3, 2)
DOCUMENT = "丽人社〔2021〕100号"
COMMITTEE = "市建设工程技术人员中级专业技术职务任职资格评审委员会"
HEADINGS = (
    *("序号", "姓名", "证件类型", "证件号码", "签发国", "性别", "出生日期", "工作单位", "评审委员会", "系列", "专业"),
    *("级别", "资格名称", "取得方式", "取得资格时间", "公布日期", "发证日期", "证书编号", "号码已核对", "备注"),
)


def identity_number(n: int, district: str = "331199") -> str:
    """The n-th made-up number of a district; the check character is found by trying all eleven.

    331199 is no district of any place.
    """
    born = date(1960, 1, 1) + timedelta(days=n * 37 % 12_000)
    first = f"{district}{born:%Y%m%d}{n % 900 + 1:03d}"
    (last,) = (check for check in "0123456789X" if _holds(first + check))
    return first + last


def _holds(number: str) -> bool:
    values = [10 if character == "X" else int(character) for character in number]
    return sum(value << place for place, value in enumerate(reversed(values))) % 11 == 1


def good(n: int = 1, **changes: Any) -> dict[str, Any]:
    """A row that is right, by heading; the n-th person. Changes are by heading, e.g. 级别="副高级"."""
    row = dict.fromkeys(HEADINGS, "") | {
        "序号": str(n),
        "姓名": "林晓岚",
        "证件号码": identity_number(n),
        "工作单位": "丽水市某建筑设计院",
        "评审委员会": COMMITTEE,
        "系列": "工程技术人员",
        "专业": "建筑工程",
        "级别": "中级",
        "资格名称": "工程师",
        "取得资格时间": "2021-09-20",
        "公布日期": "2021-10-08",
        "证书编号": f"浙〔2021〕{n:06d}",
    }
    return row | changes


def table(rows: Iterable[dict[str, Any]], headings: Sequence[str] = HEADINGS) -> list[list[Any]]:
    """The headings and the rows as cells, in the order of the headings."""
    return [list(headings), *([row.get(heading, "") for heading in headings] for row in rows)]


def csv_bytes(cells: Iterable[Sequence[Any]], encoding: str = "utf-8") -> bytes:
    """The cells as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(cells)
    return text.getvalue().encode(encoding)


def csv_file(folder: Path, cells: Iterable[Sequence[Any]], encoding: str = "utf-8") -> Path:
    """The cells as a CSV file."""
    path = folder / "名单.csv"
    path.write_bytes(csv_bytes(cells, encoding))
    return path


def xlsx_file(folder: Path, cells: Iterable[Sequence[Any]], sheet: str = "名单") -> Path:
    """The cells as a spreadsheet."""
    book = Workbook()
    page = book.worksheets[0]
    page.title = sheet
    for row in cells:
        page.append(list(row))
    path = folder / "名单.xlsx"
    book.save(path)
    return path


def jsonl_file(folder: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """One JSON object a line."""
    path = folder / "名单.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def opened(path: Path, authority: str = "331100") -> AwardList:
    """The list, opened under the approval document of the tests."""
    return read_list(path, authority=authority, document=DOCUMENT, catalogue=load_catalogue(), today=TODAY)


def rows_of(path: Path, authority: str = "331100") -> list[Row]:
    """All rows of the list."""
    return list(opened(path, authority))


def awards_of(path: Path, authority: str = "331100") -> list[AwardTitle]:
    """The awards of a list that has no errors."""
    results = [row.result for row in rows_of(path, authority)]
    assert not [each for each in results if isinstance(each, tuple)]
    return [each for each in results if isinstance(each, AwardTitle)]


def errors_of(path: Path, authority: str = "331100") -> list[RowError]:
    """All errors of the list, in order."""
    return [error for row in rows_of(path, authority) if isinstance(row.result, tuple) for error in row.result]
