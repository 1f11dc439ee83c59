"""The name of a person, as on the identity document. Wrong ways of writing are named with the fix, never repaired.

民委发〔2016〕33号: the separator in names of minorities is U+00B7 alone, at least 50 characters are taken, and every
character of GB 18030.
"""

import re
import unicodedata

from registry.intake.cells import Fault, required
from registry.intake.table import Cell

LONGEST_NAME = 100
_HAN = "\u3007\u2e80-\u2fdf\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_ORDINARY = re.compile(f"[{_HAN}]{{1,50}}(?:·[{_HAN}]{{1,40}}){{0,3}}")
_ANY_HAN = re.compile(f"[{_HAN}]")
_LATIN = re.compile(r"[^\W\d_]+(?:[ .,'’·-]{1,2}[^\W\d_]+)*\.?")
_DOTS = re.compile("[.\u2022\u2024\u2027\u2219\u22c5\u25cf\u25e6\u30fb\uff0e\uff65\u0387\u16eb\u2e31\u3002\u2981]")
_BLANKS = re.compile(r"\s+")
_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U0010ffff]")
_VARIANT = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def person_name(cell: Cell) -> str | Fault:
    """The name; blanks at the edges are dropped, full-width ones too. Everything else that is odd is a Fault."""
    value = required(cell, LONGEST_NAME)
    if isinstance(value, Fault):
        return Fault("name-digits", "姓名是数字", "按身份证件填写姓名") if value.rule == "number-cell" else value
    if _ORDINARY.fullmatch(value):
        return value
    return _any_script(value) or (_han(value) if _ANY_HAN.search(value) else _latin(value))


def _any_script(value: str) -> Fault | None:
    if any(character.isdigit() for character in value):
        return Fault("name-digits", "姓名中有数字", "按身份证件填写姓名")
    if found := _PRIVATE.search(value):
        code = ord(found.group())
        message = f"第 {found.start() + 1} 个字是自造字（U+{code:04X}），别的电脑上显示不出来"
        return Fault("name-private-use", message, "用 GB 18030-2022 的正式字重新输入")
    if _VARIANT.search(value):
        return Fault("name-variation-selector", "姓名中有异体字选择符", "重新输入姓名，不带异体字选择符")
    return None


def _han(value: str) -> str | Fault:
    if _BLANKS.search(value):
        return Fault("name-blank", "姓名中间有空格", f"去掉空格，写成“{_BLANKS.sub('', value)}”")
    if _DOTS.search(value):
        right = _DOTS.sub("·", value)
        return Fault("name-separator", "姓名间隔号不是“·”（U+00B7）", f"写成“{right}”")
    if value.startswith("·") or value.endswith("·") or "··" in value:
        return Fault("name-separator-place", "姓名间隔号的位置不对", "间隔号只用在两部分之间，且只用一个")
    odd = next((c for c in value if c != "·" and not _ANY_HAN.match(c)), None)
    if odd is None:
        return Fault("name-separator-place", "姓名的间隔过多或某一部分过长", "按身份证件核对姓名")
    return Fault("name-character", f"姓名中有“{odd}”（U+{ord(odd):04X}）", "按身份证件填写，只用汉字和间隔号“·”")


def _latin(value: str) -> str | Fault:
    if "  " in value or re.search(r"[^\S ]", value):
        return Fault("name-blank", "姓名中有连续的空格、全角空格或制表符", f"写成“{_BLANKS.sub(' ', value)}”")
    composed = unicodedata.normalize("NFC", value)
    if not _LATIN.fullmatch(composed):
        return Fault("name-character", "姓名中有不能识别的符号", "按证件填写：字母之间只用空格、“.”、“'”、“-”或“·”")
    return composed
