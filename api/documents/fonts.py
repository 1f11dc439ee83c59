"""The fonts of the documents. They come from a package, never from the machine: the bytes are the same everywhere.

The default font holds 44,810 characters, rare names among them (㛃, 䶮). A bureau may add a folder of fonts, for all of
GB 18030-2022; what no font has is refused before anything is signed, never printed as an empty box.
"""

import unicodedata
from collections.abc import Iterator
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import typst
from fontTools.ttLib import TTCollection, TTFont

from registry.errors import DocumentRefused

FAMILY = "Noto Sans CJK SC"
_PACKAGE = "manimgx_fonts_cjk"
_SUFFIXES = frozenset({".ttf", ".otf", ".ttc", ".otc"})
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class FontSet:
    """The fonts that a document may use: those of the package and those of one more folder, if there is one."""

    def __init__(self, extra_fonts: Path | None = None) -> None:
        if extra_fonts is not None and not extra_fonts.is_dir():
            raise DocumentRefused(f"字体文件夹不存在：{extra_fonts}", fix="请更正字体文件夹的设置，或去掉该设置")
        self.folders = [Path(str(files(_PACKAGE))), *([extra_fonts] if extra_fonts else [])]

    @cached_property
    def typesetter(self) -> typst.Fonts:
        """The same fonts for the typesetter, with the ones that are built into it and without the machine's."""
        return typst.Fonts(include_system_fonts=False, font_paths=[str(folder) for folder in self.folders])

    @cached_property
    def families(self) -> list[str]:
        """Names of the families in order of preference: ours first, then those of the extra folder."""
        extra = {
            font.family for font in self.typesetter.fonts() if font.path and Path(font.path).parent != self.folders[0]
        }
        return [FAMILY, *sorted(extra - {FAMILY})]

    @cached_property
    def _covered(self) -> frozenset[int]:
        """Every code point with a glyph. Reading it takes a quarter of a second, once."""
        paths = [
            path for folder in self.folders for path in sorted(folder.rglob("*")) if path.suffix.lower() in _SUFFIXES
        ]
        return frozenset(point for path in paths for point in _code_points(path))

    def missing_glyphs(self, text: str) -> list[str]:
        """Return the characters that cannot be printed, each once: no glyph, or nothing to see (controls)."""
        return [
            ch for ch in dict.fromkeys(text) if ord(ch) not in self._covered or unicodedata.category(ch) in _UNPRINTABLE
        ]


def _code_points(path: Path) -> Iterator[int]:
    """A collection of one typeface shares its characters, so that its first member speaks for all."""
    try:
        with path.open("rb") as file:
            if path.suffix.lower() in {".ttc", ".otc"}:
                collection = TTCollection(file, lazy=True)
                yield from collection.fonts[_member(collection)].getBestCmap()
            else:
                yield from TTFont(file, lazy=True).getBestCmap()
    except Exception as error:
        raise DocumentRefused(f"字体文件无法读取：{path.name}（{error}）", fix="请更换或移走该字体文件") from error


def _member(collection: TTCollection) -> int:
    names = [font["name"].getDebugName(1) for font in collection.fonts]
    return names.index(FAMILY) if FAMILY in names else 0


_SHIPPED = FontSet()


def missing_glyphs(text: str, fonts: FontSet = _SHIPPED) -> list[str]:
    """Return the characters of the text that no font of the set can print, each once, in order."""
    return fonts.missing_glyphs(text)
