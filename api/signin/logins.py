"""Names that people choose in this store: never an identity number, a telephone number or anything like one."""

import re

from registry.errors import BadInput

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]{2,31}")
_NUMBER = re.compile(r"\d{8}")


def normal_login(typed: str) -> str:
    """A login name as it is kept and compared: without case and blanks around it."""
    return typed.strip().casefold()


def new_login(typed: str) -> str:
    """A login name that somebody chose. Raise BadInput for one that is none."""
    login = no_number(normal_login(typed), "账号名")
    if not _LOGIN.fullmatch(login):
        raise BadInput("账号名须为 3 至 32 个英文字母、数字或 . _ -，以字母或数字开头", fix="换一个账号名")
    return login


def no_number(text: str, what: str) -> str:
    """The text, which cannot contain an identity or telephone number. Raise BadInput for 8 digits in a row."""
    if _NUMBER.search(re.sub(r"[\s._-]", "", text)):
        raise BadInput(f"{what}不能包含证件号码、手机号码等长串数字", fix=f"换一个{what}")
    return text
