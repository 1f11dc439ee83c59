"""What a page's form sends, read strictly; and the session cookie that an answer sets."""

from datetime import timedelta
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.asking import body_of
from api.employers import kept_view
from api.errors import PRIVATE, BadRequest, Pointed
from api.signin.accounts import Accounts
from api.signin.origin import config_of, cookie_name, is_secure, require_same_origin
from api.signin.refusals import TooMany
from registry.errors import Refused

MAX_FORM, MAX_FIELDS = 16 * 1024, 20


async def fields_of(request: Request) -> dict[str, str]:
    """The fields of a form of ours. Raise CrossSite if another site sent it, BadRequest for what is no such form.

    Asked of every form, with a cookie or without: nobody is signed in to somebody else's account by another site.
    """
    require_same_origin(request)
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise BadRequest([Pointed("", "表单须为 application/x-www-form-urlencoded")])
    body = await body_of(request, MAX_FORM)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise BadRequest([Pointed("", "表单不能读取")]) from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise BadRequest([Pointed("", "表单中有重复的字段")])
    return fields


def missing(request: Request, fields: dict[str, str], wanted: dict[str, tuple[str, str]]) -> dict[str, str]:
    """What must be filled in and is not: the sentence for each field, in the reader's language."""
    english = request.query_params.get("lang") == "en"
    return {name: words[english] for name, words in wanted.items() if not fields.get(name, "").strip()}


def store_of(request: Request) -> Accounts:
    """The accounts store of this process."""
    store: Accounts = request.app.state.accounts
    return store


def address_of(request: Request) -> str:
    """The network address that asks, for the limits."""
    return request.client.host if request.client else "unknown"


def see_other(address: str) -> RedirectResponse:
    """On to another page with GET, so that going back or reloading never sends a form twice."""
    return RedirectResponse(address, 303, {**PRIVATE, "Referrer-Policy": "same-origin"})


def onward(request: Request, path: str) -> RedirectResponse:
    """On to a page of ours, in the reader's language and size of type."""
    kept = kept_view(request)
    return see_other(path + ("&" + kept[1:] if kept and "?" in path else kept))


def session_token(request: Request) -> str | None:
    """The session cookie's value, if there is one."""
    return request.cookies.get(cookie_name(request)) or None


def give_cookie(request: Request, response: Response, name: str, value: str, lasts: timedelta | None = None) -> None:
    """Set a cookie that no script reads and no other site's form sends; for this host only."""
    secure = is_secure(config_of(request))
    seconds = int(lasts.total_seconds()) if lasts else None
    response.set_cookie(name, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="lax")


def new_cookie(request: Request, response: Response, token: str) -> Response:
    """The same answer, which gives the browser its new session; it ends with the browser, or earlier in the store."""
    give_cookie(request, response, cookie_name(request), token)
    return response


def problem_status(error: Refused) -> int:
    """422 for a form to correct; 429 where somebody must wait."""
    return 429 if isinstance(error, TooMany) else 422


def drop_cookie(request: Request, response: Response, name: str) -> None:
    """Have the browser forget a cookie."""
    secure = is_secure(config_of(request))
    response.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="lax")
