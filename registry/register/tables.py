"""The tables of the register, derived from its rows, and how a folded state is written into them."""

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from registry.holders.holder import Holder
from registry.paper.application import Application
from registry.register.rows import (
    NameRow,
    PaperRow,
    ProposalRow,
    TitleRow,
    name_rows,
    paper_row,
    proposal_rows,
    title_row,
)
from registry.titles.state import Title

# A change of the tables gets a new number: an older file is rebuilt, never migrated.
SCHEMA_VERSION = 1
TABLES: dict[str, tuple[type[msgspec.Struct], str]] = {
    "titles": (TitleRow, "title"),
    "names": (NameRow, "holder"),
    "proposals": (ProposalRow, "title"),
    "papers": (PaperRow, "application"),
}
_INDEXES = (
    "CREATE UNIQUE INDEX titles_id ON titles(title)",
    "CREATE INDEX titles_number ON titles(number)",
    "CREATE INDEX titles_holder ON titles(holder)",
    "CREATE INDEX titles_where ON titles(authority, year, series, level)",
    "CREATE INDEX titles_open ON titles(title) WHERE certificate IS NULL AND status='valid'",
    "CREATE INDEX names_holder ON names(holder)",
    "CREATE INDEX names_name ON names(name)",
    "CREATE INDEX names_pinyin ON names(pinyin)",
    "CREATE INDEX names_initials ON names(initials)",
    "CREATE INDEX proposals_title ON proposals(title)",
    "CREATE UNIQUE INDEX papers_id ON papers(application)",
)


def create(connection: sqlite3.Connection) -> None:
    """Create the tables without indexes; `index` adds them when the bulk is in."""
    for table, (row, _) in TABLES.items():
        connection.execute(f"CREATE TABLE {table} ({', '.join(row.__struct_fields__)})")
    connection.execute("CREATE TABLE position (id INTEGER PRIMARY KEY CHECK (id = 1), position INTEGER NOT NULL)")
    connection.execute("INSERT INTO position VALUES (1, 0)")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def index(connection: sqlite3.Connection) -> None:
    """Create the indexes."""
    for statement in _INDEXES:
        connection.execute(statement)


def rows_of(state: Any) -> dict[str, list[msgspec.Struct]]:
    """The rows that a folded state has in each of its tables; the same for live, rebuild and replay."""
    return _ROWS[type(state)](state) if type(state) in _ROWS else {}


_ROWS: dict[type, Callable[[Any], dict[str, list[msgspec.Struct]]]] = {
    Title: lambda title: {"titles": [title_row(title)], "proposals": [*proposal_rows(title)]},
    Holder: lambda holder: {"names": [*name_rows(holder)]},
    Application: lambda application: {"papers": [paper_row(application)]},
}


def write(connection: sqlite3.Connection, states: Iterable[tuple[str, Any]], *, replace: bool) -> None:
    """Write the rows of these streams; with `replace` their earlier rows go first."""
    bulk: dict[str, list[tuple[Any, ...]]] = {table: [] for table in TABLES}
    for stream, state in states:
        for table, rows in rows_of(state).items():
            if replace:
                connection.execute(f"DELETE FROM {table} WHERE {TABLES[table][1]}=?", (stream,))
            bulk[table] += [msgspec.structs.astuple(row) for row in rows]
    for table, values in bulk.items():
        if values:
            marks = ",".join("?" * len(values[0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", values)
