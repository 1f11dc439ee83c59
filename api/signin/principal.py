"""Who asks: the session cookie or an API key becomes a Principal, and `admit` says whether they may pass a door.

A cookie counts only for a request that comes from our own pages (`origin.py`), so that no door can forget that.
"""

import msgspec
from starlette.requests import Request

from api.errors import BadRequest, Pointed
from api.signin.accounts import Accounts
from api.signin.origin import cookie_name, require_same_origin
from registry.errors import Forbidden
from registry.permissions import Permission, Sight
from registry.service import Registry

KEY_PREFIX = "tr_"
_KEPT_AT = "title-registry.principal"


class Principal(msgspec.Struct, frozen=True):
    """Who asks. `actor` is an officer's id, a holder's stream, or None for somebody who has not signed in.

    `session` is the id of the session's row (None for an API key); `fresh`: every factor was shown within the last
    5 minutes; `limits`: an API key has these rights at most, None: all of the actor's.
    """

    actor: str | None
    session: str | None = None
    fresh: bool = False
    limits: frozenset[Permission] | None = None


class Admitted(msgspec.Struct, frozen=True):
    """Who passed a door, and how much of a person they see behind it."""

    principal: Principal
    actor: str
    sight: Sight


class Unauthenticated(BadRequest):
    """Nobody is signed in, or the session or key is over. Answered with 401; a page leads to the sign-in."""

    status, code, bearer = 401, "sign-in-needed", 'Bearer realm="title-registry"'

    def __init__(self, detail: str = "请先登录") -> None:
        super().__init__([Pointed("", detail)])
        self.errors = []

    @property
    def headers(self) -> dict[str, str]:
        """The challenge that a 401 must carry (RFC 9110, 11.6.1)."""
        return {"WWW-Authenticate": self.bearer}


class BadKey(Unauthenticated):
    """An API key that is unknown, expired or ended; which of them is not said (RFC 6750, 3.1)."""

    bearer = 'Bearer realm="title-registry", error="invalid_token"'

    def __init__(self) -> None:
        super().__init__("API 密钥无效或已过期")


class StaleSignIn(Unauthenticated):
    """Signed in, but not within the last 5 minutes. Answered with 401; a page asks for the password again."""

    code = "sign-in-again"

    def __init__(self) -> None:
        super().__init__("办理此事前须再次确认身份（5 分钟内有效）")


def principal_of(request: Request) -> Principal:
    """Who asks. An API key goes before a cookie; raise BadKey for one that is not in force.

    Raise CrossSite if the request carries the session cookie, would change something, and comes from another site.
    """
    known = request.scope.get(_KEPT_AT)
    if not isinstance(known, Principal):
        known = request.scope[_KEPT_AT] = _principal_of(request)
    return known


def _principal_of(request: Request) -> Principal:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _by_key(request, key.strip())
    token = request.cookies.get(cookie_name(request))
    if not token:
        return Principal(None)
    require_same_origin(request)
    return _by_cookie(request, token)


def admit(request: Request, permission: Permission, about: str | None = None, *, fresh: bool = False) -> Admitted:
    """Let the asker through a door, or raise Unauthenticated, Forbidden, or StaleSignIn where `fresh` is wanted.

    `about` is the authority of the matter or a holder's own stream. An API key never passes a door that wants a
    fresh sign-in: nobody is there who could confirm.
    """
    principal = principal_of(request)
    if principal.actor is None:
        raise Unauthenticated
    if principal.limits is not None and (fresh or permission not in principal.limits):
        raise Forbidden("此 API 密钥没有办理此事的权限", fix="用登录方式办理，或另发一把包含此权限的密钥")
    registry: Registry = request.app.state.registry
    sight = registry.authorising.require(principal.actor, permission, about)
    if fresh and not principal.fresh:
        raise StaleSignIn
    return Admitted(principal, principal.actor, sight)


def signed_in(request: Request) -> Principal:
    """Who is signed in by a session. Raise Unauthenticated for everybody else, with an API key too."""
    principal = principal_of(request)
    if principal.session is None:
        raise Unauthenticated
    return principal


def _by_cookie(request: Request, token: str) -> Principal:
    session = _store(request).session(token)
    if session is None:
        return Principal(None)
    return Principal(session.actor, session.id, session.fresh)


def _by_key(request: Request, key: str) -> Principal:
    found = _store(request).api_key(key) if key.startswith(KEY_PREFIX) else None
    if found is None:
        raise BadKey
    return Principal(found.actor, limits=found.limits)


def _store(request: Request) -> Accounts:
    store: Accounts = request.app.state.accounts
    return store
