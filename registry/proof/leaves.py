"""The leaves of a log in order: one for each stored event, and before them one of its own if it follows another log.

    ["log/1", 0, reason, SHA-256(note), note]

commits to the last checkpoint of the log before: its note, as it was signed. A log is followed only when it can never
be whole again: what had been signed was lost, or it was forked. The old one is not touched, and everyone can compare.
"""

import hashlib
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import cbor2

from registry.errors import CorruptHistory
from registry.proof.leaf import leaf_entry

Row = tuple[int, str, int, str, bytes]
"""A stored event: position, stream, version, stored name, stored bytes."""

PREDECESSOR = "predecessor"


class Events(Protocol):
    """Where the leaves come from."""

    def rows_by_position(self, after: int, up_to: int) -> Iterable[Row]:
        """The stored events between two positions, in order."""

    def max_notification_id(self) -> int:
        """The position of the newest event; 0 when there is none."""

    def secure(self) -> None:
        """Return once every event that can be read is wherever an acknowledged one is."""


class Leaves:
    """The leaf entries of one log. `predecessor` is its first one, if it follows another log."""

    def __init__(self, events: Events, predecessor: bytes | None) -> None:
        self.events, self.predecessor = events, predecessor

    @property
    def first(self) -> int:
        """The leaf index of the first event: 0, or 1 in a log that follows another."""
        return 0 if self.predecessor is None else 1

    def all(self) -> Generator[bytes, None, None]:
        """Every leaf entry there can be now. Raise CorruptHistory for stored bytes that cannot be a leaf."""
        if self.predecessor is not None:
            yield self.predecessor
        yield from self.after(0)

    def after(self, position: int) -> Iterator[bytes]:
        """The leaf entries of the events after a position."""
        return (leaf_entry(*row) for row in self.events.rows_by_position(position, self.head()))

    def at(self, position: int) -> bytes | None:
        """The leaf entry of the event at a position; position 0 is the one that commits to the log before."""
        if position == 0:
            return self.predecessor
        return next((leaf_entry(*row) for row in self.events.rows_by_position(position - 1, position)), None)

    def head(self) -> int:
        """The position of the newest event."""
        return self.events.max_notification_id()


def succession(note: bytes, reason: str) -> bytes:
    """The leaf entry that commits to the last checkpoint of the log before."""
    return cbor2.dumps(["log/1", 0, reason, hashlib.sha256(note).digest(), note], canonical=True)


def position_of(entry: bytes) -> int:
    """The position in a leaf entry. Raise CorruptHistory for what is no leaf entry."""
    try:
        found = cbor2.loads(entry)[1]
    except (cbor2.CBORDecodeError, IndexError, TypeError, KeyError) as error:
        raise CorruptHistory(f"an entry in the tiles is no leaf entry: {error}") from error
    if not isinstance(found, int):
        raise CorruptHistory("an entry in the tiles has no position")
    return found


def folder_of(root: Path, generation: int) -> Path:
    """Where the log of that generation lies: the first in the folder itself, those that follow in numbered ones."""
    return root if generation == 1 else root / str(generation)


def generation_of(folder: Path) -> int:
    """Which log is the present one: 1, or the number of the newest one that follows it."""
    number = 1
    while (folder_of(folder, number + 1) / PREDECESSOR).exists():
        number += 1
    return number
