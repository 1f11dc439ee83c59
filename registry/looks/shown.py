"""Who looked, as the person concerned reads it: which office by which function, never which officer (PIPL 17, 44)."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from registry.authorising import Authorising
from registry.errors import NotFound
from registry.looks.look import Look
from registry.terms import Status

ON_LINE, IN_OFFICE = "网上服务", "办公终端"


class ShownLook(msgspec.Struct, frozen=True):
    """One look in words: when, which office and function, for what purpose, at what, and by which kind of door.

    `about` is the stream that was seen or the code that was verified; `answer` what a verification was answered.
    """

    at: datetime
    who: str
    purpose: str
    what: str
    about: str
    door: str
    answer: Status | None = None


def shown(looks: Iterable[Look], authorising: Authorising) -> Iterator[ShownLook]:
    """The looks in the order given, each in words."""
    for one in looks:
        who = f"{_office(one, authorising)} {one.role.zh}"
        yield ShownLook(one.at, who, one.purpose.zh, one.what.zh, one.stream, _kind(one))


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
    return IN_OFFICE if look.door.startswith("cli ") else ON_LINE
