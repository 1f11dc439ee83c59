"""Look at a page as a phone would: rasterise it and read the codes on it."""

from pypdfium2 import PdfBitmap, PdfDocument, PdfiumError
from zxingcpp import BarcodeFormat, BarcodeFormats, read_barcodes

from registry.errors import BadInput

_POINTS_PER_INCH = 72
_MAX_PIXELS = 5000  # of the longer side; a larger page is looked at more coarsely


def read_codes(pdf: bytes, dpi: int) -> list[str]:
    """Return the texts of all QR codes on the first page at that resolution. Raise BadInput if there is no page."""
    try:
        document = PdfDocument(pdf)
    except PdfiumError as error:
        raise BadInput(f"不是可以打开的 PDF 文件（{error}）", fix="请上传原始的 PDF 文件") from error
    with document:
        if len(document) == 0:
            raise BadInput("PDF 文件没有页面", fix="请上传原始的 PDF 文件")
        page = document[0]
        scale = min(dpi / _POINTS_PER_INCH, _MAX_PIXELS / max(page.get_size()))
        found = read_barcodes(
            _grey(page.render(scale=scale, grayscale=True)), formats=BarcodeFormats([BarcodeFormat.QRCode])
        )
    return [code.text for code in found if code.valid]


def _grey(bitmap: PdfBitmap) -> memoryview:
    """The pixels as rows of bytes. Up to three bytes at the end of a row are padding, whose colour does not matter."""
    return memoryview(bitmap.buffer).cast("B").cast("B", (bitmap.height, bitmap.stride))
