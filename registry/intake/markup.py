"""What the cells of a sheet hide from the reading library, found on the XML of the sheet.

The library turns error cells and formulas that were never computed into blanks, does not know hidden rows, and
allocates a dense block up to the outermost cell.
"""

import re
from pathlib import Path
from typing import NamedTuple

from registry.errors import BadInput
from registry.intake.form import HEADING_ROWS, place_of_letter
from registry.intake.package import USE_CSV
from registry.intake.table import refusal

MOST_ROWS = 50_000

_NS = rb"<(?:\w+:)?"
_ROW = re.compile(_NS + rb"row\b[^>]*>")
_COLUMN = re.compile(_NS + rb"col\s[^>]*>")
_ERROR_CELL = re.compile(_NS + rb"c\s[^>]*\bt\s*=\s*[\"']e[\"'][^>]*>")
_UNCOMPUTED = re.compile(
    _NS + rb"c\s[^>]*>\s*<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)"
    rb"\s*(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
_FAR_CELL = re.compile(
    rb"\sr\s*=\s*[\"'](?:(?:[A-Za-z]{3,}|[D-Zd-z][A-Za-z])\d|[A-Za-z]{1,2}(?:\d{6}|[6-9]\d{4}|5[1-9]\d{3}))"
)
_PLACE = re.compile(rb"\sr\s*=\s*[\"']([A-Za-z]*)(\d{1,7})[\"']")
_HIDDEN = re.compile(rb"\shidden\s*=\s*[\"'](?:1|true)[\"']")
_SPAN = re.compile(rb"\s(min|max)\s*=\s*[\"'](\d{1,5})[\"']")
_VALUE = re.compile(rb"<(?:\w+:)?v>([^<]*)<")


class Markup(NamedTuple):
    """Rows count from 1, columns from 0. `broken` maps (row, column) to the error shown, "" if never computed."""

    hidden_rows: frozenset[int]
    hidden_columns: frozenset[int]
    broken: dict[tuple[int, int], str]


def inspect(path: Path, sheet: str, xml: bytes) -> Markup:
    """Read the marks of a sheet. Refused: more than 50,000 rows, cells beyond column CZ, XML in another encoding."""
    if b"\0" in xml or xml.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refusal(path, "corrupt", f"工作表“{sheet}”的编码不能读取", "在表格软件中打开，另存为新的 .xlsx")
    if _FAR_CELL.search(xml):
        raise _too_large(path, sheet, "在 51,000 行以后或 CZ 列以后还有单元格")
    hidden, last = _rows(xml)
    if last > MOST_ROWS + HEADING_ROWS:
        raise _too_large(path, sheet, f"有 {last} 行，上限是 {MOST_ROWS} 行")
    return Markup(hidden, _columns(xml), _broken(xml))


def _too_large(path: Path, sheet: str, what: str) -> BadInput:
    fix = f"{USE_CSV}；如果多出的是空行空列，请删除它们再保存"
    return refusal(path, "too-many-rows", f"工作表“{sheet}”{what}", fix)


def _rows(xml: bytes) -> tuple[frozenset[int], int]:
    hidden, last = set(), 0
    for tag in _ROW.findall(xml):
        place = _PLACE.search(tag)
        last = int(place[2]) if place else last + 1
        if _HIDDEN.search(tag):
            hidden.add(last)
    return frozenset(hidden), last


def _columns(xml: bytes) -> frozenset[int]:
    head = xml[: max(xml.find(b"sheetData"), 0)]
    spans = [dict(_SPAN.findall(tag)) for tag in _COLUMN.findall(head) if _HIDDEN.search(tag)]
    return frozenset(
        place for span in spans for place in range(int(span.get(b"min", 1)) - 1, min(int(span.get(b"max", 1)), 200))
    )


def _broken(xml: bytes) -> dict[tuple[int, int], str]:
    found: dict[tuple[int, int], str] = {}
    for cell in _UNCOMPUTED.finditer(xml):
        found |= _at(cell.group(), "")
    for tag in _ERROR_CELL.finditer(xml):
        value = _VALUE.search(xml, tag.end(), tag.end() + 1_000)
        found |= _at(tag.group(), value[1].decode("utf-8", "replace") if value else "#ERROR")
    return found


def _at(tag: bytes, shown: str) -> dict[tuple[int, int], str]:
    place = _PLACE.search(tag)
    if not place:
        return {}
    return {(int(place[2]), place_of_letter(place[1].decode())): shown}
