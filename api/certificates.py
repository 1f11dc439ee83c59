"""For officers: sign the certificate of a title, and get the document of a certificate again."""

import threading
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.asking import body_of
from api.documents.delivery import deliver, proof_of
from api.documents.press import Press
from api.doors import HandlingQuery, attachment, hidden, looked, reachable, reading
from api.employers import registry_of
from api.idempotency import Done, once
from api.settings import Settings
from api.signin.principal import admit
from registry.errors import BadCode
from registry.looks import What
from registry.permissions import Permission, Sight
from registry.service import Registry
from registry.titles.state import Certificate, Title

_PDF = "application/pdf"


def certificate_item(one: Certificate) -> dict[str, Any]:
    """A certificate as JSON, without what is printed on it."""
    named = {"code": one.code, "version": one.version, "kid": one.kid}
    return named | {"signed_at": one.signed_at, "outdated": one.outdated}


class Printing:
    """The press of this process, which sets one document at a time."""

    def __init__(self) -> None:
        self.press, self._one = Press(Settings().extra_fonts), threading.Lock()

    def issue(self, registry: Registry, stream: str, officer: str) -> Certificate:
        """Issue a title's certificate, after its document was found to be possible."""
        with self._one:
            return registry.issue(stream, proof_of(registry, self.press), officer=officer)

    def pdf(self, registry: Registry, certificate: Certificate) -> bytes:
        """The signed document."""
        with self._one:
            return deliver(registry, self.press, certificate)


def printing_of(request: Request) -> Printing:
    """The press of this process."""
    printing: Printing = request.app.state.printing
    return printing


async def issue(request: Request) -> Response:
    """POST /api/v1/titles/{id}/certificates: sign it; where the newest says what is right, that one is kept."""
    actor, registry = admit(request, Permission.ISSUE).actor, registry_of(request)
    body, stream, printing = await body_of(request), request.path_params["id"], printing_of(request)

    def do() -> Done:
        reachable(registry, actor, stream)
        certificate = printing.issue(registry, stream, actor)
        item = certificate_item(registry.certificate(certificate.code)[1])
        return Done(201, item | {"log_position": registry.log.head()}, f"/api/v1/certificates/{certificate.code}.pdf")

    return await once(request, actor, [body], do)


async def certificate_pdf(request: Request) -> Response:
    """GET /api/v1/certificates/{code}.pdf: the document of a certificate within reach."""
    actor, registry = admit(request, Permission.ISSUE).actor, registry_of(request)
    query, code, printing = await reading(request, HandlingQuery), request.path_params["code"], printing_of(request)

    def look() -> Certificate:
        title, certificate = certificate_of(registry, code)
        door = "GET /api/v1/certificates/{code}.pdf"
        seen = registry.looking.title(title.id, actor=actor, purpose=query.purpose, door=door, what=What.DOCUMENT)
        if seen.sight is not Sight.CLEAR:
            raise hidden()
        return certificate

    certificate = await looked(look)
    data = await run_in_threadpool(printing.pdf, registry, certificate)
    return attachment(data, _PDF, f"{certificate.code}.pdf")


def certificate_of(registry: Registry, code: str) -> tuple[Title, Certificate]:
    """A signed certificate. Raise NotFound alike for a code that is none and one that is not given."""
    try:
        return registry.certificate(code)
    except BadCode:
        raise hidden() from None


ROUTES = [
    Route("/api/v1/titles/{id}/certificates", issue, methods=["POST"]),
    Route("/api/v1/certificates/{code}.pdf", certificate_pdf, methods=["GET"]),
]
