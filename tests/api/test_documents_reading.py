"""Uploads: ours and whole, changed, without a signature, another's, or rubbish; each has its own answer."""

import struct
import subprocess
import zlib
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from api.documents.press import Press
from api.documents.qr import qr_png, qr_text
from api.documents.reading import MAX_BYTES, read_image, read_pdf
from registry.errors import BadInput
from tests.api.certificates import MADE, ORDINARY, Issuer, new_issuer
from tests.tools import need

PRESS = Press()


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return new_issuer()


@pytest.fixture(scope="module")
def signed(issuer: Issuer) -> bytes:
    return PRESS.certificate(ORDINARY, issuer.token(), issuer.signer)


def test_our_own_certificate_is_intact_and_gives_its_token(signed: bytes, issuer: Issuer) -> None:
    reading = read_pdf(signed, issuer.root)
    assert reading.signature == "intact"
    assert reading.token == issuer.token()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_passes_for_intact(data: st.DataObject, signed: bytes, issuer: Issuer) -> None:
    place = data.draw(st.integers(0, len(signed) - 1))
    bit = data.draw(st.integers(0, 7))
    damaged = bytearray(signed)
    damaged[place] ^= 1 << bit
    try:
        reading = read_pdf(bytes(damaged), issuer.root)
    except BadInput:
        assert place < 8, "only without its first bytes is it no PDF"
        return
    assert (reading.signature, reading.token) == ("broken", None)


def test_every_bit_of_the_signature_itself_matters(signed: bytes, issuer: Issuer) -> None:
    begin = signed.rindex(b"<30") + 1
    for place in range(begin, signed.index(b">", begin), 41):
        digit = bytes([signed[place] ^ 1])
        reading = read_pdf(signed[:place] + digit + signed[place + 1 :], issuer.root)
        assert reading.signature != "intact"
        assert reading.token is None


def test_a_later_addition_is_noticed_even_if_the_signature_still_holds(signed: bytes, issuer: Issuer) -> None:
    writer = IncrementalPdfFileWriter(BytesIO(signed))
    writer.root["/PageMode"] = writer.root["/Lang"]
    writer.update_root()  # type: ignore[no-untyped-call]
    out = BytesIO()
    writer.write(out)  # type: ignore[no-untyped-call]
    reading = read_pdf(out.getvalue(), issuer.root)
    assert (reading.signature, reading.token) == ("broken", None)
    assert "修改或添加" in reading.detail
    assert read_pdf(signed + b"\n", issuer.root).signature == "broken"


def test_an_unsigned_copy_has_no_signature(issuer: Issuer) -> None:
    reading = read_pdf(PRESS.render(ORDINARY, issuer.token()), issuer.root)
    assert (reading.signature, reading.token) == ("absent", None)
    assert "查验码" in reading.detail


def test_a_file_signed_under_another_root_is_foreign(issuer: Issuer) -> None:
    other = new_issuer("别处的机关")
    pdf = PRESS.certificate(ORDINARY, other.token(), other.signer)
    reading = read_pdf(pdf, issuer.root)
    assert (reading.signature, reading.token) == ("foreign", None)


def test_a_root_with_our_name_and_another_key_does_not_pass(issuer: Issuer) -> None:
    impostor = new_issuer()
    pdf = PRESS.certificate(ORDINARY, impostor.token(), impostor.signer)
    reading = read_pdf(pdf, issuer.root)
    assert (reading.signature, reading.token) == ("broken", None)
    assert "自称" in reading.detail


def test_two_signatures_where_the_first_is_ours_is_a_later_addition(signed: bytes, issuer: Issuer) -> None:
    forged = signed + b"\n1 0 obj <</Type /Sig /ByteRange [0 10 20 30] /Contents <00>>> endobj\n%%EOF\n"
    assert read_pdf(forged, issuer.root).signature == "broken"


def test_a_signature_of_rubbish_is_broken(issuer: Issuer) -> None:
    data = b"%PDF-1.7\n<</Type /Sig /ByteRange [0 40 60 5] /Contents <deadbeef>>>"
    assert read_pdf(data, issuer.root).signature == "broken"


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rubbish=st.binary(max_size=400))
def test_rubbish_never_crashes_and_never_passes(rubbish: bytes, issuer: Issuer) -> None:
    with pytest.raises(BadInput, match="不是 PDF"):
        read_pdf(rubbish.replace(b"%PDF", b""), issuer.root)
    reading = read_pdf(b"%PDF-1.7\n/ByteRange [0 30 90 9]<" + rubbish.hex().encode() + b">" + rubbish, issuer.root)
    assert reading.signature in {"broken", "foreign"}


def test_a_file_of_decoys_is_read_in_no_time(issuer: Issuer) -> None:
    decoys = b"%PDF-1.7\n" + b"/ByteRange [0 30 90 9] " * 200_000
    assert read_pdf(decoys, issuer.root).signature == "broken"


def test_too_large_a_file_is_refused(issuer: Issuer) -> None:
    with pytest.raises(BadInput, match="文件过大：5000001字节，最多5000000字节"):
        read_pdf(b"%PDF-1.7".ljust(MAX_BYTES + 1), issuer.root)
    with pytest.raises(BadInput, match="文件过大"):
        read_pdf(b"%PDF-1.7".ljust(101), issuer.root, max_bytes=100)


class Backdated:
    """A certificate whose owner believes that it began earlier than it says."""

    def __init__(self, certificate: x509.Certificate) -> None:
        self.certificate = certificate
        self.not_valid_before_utc = certificate.not_valid_before_utc - timedelta(days=900)

    def __getattr__(self, name: str) -> object:
        return getattr(self.certificate, name)


def test_a_file_that_says_it_was_signed_before_its_certificate_began_is_broken(issuer: Issuer) -> None:
    later = new_issuer(now=MADE + timedelta(days=900))
    assert read_pdf(PRESS.certificate(ORDINARY, later.token(), later.signer), later.root).signature == "intact"
    backdated: Any = Backdated(later.signer.certificate)
    pdf = PRESS.certificate(ORDINARY, later.token(), replace(later.signer, certificate=backdated))
    reading = read_pdf(pdf, later.root)
    assert (reading.signature, reading.token) == ("broken", None)
    assert "有效期" in reading.detail


def test_a_picture_of_the_code_is_read(issuer: Issuer) -> None:
    text = qr_text(ORDINARY, issuer.token())
    assert read_image(qr_png(text, scale=4)) == text


def test_a_jpeg_of_the_whole_page_is_read(signed: bytes, issuer: Issuer, tmp_path: Path) -> None:
    need("pdftoppm")
    (tmp_path / "certificate.pdf").write_bytes(signed)
    command = ["pdftoppm", "-jpeg", "-r", "110", "-singlefile", "certificate.pdf", "page"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert read_image((tmp_path / "page.jpg").read_bytes()) == qr_text(ORDINARY, issuer.token())


def test_a_picture_without_a_code_gives_none() -> None:
    assert read_image(png(40, 40, zlib.compress(bytes(41 * 40)))) is None


def test_a_picture_that_asks_for_a_lot_of_memory_is_refused_by_its_header() -> None:
    with pytest.raises(BadInput, match="图片过大：60000×60000 像素"):
        read_image(png(60_000, 60_000, zlib.compress(b"\0")))


def test_a_jpeg_header_is_believed_only_within_the_limit() -> None:
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 65_000, 65_000, 1) + b"\x01\x11\x00"
    with pytest.raises(BadInput, match="65000×65000"):
        read_image(b"\xff\xd8" + b"\xff\xe0" + struct.pack(">H", 4) + b"ab" + frame)


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x00", b"<svg/>", b"%PDF-1.7"],
    ids=["empty", "gif", "cut png", "cut jpeg", "svg", "pdf"],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match="不是 PNG 或 JPEG"):
        read_image(data)


def test_a_damaged_picture_is_refused() -> None:
    with pytest.raises(BadInput, match="已损坏"):
        read_image(png(40, 40, b"not compressed"))
    with pytest.raises(BadInput, match="没有大小"):
        read_image(png(0, 40, b""))


def test_too_large_a_picture_is_refused() -> None:
    with pytest.raises(BadInput, match="图片过大"):
        read_image(bytes(MAX_BYTES + 1))


def png(width: int, height: int, packed: bytes) -> bytes:
    """A grey PNG with that header, whatever its pixels are."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body
