"""The token's decimal digits, against a second definition by string formatting."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import BadInput
from registry.titles.digits import from_digits, to_digits


def second_writing(data: bytes) -> str:
    """Group by group from the hexadecimal text; the width is that of the largest number of so many bytes."""
    text = ""
    while data:
        group, data = data[:7], data[7:]
        width = math.ceil(len(group) * 8 * math.log10(2))
        text += format(int(group.hex(), 16), f"0{width}d")
    return text


def test_the_widths_of_the_contract() -> None:
    assert [len(to_digits(b"\xff" * size)) for size in range(15)] == [
        *(0, 3, 5, 8, 10, 13, 15),
        *(17, 20, 22, 25, 27, 30, 32),
        34,
    ]


def test_written_by_hand() -> None:
    assert to_digits(b"\x00") == "000"
    assert to_digits(b"\xff") == "255"
    assert to_digits(b"\x01\x00") == "00256"
    assert to_digits(b"\xff" * 7) == "72057594037927935"
    assert to_digits(b"\x00" * 6 + b"\x01" + b"\x07") == "00000000000000001" + "007"


@given(st.binary(max_size=400))
def test_every_byte_string_comes_back(data: bytes) -> None:
    text = to_digits(data)
    assert text == second_writing(data)
    assert from_digits(text) == data


@given(st.text(st.sampled_from("0123456789"), max_size=60))
def test_a_text_is_the_writing_of_its_bytes_or_refused(text: str) -> None:
    try:
        data = from_digits(text)
    except BadInput:
        return
    assert second_writing(data) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("25a", "数字以外的字符"),
        (" 255", "数字以外的字符"),
        ("+55", "数字以外的字符"),
        ("２５５", "数字以外的字符"),
        ("٢٥٥", "数字以外的字符"),
        ("0²5", "数字以外的字符"),
        ("25", "长度不对（2位）"),
        ("0" * 18, "长度不对（18位）"),
        ("256", "超出范围"),
        ("65536", "超出范围"),
        ("72057594037927936", "超出范围"),
        ("0" * 17 + "256", "超出范围"),
        ("9" * 17 + "000", "超出范围"),
    ],
)
def test_what_was_never_written_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        from_digits(text)
    assert caught.value.fix
