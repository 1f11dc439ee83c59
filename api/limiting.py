"""How fast anybody may ask: over a limit a request is answered 429 with the seconds to wait, before any work is done.

By address and by the network around it here, by account in `principal.py`. The machine's own addresses are not
counted: they are those of a reverse proxy that does not say for whom it asks, and a limit would stop everybody.
"""

import time
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from api.signin.refusals import TooMany

OWN = frozenset({"127.0.0.1", "::1", "testclient"})
_ENTRANCES = ("/sign-in", "/enrol")
_UNCOUNTED = ("/healthz", "/readyz", "/static/")


def count(scope: Scope, kind: str, account: str | None = None) -> None:
    """Count a request of this kind. Raise TooMany if it is one too many."""
    client = scope.get("client")
    address: str = client[0] if client else "127.0.0.1"
    if address in OWN and account is None:
        return
    limits: Any = scope["app"].state.limits
    wait = limits.take(kind, address, account, now=time.monotonic())
    if wait is not None:
        raise TooMany(wait)


class Limiting:
    """Counts every request before anything else is done for it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless it is one too many: then the error goes to whoever answers errors."""
        if scope["type"] == "http" and not scope["path"].startswith(_UNCOUNTED):
            entrance = scope["method"] == "POST" and scope["path"].startswith(_ENTRANCES)
            count(scope, "sign-in" if entrance else "public")
        await self.app(scope, receive, send)
