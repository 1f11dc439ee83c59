"""The auditor's kit against honest exports and against an insider who owns the keys and signs everything anew.

The kit shares no code with the product: what the product writes, a second program finds whole, and what an insider
changed it names. KIT_FLIPS=10000 runs the random changes as often.
"""

import ast
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import CertificateBuilder, Name, NameAttribute
from cryptography.x509.oid import NameOID

from keys.custody import Custody
from keys.signing import Purpose, Signer
from registry.audit import export, layout
from registry.folder import Folder
from registry.proof.checkpoint import Checkpoint, NoteKey, sign_checkpoint
from registry.proof.cosignature import CosignerKey, add_signatures, cosign
from registry.proof.note import split_note
from registry.service import Registry
from tests.audit_insiders import INSIDERS, UNFOUNDED, Insider, apply
from tests.audit_kit import KIT, ORIGIN, kit_here, lines_of, note_of, run_kit, sign_manifest, sign_tree, write_lines
from tests.audit_life import SECRETS, Life, bytes_of, exported_after_compromise, fresh
from tests.people import CLERK, Clock, awarding, person, settable

FLIPS = int(os.environ.get("KIT_FLIPS", "60"))
FILES, KEYS, TREE, FORK, EVENTS, CLAIMS, REGISTER, CERTIFICATES, UNREAD = range(10, 19)
Kit = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def kit(capsys: pytest.CaptureFixture[str]) -> Kit:
    return lambda *arguments: kit_here(capsys, *arguments)


def said(report: dict[str, Any], kind: int) -> str:
    return "\n".join(f"{one['where']}: {one['what']}" for one in report["findings"] if one["kind"] == kind)


def kinds(report: dict[str, Any]) -> set[int]:
    return {int(kind) for kind in report["totals"]}


def edit(directory: Path, name: str, change: Callable[[list[bytes]], Any]) -> None:
    lines = lines_of(directory, name)
    change(lines)
    write_lines(directory, name, lines)


def file_of(directory: Path, name: str) -> str:
    """A file by its name, or the one tile of a kind."""
    tiles = (path.relative_to(directory).as_posix() for path in (directory / name).rglob("*") if path.is_file())
    return next(tiles, name) if name.startswith("tile/") else name


def place_of(directory: Path, name: str, last: bool = False) -> int:
    found = [n for n, line in enumerate(lines_of(directory, layout.EVENTS)) if f'"name":"{name}"'.encode() in line]
    return found[-1 if last else 0]


def change_event(directory: Path, place: int, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change one event, and write it as the log would have."""

    def edited(lines: list[bytes]) -> None:
        event = json.loads(lines[place])
        change(event)
        lines[place] = msgspec.json.encode(event)

    edit(directory, layout.EVENTS, edited)


@pytest.fixture
def sign(live: Life) -> Callable[[Path], None]:
    """What the insider does last: tree, checkpoints, cosignatures and manifest."""

    def anew(directory: Path) -> None:
        sign_tree(directory, live.registry.custody, live.clock())
        sign_manifest(directory, live.registry.custody, live.clock())

    return anew


# An honest export


def test_an_honest_export_is_well_in_a_bare_interpreter(exported: Path) -> None:
    status, report = run_kit(exported)
    assert (status, report["findings"]) == (0, [])
    assert report["counts"] | {"claims": 0} == {"titles": 6, "proposals": 1, "papers": 3, "streams": 24, "claims": 0}
    assert report["certificates"] == {"checked": 4, "sealed": 0, "unsigned": 0, "void": 0}
    assert report["checkpoints"] == report["cosignatures"] > 2, "every checkpoint carries the ML-DSA-44 cosignature"
    manifest = json.loads((exported / layout.MANIFEST).read_bytes())
    assert report["kit"] == manifest["files"]["verify_export.py"]["sha256"], "the kit in it is this one"


def test_the_text_for_people_says_what_was_not_checked(exported: Path) -> None:
    done = subprocess.run([sys.executable, exported / "verify_export.py", exported], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    events = f"{len(lines_of(exported, layout.EVENTS))} events"
    for words in ("Verdict: all well", events, "vouches for itself", "sealed", "SHA-256", "No witness"):
        assert words in done.stdout, words
    assert not any(secret in done.stdout for secret in SECRETS)


def test_it_needs_only_the_standard_library_and_cryptography() -> None:
    tree = ast.parse(KIT.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names | {"cryptography"}


def test_what_lies_beside_it_is_not_imported(exported: Path, copy: Path) -> None:
    (copy / "json.py").write_text("raise SystemExit('imported from the export')")
    done = subprocess.run([sys.executable, copy / "verify_export.py", copy], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (FILES, "")
    assert "json.py: it is not listed" in done.stdout


def test_an_empty_registry(made: tuple[Path, Custody], tmp_path: Path, kit: Kit) -> None:
    registry = fresh(made, tmp_path / "data", Clock())
    export(registry, tmp_path / "export")
    registry.close()
    assert kit(tmp_path / "export")[0] == 0


def test_several_processes_and_a_tree_of_several_chunks_give_the_same(
    exported: Path, monkeypatch: pytest.MonkeyPatch, kit: Kit
) -> None:
    from registry.audit import verify_export

    whole = kit(exported)[1]
    monkeypatch.setattr(verify_export, "PART_BYTES", 2_000)
    cut = kit(exported)[1]
    assert cut == whole


# Somebody without the keys


def test_random_changes_anywhere_are_all_found(exported: Path, copy: Path, kit: Kit) -> None:
    choose, files = random.Random(), bytes_of(copy)
    for _ in range(FLIPS):
        name = choose.choice(sorted(files))
        data = bytearray(files[name])
        place, bits = choose.randrange(len(data)), choose.randrange(1, 256)
        data[place] ^= bits
        (copy / file_of(copy, name)).write_bytes(data)
        assert kit(copy)[0] >= FILES, (name, place, bits)
        (copy / name).write_bytes(files[name])
    assert kit(copy)[0] == 0


@pytest.mark.parametrize("name", [*layout.REQUIRED, layout.MANIFEST, layout.MANIFEST_NOTE, "tile/0"])
def test_a_missing_file_is_a_finding(name: str, copy: Path, kit: Kit) -> None:
    name = file_of(copy, name)
    (copy / name).unlink()
    status, report = kit(copy)
    assert status == (KEYS if name == layout.MANIFEST_NOTE else FILES)
    assert name in json.dumps(report["findings"])


@pytest.mark.parametrize("name", [*layout.REQUIRED, layout.MANIFEST, layout.MANIFEST_NOTE, "tile/entries"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"9" * 10_000,
        b'{"keys": 1e999, "schema": NaN, "files": []}\n\n\n',
        b"\n" * 9,
    ],
    ids=["empty", "bytes", "deep", "huge", "other", "lines"],
)
def test_no_bytes_bring_it_down(name: str, data: bytes, copy: Path, kit: Kit) -> None:
    (copy / file_of(copy, name)).write_bytes(data)
    status, report = kit(copy)
    assert status >= FILES
    assert status != UNREAD, report["findings"]


def test_links_pipes_and_strange_names_are_named(copy: Path, kit: Kit) -> None:
    (copy / "statistics.json").unlink()
    (copy / "statistics.json").symlink_to("/dev/zero")
    os.mkfifo(copy / "pipe")
    (copy / "empty").mkdir()
    (copy / os.fsdecode(b"\xff\x1b[31m")).write_text("x")
    status, report = kit(copy)
    assert status == FILES
    assert {"statistics.json", "pipe", "empty"} <= {one["where"] for one in report["findings"]}


def test_wrong_use_is_told_apart(exported: Path, tmp_path: Path) -> None:
    for wrong in (
        ["/nowhere"],
        [exported, "--key", "x"],
        [exported, "--checkpoint", "/nowhere"],
        [exported, "--jobs", "0"],
    ):
        done = subprocess.run([sys.executable, "-I", KIT, *wrong], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, ""), wrong
        assert "Traceback" not in done.stderr


# An insider with the keys


def test_what_is_changed_and_signed_again_honestly_is_well(copy: Path, sign: Callable[[Path], None], kit: Kit) -> None:
    sign(copy)
    assert kit(copy)[0] == 0


def test_a_kit_that_is_listed_but_was_changed(copy: Path, kit: Kit) -> None:
    with (copy / "verify_export.py").open("a") as out:
        out.write("\n")
    status, report = kit(copy)
    assert (status, kinds(report)) == (FILES, {FILES})
    assert "verify_export.py: it was changed" in said(report, FILES)


def renumber(lines: list[bytes]) -> None:
    for place, line in enumerate(lines, 1):
        lines[place - 1] = b'{"position":%d,' % place + line.partition(b",")[2]


def delete(lines: list[bytes]) -> None:
    del lines[9]
    renumber(lines)


def reorder(lines: list[bytes]) -> None:
    own = [n for n, line in enumerate(lines) if json.loads(line)["stream"].startswith("title-")]
    same = next(n for n in own if json.loads(lines[n])["stream"] == json.loads(lines[own[0]])["stream"] and n != own[0])
    lines[own[0]], lines[same] = lines[same], lines[own[0]]
    renumber(lines)


@pytest.mark.parametrize("change", [delete, reorder])
def test_events_taken_out_or_moved_break_the_streams(
    change: Callable[[list[bytes]], None], copy: Path, sign: Callable[[Path], None], kit: Kit
) -> None:
    kept = (copy / "checkpoint").read_bytes()
    edit(copy, layout.EVENTS, change)
    sign(copy)
    (copy.parent / "kept").write_bytes(kept)
    status, report = kit(copy, "--checkpoint", copy.parent / "kept")
    assert {FORK, EVENTS} <= kinds(report)
    assert "is due" in said(report, EVENTS)
    assert "your" in said(report, FORK)
    assert status == min(kinds(report))


def test_events_cut_off_at_the_end_are_missed_by_a_checkpoint_kept_elsewhere(
    copy: Path, live: Life, tmp_path: Path, kit: Kit
) -> None:
    shutil.copy(copy / "checkpoint", tmp_path / "mine")
    edit(copy, layout.EVENTS, lambda lines: lines.__delitem__(slice(-1, None)))
    sign_tree(copy, live.registry.custody, live.clock())
    sign_manifest(copy, live.registry.custody, live.clock())
    status, report = kit(copy, "--checkpoint", tmp_path / "mine")
    assert f"this export ends at {len(lines_of(copy, layout.EVENTS))}: it was cut off" in said(report, FORK)
    assert status == FORK


def test_two_holders_whose_events_were_swapped(copy: Path, sign: Callable[[Path], None], kit: Kit) -> None:
    registered = [n for n, line in enumerate(lines_of(copy, layout.EVENTS)) if b"holder-registered" in line]
    first, second = registered[:2]
    states = [json.loads(lines_of(copy, layout.EVENTS)[n])["state"] for n in (first, second)]
    change_event(copy, first, lambda event: event.update(state=states[1]))
    change_event(copy, second, lambda event: event.update(state=states[0]))
    sign(copy)
    status, report = kit(copy)
    assert (status, kinds(report), report["totals"][str(EVENTS)]) == (EVENTS, {EVENTS}, 2)
    assert "is of another" in said(report, EVENTS)


def test_an_old_checkpoint_that_is_shown_as_the_newest(copy: Path, live: Life, kit: Kit) -> None:
    notes = (copy / "checkpoints").read_bytes().split(b"\n\n")
    (copy / "checkpoint").write_bytes(b"\n\n".join(notes[:2]) + b"\n")
    sign_manifest(copy, live.registry.custody, live.clock())
    status, report = kit(copy)
    assert (status, kinds(report)) == (TREE, {TREE, FORK})
    assert f"do not cover all {len(lines_of(copy, layout.EVENTS))}" in said(report, TREE)


def test_kept_checkpoints_that_shrink(copy: Path, live: Life, kit: Kit) -> None:
    data = (copy / "checkpoints").read_bytes()
    notes = data.removesuffix(b"\n\n").split(b"\n\n")
    (copy / "checkpoints").write_bytes(data + b"\n\n".join(notes[:2]) + b"\n\n")
    sign_manifest(copy, live.registry.custody, live.clock())
    status, report = kit(copy)
    assert status in (TREE, FORK)
    assert "comes one of" in said(report, FORK)


def test_a_fork_is_named_with_both_roots(copy: Path, live: Life, tmp_path: Path, kit: Kit) -> None:
    size = len(lines_of(copy, layout.EVENTS))
    other = note_of(Checkpoint(ORIGIN, size, b"\7" * 32), live.registry.custody, live.clock())
    (tmp_path / "theirs").write_bytes(other)
    status, report = kit(copy, "--checkpoint", tmp_path / "theirs", "--checkpoint", copy / "checkpoint")
    assert (status, kinds(report)) == (FORK, {FORK})
    assert "FORK" in said(report, FORK)
    assert report["root"] in said(report, FORK)
    assert (b"\7" * 32).hex() in said(report, FORK)


def test_rewritten_history_does_not_extend_the_checkpoints_that_were_kept(copy: Path, live: Life, kit: Kit) -> None:
    """Only the newest checkpoint was made anew: the older ones in the export tell."""
    old = (copy / "checkpoints").read_bytes()
    change_event(copy, 1, lambda event: event["state"].update(actor="clerk-99"))
    sign_tree(copy, live.registry.custody, live.clock())
    newest = (copy / "checkpoint").read_bytes()
    older = old.removesuffix(b"\n\n").split(b"\n\n")[:-2]
    (copy / "checkpoints").write_bytes(b"\n\n".join(older) + b"\n\n" + newest + b"\n")
    sign_manifest(copy, live.registry.custody, live.clock())
    status, report = kit(copy)
    assert (status, kinds(report)) == (FORK, {FORK})
    assert "another history than the one that was signed" in said(report, FORK)


@pytest.mark.parametrize("name", ["tile/0", "tile/entries"])
def test_a_changed_tile(name: str, copy: Path, live: Life, kit: Kit) -> None:
    name = file_of(copy, name)
    data = bytearray((copy / name).read_bytes())
    data[40] ^= 1
    (copy / file_of(copy, name)).write_bytes(data)
    sign_manifest(copy, live.registry.custody, live.clock())
    status, report = kit(copy)
    assert (status, kinds(report)) == (TREE, {TREE})
    assert name in said(report, TREE)


def test_a_tile_too_many(copy: Path, live: Life, kit: Kit) -> None:
    (copy / "tile" / "1").mkdir()
    (copy / "tile" / "1" / "000").write_bytes(b"\0" * 32)
    sign_manifest(copy, live.registry.custody, live.clock())
    assert kit(copy)[0] == TREE


def spoil(note: bytes, line: int) -> bytes:
    """Change one bit of a signature in a note, behind the key id."""
    lines = note.split(b"\n")
    at = lines[line].rindex(b" ") + 40
    lines[line] = lines[line][:at] + (b"A" if lines[line][at : at + 1] != b"A" else b"B") + lines[line][at + 1 :]
    return b"\n".join(lines)


@pytest.mark.parametrize(("line", "kind"), [(4, 1), (5, 6)])
def test_a_signature_and_a_cosignature_that_do_not_hold(line: int, kind: int, copy: Path, live: Life, kit: Kit) -> None:
    (copy / "checkpoint").write_bytes(spoil((copy / "checkpoint").read_bytes(), line))
    sign_manifest(copy, live.registry.custody, live.clock())
    status, report = kit(copy)
    assert status == KEYS
    assert f"type {kind}" in said(report, KEYS)


def test_a_manifest_that_another_key_signed(copy: Path, live: Life, kit: Kit) -> None:
    key = NoteKey.of(ORIGIN, live.registry.custody.signer(Purpose.CHECKPOINT, live.clock()).public)
    assert kit(copy, "--key", str(key))[1]["trusted"] is True
    stranger = NoteKey.of(ORIGIN, Signer(Ed25519PrivateKey.generate(), Purpose.CHECKPOINT).public)
    status, report = kit(copy, "--key", str(stranger))
    assert (status, kinds(report)) == (KEYS, {KEYS})
    assert "than the one that you trust" in said(report, KEYS)


def test_a_manifest_whose_signature_was_changed(copy: Path, kit: Kit) -> None:
    (copy / layout.MANIFEST_NOTE).write_bytes(spoil((copy / layout.MANIFEST_NOTE).read_bytes(), 3))
    status, report = kit(copy)
    assert (status, kinds(report)) == (KEYS, {KEYS})
    assert "manifest.note: InvalidSignature" in said(report, KEYS)


@pytest.mark.parametrize("purpose", ["checkpoint/1", "e-certificate/1"])
@pytest.mark.parametrize(("field", "by"), [("exp", 1), ("nbf", 10**9)])
def test_a_key_of_another_time(purpose: str, field: str, by: int, copy: Path, live: Life, kit: Kit) -> None:
    jwks = json.loads((copy / layout.KEYS).read_bytes())
    key = next(one for one in jwks["keys"] if one["purpose"] == purpose)
    key[field] = key["nbf"] + by
    (copy / layout.KEYS).write_text(json.dumps(jwks))
    sign_manifest(copy, live.registry.custody, live.clock())
    status, report = kit(copy)
    assert kinds(report) == ({KEYS} if purpose == "checkpoint/1" else {KEYS, CERTIFICATES})
    assert "it is another key than in the key set in force" in said(report, KEYS)
    assert status == min(kinds(report))


def test_a_log_key_that_had_expired_before_the_last_event(copy: Path, live: Life, kit: Kit) -> None:
    """Without a cosignature no time of signing is known; the last recorded time still tells."""
    for name in ("checkpoints", "checkpoint"):
        notes = (copy / name).read_bytes().split(b"\n")
        (copy / name).write_bytes(b"\n".join(line for n, line in enumerate(notes) if n % 7 != 5))
    sign_manifest(copy, live.registry.custody, live.clock())
    status, report = kit(copy)
    assert (status, report["cosignatures"]) == (0, 0)
    test_a_key_of_another_time("checkpoint/1", "exp", 1, copy, live, kit)


# Witnesses


@pytest.fixture
def witnesses() -> list[Signer]:
    return [Signer(Ed25519PrivateKey.generate(), Purpose.COSIGNATURE) for _ in range(3)]


def policy_of(witnesses: list[Signer], quorum: str) -> str:
    keys = [CosignerKey.of(f"w{n}.example/witness", one.public) for n, one in enumerate(witnesses)]
    lines = [f"witness w{n} {key}" for n, key in enumerate(keys)]
    return "\n".join(["# mine", "", *lines, f"group all-of-them {quorum} w0 w1 w2", "quorum all-of-them", ""])


def test_an_auditors_policy_of_two_out_of_three_witnesses(
    copy: Path, live: Life, witnesses: list[Signer], tmp_path: Path, kit: Kit
) -> None:
    note = (copy / "checkpoint").read_bytes()
    text = split_note(note)[0]
    for n in (0, 2):
        note = add_signatures(note, cosign(text, f"w{n}.example/witness", witnesses[n], live.clock()))
    (copy / "checkpoint").write_bytes(note)
    sign_manifest(copy, live.registry.custody, live.clock())
    (tmp_path / "policy").write_text(policy_of(witnesses, "2"))
    status, report = kit(copy, "--policy", tmp_path / "policy")
    assert (status, report["witnesses"]) == (0, ["w0", "w2"])
    (tmp_path / "policy").write_text(policy_of(witnesses, "all"))
    status, report = kit(copy, "--policy", tmp_path / "policy")
    assert (status, kinds(report)) == (KEYS, {KEYS})
    assert "your policy asks for all-of-them" in said(report, KEYS)
    (copy / "checkpoint").write_bytes(spoil(note, 6))
    sign_manifest(copy, live.registry.custody, live.clock())
    assert "type 4" in said(kit(copy, "--policy", tmp_path / "policy")[1], KEYS)


# Meaning


def test_a_decision_by_one_officer(copy: Path, sign: Callable[[Path], None], kit: Kit) -> None:
    change_event(copy, place_of(copy, "title-revoked/1"), lambda event: event["state"].update(actor=CLERK))
    sign(copy)
    status, report = kit(copy)
    assert (status, kinds(report)) == (EVENTS, {EVENTS})
    assert "one officer proposed and approved" in said(report, EVENTS)


def test_what_is_wrong_with_a_fact_is_said(copy: Path, sign: Callable[[Path], None], kit: Kit) -> None:
    for name, kind in (("decision-proposed/1", "suspension"), ("title-reinstated/1", None)):
        place = next(
            n
            for n, line in enumerate(lines_of(copy, layout.EVENTS))
            if name.encode() in line and (not kind or b"reinst" in line)
        )
        change_event(
            copy, place, lambda one, to=kind: one["state"]["fact"].update(kind=to) if to else one.update(name=SUSPENDED)
        )
    change_event(copy, place_of(copy, "decision-refused/1"), lambda one: one["state"]["fact"].update(holder="holder-x"))
    change_event(copy, place_of(copy, "paper-approved/1"), lambda one: one["state"]["fact"].update(title="title-x"))
    sign(copy)
    text = said(kit(copy)[1], EVENTS)
    assert "cannot follow on a title that is revoked" in text
    assert "decision-refused/1 is of another holder: holder-x" in text
    assert "a stream that does not exist: title-x" in text


SUSPENDED = "title-suspended/1"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("title-suspended/1", lambda event: event["state"]["fact"].update(effective_on="2027-01-01")),
        ("title-revoked/1", lambda event: event["state"]["fact"].update(proposal="title-x.9")),
        ("title-reinstated/1", lambda event: event.update(name="title-revoked/1")),
        ("title-corrected/1", lambda event: event["state"]["fact"]["award"].update(specialty="园林")),
        ("paper-approved/1", lambda event: event["state"].update(actor=CLERK)),
        ("paper-submitted/1", lambda event: event["state"]["fact"]["award"].update(number="1")),
        ("title-awarded/1", lambda event: event["state"]["fact"].update(holder="holder-nobody")),
        ("title-awarded/1", lambda event: event["state"]["fact"].pop("award")),
        ("title-awarded/1", lambda event: event["state"]["fact"]["award"].update(authority=331100)),
        ("title-awarded/1", lambda event: event["state"]["fact"].update(holder="holder-x title-y\nholder-z")),
        ("title-awarded/1", lambda event: event["state"].update(recorded_at="2026-03-02T01:30:00")),
        ("title-awarded/1", lambda event: event["state"]["fact"].update(more="1")),
        ("title-awarded/1", lambda event: event.update(name="never-heard-of/1")),
        ("title-awarded/1", lambda event: event.update(stream="guild-1")),
        ("holder-renamed/1", lambda event: event["state"]["fact"].update(name="王莉")),
        ("certificate-signed/2", lambda event: event["state"]["fact"].update(version=5)),
        ("certificate-prepared/1", lambda event: event["state"]["fact"].update(version=7)),
    ],
)
def test_a_fact_that_cannot_be_so(
    name: str, change: Callable[[dict[str, Any]], Any], copy: Path, sign: Callable[[Path], None], kit: Kit
) -> None:
    change_event(copy, place_of(copy, name), change)
    sign(copy)
    assert kit(copy)[0] == EVENTS


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("certificate-signed/2", "signature", None),
        ("certificate-signed/2", "digest", "A" * 43 + "="),
        ("certificate-signed/2", "leaf", None),
        ("certificate-signed/2", "leaf", "one more"),
        ("certificate-prepared/1", "code", "0" * 16 + "1"),
    ],
)
def test_a_certificate_that_does_not_hold(
    name: str, field: str, value: Any, copy: Path, sign: Callable[[Path], None], kit: Kit
) -> None:
    last = json.loads(lines_of(copy, layout.EVENTS)[place_of(copy, name, last=True)])["state"]["fact"]
    first = json.loads(lines_of(copy, layout.EVENTS)[place_of(copy, name)])["state"]["fact"]
    value = {None: last[field], "one more": first.get("leaf", 0) + 1}.get(value, value)
    change_event(copy, place_of(copy, name), lambda event: event["state"]["fact"].update({field: value}))
    sign(copy)
    _, report = kit(copy)
    assert CERTIFICATES in kinds(report)
    assert kinds(report) <= {CERTIFICATES, CLAIMS, REGISTER}, report["findings"]


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines.pop(2),
        lambda lines: lines.insert(0, b'{"scope":"code","key":"0","stream":"title-x"}'),
        lambda lines: lines.insert(2, lines[2]),
        lambda lines: lines.insert(2, lines.pop(3)),
        lambda lines: lines.__setitem__(2, lines[2][:-3] + b'!"}'),
        lambda lines: lines.__setitem__(2, lines[2].replace(b":", b": ", 1)),
    ],
)
def test_a_changed_claim(change: Callable[[list[bytes]], Any], copy: Path, live: Life, kit: Kit) -> None:
    edit(copy, layout.CLAIMS, change)
    sign_manifest(copy, live.registry.custody, live.clock())
    status, report = kit(copy)
    assert (status, kinds(report)) == (CLAIMS, {CLAIMS})


@pytest.mark.parametrize(("table", "field"), [("papers", "state"), ("proposals", "document_no"), ("titles", "level")])
def test_a_changed_row(table: str, field: str, copy: Path, live: Life, kit: Kit) -> None:
    def change(lines: list[bytes]) -> None:
        place = next(n for n, line in enumerate(lines) if line.startswith(b'{"table":"' + table.encode()))
        row = json.loads(lines[place])
        row["row"][field] = "changed"
        lines[place] = msgspec.json.encode(row)

    edit(copy, layout.REGISTER, change)
    sign_manifest(copy, live.registry.custody, live.clock())
    status, report = kit(copy)
    assert (status, kinds(report)) == (REGISTER, {REGISTER})
    assert '"changed"' in said(report, REGISTER)


@pytest.mark.parametrize("change", [lambda lines: lines.pop(), lambda lines: lines.append(lines[-1])])
def test_a_row_too_few_or_too_many(change: Callable[[list[bytes]], Any], copy: Path, live: Life, kit: Kit) -> None:
    edit(copy, layout.REGISTER, change)
    sign_manifest(copy, live.registry.custody, live.clock())
    assert kit(copy)[0] == REGISTER


def test_a_changed_statistic(copy: Path, live: Life, kit: Kit) -> None:
    figures = json.loads((copy / "statistics.json").read_bytes())
    (copy / "statistics.json").write_text(json.dumps(figures | {"certified": 99, "fairies": 1}))
    sign_manifest(copy, live.registry.custody, live.clock())
    status, report = kit(copy)
    assert (status, report["totals"]) == (REGISTER, {str(REGISTER): 2})


def test_figures_in_the_manifest_that_are_made_up(copy: Path, live: Life, kit: Kit) -> None:
    sign_manifest(copy, live.registry.custody, live.clock(), head=3, created_at=None, counts={"events": 1})
    status, report = kit(copy)
    assert (status, report["totals"]) == (REGISTER, {str(REGISTER): 3})


def test_reference_data_that_was_never_adopted(copy: Path, live: Life, kit: Kit) -> None:
    path = copy / "reference" / "authorities.json"
    path.write_bytes(path.read_bytes().replace("丽水".encode(), "温州".encode()))
    sign_manifest(copy, live.registry.custody, live.clock())
    assert kit(copy)[0] == CERTIFICATES


def test_a_chain_under_another_root(copy: Path, live: Life, kit: Kit) -> None:
    key, name = ec.generate_private_key(ec.SECP256R1()), Name([NameAttribute(NameOID.COMMON_NAME, "another root")])
    begin = live.clock()
    builder = CertificateBuilder(name, name, key.public_key(), 1, begin, begin + timedelta(days=9))
    (copy / layout.ROOT_CERTIFICATE).write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    sign_manifest(copy, live.registry.custody, live.clock())
    status, report = kit(copy)
    assert (status, kinds(report)) == (CERTIFICATES, {CERTIFICATES})


def test_a_checkpoint_of_another_log_counts_for_nothing(copy: Path, live: Life, tmp_path: Path, kit: Kit) -> None:
    signer = live.registry.custody.signer(Purpose.CHECKPOINT, live.clock())
    (tmp_path / "other").write_bytes(sign_checkpoint(Checkpoint("other.example/log", 3, b"\1" * 32), signer))
    status, report = kit(copy, "--checkpoint", tmp_path / "other")
    assert (status, kinds(report)) == (KEYS, {KEYS})


def test_a_log_that_follows_another(made: tuple[Path, Custody], tmp_path: Path) -> None:
    """Its first leaf commits to the log before; certificates of both logs are in the export."""
    clock = Clock()
    registry = fresh(made, tmp_path / "data", clock)
    first, second = (registry.award(awarding(person(n)), officer=CLERK) for n in (1, 2))
    registry.issue(first, settable, officer=CLERK)
    registry.tlog.outside.write_bytes(b"damaged")
    registry.tlog.succeed("第二存储损坏")
    registry.close()
    following = Registry(Folder(tmp_path / "data"), registry.custody, clock)
    following.issue(second, settable, officer=CLERK)
    export(following, tmp_path / "export")
    status, report = run_kit(tmp_path / "export")
    assert (status, report["findings"]) == (0, [])
    assert report["leaves"] == report["events"] + 1
    assert report["certificates"]["checked"] == 2
    entry = (tmp_path / "export" / "predecessor").read_bytes()
    (tmp_path / "export" / "predecessor").write_bytes(entry[:-1] + b"?")
    sign_manifest(tmp_path / "export", following.custody, clock(), origin="zc.example.cn/log/2")
    assert TREE in {one["kind"] for one in run_kit(tmp_path / "export")[1]["findings"]}
    following.close()


# People, roles and keys


@pytest.mark.parametrize("insider", INSIDERS, ids=lambda insider: insider.what)
def test_what_the_program_would_never_record(
    insider: Insider, copy: Path, sign: Callable[[Path], None], kit: Kit
) -> None:
    edit(copy, layout.EVENTS, lambda lines: apply(insider, lines))
    sign(copy)
    status, report = kit(copy)
    assert status in (KEYS, EVENTS, CLAIMS)
    told = "\n".join(said(report, kind) for kind in (KEYS, EVENTS, CLAIMS))
    assert insider.says in told, report["findings"]


def test_a_registry_that_was_never_founded_needs_no_roles(copy: Path, sign: Callable[[Path], None], kit: Kit) -> None:
    edit(copy, layout.EVENTS, lambda lines: apply(UNFOUNDED, lines))
    sign(copy)
    assert "then over" not in said(kit(copy)[1], EVENTS)


def test_certificates_of_a_compromised_key_count_before_that_place_only(
    live: Life, tmp_path: Path, passphrase: bytes, kit: Kit
) -> None:
    directory, kid = exported_after_compromise(live, tmp_path, passphrase)
    status, report = kit(directory)
    assert (status, report["certificates"]) == (0, {"checked": 2, "sealed": 0, "unsigned": 0, "void": 2})
    for state, since in (("retired", None), ("compromised", 99)):
        jwks = json.loads((directory / layout.KEYS).read_bytes())
        next(one for one in jwks["keys"] if one["kid"] == kid).update(state=state, compromised_from=since)
        (directory / layout.KEYS).write_text(json.dumps(jwks))
        sign_manifest(directory, live.registry.custody, live.clock())
        status, report = kit(directory)
        assert (status, kinds(report)) == (KEYS, {KEYS})
        assert f"keys.json, {kid}" in said(report, KEYS)
