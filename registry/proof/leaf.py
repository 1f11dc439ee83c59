"""The leaf of one stored event: where it stands, what it is called, when it was recorded, and the hash of its bytes.

    ["leaf/1", position, stream, version, stored name, recorded_at, SHA-256(stored bytes)]

as one CBOR array in the deterministic encoding (RFC 8949 section 4.2.1). `recorded_at` is the text as stored. There is
nothing personal in a leaf: the stored bytes hold sealed boxes, and only their hash is here, so that a tree stays
provable after a data key was destroyed.
"""

import hashlib
from functools import lru_cache

import msgspec

from registry.errors import CorruptHistory
from registry.proof.tree import leaf_hash

SCHEMA = "leaf/1"


class _Stored(msgspec.Struct):
    recorded_at: str


_recorded_at = msgspec.json.Decoder(_Stored).decode


def leaf_entry(position: int, stream: str, version: int, name: str, state: bytes) -> bytes:
    """Return the leaf entry of a stored event. Raise CorruptHistory for stored bytes without a recorded time."""
    try:
        if not isinstance(state, bytes):  # a damaged store can hold anything
            raise TypeError("it is stored as text")
        recorded_at = _recorded_at(state).recorded_at
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
        raise CorruptHistory(f"stored event {position} ({stream} version {version}) cannot be read: {error}") from error
    digest = hashlib.sha256(state).digest()
    return b"".join(
        (
            _ARRAY_AND_SCHEMA,
            _head(0, position),
            _text(stream),
            _head(0, version),
            _name(name),
            _text(recorded_at),
            _DIGEST,
            digest,
        )
    )


def stored_leaf_hash(position: int, stream: str, version: int, name: str, state: bytes) -> bytes:
    """Return the hash of the leaf of a stored event. Raise CorruptHistory like `leaf_entry`."""
    return leaf_hash(leaf_entry(position, stream, version, name, state))


# Written by hand: seven items of four known types, several times as fast as a general encoder, once for every event.


def _head(major: int, number: int) -> bytes:
    """The head of an item in its shortest form (RFC 8949 section 3)."""
    if number < 24:
        return bytes((major | number,))
    if number < 1 << 8:
        return bytes((major | 24, number))
    width, extra = (2, 25) if number < 1 << 16 else (4, 26) if number < 1 << 32 else (8, 27)
    return bytes((major | extra,)) + number.to_bytes(width, "big")


def _text(text: str) -> bytes:
    data = text.encode()
    return (_SHORT[len(data)] if len(data) < len(_SHORT) else _head(0x60, len(data))) + data


_SHORT = tuple(_head(0x60, length) for length in range(256))
_name = lru_cache(1024)(_text)  # there are few stored names
_ARRAY_AND_SCHEMA = _head(0x80, 7) + _text(SCHEMA)
_DIGEST = _head(0x40, 32)
