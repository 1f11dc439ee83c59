"""One look at a person's data in clear, as it is kept: no name, no identity number, no address."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from registry.months import from_ms, to_ms
from registry.terms import Role


class Purpose(StrEnum):
    """What a look was for. Stored, so none is ever renamed."""

    HANDLING = "handling"
    DECIDING = "deciding"
    SEARCH = "search"
    IDENTITY = "identity"
    AUDIT = "audit"
    REQUEST = "request"
    OWN = "own"
    OTHER = "other"

    @property
    def zh(self) -> str:
        """The purpose in Chinese."""
        return _ZH[self]


_ZH = {
    Purpose.HANDLING: "办理业务",
    Purpose.DECIDING: "审批",
    Purpose.SEARCH: "查询",
    Purpose.IDENTITY: "核实身份",
    Purpose.AUDIT: "审计",
    Purpose.REQUEST: "处理本人请求",
    Purpose.OWN: "本人查看",
    Purpose.OTHER: "其他",
}


class What(StrEnum):
    """What was looked at. Stored, so none is ever renamed."""

    TITLE = "title"
    HOLDER = "holder"
    APPLICATION = "application"
    PROPOSAL = "proposal"
    EVIDENCE = "evidence"
    DOCUMENT = "document"
    HISTORY = "history"
    EXPORT = "export"

    @property
    def zh(self) -> str:
        """What was looked at, in Chinese."""
        return _WHAT_ZH[self]


_WHAT_ZH = {
    What.TITLE: "职称",
    What.HOLDER: "个人信息",
    What.APPLICATION: "换发申请",
    What.PROPOSAL: "决定提议",
    What.EVIDENCE: "换发材料",
    What.DOCUMENT: "电子证书",
    What.HISTORY: "职称的全部记录",
    What.EXPORT: "个人信息副本",
}


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look: who by which role over which authority, at which door, for what, at whose data.

    `at` is UTC to the millisecond; `stream` the title, application or holder that was seen; `document` the number of a
    matter, if one was named.
    """

    at: datetime
    actor: str
    role: Role
    over: str
    door: str
    purpose: Purpose
    document: Annotated[str, msgspec.Meta(max_length=60)] = ""
    holder: str
    what: What
    stream: str


COLUMNS = Look.__struct_fields__  # as they are stored


def to_row(look: Look) -> tuple[Any, ...]:
    """The look as it is stored."""
    return (to_ms(look.at), *msgspec.structs.astuple(look)[1:])


def from_row(row: tuple[Any, ...]) -> Look:
    """A look as it stands in the columns. Raise msgspec.ValidationError for what none can be."""
    return msgspec.convert(dict(zip(COLUMNS, (from_ms(row[0]), *row[1:]), strict=True)), Look)
