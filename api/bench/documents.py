"""Documents against their floors: a signed certificate, by one core and by two, and the token that it carries."""

import time
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import cast

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import PdfSignatureMetadata, SimpleSigner, sign_pdf
from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter

from api.bench.apart import begin
from api.bench.figures import Measured, rate, seconds
from api.documents.press import STANDARDS, Press
from keys.cose import sign1
from keys.custody import DocumentSigner
from keys.signing import Purpose
from registry.service import Registry
from registry.terms import utc_now
from registry.titles.certificate import token_of
from registry.titles.content import CertificateContent
from registry.titles.token import TYP, payload

ROUNDS = 15
TOKENS = 500


def pdf(registry: Registry, code: str) -> Measured:
    """Signed pages a second, against the same page through bare typst and bare pyHanko; the better of two rounds."""
    _, certificate = registry.certificate(code)
    press, content, token = Press(), certificate.content.reveal(), token_of(certificate)
    signer = registry.custody.document_signer(utc_now())
    ours, bare = (min(one(press, content, token, signer) for _ in range(2)) for one in (signed_page, bare_page))
    return Measured("pdf", 1000 / ours, 1000 / bare, f"{ours:.1f} ms against {bare:.1f} ms a page")


def pdf_cores(folder: Path, code: str, duration: float) -> Measured:
    """Pages a second by two processes at once, against one."""
    one, two = (_pages(folder, code, duration, processes) for processes in (1, 2))
    return Measured("pdf_cores", two, one)


def _pages(folder: Path, code: str, duration: float, processes: int) -> float:
    started = [begin("pages", folder, code, duration) for _ in range(processes)]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None  # so that communicate leaves it alone
    began = time.monotonic()
    pages = sum(int(process.communicate()[0]) for process in started)
    took = time.monotonic() - began
    return pages / max(took, duration)


def sign_token(registry: Registry, code: str) -> Measured:
    """Tokens a second (claims, COSE_Sign1, verified after signing), against a bare ES256 that nobody verifies."""
    signer = registry.custody.signer(Purpose.E_CERTIFICATE, utc_now())
    content = registry.certificate(code)[1].content.reveal()
    value = rate(lambda: [sign1(signer, TYP, payload(content, 0)) for _ in range(TOKENS)], TOKENS)
    body, key = payload(content, 0), registry.custody.document_signer(utc_now()).key
    scheme = ec.ECDSA(hashes.SHA256())
    floor = rate(lambda: [key.sign(body, scheme) for _ in range(TOKENS)], TOKENS)
    return Measured("sign_token", value, floor)


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
