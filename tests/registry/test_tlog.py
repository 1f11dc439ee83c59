"""The transparency log of a registry: sequenced, published, kept, compared; against the tree by its definition."""

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from keys.errors import KeyNotUsable
from keys.signing import Purpose
from registry.audit import Code, verify_live
from registry.errors import BadInput, LogFrozen, NotFound, WrongState
from registry.folder import Folder
from registry.proof.kept import KeptCheckpoints
from registry.proof.proofs import verify_consistency, verify_inclusion
from registry.service import Registry
from registry.titles.decisions import DecisionKind
from tests import engine
from tests.audit_life import damage
from tests.check_log import stored_events
from tests.people import CLERK, Clock, awarding, decided, deciding, found, person, settable
from tests.rotating import rotate

Root = tuple[int, bytes]


def leaf_entries(registry: Registry) -> list[bytes]:
    """The leaf entry of every stored event, by the words of registry/proof/leaf.py and a CBOR library."""
    return [
        cbor2.dumps(
            ["leaf/1", one.position, one.stream, one.version, one.name, json.loads(one.state)["recorded_at"],
             hashlib.sha256(one.state).digest()],
            canonical=True,
        )
        for one in stored_events(registry)
    ]  # fmt: skip


def mth(entries: list[bytes]) -> bytes:
    """MTH(D[n]) as RFC 6962 section 2.1 defines it."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    half = 1 << (len(entries) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + mth(entries[:half]) + mth(entries[half:])).digest()


def said(note: bytes) -> Root:
    """Size and root in a note, read by hand."""
    _, size, root, *_ = note.decode().split("\n")
    return int(size), base64.b64decode(root)


def awarded(registry: Registry, *numbers: int) -> list[str]:
    return [registry.award(awarding(person(n)), officer=CLERK) for n in numbers]


def yesterday(registry: Registry, path: Path) -> Path:
    """A copy of the data folder, and of its log, as they are now."""
    assert registry.log.recorder.fold_in()
    return engine.copy(registry.folder.path, path)


def put_back(registry: Registry, copy: Path, clock: Clock) -> Registry:
    """The copy in the place of the data folder, opened anew."""
    registry.close()
    engine.put_back(copy, registry.folder.path)
    return Registry(Folder(registry.folder.path), registry.custody, clock)


def only_the_log(old: Path, new: Path) -> None:
    """The log of one copy in another: its file, or the settings that say where it is in PostgreSQL."""
    name = "registry.db" if engine.ENGINE == "sqlite" else "config.json"
    shutil.copy(old / name, new / name)


# what is published


def test_every_checkpoint_is_the_tree_over_all_events_so_far(registry: Registry) -> None:
    for n in range(12):
        awarded(registry, n)
        registry.tlog.sequence()
        note = registry.tlog.published()
        assert note
        entries = leaf_entries(registry)
        assert said(note) == (len(entries), mth(entries))
    kept = list(registry.tlog.checkpoints())
    assert [said(one) for one in kept] == [(len(part), mth(part)) for part in (entries[: said(k)[0]] for k in kept)]
    assert said(kept[-1]) == said(registry.tlog.outside.read_bytes())


def test_the_log_s_own_signature_comes_first_and_holds(registry: Registry) -> None:
    awarded(registry, 1)
    registry.tlog.sequence()
    note = registry.tlog.published() or b""
    text, _, lines = note.partition(b"\n\n")
    text += b"\n"
    first, second, rest = lines.decode().split("\n")
    assert rest == ""
    assert first.startswith("— zc.example.cn/log ")
    assert second.startswith("— zc.example.cn/log ")
    jwk = next(key for key in registry.custody.keyring.to_jwks()["keys"] if key["purpose"] == "checkpoint/1")
    public = base64.urlsafe_b64decode(jwk["x"] + "=")
    blob = base64.b64decode(first.rpartition(" ")[2])
    assert blob[:4] == hashlib.sha256(b"zc.example.cn/log\n\x01" + public).digest()[:4]
    Ed25519PublicKey.from_public_bytes(public).verify(blob[4:], text)
    assert len(base64.b64decode(second.rpartition(" ")[2])) == 4 + 8 + 2420  # ML-DSA-44 (FIPS 204) with its time


def test_nothing_new_is_nothing_signed(registry: Registry, second: Registry) -> None:
    awarded(registry, 1)
    registry.tlog.sequence()
    files = {path: path.read_bytes() for path in registry.folder.tree.rglob("*") if path.is_file()}
    registry.tlog.sequence()
    second.tlog.sequence()
    assert {path: path.read_bytes() for path in registry.folder.tree.rglob("*") if path.is_file()} == files


def test_another_process_goes_on_where_one_stopped(registry: Registry, second: Registry) -> None:
    for n in range(6):
        awarded(registry, n)
        (registry if n % 2 else second).tlog.sequence()
    assert said(registry.tlog.published() or b"") == (len(entries := leaf_entries(second)), mth(entries))


def test_while_another_process_is_at_it_nobody_waits_who_need_not(registry: Registry, second: Registry) -> None:
    awarded(registry, 1)
    with registry.tlog._alone():
        assert second.tlog.sequence(wait=False) is None
    assert second.tlog.sequence(wait=False)


# proofs


def test_every_event_is_included_in_every_checkpoint_after_it(registry: Registry) -> None:
    for n in range(5):
        awarded(registry, n)
        registry.tlog.sequence()
    entries = leaf_entries(registry)
    for note in registry.tlog.checkpoints():
        size, root = said(note)
        for index in range(size):
            assert registry.tlog.entry(index) == entries[index]
            leaf = hashlib.sha256(b"\x00" + entries[index]).digest()
            verify_inclusion(leaf, index, size, registry.tlog.inclusion(index, size), root)
        for other in registry.tlog.checkpoints():
            old, old_root = said(other)
            if old <= size:
                verify_consistency(old, old_root, size, root, registry.tlog.consistency(old, size))


def test_an_event_is_found_by_its_position_and_the_oldest_checkpoint_that_has_it(registry: Registry) -> None:
    for n in range(4):
        awarded(registry, n)
        registry.tlog.sequence()
    sizes = [said(note)[0] for note in registry.tlog.checkpoints()]
    for event in stored_events(registry):
        index = registry.tlog.index_of(event.position)
        assert index == event.position - 1
        covering = registry.tlog.checkpoint_covering(index)
        assert covering
        assert said(covering)[0] == min(size for size in sizes if size > index)


def test_positions_with_gaps_still_have_dense_indexes(registry: Registry) -> None:
    """A store that skips numbers (another engine does after a failed write) leaves no hole in the tree."""
    awarded(registry, 1, 2)
    founded = said(registry.tlog.published() or b"")[0]
    damage(registry.folder.log, f"UPDATE stored_events SET rowid=rowid+100 WHERE rowid>{founded + 1}")
    registry.tlog.sequence()
    entries = leaf_entries(registry)
    assert said(registry.tlog.published() or b"") == (len(entries), mth(entries))
    for index, event in enumerate(stored_events(registry)):
        assert registry.tlog.index_of(event.position) == index
    with pytest.raises(NotFound):
        registry.tlog.index_of(50)


def test_what_is_not_in_the_log_has_no_proof(registry: Registry) -> None:
    awarded(registry, 1)
    size = registry.tlog.sequence()
    assert size
    awarded(registry, 2)
    end = size.size
    for ask in (
        lambda: registry.tlog.index_of(registry.log.head()),
        lambda: registry.tlog.index_of(0),
        lambda: registry.tlog.entry(end),
        lambda: registry.tlog.entry(-1),
        lambda: registry.tlog.inclusion(end, end),
        lambda: registry.tlog.inclusion(0, end + 1),
        lambda: registry.tlog.consistency(2, 1),
        lambda: registry.tlog.consistency(0, end + 1),
    ):
        with pytest.raises(NotFound):
            ask()
    assert registry.tlog.checkpoint_covering(end) is None


def test_a_certificate_carries_the_index_of_what_was_signed(registry: Registry) -> None:
    [title] = awarded(registry, 1)
    certificate = registry.issue(title, settable, officer=CLERK)
    [prepared] = [one for one in stored_events(registry) if one.name == "certificate-prepared/1"]
    assert certificate.leaf == prepared.position - 1
    size, root = said(registry.tlog.published() or b"")
    assert size == registry.log.head()  # the signed event is published, too
    leaf = hashlib.sha256(b"\x00" + leaf_entries(registry)[certificate.leaf]).digest()
    verify_inclusion(leaf, certificate.leaf, size, registry.tlog.inclusion(certificate.leaf, size), root)


# old copies and forks


def frozen(registry: Registry) -> str:
    """Nothing is answered and nothing is signed; say why."""
    head, files = registry.log.recorder.max_notification_id(), sorted(registry.folder.tree.rglob("*"))
    reasons = set()
    asks: list[Callable[[], object]] = [
        lambda: registry.verifier.check("7K3M9XQ4T2VD8HNRS"),
        lambda: registry.award(awarding(person(99)), officer=CLERK),
        lambda: registry.find_title("3311002021000001"),
        registry.register.catch_up,
        registry.tlog.sequence,
    ]
    for ask in asks:
        with pytest.raises(LogFrozen) as caught:
            ask()
        reasons.add(caught.value.message)
        assert "restore" in caught.value.fix or "第二存储" in caught.value.message
    assert registry.log.recorder.max_notification_id() == head
    assert sorted(registry.folder.tree.rglob("*")) == files
    [reason] = reasons
    assert reason in (registry.continuity.examine() or "")
    return reason


def test_yesterday_s_folder_is_noticed_and_today_s_heals_it(registry: Registry, clock: Clock, tmp_path: Path) -> None:
    """The revocation of today must not vanish with a copy of yesterday."""
    [title] = awarded(registry, 1)
    certificate = registry.issue(title, settable, officer=CLERK)
    old = yesterday(registry, tmp_path / "old")
    decided(registry, title, deciding(DecisionKind.REVOCATION))
    registry.tlog.sequence()
    new = yesterday(registry, tmp_path / "new")
    restored = put_back(registry, old, clock)
    assert "旧副本" in frozen(restored)
    healed = put_back(restored, new, clock)
    assert healed.verifier.check(certificate.code).status == "revoked"
    awarded(healed, 2)
    assert verify_live(healed).ok
    healed.close()


def test_only_the_database_of_yesterday(registry: Registry, clock: Clock, tmp_path: Path) -> None:
    awarded(registry, 1)
    registry.tlog.sequence()
    old = yesterday(registry, tmp_path / "old")
    awarded(registry, 2)
    registry.tlog.sequence()
    new = yesterday(registry, tmp_path / "new")
    only_the_log(old, new)
    restored = put_back(registry, new, clock)
    assert "旧副本" in frozen(restored)
    restored.close()


def test_a_copy_that_went_its_own_way_is_a_fork(registry: Registry, clock: Clock, tmp_path: Path) -> None:
    awarded(registry, 1)
    registry.tlog.sequence()
    old = yesterday(registry, tmp_path / "old")
    awarded(registry, 2)
    registry.tlog.sequence()
    elsewhere = Registry(Folder(old), registry.custody, clock)
    clock.forward(hours=1)
    awarded(elsewhere, 3, 4)
    elsewhere.tlog.sequence()
    assert elsewhere.tlog.outside != registry.tlog.outside
    grown = yesterday(elsewhere, tmp_path / "grown")
    elsewhere.close()
    forked = put_back(registry, grown, clock)
    assert "分叉" in frozen(forked)
    forked.close()


def test_a_database_that_was_written_on_from_an_old_copy(registry: Registry, clock: Clock, tmp_path: Path) -> None:
    """The log folder is the right one; the events behind it are others."""
    awarded(registry, 1)
    registry.tlog.sequence()
    old = yesterday(registry, tmp_path / "old")
    awarded(registry, 2)
    registry.tlog.sequence()
    new = yesterday(registry, tmp_path / "new")
    elsewhere = Registry(Folder(old), registry.custody, clock)
    clock.forward(hours=1)
    awarded(elsewhere, 3, 4)
    yesterday(elsewhere, tmp_path / "unused")
    elsewhere.close()
    only_the_log(old, new)
    forked = put_back(registry, new, clock)
    assert "分叉" in frozen(forked)
    forked.close()


@pytest.mark.parametrize("content", [b"", b"not a note\n", "— a b\n".encode()])
def test_a_second_store_that_holds_something_else(registry: Registry, second: Registry, content: bytes) -> None:
    awarded(registry, 1)
    registry.tlog.sequence()
    registry.tlog.outside.write_bytes(content)
    assert "第二存储" in frozen(second)


def test_a_checkpoint_of_another_log_in_the_second_store(registry: Registry, second: Registry) -> None:
    awarded(registry, 1)
    registry.tlog.sequence()
    note = registry.tlog.outside.read_bytes()
    registry.tlog.outside.write_bytes(note.replace(b"zc.example.cn", b"zc.example.com"))
    assert "第二存储" in frozen(second)


def test_what_is_lost_for_ever_is_followed_by_a_log_that_commits_to_it(
    registry: Registry, clock: Clock, tmp_path: Path
) -> None:
    [title] = awarded(registry, 1)
    registry.issue(title, settable, officer=CLERK)
    old = yesterday(registry, tmp_path / "old")
    awarded(registry, 2)
    registry.tlog.sequence()
    signed = registry.tlog.published() or b""
    restored = put_back(registry, old, clock)
    frozen(restored)
    restored.tlog.succeed("磁盘损坏，无更新的备份")
    restored.close()
    again = Registry(Folder(registry.folder.path), registry.custody, clock)
    assert again.tlog.origin == "zc.example.cn/log/2"
    [first, *rest] = [again.tlog.entry(index) for index in range(again.log.head() + 1)]
    assert cbor2.loads(first) == ["log/1", 0, "磁盘损坏，无更新的备份", hashlib.sha256(signed).digest(), signed]
    assert rest == leaf_entries(again)
    awarded(again, 3)
    again.tlog.sequence()
    size, root = said(again.tlog.published() or b"")
    assert (size, root) == (again.log.head() + 1, mth([first, *leaf_entries(again)]))
    for event in stored_events(again):
        assert again.tlog.index_of(event.position) == event.position
    assert again.verifier.check(again.title(title).certificates[0].code).status == "valid"
    assert again.issue(awarded(again, 4)[0], settable, officer=CLERK).leaf == again.log.head() - 1
    assert verify_live(again).ok
    assert (registry.folder.tree / "checkpoints").exists()  # the old one stays for everyone to see
    again.close()


def test_a_log_that_is_well_is_not_followed(registry: Registry, clock: Clock, tmp_path: Path) -> None:
    awarded(registry, 1)
    registry.tlog.sequence()
    old = yesterday(registry, tmp_path / "old")
    with pytest.raises(WrongState, match="没有冻结"):
        registry.tlog.succeed("试一试")
    awarded(registry, 2)
    registry.tlog.sequence()
    restored = put_back(registry, old, clock)
    for reason in ("", " ", "很" * 501):
        with pytest.raises(BadInput, match="理由"):
            restored.tlog.succeed(reason)
    assert not (registry.folder.tree / "2").exists()
    restored.close()


def test_a_log_is_followed_once(registry: Registry, second: Registry) -> None:
    """Two operators at once: a second beginning under the same name would be a fork."""
    awarded(registry, 1)
    registry.tlog.sequence()
    registry.tlog.outside.write_bytes(b"damaged")
    registry.tlog.succeed("第一人")
    files = {path: path.read_bytes() for path in registry.folder.tree.rglob("*") if path.is_file()}
    with pytest.raises(WrongState, match="已另起新日志"):
        second.tlog.succeed("第二人")
    assert {path: path.read_bytes() for path in registry.folder.tree.rglob("*") if path.is_file()} == files


def test_a_process_that_sequences_never_freezes_another_that_looks(registry: Registry, second: Registry) -> None:
    """What one process keeps, publishes and lays outside is never seen half by the other."""
    stop = threading.Event()

    def look() -> int:
        looks = 0
        while not stop.is_set():
            second.continuity.require()
            second.tlog.compare()
            looks += 1
        second.log.recorder.close()
        return looks

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        for n in range(150):
            awarded(registry, n)
            registry.tlog.sequence()
        stop.set()
        assert looking.result() > 20


# tiles and keys


def test_lost_tiles_are_made_again_from_the_events(registry: Registry, second: Registry) -> None:
    awarded(registry, *range(200))
    registry.tlog.sequence()
    tiles = {path: path.read_bytes() for path in (registry.folder.tree / "tile").rglob("*") if path.is_file()}
    note = registry.tlog.published()
    shutil.rmtree(registry.folder.tree / "tile")
    second.tlog.rebuild()
    found = {path: path.read_bytes() for path in (registry.folder.tree / "tile").rglob("*") if path.is_file()}
    assert all(tiles.get(path) == data for path, data in found.items())
    assert second.tlog.published() == note
    shutil.rmtree(registry.folder.tree / "tile")
    awarded(second, 300)
    assert second.tlog.sequence()
    assert said(second.tlog.published() or b"") == (len(entries := leaf_entries(second)), mth(entries))


def test_a_changed_record_is_found_when_everything_is_read_again(registry: Registry, second: Registry) -> None:
    awarded(registry, *range(200))
    registry.tlog.sequence()
    assert verify_live(registry).ok
    other = engine.changed("clerk-01", "clerk-02")
    damage(registry.folder.log, f"UPDATE stored_events SET state={other} WHERE rowid=77")
    assert registry.continuity.examine() is None
    assert {Code.FORK, Code.TREE_ROOT} <= {one.code for one in verify_live(second).findings}
    with pytest.raises(LogFrozen, match="分叉"):
        second.tlog.rebuild()


@pytest.mark.parametrize("name", ["tile/0/000", "tile/entries/000", "tile/1/000.p/1"])
def test_a_changed_tile_is_found_when_everything_is_read_again(registry: Registry, name: str) -> None:
    awarded(registry, *range(140))
    registry.tlog.sequence()
    path = registry.folder.tree / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))
    other = Registry(Folder(registry.folder.path), registry.custody, registry.clock)
    found = {one.code for one in verify_live(other).findings}
    assert found & {Code.TILE, Code.ENTRIES}
    assert found <= {Code.TILE, Code.ENTRIES, Code.FROZEN}
    other.tlog.rebuild()
    assert verify_live(other).ok
    other.close()


def test_an_expired_key_signs_no_checkpoint_and_the_next_one_does(registry: Registry, clock: Clock) -> None:
    registry.custody.keyring  # noqa: B018 - the keys of this test are its own
    awarded(registry, 1)
    before = registry.tlog.published()
    clock.forward(days=4 * 365)
    with pytest.raises(KeyNotUsable):
        registry.tlog.sequence()
    assert registry.tlog.published() == before


def test_checkpoints_of_before_a_rotation_still_hold(tmp_path: Path, passphrase: bytes, clock: Clock) -> None:
    from tests.conftest import CONFIG

    registry = Registry.create(tmp_path / "data", passphrase, engine.kept(CONFIG), clock)
    found(registry)
    awarded(registry, 1)
    registry.tlog.sequence()
    for purpose in (Purpose.CHECKPOINT, Purpose.COSIGNATURE):
        rotate(registry.custody, purpose, clock.forward(days=1))
    awarded(registry, 2)
    registry.tlog.sequence()
    assert len(registry.tlog.keys()) == len(registry.tlog.cosigner_keys()) == 2
    assert verify_live(registry).ok
    registry.close()


# the file of all checkpoints


def a_note(size: int) -> bytes:
    root = base64.b64encode(hashlib.sha256(str(size).encode()).digest()).decode()
    return f"zc.example.cn/log\n{size}\n{root}\n\n— zc.example.cn/log {'A' * (size % 4000)}\n— b {size}\n".encode()


def test_many_checkpoints_are_kept_and_each_is_found(tmp_path: Path) -> None:
    kept = KeptCheckpoints(tmp_path / "checkpoints")
    assert kept.last() is None
    assert list(kept.all()) == []
    sizes = [n * 3 for n in range(1, 2500)]
    (tmp_path / "checkpoints").write_bytes(b"".join(a_note(size) + b"\n" for size in sizes[:-1]))
    kept.append(a_note(sizes[-1]))
    assert list(kept.all()) == [a_note(size) for size in sizes]
    assert kept.last() == a_note(sizes[-1])
    for index in (0, 1, 2, 3, 4, 1000, 3456, 7493, 7494, 7495, 7496):
        assert kept.covering(index) == a_note(index // 3 * 3 + 3)
    assert kept.covering(7497) is None


def test_a_note_that_was_cut_by_a_crash_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints"
    kept = KeptCheckpoints(path)
    kept.append(a_note(70))
    whole = path.read_bytes()
    for cut in range(1, len(a_note(150)) + 1):
        path.write_bytes(whole + (a_note(150) + b"\n")[:cut])
        assert kept.last() == a_note(70)
        assert list(kept.all()) == [a_note(70)]
        assert kept.covering(100) is None
    kept.append(a_note(160))
    assert list(kept.all()) == [a_note(70), a_note(160)]


def test_a_kept_checkpoint_that_was_changed_is_said(registry: Registry, second: Registry) -> None:
    for n in (1, 2):
        awarded(registry, n)
        registry.tlog.sequence()
    path = registry.folder.tree / "checkpoints"
    first, *rest = path.read_bytes().split(b"\n\n")
    path.write_bytes(b"\n\n".join([first.replace(b"\n2\n", b"\n3\n"), *rest]))
    assert Code.KEPT_SIGNATURE in {one.code for one in verify_live(second).findings}
