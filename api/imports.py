"""For officers: take an approved list in as a job, and see how a job stands."""

from pathlib import Path

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.doors import Reading, answer, attachment, known_authority, query_of, reading
from api.employers import registry_of
from api.forms import form_of
from api.idempotency import Done, once
from api.jobs import Jobs, Order
from api.signin.principal import admit
from registry.permissions import Permission

MOST_BYTES = 32 * 1024 * 1024
_SPREADSHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class ImportQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether to check only."""

    dry_run: bool = False


def jobs_of(request: Request) -> Jobs:
    """The jobs of this process."""
    jobs: Jobs = request.app.state.jobs
    return jobs


async def import_awards(request: Request) -> Response:
    """POST /api/v1/award-imports?dry_run=: a list (form 2-4) with its authority and document, as a job (202)."""
    dry_run = query_of(request, ImportQuery).dry_run
    right = Permission.CHECK_LIST if dry_run else Permission.AWARD
    admit(request, right)
    form = await form_of(request, most_bytes=MOST_BYTES, most_files=1, files=("file",))
    file, authority, document = form.file("file"), form.text("authority"), form.text("document")
    actor = admit(request, right, known_authority(registry_of(request), authority)).actor
    order = Order(actor, authority, document, dry_run)
    jobs = jobs_of(request)

    def do() -> Done:
        job = jobs.begin(order, file.name, file.data)
        return Done(202, {"job": job, "state": "waiting"}, f"/api/v1/jobs/{job}")

    asked = [authority.encode(), document.encode(), Path(file.name).suffix.encode(), file.data]
    return await once(request, actor, asked, do)


async def job(request: Request) -> Response:
    """GET /api/v1/jobs/{id}: how a job of one's own stands; its receipt, or everything that is wrong with the list."""
    actor = admit(request, Permission.CHECK_LIST).actor
    await reading(request, Reading)
    found = await run_in_threadpool(jobs_of(request).find, request.path_params["id"], actor)
    copy = f"/api/v1/jobs/{found.job}/errors.xlsx" if found.errors_copy else None
    item = {"job": found.job, "state": found.state, "rows_read": found.rows_read, "result": found.result}
    return answer(item | {"errors_copy": copy})


async def errors_copy(request: Request) -> Response:
    """GET /api/v1/jobs/{id}/errors.xlsx: the refused list with every error marked, for the officer who sent it."""
    actor = admit(request, Permission.CHECK_LIST).actor
    await reading(request, Reading)
    data = await run_in_threadpool(jobs_of(request).errors_copy, request.path_params["id"], actor)
    return attachment(data, _SPREADSHEET, "errors.xlsx")


ROUTES = [
    Route("/api/v1/award-imports", import_awards, methods=["POST"]),
    Route("/api/v1/jobs/{id}", job, methods=["GET"]),
    Route("/api/v1/jobs/{id}/errors.xlsx", errors_copy, methods=["GET"]),
]
