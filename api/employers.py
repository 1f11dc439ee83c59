"""For whoever verifies a certificate: the page behind the QR, the JSON answer, the upload. Public; no sign-in.

A verdict is never cached. What could not be checked is answered `unavailable` (503) and never looks like "invalid".
"""

import re
from datetime import date, datetime
from typing import Any

import msgspec
from cryptography import x509
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api.documents.reading import read_image, read_pdf
from api.errors import BadRequest, Pointed, report
from api.pages import CONTENT_SECURITY_POLICY, Language, render_answer, render_home
from registry.errors import BadCode, BadInput
from registry.service import Registry
from registry.terms import Status
from registry.titles.answer import Answer
from registry.titles.code import parse_code
from registry.titles.digits import from_digits
from registry.titles.verification import SENTENCES

STATUS_CODES = {
    Status.UNKNOWN: 404,
    Status.LINK_EXPIRED: 410,
    Status.UNREADABLE: 422,
    Status.UNAVAILABLE: 503,
}
MAX_UPLOAD = 5 * 1024 * 1024
MAX_BATCH = 100
_JSON = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex",
         "X-Content-Type-Options": "nosniff"}  # fmt: skip
_PAGE = {**_JSON, "Content-Security-Policy": CONTENT_SECURITY_POLICY}
_QR_TEXT = re.compile(r"^\s*(?:https?://[^\s#]+/v/)?(?P<code>[^\s/#?]+)[^\s#]*(?:#(?P<token>\d+))?\s*$")


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be asked about: a code, a QR text or URL, or a token in its decimal digits."""

    target: str


class AskMany(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several codes at once, at most 100."""

    codes: list[str]


def registry_of(request: Request) -> Registry:
    """The registry of this process."""
    registry: Registry = request.app.state.registry
    return registry


def respond(answer: Answer) -> Response:
    """The answer as JSON."""
    body = msgspec.json.encode(answer)
    return Response(body, STATUS_CODES.get(answer.status, 200), _JSON, "application/json")


def unavailable(registry: Registry, error: Exception) -> tuple[Answer, str]:
    """The answer when the check itself failed, and the id under which that was logged."""
    zh, en = SENTENCES[Status.UNAVAILABLE]
    now = registry.clock()
    answer = Answer(status=Status.UNAVAILABLE, sentence=zh, sentence_en=en, checked_at=now, log_position=0)
    return answer, report(error)


async def verification(request: Request) -> Response:
    """GET /api/v1/verifications/{code}. Runs inline on a read-only path: a few small reads of one file."""
    registry = registry_of(request)
    as_of, known_at = moments(request) if request.scope["query_string"] else (None, None)
    return respond(checked(registry, request.path_params["code"], as_of, known_at)[0])


def checked(
    registry: Registry, code: str, as_of: date | None = None, known_at: datetime | None = None
) -> tuple[Answer, str | None]:
    """Check a code; when that fails for whatever reason the answer is `unavailable`, with the id of the error."""
    try:
        return registry.verifier.check(code, as_of=as_of, known_at=known_at), None
    except Exception as error:  # noqa: BLE001 - whatever it was, it must not look like a verdict
        return unavailable(registry, error)


def moments(request: Request) -> tuple[date | None, datetime | None]:
    """`as_of` (civil date) and `known_at` (instant with its offset) of the query. Raise BadRequest."""
    as_of, known_at, errors = request.query_params.get("as_of"), request.query_params.get("known_at"), []
    day, moment = None, None
    try:
        day = date.fromisoformat(as_of) if as_of else None
    except ValueError:
        errors.append(Pointed("query/as_of", "as_of 应为日期，如 2026-11-22"))
    try:
        moment = datetime.fromisoformat(known_at.replace(" ", "+")) if known_at else None
        if moment is not None and moment.tzinfo is None:
            errors.append(Pointed("query/known_at", "known_at 须带时区，如 2026-11-22T14:05:00+08:00"))
    except ValueError:
        errors.append(Pointed("query/known_at", "known_at 应为带时区的时刻，如 2026-11-22T14:05:00+08:00"))
    if errors:
        raise BadRequest(errors)
    return day, moment


async def verify_upload(request: Request) -> Response:
    """POST /api/v1/verifications: JSON {"target": …}, or a PDF or picture as multipart field `file`."""
    registry = registry_of(request)
    as_of, known_at = moments(request)
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        data = await uploaded(request)
        return respond(await run_in_threadpool(check_file, registry, data, as_of, known_at))
    ask = decode(await body_of(request), Ask)
    return respond(await run_in_threadpool(check_text, registry, ask.target, as_of, known_at))


async def verify_batch(request: Request) -> Response:
    """POST /api/v1/verifications/batch: {"codes": […]}, at most 100; one answer each, in order."""
    registry = registry_of(request)
    as_of, known_at = moments(request)
    codes = decode(await body_of(request), AskMany).codes
    if not 0 < len(codes) <= MAX_BATCH:
        raise BadRequest([Pointed("/codes", f"一次核验 1 到 {MAX_BATCH} 个查验码")])
    answers = [checked(registry, code, as_of, known_at)[0] for code in codes]
    body = msgspec.json.encode({"answers": answers})
    return Response(body, 200, _JSON, "application/json")


async def body_of(request: Request, limit: int = 64 * 1024) -> bytes:
    """The body, at most `limit` bytes. Raise BadRequest for more."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BadRequest([Pointed("", f"请求体超过 {limit} 字节")])
    return body


def decode(body: bytes, kind: type[Any]) -> Any:
    """Decode a JSON body strictly. Raise BadRequest naming the place."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        detail, _, place = str(error).partition(" - at `$")
        raise BadRequest([Pointed("/" + place.strip("`. ").replace(".", "/"), detail)]) from error
    except msgspec.DecodeError as error:
        raise BadRequest([Pointed("", f"不是合法的 JSON：{error}")]) from error


async def uploaded(request: Request) -> bytes:
    """The uploaded file, at most 5 MiB. Raise BadRequest if there is none or more than that."""
    if int(request.headers.get("content-length") or 0) > MAX_UPLOAD + 64 * 1024:
        raise BadRequest([Pointed("/file", "文件超过 5 MiB")])
    async with request.form(max_files=1, max_fields=5) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadRequest([Pointed("/file", "没有上传文件")])
        data = await file.read(MAX_UPLOAD + 1)
    if not data or len(data) > MAX_UPLOAD:
        raise BadRequest([Pointed("/file", "文件为空或超过 5 MiB")])
    return data


def check_text(registry: Registry, text: str, as_of: date | None, known_at: datetime | None) -> Answer:
    """Check what a scanner or a person hands over: code, URL, QR text, or bare token digits."""
    try:
        found = _QR_TEXT.match(text) or re.match(r"^(?P<code>.+)()$", text.strip(), re.DOTALL)
        token = found.groupdict().get("token") if found else None
        digits = token or (text.strip() if text.strip().isdigit() and len(text.strip()) > 40 else None)
        if digits is None:
            return registry.verifier.check(found["code"] if found else "", as_of=as_of, known_at=known_at)
        answer = registry.verifier.check_token(from_digits(digits), as_of=as_of, known_at=known_at)
        return answer if token is None or same_code(answer, found["code"] if found else "") else _tampered(answer)
    except BadInput:
        return _plain(registry, Status.UNREADABLE)
    except Exception as error:  # noqa: BLE001 - whatever it was, it must not look like a verdict
        return unavailable(registry, error)[0]


def same_code(answer: Answer, code: str) -> bool:
    """Whether the code beside a token is that of the certificate the token belongs to."""
    try:
        return answer.certificate is None or answer.certificate.code == parse_code(code)
    except BadCode:
        return False


def _tampered(answer: Answer) -> Answer:
    zh, en = SENTENCES[Status.TAMPERED]
    return msgspec.structs.replace(
        answer, status=Status.TAMPERED, sentence=zh, sentence_en=en, certificate=None, decision=None, steps=()
    )


def _plain(registry: Registry, status: Status) -> Answer:
    zh, en = SENTENCES[status]
    return Answer(
        status=status, sentence=zh, sentence_en=en, checked_at=registry.clock(), log_position=registry.log.head()
    )


def check_file(registry: Registry, data: bytes, as_of: date | None, known_at: datetime | None) -> Answer:
    """Check an uploaded PDF (its signature, then the token it carries) or a picture of a QR."""
    try:
        if b"%PDF-" not in data[:1024]:
            text = read_image(data)
            return check_text(registry, text, as_of, known_at) if text else _plain(registry, Status.UNREADABLE)
        reading = read_pdf(data, x509.load_pem_x509_certificate(registry.custody.root_certificate_pem))
        if reading.token is None:
            broken = reading.signature == "broken"
            return _plain(registry, Status.TAMPERED if broken else Status.UNREADABLE)
        return registry.verifier.check_token(reading.token, as_of=as_of, known_at=known_at)
    except BadInput:
        return _plain(registry, Status.UNREADABLE)
    except Exception as error:  # noqa: BLE001 - whatever it was, it must not look like a verdict
        return unavailable(registry, error)[0]


# pages


def view_of(request: Request) -> dict[str, Any]:
    """How the reader wants a page: language and elder view, from the query; what belongs to this registry."""
    config = registry_of(request).config
    language: Language = "en" if request.query_params.get("lang") == "en" else "zh"
    return {
        "host": config.base_url.partition("://")[2],
        "language": language,
        "elder": request.query_params.get("elder") == "1",
        "sample": config.sample,
        "phone": config.phone,
    }


def page(text: str, status: int = 200) -> Response:
    """A page of ours, never cached and never indexed."""
    return Response(text, status, _PAGE, "text/html; charset=utf-8")


async def home(request: Request) -> Response:
    """GET /: one question, the code or a file. With ?code= it leads on to the answer."""
    return page(render_home(**view_of(request)))


async def find(request: Request) -> Response:
    """GET /v?code=…: on to the answer; a malformed code stays here, with what is wrong at the field."""
    typed = request.query_params.get("code", "")
    try:
        code = parse_code(typed)
    except BadCode as error:
        return page(render_home(**view_of(request), typed=typed, error=f"{error.message}。{error.fix}"), 422)
    return RedirectResponse(f"/v/{code}{kept_view(request)}", 303, _PAGE)


def kept_view(request: Request) -> str:
    """The part of the query that keeps the reader's language and view."""
    kept = [f"{name}={value}" for name, value in request.query_params.items() if (name, value) in _VIEWS]
    return "?" + "&".join(kept) if kept else ""


_VIEWS = {("lang", "en"), ("elder", "1")}


async def code_page(request: Request) -> Response:
    """GET /v/{code}: the answer as a page. It works without a script; a script checks the fragment's token."""
    registry, code = registry_of(request), request.path_params["code"]
    as_of, known_at = moments(request)
    answer, error_id = checked(registry, code, as_of, known_at)
    text = render_answer(answer, code_shown=code, error_id=error_id, **view_of(request))
    return page(text, STATUS_CODES.get(answer.status, 200))


async def upload_page(request: Request) -> Response:
    """POST /v: the answer for an uploaded PDF or picture, as a page."""
    registry = registry_of(request)
    try:
        data = await uploaded(request)
    except BadRequest as error:
        return page(render_home(**view_of(request), error=str(error), error_field="file"), 422)
    answer = await run_in_threadpool(check_file, registry, data, None, None)
    shown = answer.certificate.code if answer.certificate else ""
    return page(render_answer(answer, code_shown=shown, **view_of(request)), STATUS_CODES.get(answer.status, 200))


ROUTES = [
    Route("/", home, methods=["GET"]),
    Route("/v", find, methods=["GET"]),
    Route("/v", upload_page, methods=["POST"]),
    Route("/v/{code}", code_page, methods=["GET"]),
    Route("/api/v1/verifications", verify_upload, methods=["POST"]),
    Route("/api/v1/verifications/batch", verify_batch, methods=["POST"]),
    Route("/api/v1/verifications/{code:path}", verification, methods=["GET"]),
]
