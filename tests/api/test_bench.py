"""The measurements: every figure stands beside its floor and its goal, none is judged by a number that was not taken.

No time is asserted: what is fast is for docs/performance.md to say, of a machine that is named there.
"""

import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bench import postgres, report
from api.bench.figures import Figure, Measured
from api.bench.goals import GOALS, POSTGRESQL, SQLITE, WORKS, Goal, judged, reached
from api.bench.machine import describe
from api.bench.material import write_list
from api.bench.run import NAMES, run
from registry.errors import Unavailable
from registry.holders.identity import parse

CONTRACT = [
    "import",
    "award",
    "award_group",
    "replay",
    "register_rebuild",
    "verify",
    "sign_token",
    "pdf",
    "sequence",
    "prove",
]
SEVERAL = {
    "import": ["import", "import_memory"],
    "replay": ["replay", "every_check"],
    "register_rebuild": ["register_rebuild", "register_rebuild_busy"],
    "verify": ["verify", "verify_p99"],
    "pdf": ["pdf", "pdf_cores"],
    "growth": ["growth_verify", "growth_award", "growth_import", "growth_replay"],
}
QUICK = [name for name in NAMES if name not in ("verify", "pdf", "register_rebuild", "prove")]
SLOW = [name for name in NAMES if name not in QUICK]


@pytest.mark.parametrize("names", [QUICK, SLOW], ids=["quick", "slow"])
def test_every_name_gives_its_figures_at_a_tiny_size(names: list[str]) -> None:
    heard: list[str] = []
    figures, version = run(names, 30, "sqlite", heard.append)
    assert heard == names
    assert version.startswith("SQLite 3.")
    assert [one.name for one in figures] == [figure for name in names for figure in SEVERAL.get(name, [name])]
    for one in figures:
        assert one.value > 0, one
        assert one.floor > 0, one
        assert one.ratio == pytest.approx(one.value / one.floor, rel=0.02, abs=1e-3), one
        assert one.unit == WORKS[one.name].unit
        assert one.goal == SQLITE[one.name].words


def test_the_names_of_the_contract_are_there() -> None:
    assert set(CONTRACT) <= set(NAMES)
    assert set(SQLITE) == set(POSTGRESQL) == set(WORKS)
    assert all(goal.words for goals in GOALS.values() for goal in goals.values())


# goals: the numbers are those that were asked for, written here a second time


@pytest.mark.parametrize(
    ("name", "engine", "value", "floor", "met"),
    [
        ("import", "sqlite", 12_500.0, 22_000.0, True),
        ("import", "sqlite", 12_499.0, 12_500.0, False),  # a million rows in more than 80 s
        ("import", "sqlite", 20_000.0, 40_000.0, False),  # 0.5 of a raw insert
        ("import", "postgresql", 10_000.0, 900_000.0, True),
        ("import_memory", "sqlite", 301.0, 100.0, False),
        ("award", "sqlite", 69.0, 100.0, False),
        ("award", "postgresql", 61.0, 100.0, True),
        ("award_group", "sqlite", 300.0, 100.0, True),
        ("award_group", "postgresql", 300.0, 100.0, False),
        ("replay", "sqlite", 149_000.0, 200_000.0, False),
        ("replay", "postgresql", 60_000.0, 100_000.0, True),
        ("every_check", "sqlite", 149_000.0, 200_000.0, False),
        ("register_rebuild", "sqlite", 160_000.0, 300_000.0, False),
        ("verify", "sqlite", 7_500.0, 10_000.0, True),
        ("verify", "postgresql", 4_900.0, 10_000.0, False),
        ("verify_p99", "sqlite", 10.0, 3.0, True),
        ("pdf", "sqlite", 100.0, 51.0, False),
        ("pdf_cores", "sqlite", 181.0, 100.0, True),
        ("start_up", "sqlite", 2_001.0, 900.0, False),
        ("growth_award", "sqlite", 1.21, 1.0, False),
    ],
)
def test_a_goal_is_met_only_if_all_of_it_is(name: str, engine: str, value: float, floor: float, met: bool) -> None:
    assert judged(Measured(name, value, floor), engine).met is met


@given(
    value=st.floats(1e-3, 1e7), ratio=st.floats(1e-3, 1e3), least=st.floats(1e-2, 1e6), most_ratio=st.floats(1e-2, 1e2)
)
def test_how_far_a_goal_is_reached_agrees_with_whether_it_is(
    value: float, ratio: float, least: float, most_ratio: float
) -> None:
    far = Goal(least=least, most_ratio=most_ratio).reached(value, ratio)
    assert (far >= 1) == (value >= least and ratio <= most_ratio)


# lists and refusals


def test_a_list_goes_on_with_other_people(tmp_path: Path) -> None:
    write_list(tmp_path / "a.csv", 1_500)
    write_list(tmp_path / "b.csv", 700, after=1_500)
    rows = [line.split(",") for name in "ab" for line in (tmp_path / f"{name}.csv").read_text().splitlines()[1:]]
    numbers = [row[1] for row in rows]
    assert len(set(numbers)) == len({row[-1] for row in rows}) == 2_200
    assert [parse(number).number for number in numbers] == numbers  # each is a possible one


def test_without_a_postgresql_server_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_candidates", lambda: iter([Path("/nowhere")]))
    heard: list[str] = []
    with pytest.raises(Unavailable, match="没有找到 PostgreSQL") as refused:
        run(["award"], 10, "postgresql", heard.append)
    assert "--engine sqlite" in (refused.value.fix or "")
    assert not heard


def test_postgresql_is_measured_on_a_server_of_its_own_which_ends() -> None:
    try:
        postgres.programs()
    except Unavailable:
        pytest.skip("NOT CHECKED: no PostgreSQL server on this machine; .ci/run installs it")
    before = _servers()  # other tests of this process may have one of their own
    figures, version = run(["award", "import"], 30, "postgresql")
    assert version.startswith("PostgreSQL 1")
    assert [one.name for one in figures] == ["import", "import_memory", "award"]  # always in one order
    assert figures[2].goal == POSTGRESQL["award"].words
    assert _servers() == before


def _servers() -> set[int]:
    """The database servers that this process has started and that have not ended."""
    return {pid for pid, name, parent in map(_said, Path("/proc").glob("[0-9]*/stat")) if (name, parent) == _OURS}


_OURS = ("postgres", os.getpid())


def _said(path: Path) -> tuple[int, str, int]:
    """A process with its name and its parent; nothing for one that has ended meanwhile."""
    try:
        name, _, rest = path.read_text().partition("(")[2].rpartition(")")
    except OSError:
        return 0, "", 0
    return int(path.parent.name), name, int(rest.split()[1])


# the report


FIGURES = [
    Figure("award", 700.0, 1000.0, 0.7, ">= 0.7 x the floor", "awards/s", True, "a note"),
    Figure("prove", 2.5, 0.01, 250.0, "<= 2", "ms", False, "<b>&"),
]


def test_a_report_is_a_table_and_one_page_that_needs_nothing_beside_it(tmp_path: Path) -> None:
    machine = describe("SQLite 3", tmp_path)
    table, page = report.write(tmp_path / "new", "sqlite", FIGURES, machine, "title-registry bench 'a & b'")
    lines = table.read_text().splitlines()
    assert "title-registry bench 'a & b'" in lines[0]
    assert machine.python in lines[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert {len(row) for row in cells} == {6}
    assert [row[-1] for row in cells[2:]] == ["yes", "**no**"]
    text = page.read_text()
    assert not re.search(r"(?:src|href)=|url\(|@import|<script", text)
    tree = ET.fromstring(re.sub(r"<(!doctype|meta)[^>]*>", "", text))
    assert [cell.text for cell in tree.iter("strong")] == ["award", "prove"]
    assert len(list(tree.iter("svg"))) == 1 + len(FIGURES)
    assert [small.text for small in tree.iter("small") if small.text == "<b>&"] == ["<b>&"]


def test_the_bars_show_how_far_a_goal_is_reached() -> None:
    assert reached(FIGURES[0], "sqlite") == pytest.approx(1)
    assert reached(FIGURES[1], "sqlite") == pytest.approx(0.8)
    text = report.html("sqlite", FIGURES, describe("SQLite 3", Path("/")), "bench")
    assert text.index("1.00×") < text.index("0.80×")
