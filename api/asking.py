"""What a request asks, read strictly: moments, JSON bodies, uploads, and the text of a QR. All raise BadRequest."""

from collections.abc import AsyncGenerator
from datetime import date, datetime
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from api.documents.reading import MAX_BYTES
from api.errors import BadRequest, Pointed, TooLarge
from registry.terms import YEARS

MAX_BATCH = 100
MAX_JSON = 64 * 1024
MAX_FORM = MAX_BYTES + 64 * 1024  # the file, and what multipart puts around it
MAX_READ = 50_000_000
MAX_FIELDS = 5
TOKEN_DIGITS = 40  # more digits than this are a token's; a verification code has 17 characters


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be asked about: a code, a QR text or URL, or a token in its decimal digits."""

    target: str


class AskMany(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several codes at once, at most 100."""

    codes: list[str]


class Scanned(NamedTuple):
    """What a scanner or a person hands over: the code, and the token's digits; None if there are none."""

    code: str
    digits: str | None


def scanned(text: str) -> Scanned:
    """Take a QR text, an address, a code or bare token digits apart. It never fails: the code may be none.

    The address counts by what follows `/v/` and `#`, whatever its host: a code and a signature mean the same on
    every site, and the answer is ours.
    """
    address, _, fragment = text.strip().partition("#")
    if address.isdecimal() and len(address) > TOKEN_DIGITS:
        return Scanned("", address)
    if address.startswith(("http://", "https://")):
        _, mark, path = address.partition("?")[0].rpartition("/v/")
        address = unquote(path) if mark else ""
    return Scanned(address, fragment if fragment.isdecimal() else None)


def moments(request: Request) -> tuple[date | None, datetime | None]:
    """`as_of` (civil date) and `known_at` (instant with its offset) of the query. Raise BadRequest for each."""
    if not request.scope["query_string"]:
        return None, None
    query, errors = request.query_params, list[Pointed]()
    day, moment = None, None
    try:
        day = date.fromisoformat(query["as_of"]) if query.get("as_of") else None
    except ValueError:
        errors.append(Pointed("query/as_of", "as_of 应为日期，如 2026-11-22"))
    try:
        moment = _instant(query["known_at"]) if query.get("known_at") else None
    except ValueError:
        errors.append(Pointed("query/known_at", "known_at 应为带时区的时刻，如 2026-11-22T14:05:00+08:00"))
    if errors:
        raise BadRequest(errors)
    return day, moment


def _instant(text: str) -> datetime:
    """An instant with its offset; a plus that was not escaped in the query came as a blank. Raise ValueError."""
    moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    if moment.utcoffset() is None or not YEARS[0] <= moment.year <= YEARS[1]:
        raise ValueError(text)
    return moment


async def body_of(request: Request, limit: int = MAX_JSON, pointer: str = "") -> bytes:
    """The body, at most `limit` bytes. Raise TooLarge for more; what a header says of the length is not believed.

    The rest is read and thrown away, up to MAX_READ: a browser that is still sending shows no answer.
    """
    chunks, size = list[bytes](), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            chunks.clear()
        else:
            chunks.append(chunk)
        if size > MAX_READ:
            break
    if size > limit:
        raise TooLarge([Pointed(pointer, f"内容过大：最多 {limit} 字节")])
    return b"".join(chunks)


def decode(body: bytes, kind: type[Any]) -> Any:
    """Decode a JSON body strictly. Raise BadRequest naming the place."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        detail, _, place = str(error).partition(" - at `$")
        pointer = place.strip("`").replace("[", ".").replace("]", "").replace(".", "/")
        raise BadRequest([Pointed(pointer, detail)]) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest([Pointed("", f"不是合法的 JSON：{error}")]) from error


async def uploaded(request: Request) -> bytes:
    """The file of a multipart form's field `file`, at most 5,000,000 bytes.

    Raise BadRequest if there is none or it is empty, TooLarge for a larger one. It is kept in memory, never on disk.
    """
    body = await body_of(request, MAX_FORM, "/file")
    parser = MultiPartParser(request.headers, _once(body), max_files=1, max_fields=MAX_FIELDS)
    parser.spool_max_size = MAX_FORM
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError, LookupError) as error:
        raise BadRequest([Pointed("", "不是合法的 multipart/form-data")]) from error
    file = form.get("file")
    data = await file.read() if isinstance(file, UploadFile) else b""
    await form.close()
    if len(data) > MAX_BYTES:
        raise TooLarge([Pointed("/file", f"文件过大：{len(data)} 字节，最多 {MAX_BYTES} 字节")])
    if not data:
        raise BadRequest([Pointed("/file", "没有上传文件，或文件为空")])
    return data


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
