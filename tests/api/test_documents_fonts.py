"""Fonts: rare names print, what no font has is named, and a folder of fonts extends the set."""

from pathlib import Path

import pypdfium2
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from api.documents.fonts import FontSet, missing_glyphs
from api.documents.press import Press
from registry.errors import DocumentRefused
from tests.api.certificates import changed

RARER = "\U00030000"  # CJK extension G, which the shipped font lacks


def square_font(path: Path, character: str) -> None:
    """Write a font with one glyph, a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for point in ((100, 700), (900, 700), (900, 0)):
        pen.lineTo(point)
    pen.closePath()
    square = pen.glyph()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "square"])
    font.setupCharacterMap({ord(character): "square"})
    font.setupGlyf({".notdef": square, "square": square})
    font.setupHorizontalMetrics({".notdef": (1000, 100), "square": (1000, 100)})
    font.setupHorizontalHeader(ascent=880, descent=-120)
    font.setupNameTable({"familyName": "Rare Squares", "styleName": "Regular", "psName": "RareSquares-Regular"})
    font.setupOS2(sTypoAscender=880, sTypoDescender=-120)
    font.setupPost()
    font.save(path)


def test_rare_names_have_their_glyphs() -> None:
    assert missing_glyphs("龚㛃䶮 𠮷 𫍯 𬱖 阿卜杜·艾力 〔2021〕 Anna-Mária") == []


def test_each_missing_character_is_named_once_in_order() -> None:
    assert missing_glyphs(f"王{RARER}ا{RARER}") == [RARER, "ا"]


@pytest.mark.parametrize("hidden", ["\u200b", "\u202e", "\n", "\t", "\ue000", "\x00"])
def test_characters_that_print_nothing_are_missing(hidden: str) -> None:
    assert missing_glyphs(f"王{hidden}丽") == [hidden]


def test_a_folder_of_fonts_extends_what_can_be_printed(tmp_path: Path) -> None:
    square_font(tmp_path / "rare.ttf", RARER)
    fonts = FontSet(tmp_path)
    assert missing_glyphs(f"王{RARER}", fonts) == []
    assert fonts.families == ["Noto Sans CJK SC", "Rare Squares"]
    page = pypdfium2.PdfDocument(Press(tmp_path).render(changed(name=f"王{RARER}"), bytes(range(180))))[0]
    assert f"王{RARER}" in page.get_textpage().get_text_bounded()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentRefused, match="字体文件夹不存在"):
        FontSet(tmp_path / "nowhere")


def test_a_broken_font_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.otf").write_bytes(b"not a font")
    with pytest.raises(DocumentRefused, match=r"broken\.otf"):
        missing_glyphs("王", FontSet(tmp_path))
