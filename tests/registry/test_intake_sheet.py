"""Spreadsheets that come in: chosen by their headings, capped before they are unpacked, nothing hidden taken."""

import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.worksheet import Worksheet

from registry.errors import BadInput
from registry.intake.form import FORM, VERSION
from registry.intake.template import write_template
from tests.lists import (
    HEADINGS,
    awards_of,
    csv_file,
    errors_of,
    good,
    identity_number,
    opened,
    rows_of,
    table,
    xlsx_file,
)


def refused(path: Path) -> BadInput:
    with pytest.raises(BadInput) as caught:
        opened(path)
    assert caught.value.fix
    return caught.value


def rule_of(path: Path) -> str:
    return str(refused(path).about["rule"])


def changed(path: Path, change: Callable[[Worksheet], Any]) -> Path:
    """The spreadsheet after a person has done something to its first sheet."""
    book = load_workbook(path)
    change(book.worksheets[0])
    book.save(path)
    return path


def hide_row(page: Worksheet, row: int) -> None:
    page.row_dimensions[row].hidden = True


def test_a_spreadsheet_gives_the_same_awards_as_csv(tmp_path: Path) -> None:
    rows = [good(n, 姓名=name) for n, name in enumerate(["林晓岚", "㛃䶮", "𠮷野", "阿依古丽·买买提"])]
    assert awards_of(xlsx_file(tmp_path, table(rows))) == awards_of(csv_file(tmp_path, table(rows)))


def test_a_list_may_begin_lower_and_further_right(tmp_path: Path) -> None:
    cells = [[], ["", "", "评审通过人员名单"], *(["", "", *row] for row in table([good(1), good(2, 级别="初级")]))]
    first, second = rows_of(xlsx_file(tmp_path, cells))
    assert (first.number, second.number) == (4, 5)
    assert isinstance(second.result, tuple)
    assert [(error.row, error.column) for error in second.result] == [(5, "N")]


def test_dates_of_the_1904_calendar_are_the_days_shown(tmp_path: Path) -> None:
    book = Workbook()
    book.epoch = CALENDAR_MAC_1904
    for row in table([good(取得资格时间=date(2021, 9, 20))]):
        book.worksheets[0].append(row)
    book.save(tmp_path / "名单.xlsx")
    (award,) = awards_of(tmp_path / "名单.xlsx")
    assert award.awarded_on == date(2021, 9, 20)


def test_hidden_and_filtered_rows_are_errors(tmp_path: Path) -> None:
    path = changed(xlsx_file(tmp_path, table([good(1), good(2), good(3)])), lambda page: hide_row(page, 3))
    (error,) = errors_of(path)
    assert (error.sheet, error.row, error.rule) == ("名单", 3, "hidden-row")


def test_a_hidden_blank_row_is_no_row(tmp_path: Path) -> None:
    path = changed(xlsx_file(tmp_path, table([good(1), {}, good(3)])), lambda page: hide_row(page, 3))
    assert [row.number for row in rows_of(path)] == [2, 4]


def test_merged_rows_are_errors_in_each_row(tmp_path: Path) -> None:
    path = changed(xlsx_file(tmp_path, table([good(1), good(2), good(3)])), lambda page: page.merge_cells("H2:H3"))
    errors = [error for error in errors_of(path) if error.rule == "merged-cells"]
    assert [(error.row, error.raw) for error in errors] == [(2, "H2:H3"), (3, "H2:H3")]


def test_every_merged_range_of_a_row_is_named(tmp_path: Path) -> None:
    def merge(page: Worksheet) -> None:
        page.merge_cells("H2:H3")
        page.merge_cells("S3:T3")

    errors = errors_of(changed(xlsx_file(tmp_path, table([good(1), good(2)])), merge))
    assert sorted((e.row, e.raw) for e in errors) == [(2, "H2:H3"), (3, "H2:H3"), (3, "S3:T3")]


def test_merged_cells_above_the_headings_do_no_harm(tmp_path: Path) -> None:
    path = xlsx_file(tmp_path, [["评审通过人员名单"], *table([good()])])
    assert len(awards_of(changed(path, lambda page: page.merge_cells("A1:T1")))) == 1


def test_error_cells_and_formulas_without_a_result_are_no_blanks(tmp_path: Path) -> None:
    path = xlsx_file(tmp_path, table([good(1, 证书编号="#REF!"), good(2, 工作单位="=UPPER(A1)"), good(3, 备注="=A1")]))
    found = [(error.row, error.column, error.rule, error.raw) for error in errors_of(path)]
    assert found[:2] == [(2, "R", "formula-error", "#REF!"), (3, "H", "formula-uncomputed", "（公式）")]


def test_an_error_cell_is_not_also_an_empty_cell(tmp_path: Path) -> None:
    (error,) = errors_of(xlsx_file(tmp_path, table([good(1, 姓名="#N/A")])))
    assert (error.column, error.rule, error.raw) == ("B", "formula-error", "#N/A")


SPOILED: list[tuple[str, Callable[[Worksheet], Any]]] = [
    ("hidden-column", lambda page: setattr(page.column_dimensions["D"], "hidden", True)),
    ("merged-headings", lambda page: page.merge_cells("A1:A2")),
    ("too-many-rows", lambda page: page.cell(50_011, 1, "x")),
    ("too-many-rows", lambda page: page.cell(1_048_576, 1, "x")),
    ("too-many-rows", lambda page: page.cell(2, 16_384, "x")),
    ("empty-list", lambda page: page.delete_rows(2)),
]


@pytest.mark.parametrize(("rule", "spoil"), SPOILED)
def test_a_sheet_is_refused_before_its_first_row(tmp_path: Path, rule: str, spoil: Callable[[Worksheet], Any]) -> None:
    assert rule_of(changed(xlsx_file(tmp_path, table([good()])), spoil)) == rule


def test_too_many_rows_says_to_use_csv(tmp_path: Path) -> None:
    path = changed(xlsx_file(tmp_path, table([good()])), lambda page: page.cell(60_000, 1, "x"))
    assert "CSV" in refused(path).fix


def book_of(path: Path, **sheets: list[list[Any]]) -> Path:
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, cells in sheets.items():
        page = book.create_sheet(name)
        for row in cells:
            page.append(row)
    book.save(path)
    return path


def test_the_sheet_with_the_headings_is_chosen(tmp_path: Path) -> None:
    path = book_of(tmp_path / "a.xlsx", 汇总=[["合计", 1]], 第二批=table([good()]), 说明=[["联系人"]])
    assert opened(path).sheet == "第二批"


def test_two_lists_in_one_file_are_refused_unless_one_is_named(tmp_path: Path) -> None:
    assert rule_of(book_of(tmp_path / "a.xlsx", 甲=table([good(1)]), 乙=table([good(2)]))) == "several-lists"
    assert opened(book_of(tmp_path / "b.xlsx", 甲=table([good(1)]), 名单=table([good(2)]))).sheet == "名单"


def test_a_hidden_sheet_is_never_the_list(tmp_path: Path) -> None:
    book = load_workbook(book_of(tmp_path / "a.xlsx", 甲=table([good(1)]), 乙=[["说明"]]))
    book["甲"].sheet_state = "hidden"
    book.active = 1
    book.save(tmp_path / "a.xlsx")
    assert rule_of(tmp_path / "a.xlsx") == "missing-heading"


# The template


def test_the_template_is_filled_in_and_read(tmp_path: Path) -> None:
    write_template(tmp_path / "模板.xlsx")
    path = changed(
        tmp_path / "模板.xlsx", lambda page: page.append([good().get(column.heading, "") for column in FORM])
    )
    assert awards_of(path) == awards_of(csv_file(tmp_path, table([good()])))


def test_an_empty_template_is_an_empty_list(tmp_path: Path) -> None:
    write_template(tmp_path / "模板.xlsx")
    assert rule_of(tmp_path / "模板.xlsx") == "empty-list"


def test_the_template_keeps_numbers_as_text_and_offers_the_words(tmp_path: Path) -> None:
    write_template(tmp_path / "模板.xlsx")
    page = load_workbook(tmp_path / "模板.xlsx")["名单"]
    headings = [cell.value for cell in page[1]]
    assert sorted(headings) == sorted(HEADINGS)
    columns = {heading: page.cell(1, at + 1).column_letter for at, heading in enumerate(headings)}
    assert {page.column_dimensions[columns[of]].number_format for of in ("证件号码", "证书编号")} == {"@"}
    offered = {str(each.sqref)[0]: each.formula1 for each in page.data_validations.dataValidation}
    assert offered[columns["级别"]] == '"正高级,副高级,中级,助理级,员级"'
    assert {columns["取得方式"], columns["证件类型"]} < set(offered)


def test_the_template_says_that_it_is_not_the_official_form(tmp_path: Path) -> None:
    write_template(tmp_path / "模板.xlsx")
    notes = [cell.value for cell in load_workbook(tmp_path / "模板.xlsx")["填表说明"]["A"]]
    assert any("不是附件2-4的官方表样" in str(note) for note in notes)


@pytest.mark.parametrize("version", ["2-4/2", "", None])
def test_a_template_of_another_version_is_refused(tmp_path: Path, version: str | None) -> None:
    write_template(tmp_path / "模板.xlsx")
    book = load_workbook(tmp_path / "模板.xlsx")
    assert book["填表说明"]["B1"].value == VERSION
    book["填表说明"]["B1"].value = version
    book.save(tmp_path / "模板.xlsx")
    assert rule_of(tmp_path / "模板.xlsx") == "unknown-version"


# Packages made to do harm


def with_part(path: Path, name: str, data: bytes) -> Path:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as package:
        package.writestr(name, data)
    return path


def patched(path: Path, name: str, offset: int, value: bytes) -> Path:
    """Change bytes of one part's entry in the directory of the package."""
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(name.encode()))
    data[at + offset : at + offset + len(value)] = value
    path.write_bytes(data)
    return path


def test_a_package_too_large_when_unpacked_says_to_use_csv(tmp_path: Path) -> None:
    error = refused(with_part(xlsx_file(tmp_path, table([good()])), "xl/media/a.bin", bytes(161 * 2**20)))
    assert error.about["rule"] == "too-large"
    assert "CSV" in error.fix


def test_a_part_packed_beyond_reason_is_refused(tmp_path: Path) -> None:
    path = xlsx_file(tmp_path, table([good()]))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as package:
        package.writestr("xl/media/a.bin", bytes(16 * 2**20))
    assert rule_of(path) == "zip-bomb"


def test_a_directory_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    path = with_part(xlsx_file(tmp_path, table([good()])), "xl/media/a.bin", bytes(8 * 2**20))
    assert rule_of(patched(path, "xl/media/a.bin", 24, (1000).to_bytes(4, "little"))) == "zip-bomb"


def test_an_encrypted_part_or_a_rare_compression_is_refused(tmp_path: Path) -> None:
    path = with_part(xlsx_file(tmp_path, table([good()])), "xl/media/a.bin", bytes(100))
    assert rule_of(patched(path, "xl/media/a.bin", 8, b"\x01")) == "password"
    path = with_part(xlsx_file(tmp_path, table([good()])), "xl/media/a.bin", bytes(100))
    assert rule_of(patched(path, "xl/media/a.bin", 10, b"\x0e")) == "corrupt"


def test_two_parts_of_one_name_are_refused(tmp_path: Path) -> None:
    path = xlsx_file(tmp_path, table([good()]))
    assert rule_of(with_part(path, "xl/Workbook.xml", b"<workbook/>")) == "corrupt"


def test_a_package_without_its_workbook_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as package:
        package.writestr("[Content_Types].xml", "<Types/>")
    assert rule_of(tmp_path / "a.xlsx") == "corrupt"


def test_a_truncated_spreadsheet_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    whole = xlsx_file(tmp_path, table([good()])).read_bytes()
    for cut in range(1, len(whole), len(whole) // 40):
        (tmp_path / "cut.xlsx").write_bytes(whole[:cut])
        assert rule_of(tmp_path / "cut.xlsx") == "corrupt"


def test_a_number_cell_is_never_taken_for_an_identity_number(tmp_path: Path) -> None:
    rows = [good(n, 证件号码=int(identity_number(n).replace("X", "1"))) for n in range(1, 6)]
    errors = errors_of(xlsx_file(tmp_path, table(rows)))
    assert [error.rule for error in errors] == ["identity-rounded"] * 5
    assert all(error.raw.endswith("000") for error in errors)  # as the spreadsheet shows it
