"""Which engine keeps the log: a file is SQLite, a postgresql:// address is PostgreSQL.

The driver of PostgreSQL is loaded where there is an address: a process that opens a file starts a quarter sooner.
"""

from pathlib import Path

from registry.log.recorder import LogRecorder
from registry.log.sqlite import SqliteRecorder, whole

Place = Path | str
"""A file, or a postgresql:// address."""


def recorder_at(place: Place) -> LogRecorder:
    """Open the log at that place; its tables are made if there are none yet.

    Raise OperationalError or Unavailable if it cannot be opened, or was written by a newer version.
    """
    recorder: LogRecorder = SqliteRecorder(place) if isinstance(place, Path) else _postgresql(place)
    recorder.create_table()
    return recorder


def _postgresql(address: str) -> LogRecorder:
    from registry.log.postgres import PostgresRecorder

    return PostgresRecorder(address)


def examined(place: Place) -> tuple[str, str]:
    """What the engine says of its file or its server, and what should be changed ("": nothing).

    Raise Unavailable for a file that is damaged and a server that does not answer.
    """
    if isinstance(place, Path):
        return whole(place)
    from registry.log.pgserver import safe

    return safe(place)


def vacant(url: str) -> bool:
    """Whether no registry keeps its log at that address yet. Raise BadInput if it is none, Unavailable."""
    from registry.log.pgserver import checked, is_empty

    return is_empty(checked(url))
