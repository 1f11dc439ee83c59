"""Identity providers: whom a provider's subject is here, and sign-ins that are under way there.

The file does not keep a subject, which may be anything of a person, but its mark.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from api.signin.database import Database, instant, seconds
from api.signin.sealing import Sealing
from registry.errors import NotFound, Unavailable, WrongState

UNDER_WAY = timedelta(minutes=10)
MOST_UNDER_WAY = 20_000


class Link(msgspec.Struct, frozen=True):
    """A provider's subject that is an actor here. `id` is for taking it away."""

    id: str
    issuer: str
    actor: str
    made_at: datetime
    made_by: str


class Links:
    """The links and the sign-ins under way of one accounts file."""

    def __init__(self, database: Database, sealing: Sealing, clock: Callable[[], datetime]) -> None:
        self._database, self._sealing, self._clock = database, sealing, clock

    def link(self, issuer: str, subject: str, actor: str, *, by: str) -> None:
        """Link a provider's subject to an actor; again is no change. Raise WrongState if it is another's."""
        row = (self._mark(issuer, subject), issuer, actor, seconds(self._clock()), by)
        self._database.write("INSERT OR IGNORE INTO links VALUES (?,?,?,?,?)", *row)
        if self.linked(issuer, subject) != actor:
            raise WrongState("这个统一身份认证账号已关联另一人", fix="先解除原来的关联")

    def linked(self, issuer: str, subject: str) -> str | None:
        """The actor whom a provider's subject is linked to, or None."""
        rows = self._database.read("SELECT actor FROM links WHERE mark=?", self._mark(issuer, subject))
        return str(rows[0][0]) if rows else None

    def links(self) -> Sequence[Link]:
        """Every link, by actor."""
        rows = self._database.read("SELECT mark, issuer, actor, made, made_by FROM links ORDER BY actor, issuer, mark")
        return [Link(mark.hex()[:16], issuer, actor, instant(made), by) for mark, issuer, actor, made, by in rows]

    def unlink(self, link: str) -> None:
        """Take a link away by its id. Raise NotFound."""
        if not self._database.write("DELETE FROM links WHERE lower(substr(hex(mark), 1, 16))=?", link):
            raise NotFound(f"没有关联 {link}", fix="用 accounts list 查看")

    def keep_request(self, state: str, request: bytes) -> None:
        """Keep a sign-in that is under way at a provider, for ten minutes; sealed.

        Raise Unavailable when more than 20,000 are under way: somebody is playing.
        """
        now = self._clock()
        mark = hashlib.sha256(state.encode()).digest()
        row = (mark, self._sealing.seal(request, "request", mark.hex()), seconds(now + UNDER_WAY))
        with self._database.writing() as c:
            c.execute("DELETE FROM requests WHERE until<=?", (seconds(now),))
            if c.execute("SELECT count(*) FROM requests").fetchone()[0] >= MOST_UNDER_WAY:
                raise Unavailable("正在登录的人过多", fix="稍后重试")
            c.execute("INSERT INTO requests VALUES (?,?,?)", row)

    def take_request(self, state: str) -> bytes | None:
        """Take it out, once; None if there is none, or it is older than that."""
        mark = hashlib.sha256(state.encode(errors="surrogatepass")).digest()
        with self._database.writing() as c:
            rows = c.execute("DELETE FROM requests WHERE state=? RETURNING sealed, until", (mark,)).fetchall()
        if not rows or rows[0][1] <= seconds(self._clock()):
            return None
        return self._sealing.open(rows[0][0], "request", mark.hex())

    def _mark(self, issuer: str, subject: str) -> bytes:
        return self._sealing.mark("link", issuer, subject)
