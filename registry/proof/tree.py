"""The Merkle tree hash of RFC 6962 section 2.1 over a growing list of leaves, in memory of O(log n).

A leaf is hashed as SHA-256(0x00 || entry), a node as SHA-256(0x01 || left || right), so that no node passes for a
leaf; the tree of no leaves is SHA-256 of nothing. Only the right edge is kept: the roots of the complete subtrees
whose sizes are the powers of two in the number of leaves, the largest first.
"""

import hashlib
from collections.abc import Iterable

EMPTY_ROOT = hashlib.sha256(b"").digest()
HASH_SIZE = 32


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one leaf (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class RightEdge:
    """The right edge of a tree that only grows: append a leaf hash in amortised O(1), ask for the root at any size."""

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """Begin with no leaf, or go on where another edge stood (`size` and `hashes` of that one).

        Raise ValueError if there are not as many hashes of 32 bytes as the size has powers of two in it.
        """
        self._size, self._hashes = size, list(hashes)
        if size < 0 or len(self._hashes) != size.bit_count() or any(len(one) != HASH_SIZE for one in self._hashes):
            raise ValueError(f"{len(self._hashes)} hashes are no right edge of {size} leaves")

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The roots of the complete subtrees, the largest first: what is kept to go on later."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        """Add one leaf by its hash (see `leaf_hash`)."""
        hashes, size = self._hashes, self._size
        while size & 1:  # a complete subtree of the same size stands to the left: join them
            leaf = node_hash(hashes.pop(), leaf)
            size >>= 1
        hashes.append(leaf)
        self._size += 1

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self._hashes:
            return EMPTY_ROOT
        *left, root = self._hashes
        for one in reversed(left):
            root = node_hash(one, root)
        return root
