"""What two sides hold, compared without laying them side by side: for each kind of row a sum of keyed hashes.

Rows may come in any order and from several processes. With a key that is drawn anew for every comparison nobody can
have prepared for it: two prints are equal only if both hold the same rows, each as often (but for a chance of 2^-128).
"""

from collections import defaultdict
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec.structs import astuple, fields

from registry.audit import laws
from registry.audit.layout import IDENTITY
from registry.audit.scratch import BATCH, Index, Scratch
from registry.log.kind import Kind
from registry.register import tables

KEY_SIZE = 32  # bytes
_SIZE = 16  # bytes
_encode = msgspec.msgpack.Encoder().encode

Print = tuple[int, bytes]
"""How many rows there are, and the sum of their hashes."""


class Prints:
    """Gathers rows under names."""

    def __init__(self, key: bytes) -> None:
        """Two that are to be compared have the same key of 32 bytes."""
        self._keyed = blake2b(key=key, digest_size=_SIZE)
        self._sums: dict[str, int] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Take rows in: of text, numbers, bytes and None."""
        total, count, keyed, number = 0, 0, self._keyed.copy, int.from_bytes
        for row in rows:
            hasher = keyed()
            hasher.update(_encode(row))
            total += number(hasher.digest())
            count += 1
        self._sums[name] = self._sums.get(name, 0) + total
        self._counts[name] = self._counts.get(name, 0) + count

    def merge(self, others: dict[str, Print]) -> None:
        """Take in what another process has found under the same key."""
        for name, (count, sum_) in others.items():
            self._sums[name] = self._sums.get(name, 0) + int.from_bytes(sum_)
            self._counts[name] = self._counts.get(name, 0) + count

    def all(self) -> dict[str, Print]:
        """The prints by name; a name without rows is left out."""
        return {
            name: (count, (self._sums[name] % (1 << 8 * _SIZE)).to_bytes(_SIZE))
            for name, count in self._counts.items()
            if count
        }


def claims_name(scope: str) -> str:
    """Claims of identity are counted apart: they never leave the registry."""
    return IDENTITY if scope == IDENTITY else "claims"


class Printing:
    """The sink of a rebuild that keeps prints of claims and register rows. `elsewhere`: kinds that another one prints.

    With a scratch database it notes streams, links and erased holders there.
    """

    def __init__(
        self, prints: Prints, scratch: Scratch | None = None, index: Index = None, elsewhere: Iterable[Kind[Any]] = ()
    ) -> None:
        self._prints, self._scratch, self._index = prints, scratch, index
        self._elsewhere = {kind.prefix for kind in elsewhere}
        self._waiting, self._put = defaultdict[str, list[tuple[Any, ...]]](list), 0

    def put(self, stream: str, kind: Kind[Any], state: Any) -> None:
        """Take in a stream as it stands."""
        if self._scratch:
            self._scratch.put_stream(stream, laws.links(state))
        if kind.prefix in self._elsewhere:
            return
        for scope, key in kind.claims(state, self._index):
            self._waiting[claims_name(scope)].append((scope, key, stream))
        for table, rows in tables.rows_of(state).items():
            self._waiting[table].extend(map(_VALUES[table], rows))
        self._put += 1
        if self._put % BATCH == 0:
            self._print()

    def put_erased(self, stream: str) -> None:
        """A holder whose data key is gone has neither name nor index in the prints."""

    def flush(self) -> None:
        """There is no further stream."""
        self._print()
        if self._scratch:
            self._scratch.flush()

    def _print(self) -> None:
        for name, rows in self._waiting.items():
            self._prints.add(name, rows)
            rows.clear()


def _values(kind: type[msgspec.Struct]) -> Any:
    """What makes the values of a row as SQLite gives them back: a truth is a number there."""
    flags = [at for at, field in enumerate(fields(kind)) if field.type is bool]

    def values(row: msgspec.Struct) -> tuple[Any, ...]:
        found = list(astuple(row))
        for at in flags:
            found[at] = int(found[at])
        return tuple(found)

    return values if flags else astuple


_VALUES = {table: _values(kind) for table, (kind, _) in tables.TABLES.items()}
