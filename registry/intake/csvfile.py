"""CSV as a table, streamed in flat memory. The delimiter is a comma, tab or semicolon, told by the headings."""

import csv
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TypeAlias

from registry.intake.form import HEADING_ROWS, Columns, HeadingProblem, known, match
from registry.intake.lines import TOO_LONG, text_lines
from registry.intake.table import Record, Table, refusal, whole_row

WIDEST = 500  # cells
NumberedRow: TypeAlias = tuple[int, list[str] | csv.Error]


def open_csv(path: Path) -> Table:
    """Open the list. Refused: headings that cannot be used, and whatever `text_lines` refuses.

    Rows count from 1 as a spreadsheet program shows them, blank ones too; blank rows give no record.
    """
    rows, sampled = raw_rows(path)
    heading_row = max(range(len(sampled)), key=lambda row: known(sampled[row]))
    try:
        columns, ignored = match(sampled[heading_row])
    except HeadingProblem as problem:
        raise refusal(path, problem.rule, problem.message, problem.fix) from None
    below = (each for each in rows if each[0] > heading_row + 1)
    return Table(None, columns, _records(below, columns), ignored)


def raw_rows(path: Path) -> tuple[Iterator[NumberedRow], list[list[str]]]:
    """All rows that are not blank, with their numbers, as they stand; and a sample of the first ones, blank ones too.

    A row that cannot be split into cells is the error that the csv module raised for it.
    """
    lines = text_lines(path)
    beginning = list(islice(lines, HEADING_ROWS))
    delimiter = max(",\t;", key=lambda mark: max(map(known, csv.reader(beginning, delimiter=mark))))
    sampled = list(csv.reader(beginning, delimiter=delimiter))
    return _numbered(csv.reader(chain(beginning, lines), delimiter=delimiter, strict=True)), sampled


def _numbered(reader: Iterator[list[str]]) -> Iterator[NumberedRow]:
    number = 0
    while True:
        number += 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # the reader goes on with the next line
            yield number, error
        else:
            if row:
                yield number, row


def _records(rows: Iterator[NumberedRow], columns: Columns) -> Iterator[Record]:
    width, pick = columns.width, columns.pick
    for number, row in rows:
        if isinstance(row, csv.Error):
            yield _broken(number, columns)
        elif len(row) == width:
            row.append("")
            yield Record(number, pick(row), columns)
        else:
            yield _of_other_width(number, row, columns)


def _broken(number: int, columns: Columns) -> Record:
    message = "引号不成对，或一格超过 131,072 个字符，这一行无法分格"
    error = whole_row(number, "", "csv-quotes", message, "检查这一行的双引号；内容中的双引号应写成两个")
    return Record(number, (), columns, (error,))


def _of_other_width(number: int, row: list[str], columns: Columns) -> Record:
    if row[0].startswith(TOO_LONG) or len(row) > WIDEST:
        error = whole_row(number, "", "row-too-long", "这一行过长，不像是名单的一行", "检查换行和引号，或删除这一行")
        return Record(number, (), columns, (error,))
    extra = [cell for cell in row[columns.width :] if cell.strip()]
    cells = columns.pick([*row[: columns.width], *[""] * (columns.width - len(row)), ""])
    if not extra:  # programs leave out empty cells at the end of a row, or add some
        return Record(number, cells, columns)
    message = f"比标题多出 {len(row) - columns.width} 格"
    fix = "内容中有逗号的格要用双引号括起来；或删除多出的格"
    return Record(number, cells, columns, (whole_row(number, extra[0], "too-many-cells", message, fix),))
