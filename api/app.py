"""The HTTP service: routes by reader, one error map, one description (/openapi.json). Each process opens the data."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import auditors, employers, inside, operators
from api.description import docs_page, openapi
from api.employers import page, view_of
from api.errors import PRIVATE, BadRequest, answer_error, report, status_of
from api.limiting import Limiting, count
from api.metrics import Counting
from api.pages import CONTENT_SECURITY_POLICY, render_error
from api.replica import read_from
from api.scans import Scans
from api.sequencing import Sequencing, alone
from api.settings import Settings
from api.signin import web
from api.signin.limits import Limits
from api.waiting import Waiting
from keys.errors import KeysError
from registry.errors import RegistryError
from registry.processes import end_with_parent
from registry.service import Registry

_KEPT = {**PRIVATE, "Cache-Control": "public, max-age=300", "Content-Security-Policy": CONTENT_SECURITY_POLICY}


class Service(FastAPI):
    """FastAPI, with one short cut: the answer for a code is given before the framework's middleware.

    A scan is by far the most frequent request, and the middleware would cost it more than its own work. The handler is
    the same as the route's, and so are its errors.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["method"] != "GET" or not _asks_for_a_code(scope["path"]):
            await super().__call__(scope, receive, send)
            return
        scope["app"], scope["path_params"] = self, {"code": scope["path"][len(employers.BY_CODE) :]}
        request = Request(scope, receive)
        try:
            count(scope, "public")
            response = await employers.verification(request)
        except Exception as error:  # noqa: BLE001 - every error gets its answer, as in the last resort below
            response = await _answer(request, error)
        self.state.figures.verifications[response.status_code] += 1
        await response(scope, receive, send)


def _asks_for_a_code(path: str) -> bool:
    return path.startswith(employers.BY_CODE) and not path.endswith(auditors.RECEIPT_ENDING)


def create_app(registry: Registry) -> Service:
    """The application over an open registry. Public routes need no sign-in; all others ask who is there."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(_tidy, registry, app.state.accounts.prune)
        sequencing.start()
        yield
        await asyncio.to_thread(inside.close, app)
        await asyncio.to_thread(sequencing.stop)
        web.close(app)
        registry.close()

    app = Service(
        title="Title registry",
        version=version("title-registry"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would lead to wherever the Host header says
        lifespan=lifespan,
    )
    app.state.registry, app.state.limits, app.state.scans = registry, Limits(), Scans(registry)
    inside.prepare(app, registry)
    sequencing = Sequencing(registry)
    app.state.waiting, app.state.figures.duties = Waiting(registry.log, sequencing.following), sequencing.duties
    web.configure(app)
    registry.sweeping.also.append(app.state.accounts.forget)
    app.openapi = partial(openapi, app)  # type: ignore[method-assign]
    described = [Route("/openapi.json", partial(_description, app)), Route("/docs", partial(_docs, app))]
    routes = [auditors.RECEIPT, *employers.ROUTES, *auditors.ROUTES, *inside.ROUTES, *web.ROUTES, *operators.ROUTES]
    app.router.routes.extend([*routes, *described])
    for kind in (RegistryError, KeysError, BadRequest, HTTPException):
        app.add_exception_handler(kind, _answer)
    app.add_middleware(Limiting)
    app.add_middleware(_LastResort)
    app.add_middleware(Counting, figures=app.state.figures)
    return app


def from_environment() -> Service:
    """The application of one service process, opened by its settings; one of several ends with the first."""
    end_with_parent()
    settings = Settings()
    registry = Registry.open(settings.data, settings.read_passphrase(), checkpoints=settings.checkpoints)
    if settings.read_database:
        read_from(registry, settings.read_database)
    return create_app(registry)


def _tidy(registry: Registry, prune: Callable[[], None]) -> None:
    """What a crash left of persons who were erased, and what is over. One process at a time, and others do not wait.

    A reader in the way keeps no service from starting: see doctor.
    """
    try:
        alone(registry, "sweeping", registry.sweeping.sweep_all)
    except RegistryError as error:
        report(error)
    prune()


class _LastResort:
    """Answers whatever nobody expected, and keeps its message from the server's log: it may name people."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception as error:
            if scope["type"] != "http":
                raise
            if started:
                report(error)
            else:
                await (await _answer(Request(scope, receive), error))(scope, receive, send)


async def _description(app: FastAPI, _: Request) -> Response:
    return Response(msgspec.json.encode(app.openapi()), 200, _KEPT, "application/json")


async def _docs(app: FastAPI, _: Request) -> Response:
    return HTMLResponse(docs_page(app.openapi()), headers=_KEPT)


async def _answer(request: Request, error: Exception) -> Response:
    """A problem document for programs, a page for people who opened an address."""
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
    if not wants_page:
        return answer_error(error)
    status = _page_status(error)
    error_id = report(error) if status >= 500 else None
    response = page(render_error(status, error_id=error_id, **view_of(request)), status)
    response.headers.update(getattr(error, "headers", None) or {})
    return response


def _page_status(error: Exception) -> int:
    if isinstance(error, BadRequest):
        return error.status
    return error.status_code if isinstance(error, HTTPException) else status_of(error)
