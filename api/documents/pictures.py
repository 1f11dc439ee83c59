"""Pictures put on a page so that the page's reader can look at them. From outside PNG and JPEG, and no others.

The size in pixels is read from the header before anything is unpacked: a small file cannot ask for a lot of memory.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import typst

from registry.errors import BadInput

MAX_PIXELS = 24_000_000
MAX_SIDE = 12_000
PIXELS_PER_INCH = 72  # one pixel of the picture is one point of the page
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_FIX = "请上传 PNG 或 JPEG 图片，或改用查验码"


def picture_page(data: bytes) -> bytes:
    """Return a PDF with the picture as its one page, a point for each pixel. Raise BadInput if it is none."""
    kind, width, height = _header(data)
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise BadInput(
            f"图片过大：{width}×{height} 像素，最多 {MAX_PIXELS // 10000} 万像素", fix="请截取二维码部分后再上传"
        )
    return _set(data, kind, width, height)


def drawing_page(svg: bytes, side: int) -> bytes:
    """Return a PDF with a square drawing of our own (SVG) as its one page, `side` points wide."""
    return _set(svg, "svg", side, side)


def _set(data: bytes, kind: str, width: int, height: int) -> bytes:
    source = (
        f"#set page(width: {width}pt, height: {height}pt, margin: 0pt)\n"
        f'#image(read("picture", encoding: none), format: "{kind}", width: {width}pt, height: {height}pt)'
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "picture").write_bytes(data)
        (folder / "page.typ").write_text(source, "utf-8")
        try:
            return typst.compile(folder / "page.typ", root=folder, ignore_system_fonts=True, pdf_tags=False)
        except typst.TypstError as error:
            raise BadInput("图片已损坏，无法读取", fix=_FIX) from error


def _header(data: bytes) -> tuple[str, int, int]:
    """Kind, width and height as the file declares them."""
    if data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) >= 33:
        return _checked("png", int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
    if data.startswith(_JPEG):
        for marker, body in _segments(data):
            if marker in _START_OF_FRAME and len(body) >= 5:
                return _checked("jpg", int.from_bytes(body[3:5]), int.from_bytes(body[1:3]))
    raise BadInput("无法识别：不是 PNG 或 JPEG 图片", fix=_FIX)


def _checked(kind: str, width: int, height: int) -> tuple[str, int, int]:
    if not (width and height):
        raise BadInput("图片已损坏，没有大小", fix=_FIX)
    return kind, width, height


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The marked segments before the picture itself (ITU-T T.81, annex B.1.1)."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xDA or length < 2:
            return
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + length
