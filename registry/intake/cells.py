"""One cell to one value. A value that cannot be right is a Fault with a stable rule, never an exception."""

import re
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from registry.intake.table import Cell

LONGEST_TEXT = 200
LONGEST_NUMBER = 64
EXACT_DIGITS = 15  # a spreadsheet keeps no more digits of a number
FULL_WIDTH = str.maketrans("０１２３４５６７８９－／．：　", "0123456789-/.: ")

_ODD = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffd\ud800-\udfff]")
_DAY = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})")
_DAY_ZH = re.compile(r"(\d{4})()年(\d{1,2})月(\d{1,2})日?")
_MONTH = re.compile(r"(\d{4})[-/.年](\d{1,2})月?")
_AMBIGUOUS = re.compile(r"\d{1,2}([-/.年])\d{1,2}[-/.月]\d{1,4}日?")
_SERIAL = re.compile(r"\d{5}(\.\d+)?")
_POWER = re.compile(r"\d(\.\d+)?[eE]\+\d+|\d\.\d+[eE]\d+")


class Fault(NamedTuple):
    """What is wrong with a value: the stable code of the rule, the sentence, and what to do."""

    rule: str
    message: str
    fix: str


_ROUNDED = Fault(
    "identity-rounded", "证件号码存成了数字，15 位以后的数字已经丢失", "把这一列设为文本格式，再按原件重新填写全部号码"
)
_NUMBER_CELL = Fault("identity-number-cell", "证件号码存成了数字", "把这一列设为文本格式，再按原件重新填写")


class Born(NamedTuple):
    """A stated date of birth; `day_known` is false where only the month is stated, and the day is then 1."""

    day: date
    day_known: bool


def shown(cell: Cell) -> str:
    """The raw value as a person sees it: whole numbers without a point, at most the 15 digits a spreadsheet keeps."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return f"{Decimal(f'{cell:.15g}'):f}" if abs(cell) < 1e30 else f"{cell:g}"
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    return str(cell) if not isinstance(cell, int) or abs(cell) < 10**30 else f"{Decimal(cell):.5E}"


def text(cell: Cell, longest: int = LONGEST_TEXT) -> str | Fault:
    """The text of a cell without blanks at its edges; "" for an empty one. Not a number, date or odd character."""
    if not isinstance(cell, str):
        return "" if cell is None else _not_text(cell)
    value = cell.strip()
    if odd := _ODD.search(value):
        return _odd_character(odd.group())
    if len(value) > longest:
        return Fault("too-long", f"超过 {longest} 个字符（现有 {len(value)} 个）", "缩短内容，或检查是否漏了分隔")
    return value


def required(cell: Cell, longest: int = LONGEST_TEXT) -> str | Fault:
    """The text of a cell that must not be empty."""
    value = text(cell, longest)
    return value if value else Fault("required", "必填，不能为空", "填写此格")


def _not_text(cell: Cell) -> Fault:
    if isinstance(cell, bool):
        return Fault("boolean-cell", "是逻辑值，不是文字", "改为文字")
    if isinstance(cell, int | float):
        return Fault("number-cell", "存成了数字，前面的 0 可能已经丢失", "把单元格设为文本格式，再按原件重新填写")
    return Fault("date-cell", "存成了日期或时间，原来的内容已被表格软件改变", "把单元格设为文本格式，再按原件重新填写")


def _odd_character(found: str) -> Fault:
    if "\udc80" <= found <= "\udcff":
        return Fault(
            "encoding", f"含有无法解码的字节 0x{ord(found) - 0xDC00:02X}", "把文件另存为 UTF-8 编码，并核对此格的文字"
        )
    if found in "\r\n\x0b\x0c\x85\u2028\u2029":
        return Fault("line-break", "单元格内有换行", "删除换行；CSV 文件请检查引号是否成对")
    if found == "\ufffd":
        return Fault("encoding", "含有替换字符 U+FFFD，原来的字已经丢失", "按原件重新填写此格")
    return Fault("control-character", f"含有看不见的字符 U+{ord(found):04X}", "删除此字符，或重新输入此格")


def certificate_number(cell: Cell) -> str | Fault | None:
    """A certificate number, opaque: leading zeros, full-width characters and brackets stay as they are."""
    value = text(cell, LONGEST_NUMBER)
    if isinstance(value, str) and _POWER.fullmatch(value):
        return Fault("number-rounded", "是科学计数法，号码的位数已经丢失", "把单元格设为文本格式，再按原件重新填写")
    if isinstance(value, str) and (fault := formula(value)):
        return fault
    return value or None


def formula(value: str) -> Fault | None:
    """Text that tricks a spreadsheet into keeping digits (="0123", '0123) is not part of a number."""
    if value.startswith("="):
        return Fault("formula-text", "以“=”开头，是公式而不是号码", "去掉等号和引号，只留号码，单元格设为文本格式")
    if value.startswith(("'", "‘", "’")):
        return Fault("leading-apostrophe", "以撇号开头", "去掉撇号，单元格设为文本格式")
    return None


def identity_text(cell: Cell) -> str | Fault:
    """The text of an identity number. A number cell is named as such, never repaired: its digits past 15 are lost."""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return _ROUNDED if abs(cell) >= 10**EXACT_DIGITS else _NUMBER_CELL
    value = required(cell, LONGEST_NUMBER)
    if isinstance(value, Fault):
        return value
    fault = formula(value)
    return fault if fault and fault.rule == "formula-text" else value  # an apostrophe is only a way of writing here


def day(cell: Cell, today: date) -> date | Fault | None:
    """A civil date: a date cell, or 2021-06-02, 2021/6/2, 2021.6.2, 2021年6月2日. None for an empty cell.

    Refused: two-digit years, day-first orders, months without a day, bare serial numbers, the future, before 1949.
    """
    if isinstance(cell, date):
        return _in_range(cell.date() if isinstance(cell, datetime) else cell, today)
    if isinstance(cell, str):
        return _day_of_text(cell, today)
    return None if cell is None else _bad_date_cell(cell)


def _day_of_text(raw: str, today: date) -> date | Fault | None:
    value = raw.strip().translate(FULL_WIDTH)
    if not value:
        return None
    found = _DAY.fullmatch(value) or _DAY_ZH.fullmatch(value)
    if not found:
        return _not_a_day(value)
    try:
        return _in_range(date(int(found[1]), int(found[3]), int(found[4])), today)
    except ValueError:
        return Fault("date-invalid", "日历上没有这一天", "按原件改正日期")


def _in_range(value: date, today: date) -> date | Fault:
    if value > today:
        return Fault("date-future", f"晚于今天（{today}）", "按原件改正日期")
    if value.year < 1949:
        return Fault("date-too-early", "早于 1949 年", "按原件改正日期")
    return value


def _not_a_day(value: str) -> Fault:
    if _MONTH.fullmatch(value):
        return Fault("date-no-day", "只有年月，没有日", "填写到日，如 2021-06-02")
    if _AMBIGUOUS.fullmatch(value):
        return Fault("date-ambiguous", "年、月、日的次序或年份不明", "年份写四位并放在最前，如 2021-06-02")
    if _SERIAL.fullmatch(value):
        return _serial()
    return Fault("date-unreadable", "不是可以识别的日期", "写成 2021-06-02、2021/6/2、2021.6.2 或 2021年6月2日")


def _bad_date_cell(cell: Cell) -> Fault:
    if isinstance(cell, int | float) and not isinstance(cell, bool) and 1 <= cell < 100_000:
        return _serial()
    return Fault("date-unreadable", "不是可以识别的日期", "写成 2021-06-02，或把单元格设为日期格式")


def _serial() -> Fault:
    return Fault("date-serial", "是表格软件的日期序号，不是日期", "把单元格设为日期格式，核对后重新填写")


@lru_cache(maxsize=16384, typed=True)
def born(cell: Cell, today: date) -> Born | Fault | None:
    """A stated date of birth: a day, or only a month (1968-05, 1968年5月). None for an empty cell."""
    if isinstance(cell, str) and (found := _MONTH.fullmatch(cell.strip().translate(FULL_WIDTH))):
        return _month(int(found[1]), int(found[2]), today)
    value = day(cell, today)
    if isinstance(value, Fault) and value.rule == "date-too-early" and (old := _before_1949(cell)):
        return old
    return value if value is None or isinstance(value, Fault) else Born(value, day_known=True)


def _month(year: int, month: int, today: date) -> Born | Fault:
    if not (1 <= month <= 12 and year >= 1900):
        return Fault("date-invalid", "日历上没有这个月，或早于 1900 年", "按原件改正出生日期")
    first = date(year, month, 1)
    return Born(first, day_known=False) if first <= today else Fault("date-future", "晚于今天", "按原件改正出生日期")


def _before_1949(cell: Cell) -> Born | None:
    if isinstance(cell, str):
        found = _DAY.fullmatch(cell.strip().translate(FULL_WIDTH)) or _DAY_ZH.fullmatch(cell.strip())
        cell = date(int(found[1]), int(found[3]), int(found[4])) if found else None
    if isinstance(cell, datetime):
        cell = cell.date()
    return Born(cell, day_known=True) if isinstance(cell, date) and cell.year >= 1900 else None


def is_blank(cell: Cell) -> bool:
    """Whether a cell is empty or holds only blanks."""
    return cell is None or (isinstance(cell, str) and not cell.strip())
