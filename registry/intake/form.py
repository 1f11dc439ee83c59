"""The columns of our form 2-4 (评审通过人员名单), version 2-4/1.

The official columns of annex 2-4 are not known to us: this is our documented default, never the official form.
"""

import difflib
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

VERSION = "2-4/1"
LIST_SHEET = "名单"
NOTES_SHEET = "填表说明"
ERRORS_SHEET = "错误清单"
VERSION_LABEL = "模板版本"
HEADING_ROWS = 10  # a title and notes may stand above the headings, but not more rows than this


class Column(NamedTuple):
    """One column: its Chinese heading, our name for it, other headings that mean it, and whether it must be there."""

    heading: str
    field: str
    required: bool
    aliases: tuple[str, ...]
    hint: str


def _column(heading: str, field: str, hint: str, *aliases: str, required: bool = False) -> Column:
    return Column(heading, field, required, aliases, hint)


FORM = (
    _column("序号", "serial", "不导入"),
    _column(
        "姓名",
        "name",
        "与身份证件一致；少数民族姓名用间隔号“·”（U+00B7）",
        "申报人",
        "申报人姓名",
        "持证人",
        required=True,
    ),
    _column("证件类型", "kind", "不填即居民身份证", "证件种类", "身份证件类型"),
    _column(
        "证件号码",
        "identity",
        "文本格式，18 位或旧 15 位",
        "身份证号",
        "身份证号码",
        "公民身份号码",
        "证件号",
        required=True,
    ),
    _column("签发国", "country", "护照必填：三个字母的国家代码，如 JPN", "国籍", "国家"),
    _column("性别", "sex", "可不填，由身份证号码得出；填写则须一致"),
    _column("出生日期", "born", "可不填，由身份证号码得出；填写则须一致", "出生年月", "出生年月日"),
    _column("工作单位", "employer", "可不填", "单位", "单位名称", "所在单位", "用人单位"),
    _column(
        "评审委员会", "committee", "与年度评审计划中的名称一致", "评委会", "评委会名称", "评审委员会名称", required=True
    ),
    _column("系列", "series", "27 个职称系列之一", "职称系列", required=True),
    _column("专业", "specialty", "", "专业名称", "评审专业", "从事专业", required=True),
    _column("级别", "level", "正高级、副高级、中级、助理级、员级", "职称级别", "资格级别", required=True),
    _column(
        "资格名称", "title_name", "如：工程师", "职称", "职称名称", "任职资格", "专业技术职务任职资格", required=True
    ),
    _column("取得方式", "obtained", "不填即评审", "取得途径"),
    _column(
        "取得资格时间",
        "awarded_on",
        "如：2021-06-02",
        "资格取得时间",
        "取得时间",
        "取得日期",
        "取得资格日期",
        required=True,
    ),
    _column("公布日期", "published_on", "可不填", "公布时间", "发文日期", "发文时间"),
    _column("发证日期", "issued_on", "可不填", "发证时间"),
    _column("证书编号", "number", "文本格式，原样保留；不填由系统编号", "证书号", "证书号码"),
    _column("号码已核对", "confirmed", "校验码不符的旧号码，经核对原件无误的填“是”"),
    _column("备注", "remark", "不导入"),
)
INDEX = {column.field: place for place, column in enumerate(FORM)}
_KNOWN = {
    name: place
    for place, column in enumerate(FORM)
    for name in (column.heading, column.field, *column.aliases)
}  # fmt: skip


class Columns(NamedTuple):
    """Where the fields of the form stand in one file. `headings` are as written and empty where a column is absent."""

    headings: tuple[str, ...]
    letters: tuple[str, ...]
    width: int
    pick: Callable[[Sequence[Any]], tuple[Any, ...]]


class HeadingProblem(ValueError):
    """The headings cannot be used. `rule` is the stable code, `fix` what to do."""

    def __init__(self, rule: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.rule, self.message, self.fix = rule, message, fix


def letter(place: int) -> str:
    """The column letter of a place counted from 0: 0 is A, 26 is AA."""
    name = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        name = chr(65 + rest) + name
    return name


def place_of_letter(letters: str) -> int:
    """The place of a column, counted from 0: A is 0, AA is 26."""
    place = 0
    for character in letters.upper():
        place = place * 26 + ord(character) - 64
    return place - 1


def plain(heading: object) -> str:
    """A heading without blanks, stars, 必填 marks and colons, half width, in lower case."""
    text = unicodedata.normalize("NFKC", str(heading if heading is not None else ""))
    text = "".join(text.split()).replace("(必填)", "").replace("(选填)", "")
    return text.strip("*:'").lower()


def place_of(heading: str) -> int | None:
    """The place in the form of the field that a heading means; None if it means none."""
    return _KNOWN.get(plain(heading))


def known(cells: Sequence[object]) -> int:
    """How many of these cells are headings of the form."""
    return sum(plain(cell) in _KNOWN for cell in cells)


def match(cells: Sequence[object], *, lettered: bool = True) -> tuple[Columns, tuple[str, ...]]:
    """Find the fields among the headings, in any order; also return the headings that are not used.

    Raise HeadingProblem for two columns of one field, a missing required column, or an unknown heading that is
    nearly the name of a column that is absent: a misspelt 证书编号 must not silently lose the numbers.
    """
    places: dict[int, int] = {}
    unknown: list[str] = []
    for place, cell in enumerate(cells):
        name = plain(cell)
        field = _KNOWN.get(name)
        if field is None:
            unknown += [name] if name else []
        elif field in places:
            raise _twice(FORM[field].heading, places[field], place)
        else:
            places[field] = place
    _check_absent(places, unknown)
    return _columns(cells, places, lettered), tuple(unknown)


def _columns(cells: Sequence[object], places: dict[int, int], lettered: bool) -> Columns:
    width = len(cells)
    found = [places.get(field) for field in range(len(FORM))]
    return Columns(
        headings=tuple("" if at is None else str(cells[at]).strip() for at in found),
        letters=tuple("" if at is None or not lettered else letter(at) for at in found),
        width=width,
        pick=itemgetter(*(width if at is None else at for at in found)),  # the reader appends one blank cell
    )


def _twice(heading: str, first: int, second: int) -> HeadingProblem:
    where = f"{letter(first)} 列和 {letter(second)} 列"
    return HeadingProblem("duplicate-heading", f"标题“{heading}”出现两次：{where}", "删除其中一列，或改正标题")


def _check_absent(places: dict[int, int], unknown: list[str]) -> None:
    absent = [column for place, column in enumerate(FORM) if place not in places]
    missing = [column.heading for column in absent if column.required]
    near = {guess: name for name in unknown if (guess := _nearest(name, absent))}
    hints = "；".join(f"标题“{name}”请改为“{guess}”" for guess, name in near.items())
    if missing:
        advice = hints or "下载模板，按模板的标题填写"
        raise HeadingProblem("missing-heading", f"缺少必需的列：{'、'.join(missing)}", advice)
    if near:
        message = "有不认识的标题：" + "、".join(f"“{name}”" for name in near.values())
        raise HeadingProblem("unknown-heading", message, f"{hints}；如果不是这一列，请删除或换一个标题")


def _nearest(name: str, absent: list[Column]) -> str | None:
    names = {other: column.heading for column in absent for other in (column.heading, *column.aliases)}
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.65)
    return names[found[0]] if found else None


@lru_cache(maxsize=256)
def match_keys(keys: tuple[str, ...]) -> tuple[Columns, tuple[str, ...]]:
    """Like `match`, for the keys of one JSON object; cached, because most lines have the same keys."""
    return match(keys, lettered=False)
