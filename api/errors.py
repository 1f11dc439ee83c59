"""The one place where our errors become HTTP: problem details (RFC 9457) with a stable `code`."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.signin.refusals import TooMany
from keys.errors import KeysError
from registry.errors import BadInput, CorruptHistory, Forbidden, NotFound, Refused, RegistryError, Unavailable

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (TooMany, 429),
    (Forbidden, 403),
    (BadInput, 422),
    (NotFound, 404),
    (Refused, 409),
    (Unavailable, 503),
    (CorruptHistory, 503),
    (KeysError, 503),
    (RegistryError, 500),
)
# On every answer of ours: it is not kept, not indexed, tells no other site where it was read, and loads nothing.
PRIVATE = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": "max-age=31536000",  # browsers heed it only over https
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_log = structlog.get_logger("api")


class Pointed(msgspec.Struct, frozen=True):
    """One thing wrong in a request: where (JSON pointer, or query/NAME) and what."""

    pointer: str
    detail: str


class BadRequest(Exception):
    """The request itself is malformed; `errors` name each place. Answered with 422."""

    status, code = 422, "bad-request"

    def __init__(self, errors: Sequence[Pointed]) -> None:
        super().__init__(errors[0].detail)
        self.errors = list(errors)


class TooLarge(BadRequest):
    """The request is larger than is taken. Answered with 413."""

    status, code = 413, "too-large"


def status_of(error: Exception) -> int:
    """The HTTP status of one of our errors."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    fix: str = "",
    errors: Sequence[Pointed] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document. `code` is stable, `detail` and `fix` are for people."""
    body: dict[str, Any] = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail}
    if fix:
        body["fix"] = fix
    if errors:
        body["errors"] = list(errors)
    return Response(msgspec.json.encode(body), status, {**PRIVATE, **(headers or {})}, "application/problem+json")


def answer_error(error: Exception) -> Response:
    """Answer an error of ours. What went wrong inside is logged under an id, without any personal data."""
    if isinstance(error, BadRequest):
        headers = getattr(error, "headers", None)
        return problem(error.status, error.code, str(error), errors=error.errors, headers=headers)
    if isinstance(error, HTTPException):
        return problem(error.status_code, f"http-{error.status_code}", str(error.detail), headers=error.headers)
    status = status_of(error)
    if status >= 500:
        error_id = report(error)
        return problem(status, getattr(error, "code", "internal"), "系统没有完成这个请求", fix=f"错误编号 {error_id}")
    known = error if isinstance(error, RegistryError) else RegistryError(str(error))
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, TooMany) else None
    return problem(status, known.code, known.message, fix=known.fix, headers=headers)


def report(error: Exception) -> str:
    """Log an error under a new id and return the id. Only its kind and place are logged: messages may name people."""
    error_id = uuid4().hex[:9]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    _log.error("failed", error_id=error_id, kind=type(error).__name__, place=place)
    return error_id
