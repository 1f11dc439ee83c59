"""The annotated copy of a refused list, read back with calamine (values) and openpyxl (comments)."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from python_calamine import CalamineWorkbook

from registry.intake.errors_copy import neutral, write_errors_copy
from tests.lists import (
    HEADINGS,
    awards_of,
    csv_bytes,
    csv_file,
    errors_of,
    good,
    identity_number,
    jsonl_file,
    table,
    xlsx_file,
)


def values(path: Path, sheet: str) -> list[list[Any]]:
    with CalamineWorkbook.from_path(path) as book:
        return book.get_sheet_by_name(sheet).to_python(skip_empty_area=False)


def comments(path: Path, sheet: str) -> dict[str, str]:
    page = load_workbook(path)[sheet]
    return {cell.coordinate: cell.comment.text for row in page.iter_rows() for cell in row if cell.comment}


def test_the_copy_has_the_same_cells_and_a_comment_at_each_error(tmp_path: Path) -> None:
    cells = [
        ["评审通过人员名单"],
        [],
        *table([good(1, 公布日期=date(2021, 10, 8)), good(2, 级别="初级", 证书编号=127)]),
    ]
    path, out = xlsx_file(tmp_path, cells, sheet="第一批"), tmp_path / "错误.xlsx"
    errors = errors_of(path)
    write_errors_copy(path, errors, out)
    assert values(out, "第一批") == values(path, "第一批")
    found = comments(out, "第一批")
    assert set(found) == {"L5", "R5"}
    assert "level-ambiguous" in found["L5"]
    filled = [c.coordinate for row in load_workbook(out)["第一批"] for c in row if c.fill.fill_type == "solid"]
    assert filled == ["L5", "R5"]


def test_the_list_of_errors_says_all_of_each(tmp_path: Path) -> None:
    path, out = xlsx_file(tmp_path, table([good(1, 级别="初级"), good(2, 姓名="林 岚")])), tmp_path / "错误.xlsx"
    errors = errors_of(path)
    write_errors_copy(path, errors, out)
    heading, *lines = values(out, "错误清单")
    assert heading == ["工作表", "行", "列", "标题", "原值", "规则", "说明", "改法"]
    assert [line[:6] for line in lines] == [
        ["名单", 2.0, "L", "级别", "初级", "level-ambiguous"],
        ["名单", 3.0, "B", "姓名", "林 岚", "name-blank"],
    ]
    assert [line[6:] for line in lines] == [[error.message, error.fix] for error in errors]


def test_the_copy_is_corrected_and_read_again(tmp_path: Path) -> None:
    path, out = xlsx_file(tmp_path, table([good(1), good(2, 级别="初级")])), tmp_path / "错误.xlsx"
    write_errors_copy(path, errors_of(path), out)
    book = load_workbook(out)
    book["名单"]["L3"].value = "中级"
    book.save(out)
    assert awards_of(out) == awards_of(csv_file(tmp_path, table([good(1), good(2)])))


def test_csv_gets_the_same_rows(tmp_path: Path) -> None:
    cells = [["名单"], [], *table([good(1), {}, good(2, 级别="初级")])]
    path, out = csv_file(tmp_path, cells, "gb18030"), tmp_path / "错误.xlsx"
    write_errors_copy(path, errors_of(path), out)
    assert [row[1] for row in values(out, "名单")] == ["", "", "姓名", "林晓岚", "", "林晓岚"]
    assert set(comments(out, "名单")) == {"L6"}


def test_json_lines_get_the_columns_of_the_form(tmp_path: Path) -> None:
    path, out = jsonl_file(tmp_path, [good(1), good(2, 级别="初级")]), tmp_path / "错误.xlsx"
    write_errors_copy(path, errors_of(path), out)
    heading, first, _ = values(out, "名单")
    assert dict(zip(heading, first, strict=True)) == good(1)
    (place,) = comments(out, "名单")
    assert (heading["ABCDEFGHIJKLMNOPQRST".index(place[0])], place[1:]) == ("级别", "3")


def test_a_row_that_cannot_be_split_keeps_its_place(tmp_path: Path) -> None:
    data = csv_bytes(table([good(1, 备注="坏"), good(2)])).replace("坏".encode(), '"坏"了'.encode())
    path, out = tmp_path / "名单.csv", tmp_path / "错误.xlsx"
    path.write_bytes(data)
    write_errors_copy(path, errors_of(path), out)
    assert [row[3] for row in values(out, "名单")] == ["证件号码", "", identity_number(2)]
    assert "csv-quotes" in comments(out, "名单")["A2"]


INJECTIONS = ['=HYPERLINK("http://example.cn")', "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0"]


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_cell_of_the_copy_is_a_formula(tmp_path: Path, text: str) -> None:
    path, out = csv_file(tmp_path, table([good(1, 工作单位=text, 姓名=text, 备注=text)])), tmp_path / "错误.xlsx"
    errors = errors_of(path)
    assert errors
    write_errors_copy(path, errors, out)
    for page in load_workbook(out).worksheets:
        for cell in (cell for row in page.iter_rows() for cell in row if cell.value is not None):
            assert cell.data_type != "f"
            assert not str(cell.value).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_ordinary_text_is_left_as_it_is() -> None:
    assert [neutral(text) for text in ("林晓岚", "a=b", "浙-1", "", "0127")] == ["林晓岚", "a=b", "浙-1", "", "0127"]


def test_characters_that_xml_cannot_hold_are_written_out(tmp_path: Path) -> None:
    data = csv_bytes(table([good(1, 姓名="林岚", 工作单位="甲\x0b乙")])).replace(
        "林岚".encode(), "林".encode() + b"\xff"
    )
    path, out = tmp_path / "名单.csv", tmp_path / "错误.xlsx"
    path.write_bytes(data)
    write_errors_copy(path, errors_of(path), out)
    row = dict(zip(HEADINGS, values(out, "名单")[1], strict=True))
    assert (row["姓名"], row["工作单位"]) == ("林U+DCFF", "甲U+000B乙")
