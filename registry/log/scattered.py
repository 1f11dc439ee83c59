"""Claims whose keys come in no order, while they are laid by: in little memory, because an index on them is slow.

A list of a million people lays a million blind indexes by. In a table with an index every one of them falls on another
page; without an index nobody finds them again. So the unit that laid them by remembers whose they are.
"""

from registry.places import Places

SCATTERED = frozenset({"identity", "code"})
"""The scopes whose keys are hashes or random."""

_FIRST, _SECOND = slice(0, 16), slice(16, 24)  # hexadecimal digits of a blind index: 96 bits tell people apart


class Scattered:
    """The stream of each blind index (64 hexadecimal digits); all streams are of one kind, with ids of one length."""

    def __init__(self) -> None:
        self._streams = bytearray()
        self._width = 0
        self._places = Places()

    def __len__(self) -> int:
        return len(self._streams) // self._width if self._width else 0

    def put(self, index: str, stream: str) -> None:
        """Remember a stream; the index must be new here."""
        self._width = self._width or len(stream)
        if len(stream) != self._width:
            raise ValueError("ids of streams of one kind have one length")
        self._streams += stream.encode()
        self._places.keep(int(index[_FIRST], 16), int(index[_SECOND], 16), len(self))

    def get(self, index: str) -> str | None:
        """The stream of an index; None if it is not known."""
        number = self._places.find(int(index[_FIRST], 16), int(index[_SECOND], 16))
        return self._streams[(number - 1) * self._width : number * self._width].decode() if number else None
