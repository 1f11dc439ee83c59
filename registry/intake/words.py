"""The closed vocabularies of the form: level, way of obtaining, kind of document, sex, yes or no. Cached by cell."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TypeVar

from registry.intake.cells import Fault, text
from registry.intake.table import Cell
from registry.terms import IdentityKind, Level, Obtained, Sex

_Word = TypeVar("_Word")

LEVELS: Mapping[str, Level] = {level.zh: level for level in Level} | {
    "正高": Level.SENIOR_FULL,
    "副高": Level.SENIOR_ASSOCIATE,
    "助理": Level.ASSISTANT,
}
OBTAINED: Mapping[str, Obtained] = {way.zh: way for way in Obtained} | {
    "评审取得": Obtained.REVIEW,
    "考试": Obtained.EXAM_BASED,
    "考核认定": Obtained.INITIAL_DETERMINATION,
    "改系列": Obtained.SERIES_CONVERSION,
}
KINDS: Mapping[str, IdentityKind] = {kind.zh: kind for kind in IdentityKind} | {
    "身份证": IdentityKind.RESIDENT_ID,
    "港澳台居住证": IdentityKind.RESIDENCE_PERMIT,
    "外国人永久居留证": IdentityKind.PERMANENT_RESIDENCE,
    "永居证": IdentityKind.PERMANENT_RESIDENCE,
    "回乡证": IdentityKind.HOME_RETURN_PERMIT,
    "台胞证": IdentityKind.TAIWAN_PERMIT,
}
SEXES: Mapping[str, Sex] = {sex.zh: sex for sex in Sex} | {"男性": Sex.MALE, "女性": Sex.FEMALE}
CONFIRMED: Mapping[str, bool] = {"是": True, "已核对": True, "否": False}

_UNCLEAR = {
    "初级": Fault("level-ambiguous", "“初级”可以是助理级，也可以是员级", "按批准文件写“助理级”或“员级”"),
    "高级": Fault("level-ambiguous", "“高级”可以是正高级，也可以是副高级", "按批准文件写“正高级”或“副高级”"),
}


@lru_cache(maxsize=4096, typed=True)
def level(cell: Cell) -> Level | Fault | None:
    """The level. 初级 and 高级 are refused as ambiguous: a level is never guessed, nor derived from the title."""
    value = text(cell)
    if isinstance(value, str) and value in _UNCLEAR:
        return _UNCLEAR[value]
    return _meaning(value, LEVELS, "level-unknown")


@lru_cache(maxsize=4096, typed=True)
def obtained(cell: Cell) -> Obtained | Fault | None:
    """The way of obtaining; None for an empty cell."""
    return _meaning(text(cell), OBTAINED, "obtained-unknown")


@lru_cache(maxsize=4096, typed=True)
def kind(cell: Cell) -> IdentityKind | Fault | None:
    """The kind of identity document; None for an empty cell."""
    return _meaning(text(cell), KINDS, "kind-unknown")


@lru_cache(maxsize=4096, typed=True)
def sex(cell: Cell) -> Sex | Fault | None:
    """The sex as stated; None for an empty cell."""
    return _meaning(text(cell), SEXES, "sex-unknown")


@lru_cache(maxsize=4096, typed=True)
def confirmed(cell: Cell) -> bool | Fault | None:
    """Whether an officer has compared a number whose check character is wrong; None for an empty cell."""
    return _meaning(text(cell), CONFIRMED, "confirmed-unknown")


def _meaning(value: str | Fault, words: Mapping[str, _Word], rule: str) -> _Word | Fault | None:
    if isinstance(value, Fault):
        return value
    if not value or value in words:
        return words.get(value)
    return Fault(rule, f"“{value[:20]}”不在可填的词中", f"填写其中之一：{'、'.join(words)}")
