"""What a look shows: a record with the name as far as it may be seen, and what stands for what may not."""

from typing import NamedTuple, TypeVar

from registry.holders.holder import Holder
from registry.log.facts import Private
from registry.looks.look import Purpose
from registry.masking import mask_name
from registry.paper.application import Application
from registry.permissions import Sight
from registry.register.rows import TitleRow
from registry.terms import Role
from registry.titles.state import Proposal, Title

T = TypeVar("T")

ERASED = "（已删除）"


class LookedTitle(NamedTuple):
    """A title as far as it may be seen: `name` is the holder's, clear or masked."""

    sight: Sight
    title: Title
    name: str


class LookedHolder(NamedTuple):
    """A person as far as they may be seen."""

    sight: Sight
    holder: Holder
    name: str


class LookedApplication(NamedTuple):
    """An application as far as it may be seen."""

    sight: Sight
    application: Application
    name: str


class LookedProposal(NamedTuple):
    """An open proposal with its title."""

    sight: Sight
    title: Title
    name: str
    proposal: Proposal


class LookedRows(NamedTuple):
    """A page of titles, each with the name as far as it may be seen, and where the next page begins."""

    rows: list[tuple[TitleRow, str]]
    next: str | None


class SeenAs(NamedTuple):
    """How much is seen, and by which role over which authority; no role: by nobody who said who they are."""

    sight: Sight
    role: Role | None
    over: str


class Asking(NamedTuple):
    """Who looks, for what, at which door, and in which matter."""

    actor: str | None
    purpose: Purpose
    door: str
    document: str = ""


def shown_name(sight: Sight, name: str) -> str:
    """A name in clear or masked; of somebody who was erased, that they were."""
    if not name:
        return ERASED
    return name if sight is Sight.CLEAR else mask_name(name)


def opened(value: Private[T] | None, sight: Sight) -> T | None:
    """A personal value where it is seen in clear, else None."""
    return value.get() if value is not None and sight is Sight.CLEAR else None
