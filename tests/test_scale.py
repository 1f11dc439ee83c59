"""The registry at the size of a country: the model against exact formulas, real tiles, a real registry, its page."""

import heapq
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.scale import model
from deploy.scale.costs import MEASURED, cost
from deploy.scale.queueing import CALLERS, Service, calibrated, quantile, simulated
from deploy.scale.sizes import measured
from registry.proof.tiles import TileStore, resources

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"


def wait_at_most(moment: float, busy: float) -> float:
    """How likely it is to wait no longer than so many service times, when all are equal (Erlang 1909)."""
    terms = (
        (busy * (k - moment)) ** k / math.factorial(k) * math.exp(-busy * (k - moment)) for k in range(int(moment) + 1)
    )
    return (1 - busy) * sum(terms)


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_the_queue_agrees_with_the_exact_one_where_that_is_known(busy: float) -> None:
    found = simulated(rate=1000 * busy * 4, workers=4, service=Service(mean=1.0, sigma=0.0))

    assert found.utilisation == pytest.approx(busy, rel=0.03)
    assert wait_at_most(found.p99 - 1, busy) == pytest.approx(0.99, abs=0.003)
    assert wait_at_most(max(0.0, found.p50 - 1), busy) == pytest.approx(max(0.5, 1 - busy), abs=0.02)


def test_the_calibrated_service_shows_what_was_measured_when_sixteen_callers_wait_in_turn() -> None:
    service, chance = calibrated(rate=5_000, p50=3.0, p99=6.0), random.Random(7)
    free, times, asking = 0.0, [], [(0.0, caller) for caller in range(CALLERS)]
    for _ in range(100_000):
        asked, caller = heapq.heappop(asking)
        free = max(free, asked) + service.draw(chance)
        times.append(free - asked)
        heapq.heappush(asking, (free, caller))
    times.sort()

    assert len(times) / free * 1000 == pytest.approx(5_000, rel=0.03)
    assert quantile(times, 0.99) / quantile(times, 0.5) == pytest.approx(2.0, rel=0.1)


def test_latencies_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="no latencies of one measurement"):
        calibrated(rate=5_000, p50=3.0, p99=2.0)


def test_a_tree_has_the_files_that_the_model_says(tmp_path: Path) -> None:
    size, entry = 66_049, b"x" * 40
    TileStore(tmp_path).write(0, [entry] * size)

    for kind in model.tiles(size, len(entry)):
        files = [path for path in (tmp_path / "tile" / kind.kind).rglob("*") if path.is_file()]
        partial = [path for path in files if path.parent.suffix == ".p"]
        assert len(files) - len(partial) == kind.full
        assert [path.name for path in partial] == ([str(kind.partial)] if kind.partial else [])
        assert sum(path.stat().st_size for path in files) == kind.bytes


@given(st.integers(1, 200_000))
def test_the_files_of_a_tree_of_any_size_are_those_that_the_log_names(size: int) -> None:
    kinds = model.tiles(size, 40)

    assert sum(kind.full + bool(kind.partial) for kind in kinds) == sum(1 for _ in resources(size))


def test_a_title_still_takes_what_the_model_counts_with(tmp_path: Path) -> None:
    found = measured(tmp_path, titles=600, certificates=6)

    for name, value in found.items():
        if name.startswith("event:"):
            assert value == pytest.approx(cost(f"event {name[6:]}"), rel=0.05)
    assert found["leaf_entry"] == pytest.approx(cost("leaf entry"), rel=0.05)
    assert found["checkpoint"] == pytest.approx(cost("checkpoint, kept"), rel=0.05)
    assert found["answer_json"] == pytest.approx(cost("answer of a verification, JSON"), rel=0.05)
    assert found["row:event"] == pytest.approx(cost("row of an event beside what is stored in it"), rel=0.3)
    assert found["row:claim"] == pytest.approx(cost("claim"), rel=0.3)


def test_the_tables_of_the_page_follow_from_the_unit_costs() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert model.put_in(text) == text
    assert {f"<!-- table: {name} -->" for name in model.TABLES} == {
        line for line in text.splitlines() if "<!-- t" in line
    }


def test_a_mark_for_a_table_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no table nothing"):
        model.put_in("<!-- table: nothing -->\n<!-- end -->")


def test_every_unit_cost_names_the_command_that_measured_it() -> None:
    assert not [one.name for one in MEASURED if "`" not in one.source and "the same" not in one.source]
