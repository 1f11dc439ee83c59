"""For whoever verifies a certificate: the page behind the QR, the JSON answer, the upload. Public; no sign-in.

A verdict is never cached. What could not be checked is answered `unavailable` (503) and never looks like "invalid".
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any

import msgspec
from cryptography import x509
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.asking import MAX_BATCH, Ask, AskMany, body_of, decode, moments, scanned, uploaded
from api.documents.reading import judged, read_image, read_pdf
from api.errors import PRIVATE, BadRequest, Pointed, report
from api.pages import CONTENT_SECURITY_POLICY, Language, render_answer, render_home
from api.scans import Scans
from api.verifiers import remember
from api.waiting import reach_asked
from registry.answers import Channel
from registry.errors import BadCode, BadInput
from registry.log.kind import Found
from registry.log.log import KnownAt
from registry.service import Registry
from registry.terms import Status
from registry.titles.answer import Answer, Step
from registry.titles.code import parse_code
from registry.titles.digits import from_digits
from registry.titles.verification import SENTENCES, STEPS

STATUS_CODES = {
    Status.UNKNOWN: 404,
    Status.LINK_EXPIRED: 410,
    Status.UNREADABLE: 422,
    Status.UNAVAILABLE: 503,
}
_PAGE = {**PRIVATE, "Content-Security-Policy": CONTENT_SECURITY_POLICY}
_JSON = [(name.lower().encode(), value.encode()) for name, value in PRIVATE.items()]
_JSON.append((b"content-type", b"application/json"))


class JsonAnswer(Response):
    """A JSON answer. Its headers are the same every time, so they were encoded once."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.body, self.status_code, self.background = body, status, None
        self.raw_headers = [*_JSON, (b"content-length", b"%d" % len(body))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it whole."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


def registry_of(request: Request) -> Registry:
    """The registry of this process."""
    registry: Registry = request.app.state.registry
    return registry


def respond(answer: Answer) -> Response:
    """The answer as JSON."""
    return JsonAnswer(msgspec.json.encode(answer), STATUS_CODES.get(answer.status, 200))


def unavailable(registry: Registry, error: Exception) -> tuple[Answer, str]:
    """The answer when the check itself failed, and the id under which that was logged."""
    zh, en = SENTENCES[Status.UNAVAILABLE]
    now = registry.clock()
    answer = Answer(status=Status.UNAVAILABLE, sentence=zh, sentence_en=en, checked_at=now, log_position=0)
    return answer, report(error)


async def verification(request: Request) -> Response:
    """GET /api/v1/verifications/{code}. Runs inline on a read-only path: a few small reads of one file."""
    registry = registry_of(request)
    as_of, known_at = moments(request)
    if request.scope["query_string"]:
        await reach_asked(request)
    answer, _ = await scan(request, as_of, known_at)
    await remember(request, answer)
    return respond(noted(registry, answer, Channel.CODE_JSON))


def noted(registry: Registry, answer: Answer, channel: Channel) -> Answer:
    """The answer, remembered in the log of answers given. That costs next to nothing and cannot fail."""
    registry.answers.record(answer, channel)
    return answer


async def scan(request: Request, as_of: date | None, known_at: datetime | None) -> tuple[Answer, str | None]:
    """Check the code in the path, looked up together with those of other requests; see `checked`."""
    registry, code = registry_of(request), request.path_params["code"]
    scans: Scans = request.app.state.scans
    try:
        found = await scans.find(code)
    except Exception as error:  # noqa: BLE001 - as in `checked`
        return unavailable(registry, error)
    return checked(registry, code, as_of, known_at, found)


def checked(
    registry: Registry,
    code: str,
    as_of: date | None = None,
    known_at: datetime | None = None,
    found: Found | None = None,
) -> tuple[Answer, str | None]:
    """Check a code; when that fails for whatever reason the answer is `unavailable`, with the id of the error."""
    try:
        return registry.verifier.check(code, found, as_of=as_of, known_at=known_at), None
    except Exception as error:  # noqa: BLE001 - whatever it was, it must not look like a verdict
        return unavailable(registry, error)


async def verify_upload(request: Request) -> Response:
    """POST /api/v1/verifications: JSON {"target": …}, or a PDF or picture as multipart field `file`."""
    registry = registry_of(request)
    as_of, known_at = moments(request)
    await reach_asked(request)
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        data = await uploaded(request)
        answer = await run_in_threadpool(check_file, registry, data, as_of, known_at)
        await remember(request, answer)
        return respond(noted(registry, answer, Channel.FILE))
    ask = decode(await body_of(request), Ask)
    channel = Channel.CODE_JSON if scanned(ask.target).digits is None else Channel.TOKEN
    answer = check_text(registry, ask.target, as_of, known_at)
    await remember(request, answer)
    return respond(noted(registry, answer, channel))


async def verify_batch(request: Request) -> Response:
    """POST /api/v1/verifications/batch: {"codes": […]}, at most 100; one answer each, in order."""
    registry = registry_of(request)
    as_of, known_at = moments(request)
    await reach_asked(request)
    codes = decode(await body_of(request), AskMany).codes
    if not 0 < len(codes) <= MAX_BATCH:
        raise BadRequest([Pointed("/codes", f"一次核验 1 到 {MAX_BATCH} 个查验码")])
    answers = [noted(registry, answer, Channel.BATCH) for answer in _batch(registry, codes, as_of, known_at)]
    await remember(request, *answers)
    return JsonAnswer(msgspec.json.encode({"answers": answers}))


def _batch(registry: Registry, codes: Sequence[str], as_of: date | None, known_at: datetime | None) -> Iterator[Answer]:
    """The answers for codes that are looked up together."""
    try:
        found = registry.verifier.find(codes)
    except Exception as error:  # noqa: BLE001 - as in `checked`
        yield from [unavailable(registry, error)[0]] * len(codes)
        return
    for code, one in zip(codes, found, strict=True):
        yield checked(registry, code, as_of, known_at, one)[0]


def check_text(registry: Registry, text: str, as_of: date | None, known_at: KnownAt | None) -> Answer:
    """Check what a scanner or a person hands over: code, URL, QR text, or bare token digits.

    A token is checked first, and must be that of the code beside it. The host of an address counts for nothing.
    """
    code, digits = scanned(text)
    try:
        if digits is None:
            return registry.verifier.check(code, as_of=as_of, known_at=known_at)
        answer = registry.verifier.check_token(from_digits(digits), as_of=as_of, known_at=known_at)
        if code and not same_code(answer, code):
            return _refused(registry, Status.TAMPERED, "签名属于另一张证书，与旁边的查验码不符")
        return answer
    except BadInput as error:
        return _refused(registry, Status.UNREADABLE, error.message)
    except Exception as error:  # noqa: BLE001 - whatever it was, it must not look like a verdict
        return unavailable(registry, error)[0]


def same_code(answer: Answer, code: str) -> bool:
    """Whether the code beside a token is that of the certificate the token belongs to."""
    try:
        return answer.certificate is None or answer.certificate.code == parse_code(code)
    except BadCode:
        return False


def _refused(registry: Registry, status: Status, why: str) -> Answer:
    """The answer about something that names no certificate; its one step says why."""
    zh, en = SENTENCES[status]
    return Answer(
        status=status,
        sentence=zh,
        sentence_en=en,
        checked_at=registry.clock(),
        log_position=registry.log.head(),
        steps=(Step(1, *STEPS[0], "failed", why),),
    )


def check_file(registry: Registry, data: bytes, as_of: date | None, known_at: KnownAt | None) -> Answer:
    """Check an uploaded PDF (its signature, then the token it carries) or a picture of a QR."""
    try:
        if b"%PDF-" not in data[:1024]:
            text = read_image(data)
            if text is None:
                return _refused(registry, Status.UNREADABLE, "图片中没有二维码，或不止一个")
            return check_text(registry, text, as_of, known_at)
        intact = read_pdf(data, x509.load_pem_x509_certificate(registry.custody.root_certificate_pem))
        reading = judged(intact, registry.custody.keyring)
        if reading.token is None:
            broken = reading.signature == "broken"
            return _refused(registry, Status.TAMPERED if broken else Status.UNREADABLE, reading.detail)
        answer = registry.verifier.check_token(reading.token, as_of=as_of, known_at=known_at)
        return answer if reading == intact else _noting(answer, reading.detail)
    except BadInput as error:
        return _refused(registry, Status.UNREADABLE, error.message)
    except Exception as error:  # noqa: BLE001 - whatever it was, it must not look like a verdict
        return unavailable(registry, error)[0]


def _noting(answer: Answer, detail: str) -> Answer:
    """The answer with a word about the file at its first step."""
    first = [msgspec.structs.replace(step, detail=detail) for step in answer.steps[:1]]
    return msgspec.structs.replace(answer, steps=(*first, *answer.steps[1:]))


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
    """GET /: one question, the code or a file."""
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
    answer, error_id = await scan(request, as_of, known_at)
    await remember(request, noted(registry, answer, Channel.CODE_PAGE))
    text = render_answer(answer, code_shown=code, error_id=error_id, **view_of(request))
    return page(text, STATUS_CODES.get(answer.status, 200))


async def upload_page(request: Request) -> Response:
    """POST /v: the answer for an uploaded PDF or picture, as a page."""
    registry = registry_of(request)
    try:
        data = await uploaded(request)
    except BadRequest as error:
        return page(render_home(**view_of(request), error=str(error), error_field="file"), error.status)
    answer = noted(registry, await run_in_threadpool(check_file, registry, data, None, None), Channel.FILE)
    await remember(request, answer)
    shown = answer.certificate.code if answer.certificate else ""
    return page(render_answer(answer, code_shown=shown, **view_of(request)), STATUS_CODES.get(answer.status, 200))


# Tried in this order: what is asked most stands first. A code is a path, for whatever is no code is answered alike.
BY_CODE = "/api/v1/verifications/"
ROUTES = [
    Route(BY_CODE + "{code:path}", verification, methods=["GET"]),
    Route("/v/{code:path}", code_page, methods=["GET"]),
    Route("/api/v1/verifications", verify_upload, methods=["POST"]),
    Route("/api/v1/verifications/batch", verify_batch, methods=["POST"]),
    Route("/", home, methods=["GET"]),
    Route("/v", find, methods=["GET"]),
    Route("/v", upload_page, methods=["POST"]),
]
