"""The verification code: 80 random bits in 16 Crockford base-32 characters and one check character (modulo 37).

The number alone says nothing about a title and cannot be counted through. Codes whose check character would be one
of the five extra symbols of Crockford's alphabet are drawn again, so that a code is digits and letters only.
"""

import re
from collections.abc import Callable

from registry.errors import BadCode
from registry.terms import CROCKFORD

RANDOM_BYTES = 10
_CHECKS = CROCKFORD + "*~$=U"
_LENGTH = 17
_BASE_32 = str.maketrans(CROCKFORD, "0123456789abcdefghijklmnopqrstuv")  # the digits that `int` knows
_CANONICAL = re.compile(f"[{CROCKFORD}]{{{_LENGTH}}}")
_SEPARATORS = frozenset("-\u2010\u2011\u2012\u2013\u2014\u2212\uff0d")
_READ_AS = {"I": "1", "L": "1", "O": "0"} | {character: character for character in CROCKFORD}
_READ_AS |= {character.lower(): read for character, read in _READ_AS.items()}
_READ_AS |= {chr(ord(character) + 0xFEE0): read for character, read in _READ_AS.items()}


def new_code(random: bytes) -> str | None:
    """Write 10 random bytes as a code of 17 characters; None when its check character is no digit or letter.

    Then draw other bytes (about one draw in seven). Raises ValueError for another number of bytes.
    """
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a code is made of {RANDOM_BYTES} random bytes, not {len(random)}")
    number = int.from_bytes(random, "big")
    body = "".join(CROCKFORD[number >> shift & 31] for shift in range(75, -1, -5))
    check = _check(body)
    return body + check if check in CROCKFORD else None


def draw_code(random_bytes: Callable[[int], bytes]) -> str:
    """Draw until there is a code. `random_bytes(n)` gives n bytes from a secure source, such as os.urandom."""
    while (code := new_code(random_bytes(RANDOM_BYTES))) is None:
        pass
    return code


def parse_code(text: str) -> str:
    """Read a code as people type it (either case, full width, blanks, hyphens, I and L for 1, O for 0).

    Returns the 17 canonical characters. Raises BadCode with one and the same message whatever is wrong.
    """
    code = text if _CANONICAL.fullmatch(text) else _read(text)
    if not _CANONICAL.fullmatch(code) or _check(code[:-1]) != code[-1]:
        raise BadCode("查验码不正确", fix="请对照证书上的查验码（17位数字和字母）重新输入，或直接扫描二维码")
    return code


def _read(text: str) -> str:
    typed = [character for character in text if not (character.isspace() or character in _SEPARATORS)]
    return "".join(_READ_AS.get(character, "?") for character in typed)


def format_code(code: str) -> str:
    """The code in groups of four for print: `7K3M 9XQ4 T2VD 8HNR 5`. Raises BadCode if it is no code."""
    canonical = parse_code(code)
    return " ".join(canonical[start : start + 4] for start in range(0, _LENGTH, 4))


def _check(body: str) -> str:
    return _CHECKS[int(body.translate(_BASE_32), 32) % 37]
