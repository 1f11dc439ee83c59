"""Sessions: who is signed in. The browser holds 256 random bits; the file keeps their SHA-256, the session's id.

What somebody may do is not in a session: that is asked of the log each time. A session ends 30 minutes after it was
last used, and 12 hours after somebody last showed who they are.
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from api.signin.database import Database, instant, seconds

IDLE, ABSOLUTE, FRESH = timedelta(minutes=30), timedelta(hours=12), timedelta(minutes=5)
_SEEN_EVERY = 60  # seconds: not every request is worth a write to the disk
_COLUMNS = "s.id, s.actor, a.login, s.since, s.seen, s.authenticated, s.factors, s.account"
_FROM = f"SELECT {_COLUMNS} FROM sessions s LEFT JOIN accounts a ON a.id=s.account"


class Session(msgspec.Struct, frozen=True):
    """A session in force. `login` is the local account, None after a sign-in through a provider.

    `factors` is how the person showed who they are; `fresh`: within the last 5 minutes.
    """

    id: str
    actor: str
    login: str | None
    since: datetime
    seen: datetime
    authenticated_at: datetime
    factors: str
    fresh: bool
    account: str | None


class Sessions:
    """The sessions of one accounts file."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database, self._clock = database, clock

    def open(self, c: sqlite3.Connection, actor: str, account: str | None, factors: str) -> str:
        """Open a session in a transaction; return its token, which is nowhere else."""
        token, now = secrets.token_urlsafe(32), seconds(self._clock())
        row = (id_of(token), actor, account, now, now, now, factors)
        c.execute("INSERT INTO sessions VALUES (?,?,?,?,?,?,?)", row)
        return token

    def session(self, token: str) -> Session | None:
        """The session of a token, None if it is over; it counts as used now."""
        now = seconds(self._clock())
        rows = self._database.read(f"{_FROM} WHERE s.id=? AND {_IN_FORCE}", id_of(token), *_bounds(now))
        if not rows:
            return None
        found = _session(rows[0], now)
        if now - seconds(found.seen) >= _SEEN_EVERY:
            self._database.write("UPDATE sessions SET seen=? WHERE id=? AND seen<?", now, found.id, now)
        return found

    def sessions(self, actor: str) -> Sequence[Session]:
        """Everywhere an actor is signed in, the newest first."""
        now = seconds(self._clock())
        order = "ORDER BY s.authenticated DESC, s.id"
        rows = self._database.read(f"{_FROM} WHERE s.actor=? AND {_IN_FORCE} {order}", actor, *_bounds(now))
        return [_session(row, now) for row in rows]

    def end_session(self, session: str, actor: str) -> None:
        """End a session of this actor by its id; another's, or one that is over, stays as it is."""
        self._database.write("DELETE FROM sessions WHERE id=? AND actor=?", session, actor)

    def end_sessions(self, actor: str) -> int:
        """End every session of an actor; return how many there were in force or not yet pruned."""
        return self._database.write("DELETE FROM sessions WHERE actor=?", actor)

    def prune(self) -> int:
        """Drop the sessions that are over."""
        return self._database.write(
            f"DELETE FROM sessions AS s WHERE NOT ({_IN_FORCE})", *_bounds(seconds(self._clock()))
        )


_IN_FORCE = "s.seen>? AND s.authenticated>?"


def _bounds(now: int) -> tuple[int, int]:
    return now - int(IDLE.total_seconds()), now - int(ABSOLUTE.total_seconds())


def _session(row: Sequence[Any], now: int) -> Session:
    ident, actor, login, since, seen, authenticated, factors, account = row
    fresh = now - authenticated < FRESH.total_seconds()
    return Session(ident, actor, login, instant(since), instant(seen), instant(authenticated), factors, fresh, account)


def id_of(token: str) -> str:
    """The id of the session that a token opens: its SHA-256 in hex."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
