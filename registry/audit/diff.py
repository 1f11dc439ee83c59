"""What differs between the register at two moments: titles, which facts made each difference, and the figures."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from registry.audit.compare import side_by_side
from registry.audit.layout import Row
from registry.audit.rebuild import by_stream
from registry.audit.replay import decoded, replay_statistics, stored_events
from registry.log.log import KnownAt, Log, as_known
from registry.register.rows import TitleRow, title_row
from registry.titles.state import TITLES, Title

if TYPE_CHECKING:
    from registry.service import Registry

_FIELDS = TitleRow.__struct_fields__


@dataclass(frozen=True)
class Moment:
    """Where to look (a log or an export), on which effective date, as known at which time or position; None is now."""

    source: "Log | Registry | Path"
    as_of: date | None = None
    known_at: KnownAt | None = None


class Made(msgspec.Struct, frozen=True):
    """A fact by its place in the log, with what it is called and when it was recorded."""

    position: int
    stream: str
    version: int
    name: str
    recorded_at: datetime


class Changed(msgspec.Struct, frozen=True):
    """A field that differs: what it was, what it became, and the fact that made the difference."""

    field: str
    before: str | int | bool | None
    after: str | int | bool | None
    made_by: Made


class Difference(msgspec.Struct, frozen=True):
    """One title that differs between two moments."""

    title: str
    kind: Literal["added", "removed", "changed"]
    fields: tuple[Changed, ...]

    @property
    def facts(self) -> list[Made]:
        """The facts behind the difference, in log order, each once."""
        return sorted({one.made_by for one in self.fields}, key=lambda made: made.position)


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the statistics that differs: what it counts ("by_year", ["2021", "review"]), and both numbers."""

    kind: Literal["figure"] = "figure"
    figure: str
    of: tuple[str, ...]
    before: int
    after: int


class _Told(NamedTuple):
    """A title at one moment: its row, and the fact that last set each field."""

    row: dict[str, Any]
    set_by: dict[str, Made]


def diff(a: Moment, b: Moment) -> Iterator[Difference]:
    """The titles whose rows differ between two moments, in order of stream.

    A fact made a difference if it was the last to set the field, at the later of the two moments. Raise CorruptHistory
    for a history that does not fold.
    """
    for title, before, after in side_by_side(_told(a), _told(b)):
        if before is None or after is None or before.row != after.row:
            yield _difference(title, before, after)


def diff_statistics(a: Moment, b: Moment) -> Iterator[Figure]:
    """The figures of the statistics that differ between two moments; what is counted nowhere is 0."""
    before, after = (replay_statistics(one.source, one.as_of, one.known_at).figures() for one in (a, b))
    for counted in sorted({*before, *after}):
        old, new = before.get(counted, 0), after.get(counted, 0)
        if old != new:
            yield Figure(figure=counted[0], of=counted[1:], before=old, after=new)


def _told(moment: Moment) -> Iterator[tuple[str, _Told]]:
    for stream, rows in by_stream(stored_events(moment.source, TITLES)):
        title: Title | None = None
        told = _Told({}, {})
        names = dict[int, str]()
        for event in as_known(decoded(_noted(rows, names)), moment.known_at):
            title = TITLES.evolve(title, event)
            made = Made(event.position, stream, event.version, names[event.position], event.recorded_at)
            told = _set(told, title_row(title, moment.as_of), made)
        if title is not None:
            yield stream, told


def _noted(rows: Iterable[Row], names: dict[int, str]) -> Iterator[Row]:
    """Note under which name each event is stored; an upcast fact no longer tells."""
    for row in rows:
        names[row[0]] = row[3]
        yield row


def _set(told: _Told, row: TitleRow, made: Made) -> _Told:
    values = dict(zip(_FIELDS, msgspec.structs.astuple(row), strict=True))
    changed = [field for field in _FIELDS if field not in told.row or told.row[field] != values[field]]
    return _Told(values, told.set_by | dict.fromkeys(changed, made))


def _difference(title: str, before: _Told | None, after: _Told | None) -> Difference:
    nothing = dict.fromkeys(_FIELDS)
    old, new = before.row if before else nothing, after.row if after else nothing
    kind: Literal["added", "removed", "changed"] = "added" if not before else "changed" if after else "removed"
    fields = tuple(
        Changed(field, old[field], new[field], _later(field, before, after))
        for field in _FIELDS
        if field != "title" and old[field] != new[field]
    )
    return Difference(title, kind, fields)


def _later(field: str, before: _Told | None, after: _Told | None) -> Made:
    return max((told.set_by[field] for told in (before, after) if told), key=lambda made: made.position)
