"""Only our own pages may act with the session cookie: Sec-Fetch-Site, or Origin where a browser does not send that.

The cookie's name says where it is from: `__Host-` binds it to this host and to https (RFC 6265bis, 4.1.3.2).
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import Request

from registry.errors import Forbidden, Unavailable
from registry.folder import Config

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS = frozenset({"same-origin", "none"})


class CrossSite(Forbidden):
    """A request that would change something and was made by another site's page."""

    code = "cross-site"


def require_same_origin(request: Request) -> None:
    """Raise CrossSite if a request that may change something does not come from a page of ours.

    `none` is a browser's word for what its user did without any page. Without both headers nothing passes.
    """
    if request.method in SAFE_METHODS:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    ours = origin == origin_of(config_of(request).base_url) if site is None else site in _OURS
    if not ours:
        raise CrossSite("这个请求不是从本站页面发出的", fix="请打开本站页面，在页面上重新操作")


def origin_of(base_url: str) -> str:
    """The origin (RFC 6454) of an address of ours."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def cookie_name(request: Request) -> str:
    """`__Host-session`; `session` where the registry is served over plain http to this machine only (the demo)."""
    return cookie_called(request, "session")


def cookie_called(request: Request, name: str) -> str:
    """The full name of a cookie of ours."""
    return f"__Host-{name}" if is_secure(config_of(request)) else name


def is_secure(config: Config) -> bool:
    """Whether the cookie is for https only. Raise Unavailable for plain http to any other machine than this."""
    parts = urlsplit(config.base_url)
    if parts.scheme == "https":
        return True
    if not is_loopback(parts.hostname or ""):
        raise Unavailable("登录须使用 https 地址", fix="把 base_url 改为 https，并在前面放置 TLS 服务")
    return False


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def config_of(request: Request) -> Config:
    """The settings of the registry that is asked."""
    config: Config = request.app.state.registry.config
    return config


def local_path(wanted: str | None) -> str | None:
    """A path of ours to go on to, or None: no scheme, no other host, no `//`, no backslash, no control character."""
    if not wanted or len(wanted) > 512 or not wanted.startswith("/") or wanted.startswith("//"):
        return None
    if "\\" in wanted or not wanted.isprintable() or not wanted.isascii():
        return None
    return wanted
