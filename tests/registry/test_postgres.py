"""The log in PostgreSQL: many writers and no event missed, started by many at once, nothing changed by whom it may not.

What both engines promise is asked of both, whatever engine the other tests of this run use.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import count
from pathlib import Path

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent

from registry.errors import BadInput, NotFound, Unavailable
from registry.log import pgserver
from registry.log.changes import Changes, Claim
from registry.log.engine import Place, recorder_at
from registry.service import Registry
from tests import engine
from tests.check_log import check_log, stored_events
from tests.people import BEGIN, CLERK, Clock, awarding, person
from tests.there import another, registry_at
from tests.writers import PATIENCE, begin, one, processes, started, write

_databases = count(1)
EVENTS = int(os.environ.get("TITLE_REGISTRY_FOLLOWER_EVENTS", "4000"))
RACERS = 8
NOTHING = ", '{}'" * 12  # no claims, no keys, and nothing that the write rests on


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place for a log, of each engine."""
    return tmp_path / "registry.db" if request.param == "sqlite" else engine.postgres_url()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, passphrase: bytes) -> Registry:
    """A registry in PostgreSQL, closed; not to be used."""
    with registry_at(engine.postgres_url(), tmp_path_factory.mktemp("first"), passphrase, Clock()) as registry:
        return registry


@pytest.fixture
def there(first: Registry, tmp_path: Path, clock: Clock) -> Iterator[Registry]:
    """A registry in PostgreSQL."""
    with another(first, engine.postgres_url(), tmp_path, clock) as registry:
        yield registry


# --- many writers


def test_a_follower_misses_nothing_of_what_four_write(place: Place) -> None:
    """It reads by position while they write: what it has passed never changes, and no position is left out."""
    recorder, start = recorder_at(place), processes.Barrier(5)
    writers = started(write, [(place, me, EVENTS // 4, start) for me in range(4)])
    start.wait(PATIENCE)
    read, looks = list[tuple[int, str, int]](), 0
    while any(each.is_alive() for each in writers) or recorder.max_notification_id() > len(read):
        head = recorder.wait(len(read), 0.2)
        read += [(row[0], row[1], row[2]) for row in recorder.rows_by_position(len(read), head)]
        assert len(read) == head
        looks += 1
    for each in writers:
        each.join()
        assert each.exitcode == 0

    assert [row[0] for row in read] == list(range(1, len(read) + 1))
    assert read == [row[:3] for row in recorder.rows_by_position(0, recorder.max_notification_id())]
    expected = {f"stream-{me}-{n}" for me in range(4) for n in range(EVENTS // 4)}
    found = Counter(stream for _, stream, _ in read)
    assert {stream for stream in found if stream.startswith("stream")} == expected
    assert set(found.values()) == {1}
    assert looks > 10  # it did read while they wrote
    recorder.close()


# --- many beginnings


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "postgresql, schemas apart"])
def test_many_processes_may_make_the_tables_at_once(kind: str, tmp_path: Path) -> None:
    """Eight at the same moment, no superusers, on a server that does not know our role: all write, it was made once."""
    own = engine.Server(**engine.QUICK) if kind != "sqlite" else None
    try:
        places: list[Place] = [tmp_path / "registry.db"] * RACERS
        if own:
            with psycopg.connect(own.url(), autocommit=True) as c:
                c.execute("CREATE ROLE bureau LOGIN CREATEROLE")
                c.execute("GRANT CREATE ON DATABASE postgres TO bureau")
            places = [own.url(f"race{n if 'apart' in kind else ''}") for n in range(RACERS)]
            places = [str(at).replace("user=postgres", "user=bureau") for at in places]
        start = processes.Barrier(RACERS)
        racers = started(begin, [(at, n, start) for n, at in enumerate(places)])
        for each in racers:
            each.join(PATIENCE)
        assert [each.exitcode for each in racers] == [0] * RACERS
        heads = []
        for at in dict.fromkeys(places):
            recorder = recorder_at(at)
            heads.append(recorder.max_notification_id())
            recorder.close()
        assert sum(heads) == RACERS
    finally:
        if own:
            own.remove()


# --- append-only, for everybody


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stored_events SET state=''",
        "UPDATE stored_events SET topic='x' WHERE position=1",
        "DELETE FROM stored_events WHERE position=1",
        "TRUNCATE stored_events",
        "TRUNCATE stored_events CASCADE",
        "INSERT INTO stored_events SELECT * FROM stored_events ON CONFLICT (position) DO UPDATE SET state=''",
        "MERGE INTO stored_events s USING stored_events o ON s.position=o.position WHEN MATCHED THEN DELETE",
    ],
)
def test_the_database_refuses_changes_even_to_the_owner(there: Registry, statement: str) -> None:
    there.award(awarding(person(1)), officer=CLERK)
    before = engine.rows(there, "stored_events")

    with psycopg.connect(there.config.database) as c, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        c.execute(statement.encode())

    assert engine.rows(there, "stored_events") == before
    check_log(there)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO stored_events VALUES (1000, 'title-x', 1, 'x', '')",
        "UPDATE stored_events SET state=''",
        "DELETE FROM stored_events",
        "TRUNCATE stored_events",
        "INSERT INTO claims VALUES ('number', 'x', 'x')",
        "DELETE FROM claims",
        "UPDATE data_keys SET wrapped=''",
        "DELETE FROM data_keys",
        "ALTER TABLE stored_events DISABLE TRIGGER ALL",
        "DROP TRIGGER append_only ON stored_events",
        "DROP TABLE stored_events",
        "CREATE TABLE more (n int)",
        "UPDATE schema_version SET version=9",
        "SELECT write_lock()",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_the_service_can_only_append(there: Registry, statement: str) -> None:
    with closing(pgserver.connect(there.config.database)) as c, pytest.raises(psycopg.errors.InsufficientPrivilege):
        c.execute(statement.encode())
    check_log(there)


def test_what_a_session_calls_by_the_name_of_a_table_is_not_written_to(there: Registry) -> None:
    """Temporary tables come before all others in a search path, unless the function says otherwise."""
    there.award(awarding(person(1)), officer=CLERK)
    for table in ("stored_events", "claims", "data_keys"):
        there.log.recorder.connection.execute(f"CREATE TEMP TABLE {table} (LIKE {table})")  # type: ignore[attr-defined]
    mine = there.log.recorder.connection  # type: ignore[attr-defined]
    mine.execute(f"SELECT append('{{title-x}}', '{{1}}', '{{x/1}}', '{{x}}'{NOTHING}, NULL)")

    assert mine.execute("SELECT count(*) FROM pg_temp.stored_events").fetchone() == (0,)
    assert engine.rows(there, "stored_events")[-1][1] == "title-x"


def test_a_user_who_is_not_the_owner_can_run_the_service(there: Registry, clock: Clock, tmp_path: Path) -> None:
    """A login that has nothing but our role: it awards, and it cannot make a registry of its own."""
    with psycopg.connect(there.config.database) as c:
        c.execute("DROP ROLE IF EXISTS desk")
        c.execute("CREATE ROLE desk LOGIN IN ROLE title_registry_service")
    url = there.config.database.replace("user=postgres", "user=desk")
    recorder = recorder_at(url)
    recorder.append(one("stream-1"))
    recorder.stage(one("stream-2"))
    recorder.insert_staged()
    recorder.drop_staged()
    head = recorder.max_notification_id()
    assert [row[1] for row in recorder.rows_by_position(head - 2, head)] == ["stream-1", "stream-2"]
    recorder.close()

    with pytest.raises(Unavailable) as caught:
        recorder_at(engine.postgres_url().replace("user=postgres", "user=desk"))
    assert "不能建立数据表" in caught.value.message
    assert caught.value.fix


# --- what must not be so


@pytest.mark.parametrize("said", ["y", "Yes", "TRUE", "on", "1", "t"])
def test_the_functions_of_the_library_are_refused(there: Registry, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """They append without the lock. Whoever opens a log says no, whether it is new or old."""
    monkeypatch.setenv("POSTGRES_ENABLE_DB_FUNCTIONS", said)
    for url in (there.config.database, engine.postgres_url()):
        with pytest.raises(Unavailable, match="POSTGRES_ENABLE_DB_FUNCTIONS") as caught:
            recorder_at(url)
        assert caught.value.fix
    monkeypatch.setenv("POSTGRES_ENABLE_DB_FUNCTIONS", "no")
    recorder_at(there.config.database).close()


def test_why_an_append_needs_the_lock() -> None:
    """Without it the later number may be committed first, and a follower that passed it never sees the earlier one.

    This is what the library's functions do: an INSERT that takes its number from a sequence. Ours lets the second wait.
    """
    url = engine.postgres_url()
    recorder_at(url).close()
    calling = f"SELECT append(ARRAY[%s], '{{1}}', '{{x/1}}', '{{x}}'{NOTHING}, NULL)"
    with psycopg.connect(url) as slow, psycopg.connect(url, autocommit=True) as quick:
        quick.execute("CREATE TABLE unlocked (n bigserial, stream text)")
        slow.execute("INSERT INTO unlocked (stream) VALUES ('slow')")
        quick.execute("INSERT INTO unlocked (stream) VALUES ('quick')")
        passed = quick.execute("SELECT max(n) FROM unlocked").fetchone()
        slow.commit()
        assert quick.execute("SELECT stream FROM unlocked WHERE n > %s", passed).fetchall() == []  # 'slow' is missed

        slow.execute(calling, ("slow",))
        quick.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            quick.execute(calling, ("quick",))
        slow.commit()
        quick.execute(calling, ("quick",))
        told = quick.execute("SELECT position, originator_id FROM stored_events ORDER BY position").fetchall()
    assert told == [(1, "slow"), (2, "quick")]


def database(encoding: str, *more: str) -> str:
    """The address of a new database on the shared server."""
    name = f"other_{os.getpid()}_{next(_databases)}"
    with psycopg.connect(engine.server().url(), autocommit=True) as c:
        c.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' {' '.join(more)}".encode())
    return engine.server().url("one", name)


@pytest.mark.parametrize(
    ("name", "said"), [("PGCLIENTENCODING", "LATIN1"), ("PGCLIENTENCODING", "SQL_ASCII"), ("PGTZ", "Asia/Shanghai")]
)
def test_stray_variables_change_nothing(monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    """What the environment of a process says to libpq must not change what is recorded."""
    monkeypatch.setenv(name, said)
    two_write(engine.postgres_url())


@pytest.mark.parametrize(
    "settings",
    [
        {"default_transaction_isolation": "repeatable read"},
        {"default_transaction_isolation": "serializable"},
        {"bytea_output": "escape", "standard_conforming_strings": "off", "DateStyle": "German", "array_nulls": "off"},
    ],
    ids=["repeatable read", "serializable", "formats"],
)
def test_settings_of_a_database_change_nothing(settings: dict[str, str]) -> None:
    """With a stricter isolation a writer would see, after its wait for the lock, the log from before it."""
    url = database("UTF8", "LC_COLLATE 'C' LC_CTYPE 'C'")
    with psycopg.connect(url, autocommit=True) as c:
        for name, said in settings.items():
            c.execute(f"ALTER DATABASE {c.info.dbname} SET {name} = '{said}'".encode())
    two_write(url)


def two_write(url: str) -> None:
    """Two processes write; then what is hard to write comes back as it was."""
    recorder = recorder_at(url)
    start = processes.Barrier(2)
    writers = started(write, [(url, me, 80, start) for me in range(2)])
    for each in writers:
        each.join(PATIENCE)
    assert [each.exitcode for each in writers] == [0, 0]
    recorder.append(Changes([StoredEvent("丽水", 1, "𠮷/1", b"\\\x00\xff")], taken=[("号", "丽七", "丽水")]))
    assert recorder.claimed(Claim("号", "丽七")) == "丽水"
    assert [row[1:] for row in recorder.rows_by_position(0, 9999)][-1] == ("丽水", 1, "𠮷/1", b"\\\x00\xff")
    recorder.close()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_CN"])
def test_a_database_that_cannot_hold_every_character_is_refused(encoding: str) -> None:
    url = database(encoding, "LC_COLLATE 'C' LC_CTYPE 'C'")
    with pytest.raises(Unavailable) as caught:
        recorder_at(url)
    assert encoding in caught.value.message
    assert "UTF8" in caught.value.fix
    with psycopg.connect(url) as c:
        assert c.execute("SELECT to_regclass('one.stored_events')").fetchone() == (None,)


def test_a_database_that_sorts_by_pinyin_changes_nothing(tmp_path: Path, passphrase: bytes, clock: Clock) -> None:
    """Streams, claims and keys are in the order of their bytes, or numbers and audits would come out differently."""
    url = database("UTF8", "LC_COLLATE 'C' LC_CTYPE 'C'", "LOCALE_PROVIDER icu ICU_LOCALE 'zh-u-co-pinyin'")
    with registry_at(url, tmp_path, passphrase, clock) as registry:
        for n, number in enumerate(["丽B2", "丽b10", "安1", "丽-3", "ß", "zz", "Z"]):
            registry.award(awarding(person(n), number=number), officer=CLERK)
        registry.award(awarding(person(20)), officer=CLERK)
        claims = [key for scope, key, _ in registry.log.recorder.claims() if scope.startswith("number")]
        assert claims == sorted(claims, key=str.encode)
        check_log(registry)


def test_texts_and_bytes_of_any_kind_come_back_as_they_were(place: Place) -> None:
    """Characters beyond the first plane, quotes, a long name, bytes of every value, and ten megabytes."""
    recorder = recorder_at(place)
    names = ["𠮷野家", "'\"\\%s?;--", "long" * 300, "{a,b}", " 　"]
    states = [b"", bytes(range(256)) * 4, os.urandom(10_000_000), b"\\x00", "𠮷".encode()]
    events = [StoredEvent(name, 1, f"{name}/1", state) for name, state in zip(names, states, strict=True)]
    recorder.append(Changes(events, taken=[("test", name, name) for name in names]))

    assert [row[1:] for row in recorder.rows_by_position(0, 9)] == [
        (e.originator_id, 1, e.topic, e.state) for e in events
    ]
    assert [recorder.claimed(Claim("test", name)) for name in names] == names
    assert [key for _, key, _ in recorder.claims()] == sorted(names, key=str.encode)
    recorder.close()


@pytest.mark.parametrize("text", ["丽\0七", "丽\ud800七", "丽" * 400], ids=["NUL", "half a character", "too long"])
def test_texts_that_an_engine_cannot_hold_are_refused_by_both(
    place: Place, text: str, tmp_path: Path, passphrase: bytes, clock: Clock
) -> None:
    """Else a registry in a file could not move to a server. Whoever looks for such a text finds nothing."""
    with registry_at(place if isinstance(place, str) else "", tmp_path, passphrase, clock) as registry:
        before = engine.rows(registry, "stored_events")
        for field in ("number", "specialty", "employer") if "\ud800" in text else ("number", "specialty"):
            with pytest.raises(BadInput) as caught:
                registry.award(awarding(person(1), **{field: text}), officer=CLERK)
            assert caught.value.fix
        for look_up in (registry.find_title, registry.title):
            with pytest.raises(NotFound):
                look_up(text)
        assert registry.verifier.check(text).certificate is None
        assert engine.rows(registry, "stored_events") == before
        registry.award(awarding(person(1), employer="丽" * 2_000), officer=CLERK)
        check_log(registry)


@pytest.mark.parametrize("wrong", ["host", "port", "database", "user"])
def test_a_server_that_is_not_there_is_named_without_secrets(wrong: str, tmp_path: Path) -> None:
    good = engine.server()
    url = {
        "host": f"postgresql:///postgres?host={tmp_path}&user=postgres",
        "port": "postgresql://postgres@127.0.0.1:9/postgres",
        "database": good.url(database="nowhere"),
        "user": good.url().replace("user=postgres", "user=nobody_of_ours"),
    }[wrong]
    with pytest.raises(Unavailable) as caught:
        recorder_at(url)
    assert "连接不上" in caught.value.message
    assert caught.value.fix


def test_two_registries_in_one_database_do_not_wait_for_each_other() -> None:
    first, second = (recorder_at(engine.server().url(f"beside_{os.getpid()}_{n}")) for n in (1, 2))
    with psycopg.connect(first.url) as c:  # type: ignore[attr-defined]
        c.execute("SELECT pg_advisory_xact_lock('stored_events'::regclass::oid::bigint)")
        second.append(one("stream-1"))
    leads = [each.lead("sequencing") for each in (first, second)]
    assert first.lead("sequencing") is None
    for lead in leads:
        assert lead is not None
        lead.release()
    for each in (first, second):
        each.close()


# --- clocks


def test_a_clock_that_jumps_changes_no_order(place: Place, tmp_path: Path, passphrase: bytes, clock: Clock) -> None:
    """Back a day and on by a year: positions go on, each fold is right, and what was known is asked by position."""
    with registry_at(place if isinstance(place, str) else "", tmp_path, passphrase, clock) as registry:
        stream = registry.award(awarding(person(1)), officer=CLERK)
        holder = registry.title(stream).holder
        heads = [registry.log.head()]
        for name, days in (("林一", -1), ("林二", 366), ("林三", -365)):
            clock.now = BEGIN + timedelta(days=days)
            registry.rename_holder(
                holder, name, basis="change", document_no="1", effective_on=BEGIN.date(), officer=CLERK
            )
            heads.append(registry.log.head())

        told = [event for event in stored_events(registry) if event.stream == holder]
        assert [event.version for event in told] == [1, 2, 3, 4]
        assert [event.position for event in told] == sorted(event.position for event in told)
        assert [registry.holder(holder, known_at=head).name() for head in heads] == ["林晓岚", "林一", "林二", "林三"]
        assert registry.holder(holder, known_at=BEGIN + timedelta(days=2)).name() == "林一"  # no gap in a history
        with pytest.raises(NotFound):
            registry.holder(holder, known_at=BEGIN - timedelta(hours=1))
        check_log(registry)
