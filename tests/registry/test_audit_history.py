"""The replay of the log that needs no key, the second process of a large audit, and the prints that it compares by."""

import os
import random
import shutil
from contextlib import closing
from datetime import date
from pathlib import Path

import msgspec
import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given
from hypothesis import strategies as st

from keys.signing import Purpose
from registry.audit import Code, Report, glance, sharing, verify_history, verify_live
from registry.audit.leafing import WIDE, Stored, Tiles, Unwell
from registry.audit.prints import Prints
from registry.folder import Config, Folder
from registry.log.changes import Changes
from registry.log.engine import recorder_at
from registry.processes import started
from registry.proof.checkpoint import Checkpoint, sign_checkpoint
from registry.proof.kept import size_of
from registry.proof.leaf import leaf_entry
from registry.proof.proofs import tree_root
from registry.proof.tiles import TileStore, resources
from registry.requests.request import RequestKind
from registry.service import Registry
from registry.titles.state import TITLES
from tests import engine
from tests.audit_life import Life, again, damage
from tests.engine import binary, changed
from tests.people import CHIEF, CLERK, awarding, paper_of_1998, person, scans, settable

TIME = b'{"recorded_at":"2026-03-02T01:00:00Z","fact":{}}'


@pytest.fixture
def copy(live: Life, tmp_path: Path) -> Registry:
    return again(live, tmp_path / "data")


@pytest.fixture(params=["one process", "two processes"])
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small log is not worth a second process: here it is."""
    if request.param == "two processes":
        monkeypatch.setattr(sharing, "WORTH", 0)
        monkeypatch.setattr(sharing.os, "sched_getaffinity", lambda _: {0, 1})


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


# a log that is whole


@pytest.mark.usefixtures("processes")
def test_a_replay_comes_to_what_every_check_comes_to(live: Life) -> None:
    history, everything = verify_history(live.registry), verify_live(live.registry)
    assert history.ok
    assert everything.ok
    assert (history.what, history.personal) == ("history", "sealed")
    assert (history.root, history.head, history.checkpoints) == (
        everything.root,
        everything.head,
        everything.checkpoints,
    )
    assert history.counts == {name: everything.counts[name] for name in ("events", "streams")}
    assert history.cosigned_by == everything.cosigned_by


@pytest.mark.usefixtures("processes")
def test_of_a_log_that_is_whole_nothing_need_be_looked_at_closely(copy: Registry) -> None:
    copy.award(awarding(person(40)), officer=CLERK)  # after the last checkpoint
    head, published = copy.register.catch_up(), copy.tlog.published()
    everything, _ = glance.at_everything(copy, head, published)
    assert everything.counts == verify_live(copy).counts
    assert glance.at_history(copy, head, published).root == everything.root
    copy.close()


@pytest.mark.usefixtures("processes")
def test_what_was_appended_since_the_checkpoint_is_folded_too(copy: Registry) -> None:
    before = verify_history(copy)
    copy.award(awarding(person(40)), officer=CLERK)
    after = verify_history(copy)
    assert after.ok
    assert after.counts["events"] == copy.log.head() == before.counts["events"] + 2
    copy.tlog.sequence()
    assert verify_history(copy).root == after.root == copy.tlog.last().root.hex()
    copy.close()


def test_what_a_second_process_took_and_did_not_finish_is_done_here(
    live: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, asked = live.registry, []
    head, published = registry.register.catch_up(), registry.tlog.published()
    whole = glance.at_everything(registry, head, published)[0], glance.at_history(registry, head, published)

    def failing(module: str, waiting: str, **streams: object) -> object:
        asked.append((module, len(os.read(int(waiting), 4))))  # two pieces are taken, and it ends
        return started("registry.audit.no_such_module", waiting, **streams)  # type: ignore[arg-type]

    monkeypatch.setattr(sharing, "WORTH", 0)
    monkeypatch.setattr(sharing.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(sharing, "started", failing)
    again_ = glance.at_everything(registry, head, published)[0], glance.at_history(registry, head, published)
    assert again_ == whole
    assert asked == [("registry.audit.apart", 4)] * 2


# a log that was changed behind the program's back


TEXT_FOR_BYTES = "UPDATE stored_events SET state=replace(state, 'clerk', 'chief') WHERE rowid=5"


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("DELETE FROM stored_events WHERE rowid=5", {Code.POSITION_GAP, Code.BEYOND}),
        ("UPDATE stored_events SET rowid=900 WHERE rowid=5", {Code.POSITION_GAP}),
        pytest.param(TEXT_FOR_BYTES, {Code.EVENT}, marks=pytest.mark.sqlite_file),  # only SQLite stores it
        (f"UPDATE stored_events SET state={binary(b'{}')} WHERE rowid=5", {Code.EVENT}),
        (f"UPDATE stored_events SET state={changed('clerk-01', 'clerk-99')}"
         " WHERE topic='holder-registered/1'", {Code.FORK, Code.TREE_ROOT, Code.ENTRIES, Code.TILE}),
        ("UPDATE stored_events SET topic='title-invalidated/1' WHERE topic='title-revoked/1'",
         {Code.DECISION, Code.TREE_ROOT}),
        ("UPDATE stored_events SET originator_id='unheard-of' WHERE rowid=5", {Code.STREAM}),
        ("UPDATE stored_events SET originator_version=7 WHERE rowid=(SELECT max(rowid) FROM stored_events"
         " WHERE originator_id LIKE 'title-%' AND originator_version>1)", {Code.VERSION}),
    ],
)  # fmt: skip
def test_a_replay_says_what_was_done_to_the_events(statement: str, named: set[Code], copy: Registry) -> None:
    damage(copy.folder.log, statement)
    found = codes(verify_history(copy))
    assert named <= found
    assert found <= codes(verify_live(copy)), "whoever looks at more finds no less"
    copy.close()


@pytest.mark.usefixtures("processes")
def test_every_file_of_the_tree_is_read_by_both(copy: Registry) -> None:
    folder = copy.folder.tree
    notes = list(copy.tlog.checkpoints())
    files = {path: Code.ENTRIES if "entries" in path else Code.TILE for path in resources(copy.tlog.last().size)}
    files |= {"checkpoints": Code.KEPT_SIGNATURE}
    assert len(files) >= 3
    for name, code in files.items():
        path = folder / name
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[notes[0].index(b"\n\n") - 9 if name == "checkpoints" else 40] ^= 1
        path.write_bytes(damaged)
        for report in (verify_history(copy), verify_live(copy)):
            assert code in codes(report), name
        path.write_bytes(whole)
    assert verify_history(copy).ok
    copy.close()


@pytest.mark.usefixtures("processes")
def test_a_cosignature_that_does_not_hold_on_the_published_checkpoint_alone_is_told(copy: Registry) -> None:
    path = copy.folder.tree / "checkpoint"
    note = path.read_bytes()
    at = note.rindex(b" ") + 1_000  # within the last signature, an ML-DSA-44 cosignature
    path.write_bytes(note[:at] + (b"A" if note[at : at + 1] != b"A" else b"B") + note[at + 1 :])
    assert codes(verify_history(copy)) == codes(verify_live(copy)) == {Code.COSIGNATURE}
    copy.close()


@pytest.mark.usefixtures("processes")
def test_a_checkpoint_that_was_signed_over_another_history_is_a_fork(copy: Registry) -> None:
    notes, path = list(copy.tlog.checkpoints()), copy.folder.tree / "checkpoints"
    signer = copy.custody.signer(Purpose.CHECKPOINT, copy.log.clock())
    other = sign_checkpoint(Checkpoint(copy.tlog.origin, size_of(notes[0]), bytes(32)), signer)
    path.write_bytes(b"".join(note + b"\n" for note in (other, *notes[1:])))
    assert codes(verify_history(copy)) == codes(verify_live(copy)) == {Code.FORK}
    copy.close()


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(
    ("path", "statement", "named"),
    [
        ("log", "DELETE FROM claims WHERE scope='title'", {Code.CLAIM_MISSING}),
        ("log", "UPDATE claims SET key=key||'x' WHERE scope='code'", {Code.CLAIM_MISSING, Code.CLAIM_EXTRA}),
        ("log", "UPDATE claims SET stream='title-x' WHERE scope='paper'", {Code.CLAIM_DIFFERS}),
        ("log", "UPDATE claims SET key='x' WHERE scope='identity' AND key=(SELECT min(key) FROM claims"
         " WHERE scope='identity')", {Code.CLAIM_MISSING, Code.CLAIM_EXTRA}),
        ("log", f"UPDATE data_keys SET wrapped={binary(bytes(60))}", {Code.SEAL}),
        ("register", "UPDATE titles SET from_paper=1-from_paper", {Code.ROW_DIFFERS}),
        ("register", "UPDATE titles SET open_proposals=open_proposals+1", {Code.ROW_DIFFERS}),
        ("register", "INSERT INTO proposals SELECT * FROM proposals LIMIT 1", {Code.ROW_EXTRA}),
        ("register", "UPDATE names SET current=1-current", {Code.ROW_DIFFERS}),
    ],
)  # fmt: skip
def test_what_is_kept_is_compared_by_either_process(
    path: str, statement: str, named: set[Code], copy: Registry
) -> None:
    damage(getattr(copy.folder, path), statement)
    assert named <= codes(verify_live(copy))
    assert verify_history(copy).ok, "the events are whole"
    copy.close()


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(
    ("topic", "was", "is_", "named", "opened"),
    [
        ("title-awarded/1", '"application":"paper-', '"application":"paper-0', set(), {Code.LINK}),
        ("title-awarded/1", '"actor":"', '"actor":"x', {Code.ROLE}, {Code.ROLE}),
        ("paper-approved/1", '"actor":"', '"actor":"x', {Code.ROLE}, {Code.ROLE}),
        ("title-awarded/1", '"employer":"', '"employer":"AAAA', set(), {Code.SEAL}),
    ],
)  # fmt: skip
def test_what_no_checkpoint_covers_is_judged_all_the_same(
    topic: str, was: str, is_: str, named: set[Code], opened: set[Code], copy: Registry
) -> None:
    published = copy.log.head()
    command = paper_of_1998(person(41), number="浙丽 9801-0999", employer="某单位")
    application = copy.submit_paper(command, date(1998, 12, 28), scans(), officer=CLERK)
    copy.approve_paper(application.id, application.fact.digest, officer=CHIEF)
    where = f"rowid>{published} AND topic='{topic}'"
    damage(copy.folder.log, f"UPDATE stored_events SET state={changed(was, is_)} WHERE {where}")
    copy.register.rebuild()
    assert codes(verify_history(copy)) == named
    assert codes(verify_live(copy)) == opened
    copy.close()


@pytest.mark.usefixtures("processes")
def test_a_certificate_is_judged_by_every_check_alone(copy: Registry, tmp_path: Path) -> None:
    published, title = copy.log.head(), copy.award(awarding(person(42)), officer=CLERK)
    shutil.copytree(copy.folder.tree, tmp_path / "before")
    copy.issue(title, settable, officer=CLERK)  # publishes a checkpoint; we take it back
    shutil.rmtree(copy.folder.tree)
    shutil.copytree(tmp_path / "before", copy.folder.tree)
    copy.tlog.outside.unlink()
    other, where = changed('"leaf":', '"leaf":1'), f"rowid>{published} AND topic='certificate-signed/2'"
    damage(copy.folder.log, f"UPDATE stored_events SET state={other} WHERE {where}")
    assert verify_history(copy).ok, "a replay leaves certificates to it"
    assert codes(verify_live(copy)) == {Code.CERTIFICATE_LEAF}
    copy.close()


@pytest.mark.usefixtures("processes")
def test_a_stream_of_no_known_kind_is_found_where_nothing_else_tells_of_it(copy: Registry) -> None:
    published, holder = copy.log.head(), copy.title(copy.log.streams_of(TITLES)[0]).holder
    copy.requesting.make(holder, RequestKind.COPY, "请给我一份", officer=holder)
    copy.register.catch_up()
    damage(copy.folder.log, f"UPDATE stored_events SET originator_id='unheard-of' WHERE rowid>{published}")
    assert codes(verify_history(copy)) == codes(verify_live(copy)) == {Code.STREAM}
    copy.close()


# the tree of a larger log, in pieces


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 70,000 events and its tiles, up to the third level. Not to be changed."""
    folder = Folder(tmp_path_factory.mktemp("large") / "data")
    folder.create(engine.kept(Config(base_url="https://zc.example.cn")))
    rows = [(f"title-{number:06}", 1, "any/1", TIME) for number in range(1, 70_001)]
    with closing(recorder_at(folder.store)) as recorder:
        recorder.append(Changes([StoredEvent(stream, version, name, TIME) for stream, version, name, _ in rows]))
    entries = [leaf_entry(position, *row) for position, row in enumerate(rows, 1)]
    TileStore(folder.tree).write(0, [b"the log before", *entries])
    return folder.path


def test_all_pieces_of_a_tree_together_are_the_tree(large: Path) -> None:
    recorder, size = recorder_at(Folder(large).store), 70_001
    stored, tiles = Stored(recorder, b"the log before"), Tiles(large / "log", size)
    for begin in range(0, size, WIDE):
        tiles.check(stored, begin)
    tiles.check_upper()
    assert tiles.edge().root() == tree_root(size, TileStore(large / "log").reader(size))
    recorder.close()


def test_no_byte_of_any_tile_can_differ(large: Path, tmp_path: Path) -> None:
    recorder, size = recorder_at(Folder(large).store), 70_001
    shutil.copytree(large / "log", tmp_path / "log")
    chosen = random.Random(5)
    names = sorted(resources(size))
    upper = [name for name in names if name.startswith(("tile/1/", "tile/2/"))]
    assert len(upper) == 3
    for name in [*upper, *chosen.sample(names, 4)]:
        path = tmp_path / "log" / name
        whole = path.read_bytes()
        for damaged in (_flipped(whole, chosen.randrange(len(whole))), whole[:-1], None):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            with pytest.raises(Unwell):
                _check_all(recorder, tmp_path / "log", size)
            path.write_bytes(whole)
    _check_all(recorder, tmp_path / "log", size)
    recorder.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM stored_events WHERE rowid=40000",
        "UPDATE stored_events SET rowid=80000 WHERE rowid=70000",
        "UPDATE stored_events SET topic='another/1' WHERE rowid=65536",
        "UPDATE stored_events SET state='text' WHERE rowid=1",  # in SQLite text in the place of bytes
    ],
)
def test_no_event_can_differ_from_the_tiles(statement: str, large: Path, tmp_path: Path) -> None:
    folder = Folder(engine.copy(large, tmp_path / "data"))
    damage(folder.log, statement)
    recorder = recorder_at(folder.store)
    with pytest.raises(Unwell):
        _check_all(recorder, folder.tree, 70_001)
    recorder.close()


def _check_all(recorder: object, folder: Path, size: int) -> None:
    stored, tiles = Stored(recorder, b"the log before"), Tiles(folder, size)  # type: ignore[arg-type]
    for begin in range(0, size, WIDE):
        tiles.check(stored, begin)
    tiles.check_upper()


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


# prints

ROWS = st.lists(st.tuples(st.text(max_size=3), st.one_of(st.none(), st.integers(-3, 3), st.binary(max_size=2))))
KEY = bytes(32)


def printed(*parts: list[tuple[object, ...]]) -> object:
    prints = Prints(KEY)
    for part in parts:
        other = Prints(KEY)
        other.add("rows", part)
        prints.merge(msgspec.msgpack.decode(msgspec.msgpack.encode(other.all()), type=dict[str, tuple[int, bytes]]))
    return prints.all()


@given(rows=ROWS, others=ROWS, at=st.integers(0, 20), seed=st.randoms(use_true_random=False))
def test_prints_are_equal_only_for_the_same_rows_each_as_often(
    rows: list[tuple[object, ...]], others: list[tuple[object, ...]], at: int, seed: random.Random
) -> None:
    shuffled = seed.sample(rows, len(rows))
    assert printed(rows) == printed(shuffled[:at], shuffled[at:])
    same = sorted(map(repr, rows)) == sorted(map(repr, others))
    assert (printed(rows) == printed(others)) is same
    assert printed(rows) != printed(rows, [("one more",)])
