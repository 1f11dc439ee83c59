"""Private keys that another device holds, as `cryptography` knows private keys: they sign, and show nothing.

So tokens, PDF signatures and certificates are signed in one way, wherever the key lives.
"""

from collections.abc import Callable
from typing import Any, NoReturn

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from keys.errors import CustodyUnavailable, KeyNotUsable

Signing = Callable[[bytes], bytes]


class TokenP256Key(EllipticCurvePrivateKey):
    """A P-256 key in a device; `signing` gives r || s, 64 bytes, over the SHA-256 digest of a message."""

    def __init__(self, public: EllipticCurvePublicKey, signing: Signing) -> None:
        self._public, self._signing = public, signing

    def sign(self, data: Any, signature_algorithm: Any) -> bytes:
        """Return the signature in DER. The device chooses the nonce: it may sign otherwise than RFC 6979 asks."""
        if not isinstance(signature_algorithm, ECDSA) or not isinstance(signature_algorithm.algorithm, SHA256):
            raise KeyNotUsable("加密机中的密钥只用于 ECDSA 与 SHA-256")
        raw = self._signing(bytes(data))
        if len(raw) != 64:
            raise CustodyUnavailable(f"加密机给出的签名为 {len(raw)} 字节，应为 64 字节", fix="请检查加密机")
        return encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))

    def public_key(self) -> EllipticCurvePublicKey:
        """The public key."""
        return self._public

    @property
    def curve(self) -> Any:
        """The curve, P-256."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """256 bits."""
        return self._public.key_size

    def exchange(self, algorithm: Any, peer_public_key: Any) -> NoReturn:
        """Refused: the key only signs."""
        raise _no_export()

    def private_numbers(self) -> NoReturn:
        """Refused: the key does not leave its device."""
        raise _no_export()

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> NoReturn:
        """Refused: the key does not leave its device."""
        raise _no_export()

    def __copy__(self) -> "TokenP256Key":
        return self

    def __deepcopy__(self, memo: Any) -> "TokenP256Key":
        return self


class TokenEd25519Key(Ed25519PrivateKey):
    """An Ed25519 key in a device; `signing` gives 64 bytes over a message (RFC 8032, without a context)."""

    def __init__(self, public: Ed25519PublicKey, signing: Signing) -> None:
        self._public, self._signing = public, signing

    def sign(self, data: Any) -> bytes:
        """Return the signature, 64 bytes."""
        return self._signing(bytes(data))

    def public_key(self) -> Ed25519PublicKey:
        """The public key."""
        return self._public

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> NoReturn:
        """Refused: the key does not leave its device."""
        raise _no_export()

    def private_bytes_raw(self) -> NoReturn:
        """Refused: the key does not leave its device."""
        raise _no_export()

    def __copy__(self) -> "TokenEd25519Key":
        return self

    def __deepcopy__(self, memo: Any) -> "TokenEd25519Key":
        return self


def _no_export() -> KeyNotUsable:
    return KeyNotUsable("私钥在加密机中，不能取出")
