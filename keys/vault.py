"""Per-holder data keys, fields sealed to their place, and the blind index. Erasing a person is destroying a data key.

Sealed field:    nonce (12 random bytes) + AES-256-GCM under the data key, additional data = the caller's position.
Wrapped key:     nonce (12) + AES-256-GCM of the data key (32) under the master key, additional data =
                 "data-key/1|" + subject.
Blind index:     HMAC-SHA256(index key, "blind-index/1|" + text) in 64 hex characters. A plain hash would not do: there
                 are only about 10^11 identity numbers.

A sealed field is 28 bytes longer than its text and tells its length. A random nonce is safe for 2^32 uses of one key
(NIST SP 800-38D section 8.3): far more holders than the master key will ever wrap, far more fields than one holder has.
"""

import hmac
from collections.abc import Callable
from os import urandom
from typing import Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys.errors import SealBroken


class Cipher(Protocol):
    """AES-256-GCM under one key, here or in a device; `decrypt` raises InvalidTag for what was changed or moved."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """Return the encrypted data with its tag (16 bytes)."""

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """Return the data in clear."""


class DataKey:
    """The key of one holder's fields, in memory only."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, clear: bytes, position: bytes) -> bytes:
        """Seal a field to its position (stream, version, field); it opens nowhere else. Never twice the same bytes."""
        nonce = urandom(12)
        return nonce + self._cipher.encrypt(nonce, clear, position)

    def open(self, box: bytes, position: bytes) -> bytes:
        """Open a field at its position. Raise SealBroken if it was changed, moved, or sealed under another key."""
        return _open(self._cipher, box, position)


class Vault:
    """Makes and unwraps data keys, and computes the blind index. Both keys are 32 random bytes."""

    __slots__ = ("_mac", "_master")

    def __init__(self, master: bytes, index_key: bytes) -> None:
        if len(master) != 32 or len(index_key) != 32 or master == index_key:
            raise ValueError("two different keys of 32 bytes are needed")
        self._master: Cipher = AESGCM(master)
        self._mac: Callable[[bytes], bytes] = lambda text: hmac.digest(index_key, text, "sha256")

    @classmethod
    def of(cls, master: Cipher, mac: Callable[[bytes], bytes]) -> Self:
        """Make a vault whose keys a device holds: its cipher, and its HMAC-SHA256 under the index key."""
        vault = cls.__new__(cls)
        vault._master, vault._mac = master, mac
        return vault

    def new_data_key(self, subject: str) -> tuple[DataKey, bytes]:
        """Make a data key for a subject (a holder's stream id). Return it, and it wrapped for storage (60 bytes)."""
        fresh = urandom(44)
        key, nonce = fresh[:32], fresh[32:]
        return DataKey(key), nonce + self._master.encrypt(nonce, key, _place(subject))

    def unwrap(self, subject: str, wrapped: bytes) -> DataKey:
        """Unwrap the stored data key of a subject. Raise SealBroken if it was changed or is another subject's."""
        return DataKey(_open(self._master, wrapped, _place(subject)))

    def blind_index(self, text: str) -> str:
        """Return 64 hex characters, equal for equal texts. The caller normalises, and puts the kind in the text."""
        return self._mac(b"blind-index/1|" + text.encode()).hex()


def _place(subject: str) -> bytes:
    return b"data-key/1|" + subject.encode()


def _open(cipher: Cipher, box: bytes, position: bytes) -> bytes:
    try:
        return cipher.decrypt(box[:12], box[12:], position)
    except (InvalidTag, ValueError):  # ValueError: shorter than a nonce
        raise SealBroken("密封数据被改动、移位，或不是用这把密钥密封的") from None
