"""A large list is read by a process of its own: the same facts, the same refusals, nothing of one that broke off."""

import csv
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import BadInput, ListRefused, Unavailable
from registry.intake import reading
from registry.intake.importing import ImportReceipt
from registry.log import unit as units
from registry.log.ascending import ascending
from registry.log.facts import Private, Recorded
from registry.log.scattered import Scattered
from registry.service import Registry
from registry.terms import new_id
from tests.check_log import check_log
from tests.people import BEGIN, CITY, CLERK, DOCUMENT, awarding, identity_number, person

HEADINGS = (
    "姓名",
    "证件号码",
    "评审委员会",
    "系列",
    "专业",
    "级别",
    "资格名称",
    "取得资格时间",
    "证书编号",
    "工作单位",
)
COMMITTEE = "市建设工程技术人员中级专业技术职务任职资格评审委员会"


def row(n: int, *, number: str | None = None, name: str = "林晓岚", specialty: str = "建筑工程") -> list[str]:
    title = ("工程技术人员", specialty, "中级", "工程师", "2021-09-20")
    return [name, identity_number(n), COMMITTEE, *title, f"L{n:06}" if number is None else number, f"虚构单位{n % 7}"]


def written(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
        csv.writer(out).writerows([list(HEADINGS), *rows])
    return path


def take(registry: Registry, path: Path, **more: Any) -> ImportReceipt:
    return registry.import_awards(path, authority=CITY, document=DOCUMENT, officer=CLERK, **more)


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every list counts as large, and is laid by often."""
    monkeypatch.setattr(reading, "LARGE", 1)
    monkeypatch.setattr(units, "STAGE_EVENTS", 700)


def children() -> list[int]:
    """The readers that this process has started and that still run."""
    tasks = Path("/proc/self/task").glob("*/children")
    found = [int(one) for each in tasks for one in each.read_text().split()]
    return [one for one in found if b"registry.intake.apart" in Path(f"/proc/{one}/cmdline").read_bytes()]


def told(registry: Registry) -> list[str]:
    """What the log says in its order: streams by the order of their beginning, personal data in clear."""
    order = {(event.stream, event.version): None for event in registry.log.events(0, registry.log.head())}
    opened = {(one.stream, one.version): one for stream, _ in order for one in registry.log.history(stream)}
    texts = [repr(_clear(opened[place])) for place in order]
    for number, stream in enumerate(dict.fromkeys(stream for stream, _ in order)):
        texts = [text.replace(stream, f"#{number}") for text in texts]
    return texts


def _clear(event: Recorded[Any]) -> tuple[Any, ...]:
    fields = ((name, getattr(event.fact, name)) for name in event.fact.__struct_fields__)
    fact = {name: value.get() if isinstance(value, Private) else value for name, value in fields}
    return event.stream, event.version, type(event.fact), fact, event.recorded_at, event.actor, event.cause


def test_a_large_list_says_what_the_same_list_says_when_it_is_small(
    new_registry: Callable[[], Registry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People twice in the list, far apart and side by side; numbers of our own between; a person known before."""
    rows = [row(n) for n in range(40)]
    rows += [row(3, specialty="结构工程", number="M1"), row(39, specialty="结构工程", number="")]
    rows += [row(n, number="") for n in range(100, 130)]
    path, logs = written(tmp_path / "名单.csv", rows), []
    for large, stage in ((1 << 30, 4_000), (1, 20)):
        monkeypatch.setattr(reading, "LARGE", large)
        monkeypatch.setattr(reading, "BATCH", 16)
        monkeypatch.setattr(units, "STAGE_EVENTS", stage)
        registry = new_registry()
        registry.award(awarding(person(7), number="Z7", specialty="道路工程"), officer=CLERK)
        head = registry.log.head()
        receipt = take(registry, path)
        assert (receipt.rows, receipt.awarded, receipt.same) == (72, 72, 0)
        check_log(registry)
        logs.append(told(registry)[head:])
    assert len(logs[0]) == 141
    assert logs[0] == logs[1]


@pytest.mark.usefixtures("apart")
def test_the_same_large_list_again_changes_nothing(registry: Registry, tmp_path: Path) -> None:
    path = written(tmp_path / "名单.csv", [row(n, number="" if n % 3 else None) for n in range(1_200)])
    assert take(registry, path).awarded == 1_200
    head = registry.log.head()
    assert take(registry, path, dry_run=True).same == 1_200
    assert take(registry, path).same == 1_200
    assert registry.log.head() == head
    check_log(registry)


@pytest.mark.usefixtures("apart")
def test_a_person_far_up_in_the_list_keeps_stream_and_key(registry: Registry, tmp_path: Path) -> None:
    rows = [row(n) for n in range(1_100)]
    path = written(tmp_path / "名单.csv", [*rows, row(0, specialty="结构工程", number="M0")])
    assert take(registry, path).awarded == 1_101
    titles = [registry.title(registry.find_title(number)) for number in ("L000000", "M0")]
    assert titles[0].holder == titles[1].holder
    assert titles[1].employer is not None
    assert titles[1].employer.get() == "虚构单位0"
    check_log(registry)


def refusals(registry: Registry, path: Path) -> tuple[str, list[Any]]:
    head = registry.log.head()
    with pytest.raises(ListRefused) as refused:
        take(registry, path)
    assert registry.log.head() == head
    return refused.value.message, list(refused.value.errors)


def test_errors_of_rows_are_the_same_at_the_same_cells(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of bytes that no text has, and of rows that repeat one that another batch brought."""
    rows = [row(n) for n in range(30)]
    rows[4][6] = "工程\udcff师"
    rows[9][1] = rows[9][1][:-1] + ("0" if rows[9][1][-1] != "0" else "1")
    path = written(tmp_path / "名单.csv", [*rows, row(0, number="X"), row(50, number="L000001")])
    monkeypatch.setattr(reading, "BATCH", 8)
    small = refusals(registry, path)
    monkeypatch.setattr(reading, "LARGE", 1)
    assert refusals(registry, path) == small
    assert [error.row for error in small[1]] == [6, 11, 32, 33]


@pytest.mark.parametrize(
    ("last", "rule", "raw"),
    [
        (row(800, number="Z1"), "number-taken", "Z1"),
        (row(7, name="王建国", specialty="结构工程", number="M7"), "holder-conflict", "王建国"),
        (row(7, number="M7"), "already-awarded", "工程师"),
        (row(801, number="331100202100001"), "number-taken", "331100202100001"),
    ],
)
@pytest.mark.usefixtures("apart")
def test_what_the_register_refuses_is_said_at_its_cell(
    registry: Registry, tmp_path: Path, last: list[str], rule: str, raw: str
) -> None:
    registry.award(awarding(person(7), number="Z7"), officer=CLERK)
    registry.award(awarding(person(8), number="Z1"), officer=CLERK)
    if rule == "number-taken" and raw != "Z1":
        registry.award(awarding(person(9), number=raw), officer=CLERK)
    path = written(tmp_path / "名单.csv", [*(row(n) for n in range(100, 700)), last])
    message, errors = refusals(registry, path)
    assert [(error.row, error.rule, error.raw) for error in errors] == [(602, rule, raw)]
    assert "601" in message
    check_log(registry)


@pytest.mark.usefixtures("apart")
def test_someone_of_the_same_list_under_another_name_is_refused(registry: Registry, tmp_path: Path) -> None:
    rows = [row(n) for n in range(900)]
    path = written(tmp_path / "名单.csv", [*rows, row(2, name="王建国", specialty="结构工程", number="M2")])
    assert [(one.row, one.rule) for one in refusals(registry, path)[1]] == [(902, "holder-conflict")]


@pytest.mark.parametrize("content", ["姓名,证件号码\n甲,1\n", ",".join(HEADINGS) + "\n,,,\n", " "])
def test_a_file_that_is_no_list_is_refused_with_the_same_words(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    path, said = tmp_path / "名单.csv", []
    path.write_text(content)
    for large in (1 << 30, 1):
        monkeypatch.setattr(reading, "LARGE", large)
        with pytest.raises(BadInput) as refused:
            take(registry, path)
        said.append((refused.value.message, refused.value.fix, refused.value.about))
    assert said[0] == said[1]


@pytest.mark.usefixtures("apart")
def test_a_reader_that_dies_leaves_nothing(registry: Registry, tmp_path: Path) -> None:
    path = written(tmp_path / "名单.csv", [row(n) for n in range(12_000)])
    head, killed = registry.log.head(), list[int]()

    def kill(_: int) -> None:
        for child in children() if not killed else ():
            os.kill(child, signal.SIGKILL)
            killed.append(child)

    with pytest.raises(Unavailable) as broken:
        take(registry, path, progress=kill)
    assert killed
    assert broken.value.fix
    assert registry.log.head() == head
    assert not children()
    assert take(registry, written(tmp_path / "短.csv", [row(1)])).awarded == 1
    check_log(registry)


@pytest.mark.usefixtures("apart")
def test_an_import_that_is_given_up_ends_its_reader(registry: Registry, tmp_path: Path) -> None:
    path = written(tmp_path / "名单.csv", [row(n) for n in range(3_000)])
    head = registry.log.head()

    def give_up(rows: int) -> None:
        assert children()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take(registry, path, progress=give_up)
    assert not children()
    assert registry.log.head() == head
    check_log(registry)


@pytest.mark.usefixtures("apart")
def test_the_reader_gets_no_secret_of_ours(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITLE_REGISTRY_PASSPHRASE", "样例口令")
    monkeypatch.setenv("PGPASSWORD", "样例口令")
    seen: list[bytes] = []

    def look(_: int) -> None:
        seen.extend(Path(f"/proc/{child}/environ").read_bytes() for child in children() if not seen)

    take(registry, written(tmp_path / "名单.csv", [row(n) for n in range(6_000)]), dry_run=True, progress=look)
    assert seen
    assert b"TITLE_REGISTRY_" not in seen[0]
    assert b"PGPASSWORD" not in seen[0]


@pytest.mark.usefixtures("apart")
def test_a_large_list_is_taken_in_by_a_thread_of_a_server(registry: Registry, tmp_path: Path) -> None:
    path = written(tmp_path / "名单.csv", [row(n) for n in range(800)])

    def work() -> int:
        try:
            return take(registry, path).awarded
        finally:
            registry.close()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == 800
    check_log(registry)


@pytest.mark.usefixtures("apart")
def test_who_was_registered_meanwhile_is_recognised_when_the_list_runs_again(
    registry: Registry, second: Registry, tmp_path: Path
) -> None:
    """Another office awards someone after that row was decided, and before the list is appended."""
    path = written(tmp_path / "名单.csv", [row(n) for n in range(1_000)])
    others: list[str] = []

    def meanwhile(rows: int) -> None:
        if rows == 1_000 and not others:
            others.append(second.award(awarding(person(5), number="Z5", specialty="道路工程"), officer=CLERK))

    assert take(registry, path, progress=meanwhile).awarded == 1_000
    assert registry.title(registry.find_title("L000005")).holder == registry.title(others[0]).holder
    check_log(registry)


@given(st.lists(st.binary(min_size=32, max_size=32), unique=True, max_size=2_000), st.binary(min_size=32, max_size=32))
def test_blind_indexes_laid_by_are_found_as_a_dict_finds_them(known: list[bytes], other: bytes) -> None:
    laid_by, right = Scattered(), dict[str, str]()
    for n, one in enumerate(known):
        laid_by.put(one.hex(), f"holder-{n:026}")
        right[one.hex()] = f"holder-{n:026}"
    assert {index: laid_by.get(index) for index in right} == right
    assert laid_by.get(other.hex()) == right.get(other.hex())
    assert len(laid_by) == len(known)


def test_ids_of_one_unit_ascend_and_look_like_all_others() -> None:
    ids = list(islice(ascending(BEGIN), 3_000))
    assert ids == sorted(set(ids))
    assert len({one[-8:] for one in ids}) == 3_000  # not to be told from one another
    assert {one[:10] for one in ids} == {new_id("title", BEGIN)[6:16]}
    assert {len(one) for one in ids} == {26}
    assert next(ascending(BEGIN)) != next(ascending(BEGIN))
