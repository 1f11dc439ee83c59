"""Codes that are asked for at the same moment are looked up together, where every look-up is a round trip to a server.

The first request of a turn of the event loop puts the look-up at its end; all that come until then are in it. Nobody
waits for company, and each answer rests on one moment of the log, as if it had been asked for alone.
"""

import asyncio

from registry.log.kind import Found
from registry.service import Registry


class Scans:
    """The scans of one process that wait for what the log holds under their codes. For one event loop."""

    def __init__(self, registry: Registry) -> None:
        self._registry, self._far = registry, bool(registry.config.database)
        self._waiting: list[tuple[str, asyncio.Future[Found]]] = []

    async def find(self, code: str) -> Found | None:
        """What the log holds under a code; None where it is as quick to look it up while it is checked: in a file.

        Raise whatever the look-up raises, for each one that was in it.
        """
        if not self._far:
            return None
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._look_up)
        found: asyncio.Future[Found] = loop.create_future()
        self._waiting.append((code, found))
        return await found

    def _look_up(self) -> None:
        waiting, self._waiting = self._waiting, []
        asked = [(code, future) for code, future in waiting if not future.done()]  # done: its caller has gone
        try:
            found = list(zip(asked, self._registry.verifier.find([code for code, _ in asked]), strict=True))
        except Exception as error:  # noqa: BLE001 - whatever it was, each caller gets it
            for _, future in asked:
                future.set_exception(error)
            return
        for (_, future), one in found:
            future.set_result(one)
