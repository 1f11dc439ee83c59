"""Bytes in decimal digits, for the numeric mode of a QR symbol: 7 bytes to 17 digits, so nearly no room is lost.

Each group of 7 bytes is one big-endian number, padded with zeros to 17 digits; a rest of 1 to 6 bytes takes
3, 5, 8, 10, 13 or 15 digits. Every byte string has exactly one such text.
"""

from registry.errors import BadInput

_GROUP, _GROUP_DIGITS = 7, 17
_REST_DIGITS = {1: 3, 2: 5, 3: 8, 4: 10, 5: 13, 6: 15}
_REST_BYTES = {0: 0} | {digits: size for size, digits in _REST_DIGITS.items()}


def to_digits(data: bytes) -> str:
    """Write the bytes in decimal digits."""
    groups = (data[start : start + _GROUP] for start in range(0, len(data), _GROUP))
    return "".join(_write(group) for group in groups)


def from_digits(text: str) -> bytes:
    """Read what `to_digits` wrote. Raises BadInput for anything that it cannot have written."""
    if not (text.isascii() and (text.isdigit() or not text)):
        raise _bad("含有数字以外的字符")
    if len(text) % _GROUP_DIGITS not in _REST_BYTES:
        raise _bad(f"长度不对（{len(text)}位）")
    groups = (text[start : start + _GROUP_DIGITS] for start in range(0, len(text), _GROUP_DIGITS))
    return b"".join(_read(group) for group in groups)


def _write(group: bytes) -> str:
    digits = _REST_DIGITS.get(len(group), _GROUP_DIGITS)
    return str(int.from_bytes(group, "big")).zfill(digits)


def _read(group: str) -> bytes:
    size = _REST_BYTES.get(len(group), _GROUP)
    number = int(group)
    if number >> 8 * size:
        raise _bad("有一组数字超出范围")
    return number.to_bytes(size, "big")


def _bad(what: str) -> BadInput:
    return BadInput(f"二维码中的数字串{what}", fix="请重新扫描证书上的二维码，或改用查验码")
