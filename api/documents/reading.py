"""Read what people upload: a certificate as PDF, or a picture of its code. No PDF parser meets bytes from outside.

A PDF is first checked as bytes: the signature is found by its byte range and verified over everything around it. Only a
file that we signed ourselves, whole and unchanged, is parsed. So no upload can make a parser work without end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from itertools import islice
from typing import Literal

from asn1crypto import cms
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.general import extract_signer_info

from api.documents.cades import rebuilt
from api.documents.pictures import PIXELS_PER_INCH, picture_page
from api.documents.press import ATTACHMENT, PROOF
from api.documents.scanning import read_codes
from api.documents.signature import FIELD_NAME
from keys.errors import KeysError, SignatureInvalid
from keys.keyring import Keyring
from keys.signing import KeyState, PublicKey, Purpose
from registry.errors import BadInput
from registry.titles.token import LEAF, read

MAX_BYTES = 5_000_000
MAX_SIGNATURES = 8
_BYTE_RANGE = re.compile(rb"/ByteRange\s*\[\s*0\s+(\d{1,9})\s+(\d{1,9})\s+(\d{1,9})\s*\]")
_TRACES = (FIELD_NAME.encode(), b"/SubFilter")
_UNREADABLE = (PdfError, x509.InvalidVersion, UnsupportedAlgorithm)
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, *_UNREADABLE)


@dataclass(frozen=True, slots=True)
class PdfReading:
    """What an uploaded PDF is. `token` is there only if the signature is intact; `detail` says why, for people.

    So is `proof`, the proof from the log where one is attached, and `kid`, the id of the document key.
    """

    signature: Literal["intact", "broken", "absent", "foreign"]
    token: bytes | None
    detail: str
    proof: bytes | None = None
    kid: str = ""


@dataclass(frozen=True, slots=True)
class _Signature:
    """A signature as it lies in the file. `certificate` is None if its CMS cannot be read."""

    text: bytes  # the CMS in hexadecimal digits, then zeros
    value: bytes
    certificate: x509.Certificate | None
    digest: bytes
    covers_all: bool


def read_pdf(data: bytes, trusted_root: x509.Certificate, max_bytes: int = MAX_BYTES) -> PdfReading:
    """Check an uploaded PDF against our root. Raise BadInput if it is no PDF or larger than `max_bytes`.

    (1) it is a PDF; (2) it has a signature; (3) one made under our root; (4) the signature holds over the bytes that it
    covers; (5) it covers the whole file, so nothing was added later; (6) it was made while its certificate was valid.
    """
    # (1) it is a PDF
    if len(data) > max_bytes:
        raise BadInput(f"文件过大：{len(data)}字节，最多{max_bytes}字节", fix="请上传原始的 PDF 文件，不要上传扫描件")
    if b"%PDF-" not in data[:1024]:
        raise BadInput("无法识别：不是 PDF 文件", fix="请上传原始的 PDF 文件，或改用查验码")
    # (2) it has a signature
    found = list(_signatures(data))
    if not found and any(trace in data for trace in _TRACES):
        return PdfReading("broken", None, "文件的数字签名已损坏，无法核验")
    if not found:
        return PdfReading("absent", None, "文件没有数字签名。可能是打印、另存或截取的副本，请扫描二维码或输入查验码")
    # (3) one made under our root
    for signature in found:
        signer = signature.certificate
        if signer is not None and signer.issuer == trusted_root.subject:
            return _judge(data, signature, signer, trusted_root)
    if any(signature.certificate is None for signature in found):
        return PdfReading("broken", None, "文件的数字签名已损坏，无法核验")
    return PdfReading("foreign", None, "文件有数字签名，但不是本系统签发的")


def judged(reading: PdfReading, keyring: Keyring) -> PdfReading:
    """The reading in view of what became of the document key.

    What a compromised key signed counts only around a token whose leaf stands before the position from which it is
    compromised; and even then the page proves nothing by itself: a thief can set another one around a genuine token.
    """
    try:
        record = keyring.record(reading.kid)
        leaf = read(keyring, reading.token).get(LEAF) if reading.token else None
    except (KeysError, BadInput):  # a document key that this key ring has not, or a token that will be judged itself
        return reading
    if record.state is not KeyState.COMPROMISED:
        return reading
    since = f"文件签名密钥 {record.kid} 自日志位置 {record.compromised_from or 0} 起已泄露"
    if leaf is None or not record.counts(leaf):
        return PdfReading("broken", None, f"{since}，其后的签名不算数 / the key that signed this file was compromised")
    english = "the key that signed this file was compromised later: rely on what is shown here, not on the page"
    return replace(reading, detail=f"{since}：请以此处显示的内容为准，勿以版面为准 / {english}")


def read_image(data: bytes, max_bytes: int = MAX_BYTES) -> str | None:
    """Return the text of the QR code in a PNG or JPEG picture; None if there is none, or more than one.

    Raise BadInput for anything else, for more than `max_bytes`, and for more pixels than a phone's camera makes.
    """
    if len(data) > max_bytes:
        raise BadInput(
            f"图片过大：{len(data)}字节，最多{max_bytes}字节", fix="请截取二维码部分，或降低图片质量后再上传"
        )
    codes = set(read_codes(picture_page(data), PIXELS_PER_INCH))
    return codes.pop() if len(codes) == 1 else None


def _judge(data: bytes, signature: _Signature, signer: x509.Certificate, root: x509.Certificate) -> PdfReading:
    try:
        signer.verify_directly_issued_by(root)
    except (InvalidSignature, *_MALFORMED):
        return PdfReading("broken", None, "签名证书自称由本系统签发，但未通过根证书核验")
    # (4) the signature holds over the bytes that it covers
    if not _holds(signature, signer, root):
        return PdfReading("broken", None, "文件内容与签名时不一致")
    # (5) it covers the whole file
    if not signature.covers_all:
        return PdfReading("broken", None, "签名之后文件又被修改或添加了内容")
    # from here on the bytes are those that we signed, and may be parsed
    reader = PdfFileReader(BytesIO(data))
    # (6) it was made while its certificate was valid
    at = reader.embedded_signatures[0].self_reported_timestamp
    if at is None or not signer.not_valid_before_utc <= at <= signer.not_valid_after_utc:
        return PdfReading("broken", None, "签名时间不在签名证书的有效期内")
    kid = PublicKey.of(signer.public_key(), Purpose.DOCUMENT).kid
    files = _attached(reader)
    return PdfReading("intact", files.get(ATTACHMENT), "文件完整，签名后没有改动", files.get(PROOF), kid)


def _signatures(data: bytes) -> Iterator[_Signature]:
    """Find signatures by their byte ranges: everything but one hexadecimal string, from the first byte on."""
    for match in islice(_BYTE_RANGE.finditer(data), MAX_SIGNATURES):
        before, after, rest = map(int, match.groups())
        gap = data[before:after]
        digest = sha256(data[:before] + data[after : after + rest]).digest()
        covers_all = after + rest == len(data) and gap[:1] == b"<" and gap[-1:] == b">"
        yield _Signature(gap[1:-1], *_parse(gap[1:-1]), digest, covers_all)


def _parse(text: bytes) -> tuple[bytes, x509.Certificate | None]:
    """Read from a CMS the value of its signature and the certificate that it names; None if there is none."""
    try:
        signed = cms.ContentInfo.load(bytes.fromhex(text.decode("ascii")))["content"]
        info = extract_signer_info(signed)
        sid = info["sid"].chosen
        for choice in signed["certificates"]:
            certificate = choice.chosen
            if (certificate.issuer, certificate.serial_number) == (sid["issuer"], sid["serial_number"].native):
                return info["signature"].native, x509.load_der_x509_certificate(certificate.dump())
    except _MALFORMED:
        pass
    return b"", None


def _holds(signature: _Signature, signer: x509.Certificate, root: x509.Certificate) -> bool:
    """Whether it verifies, and is to the last digit what we would have written with this signature in it."""
    try:
        written = rebuilt(signature.digest, signer, [root], signature.value).hex().encode()
    except (SignatureInvalid, *_MALFORMED):
        return False
    digits = written.ljust(len(signature.text), b"0")
    return signature.text in (digits.upper(), digits)


def _attached(reader: PdfFileReader) -> dict[str, bytes]:
    files, found = reader.root.get("/AF", ()), dict[str, bytes]()
    for number in range(len(files)):
        file = files[number]  # by number, which follows the reference
        found.setdefault(file["/UF"], file["/EF"]["/F"].data)
    return found
