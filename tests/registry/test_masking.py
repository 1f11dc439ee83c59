"""Names as the public sees them."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.masking import mask_name


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("张三", "张*"),
        ("张三丰", "张*丰"),
        ("欧阳娜娜", "欧**娜"),
        ("张　三", "张*"),
        (" 张三丰 ", "张*丰"),
        ("丰", "*"),
        ("", "*"),
        ("阿卜杜热合曼·麦麦提", "阿*****·**提"),
        ("阿卜杜热合曼•麦麦提", "阿*****·**提"),
        ("阿依·提", "阿*·提"),
        ("阿·提", "阿·*"),
        ("㛃", "*"),
        ("王㛃", "王*"),
        ("王䶮𬭎", "王*𬭎"),
        ("𬭎䶮", "𬭎*"),
        ("葛\U000e0100城", "葛\U000e0100*"),
        ("\U00031350\U00031351\U00031352", "\U00031350*\U00031352"),
        ("John Smith", "J*** S****"),
        ("JOHN SMITH", "J*** S****"),
        ("Madonna", "M******"),
        ("Jean-Luc Picard", "J***-L** P*****"),
        ("John F. Kennedy", "J*** *. K******"),
        ("O'Brien", "O******"),
        ("J", "*"),
        ("Zoë\u0308", "Z**"),
        ("Иван Петров", "И*** П*****"),
        ("··", "*"),
    ],
)
def test_how_a_name_is_shown(name: str, masked: str) -> None:
    assert mask_name(name) == masked


NOT_LETTERS = "*·-. "


def characters(name: str) -> list[str]:
    """A second way to cut a text into characters: join marks to what stands before them, from the right."""
    cut: list[str] = []
    marks = ""
    for point in reversed(name):
        if unicodedata.category(point)[0] == "M":
            marks = point + marks
        else:
            cut.append(point + marks)
            marks = ""
    return [marks] * bool(marks) + cut[::-1]


han = st.text(st.sampled_from("张王李欧阳娜丰㛃䶮𬭎𫖮\U00031350"), min_size=1, max_size=8)
dotted = st.lists(han, min_size=2, max_size=3).map("·".join)
latin = st.lists(st.text(st.sampled_from("abcXYZéñ"), min_size=1, max_size=7), min_size=1, max_size=4).map(" ".join)
anything = st.text(max_size=12).filter(lambda name: "*" not in name)


@given(han | dotted)
def test_a_chinese_name_shows_two_ends_at_most_and_keeps_its_length(name: str) -> None:
    masked = mask_name(name)
    assert masked != name
    assert len(characters(masked)) == len(characters(name))
    shown = [each for each in characters(masked) if each not in NOT_LETTERS]
    letters = [each for each in characters(name) if each != "·"]
    assert shown == {1: [], 2: letters[:1]}.get(len(letters), [letters[0], letters[-1]])


@given(latin)
def test_a_name_in_words_shows_one_letter_a_word(name: str) -> None:
    masked = mask_name(name)
    assert masked != name
    for word, shown in zip(name.split(" "), masked.split(" "), strict=True):
        assert shown == (word[0] if len(word) > 1 else "*") + "*" * (len(word) - 1)


@given(anything)
def test_no_text_is_ever_shown_whole(name: str) -> None:
    masked = mask_name(name)
    assert masked != name
    assert "*" in masked
    assert set(masked) <= set(name) | set("*·")
