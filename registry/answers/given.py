"""One answer that was given, as it is kept: no name, no address, no account, and no code that was only guessed."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

import msgspec

from registry.months import from_ms
from registry.terms import Status, civil_date


class Channel(StrEnum):
    """The door through which an answer was given. Stored, so none is ever renamed."""

    CODE_JSON = "code-json"
    CODE_PAGE = "code-page"
    TOKEN = "token"  # noqa: S105 - a word, not a secret
    FILE = "file"
    BATCH = "batch"
    CLI = "cli"


class GivenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer about a certificate. `at` is UTC to the millisecond; `code` the code without its check character.

    `as_of` and `known_at` are as asked, None meaning now; `log_position` is the head of the log that it rested on.
    """

    at: datetime
    code: str
    version: int
    status: Status
    as_of: date | None
    known_at: datetime | None
    log_position: int
    channel: Channel

    @property
    def about(self) -> date:
        """The civil date that it was about: the one asked about, else that of the state or the moment it rested on."""
        return self.as_of or civil_date(self.known_at or self.at)


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of an answer until it is written. `code` None: it names no certificate and is only counted."""

    at: datetime
    code: str | None
    version: int
    status: Status
    as_of: date | None
    known_at: datetime | None
    log_position: int
    channel: Channel


class Gap(msgspec.Struct, frozen=True):
    """Answers that were given between two moments and could not be kept, and how many."""

    began: datetime
    ended: datetime
    lost: int


COLUMNS = Waiting.__struct_fields__  # as they are stored


def given(row: tuple[Any, ...]) -> GivenAnswer:
    """An answer as it stands in the columns above. Raise msgspec.ValidationError for what none can be."""
    return msgspec.convert(dict(zip(COLUMNS, (from_ms(row[0]), *row[1:]), strict=True)), GivenAnswer)
