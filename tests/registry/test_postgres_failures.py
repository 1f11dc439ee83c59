"""What PostgreSQL does when it fails: killed connections, a server that goes and comes back, locks, a full disk.

Each ends in a retry or in a clear error, what was acknowledged is there exactly once, and the log is intact.
"""

import os
import resource
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from registry.audit import live, verify_live
from registry.awarding import Awarding
from registry.errors import RegistryError, Unavailable
from registry.log import pgserver, postgres
from registry.log import unit as units
from registry.log.engine import recorder_at
from registry.service import Registry
from tests import engine
from tests.check_log import check_log, stored_events
from tests.people import CLERK, Clock, awarding, person
from tests.there import another, cancel, end, kill, registry_at, sessions

PATIENCE = 60  # seconds after which what hangs fails the test
LOCK = "SELECT pg_advisory_xact_lock('stored_events'::regclass::oid::bigint)"

_schemas = count(1)


@pytest.fixture(scope="module")
def own() -> Iterator[engine.Server]:
    """A server of our own, durable, that may be stopped and set otherwise."""
    server = engine.Server(wal_level="replica", autovacuum="off")
    yield server
    server.remove()


@pytest.fixture(scope="module")
def first(own: engine.Server, tmp_path_factory: pytest.TempPathFactory, passphrase: bytes) -> Registry:
    """A registry on that server, closed; not to be used."""
    with registry_at(own.url("first"), tmp_path_factory.mktemp("first"), passphrase, Clock()) as registry:
        return registry


@pytest.fixture
def registry(own: engine.Server, first: Registry, tmp_path: Path, clock: Clock) -> Iterator[Registry]:
    """A registry on that server."""
    with another(first, own.url(f"failing{next(_schemas)}"), tmp_path, clock) as registry:
        yield registry


class Beside:
    """Something done in a thread of its own, with its outcome."""

    def __init__(self, registry: Registry, work: Callable[[], Any]) -> None:
        self.registry, self.work = registry, work
        self.result: Any = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 - shown in the test's thread
            self.error = error
        finally:
            self.registry.close()

    def done(self) -> Any:
        """Wait for the end; return the result or raise the error."""
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        if self.error:
            raise self.error
        return self.result


def until(true: Callable[[], Any], what: str = "") -> Any:
    """Look again and again until it is so; return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
    return found


def awarded(registry: Registry) -> int:
    """How many titles were awarded, each to another person."""
    events = [event for event in stored_events(registry) if event.name == "title-awarded/1"]
    holders = Counter(event.fact["holder"] for event in events)
    assert set(holders.values()) <= {1}
    return len(events)


@contextmanager
def locked(registry: Registry) -> Iterator[None]:
    """Another session holds the lock of writers."""
    with closing(psycopg.connect(registry.config.database)) as c:
        c.execute(LOCK)
        yield


def unavailable(step: Callable[[], object]) -> Unavailable:
    with pytest.raises(RegistryError) as caught:
        step()
    assert type(caught.value) is Unavailable, repr(caught.value)
    assert caught.value.fix
    return caught.value


# --- a connection is killed


def test_before_the_append(registry: Registry) -> None:
    """Nobody notices: the write was not there yet, and is made on a new connection."""
    title = registry.award(awarding(person(1)), officer=CLERK)
    kill(registry, sessions(registry))
    assert registry.title(title).award.number

    def body(unit: Any) -> str:
        stream: str = Awarding(unit).award(awarding(person(2)))[0]
        if len(runs) == 0:
            kill(registry, sessions(registry))
        runs.append(stream)
        return stream

    runs: list[str] = []
    assert registry.title(registry.log.transact(body, actor=CLERK)).award.number
    assert len(runs) == 2
    assert awarded(registry) == 2
    check_log(registry)


def test_during_the_append(registry: Registry) -> None:
    """The server was at it, and did not finish: it is found not to be there, and done again, once."""
    with locked(registry):
        writing = Beside(registry, lambda: registry.award(awarding(person(1)), officer=CLERK))
        kill(registry, until(lambda: sessions(registry, "advisory")))
        until(lambda: sessions(registry, "advisory"), "the writer looks whether it was written, after the lock")
        assert writing.thread.is_alive()
    assert registry.title(writing.done()).award.number
    assert awarded(registry) == 1
    check_log(registry)


def test_after_the_append_before_the_answer(own: engine.Server, registry: Registry) -> None:
    """The commit is on the disk and waits for a standby when the connection goes: it is found, and not done twice.

    Nobody is told so before the standby has it too.
    """
    standby(own, "nobody")
    try:
        writing = Beside(registry, lambda: registry.award(awarding(person(1)), officer=CLERK))
        first = until(lambda: sessions(registry, "SyncRep"))
        kill(registry, first)
        looking = until(lambda: sessions(registry, "SyncRep"), "looking waits for the standby, too")
        assert looking != first
        assert writing.thread.is_alive()
    finally:
        standby(own, "")
    assert registry.title(writing.done()).award.number
    assert awarded(registry) == 1
    check_log(registry)


def test_a_wait_for_the_standby_that_is_cancelled_is_no_answer(own: engine.Server, registry: Registry) -> None:
    """The server then says yes with a warning, to the append and to the look-up: nobody is told before it is so."""
    standby(own, "nobody")
    try:
        writing = Beside(registry, lambda: registry.award(awarding(person(1)), officer=CLERK))
        for _ in range(2):  # the append, then the first look-up
            [pid] = until(lambda: sessions(registry, "SyncRep"))
            cancel(registry, pid)
            until(lambda pid=pid: sessions(registry, "SyncRep") not in ([], [pid]), "it looks, by another connection")
            assert writing.thread.is_alive()
    finally:
        standby(own, "")
    assert registry.title(writing.done()).award.number
    assert awarded(registry) == 1
    check_log(registry)


def test_no_tree_head_is_signed_while_the_standby_has_not_confirmed(own: engine.Server, registry: Registry) -> None:
    """What a server shows after it recovered in place may be on no other: here signing waits for one that is gone."""
    registry.award(awarding(person(1)), officer=CLERK)
    before = registry.tlog.checkpoint()
    standby(own, "nobody")
    try:
        signing = Beside(registry, lambda: registry.tlog.sequence())
        [pid] = until(lambda: sessions(registry, "SyncRep"))
        cancel(registry, pid)
        with pytest.raises(Unavailable, match="备库"):
            signing.done()
        assert registry.tlog.checkpoint() == before
    finally:
        standby(own, "")
    signed = registry.tlog.sequence()
    assert signed is not None
    assert signed.size == registry.log.head()


def standby(own: engine.Server, name: str) -> None:
    """Let every commit wait for that standby, which is not there; for none if empty."""
    with psycopg.connect(own.url(), autocommit=True) as c:
        c.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'".encode())
        c.execute("SELECT pg_reload_conf()")
    with psycopg.connect(own.url(), autocommit=True) as c:
        until(lambda: c.execute("SHOW synchronous_standby_names").fetchone() == (name,))


def test_again_and_again_while_four_write(registry: Registry) -> None:
    """Every connection of the registry is killed many times, at no moment of our choice: each award is there once."""
    writing = [patiently(registry, range(begin, begin + 40)) for begin in (0, 1000, 2000, 3000)]
    rounds = 0
    while any(each.thread.is_alive() for each in writing):
        for pid in sessions(registry):
            end(registry, pid)
        rounds += 1
    for each in writing:
        each.done()
    assert rounds > 3
    assert awarded(registry) == 160
    check_log(registry)


def patiently(registry: Registry, people: range) -> Beside:
    """Award a title to each; the same again as long as it is said to be unavailable."""

    def work() -> None:
        waiting = list(people)
        while waiting:
            try:
                registry.award(awarding(person(waiting[0])), officer=CLERK)
                waiting.pop(0)
            except Unavailable:
                time.sleep(0.01)

    return Beside(registry, work)


def test_while_a_list_is_laid_by(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was laid by goes with the connection: the list is not taken, and said to be not taken."""
    monkeypatch.setattr(units, "STAGE_EVENTS", 10)
    before = engine.rows(registry, "stored_events")

    def body(unit: Any) -> None:
        for n in range(30):
            Awarding(unit).award(awarding(person(n)))
            unit.flush_if_large()
            if n == 20 and killing:
                kill(registry, sessions(registry))

    killing = True
    assert "没有登记" in unavailable(lambda: registry.log.transact(body, actor=CLERK)).message
    assert engine.rows(registry, "stored_events") == before
    killing = False
    registry.log.transact(body, actor=CLERK)
    assert awarded(registry) == 30
    check_log(registry)


def test_while_a_list_is_appended(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "STAGE_EVENTS", 10)

    def body(unit: Any) -> None:
        for n in range(30):
            Awarding(unit).award(awarding(person(n)))
            unit.flush_if_large()

    with locked(registry):
        importing = Beside(registry, lambda: registry.log.transact(body, actor=CLERK))
        kill(registry, until(lambda: sessions(registry, "advisory")))
        until(lambda: sessions(registry, "advisory"))
    importing.done()
    assert awarded(registry) == 30
    check_log(registry)


def test_within_a_snapshot(registry: Registry) -> None:
    """Its moment cannot be had again: reading fails, and the next snapshot is another moment."""
    title = registry.award(awarding(person(1)), officer=CLERK)

    def read() -> None:
        with registry.log.snapshot():
            assert registry.title(title)
            kill(registry, sessions(registry))
            registry.title(title)

    unavailable(read)
    with registry.log.snapshot():
        assert registry.title(title)


def test_while_a_follower_waits(registry: Registry) -> None:
    """It says so at once, and the next wait sees what came meanwhile."""
    recorder, head = registry.log.recorder, registry.log.head()
    waiting = Beside(registry, lambda: recorder.wait(head, PATIENCE))
    kill(registry, until(lambda: sessions(registry, "ClientRead"))[1:])
    stream = registry.award(awarding(person(1)), officer=CLERK)
    try:
        assert waiting.done() == registry.log.head()
    except Unavailable:
        assert recorder.wait(head, PATIENCE) == registry.log.head()
    assert registry.title(stream)


def test_while_an_audit_looks(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be read is no finding, whatever others write meanwhile."""
    registry.award(awarding(person(1)), officer=CLERK)
    look = live.at_everything

    def lost(*seen: Any) -> Any:
        mine = registry.log.recorder.connection.info.backend_pid  # type: ignore[attr-defined]
        with closing(Registry(registry.folder, registry.custody, registry.log.clock)) as second:
            end(second, mine)
            second.award(awarding(person(2)), officer=CLERK)
        return look(*seen)

    with monkeypatch.context() as patch:
        patch.setattr(live, "at_everything", lost)
        with pytest.raises(Unavailable):
            verify_live(registry)
    assert verify_live(registry).ok


def test_who_leads_loses_it_with_the_connection(registry: Registry) -> None:
    recorder = registry.log.recorder
    registry.log.head()
    mine = sessions(registry)
    lead = recorder.lead("sequencing")
    assert lead is not None
    assert lead.held()
    assert recorder.lead("sequencing") is None
    kill(registry, [pid for pid in sessions(registry) if pid not in mine])
    again = recorder.lead("sequencing")
    assert again is not None
    assert again.held()
    assert not lead.held()
    again.release()


# --- the server goes


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT], ids=["as in a crash", "in order"])
def test_the_server_stops_while_three_write_and_starts_again(
    own: engine.Server, registry: Registry, how: signal.Signals
) -> None:
    """Whoever was told "unavailable" does the same again: everything is there, each once."""
    writing = [patiently(registry, range(begin, begin + 60)) for begin in (0, 1000, 2000)]
    until(lambda: registry.log.head() > 60)
    own.stop(how)
    unavailable(lambda: registry.log.head())
    own.start()
    for each in writing:
        each.done()
    assert awarded(registry) == 180
    check_log(registry)


def test_a_server_that_does_not_come_back(
    own: engine.Server, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be known whether it was written. That is what is said; the same again is never done twice."""
    monkeypatch.setattr(postgres, "RESOLVE_SECONDS", 0.5)
    command = awarding(person(1))
    with locked(registry):
        writing = Beside(registry, lambda: registry.award(command, officer=CLERK))
        until(lambda: sessions(registry, "advisory"))
        own.stop(signal.SIGQUIT)
    assert "不能确定" in unavailable(writing.done).message
    own.start()
    registry.award(command, officer=CLERK)
    registry.award(command, officer=CLERK)
    assert awarded(registry) == 1
    check_log(registry)


def test_a_server_that_only_reads(own: engine.Server, registry: Registry) -> None:
    """A standby, or a leader that was set so: nothing is written, and reading goes on."""
    title = registry.award(awarding(person(1)), officer=CLERK)
    with psycopg.connect(own.url(), autocommit=True) as c:
        c.execute("ALTER ROLE postgres SET default_transaction_read_only = on")
    try:
        kill(registry, sessions(registry))
        unavailable(lambda: registry.award(awarding(person(2)), officer=CLERK))
        assert registry.title(title)
    finally:
        with psycopg.connect(own.url(), autocommit=True) as c:
            c.execute("SET default_transaction_read_only = off")
            c.execute("ALTER ROLE postgres RESET default_transaction_read_only")
    registry.award(awarding(person(2)), officer=CLERK)
    assert awarded(registry) == 2
    check_log(registry)


# --- locks


@pytest.mark.parametrize("statement", [LOCK, "LOCK TABLE stored_events IN EXCLUSIVE MODE"], ids=["ours", "a table's"])
def test_a_lock_that_another_keeps(registry: Registry, monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    title = registry.award(awarding(person(1)), officer=CLERK)
    monkeypatch.setattr(pgserver, "LOCK_SECONDS", 0.2)
    registry.log.recorder.close()
    before = engine.rows(registry, "stored_events")
    with psycopg.connect(registry.config.database) as c:
        c.execute(statement.encode())
        unavailable(lambda: registry.award(awarding(person(2)), officer=CLERK))
        assert registry.title(title)  # reading goes on
    assert engine.rows(registry, "stored_events") == before
    registry.award(awarding(person(2)), officer=CLERK)
    check_log(registry)


def test_a_table_that_nobody_can_read_meanwhile(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator changes the table: reading is unavailable, and never "no such title"."""
    title = registry.award(awarding(person(1)), officer=CLERK)
    monkeypatch.setattr(pgserver, "LOCK_SECONDS", 0.2)
    registry.log.recorder.close()
    with psycopg.connect(registry.config.database) as c:
        c.execute("LOCK TABLE stored_events IN ACCESS EXCLUSIVE MODE")
        unavailable(lambda: registry.title(title))
        unavailable(lambda: registry.award(awarding(person(2)), officer=CLERK))
    assert registry.title(title)


# --- the disk is full


def largest_file(pid: int, size: str) -> None:
    """Let no file that a server process writes grow beyond that size, as the user whom it runs as."""
    user = "postgres" if os.geteuid() == 0 else None
    subprocess.run(["/usr/bin/prlimit", f"--pid={pid}", f"--fsize={size}:unlimited"], check=True, user=user)


def test_a_disk_without_room(registry: Registry) -> None:
    """The kernel refuses to let a file of the table grow: nothing of the write is there, and with room it goes on.

    The limit is on the size of a file (RLIMIT_FSIZE), above that of a segment of the write-ahead log.
    """
    registry.log.head()
    (pid,) = sessions(registry)
    largest_file(pid, str(17 << 20))
    taken = 0

    def fill() -> None:
        nonlocal taken
        for n in range(100):
            registry.award(awarding(person(n), employer=os.urandom(500_000).hex()), officer=CLERK)
            taken += 1

    said = unavailable(fill).message
    assert "could not extend file" in said or "could not write" in said
    assert sessions(registry) == [pid]  # the same connection goes on
    before = engine.rows(registry, "stored_events")
    unavailable(lambda: registry.award(awarding(person(taken), employer=os.urandom(500_000).hex()), officer=CLERK))
    assert engine.rows(registry, "stored_events") == before
    largest_file(pid, "unlimited")
    registry.award(awarding(person(taken), employer=os.urandom(500_000).hex()), officer=CLERK)
    assert awarded(registry) == taken + 1 > 3
    check_log(registry)


def test_a_file_of_sqlite_without_room(tmp_path: Path, passphrase: bytes, clock: Clock) -> None:
    """The same limit, on our own process: an append is refused as a whole, reading goes on, and later all is well."""
    with registry_at("", tmp_path, passphrase, clock) as registry:
        title = registry.award(awarding(person(0)), officer=CLERK)
        before, (_, most) = engine.rows(registry, "stored_events"), resource.getrlimit(resource.RLIMIT_FSIZE)
        size = max(path.stat().st_size for path in registry.folder.path.glob("registry.db*"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100_000, most))
        try:
            command = awarding(person(1), employer=os.urandom(500_000).hex())
            unavailable(lambda: registry.award(command, officer=CLERK))
            assert registry.title(title)
            assert engine.rows(registry, "stored_events") == before
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        registry.award(command, officer=CLERK)
        assert awarded(registry) == 2
        check_log(registry)


# --- a server that does not let us in


def test_a_wrong_password_is_said_and_never_shown(
    own: engine.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    """The password comes from libpq's own file; no error holds it."""
    rules = own.data / "pg_hba.conf"
    open_to_all = rules.read_text()
    with psycopg.connect(own.url(), autocommit=True) as c:
        c.execute("CREATE ROLE locked_in LOGIN PASSWORD 'the right one' IN ROLE title_registry_service")
        rules.write_text(f"local all locked_in scram-sha-256\n{open_to_all}")
        c.execute("SELECT pg_reload_conf()")
    url = registry.config.database.replace("user=postgres", "user=locked_in")
    secrets = tmp_path / "pgpass"
    monkeypatch.setenv("PGPASSFILE", str(secrets))
    for password, right in (("the wrong one", False), ("the right one", True)):
        secrets.write_text(f"*:*:*:locked_in:{password}\n")
        secrets.chmod(0o600)
        if right:
            recorder = recorder_at(url)
            assert recorder.max_notification_id() == registry.log.head()
            recorder.close()
            continue
        error = until(lambda: refusal(url))
        shown = " ".join((str(error), error.message, error.fix, repr(error.__cause__)))
        assert "连接不上" in error.message
        assert password not in shown
        assert "口令" in error.fix
    rules.write_text(open_to_all)


def test_a_server_with_no_connection_left(own: engine.Server, registry: Registry) -> None:
    title = registry.award(awarding(person(1)), officer=CLERK)
    with psycopg.connect(own.url(), autocommit=True) as c:
        c.execute("CREATE ROLE crowded LOGIN CONNECTION LIMIT 1 IN ROLE title_registry_service")
    url = registry.config.database.replace("user=postgres", "user=crowded")
    with psycopg.connect(url):
        assert "too many connections" in unavailable(lambda: recorder_at(url)).message
    recorder_at(url).close()
    assert registry.title(title)


def refusal(url: str) -> Unavailable | None:
    """What is said of an address; None when it is let in."""
    try:
        recorder_at(url).close()
    except Unavailable as error:
        return error
    return None
