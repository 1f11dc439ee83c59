"""The append-only log: all or nothing, never changed, sealed to its place, and clear when it cannot be written."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from keys.errors import SealBroken
from keys.vault import Vault
from registry.awarding import Awarding
from registry.errors import BadInput, CorruptHistory, NumberTaken, Refused, RegistryError, Unavailable, WrongState
from registry.folder import Config, Folder
from registry.holders.holder import HOLDERS, HolderRegistered, HolderRenamed
from registry.log import log as logs
from registry.log import sqlite as recorders
from registry.log import unit as units
from registry.log.changes import Changes
from registry.log.facts import Private
from registry.log.log import Log
from registry.log.sqlite import SCHEMA_VERSION, SqliteRecorder
from registry.paper.application import APPLICATIONS, refuse
from registry.service import Registry
from registry.titles import decisions
from registry.titles.events import DecisionKind
from registry.titles.state import TITLES
from tests import engine
from tests.check_log import check_log, stored_events
from tests.examples import EXAMPLES
from tests.people import CHIEF, CLERK, DOCUMENT, Clock, awarding, decided, deciding, paper_of_1998, person, scans


class Stopped(RuntimeError):
    """What a test throws to stop a body in the middle."""


@contextmanager
def opened(registry: Registry) -> Iterator[sqlite3.Connection]:
    """The file of the log in other hands: a connection that commits what it did."""
    with closing(sqlite3.connect(registry.folder.log)) as c:
        yield c
        c.commit()


def tables(registry: Registry) -> dict[str, list[Any]]:
    return {name: engine.rows(registry, name) for name in ("stored_events", "claims", "data_keys")}


def unavailable(step: Callable[[], object]) -> Unavailable:
    with pytest.raises(RegistryError) as caught:
        step()
    assert type(caught.value) is Unavailable, repr(caught.value)
    assert caught.value.fix
    return caught.value


# --- append-only


@pytest.mark.sqlite_file
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stored_events SET state='{}' WHERE rowid=1",
        "UPDATE stored_events SET topic='x'",
        "DELETE FROM stored_events WHERE rowid=1",
        "DELETE FROM stored_events",
    ],
)
def test_the_database_itself_refuses_changes(registry: Registry, statement: str) -> None:
    registry.award(awarding(person(1)), officer=CLERK)
    before = tables(registry)
    with closing(sqlite3.connect(registry.folder.log)) as c, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        c.execute(statement)
    assert tables(registry) == before
    check_log(registry)


@pytest.mark.sqlite_file
def test_replace_cannot_overwrite_an_event(registry: Registry) -> None:
    """REPLACE deletes rows without asking the DELETE trigger, unless recursive triggers are on."""
    registry.award(awarding(person(1)), officer=CLERK)
    before = tables(registry)
    row = before["stored_events"][-1][1:]
    again = "INSERT OR REPLACE INTO stored_events VALUES (?,?,?,?)"
    moved = "INSERT OR REPLACE INTO stored_events (rowid, originator_id, originator_version) VALUES (1,'x',1)"
    with closing(sqlite3.connect(registry.folder.log, isolation_level=None)) as c:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            c.execute(again, (*row[:3], b"{}"))
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            c.execute(moved)
    assert tables(registry) == before


def test_every_event_says_who_when_and_why(registry: Registry, clock: Clock) -> None:
    stream = registry.award(awarding(person(1)), officer=CLERK)
    award = registry.history(stream)[0]
    holder = registry.history(registry.title(stream).holder)[0]
    assert (award.actor, award.recorded_at, award.version) == (CLERK, clock.now, 1)
    assert award.command_id == holder.command_id
    assert holder.position < award.position == registry.log.head()
    assert registry.log.transact(lambda unit: unit.command_id, actor=CLERK, command_id="given") == "given"


# --- all or nothing


def test_what_the_body_raises_leaves_nothing(registry: Registry) -> None:
    before = tables(registry)

    def body(unit: Any) -> None:
        Awarding(unit).award(awarding(person(1)))
        raise Stopped

    with pytest.raises(Stopped):
        registry.log.transact(body, actor=CLERK)
    assert tables(registry) == before


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_long_import_is_the_same_as_a_short_one(
    new_registry: Callable[[], Registry], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Laid by in parts of any size: the same claims and numbers, and nothing of it before the end."""
    registry = new_registry()
    monkeypatch.setattr(units, "STAGE_EVENTS", size)
    heads = set()

    def body(unit: Any) -> list[str]:
        awards, streams = Awarding(unit), []
        for n in range(30):
            streams.append(awards.award(awarding(person(n % 20), specialty=f"专业{n // 20}"))[0])
            unit.flush_if_large()
            heads.add(registry.log.head())
            assert awards.award(awarding(person(n % 20), specialty=f"专业{n // 20}")) == (streams[-1], False)
        return streams

    streams = registry.log.transact(body, actor=CLERK)
    assert len(heads) == 1
    assert registry.log.head() == heads.pop() + 20 + 30
    assert [registry.title(each).award.number for each in streams] == [f"3311002021{n:06d}" for n in range(1, 31)]
    check_log(registry)
    registry.award(awarding(person(99)), officer=CLERK)
    check_log(registry)


@pytest.mark.parametrize("size", [1, 1000])
def test_a_staged_import_that_fails_leaves_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(units, "STAGE_EVENTS", size)
    registry.award(awarding(person(1), number="丽7"), officer=CLERK)
    before = tables(registry)

    def body(unit: Any) -> None:
        for n in range(2, 9):
            Awarding(unit).award(awarding(person(n), number="丽7" if n == 8 else f"丽{n}0"))
            unit.flush_if_large()

    with pytest.raises(NumberTaken):
        registry.log.transact(body, actor=CLERK)
    assert tables(registry) == before
    registry.log.transact(lambda unit: Awarding(unit).award(awarding(person(2))), actor=CLERK)
    check_log(registry)


@pytest.mark.parametrize("size", [1, 1000])
def test_a_dry_run_writes_nothing(registry: Registry, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(units, "STAGE_EVENTS", size)
    before = tables(registry)

    def body(unit: Any) -> str:
        stream, _ = Awarding(unit).award(awarding(person(1)))
        unit.flush_if_large()
        return stream

    assert registry.log.transact(body, actor=CLERK, dry_run=True).startswith("title-")
    assert tables(registry) == before
    registry.award(awarding(person(1)), officer=CLERK)
    check_log(registry)


def test_a_claim_released_and_taken_in_one_unit(registry: Registry) -> None:
    """One unit revokes a title and awards the same anew: the slot passes from one stream to the other."""
    first = registry.award(awarding(person(1)), officer=CLERK)
    open_ = registry.propose(first, deciding(DecisionKind.REVOCATION), officer=CLERK).fact

    def body(unit: Any) -> str:
        title = unit.state(TITLES, first)
        revoked = decisions.approve(title, open_.proposal, officer=CHIEF, digest=open_.digest, now=unit.now)
        unit.record(TITLES, first, revoked)
        stream: str = Awarding(unit).award(awarding(person(1), approval_document="丽人社〔2026〕3号"))[0]
        return stream

    second = registry.log.transact(body, actor=CHIEF)
    assert second != first
    check_log(registry)


def test_a_claim_taken_and_released_in_one_unit(registry: Registry) -> None:
    """One unit submits a paper and refuses it: nothing is left that would keep a second application out."""

    def body(unit: Any) -> None:
        stream = registry.conversion.submit(unit, paper_of_1998(person(1)), None, scans())
        unit.record(APPLICATIONS, stream, refuse(unit.state(APPLICATIONS, stream), "看不清", salt="salt"))

    registry.log.transact(body, actor=CLERK)
    check_log(registry)
    registry.submit_paper(paper_of_1998(person(1)), None, scans(), officer=CLERK)
    check_log(registry)


def test_nothing_to_record_is_nothing_written(registry: Registry) -> None:
    before = tables(registry)
    assert registry.log.transact(lambda unit: 7, actor=CLERK) == 7
    assert tables(registry) == before


# --- other writers


def test_redone_when_another_was_faster(registry: Registry, second: Registry) -> None:
    """Between reading and writing another process awards the very number: the body runs again and numbers anew."""
    runs = []

    def body(unit: Any) -> str:
        runs.append(1)
        stream: str = Awarding(unit).award(awarding(person(1)))[0]
        if len(runs) <= 2:
            second.award(awarding(person(1 + len(runs))), officer=CHIEF)
        return stream

    stream = registry.log.transact(body, actor=CLERK)
    assert len(runs) == 3
    assert registry.title(stream).award.number == "3311002021000003"
    check_log(registry)


def test_redone_when_the_stream_has_moved_on(registry: Registry, second: Registry) -> None:
    """Another officer proposes on the same title between reading and writing: both proposals stand, in order."""
    title = registry.award(awarding(person(1)), officer=CLERK)
    runs = []

    def body(unit: Any) -> None:
        state = unit.state(TITLES, title)
        runs.append(unit.version(title))
        if len(runs) == 1:
            second.propose(title, deciding(DecisionKind.SUSPENSION), officer=CHIEF)
        about: Any = {"officer": CLERK, "proposal": f"{title}.{runs[-1] + 1}", "salt": "salt", "now": unit.now}
        unit.record(TITLES, title, decisions.propose(deciding(DecisionKind.REVOCATION), state, **about))

    registry.log.transact(body, actor=CLERK)
    assert runs == [1, 2]
    assert [one.proposed_by for one in registry.title(title).proposals] == [CHIEF, CLERK]
    check_log(registry)


def test_a_writer_who_is_always_late_gives_up(registry: Registry, second: Registry) -> None:
    runs = []

    def body(unit: Any) -> None:
        runs.append(1)
        Awarding(unit).award(awarding(person(0)))
        second.award(awarding(person(len(runs))), officer=CHIEF)

    unavailable(lambda: registry.log.transact(body, actor=CLERK))
    assert len(runs) == logs.ATTEMPTS
    assert registry.holder_of(person(0).identity) is None
    check_log(registry)


@pytest.mark.sqlite_file
def test_a_store_that_another_keeps_locked(registry: Registry, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    title = registry.award(awarding(person(1)), officer=CLERK)
    monkeypatch.setattr(recorders, "BUSY_SECONDS", 0.02)
    waiting = Registry(Folder(registry.folder.path), registry.custody, clock)
    before = tables(registry)
    with closing(sqlite3.connect(registry.folder.log, isolation_level=None)) as c:
        c.execute("BEGIN IMMEDIATE")
        unavailable(lambda: waiting.award(awarding(person(2)), officer=CLERK))
        unavailable(lambda: waiting.propose(title, deciding(DecisionKind.REVOCATION), officer=CLERK))
        assert waiting.title(title).award.approval_document == DOCUMENT  # reading goes on
        c.execute("ROLLBACK")
    assert tables(registry) == before
    waiting.award(awarding(person(2)), officer=CLERK)
    check_log(registry)
    waiting.close()


def test_threads_have_connections_of_their_own(registry: Registry) -> None:
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for n in range(first, first + 10):
                registry.award(awarding(person(n)), officer=CLERK)
        except BaseException as error:  # noqa: BLE001 - shown in the test's thread
            failures.append(error)
        finally:
            registry.close()

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 10, 20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failures
    assert len([one for one in stored_events(registry) if one.name == "title-awarded/1"]) == 30
    check_log(registry)


def test_a_snapshot_stands_still(registry: Registry, second: Registry) -> None:
    with registry.log.snapshot():
        head = registry.log.head()
        second.award(awarding(person(1)), officer=CLERK)
        assert registry.log.head() == head
        assert registry.holder_of(person(1).identity) is None
        with registry.log.snapshot():
            assert registry.log.head() == head
    assert registry.log.head() > head


# --- sealed to its place


@pytest.mark.sqlite_file
def test_swapped_boxes_are_found(registry: Registry) -> None:
    """Two names of one person change places: right key, right bytes, wrong place."""
    title = registry.award(awarding(person(1)), officer=CLERK)
    holder = registry.title(title).holder
    for name in ("林小莉", "林小丽"):
        about: Any = {"basis": "change", "document_no": "1", "effective_on": registry.today, "officer": CLERK}
        registry.rename_holder(holder, name, **about)
    with opened(registry) as c:
        c.execute("DROP TRIGGER stored_events_no_update")
        rows = c.execute(
            "SELECT originator_version, state FROM stored_events WHERE originator_id=? AND originator_version>1"
            " ORDER BY 1", (holder,)
        ).fetchall()  # fmt: skip
        for (version, _), (_, state) in zip(rows, reversed(rows), strict=True):
            c.execute(
                "UPDATE stored_events SET state=? WHERE originator_id=? AND originator_version=?",
                (state, holder, version),
            )
    with pytest.raises(CorruptHistory) as caught:
        registry.holder(holder)
    assert f"{holder} version 2" in caught.value.message
    assert registry.log.load(HOLDERS, holder, sealed=True) is not None


@pytest.mark.sqlite_file
def test_a_box_of_another_stream_is_found(registry: Registry) -> None:
    """The whole event of one title, put under another title of the same holder."""
    one = registry.award(awarding(person(1), employer="丽水建工"), officer=CLERK)
    two = registry.award(awarding(person(1), specialty="给水排水", employer="青田水务"), officer=CLERK)
    with opened(registry) as c:
        c.execute("DROP TRIGGER stored_events_no_update")
        c.execute(
            "UPDATE stored_events SET state=(SELECT state FROM stored_events WHERE originator_id=?)"
            " WHERE originator_id=?", (one, two)
        )  # fmt: skip
    with pytest.raises(CorruptHistory):
        registry.title(two)
    assert registry.title(one).employer


@pytest.mark.sqlite_file
def test_swapped_data_keys_are_found(registry: Registry) -> None:
    holders = [registry.title(registry.award(awarding(person(n)), officer=CLERK)).holder for n in (1, 2)]
    with opened(registry) as c:
        keys = dict(c.execute("SELECT holder, wrapped FROM data_keys"))
        for holder, other in zip(holders, reversed(holders), strict=True):
            c.execute("UPDATE data_keys SET wrapped=? WHERE holder=?", (keys[other], holder))
    for holder in holders:
        with pytest.raises((CorruptHistory, SealBroken)):
            registry.holder(holder)


@pytest.mark.sqlite_file
def test_a_personal_value_in_clear_is_found_when_it_is_read(registry: Registry) -> None:
    holder = registry.title(registry.award(awarding(person(1)), officer=CLERK)).holder
    with opened(registry) as c:
        c.execute("DROP TRIGGER stored_events_no_update")
        state = c.execute("SELECT state FROM stored_events WHERE originator_id=?", (holder,)).fetchone()[0]
        box = registry.log.history(holder)[0].fact.person.box
        import base64

        clear = state.replace(base64.b64encode(box), b"5p6X5pmT5bKa")  # base64 of a name is no sealed box
        assert clear != state
        c.execute("UPDATE stored_events SET state=? WHERE originator_id=?", (clear, holder))
    with pytest.raises(CorruptHistory):
        registry.holder(holder)


@pytest.mark.sqlite_file
def test_without_the_data_key_a_life_is_still_told(registry: Registry) -> None:
    """The key is destroyed: nothing personal comes back, everything else does, and no new key is ever made."""
    title = registry.award(awarding(person(1), employer="丽水建工"), officer=CLERK)
    decided(registry, title, deciding(DecisionKind.SUSPENSION))
    holder = registry.title(title).holder
    with opened(registry) as c:
        c.execute("DELETE FROM data_keys WHERE holder=?", (holder,))
    erased = registry.holder(holder)
    assert (erased.name(), erased.all_names(), erased.identities()) == (None, [], [])
    state = registry.title(title)
    assert state.employer
    assert (state.employer.get(), state.standing(None)[0]) == (None, "suspended")
    with pytest.raises(CorruptHistory):
        state.employer.reveal()
    before = tables(registry)
    change = HolderRenamed(
        holder=holder, name=Private("林小莉"), basis="change", document_no="1", effective_on=registry.today
    )
    with pytest.raises(WrongState) as caught:
        registry.log.transact(lambda unit: unit.record(HOLDERS, holder, [change]), actor=CLERK)
    assert caught.value.fix
    assert tables(registry) == before


def test_a_private_value_does_not_print(registry: Registry) -> None:
    fact = HolderRegistered(holder="holder-1", person=Private(person(1)))
    for shown in (repr(fact), str(fact), f"{fact.person}"):
        assert "林" not in shown
        assert person(1).identity.number not in shown


def test_private_values_are_equal_by_what_they_hold() -> None:
    assert Private("a") == Private("a", b"1")
    assert Private("a") != Private("b")
    assert Private(box=b"1") == Private(box=b"1")
    assert Private(box=b"1") != Private(box=b"2")
    assert Private("a") != "a"
    assert len({Private(box=b"1"), Private(box=b"1")}) == 1


# --- opened by whom


@pytest.mark.sqlite_file
def test_a_log_opened_without_keys_only_reads(registry: Registry) -> None:
    title = registry.award(awarding(person(1), employer="丽水建工"), officer=CLERK)
    reader = Log(registry.folder.log, None)
    state = reader.load(TITLES, title)
    assert state
    assert state.employer
    assert state.employer.get() is None
    unavailable(lambda: reader.transact(lambda unit: None, actor=CLERK))
    reader.close()


@pytest.mark.sqlite_file
def test_the_wrong_vault_opens_nothing(registry: Registry) -> None:
    title = registry.award(awarding(person(1), employer="丽水建工"), officer=CLERK)
    stranger = Log(registry.folder.log, Vault(os.urandom(32), os.urandom(32)))
    with pytest.raises((SealBroken, CorruptHistory)):
        stranger.load(TITLES, title)
    stranger.close()


def test_a_store_of_a_newer_program_is_refused(registry: Registry) -> None:
    with opened(registry) as c:
        c.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    unavailable(lambda: Log(registry.folder.log, None))


def test_a_store_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"no database at all" * 100)
    unavailable(lambda: Log(tmp_path / "registry.db", None))
    unavailable(lambda: Log(tmp_path / "no such folder" / "registry.db", None))
    assert (tmp_path / "registry.db").read_bytes() == b"no database at all" * 100


@pytest.mark.sqlite_file
def test_a_store_that_breaks_while_it_is_read(registry: Registry) -> None:
    """No error of a library comes out: every reading door says that it could not be done now."""
    title = registry.award(awarding(person(1)), officer=CLERK)
    with opened(registry) as c:
        c.execute("ALTER TABLE claims RENAME TO lost_claims")
        c.execute("ALTER TABLE stored_events RENAME TO lost_events")
    for step in (
        registry.log.head,
        lambda: registry.find_title("3311002021000001"),
        lambda: registry.holder_of(person(1).identity),
        lambda: registry.title(title),
        lambda: registry.history(title),
        lambda: registry.certificate("0" * 17),
        lambda: registry.award(awarding(person(2)), officer=CLERK),
        lambda: list(registry.log.events(0, 9)),
        lambda: list(registry.log.streams(9)),
    ):
        unavailable(step)


@pytest.mark.sqlite_file
def test_the_settings_of_a_connection(registry: Registry) -> None:
    c = registry.log.recorder.connection
    found = {
        name: c.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "secure_delete")
    }
    assert found == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}


def test_staged_writes_cannot_release(registry: Registry) -> None:
    recorder: SqliteRecorder = registry.log.recorder
    with pytest.raises(ValueError, match="release"):
        recorder.stage(Changes([], released=[("title", "x", "title-1")]))


def test_a_stream_without_facts_has_no_state(registry: Registry) -> None:
    with pytest.raises(CorruptHistory):
        registry.log.transact(lambda unit: unit.record(TITLES, "title-0000", []), actor=CLERK)


def test_a_fact_that_cannot_follow_is_not_written(registry: Registry) -> None:
    before = tables(registry)
    fact = EXAMPLES["title-revoked/1"]
    with pytest.raises(CorruptHistory):
        registry.log.transact(lambda unit: unit.record(TITLES, "title-0000", [fact]), actor=CLERK)
    assert tables(registry) == before


# --- the folder


CONFIG = Config(base_url="https://zc.example.cn")


@pytest.mark.sqlite_file
def test_a_folder_that_holds_a_registry_is_not_made_again(registry: Registry, passphrase: bytes) -> None:
    before = tables(registry)
    with pytest.raises(Refused) as caught:
        Registry.create(registry.folder.path, passphrase, CONFIG)
    assert caught.value.fix
    registry.folder.config.unlink()
    with pytest.raises(Refused):
        Folder(registry.folder.path).create(CONFIG)
    assert tables(registry) == before


@pytest.mark.parametrize("url", ["", "zc.example.cn", "ftp://zc.example.cn", "https://zc.example.cn/", "javascript:x"])
def test_an_address_that_no_qr_can_carry(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadInput) as caught:
        Folder(tmp_path / "data").create(Config(base_url=url))
    assert caught.value.fix
    assert not (tmp_path / "data").exists()


def test_a_creation_that_failed_can_be_repeated(tmp_path: Path, passphrase: bytes) -> None:
    from keys.errors import PassphraseMissing

    with pytest.raises(PassphraseMissing):
        Registry.create(tmp_path / "data", b"", CONFIG)
    made = Registry.create(tmp_path / "data", passphrase, engine.kept(CONFIG))
    check_log(made)
    made.close()


def test_a_folder_that_is_none(tmp_path: Path, passphrase: bytes) -> None:
    unavailable(lambda: Registry.open(tmp_path, passphrase))
    (tmp_path / "config.json").write_bytes(b"{")
    unavailable(lambda: Registry.open(tmp_path, passphrase))
    (tmp_path / "config.json").write_bytes(b'{"base_url": 7}')
    unavailable(lambda: Folder(tmp_path).read_config())
    assert not (tmp_path / "registry.db").exists()


def test_the_files_of_a_folder_are_nobody_elses(registry: Registry, tmp_path: Path) -> None:
    Folder(tmp_path / "data").create(CONFIG)
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    assert (tmp_path / "data" / "config.json").stat().st_mode & 0o077 == 0
    assert Folder(tmp_path / "data").read_config() == CONFIG
