"""An employer scans a certificate: from the approved list to the page on the phone, and again after a revocation.

Every step is looked at by somebody else's program: zxing reads the QR, Chromium opens it, poppler and OpenSSL check the
PDF. The service runs in a process of its own; the officers decide in this one.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from zxingcpp import BarcodeFormat, BarcodeFormats, read_barcodes

from api.documents.delivery import deliver, proof_of
from api.documents.press import Press
from registry.service import Registry
from registry.titles.events import DecisionKind
from tests.browser.conftest import chromium  # noqa: F401 - the fixture
from tests.lists import DOCUMENT, csv_file, good, table
from tests.people import CLERK, decided, deciding
from tests.served import Site, found_registry, free_port, serving

PHONE = {"width": 390, "height": 844}
NAME, MASKED = "欧阳娜娜", "欧**娜"


def need(program: str) -> str:
    """A program of the system; without it the test is skipped, or fails where everything is required."""
    found = shutil.which(program)
    if found is None:
        message = f"NO {program}: what it would have said was NOT checked"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found


def ask(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry whose codes lead to a port of the loopback."""
    registry = found_registry(tmp_path_factory.mktemp("scan") / "data", free_port())
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def pdf(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The certificate of one person on an approved list, imported, issued and delivered."""
    path = csv_file(tmp_path_factory.mktemp("list"), table([good(1, 姓名=NAME), good(2)]))
    registry.import_awards(path, authority="331100", document=DOCUMENT, officer=CLERK)
    stream = registry.find_title(good(1)["证书编号"], "331100")
    press = Press()
    certificate = registry.issue(stream, proof_of(registry, press), officer=CLERK)
    return deliver(registry, press, certificate)


@pytest.fixture(scope="module")
def qr(pdf: bytes) -> str:
    """What a scanner reads from the page as a phone sees it, at 150 dpi; poppler paints it."""
    painted = subprocess.run([need("pdftoppm"), "-gray", "-r", "150", "-"], input=pdf, capture_output=True, check=True)
    header = re.match(rb"P5\s(\d+)\s(\d+)\s255\s", painted.stdout)
    assert header
    pixels = memoryview(painted.stdout[header.end() :]).cast("B", (int(header[2]), int(header[1])))
    [found] = read_barcodes(pixels, formats=BarcodeFormats([BarcodeFormat.QRCode]))
    return str(found.text)


@pytest.fixture(scope="module")
def site(registry: Registry) -> Iterator[Site]:
    with serving(registry.folder.path, int(registry.config.base_url.rpartition(":")[2])) as served:
        yield served


@pytest.fixture
def phone(chromium: Browser, site: Site) -> Iterator[Page]:  # noqa: F811 - the fixture
    """A phone's browser. Whatever it complains about, and whatever it asks of another site, fails the test."""
    context = chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page, complaints, asked = context.new_page(), list[str](), list[str]()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(str(site.base_url))] == []


def word(page: Page) -> str:
    return page.locator("h1").first.inner_text()


def test_an_employer_scans_it_before_and_after_a_revocation(registry: Registry, qr: str, phone: Page) -> None:
    address, _, digits = qr.partition("#")
    assert address.startswith(registry.config.base_url + "/v/")
    sent = list[str]()
    phone.on("request", lambda request: sent.append(request.url))

    phone.goto(qr)
    assert word(phone) == "有效"
    expect(phone.locator("#qr")).to_have_text(re.compile("二维码签名：相符"))
    assert MASKED in phone.locator("main").inner_text()
    assert NAME not in phone.content()
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off on a phone"
    assert not [url for url in sent if digits[:30] in url], "the token never reaches the server"

    _revoke(registry, address)
    phone.reload()
    assert word(phone) == "已撤销"
    expect(phone.locator("#qr")).to_have_text(re.compile("二维码签名：相符"))
    assert "丽人社决" in phone.locator("main").inner_text()


def _revoke(registry: Registry, address: str) -> None:
    title, _ = registry.certificate(address.rpartition("/")[2])
    decided(registry, title.id, deciding(DecisionKind.REVOCATION))


def test_a_tampered_fragment_takes_the_verdict_away(qr: str, phone: Page) -> None:
    place = len(qr) - 60
    phone.goto(qr[:place] + str((int(qr[place]) + 1) % 10) + qr[place + 1 :])
    expect(phone.locator("h1").first).to_have_text("签名不符")
    shown = phone.locator("main").inner_text()
    for fact in (MASKED, "工程师", "有效"):
        assert fact not in shown
    assert phone.title().startswith("签名不符")


def test_without_a_script_the_page_still_tells(qr: str, chromium: Browser, site: Site) -> None:  # noqa: F811
    context = chromium.new_context(viewport=PHONE, java_script_enabled=False)
    page = context.new_page()
    page.goto(qr)
    assert word(page) in ("有效", "已撤销")
    page.goto(str(site.base_url))
    page.get_by_label(re.compile("查验码")).first.fill(qr.partition("#")[0].rpartition("/")[2].lower())
    page.keyboard.press("Enter")
    page.wait_for_url(qr.partition("#")[0])
    assert word(page) in ("有效", "已撤销")
    context.close()


def test_the_file_itself_is_handed_in_on_the_page(pdf: bytes, phone: Page, site: Site) -> None:
    phone.goto(str(site.base_url))
    phone.set_input_files("input[type=file]", {"name": "证书.pdf", "mimeType": "application/pdf", "buffer": pdf})
    phone.locator("form:has(input[type=file]) button").click()
    phone.wait_for_url("**/v")
    assert word(phone) in ("有效", "已撤销")


# the same file, for other programs


def test_pdfsig_says_valid_and_after_one_flipped_byte_does_not(pdf: bytes, tmp_path: Path) -> None:
    pdfsig = need("pdfsig")
    (tmp_path / "good.pdf").write_bytes(pdf)
    said = ask(pdfsig, tmp_path / "good.pdf")
    assert "Signature is Valid." in said
    assert "Total document signed" in said
    place = pdf.index(b"stream") + 100
    (tmp_path / "bad.pdf").write_bytes(pdf[:place] + bytes([pdf[place] ^ 1]) + pdf[place + 1 :])
    assert "Signature is Valid." not in ask(pdfsig, tmp_path / "bad.pdf")


def test_openssl_accepts_the_chain_of_the_file_under_the_served_root(pdf: bytes, site: Site, tmp_path: Path) -> None:
    openssl = need("openssl")
    [cms] = re.findall(rb"/Contents\s*<([0-9a-fA-F]+)>", pdf)
    (tmp_path / "cms.der").write_bytes(bytes.fromhex(cms.decode()))
    (tmp_path / "root.pem").write_text(site.get("/.well-known/root.pem").text)
    chain = ask(openssl, "pkcs7", "-inform", "DER", "-in", tmp_path / "cms.der", "-print_certs")
    certificates = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", chain, re.DOTALL)
    [signer] = [one for one in certificates if one not in (tmp_path / "root.pem").read_text()]
    (tmp_path / "signer.pem").write_text(signer + "\n")
    said = ask(openssl, "verify", "-CAfile", tmp_path / "root.pem", tmp_path / "signer.pem")
    assert said.strip().endswith("signer.pem: OK")
    assert "OK" not in ask(openssl, "verify", tmp_path / "signer.pem"), "nobody else vouches for it"
    assert "Non Repudiation" in ask(openssl, "x509", "-in", tmp_path / "signer.pem", "-noout", "-text")
