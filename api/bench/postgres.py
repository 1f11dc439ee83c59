"""A PostgreSQL server of one's own for the time of a measurement: in a temporary folder, over a socket, fsync on."""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any, Self

import psycopg

from api.bench.engines import CHUNK, ROW, TABLES
from api.bench.figures import seconds
from registry.errors import Unavailable
from registry.log.pgserver import connect, create

SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "4GB", "max_connections": "100", "listen_addresses": ""}
"""Whatever is not said here is as PostgreSQL has it: fsync and synchronous_commit are on."""
_TYPES = {
    "stored_events": ("int8", "text", "int8", "text", "bytea"),
    "claims": ("text", "text", "text"),
    "data_keys": ("text", "bytea"),
}
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def programs() -> Path:
    """The folder of the server's programs: where pg_config says, on the PATH, or where Debian keeps them.

    Raise Unavailable if there are none.
    """
    for folder in _candidates():
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise Unavailable(
        "没有找到 PostgreSQL 服务器的程序（initdb、postgres）",
        fix="安装 postgresql（Debian：apt-get install postgresql），或用 --engine sqlite",
    )


def _candidates() -> Iterator[Path]:
    with suppress(OSError, subprocess.CalledProcessError):
        command = [shutil.which("pg_config") or "pg_config", "--bindir"]
        yield Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())  # noqa: S603
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


class Postgres:
    """The engine and its server. Use it in a `with`: the server ends and its folder goes at the end."""

    name = "postgresql"

    def __init__(self) -> None:
        self._programs, self._numbers = programs(), count(1)
        self._user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="bench-pg-"))
        try:
            if self._user:
                shutil.chown(self._folder, self._user)
            data = str(self._folder / "data")
            self._run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
            self._start(data)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(  # noqa: S603 - the server's own program
            command, capture_output=True, text=True, user=self._user, env=_ENVIRONMENT, cwd=self._folder
        )
        if done.returncode:
            raise Unavailable(f"{program} 没有成功：{done.stderr.strip()[-300:]}", fix="检查 PostgreSQL 的安装")

    def _start(self, data: str) -> None:
        settings = SETTINGS | {"unix_socket_directories": str(self._folder)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the server's own program
                [str(self._programs / "postgres"), "-D", data, *options],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
                env=_ENVIRONMENT,
                preexec_fn=_end_with_parent,
            )
        deadline = time.monotonic() + 30
        while True:
            with suppress(psycopg.OperationalError), psycopg.connect(self._url("public")) as c:
                self.version = f"PostgreSQL {c.info.parameter_status('server_version')}"
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self._folder / "log").read_text()[-300:]
                raise Unavailable(f"PostgreSQL 没有启动：{said}", fix="检查 PostgreSQL 的安装")
            time.sleep(0.05)

    def _url(self, schema: str) -> str:
        return f"postgresql:///postgres?host={self._folder}&user=postgres&options=-csearch_path%3D{schema}"

    def database(self, name: str) -> str:
        """A schema of its own."""
        return self._url(f"bench_{name}_{next(self._numbers)}")

    def durable_inserts(self, count: int) -> float:
        """Each its own transaction, prepared and binary, synchronous_commit on."""
        with closing(connect(self._url("public"), role="none")) as c:
            c.execute("DROP TABLE IF EXISTS floor")
            c.execute("CREATE TABLE floor (a text, b bigint, c text, d bytea)")
            statement = "INSERT INTO floor VALUES (%b, %b, %b, %b)"
            return seconds(lambda: [c.execute(statement, ROW) for _ in range(count)])

    def raw_insert(self, registry: Path, database: str) -> float:
        """By binary COPY, the fastest way there is, into the very tables; only COPY and commit are timed."""
        target = self.database("raw")
        create(target)
        with closing(connect(database)) as source, closing(connect(target, role="none")) as into:
            into.execute("BEGIN")
            source.execute("BEGIN READ ONLY")
            took = sum(_copy(source, into, table) for table in TABLES)
            return took + seconds(lambda: into.execute("COMMIT"))


def _copy(source: "psycopg.Connection[Any]", into: "psycopg.Connection[Any]", table: str) -> float:
    took = 0.0
    with source.cursor(name=f"all_{table}", binary=True) as rows, into.cursor() as cursor:
        rows.execute(f"SELECT * FROM {table}")
        with cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(_TYPES[table])
            while chunk := rows.fetchmany(CHUNK):
                took += seconds(lambda: _write(copy, chunk))
            started = time.perf_counter()
        return took + time.perf_counter() - started


def _write(copy: "psycopg.Copy", rows: Sequence[Sequence[Any]]) -> None:
    for row in rows:
        copy.write_row(row)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGINT)
