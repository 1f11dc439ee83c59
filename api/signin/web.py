"""The pages on which people sign in, confirm that it is they, and see their account. They work without a script.

A sign-in is one form: account, password and one-time code. Which of them was wrong is never said. Every sign-in,
confirmation and sign-out gives the browser a new session id, so that an id known before is worth nothing after.
"""

from datetime import timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.errors import answer_error
from api.signin import enrolling, through
from api.signin.accounts import Accounts
from api.signin.forms import (
    address_of,
    drop_cookie,
    fields_of,
    give_cookie,
    missing,
    new_cookie,
    onward,
    problem_status,
    see_other,
    session_token,
    store_of,
)
from api.signin.oidc import Providers
from api.signin.origin import CrossSite, cookie_called, cookie_name, local_path
from api.signin.pages import chosen, problem_page, render, words
from api.signin.principal import Principal, StaleSignIn, Unauthenticated, principal_of, signed_in
from registry.errors import Forbidden, Refused
from registry.service import Registry

ACCOUNT = "/account"
DEVICE_LASTS = timedelta(days=400)
_WANTED = {
    "login": ("请填写账号", "Type your account"),
    "password": ("请填写密码", "Type your password"),
    "code": ("请填写动态码", "Type the one-time code"),
}
_OUT = ("您已退出登录。公用电脑上请关闭浏览器窗口。", "You are signed out. On a shared computer close the window.")


async def sign_in_form(request: Request) -> Response:
    """GET /sign-in?next=…: the form; somebody who is signed in goes on at once."""
    next_path = local_path(request.query_params.get("next"))
    if principal_of(request).session is not None:
        return onward(request, next_path or ACCOUNT)
    return _sign_in_page(request, next_path)


async def sign_in(request: Request) -> Response:
    """POST /sign-in: account, password and code; then on to `next`, if that is a path of ours."""
    fields = await fields_of(request)
    next_path, login = local_path(fields.get("next")), fields.get("login", "").strip()
    problems, status = missing(request, fields, _WANTED), 422
    if not problems:
        try:
            return await run_in_threadpool(_enter, request, fields, onward(request, next_path or ACCOUNT))
        except Refused as error:
            problems, status = {"": words(error)}, problem_status(error)
    return _sign_in_page(request, next_path, status, login=login, problems=problems)


def _enter(request: Request, fields: dict[str, str], response: Response) -> Response:
    """Check all three; the answer with the new session, and what this browser keeps against strangers' guesses."""
    store, device = store_of(request), cookie_called(request, "device")
    login, password, code = (fields[name] for name in _WANTED)
    token = store.sign_in(login, password, code, address_of(request), request.cookies.get(device))
    _end_old(request)
    known = store.device(token)
    if known is not None:
        give_cookie(request, response, device, known, DEVICE_LASTS)
    return new_cookie(request, response, token)


def _end_old(request: Request) -> None:
    """The session that this browser had is over once it has another."""
    token, store = session_token(request), store_of(request)
    old = store.session(token) if token else None
    if old is not None:
        store.end_session(old.id, old.actor)


def _sign_in_page(request: Request, next_path: str | None, status: int = 200, **about: Any) -> Response:
    said = _OUT[request.query_params.get("lang") == "en"] if "out" in request.query_params else None
    providers = list(request.app.state.signin)
    known = {"login": "", "providers": providers, "said": said} | about
    return render(request, "sign_in.html", status, next=next_path, **known)


async def sign_out(request: Request) -> Response:
    """POST /sign-out: the session is over, in the store and in the browser."""
    await fields_of(request)
    await run_in_threadpool(_end_old, request)
    response = onward(request, "/sign-in?out=1")
    drop_cookie(request, response, cookie_name(request))
    # Going back must not show what the browser kept of the pages before (Clear-Site-Data, W3C 2017).
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


async def again_form(request: Request) -> Response:
    """GET /sign-in/again?next=…: confirm that it is still the same person."""
    return _again_page(request, signed_in(request), local_path(request.query_params.get("next")))


async def again(request: Request) -> Response:
    """POST /sign-in/again: password and code once more; the session goes on under a new id, fresh for 5 minutes."""
    fields, principal = await fields_of(request), signed_in(request)
    next_path = local_path(fields.get("next"))
    problems, status = missing(request, fields, {name: _WANTED[name] for name in ("password", "code")}), 422
    if not problems:
        try:
            token = await run_in_threadpool(
                store_of(request).confirm,
                session_token(request) or "",
                fields["password"],
                fields["code"],
                address_of(request),
            )
            return new_cookie(request, onward(request, next_path or ACCOUNT), token)
        except Refused as error:
            problems, status = {"": words(error)}, problem_status(error)
    return _again_page(request, principal, next_path, status, problems=problems)


def _again_page(
    request: Request, principal: Principal, next_path: str | None, status: int = 200, **about: Any
) -> Response:
    session = store_of(request).session(session_token(request) or "")
    login = session.login if session else None
    shown = [] if login else list(request.app.state.signin)
    known = {"actor": principal.actor, "login": login, "providers": shown} | about
    return render(request, "sign_in_again.html", status, next=next_path, **known)


async def account(request: Request) -> Response:
    """GET /account: who I am here, where I am signed in, my API keys."""
    return await run_in_threadpool(_account_page, request, signed_in(request))


def _account_page(request: Request, principal: Principal) -> Response:
    registry: Registry = request.app.state.registry
    store, actor = store_of(request), principal.actor or ""
    names = {one.code: (one.name_zh, one.name_en) for one in registry.catalogue.authorities}
    roles = [
        {"zh": role.zh, "en": role.en, "over": chosen(request, *names.get(over, ("本人", "oneself")))}
        for role, over in registry.authorising.standing(actor).roles
    ]
    sessions = [
        {"id": one.id, "since": one.since, "here": one.id == principal.session} for one in store.sessions(actor)
    ]
    return render(
        request,
        "account.html",
        actor=actor,
        holder=actor.startswith("holder-"),
        roles=roles,
        sessions=sessions,
        keys=store.api_keys(actor),
    )


async def end_session(request: Request) -> Response:
    """POST /account/sessions/end: sign out elsewhere. Somebody else's session is as unknown as one that is over."""
    fields, principal = await fields_of(request), signed_in(request)
    await run_in_threadpool(store_of(request).end_session, fields.get("session", ""), principal.actor or "")
    return onward(request, ACCOUNT)


async def end_key(request: Request) -> Response:
    """POST /account/keys/end: stop an API key of one's own."""
    fields, principal = await fields_of(request), signed_in(request)
    await run_in_threadpool(store_of(request).end_api_key, fields.get("key", ""), principal.actor or "")
    return onward(request, ACCOUNT)


async def _answer(request: Request, error: Exception) -> Response:
    """401 as a problem document for programs; a page leads to where one signs in, and back afterwards."""
    asks_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
    if isinstance(error, Unauthenticated):
        if not asks_page:
            response = answer_error(error)
            response.headers.update(error.headers)
            return response
        return see_other(_way_in(request, isinstance(error, StaleSignIn)))
    if not asks_page or not isinstance(error, Forbidden):
        return answer_error(error)
    return problem_page(request, 403, ("没有办理", "Not done"), error.message, error.fix)


def _way_in(request: Request, stale: bool) -> str:
    """Where to sign in, with the way back. What a form sent is not sent again: after it one is on the account page."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = here if request.method == "GET" else ACCOUNT
    return through.with_query("/sign-in/again" if stale else "/sign-in", next=local_path(back))


ROUTES = [
    Route("/sign-in", sign_in_form, methods=["GET"]),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
    Route("/sign-in/again", again_form, methods=["GET"]),
    Route("/sign-in/again", again, methods=["POST"]),
    Route("/account", account, methods=["GET"]),
    Route("/account/sessions/end", end_session, methods=["POST"]),
    Route("/account/keys/end", end_key, methods=["POST"]),
    *enrolling.ROUTES,
    *through.ROUTES,
]


def configure(app: Starlette) -> None:
    """Give an application over a registry its sign-in: accounts, providers, and how 401 and 403 are answered."""
    app.state.accounts = Accounts.of(app.state.registry)
    app.state.signin = Providers.read(app.state.registry.folder.path)
    for kind in (Unauthenticated, CrossSite):
        app.add_exception_handler(kind, _answer)


def close(app: Starlette) -> None:
    """Close the connections to the providers and this thread's to the accounts."""
    app.state.signin.close()
    app.state.accounts.close()
