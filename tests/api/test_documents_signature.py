"""The signature: judged by three programs that did not make it, pyHanko, poppler and OpenSSL."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from asn1crypto.x509 import Certificate
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.fields import MDPPerm
from pyhanko.sign.validation import SignatureCoverageLevel, validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from api.documents.press import Press
from api.documents.signature import sign_pdf
from keys.errors import SignatureInvalid
from registry.errors import DocumentRefused
from tests.api.certificates import MADE, ORDINARY, Issuer, new_issuer
from tests.tools import need

PRESS = Press()
STRANGER = ValidationContext(trust_roots=[], allow_fetching=False)


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return new_issuer()


@pytest.fixture(scope="module")
def signed(issuer: Issuer) -> bytes:
    return PRESS.certificate(ORDINARY, issuer.token(), issuer.signer)


def test_pyhanko_finds_it_intact_and_valid_without_knowing_us(signed: bytes) -> None:
    (signature,) = PdfFileReader(BytesIO(signed)).embedded_signatures
    status = validate_pdf_signature(signature, STRANGER)
    assert status.intact
    assert status.valid
    assert not status.trusted


def test_pyhanko_with_our_root_trusts_it_and_sees_no_change_allowed(signed: bytes, issuer: Issuer) -> None:
    (signature,) = PdfFileReader(BytesIO(signed)).embedded_signatures
    root = Certificate.load(issuer.root.public_bytes(Encoding.DER))
    context = ValidationContext([root], allow_fetching=False, moment=datetime(2026, 3, 3, tzinfo=UTC))
    status = validate_pdf_signature(signature, context)
    assert status.bottom_line
    assert status.trusted
    assert status.coverage == SignatureCoverageLevel.ENTIRE_FILE
    assert status.modification_level == ModificationLevel.NONE
    assert signature.docmdp_level == MDPPerm.NO_CHANGES
    assert signature.sig_object["/SubFilter"] == "/ETSI.CAdES.detached"


def test_the_file_stays_pdf_1_7_and_its_field_has_a_name_for_people(signed: bytes) -> None:
    reader = PdfFileReader(BytesIO(signed))
    assert reader.input_version == (1, 7), "PDF/A-3 is written in PDF 1.7 (ISO 19005-3)"
    (field,) = reader.root["/AcroForm"]["/Fields"]
    assert field.get_object()["/TU"] == "签发机关的数字签名"


@pytest.mark.parametrize("part", range(12))
def test_one_flipped_byte_anywhere_breaks_it(signed: bytes, part: int) -> None:
    place = signed.find(b"stream") + 200 if part == 0 else part * len(signed) // 12
    damaged = signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :]
    try:
        status = validate_pdf_signature(PdfFileReader(BytesIO(damaged)).embedded_signatures[0], STRANGER)
    except Exception:  # noqa: BLE001 what can no longer be read is broken too
        return
    assert not status.intact


def test_signing_again_gives_the_same_bytes(signed: bytes, issuer: Issuer) -> None:
    assert Press().certificate(ORDINARY, issuer.token(), issuer.signer) == signed


def test_the_time_is_the_day_of_issue_in_beijing_whenever_it_is_signed(signed: bytes) -> None:
    (signature,) = PdfFileReader(BytesIO(signed)).embedded_signatures
    assert signature.self_reported_timestamp == datetime(2026, 3, 1, 16, tzinfo=UTC)


def test_the_time_is_never_before_the_certificate_begins(issuer: Issuer) -> None:
    later = new_issuer(now=datetime(2026, 3, 2, 9, 30, tzinfo=UTC))
    signed = PRESS.certificate(ORDINARY, issuer.token(), later.signer)
    (signature,) = PdfFileReader(BytesIO(signed)).embedded_signatures
    assert signature.self_reported_timestamp == datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def test_an_expired_certificate_does_not_sign(issuer: Issuer) -> None:
    after = issuer.signer.certificate.not_valid_after_utc + timedelta(days=1)
    with pytest.raises(DocumentRefused, match="签发证书已于2029-03-01到期") as refusal:
        sign_pdf(PRESS.render(ORDINARY, issuer.token()), issuer.signer, after)
    assert "轮换" in refusal.value.fix


def test_a_key_that_is_not_the_certificates_does_not_sign(issuer: Issuer) -> None:
    mixed = replace(issuer.signer, key=generate_private_key(SECP256R1()))
    with pytest.raises(SignatureInvalid, match="公钥不符"):
        sign_pdf(PRESS.render(ORDINARY, issuer.token()), mixed, MADE)


def test_pdfsig_says_valid_and_after_one_flipped_byte_does_not(signed: bytes, tmp_path: Path) -> None:
    need("pdfsig")

    def ask(data: bytes) -> str:
        path = tmp_path / "certificate.pdf"
        path.write_bytes(data)
        return subprocess.run(["pdfsig", str(path)], capture_output=True, check=False, text=True).stdout

    answer = ask(signed)
    assert "Signature is Valid." in answer
    assert "Total document signed" in answer
    assert "ETSI.CAdES.detached" in answer
    place = signed.find(b"stream") + 200
    assert "Signature is Valid." not in ask(signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :])


def test_openssl_verifies_the_cms_and_the_chain(signed: bytes, issuer: Issuer, tmp_path: Path) -> None:
    need("openssl")
    for name, data in _openssl_inputs(signed, issuer):
        (tmp_path / name).write_bytes(data)
    at = str(int(datetime(2026, 3, 3, tzinfo=UTC).timestamp()))
    chain = ["openssl", "verify", "-attime", at, "-CAfile", "root.pem", "issuing.pem"]
    assert "OK" in subprocess.run(chain, cwd=tmp_path, capture_output=True, check=True, text=True).stdout
    command = f"openssl cms -verify -binary -inform DER -in cms.der -content covered -CAfile root.pem -attime {at}"
    verify = [*command.split(), "-purpose", "any", "-out", "out"]
    assert "successful" in subprocess.run(verify, cwd=tmp_path, capture_output=True, check=True, text=True).stderr
    (tmp_path / "covered").write_bytes(b"something else")
    assert subprocess.run(verify, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def _openssl_inputs(signed: bytes, issuer: Issuer) -> Iterator[tuple[str, bytes]]:
    match = re.search(rb"/ByteRange ?\[0 (\d+) (\d+) (\d+)", signed)
    assert match
    before, after, rest = map(int, match.groups())
    yield "covered", signed[:before] + signed[after : after + rest]
    yield "cms.der", bytes.fromhex(signed[before + 1 : after - 1].decode()).rstrip(b"\0")
    yield "root.pem", issuer.root.public_bytes(Encoding.PEM)
    yield "issuing.pem", issuer.signer.certificate.public_bytes(Encoding.PEM)
