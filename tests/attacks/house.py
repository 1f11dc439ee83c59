"""What attackers need of a service: its doors by name, no limit on how fast they ask, and the bare wire."""

import re
import socket
from collections.abc import Callable
from typing import Any

from starlette.routing import Mount, Route

from api.signin.limits import DEFAULTS, Config, Limits, Rate, Rates
from registry.permissions import DOORS, Permission

NOWHERE = "title-01K00000000000000000000000"


def unlimited(app: Any) -> None:
    """Let this application be asked as fast as one can: limits have tests of their own."""
    app.state.limits = Limits(Config(dict.fromkeys(DEFAULTS, Rates(*[Rate(1e6, 10**9)] * 3))))


def named(door: str) -> str:
    """A door without the converters of its parameters."""
    return re.sub(r":(path|int)\}", "}", door)


def doors_of(app: Any) -> set[str]:
    """Every door of an application, as the table names it."""
    found = set[str]()
    for route in app.routes:
        if isinstance(route, Mount):
            found.add(f"GET {route.path}")
        elif isinstance(route, Route):
            found |= {named(f"{method} {route.path}") for method in (route.methods or set()) - {"HEAD"}}
    return found


def rights() -> dict[str, Permission]:
    """The table of HTTP doors."""
    return {named(door): right for door, right in DOORS.items() if not door.startswith("cli ")}


def filled(door: str, text: str = "1") -> tuple[str, str]:
    """Method and path of a door, with `text` for every parameter."""
    method, _, path = door.partition(" ")
    return method, re.sub(r"\{[^}]*\}", lambda _: text, path)


def wire(port: int, *parts: bytes, wait: float = 5) -> bytes:
    """Send bytes as they are, and return all that comes back until the other side closes or is silent for `wait` s."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        answer = b""
        try:
            for part in parts:
                connection.sendall(part)
            while chunk := connection.recv(65_536):
                answer += chunk
        except (TimeoutError, ConnectionError):
            pass
        return answer


def statuses(answer: bytes) -> list[int]:
    """The status of every response in what came back."""
    return [int(found) for found in re.findall(rb"^HTTP/1\.1 (\d{3})", answer, re.MULTILINE)]


def unchanged(position: Callable[[], int], act: Callable[[], Any]) -> Any:
    """Do it, and assert that the log is as it was."""
    before = position()
    done = act()
    assert position() == before
    return done
