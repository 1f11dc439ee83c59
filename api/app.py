"""The HTTP service: routes by reader, one error map, one description (/openapi.json). Each process opens the data."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api import employers, operators
from api.description import docs_page, openapi
from api.employers import page, view_of
from api.errors import BadRequest, answer_error, report, status_of
from api.pages import render_error
from api.settings import Settings
from keys.errors import KeysError
from registry.errors import RegistryError
from registry.service import Registry


def create_app(registry: Registry) -> FastAPI:
    """The application over an open registry. Public routes need no sign-in; nothing here writes."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        registry.close()

    app = FastAPI(
        title="Title registry",
        version=version("title-registry"),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.registry = registry
    app.router.routes.extend([*employers.ROUTES, *operators.ROUTES])
    app.add_route("/docs", partial(_docs, app), include_in_schema=False)
    app.openapi = partial(openapi, app)  # type: ignore[method-assign]
    for kind in (RegistryError, KeysError, BadRequest, HTTPException, Exception):
        app.add_exception_handler(kind, _answer)
    return app


def from_environment() -> FastAPI:
    """The application of one service process, opened by its settings."""
    settings = Settings()
    return create_app(Registry.open(settings.data, settings.read_passphrase()))


async def _docs(app: FastAPI, _: Request) -> Response:
    return HTMLResponse(docs_page(app.openapi()), headers={"Cache-Control": "public, max-age=300"})


async def _answer(request: Request, error: Exception) -> Response:
    """A problem document for programs, a page for people who opened an address."""
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
    if not wants_page:
        return await answer_error(request, error)
    status = _page_status(error)
    error_id = report(error) if status >= 500 else None
    return page(render_error(status, error_id=error_id, **view_of(request)), status)


def _page_status(error: Any) -> int:
    if isinstance(error, BadRequest):
        return 422
    return int(error.status_code) if isinstance(error, HTTPException) else status_of(error)
