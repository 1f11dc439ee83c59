"""The template of our form 2-4 as a spreadsheet. It is our default: the official columns of annex 2-4 are unknown."""

from pathlib import Path

from openpyxl import Workbook
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from registry.intake.form import FORM, INDEX, LIST_SHEET, NOTES_SHEET, VERSION, VERSION_LABEL, letter
from registry.intake.markup import MOST_ROWS
from registry.terms import IdentityKind, Level, Obtained, Sex

_TEXT = "@"
_DATE = "yyyy-mm-dd"
_FORMATS = {
    "identity": _TEXT,
    "number": _TEXT,
    "awarded_on": _DATE,
    "published_on": _DATE,
    "issued_on": _DATE,
    "born": _DATE,
}
_CHOICES = {
    "kind": [kind.zh for kind in IdentityKind],
    "sex": [sex.zh for sex in Sex],
    "level": [level.zh for level in Level],
    "obtained": [way.zh for way in Obtained],
    "confirmed": ["是"],
}
_WIDTHS = {"serial": 6, "identity": 24, "employer": 28, "committee": 44, "number": 24, "remark": 24}
_REQUIRED_FILL = PatternFill("solid", fgColor="FFD9E7F5")
_NOTES = (
    "这是本登记系统的默认格式，不是附件2-4的官方表样。",
    "标题底色为蓝色的列必填；列的次序可以改变，标题不能改。",
    "证件号码、证书编号两列是文本格式：粘贴时请用“只粘贴值”，否则 15 位以后的数字会丢失。",
    "日期写成 2021-06-02；不要合并单元格，不要隐藏或筛选行。",
    f"一张表最多 {MOST_ROWS} 行；更多请用 CSV UTF-8。",
)


def write_template(path: Path) -> None:
    """Write the template (.xlsx): the sheet 名单 with headings, formats and choices, and the sheet 填表说明.

    The notes carry the version that the reader checks. An existing file is replaced.
    """
    book = Workbook()
    page = book.worksheets[0]
    page.title = LIST_SHEET
    _write_headings(page)
    _write_choices(page)
    _write_notes(book.create_sheet(NOTES_SHEET))
    book.save(path)


def _write_headings(page: Worksheet) -> None:
    page.append([column.heading for column in FORM])
    page.freeze_panes = "A2"
    for place, column in enumerate(FORM):
        at = letter(place)
        page.column_dimensions[at].width = _WIDTHS.get(column.field, 14)
        page.column_dimensions[at].number_format = _FORMATS.get(column.field, "General")
        page[f"{at}1"].font = Font(bold=True)
        page[f"{at}1"].alignment = Alignment(horizontal="center")
        if column.required:
            page[f"{at}1"].fill = _REQUIRED_FILL


def _write_choices(page: Worksheet) -> None:
    for field, words in _CHOICES.items():
        choice = DataValidation(type="list", formula1=f'"{",".join(words)}"', allow_blank=True, showErrorMessage=True)
        choice.error, choice.errorTitle = f"请填写：{'、'.join(words)}", "不在可填的词中"
        at = letter(INDEX[field])
        choice.add(f"{at}2:{at}{MOST_ROWS + 1}")
        page.add_data_validation(choice)


def _write_notes(page: Worksheet) -> None:
    page.append([VERSION_LABEL, VERSION])
    for note in _NOTES:
        page.append([note])
    page.append([])
    page.append(["标题", "必填", "填法", "也可写作"])
    for column in FORM:
        page.append([column.heading, "是" if column.required else "", column.hint, "、".join(column.aliases)])
    for at, width in zip("ABCD", (18, 10, 60, 50), strict=True):
        page.column_dimensions[at].width = width
