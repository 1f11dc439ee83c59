"""Verify without a network and without a data folder: the signature of the token, against pinned public keys.

(1) a token was found in what was handed over; (2) its signature holds against the pinned keys, and counts: that of a
compromised key only with a proof from the log, before the position from which the key is compromised; (3) the code
beside the token is the token's own. Revocation cannot be seen off line, and the answer says so.
"""

from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import typer
from cryptography import x509

from api.cli.printing import chinese
from api.cli.vouching import leaf_vouched_for
from keys.cose import verify1
from keys.errors import KeysError, UnknownKey
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
        found = _find(target, root, keyring)  # (1)
    except BadInput:
        return _answer(Status.UNREADABLE, 1, "failed")
    if found.token is None:
        return _answer(Status.TAMPERED if found.broken else Status.UNREADABLE, 1, "failed", found.detail)
    try:
        claims, verified = tokens.read(keyring, found.token), verify1(keyring, tokens.TYP, found.token)  # (2)
    except UnknownKey as error:  # perhaps made after these keys were taken along: that is no forgery
        return _answer(Status.UNAVAILABLE, 2, "failed", error.code)
    except KeysError as error:
        return _answer(Status.TAMPERED, 2, "failed", error.code)
    except BadInput:
        return _answer(Status.UNREADABLE, 2, "failed")
    if refused := _stolen(found, claims, verified.kid, keyring):
        return refused
    if found.code and not _same(found.code, claims):  # (3)
        return _answer(Status.TAMPERED, 3, "failed")
    answer = _answer(Status.OFFLINE, 3, "passed", certificate=_certificate(claims, verified.kid))
    return _noting(answer, found.detail)


class _Found(NamedTuple):
    """What was handed over: the code that stands beside the token, the token, the proof, and what is to be said."""

    code: str = ""
    token: bytes | None = None
    proof: bytes | None = None
    detail: str = ""
    broken: bool = False


def _stolen(found: _Found, claims: tokens.Claims, kid: str, keyring: Keyring) -> OfflineAnswer | None:
    """The answer for a token of a compromised key; None if its signature counts.

    What such a token claims speaks against it only: a thief can claim any leaf, so only the log can speak for it.
    """
    record = keyring.record(kid)
    if record.state is not KeyState.COMPROMISED:
        return None
    since = record.compromised_from or 0
    said = f"签名密钥 {kid} 自日志位置 {since} 起已泄露 / key compromised from log position {since}"
    claimed = claims.get(tokens.LEAF)
    if claimed is not None and record.compromised_from is not None and not record.counts(claimed):
        return _answer(Status.TAMPERED, 2, "failed", said)
    leaf = leaf_vouched_for(found.proof, found.token or b"", keyring)
    if leaf is not None and record.counts(leaf):
        return None
    return _answer(
        Status.UNAVAILABLE, 2, "failed", f"{said}；没有日志证明，请联网核验 / no proof from the log: ask on line"
    )


def _noting(answer: OfflineAnswer, detail: str) -> OfflineAnswer:
    first = msgspec.structs.replace(answer.steps[0], detail=detail)
    return msgspec.structs.replace(answer, steps=(first, *answer.steps[1:]))


def _find(target: str | bytes, root: Path | None, keyring: Keyring) -> _Found:
    """What was handed over, read as far as it goes without judging the token."""
    from api.documents.reading import judged, read_image, read_pdf

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
    intact = read_pdf(target, certificate)
    reading = judged(intact, keyring)
    detail = reading.detail if reading.token is None or reading != intact else ""
    return _Found("", reading.token, reading.proof, detail, reading.signature == "broken")


def _in_text(text: str, *, from_picture: bool = False) -> _Found:
    address, mark, digits = text.strip().partition("#")
    if not mark and address.isdigit() and len(address) > 40:
        address, digits = "", address
    if not digits and not from_picture:
        raise typer.BadParameter(
            "a code alone carries no signature; give the whole QR text, a picture or the PDF, or ask on line",
            param_hint="TARGET",
        )
    code = address.rpartition("/")[2]
    return _Found(code, from_digits(digits)) if digits else _Found(detail=code)


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
