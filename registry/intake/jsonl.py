"""JSON Lines as a table: one object a line, with the headings of the form (or our field names) as keys; streamed."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

from registry.intake.form import Columns, HeadingProblem, match_keys
from registry.intake.lines import TOO_LONG, text_lines
from registry.intake.table import Record, Table, refusal, whole_row


def open_jsonl(path: Path) -> Table:
    """Open the list. The first object decides whether the required fields are there; later lines err by row.

    Rows count lines from 1, blank ones too; blank lines give no record.
    """
    lines = ((number, line) for number, line in enumerate(text_lines(path), 1) if not line.isspace())
    first = next(lines)
    keys = _first_keys(path, first[1])
    try:
        columns, ignored = match_keys(keys)
    except HeadingProblem as problem:
        raise refusal(path, problem.rule, problem.message, problem.fix) from None
    return Table(None, columns, _records(chain([first], lines), columns), ignored)


class _NotAnObject(ValueError):
    """The line is not one JSON object of plain values; the message says why, in Chinese."""


def _first_keys(path: Path, line: str) -> tuple[str, ...]:
    try:
        return tuple(key for key, _ in _object(line))
    except _NotAnObject as problem:
        fix = '每行写一个 JSON 对象，如 {"姓名": "…", "证件号码": "…"}'
        raise refusal(path, "bad-json", f"第 1 个非空行{problem}", fix) from None


def _records(lines: Iterator[tuple[int, str]], columns: Columns) -> Iterator[Record]:
    for number, line in lines:
        try:
            pairs = _object(line)
            found, _ = match_keys(tuple(key for key, _ in pairs))
        except _NotAnObject as problem:
            error = whole_row(number, line, "bad-json", f"这一行{problem}", "每行写一个 JSON 对象，键用表格的标题")
            yield Record(number, (), columns, (error,))
        except HeadingProblem as problem:
            yield Record(number, (), columns, (whole_row(number, line, problem.rule, problem.message, problem.fix),))
        else:
            yield Record(number, found.pick([*(value for _, value in pairs), ""]), found)


def _object(line: str) -> list[tuple[str, Any]]:
    if line.startswith(TOO_LONG):
        raise _NotAnObject("过长，不像是名单的一行")
    try:
        pairs = _DECODER.decode(line)
    except RecursionError:
        raise _NotAnObject("嵌套过深") from None
    except json.JSONDecodeError as error:
        raise _NotAnObject(f"不是有效的 JSON（第 {error.colno} 个字符处）") from None
    except ValueError as error:
        raise _NotAnObject(f"不是有效的 JSON（{error}）") from None
    if not isinstance(pairs, _Pairs):
        raise _NotAnObject("不是一个 JSON 对象")
    if nested := next((key for key, value in pairs if isinstance(value, list)), None):
        raise _NotAnObject(f"“{nested}”的值不是文字或数字")
    return pairs


class _Pairs(list[tuple[str, Any]]):
    """The members of an object in order; a key written twice is there twice, so that it is noticed."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} 不是 JSON 的数字")


_DECODER = json.JSONDecoder(object_pairs_hook=_Pairs, parse_constant=_refuse_constant)
