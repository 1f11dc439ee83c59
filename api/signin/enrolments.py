"""How a local account comes about: an approver makes a code for somebody, who redeems it with a name and a password.

A code counts once a second approver has countersigned it: whoever holds a colleague's code could act as both. Where
nobody else could countersign (the two founders' own first accounts) one approver is enough.

The account is there once its authenticator has shown a first code; until then the enrolment code can be redeemed again
(a browser that was closed), which undoes the first time. Whether the approver may is asked by whoever calls.
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from api.signin import totp
from api.signin.database import Database, instant, seconds
from api.signin.logins import new_login, normal_login
from api.signin.passwords import Passwords, check_new
from api.signin.sealing import Sealing
from registry.errors import NeedsSecondOfficer, NotFound, Refused, WrongState

LASTS = timedelta(hours=72)
_CODE_CHARACTERS = 20  # 100 bits


class Enrolment(msgspec.Struct, frozen=True):
    """An account half set up: `token` leads back to it, `secret` (base32) and `uri` are for the authenticator."""

    token: str
    login: str
    secret: str
    uri: str


class Waiting(msgspec.Struct, frozen=True):
    """A code that was not redeemed yet; `login` is the account that was reset, None for a new one."""

    actor: str
    login: str | None
    made_by: str
    until: datetime
    countersigned_by: str | None
    counts: bool


class EnrolmentRefused(Refused):
    """No such enrolment code, or it is over; or the first code of the authenticator is wrong."""

    code = "enrolment-refused"


class Enrolments:
    """The enrolment codes of one accounts file."""

    def __init__(
        self, database: Database, sealing: Sealing, passwords: Passwords, clock: Callable[[], datetime]
    ) -> None:
        self._database, self._sealing, self._passwords, self._clock = database, sealing, passwords, clock

    def enrol(self, actor: str, *, by: str, alone: bool) -> str:
        """Make a code for an actor, good for 72 hours and one account; return it, this once.

        Unless made `alone` it counts when another approver has countersigned it.
        """
        with self._database.writing() as c:
            return self._new_code(c, actor, None, by, alone)

    def countersign(self, actor: str, *, by: str) -> None:
        """Let the waiting codes of an actor count, as another approver than made them.

        Raise NotFound if none waits, NeedsSecondOfficer for whoever made it.
        """
        waiting = "actor=? AND until>? AND alone=0 AND countersigned_by IS NULL"
        with self._database.writing() as c:
            asked = (actor, seconds(self._clock()))
            makers = {row[0] for row in c.execute(f"SELECT made_by FROM enrolments WHERE {waiting}", asked)}
            if not makers:
                raise NotFound(f"{actor} 没有待确认的开户码", fix="用 accounts list 查看")
            if makers == {by}:
                raise NeedsSecondOfficer("发放开户码的人不能自己确认（须两名批准人）", fix="由另一名批准人确认")
            c.execute(f"UPDATE enrolments SET countersigned_by=? WHERE {waiting} AND made_by<>?", (by, *asked, by))

    def reset(self, login: str, *, by: str, alone: bool) -> str:
        """Destroy an account with its factors, end every session of its actor; return a code to set it up anew.

        Its name is kept for that code. Again makes the code before worthless. Raise NotFound for no such account.
        """
        login = normal_login(login)
        with self._database.writing() as c:
            both = "SELECT actor FROM accounts WHERE login=? UNION SELECT actor FROM enrolments WHERE reserved=?"
            row = c.execute(both, (login, login)).fetchone()
            if row is None:
                raise NotFound(f"没有账户 {login}", fix="用 accounts list 查看")
            c.execute("DELETE FROM accounts WHERE login=?", (login,))
            c.execute("DELETE FROM enrolments WHERE reserved=?", (login,))
            c.execute("DELETE FROM sessions WHERE actor=?", row)
            return self._new_code(c, row[0], login, by, alone)

    def _new_code(self, c: sqlite3.Connection, actor: str, login: str | None, by: str, alone: bool) -> str:
        now, code = self._clock(), totp.random_text(_CODE_CHARACTERS)
        c.execute("DELETE FROM enrolments WHERE until<=?", (seconds(now),))
        row = (_mark(code), actor, by, seconds(now + LASTS), login, alone)
        c.execute("INSERT INTO enrolments (code, actor, made_by, until, reserved, alone) VALUES (?,?,?,?,?,?)", row)
        return totp.grouped(code, 5)

    def waiting(self) -> Sequence[Waiting]:
        """The codes that can still be redeemed, without the codes."""
        rows = self._database.read(
            "SELECT actor, reserved, made_by, until, countersigned_by, alone FROM enrolments WHERE until>?"
            " ORDER BY until, actor",
            seconds(self._clock()),
        )
        return [
            Waiting(actor, login, by, instant(until), second, bool(alone) or second is not None)
            for actor, login, by, until, second, alone in rows
        ]

    def begin_enrolment(self, code: str, login: str, password: str) -> Enrolment:
        """Redeem a code: choose a name and a password. Nobody can sign in before `confirm_enrolment`.

        Raise EnrolmentRefused for a code that is wrong or over, BadInput for a name or password that cannot be one,
        WrongState for a name that is taken.
        """
        mark = _mark(totp.plain(code))
        reserved = self._reserved(mark)
        login = new_login(login)
        if reserved not in (None, login):
            raise WrongState("重置账户须沿用原来的账号名", fix=f"填写 {reserved}")
        check_new(password, login)
        self._require_free(login, mark)
        made = self._made(secrets.token_urlsafe(32), login, totp.new_secret())
        place = ("totp", _mark(made.token).hex())
        row = (
            _mark(made.token),
            login,
            self._passwords.hash(password),
            self._sealing.seal(made.secret.encode(), *place),
        )
        changed = self._database.write(
            "UPDATE enrolments SET token=?, login=?, password=?, secret=? WHERE code=? AND until>?"
            " AND (alone=1 OR countersigned_by IS NOT NULL)",
            *(*row, mark, seconds(self._clock())),
        )
        if not changed:
            raise _no_such_code()
        return made

    def _reserved(self, mark: bytes) -> str | None:
        rows = self._database.read(
            "SELECT reserved, alone=1 OR countersigned_by IS NOT NULL FROM enrolments WHERE code=? AND until>?",
            *(mark, seconds(self._clock())),
        )
        if not rows:
            raise _no_such_code()
        if not rows[0][1]:
            raise EnrolmentRefused(
                "开户码尚未经第二名批准人确认", fix="请另一名批准人确认（accounts countersign）后再试"
            )
        return rows[0][0] if rows[0][0] is None else str(rows[0][0])

    def _require_free(self, login: str, mark: bytes) -> None:
        others = "SELECT 1 FROM enrolments WHERE reserved=? AND code<>? AND until>?"
        taken = self._database.read("SELECT 1 FROM accounts WHERE login=?", login)
        if taken or self._database.read(others, login, mark, seconds(self._clock())):
            raise _taken()

    @staticmethod
    def _made(token: str, login: str, secret: str) -> Enrolment:
        return Enrolment(token, login, secret, totp.uri(secret, login))

    def enrolment(self, token: str) -> Enrolment | None:
        """An account that waits for the first code of its authenticator; None if there is none."""
        rows = self._database.read(
            "SELECT login, secret FROM enrolments WHERE token=? AND until>?", _mark(token), seconds(self._clock())
        )
        if not rows:
            return None
        login, box = rows[0]
        return self._made(token, login, self._sealing.open(box, "totp", _mark(token).hex()).decode())

    def confirm_enrolment(self, token: str, code: str) -> Sequence[str]:
        """Show the authenticator's first code: the account is there. Return its recovery codes, this once.

        Raise EnrolmentRefused for a wrong code or an enrolment that is over, WrongState for a name taken meanwhile.
        """
        known, now = self.enrolment(token), seconds(self._clock())
        if known is None:
            raise _no_such_code()
        steps = totp.shown(known.secret, code, now).steps
        if not steps:
            raise EnrolmentRefused("动态码不对", fix="核对手机的时间是否自动校准，再输入新的动态码")
        recovery = totp.new_recovery_codes()
        try:
            with self._database.writing() as c:
                self._enter(c, known, steps[-1], recovery, now)
        except sqlite3.IntegrityError:
            raise _taken() from None
        return recovery

    def _enter(self, c: sqlite3.Connection, known: Enrolment, step: int, recovery: Sequence[str], now: int) -> None:
        """The code is used up and the account is there, or neither."""
        done = "DELETE FROM enrolments WHERE token=? AND until>? RETURNING actor, made_by, password"
        rows = c.execute(done, (_mark(known.token), now)).fetchall()
        if not rows:
            raise _no_such_code()
        actor, by, password = rows[0]
        ident = secrets.token_hex(16)
        box = self._sealing.seal(known.secret.encode(), "totp", ident)
        row = (ident, known.login, actor, password, box, step, now, by)
        c.execute("INSERT INTO accounts VALUES (?,?,?,?,?,?,?,?,NULL,0)", row)
        marks = [(ident, self._sealing.mark("recovery", ident, totp.plain(one))) for one in recovery]
        c.executemany("INSERT INTO recovery_codes VALUES (?,?)", marks)


def _mark(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def _no_such_code() -> EnrolmentRefused:
    return EnrolmentRefused("开户码不对，或已使用、已过期", fix="核对开户码；过期（72 小时）的请批准人重新发放")


def _taken() -> WrongState:
    return WrongState("这个账号名已被使用", fix="换一个账号名")
