"""The release check: what leaves has a code that a second program reads, and a token that verifies."""

from collections.abc import Callable
from io import BytesIO

import pypdfium2
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cwt import COSE, COSEKey

from api.documents.press import Press
from api.documents.release import DPI, release
from api.documents.scanning import read_codes
from keys.errors import SignatureInvalid
from registry.errors import BadInput, DocumentRefused
from registry.titles.content import CertificateContent
from registry.titles.digits import from_digits
from tests.api.certificates import FROM_PAPER, ORDINARY, STRESS, Issuer, changed, new_issuer

PRESS = Press()


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return new_issuer()


def oracle(issuer: Issuer) -> Callable[[bytes], object]:
    """Verify a token with the cwt library, which knows nothing of ours, and refuse as the release check expects."""
    public = issuer.tokens.public.key
    assert isinstance(public, EllipticCurvePublicKey)
    numbers = public.public_numbers()
    key = COSEKey.new(
        {1: 2, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32), 2: issuer.tokens.kid.encode(), 3: -7}
    )

    def verify(token: bytes) -> object:
        try:
            return COSE.new().decode(token, key)
        except Exception as error:
            raise SignatureInvalid("cwt says no") from error

    return verify


@pytest.mark.parametrize("content", [ORDINARY, FROM_PAPER, STRESS], ids=["ordinary", "paper", "stress"])
def test_a_certificate_leaves_when_its_code_reads_and_verifies(content: CertificateContent, issuer: Issuer) -> None:
    token = issuer.token(changed(code=content.code))  # short claims: the stress is on the page
    pdf = PRESS.certificate(content, token, issuer.signer)
    release(pdf, content, token, oracle(issuer))
    (text,) = read_codes(pdf, DPI)
    assert from_digits(text.partition("#")[2]) == token


def test_the_code_is_read_at_a_cheap_phones_100_dpi_too(issuer: Issuer) -> None:
    token = issuer.token()
    assert len(read_codes(PRESS.render(STRESS, token), 100)) == 1


def test_the_code_of_another_certificate_is_not_released(issuer: Issuer) -> None:
    token = issuer.token()
    other = changed(base_url="https://zc.example.org")
    with pytest.raises(DocumentRefused, match="与证书内容不一致"):
        release(PRESS.render(other, token), ORDINARY, token, oracle(issuer))


def test_the_token_of_another_version_is_not_released(issuer: Issuer) -> None:
    pdf = PRESS.render(ORDINARY, issuer.token())
    with pytest.raises(DocumentRefused, match="与证书内容不一致"):
        release(pdf, ORDINARY, issuer.token(changed(version=2)), oracle(issuer))


def test_a_token_that_does_not_verify_is_not_released(issuer: Issuer) -> None:
    token = bytearray(issuer.token())
    token[-3] ^= 1
    pdf = PRESS.render(ORDINARY, bytes(token))
    with pytest.raises(DocumentRefused, match="令牌的签名不成立") as refusal:
        release(pdf, ORDINARY, bytes(token), oracle(issuer))
    assert refusal.value.fix


def test_a_page_without_a_code_is_not_released(issuer: Issuer) -> None:
    with pytest.raises(DocumentRefused, match="读不出来"):
        release(blank_page(), ORDINARY, issuer.token(), oracle(issuer))


def test_what_is_no_pdf_is_refused() -> None:
    with pytest.raises(BadInput, match="不是可以打开的 PDF"):
        read_codes(b"%PDF-1.7 and nothing more", DPI)


def blank_page() -> bytes:
    document = pypdfium2.PdfDocument.new()
    document.new_page(595, 842)
    out = BytesIO()
    document.save(out)
    return out.getvalue()
