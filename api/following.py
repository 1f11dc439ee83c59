"""Followers: what waits for new events in one service process, and is woken when one comes.

One thread knows the newest position: PostgreSQL tells it, and it looks as well, for a notification can be missed.
Whoever keeps something up to date waits here, and so do requests that ask for a position not yet reached.
"""

import asyncio
import threading

import structlog

from keys.errors import KeysError
from registry.errors import RegistryError
from registry.log.recorder import LogRecorder

BEAT = 0.5  # seconds: so long at most until it is noticed that a process is to end
TRY_AGAIN = 1.0  # seconds until a store that did not answer is asked again

FAILURES = (RegistryError, KeysError, OSError)
_log = structlog.get_logger()


class Following:
    """Knows the newest position while it is started. Where a log was put back to an older state, so is the position."""

    def __init__(self, recorder: LogRecorder) -> None:
        self.head = -1
        self._recorder, self._moved, self._stopped = recorder, threading.Condition(), threading.Event()
        self._requests: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._thread = threading.Thread(target=self._follow, name="following", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Wake everyone who waits, and end."""
        self._stopped.set()
        self._tell(self.head)
        if self._thread.is_alive():
            self._thread.join()

    def changed(self, since: int, seconds: float) -> int:
        """Wait until the newest position is another than this, the time is up, or it ends; return the position."""
        with self._moved:
            self._moved.wait_for(lambda: self.head != since or self._stopped.is_set(), seconds)
            return self.head

    async def moved(self, seconds: float) -> None:
        """Wait until there is news, without keeping anybody else waiting; no longer than this."""
        waiting = asyncio.get_running_loop(), asyncio.Event()
        with self._moved:
            self._requests.add(waiting)
        try:
            async with asyncio.timeout(seconds):
                await waiting[1].wait()
        except TimeoutError:
            pass
        finally:
            with self._moved:
                self._requests.discard(waiting)

    def _follow(self) -> None:
        said = Said("following")
        while not self._stopped.is_set():
            try:
                head = self._recorder.wait(self.head, BEAT)
            except FAILURES as error:
                said.failed(error)
                self._stopped.wait(TRY_AGAIN)
                continue
            said.well()
            if head != self.head:
                self._tell(head)
        self._recorder.close()

    def _tell(self, head: int) -> None:
        with self._moved:
            self.head = head
            self._moved.notify_all()
            for loop, event in self._requests:
                loop.call_soon_threadsafe(event.set)


class Said:
    """An error is reported once until it changes, however often it is met."""

    def __init__(self, name: str) -> None:
        self._name, self._last = name, ""

    def failed(self, error: Exception) -> None:
        """It went wrong; say so, unless that was said last."""
        if str(error) != self._last:
            self._last = str(error)
            _log.error(f"{self._name} failed", error=self._last)

    def well(self) -> None:
        """It went well: the next error is news."""
        self._last = ""
