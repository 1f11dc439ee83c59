"""The accounts store: local accounts, sessions, API keys and links to providers, each bound to an actor of the log.

It says who somebody is, never what they may do: that is asked of the log. Rights to manage accounts are asked by the
caller (`managing.py`). Every method may block; call it off the event loop, but for `session` and `api_key`, which read
one row.
"""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from api.signin.apikeys import ApiKeys
from api.signin.attempts import ADDRESS, place
from api.signin.database import Database, instant, seconds
from api.signin.enrolments import Enrolment, Enrolments
from api.signin.entering import KNOWN_FOR, Entered, Entering
from api.signin.links import Links
from api.signin.logins import normal_login
from api.signin.passwords import Cost, Passwords
from api.signin.refusals import NotSignedIn
from api.signin.sealing import Sealing
from api.signin.sessions import Sessions, id_of
from registry.errors import BadInput, NotFound
from registry.service import Registry

FILE = "accounts.db"
KEPT_AFTER = timedelta(days=90)  # an API key that is over is still listed by its owner's approver


class LocalAccount(msgspec.Struct, frozen=True):
    """A local account, without anything secret. `recovery_codes` is how many are left."""

    login: str
    actor: str
    made_at: datetime
    made_by: str
    used_at: datetime | None
    disabled: bool
    recovery_codes: int


class Accounts:
    """One accounts file, for all threads of a process. Its parts do the work; what they promise is said there."""

    def __init__(self, path: Path, key: bytes, clock: Callable[[], datetime], cost: Cost | None = None) -> None:
        database, sealing, passwords = Database(path), Sealing(key), Passwords(cost or Cost())
        self._database, self._clock = database, clock
        self._entering = Entering(database, sealing, passwords, clock)
        self._kept, self._keys = Sessions(database, clock), ApiKeys(database, clock)
        self._links, self._enrolments = Links(database, sealing, clock), Enrolments(database, sealing, passwords, clock)

        self.session, self.sessions = self._kept.session, self._kept.sessions
        self.end_session, self.end_sessions = self._kept.end_session, self._kept.end_sessions
        self.make_api_key, self.api_key = self._keys.make_api_key, self._keys.api_key
        self.api_keys, self.end_api_key = self._keys.api_keys, self._keys.end_api_key
        self.owner_of_api_key = self._keys.owner_of_api_key
        self.link, self.linked, self.links = self._links.link, self._links.linked, self._links.links
        self.unlink = self._links.unlink
        self.keep_request, self.take_request = self._links.keep_request, self._links.take_request
        self.enrol, self.reset, self.waiting = self._enrolments.enrol, self._enrolments.reset, self._enrolments.waiting
        self.countersign = self._enrolments.countersign
        self.enrolment, self.confirm_enrolment = self._enrolments.enrolment, self._enrolments.confirm_enrolment

    @classmethod
    def of(cls, registry: Registry) -> "Accounts":
        """The accounts of a registry: in its data folder, under a key that its index key gives."""
        key = bytes.fromhex(registry.custody.vault().blind_index("accounts/1"))  # no identity: those have two bars
        return cls(registry.folder.path / FILE, key, registry.clock)

    def close(self) -> None:
        """Close this thread's connection."""
        self._database.close()

    # signing in

    def sign_in(self, login: str, password: str, code: str, address: str, device: str | None = None) -> str:
        """Check all three; return the token of a new session, fresh. Raise NotSignedIn or TooMany.

        `code` is that of the authenticator or a recovery code. `device` is what `device` gave this browser before.
        """
        return self._entering.authenticate(
            login,
            password,
            code,
            address=address,
            device=device,
            then=lambda c, done: self._kept.open(c, done.account.actor, done.account.id, done.factors),
        )

    def device(self, token: str) -> str | None:
        """What the browser of a session keeps (400 days at most), so that strangers cannot slow its owner down.

        None after a sign-in through a provider. It signs nobody in, and may outlive the session.
        """
        session = self.session(token)
        return self._entering.device(session.account) if session and session.account else None

    def confirm(self, token: str, password: str, code: str, address: str) -> str:
        """Check password and code of the session's own account; return its new token, fresh. The old one is over.

        Raise NotSignedIn (also for a session that is over, or came through a provider) or TooMany.
        """
        session = self.session(token)
        if session is None or session.account is None:
            raise NotSignedIn

        def rotate(c: sqlite3.Connection, done: Entered) -> str:
            if not c.execute("DELETE FROM sessions WHERE id=?", (id_of(token),)).rowcount:
                raise NotSignedIn  # ended meanwhile
            return self._kept.open(c, done.account.actor, done.account.id, done.factors)

        return self._entering.again(session.id, session.account, password, code, address=address, then=rotate)

    def check_code(self, actor: str, code: str, address: str) -> None:
        """Check the one-time code of an actor's local account, after a provider without one. Raise as `sign_in`."""
        self._entering.second_only(actor, code, address=address, then=lambda c, done: None)

    def open_session(self, actor: str, login: str | None) -> str:
        """Return the token of a new session, fresh, of somebody whom a provider vouched for."""
        with self._database.writing() as c:
            row = c.execute("SELECT id FROM accounts WHERE login=? AND actor=?", (login, actor)).fetchone()
            return self._kept.open(c, actor, row[0] if row else None, "provider")

    def begin_enrolment(self, code: str, login: str, password: str, address: str) -> Enrolment:
        """Redeem an enrolment code, as `Enrolments.begin_enrolment` says; wrong codes are counted for the address."""
        budget = self._entering.attempts.counted(ADDRESS, "enrolment", place(address).address)
        tried = self._entering.attempts.begin([budget], seconds(self._clock()))
        made = self._enrolments.begin_enrolment(code, login, password)
        with self._database.writing() as c:
            self._entering.attempts.succeeded(c, tried)
        return made

    # managing

    def accounts(self) -> Sequence[LocalAccount]:
        """Every local account, by login."""
        left = "(SELECT count(*) FROM recovery_codes r WHERE r.account=a.id)"
        rows = self._database.read(
            f"SELECT login, actor, made, made_by, used, disabled, {left} FROM accounts a ORDER BY login"
        )
        return [
            LocalAccount(login, actor, instant(made), by, instant(used) if used else None, bool(disabled), codes)
            for login, actor, made, by, used, disabled, codes in rows
        ]

    def actor_of(self, login: str) -> str:
        """The actor of an account, or of one that was reset. Raise NotFound."""
        login = normal_login(login)
        both = "SELECT actor FROM accounts WHERE login=? UNION SELECT actor FROM enrolments WHERE reserved=?"
        rows = self._database.read(both, login, login)
        if not rows:
            raise NotFound(f"没有账户 {login}", fix="用 accounts list 查看")
        return str(rows[0][0])

    def disable(self, login: str) -> None:
        """Close an account and end its sessions; closed already is no change. Raise NotFound."""
        self._switch(login, disabled=1)

    def enable(self, login: str) -> None:
        """Open a closed account again. Raise NotFound."""
        self._switch(login, disabled=0)

    def _switch(self, login: str, disabled: int) -> None:
        with self._database.writing() as c:
            switched = "UPDATE accounts SET disabled=? WHERE login=? RETURNING id"
            rows = c.execute(switched, (disabled, normal_login(login))).fetchall()
            if not rows:
                raise NotFound(f"没有账户 {login}", fix="用 accounts list 查看")
            if disabled:
                c.execute("DELETE FROM sessions WHERE account=?", rows[0])

    def forget(self, actor: str) -> None:
        """Destroy everything of an actor: accounts, codes, sessions, API keys, links. Safe to repeat."""
        if not actor:
            raise BadInput("没有说明是谁", fix="写明人员")
        with self._database.writing() as c:
            for table in ("sessions", "accounts", "enrolments", "api_keys", "links"):
                c.execute(f"DELETE FROM {table} WHERE actor=?", (actor,))
        self._database.fold_in()

    def prune(self) -> None:
        """Drop what is over: sessions, codes, failures, networks not seen for 90 days, keys over for 90 days."""
        now = self._clock()
        self._kept.prune()
        self._keys.prune(seconds(now - KEPT_AFTER))
        for table in ("enrolments", "requests"):
            self._database.write(f"DELETE FROM {table} WHERE until<=?", seconds(now))
        self._database.write("DELETE FROM failures WHERE forgotten<=?", seconds(now))
        self._database.write("DELETE FROM known_networks WHERE seen<=?", seconds(now - KNOWN_FOR))
