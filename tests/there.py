"""Registries that keep their log in PostgreSQL, whatever engine the other tests of this run use."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from registry.folder import Config, Folder
from registry.service import Registry
from tests.engine import copy
from tests.people import Clock, found

_names = count(1)


@contextmanager
def registry_at(url: str, folder: Path, passphrase: bytes, clock: Clock) -> Iterator[Registry]:
    """A founded registry in a new folder, its log at that address."""
    path = folder / f"there-{next(_names)}"
    registry = Registry.create(path, passphrase, Config(base_url="https://zc.example.cn", database=url), clock)
    try:
        found(registry)
        yield registry
    finally:
        registry.close()


@contextmanager
def another(first: Registry, url: str, folder: Path, clock: Clock) -> Iterator[Registry]:
    """A copy of a registry that is closed, its log at another address on the same server: quicker than a new one."""
    path = copy(first.folder.path, folder / f"there-{next(_names)}", url)
    registry = Registry(Folder(path), first.custody, clock)
    try:
        yield registry
    finally:
        registry.close()


def sessions(registry: Registry, waiting: str = "%") -> list[int]:
    """The server processes that work for a registry, or those of them that wait for such a thing."""
    asked = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'title-registry ' || current_schema()"
        " AND pid <> pg_backend_pid() AND coalesce(wait_event, '') LIKE %s ORDER BY backend_start"
    )
    with psycopg.connect(registry.config.database) as c:
        return [row[0] for row in c.execute(asked, (waiting,))]


def end(registry: Registry, pid: int) -> None:
    """End a server process, if it is still there; wait for nothing."""
    with psycopg.connect(registry.config.database, autocommit=True) as c:
        c.execute("SELECT pg_terminate_backend(%s)", (pid,))


def cancel(registry: Registry, pid: int) -> None:
    """Cancel what a server process is doing."""
    with psycopg.connect(registry.config.database, autocommit=True) as c:
        c.execute("SELECT pg_cancel_backend(%s)", (pid,))


def kill(registry: Registry, pids: Sequence[int]) -> None:
    """End server processes, as a fail-over or an administrator does, and wait until they are gone."""
    with psycopg.connect(registry.config.database, autocommit=True) as c:
        for pid in pids:
            c.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))  # false for one that has just ended by itself
        there = c.execute("SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s)", (list(pids),)).fetchall()
    assert not there
