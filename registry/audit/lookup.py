"""A list of titles with both clocks: on a date, as known at a moment. A single one is `Registry.title` or `holder`.

The register knows only the present; here streams are folded up to a recorded time or a log position.
"""

from collections.abc import Callable, Iterator
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from registry.audit.replay import replay
from registry.errors import BadInput
from registry.log.log import KnownAt
from registry.register.register import Query
from registry.register.rows import TitleRow
from registry.terms import civil_date

if TYPE_CHECKING:
    from registry.service import Registry

_FILTERS = ("number", "holder", "series", "specialty", "level", "year", "authority", "status")


def day_of(registry: "Registry", as_of: date | None, known_at: KnownAt | None) -> date:
    """The effective date that is meant: the one named, else the civil day of what was known, else today."""
    return as_of or civil_date(registry.log.moment(known_at) or registry.clock())


class Listed(NamedTuple):
    """A page of titles with the names in force then; the cursor of the next page."""

    rows: list[tuple[TitleRow, str]]
    next: str | None


def titles_at(
    registry: "Registry",
    query: Query,
    as_of: date | None,
    known_at: KnownAt | None,
    *,
    limit: int,
    cursor: str | None,
    within: Callable[[TitleRow], bool] | None = None,
) -> Listed:
    """The titles that match, as they stood on a date, as known then: at most `limit` a page, in order of stream.

    `within` says of a title whether it is in reach; None: all are. The whole log is gone through. Raise BadInput for a
    query by name: names are sealed, only those of now are indexed.
    """
    if query.name:
        raise BadInput("按姓名查找只能查现时的登记", fix="用 --identity 或 --number 查找")
    day = day_of(registry, as_of, known_at)
    found = (row for row in replay(registry, day, known_at) if row.title > (cursor or "") and _matches(row, query))
    rows = list(islice((row for row in found if within is None or within(row)), limit + 1))
    named = [(row, registry.holder(row.holder, known_at=known_at).name(day) or "") for row in rows[:limit]]
    return Listed(named, rows[limit - 1].title if len(rows) > limit else None)


def _matches(row: TitleRow, query: Query) -> bool:
    wanted: Iterator[tuple[str, object]] = ((name, getattr(query, name)) for name in _FILTERS)
    return all(value is None or getattr(row, name) == value for name, value in wanted)
