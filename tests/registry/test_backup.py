"""A backup holds everything, is taken while others write, and is a whole file or none, whatever interrupts it."""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from api.signin.accounts import Accounts
from keys.errors import KeysError
from registry.audit import verify_live
from registry.backup import Manifest, back_up, read_archive
from registry.errors import BadInput, RegistryError
from registry.looks import LookLog, Purpose
from registry.register.register import Query
from registry.service import Registry
from tests import engine
from tests.audit_life import bytes_of, damage, live_through
from tests.check_log import check_log
from tests.people import BEGIN, CHIEF, CLERK, Clock, awarding, paper_of_1998, person, scans

KILLS = 16


@pytest.fixture
def town(registry: Registry, tmp_path: Path) -> Registry:
    """A registry with two awards, checkpoints, a paper with two scans, and a folder for backups."""
    registry.award(awarding(person(1)), officer=CLERK)
    registry.tlog.sequence()
    registry.submit_paper(paper_of_1998(person(2)), None, scans(b"1", b"2"), officer=CLERK)
    registry.tlog.sequence()
    registry.award(awarding(person(3)), officer=CLERK)  # in no checkpoint yet
    (tmp_path / "backups").mkdir()
    return registry


@pytest.fixture
def target(town: Registry, tmp_path: Path) -> Path:
    """Where a backup is to be written."""
    return tmp_path / "backups" / "today.tar"


def taken(registry: Registry, target: Path, passphrase: bytes, *, replace: bool = False) -> Manifest:
    return back_up(registry.folder, target, passphrase, now=BEGIN, replace=replace)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, without what SQLite lays beside a store for its readers, if it is empty."""
    return {name: data for name, data in bytes_of(folder).items() if data and not name.endswith("-shm")}


def unpacked(archive: Path, to: Path) -> Path:
    """Unpacked by the system's own tar."""
    to.mkdir(mode=0o700)
    subprocess.run(["tar", "-xf", archive, "-C", to], check=True)
    for folder in ("keys", "evidence", "log"):
        if (to / folder).exists():
            (to / folder).chmod(0o700)
    return to


# what is in it


def test_unpacked_by_another_program_it_is_the_same_registry(
    registry: Registry, clock: Clock, passphrase: bytes, tmp_path: Path
) -> None:
    live_through(registry, clock)
    registry.tlog.sequence()
    (registry.folder.path / "passphrase").write_bytes(passphrase)
    archive = tmp_path / "life.tar"
    manifest = taken(registry, archive, passphrase)
    assert archive.stat().st_mode & 0o777 == 0o600
    copy = unpacked(archive, tmp_path / "copy")
    assert engine.in_file(copy / "registry.db") == engine.rows(registry, "stored_events")
    assert (manifest.head, manifest.checkpoint) == (registry.log.head(), registry.log.head())
    for folder in ("keys", "evidence"):
        assert bytes_of(copy / folder) == bytes_of(registry.folder.path / folder)
    assert not {"passphrase", "register.db", "tile"} & {path.name for path in copy.rglob("*")}
    again = Registry.open(copy, passphrase, clock)
    again.tlog.rebuild()  # the tiles, which no backup holds
    assert verify_live(again).ok
    assert again.continuity.examine() is None
    again.award(awarding(person(77)), officer=CLERK)
    assert again.tlog.sequence().size == registry.log.head() + 2
    assert verify_live(again).ok  # the tiles are there again
    check_log(again)
    again.close()


def test_its_manifest_is_what_other_programs_compute(target: Path, town: Registry, passphrase: bytes) -> None:
    manifest = taken(town, target, passphrase)
    with tarfile.open(target) as tar:
        names = tar.getnames()
        listed = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        contents = {name: tar.extractfile(name).read() for name in names[:-2]}  # type: ignore[union-attr]
        text, digest = (tar.extractfile(name).read() for name in names[-2:])  # type: ignore[union-attr]
    assert names[-2:] == ["manifest.json", "manifest.sha256"]
    assert digest.split() == [hashlib.sha256(text).hexdigest().encode(), b"manifest.json"]
    assert {one["name"]: (one["size"], one["sha256"]) for one in listed["files"]} == {
        name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in contents.items()
    }
    assert (listed["schema"], listed["head"]) == ("title-registry/backup/1", engine.events(town.folder))
    assert datetime.fromisoformat(listed["created_at"]).astimezone(UTC) == BEGIN
    assert listed["registry"] == hashlib.sha256(contents["keys/root.pem"]).hexdigest()
    assert read_archive(target) == manifest
    assert len([name for name in names if name.startswith("evidence/")]) == 2


def test_the_checkpoints_in_it_are_those_that_it_reaches(target: Path, town: Registry, passphrase: bytes) -> None:
    """A store that was put back by hand: its signed checkpoints are newer than it is, and only those that it reaches go
    into the backup; the outside checkpoint will tell."""
    town.close()
    early = engine.copy(town.folder.path, target.with_name("early"))
    before = town.log.head()
    town.tlog.sequence()
    town.award(awarding(person(4)), officer=CLERK)
    town.tlog.sequence()
    town.close()
    for name in ("registry.db", "config.json"):  # of PostgreSQL: which schema it is
        if (early / name).exists():
            shutil.copyfile(early / name, town.folder.path / name)
    manifest = taken(town, target, passphrase)
    assert (manifest.head, manifest.checkpoint) == (before, before)


def test_answers_given_go_with_it(target: Path, town: Registry, passphrase: bytes, tmp_path: Path) -> None:
    store = town.folder.path / "answers" / "2026-03.db"
    store.parent.mkdir()
    with closing(sqlite3.connect(store)) as live:
        live.execute("PRAGMA journal_mode=WAL")
        live.execute("CREATE TABLE answers (said TEXT)")
        live.execute("INSERT INTO answers VALUES ('valid')")
        live.commit()  # still in the write-ahead log
        taken(town, target, passphrase)
    with closing(sqlite3.connect(unpacked(target, tmp_path / "copy") / "answers" / "2026-03.db")) as copy:
        assert copy.execute("SELECT said FROM answers").fetchall() == [("valid",)]


def test_looks_and_accounts_go_with_it(target: Path, town: Registry, passphrase: bytes, tmp_path: Path) -> None:
    [(row, _)] = town.looking.search(Query(), actor=CLERK, purpose=Purpose.SEARCH, door="cli", limit=1).rows
    with closing(Accounts.of(town)) as accounts:
        accounts.enrol(CLERK, by=CHIEF, alone=True)
        taken(town, target, passphrase)
    copy = unpacked(target, tmp_path / "copy")
    assert [one.stream for one in LookLog(copy / "looks").about(row.holder)] == [row.title]
    with closing(sqlite3.connect(copy / "accounts.db")) as store:
        assert store.execute("SELECT count(*) FROM enrolments").fetchone() == (1,)


# others write meanwhile


def award_on(path: Path, passphrase: bytes, to: Connection) -> None:
    """Award and sequence until killed, as other processes do; the parent hears of every award."""
    registry = Registry.open(path, passphrase, Clock())
    for n in range(1_000, 100_000):
        registry.award(awarding(person(n), employer="丽水建工"), officer=CLERK)
        if n % 3 == 0:
            registry.tlog.sequence()
        to.send(n)


@pytest.fixture
def writers(town: Registry, passphrase: bytes) -> Iterator[list[Connection]]:
    """A process that writes all the time."""
    town.close()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=award_on, args=(town.folder.path, passphrase, theirs), daemon=True)
    process.start()
    theirs.close()
    yield [ours]
    process.kill()
    process.join(60)


def test_taken_while_another_process_writes(
    writers: list[Connection], town: Registry, target: Path, passphrase: bytes, clock: Clock, tmp_path: Path
) -> None:
    heads = []
    for n in range(4):
        writers[0].recv()
        manifest = taken(town, target, passphrase, replace=n > 0)
        copy = Registry.open(unpacked(target, tmp_path / f"copy-{n}"), passphrase, clock)
        assert copy.log.head() == manifest.head >= manifest.checkpoint > 0
        copy.tlog.sequence()  # writes the tiles, which no backup holds
        check_log(copy)
        assert verify_live(copy).ok
        copy.close()
        heads.append(manifest.head)
        while writers[0].poll():  # it went on
            writers[0].recv()
    assert heads == sorted(set(heads))


# what is missing is said, and no file is there


def lose(*names: str) -> Callable[[Registry], None]:
    def do(registry: Registry) -> None:
        for name in names:
            for path in registry.folder.path.glob(name):
                path.unlink()

    return do


def other_root(registry: Registry) -> None:
    from keys.custody import Custody

    other = registry.folder.path.parent / "other"
    Custody.create(other, b"other", BEGIN, organisation="x")
    shutil.copy(other / "root.pem", registry.folder.keys / "root.pem")


def other_key(registry: Registry) -> None:
    one, other = (next(registry.folder.keys.glob(f"{name}-*.pem")) for name in ("e-certificate", "checkpoint"))
    shutil.copy(one, other)


def changed_event(registry: Registry) -> None:
    other = engine.changed("clerk-01", "clerk-07")
    damage(registry.folder.log, f"UPDATE stored_events SET state={other} WHERE topic='title-awarded/1'")


def damaged_store(registry: Registry) -> None:
    """A page is gone that is read only by those who look at all."""
    with closing(sqlite3.connect(registry.folder.log)) as c:
        page = c.execute("SELECT rootpage FROM sqlite_master WHERE name='claims'").fetchone()[0]
    data = bytearray(registry.folder.log.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = bytes(4096)
    registry.folder.log.write_bytes(data)


def lost_table(registry: Registry) -> None:
    with closing(sqlite3.connect(registry.folder.log)) as c:
        c.execute("DROP TABLE data_keys")


def lost_trigger(registry: Registry) -> None:
    with closing(sqlite3.connect(registry.folder.log)) as c:
        c.execute("DROP TRIGGER stored_events_no_delete")


def no_store(registry: Registry) -> None:
    registry.folder.log.write_bytes(b"no database at all")


def dropped_store(registry: Registry) -> None:
    with psycopg.connect(registry.config.database) as server:
        server.execute(f"DROP SCHEMA {engine.schema_of(registry.config.database)} CASCADE".encode())


def no_server(registry: Registry) -> None:
    config = msgspec.structs.replace(registry.config, database=f"postgresql:///titles?host={registry.folder.path}")
    registry.folder.config.write_bytes(msgspec.json.encode(config))


STORES = {
    "sqlite": [
        pytest.param(damaged_store, "corrupt-history", "registry.db", id="a damaged store"),
        pytest.param(lost_table, "corrupt-history", "缺少 data_keys", id="a lost table"),
        pytest.param(lost_trigger, "corrupt-history", "缺少 stored_events_no_delete", id="a lost trigger"),
        pytest.param(no_store, "unavailable", "registry.db", id="no store"),
    ],
    "postgresql": [
        pytest.param(dropped_store, "unavailable", "stored_events", id="tables that were dropped"),
        pytest.param(no_server, "unavailable", "连接不上", id="no server"),
    ],
}


def forged_checkpoint(registry: Registry) -> None:
    kept = registry.folder.tree / "checkpoints"
    kept.write_bytes(kept.read_bytes().replace(b"/log\n", b"/dog\n", 1))


def one_scan(registry: Registry) -> None:
    next(registry.folder.evidence.iterdir()).unlink()


@pytest.mark.parametrize(
    ("do", "code", "says"),
    [
        pytest.param(lose("keys/root-key.pem"), "key-store-broken", "root-key.pem", id="the root key is gone"),
        pytest.param(lose("keys/root.pem"), "key-store-broken", "root.pem", id="the root certificate is gone"),
        pytest.param(lose("keys/e-certificate-*.pem"), "key-store-broken", "e-certificate-", id="a key is gone"),
        pytest.param(lose("keys/checkpoint-*.pem"), "key-store-broken", "checkpoint-", id="the log's key is gone"),
        pytest.param(lose("keys/issuing-*.pem"), "key-store-broken", "issuing-", id="a certificate is gone"),
        pytest.param(lose("keys/secrets.bin"), "key-store-broken", "secrets.bin", id="the secrets are gone"),
        pytest.param(lose("keys/keys.json"), "file", "keys.json", id="the key ring is gone"),
        pytest.param(other_root, "key-store-broken", "root-key.pem 不符", id="another root"),
        pytest.param(other_key, "key-store-broken", "不是密钥", id="a key in the place of another"),
        pytest.param(changed_event, "log-frozen", "分叉", id="an event that is not the one signed"),
        *STORES[engine.ENGINE],
        pytest.param(forged_checkpoint, "signature-invalid", "签名", id="a checkpoint that was changed"),
        pytest.param(one_scan, "corrupt-history", "缺少 1 个文件", id="a scan is gone"),
        pytest.param(lose("config.json"), "unavailable", "config.json", id="no settings"),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_no_file_is_written(
    town: Registry, target: Path, passphrase: bytes, do: Callable[[Registry], None], code: str, says: str
) -> None:
    town.close()
    do(town)
    with pytest.raises((RegistryError, KeysError, OSError)) as refused:
        taken(town, target, passphrase)
    assert getattr(refused.value, "code", "file") == code
    assert says in str(refused.value)
    assert list(target.parent.iterdir()) == []


def test_a_passphrase_that_does_not_open_it(town: Registry, target: Path) -> None:
    with pytest.raises(KeysError) as refused:
        taken(town, target, b"another")
    assert refused.value.code == "wrong-passphrase"
    assert list(target.parent.iterdir()) == []


def test_it_replaces_nothing_and_never_lies_in_the_data_folder(town: Registry, target: Path, passphrase: bytes) -> None:
    target.write_text("mine")
    for place, says in ((target, "已存在"), (target.parent, "已存在"), (town.folder.path / "b.tar", "数据文件夹里面")):
        with pytest.raises(RegistryError, match=says):
            taken(town, place, passphrase)
    assert target.read_text() == "mine"
    taken(town, target, passphrase, replace=True)
    assert read_archive(target).head == town.log.head()


def test_a_file_that_it_does_not_know_is_not_left_out_in_silence(
    town: Registry, target: Path, passphrase: bytes
) -> None:
    (town.folder.keys / "root-key.pem 副本").write_text("?")
    with pytest.raises(BadInput, match="副本"):
        taken(town, target, passphrase)
    assert list(target.parent.iterdir()) == []


# kill -9


def killed_at(n: int, do: Callable[[], Any]) -> bool:
    """Run it in a process that is killed at its n-th file operation. False: it came to its end before."""
    child = os.fork()
    if child == 0:
        seen = 0

        def count(event: str, _: Any) -> None:
            nonlocal seen
            if event == "open" or event.startswith(("os.", "shutil.", "sqlite3.", "fcntl.", "ctypes.", "tempfile.")):
                seen += 1
                if seen == n:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            do()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def operations(do: Callable[[], Any]) -> int:
    """How many file operations it takes, found by killing ever later."""
    low, high = 1, 2
    while killed_at(high, do):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if killed_at(middle, do) else (low, middle)
    return low


def test_killed_at_any_moment_there_is_the_old_file_or_the_new(town: Registry, target: Path, passphrase: bytes) -> None:
    old = taken(town, target, passphrase)
    town.award(awarding(person(5)), officer=CLERK)
    town.close()
    before = target.read_bytes()

    def again() -> None:
        back_up(town.folder, target, passphrase, now=BEGIN, replace=True)

    total = operations(again)
    found = []
    for n in sorted({*range(total - 8, total + 1), *range(1, total, max(1, total // KILLS))}):
        target.write_bytes(before)
        assert killed_at(n, again)
        found.append(read_archive(target).head)
    assert (found[0], found[-1], set(found)) == (old.head, old.head + 2, {old.head, old.head + 2})
    again()
    assert read_archive(target).head == old.head + 2
