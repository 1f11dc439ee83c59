"""A copy of a refused list for the person who corrects it: error cells filled and commented, and a list of errors.

The copy holds what the list holds, personal data in clear: it goes to the officer who sent the list, nowhere else.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.comments import Comment
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.worksheet._write_only import WriteOnlyWorksheet

from registry.intake import csvfile, jsonl, sheet
from registry.intake.form import ERRORS_SHEET, FORM, LIST_SHEET, letter, place_of, place_of_letter
from registry.intake.table import Cell, RowError

MOST = 50_000  # rows of the copy, and errors; a longer list gets its first ones
_FILL = PatternFill("solid", fgColor="FFF2A8A8")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_LONGEST = 32_000  # characters in a cell
_HEADINGS = ("工作表", "行", "列", "标题", "原值", "规则", "说明", "改法")
_WIDTHS = (12, 8, 6, 16, 28, 22, 50, 50)

_Comments: TypeAlias = dict[int, dict[int, str]]  # by row from 1 and column from 0; of a whole row at its first cell
_Rows: TypeAlias = Iterator[tuple[int, Sequence[Cell]]]


def write_errors_copy(source: Path, errors: Sequence[RowError], out: Path) -> None:
    """Write the list with its errors to `out` (.xlsx): the same sheet, rows and columns, and the sheet 错误清单.

    Values are copied, not formulas or styles. Text that a spreadsheet would take for a formula gets an apostrophe
    before it. JSON Lines get the columns of the form, and line n stands in row n + 1. At most 50,000 rows and as
    many errors are written. Raises BadInput as reading the source does.
    """
    name, rows = _source(source)
    shift = 1 if source.suffix.lower() == ".jsonl" else 0
    book = Workbook(write_only=True)
    _write_list(book.create_sheet(name), rows, _comments(errors, shift))
    _write_errors(book.create_sheet(ERRORS_SHEET), errors)
    book.save(out)


def neutral(text: str) -> str:
    """Text that a spreadsheet shows and never computes; what XML cannot hold is written as its code point."""
    text = _UNWRITABLE.sub(lambda found: f"U+{ord(found.group()):04X}", text[:_LONGEST])
    return f"'{text}" if text.startswith(_FORMULA) else text


def _source(path: Path) -> tuple[str, _Rows]:
    match path.suffix.lower():
        case ".xlsx":
            return sheet.raw_rows(path)
        case ".jsonl":
            return LIST_SHEET, _lines(path)
        case _:
            rows, _ = csvfile.raw_rows(path)
            return LIST_SHEET, ((number, [] if isinstance(row, csv.Error) else row) for number, row in rows)


def _lines(path: Path) -> _Rows:
    yield 1, [column.heading for column in FORM]
    for record in jsonl.open_jsonl(path).records:
        yield record.number + 1, record.cells


def _comments(errors: Iterable[RowError], shift: int) -> _Comments:
    comments: _Comments = {}
    for error in errors:
        place = place_of_letter(error.column) if error.column else place_of(error.heading) or 0
        said = f"{error.message}。{error.fix}（{error.rule}）"
        row = comments.setdefault(error.row + shift, {})
        row[place] = f"{row[place]}\n{said}" if place in row else said
    return comments


def _write_list(page: WriteOnlyWorksheet, rows: _Rows, comments: _Comments) -> None:
    written = 0
    for number, row in islice(rows, MOST):
        while written < number - 1:
            page.append([])
            written += 1
        said = comments.get(number, {})
        cells = [*row, *[""] * (max(said, default=0) + 1 - len(row))]
        page.append([_cell(page, value, said.get(at)) for at, value in enumerate(cells)])
        written += 1


def _cell(page: WriteOnlyWorksheet, value: Cell, comment: str | None) -> Any:
    cell = WriteOnlyCell(page, neutral(value) if isinstance(value, str) else value)
    if comment:
        cell.fill = _FILL
        cell.comment = Comment(neutral(comment), "名单检查", width=320, height=120)
    return cell


def _write_errors(page: WriteOnlyWorksheet, errors: Sequence[RowError]) -> None:
    for at, width in enumerate(_WIDTHS):
        page.column_dimensions[letter(at)].width = width
    page.freeze_panes = "A2"
    page.append([_bold(page, heading) for heading in _HEADINGS])
    for error in errors[:MOST]:
        texts = (error.heading, error.raw, error.rule, error.message, error.fix)
        page.append([neutral(error.sheet or ""), error.row, error.column, *map(neutral, texts)])


def _bold(page: WriteOnlyWorksheet, text: str) -> Any:
    cell = WriteOnlyCell(page, text)
    cell.font, cell.alignment = Font(bold=True), Alignment(wrap_text=True)
    return cell
