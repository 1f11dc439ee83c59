"""Public keys as JSON Web Keys (RFC 7517; RFC 8037 for Ed25519, RFC 9964 for ML-DSA), and the ids that follow.

For SM2 no JWK is registered: kty "EC", crv "SM2", alg "SM2" are names of our own, in the form of P-256.

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
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keys.errors import KeyStoreBroken
from keys.sm2 import Sm2PublicKey

RawPublicKey = EllipticCurvePublicKey | Ed25519PublicKey | MLDSA44PublicKey | Sm2PublicKey

ML_DSA_44, ML_DSA_44_BYTES = "ML-DSA-44", 1312  # of a public key (FIPS 204, table 2)


def to_members(key: RawPublicKey) -> dict[str, str]:
    """Return exactly the members that a thumbprint covers: crv, kty, x, and y on P-256 and SM2; alg, kty, pub for AKP.

    Refuse any other curve.
    """
    if isinstance(key, MLDSA44PublicKey):
        return {"alg": ML_DSA_44, "kty": "AKP", "pub": _text(key.public_bytes_raw())}
    if isinstance(key, Ed25519PublicKey):
        return {"crv": "Ed25519", "kty": "OKP", "x": _text(key.public_bytes(Encoding.Raw, PublicFormat.Raw))}
    if isinstance(key, Sm2PublicKey):
        return {"crv": "SM2", "kty": "EC", "x": _text(key.point[:32]), "y": _text(key.point[32:])}
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
            case {"kty": "EC", "crv": "SM2", "x": x, "y": y}:
                return Sm2PublicKey(_bytes(x) + _bytes(y))
            case {"kty": "AKP", "alg": "ML-DSA-44", "pub": pub}:
                return MLDSA44PublicKey.from_public_bytes(_bytes(pub, ML_DSA_44_BYTES))
    except ValueError as error:
        raise KeyStoreBroken(f"公钥数据无效：{error}") from error
    named = " ".join(f"{name}={members[name]}" for name in ("kty", "crv", "alg") if members.get(name))
    raise KeyStoreBroken(f"不支持的密钥类型：{named}")


def thumbprint(key: RawPublicKey) -> bytes:
    """Return the SHA-256 thumbprint, 32 bytes (RFC 7638; RFC 8037 appendix A.3; RFC 9964 for ML-DSA-44)."""
    return hashlib.sha256(json.dumps(to_members(key), sort_keys=True, separators=(",", ":")).encode()).digest()


def kid_of(key: RawPublicKey) -> str:
    """Return the key id: 8 characters of a-z and 2-7, which follow from the key alone."""
    return base64.b32encode(thumbprint(key)[:5]).decode().lower()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str, width: int = 32) -> bytes:
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if len(raw) != width:
        raise ValueError(f"{len(raw)} bytes, not {width}")
    return raw
