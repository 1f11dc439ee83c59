"""Tries at a sign-in, counted so that guessing takes for ever and nobody can lock somebody else out.

No account is ever locked. Failures are counted for an account from one network, for a network, for an address, and for
an account from places it never signed in from. A device that the account signed in from before has a cookie that says
so, and a budget of its own: whatever strangers or the colleague at the next desk use up, its owner comes in (after the
device cookies of OWASP's "Slow Down Online Guessing Attacks").

A try is counted before the password is looked at, so that many at once are not more than one after the other.
"""

import hmac
import ipaddress
import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from api.signin.database import Database
from api.signin.refusals import TooMany

_V4_NETWORK, _V6_NETWORK, _V6_ADDRESS = 24, 48, 64
_ALL = 1 << 62


class Place(NamedTuple):
    """Where somebody asks from: a host and the network around it."""

    address: str
    network: str


# Of this machine: a reverse proxy that does not say for whom it asks. Everybody comes from there, so it tells nothing.
HERE = frozenset({"127.0.0.0/24", "::/48"})


class Budget(NamedTuple):
    """So many failures are free; after that one waits `first` seconds, twice as long each time, at most `longest`.

    Each `excused` seconds without a failure excuse one. `shared`: one success does not excuse the others' failures.
    """

    name: str
    free: int
    first: int
    longest: int
    excused: int
    shared: bool = False


DEVICE = Budget("device", 10, 5, 900, 900)
FROM_NETWORK = Budget("from-network", 5, 5, 900, 3600)
# NIST SP 800-63B, 3.2.2: at most 100 failures in a row for one account. Places it is known from are not counted here.
STRANGERS = Budget("strangers", 100, 30, 3600, 1800)
# A whole office may stand behind one address: it mistypes some dozens of passwords of a Monday morning.
NETWORK = Budget("network", 240, 1, 300, 30, shared=True)
ADDRESS = Budget("address", 120, 1, 300, 60, shared=True)
SESSION = Budget("session", 5, 5, 900, 3600)


class Counted(NamedTuple):
    """A budget of somebody: its mark in the file is a keyed hash, so that the file tells no address."""

    budget: Budget
    mark: bytes


class Try(NamedTuple):
    """A try that was counted as failed until it succeeds; `before` is when the failure before it was."""

    counted: Sequence[Counted]
    before: Sequence[int]
    at: int


class Attempts:
    """Counts tries in the accounts file, for all processes together."""

    def __init__(self, database: Database, key: bytes) -> None:
        self._database, self._key = database, key

    def counted(self, budget: Budget, *whose: str) -> Counted:
        """A budget of an account, a network, a device…"""
        return Counted(budget, hmac.digest(self._key, "\0".join((budget.name, *whose)).encode(), "sha256"))

    def begin(self, wanted: Iterable[Counted], now: int) -> Try:
        """Count a try in each budget. Raise TooMany if one of them is used up; then nothing is counted."""
        counted = tuple(wanted)
        with self._database.writing() as c:
            found = [_found(c, one, now) for one in counted]
            wait = max(_wait(one.budget, *kept, now) for one, kept in zip(counted, found, strict=True))
            if wait > 0:
                raise TooMany(wait)
            for one, (count, _) in zip(counted, found, strict=True):
                row = (one.mark, count + 1, now, now + (count + 1) * one.budget.excused)
                c.execute("INSERT OR REPLACE INTO failures VALUES (?,?,?,?)", row)
        return Try(counted, [last for _, last in found], now)

    def succeeded(self, c: sqlite3.Connection, done: Try) -> None:
        """Take a try back, in the transaction that lets somebody in; failures of their own are forgotten with it."""
        for one, before in zip(done.counted, done.before, strict=True):
            if one.budget.shared:
                undo = "UPDATE failures SET count=count-1, last=CASE last WHEN ? THEN ? ELSE last END WHERE mark=?"
                c.execute(undo, (done.at, before, one.mark))
            c.execute("DELETE FROM failures WHERE mark=? AND count<=?", (one.mark, 0 if one.budget.shared else _ALL))


def _found(c: sqlite3.Connection, one: Counted, now: int) -> tuple[int, int]:
    """How many failures are not excused yet, and since when nothing was excused: the last, or a time after it."""
    row = c.execute("SELECT count, last FROM failures WHERE mark=? AND forgotten>?", (one.mark, now)).fetchone()
    if row is None:
        return 0, 0
    count, last = row
    excused = max(0, now - last) // one.budget.excused
    return max(0, count - excused), last + excused * one.budget.excused


def _wait(budget: Budget, count: int, last: int, now: int) -> int:
    """How many seconds a next try must wait."""
    if count < budget.free:
        return 0
    delay = min(budget.first << min(count - budget.free, 20), budget.longest)
    return max(0, last + delay - now)


@lru_cache(maxsize=65_536)
def place(address: str) -> Place:
    """The host and network of an address: IPv4 itself and its /24, IPv6 its /64 and its /48.

    One IPv6 host has a whole /64 of addresses. What is no address is a place of its own.
    """
    try:
        host = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return Place(address, address)
    if isinstance(host, ipaddress.IPv6Address):
        mapped = host.ipv4_mapped
        if mapped is None:
            return Place(_net(host, _V6_ADDRESS), _net(host, _V6_NETWORK))
        host = mapped
    return Place(str(host), _net(host, _V4_NETWORK))


def _net(host: ipaddress.IPv4Address | ipaddress.IPv6Address, size: int) -> str:
    return str(ipaddress.ip_network((host, size), strict=False))
