"""The service over one registry, in this process, with readers signed in through the store of accounts itself."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import httpx

from api import inside
from api.app import create_app
from registry.permissions import Permission
from registry.service import Registry
from registry.terms import Role
from tests.people import CHIEF, CITY, Clock, appoint, staff

PAGE = {"Sec-Fetch-Site": "same-origin"}


class Client:
    """A client of an application in this process; it blocks, as a test reads best."""

    def __init__(self, app: Any, base_url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url)

    def close(self) -> None:
        """Close the client and its loop."""
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request."""
        return self._loop.run_until_complete(self._client.request(method, path, **more))

    def at_once(self, method: str, path: str, times: int, **more: Any) -> list[httpx.Response]:
        """The same request several times at once."""

        async def all_of_them() -> list[httpx.Response]:
            return list(await asyncio.gather(*(self._client.request(method, path, **more) for _ in range(times))))

        return self._loop.run_until_complete(all_of_them())


class Reader:
    """Somebody at the doors: requests as a page of ours makes them, with their session."""

    def __init__(self, client: Client, cookie: str | None) -> None:
        self.client = client
        self.headers = PAGE | ({"Cookie": cookie} if cookie else {})

    def get(self, path: str, **query: Any) -> httpx.Response:
        """A read."""
        return self.client.request("GET", path, params=query, headers=self.headers)

    def post(self, path: str, body: Any = None, *, key: str | None = None, **more: Any) -> httpx.Response:
        """A write with a JSON body, or with `files` and `data` of a form."""
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        return self.client.request(
            "POST", path, **({"json": body} if body is not None else {}), headers=headers, **more
        )

    def ok(self, response: httpx.Response, status: int = 200) -> Any:
        """The JSON of an answer that must be of this status."""
        assert response.status_code == status, response.text
        return response.json()

    def read(self, path: str, **query: Any) -> Any:
        """The JSON of a read that must succeed."""
        return self.ok(self.get(path, **query))


class Bureau:
    """One service and its readers."""

    def __init__(self, registry: Registry) -> None:
        self.registry, self.app = registry, create_app(registry)
        self.client = Client(self.app, registry.config.base_url)
        self._staff = 200

    def close(self) -> None:
        """End the jobs, and what the requests left open."""
        inside.close(self.app)
        self.client.close()

    def signed_in(self, actor: str, *, fresh: bool = True) -> Reader:
        """An officer or a holder who is signed in; not `fresh`: long ago."""
        token = self.app.state.accounts.open_session(actor, None)
        if not fresh:
            assert isinstance(self.registry.clock, Clock)
            self.registry.clock.forward(minutes=6)
        return Reader(self.client, f"__Host-session={token}")

    def with_key(self, actor: str, *limits: Permission) -> Reader:
        """A program that acts for an officer with an API key of these rights."""
        until = self.registry.clock() + timedelta(days=30)
        key = self.app.state.accounts.make_api_key(actor, "a program", limits, until)
        reader = Reader(self.client, None)
        reader.headers = {"Authorization": f"Bearer {key}"}
        return reader

    def nobody(self) -> Reader:
        """Somebody who has not signed in."""
        return Reader(self.client, None)

    def officer(self, actor: str, role: Role, authority: str = CITY) -> Reader:
        """A new officer with one role, signed in."""
        self._staff += 1
        self.registry.appointing.register(actor, staff(self._staff), officer=CHIEF)
        appoint(self.registry, actor, role, authority)
        return self.signed_in(actor)

    def job(self, reader: Reader, address: str) -> Any:
        """A job when it has ended."""
        until = time.monotonic() + 30
        while (found := reader.read(address))["state"] in ("waiting", "running"):
            assert time.monotonic() < until, found
            time.sleep(0.02)
        return found


def refused(response: httpx.Response, status: int, code: str, pointer: str | None = None) -> Any:
    """The problem document of a refusal: RFC 9457, with its stable code and the place."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    problem = response.json()
    assert (problem["code"], problem["status"]) == (code, status), problem
    if pointer is not None:
        assert pointer in [one["pointer"] for one in problem["errors"]], problem
    return problem
