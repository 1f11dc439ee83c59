"""Every checkpoint that was ever published, oldest first, in one file that only grows: each note and an empty line.

A checkpoint that was given away must be found again: a document's proof names it, and auditors compare theirs.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_END = b"\n\n"
_STEP = 64 * 1024  # larger than two notes


class KeptCheckpoints:
    """The checkpoints of one log. `append` is durable when it returns; a note that was cut by a crash is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, note: bytes) -> None:
        """Add the newest one. Only the process that holds the log's lock may do so."""
        with self.path.open("ab") as out:
            out.truncate(self._whole())
            out.write(note + b"\n")
            out.flush()
            os.fsync(out.fileno())

    def last(self) -> bytes | None:
        """The newest note; None before the first."""
        end = self._whole()
        if not end:
            return None
        with self.path.open("rb") as source:
            at = max(0, end - _STEP)
            source.seek(at)
            notes = _notes(source.read(end - at), whole=at == 0)
        return notes[-1]

    def all(self) -> Iterator[bytes]:
        """The notes, oldest first, in flat memory."""
        if not self.path.exists():
            return
        parts = list[bytes]()
        with self.path.open("rb") as source:
            for line in source:
                if line != b"\n":
                    parts.append(line)
                elif any(part.startswith(b"\xe2\x80\x94 ") for part in parts):
                    yield b"".join(parts)
                    parts = []
                else:
                    parts.append(line)

    def covering(self, index: int) -> bytes | None:
        """The oldest note whose tree has the leaf of that index; None if none has it yet."""
        low, high = 0, self._whole()  # the note begins in [low, high)
        if not high:
            return None
        with self.path.open("rb") as source:
            while high - low > _STEP:
                middle = (low + high) // 2
                start, note = _after(source, middle)
                if note is None or start >= high:
                    break
                low, high = (low, start + len(note)) if size_of(note) > index else (start, high)
            source.seek(low)
            notes = _notes(source.read(high + _STEP - low), whole=True)
        return next((one for one in notes if size_of(one) > index), None)

    def _whole(self) -> int:
        """How many bytes of the file are whole notes."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return 0
        with self.path.open("rb") as source:
            at = max(0, size - _STEP)
            source.seek(at)
            tail = source.read()
        found = tail.rfind(_END)
        while found >= 0 and not _signed(tail[:found]):
            found = tail.rfind(_END, 0, found)  # the blank line inside a note that was cut
        return at + found + len(_END) if found >= 0 else 0


def size_of(note: bytes) -> int:
    """The tree size that a note of ours names, unverified."""
    return int(note.split(b"\n", 2)[1])


def _signed(data: bytes) -> bool:
    """Whether the last line is one of a signature."""
    return data[data.rfind(b"\n") + 1 :].startswith(b"\xe2\x80\x94 ")


def _notes(data: bytes, *, whole: bool) -> list[bytes]:
    """The notes in a part of the file; unless it is `whole`, the first piece may be cut and is left out."""
    pieces = data.split(_END)
    pieces.pop()
    first = 0 if whole else next(at for at, piece in enumerate(pieces) if piece.startswith(b"\xe2\x80\x94 ")) + 1
    texts, signatures = pieces[first::2], pieces[first + 1 :: 2]
    return [text + _END + lines + b"\n" for text, lines in zip(texts, signatures, strict=False)]


def _after(source: BinaryIO, at: int) -> tuple[int, bytes | None]:
    """The first whole note that begins after that offset, and where it begins."""
    source.seek(at)
    data = source.read(_STEP)
    pieces = data.split(_END)
    cut = next((number for number, piece in enumerate(pieces) if piece.startswith(b"\xe2\x80\x94 ")), None)
    if cut is None or len(pieces) < cut + 3:
        return at, None
    start = at + len(_END.join(pieces[: cut + 1])) + len(_END)
    return start, pieces[cut + 1] + _END + pieces[cut + 2] + b"\n"
