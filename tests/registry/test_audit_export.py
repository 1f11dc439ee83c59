"""An export: what is in it, read by a second program, and that it is there whole or not at all."""

import base64
import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import cbor2
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from keys.custody import Custody
from registry.audit import export, verify
from registry.errors import CorruptHistory, Refused
from tests.audit_life import SECRETS, Life, bytes_of, damage, fresh, live_through, stored_rows
from tests.people import CLERK, Clock, awarding, person


@pytest.fixture(scope="module")
def live(made: tuple[Path, Custody], tmp_path_factory: pytest.TempPathFactory) -> Life:
    clock = Clock()
    return live_through(fresh(made, tmp_path_factory.mktemp("life") / "data", clock), clock)


@pytest.fixture(scope="module")
def exported(live: Life, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("export") / "export"
    export(live.registry, directory)
    return directory


# A second program: json, hashlib, cbor2 and the RFC, none of our own code.


def second_root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + second_root(leaves[:k]) + second_root(leaves[k:])).digest()


def second_leaf(line: bytes) -> bytes:
    event = json.loads(line)
    state = line[line.index(b',"state":') + len(b',"state":') : -1]  # the bytes as they stand, to the last brace
    assert json.loads(state) == event["state"]
    parts = [event[field] for field in ("position", "stream", "version", "name")]
    parts = ["leaf/1", *parts, event["state"]["recorded_at"], hashlib.sha256(state).digest()]
    return hashlib.sha256(b"\x00" + cbor2.dumps(parts, canonical=True)).digest()


def open_note(note: bytes, verifier_key: str) -> list[str]:
    """Check a note with the library's own key; return its lines."""
    name, key_id, public = verifier_key.split("+", 2)
    text, signature = note.decode().split("\n\n")
    dash, signer, encoded = signature.removesuffix("\n").split(" ")
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
        "title-registry/export/1",
        f"sha256:{hashlib.sha256(manifest).hexdigest()}",
    ]


def test_the_lines_are_the_stored_bytes_and_the_stored_claims(live: Life, exported: Path) -> None:
    stored = stored_rows(live.registry.folder.log)
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
    with closing(sqlite3.connect(live.registry.folder.log)) as c:
        claims = c.execute("SELECT scope, key, stream FROM claims WHERE scope <> 'identity' ORDER BY 1, 2").fetchall()
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
    stored = stored_rows(live.registry.folder.log)
    assert manifest["head"] == len(stored) == manifest["counts"]["events"]
    assert manifest["counts"] | {"events": 0, "claims": 0} == {
        "events": 0, "claims": 0, "streams": len({row[1] for row in stored}), "titles": 4, "papers": 2, "proposals": 1,
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
        "UPDATE stored_events SET state=CAST('no json' AS BLOB) WHERE rowid=4",
        "UPDATE stored_events SET state=CAST(replace(state, ':', ': ') AS BLOB) WHERE rowid=4",
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
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    registry.close()
