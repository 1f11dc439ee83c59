"""Keep services and other programs away from a data folder while it is replaced or its log moves."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from keys.files import write_private
from registry.folder import Folder
from registry.log.copying import in_use


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """Keep restores, moves and services away, and refuse while any process has the file of the log open."""
    if not data.exists():
        yield
        return
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(descriptor, data)
        _check_unused(data / "registry.db")
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, data: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise in_use(data / "registry.db") from None


def _check_unused(store: Path) -> None:
    """A store in exclusive mode cannot be read while another connection is open, however idle that one is."""
    if not store.exists():
        return
    try:
        with closing(sqlite3.connect(store, timeout=0)) as c:
            c.execute("PRAGMA locking_mode=EXCLUSIVE")
            c.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise in_use(store) from error
        # damaged: that is what a restore is for


def set_database(folder: Folder, database: str) -> None:
    """Change the one setting that says where the log is, in one step; whatever else the file says stays."""
    folder.read_config()
    settings = msgspec.json.decode(folder.config.read_bytes(), type=dict[str, object])
    model = folder.config.stat()
    write_private(
        folder.config, msgspec.json.format(msgspec.json.encode(settings | {"database": database}), indent=2) + b"\n"
    )
    if os.geteuid() == 0:
        os.chown(folder.config, model.st_uid, model.st_gid)


def own_like(path: Path, model: Path) -> None:
    """Made by root, the files belong to whom the folder belongs: the service must be able to open them."""
    if os.geteuid() != 0:
        return
    owner = model.stat()
    for one in (path, *path.rglob("*")):
        os.chown(one, owner.st_uid, owner.st_gid)
