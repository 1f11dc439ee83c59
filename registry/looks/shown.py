"""Who looked, as the person concerned reads it: which office by which function, never which officer (PIPL 17, 44)."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from registry.authorising import Authorising
from registry.errors import NotFound
from registry.looks.look import Look


class ShownLook(msgspec.Struct, frozen=True):
    """One look in words: when, which office and function, for what purpose, at what, and by which kind of door."""

    at: datetime
    who: str
    purpose: str
    what: str
    door: str


def shown(looks: Iterable[Look], authorising: Authorising) -> Iterator[ShownLook]:
    """The looks in the order given, each in words."""
    for one in looks:
        yield ShownLook(one.at, f"{_office(one, authorising)} {one.role.zh}", one.purpose.zh, one.what.zh, _kind(one))


def _office(look: Look, authorising: Authorising) -> str:
    """The officer's own organisation if they have one (a committee office), else the authority they acted for."""
    officer = authorising.standing(look.actor).officer
    staff = officer.staff.get() if officer else None
    if staff is not None and staff.organisation:
        return staff.organisation
    try:
        return authorising.catalogue.authority(look.over).name_zh
    except NotFound:
        return look.over  # an authority that there is no more


def _kind(look: Look) -> str:
    return "办公终端" if look.door.startswith("cli ") else "网上服务"
