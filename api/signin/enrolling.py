"""Setting up a local account: redeem the code that was handed over, bind an authenticator, keep the recovery codes."""

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.signin.enrolments import Enrolment
from api.signin.forms import address_of, drop_cookie, fields_of, give_cookie, missing, onward, problem_status, store_of
from api.signin.origin import cookie_called
from api.signin.pages import chosen, qr_picture, render, words
from registry.errors import Refused

_WANTED = {
    "enrolment": ("请填写开户码", "Type the enrolment code"),
    "login": ("请填写账号", "Choose an account name"),
    "password": ("请填写密码", "Choose a password"),
}
_CODE = {"code": ("请填写动态码", "Type the one-time code")}
_DIFFERENT = ("两次输入的密码不同", "The two passwords are not the same")


async def enrol_form(request: Request) -> Response:
    """GET /enrol: the form for the code; once it is redeemed, the authenticator's QR."""
    waiting = await run_in_threadpool(_waiting, request)
    return _first_page(request) if waiting is None else _second_page(request, waiting)


async def enrol(request: Request) -> Response:
    """POST /enrol: redeem the code with a name and a password. Nobody can sign in before the second step."""
    fields = await fields_of(request)
    problems, status = missing(request, fields, _WANTED), 422
    if not problems and fields["password"] != fields.get("repeated"):
        problems = {"repeated": chosen(request, *_DIFFERENT)}
    if not problems:
        try:
            begun = await run_in_threadpool(
                store_of(request).begin_enrolment,
                fields["enrolment"].strip(),
                fields["login"].strip(),
                fields["password"],
                address_of(request),
            )
            response = onward(request, "/enrol")
            give_cookie(request, response, cookie_called(request, "enrolment"), begun.token)
            return response
        except Refused as error:
            problems, status = {"": words(error)}, problem_status(error)
    kept = {name: fields.get(name, "") for name in ("enrolment", "login")}
    return _first_page(request, status, problems=problems, **kept)


async def confirm(request: Request) -> Response:
    """POST /enrol/confirm: the authenticator's first code; then the recovery codes, this once."""
    fields = await fields_of(request)
    waiting = await run_in_threadpool(_waiting, request)
    if waiting is None:
        return onward(request, "/enrol")
    problems = missing(request, fields, _CODE)
    if not problems:
        try:
            recovery = await run_in_threadpool(store_of(request).confirm_enrolment, waiting.token, fields["code"])
            response = render(request, "enrol.html", step=3, recovery=recovery)
            drop_cookie(request, response, cookie_called(request, "enrolment"))
            return response
        except Refused as error:
            problems = {"code": words(error)}
    return _second_page(request, waiting, 422, problems=problems)


def _waiting(request: Request) -> Enrolment | None:
    token = request.cookies.get(cookie_called(request, "enrolment"))
    return store_of(request).enrolment(token) if token else None


def _first_page(request: Request, status: int = 200, **about: Any) -> Response:
    return render(request, "enrol.html", status, step=1, **{"enrolment": "", "login": ""} | about)


def _second_page(request: Request, waiting: Enrolment, status: int = 200, **about: Any) -> Response:
    picture = qr_picture(waiting.uri)
    return render(request, "enrol.html", status, step=2, picture=picture, secret=waiting.secret, **about)


ROUTES = [
    Route("/enrol", enrol_form, methods=["GET"]),
    Route("/enrol", enrol, methods=["POST"]),
    Route("/enrol/confirm", confirm, methods=["POST"]),
]
