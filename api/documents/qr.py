"""The QR of a certificate: the address in byte mode, then the token's digits in numeric mode (ISO/IEC 18004).

Two segments cost two versions less than base64url. Always error correction Q, the smallest version up to 16, four
modules of quiet zone, and one fixed mask: looking for the best one takes 16 ms of 20, and every code is read back
before release.
"""

import struct
import zlib

from qrcode.constants import ERROR_CORRECT_Q
from qrcode.exceptions import DataOverflowError
from qrcode.main import QRCode
from qrcode.util import MODE_8BIT_BYTE, MODE_NUMBER, QRData

from registry.errors import DocumentRefused
from registry.titles.content import CertificateContent
from registry.titles.digits import to_digits

MAX_VERSION = 16
MASK = 3
QUIET_ZONE = 4


def qr_text(content: CertificateContent, token: bytes) -> str:
    """Return what a scanner reads: `{base_url}/v/{code}#{digits of the token}`."""
    return f"{content.base_url}/v/{content.code}#{to_digits(token)}"


def qr_matrix(text: str) -> list[list[bool]]:
    """Return the modules with the quiet zone, True for dark. Raise DocumentRefused above version 16."""
    address, mark, digits = text.partition("#")
    code: QRCode = QRCode(error_correction=ERROR_CORRECT_Q, mask_pattern=MASK, border=QUIET_ZONE)
    code.add_data(QRData((address + mark).encode(), mode=MODE_8BIT_BYTE), optimize=0)
    if digits:
        code.add_data(QRData(digits.encode(), mode=MODE_NUMBER), optimize=0)
    try:
        version = code.best_fit()
    except (DataOverflowError, ValueError):
        version = MAX_VERSION + 1
    if version > MAX_VERSION:
        raise DocumentRefused(
            f"二维码过密：内容 {len(text)} 个字符，超过版本 {MAX_VERSION}（纠错级别 Q）的容量，普通手机难以识读",
            fix="请缩短核验网址（base_url），或减少令牌中的内容",
        )
    try:
        code.make(fit=False)
    except ValueError as error:  # the encoder cannot divide a block that is all zeros, which no signed token has
        raise DocumentRefused("二维码无法生成：令牌中有一长串零", fix="请重新签发") from error
    return [[bool(module) for module in row] for row in code.get_matrix()]


def qr_svg(text: str) -> bytes:
    """Return the code as SVG, one unit a module on a white ground. The same bytes every time."""
    return draw_svg(qr_matrix(text))


def draw_svg(matrix: list[list[bool]]) -> bytes:
    """Draw modules as SVG, as `qr_svg` does, when they are there already: working them out takes longest."""
    runs = "".join(_runs(y, row) for y, row in enumerate(matrix))
    size = len(matrix)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{size}v{size}h-{size}z"/><path d="{runs}"/></svg>'
    ).encode()


def _runs(y: int, row: list[bool]) -> str:
    """Write each run of dark modules of one row as one rectangle, so that no seam shows between modules."""
    edges = [x for x in range(len(row) + 1) if (x < len(row) and row[x]) != (x > 0 and row[x - 1])]
    return "".join(f"M{a} {y}h{b - a}v1h{a - b}z" for a, b in zip(edges[::2], edges[1::2], strict=True))


def qr_png(text: str, scale: int = 8) -> bytes:
    """Return the code as a black and white PNG, `scale` pixels a module (1-40; ValueError)."""
    if not 1 <= scale <= 40:
        raise ValueError("scale must be 1 to 40 pixels a module")
    matrix = qr_matrix(text)
    size = len(matrix) * scale
    lines = b"".join(_scan_line(row, scale) * scale for row in matrix)
    header = struct.pack(">IIBBBBB", size, size, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _scan_line(row: list[bool], scale: int) -> bytes:
    """One line of PNG at one bit a pixel: filter 0, then the pixels, 1 for white."""
    bits = "".join(("0" if dark else "1") * scale for dark in row)
    return b"\0" + int(bits.ljust(-len(bits) % 8 + len(bits), "0"), 2).to_bytes((len(bits) + 7) // 8)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
