"""A served registry to sign in to, a desk with accounts, and a browser that tells where its requests come from."""

import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import NamedTuple

import httpx
import pyotp
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api.app import create_app
from api.signin import web
from api.signin.accounts import Accounts
from api.signin.passwords import Cost
from api.signin.principal import admit
from api.signin.sessions import Session
from registry.permissions import Permission
from registry.service import Registry
from tests.people import CHIEF, CLERK, Clock
from tests.served import found_registry, free_port

PASSWORD, WRONG_CODE = "正确 horse battery staple", "000000"


class Desk(Accounts):
    """The accounts store with a clock of its own (a code counts once) and cheap hashes: `lin` and `chief` are known."""

    def __init__(self, path: Path) -> None:
        self.clock, self.path = Clock(datetime.now(UTC)), path
        super().__init__(path, bytes(32), self.clock, Cost(memory=8, passes=1))
        self.secrets: dict[str, str] = {}
        self.add("lin", CLERK)
        self.add("chief", CHIEF)

    def add(self, login: str, actor: str) -> None:
        """Set up an account, as its owner does."""
        begun = self.begin_enrolment(self.enrol(actor, by=CHIEF, alone=True), login, PASSWORD, "127.0.0.1")
        self.secrets[login] = begun.secret
        self.confirm_enrolment(begun.token, self.code(login))

    def code(self, login: str = "lin") -> str:
        """The next code of an account's authenticator: 30 seconds go by."""
        return pyotp.TOTP(self.secrets[login]).at(self.clock.forward(seconds=30))

    def grow_stale(self) -> None:
        """More than five minutes go by."""
        self.clock.forward(minutes=6)

    @property
    def kept(self) -> Mapping[str, Session]:
        """Every session in force, by id."""
        rows = self._rows("SELECT DISTINCT actor FROM sessions")
        return {one.id: one for (actor,) in rows for one in self.sessions(actor)}

    @property
    def actors(self) -> list[str]:
        """Who is signed in."""
        return [one.actor for one in self.kept.values()]

    def end_all(self) -> None:
        """Everybody is signed out."""
        for one in self.kept.values():
            self.end_session(one.id, one.actor)

    def under_way(self) -> int:
        """How many sign-ins at a provider were not taken out yet."""
        return len(self._rows("SELECT 1 FROM requests"))

    def _rows(self, sql: str) -> list[tuple[str]]:
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def key(self, actor: str, *limits: Permission) -> str:
        """An API key with these rights."""
        return self.make_api_key(actor, "nightly", limits, self.clock() + timedelta(days=1))


class Browser(httpx.Client):
    """A browser on a page of ours: it says so with every request, follows nothing by itself, and keeps cookies."""

    def __init__(self, address: str, desk: Desk) -> None:
        headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
        super().__init__(base_url=address, headers=headers, timeout=30)
        self.desk = desk

    def sign_in(
        self, login: str = "lin", password: str = PASSWORD, code: str | None = None, **more: str
    ) -> httpx.Response:
        """Send the sign-in form, with the account's next code if none is given."""
        if code is None:
            code = self.desk.code(login) if login in self.desk.secrets else WRONG_CODE
        return self.post("/sign-in", data={"login": login, "password": password, "code": code, **more})

    @property
    def session(self) -> str | None:
        """The session cookie."""
        return self.cookies.get("session")


def text_of(page: httpx.Response) -> str:
    """The text of a page, without its markup."""
    return unescape(re.sub(r"<[^>]+>", " ", page.text))


class Bureau(NamedTuple):
    """A served registry and its accounts."""

    registry: Registry
    app: web.Starlette
    store: Desk
    address: str

    def browser(self) -> Browser:
        """A new browser, without cookies."""
        return Browser(self.address, self.store)

    def emptied(self, path: Path) -> "Bureau":
        """The same registry with fresh accounts."""
        self.app.state.accounts = Desk(path)
        return self._replace(store=self.app.state.accounts)


async def _door(request: Request) -> Response:
    """A door such as officers have: it wants the right of awarding over the city, and for POST a fresh sign-in."""
    admitted = admit(request, Permission.AWARD, "331100", fresh=request.method == "POST")
    return JSONResponse({"actor": admitted.actor, "sight": admitted.sight})


@contextmanager
def served_bureau(data: Path) -> Iterator[Bureau]:
    """Serve a new registry, with the doors of sign-in and one more at /door, until the end of the block."""
    port = free_port()
    registry = found_registry(data, port)
    app = create_app(registry)
    known = {route.path for route in app.router.routes if isinstance(route, Route)}
    app.router.routes.extend(route for route in web.ROUTES if route.path not in known)
    app.router.routes.extend(Route(path, _door, methods=["GET", "POST"]) for path in ("/door", "/api/v1/door"))
    web.configure(app)
    app.state.accounts = Desk(data.with_name("desk.db"))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Bureau(registry, app, app.state.accounts, f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        thread.join()
        web.close(app)
