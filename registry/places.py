"""Whose number a hash has, for a million of them in little memory: a dict would take 150 MB."""

from array import array


class Places:
    """A number (1 to 2^32-1) for each hash of 96 bits, given as its first 64 and its last 32.

    Open addressing, 16 bytes a place, a place at most two thirds of the time taken; number 0 means an empty place.
    """

    def __init__(self) -> None:
        self._count = 0
        self._resize(1 << 4)

    def find(self, one: int, two: int) -> int:
        """The number of a hash; 0 if it has none."""
        ones, twos, numbers, mask = self._ones, self._twos, self._numbers, self._mask
        place = one & mask
        while number := numbers[place]:
            if ones[place] == one and twos[place] == two:
                return number
            place = (place + 1) & mask
        return 0

    def keep(self, one: int, two: int, number: int) -> int:
        """The number that a hash has; 0 if it had none, and then it has this one."""
        ones, twos, numbers, mask = self._ones, self._twos, self._numbers, self._mask
        place = one & mask
        while found := numbers[place]:
            if ones[place] == one and twos[place] == two:
                return found
            place = (place + 1) & mask
        ones[place], twos[place], numbers[place] = one, two, number
        self._count += 1
        if self._count * 3 > mask * 2:
            self._grow()
        return 0

    def _resize(self, places: int) -> None:
        self._mask = places - 1
        self._ones = array("Q", [0]) * places
        self._twos, self._numbers = array("I", [0]) * places, array("I", [0]) * places

    def _grow(self) -> None:
        old = zip(self._ones, self._twos, self._numbers, strict=True)
        self._resize((self._mask + 1) * 2)
        numbers, mask = self._numbers, self._mask
        for one, two, number in old:
            if number:
                place = one & mask
                while numbers[place]:
                    place = (place + 1) & mask
                self._ones[place], self._twos[place], numbers[place] = one, two, number
