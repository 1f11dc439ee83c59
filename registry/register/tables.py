"""The tables of the register, derived from its rows, and how a folded state is written into them."""

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec.structs import astuple

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
_INDEXES = {
    "titles": {
        "UNIQUE INDEX titles_id": "(title)",
        "INDEX titles_number": "(number)",
        "INDEX titles_holder": "(holder)",
        "INDEX titles_where": "(authority, year, series, level)",
        "INDEX titles_open": "(title) WHERE certificate IS NULL AND status='valid'",
    },
    "names": {
        "INDEX names_holder": "(holder)",
        "INDEX names_name": "(name)",
        "INDEX names_pinyin": "(pinyin)",
        "INDEX names_initials": "(initials)",
    },
    "proposals": {"INDEX proposals_title": "(title)"},
    "papers": {"UNIQUE INDEX papers_id": "(application)"},
}


def create(connection: sqlite3.Connection) -> None:
    """Create the tables without indexes; `index` adds them when the bulk is in."""
    for table, (row, _) in TABLES.items():
        connection.execute(f"CREATE TABLE {table} ({', '.join(row.__struct_fields__)})")
    connection.execute("CREATE TABLE position (id INTEGER PRIMARY KEY CHECK (id = 1), position INTEGER NOT NULL)")
    connection.execute("INSERT INTO position VALUES (1, 0)")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def index(connection: sqlite3.Connection, table: str, schema: str = "main") -> None:
    """Create the indexes of a table in the main or an attached database."""
    for what, columns in _INDEXES[table].items():
        connection.execute(f"CREATE {what.replace('INDEX ', f'INDEX {schema}.')} ON {table}{columns}")


def rows_of(state: Any) -> dict[str, list[Any]]:
    """The rows that a folded state has in each of its tables; the same for live, rebuild and replay."""
    return _ROWS[type(state)](state) if type(state) in _ROWS else {}


_ROWS: dict[type, Callable[[Any], dict[str, list[Any]]]] = {
    Title: lambda title: {"titles": [title_row(title)], "proposals": proposal_rows(title)},
    Holder: lambda holder: {"names": name_rows(holder)},
    Application: lambda application: {"papers": [paper_row(application)]},
}


def write(connection: sqlite3.Connection, states: Iterable[tuple[str, Any]], *, replace: bool) -> None:
    """Write the rows of these streams; with `replace` their earlier rows go first."""
    bulk: dict[str, list[tuple[Any, ...]]] = {table: [] for table in TABLES}
    for stream, state in states:
        for table, rows in rows_of(state).items():
            if replace:
                connection.execute(f"DELETE FROM {table} WHERE {TABLES[table][1]}=?", (stream,))
            bulk[table] += map(astuple, rows)
    for table, values in bulk.items():
        if values:
            connection.executemany(_INSERT[table], values)


_INSERT = {
    table: f"INSERT INTO {table} VALUES ({','.join('?' * len(row.__struct_fields__))})"
    for table, (row, _) in TABLES.items()
}
