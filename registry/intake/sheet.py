"""A spreadsheet (.xlsx) as a table: capped, the sheet chosen by its headings, hidden and merged rows named."""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from registry.intake.form import (
    ERRORS_SHEET,
    FORM,
    HEADING_ROWS,
    LIST_SHEET,
    NOTES_SHEET,
    VERSION,
    VERSION_LABEL,
    Columns,
    HeadingProblem,
    known,
    letter,
    match,
)
from registry.intake.markup import Markup, inspect
from registry.intake.package import check_package, sheet_bytes
from registry.intake.table import Cell, Record, RowError, Table, refusal, whole_row

_MOST_MARKS = 200_000  # a sheet made to do harm could have more of them than cells
_REQUIRED = sum(column.required for column in FORM)


class _Sheet(NamedTuple):
    sheet: CalamineSheet
    markup: Markup
    heading_row: int  # counted from 1
    known: int


def open_sheet(path: Path) -> Table:
    """Open the list of a spreadsheet. Refused: what `check_package` and `inspect` refuse, several lists, a template
    of another version, headings that are hidden, merged or cannot be used.
    """
    return _table(path, _opened(path))


def raw_rows(path: Path) -> tuple[str, Iterator[tuple[int, list[Cell]]]]:
    """The name of the list's sheet, and all its rows from the first, with their numbers, as they stand."""
    chosen = _opened(path)
    return chosen.sheet.name, enumerate(_full_rows(chosen.sheet), 1)


def _opened(path: Path) -> _Sheet:
    check_package(path)
    try:
        with CalamineWorkbook.from_path(path) as workbook:
            return _chosen(path, workbook)
    except PasswordError:
        raise refusal(path, "password", "有打开密码", "在表格软件中取消密码，再保存") from None
    except CalamineError as error:
        message = "已损坏，或不是完整的 .xlsx 文件"
        raise refusal(path, "corrupt", message, "在表格软件中打开，另存为新的 .xlsx") from error


def _full_rows(sheet: CalamineSheet) -> Iterator[list[Cell]]:
    """The rows with the empty columns that the library leaves out before the first used one."""
    before: list[Cell] = [""] * (sheet.start[1] if sheet.start else 0)
    return ([*before, *row] for row in sheet.iter_rows())


def _chosen(path: Path, workbook: CalamineWorkbook) -> _Sheet:
    sheets = {
        each.name: place
        for place, each in enumerate(workbook.sheets_metadata)
        if each.typ == SheetTypeEnum.WorkSheet and each.visible == SheetVisibleEnum.Visible
    }
    if NOTES_SHEET in sheets:
        _check_version(path, _load(path, workbook, NOTES_SHEET, sheets[NOTES_SHEET]))
    names = [LIST_SHEET] if LIST_SHEET in sheets else [n for n in sheets if n not in (NOTES_SHEET, ERRORS_SHEET)]
    loaded = [_load(path, workbook, name, sheets[name]) for name in names]
    lists = [each for each in loaded if each.known >= _REQUIRED]
    if len(lists) > 1:
        found = "、".join(f"“{each.sheet.name}”" for each in lists)
        raise refusal(
            path, "several-lists", f"有几张工作表都像名单：{found}", f"只留一张，或把要导入的一张命名为“{LIST_SHEET}”"
        )
    if not loaded:
        raise refusal(path, "no-sheet", "没有可见的工作表", "取消隐藏名单所在的工作表")
    return max(loaded, key=lambda each: each.known)


def _load(path: Path, workbook: CalamineWorkbook, name: str, place: int) -> _Sheet:
    markup = inspect(path, name, sheet_bytes(path, place))  # before the library allocates anything
    sheet = workbook.get_sheet_by_index(place)
    counts = [known(row) for row in islice(sheet.iter_rows(), HEADING_ROWS)] or [0]
    return _Sheet(sheet, markup, counts.index(max(counts)) + 1, max(counts))


def _check_version(path: Path, notes: _Sheet) -> None:
    for row in islice(notes.sheet.iter_rows(), HEADING_ROWS):
        cells = [str(cell).strip() for cell in row if cell != ""]
        if cells[:1] == [VERSION_LABEL] and cells[1:2] != [VERSION]:
            found = cells[1] if len(cells) > 1 else "（空）"
            message = f"模板版本“{found}”不认识，本系统的版本是“{VERSION}”"
            raise refusal(path, "unknown-version", message, "重新下载模板，把名单复制到新模板")


def _table(path: Path, chosen: _Sheet) -> Table:
    sheet = chosen.sheet
    headings = next(islice(_full_rows(sheet), chosen.heading_row - 1, None), [])
    try:
        columns, ignored = match(headings)
    except HeadingProblem as problem:
        message = f"工作表“{sheet.name}”{problem.message}"
        raise refusal(path, problem.rule, message, problem.fix) from None
    _check_headings(path, chosen, columns)
    return Table(sheet.name, columns, _records(chosen, columns), ignored)


def _check_headings(path: Path, chosen: _Sheet, columns: Columns) -> None:
    used = {at: heading for at, heading in zip(columns.letters, columns.headings, strict=True) if at}
    hidden = sorted(used[at] for at in map(letter, chosen.markup.hidden_columns) if at in used)
    if hidden:
        message = f"有隐藏的列：{'、'.join(hidden)}"
        raise refusal(path, "hidden-column", message, "取消隐藏这些列，核对后再导入；不要的列请删除")
    for (top, _), (bottom, _) in chosen.sheet.merged_cell_ranges or []:
        if top < chosen.heading_row <= bottom:
            raise refusal(
                path, "merged-headings", f"第 {chosen.heading_row} 行的标题有合并单元格", "取消合并，标题只占一行"
            )


def _records(chosen: _Sheet, columns: Columns) -> Iterator[Record]:
    marks = _marks(chosen, columns)
    for number, row in enumerate(_full_rows(chosen.sheet), 1):
        found = marks.get(number, [])
        blank = all(cell == "" for cell in row) and not any(error.column for error in found)
        if number > chosen.heading_row and not blank:
            yield Record(number, columns.pick([*row, ""]), columns, tuple(found))


def _marks(chosen: _Sheet, columns: Columns) -> dict[int, list[RowError]]:
    """The errors that stand in the markup of the sheet, by row. Columns that the form does not use do not matter."""
    marks: dict[int, list[RowError]] = {}
    for number, error in islice(chain(_hidden(chosen), _broken(chosen, columns), _merged(chosen)), _MOST_MARKS):
        marks.setdefault(number, []).append(error)
    return marks


def _hidden(chosen: _Sheet) -> Iterator[tuple[int, RowError]]:
    fix = "取消隐藏或取消筛选，核对后再导入；不要的行请删除"
    for number in sorted(chosen.markup.hidden_rows):
        yield number, whole_row(number, "", "hidden-row", "这一行被隐藏或被筛选掉", fix, sheet=chosen.sheet.name)


def _merged(chosen: _Sheet) -> Iterator[tuple[int, RowError]]:
    name, first, end = chosen.sheet.name, chosen.heading_row + 1, (chosen.sheet.end or (0, 0))[0] + 1
    for (top, left), (bottom, right) in chosen.sheet.merged_cell_ranges or []:
        where = f"{letter(left)}{top + 1}:{letter(right)}{bottom + 1}"
        error = ("merged-cells", f"有合并的单元格 {where}", "取消合并，每行每格各自填写")
        for number in range(max(top + 1, first), min(bottom + 1, end) + 1):
            yield number, whole_row(number, where, *error, sheet=name)


def _broken(chosen: _Sheet, columns: Columns) -> Iterator[tuple[int, RowError]]:
    used = dict(zip(columns.letters, columns.headings, strict=True))
    for (number, place), shown in chosen.markup.broken.items():
        at = letter(place)
        if number > chosen.heading_row and at in used:
            yield (
                number,
                RowError(
                    sheet=chosen.sheet.name,
                    row=number,
                    column=at,
                    heading=used[at],
                    raw=shown or "（公式）",
                    rule="formula-error" if shown else "formula-uncomputed",
                    message=f"是公式错误 {shown}" if shown else "是公式，但文件里没有它的结果",
                    fix="改为直接填写的内容（复制后“选择性粘贴为数值”）",
                ),
            )
