"""Verifications read from a replica of the database, when it has what the primary had as the question was asked.

(1) ask the primary for its head: no primary, no answer
(2) ask the replica for its own: what it shows later holds at least that
(3) read there if it has reached the primary's head, else at the primary

So a revocation that is recorded is never passed over, however far the replica is behind.
"""

import time
from collections.abc import Sequence
from typing import Any

import structlog

from keys.errors import KeysError
from registry.errors import BadInput, Unavailable
from registry.log.kind import Found
from registry.log.log import Log
from registry.log.recorder import LogRecorder
from registry.service import Registry
from registry.titles.verification import Verifier

REST_SECONDS = 10.0  # a replica that did not answer is left alone for so long: a connection attempt holds up others

_log = structlog.get_logger()


class ReplicaVerifier(Verifier):
    """The verifier of a registry, which reads from a replica where that is as fresh as the primary."""

    def __init__(self, registry: Registry, address: str) -> None:
        primary = registry.verifier
        super().__init__(primary.log, primary.keyring, primary.authority_of)
        self._address, self._again = address, 0.0
        self._there: Log | None = None
        self.answered = 0
        """How many codes were looked up in the replica."""

    def _look_up(self, bodies: Sequence[str]) -> list[Found]:
        return self._looked_up_there(bodies) or super()._look_up(bodies)

    def _looked_up_there(self, bodies: Sequence[str]) -> list[Found] | None:
        """What the replica holds; None if it must come from the primary. Raise Unavailable without a primary."""
        head = self.log.head()  # (1)
        if time.monotonic() < self._again:
            return None
        try:
            there = self._there = self._there or self._opened()
            if there.head() < head:  # (2)
                return None
            found = there.find("code", bodies)  # (3)
        except (Unavailable, KeysError, OSError) as error:
            self._again = time.monotonic() + REST_SECONDS
            _log.warning("replica not read", error=type(error).__name__)
            return None
        self.answered += len(bodies)
        return found

    def _opened(self) -> Log:
        """The log of the replica. Raise Unavailable if it cannot be read, or is that of another registry."""
        log = Log(self._address, self.log.vault, self.log.clock)
        log.gate = self.log.gate
        if _first(log.recorder) != _first(self.log.recorder):
            log.close()
            raise Unavailable("只读副本不是这个登记库的", fix="检查 TITLE_REGISTRY_READ_DATABASE")
        return log


def _first(recorder: LogRecorder) -> list[Any]:
    return list(recorder.rows_by_position(0, 1))


def read_from(registry: Registry, address: str) -> None:
    """Let verifications of this process read from that replica. Raise BadInput for a registry in a file."""
    if not registry.config.database:
        raise BadInput("登记库在文件里，没有只读副本", fix="去掉 TITLE_REGISTRY_READ_DATABASE")
    registry.verifier = ReplicaVerifier(registry, address)
