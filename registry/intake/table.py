"""What every kind of list becomes: records in the order of the form, and rows that are an award or their errors."""

from collections.abc import Iterator, Sequence
from datetime import date, time, timedelta
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from registry.errors import BadInput
from registry.intake.form import Columns
from registry.titles.award import AwardTitle

Cell: TypeAlias = str | int | float | bool | date | time | timedelta | None


class RowError(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong in one row: where it stands, the raw value, the stable code of the rule, and what to do.

    `row` counts from 1 as the spreadsheet program shows it; `column` is the letter there, empty where a file has no
    columns (JSON Lines) or where the whole row is meant; `sheet` is None unless the file is a spreadsheet.
    """

    sheet: str | None
    row: int
    column: str
    heading: str
    raw: str
    rule: str
    message: str
    fix: str


class Row(msgspec.Struct, frozen=True):
    """One row of a list: the award it asks for, or everything that is wrong with it."""

    number: int
    result: AwardTitle | tuple[RowError, ...]


class Record(NamedTuple):
    """One row as read: its cells in the order of the form, and what the reader already found wrong."""

    number: int
    cells: Sequence[Cell]
    columns: Columns
    errors: tuple[RowError, ...] = ()


class Table(NamedTuple):
    """An opened list. `records` streams; `ignored` are the headings that the form does not use."""

    sheet: str | None
    columns: Columns
    records: Iterator[Record]
    ignored: tuple[str, ...] = ()


def refusal(path: Path, rule: str, message: str, fix: str) -> BadInput:
    """A refusal of the whole file, naming it. `about["rule"]` is the stable code."""
    return BadInput(f"{path.name}：{message}", fix=fix, rule=rule, file=path.name)


def whole_row(number: int, raw: str, rule: str, message: str, fix: str, *, sheet: str | None = None) -> RowError:
    """An error of a row as a whole, not of one cell. The raw text is cut at 200 characters."""
    return RowError(sheet=sheet, row=number, column="", heading="", raw=raw[:200], rule=rule, message=message, fix=fix)
