"""How words of the reference data are compared, and how they name levels."""

import unicodedata

from registry.terms import Level

_JUNIOR = (Level.ASSISTANT, Level.TECHNICIAN)
_LEVELS = {level.zh: (level,) for level in Level} | {"初级": _JUNIOR, "初级及以上": tuple(Level)}


def folded(text: str) -> str:
    """The text for comparison only: no blanks, half-width brackets and digits (Unicode NFKC). Never stored."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def levels_of(word: str) -> tuple[Level, ...]:
    """The levels that a word of the plan means; 初级 is 助理级 and 员级. Raises KeyError for any other word.

    The words 副高, 高级 and the like in title cells are prose and are not read: the plan's data names levels apart.
    """
    return _LEVELS[word]
