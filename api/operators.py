"""For operators and for verifying programs: health, readiness, public keys, static files. No personal data."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from api.employers import registry_of
from api.pages import STATIC_FOLDER
from keys.signing import Purpose

_NO_STORE = {"Cache-Control": "no-store"}


async def healthz(_: Request) -> Response:
    """GET /healthz: the process runs."""
    return Response(b'{"status":"ok"}', 200, _NO_STORE, "application/json")


async def readyz(request: Request) -> Response:
    """GET /readyz: the log can be read and a signing key is in force; raises what is wrong otherwise (503)."""
    registry = registry_of(request)
    registry.custody.keyring.current(Purpose.E_CERTIFICATE, registry.clock())
    body = {"status": "ready", "log_position": registry.log.head()}
    return Response(msgspec.json.encode(body), 200, _NO_STORE, "application/json")


async def jwks(request: Request) -> Response:
    """GET /.well-known/jwks.json: every public key by id (RFC 7517), retired ones too."""
    body = msgspec.json.encode(registry_of(request).custody.keyring.to_jwks())
    return Response(body, 200, {"Cache-Control": "public, max-age=300"}, "application/jwk-set+json")


async def root_certificate(request: Request) -> Response:
    """GET /.well-known/root.pem: the root under which PDF signatures are checked."""
    pem = registry_of(request).custody.root_certificate_pem
    return Response(pem, 200, {"Cache-Control": "public, max-age=300"}, "application/x-pem-file")


ROUTES = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/.well-known/jwks.json", jwks),
    Route("/.well-known/root.pem", root_certificate),
    Mount("/static", StaticFiles(directory=STATIC_FOLDER), name="static"),
]
