"""Verify without a network and without a data folder: the signature of the token, against pinned public keys.

(1) a token was found in what was handed over; (2) its signature holds against the pinned keys; (3) the code beside the
token is the token's own. Revocation cannot be seen off line, and the answer says so.
"""

from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import typer
from cryptography import x509

from api.cli.printing import chinese
from keys.cose import verify1
from keys.errors import KeysError
from keys.keyring import Keyring
from keys.signing import KeyState
from registry.errors import BadCode, BadInput
from registry.terms import Level, Status, utc_now
from registry.titles import token as tokens
from registry.titles.answer import Step
from registry.titles.code import parse_code
from registry.titles.digits import from_digits
from registry.titles.verification import SENTENCES

_STEPS = (("找到令牌", "Token found"), ("签名", "Signature"), ("查验码与令牌一致", "Code belongs to the token"))


class OfflineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a signature alone tells. `certificate` holds its claims only if the signature holds."""

    status: Status
    sentence: str
    sentence_en: str
    checked_at: datetime
    certificate: dict[str, Any] | None = None
    steps: tuple[Step, ...] = ()

    def facts(self) -> dict[str, object]:
        """The claims with names for people."""
        one = self.certificate
        if one is None:
            return {"Checked": "off line"}
        return {
            "Name": one["name"],
            "Title": f"{one['title_name']}（{chinese(Level, one['level'])}）",
            "Series": f"{one['series']} {one['specialty']}",
            "Number": one["number"],
            "Authority": one["authority"],
            "Awarded": one["awarded_on"],
            "Issued": one["issued_on"],
            "Version": one["version"],
            "Paper": one["paper"],
            "Key": one["kid"],
            "Checked": "off line: signature only",
        }


def verify_offline(target: str | bytes, keys: Path, root: Path | None) -> OfflineAnswer:
    """Check the token in a QR text, a picture or a PDF against the keys in a JWKS file.

    Ends with a usage error for a bare code, and for a PDF without `root`. Raise keys.errors.KeyStoreBroken for key
    files that cannot be used.
    """
    keyring = Keyring.load(keys)
    try:
        code, token = _find(target, root)  # (1)
    except BadInput:
        return _answer(Status.UNREADABLE, 1, "failed")
    if token is None:
        return _answer(Status.TAMPERED if code == _BROKEN else Status.UNREADABLE, 1, "failed", code)
    try:
        claims, verified = tokens.read(keyring, token), verify1(keyring, tokens.TYP, token)  # (2)
    except KeysError as error:
        return _answer(Status.TAMPERED, 2, "failed", error.code)
    except BadInput:
        return _answer(Status.UNREADABLE, 2, "failed")
    if verified.key_state is KeyState.COMPROMISED:
        return _answer(Status.UNAVAILABLE, 2, "failed", f"key {verified.kid} is compromised: ask on line")
    if code and not _same(code, claims):  # (3)
        return _answer(Status.TAMPERED, 3, "failed")
    return _answer(Status.OFFLINE, 3, "passed", certificate=_certificate(claims, verified.kid))


_BROKEN = "broken PDF signature"


def _find(target: str | bytes, root: Path | None) -> tuple[str, bytes | None]:
    """The code, if one stands beside the token, and the token."""
    from api.documents.reading import read_image, read_pdf

    if isinstance(target, str):
        return _in_text(target)
    if b"%PDF-" not in target[:1024]:
        return _in_text(read_image(target) or "", from_picture=True)
    if root is None:
        raise typer.BadParameter(
            "a PDF is checked against the root certificate: --root root.pem", param_hint="--offline"
        )
    try:
        certificate = x509.load_pem_x509_certificate(root.read_bytes())
    except ValueError:
        raise typer.BadParameter(f"{root} is no certificate in PEM", param_hint="--root") from None
    reading = read_pdf(target, certificate)
    if reading.token is None:
        return (_BROKEN if reading.signature == "broken" else reading.detail), None
    return "", reading.token


def _in_text(text: str, *, from_picture: bool = False) -> tuple[str, bytes | None]:
    address, mark, digits = text.strip().partition("#")
    if not mark and address.isdigit() and len(address) > 40:
        address, digits = "", address
    if not digits and not from_picture:
        raise typer.BadParameter(
            "a code alone carries no signature; give the whole QR text, a picture or the PDF, or ask on line",
            param_hint="TARGET",
        )
    return address.rpartition("/")[2], from_digits(digits) if digits else None


def _same(code: str, claims: tokens.Claims) -> bool:
    try:
        return parse_code(code)[:16] == claims.code16
    except BadCode:
        return False


def _certificate(claims: tokens.Claims, kid: str) -> dict[str, Any]:
    def day(key: int) -> date:
        return claims.day(key)

    return {
        "code16": claims.code16,
        "version": claims[tokens.VERSION],
        "name": claims[tokens.NAME],
        "title_name": claims[tokens.TITLE],
        "level": claims.level,
        "series": claims[tokens.SERIES],
        "specialty": claims[tokens.SPECIALTY],
        "number": claims[tokens.NUMBER],
        "authority": str(claims[tokens.AUTHORITY]),
        "awarded_on": day(tokens.AWARDED),
        "issued_on": day(tokens.ISSUED),
        "paper": claims.get(tokens.PAPER),
        "leaf": claims.get(tokens.LEAF),
        "kid": kid,
    }


def _answer(
    status: Status,
    last: int,
    outcome: Literal["passed", "failed"],
    detail: str = "",
    certificate: dict[str, Any] | None = None,
) -> OfflineAnswer:
    zh, en = SENTENCES[status]
    steps = tuple(
        Step(number, name, name_en, outcome if number == last else "passed", detail if number == last else "")
        for number, (name, name_en) in enumerate(_STEPS[:last], 1)
    )
    return OfflineAnswer(
        status=status, sentence=zh, sentence_en=en, checked_at=utc_now(), certificate=certificate, steps=steps
    )
