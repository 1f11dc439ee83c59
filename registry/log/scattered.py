"""Claims whose keys come in no order, while they are laid by: in little memory, because an index on them is slow.

A list of a million people lays a million blind indexes by. In a table with an index every one of them falls on another
page; without an index nobody finds them again. So the unit that laid them by remembers whose they are.
"""

from array import array

SCATTERED = frozenset({"identity", "code"})
"""The scopes whose keys are hashes or random."""

_FIRST, _SECOND = slice(0, 16), slice(16, 24)  # hexadecimal digits of a blind index: 96 bits tell people apart


class Scattered:
    """The stream of each blind index (64 hexadecimal digits); all streams are of one kind, with ids of one length.

    Open addressing, 16 bytes a place, a place at most two thirds of the time taken; stream 0 means an empty place.
    """

    def __init__(self) -> None:
        self._streams = bytearray()
        self._width = 0
        self._resize(1 << 10)

    def __len__(self) -> int:
        return len(self._streams) // self._width if self._width else 0

    def put(self, index: str, stream: str) -> None:
        """Remember a stream; the index must be new here."""
        self._width = self._width or len(stream)
        if len(stream) != self._width:
            raise ValueError("ids of streams of one kind have one length")
        self._streams += stream.encode()
        if len(self) * 3 > self._mask * 2:
            self._grow()
        self._set(int(index[_FIRST], 16), int(index[_SECOND], 16), len(self))

    def get(self, index: str) -> str | None:
        """The stream of an index; None if it is not known."""
        one, two = int(index[_FIRST], 16), int(index[_SECOND], 16)
        ones, twos, numbers, mask = self._ones, self._twos, self._numbers, self._mask
        place = one & mask
        while number := numbers[place]:
            if ones[place] == one and twos[place] == two:
                return self._streams[(number - 1) * self._width : number * self._width].decode()
            place = (place + 1) & mask
        return None

    def _set(self, one: int, two: int, number: int) -> None:
        numbers, mask = self._numbers, self._mask
        place = one & mask
        while numbers[place]:
            place = (place + 1) & mask
        self._ones[place], self._twos[place], numbers[place] = one, two, number

    def _resize(self, places: int) -> None:
        self._mask = places - 1
        self._ones: array[int] = array("Q", bytes(8 * places))
        self._twos: array[int] = array("I", bytes(4 * places))
        self._numbers: array[int] = array("I", bytes(4 * places))

    def _grow(self) -> None:
        old = zip(self._ones, self._twos, self._numbers, strict=True)
        self._resize((self._mask + 1) * 2)
        for one, two, number in old:
            if number:
                self._set(one, two, number)
