"""The quick ways to the register give what the slow one gives: in bulk, in two processes, beside writers and erasures.

The slow way: every stream loaded on its own, every row made on its own, no database between.
"""

import fcntl
import multiprocessing
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import astuple

from registry.errors import CorruptHistory, Unavailable
from registry.folder import Folder
from registry.holders.holder import ErasureBasis
from registry.register import building
from registry.register import register as registers
from registry.register.files import RegisterFile
from registry.register.register import Query, Register
from registry.register.tables import TABLES, rows_of
from registry.service import Registry
from registry.streams import KINDS
from registry.titles.events import DecisionKind
from tests import engine
from tests.audit_life import NAMES, Life
from tests.check_log import check_log
from tests.people import CHIEF, CITY, CLERK, Clock, awarding, decided, deciding, person

Rows = dict[str, list[tuple[Any, ...]]]


def slowly(registry: Registry) -> Rows:
    """The rows of every stream of the log, made one stream at a time."""
    found: Rows = {table: [] for table in TABLES}
    for kind in KINDS.values():
        for stream in registry.log.streams_of(kind):
            for table, rows in rows_of(registry.log.load(kind, stream)).items():
                found[table] += map(astuple, rows)
    return {table: sorted(rows, key=repr) for table, rows in found.items()}


def shown(register: Register) -> Rows:
    """The rows of a register as they are, caught up or not."""
    return {table: sorted(map(astuple, register.all_rows(table)), key=repr) for table in TABLES}


def in_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold in a second process however small the log is, and whatever the machine has."""
    monkeypatch.setattr(building, "WORTH", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.fixture
def fifty(registry: Registry, clock: Clock) -> list[str]:
    """Fifty titles of forty people; some decided about."""
    titles = []
    for n in range(50):
        clock.forward(seconds=1)
        command = awarding(person(n % 40, f"样例{n % 40}"), number=f"第{n}", specialty=f"专业{n // 40}")
        titles.append(registry.award(command, officer=CLERK))
    decided(registry, titles[3], deciding(DecisionKind.REVOCATION))
    return titles


# --- the same rows


@pytest.mark.parametrize("way", ["one process", "two processes", "far behind", "1", "3", "10000"])
def test_every_way_gives_the_same_rows(live: Life, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register = Register(tmp_path / "register.db", live.registry.log)
    if way == "two processes":
        in_two(monkeypatch)
    if way.isdecimal():
        monkeypatch.setattr(registers, "BATCH", int(way))
    if way == "far behind":
        monkeypatch.setattr(registers, "FAR", 10)
    (register.rebuild if "process" in way else register.catch_up)()
    assert register.position == live.registry.log.head()
    assert shown(register) == slowly(live.registry)
    assert all(shown(register).values())  # every table has rows in this life
    assert quick_check(register.path) == "ok"
    register.close()


def quick_check(path: Path) -> str:
    with closing(sqlite3.connect(path)) as c:
        return str(c.execute("PRAGMA integrity_check").fetchone()[0])


def test_a_rebuilt_register_has_the_indexes_of_a_new_one(
    live: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def schema(register: Register) -> set[tuple[str, str]]:
        every = "SELECT name, sql FROM sqlite_master"
        return {(name, " ".join(sql.split())) for name, sql in register.connection.execute(every)}

    new = Register(tmp_path / "new.db", live.registry.log)
    alone, two = (Register(tmp_path / f"{name}.db", live.registry.log) for name in ("alone", "two"))
    alone.rebuild()
    in_two(monkeypatch)
    two.rebuild()
    assert schema(new) == schema(alone) == schema(two)
    assert two.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    for one in (new, alone, two):
        one.close()


def test_a_second_process_that_fails_is_not_missed(live: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_two(monkeypatch)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    register = Register(tmp_path / "register.db", live.registry.log)
    register.rebuild()
    assert shown(register) == slowly(live.registry)
    register.close()


def test_what_cannot_be_folded_is_named_and_the_live_one_stays(
    registry: Registry, fifty: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register.catch_up()
    before = shown(registry.register)
    out_of_place(registry, fifty[7])
    for _ in range(2):
        with pytest.raises(CorruptHistory, match=fifty[7]):
            registry.register.rebuild()
        in_two(monkeypatch)
    assert shown(registry.register) == before
    assert not registry.register.path.with_suffix(".new").exists()


def out_of_place(registry: Registry, stream: str) -> None:
    """Append a second award to a stream behind the program's back."""
    database = registry.config.database
    columns = "originator_id, 2, topic, state FROM stored_events"
    where = f"WHERE originator_id='{stream}' AND originator_version=1"
    if database:
        engine.damage(database, f"INSERT INTO stored_events SELECT {registry.log.head() + 1}, {columns} {where}")
        return
    with closing(sqlite3.connect(registry.folder.log)) as c:
        c.execute(f"INSERT INTO stored_events SELECT {columns} {where}")
        c.commit()


# --- far behind


def test_a_register_that_is_far_behind_is_built_anew_once(
    registry: Registry, second: Registry, fifty: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registers, "FAR", 20)
    registry.register.catch_up()
    first = registry.folder.register.stat().st_ino
    assert second.register.catch_up() == registry.log.head()
    registry.award(awarding(person(90), number="九十"), officer=CLERK)
    registry.register.catch_up()
    assert registry.folder.register.stat().st_ino == first
    check_log(registry)


def test_two_that_find_it_far_behind_build_it_once(
    registry: Registry, second: Registry, fifty: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registers, "FAR", 20)
    built = list[int]()

    def counted(*arguments: Any) -> None:
        built.append(1)
        building.build(*arguments)

    monkeypatch.setattr(registers, "build", counted)
    both(registry.register.catch_up, second.register.catch_up)
    assert len(built) == 1
    assert shown(second.register) == slowly(registry)


def both(*work: Callable[[], Any]) -> None:
    """Do these at the same time, each in a thread; raise what one of them raised."""
    with ThreadPoolExecutor(len(work)) as pool:
        for one in [pool.submit(one) for one in work]:
            one.result(60)


# --- while others write, read, rebuild


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_recorded_during_a_rebuild_is_in_it(
    registry: Registry, second: Registry, fifty: list[str], processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new title, a decision about one that was folded already, a new name: all of it before anybody asks."""
    if processes == 2:
        in_two(monkeypatch)
    holder = registry.title(fifty[9]).holder

    def meanwhile(_: int) -> None:
        if second.log.claimed("number", f"{CITY}|八十") is None:
            second.award(awarding(person(80, "后来者"), number="八十"), officer=CLERK)
            decided(second, fifty[0], deciding(DecisionKind.SUSPENSION))
            about: Any = {"basis": "change", "document_no": "丽公2号", "effective_on": second.today, "officer": CLERK}
            second.rename_holder(holder, "样例新名", **about)

    registry.register.rebuild(meanwhile)
    assert registry.register.position == registry.log.head()
    assert shown(registry.register) == slowly(registry)
    assert [row.number for row, _ in second.register.search(Query(name="后来者"), today=second.today).rows] == ["八十"]
    check_log(registry)


def test_a_rebuilt_register_has_caught_up_before_it_is_put_in_place(
    registry: Registry, second: Registry, fifty: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads next must not have to take in again what was recorded while it was built."""
    switch, positions = RegisterFile.switch, list[int]()

    def looked_at(file: RegisterFile) -> None:
        with closing(sqlite3.connect(file.beside)) as c:
            positions.append(c.execute("SELECT position FROM position").fetchone()[0])
        switch(file)

    def meanwhile(_: int) -> None:
        if second.title(fifty[1]).standing(None)[0] == "valid":
            decided(second, fifty[1], deciding(DecisionKind.SUSPENSION))

    monkeypatch.setattr(RegisterFile, "switch", looked_at)
    registry.register.rebuild(meanwhile)
    assert positions == [registry.log.head()]
    assert shown(registry.register) == slowly(registry)


def test_readers_and_writers_of_other_processes_go_through_many_rebuilds(
    registry: Registry, second: Registry, fifty: list[str]
) -> None:
    """An old write-ahead log must not be found by a new file, nor a new one be removed by whoever had the old one."""
    done = threading.Event()

    def read_and_write() -> None:
        n = 100
        while not done.is_set():
            found = second.register.search(Query(number="第5"), today=second.today)
            assert [row.title for row, _ in found.rows] == [fifty[5]]
            second.award(awarding(person(n), number=f"第{n}"), officer=CLERK)
            n += 1
        second.close()

    def rebuild() -> None:
        try:
            for _ in range(15):
                registry.register.rebuild()
        finally:
            done.set()
            registry.close()

    def open_and_look() -> None:
        while not done.is_set():
            other = Register(registry.folder.register, registry.log)
            assert other.catch_up() >= len(fifty)
            other.close()
        registry.log.close()

    both(read_and_write, rebuild, open_and_look)
    assert quick_check(registry.folder.register) == "ok"
    check_log(registry)


def test_nobody_opens_the_file_while_it_is_switched(registry: Registry, fifty: list[str]) -> None:
    """An opener waits for the switch, and then has the new file."""
    registry.register.catch_up()
    file, old = RegisterFile(registry.folder.register), registry.folder.register.stat().st_ino
    registry.register.close()
    opened: list[int | None] = []

    def open_it() -> None:
        c, inode = file.open()
        c.close()
        opened.append(inode)

    opener = threading.Thread(target=open_it)
    with file._lock("opening", fcntl.LOCK_EX):
        opener.start()
        opener.join(0.2)
        assert opened == []
    opener.join(60)
    assert opened == [old]


def rebuild_and_die(path: Path, passphrase: bytes, where: str) -> None:
    """Rebuild the register of a folder, and be killed in the middle, or just before the switch."""
    registry = Registry.open(path, passphrase, Clock())

    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        if where == "before the switch":
            patch.setattr(RegisterFile, "switch", die)
        registry.register.rebuild(die if where == "in the middle" else None)


def rebuild_often(path: Path, passphrase: bytes) -> None:
    """Rebuild the register of a folder five times."""
    registry = Registry.open(path, passphrase, Clock())
    for _ in range(5):
        registry.register.rebuild()
    registry.close()


@pytest.mark.parametrize("where", ["in the middle", "before the switch"])
def test_killed_in_a_rebuild(registry: Registry, fifty: list[str], passphrase: bytes, where: str) -> None:
    """The live register is as it was; what was being built, with names in it, goes when anybody opens the register."""
    registry.register.catch_up()
    before, beside = shown(registry.register), registry.folder.register.with_suffix(".new")
    registry.close()
    process = started(rebuild_and_die, registry.folder.path, passphrase, where)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert beside.exists()
    assert shown(registry.register) == before
    assert not beside.exists()
    registry.register.rebuild()
    assert shown(registry.register) == before
    check_log(registry)


def test_two_processes_rebuild_at_the_same_time(registry: Registry, fifty: list[str], passphrase: bytes) -> None:
    processes = [started(rebuild_often, registry.folder.path, passphrase) for _ in range(2)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert shown(registry.register) == slowly(registry)
    assert not list(registry.folder.path.glob("*.new"))
    check_log(registry)


def started(work: Callable[..., None], *arguments: Any) -> Any:
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    return process


# --- who was erased


def erase(registry: Registry, holder: str) -> None:
    open_ = registry.erasing.propose(holder, ErasureBasis.REQUEST, "丽人社删〔2026〕9号", CITY, officer=CLERK)
    registry.erasing.approve(open_.fact.proposal, open_.fact.digest, officer=CHIEF)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_erased_name_is_in_no_rebuilt_file(
    registry: Registry, clock: Clock, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if processes == 2:
        in_two(monkeypatch)
    erased = [registry.award(awarding(person(n, NAMES[n]), number=f"第{n}"), officer=CLERK) for n in range(3)][1]
    erase(registry, registry.title(erased).holder)
    registry.register.rebuild()
    assert shown(registry.register) == slowly(registry)
    data = b"".join(path.read_bytes() for path in registry.folder.path.glob("register.*"))
    assert [name.encode() in data for name in NAMES[:3]] == [True, False, True]
    check_log(registry)


def test_who_is_erased_during_a_rebuild_is_in_no_file_after_it(
    registry: Registry, second: Registry, clock: Clock
) -> None:
    """The file being built has the name already. So the sweeping says that it is not done, until it can be."""
    titles = [registry.award(awarding(person(n, NAMES[n]), number=f"第{n}"), officer=CLERK) for n in range(3)]
    holder, refused = registry.title(titles[1]).holder, list[Unavailable]()

    def meanwhile(done: int) -> None:
        if done == registry.log.head() and not refused:
            with pytest.raises(Unavailable) as caught:
                erase(second, holder)
            refused.append(caught.value)

    registry.register.rebuild(meanwhile)
    assert refused
    assert not registry.register.named(holder)
    second.register.close()
    second.erasing.sweep(holder)
    data = b"".join(path.read_bytes() for path in registry.folder.path.glob("register.*"))
    assert [name.encode() in data for name in NAMES[:3]] == [True, False, True]
    check_log(registry)


def test_a_copy_without_keys_has_no_names(live: Life, tmp_path: Path) -> None:
    """What the second process sees: every title, and nobody's name."""
    folder = Folder(live.registry.folder.path)
    path = tmp_path / "register.db"
    building._second(path, str(folder.store), live.registry.log.head())
    with closing(sqlite3.connect(path)) as c:
        titles, names = (c.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("titles", "names"))
    assert (titles, names) == (len(slowly(live.registry)["titles"]), 0)
    data = path.read_bytes()
    assert not any(name.encode() in data for name in NAMES)
