"""Between facts and stored bytes: JSON with the circumstances around the fact; personal fields as sealed boxes.

Stored bytes: {"recorded_at","actor","command_id","cause"?,"fact":{…}}, fields in the order of the class. A box is
AES-256-GCM under the holder's data key, with stream|version|field as additional data, so that no box can be moved.
"""

import binascii
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from eventsourcing.persistence import Mapper, Notification, StoredEvent

from keys.errors import SealBroken
from keys.vault import DataKey
from registry.errors import BadInput, CorruptHistory
from registry.log.facts import FACTS, NAMES, PRIVATE, UPCASTS, Fact, Private, Recorded, private_values

F = TypeVar("F")


class _Stored(msgspec.Struct, Generic[F], omit_defaults=True, gc=False):
    recorded_at: Annotated[datetime, msgspec.Meta(tz=True)]
    actor: str
    command_id: str
    fact: F
    cause: str | None = None


def _box_out(value: Any) -> Any:
    if isinstance(value, Private) and value.box is not None:
        return value.box
    raise TypeError("a personal value must be sealed before it is stored")


def _box_in(kind: Any, value: Any) -> Any:
    try:
        return Private(box=binascii.a2b_base64(value, strict_mode=True))
    except (binascii.Error, TypeError) as error:
        raise ValueError("a sealed field must be base64") from error


_encode = msgspec.json.Encoder(enc_hook=_box_out).encode
_decoders: dict[str, Callable[[bytes], Any]] = {}


class FactMapper(Mapper[str]):
    """Maps recorded facts to stored events and back. Sealing and opening are the log's: here a box stays a box."""

    def __init__(self) -> None:
        """Take no transcoder, compressor or cipher: msgspec writes, and the vault seals single fields."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """Encode a recorded fact. Raise TypeError for a personal field in clear, BadInput for lone surrogates."""
        event: Recorded[Fact] = domain_event
        try:
            state = _encode(_Stored(event.recorded_at, event.actor, event.command_id, event.fact, event.cause))
        except UnicodeEncodeError as error:
            raise BadInput("含有不能保存的字符", fix="核对后重新录入") from error
        return StoredEvent(event.stream, event.version, NAMES[type(event.fact)], state)

    def to_domain_event(self, stored_event: StoredEvent) -> Recorded[Fact]:
        """Decode stored bytes, upcasting old names. Raise CorruptHistory for bytes that are no fact of ours."""
        position = stored_event.id if isinstance(stored_event, Notification) else 0
        return decode(
            str(stored_event.originator_id),
            stored_event.originator_version,
            stored_event.topic,
            stored_event.state,
            position,
        )


def decode(stream: str, version: int, name: str, state: bytes, position: int = 0) -> Recorded[Fact]:
    """Decode one stored event. Raise CorruptHistory naming stream and version for bytes that are no fact of ours."""
    try:
        one = (_decoders.get(name) or _decoder(name))(state)
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise CorruptHistory(f"stored event {stream} version {version} ({name}) cannot be read: {error}") from error
    return Recorded(stream, version, one.fact, one.recorded_at, one.actor, one.command_id, one.cause, position)


def _decoder(name: str) -> Callable[[bytes], Any]:
    decode_: Callable[[bytes], Any]
    if name in UPCASTS:
        target, change = UPCASTS[name]
        raw = msgspec.json.Decoder(_Stored[dict[str, Any]]).decode

        def decode_(state: bytes) -> Any:
            old = raw(state)
            new = _Stored(old.recorded_at, old.actor, old.command_id, change(old.fact), old.cause)
            return (_decoders.get(target) or _decoder(target))(msgspec.json.encode(new))

    else:
        decode_ = msgspec.json.Decoder(_Stored.__class_getitem__(FACTS[name]), dec_hook=_box_in).decode  # type: ignore[attr-defined]
    _decoders[name] = decode_
    return decode_


def position_of(stream: str, version: int, field: str) -> bytes:
    """The additional data that binds a box to its place (stream|version|field)."""
    return f"{stream}|{version}|{field}".encode()


def seal(fact: Fact, stream: str, version: int, key_of: Callable[[str], DataKey]) -> Fact:
    """Return the fact with every personal value sealed under its holder's data key for this very place.

    Raise BadInput for lone surrogates.
    """
    values = private_values(fact)
    if not values:
        return fact
    key = key_of(fact.holder)  # type: ignore[attr-defined]
    try:
        boxes: dict[str, Private[Any]] = {
            field: Private(box=key.seal(msgspec.json.encode(value.reveal()), position_of(stream, version, field)))
            for field, value in values
        }
    except UnicodeEncodeError as error:
        raise BadInput("含有不能保存的字符", fix="核对后重新录入") from error
    return msgspec.structs.replace(fact, **boxes)


def open_field(event: Recorded[Fact], field: str, key: DataKey) -> Any:
    """Open one box of an event. Raise CorruptHistory if its seal is broken."""
    return _open(event, field, getattr(event.fact, field), key).value


def unseal(event: Recorded[Fact], key_of: Callable[[str], DataKey | None]) -> Recorded[Fact]:
    """Open the boxes of an event; without the data key they stay sealed. Raise CorruptHistory if a seal is broken."""
    if not PRIVATE[type(event.fact)]:
        return event
    values = private_values(event.fact)
    key = key_of(event.fact.holder) if values else None  # type: ignore[attr-defined]
    if key is None:
        return event
    opened = {field: _open(event, field, value, key) for field, value in values}
    return msgspec.structs.replace(event, fact=msgspec.structs.replace(event.fact, **opened))


@cache
def _clear(kind: Any) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(kind).decode


def _open(event: Recorded[Fact], field: str, value: Private[Any], key: DataKey) -> Private[Any]:
    if value.box is None:
        raise CorruptHistory(f"{event.stream} version {event.version}: {field} is stored in clear")
    try:
        clear = key.open(value.box, position_of(event.stream, event.version, field))
        return Private(_clear(PRIVATE[type(event.fact)][field])(clear), value.box)
    except (SealBroken, msgspec.MsgspecError) as error:
        raise CorruptHistory(f"{event.stream} version {event.version}: the seal of {field} is broken") from error
