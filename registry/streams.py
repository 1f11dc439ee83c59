"""Every kind of stream there is. A stream's id begins with its kind."""

from typing import Any

from registry.catalogue.adoption import REFERENCE
from registry.errors import CorruptHistory
from registry.holders.holder import HOLDERS
from registry.keyset.keyset import KEYSETS
from registry.log.kind import Kind
from registry.officers.officer import OFFICERS
from registry.paper.application import APPLICATIONS
from registry.requests.request import REQUESTS
from registry.titles.state import TITLES

_ALL = (HOLDERS, TITLES, APPLICATIONS, OFFICERS, REQUESTS, KEYSETS, REFERENCE)
KINDS: dict[str, Kind[Any]] = {kind.prefix: kind for kind in _ALL}


def kind_of(stream: str) -> Kind[Any]:
    """The kind of a stream, by its id. Raise CorruptHistory for a kind that we do not know."""
    kind = KINDS.get(stream.partition("-")[0])
    if kind is None:
        raise CorruptHistory(f"{stream} is of no kind that this program knows")
    return kind
