"""Point-in-time recovery as docs/recovery.md tells it: an archive, a mistake, and the moment before it."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg
import pytest

from registry.audit import verify_live
from registry.errors import LogFrozen, Refused, Unavailable
from registry.folder import Folder
from registry.holders.holder import ErasureBasis
from registry.service import Registry
from registry.terms import Status
from registry.titles.state import Certificate
from tests import engine
from tests.check_log import check_log
from tests.conftest import CONFIG
from tests.people import CHIEF, CITY, CLERK, Clock, awarding, found, person
from tests.registry.test_restore import Office

pytestmark = pytest.mark.sqlite_file  # each has both engines in it: once is enough
PAGE = (Path(__file__).parents[2] / "docs" / "recovery.md").read_text()
ARCHIVE = "/srv/wal"


def setting(name: str, folder: Path) -> str:
    """A setting as the page has it, with another folder for the archive."""
    [value] = re.findall(rf"^    {name} = (.*)$", PAGE, re.MULTILINE)
    return str(value).strip("'").replace(ARCHIVE, str(folder))


class Story(NamedTuple):
    """A registry whose tables were dropped: its office, its server, what there was, and the moments in between."""

    office: Office
    server: engine.Server
    rows: dict[str, list[tuple[Any, ...]]]
    early: Path
    revoked: Certificate
    erased: str
    before_signed: str
    before_mistake: str

    def recovered(self, **target: str) -> None:
        """Put the base backup in the place of the data, and go forward to the target."""
        server, base = self.server, self.server.folder / "base"
        server.stop()
        shutil.rmtree(server.data)
        shutil.copytree(base, server.data)
        (server.data / "recovery.signal").touch()
        if Path("/proc/self").owner() == "root":
            for path in (server.data, *server.data.rglob("*")):
                shutil.chown(path, "postgres")
        targets = {f"recovery_target_{name}": value for name, value in target.items()}
        restore = {"restore_command": setting("restore_command", server.folder / "wal")}
        action = {"recovery_target_action": setting("recovery_target_action", server.folder)}
        server.settings = {name: value for name, value in server.settings.items() if not name.startswith("recovery_")}
        server.settings |= restore | action | targets | {"archive_mode": "off"}
        server.start()
        with psycopg.connect(server.url()) as c:
            while c.execute("SELECT pg_is_in_recovery()").fetchone() != (False,):
                time.sleep(0.02)
                c.rollback()


def asked(url: str, statement: str) -> Any:
    with psycopg.connect(url, autocommit=True) as c:
        [(value,)] = c.execute(statement.encode()).fetchall()
    return value


def rows_of(registry: Registry) -> dict[str, list[tuple[Any, ...]]]:
    return {table: engine.rows(registry, table) for table in ("stored_events", "claims", "data_keys")}


def archived(server: engine.Server) -> None:
    """Wait until what was written so far is in the archive."""
    segment = asked(server.url(), "SELECT pg_walfile_name(pg_switch_wal())")
    while not (server.folder / "wal" / segment).exists():
        time.sleep(0.02)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, passphrase: bytes) -> Iterator[Story]:
    server = engine.Server(fsync="off", autovacuum="off")
    (server.folder / "wal").mkdir()
    shutil.chown(server.folder / "wal", server.data.owner())
    archiving = {name: setting(name, server.folder / "wal") for name in ("archive_mode", "archive_command")}
    server.stop()
    server.settings |= archiving
    server.start()
    yield lived(Office(tmp_path_factory.mktemp("pitr") / "data", passphrase, Clock()), server)
    server.remove()


def lived(office: Office, server: engine.Server) -> Story:
    url = server.url("titles")
    registry = Registry.create(
        office.data, office.passphrase, msgspec.structs.replace(CONFIG, database=url), office.clock
    )
    found(registry)
    registry.close()
    first = office.issues(1)
    holder = office.does(lambda one: one.title(one.award(awarding(person(2)), officer=CLERK)).holder)
    server._run(
        "pg_basebackup",
        "--checkpoint=fast",
        f"--pgdata={server.folder}/base",
        "-h",
        str(server.folder),
        "-U",
        "postgres",
    )
    server._run("pg_verifybackup", f"{server.folder}/base")
    early = office.backs_up("early.tar")
    office.issues(3)  # in the log only, and in no signed checkpoint after the base backup
    before_signed = asked(url, "SELECT pg_current_wal_insert_lsn()::text")
    office.revokes(first)
    office.does(lambda one: erase(one, holder))
    rows = office.does(rows_of)
    before_mistake = asked(url, "SELECT clock_timestamp()::text")
    with psycopg.connect(url) as c:
        c.execute("DROP SCHEMA titles CASCADE")
    archived(server)
    return Story(office, server, rows, early, first, holder, before_signed, before_mistake)


def erase(registry: Registry, holder: str) -> None:
    one = registry.erasing.propose(holder, ErasureBasis.REQUEST, "丽人社删〔2026〕1号", CITY, officer=CLERK)
    registry.erasing.approve(one.fact.proposal, one.fact.digest, officer=CHIEF)
    registry.tlog.sequence()


@pytest.fixture
def again(story: Story, tmp_path: Path) -> Story:
    """The same with a data folder of its own, since each test goes on in another way."""
    for name in ("data", "data.checkpoints"):
        shutil.copytree(story.office.data.with_name(name), tmp_path / name)
    return story._replace(office=Office(tmp_path / "data", story.office.passphrase, Clock(story.office.clock.now)))


def test_the_moment_before_the_mistake_brings_everything_back(again: Story) -> None:
    again.recovered(time=again.before_mistake)
    office = again.office
    assert office.does(rows_of) == again.rows
    assert office.answers(again.revoked) == (200, Status.REVOKED)
    assert again.erased not in dict(office.does(rows_of)["data_keys"])
    assert office.answers(office.issues(4)) == (200, Status.VALID)  # it goes on
    assert office.does(lambda registry: verify_live(registry).ok)
    office.does(check_log)


def test_to_the_end_the_mistake_is_there_too(again: Story) -> None:
    again.recovered()
    with pytest.raises(LogFrozen):
        again.office.does(lambda registry: registry.award(awarding(person(5)), officer=CLERK))


def test_too_early_it_answers_nothing_until_a_later_moment_is_recovered(again: Story) -> None:
    """The third award is there, the revocation and the erasure are not; and that is what nobody is told."""
    again.recovered(lsn=again.before_signed)
    office = again.office
    stored = engine.asked(Folder(office.data), "SELECT * FROM stored_events ORDER BY 1")
    assert stored == again.rows["stored_events"][: len(stored)]
    names = [row[3] for row in again.rows["stored_events"][len(stored) :]]
    assert {"title-revoked/1", "holder-erased/1"} < set(names)
    assert [row[3] for row in stored].count("title-awarded/1") == 3
    assert office.answers(again.revoked) == (503, Status.UNAVAILABLE)
    for work in (
        lambda registry: registry.award(awarding(person(5)), officer=CLERK),
        lambda registry: registry.certificate(again.revoked.code),
        lambda registry: registry.tlog.sequence(),
    ):
        with pytest.raises(LogFrozen, match=f"这里只有 {len(stored)} 个"):
            office.does(work)
    assert "旧副本" in office.does(lambda registry: registry.continuity.examine())
    assert engine.asked(Folder(office.data), "SELECT * FROM stored_events ORDER BY 1") == stored
    again.recovered(time=again.before_mistake)
    assert office.answers(again.revoked) == (200, Status.REVOKED)
    office.does(check_log)


def test_what_is_lost_for_ever_an_operator_gives_up_for_all_to_see(again: Story) -> None:
    again.recovered(lsn=again.before_signed)
    office = again.office
    keys = dict(engine.asked(Folder(office.data), "SELECT * FROM data_keys"))
    assert again.erased in keys  # why archives are kept no longer than backups
    signed = office.does(lambda registry: registry.tlog.last())
    office.does(lambda registry: registry.tlog.succeed("服务器全部损毁，存档缺失"))
    office.revokes(again.revoked)  # what the papers say was decided is entered anew
    office.does(lambda registry: erase(registry, again.erased))
    assert office.answers(again.revoked) == (200, Status.REVOKED)
    assert office.does(lambda registry: registry.tlog.origin).endswith("/2")
    assert office.does(lambda registry: registry.tlog.earlier(1).last()) == signed  # the old one stays as it is
    assert str(signed.size).encode() in office.does(lambda registry: registry.tlog.predecessor)
    office.does(check_log)


def test_a_server_that_is_down_is_no_answer(again: Story) -> None:
    again.recovered(time=again.before_mistake)
    again.server.stop()
    with pytest.raises(Unavailable):
        again.office.does(lambda registry: registry.log.head())
    again.server.start()
    assert again.office.answers(again.revoked) == (200, Status.REVOKED)


def test_a_data_folder_that_is_lost_beside_a_database_that_is_not(again: Story) -> None:
    """An older backup has the keys; the database has the log; the second store has what was signed last."""
    again.recovered(time=again.before_mistake)
    office, url = again.office, Folder(again.office.data).read_config().database
    [second] = office.data.with_name("data.checkpoints").iterdir()
    shutil.rmtree(office.data)
    with pytest.raises(Refused, match="不是空的"):
        office.restores(again.early, database=url)
    assert office.restores(again.early, database="").frozen is not None
    for line in re.findall(r"^    (rm DATA.*|\(cat SECOND.*|cp SECOND.*)$", PAGE, re.MULTILINE):
        command = line.replace("SECOND", f"'{second}'").replace("DATA", f"'{office.data}'")
        subprocess.run(["sh", "-c", command], check=True)
    config = msgspec.structs.replace(Folder(office.data).read_config(), database=url)
    (office.data / "config.json").write_bytes(msgspec.json.encode(config))
    office.does(lambda registry: registry.tlog.rebuild())
    assert office.does(rows_of) == again.rows
    assert office.answers(again.revoked) == (200, Status.REVOKED)
    assert office.answers(office.issues(6)) == (200, Status.VALID)
    assert office.does(lambda registry: verify_live(registry).ok)
    office.does(check_log)
