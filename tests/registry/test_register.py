"""The register follows the log: caught up, rebuilt, in another process, after damage; and what it finds."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from typing import Any

import pytest

from registry.awarding import Awarding
from registry.errors import CorruptHistory, Unavailable
from registry.folder import Folder
from registry.register import register as registers
from registry.register.register import Query, Register
from registry.register.rows import pinyin
from registry.register.tables import TABLES
from registry.service import Registry
from registry.streams import kind_of
from registry.titles.events import DecisionKind
from tests.check_log import check_log
from tests.people import (
    CHIEF,
    CITY,
    CLERK,
    QINGTIAN,
    Clock,
    awarding,
    correcting,
    decided,
    deciding,
    paper_of_1998,
    person,
    proposed,
    scans,
    settable,
)


def rows(register: Register) -> dict[str, list[Any]]:
    register.catch_up()
    return {table: list(register.all_rows(table)) for table in TABLES}


def numbers(registry: Registry, **query: Any) -> list[str]:
    found = registry.register.search(Query(**query), today=registry.today)
    return [row.number for row, _ in found.rows]


@pytest.fixture
def five(registry: Registry, clock: Clock) -> list[str]:
    """Five titles: two of one person, one of another county, one of another year and level."""
    commands = [
        awarding(person(1, "欧阳娜娜"), number="一"),
        awarding(person(1, "欧阳娜娜"), number="二", specialty="给水排水"),
        awarding(person(2, "王㛃"), number="三", authority=QINGTIAN),
        awarding(person(3, "林晓岚"), number="四", awarded_on=date(2022, 1, 5)),
        paper_of_1998(person(4, "林晓岚"), number="五"),
    ]
    streams = []
    for command in commands:
        clock.forward(seconds=1)
        streams.append(registry.award(command, officer=CLERK))
    return streams


def test_a_reader_sees_what_was_recorded_before_it_asked(registry: Registry, second: Registry, five: list[str]) -> None:
    assert numbers(second, year=2021) == ["一", "二", "三"]
    decided(registry, five[0], deciding(DecisionKind.REVOCATION))
    assert numbers(second, status="revoked") == ["一"]
    check_log(registry)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "一二三四五"),
        ({"number": "三"}, "三"),
        ({"name": "林晓岚"}, "四五"),
        ({"name": "欧阳"}, "一二"),
        ({"name": "ouyang"}, "一二"),
        ({"name": "OuYangNaNa"}, "一二"),
        ({"name": "oynn"}, "一二"),
        ({"name": "lxl"}, "四五"),
        ({"name": "王㛃"}, "三"),
        ({"name": "阳"}, ""),
        ({"name": "%"}, ""),
        ({"series": "工程技术人员"}, "一二三四五"),
        ({"level": "senior_associate"}, "五"),
        ({"year": 2022}, "四"),
        ({"authority": QINGTIAN}, "三"),
        ({"status": "revoked"}, ""),
        ({"year": 2021, "authority": CITY}, "一二"),
        ({"name": "林晓岚", "year": 1998}, "五"),
        ({"number": "' OR 1=1 --"}, ""),
    ],
    ids=str,
)
def test_search(registry: Registry, five: list[str], query: dict[str, Any], found: str) -> None:
    assert numbers(registry, **query) == list(found)


def test_search_by_holder_and_by_either_name(registry: Registry, five: list[str]) -> None:
    holder = registry.title(five[0]).holder
    about: Any = {"basis": "change", "document_no": "丽公1号", "effective_on": date(2026, 1, 1), "officer": CLERK}
    registry.rename_holder(holder, "欧阳丽", **about)
    for query in ({"holder": holder}, {"name": "欧阳娜娜"}, {"name": "欧阳丽"}):
        assert numbers(registry, **query) == ["一", "二"]
    assert {name for _, name in registry.register.search(Query(holder=holder), today=registry.today).rows} == {"欧阳丽"}
    check_log(registry)


def test_pages_follow_each_other(registry: Registry) -> None:
    for n in range(7):
        registry.award(awarding(person(n), number=f"第{n}"), officer=CLERK)
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = registry.register.search(Query(), today=registry.today, limit=3, cursor=cursor)
        seen += [row.number for row, _ in page.rows]
        cursor, pages = page.next, pages + 1
    assert (sorted(seen), pages) == ([f"第{n}" for n in range(7)], 3)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("limit", [0, -1, 1, 5000])
def test_any_limit_leads_on(registry: Registry, five: list[str], limit: int) -> None:
    """A page has at least one row and at most a thousand, and never stops short without a cursor."""
    page = registry.register.search(Query(), today=registry.today, limit=limit)
    assert len(page.rows) == min(max(limit, 1), 5)
    assert (page.next is None) == (len(page.rows) == 5)


def test_a_page_has_at_most_a_thousand_rows(registry: Registry) -> None:
    def body(unit: Any) -> None:
        awards = Awarding(unit)
        for n in range(1001):
            awards.award(awarding(person(n), number=str(n)))

    registry.log.transact(body, actor=CLERK)
    page = registry.register.search(Query(), today=registry.today, limit=5000)
    assert (len(page.rows), bool(page.next)) == (1000, True)
    assert len(registry.register.search(Query(), today=registry.today, limit=5000, cursor=page.next).rows) == 1
    check_log(registry)


# --- what is in force today


def test_a_decision_of_tomorrow_does_not_show_today(registry: Registry, clock: Clock, five: list[str]) -> None:
    decided(registry, five[0], deciding(DecisionKind.INVALIDATION, effective_on=date(2026, 3, 3)))
    assert numbers(registry, status="invalidated") == []
    assert numbers(registry, status="valid") == list("一二三四五")
    clock.now = datetime(2026, 3, 2, 16, 0, tzinfo=UTC)
    assert numbers(registry, status="invalidated") == ["一"]
    assert numbers(registry, status="valid") == list("二三四五")
    check_log(registry)


def test_a_reinstatement_of_tomorrow_does_not_show_today(registry: Registry, clock: Clock, five: list[str]) -> None:
    decided(registry, five[0], deciding(DecisionKind.REVOCATION))
    decided(registry, five[0], deciding(DecisionKind.REINSTATEMENT, effective_on=date(2026, 3, 3)))
    assert numbers(registry, status="revoked") == ["一"]
    assert registry.title(five[0]).standing(registry.today)[0] == "revoked"
    assert five[0] not in registry.register.without_certificate()
    clock.forward(days=1)
    assert numbers(registry, status="revoked") == []
    assert five[0] in registry.register.without_certificate()
    check_log(registry)


def test_an_award_of_tomorrow_is_not_yet_effective(registry: Registry, clock: Clock) -> None:
    stream = registry.award(awarding(person(1), number="一", awarded_on=date(2026, 3, 3)), officer=CLERK)
    assert numbers(registry, status="not_yet_effective") == ["一"]
    assert numbers(registry, status="valid") == []
    assert registry.register.without_certificate() == []
    clock.forward(days=1)
    assert registry.register.without_certificate() == [stream]


def test_titles_without_certificate_are_those_that_can_be_issued(registry: Registry, five: list[str]) -> None:
    decided(registry, five[0], deciding(DecisionKind.REVOCATION))
    registry.issue(five[1], settable, officer=CLERK)
    waiting = registry.register.without_certificate()
    assert waiting == five[2:]
    registry.issuing.issue(waiting, settable, officer=CLERK)
    assert registry.register.without_certificate() == []
    check_log(registry)


def test_what_waits_for_a_second_officer(registry: Registry, clock: Clock, five: list[str]) -> None:
    one = proposed(registry, five[0], deciding(DecisionKind.REVOCATION))
    clock.forward(minutes=1)
    two = proposed(registry, five[1], correcting(registry.title(five[1]), specialty="暖通"))
    sent = registry.submit_paper(paper_of_1998(person(9)), None, scans(), officer=CLERK)
    assert [row.proposal for row in registry.register.proposals()] == [one.fact.proposal, two.fact.proposal]
    assert [row.application for row in registry.register.papers("open")] == [sent.id]
    registry.refuse(one.fact.proposal, "证据不足", officer=CHIEF)
    registry.approve(two.fact.proposal, two.fact.digest, officer=CHIEF)
    registry.refuse_paper(sent.id, "看不清", officer=CHIEF)
    assert registry.register.proposals() == []
    assert registry.register.papers("open") == []
    assert [row.state for row in registry.register.papers()] == ["refused"]
    check_log(registry)


# --- the file


def test_caught_up_in_batches_of_any_size(
    registry: Registry, five: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    decided(registry, five[0], deciding(DecisionKind.REVOCATION))
    registry.issue(five[1], settable, officer=CLERK)
    expected = rows(registry.register)
    for batch in (1, 2, 7):
        monkeypatch.setattr(registers, "BATCH", batch)
        fresh = Register(tmp_path / f"register-{batch}.db", registry.log)
        assert rows(fresh) == expected
        assert fresh.position == registry.log.head()
        fresh.close()


def test_rebuilt_while_another_process_has_it_open(registry: Registry, second: Registry, five: list[str]) -> None:
    before = rows(second.register)
    done: list[int] = []
    assert registry.register.rebuild(done.append) == registry.log.head()
    assert done[-1] == registry.log.head()
    assert rows(second.register) == before
    decided(registry, five[0], deciding(DecisionKind.REVOCATION))
    assert numbers(second, status="revoked") == ["一"]
    assert rows(second.register) == rows(registry.register)
    assert not list(registry.folder.path.glob("*.new"))
    check_log(registry)


def test_a_register_that_was_deleted_is_made_again(registry: Registry, second: Registry, five: list[str]) -> None:
    before = rows(registry.register)
    second.register.catch_up()
    for path in registry.folder.path.glob("register.db*"):
        path.unlink()
    assert rows(registry.register) == before
    assert rows(second.register) == before


def test_a_register_that_is_damaged_says_so_and_is_rebuilt(new_registry: Callable[[], Registry], clock: Clock) -> None:
    registry = new_registry()
    registry.award(awarding(person(1), number="一"), officer=CLERK)
    registry.register.catch_up()
    registry.close()
    for stale in registry.folder.path.glob("register.db-*"):
        stale.unlink()
    registry.folder.register.write_bytes(b"no database at all" * 100)
    damaged = Registry(Folder(registry.folder.path), registry.custody, clock)
    with pytest.raises(Unavailable) as caught:
        numbers(damaged)
    assert "rebuild" in caught.value.fix
    damaged.register.rebuild()
    assert numbers(damaged) == ["一"]
    damaged.close()


def test_a_register_of_an_older_program_is_made_again(registry: Registry, clock: Clock, five: list[str]) -> None:
    before = rows(registry.register)
    registry.register.close()
    with closing(sqlite3.connect(registry.folder.register)) as c:
        c.execute("PRAGMA user_version=999")
    assert rows(registry.register) == before
    with closing(sqlite3.connect(registry.folder.register)) as c:
        assert c.execute("PRAGMA user_version").fetchone()[0] != 999


@pytest.mark.sqlite_file
def test_a_register_ahead_of_its_log_is_made_again(
    registry: Registry, clock: Clock, five: list[str], tmp_path: Any
) -> None:
    """An older log was put back from a backup; the register must not keep what is no longer recorded."""
    with closing(sqlite3.connect(registry.folder.log)) as c, closing(sqlite3.connect(tmp_path / "backup.db")) as to:
        c.backup(to)
    clock.forward(seconds=1)
    registry.award(awarding(person(8), number="八"), officer=CLERK)
    assert "八" in numbers(registry)
    registry.close()
    for path in registry.folder.path.glob("registry.db*"):
        path.unlink()
    (tmp_path / "backup.db").rename(registry.folder.log)
    restored = Registry(Folder(registry.folder.path), registry.custody, clock)
    assert numbers(restored) == list("一二三四五")
    restored.award(awarding(person(7), number="七"), officer=CLERK)
    assert numbers(restored) == list("一二三四五七")
    check_log(restored)
    restored.close()


def test_a_register_that_another_process_moved_on_is_not_ahead(
    registry: Registry, second: Registry, five: list[str]
) -> None:
    """Within a snapshot the log looks shorter than it is; that is no reason to make the register anew."""
    registry.register.catch_up()
    file = registry.folder.register.stat().st_ino
    with registry.log.snapshot():
        registry.log.head()
        second.award(awarding(person(8), number="八"), officer=CLERK)
        second.register.catch_up()
        assert registry.register.catch_up() > registry.log.head()
    assert registry.folder.register.stat().st_ino == file
    check_log(registry)


def test_a_failed_rebuild_leaves_the_live_one(
    registry: Registry, five: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(registry.register)

    def tired(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registry.register.rebuild(tired)
    assert rows(registry.register) == before
    assert not list(registry.folder.path.glob("*.new"))


def test_a_stream_of_no_known_kind_is_corrupt() -> None:
    with pytest.raises(CorruptHistory):
        kind_of("letter-0001")


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("欧阳娜娜", ("ouyangnana", "oynn")),
        ("Tanaka Yui", ("tanakayui", "tanakayui")),
        ("迪丽热巴·买买提", ("dilirebamaimaiti", "dlrbmmt")),
    ],
)
def test_pinyin(name: str, spelled: tuple[str, str]) -> None:
    full, initials = pinyin(name)
    assert full.replace("·", "") == spelled[0]
    assert initials.replace("·", "")
