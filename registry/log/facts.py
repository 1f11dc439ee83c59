"""Facts as they are stored: their names, who recorded them when, and the personal fields that must be sealed.

A stored name ("title-awarded/1") is a contract; the class is a label. A changed shape gets a new number and an
upcast from the old one; a stored name is never reused.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from registry.errors import CorruptHistory

T = TypeVar("T")
F = TypeVar("F", bound="Fact", covariant=True)
C = TypeVar("C", bound="type[Fact]")

ERASED = "[erased]"


class Private(Generic[T]):
    """A personal value. In clear until it is recorded, sealed in the log, opened with the holder's data key.

    When the key has been destroyed it stays sealed for ever, and `get` returns None: replay goes on without it.
    """

    __slots__ = ("box", "value")

    def __init__(self, value: T | None = None, box: bytes | None = None) -> None:
        self.value, self.box = value, box

    def get(self) -> T | None:
        """Return the value, or None while it is sealed or when it was erased."""
        return self.value

    def reveal(self) -> T:
        """Return the value. Raise CorruptHistory where a value was needed that is sealed or erased."""
        if self.value is None:
            raise CorruptHistory("个人信息已封存或已销毁，无法读取", fix="确认数据密钥仍在，或按已销毁处理")
        return self.value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Private):
            return NotImplemented
        if self.value is not None and other.value is not None:
            return bool(self.value == other.value)
        return self.box is not None and self.box == other.box

    def __hash__(self) -> int:
        return hash(self.box)

    def __repr__(self) -> str:
        return "Private(…)"  # never prints what it holds


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Something that happened, in the past tense. A fact with a private field names its `holder`."""


class Recorded(msgspec.Struct, Generic[F], frozen=True, gc=False):
    """A fact with its place and its circumstances: stream, version, position in the log, time (UTC), actor, command."""

    stream: str
    version: int
    fact: F
    recorded_at: datetime
    actor: str
    command_id: str
    cause: str | None = None
    position: int = 0

    @property
    def originator_id(self) -> str:
        """The stream, under the name that the event store asks for."""
        return self.stream

    @property
    def originator_version(self) -> int:
        """The version, under the name that the event store asks for."""
        return self.version


FACTS: dict[str, type[Fact]] = {}
NAMES: dict[type[Fact], str] = {}
PRIVATE: dict[type[Fact], dict[str, Any]] = {}
UPCASTS: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {}


def stored(name: str) -> Callable[[C], C]:
    """Give a fact its stored name, `what-happened/N`. Refuse a taken name, and private fields without a holder."""

    def register(cls: C) -> C:
        if name in FACTS or name in UPCASTS:
            raise ValueError(f"the stored name {name} is taken")
        private = _private_fields(cls)
        if private and "holder" not in cls.__struct_fields__:
            raise ValueError(f"{name} has private fields and must name its holder")
        FACTS[name], NAMES[cls], PRIVATE[cls] = cls, name, private
        return cls

    return register


def upcast(name: str, *, to: str) -> Callable[[Callable[[dict[str, Any]], dict[str, Any]]], None]:
    """Register how the fields of the old stored name become those of the next one. Sealed fields pass untouched."""

    def register(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        if name in FACTS or name in UPCASTS:
            raise ValueError(f"the stored name {name} is still in use")
        UPCASTS[name] = (to, change)

    return register


def _private_fields(cls: type[Fact]) -> dict[str, Any]:
    """The private fields of a fact and the type inside each."""
    found = {}
    for field, hint in get_type_hints(cls).items():
        for part in (hint, *get_args(hint)):
            if get_origin(part) is Private:
                found[field] = get_args(part)[0]
    return found


def private_values(fact: Fact) -> list[tuple[str, Private[Any]]]:
    """The private fields of a fact that hold something."""
    values = [(field, cast("Private[Any] | None", getattr(fact, field))) for field in PRIVATE[type(fact)]]
    return [(field, value) for field, value in values if value is not None]
