"""A page of titles as an officer may see them: as they stand now, or as they stood at any moment."""

from datetime import date
from typing import NamedTuple

import msgspec

from registry.audit import titles_at
from registry.holders.person import Identity
from registry.log.log import KnownAt
from registry.looking import Asking
from registry.looks.looked import LookedRows, SeenAs
from registry.register.register import Query
from registry.register.rows import TitleRow
from registry.service import Registry


class Page(NamedTuple):
    """Of which day and known when (None: now), how many at most, and after which title."""

    as_of: date | None
    known_at: KnownAt | None
    limit: int
    cursor: str | None


def listed(registry: Registry, query: Query, who: Identity | None, asking: Asking, page: Page) -> LookedRows:
    """The titles in reach that match, of that person if one is named. Raise Forbidden, Unavailable, BadInput."""
    if page.as_of is not None or page.known_at is not None:
        return _then(registry, query, who, asking, page)
    return registry.looking.search(
        query,
        identity=who,
        actor=asking.actor,
        purpose=asking.purpose,
        door=asking.door,
        limit=page.limit,
        cursor=page.cursor,
    )


def _then(registry: Registry, query: Query, who: Identity | None, asking: Asking, page: Page) -> LookedRows:
    """The same as they stood then, of the matters that are in reach now: a title may have gone to another authority."""
    reach = registry.looking.reach(asking.actor, by_person=bool(query.name or who))
    holder = registry.holder_of(who) if who else None
    if who and holder is None:
        return LookedRows([], None)
    registry.register.catch_up()
    seen = dict[str, SeenAs]()

    def within(row: TitleRow) -> bool:
        how = reach.get(registry.register.issuer(row.title) or "")
        if how is not None:
            seen[row.title] = how
        return how is not None

    query, then = msgspec.structs.replace(query, holder=holder), (page.as_of, page.known_at)
    found = titles_at(registry, query, *then, limit=page.limit, cursor=page.cursor, within=within)
    sights = [seen[row.title] for row, _ in found.rows]
    return LookedRows(registry.looking.rows(found.rows, sights, asking), found.next)
