"""The leader dies ten times while titles are awarded: what was acknowledged is there, once, and the tree goes on.

What dies here is every process of one node at once. The machine's memory lives on: that what was acknowledged is also
on the disk when the power fails is what fsync and full_page_writes are for, and is not what this drill shows.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from registry.folder import Config
from registry.service import Registry
from tests.check_log import check_log
from tests.ha.cluster import Cluster
from tests.ha.writing import write
from tests.people import found
from tests.tools import need
from tests.writers import processes, started

ROUNDS = 10
PROCESSES, THREADS = 2, 2
BEFORE_A_DEATH = 40  # awards in each round before the leader dies
PATIENCE = 120  # seconds
ON_EVERY_NODE = ("fsync", "full_page_writes", "synchronous_commit", "data_checksums", "wal_log_hints")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A leader and its synchronous standby."""
    need("patroni", "patronictl", "etcd", "etcdctl", "setpriv", "flock")
    one = Cluster()
    before, os.environ["PGPASSFILE"] = os.environ.get("PGPASSFILE"), str(one.folder / "pgpass")
    yield one
    if before is None:
        del os.environ["PGPASSFILE"]
    else:
        os.environ["PGPASSFILE"] = before
    one.remove()


def test_settings_on_which_an_acknowledged_event_depends(cluster: Cluster) -> None:
    leader = cluster.leader()
    assert leader is not None
    for node in (1, 2):
        for name in ON_EVERY_NODE:
            assert cluster.ask(node, f"SHOW {name}") == [("on",)], (node, name)
    standby = f"node{3 - leader}"
    assert cluster.ask(leader, "SHOW synchronous_standby_names") == [(standby,)]
    assert cluster.ask(leader, "SELECT application_name, sync_state FROM pg_stat_replication") == [(standby, "sync")]


def test_ten_leaders_die_while_titles_are_awarded(
    cluster: Cluster, tmp_path: Path, passphrase: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path, notes, stop = tmp_path / "data", tmp_path / "notes", processes.Event()
    notes.mkdir()
    registry = Registry.create(path, passphrase, Config(base_url="https://zc.example.cn", database=cluster.url))
    found(registry)
    writers = started(
        write, [(path, passphrase, notes, THREADS * n, THREADS, stop) for n in range(PROCESSES)]
    )  # daemons: they end with us
    rounds = []
    for _ in range(ROUNDS):
        rounds.append(one_round(cluster, notes))
        assert all(one.is_alive() for one in writers)
    stop.set()
    for one in writers:
        one.join(PATIENCE)
    assert [one.exitcode for one in writers] == [0] * PROCESSES
    acknowledged = read(notes)
    figures = report(rounds, acknowledged)
    (tmp_path / "ha-drill.json").write_text(json.dumps(figures, indent=2))
    with capsys.disabled():
        print("\n" + json.dumps(figures), f"\n{tmp_path / 'ha-drill.json'}")
    nothing_lost_nothing_doubled(cluster, acknowledged)
    published = registry.tlog.sequence()
    assert published is not None
    assert published.size == registry.log.head()
    check_log(registry)
    registry.close()


def one_round(cluster: Cluster, notes: Path) -> dict[str, float]:
    """The leader dies, the other takes over, the dead one comes back as its standby."""
    wait_for_awards(notes, BEFORE_A_DEATH)
    leader = cluster.leader()
    assert leader is not None
    began = time.monotonic()
    cluster.kill(leader)
    cluster.wait_for_leader(other_than=leader)
    leads = time.monotonic()
    wait_for_awards(notes, 2 * PROCESSES * THREADS)  # one of each thread may have been acknowledged before the death
    writes = time.monotonic()
    cluster.up()
    assert cluster.leader() == 3 - leader
    both = time.monotonic()
    moments = {"new leader": leads, "writes again": writes, "two copies again": both}
    return {name: round(moment - began, 2) for name, moment in moments.items()}


def wait_for_awards(notes: Path, more: int) -> None:
    """Wait until so many more were acknowledged."""
    wanted, deadline = lines(notes) + more, time.monotonic() + PATIENCE
    while lines(notes) < wanted:
        assert time.monotonic() < deadline, "nothing is acknowledged any more"
        time.sleep(0.1)


def lines(notes: Path) -> int:
    """How many awards were acknowledged."""
    return sum(path.read_bytes().count(b"\n") for path in notes.glob("*.jsonl"))


def read(notes: Path) -> list[dict[str, Any]]:
    """What the writers were told, as they noted it, in the order of time."""
    found = [json.loads(line) for path in notes.glob("*.jsonl") for line in path.read_text().splitlines()]
    return sorted(found, key=lambda note: float(note["at"]))


def report(rounds: list[dict[str, float]], acknowledged: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of the drill."""
    times = [note["at"] for note in acknowledged]
    again = [note for note in acknowledged if note["attempts"] > 1]
    return {
        "rounds": rounds,
        "acknowledged awards": len(acknowledged),
        "awards that took more than one attempt": len(again),
        "attempts of those": sum(note["attempts"] for note in again),
        "longest time without an acknowledgement, s": round(max(b - a for a, b in pairwise(times)), 2),
        "what they were told": Counter(note["why"][:60] for note in again),
    }


def nothing_lost_nothing_doubled(cluster: Cluster, acknowledged: list[dict[str, Any]]) -> None:
    """By plain SQL: positions without a gap, and the awards in the log are those that were acknowledged, each once."""
    with psycopg.connect(cluster.url) as c:
        events = c.execute("SELECT position, originator_id, topic FROM stored_events ORDER BY position").fetchall()
    assert [position for position, _, _ in events] == list(range(1, len(events) + 1))
    awarded = [stream for _, stream, topic in events if topic == "title-awarded/1"]
    holders = [stream for _, stream, topic in events if topic == "holder-registered/1"]
    told = [note["title"] for note in acknowledged]
    assert not set(told) - set(awarded), "acknowledged, and lost"
    assert sorted(awarded) == sorted(told), "awarded twice, or to somebody twice"
    assert len(holders) == len({note["person"] for note in acknowledged}) == len(told)
