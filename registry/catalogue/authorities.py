"""The bureaus that publish awards: the city's and the nine counties'. Subordination between them, not geography."""

from typing import Literal

import msgspec

CITY = "331100"


class Authority(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bureau, by its GB/T 2260 code. `places` are the names of its place, the full one first."""

    code: str
    name_zh: str
    name_en: str
    seat: Literal["city", "county"]
    parent: str | None
    places: tuple[str, ...]


class AuthorityFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file authorities.json."""

    note: str
    provenance: dict[str, str]
    authorities: tuple[Authority, ...]
