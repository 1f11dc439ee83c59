"""A registry moves to the other engine and back: nothing is lost, changed or doubled, whatever comes between."""

import json
import os
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.cli.offline import verify_offline
from api.serving import _held as served
from keys.errors import KeysError
from registry.audit import verify_live
from registry.errors import BadInput, CorruptHistory, LogFrozen, Refused, Unavailable
from registry.folder import Folder
from registry.log.copying import copy, held
from registry.log.engine import Place, recorder_at
from registry.moving import FILE, Moved, move
from registry.service import Registry
from registry.terms import Status
from tests import engine
from tests.api.conftest import Cli
from tests.audit_life import bytes_of, live_through
from tests.check_log import check_log
from tests.conftest import CONFIG
from tests.people import CLERK, Clock, awarding, found, person
from tests.registry.test_restore import Office
from tests.served import Cabinet

pytestmark = pytest.mark.sqlite_file  # each has both engines in it: once is enough
KILLS = 5
DECISIVE = ("set_database", "leave", "commit", "_rename")
STEPS = ("moving.py", "copying.py", "holding.py", "transfer.py")
NEVER = 1 << 30
TABLES = ("stored_events", "claims", "data_keys")


class Mover(Office):
    """An office that can move, and whose stored rows can be read by other means."""

    def moves(self, to: str, **more: Any) -> Moved:
        return move(Folder(self.data), to, self.passphrase, now=self.clock(), **more)

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        folder = Folder(self.data)
        position = "" if folder.read_config().database else "rowid, "
        names = (f"{position}* FROM stored_events", "* FROM claims", "* FROM data_keys")
        return {
            table: sorted(engine.asked(folder, f"SELECT {name}")) for table, name in zip(TABLES, names, strict=True)
        }

    def awards(self, n: int) -> str:
        def work(registry: Registry) -> str:
            stream = registry.award(awarding(person(n)), officer=CLERK)
            registry.tlog.sequence()
            return stream

        return str(self.does(work))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, passphrase: bytes) -> Path:
    """A data folder with two awards, its log in a file. Not to be changed."""
    path = tmp_path_factory.mktemp("small") / "data"
    with closing(Registry.create(path, passphrase, msgspec.structs.replace(CONFIG, database=""), Clock())) as registry:
        found(registry)
        registry.award(awarding(person(101)), officer=CLERK)
        registry.tlog.sequence()
        registry.award(awarding(person(102)), officer=CLERK)  # in no checkpoint yet
    return path


@pytest.fixture
def mover(small: Path, tmp_path: Path, passphrase: bytes, clock: Clock) -> Mover:
    """A registry in a file."""
    shutil.copytree(small, tmp_path / "place" / "data")
    return Mover(tmp_path / "place" / "data", passphrase, clock)


@pytest.fixture
def url() -> str:
    """An empty schema."""
    return engine.postgres_url()


@pytest.fixture
def there(mover: Mover, url: str) -> Mover:
    """A registry that has moved to PostgreSQL."""
    mover.moves(url)
    return mover


def tables_at(url: str) -> list[str]:
    with psycopg.connect(url) as c:
        asked = c.execute("SELECT tablename FROM pg_tables WHERE schemaname=%s", (engine.schema_of(url),))
        return [name for (name,) in asked.fetchall()]


# the story


def test_a_whole_life_goes_there_and_back(tmp_path: Path, passphrase: bytes, clock: Clock, url: str) -> None:
    mover = Mover(tmp_path / "data", passphrase, clock)
    registry = Registry.create(mover.data, passphrase, msgspec.structs.replace(CONFIG, database=""), clock)
    found(registry)
    live_through(registry, clock)
    registry.tlog.sequence()
    registry.close()
    before, files = mover.rows(), bytes_of(mover.data)
    assert {name: len(rows) > 10 for name, rows in before.items()} == dict.fromkeys(TABLES, True)
    signed = mover.does(lambda one: (one.tlog.published(), one.tlog.checkpoint()))

    def is_the_same() -> None:
        assert mover.rows() == before
        assert mover.does(lambda one: (one.tlog.published(), one.tlog.checkpoint())) == signed
        assert mover.does(lambda one: verify_live(one).ok)
        mover.does(check_log)
        now = bytes_of(mover.data)
        lasting = [name for name in files if name.startswith(("log/", "keys/", "evidence/")) and ".lock" not in name]
        assert {name: now[name] for name in lasting} == {name: files[name] for name in lasting}

    done = mover.moves(url)
    assert done.proven is not None
    assert (done.before, done.now, mover.database) == (FILE, url, url)
    assert done.proven.root == signed[1].root  # the tree that was signed, computed over the copy
    assert done.proven.copied[:3] == tuple(map(len, before.values()))
    assert not (mover.data / "registry.db").exists()
    is_the_same()
    back = mover.moves(FILE)
    assert (back.before, back.now, mover.database, back.kept) == (url, FILE, "", None)
    is_the_same()
    assert [column for _, column, *_ in columns(mover.data / "registry.db")] == [
        column for _, column, *_ in columns(done.kept)
    ]
    mover.awards(900)
    mover.does(check_log)


def columns(store: Path | None) -> list[tuple[Any, ...]]:
    assert store is not None
    with closing(sqlite3.connect(store)) as c:
        return c.execute("SELECT type, name, sql FROM sqlite_master WHERE name<>'moved' ORDER BY name").fetchall()


def test_certificates_hold_and_a_revocation_after_the_move_is_seen(mover: Mover, url: str, tmp_path: Path) -> None:
    first, second = mover.issues(1), mover.issues(2)
    pinned = tmp_path / "pinned.json"
    shutil.copy(mover.data / "keys" / "keys.json", pinned)  # before the move, by whoever verifies off line

    def off_line(certificate: Any) -> Status:
        return verify_offline(Cabinet.digits(certificate), pinned, None).status

    for to in (url, FILE, engine.postgres_url()):
        assert mover.answers(first) == mover.answers(second) == (200, Status.VALID)
        assert off_line(first) == off_line(second) == Status.OFFLINE  # the signature holds
        mover.moves(to)
    mover.revokes(first)
    assert mover.answers(first) == (200, Status.REVOKED)
    assert mover.answers(second) == (200, Status.VALID)
    third = mover.issues(3)
    mover.moves(FILE)
    assert mover.answers(first) == (200, Status.REVOKED)
    assert (mover.answers(third), off_line(third)) == ((200, Status.VALID), Status.OFFLINE)
    mover.does(check_log)


def test_the_old_store_is_kept_and_takes_no_event_any_more(mover: Mover, url: str) -> None:
    rows = mover.rows()
    kept = mover.moves(url).kept
    assert kept is not None
    assert kept.name == "registry.db.before-move-20260302T013000Z"
    assert not list(mover.data.glob("registry.db*-*al"))
    mover.moves(FILE)
    for old in (kept, url):
        own = Mover(mover.data.with_name("own"), mover.passphrase, mover.clock)
        shutil.copytree(mover.data, own.data)
        if isinstance(old, Path):
            shutil.copy(old, own.data / "registry.db")
        settings_with(own.data, "" if isinstance(old, Path) else old)
        assert own.rows() == rows
        with pytest.raises(Unavailable, match="this store was moved"):
            own.awards(7)
        assert own.rows() == rows
        shutil.rmtree(own.data)


def settings_with(data: Path, database: str) -> None:
    """Change the setting by hand."""
    settings = json.loads((data / "config.json").read_text())
    (data / "config.json").write_text(json.dumps(settings | {"database": database}))


def test_what_the_settings_say_besides_stays(mover: Mover, url: str) -> None:
    config = mover.data / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"keep_backups": 7, "of_a_later_version": [1]}))
    mover.moves(url)
    said = json.loads(config.read_text())
    assert (said["keep_backups"], said["of_a_later_version"], said["database"]) == (7, [1], url)
    assert config.stat().st_mode & 0o777 == 0o600


def test_from_one_server_to_another(there: Mover) -> None:
    rows, further = there.rows(), engine.postgres_url()
    assert there.moves(further).proven is not None
    assert (there.database, there.rows()) == (further, rows)
    there.awards(8)
    there.does(check_log)


def test_there_already_is_nothing_to_do(there: Mover, url: str) -> None:
    rows = there.rows()
    assert there.moves(url) == Moved(url, url, None, None)
    assert there.rows() == rows


def test_back_into_a_store_that_was_left_and_is_still_the_same(there: Mover, url: str) -> None:
    there.moves(FILE)
    done = there.moves(url)
    assert done.proven is not None
    assert done.proven.copied.found
    there.awards(10)  # it takes events again
    there.moves(FILE)
    there.awards(11)
    with pytest.raises(Refused, match="不是空的"):
        there.moves(url)
    assert there.database == ""


def test_a_dry_run_changes_nothing(mover: Mover, url: str) -> None:
    before = bytes_of(mover.data)
    assert mover.moves(url, dry_run=True) == Moved(FILE, url, None, None)
    assert (bytes_of(mover.data), tables_at(url)) == (before, [])
    mover.moves(url)
    assert mover.moves(FILE, dry_run=True) == Moved(url, FILE, None, None)
    assert (mover.database, (mover.data / "registry.db").exists()) == (url, False)
    mover.awards(9)


def test_on_the_command_line(mover: Mover, url: str) -> None:
    cli = Cli(mover.data.parent)
    (mover.data.parent / "pp").write_bytes(mover.passphrase)
    (mover.data.parent / "pp").chmod(0o600)
    assert json.loads(cli.ok("move", "--to", url, "--dry-run", "-o", "json").stdout)["now"] == FILE
    item = json.loads(cli.ok("move", "--to", url, "-o", "json").stdout)
    root = mover.does(lambda registry: registry.tlog.sequence()).root.hex()
    assert (item["now"], item["root"], item["events"]) == (url, root, mover.head())
    said = cli.ok("move", "--to", "sqlite")
    assert root in said.stdout
    assert "goes on in the file registry.db" in said.stderr
    wrong = cli("move", "--to", "mysql://x/y")
    assert (wrong.exit_code, "Error [bad-input]: " in wrong.stderr) == (1, True)


# refusals: the old store is in force, and the new one as it was


def refused(mover: Mover, to: str, error: type[Exception], says: str, **more: Any) -> None:
    rows, database = mover.rows(), mover.database
    with pytest.raises(error, match=says) as told:
        mover.moves(to, **more)
    assert getattr(told.value, "fix", "")
    assert (mover.rows(), mover.database) == (rows, database)
    mover.awards(77)  # it goes on as if nothing had been


def test_while_the_service_runs(mover: Mover, url: str) -> None:
    for to in (url, FILE):
        with served(mover.data):
            refused(mover, to, Refused, "正在使用")
        mover.moves(to)


def test_while_another_program_has_it_open(mover: Mover, url: str) -> None:
    for to in (url, FILE):
        with closing(Registry.open(mover.data, mover.passphrase, mover.clock)) as other:
            other.log.head()
            with pytest.raises(Refused, match="正在使用"):
                mover.moves(to)
        mover.moves(to)


@pytest.mark.parametrize("to", ["mysql://server/titles", "titles", "", "postgresql://u:secret@server/titles"])
def test_an_address_that_is_none(mover: Mover, to: str) -> None:
    with pytest.raises(BadInput) as told:
        mover.moves(to)
    assert "secret" not in str(told.value)
    assert mover.database == ""


def test_a_server_that_does_not_answer(mover: Mover, tmp_path: Path) -> None:
    refused(mover, f"postgresql:///titles?host={tmp_path}", Unavailable, "连接不上")


def test_a_passphrase_that_does_not_open_it(mover: Mover, url: str) -> None:
    other = Mover(mover.data, b"another", mover.clock)
    with pytest.raises(KeysError):
        other.moves(url)
    assert (mover.database, tables_at(url)) == ("", [])


def test_a_store_that_is_not_empty(mover: Mover, small: Path, tmp_path: Path, url: str) -> None:
    other = Mover(tmp_path / "other" / "data", mover.passphrase, mover.clock)
    shutil.copytree(small, other.data)
    other.awards(55)
    other.moves(url)
    theirs = other.rows()
    refused(mover, url, Refused, "不是空的")
    assert other.rows() == theirs
    other.awards(56)
    mine = engine.postgres_url()
    mover.moves(mine)
    shutil.copy(small / "registry.db", mover.data / "registry.db")  # something lies in the file's place
    refused(mover, FILE, Refused, "不是空的")


@pytest.mark.parametrize("version", [2, -1])
def test_a_store_of_another_schema(mover: Mover, url: str, version: int) -> None:
    recorder_at(url).close()
    with psycopg.connect(url) as c:
        c.execute("UPDATE schema_version SET version=%s", (version,))
    refused(mover, url, Unavailable, f"格式是 {version}")
    with closing(sqlite3.connect(mover.data / "registry.db")) as own:
        own.execute(f"PRAGMA user_version={version}")
    with pytest.raises(Unavailable, match=f"格式是 {version}"):
        mover.moves(engine.postgres_url())


def test_an_old_copy_does_not_move(mover: Mover, url: str, tmp_path: Path) -> None:
    shutil.copy(mover.data / "registry.db", tmp_path / "early.db")
    mover.awards(12)
    shutil.copy(tmp_path / "early.db", mover.data / "registry.db")
    with pytest.raises(LogFrozen):
        mover.moves(url)
    assert (mover.database, tables_at(url)) == ("", [])


def test_a_log_that_was_changed_does_not_move(mover: Mover, url: str) -> None:
    """A row in the middle, which nobody reads who only looks at the newest."""
    with closing(sqlite3.connect(mover.data / "registry.db")) as c, c:
        c.execute("DROP TRIGGER stored_events_no_update")
        c.execute("UPDATE stored_events SET state=CAST(replace(CAST(state AS TEXT), 'system', 'sister') AS BLOB)")
    with pytest.raises(LogFrozen, match="分叉"):
        mover.moves(url)
    assert mover.database == ""


FAULTS = {
    "stored_events": "IF NEW.position = 7 THEN NEW.state := NEW.state || ' '::bytea; END IF;",
    "claims": "IF NEW.scope = 'number' THEN RETURN NULL; END IF;",
    "data_keys": "NEW.wrapped := substr(NEW.wrapped, 2);",
}


@pytest.mark.parametrize("table", FAULTS)
def test_a_copy_that_differs(mover: Mover, url: str, table: str) -> None:
    """A server that stores something else than it is given."""
    recorder_at(url).close()
    with psycopg.connect(url) as c:
        body = f"BEGIN {FAULTS[table]} RETURN NEW; END"
        c.execute(f"CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$".encode())
        c.execute(f"CREATE TRIGGER fault BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fault()".encode())
    refused(mover, url, CorruptHistory, f"副本与原库不同：{table}")
    with psycopg.connect(url) as c:
        assert c.execute("SELECT count(*) FROM stored_events").fetchone() == (0,)


def test_whoever_does_not_own_the_tables(there: Mover, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as c:
        c.execute("DO $$ BEGIN CREATE ROLE nobody LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        c.execute("GRANT title_registry_service TO nobody")
    settings_with(there.data, url.replace("user=postgres", "user=nobody"))
    refused(there, FILE, Refused, "不是数据表的所有者")


# writers are kept out


def test_who_writes_meanwhile_waits_and_is_told(there: Mover, url: str) -> None:
    rows = there.rows()
    with closing(Registry.open(there.data, there.passphrase, there.clock)) as writer, held(url) as source:
        said: list[str] = []

        def write() -> None:
            try:
                writer.award(awarding(person(33)), officer=CLERK)
            except Unavailable as error:
                said.append(error.message)
            finally:
                writer.close()

        thread = threading.Thread(target=write)
        thread.start()
        while not waiting(url):
            pass
        source.leave("elsewhere")
        source.commit()
        thread.join(30)
    assert len(said) == 1
    assert "elsewhere" in said[0]
    assert there.rows() == rows


def waiting(url: str) -> int:
    with psycopg.connect(url) as c:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type='Lock' AND application_name LIKE %s"
        return int(c.execute(asked, (f"%{engine.schema_of(url)}",)).fetchall()[0][0])


def test_a_held_file_is_closed_to_everybody(mover: Mover) -> None:
    store = mover.data / "registry.db"
    with held(store, in_force=True) as source, closing(sqlite3.connect(store, timeout=0)) as other:
        assert source.max_notification_id() > 0
        for statement in ("SELECT count(*) FROM stored_events", "BEGIN IMMEDIATE"):
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute(statement)


def test_a_held_schema_is_closed_to_whoever_writes(there: Mover, url: str) -> None:
    with held(url, in_force=True), psycopg.connect(url) as other:
        other.execute("SET lock_timeout = '100ms'")
        for table in TABLES:
            assert other.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() != (0,)
            with pytest.raises(psycopg.errors.LockNotAvailable), other.transaction():
                other.execute(f"DELETE FROM {table} WHERE false".encode())


def test_what_was_not_committed_never_was(mover: Mover, url: str) -> None:
    with held(mover.data / "registry.db", in_force=True) as source, held(url) as target:
        assert copy(source, target).events == source.max_notification_id()
    with held(url) as target:
        assert target.max_notification_id() == 0


# kill -9


def killed_at(n: int, do: Callable[[], Any]) -> list[str]:
    """Run it in a process that is killed as it enters or leaves the n-th step of a move; the steps that it took."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:

        def step(frame: Any, event: str, _: Any) -> None:
            if event in ("call", "return") and frame.f_code.co_filename.endswith(STEPS):
                os.write(theirs, f"{frame.f_code.co_name}\n".encode())
                if next(steps) == n:
                    os.kill(os.getpid(), signal.SIGKILL)

        steps = count(1)
        sys.setprofile(step)
        try:
            do()
        finally:
            os._exit(0)
    os.close(theirs)
    os.waitpid(child, 0)
    with open(ours, "rb") as said:
        return said.read().decode().split()


def takes_events(mover: Mover) -> bool:
    catalogue = "pg_trigger WHERE tgname='moved' AND tgrelid='stored_events'::regclass"
    catalogue = catalogue if mover.database else "sqlite_master WHERE name='moved'"
    return engine.asked(Folder(mover.data), f"SELECT 1 FROM {catalogue}") == []


@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
def test_killed_at_any_moment_one_store_is_in_force_and_a_second_run_goes_through(
    small: Path, tmp_path: Path, passphrase: bytes, clock: Clock, back: bool
) -> None:
    numbers, found_in = count(1), []

    def killed(n: int) -> list[str]:
        mover = Mover(tmp_path / str(next(numbers)) / "data", passphrase, clock)
        shutil.copytree(small, mover.data)
        if back:
            mover.moves(engine.postgres_url())
        rows, before, to = mover.rows(), mover.database, FILE if back else engine.postgres_url()
        steps = killed_at(n, lambda: mover.moves(to))
        found_in.append(mover.database == before)
        assert mover.rows() == rows
        assert found_in[-1] <= takes_events(mover)  # the old one, if it is in force
        mover.moves(to)
        assert mover.database == ("" if back else to)
        assert mover.rows() == rows
        assert (mover.data / "registry.db").exists() == back
        assert not [path for path in mover.data.iterdir() if path.name.startswith(".registry.db.moving")]
        mover.awards(200)
        return steps

    steps = killed(NEVER)
    decisive = {n for n, name in enumerate(steps, 1) if name in DECISIVE}
    for n in sorted({*range(1, len(steps), len(steps) // KILLS), *decisive}):
        assert killed(n) == steps[:n]
    assert set(found_in) == {True, False}  # both before and after the switch


# any log at all

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
logs = st.lists(
    st.tuples(text, st.integers(1, 1 << 40), text, st.binary(max_size=300)), max_size=12, unique_by=lambda e: e[:2]
)
claims = st.lists(st.tuples(text, text, text), max_size=8, unique_by=lambda claim: claim[:2])
data_keys = st.lists(st.tuples(text, st.binary(max_size=80)), max_size=6, unique_by=lambda key: key[0])


def stored(place: Place) -> list[list[tuple[Any, ...]]]:
    """Every row, read by a connection of our own, in an order of our own."""
    if isinstance(place, str):
        with psycopg.connect(place) as c:
            return [sorted(c.execute(f"SELECT * FROM {table}".encode()).fetchall()) for table in TABLES]
    with closing(sqlite3.connect(place)) as own:
        names = ("rowid, * FROM stored_events", "* FROM claims", "* FROM data_keys")
        return [sorted(own.execute(f"SELECT {name}").fetchall()) for name in names]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stores")


_numbers = count(1)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=logs, taken=claims, keys=data_keys)
def test_any_rows_come_back_byte_for_byte(stores: Path, events: Any, taken: Any, keys: Any) -> None:
    """Whatever text and bytes; the order of text is that of its bytes in both engines."""
    first, second = stores / f"{next(_numbers)}.db", stores / f"{next(_numbers)}.db"
    recorder_at(first).close()
    with closing(sqlite3.connect(first)) as c, c:
        c.executemany("INSERT INTO stored_events VALUES (?,?,?,?)", events)
        c.executemany("INSERT INTO claims VALUES (?,?,?)", taken)
        c.executemany("INSERT INTO data_keys VALUES (?,?)", keys)
    places: list[Place] = [first, engine.postgres_url(), second]
    for one, other in pairwise(places):
        with held(one, in_force=True) as source, held(other) as target:
            assert copy(source, target)[:3] == (len(events), len(taken), len(keys))
            target.commit()
    assert stored(places[0]) == stored(places[1]) == stored(places[2])
    for other in places[1:]:  # found there, it is taken as it is
        with held(first, in_force=True) as source, held(other) as target:
            assert copy(source, target).found == bool(events or taken or keys)
