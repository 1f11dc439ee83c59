"""In the service, beside answering: what one process of all does for them, and another takes over when it dies.

sequencing   new events go into the transparency log, and a checkpoint is published
projecting   the register takes in new events, so that a reader seldom has to
witnessing   witnesses are asked to cosign; apart from the others, for a slow one must not delay a checkpoint

Each process has a thread for each; the store says who may (`recorder.lead`), and the rest stand by and ask again
every 1.5 s. An event wakes whoever leads at once; after a round it rests, so that many events share the next one.
Correctness rests on none of this: two that did the same would wait for each other at the files.
"""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from api.following import FAILURES, Following, Said
from api.witnesses import post
from keys.files import write_private
from registry.proof.cosignature import add_signatures
from registry.proof.kept import size_of
from registry.proof.policy import Policy
from registry.proof.witnessing import gather
from registry.service import Registry

EVERY = 0.5  # seconds from the beginning of a round to the next: a checkpoint for each event would halve the rate
PROJECT_EVERY = 0.1  # seconds
STAND_BY = 1.5  # seconds until a process that does not lead asks again
ASK_AGAIN = 60  # rounds until a witness that gave no cosignature is asked again about the same checkpoint

DUTIES = ("sequencing", "projecting", "witnessing")

_log = structlog.get_logger()


class Leader(msgspec.Struct, frozen=True):
    """Which process led last: it wrote so when it began."""

    host: str
    process: int


class Duty:
    """One thread that does a piece of work while this process leads in it; else it stands by.

    An error is reported once until it changes, and what failed is tried again in the next round.
    """

    def __init__(
        self, registry: Registry, following: Following, name: str, work: Callable[[], object], every: float
    ) -> None:
        self.name, self.leads = name, False
        self._registry, self._following, self._work, self._every = registry, following, work, every
        self._stopped, self._said = threading.Event(), Said(name)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first round is at once, if nobody else leads."""
        self._thread.start()

    def tell(self) -> None:
        """Say that it is to end after the round that is going on."""
        self._stopped.set()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                lead = self._registry.log.recorder.lead(self.name)
                if lead is not None:
                    try:
                        self._lead(lead.held)
                    finally:
                        self.leads = False
                        lead.release()
            except FAILURES as error:
                self._said.failed(error)
            if self._stopped.wait(STAND_BY):
                break
        self._registry.register.close()
        self._registry.log.recorder.close()

    def _lead(self, held: Callable[[], bool]) -> None:
        self.leads = True
        write_private(_path(self._registry.folder.path, self.name), msgspec.json.encode(_here()))
        while not self._stopped.is_set() and held():
            seen = self._following.head
            try:
                self._work()
                self._said.well()
            except FAILURES as error:
                self._said.failed(error)
            if not self._stopped.wait(self._every):
                self._following.changed(seen, EVERY)


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """Positions of the log, the tree and the register; the age in seconds of the oldest event not in each (0: none)."""

    head: int
    leaves: int
    sequenced: int
    register: int
    tree_seconds: float
    register_seconds: float


def lag(registry: Registry) -> Lag:
    """How far the tree and the register are behind the log now. Raise Unavailable if one cannot be read."""
    head, note, projected = registry.log.head(), registry.tlog.published(), registry.register.position
    size = size_of(note) if note else 0
    sequenced = registry.tlog.position(size - 1, size) if size else 0
    return Lag(
        head=head,
        leaves=size,
        sequenced=sequenced,
        register=projected,
        tree_seconds=_age(registry, sequenced, head),
        register_seconds=_age(registry, projected, head),
    )


def _age(registry: Registry, done: int, head: int) -> float:
    """How long the first event after a position has been waiting."""
    since = registry.log.moment(done + 1) if done < head else None
    return max(0.0, (registry.clock() - since).total_seconds()) if since else 0.0


class Sequencing:
    """All of it while it is started."""

    def __init__(self, registry: Registry, every: float = EVERY) -> None:
        self.following = Following(registry.log.recorder)
        self.duties = [
            Duty(registry, self.following, "sequencing", _Sequencer(registry), every),
            Duty(registry, self.following, "projecting", registry.register.catch_up, PROJECT_EVERY),
            Duty(registry, self.following, "witnessing", _Asker(registry), every),
        ]

    def start(self) -> None:
        """Begin; the first round is at once."""
        self.following.start()
        for duty in self.duties:
            duty.start()

    def stop(self) -> None:
        """End after the rounds that are going on."""
        for duty in self.duties:
            duty.tell()
        self.following.stop()
        for duty in self.duties:
            duty.join()


def alone(registry: Registry, name: str, work: Callable[[], object]) -> None:
    """Do something now, unless another process is at it."""
    lead = registry.log.recorder.lead(name)
    if lead is None:
        return
    try:
        work()
    finally:
        lead.release()


def leader_of(data: Path, duty: str) -> Leader | None:
    """Which process began to lead last, by what it wrote in the data folder; None if none ever did."""
    try:
        return msgspec.json.decode(_path(data, duty).read_bytes(), type=Leader)
    except (OSError, msgspec.MsgspecError):
        return None


def _path(data: Path, duty: str) -> Path:
    return data / f".{duty}.leader"


def _here() -> Leader:
    return Leader(socket.gethostname(), os.getpid())


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
