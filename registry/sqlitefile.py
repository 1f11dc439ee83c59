"""What our SQLite files have in common: patience with other processes, WAL mode, and a check of what is in them."""

import sqlite3
import time
from contextlib import closing
from functools import cache

BUSY_SECONDS = 10
_PAUSE = 0.005  # seconds


def switch_to_wal(connection: sqlite3.Connection) -> None:
    """Put the file into WAL mode, or find it there. Raise sqlite3.OperationalError if others hold it for 10 seconds.

    SQLite's own patience ends here: of two that switch a new file at once, one is told at once that it is locked.
    """
    given_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > given_up:
                raise
        time.sleep(_PAUSE)


def objects(connection: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    """The tables, indexes and triggers of a file: each by its name and the statement that makes it."""
    return frozenset(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))


@cache
def objects_of(schema: str) -> frozenset[tuple[str, str]]:
    """Those that a schema makes."""
    with closing(sqlite3.connect(":memory:")) as c:
        c.executescript(schema)
        return objects(c)
