"""An auditor's day: whatever was done to an export is found and named, and what was not done is not.

Most damage here is an insider's: after the change, hashes, tree, checkpoint and manifest are made anew and signed with
the registry's own key, so that only the meaning can tell. `names_all_codes` says that nothing else is reported.
"""

import base64
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys.custody import Custody
from keys.keyring import KeyRecord, Keyring
from keys.signing import Purpose, Signer
from registry.audit import Code, Report, export, laws, layout, roles, verify, verify_live
from registry.audit.layout import Manifest
from registry.errors import BadInput
from registry.folder import Folder
from registry.holders.holder import HOLDERS, ErasureProposed, HolderErased, HolderRenamed, LegalHoldPlaced
from registry.log.facts import Recorded
from registry.officers.officer import RoleGranted, RoleProposed
from registry.permissions import RULES, Permission
from registry.proof.checkpoint import Checkpoint, NoteKey, read_checkpoint, sign_checkpoint, sign_note
from registry.proof.kept import KeptCheckpoints, size_of
from registry.proof.leaf import leaf_entry
from registry.proof.tiles import TileStore
from registry.proof.tree import RightEdge, leaf_hash
from registry.requests.request import DataRequestAnswered
from registry.service import Registry
from registry.streams import KINDS
from registry.titles.events import DecisionProposed
from registry.titles.state import TITLES
from tests import engine
from tests.audit_insiders import INSIDERS, UNFOUNDED, Insider, apply
from tests.audit_life import SECRETS, Life, bytes_of, damage, exported_after_compromise, fresh
from tests.examples import EXAMPLES
from tests.people import CLERK, THIRD, Clock, awarding, found, person, settable
from tests.rotating import rotate

ORIGIN = "zc.example.cn/log"


@pytest.fixture
def signer(live: Life) -> Signer:
    return live.registry.custody.signer(Purpose.CHECKPOINT, live.clock())


def codes(report: Report) -> set[str]:
    assert report.ok == (report.exit_status == 0) == (not report.findings)
    return {finding.code for finding in report.findings}


def edit(directory: Path, name: str, change: Callable[[list[bytes]], None]) -> None:
    """Change the lines of a file."""
    lines = (directory / name).read_bytes().splitlines()
    change(lines)
    (directory / name).write_bytes(b"".join(line + b"\n" for line in lines))


def events_of(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / layout.EVENTS).read_bytes().splitlines()]


def place_of(directory: Path, name: str, last: bool = False) -> int:
    """The place (from 0) of the first or last event of that stored name."""
    found = [place for place, event in enumerate(events_of(directory)) if event["name"] == name]
    return found[-1 if last else 0]


def sign_again(directory: Path, signer: Signer, *, checkpoint: bool = True, **more: Any) -> None:
    """What an insider does after a change: tree, tiles, every checkpoint, hashes and manifest, all made and signed."""
    if checkpoint:
        sign_tree(directory, signer)
    manifest = msgspec.json.decode((directory / layout.MANIFEST).read_bytes(), type=Manifest)
    tiles = {path.relative_to(directory).as_posix() for path in (directory / "tile").rglob("*") if path.is_file()}
    names = tiles | {name for name in manifest.files if not name.startswith(layout.TILES)}
    files = {name: layout.file_entry(directory / name) for name in names}
    changed = msgspec.structs.replace(manifest, files=files, **more).encode()
    (directory / layout.MANIFEST).write_bytes(changed)
    note = sign_note(layout.manifest_text(changed), layout.manifest_signer(ORIGIN), signer)
    (directory / layout.MANIFEST_NOTE).write_bytes(note)


def sign_tree(directory: Path, signer: Signer) -> None:
    lines = (directory / layout.EVENTS).read_bytes().splitlines()
    entries = [leaf_entry(*layout.read_event(line)) for line in lines]
    sizes = {size_of(note) for note in KeptCheckpoints(directory / layout.CHECKPOINTS).all()} | {len(entries)}
    edge, notes = RightEdge(), list[bytes]()
    for entry in entries:
        edge.append(leaf_hash(entry))
        if edge.size in sizes:
            notes.append(sign_checkpoint(Checkpoint(ORIGIN, edge.size, edge.root()), signer))
    (directory / layout.CHECKPOINT).write_bytes(notes[-1])
    (directory / layout.CHECKPOINTS).write_bytes(b"".join(note + b"\n" for note in notes))
    shutil.rmtree(directory / "tile")
    TileStore(directory).write(0, entries)


# Nothing was done


def test_an_export_verifies_on_a_machine_without_the_registry(exported: Path) -> None:
    report = verify(exported)
    assert codes(report) == set()
    assert (report.what, report.personal, report.pinned) == ("export", "sealed", False)
    assert report.counts["titles"] == 6
    assert msgspec.json.decode(msgspec.json.encode(report))["root"] == report.root


def test_beside_the_registry_the_sealed_fields_are_opened_too(live: Life, exported: Path) -> None:
    done: list[int] = []
    report = verify(exported, beside=live.registry, progress=done.append)
    assert codes(report) == set()
    assert report.personal == "opened"
    assert (done, done[-1]) == (sorted(done), 2 * report.head)


def test_an_older_export_still_verifies_beside_a_log_that_went_on(made: tuple[Path, Custody], tmp_path: Path) -> None:
    registry = fresh(made, tmp_path / "data", Clock())
    registry.award(awarding(person(1)), officer=CLERK)
    export(registry, tmp_path / "first")
    registry.award(awarding(person(2)), officer=CLERK)
    assert codes(verify(tmp_path / "first", beside=registry)) == set()
    damage(
        registry.folder.log,
        f"UPDATE stored_events SET state={engine.changed('clerk', 'chief')} WHERE topic='title-awarded/1'",
    )
    assert codes(verify(tmp_path / "first", beside=registry)) == {Code.LIVE_DIFFERS}
    registry.close()


def test_beside_the_registry_the_identity_claims_are_compared(made: tuple[Path, Custody], tmp_path: Path) -> None:
    registry = fresh(made, tmp_path / "data", Clock())
    holders = [registry.title(registry.award(awarding(person(n)), officer=CLERK)).holder for n in (1, 2)]
    export(registry, tmp_path / "export")
    damage(
        registry.folder.log,
        f"DELETE FROM claims WHERE scope='identity' AND stream='{holders[0]}'",
        f"UPDATE claims SET stream='{holders[0]}' WHERE scope='identity' AND stream='{holders[1]}'",
    )
    report = verify(tmp_path / "export", beside=registry)
    assert {(one.code, one.stream) for one in report.findings} == {
        (Code.CLAIM_MISSING, holders[0]), (Code.CLAIM_DIFFERS, holders[1]),
    }  # fmt: skip
    assert verify(tmp_path / "export").ok, "the export itself is whole"
    registry.close()


def test_after_a_data_key_was_destroyed_the_export_still_verifies(made: tuple[Path, Custody], tmp_path: Path) -> None:
    registry = fresh(made, tmp_path / "data", Clock())
    erased, other = (registry.award(awarding(person(n)), officer=CLERK) for n in (1, 2))
    registry.issue(erased, lambda _: None, officer=CLERK)
    export(registry, tmp_path / "before")
    holder = registry.title(erased).holder
    damage(registry.folder.log, f"DELETE FROM data_keys WHERE holder='{holder}'")
    assert registry.holder(holder).name() is None
    assert registry.holder(registry.title(other).holder).name() is not None
    export(registry, tmp_path / "after")
    for directory in (tmp_path / "before", tmp_path / "after"):
        assert codes(verify(directory)) == set()
        assert codes(verify(directory, beside=registry)) == {Code.KEY_MISSING}, "nobody decided it"
    assert bytes_of(tmp_path / "before") == bytes_of(tmp_path / "after"), "the log is what it was"
    registry.close()


# Somebody without the keys


@pytest.mark.parametrize(
    "name",
    [
        layout.EVENTS, layout.CLAIMS, layout.REGISTER, layout.KEYS, layout.ROOT_CERTIFICATE, layout.CHAIN,
        layout.CHECKPOINT, layout.CHECKPOINTS, layout.STATISTICS, layout.KIT, "reference/plan-2021.json",
    ],
)  # fmt: skip
def test_a_flipped_byte_is_found_in_every_file(name: str, copy: Path) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    report = verify(copy)
    assert [finding.file for finding in report.findings if finding.code is Code.FILE_CHANGED] == [name]
    assert report.exit_status == 3


def test_a_flipped_byte_in_the_manifest_or_its_signature_is_found(copy: Path) -> None:
    manifest = (copy / layout.MANIFEST).read_bytes()
    (copy / layout.MANIFEST).write_bytes(manifest.replace(b"title-registry 0", b"title-registry 1"))
    assert codes(verify(copy)) == {Code.MANIFEST_SIGNATURE}
    (copy / layout.MANIFEST).write_bytes(manifest.replace(b"{", b"(", 1))
    assert codes(verify(copy)) == {Code.MANIFEST}
    (copy / layout.MANIFEST).write_bytes(manifest)
    note = (copy / layout.MANIFEST_NOTE).read_bytes()
    (copy / layout.MANIFEST_NOTE).write_bytes(note.replace(b"sha256:", b"sha256;"))
    assert codes(verify(copy)) == {Code.MANIFEST_SIGNATURE}
    (copy / layout.MANIFEST_NOTE).write_bytes(note)
    assert verify(copy).ok


def test_300_changed_bytes_anywhere_are_all_found(exported: Path, tmp_path: Path) -> None:
    choose = random.Random(20260302)
    copy = Path(shutil.copytree(exported, tmp_path / "copy"))
    files = bytes_of(copy)
    for _ in range(300):
        name = choose.choice(sorted(files))
        data = bytearray(files[name])
        place = choose.randrange(len(data))
        data[place] ^= choose.randrange(1, 256)
        (copy / name).write_bytes(data)
        assert verify(copy).exit_status == 3, (name, place)
        (copy / name).write_bytes(files[name])
    assert verify(copy).ok


@pytest.mark.parametrize("name", [*layout.REQUIRED, layout.MANIFEST_NOTE, "reference/authorities.json"])
def test_a_missing_file_is_named(name: str, copy: Path) -> None:
    (copy / name).unlink()
    assert name in {finding.file for finding in verify(copy).findings if finding.code is Code.FILE_MISSING}


def test_a_file_that_is_not_listed_is_named(copy: Path) -> None:
    (copy / "reference" / "plan-2022.json").write_text("{}")
    (copy / "notes").mkdir()
    (copy / "notes" / "a.txt").write_text("x")
    (copy / "more").symlink_to("/dev/null")
    found = {finding.file for finding in verify(copy).findings if finding.code is Code.FILE_UNLISTED}
    assert found == {"reference/plan-2022.json", "notes", "notes/a.txt", "more"}


def test_a_manifest_that_leaves_a_file_out_or_points_elsewhere_is_refused(copy: Path, signer: Signer) -> None:
    manifest = msgspec.json.decode((copy / layout.MANIFEST).read_bytes(), type=Manifest)
    manifest.files["../data/config.json"] = manifest.files.pop(layout.CLAIMS)
    (copy / layout.MANIFEST).write_bytes(manifest.encode())
    assert {Code.MANIFEST, Code.FILE_UNLISTED, Code.MANIFEST_SIGNATURE} == codes(verify(copy))


def test_a_directory_that_is_no_export_is_not_judged(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="不是审计导出"):
        verify(tmp_path)


# Who signed


def test_the_auditors_own_copy_of_the_key_is_what_counts(exported: Path, copy: Path, signer: Signer) -> None:
    published = NoteKey.parse(str(NoteKey.of(ORIGIN, signer.public)))
    report = verify(exported, trusted_checkpoint_key=published)
    assert (report.ok, report.pinned) == (True, True)
    stranger = Signer(Ed25519PrivateKey.generate(), Purpose.CHECKPOINT)
    sign_all_as(copy, stranger)
    alone = verify(copy)
    assert not alone.pinned, "without a pinned key an export vouches for itself, and the report says so"
    assert [(one.code, one.field) for one in alone.findings] == [(Code.KEYSET, signer.kid)], "the key sets tell"
    assert codes(verify(copy, trusted_checkpoint_key=published)) == {
        Code.KEY_NOT_PINNED, Code.MANIFEST_SIGNATURE, Code.CHECKPOINT, Code.KEPT_SIGNATURE, Code.KEYS, Code.KEYSET,
    }  # fmt: skip


def sign_all_as(directory: Path, stranger: Signer) -> None:
    """A stranger puts a key of their own in the place of the registry's, everywhere."""
    keyring = Keyring.load(directory / layout.KEYS)
    old = next(record for record in keyring.records if record.purpose is Purpose.CHECKPOINT)
    mine = KeyRecord(
        stranger.kid, stranger.algorithm, old.purpose, stranger.public.spki(), old.not_before, old.not_after
    )
    others = [record for record in keyring.records if record is not old]
    Keyring([*others, mine]).save(directory / layout.KEYS)
    sign_again(directory, stranger, checkpoint_key=str(NoteKey.of(ORIGIN, stranger.public)))


# Lines


def delete(lines: list[bytes]) -> None:
    del lines[9]


def repeat(lines: list[bytes]) -> None:
    lines.insert(10, lines[9])


def reorder(lines: list[bytes]) -> None:
    lines[9], lines[10] = lines[10], lines[9]


def truncate(lines: list[bytes]) -> None:
    del lines[-3:]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (delete, {Code.POSITION_GAP, Code.TAIL_MISSING}),
        (repeat, {Code.POSITION_REPEATED, Code.VERSION, Code.TREE_ROOT}),
        (reorder, {Code.POSITION_GAP, Code.POSITION_ORDER, Code.TREE_ROOT}),
        (truncate, {Code.TAIL_MISSING}),
    ],
)
def test_lines_of_the_log_taken_put_and_moved_are_told_apart(
    change: Callable[[list[bytes]], None], named: set[Code], copy: Path
) -> None:
    edit(copy, layout.EVENTS, change)
    order = {code for code in codes(verify(copy)) if code.startswith(("position", "tail", "tree", "version"))}
    assert named <= order <= named | {Code.VERSION}


def test_a_line_that_is_no_event_is_named_by_its_number(copy: Path) -> None:
    edit(copy, layout.EVENTS, lambda lines: lines.__setitem__(4, lines[4].replace(b'"version":', b'"version": ')))
    found = [(finding.file, finding.line) for finding in verify(copy).findings if finding.code is Code.LINE]
    assert found == [(layout.EVENTS, 5)]


def test_an_older_checkpoint_does_not_cover_what_came_later(
    made: tuple[Path, Custody], tmp_path: Path, signer: Signer
) -> None:
    registry = fresh(made, tmp_path / "data", Clock())
    registry.award(awarding(person(1)), officer=CLERK)
    export(registry, tmp_path / "first")
    registry.award(awarding(person(2)), officer=CLERK)
    export(registry, tmp_path / "second")
    registry.close()
    shutil.copy(tmp_path / "first" / layout.CHECKPOINT, tmp_path / "second" / layout.CHECKPOINT)
    assert codes(verify(tmp_path / "second")) == {Code.FILE_CHANGED, Code.CHECKPOINT_OLDER, Code.KEPT}
    sign_again(tmp_path / "second", signer, checkpoint=False)
    assert codes(verify(tmp_path / "second")) == {Code.CHECKPOINT_OLDER, Code.KEPT}


# An insider with the checkpoint key


def change_event(directory: Path, place: int, change: Callable[[dict[str, Any]], None]) -> None:
    """Change one event and write it as the log would have."""

    def edited(lines: list[bytes]) -> None:
        event = json.loads(lines[place])
        change(event)
        state = msgspec.json.encode(event["state"])
        lines[place] = layout.write_event(
            (event["position"], event["stream"], event["version"], event["name"], state)
        ).rstrip(b"\n")

    edit(directory, layout.EVENTS, edited)


def names_all_codes(directory: Path, signer: Signer, *expected: Code, beside: Any = None) -> Report:
    sign_again(directory, signer)
    report = verify(directory, beside=beside)
    assert codes(report) == set(expected), report.findings
    for secret in SECRETS:
        assert secret.encode() not in msgspec.json.encode(report), "a report shows no personal data"
    return report


def test_two_holders_whose_events_were_swapped(live: Life, copy: Path, signer: Signer) -> None:
    first, second, *_ = (n for n, one in enumerate(events_of(copy)) if one["name"] == "holder-registered/1")
    one, other = (events_of(copy)[place]["state"] for place in (first, second))
    change_event(copy, first, lambda event: event.update(state=other))
    change_event(copy, second, lambda event: event.update(state=one))
    report = names_all_codes(copy, signer, Code.HOLDER)
    assert report.totals == {Code.HOLDER: 2}
    report = verify(copy, beside=live.registry)
    assert {Code.HOLDER, Code.SEAL, Code.LIVE_DIFFERS} <= codes(report)


def test_a_box_moved_to_another_holder_opens_nowhere(live: Life, copy: Path, signer: Signer) -> None:
    first, second, *_ = (n for n, one in enumerate(events_of(copy)) if one["name"] == "holder-registered/1")
    box = events_of(copy)[second]["state"]["fact"]["person"]
    change_event(copy, first, lambda event: event["state"]["fact"].update(person=box))
    names_all_codes(copy, signer)  # sealed: only the data key can tell
    report = verify(copy, beside=live.registry)
    assert [(one.code, one.position) for one in report.findings if one.code is Code.SEAL] == [(Code.SEAL, first + 1)]


def test_a_revocation_that_is_taken_out_changes_claims_and_register(live: Life, copy: Path, signer: Signer) -> None:
    place = place_of(copy, "title-suspended/1")
    change_event(copy, place, lambda event: event["state"]["fact"].update(effective_on="2027-01-01"))
    report = names_all_codes(copy, signer, Code.DECISION, Code.ROW_DIFFERS)
    row = next(finding for finding in report.findings if finding.code is Code.ROW_DIFFERS)
    assert (row.table, row.stream, row.field) == ("titles", live.titles[2], "status_from")
    assert (row.expected, row.found) == ("2027-01-01", "2026-04-01")


def test_a_decision_by_one_officer(copy: Path, signer: Signer) -> None:
    place = place_of(copy, "title-revoked/1")
    change_event(copy, place, lambda event: event["state"].update(actor=CLERK))
    report = names_all_codes(copy, signer, Code.OFFICERS)
    assert report.findings[0].position == place + 1


def test_a_decision_that_nobody_proposed(copy: Path, signer: Signer) -> None:
    place = place_of(copy, "title-revoked/1")
    change_event(copy, place, lambda event: event["state"]["fact"].update(proposal="title-x.9"))
    assert Code.DECISION in codes_after(copy, signer)


def test_a_proposal_changed_after_it_was_made(live: Life, copy: Path, signer: Signer) -> None:
    own = [n for n, one in enumerate(events_of(copy)) if one["stream"] == live.titles[0]]
    place = next(n for n in reversed(own) if events_of(copy)[n]["name"] == "decision-proposed/1")
    change_event(copy, place, lambda event: event["state"]["fact"].update(document_no="另一文号"))
    report = names_all_codes(copy, signer, Code.ROW_DIFFERS)
    assert [(one.table, one.field) for one in report.findings] == [("proposals", "document_no")]
    assert Code.PROPOSAL_DIGEST in codes(verify(copy, beside=live.registry)), "the digest covers the sealed reason"


def test_a_paper_approved_by_its_clerk(copy: Path, signer: Signer) -> None:
    place = place_of(copy, "paper-approved/1")
    change_event(copy, place, lambda event: event["state"].update(actor=CLERK))
    names_all_codes(copy, signer, Code.OFFICERS)


def test_an_award_to_a_holder_who_does_not_exist(copy: Path, signer: Signer) -> None:
    place = place_of(copy, "title-awarded/1")
    change_event(copy, place, lambda event: event["state"]["fact"].update(holder="holder-nobody"))
    assert Code.LINK in codes_after(copy, signer)


def codes_after(directory: Path, signer: Signer) -> set[str]:
    sign_again(directory, signer)
    return codes(verify(directory))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda event: event.update(name="never-heard-of/1"), Code.EVENT),
        (lambda event: event["state"]["fact"].pop("award"), Code.EVENT),
        (lambda event: event.update(version=7), Code.VERSION),
        (lambda event: event.update(stream="guild-1"), Code.STREAM),
        (lambda event: event.update(name="holder-registered/1", state=event["state"] | {"fact": HOLDER}), Code.FOLD),
    ],
)
def test_an_event_that_does_not_belong(
    change: Callable[[dict[str, Any]], None], code: Code, copy: Path, signer: Signer
) -> None:
    change_event(copy, place_of(copy, "title-awarded/1"), change)
    assert code in codes_after(copy, signer)


HOLDER = {"holder": "holder-nobody", "person": "AAAA"}


def test_a_certificate_whose_signature_is_another(live: Life, copy: Path, signer: Signer) -> None:
    first, last = place_of(copy, "certificate-signed/2"), place_of(copy, "certificate-signed/2", last=True)
    other = events_of(copy)[last]["state"]["fact"]["signature"]
    change_event(copy, first, lambda event: event["state"]["fact"].update(signature=other))
    (found,) = names_all_codes(copy, signer, Code.CERTIFICATE_SIGNATURE).findings
    assert (found.stream, found.field) == (live.titles[0], "certificate 1")
    assert codes(verify(copy, beside=live.registry)) == {Code.CERTIFICATE_SIGNATURE, Code.LIVE_DIFFERS}


def test_a_certificate_with_digest_and_signature_of_another_is_known_by_its_content(
    live: Life, copy: Path, signer: Signer
) -> None:
    first, last = place_of(copy, "certificate-signed/2"), place_of(copy, "certificate-signed/2", last=True)
    other = events_of(copy)[last]["state"]["fact"]
    taken = {"signature": other["signature"], "digest": other["digest"]}
    change_event(copy, first, lambda event: event["state"]["fact"].update(taken))
    names_all_codes(copy, signer)  # sealed: a signature of ours over a digest of ours
    assert codes(verify(copy, beside=live.registry)) == {Code.CERTIFICATE_DIGEST, Code.LIVE_DIFFERS}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda fact: fact.update(leaf=fact["leaf"] + 1), Code.CERTIFICATE_LEAF),
        (lambda fact: fact.pop("leaf"), Code.CERTIFICATE_LEAF),
        (lambda fact: fact.pop("digest"), Code.CERTIFICATE_LEAF),
        (lambda fact: fact.update(digest="AAAA"), Code.CERTIFICATE_DIGEST),
        (lambda fact: fact.update(digest="A" * 43 + "="), Code.CERTIFICATE_SIGNATURE),
    ],
)
def test_a_signed_certificate_that_says_another_place_or_digest(
    change: Callable[[dict[str, Any]], None], code: Code, copy: Path, signer: Signer
) -> None:
    change_event(copy, place_of(copy, "certificate-signed/2"), lambda event: change(event["state"]["fact"]))
    names_all_codes(copy, signer, code)


def test_a_certificate_signed_under_the_old_name_has_neither_leaf_nor_digest(copy: Path, signer: Signer) -> None:
    place = place_of(copy, "certificate-signed/2", last=True)
    change_event(copy, place, lambda event: event.update(name="certificate-signed/1"))
    names_all_codes(copy, signer, Code.CERTIFICATE_LEAF)
    for name in ("leaf", "digest"):
        change_event(copy, place, lambda event, name=name: event["state"]["fact"].pop(name))
    names_all_codes(copy, signer)  # as such certificates were signed before there was a transparency log


def test_a_certificate_that_was_signed_without_being_prepared(copy: Path, signer: Signer) -> None:
    place = place_of(copy, "certificate-signed/2")
    change_event(copy, place, lambda event: event["state"]["fact"].update(version=5))
    assert Code.CERTIFICATE in codes_after(copy, signer)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kid": "aaaaaaaa"}, Code.CERTIFICATE_KEY),
        ({"version": 9}, Code.CERTIFICATE),
        ({"code": "0" * 16 + "1"}, Code.CERTIFICATE),
    ],
)
def test_a_prepared_certificate_of_another_form(
    changes: dict[str, Any], code: Code, copy: Path, signer: Signer
) -> None:
    place = place_of(copy, "certificate-prepared/1", last=True)
    change_event(copy, place, lambda event: event["state"]["fact"].update(changes))
    assert code in codes_after(copy, signer)


def test_a_certificate_key_that_was_not_valid_then(copy: Path, signer: Signer) -> None:
    jwks = json.loads((copy / layout.KEYS).read_bytes())
    next(key for key in jwks["keys"] if key["purpose"] == "e-certificate/1")["nbf"] = 1_900_000_000
    (copy / layout.KEYS).write_bytes(msgspec.json.encode(jwks))
    names_all_codes(copy, signer, Code.CERTIFICATE_KEY, Code.KEYSET)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda lines: lines.pop(2), Code.CLAIM_MISSING),
        (lambda lines: lines.insert(0, b'{"scope":"code","key":"0","stream":"title-x"}'), Code.CLAIM_EXTRA),
        (lambda lines: lines.append(b'{"scope":"zzz","key":"0","stream":"title-x"}'), Code.CLAIM_EXTRA),
        (lambda lines: lines.__setitem__(2, lines[2][:-3] + b'!"}'), Code.CLAIM_DIFFERS),
    ],
)
def test_a_changed_claim(change: Callable[[list[bytes]], None], code: Code, copy: Path, signer: Signer) -> None:
    edit(copy, layout.CLAIMS, change)
    names_all_codes(copy, signer, code)


def test_two_titles_with_one_number(copy: Path, signer: Signer) -> None:
    events = events_of(copy)
    first, second = [place for place, event in enumerate(events) if event["name"] == "title-awarded/1"][:2]
    number = events[first]["state"]["fact"]["award"]["number"]
    change_event(copy, second, lambda event: event["state"]["fact"]["award"].update(number=number))
    assert Code.CLAIM_CONFLICT in codes_after(copy, signer)


@pytest.mark.parametrize("table", ["papers", "proposals", "titles"])
def test_a_changed_row_of_the_register(table: str, copy: Path, signer: Signer) -> None:
    field = {"papers": "state", "proposals": "document_no", "titles": "title_name"}[table]

    def change(lines: list[bytes]) -> None:
        place = next(n for n, line in enumerate(lines) if line.startswith(b'{"table":"' + table.encode()))
        row = json.loads(lines[place])
        row["row"][field] = "changed"
        lines[place] = msgspec.json.encode(row)

    edit(copy, layout.REGISTER, change)
    (found,) = names_all_codes(copy, signer, Code.ROW_DIFFERS).findings
    assert (found.table, found.field, found.found) == (table, field, "changed")


def test_a_row_too_many_and_a_row_too_few(copy: Path, signer: Signer) -> None:
    edit(copy, layout.REGISTER, lambda lines: lines.pop())
    names_all_codes(copy, signer, Code.ROW_MISSING)
    edit(
        copy,
        layout.REGISTER,
        lambda lines: lines.extend([lines[-1].replace(b'"title":"title-', b'"title":"title-Z')] * 2),
    )
    names_all_codes(copy, signer, Code.ROW_MISSING, Code.ROW_EXTRA)


def test_a_manifest_whose_figures_are_made_up(copy: Path, signer: Signer) -> None:
    sign_again(copy, signer, head=3, created_at=None, counts={"events": 1, "fairies": 2})
    report = verify(copy)
    assert codes(report) == {Code.COUNTS}
    assert report.totals[Code.COUNTS] == 9  # head, time, six counts of ours and one that we do not have


def test_reference_data_that_was_never_adopted(copy: Path, signer: Signer) -> None:
    path = copy / "reference" / "authorities.json"
    path.write_bytes(path.read_bytes().replace("丽水".encode(), "温州".encode()))
    names_all_codes(copy, signer, Code.REFERENCE)


def test_keys_that_cannot_be_read(copy: Path, signer: Signer) -> None:
    (copy / layout.KEYS).write_bytes(b"{}")
    names_all_codes(copy, signer, Code.KEYS)


def test_a_thousand_findings_are_counted_and_twenty_shown(copy: Path, signer: Signer) -> None:
    edit(copy, layout.CLAIMS, lambda lines: lines.extend([b"{}"] * 1000))
    report = names_all_codes(copy, signer, Code.LINE)
    assert (report.totals, len(report.findings)) == ({Code.LINE: 1000}, 20)


# Statistics and kit


def test_statistics_that_are_made_up(copy: Path, signer: Signer) -> None:
    path = copy / layout.STATISTICS
    whole = path.read_bytes()
    found = json.loads(whole)
    found["titles"] += 1
    found["by_year"][0][-1] -= 1
    path.write_bytes(msgspec.json.encode(found))
    report = names_all_codes(copy, signer, Code.STATISTICS)
    fields = {one.field: (one.expected, one.found) for one in report.findings}
    year, obtained, count = found["by_year"][0]
    assert fields == {"titles": ("6", "7"), f"by_year {year} {obtained}": (str(count + 1), str(count))}
    for other in (whole.replace(b"  ", b" "), b"{}", whole.replace(b'"titles"', b'"tittles"')):
        path.write_bytes(other)
        names_all_codes(copy, signer, Code.STATISTICS)


def test_a_kit_that_is_not_ours_is_named_before_anybody_runs_it(copy: Path, signer: Signer) -> None:
    (copy / layout.KIT).write_text("print('all well')")
    assert names_all_codes(copy, signer, Code.KIT).exit_status == 3
    sign_again(copy, signer, product="title-registry 99")
    report = verify(copy)
    assert (codes(report), report.exit_status) == ({Code.KIT_OTHER}, 1), "of that version nothing can be said"


# Tiles and kept checkpoints, all signed again by an insider


def tiles_of(directory: Path) -> list[str]:
    return sorted(one.relative_to(directory).as_posix() for one in (directory / "tile").rglob("*") if one.is_file())


def test_tiles_that_do_not_follow_from_the_events(copy: Path, signer: Signer) -> None:
    hashes, entries = tiles_of(copy)
    for name, code in ((hashes, Code.TILE), (entries, Code.ENTRIES)):
        whole = (copy / name).read_bytes()
        for changed in (whole[:40] + bytes((whole[40] ^ 1,)) + whole[41:], whole[:-1], whole + b"\0"):
            (copy / name).write_bytes(changed)
            sign_again(copy, signer, checkpoint=False)
            report = verify(copy)
            assert [(one.code, one.file) for one in report.findings] == [(code, name)]
        (copy / name).write_bytes(whole)
    shutil.rmtree(copy / "tile" / "0")
    (copy / "tile" / "1").mkdir()
    (copy / "tile" / "1" / "000").write_bytes(bytes(32))
    sign_again(copy, signer, checkpoint=False)
    report = verify(copy)
    assert [(one.code, one.file) for one in report.findings] == [(Code.TILE, hashes), (Code.TILE, "tile/1/000")]


def notes_of(directory: Path) -> list[bytes]:
    return list(KeptCheckpoints(directory / layout.CHECKPOINTS).all())


def kept_again(directory: Path, signer: Signer, *notes: bytes, more: bytes = b"") -> Report:
    """Put these notes for those that were kept, and sign the manifest."""
    (directory / layout.CHECKPOINTS).write_bytes(b"".join(note + b"\n" for note in notes) + more)
    sign_again(directory, signer, checkpoint=False)
    return verify(directory)


def test_kept_checkpoints_that_were_taken_moved_or_added(copy: Path, signer: Signer) -> None:
    notes = notes_of(copy)
    assert verify(copy).checkpoints == len(notes) > 5
    assert codes(kept_again(copy, signer, *notes[:-1])) == {Code.KEPT}
    assert codes(kept_again(copy, signer, *notes, more=b"\n")) == {Code.KEPT}
    assert codes(kept_again(copy, signer, *notes[:-1], more=notes[-1])) == {Code.KEPT}, "cut before its empty line"
    (found,) = kept_again(copy, signer, *notes[:2], notes[3], notes[2], *notes[4:]).findings
    assert (found.code, found.file, found.line) == (Code.KEPT_ORDER, layout.CHECKPOINTS, 4)
    stranger = Signer(Ed25519PrivateKey.generate(), Purpose.CHECKPOINT)
    read = read_checkpoint(notes[2].partition(b"\n\n")[0] + b"\n")
    (found,) = kept_again(copy, signer, *notes[:2], sign_checkpoint(read, stranger), *notes[3:]).findings
    assert (found.code, found.line) == (Code.KEPT_SIGNATURE, 3)
    assert codes(kept_again(copy, signer, *notes)) == set()


def test_a_kept_checkpoint_with_another_root_is_a_fork_with_both_roots(copy: Path, signer: Signer) -> None:
    notes = notes_of(copy)
    read = read_checkpoint(notes[2].partition(b"\n\n")[0] + b"\n")
    forged = sign_checkpoint(read._replace(root=bytes(32)), signer)
    (found,) = kept_again(copy, signer, *notes[:2], forged, *notes[3:]).findings
    assert (found.code, found.line, found.expected, found.found) == (Code.FORK, 3, "00" * 32, read.root.hex())


def test_a_cosignature_that_fails_is_named(copy: Path, signer: Signer) -> None:
    notes = notes_of(copy)
    text, lines = notes[1].split(b"\n\n")
    own, cosignature, _ = lines.split(b"\n")
    data = bytearray(base64.b64decode(cosignature.split(b" ")[2]))
    data[-100] ^= 1
    failing = b" ".join((*cosignature.split(b" ")[:2], base64.b64encode(data)))
    (found,) = kept_again(copy, signer, notes[0], text + b"\n\n" + own + b"\n" + failing + b"\n", *notes[2:]).findings
    assert (found.code, found.file, found.line) == (Code.COSIGNATURE, layout.CHECKPOINTS, 2)


# Checkpoints that the auditor kept


def test_history_rewritten_with_every_key_is_a_fork_for_whoever_kept_a_checkpoint(
    exported: Path, copy: Path, signer: Signer
) -> None:
    """All notes, tiles and files are made anew and signed: without memory of one's own nobody can tell."""
    place = place_of(copy, "title-awarded/1")
    change_event(copy, place, lambda event: event["state"].update(actor=THIRD))
    names_all_codes(copy, signer)
    report = verify(copy, checkpoints=[exported / layout.CHECKPOINT])
    (found,) = report.findings
    signed = read_checkpoint((exported / layout.CHECKPOINT).read_bytes().partition(b"\n\n")[0] + b"\n")
    assert (found.code, found.file) == (Code.FORK, str(exported / layout.CHECKPOINT))
    assert (found.expected, found.found) == (signed.root.hex(), report.root)


def test_checkpoints_kept_from_before_are_extended(made: tuple[Path, Custody], tmp_path: Path, signer: Signer) -> None:
    registry = fresh(made, tmp_path / "data", Clock())
    for n in (1, 2):
        registry.award(awarding(person(n)), officer=CLERK)
        export(registry, tmp_path / str(n))
    first, second = tmp_path / "1" / layout.CHECKPOINT, tmp_path / "2" / layout.CHECKPOINT
    assert verify(tmp_path / "2", checkpoints=[second, first]).ok
    (found,) = verify(tmp_path / "1", checkpoints=[first, second]).findings
    older, newer = (len(events_of(tmp_path / one)) for one in "12")
    assert newer == older + 2
    assert (found.code, found.file, found.expected, found.found) == (Code.BEYOND, str(second), str(newer), str(older))
    stranger = tmp_path / "stranger"
    anybody = Signer(Ed25519PrivateKey.generate(), Purpose.CHECKPOINT)
    stranger.write_bytes(sign_checkpoint(Checkpoint(ORIGIN, 3, bytes(32)), anybody))
    (found,) = verify(tmp_path / "2", checkpoints=[stranger]).findings
    assert (found.code, found.file) == (Code.CHECKPOINT, str(stranger))
    stranger.write_bytes(b"3 leaves, I think\n")
    for nothing in (stranger, tmp_path / "nowhere"):
        with pytest.raises(BadInput, match="不是检查点"):
            verify(tmp_path / "2", checkpoints=[nothing])
    registry.close()


def test_checkpoints_of_a_retired_key_still_count(live: Life, tmp_path: Path, passphrase: bytes) -> None:
    clock = Clock()
    registry = Registry.create(tmp_path / "own", passphrase, engine.kept(live.registry.config), clock)
    found(registry)
    registry.award(awarding(person(1)), officer=CLERK)
    export(registry, tmp_path / "old")
    clock.forward(minutes=1)
    rotate(registry.custody, Purpose.CHECKPOINT, clock())
    registry.award(awarding(person(2)), officer=CLERK)
    export(registry, tmp_path / "new")
    report = verify(tmp_path / "new", checkpoints=[tmp_path / "old" / layout.CHECKPOINT])
    assert report.ok, report.findings
    assert report.checkpoints > 2
    registry.close()


def test_a_policy_that_cannot_be_read(copy: Path, signer: Signer) -> None:
    (copy / layout.POLICY).write_text("quorum nobody\n")
    manifest = msgspec.json.decode((copy / layout.MANIFEST).read_bytes(), type=Manifest)
    manifest.files[layout.POLICY] = layout.file_entry(copy / layout.POLICY)
    (copy / layout.MANIFEST).write_bytes(manifest.encode())
    names_all_codes(copy, signer, Code.POLICY)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_an_event_the_audit_answers(data: st.DataObject, exported: Path, copy: Path) -> None:
    """Any field of any event, at any depth, holds something else: a report, and never a traceback."""
    lines = (exported / layout.EVENTS).read_bytes().splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    event = json.loads(lines[place])
    inner = data.draw(st.sampled_from([event, event["state"], event["state"]["fact"]]))
    inner[data.draw(st.sampled_from(sorted(inner)))] = data.draw(ANY_JSON)
    lines[place] = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    (copy / layout.EVENTS).write_bytes(b"".join(line + b"\n" for line in lines))
    assert verify(copy).ok == ((copy / layout.EVENTS).read_bytes() == (exported / layout.EVENTS).read_bytes())


def test_an_export_of_a_log_that_follows_another(made: tuple[Path, Custody], tmp_path: Path) -> None:
    """Its first leaf commits to the log before; certificates of both logs are in it."""
    clock = Clock()
    registry = fresh(made, tmp_path / "data", clock)
    old, new = (registry.award(awarding(person(n)), officer=CLERK) for n in (1, 2))
    registry.issue(old, settable, officer=CLERK)
    note = registry.tlog.outside.read_bytes()
    registry.tlog.outside.write_bytes(b"damaged beyond repair")
    registry.tlog.succeed("第二存储损坏")
    registry.close()
    following = Registry(Folder(tmp_path / "data"), registry.custody, clock)
    following.issue(new, settable, officer=CLERK)
    export(following, tmp_path / "export")
    report = verify(tmp_path / "export", beside=following)
    assert report.ok, report.findings
    assert verify_live(following).ok
    assert (tmp_path / "export" / "predecessor").read_bytes() == following.tlog.entry(0)
    assert note in following.tlog.entry(0)  # what was damaged outside is still kept here
    (tmp_path / "export" / "predecessor").unlink()
    assert {Code.TAIL_MISSING, Code.FILE_MISSING} <= codes(verify(tmp_path / "export"))
    following.close()


# People, roles and keys


@pytest.mark.parametrize("insider", INSIDERS, ids=lambda insider: insider.what)
def test_what_the_program_would_never_record(insider: Insider, copy: Path, signer: Signer) -> None:
    edit(copy, layout.EVENTS, lambda lines: apply(insider, lines))
    assert insider.code in codes_after(copy, signer)


def test_an_old_registry_that_was_never_founded_needs_no_roles(copy: Path, signer: Signer) -> None:
    """What was recorded before the founding is exempt: nobody could have had a role."""
    edit(copy, layout.EVENTS, lambda lines: apply(UNFOUNDED, lines))
    assert Code.ROLE not in codes_after(copy, signer)


def test_a_key_that_was_compromised_counts_before_that_place_only(copy: Path, signer: Signer) -> None:
    """The key ring may know worse of a key than the key set of then; it may not know better."""
    jwks = json.loads((copy / layout.KEYS).read_bytes())
    key = next(one for one in jwks["keys"] if one["purpose"] == "e-certificate/1")
    key |= {"state": "compromised", "compromised_from": 30}
    (copy / layout.KEYS).write_bytes(msgspec.json.encode(jwks))
    names_all_codes(copy, signer)


def test_a_compromise_that_the_key_ring_does_not_tell(
    live: Life, tmp_path: Path, passphrase: bytes, signer: Signer
) -> None:
    directory, kid = exported_after_compromise(live, tmp_path, passphrase)
    assert codes(verify(directory)) == set()
    for state, since in (("retired", None), ("compromised", 50)):
        jwks = json.loads((directory / layout.KEYS).read_bytes())
        next(one for one in jwks["keys"] if one["kid"] == kid).update(state=state, compromised_from=since)
        (directory / layout.KEYS).write_bytes(msgspec.json.encode(jwks))
        report = names_all_codes(directory, signer, Code.KEYSET)
        assert [one.field for one in report.findings] == [kid]


def test_the_audit_asks_for_the_roles_that_the_table_of_permissions_names() -> None:
    """It has a table of its own, for what was right when it was recorded. Whoever changes a right sees it here."""
    asked = {
        DecisionProposed: Permission.PROPOSE,
        ErasureProposed: Permission.ERASE,
        HolderErased: Permission.DECIDE,
        LegalHoldPlaced: Permission.HOLD,
        HolderRenamed: Permission.CHANGE_HOLDER,
        DataRequestAnswered: Permission.ANSWER_REQUEST,
        RoleProposed: Permission.PROPOSE_ROLE,
        RoleGranted: Permission.GRANT_ROLE,
    }
    for fact, permission in asked.items():
        assert set(roles._SIMPLE[fact]) == set(RULES[permission].roles), fact


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_any_fact_in_any_stream_is_judged_and_never_breaks_the_audit(name: str, live: Life) -> None:
    log, everybody = live.registry.log, roles.Roles({})
    everybody.founded = 0
    streams = {one.partition("-")[0]: one for one in sorted(log.streams_of(TITLES) + log.streams_of(HOLDERS))}
    streams |= {kind.prefix: log.streams_of(kind)[0] for kind in KINDS.values() if kind.prefix not in streams}
    assert set(streams) == set(KINDS)
    for prefix, stream in streams.items():
        for state in (None, log.load(KINDS[prefix], stream)):
            event = Recorded[Any](stream, 9, EXAMPLES[name], live.clock.now, "clerk-99", "command-1", None, 999)
            found = [*laws.before(state, name, event), *everybody.check(state, event)]
            assert all(one.position == 999 for one in found)
