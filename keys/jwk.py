"""Public keys as JSON Web Keys (RFC 7517, RFC 8037), and the key ids that follow from them.

A key id (kid) is the first 8 characters of the lower-case base-32 form of the SHA-256 thumbprint (RFC 7638). It
follows from the key alone, so nobody can give a key the id of another on purpose without 2^40 tries, and a key ring
refuses two keys of one id.
"""

import base64
import hashlib
import json
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keys.errors import KeyStoreBroken

RawPublicKey = EllipticCurvePublicKey | Ed25519PublicKey


def to_members(key: RawPublicKey) -> dict[str, str]:
    """Return exactly the members that a thumbprint covers: crv, kty, x, and y on P-256. Refuse any other curve."""
    if isinstance(key, Ed25519PublicKey):
        return {"crv": "Ed25519", "kty": "OKP", "x": _text(key.public_bytes(Encoding.Raw, PublicFormat.Raw))}
    if not isinstance(key.curve, SECP256R1):
        raise KeyStoreBroken(f"不支持的曲线：{key.curve.name}")
    point = key.public_numbers()
    return {"crv": "P-256", "kty": "EC", "x": _text(point.x.to_bytes(32)), "y": _text(point.y.to_bytes(32))}


def from_members(members: Mapping[str, str]) -> RawPublicKey:
    """Build the key. Raise KeyStoreBroken for another kind of key, a bad width, or a point that is not on the curve."""
    try:
        match members:
            case {"kty": "OKP", "crv": "Ed25519", "x": x}:
                return Ed25519PublicKey.from_public_bytes(_bytes(x))
            case {"kty": "EC", "crv": "P-256", "x": x, "y": y}:
                point = int.from_bytes(_bytes(x)), int.from_bytes(_bytes(y))
                return EllipticCurvePublicNumbers(*point, SECP256R1()).public_key()
    except ValueError as error:
        raise KeyStoreBroken(f"公钥数据无效：{error}") from error
    raise KeyStoreBroken(f"不支持的密钥类型：kty={members.get('kty')} crv={members.get('crv')}")


def thumbprint(key: RawPublicKey) -> bytes:
    """Return the SHA-256 thumbprint of a public key, 32 bytes (RFC 7638; Ed25519: RFC 8037 appendix A.3)."""
    return hashlib.sha256(json.dumps(to_members(key), sort_keys=True, separators=(",", ":")).encode()).digest()


def kid_of(key: RawPublicKey) -> str:
    """Return the key id: 8 characters of a-z and 2-7, which follow from the key alone."""
    return base64.b32encode(thumbprint(key)[:5]).decode().lower()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if len(raw) != 32:
        raise ValueError(f"{len(raw)} bytes, not 32")
    return raw
