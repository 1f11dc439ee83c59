"""The file `accounts.db`: how people sign in. No name and no identity number is in it, and no secret in clear.

Each thread has one connection; several processes may share the file. WAL; synchronous=FULL, for a code that was used
must stay used; secure_delete, for what was forgotten. The file is mode 0600 from its first moment.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from registry.errors import Unavailable
from registry.sqlitefile import BUSY_SECONDS, switch_to_wal

SCHEMA_VERSION = 1

# Instants are whole seconds of Unix time. What is looked up by a secret is looked up by its hash.
_SCHEMA = """
CREATE TABLE accounts (
  id TEXT PRIMARY KEY, login TEXT NOT NULL UNIQUE, actor TEXT NOT NULL, password TEXT NOT NULL, secret BLOB NOT NULL,
  last_step INTEGER NOT NULL, made INTEGER NOT NULL, made_by TEXT NOT NULL, used INTEGER, disabled INTEGER NOT NULL
) STRICT;
CREATE INDEX accounts_by_actor ON accounts (actor);
CREATE TABLE recovery_codes (
  account TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE, mark BLOB NOT NULL, PRIMARY KEY (account, mark)
) STRICT, WITHOUT ROWID;
CREATE TABLE known_networks (
  account TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE, mark BLOB NOT NULL, seen INTEGER NOT NULL,
  PRIMARY KEY (account, mark)
) STRICT, WITHOUT ROWID;
CREATE TABLE enrolments (
  code BLOB PRIMARY KEY, actor TEXT NOT NULL, made_by TEXT NOT NULL, until INTEGER NOT NULL, reserved TEXT UNIQUE,
  alone INTEGER NOT NULL, countersigned_by TEXT, token BLOB UNIQUE, login TEXT, password TEXT, secret BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE sessions (
  id TEXT PRIMARY KEY, actor TEXT NOT NULL, account TEXT REFERENCES accounts ON DELETE CASCADE,
  since INTEGER NOT NULL, seen INTEGER NOT NULL, authenticated INTEGER NOT NULL, factors TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_actor ON sessions (actor);
CREATE TABLE api_keys (
  id TEXT PRIMARY KEY, actor TEXT NOT NULL, name TEXT NOT NULL, mark BLOB NOT NULL, limits TEXT NOT NULL,
  made INTEGER NOT NULL, until INTEGER NOT NULL, used_on TEXT, ended INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_actor ON api_keys (actor);
CREATE TABLE links (
  mark BLOB PRIMARY KEY, issuer TEXT NOT NULL, actor TEXT NOT NULL, made INTEGER NOT NULL, made_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE requests (state BLOB PRIMARY KEY, sealed BLOB NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_end ON requests (until);
CREATE TABLE failures (
  mark BLOB PRIMARY KEY, count INTEGER NOT NULL, last INTEGER NOT NULL, forgotten INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX failures_by_end ON failures (forgotten);
"""


class Database:
    """One accounts file. Raise Unavailable for one that cannot be read, or that a newer version has written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite gives its -wal and -shm the same mode
        self._create()

    def _create(self) -> None:
        with self.writing() as c:
            found = c.execute("PRAGMA user_version").fetchone()[0]
            if found > SCHEMA_VERSION:
                raise Unavailable(f"{self.path} 由更新的版本写成（{found}）", fix="升级程序")
            if found == SCHEMA_VERSION:
                return
            for statement in _SCHEMA.split(";"):  # executescript would commit, and another process come between
                c.execute(statement)
            c.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    @property
    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = self._connect()
        return found

    def _connect(self) -> sqlite3.Connection:
        c = sqlite3.connect(self.path, isolation_level=None, timeout=BUSY_SECONDS)
        switch_to_wal(c)
        for pragma in ("synchronous=FULL", "secure_delete=ON", "foreign_keys=ON"):
            c.execute(f"PRAGMA {pragma}")
        return c

    def close(self) -> None:
        """Close this thread's connection."""
        if getattr(self._local, "connection", None) is not None:
            self._local.connection.close()
            self._local.connection = None

    def read(self, sql: str, *values: Any) -> list[Any]:
        """The rows of one question."""
        with self._errors():
            return self._connection.execute(sql, values).fetchall()

    def write(self, sql: str, *values: Any) -> int:
        """Change rows, on the disk when this returns; say how many were."""
        with self.writing() as c:
            return c.execute(sql, values).rowcount

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: all of it or, when an error passes, nothing. No other process writes meanwhile."""
        with self._errors():
            c = self._connection
            c.execute("BEGIN IMMEDIATE")
            try:
                yield c
                c.execute("COMMIT")
            except BaseException:
                if c.in_transaction:
                    c.execute("ROLLBACK")
                raise

    def fold_in(self) -> None:
        """Fold the write-ahead log into the file, so that nothing forgotten stays in it.

        Raise Unavailable while another connection reads an older state.
        """
        if self.read("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
            raise Unavailable("账户库正在使用，尚未清理干净", fix="稍后重试")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise  # two that want the same: whoever asked says what that means
        except sqlite3.OperationalError as error:
            raise Unavailable(f"账户库暂时不能使用：{error}", fix="稍后重试") from error
        except sqlite3.DatabaseError as error:
            raise Unavailable(f"账户库不能读取：{error}", fix="从备份恢复 accounts.db，或删除后重新开户") from error


def seconds(instant: datetime) -> int:
    """An instant as the file keeps it; a part of a second is dropped."""
    return int(instant.timestamp())


def instant(kept: int) -> datetime:
    """The instant that was kept."""
    return datetime.fromtimestamp(kept, UTC)
