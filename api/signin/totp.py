"""The second factor: time-based one-time codes (RFC 6238: SHA-1, 6 digits, 30 seconds), and codes for a lost phone.

A secret lies sealed in the file (AES-256-GCM, additional data = the account's id). A code of the step before and after
counts too, for clocks that differ; each counts once.
"""

import hmac
import secrets
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import pyotp

from registry.terms import CROCKFORD

STEP_SECONDS, WINDOW = 30, 1
SECRET_CHARACTERS = 32  # of base32: 160 bits (RFC 4226, section 4, R6)
RECOVERY_CODES, RECOVERY_CHARACTERS = 8, 16
ISSUER = "title-registry"


class Shown(NamedTuple):
    """A second factor as it was shown: the time steps whose code it is, or the text of a recovery code."""

    steps: tuple[int, ...]
    recovery: str


def new_secret() -> str:
    """A secret for an authenticator, in base32."""
    return pyotp.random_base32(SECRET_CHARACTERS)


def uri(secret: str, login: str) -> str:
    """What an authenticator reads from the QR (otpauth, Key Uri Format)."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=ISSUER)


def shown(secret: str, text: str, now: int) -> Shown:
    """Read a second factor. The time does not depend on where a code is wrong."""
    code = "".join(unicodedata.normalize("NFKC", text).split()).encode()
    otp, step = pyotp.TOTP(secret), now // STEP_SECONDS
    near = range(step - WINDOW, step + WINDOW + 1)
    same = [hmac.compare_digest(otp.generate_otp(max(each, 0)).encode(), code) for each in near]
    return Shown(tuple(each for each, is_same in zip(near, same, strict=True) if is_same), plain(text))


def new_recovery_codes() -> Sequence[str]:
    """Eight codes of 80 random bits, in groups of four."""
    return [grouped(random_text(RECOVERY_CHARACTERS), 4) for _ in range(RECOVERY_CODES)]


def random_text(count: int) -> str:
    """Random characters of Crockford's alphabet, 5 bits each."""
    return "".join(secrets.choice(CROCKFORD) for _ in range(count))


def grouped(text: str, size: int) -> str:
    """Groups with hyphens between them, for people to type."""
    return "-".join(text[at : at + size] for at in range(0, len(text), size))


def plain(typed: str) -> str:
    """A code as somebody typed it, without hyphens and blanks; O is 0, I and L are 1 (Crockford)."""
    text = unicodedata.normalize("NFKC", typed).upper().translate(str.maketrans("OIL", "011"))
    return "".join(character for character in text if character in CROCKFORD)
