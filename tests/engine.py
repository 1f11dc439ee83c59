"""Which engine the tests keep their logs in, and a real PostgreSQL server for those that need one.

TITLE_REGISTRY_TEST_ENGINE=postgresql lets every registry of a test run keep its log in PostgreSQL, each in a schema of
its own. The server belongs to the test process: it listens on a socket in a temporary folder and ends with it.
"""

import atexit
import ctypes
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from registry.errors import Unavailable
from registry.folder import Config, Folder
from registry.log.pgserver import create
from registry.service import Registry

ENGINE = os.environ.get("TITLE_REGISTRY_TEST_ENGINE", "sqlite")
PLACES = ("/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin")
QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off"}
"""For tests of what is recorded; those of what survives a crash start a server without these."""

_schemas = count(1)


def programs() -> Path:
    """The folder of the server's programs. Without them nothing here can be checked, and that is said loudly."""
    found = shutil.which("postgres")
    for place in (*PLACES, str(Path(found).resolve().parent) if found else ""):
        if place and Path(place, "initdb").exists():
            return Path(place)
    pytest.skip("NOT CHECKED: no PostgreSQL server on this machine; .ci/run installs it")


class Server:
    """A PostgreSQL server in a temporary folder, over a socket. It ends with this process, whatever happens."""

    def __init__(self, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self.settings = {"listen_addresses": "", "unix_socket_directories": str(self.folder), "max_connections": "200"}
        self.settings |= {"shared_buffers": "128MB", "wal_level": "replica"} | settings
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self.folder, self._user)
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.process: subprocess.Popen[bytes] | None = None
        atexit.register(self.remove)
        self.start()

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "data"

    def url(self, schema: str = "public", database: str = "postgres") -> str:
        """The address of a schema in it."""
        return f"postgresql:///{database}?host={self.folder}&user=postgres&options=-csearch_path%3D{schema}"

    def _run(self, program: str, *arguments: str) -> None:
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        command = [str(programs() / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, user=self._user, env=environment, cwd=self.folder)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(programs() / "postgres"), "-D", str(self.data), *options],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self.folder,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
                preexec_fn=_end_with_parent,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url()).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT quickly and in order, SIGQUIT as in a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def remove(self) -> None:
        """End it and delete its folder."""
        atexit.unregister(self.remove)
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG


@cache
def _shared(_: int) -> Server:
    return Server(**QUICK)


def server() -> Server:
    """The server of this test process. Not for tests that stop it or set it otherwise."""
    return _shared(os.getpid())


def postgres_url() -> str:
    """The address of an empty schema that nobody else uses."""
    return server().url(f"r{os.getpid()}_{next(_schemas)}")


def place() -> str:
    """Where a new registry of this test run keeps its log: the setting `database`."""
    return "" if ENGINE == "sqlite" else postgres_url()


def kept(config: Config) -> Config:
    """These settings, with the log where this test run keeps its logs."""
    return msgspec.structs.replace(config, database=place())


def option() -> list[str]:
    """The same as an option of `init`."""
    return ["--database", place()] if ENGINE == "postgresql" else []


def rows(registry: Registry, table: str) -> list[tuple[Any, ...]]:
    """All rows of a table of the log as they are stored, read by a connection of our own; events: position first."""
    if table == "stored_events":
        return stored(registry.folder)
    return asked(registry.folder, f"SELECT * FROM {table} ORDER BY 1, 2")


def stored(folder: Folder) -> list[tuple[Any, ...]]:
    """Every event of a data folder's log, position first."""
    in_file = _broken(folder) or isinstance(folder.store, Path)
    return asked(folder, f"SELECT {'rowid, *' if in_file else '*'} FROM stored_events ORDER BY 1")


def events(folder: Folder) -> int:
    """How many events the log of a data folder has."""
    return int(asked(folder, "SELECT count(*) FROM stored_events")[0][0])


def in_file(path: Path) -> list[tuple[Any, ...]]:
    """Every event of a log in a file, as it is stored."""
    with closing(sqlite3.connect(path)) as own:
        return own.execute("SELECT rowid, * FROM stored_events ORDER BY rowid").fetchall()


def damage(database: str, *statements: str) -> None:
    """Change a log in PostgreSQL behind the program's back, past the triggers; positions are called rowid."""
    with psycopg.connect(database) as c:
        c.execute("SET session_replication_role = replica")
        for statement in statements:
            rows_changed = c.execute(statement.replace("rowid", "position").encode()).rowcount
            assert rows_changed, statement  # -1 where nothing is counted: tables were changed


def binary(data: bytes) -> str:
    """How these bytes are written in a statement to the engine in use."""
    return f"x'{data.hex()}'" if ENGINE == "sqlite" else f"decode('{data.hex()}', 'hex')"


def changed(was: str, now: str) -> str:
    """The state of an event with every `was` in it replaced, as an expression for the engine in use."""
    if ENGINE == "sqlite":
        return f"CAST(replace(state, '{was}', '{now}') AS BLOB)"
    return f"convert_to(replace(convert_from(state, 'UTF8'), '{was}', '{now}'), 'UTF8')"


def _broken(folder: Folder) -> bool:
    """A folder whose settings a test has spoilt; then its log is in its file."""
    try:
        folder.read_config()
    except Unavailable:
        return True
    return False


def asked(folder: Folder, statement: str) -> list[tuple[Any, ...]]:
    """Ask the store of a data folder, by a connection of our own."""
    place = folder.log if _broken(folder) else folder.store
    if isinstance(place, str):
        with psycopg.connect(place) as c:
            return c.execute(statement.encode()).fetchall()
    with closing(sqlite3.connect(folder.log)) as own:
        return own.execute(statement).fetchall()


def copy(folder: Path, target: Path, url: str = "") -> Path:
    """Copy a data folder that nobody has open; its log, where it is in PostgreSQL, into a schema of its own.

    `url` is another schema of the same server, a fresh one if none is named.
    """
    shutil.copytree(folder, target)
    config = Folder(folder).read_config()
    if config.database:
        url = url or postgres_url()
        source, new = schema_of(config.database), schema_of(url)
        create(url)
        with psycopg.connect(url) as c:
            for table in ("stored_events", "claims", "data_keys"):
                c.execute(f"INSERT INTO {new}.{table} SELECT * FROM {source}.{table}")
        Folder(target).config.write_bytes(msgspec.json.encode(msgspec.structs.replace(config, database=url)))
    return target


def put_back(saved: Path, folder: Path) -> Path:
    """Put a copy in the place of a data folder that nobody has open, and its log in the place of that one's log."""
    database = Folder(folder).read_config().database
    if database:
        with psycopg.connect(database) as c:
            c.execute(f"DROP SCHEMA {schema_of(database)} CASCADE".encode())
    shutil.rmtree(folder)
    return copy(saved, folder, database)


def schema_of(url: str) -> str:
    """The schema that an address of `postgres_url` names."""
    return url.rpartition("%3D")[2]
