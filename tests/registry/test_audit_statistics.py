"""The figures of a register: counted again by brute force, and whatever order the rows come in."""

import random
from collections import Counter
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from keys.custody import Custody
from registry.audit import Statistics, replay_statistics, statistics
from registry.register.rows import PaperRow, TitleRow
from tests.audit_life import fresh, live_through
from tests.people import Clock

WORDS = st.sampled_from(["a", "b", "市"])
TITLES = st.builds(
    TitleRow,
    **dict.fromkeys(set(TitleRow.__struct_fields__) - {"year", "version", "from_paper", "open_proposals"}, WORDS),
    year=st.integers(1998, 2001),
    version=st.integers(0, 2),
    from_paper=st.booleans(),
    open_proposals=st.integers(0, 1),
)
PAPERS = st.builds(PaperRow, *[WORDS] * len(PaperRow.__struct_fields__))


@given(rows=st.lists(TITLES | PAPERS, max_size=30), seed=st.integers())
def test_every_row_is_counted_once_in_each_figure(rows: list[TitleRow | PaperRow], seed: int) -> None:
    found = statistics(rows)
    titles = [row for row in rows if isinstance(row, TitleRow)]
    assert (found.titles, found.holders) == (len(titles), len({row.holder for row in titles}))
    assert found.certified == len([row for row in titles if row.version])
    assert found.papers == Counter(row.state for row in rows if isinstance(row, PaperRow))
    for counted, fields in (
        (found.by_authority, ("authority", "level", "status")),
        (found.by_series, ("series", "level")),
        (found.by_year, ("year", "obtained")),
    ):
        assert counted == sorted(set(counted)), "sorted, and nothing twice"
        assert sum(count for *_, count in counted) == len(titles)
        for *of, count in counted:
            assert count == sum([getattr(row, field) for field in fields] == of for row in titles)
    random.Random(seed).shuffle(rows)
    assert statistics(rows).encode() == found.encode()
    assert msgspec.json.decode(found.encode(), type=Statistics) == found


def test_the_live_register_and_a_replay_count_the_same(made: tuple[Path, Custody], tmp_path: Path) -> None:
    clock = Clock()
    registry = live_through(fresh(made, tmp_path / "data", clock), clock).registry
    registry.register.catch_up()
    rows = [row for table in ("titles", "papers") for row in registry.register.all_rows(table)]
    assert replay_statistics(registry).encode() == statistics(rows).encode()
    assert sum(replay_statistics(registry, known_at=0).figures().values()) == 0
    registry.close()
