"""The `log` commands: checkpoints, proofs to carry away, checking off line, how the log stands, and a frozen one."""

import base64
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import cbor2
import pytest

from registry.folder import Folder
from tests import engine
from tests.api.conftest import LIST, NUMBERS, Cli
from tests.lists import csv_file, good, table


def tree_of(cli: Cli) -> list[bytes]:
    """The leaf hashes of everything that is stored, by the words of registry/proof/leaf.py."""
    rows = engine.stored(Folder(cli.folder / "data"))
    leaves = [
        ["leaf/1", position, stream, version, name, json.loads(state)["recorded_at"], hashlib.sha256(state).digest()]
        for position, stream, version, name, state in rows
    ]
    return [hashlib.sha256(b"\x00" + cbor2.dumps(one, canonical=True)).digest() for one in leaves]


def mth(leaves: list[bytes]) -> bytes:
    """MTH of leaf hashes (RFC 6962 section 2.1)."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + mth(leaves[:half]) + mth(leaves[half:])).digest()


def text(root: bytes) -> str:
    return base64.b64encode(root).decode()


@pytest.fixture
def issued(cli: Cli) -> str:
    """The code of a certificate that was issued."""
    found: str = cli.data("certificates", "issue", NUMBERS[0])["code"]
    return found


@pytest.fixture
def proof(cli: Cli, issued: str) -> Path:
    """A proof of the event by which it was signed."""
    cli.ok("log", "prove", NUMBERS[0], "--out", "one.tlog-proof")
    return cli.folder / "one.tlog-proof"


@pytest.fixture
def jwks(cli: Cli) -> Path:
    """The public keys."""
    cli.ok("keys", "export", "jwks.json")
    return cli.folder / "jwks.json"


def vkey(cli: Cli) -> str:
    found: str = cli.data("log", "keys")[0]
    return found


# checkpoints


def test_the_checkpoint_is_that_of_the_stored_events(cli: Cli) -> None:
    shown, leaves = cli.data("log", "checkpoint"), tree_of(cli)
    assert (shown["size"], shown["root"]) == (len(leaves), text(mth(leaves)))
    assert shown["origin"] == "127.0.0.1:8000/log"
    assert shown["note"].startswith(f"127.0.0.1:8000/log\n{len(leaves)}\n{shown['root']}\n\n— 127.0.0.1:8000/log ")
    assert shown["note"] == (cli.folder / "data/log/checkpoint").read_text()
    assert shown["at"]
    assert "policy" not in shown
    drawn = cli.ok("log", "checkpoint").stdout
    assert shown["root"] in drawn
    assert max(map(len, drawn.splitlines())) < 400, "a signature of 2,420 bytes is cut for people"


def test_a_policy_says_who_has_cosigned(cli: Cli) -> None:
    cli.ok("log", "witness", "init", "watcher", "--name", "archive.example.cn/witness")
    key = cli.data("log", "witness", "show", "watcher")["vkey"]
    (cli.folder / "data/log/policy").write_text(f"witness archive {key} http://127.0.0.1:9\nquorum archive\n")
    shown = cli.data("log", "checkpoint")["policy"]
    assert (shown["met"], shown["by"]) == (False, [])
    assert "archive" in shown["why"]
    assert "nobody" in cli.ok("log", "checkpoint").stdout


def test_the_keys_are_those_that_the_note_names(cli: Cli) -> None:
    note = cli.data("log", "checkpoint")["note"]
    lines = cli.ok("log", "keys").stdout.splitlines()
    ids = [base64.b64decode(line.split(" ")[2])[:4].hex() for line in note.splitlines() if line.startswith("— ")]
    assert [line.split("+")[:2] for line in lines] == [["127.0.0.1:8000/log", one] for one in ids]
    assert [base64.b64decode(line.split("+", 2)[2])[0] for line in lines] == [1, 6]
    assert cli.data("log", "keys") == lines


# proofs


def test_a_proof_of_a_certificate_is_checked_elsewhere(cli: Cli, proof: Path, jwks: Path) -> None:
    pinned = vkey(cli)
    (cli.folder / "data").rename(cli.folder / "gone")
    for trusted in (("--keys", "jwks.json"), ("--key", pinned)):
        found = cli.data("log", "check", "one.tlog-proof", *trusted)
        assert (found["holds"], found["kind"], found["log"]) == (True, "proof", "127.0.0.1:8000/log")
        assert found["events"][0]["name"] == "certificate-signed/2"
    assert "certificate-signed/2" in cli.ok("log", "check", "one.tlog-proof", "--key", pinned).stdout
    (cli.folder / "gone").rename(cli.folder / "data")


def test_its_extra_is_the_event_as_an_export_has_it(cli: Cli, proof: Path) -> None:
    cli.ok("audit", "export", "export")
    extra = base64.b64decode(proof.read_text().split("\n")[1].removeprefix("extra "))
    assert extra in (cli.folder / "export/events.jsonl").read_bytes().splitlines()
    assert json.loads(extra)["name"] == "certificate-signed/2"


def test_an_event_is_proven_by_its_position_and_the_answer_is_the_tree_s(cli: Cli) -> None:
    leaves = tree_of(cli)
    for position in (1, 2, len(leaves)):
        found = cli.data("log", "prove", str(position))
        assert (found["position"], found["index"]) == (position, position - 1)
        root, index, size = leaves[position - 1], found["index"], found["size"]
        assert climbed(root, index, size, [base64.b64decode(one) for one in found["hashes"]]) == mth(leaves[:size])
    shown = cli.ok("log", "prove", "2")
    assert shown.stdout.count("c2sp.org/tlog-proof@v1") == 1


def climbed(leaf: bytes, index: int, size: int, hashes: list[bytes]) -> bytes:
    """The root from an inclusion proof (RFC 6962 section 2.1.1)."""
    if size == 1:
        assert not hashes
        return leaf
    half, rest, top = 1 << (size - 1).bit_length() - 1, hashes[:-1], hashes[-1]
    if index < half:
        return hashlib.sha256(b"\x01" + climbed(leaf, index, half, rest) + top).digest()
    return hashlib.sha256(b"\x01" + top + climbed(leaf, index - half, size - half, rest)).digest()


def test_consistency_between_two_sizes(cli: Cli) -> None:
    leaves = tree_of(cli)
    found = cli.data("log", "consistency", "4", "7")
    assert (found["old_root"], found["root"]) == (text(mth(leaves[:4])), text(mth(leaves[:7])))
    assert found["hashes"] == [text(mth(leaves[4:7]))]
    assert cli.data("log", "consistency", "0", "7")["hashes"] == []
    assert found["hashes"][0] in cli.ok("log", "consistency", "4", "7").stdout


def test_what_cannot_be_proven(cli: Cli) -> None:
    size = len(tree_of(cli))
    cli.refused("log", "prove", str(size + 1), code="not-found", says=str(size + 1))
    cli.refused("log", "prove", "0", code="not-found")
    cli.refused("log", "prove", "浙〔1999〕1", code="not-found", says="浙〔1999〕1")
    cli.refused("log", "prove", NUMBERS[1], code="not-found", says="还没有签发")
    cli.refused("log", "prove", "1", "--authority", "331100", code="not-found", says="证书编号")
    cli.refused("log", "consistency", "7", "4", code="not-found")
    cli.refused("log", "consistency", "1", str(size + 1), code="not-found")
    cli.usage("log", "consistency", "-1", "4", says="-1")
    cli.usage("log", "prove", "1", "--out", "list.csv", says="list.csv exists already")


# checking


def said_no(cli: Cli, *args: str, code: str) -> None:
    """What does not hold ends with 3, in words and as data."""
    result = cli("log", "check", *args)
    assert (result.exit_code, result.stdout) == (3, ""), result.output
    assert f"Error [{code}]: " in result.stderr
    told = cli("log", "check", *args, "-o", "json")
    assert told.exit_code == 3
    assert (json.loads(told.stdout)["holds"], json.loads(told.stdout)["code"]) == (False, code)


def test_a_changed_proof_does_not_hold(cli: Cli, proof: Path, jwks: Path) -> None:
    whole, trusted = proof.read_text(), ("--keys", "jwks.json")
    head, extra, index, *rest = whole.split("\n")
    event = json.loads(base64.b64decode(extra.removeprefix("extra ")))
    event["state"]["fact"] = event["state"].get("fact", {}) | {"version": 9}
    other = base64.b64encode(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()).decode()
    changes: dict[str, tuple[list[str], str]] = {
        "index": ([head, extra, "index 0", *rest], "proof-invalid"),
        "event": ([head, f"extra {other}", index, *rest], "proof-invalid"),
        "hash": ([head, extra, index, text(bytes(32)), *rest[1:]], "proof-invalid"),
        "short": ([head, extra, index, *rest[1:]], "proof-invalid"),
        "no extra": ([head, index, *rest], "bad-input"),
        "rubbish": ([head, "extra AAAA", index, *rest], "proof-invalid"),
        "other": (["rubbish"], "bad-input"),
    }
    for name, (lines, code) in changes.items():
        (cli.folder / name).write_text("\n".join(lines))
        said_no(cli, name, *trusted, code=code)
    (cli.folder / "size").write_text(whole.replace("/log\n", "/log\n1", 1))
    said_no(cli, "size", *trusted, code="signature-invalid")


def test_a_proof_under_a_key_that_is_not_trusted(cli: Cli, proof: Path) -> None:
    pinned = vkey(cli)
    cli.ok("init", "--base-url", "http://127.0.0.1:8000", "--data", "other", "--sample")
    theirs = cli.data("log", "keys", "--data", "other")[0]
    assert theirs.split("+")[0] == pinned.split("+")[0]
    said_no(cli, "one.tlog-proof", "--key", theirs, code="signature-invalid")
    cli.ok("keys", "export", "theirs.json", "--data", "other")
    said_no(cli, "one.tlog-proof", "--keys", "theirs.json", code="signature-invalid")


def test_a_receipt_of_a_verification_is_checked_the_same_way(cli: Cli, issued: str, jwks: Path) -> None:
    from registry.audit.receipt import make_receipt
    from registry.service import Registry

    registry = Registry.open(cli.folder / "data", (cli.folder / "pp").read_bytes().strip())
    data = make_receipt(registry, registry.verifier.check(issued), issued)
    registry.close()
    (cli.folder / "receipt.json").write_bytes(data)
    found = cli.data("log", "check", "receipt.json", "--keys", "jwks.json")
    assert (found["holds"], found["kind"], found["status"], found["code"]) == (True, "receipt", "valid", issued)
    assert found["events"][0]["name"] == "title-awarded/1"
    (cli.folder / "receipt.json").write_bytes(data.replace(b'"status":"valid"', b'"status":"revoked"'))
    said_no(cli, "receipt.json", "--keys", "jwks.json", code="proof-invalid")
    (cli.folder / "receipt.json").write_bytes(b"{}")
    said_no(cli, "receipt.json", "--keys", "jwks.json", code="bad-input")


def test_check_needs_to_know_whom_to_trust(cli: Cli, proof: Path, jwks: Path) -> None:
    cli.usage("log", "check", "one.tlog-proof", says="which keys to trust")
    both = ("--keys", "jwks.json", "--key", vkey(cli))
    cli.usage("log", "check", "one.tlog-proof", *both, says="which keys to trust")
    cli.usage("log", "check", "nothing.tlog-proof", "--keys", "jwks.json", says="there is no file")
    cli.refused("log", "check", "one.tlog-proof", "--key", "rubbish", code="bad-input")
    cli.refused("log", "check", "one.tlog-proof", "--keys", "list.csv", code="bad-input", says="JWKS")
    (cli.folder / "empty.json").write_text('{"keys": []}')
    said_no(cli, "one.tlog-proof", "--keys", "empty.json", code="bad-input")


# how it stands


def test_status_says_what_waits_and_where_the_second_store_is(cli: Cli) -> None:
    found, leaves = cli.data("log", "status"), tree_of(cli)
    assert (found["size"], found["root"], found["waiting"]) == (len(leaves), text(mth(leaves)), 0)
    assert (found["wrong"], found["outside_size"]) == (None, len(leaves))
    assert Path(found["outside"]).read_text() == cli.data("log", "checkpoint")["note"]
    assert 0 <= found["merge_delay"] < 60
    assert "extends what was signed" in cli.ok("log", "status").stdout


def test_rebuild_writes_the_same_tiles(cli: Cli) -> None:
    folder = cli.folder / "data/log/tile"
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    shutil.rmtree(folder)
    found = cli.data("log", "rebuild")
    assert (found["size"], found["root"]) == (len(tree_of(cli)), text(mth(tree_of(cli))))
    after = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    newest = {path for path in before if path in after}
    assert newest
    assert all(before[path] == after[path] for path in newest)
    cli.ok("log", "prove", "1")


# a frozen log


@pytest.fixture
def frozen(cli: Cli) -> Cli:
    """Yesterday's copy in the place of today's data folder; the second store knows today."""
    engine.copy(cli.folder / "data", cli.folder / "yesterday")
    csv_file(cli.folder, table([good(31, 姓名="何青")])).rename(cli.folder / "more.csv")
    cli.ok("import", "awards", "more.csv", "--authority", "331100", "--document", "丽人社〔2021〕101号")
    engine.put_back(cli.folder / "yesterday", cli.folder / "data")
    return cli


READING: list[tuple[str, ...]] = [
    ("log", "checkpoint"),
    ("log", "prove", "1"),
    ("log", "prove", NUMBERS[0]),
    ("log", "consistency", "1", "2"),
    ("titles", "show", NUMBERS[0]),
    ("holders", "show", NUMBERS[0]),
    ("certificates", "issue", NUMBERS[0]),
    ("import", "awards", "list.csv", *LIST),
]


@pytest.mark.parametrize("command", READING, ids=lambda command: " ".join(command[:2]))
def test_a_frozen_log_answers_nothing_and_says_why(frozen: Cli, command: tuple[str, ...]) -> None:
    frozen.refused(*command, code="log-frozen", says="旧副本")
    assert "title-registry restore" in frozen(*command).stderr


def test_a_frozen_log_can_be_looked_at(frozen: Cli) -> None:
    shown = frozen("log", "status", "-o", "json")
    found: dict[str, Any] = json.loads(shown.stdout)
    assert shown.exit_code == 1
    assert "旧副本" in found["wrong"]
    assert found["outside_size"] > found["size"] == len(tree_of(frozen))
    assert "Error [log-frozen]: " in shown.stderr
    assert frozen("log", "keys").exit_code == 0
    before = (frozen.folder / "data/log/checkpoint").read_bytes()
    frozen("log", "rebuild")
    assert (frozen.folder / "data/log/checkpoint").read_bytes() == before


def test_a_second_store_that_is_broken_freezes_too(cli: Cli) -> None:
    Path(cli.data("log", "status")["outside"]).write_text("rubbish\n")
    cli.refused("log", "prove", "1", code="log-frozen", says="第二存储")
    shown = cli("log", "status", "-o", "json")
    assert (shown.exit_code, json.loads(shown.stdout)["outside_size"]) == (1, None)


def test_another_log_may_follow_only_a_frozen_one_and_commits_to_it(frozen: Cli) -> None:
    frozen.usage("log", "succeed", says="--reason")
    frozen.refused("log", "succeed", "--reason", " ", code="bad-input")
    last = Path(json.loads(frozen("log", "status", "-o", "json").stdout)["outside"]).read_bytes()
    found = frozen.data("log", "succeed", "--reason", "硬盘损毁，没有更新的备份")
    assert (found["origin"], found["size"]) == ("127.0.0.1:8000/log/2", len(tree_of(frozen)) + 1)
    first = cbor2.dumps(["log/1", 0, "硬盘损毁，没有更新的备份", hashlib.sha256(last).digest(), last], canonical=True)
    leaves = [hashlib.sha256(b"\x00" + first).digest(), *tree_of(frozen)]
    assert found["root"] == text(mth(leaves))
    assert frozen.data("log", "status")["wrong"] is None
    assert frozen.data("log", "prove", "1")["index"] == 1
    frozen.refused("log", "succeed", "--reason", "again", code="wrong-state")
