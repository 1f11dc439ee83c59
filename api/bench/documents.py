"""A signed certificate against its floor: the same page through bare typst, and a bare pyHanko signature of it."""

from datetime import UTC, datetime
from io import BytesIO
from tempfile import NamedTemporaryFile
from typing import cast

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import PdfSignatureMetadata, SimpleSigner, sign_pdf
from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter

from api.bench.figures import seconds
from api.documents.press import STANDARDS, Press
from keys.custody import DocumentSigner
from registry.titles.content import CertificateContent

ROUNDS = 15


def signed_page(press: Press, content: CertificateContent, token: bytes, signer: DocumentSigner) -> float:
    """Milliseconds of one certificate: checked, set, signed; the fastest of several."""
    press.certificate(content, token, signer)
    return min(seconds(lambda: press.certificate(content, token, signer)) for _ in range(ROUNDS)) * 1000


def bare_page(press: Press, content: CertificateContent, token: bytes, signer: DocumentSigner) -> float:
    """Milliseconds of the floor: one kept typst compiler with the same inputs, and pyHanko with its own defaults."""
    sheet = {"certificate": msgspec.json.encode(press._sheet(content, token, b"")).decode()}
    moment, simple = datetime(2026, 1, 1, tzinfo=UTC), _simple_signer(signer)
    pdf = press.render(content, token)

    def page() -> None:
        press._compiler.compile(format="pdf", sys_inputs=sheet, pdf_standards=STANDARDS, timestamp=moment)

    def signature() -> None:
        metadata = PdfSignatureMetadata(
            field_name="Bare", subfilter=SigSeedSubFilter.PADES, certify=True, docmdp_permissions=MDPPerm.NO_CHANGES
        )
        sign_pdf(IncrementalPdfFileWriter(BytesIO(pdf)), metadata, simple)

    page()
    signature()
    took = sum(min(seconds(work) for _ in range(ROUNDS)) for work in (page, signature))
    return took * 1000


def _simple_signer(signer: DocumentSigner) -> SimpleSigner:
    key = signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with NamedTemporaryFile() as key_file, NamedTemporaryFile() as certificate_file:
        key_file.write(key)
        certificate_file.write(signer.certificate.public_bytes(Encoding.PEM))
        key_file.flush()
        certificate_file.flush()  # type: ignore[no-untyped-call,unused-ignore]
        simple = cast("SimpleSigner | None", SimpleSigner.load(key_file.name, certificate_file.name))  # type: ignore[no-untyped-call]
    if simple is None:
        raise ValueError("pyHanko did not take the key")
    return simple
