"""SM2 with SM3 (GB/T 32918.2-2016, GM/T 0009-2012): off by default, and 不具有电子印章的法律效力 / not legally a seal.

An SM2 seal is an additional, detached signature of this registry. It is no electronic seal (GB/T 38540), names no
licensed authority, and nothing that is issued depends on it.

A signature is r || s, 64 bytes big-endian with leading zeros kept; the user id is the usual 1234567812345678 (GM/T
0009-2012 section 10). `gmssl-pyx` signs and verifies, and is asked for only when an SM2 key is used.
"""

from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Self

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keys.errors import BackEndMissing, SignatureInvalid

USER_ID = b"1234567812345678"
NOTICE_ZH, NOTICE_EN = "不具有电子印章的法律效力", "not legally a seal"

# The curve of GB/T 32918.5-2017, y^2 = x^3 - 3x + b.
_P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
_N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123

# SubjectPublicKeyInfo { ecPublicKey, sm2p256v1 (1.2.156.10197.1.301) }, up to the point's two coordinates
_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")


@dataclass(frozen=True, slots=True)
class Sm2PublicKey:
    """A public key: the point's coordinates, 64 bytes."""

    point: bytes

    def __post_init__(self) -> None:
        """Refuse, with ValueError, what is not a point of the curve."""
        x, y = int.from_bytes(self.point[:32]), int.from_bytes(self.point[32:])
        if len(self.point) != 64 or x >= _P or y >= _P or (y * y - x * x * x + 3 * x - _B) % _P:
            raise ValueError("not a point of the SM2 curve")

    @classmethod
    def from_spki(cls, der: bytes) -> Self | None:
        """Read a SubjectPublicKeyInfo of the one form for SM2; None if it is for another algorithm."""
        return cls(der[len(_SPKI) :]) if der.startswith(_SPKI) else None

    def public_bytes(self, encoding: Encoding, form: PublicFormat) -> bytes:
        """Return the SubjectPublicKeyInfo in DER, the only form there is. ValueError for any other."""
        if (encoding, form) != (Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
            raise ValueError("an SM2 key is written as SubjectPublicKeyInfo in DER only")
        return _SPKI + self.point

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check 64 bytes r || s. Raise SignatureInvalid, and BackEndMissing without `gmssl-pyx`."""
        gmssl = _library()
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
        if len(signature) != 64 or not (0 < r < _N and 0 < s < _N):
            raise SignatureInvalid("SM2 签名应为 64 字节，且 r、s 在 1 与 n-1 之间")
        try:
            good = gmssl.sm2_verify(self.point, message, encode_dss_signature(r, s), USER_ID)
        except gmssl.GmsslInnerError:
            good = False
        if not good:
            raise SignatureInvalid("SM2 签名与内容不符")


@dataclass(frozen=True, slots=True)
class Sm2PrivateKey:
    """A private key in memory. It never shows its secret."""

    _secret: bytes = field(repr=False)
    _public: Sm2PublicKey

    @classmethod
    def generate(cls) -> Self:
        """Make a key. Raise BackEndMissing without `gmssl-pyx`."""
        public, secret = _library().sm2_key_generate()
        return cls(secret, Sm2PublicKey(public))

    @classmethod
    def from_private_bytes(cls, raw: bytes) -> Self:
        """Read what `private_bytes_raw` gave: secret and point. ValueError if it is not that."""
        if len(raw) != 96:
            raise ValueError(f"{len(raw)} bytes, not 96")
        return cls(raw[:32], Sm2PublicKey(raw[32:]))

    def private_bytes_raw(self) -> bytes:
        """The secret (32 bytes) and the public point (64), to be sealed at once."""
        return self._secret + self._public.point

    def public_key(self) -> Sm2PublicKey:
        """The public key."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Return r || s, 64 bytes, another each time; it is verified before it leaves. SignatureInvalid if it fails."""
        der = _library().sm2_sign(self._secret, self._public.point, message, USER_ID)
        r, s = decode_dss_signature(der)
        signature = r.to_bytes(32) + s.to_bytes(32)
        self._public.verify(signature, message)
        return signature


def _library() -> ModuleType:
    try:
        return import_module("gmssl_pyx")
    except ImportError as error:
        raise BackEndMissing("没有安装 SM2 所需的软件包 gmssl-pyx", fix="请安装 title-registry[sm2]") from error
