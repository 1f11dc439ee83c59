"""Limits on how fast anybody asks: token buckets for each address, network and account, in the memory of a process.

They keep a service alive and enumeration slow; guessing passwords is counted in `attempts.py`, for all processes
together. Each process counts for itself: with four workers somebody gets up to four times as much.
"""

import heapq
import threading
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from api.signin.attempts import place


class Rate(msgspec.Struct, frozen=True):
    """So many a second for ever, and so many at once after a pause."""

    per_second: float
    burst: int


class Rates(msgspec.Struct, frozen=True):
    """The limits of a kind of request: for one host, for the network around it, for somebody who is signed in."""

    address: Rate
    network: Rate
    account: Rate


# A whole office stands behind one address. 500 people who each load a page with its pictures at eight o'clock are
# 5,000 requests; a hall of counters that verify certificates all day is 50 a second.
_PUBLIC = Rates(Rate(50, 5_000), Rate(100, 10_000), Rate(50, 2_000))
# 200 people sign in within a few minutes of a Monday morning. Each try costs a tenth of a second of a core.
_SIGN_IN = Rates(Rate(2, 200), Rate(4, 400), Rate(0.2, 20))
# What people do who are signed in; an import or an export is one request.
_INSIDE = Rates(Rate(100, 5_000), Rate(200, 10_000), Rate(20, 400))
DEFAULTS: Mapping[str, Rates] = {"public": _PUBLIC, "sign-in": _SIGN_IN, "inside": _INSIDE}


class Config(msgspec.Struct, frozen=True):
    """The limits by kind, and how many buckets are kept: some 150 bytes each."""

    rates: Mapping[str, Rates] = msgspec.field(default_factory=lambda: DEFAULTS)
    most: int = 200_000


_Key = tuple[str, int, str]
_SLACK = 1e-9  # seconds: the rounding of a sum


def _spans(rates: Rates) -> Sequence[tuple[float, float]]:
    """For address, network and account: the seconds that one request is worth, and those of a whole burst."""
    return [
        (1 / each.per_second, each.burst / each.per_second) for each in (rates.address, rates.network, rates.account)
    ]


class Limits:
    """Counts the requests of one process. A bucket is one number: the instant at which it is full again."""

    def __init__(self, config: Config | None = None) -> None:
        self._config = config or Config()
        self._spans = {kind: _spans(rates) for kind, rates in self._config.rates.items()}
        self._full_at: dict[_Key, float] = {}
        self._turn = threading.Lock()

    def __len__(self) -> int:
        """How many buckets are kept."""
        return len(self._full_at)

    def take(self, kind: str, address: str, account: str | None = None, *, now: float) -> float | None:
        """Take one request out of each bucket that it falls under; None: go on. Else how many seconds to wait.

        `now` is in seconds of any clock that never goes back. `account` is somebody who IS signed in, never a name that
        was merely typed: with that, anybody could use up somebody else's. What is refused takes nothing out.
        """
        near, spans, charged, wait = place(address), self._spans[kind], dict[_Key, float](), 0.0
        wanted = [((kind, 0, near.address), spans[0]), ((kind, 1, near.network), spans[1])]
        if account is not None:
            wanted.append(((kind, 2, account), spans[2]))
        with self._turn:
            for key, (one, all_at_once) in wanted:
                full_at = self._full_at.get(key, now)
                charged[key] = full_at = (full_at if full_at > now else now) + one
                wait = max(wait, full_at - now - all_at_once)
            if wait > _SLACK:
                return wait
            self._full_at.update(charged)
            if len(self._full_at) > self._config.most:
                self._sweep(now)
        return None

    def _sweep(self, now: float) -> None:
        """Drop the buckets that are full, which say nothing; then those nearest to it, until a tenth is free."""
        self._full_at = {key: full for key, full in self._full_at.items() if full > now}
        over = len(self._full_at) - self._config.most * 9 // 10
        for key in _nearest(self._full_at, over):
            del self._full_at[key]


def _nearest(full_at: Mapping[_Key, float], count: int) -> Iterable[_Key]:
    return heapq.nsmallest(count, full_at, key=full_at.__getitem__) if count > 0 else []
