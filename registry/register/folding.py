"""From stored events to the rows of the register: stream after stream, in flat memory."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import Any

from keys.vault import DataKey
from registry.holders.holder import HOLDERS
from registry.log.kind import Kind
from registry.log.log import Log
from registry.log.mapper import decode, unseal
from registry.log.recorder import Row
from registry.streams import kind_of

KeyOf = Callable[[str], DataKey | None]


Folded = tuple[str, Any, int]
"""A stream, its state, and how many events made it."""


def folded(log: Log, up_to: int, kind: Kind[Any]) -> Iterator[Folded]:
    """Every stream of a kind, in order, as it stood at a position. Raise CorruptHistory.

    Of the sealed fields only the holders' are opened: nothing else that is sealed shows in the register.
    """
    keys = KeysInOrder(log)
    with keys.beginning():
        for stream, rows in groupby(log.recorder.rows_by_stream(up_to, f"{kind.prefix}-"), key=itemgetter(1)):
            yield _fold(stream, kind, rows, keys if kind is HOLDERS else None)


def added(log: Log, after: int, up_to: int) -> Iterator[tuple[Folded, bool]]:
    """Every stream that has grown between two positions, and whether it began there.

    One that began there is folded from what was read already; of any other the state is that of now.
    """
    key_of, grown = log.data_keys(), dict[str, list[Row]]()
    for row in log.recorder.rows_by_position(after, up_to):
        grown.setdefault(row[1], []).append(row)
    for stream, rows in grown.items():
        kind = kind_of(stream)
        if rows[0][2] == 1:
            yield _fold(stream, kind, rows, key_of if kind is HOLDERS else None), True
        else:
            yield (stream, log.load(kind, stream, sealed=kind is not HOLDERS), len(rows)), False


def _fold(stream: str, kind: Kind[Any], rows: Iterable[Row], key_of: KeyOf | None) -> Folded:
    state, done, evolve = None, 0, kind.evolve
    for position, _, version, name, bytes_ in rows:
        event = decode(stream, version, name, bytes_, position)
        state = evolve(state, unseal(event, key_of) if key_of else event)
        done += 1
    return stream, state, done


class KeysInOrder:
    """A look-up of data keys for holders who are asked for in order, or nearly so; it keeps none in memory."""

    def __init__(self, log: Log) -> None:
        self._log, self._vault = log, log.vault
        self._wrapped, self._holder, self._box = iter(_NONE), "", b""

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Holders are asked for in order from the first."""
        self._wrapped, self._holder = self._log.recorder.data_keys(), ""
        try:
            yield
        finally:
            self._wrapped = iter(_NONE)  # it is read no further

    def __call__(self, wanted: str) -> DataKey | None:
        """The data key of a holder; None when it was destroyed. Raise SealBroken for one that was changed."""
        if self._vault is None:
            return None
        if wanted < self._holder:
            wrapped = self._log.recorder.wrapped_key(wanted)
            return self._vault.unwrap(wanted, wrapped) if wrapped else None
        while self._holder < wanted:
            self._holder, self._box = next(self._wrapped, _NOBODY)
        return self._vault.unwrap(wanted, self._box) if self._holder == wanted else None


_NOBODY = ("\U0010ffff", b"")
_NONE: tuple[tuple[str, bytes], ...] = ()
