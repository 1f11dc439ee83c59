"""For officers and holders: pre-2007 paper certificates. Submitted with scans, approved by a second officer.

A holder submits for nobody but themselves; the registry compares the identity number. Approving needs a fresh sign-in
and the digest of what was read. A scan is handed out as a file to save, whatever is in it.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.asking import body_of, decode
from api.doors import (
    A_PAGE,
    Cursor,
    DecidingQuery,
    Limit,
    Reading,
    answer,
    attachment,
    cursor_from,
    cursor_to,
    hidden,
    looked,
    reading,
)
from api.employers import registry_of
from api.errors import BadRequest, Pointed
from api.forms import Form, form_of
from api.history import opened, sealed
from api.idempotency import Done, once
from api.paperform import PaperForm, paper_award, particulars_of
from api.proposals import Approval, Because
from api.signin.principal import admit
from registry.conversion import Scan
from registry.errors import Forbidden
from registry.holders.holder import HOLDERS
from registry.looks import Purpose
from registry.paper.application import APPLICATIONS, Application
from registry.paper.evidence import MAX_BYTES, ROLES, fetch
from registry.permissions import Permission, Sight
from registry.register.rows import PaperRow
from registry.service import Registry

MOST_FILES = 10
MOST_BYTES = 2 * MAX_BYTES + 64 * 1024
_ENDINGS = {"application/pdf": "pdf", "image/png": "png", "image/jpeg": "jpg"}


class PapersQuery(Reading, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of applications, of one state or all."""

    state: Literal["open", "approved", "refused", "returned"] | None = None
    limit: Limit = A_PAGE
    cursor: Cursor | None = None


async def submit(request: Request) -> Response:
    """POST /api/v1/paper-applications: a form with the JSON `application`, and its scans as files by what they show."""
    actor, registry = admit(request, Permission.SUBMIT_PAPER).actor, registry_of(request)
    form = await form_of(request, most_bytes=MOST_BYTES, most_files=MOST_FILES, files=ROLES)
    text = form.text("application").encode()
    said = particulars_of(text)
    if said.confirmed and actor.startswith(HOLDERS.prefix + "-"):
        raise BadRequest([Pointed("/application/confirmed", "号码须由经办人对照原件确认")])
    asked = [
        form.text("application").encode(),
        *(part for role, file in form.files for part in (role.encode(), file.data)),
    ]
    return await once(request, actor, asked, partial(_submit, registry, actor, said, form))


def _submit(registry: Registry, actor: str, said: PaperForm, form: Form) -> Done:
    scans = [Scan(file.data, role) for role, file in form.files]
    found = registry.submit_paper(paper_award(registry, said), said.issued_on, scans, officer=actor)
    item = {"application": found.id, "state": found.state, "digest": found.fact.digest}
    return Done(201, item | {"log_position": registry.log.head()}, f"/api/v1/paper-applications/{found.id}")


def _reachable(registry: Registry, actor: str, stream: str) -> Application:
    found = registry.log.load(APPLICATIONS, stream, sealed=True)
    if found is None or registry.authorising.sight(actor, Permission.READ_PAPERS, found.fact.award.authority) is None:
        raise hidden()
    return found


async def approve(request: Request) -> Response:
    """POST /api/v1/paper-applications/{id}/approval: the title is awarded, or matched with its award."""
    actor, registry = admit(request, Permission.DECIDE_PAPER, fresh=True).actor, registry_of(request)
    body, stream = await body_of(request), request.path_params["id"]
    digest = decode(body, Approval).digest

    def do() -> Done:
        _reachable(registry, actor, stream)
        return _settled(registry, registry.approve_paper(stream, digest, officer=actor))

    return await once(request, actor, [body], do)


async def refuse(request: Request) -> Response:
    """POST /api/v1/paper-applications/{id}/refusal: refuse it, with a reason; the holder may apply again."""
    actor, registry = admit(request, Permission.DECIDE_PAPER).actor, registry_of(request)
    body, stream = await body_of(request), request.path_params["id"]
    reason = decode(body, Because).reason

    def do() -> Done:
        _reachable(registry, actor, stream)
        return _settled(registry, registry.refuse_paper(stream, reason, officer=actor))

    return await once(request, actor, [body], do)


async def give_back(request: Request) -> Response:
    """POST /api/v1/paper-applications/{id}/return: it is to be changed, and may be submitted again."""
    actor, registry = admit(request, Permission.DECIDE_PAPER).actor, registry_of(request)
    body, stream = await body_of(request), request.path_params["id"]
    reason = decode(body, Because).reason

    def do() -> Done:
        _reachable(registry, actor, stream)
        return _settled(registry, registry.return_paper(stream, reason, officer=actor))

    return await once(request, actor, [body], do)


def _settled(registry: Registry, found: Application) -> Done:
    item = {"application": found.id, "state": found.state, "title": found.title}
    return Done(200, item | {"log_position": registry.log.head()})


async def list_papers(request: Request) -> Response:
    """GET /api/v1/paper-applications: those within reach, oldest first. No person is named here."""
    actor, registry = admit(request, Permission.READ_PAPERS).actor, registry_of(request)
    query = await reading(request, PapersQuery)
    return answer(await run_in_threadpool(_page, registry, actor, query))


def _page(registry: Registry, actor: str, query: PapersQuery) -> dict[str, Any]:
    asked = ("papers", actor, query.state)
    after = cursor_from(registry, query.cursor, *asked) if query.cursor else ""
    rows = _within_reach(registry, actor, query.state, after)
    found = [row for _, row in zip(range(query.limit), rows, strict=False)]
    more = next(rows, None) if len(found) == query.limit else None
    following = cursor_to(registry, found[-1].application, *asked) if more else None
    return {"applications": found, "next": following, "log_position": registry.log.head()}


def _within_reach(registry: Registry, actor: str, state: str | None, after: str) -> Iterator[PaperRow]:
    for row in registry.register.papers(state):
        sight = registry.authorising.sight(actor, Permission.READ_PAPERS, row.authority)
        if row.application > after and sight is not None:
            yield row


async def show(request: Request) -> Response:
    """GET /api/v1/paper-applications/{id}: what the paper says, its scans by hash, and the digest."""
    actor, registry = admit(request, Permission.READ_PAPERS).actor, registry_of(request)
    query = await reading(request, DecidingQuery)
    return answer(await looked(partial(_show, registry, request.path_params["id"], actor, query.purpose)))


def _show(registry: Registry, stream: str, actor: str, purpose: Purpose) -> dict[str, Any]:
    door = "GET /api/v1/paper-applications/{id}"
    seen = registry.looking.application(stream, actor=actor, purpose=purpose, door=door)
    found, name = seen.application, seen.name
    shown = opened if seen.sight is Sight.CLEAR else sealed
    return {
        "application": found.id,
        "state": found.state,
        "holder": found.fact.holder,
        "name": name,
        "award": found.fact.award,
        "paper": found.fact.paper,
        "employer": shown(found.fact.employer) if found.fact.employer else None,
        "evidence": found.fact.evidence,
        "submitted_by": found.submitted_by,
        "submitted_at": found.submitted_at,
        "decided_by": found.decided_by,
        "decided_at": found.decided_at,
        "title": found.title,
        "reason": shown(found.reason) if found.reason else None,
        "digest": found.fact.digest,
    }


async def evidence(request: Request) -> Response:
    """GET /api/v1/paper-applications/{id}/evidence/{sha256}: the bytes of a scan, for whoever sees the person."""
    actor, registry = admit(request, Permission.READ_PAPERS).actor, registry_of(request)
    query, stream = await reading(request, DecidingQuery), request.path_params["id"]
    scan = partial(_scan, registry, stream, request.path_params["sha256"], actor, query.purpose)
    data, kind, name = await run_in_threadpool(scan)
    return attachment(data, kind, name)


def _scan(registry: Registry, stream: str, sha256: str, actor: str, purpose: Purpose) -> tuple[bytes, str, str]:
    found = _reachable(registry, actor, stream)
    if registry.authorising.sight(actor, Permission.READ_PAPERS, found.fact.award.authority) is not Sight.CLEAR:
        raise Forbidden("材料含有个人信息，您的角色不能查看", fix="由有权的经办人查看")
    one = next((each for each in found.fact.evidence if each.sha256 == sha256), None)
    key = registry.log.data_keys()(found.fact.holder)
    if one is None or key is None:
        raise hidden()
    door = "GET /api/v1/paper-applications/{id}/evidence/{sha256}"
    registry.looking.application(stream, actor=actor, purpose=purpose, door=door, evidence=True)
    data = fetch(registry.conversion.folder, found.fact.holder, one, key)
    return data, one.media_type, f"{one.role}-{one.sha256[:12]}.{_ENDINGS[one.media_type]}"


ROUTES = [
    Route("/api/v1/paper-applications", submit, methods=["POST"]),
    Route("/api/v1/paper-applications", list_papers, methods=["GET"]),
    Route("/api/v1/paper-applications/{id}", show, methods=["GET"]),
    Route("/api/v1/paper-applications/{id}/approval", approve, methods=["POST"]),
    Route("/api/v1/paper-applications/{id}/refusal", refuse, methods=["POST"]),
    Route("/api/v1/paper-applications/{id}/return", give_back, methods=["POST"]),
    Route("/api/v1/paper-applications/{id}/evidence/{sha256}", evidence, methods=["GET"]),
]
