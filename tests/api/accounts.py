"""An accounts file for tests, with cheap hashes, and an authenticator that computes RFC 6238 by itself."""

import base64
import hmac
from pathlib import Path
from typing import NamedTuple

from api.signin.accounts import Accounts
from api.signin.passwords import Cost
from tests.people import CHIEF, CLERK, Clock

KEY = bytes(range(32))
CHEAP = Cost(memory=64, passes=1, lanes=1)
PASSWORD = "山有木兮木有枝-seven herons"
OFFICE, ELSEWHERE = "192.0.2.10", "203.0.113.7"


def store(path: Path, clock: Clock, cost: Cost = CHEAP) -> Accounts:
    """The accounts file of a folder."""
    return Accounts(path / "accounts.db", KEY, clock, cost)


def rfc6238(secret: str, at: float) -> str:
    """The code at an instant: RFC 4226, 5.3, over the number of 30-second steps (RFC 6238, 4.2)."""
    digest = hmac.digest(base64.b32decode(secret), (int(at) // 30).to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 15
    return f"{(int.from_bytes(digest[offset : offset + 4], 'big') & 0x7FFFFFFF) % 10**6:06d}"


class Owner(NamedTuple):
    """Somebody with an account: what they know and have."""

    login: str
    secret: str
    recovery: tuple[str, ...]
    password: str = PASSWORD

    def code(self, clock: Clock) -> str:
        """A code that was not used before: time passes until the next one."""
        clock.forward(seconds=30)
        return rfc6238(self.secret, clock.now.timestamp())


def enrolled(accounts: Accounts, clock: Clock, login: str = "lin", actor: str = CLERK) -> Owner:
    """Set up an account as its owner does."""
    code = accounts.enrol(actor, by=CHIEF, alone=True)
    made = accounts.begin_enrolment(code, login, PASSWORD, OFFICE)
    recovery = accounts.confirm_enrolment(made.token, rfc6238(made.secret, clock.now.timestamp()))
    return Owner(login, made.secret, tuple(recovery))


def signs_in(accounts: Accounts, owner: Owner, clock: Clock, address: str = OFFICE, device: str | None = None) -> str:
    """Sign in with the next code; return the session's token."""
    return accounts.sign_in(owner.login, owner.password, owner.code(clock), address, device)
