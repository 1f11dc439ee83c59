"""For operators and for verifying programs: health, readiness, public keys, static files. No personal data."""

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from api.auditors import frozen
from api.employers import JsonAnswer, registry_of
from api.errors import PRIVATE
from api.pages import STATIC_FOLDER
from api.sequencing import lag
from keys.ceremony import text_of
from keys.errors import KeysError
from keys.signing import Purpose
from registry.errors import LogFrozen, NotFound, RegistryError
from registry.service import Registry

_KEPT = {**PRIVATE, "Cache-Control": "public, max-age=300"}
# A page asks for `NAME?v=HASH`: what has another content has another address.
_FOR_EVER = "public, max-age=31536000, immutable"


async def healthz(_: Request) -> Response:
    """GET /healthz: the process runs."""
    return JsonAnswer(b'{"status":"ok"}')


async def readyz(request: Request) -> Response:
    """GET /readyz: the log extends what was signed, and a signing key is in force; says what is wrong otherwise (503).

    A frozen log is not ready, and the process still runs (healthz): restarting it would mend nothing.
    """
    registry = registry_of(request)
    try:
        registry.continuity.require()
    except LogFrozen as error:
        return frozen(error)
    registry.custody.keyring.current(Purpose.E_CERTIFICATE, registry.clock())
    ready = {"status": "ready", "log_position": registry.log.head()}
    return JsonAnswer(msgspec.json.encode(ready | await run_in_threadpool(_behind, registry)))


def _behind(registry: Registry) -> dict[str, int | float]:
    """How far tree and register are behind; nothing where that cannot be read: verification needs neither."""
    try:
        now = lag(registry)
    except (RegistryError, KeysError):
        return {}
    return {
        "register_position": now.register,
        "tree_size": now.leaves,
        "register_behind_seconds": now.register_seconds,
        "tree_behind_seconds": now.tree_seconds,
    }


async def jwks(request: Request) -> Response:
    """GET /.well-known/jwks.json: every public key by id (RFC 7517), retired ones too."""
    body = msgspec.json.encode(registry_of(request).custody.keyring.to_jwks())
    return Response(body, 200, _KEPT, "application/jwk-set+json")


async def root_certificate(request: Request) -> Response:
    """GET /.well-known/root.pem: the root under which PDF signatures are checked."""
    pem = registry_of(request).custody.root_certificate_pem
    return Response(pem, 200, _KEPT, "application/x-pem-file")


async def key_set(request: Request) -> Response:
    """GET /.well-known/key-set: the key set in force with its approvals (docs/formats.md)."""
    newest = registry_of(request).keysets.newest()
    if newest is None:
        raise NotFound("还没有密钥集", fix="请用 /.well-known/jwks.json")
    return Response(text_of(newest), 200, _KEPT, "application/json")


class _Static(StaticFiles):
    """The style sheet, the script and the drawings; nothing outside their folder."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update({**PRIVATE, "Cache-Control": _FOR_EVER if scope["query_string"] else "no-cache"})
        return response


ROUTES = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/.well-known/jwks.json", jwks),
    Route("/.well-known/key-set", key_set),
    Route("/.well-known/root.pem", root_certificate),
    Mount("/static", _Static(directory=STATIC_FOLDER), name="static"),
]
