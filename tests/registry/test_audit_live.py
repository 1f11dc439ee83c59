"""The same checks over the live store: what somebody with the database file in their hands could do, and an erasure."""

from pathlib import Path

import msgspec
import pytest

from registry.audit import Code, Report, export, verify, verify_live
from registry.proof.kept import size_of
from registry.service import Registry
from tests.audit_life import SECRETS, Life, again, damage
from tests.engine import binary, changed
from tests.people import CLERK, awarding, person


@pytest.fixture
def copy(live: Life, tmp_path: Path) -> Registry:
    return again(live, tmp_path / "data")


def codes(report: Report) -> set[str]:
    for secret in SECRETS:
        assert secret.encode() not in msgspec.json.encode(report), "a report shows no personal data"
    return {finding.code for finding in report.findings}


def test_a_life_is_whole_after_every_step(live: Life) -> None:
    # live_through has asked after each of its steps
    report = verify_live(live.registry)
    assert (report.ok, report.what, report.personal) == (True, "live", "opened")
    assert report.head == live.registry.log.head() == report.counts["events"]
    assert len(live.then) >= 20


def test_it_agrees_with_the_signed_root_of_an_export(live: Life, tmp_path: Path) -> None:
    export(live.registry, tmp_path / "export")
    assert verify(tmp_path / "export").root == verify_live(live.registry).root


TEXT_FOR_BYTES = "UPDATE stored_events SET state=replace(state, 'clerk', 'chief') WHERE rowid=5"
OTHER_DIGEST = changed('"digest":"', '"digest":"0')


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("DELETE FROM stored_events WHERE rowid=5", {Code.POSITION_GAP}),
        ("UPDATE stored_events SET rowid=900 WHERE rowid=5", {Code.POSITION_GAP}),
        pytest.param(TEXT_FOR_BYTES, {Code.EVENT}, marks=pytest.mark.sqlite_file),  # only SQLite stores it
        (f"UPDATE stored_events SET state={binary(b'{}')} WHERE rowid=5", {Code.EVENT}),
        ("UPDATE stored_events SET topic='title-invalidated/1' WHERE topic='title-revoked/1'", {Code.DECISION}),
        ("DELETE FROM claims WHERE scope='number' AND key LIKE '%0427'", {Code.CLAIM_MISSING}),
        ("DELETE FROM claims WHERE scope='identity'", {Code.CLAIM_MISSING}),
        ("INSERT INTO claims VALUES ('unheard-of', 'x', 'title-x')", {Code.CLAIM_EXTRA}),
        ("INSERT INTO claims VALUES ('identity', 'x', 'holder-x')", {Code.CLAIM_EXTRA}),
        ("UPDATE claims SET stream='title-x' WHERE scope='number'", {Code.CLAIM_DIFFERS}),
        (f"UPDATE data_keys SET wrapped={binary(bytes(60))}", {Code.SEAL}),
        (f"UPDATE stored_events SET state={OTHER_DIGEST} WHERE rowid=1", {Code.REFERENCE}),
    ],
)  # fmt: skip
def test_a_store_changed_behind_the_programs_back(statement: str, named: set[Code], copy: Registry) -> None:
    damage(copy.folder.log, statement)
    assert named <= codes(verify_live(copy))
    copy.close()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE titles SET status='valid' WHERE status='suspended'", {Code.ROW_DIFFERS}),
        ("DELETE FROM titles WHERE status='suspended'", {Code.ROW_MISSING}),
        ("UPDATE papers SET application='paper-x' WHERE state='refused'", {Code.ROW_EXTRA, Code.ROW_MISSING}),
        ("UPDATE proposals SET digest='0'", {Code.ROW_DIFFERS}),
        ("UPDATE names SET pinyin='x'", {Code.ROW_DIFFERS}),
        ("UPDATE names SET name=name||'x' WHERE current", {Code.ROW_EXTRA, Code.ROW_MISSING}),
        ("DELETE FROM names WHERE NOT current", {Code.ROW_MISSING}),
    ],
)  # fmt: skip
def test_a_register_that_does_not_follow_from_the_log(statement: str, named: set[Code], copy: Registry) -> None:
    damage(copy.folder.register, statement)
    assert codes(verify_live(copy)) == named
    copy.register.rebuild()
    assert verify_live(copy).ok, "a register can always be made anew"
    copy.close()


def test_the_tree_of_the_live_log_is_compared_with_what_was_published(live: Life, copy: Registry) -> None:
    report = verify_live(copy)
    assert (report.ok, report.checkpoints) == (True, len(list(live.registry.tlog.checkpoints())))
    assert report.cosigned_by == ("zc.example.cn/log",), "its own second signature"
    copy.award(awarding(person(40)), officer=CLERK)
    assert verify_live(copy).ok, "what was appended since is not in the tree yet"
    copy.tlog.sequence()
    assert verify_live(copy).checkpoints == report.checkpoints + 1
    copy.close()


def test_tiles_and_checkpoints_changed_behind_the_programs_back(copy: Registry) -> None:
    size = size_of(copy.tlog.published() or b"")
    for path in (copy.folder.tree / name for name in (f"tile/entries/000.p/{size}", f"tile/0/000.p/{size}")):
        code, whole = Code.ENTRIES if "entries" in path.parts else Code.TILE, path.read_bytes()
        for damaged in (whole[:-9] + bytes((whole[-9] ^ 1,)) + whole[-8:], whole[:-1]):
            path.write_bytes(damaged)
            assert codes(verify_live(copy)) - {Code.FROZEN} == {code}  # the newest leaf alone may freeze it
        path.write_bytes(whole)
    notes = list(copy.tlog.checkpoints())
    first, second, published = notes[0], notes[1], notes[-1]
    swapped = first.partition(b"\n\n")[0] + second[second.index(b"\n\n") :]
    for name, data, named in (
        ("checkpoints", swapped + b"\n" + b"".join(note + b"\n" for note in notes[1:]), {Code.KEPT_SIGNATURE}),
        ("checkpoints", b"".join(note + b"\n" for note in (second, first, *notes[2:])), {Code.KEPT_ORDER}),
        ("checkpoint", swapped, {Code.CHECKPOINT}),
        ("checkpoint", first, set()),
    ):
        path = copy.folder.tree / name
        whole = path.read_bytes()
        path.write_bytes(data)
        assert codes(verify_live(copy)) == named, name
        path.write_bytes(whole)
    assert copy.tlog.published() == published
    assert verify_live(copy).ok
    copy.close()


def test_events_that_are_not_those_that_were_signed(copy: Registry) -> None:
    state = changed("clerk-01", "clerk-99")
    damage(copy.folder.log, f"UPDATE stored_events SET state={state} WHERE topic='holder-registered/1'")
    assert {Code.FORK, Code.TREE_ROOT, Code.ENTRIES, Code.TILE} == codes(verify_live(copy))
    copy.close()


def test_a_register_that_is_behind_catches_up_first(live: Life, tmp_path: Path) -> None:
    copy = again(live, tmp_path / "data")
    copy.award(awarding(person(40)), officer=CLERK)
    assert copy.register.position < copy.log.head()
    assert verify_live(copy).ok
    copy.close()


def erase(registry: Registry, holder: str) -> None:
    damage(registry.folder.log, f"DELETE FROM data_keys WHERE holder='{holder}'")


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_an_erased_person_leaves_a_history_that_verifies(place: int, live: Life, copy: Registry) -> None:
    holder = copy.title(live.titles[place]).holder
    erase(copy, holder)
    report = verify_live(copy)
    assert codes(report) == {Code.ERASURE, Code.KEY_MISSING}, "the identity index and the name must go with the key"
    assert {finding.stream for finding in report.findings} == {holder}
    damage(copy.folder.log, f"DELETE FROM claims WHERE scope='identity' AND stream='{holder}'")
    copy.register.rebuild()
    assert codes(verify_live(copy)) == {Code.KEY_MISSING}, "nobody decided that"
    copy.close()


def test_what_came_back_of_a_person_who_was_erased_is_found(live: Life, copy: Registry) -> None:
    """By the program they were erased in a unit of the log: the key, the index and the name went, or nothing did."""
    holder = copy.title(live.titles[-1]).holder
    assert copy.holder(holder).erased
    _, wrapped = copy.custody.vault().new_data_key(holder)
    key = f"INSERT INTO data_keys VALUES ('{holder}', {binary(wrapped)})"
    index = f"INSERT INTO claims VALUES ('identity', 'x', '{holder}')"
    name = f"INSERT INTO names VALUES ('{holder}', 'x', 'x', 'x', 1)"
    for path, back, undone in (
        (copy.folder.log, key, f"DELETE FROM data_keys WHERE holder='{holder}'"),
        (copy.folder.log, index, f"DELETE FROM claims WHERE scope='identity' AND stream='{holder}'"),
        (copy.folder.register, name, f"DELETE FROM names WHERE holder='{holder}'"),
    ):
        damage(path, back)
        report = verify_live(copy)
        assert Code.ERASURE in codes(report), back
        assert codes(report) <= {Code.ERASURE, Code.SEAL}, "another key opens nothing"
        damage(path, undone)
        assert verify_live(copy).ok
    copy.close()
