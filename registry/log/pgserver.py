"""The way to a PostgreSQL server: its address, connections that notice a dead server, errors, tables made once."""

import os
from importlib.resources import files
from typing import Any

import psycopg
from eventsourcing.persistence import IntegrityError, OperationalError
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from registry.errors import BadInput, Unavailable
from registry.log.changes import MOVED, ClaimTaken, Overtaken, moved


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that may be left behind by a thread that ended: it is closed then, without a word.

    `warned` says that the server has warned of something since it was set to False.
    """

    warned = False

    def note(self, said: psycopg.errors.Diagnostic) -> None:
        """Remember a warning."""
        self.warned = self.warned or said.severity_nonlocalized == "WARNING"

    def __del__(self, *_: object) -> None:
        """Let libpq close what is open, which it does only in the process that opened it."""


SCHEMA_VERSION = 1
ROLE = "title_registry_service"
LOCK_SECONDS = 10
KEY = "'stored_events'::regclass::oid::bigint"
"""The lock of writers: the table's own number, so that registries in one database do not wait for each other."""

_SCHEMES = ("postgresql://", "postgres://")
# A server that is gone must be noticed within seconds, not within TCP's hours.
_PATIENCE = {
    "client_encoding": "UTF8",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_CREATING = 0x7469746C  # the lock of making the tables
_SETTINGS = """
SELECT set_config('lock_timeout', %s, false), set_config('role', %s, false),
  set_config('default_transaction_isolation', 'read committed', false),
  set_config('plan_cache_mode', 'force_generic_plan', false),
  set_config('application_name', left('title-registry ' || current_schema(), 63), false)
"""
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
_TRUE = ("y", "yes", "t", "true", "on", "1")


def checked(url: str) -> str:
    """The address, if it is one. Refuse another scheme, and a password: it would stand in a file of settings."""
    example = "例如 postgresql://服务器/库名；口令放在 PGPASSFILE 指定的文件里"
    if not url.startswith(_SCHEMES):
        raise BadInput(f"数据库地址须以 {_SCHEMES[0]} 开头", fix=example)
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise BadInput("数据库地址的写法不对", fix=example) from error
    if "password" in given:
        raise BadInput("数据库地址里不能有口令", fix=example)
    return url


def connect(url: str, *, role: str = ROLE) -> Connection:
    """Open a connection that acts as that role ("none": as whoever logs in). Raise Unavailable if it cannot."""
    try:
        c = Connection.connect(url, autocommit=True, prepare_threshold=0, **_patience(url))
        c.execute(_SETTINGS, (f"{LOCK_SECONDS}s", role), prepare=False)
        c.add_notice_handler(c.note)
    except psycopg.Error as error:
        raise Unavailable(f"数据库连接不上：{_said(error)}", fix="检查服务器、地址、用户和口令文件") from error
    return c


def _patience(url: str) -> dict[str, Any]:
    given = conninfo_to_dict(url)
    return {name: value for name, value in _PATIENCE.items() if name not in given}


def create(url: str) -> None:
    """Make schema, role, tables and functions once, however many processes begin at the same time.

    Raise Unavailable for a store that a newer version has written, for a database that is not in UTF-8, and where the
    library's own functions are asked for: they append without a lock, and a follower would miss events for ever.
    """
    if os.environ.get("POSTGRES_ENABLE_DB_FUNCTIONS", "").lower() in _TRUE:
        raise Unavailable("POSTGRES_ENABLE_DB_FUNCTIONS 会使读者永久漏掉事件，不允许", fix="从环境变量中删除它")
    with connect(url, role="none") as c:
        try:
            found = _version(c) or _create(c)
        except psycopg.Error as error:
            raise Unavailable(f"不能建立数据表：{_said(error)}", fix="用可以建立模式的用户运行一次") from error
    if found > SCHEMA_VERSION:
        raise Unavailable(f"the store has schema {found}, this program knows {SCHEMA_VERSION}", fix="升级程序")


def is_empty(url: str) -> bool:
    """Whether there is no event at that address, or not even a table. Writes nothing."""
    with connect(url, role="none") as c:
        try:
            return not _version(c) or not c.execute("SELECT FROM stored_events LIMIT 1").fetchall()
        except psycopg.Error as error:
            raise unreadable(error) from error


def safe(url: str) -> tuple[str, str]:
    """What server it is, and which of its settings may lose what was acknowledged. Raise Unavailable without one."""
    shown = ", ".join(f"current_setting('{name}')" for name in ("server_version", *_DURABLE))
    with connect(url, role="none") as c:
        try:
            version, *found = c.execute(f"SELECT {shown}").fetchall()[0]
        except psycopg.Error as error:
            raise unreadable(error) from error
    lax = [f"{name} = {value}" for name, value in zip(_DURABLE, found, strict=True) if value in ("off", "local")]
    fix = f"set on in the server, or what was acknowledged can be lost: {', '.join(lax)}" if lax else ""
    return f"PostgreSQL {version}", fix


def _version(c: Connection) -> int:
    there = c.execute("SELECT to_regclass('schema_version') IS NOT NULL").fetchone()
    if not there or not there[0]:
        return 0
    row = c.execute("SELECT version FROM schema_version").fetchone()
    return int(row[0]) if row else 0


def _create(c: Connection) -> int:
    encoding = c.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise Unavailable(f"数据库的编码是 {encoding}，须为 UTF8", fix="用 UTF8 编码另建数据库")
    _create_role(c)
    c.execute("SELECT pg_advisory_lock(%s)", (_CREATING,))  # before the transaction, which then sees what was made
    with c.transaction():
        if found := _version(c):
            return found
        schema = _schema(c)
        c.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
        c.execute(sql.SQL("SET LOCAL search_path = {}, pg_temp").format(schema))
        statements = files("registry.log").joinpath("postgres.sql").read_text()
        c.execute(statements.replace("SCHEMA_NAME", schema.as_string(c)).encode(), prepare=False)
    return SCHEMA_VERSION


def _schema(c: Connection) -> sql.Identifier:
    """The first schema of the search path, which need not be there yet; `public` by default."""
    path = c.execute("SELECT string_to_array(replace(current_setting('search_path'), '\"', ''), ',')").fetchone()
    named = [one.strip() for one in path[0] if one.strip() != "$user"] if path else []
    return sql.Identifier(named[0] if named else "public")


def _create_role(c: Connection) -> None:
    """Roles belong to the whole server: another registry may have made it, or be at it."""
    c.execute(
        f"""DO $$ BEGIN
          IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN CREATE ROLE {ROLE} NOLOGIN; END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"""
    )
    c.execute(
        f"""DO $$ BEGIN
          IF NOT pg_has_role('{ROLE}', 'MEMBER') THEN GRANT {ROLE} TO CURRENT_USER; END IF;
        END $$"""
    )


def translated(error: psycopg.Error) -> Exception:
    """The library's error for the server's: a conflict is IntegrityError, whatever else OperationalError.

    A store that was moved away is Unavailable.
    """
    if MOVED in _said(error):
        return moved(_said(error))
    if error.sqlstate == "TR001":
        return Overtaken(_said(error))
    if isinstance(error, psycopg.errors.UniqueViolation):
        taken = "claims" in (error.diag.constraint_name or "")
        return (ClaimTaken if taken else IntegrityError)(_said(error))
    return OperationalError(_said(error))


def unreadable(error: psycopg.Error) -> Unavailable:
    """Reading failed: busy, gone, or another server leads now."""
    return Unavailable(f"the log could not be read: {_said(error)}", fix="稍后再试；仍不行的运行 doctor")


def _said(error: psycopg.Error) -> str:
    """The first line: what follows may quote values."""
    return (error.diag.message_primary or str(error)).strip().partition("\n")[0]
