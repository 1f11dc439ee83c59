"""A restored copy is the present, or it says that it is the past and answers nothing; a bad file changes nothing."""

import asyncio
import hashlib
import io
import json
import multiprocessing
import shutil
import tarfile
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.app import create_app
from keys.custody import Custody
from keys.errors import KeysError
from registry.audit import verify_live
from registry.backup import Restored, back_up, read_archive, restore
from registry.errors import BadInput, LogFrozen, Refused, Unavailable
from registry.folder import Config, Folder
from registry.service import Registry
from registry.terms import Status
from registry.titles.events import DecisionKind
from registry.titles.state import Certificate
from tests import engine
from tests.audit_life import bytes_of
from tests.check_log import check_log
from tests.conftest import CONFIG
from tests.people import BEGIN, CLERK, Clock, awarding, decided, deciding, person, settable
from tests.people import found as found_town
from tests.registry.test_backup import contents, killed_at, operations

KILLS = 12
STEP = 1 if engine.ENGINE == "sqlite" else 4  # a server takes more of them


class Office:
    """A registry that is opened anew for every look, as a service is that is stopped and started."""

    def __init__(self, data: Path, passphrase: bytes, clock: Clock) -> None:
        self.data, self.passphrase, self.clock = data, passphrase, clock

    def does(self, work: Callable[[Registry], Any]) -> Any:
        registry = Registry.open(self.data, self.passphrase, self.clock)
        try:
            return work(registry)
        finally:
            registry.close()

    def issues(self, n: int) -> Certificate:
        def work(registry: Registry) -> Certificate:
            return registry.issue(registry.award(awarding(person(n)), officer=CLERK), settable, officer=CLERK)

        return self.does(work)

    def revokes(self, certificate: Certificate) -> None:
        def work(registry: Registry) -> None:
            decided(registry, registry.certificate(certificate.code)[0].id, deciding(DecisionKind.REVOCATION))
            registry.tlog.sequence()

        self.does(work)

    def backs_up(self, name: str) -> Path:
        target = self.data.parent / name
        back_up(Folder(self.data), target, self.passphrase, now=self.clock())
        return target

    def restores(self, archive: Path, **more: Any) -> Restored:
        """Into the engine of this test run: its own file, or a new schema."""
        more = {"database": engine.place()} | more
        return restore(archive, self.data, self.passphrase, now=self.clock(), **more)

    def answers(self, certificate: Certificate) -> tuple[int, str]:
        """Status and verdict of the service that a scanner asks."""

        async def ask(registry: Registry) -> tuple[int, str]:
            transport = httpx.ASGITransport(create_app(registry))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                answer = await client.get(f"/api/v1/verifications/{certificate.code}")
                page = await client.get(f"/v/{certificate.code}", headers={"accept": "text/html"})
            assert page.status_code == answer.status_code
            return answer.status_code, answer.json().get("status") or ""

        return self.does(lambda registry: asyncio.run(ask(registry)))

    @property
    def database(self) -> str:
        return Folder(self.data).read_config().database

    def head(self) -> int:
        return int(self.does(lambda registry: registry.log.head()))


@pytest.fixture
def office(made: tuple[Path, Custody], tmp_path: Path, passphrase: bytes, clock: Clock) -> Office:
    (tmp_path / "place").mkdir()
    engine.copy(made[0], tmp_path / "place" / "data")
    return Office(tmp_path / "place" / "data", passphrase, clock)


def stored(data: Path) -> list[list[tuple[Any, ...]]]:
    """Every row of the log of a data folder, by a connection of our own."""
    asked = (
        "topic, state FROM stored_events ORDER BY 1, 2",
        "* FROM claims ORDER BY 1, 2",
        "* FROM data_keys ORDER BY 1",
    )
    return [engine.asked(Folder(data), f"SELECT {one}") for one in asked]


class Days(Office):
    """Day 1: two certificates, a backup. Day 2: a third one, and the first is revoked; a second backup."""

    def __init__(self, office: Office) -> None:
        super().__init__(office.data, office.passphrase, office.clock)
        self.first, self.second = self.issues(1), self.issues(2)
        self.yesterday = self.backs_up("day-1.tar")
        self.hand_copy = engine.copy(self.data, self.data.with_name("by-hand"))
        self.clock.forward(days=1)
        self.third = self.issues(3)
        self.revokes(self.first)
        self.today = self.backs_up("day-2.tar")


@pytest.fixture
def days(office: Office) -> Days:
    return Days(office)


# the story


def test_yesterdays_copy_answers_nothing_and_todays_heals_it(days: Days) -> None:
    assert days.answers(days.first) == (200, Status.REVOKED)
    today = stored(days.data)
    signed = days.does(lambda registry: registry.tlog.checkpoint())

    done = days.restores(days.yesterday)
    assert done.outside is not None
    assert done.frozen is not None
    assert (done.outside.checkpoint, done.manifest.head < signed.size) == (signed, True)
    assert str(signed.size) in done.frozen.message
    assert done.frozen.fix
    assert done.kept is not None
    assert stored(done.kept) == today
    for certificate in (days.first, days.second, days.third):
        assert days.answers(certificate) == (503, Status.UNAVAILABLE)
    for work in (
        lambda registry: registry.award(awarding(person(9)), officer=CLERK),
        lambda registry: registry.certificate(days.second.code),
        lambda registry: registry.tlog.sequence(),
        lambda registry: registry.propose("title-x", deciding(DecisionKind.REVOCATION), officer=CLERK),
    ):
        with pytest.raises(LogFrozen):
            days.does(work)
    assert days.head() == done.manifest.head  # nothing was written
    assert read_archive(days.backs_up("frozen.tar")).head == done.manifest.head  # even this can be kept

    healed = days.restores(days.today)
    assert (healed.frozen, healed.kept is not None) == (None, True)
    assert days.answers(days.first) == (200, Status.REVOKED)
    assert days.answers(days.third) == (200, Status.VALID)
    fourth = days.issues(4)
    assert days.answers(fourth) == (200, Status.VALID)
    days.does(check_log)
    assert days.does(lambda registry: verify_live(registry).ok)


def test_a_folder_put_back_by_hand_is_noticed_as_well(days: Days) -> None:
    kept = days.data.rename(days.data.with_name("kept"))
    shutil.copytree(days.hand_copy, days.data)
    assert days.answers(days.first) == (503, Status.UNAVAILABLE)
    with pytest.raises(LogFrozen):
        days.issues(9)
    shutil.rmtree(days.data)
    kept.rename(days.data)
    assert days.answers(days.first) == (200, Status.REVOKED)


def test_a_copy_that_holds_the_events_of_a_later_checkpoint_goes_on(office: Office) -> None:
    """The backup had read the checkpoints; then one was signed over events that it holds. It is no old copy."""
    office.issues(1)
    office.does(lambda registry: registry.award(awarding(person(2)), officer=CLERK))
    archive = office.backs_up("early.tar")
    signed = office.does(lambda registry: registry.tlog.sequence())
    done = office.restores(archive)
    assert (done.frozen, done.manifest.checkpoint < signed.size) == (None, True)
    assert office.does(lambda registry: registry.tlog.checkpoint()) == signed
    office.issues(3)
    assert office.does(lambda registry: verify_live(registry).ok)
    office.does(check_log)


def test_on_a_new_machine(days: Days, tmp_path: Path) -> None:
    """Without the second store nobody can tell; with it, in a folder of its own, the old copy is known."""
    there = Office(tmp_path / "elsewhere" / "data", days.passphrase, days.clock)
    there.data.parent.mkdir()
    done = there.restores(days.today)
    assert (done.outside, done.frozen, done.kept) == (None, None, None)
    assert there.answers(days.first) == (200, Status.REVOKED)
    assert there.data.stat().st_mode & 0o777 == 0o700
    there.does(lambda registry: registry.register.rebuild())
    there.does(check_log)
    other = Office(tmp_path / "third" / "data", days.passphrase, days.clock)
    other.data.mkdir(parents=True)  # empty: as a package made it
    done = other.restores(days.yesterday, checkpoints=days.data.with_name("data.checkpoints"))
    assert (done.frozen is None, done.kept) == (False, None)


def test_a_dry_run_tells_all_and_changes_nothing(days: Days) -> None:
    before = contents(days.data.parent)
    done = days.restores(days.yesterday, dry_run=True)
    assert (done.frozen is None, done.kept) == (False, None)
    assert days.restores(days.today, dry_run=True).frozen is None
    assert contents(days.data.parent) == before


def test_a_fork_is_named(days: Days) -> None:
    """Two stories from one day: the folder that was put back by hand, without its second store, and went on."""
    other = Office(days.hand_copy, days.passphrase, days.clock)
    for n in (31, 32, 33):
        other.issues(n)
    fork = other.backs_up("fork.tar")
    done = days.restores(fork)
    assert done.frozen is not None
    assert "分叉" in done.frozen.message
    assert days.answers(days.second) == (503, Status.UNAVAILABLE)


def test_the_passphrase_of_a_sample_stays_with_it(days: Days) -> None:
    (days.data / "passphrase").write_bytes(days.passphrase)
    days.restores(days.today)
    assert (days.data / "passphrase").read_bytes() == days.passphrase
    assert (days.data / "passphrase").stat().st_mode & 0o777 == 0o600


# from either engine into either


def test_an_archive_of_either_engine_restores_into_either(days: Days) -> None:
    rows, addresses = stored(days.data), (engine.postgres_url(), "", engine.postgres_url(), engine.postgres_url(), "")
    was = days.database
    for n, to in enumerate(addresses):
        archive = days.backs_up(f"{n}.tar")
        assert read_archive(archive).database == was
        done = days.restores(archive, database=to)
        assert (done.frozen, days.database, stored(days.data)) == (None, to, rows)
        assert (days.data / "registry.db").exists() == (to == "")
        assert days.answers(days.first) == (200, Status.REVOKED)
        assert days.answers(days.third) == (200, Status.VALID)
        was = to
    days.does(check_log)
    days.issues(9)


def test_yesterdays_copy_in_a_server_answers_nothing_either(days: Days) -> None:
    done = days.restores(days.yesterday, database=engine.postgres_url())
    assert done.frozen is not None
    assert days.answers(days.first) == (503, Status.UNAVAILABLE)


def test_a_second_run_finds_what_the_first_had_copied(days: Days) -> None:
    """Killed between the commit in the server and the exchange of the folders: the folder is the old one."""
    url, old = engine.postgres_url(), days.data.with_name("old")
    days.data.rename(old)
    days.restores(days.today, database=url)
    shutil.rmtree(days.data)
    old.rename(days.data)
    assert days.restores(days.today, database=url).frozen is None
    days.does(check_log)


def test_a_store_that_is_not_empty_is_refused(days: Days) -> None:
    url = engine.postgres_url()
    days.restores(days.today, database=url)
    days.issues(7)
    before, rows = contents(days.data), stored(days.data)
    for archive in (days.today, days.yesterday):  # it is in force, and newer
        with pytest.raises(Refused, match="不是空的"):
            days.restores(archive, database=url)
    assert (contents(days.data), stored(days.data), days.database) == (before, rows, url)
    days.issues(8)


def test_a_server_that_is_gone_keeps_nobody_from_restoring(days: Days, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="连接不上"):
        days.restores(days.today, database=f"postgresql:///titles?host={tmp_path}")
    settings_ = json.loads((days.data / "config.json").read_text())
    (days.data / "config.json").write_text(
        json.dumps(settings_ | {"database": f"postgresql:///titles?host={tmp_path}"})
    )
    assert days.restores(days.today, database="").frozen is None
    assert days.answers(days.third) == (200, Status.VALID)


def test_a_dry_run_into_a_server_makes_nothing_there(days: Days) -> None:
    url, before = engine.postgres_url(), contents(days.data)
    assert days.restores(days.today, database=url, dry_run=True).kept is None
    assert contents(days.data) == before
    with psycopg.connect(url) as c:
        assert c.execute("SELECT to_regclass('stored_events')").fetchone() == (None,)


# refusals


@pytest.fixture(scope="module")
def archive(made: tuple[Path, Custody], tmp_path_factory: pytest.TempPathFactory, passphrase: bytes) -> Path:
    """A small backup, for damage."""
    target = tmp_path_factory.mktemp("archive") / "b.tar"
    back_up(Folder(made[0]), target, passphrase, now=BEGIN)
    return target


def rebuilt(archive: Path, to: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    """The archive with other members, written anew."""
    with tarfile.open(archive) as tar:
        members = [(one, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]
    change(members)
    with tarfile.open(to, "w", format=tarfile.PAX_FORMAT) as tar:
        for header, data in members:
            tar.addfile(header, io.BytesIO(data))
    return to


def header(name: str, size: int = 0, **fields: Any) -> tarfile.TarInfo:
    one = tarfile.TarInfo(name)
    one.size = size
    for field, value in fields.items():
        setattr(one, field, value)
    return one


def described(members: list[tuple[tarfile.TarInfo, bytes]], **otherwise: Any) -> None:
    """Another manifest, with the digest that goes with it."""
    data = json.dumps(json.loads(members[-2][1]) | otherwise).encode()
    digest = f"{hashlib.sha256(data).hexdigest()}  manifest.json\n".encode()
    members[-2:] = [(header("manifest.json", len(data)), data), (header("manifest.sha256", len(digest)), digest)]


HOLES = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(10**12)}  # a terabyte of nothing
LINK, HARD, FOLDER, DEVICE, SPARSE = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, b"S"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.insert(0, (header("/etc/passwd"), b"")), "/etc/passwd"),
        (lambda m: m.insert(0, (header("../outside"), b"")), "../outside"),
        (lambda m: m.insert(0, (header("keys/../../outside"), b"")), "outside"),
        (lambda m: m.insert(0, (header("keys/a", type=LINK, linkname="/etc/passwd"), b"")), "keys/a"),
        (lambda m: m.insert(0, (header("keys/a", type=HARD, linkname="/etc/passwd"), b"")), "keys/a"),
        (lambda m: m.insert(0, (header("evidence", type=LINK, linkname="/tmp"), b"")), "evidence"),
        (lambda m: m.insert(0, (header("keys", type=FOLDER), b"")), "keys"),
        (lambda m: m.insert(0, (header("keys/a", type=DEVICE), b"")), "keys/a"),
        (lambda m: m.insert(0, (header("keys/a", 512, type=SPARSE), bytes(512))), ""),
        (
            lambda m: m.insert(0, (header("keys/a", 512, pax_headers=HOLES), b"1\n0\n0\n".ljust(512, b"\0"))),
            "不该有的成员",
        ),
        (lambda m: m.insert(0, (header("passphrase", 2), b"pp")), "passphrase"),
        (lambda m: m.insert(0, (header("keys/extra", 2), b"pp")), "keys/extra"),
        (lambda m: m.insert(0, m[0]), "config.json"),
        (lambda m: m.append((header("keys/late"), b"")), "keys/late"),
        (lambda m: m.append(m[-1]), "manifest.sha256"),
        (lambda m: m.append(m[-2]), "manifest.json"),
        (lambda m: m.reverse(), "manifest.json"),
        (lambda m: m.pop(), "清单"),
        (lambda m: m.pop(0), "缺少"),
        (lambda m: m.clear(), "清单"),
        (lambda m: m.__setitem__(0, (m[0][0], m[0][1][:-1] + b"!")), "与清单不符"),
        (lambda m: m.__setitem__(-2, (header("manifest.json", 2), b"{}")), "清单"),
        (lambda m: described(m, schema="another-program/1"), "another-program/1"),
        (lambda m: described(m, files=[]), "与清单不符"),
        (lambda m: described(m, head="many"), "清单"),
        (lambda m: described(m, head=1_000_000), "清单与其中的内容不符"),
        (lambda m: described(m, registry="00" * 32), "清单与其中的内容不符"),
    ],
)
def test_an_archive_that_is_not_of_our_one_form(
    office: Office, archive: Path, tmp_path: Path, change: Callable[[Any], None], says: str
) -> None:
    shutil.rmtree(office.data / "keys")  # so that it does not matter whose backup it says it is
    bad, before = rebuilt(archive, tmp_path / "bad.tar", change), contents(office.data.parent)
    with pytest.raises(BadInput) as refused:
        office.restores(bad)
    assert says in refused.value.message
    assert refused.value.fix
    assert contents(office.data.parent) == before
    assert [path.name for path in office.data.parent.iterdir()] == ["data"]


def test_files_that_are_no_whole_backup(office: Office, archive: Path, tmp_path: Path) -> None:
    import gzip

    data, bad, before = archive.read_bytes(), tmp_path / "bad.tar", contents(office.data.parent)
    end = data.rindex(b"manifest.sha256")
    cut = [0, 1, 511, 512, 4096, len(data) // 2, end - 1, end, end + 550]
    for wrong in (*(data[:at] for at in cut), gzip.compress(data), b"x" * 10_000, bytes(20_480), archive.name.encode()):
        bad.write_bytes(wrong)
        with pytest.raises(BadInput):
            office.restores(bad)
    for wrong_path in (tmp_path / "none.tar", tmp_path):
        with pytest.raises(OSError, match=str(wrong_path)):
            office.restores(wrong_path)
    assert contents(office.data.parent) == before


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_changed_bit_gets_in(archive: Path, tmp_path: Path, place: float, bit: int) -> None:
    """It is found, or it stood where nothing is read: a time, an owner, the padding of a tar."""
    data, bad, into = bytearray(archive.read_bytes()), tmp_path / "bad.tar", tmp_path / "into"
    data[int(place * len(data))] ^= 1 << bit
    bad.write_bytes(data)
    into.mkdir()
    try:
        assert read_archive(bad, into) == read_archive(archive)
    except BadInput:
        return
    finally:
        found = contents(into)
        shutil.rmtree(into)
    with tarfile.open(archive) as tar:
        assert found == {one.name: tar.extractfile(one).read() for one in tar if not one.name.startswith("manifest.")}  # type: ignore[union-attr]


def test_what_does_not_fit_is_refused_and_nothing_changes(days: Days, tmp_path: Path) -> None:
    before = contents(days.data.parent)
    with pytest.raises(KeysError, match="口令"):
        restore(days.today, days.data, b"another", now=BEGIN)
    other = Registry.create(tmp_path / "other", b"pp", Config(base_url="https://a.example.cn"), days.clock)
    other.close()
    there = contents(tmp_path / "other")
    with pytest.raises(Refused, match="另一个登记库"):
        restore(days.today, tmp_path / "other", days.passphrase, now=BEGIN)
    with pytest.raises(Refused, match="挂载点"):
        restore(days.today, Path("/proc"), days.passphrase, now=BEGIN)
    with pytest.raises(Refused, match="不存在"):
        restore(days.today, tmp_path / "no" / "data", days.passphrase, now=BEGIN)
    with pytest.raises(Refused, match="不是文件夹"):
        restore(days.today, days.today, days.passphrase, now=BEGIN)
    assert (contents(days.data.parent), contents(tmp_path / "other")) == (before, there)


def hold(path: Path, passphrase: bytes, to: Connection) -> None:
    """Have a registry open, as an idle service has, until told to go."""
    registry = Registry.open(path, passphrase)
    to.send("open")
    to.recv()
    registry.close()


def test_it_is_refused_while_a_process_has_the_registry_open(days: Days) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(days.data, days.passphrase, theirs), daemon=True)
    process.start()
    assert ours.recv() == "open"
    before = contents(days.data)
    with pytest.raises(Refused, match="正在使用"):
        days.restores(days.today)
    with pytest.raises(Refused, match="正在使用"):
        days.restores(days.today, dry_run=True)
    assert contents(days.data) == before
    ours.send("go")
    process.join(60)
    assert days.restores(days.today).frozen is None


def test_a_registry_that_is_damaged_is_replaced_and_kept(days: Days) -> None:
    (days.data / "registry.db").write_bytes(b"lost")
    (days.data / "keys" / "secrets.bin").unlink()
    done = days.restores(days.today)
    assert done.kept is not None
    assert (done.kept / "registry.db").read_bytes() == b"lost"
    assert days.answers(days.third) == (200, Status.VALID)


# kill -9


def test_killed_at_any_moment_there_is_the_old_folder_or_the_new(days: Days) -> None:
    days.does(lambda registry: registry.award(awarding(person(8)), officer=CLERK))
    old, new, place = days.head(), read_archive(days.today).head, days.data.parent
    saved, rows = contents(days.data), stored(days.data)
    lasting = [name for name in saved if name.startswith(("keys/", "log/checkpoint"))]
    database = engine.place()  # made here: a process that is killed must start no server
    total, found = operations(lambda: days.restores(days.today, database=database, dry_run=True)), []

    def killed(n: int) -> bool:
        days.clock.now += timedelta(seconds=1)
        to = engine.place()
        return killed_at(n, lambda: days.restores(days.today, database=to))

    n = 1
    for n in (*range(1, total - 4, max(1, total // KILLS)), *range(total - 4, total + 60, STEP)):
        if not killed(n):
            break
        head = days.head()
        found.append(head)
        if head == old:
            assert {name: contents(days.data)[name] for name in lasting} == {name: saved[name] for name in lasting}
            assert stored(days.data) == rows
            continue
        days.does(check_log)
        kept = max(place.glob("data.before-restore-*"))  # the last one by its name
        assert stored(kept) == rows
        shutil.rmtree(days.data)
        kept.rename(days.data)
    assert n > total
    assert set(found) == {old, new}


def test_a_log_that_follows_another_comes_back_with_it(tmp_path: Path, passphrase: bytes, clock: Clock) -> None:
    """Both logs are in the backup, and what was signed last by the second one is what a copy must reach."""
    registry = Registry.create(tmp_path / "data", passphrase, CONFIG, clock)
    found_town(registry)
    registry.award(awarding(person(1)), officer=CLERK)
    registry.tlog.sequence()
    registry.tlog.outside.write_bytes(b"damaged")
    registry.tlog.succeed("第二存储损坏")
    registry.close()
    office = Office(tmp_path / "data", passphrase, clock)
    office.does(lambda one: (one.award(awarding(person(2)), officer=CLERK), one.tlog.sequence()))
    before = {name: data for name, data in bytes_of(tmp_path / "data" / "log").items() if "tile" not in name}
    back_up(Folder(tmp_path / "data"), tmp_path / "early.tar", passphrase, now=BEGIN)
    assert restore(tmp_path / "early.tar", tmp_path / "data", passphrase, now=BEGIN).frozen is None
    found = bytes_of(tmp_path / "data" / "log")
    assert {name: found[name] for name in before if name != "2/.lock" and name != ".lock"} == {
        name: data for name, data in before.items() if not name.endswith(".lock")
    }
    assert office.does(lambda one: one.tlog.origin) == "zc.example.cn/log/2"
    office.does(check_log)
    office.does(lambda one: (one.award(awarding(person(3)), officer=CLERK), one.tlog.sequence()))
    assert restore(tmp_path / "early.tar", tmp_path / "data", passphrase, now=BEGIN).frozen is not None
    with pytest.raises(LogFrozen, match="旧副本"):
        office.does(lambda one: one.award(awarding(person(4)), officer=CLERK))
