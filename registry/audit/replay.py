"""The register at any effective date, as known at any recorded time or log position, folded anew from log or export."""

from collections.abc import Iterable, Iterator
from datetime import date
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from registry.audit.files import sorted_events
from registry.audit.layout import Row
from registry.audit.rebuild import by_stream
from registry.audit.statistics import Statistics, statistics
from registry.log.facts import Recorded
from registry.log.kind import Kind
from registry.log.log import KnownAt, Log, as_known
from registry.log.mapper import decode
from registry.paper.application import APPLICATIONS, Application
from registry.register.rows import PaperRow, TitleRow, paper_row, title_row
from registry.streams import kind_of
from registry.titles.state import TITLES, Title

if TYPE_CHECKING:
    from registry.service import Registry

S = TypeVar("S")


def replay(
    source: "Log | Registry | Path", as_of: date | None = None, known_at: KnownAt | None = None
) -> Iterator[TitleRow]:
    """The row of every title known at a recorded time or log position, in order of stream, as it stands on `as_of`.

    `known_at` None: as known now. `as_of` None: by the last decision, whenever it takes effect. Raise CorruptHistory
    for a history that does not fold.
    """
    for _, events in by_stream(stored_events(source, TITLES)):
        title = fold(TITLES, events, known_at)
        if title is not None:
            yield title_row(title, as_of)


def replay_statistics(
    source: "Log | Registry | Path", as_of: date | None = None, known_at: KnownAt | None = None
) -> Statistics:
    """The figures of the register on `as_of`, as known at a recorded time or log position; see `replay`."""
    return statistics(_counted(source, as_of, known_at))


def _counted(
    source: "Log | Registry | Path", as_of: date | None, known_at: KnownAt | None
) -> Iterator[TitleRow | PaperRow]:
    for stream, events in by_stream(stored_events(source, TITLES, APPLICATIONS)):
        state = fold(kind_of(stream), events, known_at)
        if isinstance(state, Title):
            yield title_row(state, as_of)
        elif isinstance(state, Application):
            yield paper_row(state)


def stored_events(source: "Log | Registry | Path", *kinds: Kind[Any]) -> Iterator[Row]:
    """The stored events of all streams of these kinds, stream by stream."""
    prefixes = tuple(sorted(f"{kind.prefix}-" for kind in kinds))
    if isinstance(source, Path):
        return (row for row in sorted_events(source) if row[1].startswith(prefixes))
    log = source if isinstance(source, Log) else source.log
    log.require()
    return chain.from_iterable(map(partial(log.recorder.rows_by_stream, log.head()), prefixes))


def fold(kind: Kind[S], rows: Iterable[Row], known_at: KnownAt | None = None) -> S | None:
    """Fold one stream from its stored events, as known then; None if there was nothing by then."""
    state: S | None = None
    evolve = kind.evolve
    for event in as_known(decoded(rows), known_at):
        state = evolve(state, event)
    return state


def decoded(rows: Iterable[Row]) -> Iterator[Recorded[Any]]:
    """The events in stored rows. Raise CorruptHistory."""
    return (decode(stream, version, name, state, position) for position, stream, version, name, state in rows)
