"""From stored events to the rows of the register: stream after stream, in flat memory."""

from collections.abc import Callable, Iterable, Iterator
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
    key_of = keys_in_order(log) if kind is HOLDERS else None
    for stream, rows in groupby(log.recorder.rows_by_stream(up_to, f"{kind.prefix}-"), key=itemgetter(1)):
        yield _fold(stream, kind, rows, key_of)


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


def keys_in_order(log: Log) -> KeyOf:
    """A look-up of data keys for holders that are asked for in order: the keys are read in that order beside them."""
    wrapped, vault, anyone = log.recorder.data_keys(), log.vault, log.data_keys()
    holder, box = "", b""

    def key_of(wanted: str) -> DataKey | None:
        nonlocal holder, box
        if vault is None:
            return None
        if wanted < holder:
            return anyone(wanted)
        while holder < wanted:
            holder, box = next(wrapped, _NOBODY)
        return vault.unwrap(wanted, box) if holder == wanted else None

    return key_of


_NOBODY = ("\U0010ffff", b"")
