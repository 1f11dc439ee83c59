"""Checking a password and a second factor. Whatever is wrong, it costs the same and looks the same.

1. The try is counted in every budget it falls under, or refused with the time to wait; nothing was checked then.
2. One argon2 verification, against a hash of nobody's where there is no such account.
3. The second factor is looked at whether the password was right or not.
4. In one transaction: the code or recovery code is used up (once, whoever else has it too), the try is taken back,
   the network is known from now on, and the caller's own rows are written.
"""

import hmac
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from api.signin import totp
from api.signin.attempts import (
    ADDRESS,
    DEVICE,
    FROM_NETWORK,
    HERE,
    NETWORK,
    SESSION,
    STRANGERS,
    Attempts,
    Counted,
    place,
)
from api.signin.database import Database, seconds
from api.signin.logins import normal_login
from api.signin.passwords import Passwords
from api.signin.refusals import NotSignedIn
from api.signin.sealing import Sealing

KNOWN_FOR = timedelta(days=90)
R = TypeVar("R")
_FIND = "SELECT id, login, actor, password, secret, last_step, disabled FROM accounts"
_NOBODY = "00000000000000000000000000000000"


class Account(NamedTuple):
    """What checking needs of an account. Nobody's looks like any other, and is of no use."""

    id: str
    login: str
    actor: str
    password: str
    secret: bytes
    last_step: int
    disabled: int


class Entered(NamedTuple):
    """Who was let in, and how they showed who they are: password+totp, password+recovery, totp."""

    account: Account
    factors: str


Then = Callable[[sqlite3.Connection, Entered], R]


class Entering:
    """Checks people against one accounts file."""

    def __init__(
        self, database: Database, sealing: Sealing, passwords: Passwords, clock: Callable[[], datetime]
    ) -> None:
        self._database, self._sealing, self._passwords, self._clock = database, sealing, passwords, clock
        self.attempts = Attempts(database, sealing.mark("failures"))
        box = sealing.seal(totp.new_secret().encode(), "totp", _NOBODY)
        self._nobody = Account(_NOBODY, "", "", passwords.nobodys, box, 0, 1)

    def authenticate(
        self, login: str, password: str, second: str, *, address: str, device: str | None, then: "Then[R]"
    ) -> R:
        """Check all three of somebody who is not signed in; `then` writes in the same transaction.

        `device` is the cookie of a browser that this account signed in with before. Raise NotSignedIn or TooMany.
        """
        login = normal_login(login)
        account = self._account("WHERE login=?", login) or self._nobody
        budgets = self._budgets(login, account.id, address, device)
        return self._check(account, password, second, budgets, address, then)

    def again(self, session: str, account: str, password: str, second: str, *, address: str, then: "Then[R]") -> R:
        """The same for somebody who is signed in, by the session's own account: a budget that nobody else uses up."""
        found = self._account("WHERE id=?", account) or self._nobody
        budgets = [self.attempts.counted(SESSION, session)]
        return self._check(found, password, second, budgets, address, then)

    def second_only(self, actor: str, second: str, *, address: str, then: "Then[R]") -> R:
        """The authenticator's code of any account of an actor for whom a provider vouched. No recovery code."""
        near = place(address)
        budgets = [
            self.attempts.counted(FROM_NETWORK, "second", actor, near.network),
            self.attempts.counted(STRANGERS, "second", actor),
        ]
        now = seconds(self._clock())
        done = self.attempts.begin(budgets, now)
        accounts = [Account(*row) for row in self._database.read(f"{_FIND} WHERE actor=? ORDER BY id", actor)]
        read = [(one, self._shown(one, second, now)) for one in accounts]
        for account, shown in read:
            if shown.steps and not account.disabled:
                with self._database.writing() as c:
                    self._use_step(c, account, shown.steps, now)
                    self.attempts.succeeded(c, done)
                    return then(c, Entered(account, "totp"))
        raise NotSignedIn

    # (1) budgets

    def _budgets(self, login: str, account: str, address: str, device: str | None) -> Sequence[Counted]:
        count, near = self.attempts.counted, place(address)
        if device is not None and self._is_device(account, device):
            return [count(DEVICE, account, device)]
        at_network = count(FROM_NETWORK, login, near.network)
        if near.network in HERE:
            return [at_network]
        known = self._database.read(
            "SELECT 1 FROM known_networks WHERE account=? AND mark=? AND seen>?",
            *(account, self._network(account, near.network), seconds(self._clock() - KNOWN_FOR)),
        )
        strangers = [] if known else [count(STRANGERS, login)]
        return [at_network, *strangers, count(NETWORK, near.network), count(ADDRESS, near.address)]

    def device(self, account: str) -> str:
        """A cookie value that says that this account signed in here; it signs nobody in."""
        nonce = secrets.token_urlsafe(16)
        return f"{nonce}.{self._device_mark(account, nonce)}"

    def _is_device(self, account: str, device: str) -> bool:
        nonce, _, mark = device.partition(".")
        return hmac.compare_digest(mark.encode(errors="replace"), self._device_mark(account, nonce).encode())

    def _device_mark(self, account: str, nonce: str) -> str:
        return self._sealing.mark("device", account, nonce).hex()

    def _network(self, account: str, network: str) -> bytes:
        return self._sealing.mark("network", account, network)

    # (2), (3), (4)

    def _check(
        self,
        account: Account,
        password: str,
        second: str,
        budgets: Sequence[Counted],
        address: str,
        then: "Then[R]",
    ) -> R:
        now = seconds(self._clock())
        done = self.attempts.begin(budgets, now)  # (1)
        is_right = self._passwords.verify(account.password, password)  # (2)
        shown = self._shown(account, second, now)  # (3)
        owner = account if is_right and not account.disabled else self._nobody
        with self._database.writing() as c:  # (4)
            entered = self._use(c, owner, shown, now)
            self.attempts.succeeded(c, done)
            mark = self._network(account.id, place(address).network)
            c.execute("INSERT OR REPLACE INTO known_networks VALUES (?,?,?)", (account.id, mark, now))
            result = then(c, entered)
        self._renew(account, password)
        return result

    def _renew(self, account: Account, password: str) -> None:
        """Hash a password anew if its hash is of other parameters than ours now."""
        if self._passwords.is_old(account.password):
            again = "UPDATE accounts SET password=? WHERE id=? AND password=?"
            self._database.write(again, self._passwords.hash(password), account.id, account.password)

    def _shown(self, account: Account, second: str, now: int) -> totp.Shown:
        secret = self._sealing.open(account.secret, "totp", account.id).decode()
        return totp.shown(secret, second, now)

    def _use(self, c: sqlite3.Connection, account: Account, shown: totp.Shown, now: int) -> Entered:
        if shown.steps:
            self._use_step(c, account, shown.steps, now)
            return Entered(account, "password+totp")
        mark = self._sealing.mark("recovery", account.id, shown.recovery)
        if not c.execute("DELETE FROM recovery_codes WHERE account=? AND mark=?", (account.id, mark)).rowcount:
            raise NotSignedIn
        self._stamp(c, account, now)
        return Entered(account, "password+recovery")

    def _use_step(self, c: sqlite3.Connection, account: Account, steps: Sequence[int], now: int) -> None:
        """A step counts once, and none before one that was used (RFC 6238, 5.2)."""
        used = "UPDATE accounts SET last_step=? WHERE id=? AND last_step<?"
        if not c.execute(used, (steps[-1], account.id, steps[-1])).rowcount:
            raise NotSignedIn
        self._stamp(c, account, now)

    @staticmethod
    def _stamp(c: sqlite3.Connection, account: Account, now: int) -> None:
        """Raise NotSignedIn if the account was closed or set up anew since it was read."""
        same = "UPDATE accounts SET used=? WHERE id=? AND password=? AND disabled=0"
        if not c.execute(same, (now, account.id, account.password)).rowcount:
            raise NotSignedIn

    def _account(self, where: str, *values: Any) -> Account | None:
        rows = self._database.read(f"{_FIND} {where}", *values)
        return Account(*rows[0]) if rows else None
