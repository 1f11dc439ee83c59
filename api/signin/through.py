"""Signing in through an identity provider: there and back. The way back belongs to the browser that went.

A sign-in under way is kept in the store under its state, taken out once, and bound to a cookie of this browser, so that
nobody is signed in by somebody else's answer.
"""

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.signin.forms import (
    address_of,
    drop_cookie,
    fields_of,
    give_cookie,
    missing,
    new_cookie,
    onward,
    see_other,
    session_token,
    store_of,
)
from api.signin.idtoken import TokenRefused
from api.signin.matching import NotRegistered, actor_for
from api.signin.oidc import Asked, Provider, Providers, SignsIn
from api.signin.origin import config_of, cookie_called, local_path
from api.signin.pages import problem_page, render, words
from api.signin.principal import principal_of
from registry.errors import Refused, Unavailable

LASTS = timedelta(minutes=10)
_FAILED = ("没有登录", "Not signed in")
_CODE = {"code": ("请填写动态码", "Type the one-time code")}


class Pending(msgspec.Struct, frozen=True):
    """What is remembered of a sign-in under way. `browser` is the hash of the cookie that the browser got.

    `again` is the actor who must come back, of somebody who confirms that it is still they; `vouched` whom the provider
    has vouched for already, when only our own second factor is missing.
    """

    provider: str
    browser: str
    nonce: str = ""
    verifier: str = ""
    next: str | None = None
    again: str | None = None
    vouched: str | None = None


def with_query(path: str, **query: str | None) -> str:
    """An address with those of the values that are there."""
    kept = {name: value for name, value in query.items() if value}
    return path + ("?" + urlencode(kept) if kept else "")


async def begin(request: Request) -> Response:
    """GET /sign-in/with/{provider}?next=…&again=1: on to the provider."""
    provider = _provider(request)
    principal, wants_again = principal_of(request), "again" in request.query_params
    actor = principal.actor if wants_again and principal.session else None
    try:
        asked = await run_in_threadpool(
            _providers(request).begin, provider, _way_back(request), again=actor is not None
        )
    except Unavailable as error:
        return problem_page(request, 503, _FAILED, error.message, error.fix)
    browser = secrets.token_urlsafe(32)
    pending = Pending(
        provider.id,
        _hash(browser),
        asked.nonce,
        asked.verifier,
        local_path(request.query_params.get("next")),
        actor,
    )
    await run_in_threadpool(store_of(request).keep_request, asked.state, msgspec.json.encode(pending))
    response = see_other(asked.address)
    give_cookie(request, response, cookie_called(request, "through"), browser, LASTS)
    return response


async def back(request: Request) -> Response:
    """GET /sign-in/with/{provider}/back?code=…&state=…: the provider's answer: in, or a page why not."""
    provider = _provider(request)
    try:
        response = await run_in_threadpool(_answered, request, provider)
    except NotRegistered as error:
        response = problem_page(request, 403, _FAILED, error.message, error.fix)
    except Unavailable as error:
        response = problem_page(request, 503, _FAILED, error.message, error.fix)
    except Refused as error:
        response = problem_page(request, 400, _FAILED, error.message, error.fix)
    return response


def _answered(request: Request, provider: Provider) -> Response:
    query = request.query_params
    pending = _taken(request, provider, query.get("state", ""))
    if "error" in query or not query.get("code"):
        raise TokenRefused("登录已取消或未完成")
    asked = Asked("", query["state"], pending.nonce, pending.verifier)
    registry, store = request.app.state.registry, store_of(request)
    claims = _providers(request).finish(
        provider,
        _way_back(request),
        query["code"],
        asked,
        registry.clock(),
        iss=query.get("iss"),
        again=pending.again is not None,
    )
    actor = actor_for(registry, store, provider, claims)
    if pending.again not in (None, actor):
        raise TokenRefused("不是当前登录的人")
    if provider.acr is None and provider.signs_in is not SignsIn.HOLDERS:
        return _ask_second(request, msgspec.structs.replace(pending, vouched=actor))
    return _entered(request, actor, pending.next)


def _taken(request: Request, provider: Provider, state: str) -> Pending:
    """The sign-in under way, taken out. Raise TokenRefused for one that is over, another browser's or provider's."""
    cookie = request.cookies.get(cookie_called(request, "through"), "")
    kept = store_of(request).take_request(state) if state and cookie else None
    pending = msgspec.json.decode(kept, type=Pending) if kept else None
    if pending is None or pending.provider != provider.id or not hmac.compare_digest(pending.browser, _hash(cookie)):
        raise TokenRefused("这次登录不是从本浏览器开始的，或已结束")
    return pending


def _entered(request: Request, actor: str, next_path: str | None) -> Response:
    """Signed in: a new session; the one before is over."""
    store, old = store_of(request), session_token(request)
    before = store.session(old) if old else None
    token = store.open_session(actor, None)
    if before is not None:
        store.end_session(before.id, before.actor)
    response = new_cookie(request, onward(request, next_path or "/account"), token)
    drop_cookie(request, response, cookie_called(request, "through"))
    return response


def _ask_second(request: Request, pending: Pending) -> Response:
    """The provider vouched for an officer by one factor: on to the page that asks for ours."""
    state = secrets.token_urlsafe(32)
    store_of(request).keep_request(state, msgspec.json.encode(pending))
    response = onward(request, f"/sign-in/with/{pending.provider}/code")
    give_cookie(request, response, cookie_called(request, "second"), state, LASTS)
    return response


async def second_form(request: Request) -> Response:
    """GET /sign-in/with/{provider}/code: our own second factor, after a provider without one."""
    return _second_page(request, _provider(request))


async def second(request: Request) -> Response:
    """POST /sign-in/with/{provider}/code: one try for each sign-in at the provider."""
    fields, provider = await fields_of(request), _provider(request)
    problems = missing(request, fields, _CODE)
    if problems:
        return _second_page(request, provider, 422, problems=problems)
    try:
        response = await run_in_threadpool(_seconded, request, provider, fields["code"])
    except Refused as error:
        response = problem_page(request, 400, _FAILED, words(error), "请重新登录")
    drop_cookie(request, response, cookie_called(request, "second"))
    return response


def _seconded(request: Request, provider: Provider, code: str) -> Response:
    state = request.cookies.get(cookie_called(request, "second"), "")
    pending = _taken(request, provider, state)
    if pending.vouched is None:
        raise TokenRefused("还没有通过统一身份认证")
    store_of(request).check_code(pending.vouched, code, address_of(request))
    return _entered(request, pending.vouched, pending.next)


def _second_page(request: Request, provider: Provider, status: int = 200, **about: Any) -> Response:
    return render(request, "sign_in_code.html", status, provider=provider, **about)


def _provider(request: Request) -> Provider:
    found = _providers(request).get(request.path_params["provider"])
    if found is None:
        raise HTTPException(404)
    return found


def _providers(request: Request) -> Providers:
    providers: Providers = request.app.state.signin
    return providers


def _way_back(request: Request) -> str:
    """Each provider has an address of its own to come back to, so that no answer is taken for another's (RFC 9700)."""
    return f"{config_of(request).base_url}/sign-in/with/{request.path_params['provider']}/back"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


ROUTES = [
    Route("/sign-in/with/{provider}", begin, methods=["GET"]),
    Route("/sign-in/with/{provider}/back", back, methods=["GET"]),
    Route("/sign-in/with/{provider}/code", second_form, methods=["GET"]),
    Route("/sign-in/with/{provider}/code", second, methods=["POST"]),
]
