"""Verification codes: drawn, printed, typed back, mistyped."""

import itertools
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import BadCode
from registry.terms import CROCKFORD
from registry.titles.code import draw_code, format_code, new_code, parse_code

CHECKS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U"


def second_check(body: str) -> str:
    """Crockford's check by one big integer: his 32 symbols as Python's base-32 digits, then modulo 37."""
    pythonic = body.translate(str.maketrans(CROCKFORD, "0123456789abcdefghijklmnopqrstuv"))
    return CHECKS[int(pythonic, 32) % 37]


def wrong_forms(text: str) -> str:
    with pytest.raises(BadCode) as caught:
        parse_code(text)
    return caught.value.message + caught.value.fix


codes = st.binary(min_size=10, max_size=10).map(new_code).filter(lambda code: code is not None)
A_CODE = new_code(bytes.fromhex("3a1f0c9d7788e6b5a401")) or ""


def test_ten_bytes_are_sixteen_characters_and_a_check() -> None:
    assert new_code(bytes(10)) == "0" * 17
    assert new_code(bytes(9) + b"\x01") == "0" * 15 + "11"
    assert new_code(b"\xff" * 5 + bytes(5)) == "Z" * 8 + "0" * 8 + second_check("Z" * 8 + "0" * 8)


@pytest.mark.parametrize("size", [0, 9, 11])
def test_another_number_of_bytes_is_a_mistake_of_the_caller(size: int) -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        new_code(bytes(size))


def test_a_draw_with_an_extra_symbol_as_check_is_drawn_again() -> None:
    undrawable = next(n for n in itertools.count(1) if n % 37 >= 32).to_bytes(10, "big")
    assert new_code(undrawable) is None
    draws = iter([undrawable, undrawable, bytes(10)])
    assert draw_code(lambda size: next(draws)) == "0" * 17


def test_drawn_codes_differ_and_use_no_extra_symbol() -> None:
    drawn = {draw_code(secrets.token_bytes) for _ in range(2000)}
    assert len(drawn) == 2000
    assert set("".join(drawn)) == set(CROCKFORD)


def test_printed_in_groups_of_four_and_typed_back() -> None:
    printed = format_code(A_CODE)
    assert [len(group) for group in printed.split(" ")] == [4, 4, 4, 4, 1]
    assert parse_code(printed) == A_CODE


def test_the_ways_people_type_a_code() -> None:
    body = "10" * 8
    code = body + second_check(body)
    for typed in (
        code.lower(),
        format_code(code).replace(" ", "-"),
        f"  {format_code(code)}\n",
        "IO" * 8 + code[-1],
        "lo" * 8 + code[-1].lower(),
        "Lo" * 8 + code[-1],
        "".join(chr(ord(c) + 0xFEE0) for c in code),
        "".join(chr(ord(c) + 0xFEE0) for c in code.lower()),
        "\u3000".join(code),
    ):
        assert parse_code(typed) == code


def test_whatever_is_wrong_the_answer_is_the_same() -> None:
    other_check = next(c for c in CROCKFORD if c != A_CODE[-1])
    malformed = [
        "",
        " ",
        A_CODE[:-1],
        A_CODE + "0",
        A_CODE[:-1] + other_check,
        A_CODE[:-1] + "U",
        A_CODE[:-1] + "*",
        "U" + A_CODE[1:],
        "?" + A_CODE[1:],
        "张" + A_CODE[1:],
        "ı" * 17,
        "٠" * 17,
        "../../etc/passwd",
        "0" * 10_000,
    ]
    assert len({wrong_forms(text) for text in malformed}) == 1


@given(st.binary(min_size=10, max_size=10))
def test_the_characters_are_the_bytes_in_base_32(random: bytes) -> None:
    code = new_code(random)
    if code is not None:
        pythonic = code[:-1].translate(str.maketrans(CROCKFORD, "0123456789abcdefghijklmnopqrstuv"))
        assert int(pythonic, 32).to_bytes(10, "big") == random


@given(codes)
def test_the_check_is_crockfords(code: str) -> None:
    assert len(code) == 17
    assert code[-1] == second_check(code[:-1])
    assert parse_code(code) == parse_code(format_code(code)) == code


@given(codes, st.integers(0, 16), st.sampled_from(CROCKFORD))
def test_one_wrong_character_is_always_noticed(code: str, place: int, character: str) -> None:
    if code[place] != character:
        wrong_forms(code[:place] + character + code[place + 1 :])


@given(codes, st.integers(0, 15))
def test_two_neighbours_swapped_are_always_noticed(code: str, place: int) -> None:
    if code[place] != code[place + 1]:
        wrong_forms(code[:place] + code[place + 1] + code[place] + code[place + 2 :])


@given(st.text(max_size=24))
def test_any_text_is_a_code_or_refused(text: str) -> None:
    try:
        code = parse_code(text)
    except BadCode:
        return
    assert code[-1] == second_check(code[:-1])
