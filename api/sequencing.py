"""In the service, beside answering: take new events into the transparency log, and ask the witnesses to cosign.

Each service process has both threads; the log's lock lets one at a time sequence. Half a second passes at most between
an append, by whichever process, and its checkpoint; what sequencing takes comes on top. Witnesses are asked by a thread
of their own: one that is slow must not delay a checkpoint.
"""

import threading
from collections.abc import Callable

import structlog

from api.witnesses import post
from keys.errors import KeysError
from registry.errors import RegistryError
from registry.proof.cosignature import add_signatures
from registry.proof.policy import Policy
from registry.proof.witnessing import gather
from registry.service import Registry

EVERY = 0.5  # seconds
ASK_AGAIN = 60  # rounds until a witness that gave no cosignature is asked again about the same checkpoint

_log = structlog.get_logger()


class Sequencing:
    """Does both while it is started. An error is reported once until it changes, and what failed is tried again."""

    def __init__(self, registry: Registry, every: float = EVERY) -> None:
        self._registry, self._every = registry, every
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(work,), name=name, daemon=True)
            for name, work in (("sequencing", _Sequencer(registry)), ("witnessing", _Asker(registry)))
        ]

    def start(self) -> None:
        """Begin; the first round is at once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the rounds that are going on."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, work: Callable[[], None]) -> None:
        said = ""
        while True:
            try:
                work()
                failed = ""
            except (RegistryError, KeysError, OSError) as error:
                failed = str(error)
            if failed and failed != said:
                _log.error(f"{threading.current_thread().name} failed", error=failed)
            said = failed
            if self._stop.wait(self._every):
                break
        self._registry.log.recorder.close()


class _Sequencer:
    """One round: a checkpoint over what was appended since the last one."""

    def __init__(self, registry: Registry) -> None:
        self._registry, self._done = registry, -1

    def __call__(self) -> None:
        head = self._registry.log.head()
        if head != self._done and self._registry.tlog.sequence(wait=False) is not None:
            self._done = head


class _Asker:
    """One round: cosignatures for the published checkpoint, of the witnesses that have not cosigned it yet."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._sizes: dict[str, int] = {}
        self._asked, self._rounds = b"", 0

    def __call__(self) -> None:
        path, note = self._registry.folder.policy, self._registry.tlog.published()
        self._rounds += 1
        text = note.partition(b"\n\n")[0] if note else b""
        if note is None or not path.exists() or (text == self._asked and self._rounds < ASK_AGAIN):
            return
        self._asked, self._rounds = text, 0
        policy = Policy.parse(path.read_bytes())
        cosigned = policy.met_by(note).by
        if all(name in cosigned or url is None for name, (_, url) in policy.witnesses.items()):
            return
        lines, skipped = gather(note, policy, self._registry.tlog.consistency, post, self._sizes)
        if lines:
            self._registry.tlog.publish_cosigned(add_signatures(note, lines))
        if skipped:
            _log.warning("witnesses did not cosign", why=skipped)
