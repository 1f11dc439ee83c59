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
        return self._numbers[self._place(one, two)]

    def keep(self, one: int, two: int, number: int) -> int:
        """The number that a hash has; 0 if it had none, and then it has this one."""
        place = self._place(one, two)
        if found := self._numbers[place]:
            return found
        self._ones[place], self._twos[place], self._numbers[place] = one, two, number
        self._count += 1
        if self._count * 3 > self._mask * 2:
            self._grow()
        return 0

    def _place(self, one: int, two: int) -> int:
        """Where a hash is, or the empty place where it would be."""
        ones, twos, numbers, mask = self._ones, self._twos, self._numbers, self._mask
        place = one & mask
        while numbers[place] and (ones[place] != one or twos[place] != two):
            place = (place + 1) & mask
        return place

    def _resize(self, places: int) -> None:
        self._mask = places - 1
        self._ones = array("Q", [0]) * places
        self._twos, self._numbers = array("I", [0]) * places, array("I", [0]) * places

    def _grow(self) -> None:
        old = zip(self._ones, self._twos, self._numbers, strict=True)
        self._resize((self._mask + 1) * 2)
        for one, two, number in old:
            if number:
                place = self._place(one, two)
                self._ones[place], self._twos[place], self._numbers[place] = one, two, number
