"""A queue in front of service processes, simulated: how long a verification takes when many come at once.

Each process answers one request after another, in the order of arrival (that is what one event loop does). Requests
arrive independently of each other and fall on a process at random, as the kernel deals out connections.
"""

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

CALLERS = 16
_DRAWS = 80_000


class Latency(NamedTuple):
    """How long requests took, in milliseconds, and which share of the time a process worked."""

    p50: float
    p99: float
    utilisation: float


class Service(NamedTuple):
    """How long a process works on a request: lognormal with this mean (ms) and spread, so some take far longer."""

    mean: float
    sigma: float

    def draw(self, chance: random.Random) -> float:
        """One service time in ms."""
        return self.mean * math.exp(self.sigma * chance.gauss(0, 1) - self.sigma**2 / 2)

    def slower(self, by: float) -> "Service":
        """The same with so many ms more on average, for what else a request waits for."""
        return Service(self.mean + by, self.sigma)


def calibrated(rate: float, p50: float, p99: float, seed: int = 1) -> Service:
    """The service whose closed loop of 16 callers shows the measured rate (per second) and spread p99/p50.

    Each caller waits for its answer before it asks again, so a request waits for the 15 before it: its latency is the
    sum of 16 service times. Raise ValueError for a p99 below the p50.
    """
    if not 0 < p50 <= p99:
        raise ValueError(f"p50 {p50} ms and p99 {p99} ms are no latencies of one measurement")
    chance = random.Random(seed)  # noqa: S311 - no secret
    normal = [chance.gauss(0, 1) for _ in range(_DRAWS)]
    low, high = 0.0, 4.0
    while high - low > 0.01:
        sigma = (low + high) / 2
        low, high = (sigma, high) if _spread(normal, sigma) < p99 / p50 else (low, sigma)
    return Service(1000 / rate, (low + high) / 2)


def _spread(normal: Sequence[float], sigma: float) -> float:
    times = [math.exp(sigma * one) for one in normal]
    sums = sorted(sum(times[at : at + CALLERS]) for at in range(0, len(times), CALLERS))
    return quantile(sums, 0.99) / quantile(sums, 0.5)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of the ordered values does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def simulated(rate: float, workers: int, service: Service, *, burst: float = 1.0, seed: int = 1) -> Latency:
    """Requests that arrive at this rate (per second) at so many processes; each tenth second is `burst` times as busy.

    All processes are alike and requests fall on them at random, so one of them is followed, with its share.
    """
    chance, calm = random.Random(seed), (10 - burst) / 9  # noqa: S311 - no secret
    now, free, worked, times = 0.0, 0.0, 0.0, list[float]()
    for _ in range(_DRAWS):
        busy = burst if int(now / 1000) % 10 == 0 else calm
        now += chance.expovariate(rate * busy / workers / 1000)
        took = service.draw(chance)
        free = max(now, free) + took
        worked += took
        times.append(free - now)
    times.sort()
    return Latency(quantile(times, 0.5), quantile(times, 0.99), worked / max(now, free))
