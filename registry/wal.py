"""WAL mode of a SQLite file, asked for by several processes at once."""

import sqlite3
import time

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
