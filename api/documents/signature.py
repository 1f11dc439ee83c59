"""The signature of the PDF: PAdES baseline B-B (ETSI EN 319 142-1), ES256, no changes allowed afterwards (DocMDP 1).

Signing the same document again gives the same bytes: ECDSA is deterministic (RFC 6979), the time is the issued instant,
and the file id follows from the content. The signature is invisible: it is no seal, and does not look like one.
"""

from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from typing import Any

from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils.generic import ArrayObject, ByteStringObject
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.fields import InvisSigSettings, MDPPerm, SigFieldSpec, SigSeedSubFilter
from pyhanko.sign.signers import ExternalSigner, PdfSignatureMetadata, PdfSigner
from pyhanko.sign.signers.constants import ESIC_EXTENSION_1
from pyhanko_certvalidator.registry import SimpleCertificateStore

from api.documents.cades import detached_signature
from keys.custody import DocumentSigner
from registry.errors import DocumentRefused

FIELD_NAME = "IssuerSignature"
HEX_RESERVED = (
    8192  # room for the CMS in hexadecimal digits; given, so that no trial signature is made to find the size
)
_METADATA = PdfSignatureMetadata(
    field_name=FIELD_NAME,
    md_algorithm="sha256",
    subfilter=SigSeedSubFilter.PADES,
    certify=True,
    docmdp_permissions=MDPPerm.NO_CHANGES,
)
_NO_OTHERS = SimpleCertificateStore.from_certs([])  # type: ignore[no-untyped-call]
_FIELD = SigFieldSpec(
    FIELD_NAME,
    readable_field_name="签发机关的数字签名",
    # PDF/UA-1 7.18.1 asks for a tag on every annotation within the page, and PDF/A-3 6.3.3 forbids hidden ones
    invis_sig_settings=InvisSigSettings(set_print_flag=True, box_out_of_bounds=True),
)


def sign_pdf(pdf: bytes, signer: DocumentSigner, issued_at: datetime) -> bytes:
    """Return the PDF with the signature appended. Raise DocumentRefused if the certificate had expired at `issued_at`.

    The signing time is `issued_at`, or the beginning of the signer's certificate if that is later.
    """
    at = max(issued_at, signer.certificate.not_valid_before_utc)
    if at > signer.certificate.not_valid_after_utc:
        raise DocumentRefused(
            f"签发证书已于{signer.certificate.not_valid_after_utc:%Y-%m-%d}到期，不能签发{at:%Y-%m-%d}的证书",
            fix="请先轮换文件签名密钥（keys rotate），再签发",
        )
    outside = ExternalSigner(_to_asn1(signer.certificate), _NO_OTHERS, signature_value=64)
    session = _PadesSigner(_METADATA, outside, new_field_spec=_FIELD).init_signing_session(_FixedWriter(BytesIO(pdf)))
    session.system_time = at
    document = session.prepare_tbs_document(None, bytes_reserved=HEX_RESERVED)
    prepared, _ = document.digest_tbs_document(output=(output := BytesIO()))
    prepared.fill_with_cms(output, detached_signature(prepared.document_digest, signer))
    return output.getvalue()


class _FixedWriter(IncrementalPdfFileWriter):
    """Appends to a file without a clock or chance: its new id is a hash of it, and its metadata stays as it is."""

    @classmethod
    def _handle_id(cls, prev: Any) -> ArrayObject:
        prev.stream.seek(0)
        return ArrayObject([prev.trailer["/ID"][0], ByteStringObject(sha256(prev.stream.read()).digest()[:16])])

    def _update_meta(self) -> None:
        """Signing changes nothing that the metadata (one packet with the PDF/A claim) says."""


class _PadesSigner(PdfSigner):
    """Declares the one extension that PAdES needs. pyHanko's others would say PDF 2.0, which is no longer PDF/A-3."""

    def register_extensions(self, pdf_out: Any, *, md_algorithm: str) -> None:
        pdf_out.register_extension(ESIC_EXTENSION_1)


@lru_cache(maxsize=8)
def _to_asn1(certificate: x509.Certificate) -> asn1.Certificate:
    """The same certificate as pyHanko reads it."""
    return asn1.Certificate.load(certificate.public_bytes(Encoding.DER))
