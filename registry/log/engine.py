"""Which engine keeps the log: a file is SQLite, a postgresql:// address is PostgreSQL."""

from pathlib import Path

from registry.log.pgserver import checked, is_empty
from registry.log.postgres import PostgresRecorder
from registry.log.recorder import LogRecorder
from registry.log.sqlite import SqliteRecorder

Place = Path | str
"""A file, or a postgresql:// address."""


def recorder_at(place: Place) -> LogRecorder:
    """Open the log at that place; its tables are made if there are none yet.

    Raise OperationalError or Unavailable if it cannot be opened, or was written by a newer version.
    """
    recorder: SqliteRecorder | PostgresRecorder
    recorder = SqliteRecorder(place) if isinstance(place, Path) else PostgresRecorder(place)
    recorder.create_table()
    return recorder


def vacant(url: str) -> bool:
    """Whether no registry keeps its log at that address yet. Raise BadInput if it is none, Unavailable."""
    return is_empty(checked(url))
