"""Work over a log that needs no key of the registry, in pieces that any process can do: of leaves, and of streams."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path

import msgspec

from keys.errors import KeysError
from registry.audit.findings import Findings
from registry.audit.leafing import WIDE, Stored, Tiles, Unwell
from registry.audit.prints import Print, Printing, Prints
from registry.audit.rebuild import Rebuild
from registry.audit.roles import Roles
from registry.errors import CorruptHistory
from registry.log.recorder import LogRecorder
from registry.officers.officer import OFFICERS


class Leaves(msgspec.Struct, frozen=True, tag=True):
    """The leaves from this index on, at most WIDE of them, are in the published tiles."""

    begin: int


class Folds(msgspec.Struct, frozen=True, tag=True):
    """The streams whose ids begin so fold, and each fact was its officer's to record, as far as that is in clear."""

    prefix: str


class Derived(msgspec.Struct, frozen=True, tag=True):
    """The claims and register rows that follow from the streams whose ids begin so."""

    prefix: str


Piece = Leaves | Folds | Derived


class Job(msgspec.Struct, frozen=True):
    """A log at a place up to a position, the folder, size and root of its published tree, and what is to be done.

    `parents`: the authority above each. `key`: that of the prints.
    """

    place: str
    head: int
    folder: str
    size: int
    root: bytes
    predecessor: bytes | None
    parents: Mapping[str, str | None]
    key: bytes
    pieces: Sequence[Piece]


class Done(msgspec.Struct, frozen=True):
    """What a piece came to, if all is well in it: events, streams, and the prints of what follows from them."""

    events: int = 0
    streams: int = 0
    prints: dict[str, Print] = {}


def leaves(size: int) -> list[Piece]:
    """The pieces of a published tree."""
    return [Leaves(begin) for begin in range(0, size, WIDE)]


class Worker:
    """Does pieces of a job, one after another."""

    def __init__(self, job: Job, recorder: LogRecorder) -> None:
        self._job, self._recorder = job, recorder
        self._stored = Stored(recorder, job.predecessor)
        self._tiles = Tiles(Path(job.folder), job.size)

    def do(self, piece: Piece) -> Done:
        """Do a piece. Raise Unwell if anything in it is not as it must be."""
        if isinstance(piece, Leaves):
            self._tiles.check(self._stored, piece.begin)
            return Done()
        findings, prints = Findings(), Prints(self._job.key)
        derived = isinstance(piece, Derived)
        sink = Printing(prints) if derived else Nowhere()
        rebuild = Rebuild(sink, findings, roles=None if derived else roles_of(self._recorder, self._job))
        try:
            events = rebuild.take_all(self._recorder.rows_by_stream(self._job.head, piece.prefix))
        except (CorruptHistory, KeysError) as error:
            raise Unwell from error
        if findings.kept:
            raise Unwell
        return Done(events, rebuild.streams, prints.all())


def roles_of(recorder: LogRecorder, job: Job) -> Roles:
    """Who held which role when: it follows from the officers' streams, which are few."""
    roles = Roles(job.parents)
    for row in sorted(recorder.rows_by_stream(job.head, f"{OFFICERS.prefix}-"), key=itemgetter(0)):
        roles.take(row)
    return roles


class Nowhere:
    """The sink of a rebuild that only judges."""

    def put(self, stream: str, kind: object, state: object) -> None:
        """Keep nothing."""

    def put_erased(self, stream: str) -> None:
        """Keep nothing."""

    def flush(self) -> None:
        """Keep nothing."""
