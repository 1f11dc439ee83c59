"""What the doors of signed-in readers do alike: queries read strictly, positions, cursors, what is out of reach.

A matter that does not exist and one that is out of the asker's reach are answered alike, so that an id tells nothing;
a right that is missing altogether is 403 (`admit`). A write answers with a log position: a read that names it as
`min_position` sees the write.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api.errors import PRIVATE, BadRequest, Pointed
from api.waiting import MOST_POSITION, reach
from keys.errors import SealBroken
from keys.vault import DataKey
from registry.errors import Forbidden, NotFound, Unavailable
from registry.looks import Purpose
from registry.permissions import Permission
from registry.service import Registry
from registry.titles.state import TITLES, Title

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]

MOST_A_PAGE, A_PAGE = 200, 50

_PLAIN = r"^[^\x00-\x1f\x7f]*$"
_LINES = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
Short = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=_PLAIN)]
Long = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000, pattern=_LINES)]
Position = Annotated[int, msgspec.Meta(ge=0, le=MOST_POSITION)]
Cursor = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=MOST_A_PAGE)]


class Reading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every read may say in its query: the log position that it must have seen."""

    min_position: Position = 0


class HandlingQuery(Reading, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a person's matter is looked at, where that is another reason than handling it."""

    purpose: Purpose = Purpose.HANDLING


class DecidingQuery(Reading, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a matter that waits is looked at, where that is another reason than deciding it."""

    purpose: Purpose = Purpose.DECIDING


Q = TypeVar("Q", bound=Reading)


def query_of(request: Request, kind: type[T]) -> T:
    """The query, strictly: an unknown name, one said twice, or a value that cannot be is BadRequest, with its place."""
    said = request.query_params.multi_items()
    names = [name for name, _ in said]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadRequest([Pointed(f"query/{name}", "只能给一次") for name in sorted(twice)])
    try:
        query = msgspec.convert(dict(said), kind, strict=False)
    except msgspec.ValidationError as error:
        detail, _, place = str(error).partition(" - at `$.")
        raise BadRequest([Pointed(f"query/{place.rstrip('`')}".rstrip("/"), detail)]) from error
    for name in names:  # bounds are not checked for integers of more than 64 bits
        if isinstance(value := getattr(query, name), int) and abs(value) > MOST_POSITION:
            raise BadRequest([Pointed(f"query/{name}", "数字过大")])
    return query


async def reading(request: Request, kind: type[Q]) -> Q:
    """The query of a read, once the log has reached its `min_position`; see `waiting`."""
    query = query_of(request, kind)
    await reach(request, query.min_position)
    return query


def answer(item: Any, status: int = 200, *, location: str | None = None) -> Response:
    """A JSON answer that nobody keeps."""
    headers = {**PRIVATE, "Location": location} if location else PRIVATE
    return Response(msgspec.json.encode(item), status, headers, "application/json")


def attachment(data: bytes, kind: str, name: str) -> Response:
    """A file to be saved: never shown in our origin, whatever is in it. `name` is ours, in ASCII."""
    sandbox = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox"}
    saved = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, 200, {**PRIVATE, **sandbox, **saved}, kind)


# what is out of reach


def hidden() -> NotFound:
    """The one answer for what does not exist and for what is out of reach."""
    return NotFound("没有这项登记，或者它不在您的权限范围内", fix="核对编号")


async def looked(look: Callable[[], T]) -> T:
    """Look at one thing in a thread. What is not there and what is out of reach is the same NotFound."""
    try:
        return await run_in_threadpool(look)
    except (Forbidden, NotFound):
        raise hidden() from None


def reachable(registry: Registry, actor: str, stream: str) -> Title:
    """A title that the actor may read. Raise NotFound alike for one that is not there and one out of reach."""
    title = registry.log.load(TITLES, stream)
    if title is None or registry.authorising.sight(actor, Permission.READ_TITLES, title.award.authority) is None:
        raise hidden()
    return title


def known_authority(registry: Registry, code: str, pointer: str = "/authority") -> str:
    """The code of an authority. Raise BadRequest at its place for one that there is not; which there are is public."""
    known = [one.code for one in registry.catalogue.authorities]
    if code not in known:
        raise BadRequest([Pointed(pointer, f"没有这个代码的发证机关；有：{'、'.join(known)}")])
    return code


# secrets of the doors, under keys that are derived from the vault's


def sealer(registry: Registry, purpose: str) -> DataKey:
    """A key for one purpose of the doors, the same in every process: HMAC-SHA256 of the vault, over a label."""
    return DataKey(bytes.fromhex(keyed(registry, f"door-key/1|{purpose}")))


def keyed(registry: Registry, text: str) -> str:
    """A keyed hash of a text (64 hex characters), so that what was said cannot be guessed from a file of ours."""
    vault = registry.log.vault
    if vault is None:
        raise Unavailable("the vault is closed", fix="open the registry with its passphrase")
    return vault.blind_index(text)


def cursor_to(registry: Registry, place: str, *asked: Any) -> str:
    """An opaque cursor that goes on at `place`, for just this question of just this asker."""
    box = sealer(registry, "cursor").seal(place.encode(), msgspec.json.encode(asked, order="deterministic"))
    return base64.urlsafe_b64encode(box).decode().rstrip("=")


def cursor_from(registry: Registry, cursor: str, *asked: Any) -> str:
    """Where a cursor goes on. Raise BadRequest for one that is not ours, or of another question or asker."""
    try:
        box = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        bound = msgspec.json.encode(asked, order="deterministic")
        return sealer(registry, "cursor").open(box, bound).decode()
    except (SealBroken, binascii.Error, ValueError) as error:
        raise BadRequest([Pointed("query/cursor", "不是这次查询的翻页标记；从第一页重新查询")]) from error
