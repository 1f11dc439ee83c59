"""Stream ids of one unit of work in ascending order, so that the indexes of the store grow at one end."""

import os
from collections.abc import Iterator
from datetime import datetime
from itertools import count, product

from registry.terms import CROCKFORD, new_id

_PAIRS = tuple(map("".join, product(CROCKFORD, CROCKFORD)))


def ascending(now: datetime) -> Iterator[str]:
    """Ids of the form that `terms.new_id` gives them, without their kind: each is greater than the one before.

    Of their 80 bits below the time the first 40 count on from a random number; 40 are random in every one, so that
    none can be told from another.
    """
    time, pairs = new_id("", now)[1:11], _PAIRS
    for block in count(int.from_bytes(os.urandom(5)) >> 7):
        head = time + "".join(CROCKFORD[block >> shift & 31] for shift in range(30, -1, -5))
        fresh = os.urandom(5 * len(CROCKFORD))
        for at, last in enumerate(CROCKFORD):
            low = int.from_bytes(fresh[5 * at : 5 * at + 5])
            four = pairs[low >> 30] + pairs[low >> 20 & 1023] + pairs[low >> 10 & 1023] + pairs[low & 1023]
            yield head + last + four
