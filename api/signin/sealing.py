"""What the accounts file keeps is sealed or marked under one key that is not in it: copied alone it tells nobody.

Sealed: AES-256-GCM to its place. Marked: HMAC-SHA256, to find something again without keeping it.
"""

import hmac

from keys.vault import DataKey

KEY_BYTES = 32


class Sealing:
    """Seals and marks under keys that are derived from one of 32 bytes (HMAC-SHA256 of a label, as in RFC 5869)."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of {KEY_BYTES} bytes is needed")
        self._data = DataKey(hmac.digest(key, b"accounts/seal/1", "sha256"))
        self._marks = hmac.digest(key, b"accounts/mark/1", "sha256")

    def seal(self, clear: bytes, *place: str) -> bytes:
        """Seal bytes to a place; they open nowhere else."""
        return self._data.seal(clear, _joined(place))

    def open(self, box: bytes, *place: str) -> bytes:
        """Open what was sealed there. Raise keys.errors.SealBroken for what was changed or moved."""
        return self._data.open(box, _joined(place))

    def mark(self, *of: str) -> bytes:
        """32 bytes that are the same for the same texts, and tell nothing of them without the key."""
        return hmac.digest(self._marks, _joined(of), "sha256")


def _joined(parts: tuple[str, ...]) -> bytes:
    return b"".join(
        len(one).to_bytes(4, "big") + one for one in (part.encode(errors="surrogatepass") for part in parts)
    )
