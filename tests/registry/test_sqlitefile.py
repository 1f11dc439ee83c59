"""Several processes put one new file into WAL mode."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from registry import sqlitefile
from registry.sqlitefile import switch_to_wal


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new.db"


@pytest.fixture
def other(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, isolation_level=None)) as c:
        c.execute("BEGIN EXCLUSIVE")
        yield c


def test_who_comes_while_another_has_the_file_tries_again_until_it_is_free(
    file: Path, other: sqlite3.Connection
) -> None:
    class FreeAtTheThird(sqlite3.Connection):
        tried = 0

        def execute(self, *statement: Any) -> sqlite3.Cursor:
            self.tried += 1
            if self.tried == 3:
                other.execute("COMMIT")
            return super().execute(*statement)

    with closing(sqlite3.connect(file, isolation_level=None, timeout=0, factory=FreeAtTheThird)) as c:
        switch_to_wal(c)
        assert c.tried == 3
        assert c.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_never_comes_free_is_refused_as_locked_and_stays_as_it_is(
    file: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlitefile, "BUSY_SECONDS", 0.02)
    with closing(sqlite3.connect(file, isolation_level=None, timeout=0)) as c:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            switch_to_wal(c)
        other.execute("COMMIT")
        assert c.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_file_that_is_none_is_refused_at_once(file: Path) -> None:
    file.write_bytes(b"not a database, but long enough to be read as one" * 30)
    with closing(sqlite3.connect(file, isolation_level=None)) as c, pytest.raises(sqlite3.DatabaseError, match="not a"):
        switch_to_wal(c)
