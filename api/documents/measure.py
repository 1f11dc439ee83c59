"""How wide a text is and into how many lines it breaks, from its characters alone. Widths are in ems, rounded up.

Counted, not measured: the typesetter's own measuring doubles the time of a page. Where a count is not exact it is too
high, so that a line is never longer than was counted.
"""

import unicodedata

MONO = 0.603  # width of a character of DejaVu Sans Mono
_NOT_FIRST = frozenset("，。；：！？、·）〕】》〉”’％%")  # marks that may not begin a line
_NOT_LAST = frozenset("（〔【《〈“‘")  # marks that may not end one


def text_width(text: str) -> float:
    """Return the width of a text on one line."""
    return sum(map(_advance, text))


def lines_needed(text: str, room: float) -> int:
    """Count the lines of a text in a column `room` ems wide; never too few. 99 if one word is wider than the column."""
    if text_width(text) <= room:
        return 1
    lines, used = 1, 0.0
    for word in _words(text):
        width = text_width(word)
        if width > room:
            return 99
        if used + width > room:
            lines, used = lines + 1, 0.0
        used += width
    return lines


def address_lines(address: str, room: float) -> list[str]:
    """Cut an address into lines of `room` ems, after a dot, slash or hyphen if there is one. No character is added."""
    fits = int(room / MONO)
    if len(address) <= fits:
        return [address]
    cut = max(address.rfind(mark, 0, fits) for mark in "./-") + 1
    cut = cut if cut > fits // 2 else fits
    return [address[:cut], *address_lines(address[cut:], room)]


def _words(text: str) -> list[str]:
    """The pieces between which a line may break: Chinese characters with marks that cling to them, Latin words."""
    words: list[str] = []
    for ch in text:
        if words and (_clings(words[-1][-1], ch)):
            words[-1] += ch
        else:
            words.append(ch)
    return words


def _clings(before: str, ch: str) -> bool:
    if ch in _NOT_FIRST or before in _NOT_LAST:
        return True
    return not (_is_wide(before) or _is_wide(ch) or before == " ")


def _advance(ch: str) -> float:
    if _is_wide(ch):
        return 1.0
    if ch in "mwMW%@&":
        return 0.95
    return 0.74 if ch.isupper() else 0.61


def _is_wide(ch: str) -> bool:
    """Whether a character fills a square. Ambiguous ones (·, —) do in a Chinese font."""
    return unicodedata.east_asian_width(ch) in "WFA"
