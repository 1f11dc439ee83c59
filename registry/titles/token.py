"""The offline token: CBOR claims with integer keys, signed as COSE_Sign1 (RFC 9052). See docs/formats.md for the table.

The token carries what a verifier without a network needs: a masked name, never an identity number.
"""

from datetime import date, timedelta
from typing import Any

import cbor2

from keys.cose import build1, verify1
from keys.keyring import Keyring
from registry.errors import BadInput
from registry.terms import CROCKFORD, Level
from registry.titles.content import CertificateContent

TYP = "zc1"
CODE, VERSION, AUTHORITY, NUMBER, NAME, TITLE, LEVEL, SERIES, SPECIALTY, AWARDED, ISSUED, PAPER, LEAF = range(1, 14)
MOST_BYTES = 175
_EPOCH = date(1970, 1, 1)
_LEVELS = tuple(Level)


def payload(content: CertificateContent, leaf: int | None) -> bytes:
    """The claims of a certificate as deterministic CBOR (RFC 8949 section 4.2).

    `leaf` is the index of the prepared certificate in the transparency log, None if it was signed before there was one.

    Claims of more than 175 bytes would make a QR too dense to read (version 16 at most): then the specialty is left
    out, and if that is not enough the series. On line both are shown.
    """
    claims: dict[int, Any] = {
        CODE: code_bytes(content.code),
        VERSION: content.version,
        AUTHORITY: int(content.authority),
        NUMBER: content.number,
        NAME: content.name_masked,
        TITLE: content.title_name,
        LEVEL: _LEVELS.index(content.level) + 1,
        SERIES: content.series,
        SPECIALTY: content.specialty,
        AWARDED: (content.awarded_on - _EPOCH).days,
        ISSUED: (content.issued_on - _EPOCH).days,
    }
    if content.paper:
        claims[PAPER] = content.paper.number
    if leaf is not None:
        claims[LEAF] = leaf
    for dispensable in (SPECIALTY, SERIES):
        if len(encoded := cbor2.dumps(claims, canonical=True)) <= MOST_BYTES:
            return encoded
        del claims[dispensable]
    return cbor2.dumps(claims, canonical=True)


def code_bytes(code: str) -> bytes:
    """The ten random bytes behind the first 16 characters of a verification code."""
    number = 0
    for character in code[:16]:
        number = number << 5 | CROCKFORD.index(character)
    return number.to_bytes(10, "big")


def assemble(content: CertificateContent, kid: str, signature: bytes, leaf: int | None) -> bytes:
    """Put the token together again from what is stored; the same bytes every time."""
    return build1(kid, TYP, payload(content, leaf), signature)


class Claims(dict[int, Any]):
    """The claims of a token whose signature held."""

    @property
    def code16(self) -> str:
        """The first 16 characters of the verification code."""
        number = int.from_bytes(self[CODE], "big")
        return "".join(CROCKFORD[number >> shift & 31] for shift in range(75, -1, -5))

    def day(self, key: int) -> date:
        """A date claim."""
        return _EPOCH + timedelta(days=self[key])

    @property
    def level(self) -> Level:
        """The level claim."""
        level: Level = _LEVELS[self[LEVEL] - 1]
        return level


def read(keyring: Keyring, token: bytes) -> Claims:
    """Verify a token against the pinned keys and return its claims.

    Raise keys.errors.SignatureInvalid or UnknownKey if it does not hold, BadInput if it holds but is not of this form.
    """
    verified = verify1(keyring, TYP, token)
    try:
        claims = Claims(cbor2.loads(verified.payload))
        well_formed = isinstance(claims[CODE], bytes) and len(claims[CODE]) == 10 and claims.level is not None
        well_formed = well_formed and isinstance(claims.get(LEAF, 0), int)
        well_formed = well_formed and isinstance(claims.day(AWARDED), date) and isinstance(claims.day(ISSUED), date)
    except (cbor2.CBORDecodeError, KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise BadInput("令牌内容不是本系统的格式") from error
    if not well_formed:
        raise BadInput("令牌内容不是本系统的格式")
    return claims
