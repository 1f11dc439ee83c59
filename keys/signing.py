"""Sign and verify bytes for a named purpose, so that no signature for one purpose passes for another.

What is signed is never the bytes alone but the framing `title-registry/signed/1 NUL purpose NUL body`. No purpose
holds a NUL, so two pairs (purpose, body) never give the same framing; and no framing is the beginning of a COSE
Sig_structure (first byte 0x84) or of the signed attributes of a PDF signature (first byte 0x31).

Signatures have fixed widths: ES256 is r || s, 64 bytes big-endian (RFC 7518 section 3.4), deterministic (RFC 6979),
so that signing the same again gives the same; Ed25519 is 64 bytes (RFC 8032); ML-DSA-44 is 2,420 bytes (FIPS 204, its
context empty), and another each time; SM2 is r || s, 64 bytes, and another each time.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from keys import jwk
from keys.errors import KeyNotUsable, KeyStoreBroken, SignatureInvalid
from keys.sm2 import Sm2PrivateKey, Sm2PublicKey

RawPrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey | MLDSA44PrivateKey | Sm2PrivateKey

_DETERMINISTIC = ECDSA(SHA256(), deterministic_signing=True)
_VERIFYING = ECDSA(SHA256())


class Algorithm(StrEnum):
    """How a key signs. ES256 for what browsers and phones check; Ed25519 for checkpoints; ML-DSA-44 to cosign them.

    ML-DSA-44 is there for the day on which a quantum computer breaks the other two. SM2 is off by default, and not
    legally a seal / 不具有电子印章的法律效力.
    """

    ES256 = "ES256"
    ED25519 = "Ed25519"
    ML_DSA_44 = "ML-DSA-44"
    SM2 = "SM2"

    @property
    def width(self) -> int:
        """The length of a signature, in bytes."""
        return 2420 if self is Algorithm.ML_DSA_44 else 64


class Purpose(StrEnum):
    """What a key is for, and nothing else: the word is signed together with the bytes."""

    E_CERTIFICATE = "e-certificate/1"
    DOCUMENT = "document/1"
    CHECKPOINT = "checkpoint/1"
    COSIGNATURE = "cosignature/1"
    KEY_SET = "key-set/1"
    SM2_SEAL = "sm2-seal/1"

    @classmethod
    def of_registry(cls) -> "tuple[Purpose, ...]":
        """What the keys of a registry are for: all but KEY_SET, whose keys say which of the others count.

        SM2_SEAL is not among them either: such a key is made on request only (`Custody.make`).
        """
        return tuple(purpose for purpose in cls if purpose not in (cls.KEY_SET, cls.SM2_SEAL))


class KeyState(StrEnum):
    """Active keys sign; retired keys only verify; what a compromised key signed is judged by its log position."""

    ACTIVE = "active"
    RETIRED = "retired"
    COMPROMISED = "compromised"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key with its id, algorithm, purpose and present state. It verifies in every state: callers judge."""

    key: jwk.RawPublicKey
    kid: str
    algorithm: Algorithm
    purpose: Purpose
    state: KeyState

    @classmethod
    def of(cls, key: object, purpose: Purpose, state: KeyState = KeyState.ACTIVE) -> Self:
        """Wrap a P-256, Ed25519, ML-DSA-44 or SM2 public key. Raise KeyStoreBroken for any other."""
        match key:
            case EllipticCurvePublicKey():
                return cls(key, jwk.kid_of(key), Algorithm.ES256, purpose, state)
            case Ed25519PublicKey():
                return cls(key, jwk.kid_of(key), Algorithm.ED25519, purpose, state)
            case MLDSA44PublicKey():
                return cls(key, jwk.kid_of(key), Algorithm.ML_DSA_44, purpose, state)
            case Sm2PublicKey():
                return cls(key, jwk.kid_of(key), Algorithm.SM2, purpose, state)
        raise KeyStoreBroken(f"不支持的公钥：{type(key).__name__}")

    @classmethod
    def from_spki(cls, der: bytes, purpose: Purpose, state: KeyState = KeyState.ACTIVE) -> Self:
        """Read a SubjectPublicKeyInfo in DER (RFC 5280 section 4.1). Raise KeyStoreBroken if it is not one."""
        try:
            return cls.of(Sm2PublicKey.from_spki(der) or load_der_public_key(der), purpose, state)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise KeyStoreBroken(f"公钥无法读取：{error}") from error

    def spki(self) -> bytes:
        """Return the SubjectPublicKeyInfo in DER."""
        return self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def verify_raw(self, message: bytes, signature: bytes) -> None:
        """Check a signature of this algorithm's width over exactly these bytes. Raise SignatureInvalid."""
        if len(signature) != self.algorithm.width:
            raise SignatureInvalid(f"签名长度应为 {self.algorithm.width} 字节，实为 {len(signature)} 字节")
        try:
            if isinstance(self.key, EllipticCurvePublicKey):
                self.key.verify(_der(signature), message, _VERIFYING)
            else:
                self.key.verify(signature, message)
        except InvalidSignature:
            raise SignatureInvalid(f"签名与内容不符（密钥 {self.kid}）") from None


class Signer:
    """A private key in memory. It shows its id, algorithm and purpose, and never its secret."""

    __slots__ = ("_key", "algorithm", "kid", "public", "purpose")

    def __init__(self, key: RawPrivateKey, purpose: Purpose) -> None:
        self._key = key
        self.public = PublicKey.of(key.public_key(), purpose)
        self.kid, self.algorithm, self.purpose = self.public.kid, self.public.algorithm, purpose

    def sign_raw(self, message: bytes) -> bytes:
        """Sign exactly these bytes, without the framing, and verify the result. Prefer `sign`.

        Only for formats that bind their own context: COSE Sig_structure, a checkpoint's signed note, a cosignature.
        """
        if isinstance(self._key, EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self._key.sign(message, _DETERMINISTIC))
            signature = r.to_bytes(32) + s.to_bytes(32)
        else:
            signature = self._key.sign(message)
        self.public.verify_raw(message, signature)
        return signature

    def __repr__(self) -> str:
        return f"Signer(kid={self.kid!r}, purpose={self.purpose.value!r})"


def sign(signer: Signer, purpose: Purpose, body: bytes) -> bytes:
    """Sign the body for this purpose; already verified. Raise KeyNotUsable for a key of another purpose."""
    if signer.purpose is not purpose:
        raise KeyNotUsable(f"密钥 {signer.kid} 的用途是 {signer.purpose.value}，不能用于 {purpose.value}")
    return signer.sign_raw(_framed(purpose, body))


def verify(public_key: PublicKey, purpose: Purpose, body: bytes, signature: bytes) -> None:
    """Return if this key signed this body for this purpose; raise SignatureInvalid if not.

    Neither a clock nor the state of the key is looked at: validity is judged by log position, by the caller.
    """
    if public_key.purpose is not purpose:
        raise SignatureInvalid(f"密钥 {public_key.kid} 的用途是 {public_key.purpose.value}，不是 {purpose.value}")
    public_key.verify_raw(_framed(purpose, body), signature)


def _framed(purpose: Purpose, body: bytes) -> bytes:
    return b"title-registry/signed/1\0" + purpose.value.encode() + b"\0" + body


def _der(signature: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
