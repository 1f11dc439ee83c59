"""Text lines of a file in flat memory: UTF-8 with or without BOM, or GB 18030; a broken byte stays in its row."""

import codecs
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from registry.intake.form import HEADING_ROWS, known
from registry.intake.table import refusal

LONGEST_LINE = 65_536  # characters
TOO_LONG = "\udfff"  # stands for a line that is longer; decoding never makes this code point
SAMPLE = 262_144  # bytes

# Characters that GB 18030-2022 moved out of the private-use area, where the standard library still puts them.
_MOVED = dict(
    zip(
        (
            0xE816,
            0xE817,
            0xE818,
            0xE81E,
            0xE826,
            0xE82B,
            0xE82C,
            0xE831,
            0xE832,
            0xE83B,
            0xE843,
            0xE854,
            0xE855,
            0xE864,
        ),
        "\U00020087\U00020089\U000200cc\u9fb4\u9fb5\u9fb6\u9fb7\U000215d7\u9fb8\U0002298f\u9fb9\u9fba\U000241fe\u9fbb",
        strict=True,
    )
)
_PRIVATE = re.compile("[\ue816-\ue864]")


def text_lines(path: Path) -> Iterator[str]:
    """Open the file, decide its encoding by its headings, and return its lines with their ends.

    Bytes that do not decode become U+DC80 to U+DCFF, so that the row can be named. Refused: an empty file, a
    spreadsheet under a text name, UTF-16. A line of more than 65,536 characters is replaced by `TOO_LONG`.
    """
    with path.open("rb") as file:
        sample = file.read(SAMPLE)
    _check_kind(path, sample)
    return _lines(path, _encoding(sample))


def _check_kind(path: Path, sample: bytes) -> None:
    if not sample.strip(b"\xef\xbb\xbf \t\r\n"):
        raise refusal(path, "empty-file", "文件是空的", "检查是否选错了文件")
    if sample.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise refusal(path, "wrong-kind", "内容是电子表格，后缀却是文本", "把后缀改为 .xlsx，或另存为 CSV UTF-8")
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or sample.count(0) * 50 > len(sample):
        raise refusal(path, "encoding-utf16", "是 UTF-16 编码或二进制文件", "另存为“CSV UTF-8（逗号分隔）”再导入")


def _encoding(sample: bytes) -> str:
    if sample.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if _decodes(sample, "utf-8"):
        return "utf-8"
    if _decodes(sample, "gb18030") or not _mentions_headings(sample.decode("utf-8", "surrogateescape")):
        return "gb18030"
    return "utf-8"  # with a broken byte: the row that has it will be named


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample, final=False)
    except UnicodeDecodeError:
        return False
    return True


def _mentions_headings(text: str) -> bool:
    beginning = text.split("\n", HEADING_ROWS)[:HEADING_ROWS]
    return known(re.split(r"[,;\t\"{}:\r\n]", "\n".join(beginning))) > 0


def _lines(path: Path, encoding: str) -> Iterator[str]:
    with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE and line[-1] not in "\r\n":
                line = TOO_LONG + _skip(file.readline)
            yield line.translate(_MOVED) if encoding == "gb18030" and _PRIVATE.search(line) else line


def _skip(readline: Callable[[int], str]) -> str:
    while (rest := readline(LONGEST_LINE)) and rest[-1] not in "\r\n":
        pass
    return "\n"
