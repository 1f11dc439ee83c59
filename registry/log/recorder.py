"""The recorder of the event store: events, claims and data keys in one transaction. Two engines keep this interface.

Reading is written here once, for both: the engines differ in how a position is named and how a value is marked.
Positions are 1, 2, 3, ... without gaps, in the order of the commits, on both.
"""

import threading
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn, Protocol
from uuid import UUID

from eventsourcing.persistence import ApplicationRecorder, Notification, StoredEvent

from registry.log.changes import Changes, Claim, Outcome, Seen

FAR_AHEAD = 1 << 62
POLL = 0.05  # seconds
AT_ONCE = 1_000  # rows
Row = tuple[int, str, int, str, bytes]
"""Position, stream, version, name, bytes of one event."""
ClaimedRow = tuple[int, int, bytes | None, int | None, str, int, str, bytes]
"""Number of the key from 1, head of the log, the holder's wrapped key if it is a first event, then a Row or nothing."""

_EVENT = "POSITION, originator_id, originator_version, topic, state FROM stored_events"
# One statement is one moment: the events of the stream that holds a claim, each with the head of the log beside it, the
# first one with the data key of the holder whom it names. A key that nobody holds has one row, of the head alone.
CLAIMED = """
SELECT {number}, (SELECT max(POSITION) FROM stored_events),
  CASE WHEN originator_version=1 THEN (SELECT wrapped FROM data_keys WHERE holder=HOLDER) END,
  stored_events.POSITION, originator_id, originator_version, topic, state
FROM {held}=(SELECT stream FROM claims WHERE scope=? AND key={key}) ORDER BY {order}
"""
OR_NOBODY = " LEFT JOIN stored_events ON originator_id"
# Key by key, each by the index: of many keys in one condition PostgreSQL thinks that the whole scope is read sooner.
_HELD = "SELECT column1, (SELECT stream FROM claims WHERE scope=? AND key=column1) FROM (VALUES {}) AS wanted"
VERSION = "SELECT max(originator_version) FROM stored_events WHERE originator_id=?"
_STAGED = {"stored_events": "staged_events", "claims": "staged_claims", "data_keys": "staged_keys"}


class Lead(Protocol):
    """The right to be the only process that does something in one store. It goes with the process."""

    def held(self) -> bool:
        """Whether it is still so; what was lost does not come back, ask for a new one."""

    def release(self) -> None:
        """Let another process have it."""


class LogRecorder(ApplicationRecorder):
    """Events (append-only), claims (uniqueness) and data keys (destroyable) of one registry.

    Each thread has a connection of its own. Errors of writing are the library's IntegrityError and OperationalError;
    of reading, Unavailable.
    """

    place: Path | str
    """Where it is: a file or an address, so that another process can open the same."""

    _local: threading.local
    _shared: Any = None

    @abstractmethod
    def create_table(self) -> None:
        """Make the tables if there are none. Refuse a store that a newer version has written."""

    # writing

    @abstractmethod
    def append(self, changes: Changes) -> range:
        """Append events with their claims and data keys in one transaction; return their positions. Durable then.

        Raise IntegrityError for a version that exists, ClaimTaken for a claim that another stream holds, Overtaken if
        what the write rests on is so no longer, OperationalError if the store did not take it.
        """

    @abstractmethod
    def insert_batch(self, batch: Sequence[Changes]) -> list[Outcome]:
        """Append several writes of one moment, each all or nothing; say of each where it is, or why it is not.

        None sees another, and all are durable on return: one wait for the disk serves them all.
        """

    @abstractmethod
    def stage(self, changes: Changes) -> None:
        """Lay changes by in temporary tables of this connection, outside the log. Two equal claims: ClaimTaken."""

    @abstractmethod
    def insert_staged(self, relied: Sequence[str] = (), rests: tuple[str, int] | None = None) -> range:
        """Append everything staged, in one transaction; claims go in sorted. Return the positions.

        Raise Overtaken if what it rests on (see Changes) is no longer so.
        """

    @abstractmethod
    def drop_staged(self) -> None:
        """Forget what was staged."""

    @property
    @abstractmethod
    def staging(self) -> bool:
        """Whether this connection has something staged; then its reads see that too."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Append events as `append` does; the library's name for it."""
        return self.append(Changes(stored_events, **kwargs))

    def secure(self) -> None:
        """Return once every event that can be read is wherever an acknowledged one is: in a file, at once."""

    # one of many

    @abstractmethod
    def lead(self, name: str) -> Lead | None:
        """Become the only process that does this in this store; None while another is."""

    def wait(self, after: int, seconds: float) -> int:
        """Wait until the head is beyond that position or the time is up; return the head."""
        deadline = time.monotonic() + seconds
        while (head := self.max_notification_id()) <= after and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(POLL, left))
        return head

    # connections

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Read and write by the one connection of those who take turns, not by this thread's. One thread at a time."""
        own, self._local.connection = getattr(self._local, "connection", None), self._shared
        try:
            yield
        finally:
            self._shared, self._local.connection = self._local.connection, own

    def close_shared(self) -> None:
        """Close the connection of those who take turns, while nobody does; the next one opens it again."""
        if self._shared is not None:
            self._shared.close()
            self._shared = None

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[None]:
        """Read several things as of one moment. May be nested; the outer one counts."""

    @property
    @abstractmethod
    def in_snapshot(self) -> bool:
        """Whether this thread reads as of a fixed moment."""

    @abstractmethod
    def close(self) -> None:
        """Close what this thread has open."""

    @abstractmethod
    def newest(self) -> int:
        """The position of the newest event now, also from within a snapshot that does not see it."""

    @abstractmethod
    def fold_in(self) -> bool:
        """Leave nothing destroyed in files beside the store. False: somebody reads an older state, do it again."""

    @abstractmethod
    def _select(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        """All rows of a statement. Raise Unavailable if it cannot be read.

        A text that no store can hold (a lone surrogate, NUL in PostgreSQL) is in no row: then there are none.
        """

    @abstractmethod
    def _stream(self, statement: str, parameters: Sequence[Any]) -> Iterator[Any]:
        """The rows of a statement as of one moment, in flat memory. Raise Unavailable if it cannot be read."""

    # reading

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The events of one stream in order of version, each with its position in the log."""
        rows = self._both(
            f"SELECT {_EVENT} WHERE originator_id=? AND originator_version>?"
            f" AND originator_version<=? ORDER BY originator_version {'DESC' if desc else 'ASC'} LIMIT ?",
            (str(originator_id), gt or 0, FAR_AHEAD if lte is None else lte, FAR_AHEAD if limit is None else limit),
        )
        return [_notification(row) for row in rows]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Events in log order from a position on."""
        first = (start or 0) + (0 if inclusive_of_start else 1)
        named = f"AND topic IN ({','.join('?' * len(topics))})" if topics else ""
        rows = self._select(
            f"SELECT {_EVENT} WHERE POSITION>=? AND POSITION<=? {named} ORDER BY POSITION LIMIT ?",
            (first, FAR_AHEAD if stop is None else stop, *topics, limit),
        )
        return [_notification(row) for row in rows]

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> NoReturn:
        """Followers pull; there is nothing to subscribe to."""
        raise NotImplementedError("followers pull by position: see `wait` and `rows_by_position`")

    def max_notification_id(self) -> int:
        """The position of the newest event; 0 for an empty log."""
        return int(self._select("SELECT max(POSITION) FROM stored_events", ())[0][0] or 0)

    def rows_by_stream(self, up_to: int, prefix: str = "") -> Iterator[Row]:
        """All rows (position, stream, version, name, bytes) up to a position, stream by stream; flat memory.

        With a prefix only those of the streams whose ids begin so.
        """
        within = "POSITION<=? AND originator_id>=? AND originator_id<?"
        yield from self._stream(
            f"SELECT {_EVENT} WHERE {within} ORDER BY originator_id, originator_version",
            (up_to, prefix, prefix + "\U0010ffff"),
        )

    def rows_by_position(self, after: int, up_to: int) -> Iterator[Row]:
        """All rows (position, stream, version, name, bytes) in log order between two positions; flat memory."""
        statement = f"SELECT {_EVENT} WHERE POSITION>? AND POSITION<=? ORDER BY POSITION"
        read = self._select if up_to - after <= AT_ONCE else self._stream
        yield from read(statement, (after, up_to))

    def claimed(self, claim: Claim) -> str | None:
        """The stream that holds a claim."""
        rows = self._both("SELECT stream FROM claims WHERE scope=? AND key=?", claim)
        return rows[0][0] if rows else None

    def claimants(self, scope: str, keys: Sequence[str]) -> dict[str, str]:
        """The streams that hold these keys of a scope, by key; keys that nobody holds are left out."""
        found: dict[str, str] = {}
        for at in range(0, len(keys), AT_ONCE):
            some = keys[at : at + AT_ONCE]
            some = [*some, *[some[0]] * (AT_ONCE - len(some))] if at else some  # few different statements
            rows = self._both(_HELD.format(", ".join(["(?)"] * len(some))), (scope, *some))
            found.update((key, stream) for key, stream in rows if stream)
        return found

    @abstractmethod
    def rows_claimed(self, scope: str, keys: Sequence[str]) -> list[ClaimedRow]:
        """The streams that hold these keys of a scope, in the order of the keys and of their versions.

        The keys must be such as a claim can have.
        """

    def claims(self) -> Iterator[tuple[str, str, str]]:
        """All claims (scope, key, stream), of whatever scope, in order of scope and key; flat memory."""
        yield from self._stream("SELECT scope, key, stream FROM claims ORDER BY scope, key", ())

    def look(self, claims: Sequence[Claim], streams: Sequence[str]) -> Seen:
        """Who holds these claims, and at which versions these streams stand."""
        return Seen({claim: self.claimed(claim) for claim in claims}, {one: self.version(one) for one in streams})

    def last_claim(self, scope: str, prefix: str) -> str | None:
        """The greatest key of a scope that begins with the prefix."""
        rows = self._both(
            "SELECT max(key) FROM claims WHERE scope=? AND key>=? AND key<?", (scope, prefix, prefix + "\U0010ffff")
        )
        return max((row[0] for row in rows if row[0]), default=None)

    def version(self, stream: str) -> int:
        """The newest version of a stream; 0 when there is none."""
        rows = self._select(VERSION, (stream,))
        return int(rows[0][0] or 0) if rows else 0

    def streams_of(self, prefix: str) -> list[str]:
        """The streams whose ids begin so, in order."""
        within = "SELECT DISTINCT originator_id FROM stored_events WHERE originator_id>=? AND originator_id<?"
        return [row[0] for row in self._select(f"{within} ORDER BY 1", (prefix, prefix + "\U0010ffff"))]

    def streams_with(self, name: str) -> list[str]:
        """The streams that have an event of this stored name, in order; reads the whole log."""
        return [
            row[0]
            for row in self._select(
                "SELECT DISTINCT originator_id FROM stored_events WHERE topic=? ORDER BY 1", (name,)
            )
        ]

    def wrapped_key(self, holder: str) -> bytes | None:
        """The wrapped data key of a holder; None when it was destroyed or never existed."""
        rows = self._both("SELECT wrapped FROM data_keys WHERE holder=?", (holder,))
        return rows[0][0] if rows else None

    def data_keys(self) -> Iterator[tuple[str, bytes]]:
        """All wrapped data keys (holder, bytes) in order of the holder; flat memory."""
        yield from self._stream("SELECT holder, wrapped FROM data_keys ORDER BY holder", ())

    def _both(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        """Select from the log, and then from what this connection has staged."""
        rows = self._select(statement, parameters)
        if self.staging:
            for table, staged in _STAGED.items():
                statement = statement.replace(f" FROM {table} ", f" FROM {staged} ")
            rows += self._select(statement, parameters)
        return rows


def _notification(row: Row) -> Notification:
    return Notification(row[1], row[2], row[3], row[4], row[0])
