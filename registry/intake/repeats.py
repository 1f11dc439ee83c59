"""Which row had a value first, in little memory."""

from hashlib import blake2b
from struct import Struct

from registry.places import Places

_HASH = Struct("<QI")  # 96 bits tell the values of a list apart


class Repeats:
    """Remember the first row of each value. Values are kept as hashes, so nothing of them can be read back."""

    def __init__(self) -> None:
        self._places = Places()

    def first_row(self, value: str, row: int) -> int | None:
        """The earlier row with this value; None if there was none, and then `row` (from 1) is remembered."""
        data = value.encode("utf-8", "surrogatepass")
        one, two = _HASH.unpack(blake2b(data, digest_size=_HASH.size).digest())
        return self._places.keep(one, two, row) or None
