"""Read identity numbers: recognise the document, check the number, never repair it.

Rules: GB 11643-1999 (18 digits: weights 7 9 10 5 8 4 2 1 6 3 7 9 10 5 8 4 2, modulo 11, map 10X98765432) and the
numbering of permits. Blanks, hyphens, full-width forms and lower case are only ways of writing and are folded away;
a digit is never changed. The first two digits must be a plausible province (11-65, 71, 81-83); districts are not
checked against a list, because real ones were abolished or renamed and must not be refused.
A 15-digit number is read as 19xx, also with the sequence codes 996-999 once given to centenarians: the code alone
proves nothing, and such a holder would be over 120 years old.

No message repeats the number: messages are logged.
"""

import re
import unicodedata
from datetime import date
from operator import mul

from registry.errors import BadIdentity, DoubtfulIdentity
from registry.holders.person import Identity
from registry.terms import IdentityKind, Sex

_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_HYPHENS = re.compile("[-\u2010-\u2015\u2212]")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
_PROVINCES = frozenset(range(11, 66)) | {71, 81, 82, 83}
_RECHECK = "请对照证件原件逐位核对后重新填写"

_SPREADSHEET_NUMBER = re.compile(r"[0-9](\.[0-9]+)?E\+[0-9]+|[0-9]\.[0-9]+E[0-9]+|[0-9]{9,}\.0*")
_RESIDENCE_PERMIT = re.compile(r"8[123]0000[0-9]{11}[0-9X]")
_NEW_PERMANENT = re.compile(r"9[0-9]{16}[0-9X]")
_OLD_PERMANENT = re.compile(r"[A-Z]{3}[0-9]{12}")
_HOME_RETURN = re.compile(r"[HM][0-9]{8}([0-9]{2})?")
_TAIWAN = re.compile(r"[0-9]{8}")
_NEARLY_RESIDENT = re.compile(r"[0-9].{11,19}")  # recognised generously, so that the refusal can be precise
_SHAPES = (
    (_RESIDENCE_PERMIT, IdentityKind.RESIDENCE_PERMIT),
    (_NEW_PERMANENT, IdentityKind.PERMANENT_RESIDENCE),
    (_OLD_PERMANENT, IdentityKind.PERMANENT_RESIDENCE),
    (_HOME_RETURN, IdentityKind.HOME_RETURN_PERMIT),
    (_TAIWAN, IdentityKind.TAIWAN_PERMIT),
    (_NEARLY_RESIDENT, IdentityKind.RESIDENT_ID),
)
_FREE_SHAPES = {
    IdentityKind.HOME_RETURN_PERMIT: (_HOME_RETURN, "应为字母 H 或 M 加8位（旧证10位）数字"),
    IdentityKind.TAIWAN_PERMIT: (_TAIWAN, "应为8位数字"),
    IdentityKind.PASSPORT: (re.compile(r"[A-Z0-9]{5,20}"), "应为5至20位字母或数字"),
}


def parse(
    raw: str,
    *,
    kind: IdentityKind | None = None,
    country: str | None = None,
    confirmed: bool = False,
    today: date | None = None,
) -> Identity:
    """Read an identity number as people write it; without `kind`, recognise the document (never a passport).

    Refused: BadIdentity when it cannot be such a number (`about["rule"]` names the rule), DoubtfulIdentity when only
    the check character is wrong; with `confirmed` that one is taken as written and marked. With `today` (a civil
    date) a birth date after it is refused. `country` (ISO 3166 alpha-3) is required and kept for passports only.
    A number that a spreadsheet rounded is refused even when confirmed, because the lost digits are not known.
    """
    number = _normalise(raw)
    kind = kind or _recognise(number)
    if kind is IdentityKind.PASSPORT:
        country = _country(country)
        return Identity(kind, _free_shape(kind, number), country=country)
    if kind in _FREE_SHAPES:
        return Identity(kind, _free_shape(kind, number))
    if kind is IdentityKind.PERMANENT_RESIDENCE and number[0].isalpha():
        return Identity(kind, _old_permanent(number))
    return _eighteen(kind, number, confirmed, today)


def born(identity: Identity) -> date | None:
    """The birth date that the number states; None for documents whose number states none."""
    if not _states_birth(identity):
        return None
    return date(int(identity.number[6:10]), int(identity.number[10:12]), int(identity.number[12:14]))


def sex(identity: Identity) -> Sex | None:
    """The sex that the number states (the 17th digit: odd for men); None for documents whose number states none."""
    if not _states_birth(identity):
        return None
    return Sex.MALE if int(identity.number[16]) % 2 else Sex.FEMALE


def index_key(identity: Identity) -> str:
    """The text `kind|country|number` over which the blind index is computed; 15 and 18 digits of one number agree.

    Two documents of one person have two keys: persons are never merged by guessing. It is personal data.
    """
    return f"{identity.kind.value}|{identity.country or ''}|{identity.number}"


def mask(identity: Identity) -> str:
    """The number for a certificate: the first six and last four of 18 characters; of others at most two and three."""
    number = identity.number
    if len(number) == 18:
        first, last = 6, 4
    else:
        first, last = (2, 3) if len(number) >= 12 else (1, 2)
    return number[:first] + "*" * (len(number) - first - last) + number[-last:]


def check_character(first_17: str) -> str:
    """The check character of GB 11643-1999 over the first 17 digits. Raise ValueError for another number of them."""
    if len(first_17) != len(_WEIGHTS):
        raise ValueError("a check character is over 17 digits")
    return _CHECKS[sum(map(mul, map(int, first_17), _WEIGHTS)) % 11]


def _bad(rule: str, message: str, fix: str = _RECHECK) -> BadIdentity:
    return BadIdentity(message, fix=fix, rule=rule)


def _normalise(raw: str) -> str:
    if raw.isascii() and raw.isalnum() and not _SPREADSHEET_NUMBER.fullmatch(raw.upper()):
        return raw.upper()  # what nearly every row holds
    written = "".join(c for c in raw.translate(_HALF_WIDTH) if not (c.isspace() or unicodedata.category(c) == "Cf"))
    written = "".join(c.upper() if c.isascii() else c for c in written).removeprefix("'")
    if _SPREADSHEET_NUMBER.fullmatch(written):
        raise _rounded()
    number = _HYPHENS.sub("", written)
    if not number:
        raise _bad("empty", "证件号码是空的", "请填写证件号码")
    return number


def _rounded() -> BadIdentity:
    return _bad(
        "spreadsheet",
        "Excel 把号码存成了数字，第15位以后的数字已经丢失",
        "请先把这一列设为“文本”格式，再对照证件原件重新录入号码；只改格式找不回丢失的数字",
    )


def _recognise(number: str) -> IdentityKind:
    kind = next((kind for shape, kind in _SHAPES if shape.fullmatch(number)), None)
    if kind is None:
        raise _bad("unknown-kind", "看不出这是哪一种证件的号码", "请填写证件类型；护照还须填写国别（三个字母的代码）")
    if kind is IdentityKind.TAIWAN_PERMIT and _date_of(number):
        raise _bad(
            "looks-like-date",
            "证件号码是8位数字，像是出生日期",
            "请核对是否填错了列；确是台湾居民来往大陆通行证的，请填写证件类型",
        )
    return kind


def _free_shape(kind: IdentityKind, number: str) -> str:
    shape, wording = _FREE_SHAPES[kind]
    if not shape.fullmatch(number):
        raise _bad("shape", f"{kind.zh}号码{wording}，这里不是")
    return number


def _old_permanent(number: str) -> str:
    if not _OLD_PERMANENT.fullmatch(number):
        raise _bad("shape", "外国人永久居留身份证旧证号码应为3个字母加12位数字，这里不是")
    return number


def _country(country: str | None) -> str:
    text = (country or "").translate(_HALF_WIDTH).strip().upper()
    if not re.fullmatch(r"[A-Z]{3}", text):
        raise _bad("country", "护照须填写签发国", "请填写签发国的三个字母代码（ISO 3166），例如 USA、JPN")
    return text


def _eighteen(kind: IdentityKind, number: str, confirmed: bool, today: date | None) -> Identity:
    _check_characters(kind, number)
    alias = number if len(number) == 15 else None
    if alias:
        number = alias[:6] + "19" + alias[6:]
        number += check_character(number)
    _check_beginning(kind, number)
    _check_birth(number, today)
    right = number[17] == check_character(number[:17])
    if not right and number.endswith("000"):
        raise _rounded()
    if not right and not confirmed:
        raise DoubtfulIdentity(
            f"{kind.zh}号码的校验码（第18位）与前17位不符",
            fix="请对照证件原件核对；确认证件上就是这个号码的，由经办人确认后再提交，系统不会改动号码",
            rule="check-character",
        )
    return Identity(kind, number, alias=alias, confirmed=not right)


def _check_characters(kind: IdentityKind, number: str) -> None:
    lengths, wording = ((15, 18), "18位（旧号15位）") if kind is IdentityKind.RESIDENT_ID else ((18,), "18位")
    if len(number) not in lengths:
        raise _bad("length", f"{kind.zh}号码应为{wording}，这里是{len(number)}位")
    for place, character in enumerate(number, 1):
        if character not in "0123456789" and not (character == "X" and place == 18):
            allowed = "只有第18位可以是字母 X，其余" if len(number) == 18 else "旧号"
            raise _bad("character", f"{kind.zh}号码第{place}位是“{character}”，{allowed}都应是数字")


def _check_beginning(kind: IdentityKind, number: str) -> None:
    states = _recognise(number)
    if kind is not states:
        raise _bad(
            "kind",
            f"证件类型是{kind.zh}，号码却是{states.zh}的编法",
            "请核对证件类型和号码：港澳台居民居住证以810000、820000、830000开头，外国人永久居留身份证以9开头",
        )
    if kind is IdentityKind.RESIDENT_ID and int(number[:2]) not in _PROVINCES:
        raise _bad("region", f"号码前两位“{number[:2]}”不是省级行政区划代码")


def _check_birth(number: str, today: date | None) -> None:
    birth = _date_of(number[6:14])
    if birth is None:
        raise _bad("birth-date", "号码中的出生日期（第7至14位）不是真实的日期")
    if today is not None and birth > today:
        raise _bad("future-birth", "号码中的出生日期（第7至14位）在今天以后")


def _date_of(eight_digits: str) -> date | None:
    try:
        day = date(int(eight_digits[:4]), int(eight_digits[4:6]), int(eight_digits[6:]))
    except ValueError:
        return None
    return day if 1800 <= day.year < 2200 else None


def _states_birth(identity: Identity) -> bool:
    return len(identity.number) == 18 and identity.kind in (
        IdentityKind.RESIDENT_ID,
        IdentityKind.RESIDENCE_PERMIT,
        IdentityKind.PERMANENT_RESIDENCE,
    )
