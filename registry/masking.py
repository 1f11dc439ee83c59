"""Mask a name for public answers (张*三): enough to recognise whom one has before one, never the full name.

A character is a base character with the marks that follow it (variation selectors, combining marks), so that rare
characters beyond U+FFFF and glyph variants are never cut in two.
"""

import unicodedata

_DOTS = frozenset("\u00b7\u0387\u2022\u2027\u22c5\u30fb\uff65")
_WORD_ENDS = frozenset("-. \u2010\u2011\u00a0\u3000")
_WRITTEN_IN_WORDS = frozenset({"Lu", "Ll", "Lt", "Lm", "Nd", "Po", "Pd", "Pf", "Pi", "Zs", "Sk"})


def mask_name(name: str) -> str:
    """Return the name with stars; a name of one character, or none at all, is one star.

    Chinese and other names without words: first and last character (of two, the first only), also across the
    middle dot U+00B7, which is kept: 张三 张*, 欧阳娜娜 欧**娜, 阿卜杜热合曼·麦麦提 阿*****·**提. Blanks are dropped.
    Names in words (Latin, Cyrillic): the first letter of each word: J*** S****; a word of one letter is a star.
    """
    characters = _characters(name.strip())
    in_words = all(unicodedata.category(each[0]) in _WRITTEN_IN_WORDS for each in characters)
    masked = _mask_words(characters) if in_words else _mask_ends(characters)
    return masked if "*" in masked else "*"


def _characters(text: str) -> list[str]:
    found: list[str] = []
    for point in text:
        if found and unicodedata.category(point) in ("Mn", "Me", "Mc", "Cf"):
            found[-1] += point
        else:
            found.append(point)
    return found


def _mask_ends(characters: list[str]) -> str:
    written = [each for each in characters if not each.isspace()]
    places = [place for place, each in enumerate(written) if each not in _DOTS]
    shown = {places[0]} if len(places) > 1 else set()
    if len(places) > 2:
        shown.add(places[-1])
    return "".join(_shown(each, place in shown) for place, each in enumerate(written))


def _shown(character: str, open_: bool) -> str:
    if character in _DOTS:
        return "·"
    return character if open_ else "*"


def _mask_words(characters: list[str]) -> str:
    masked, word = "", list[str]()
    for each in [*characters, " "]:
        if each[0] not in _WORD_ENDS and each not in _DOTS:
            word.append(each)
            continue
        first = word[0] if len(word) > 1 else "*" * len(word)
        masked += first + "*" * (len(word) - 1) + each
        word = []
    return masked[:-1]
