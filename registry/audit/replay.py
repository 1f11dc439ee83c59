"""The register at any effective and recorded time, folded anew from a live log or from an export."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from registry.audit.files import sorted_events
from registry.audit.layout import Row
from registry.audit.rebuild import by_stream
from registry.log.log import Log
from registry.log.mapper import decode
from registry.register.rows import TitleRow, title_row
from registry.titles.state import TITLES, Title

if TYPE_CHECKING:
    from registry.service import Registry


def replay(
    source: "Log | Registry | Path", as_of: date | None = None, known_at: datetime | None = None
) -> Iterator[TitleRow]:
    """The row of every title recorded by `known_at` (None: by now), in order of stream, as it stands on `as_of`.

    `as_of` None: by the last decision, whenever it takes effect. Raise CorruptHistory for a history that does not fold.
    """
    for _, events in by_stream(title_events(source)):
        title = fold(events, known_at)
        if title is not None:
            yield title_row(title, as_of)


def title_events(source: "Log | Registry | Path") -> Iterator[Row]:
    """The stored events of all titles, stream by stream."""
    prefix = TITLES.prefix + "-"
    return (row for row in _by_stream(source) if row[1].startswith(prefix))


def _by_stream(source: "Log | Registry | Path") -> Iterator[Row]:
    if isinstance(source, Path):
        return sorted_events(source)
    log = source if isinstance(source, Log) else source.log
    return log.recorder.rows_by_stream(log.head())


def fold(rows: Iterable[Row], known_at: datetime | None = None) -> Title | None:
    """Fold one title from its stored events, as known at a recorded time; None if there was nothing by then."""
    title: Title | None = None
    for position, stream, version, name, state in rows:
        event = decode(stream, version, name, state, position)
        if known_at is None or event.recorded_at <= known_at:
            title = TITLES.evolve(title, event)
    return title
