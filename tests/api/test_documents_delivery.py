"""The QR alone, as a picture: it leaves only after it was read back and its token verified."""

import re
from collections.abc import Callable
from typing import Literal

import msgspec
import pytest

from api.documents import delivery
from api.documents.delivery import deliver_code, printed_code
from api.documents.qr import qr_png
from api.documents.reading import read_image
from keys.errors import SignatureInvalid
from registry.errors import DocumentRefused
from registry.service import Registry
from tests.people import CLERK, awarding, person, settable


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_picture_of_the_code_is_read_back(registry: Registry, kind: Literal["png", "svg"]) -> None:
    certificate = registry.issue(registry.award(awarding(person(1)), officer=CLERK), settable, officer=CLERK)
    picture = deliver_code(registry.custody.keyring, certificate, kind)
    if kind == "png":
        assert read_image(picture) == printed_code(certificate)
    else:
        assert re.match(rb"<svg [^>]*viewBox=\"0 0 (\d+) \1\"", picture)


def test_another_picture_does_not_leave(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the drawing had gone wrong: what is drawn is not what was signed."""
    certificate = registry.issue(registry.award(awarding(person(1)), officer=CLERK), settable, officer=CLERK)
    another: Callable[[str], bytes] = lambda text: qr_png(text[:-17] + "0" * 17)  # noqa: E731
    monkeypatch.setattr(delivery, "qr_png", another)
    with pytest.raises(DocumentRefused, match="未通过出证前核验"):
        deliver_code(registry.custody.keyring, certificate, "png")


def test_a_code_whose_signature_does_not_hold_does_not_leave(registry: Registry) -> None:
    certificate = registry.issue(registry.award(awarding(person(1)), officer=CLERK), settable, officer=CLERK)
    assert certificate.signature
    forged = msgspec.structs.replace(
        certificate, signature=bytes([certificate.signature[0] ^ 1]) + certificate.signature[1:]
    )
    with pytest.raises(SignatureInvalid):
        deliver_code(registry.custody.keyring, forged, "svg")
