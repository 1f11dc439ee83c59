"""Files over HTTP: ours and whole, changed, another's, or rubbish. Each has its own answer; nothing crashes."""

import io
import socket
import struct
import zipfile
import zlib
from io import BytesIO
from typing import Any

import httpx
import pytest
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pypdfium2 import PdfDocument

from api.documents.qr import qr_png
from api.documents.reading import MAX_BYTES
from registry.titles.certificate import token_of
from tests.api.certificates import ORDINARY, new_issuer
from tests.served import NAME, Cabinet, Site, unchanged

Kind = dict[str, Any]


@pytest.fixture(scope="module")
def pdf(cabinet: Cabinet) -> bytes:
    """The document of a valid certificate."""
    return cabinet.pdf(cabinet.valid)


def asked(site: Site, cabinet: Cabinet, data: bytes, name: str = "certificate.pdf") -> httpx.Response:
    """Hand in a file for JSON, and the same on the page; both must agree. Return the JSON answer."""
    answer = unchanged(cabinet.registry, lambda: site.uploaded(data, name))
    page = unchanged(cabinet.registry, lambda: site.post("/v", files={"file": (name, data)}))
    assert page.status_code == answer.status_code
    if answer.headers["content-type"] == "application/json":
        assert f'data-status="{answer.json()["status"]}"' in page.text
    for response in (answer, page):
        assert response.headers["cache-control"] == "no-store"
        assert NAME not in response.text
    return answer


def assert_refused(response: httpx.Response, code: int, status: str, says: str) -> None:
    answer = response.json()
    assert (response.status_code, answer["status"]) == (code, status)
    assert answer["certificate"] is None
    assert says in answer["steps"][0]["detail"]
    assert answer["steps"][0]["outcome"] == "failed"


def test_our_document_is_valid_and_a_revoked_one_is_revoked(site: Site, cabinet: Cabinet, pdf: bytes) -> None:
    answer = asked(site, cabinet, pdf)
    assert (answer.status_code, answer.json()["status"]) == (200, "valid")
    assert answer.json()["certificate"]["code"] == cabinet.valid.code
    assert asked(site, cabinet, cabinet.pdf(cabinet.revoked)).json()["status"] == "revoked"
    assert asked(site, cabinet, cabinet.pdf(cabinet.superseded)).json()["status"] == "superseded"


def test_an_upload_can_ask_about_another_day(site: Site, pdf: bytes) -> None:
    answer = site.post("/api/v1/verifications", params={"as_of": "2020-01-01"}, files={"file": pdf})
    assert answer.json()["status"] == "not_yet_effective"


def test_one_flipped_byte_anywhere_is_tampered(site: Site, cabinet: Cabinet, pdf: bytes) -> None:
    for place in range(20, len(pdf), len(pdf) // 12):
        changed = pdf[:place] + bytes([pdf[place] ^ 1]) + pdf[place + 1 :]
        response = unchanged(cabinet.registry, lambda changed=changed: site.uploaded(changed))  # type: ignore[misc]
        assert (response.status_code, response.json()["status"]) == (200, "tampered"), place
        assert response.json()["certificate"] is None


def test_a_file_with_something_added_is_tampered_even_if_the_signature_holds(
    site: Site, cabinet: Cabinet, pdf: bytes
) -> None:
    writer = IncrementalPdfFileWriter(BytesIO(pdf))
    writer.root["/PageMode"] = writer.root["/Lang"]
    writer.update_root()  # type: ignore[no-untyped-call]
    writer.write(added := BytesIO())  # type: ignore[no-untyped-call]
    assert_refused(asked(site, cabinet, added.getvalue()), 200, "tampered", "修改或添加")


def test_a_cut_file_is_tampered_or_has_lost_its_signature(site: Site, cabinet: Cabinet, pdf: bytes) -> None:
    assert asked(site, cabinet, pdf[:-1]).json()["status"] == "tampered"
    assert asked(site, cabinet, pdf[: pdf.rindex(b"/ByteRange") + 60]).json()["status"] == "tampered"
    assert_refused(asked(site, cabinet, pdf[: len(pdf) // 2]), 422, "unreadable", "没有数字签名")


def test_a_copy_saved_by_another_program_is_not_what_was_signed(site: Site, cabinet: Cabinet, pdf: bytes) -> None:
    copy, out = PdfDocument.new(), BytesIO()
    copy.import_pages(PdfDocument(pdf))
    copy.save(out)
    assert_refused(asked(site, cabinet, out.getvalue()), 200, "tampered", "数字签名已损坏")


def test_an_unsigned_and_a_foreign_document_are_not_ours(site: Site, cabinet: Cabinet) -> None:
    issuer = new_issuer("别处的机关")
    token = issuer.token()
    assert_refused(asked(site, cabinet, cabinet.press.render(ORDINARY, token)), 422, "unreadable", "没有数字签名")
    foreign = cabinet.press.certificate(ORDINARY, token, issuer.signer)
    assert_refused(asked(site, cabinet, foreign), 422, "unreadable", "不是本系统签发")


def test_our_page_signed_by_an_impostor_of_our_name_is_tampered(site: Site, cabinet: Cabinet) -> None:
    organisation = cabinet.registry.config.organisation
    impostor = new_issuer(organisation)
    content = cabinet.valid.content.reveal()
    _, certificate = cabinet.registry.certificate(cabinet.valid.code)
    forged = cabinet.press.certificate(content, token_of(certificate), impostor.signer)
    assert asked(site, cabinet, forged).json()["status"] in ("tampered", "unreadable")


def test_a_picture_of_the_code_or_of_the_page_is_read(site: Site, cabinet: Cabinet, pdf: bytes) -> None:
    picture = qr_png(cabinet.qr(cabinet.valid), 4)
    answer = asked(site, cabinet, picture, "qr.png")
    assert (answer.status_code, answer.json()["status"]) == (200, "valid")
    assert asked(site, cabinet, qr_png(cabinet.qr(cabinet.revoked), 4), "qr.png").json()["status"] == "revoked"


def test_a_picture_of_another_code_is_what_that_code_is(site: Site, cabinet: Cabinet) -> None:
    forged = f"https://zc.example.cn/v/{cabinet.valid.code}#{cabinet.digits(cabinet.other)}"
    assert_refused(asked(site, cabinet, qr_png(forged, 4), "qr.png"), 200, "tampered", "另一张证书")
    elsewhere = asked(site, cabinet, qr_png("https://example.com/hello", 8), "qr.png")
    assert (elsewhere.status_code, elsewhere.json()["status"]) == (404, "unknown")


def png(width: int, height: int, data: bytes) -> bytes:
    """A PNG of one bit a pixel with these packed rows, whatever they hold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("certificate.pdf", b"hello")
    return out.getvalue()


WHITE = zlib.compress((b"\0" + b"\xff" * 25) * 200)
NOT_OURS: Kind = {
    "blank.png": (png(200, 200, WHITE), "没有二维码"),
    "cut.png": (png(200, 200, WHITE)[:60], "图片"),
    "wrong-data.png": (png(200, 200, b"no zlib at all"), "图片"),
    "too-many-pixels.png": (png(100_000, 100_000, WHITE), "图片过大"),
    "bomb.png": (png(12_001, 12_001, zlib.compress(b"\0" * 4_000_000)), "图片过大"),
    "unpacks-to-more.png": (png(200, 200, zlib.compress(b"\0" * 200_000_000)), "图片"),
    "no-size.png": (png(0, 0, WHITE), "图片"),
    "zip-renamed.pdf": (zipped(), "不是 PNG 或 JPEG"),
    "text.pdf": (b"hello", "不是 PNG 或 JPEG"),
    "zeros.pdf": (bytes(100_000), "不是 PNG 或 JPEG"),
    "svg.svg": (
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "不是 PNG 或 JPEG",
    ),
    "jpeg.jpg": (b"\xff\xd8\xff\xe0" + b"\0" * 400, "图片"),
    "gif.png": (b"GIF89a" + b"\0" * 100, "不是 PNG 或 JPEG"),
    "only-the-name.pdf": (b"%PDF-", "没有数字签名"),
    "nested.pdf": (b"%PDF-1.7\n" + b"[" * 1_000_000, "没有数字签名"),
    "loops.pdf": (b"%PDF-1.7\n1 0 obj <</Type /Catalog /Pages 1 0 R>> endobj\n" * 999, "没有数字签名"),
}


@pytest.mark.parametrize("name", NOT_OURS)
def test_what_is_not_ours_is_unreadable_and_says_why(site: Site, cabinet: Cabinet, name: str) -> None:
    data, says = NOT_OURS[name]
    assert_refused(asked(site, cabinet, data, name), 422, "unreadable", says)


def test_a_signature_of_rubbish_is_tampered(site: Site, cabinet: Cabinet) -> None:
    data = b"%PDF-1.7\n<</Type /Sig /ByteRange [0 40 60 5] /Contents <deadbeef>>>"
    assert_refused(asked(site, cabinet, data), 200, "tampered", "签名已损坏")


@pytest.mark.parametrize("size", [MAX_BYTES + 1, 6_000_000, 20_000_000])
def test_a_file_that_is_too_large_is_refused_before_it_is_looked_at(
    site: Site, cabinet: Cabinet, pdf: bytes, size: int
) -> None:
    answer = asked(site, cabinet, pdf + bytes(size - len(pdf)))
    assert answer.status_code == 413
    assert (answer.json()["code"], answer.json()["errors"][0]["pointer"]) == ("too-large", "/file")


def test_the_largest_file_is_still_looked_at(site: Site, cabinet: Cabinet, pdf: bytes) -> None:
    assert asked(site, cabinet, pdf + bytes(MAX_BYTES - len(pdf))).json()["status"] == "tampered"


PART = b"--b\r\nContent-Disposition: form-data; name=%b\r\n\r\n%b\r\n"
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
MULTIPART: Kind = {
    "no body": (b"", FORM),
    "no end": (b"--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\nhello", FORM),
    "no boundary": (b"hello", {"Content-Type": "multipart/form-data"}),
    "another boundary": (b"--c\r\n\r\nhello\r\n--c--\r\n", FORM),
    "no name": (b"--b\r\nContent-Disposition: form-data\r\n\r\nhello\r\n--b--\r\n", FORM),
    "bad header": (b"--b\r\n\xff\xfe: \xff\r\n\r\nhello\r\n--b--\r\n", FORM),
    "bad charset": (b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b; charset=nonsense"}),
    "empty file": (PART % (b"file; filename=a", b"") + b"--b--\r\n", FORM),
    "a text field": (PART % (b"file", b"hello") + b"--b--\r\n", FORM),
    "another field": (PART % (b"x; filename=a", b"hello") + b"--b--\r\n", FORM),
    "two files": (
        b"--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\nhello\r\n" * 2 + b"--b--\r\n",
        FORM,
    ),
    "a thousand fields": (b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n" * 1000 + b"--b--\r\n", FORM),
}


@pytest.mark.parametrize("name", MULTIPART)
def test_a_malformed_form_is_refused(site: Site, cabinet: Cabinet, name: str) -> None:
    body, headers = MULTIPART[name]
    answer = unchanged(cabinet.registry, lambda: site.post("/api/v1/verifications", content=body, headers=headers))
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-request")
    assert answer.json()["errors"][0]["detail"]
    page = unchanged(cabinet.registry, lambda: site.post("/v", content=body, headers=headers))
    assert page.status_code == 422
    assert "multipart" in page.text or "文件" in page.text


def test_a_form_without_a_length_is_counted_as_it_comes(site: Site, cabinet: Cabinet) -> None:
    def endless() -> Any:
        yield b"--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n"
        for _ in range(100):
            yield bytes(100_000)

    answer = unchanged(cabinet.registry, lambda: site.post("/api/v1/verifications", content=endless(), headers=FORM))
    assert answer.status_code == 413


def test_a_length_that_is_not_true_is_refused_or_ends_the_connection(site: Site) -> None:
    for length in ("-1", "abc", "99999999999999999999", "5, 6"):
        answer = _raw(site, f"POST /v HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\nhello".encode())
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413", b"HTTP/1.1 422")), answer[:80]
    assert site.get("/healthz").status_code == 200


def _raw(site: Site, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", site.port), 5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(4096)
