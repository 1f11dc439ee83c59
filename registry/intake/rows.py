"""A list of approved people (form 2-4) in: rows that are awards, or everything that is wrong with them."""

from collections.abc import Iterator
from datetime import date
from itertools import chain
from pathlib import Path

from registry.catalogue.catalogue import Catalogue
from registry.intake.cells import is_blank
from registry.intake.csvfile import open_csv
from registry.intake.form import INDEX
from registry.intake.jsonl import open_jsonl
from registry.intake.judge import Judge
from registry.intake.sheet import open_sheet
from registry.intake.table import Record, Row, RowError, Table, refusal

__all__ = ["AwardList", "Row", "RowError", "open_table", "read_list"]

_OPENERS = {".xlsx": open_sheet, ".csv": open_csv, ".jsonl": open_jsonl}
_NAME, _IDENTITY = INDEX["name"], INDEX["identity"]


class AwardList(Iterator[Row]):
    """The rows of an opened list, each once, in order. `columns` says where its fields stand; `ignored` are the
    headings that the form does not use."""

    def __init__(self, table: Table, rows: Iterator[Row]) -> None:
        self.sheet, self.columns, self.ignored, self._rows = table.sheet, table.columns, table.ignored, rows

    def __next__(self) -> Row:
        return next(self._rows)


def read_list(path: Path, *, authority: str, document: str, catalogue: Catalogue, today: date) -> AwardList:
    """Open a list and judge its rows as they are taken; CSV and JSON Lines stream in flat memory.

    `document` is the number of the approval document (批准文号), `today` a civil date of Beijing. The whole file is
    refused with BadInput before this returns: an unknown kind, headings that cannot be used, an empty or a too large
    list, an unreadable file. Raises NotFound for an unknown authority. Rows that are entirely blank are not rows.
    """
    if not document.strip():
        raise refusal(path, "document-required", "没有批准文号", "填写批准文件的文号，如 丽人社〔2021〕53号")
    table = open_table(path)
    judge = Judge(table.sheet, authority=authority, document=document.strip(), catalogue=catalogue, today=today)
    filled = filter(_is_filled, table.records)
    first = next(filled, None)
    if first is None:
        raise refusal(path, "empty-list", "标题下面没有一行内容", "检查是否选错了文件或工作表")
    return AwardList(table, map(judge.row, chain([first], filled)))


def open_table(path: Path) -> Table:
    """Open a list by its suffix: .xlsx, .csv or .jsonl. Refused: any other suffix, and what the reader refuses."""
    suffix = path.suffix.lower()
    if suffix == ".xls":
        raise refusal(path, "old-format", "是旧的 .xls 格式", "在表格软件中另存为 .xlsx")
    if suffix not in _OPENERS:
        raise refusal(path, "unknown-kind", f"不能识别后缀“{suffix}”", "使用 .xlsx、.csv 或 .jsonl 文件")
    if not path.is_file():
        raise refusal(path, "no-file", "文件不存在或不是普通文件", "检查文件名和位置")
    return _OPENERS[suffix](path)


def _is_filled(record: Record) -> bool:
    cells = record.cells
    if record.errors or not (is_blank(cells[_NAME]) and is_blank(cells[_IDENTITY])):
        return True
    return any(not is_blank(cell) for place, cell in enumerate(cells) if place != INDEX["serial"])
