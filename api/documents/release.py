"""The last look before a certificate leaves: its printed code is read back and verified, on every document."""

from collections.abc import Callable

from api.documents.qr import qr_text
from api.documents.scanning import read_codes
from keys.errors import SignatureInvalid, UnknownKey
from registry.errors import DocumentRefused
from registry.titles.content import CertificateContent
from registry.titles.digits import from_digits

DPI = 150  # what an office scanner or a phone at arm's length gives


def release(pdf: bytes, content: CertificateContent, token: bytes, verify_token: Callable[[bytes], object]) -> None:
    """Return if the document may leave; raise DocumentRefused if not.

    (1) a code can be read from the page at 150 dpi; (2) it is the one of this content and token; (3) its digits are
    the token's bytes; (4) the token verifies. `verify_token` raises SignatureInvalid or UnknownKey if it does not.
    """
    # (1) a code can be read from the page
    codes = read_codes(pdf, DPI)
    if not codes:
        raise _refused("页面上的二维码读不出来")
    # (2) it is the one of this content and token
    if codes != [qr_text(content, token)]:
        raise _refused("页面上的二维码与证书内容不一致")
    # (3) its digits are the token's bytes
    if from_digits(codes[0].partition("#")[2]) != token:
        raise _refused("二维码中的数字不是这份证书的令牌")
    # (4) the token verifies
    try:
        verify_token(token)
    except (SignatureInvalid, UnknownKey) as error:
        raise _refused(f"令牌的签名不成立（{error}）") from error


def _refused(what: str) -> DocumentRefused:
    return DocumentRefused(
        f"证书未通过出证前核验：{what}，没有发出", fix="请重试；仍然如此的，请把证书编号告知系统维护人员"
    )
