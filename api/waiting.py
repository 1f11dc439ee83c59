"""A read that names a position sees the log at that position or after it: `min_position`, for every read.

A write answers with its `log_position`. Whoever reads with it sees what was written, from whatever process or replica
the answer comes. What is not there yet is waited for, two seconds at most, and then told as 503 `behind`.
"""

import re
import time

from starlette.requests import Request

from api.errors import BadRequest, Pointed
from api.following import Following
from registry.log.log import Log

MOST_POSITION = 2**53 - 1  # what every JSON reader holds exactly
WAIT_SECONDS = 2.0
LOOK_EVERY = 0.25  # seconds: a follower that stands still must not keep a request longer than need be
FAR_BEHIND = 10_000  # events: nobody waits for so many
MOST_WAITING = 64  # requests of one process: positions that nobody wrote must not fill it
_POSITION = re.compile(r"[0-9]{1,16}", re.ASCII)


class Behind(BadRequest):
    """The log has not reached the position that was asked for. Answered with 503; ask again shortly."""

    status, code = 503, "behind"

    def __init__(self, asked: int, head: int) -> None:
        super().__init__([Pointed("query/min_position", f"日志现在到 {head}，还没有到 {asked}，请稍后再试")])
        self.headers = {"Retry-After": "1"}


class Waiting:
    """The requests of one process that wait for a position; a bounded number."""

    def __init__(self, log: Log, following: Following) -> None:
        self._log, self._following, self.now = log, following, 0

    async def reach(self, position: int) -> None:
        """Return once the log is at the position or beyond. Raise Behind after 2 s.

        At once, if so much is missing that it cannot come in that time, or as many as may wait are waiting already.
        """
        head = self._log.head()
        if head >= position:
            return
        if position - head > FAR_BEHIND or self.now >= MOST_WAITING:
            raise Behind(position, head)
        self.now += 1
        try:
            until = time.monotonic() + WAIT_SECONDS
            while (head := self._log.head()) < position:
                if (left := until - time.monotonic()) <= 0:
                    raise Behind(position, head)
                await self._following.moved(min(left, LOOK_EVERY))
        finally:
            self.now -= 1


async def reach(request: Request, position: int) -> None:
    """Return once the log that this process reads is at the position or beyond. Raise Behind."""
    if position:
        waiting: Waiting = request.app.state.waiting
        await waiting.reach(position)


async def reach_asked(request: Request) -> None:
    """The same for the `min_position` of a query that is not read otherwise; nothing is done for one without.

    Raise BadRequest for one that is no position, or is given twice.
    """
    given = request.query_params.getlist("min_position") if request.scope["query_string"] else []
    if not given:
        return
    if len(given) != 1 or not _POSITION.fullmatch(given[0]) or int(given[0]) > MOST_POSITION:
        raise BadRequest([Pointed("query/min_position", f"须给出一次，为 0 到 {MOST_POSITION} 的整数")])
    await reach(request, int(given[0]))
