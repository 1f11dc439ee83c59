"""From a signed certificate to the file that leaves: rendered from what is stored, signed, read back, then written.

Everything printed was fixed before it was signed, so that the same certificate gives the same bytes again, as long as
the document key is the same.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

from api.documents.pictures import drawing_page, picture_page
from api.documents.press import Press
from api.documents.qr import qr_png, qr_svg, qr_text
from api.documents.release import DPI, release
from api.documents.scanning import read_codes
from keys.keyring import Keyring
from keys.signing import Purpose
from registry.audit.proving import prove_certificate
from registry.errors import DocumentRefused
from registry.issuing import Proof
from registry.service import Registry
from registry.titles.certificate import content_of, token_of
from registry.titles.content import CertificateContent
from registry.titles.digits import from_digits
from registry.titles.state import Certificate
from registry.titles.token import Claims, assemble, read

_SIGNATURE_BYTES = 64
_LARGE_LEAF = 2**32  # the leaf index of a log that we do not expect to outgrow: nine bytes in the token
_DRAWING_POINTS = 150  # some 53 mm, as large as a code is printed alone


def proof_of(registry: Registry, press: Press) -> Proof:
    """The check before anything is stored: the document can be set, with a token of just the size it will have."""
    kid = registry.custody.keyring.current(Purpose.E_CERTIFICATE, registry.clock()).kid

    def proof(content: CertificateContent) -> None:
        press.proof(content, len(assemble(content, kid, bytes(_SIGNATURE_BYTES), _LARGE_LEAF)))

    return proof


def deliver(registry: Registry, press: Press, certificate: Certificate) -> bytes:
    """The signed PDF of a signed certificate with its proof, after its printed code was read back and verified.

    Raise CorruptHistory for a certificate without a signature, WrongState for one whose content was erased,
    DocumentRefused if the document cannot be set or does not pass, NotFound for one that no published checkpoint
    covers, keys.errors.KeysError without a document key in force.
    """
    content, token = content_of(certificate), token_of(certificate)
    proof = prove_certificate(registry, certificate).encode()
    pdf = press.certificate(content, token, registry.custody.document_signer(registry.clock()), proof)
    release(pdf, content, token, verifier_of(registry.custody.keyring))
    return pdf


def deliver_code(keyring: Keyring, certificate: Certificate, kind: Literal["png", "svg"]) -> bytes:
    """The QR alone as a picture, after it was read back and its token verified. Raise DocumentRefused otherwise."""
    text = printed_code(certificate)
    picture = qr_png(text) if kind == "png" else qr_svg(text)
    seen = read_codes(picture_page(picture) if kind == "png" else drawing_page(picture, _DRAWING_POINTS), DPI)
    if seen != [text]:
        raise DocumentRefused("二维码图片未通过出证前核验，没有发出", fix="请重试；仍然如此的，请告知系统维护人员")
    read(keyring, from_digits(seen[0].partition("#")[2]))
    return picture


def verifier_of(keyring: Keyring) -> Callable[[bytes], Claims]:
    """The check of a token against these keys; raises SignatureInvalid or UnknownKey."""
    return partial(read, keyring)


def printed_code(certificate: Certificate) -> str:
    """What a scanner reads from the printed QR of a signed certificate."""
    return qr_text(content_of(certificate), token_of(certificate))
