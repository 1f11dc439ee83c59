"""Which row had a value first, in little memory: 20 bytes a place, where a dict of a million rows takes 150 MB."""

from array import array
from hashlib import blake2b
from struct import Struct

_HALVES = Struct("<QQ")


class Repeats:
    """Remember the first row of each value. Values are kept as 16-byte hashes, so nothing of them can be read back.

    A table with open addressing: two halves of the hash and the row at each place; row 0 means an empty place.
    """

    def __init__(self) -> None:
        self._resize(1 << 10)
        self._count = 0

    def first_row(self, value: str, row: int) -> int | None:
        """The earlier row with this value; None if there was none, and then `row` (from 1) is remembered."""
        one: int
        two: int
        one, two = _HALVES.unpack(blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).digest())
        ones, twos, rows, mask = self._ones, self._twos, self._rows, self._mask
        place = one & mask
        while found := rows[place]:
            if ones[place] == one and twos[place] == two:
                return found
            place = (place + 1) & mask
        ones[place], twos[place], rows[place] = one, two, row
        self._count += 1
        if self._count * 3 > mask * 2:
            self._grow()
        return None

    def _resize(self, places: int) -> None:
        self._mask = places - 1
        self._ones: array[int] = array("Q", bytes(8 * places))
        self._twos: array[int] = array("Q", bytes(8 * places))
        self._rows: array[int] = array("I", bytes(4 * places))

    def _grow(self) -> None:
        old = zip(self._ones, self._twos, self._rows, strict=True)
        self._resize((self._mask + 1) * 2)
        for one, two, row in old:
            if row:
                place = one & self._mask
                while self._rows[place]:
                    place = (place + 1) & self._mask
                self._ones[place], self._twos[place], self._rows[place] = one, two, row
