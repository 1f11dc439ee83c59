"""A page of titles as an officer may see them: as they stand now, or as they stood at any moment."""

from datetime import date
from typing import NamedTuple

import msgspec

from registry.audit import titles_at
from registry.holders.person import Identity
from registry.log.log import KnownAt
from registry.looking import Asking
from registry.looks.looked import LookedRows
from registry.register.register import Query
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
    """The same as they stood then: the pages of each authority in reach, put together."""
    reach = registry.looking.reach(asking.actor, by_person=bool(query.name or who))
    holder = registry.holder_of(who) if who else None
    if who and holder is None:
        return LookedRows([], None)
    whole = len(reach) == len(registry.catalogue.authorities)
    codes = [query.authority] if whole else [one for one in reach if query.authority in (None, one)]
    queries = [msgspec.structs.replace(query, holder=holder, authority=code) for code in codes]
    then, limit = (page.as_of, page.known_at), page.limit
    found = [titles_at(registry, one, *then, limit=limit, cursor=page.cursor) for one in queries]
    rows = sorted((each for one in found for each in one.rows), key=lambda each: each[0].title)
    more = len(rows) > limit or any(one.next for one in found)
    rows = rows[:limit]
    return LookedRows(registry.looking.rows(rows, reach, asking), rows[-1][0].title if more and rows else None)
