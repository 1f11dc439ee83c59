"""An export: what is in it, read by a second program, and that it is there whole or not at all."""

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import cbor2
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from keys.custody import Custody
from keys.signing import Purpose, Signer
from registry.audit import Manifest, export, layout, verify
from registry.errors import CorruptHistory, LogFrozen, Refused
from registry.proof.cosignature import CosignerKey, cosign
from registry.proof.kept import size_of
from registry.service import Registry
from tests import engine
from tests.audit_life import SECRETS, Life, again, bytes_of, damage, fresh
from tests.people import CLERK, Clock, awarding, person


@pytest.fixture(scope="module")
def large_once(made: tuple[Path, Custody], tmp_path_factory: pytest.TempPathFactory) -> Life:
    """A registry of more than two full tiles, and two checkpoints that leave some events out."""
    clock = Clock()
    registry = fresh(made, tmp_path_factory.mktemp("large") / "data", clock)
    for first in (1, 101):
        for n in range(first, first + 100):
            registry.award(awarding(person(n)), officer=CLERK)
        registry.tlog.sequence()
    for title in registry.register.without_certificate()[:60]:
        holder, day = registry.title(title).holder, date(2026, 1, 1)
        registry.rename_holder(holder, "新名", basis="change", document_no="1", effective_on=day, officer=CLERK)
    for n in range(201, 240):
        registry.award(awarding(person(n)), officer=CLERK)
    return Life(registry, clock)


@pytest.fixture
def large(large_once: Life, tmp_path: Path) -> Iterator[Registry]:
    """A copy of it for every test."""
    copy = again(large_once, tmp_path / "large")
    yield copy
    copy.close()


# A second program: json, hashlib, cbor2 and the RFC, none of our own code.


def second_root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + second_root(leaves[:k]) + second_root(leaves[k:])).digest()


def second_leaf(line: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + second_entry(line)).digest()


def second_entry(line: bytes) -> bytes:
    event = json.loads(line)
    state = line[line.index(b',"state":') + len(b',"state":') : -1]  # the bytes as they stand, to the last brace
    assert json.loads(state) == event["state"]
    parts = [event[field] for field in ("position", "stream", "version", "name")]
    parts = ["leaf/1", *parts, event["state"]["recorded_at"], hashlib.sha256(state).digest()]
    return cbor2.dumps(parts, canonical=True)


def open_note(note: bytes, verifier_key: str) -> list[str]:
    """Check a note with the library's own key; return its lines."""
    name, key_id, public = verifier_key.split("+", 2)
    text, signatures = note.decode().split("\n\n")
    dash, signer, encoded = signatures.split("\n")[0].split(" ")  # the log's own comes first
    data = base64.b64decode(encoded)
    assert (dash, signer, data[:4].hex()) == ("—", name, key_id)
    Ed25519PublicKey.from_public_bytes(base64.b64decode(public)[1:]).verify(data[4:], (text + "\n").encode())
    return text.split("\n")


def test_a_second_program_gets_the_signed_root_from_the_lines(exported: Path) -> None:
    lines = (exported / "events.jsonl").read_bytes().split(b"\n")
    assert lines.pop() == b""
    root = base64.b64encode(second_root([second_leaf(line) for line in lines])).decode()
    manifest = json.loads((exported / "manifest.json").read_bytes())
    signed = open_note((exported / "checkpoint").read_bytes(), manifest["checkpoint_key"])
    assert signed == ["zc.example.cn/log", str(len(lines)), root]


def test_a_second_program_finds_every_file_under_the_signed_manifest(exported: Path) -> None:
    files = bytes_of(exported)
    note, manifest = files.pop("manifest.note"), files.pop("manifest.json")
    content = json.loads(manifest)
    found = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    assert content["files"] == found
    origin, _, public = content["checkpoint_key"].split("+", 2)
    name, raw = f"{origin}/export", base64.b64decode(public)
    key_id = hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()[:8]
    assert open_note(note, f"{name}+{key_id}+{public}") == [
        "title-registry/export/2",
        f"sha256:{hashlib.sha256(manifest).hexdigest()}",
    ]


def second_tiles(entries: list[bytes]) -> dict[str, bytes]:
    """C2SP tlog-tiles for fewer than 65,536 leaves, from its text: each tile and bundle by its path."""
    hashes = [hashlib.sha256(b"\x00" + entry).digest() for entry in entries]
    bundles = [len(entry).to_bytes(2, "big") + entry for entry in entries]
    found = {}
    for kind, parts in (("entries", bundles), ("0", hashes), ("1", [second_root(one) for one in full(hashes)])):
        for at in range(0, len(parts), 256):
            chunk = parts[at : at + 256]
            name = f"tile/{kind}/{at // 256:03}" + (f".p/{len(chunk)}" if len(chunk) < 256 else "")
            found[name] = b"".join(chunk)
    return found


def full(hashes: list[bytes]) -> list[list[bytes]]:
    return [hashes[at : at + 256] for at in range(0, len(hashes) - 255, 256)]


def test_a_second_program_makes_the_same_tiles_from_the_lines(large: Registry, tmp_path: Path) -> None:
    export(large, tmp_path / "export")
    files = bytes_of(tmp_path / "export")
    entries = [second_entry(line) for line in files["events.jsonl"].splitlines()]
    assert len(entries) > 512
    assert {name: data for name, data in files.items() if name.startswith("tile/")} == second_tiles(entries)
    assert verify(tmp_path / "export").ok


def test_a_second_program_finds_every_kept_checkpoint_true(exported: Path) -> None:
    lines = (exported / "events.jsonl").read_bytes().splitlines()
    key = json.loads((exported / "manifest.json").read_bytes())["checkpoint_key"]
    notes = (exported / "checkpoints").read_bytes()
    # a note is a text and signatures, with an empty line between; another empty line follows each
    pieces = notes.split(b"\n\n")
    assert pieces.pop() == b""
    sizes = []
    for text, signatures in zip(pieces[::2], pieces[1::2], strict=True):
        _, size, root = open_note(text + b"\n\n" + signatures + b"\n", key)
        assert root == base64.b64encode(second_root([second_leaf(line) for line in lines[: int(size)]])).decode()
        sizes.append(int(size))
    assert sizes == sorted(set(sizes))
    assert (len(sizes) > 5, sizes[-1]) == (True, len(lines))
    assert notes.endswith((exported / "checkpoint").read_bytes() + b"\n")


def test_the_statistics_are_counted_from_the_rows(exported: Path) -> None:
    found = json.loads((exported / "statistics.json").read_bytes())
    lines = [json.loads(line) for line in (exported / "register.jsonl").read_bytes().splitlines()]
    titles, papers = ([one["row"] for one in lines if one["table"] == table] for table in ("titles", "papers"))

    def counted(*fields: str) -> list[list[object]]:
        return [[*key, n] for key, n in sorted(Counter(tuple(row[one] for one in fields) for row in titles).items())]

    assert found == {
        "titles": len(titles),
        "holders": len({row["holder"] for row in titles}),
        "certified": sum(row["version"] > 0 for row in titles),
        "papers": Counter(row["state"] for row in papers),
        "by_authority": counted("authority", "level", "status"),
        "by_series": counted("series", "level"),
        "by_year": counted("year", "obtained"),
    }
    assert (found["titles"], found["certified"], found["papers"]) == (6, 3, {"approved": 2, "refused": 1})


def test_the_kit_goes_along_as_it_is(exported: Path) -> None:
    assert (exported / "verify_export.py").read_bytes() == layout.kit()


def test_the_lines_are_the_stored_bytes_and_the_stored_claims(live: Life, exported: Path) -> None:
    stored = engine.rows(live.registry, "stored_events")
    lines = (exported / "events.jsonl").read_bytes().splitlines()
    assert len(lines) == len(stored)
    for line, (position, stream, version, name, state) in zip(lines, stored, strict=True):
        event = json.loads(line)
        assert (event["position"], event["stream"], event["version"], event["name"]) == (
            position,
            stream,
            version,
            name,
        )
        assert line.endswith(b',"state":' + state + b"}")
    claims = [row for row in engine.rows(live.registry, "claims") if row[0] != "identity"]
    kept = [tuple(json.loads(line).values()) for line in (exported / "claims.jsonl").read_bytes().splitlines()]
    assert kept == claims
    assert {"code", "number", "paper", "title"} <= {scope for scope, _, _ in kept}


def test_the_register_in_it_is_the_live_one_without_names(live: Life, exported: Path) -> None:
    rows = [json.loads(line) for line in (exported / "register.jsonl").read_bytes().splitlines()]
    for table in ("titles", "proposals", "papers"):
        kept = [one["row"] for one in rows if one["table"] == table]
        assert kept == msgspec.to_builtins(list(live.registry.register.all_rows(table)))
        assert kept, table
    assert {one["table"] for one in rows} == {"titles", "proposals", "papers"}


def test_no_name_and_no_identity_number_leaves_in_clear(exported: Path) -> None:
    everything = b"\n".join(bytes_of(exported).values())
    assert "工程师".encode() in everything, "the search finds Chinese text"
    for secret in SECRETS:
        assert secret.encode() not in everything, secret


def test_the_manifest_counts_what_happened(live: Life, exported: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_bytes())
    stored = engine.rows(live.registry, "stored_events")
    assert manifest["head"] == len(stored) == manifest["counts"]["events"]
    assert manifest["counts"] | {"events": 0, "claims": 0} == {
        "events": 0, "claims": 0, "streams": len({row[1] for row in stored}), "titles": 6, "papers": 3, "proposals": 1,
    }  # fmt: skip
    assert manifest["created_at"] == json.loads(stored[-1][4])["recorded_at"]


def test_the_same_log_gives_the_same_bytes(live: Life, exported: Path, tmp_path: Path) -> None:
    done: list[int] = []
    live.clock.now += timedelta(days=1)
    manifest = export(live.registry, tmp_path / "again", done.append)
    assert bytes_of(tmp_path / "again") == bytes_of(exported)
    assert (done[-1], done) == (2 * manifest.head, sorted(done)), "progress only goes on, to twice the events"


def test_an_empty_directory_is_taken_and_a_full_one_refused(live: Life, tmp_path: Path) -> None:
    empty, full, file = tmp_path / "empty", tmp_path / "full", tmp_path / "file"
    empty.mkdir()
    export(live.registry, empty)
    assert verify(empty).ok
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    file.write_text("mine")
    for taken in (full, file, empty):
        before = bytes_of(taken)
        with pytest.raises(Refused, match="不为空"):
            export(live.registry, taken)
        assert bytes_of(taken) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full"]


@pytest.mark.parametrize(
    "wrong",
    [
        f"UPDATE stored_events SET state={engine.binary(b'no json')} WHERE rowid=4",
        f"UPDATE stored_events SET state={engine.changed(':', ': ')} WHERE rowid=4",
        "UPDATE stored_events SET topic='never-heard-of/1' WHERE rowid=4",
        "UPDATE stored_events SET originator_version=7 WHERE rowid=4",
        "DELETE FROM stored_events WHERE rowid=4",
    ],
)
def test_a_damaged_log_is_not_exported_and_nothing_is_left(
    wrong: str, made: tuple[Path, Custody], tmp_path: Path
) -> None:
    registry = fresh(made, tmp_path / "data", Clock())
    for n in range(1, 4):
        registry.award(awarding(person(n)), officer=CLERK)
    damage(registry.folder.log, wrong)
    with pytest.raises(CorruptHistory):
        export(registry, tmp_path / "export")
    assert {path.name for path in tmp_path.iterdir()} - {"data.checkpoints"} == {"data"}
    registry.close()


# Up to any kept checkpoint, and on from where it was interrupted


def test_an_export_of_an_older_checkpoint_is_what_it_was_then(large: Registry, tmp_path: Path) -> None:
    sizes = [size_of(note) for note in large.tlog.checkpoints()]
    export(large, tmp_path / "then")
    now = manifest_of(tmp_path / "then").head
    large.award(awarding(person(900)), officer=CLERK)
    large.issue(large.register.without_certificate()[0], lambda _: None, officer=CLERK)
    export(large, tmp_path / "again", at=now)
    assert bytes_of(tmp_path / "again") == bytes_of(tmp_path / "then")
    assert sizes[-1] < now
    for size in sizes:
        export(large, tmp_path / str(size), at=size)
        assert verify(tmp_path / str(size)).ok
        assert manifest_of(tmp_path / str(size)).head == size
    sizes = [size_of(note) for note in large.tlog.checkpoints()]
    with pytest.raises(Refused, match=f"最近的是 {sizes[1]} 和 {sizes[2]}"):
        export(large, tmp_path / "between", at=sizes[1] + 1)
    assert not (tmp_path / "between").exists()


def manifest_of(directory: Path) -> Manifest:
    return msgspec.json.decode((directory / "manifest.json").read_bytes(), type=Manifest)


class Killed(BaseException):
    """The process ends here, without any clearing up of ours."""


def killed(registry: Registry, directory: Path, after: int) -> Path:
    """Export, and be killed once that many events were told done."""

    def tell(done: int) -> None:
        if done >= after:
            raise Killed

    with pytest.raises(Killed):
        export(registry, directory, tell)
    return directory.with_name(f"{directory.name}.partial")


@pytest.mark.parametrize(("after", "cut"), [(1, 0), (1, 150), (600, -1), (600, -150)])
def test_what_was_interrupted_goes_on_to_the_same_bytes(after: int, cut: int, large: Registry, tmp_path: Path) -> None:
    partial = killed(large, tmp_path / "export", after)
    assert partial.is_dir()
    assert not (tmp_path / "export").exists()
    head = large.tlog.sequence()
    whole = (partial / layout.EVENTS).read_bytes()
    (partial / layout.EVENTS).write_bytes(whole[:cut])  # what the disk had of it: cut in a line, or before its end
    (partial / "reference").mkdir(exist_ok=True)
    (partial / "reference" / "plan-1999.json").write_bytes(b"of an older program")
    (partial / "tile" / "0").mkdir(parents=True, exist_ok=True)
    (partial / "tile" / "0" / "000").write_bytes(b"cut")
    (partial / "claims.jsonl.new").write_bytes(b"cut")
    (partial / layout.MANIFEST).write_bytes(b"{}")
    large.award(awarding(person(901)), officer=CLERK)  # the log goes on; the export stays of its size
    manifest = export(large, tmp_path / "export")
    assert head is not None
    assert manifest.head == head.size < large.log.head()
    assert not partial.exists()
    export(large, tmp_path / "whole", at=manifest.head)
    assert bytes_of(tmp_path / "export") == bytes_of(tmp_path / "whole")
    assert verify(tmp_path / "export").ok


def test_a_leftover_that_was_changed_is_not_gone_on_with(large: Registry, tmp_path: Path) -> None:
    partial = killed(large, tmp_path / "export", 600)
    events = (partial / layout.EVENTS).read_bytes()
    (partial / layout.EVENTS).write_bytes(events.replace(CLERK.encode(), b"chief-02", 1))
    with pytest.raises(CorruptHistory, match="中断的导出"):
        export(large, tmp_path / "export")
    assert not partial.exists(), "the next try begins anew"
    export(large, tmp_path / "export")
    assert verify(tmp_path / "export").ok


def test_a_leftover_of_another_size_or_another_registry_is_refused(
    large: Registry, made: tuple[Path, Custody], tmp_path: Path, passphrase: bytes
) -> None:
    first = size_of(next(large.tlog.checkpoints()))
    partial = killed(large, tmp_path / "export", 600)
    before = bytes_of(partial)
    with pytest.raises(Refused, match=f"不是 {first}"):
        export(large, tmp_path / "export", at=first)
    other = Registry.create(tmp_path / "other", passphrase, engine.kept(large.config), Clock())
    with pytest.raises(Refused, match="另一个登记库"):
        export(other, tmp_path / "export")
    other.close()
    (partial / "notes").mkdir()
    (partial / "notes" / "Diary.txt").write_text("mine")
    with pytest.raises(Refused, match=r"Diary\.txt"):
        export(large, tmp_path / "export")
    shutil.rmtree(partial / "notes")
    (partial / layout.CHECKPOINT).rename(tmp_path / "checkpoint")
    with pytest.raises(Refused, match="不知道是哪次导出的"):
        export(large, tmp_path / "export")
    (tmp_path / "checkpoint").rename(partial / layout.CHECKPOINT)
    assert bytes_of(partial) == before
    export(large, tmp_path / "export")
    assert verify(tmp_path / "export").ok


def test_two_processes_do_not_export_to_one_folder(large: Registry, tmp_path: Path) -> None:
    refused = []

    def tell(_: int) -> None:
        with pytest.raises(Refused, match="另一个进程"):
            export(large, tmp_path / "export")
        refused.append(True)

    export(large, tmp_path / "export", tell)
    assert refused
    assert verify(tmp_path / "export").ok


KILLED = """
import os, signal, sys
from pathlib import Path
from registry.audit import export
from registry.service import Registry

registry = Registry.open(Path(sys.argv[1]), sys.stdin.buffer.read())
kill = lambda done: os.kill(os.getpid(), signal.SIGKILL) if done >= int(sys.argv[3]) else None
export(registry, Path(sys.argv[2]), kill)
"""


def test_after_kill_9_the_same_command_finishes(large: Registry, tmp_path: Path, passphrase: bytes) -> None:
    for after in (1, 600):
        command = [sys.executable, "-c", KILLED, str(large.folder.path), str(tmp_path / "export"), str(after)]
        done = subprocess.run(command, input=passphrase, check=False, capture_output=True, env=os.environ)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        assert not (tmp_path / "export").exists()
    export(large, tmp_path / "export")
    export(large, tmp_path / "whole")
    assert bytes_of(tmp_path / "export") == bytes_of(tmp_path / "whole")


def test_a_log_that_does_not_extend_its_last_checkpoint_is_not_exported(large: Registry, tmp_path: Path) -> None:
    damage(large.folder.log, "DELETE FROM stored_events WHERE rowid > 300")
    with pytest.raises(LogFrozen):
        export(large, tmp_path / "export", at=size_of(next(large.tlog.checkpoints())))
    assert not (tmp_path / "export.partial").exists()


def test_a_log_whose_events_are_not_those_that_were_signed_is_not_exported(large: Registry, tmp_path: Path) -> None:
    large.tlog.sequence()
    damage(
        large.folder.log,
        f"UPDATE stored_events SET state={engine.changed('clerk-01', 'clerk-99')} WHERE rowid=40",
    )
    with pytest.raises(CorruptHistory, match="与检查点所签的根不符"):
        export(large, tmp_path / "export")
    assert not (tmp_path / "export.partial").exists()


def test_the_checkpoint_of_now_has_the_cosignatures_that_were_gathered(large: Registry, tmp_path: Path) -> None:
    large.tlog.sequence()
    note = large.tlog.published()
    assert note is not None
    text = note.partition(b"\n\n")[0] + b"\n"
    witness = Signer(Ed25519PrivateKey.generate(), Purpose.COSIGNATURE)
    key = CosignerKey.of("archive.example", witness.public)
    large.tlog.publish_cosigned(note + cosign(text, key.name, witness, large.clock()))
    policies = {"met": "quorum archive\n", "not met": "quorum both\n"}
    other = CosignerKey.of("audit.example", Signer(Ed25519PrivateKey.generate(), Purpose.COSIGNATURE).public)
    members = f"witness archive {key}\nwitness audit {other}\ngroup both all archive audit\n"
    for judged, quorum in policies.items():
        (large.tlog.folder / "policy").write_text(members + quorum)
        export(large, tmp_path / judged)
        report = verify(tmp_path / judged)
        assert (report.ok, report.policy) == (True, judged)
        assert report.cosigned_by == ("archive.example", "zc.example.cn/log")
        assert (tmp_path / judged / "policy").read_text() == members + quorum
