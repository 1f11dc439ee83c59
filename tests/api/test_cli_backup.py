"""Backup, restore and the doctor on the command line: what they say, and with which exit status."""

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keys.keyring import Keyring
from keys.signing import Purpose
from tests import engine
from tests.api.conftest import NUMBERS, Cli
from tests.api.test_cli_decisions import decide
from tests.audit_life import damage
from tests.rotating import operator_in

OTHER = {"TITLE_REGISTRY_PASSPHRASE": "another"}


def checks(cli: Cli, *options: str, status: int) -> dict[str, dict[str, Any]]:
    """What the doctor found, by name."""
    result = cli("doctor", "-o", "json", *options)
    assert result.exit_code == status, result.output
    return {one["name"]: one for one in json.loads(result.stdout)}


def test_yesterdays_copy_says_what_it_is_and_todays_heals_it(cli: Cli) -> None:
    code = cli.data("certificates", "issue", NUMBERS[0])["code"]
    first = cli.data("backup", "day-1.tar")
    decide(cli, "revoke", NUMBERS[0])
    second = cli.data("backup", "day-2.tar")
    assert second["log_position"] == first["log_position"] + 2

    result = cli("restore", "day-1.tar")
    assert result.exit_code == 1
    assert "Error [log-frozen]: " in result.stderr
    assert f"{second['log_position']} 个事件" in result.stderr
    assert "To do: " in result.stderr
    assert "2 events" in result.stdout
    assert "data.before-restore-" in result.stdout
    answer = cli("verify", code)
    assert answer.exit_code == 1  # 3 would be a verdict
    assert "旧副本" in answer.stderr
    assert answer.stdout == ""
    for command in (("certificates", "issue", NUMBERS[1]), ("revoke", "propose", NUMBERS[1], "--reason", "x")):
        refused = cli(*command, *(("--document", "x") if command[0] == "revoke" else ()))
        assert (refused.exit_code, "log-frozen" in refused.stderr) == (1, True)
    found = checks(cli, status=1)
    assert found["Log"]["outcome"] == "failed"
    assert "restore" in found["Log"]["fix"]
    assert found["Store"]["outcome"] == found["Keys"]["outcome"] == "ok"
    assert "frozen" in cli.ok("backup", "frozen.tar").stderr

    healed = cli.data("restore", "day-2.tar")
    assert (healed["frozen"], healed["missing"]) == (None, 0)
    assert cli("verify", code).exit_code == 3  # revoked
    cli.ok("register", "rebuild")
    cli.data("certificates", "issue", NUMBERS[1])
    assert {one["outcome"] for one in checks(cli, status=0).values()} == {"ok"}


def test_a_backup_says_what_is_in_it(cli: Cli) -> None:
    cli.data("certificates", "issue", NUMBERS[0])
    said = cli.ok("backup", "b.tar")
    item = cli.data("backup", "b.tar", "--force")
    with tarfile.open(cli.folder / "b.tar") as tar:
        members = [one for one in tar if not one.name.startswith("manifest.")]
    assert (item["files"], item["log_position"]) == (len(members), cli.position())
    assert item["bytes"] == sum(one.size for one in members)
    assert item["checkpoint"] == cli.position()
    keys = len(list((cli.folder / "data" / "keys").iterdir()))
    assert [line.split()[-1] for line in said.stdout.splitlines() if line.startswith("Key files")] == [str(keys)]
    assert (cli.folder / "b.tar").stat().st_mode & 0o077 == 0


def test_what_is_refused(cli: Cli) -> None:
    cli.ok("backup", "b.tar")
    before = (cli.folder / "b.tar").read_bytes()
    cli.usage("backup", "b.tar", says="exists already")
    cli.usage("backup", "no/b.tar", says="no")
    cli.usage("restore", "none.tar", says="there is no file")
    cli.refused("backup", "data/b.tar", code="refused", says="数据文件夹里面")
    cli.refused("restore", "list.csv", code="bad-input", says="不是备份文件")
    cli.refused("restore", "b.tar", code="wrong-passphrase", TITLE_REGISTRY_PASSPHRASE_FILE="", **OTHER)
    (cli.folder / "cut.tar").write_bytes(before[: len(before) // 2])
    cli.refused("restore", "cut.tar", code="bad-input")
    (cli.folder / "data" / "keys" / "root-key.pem").unlink()
    cli.refused("backup", "c.tar", code="key-store-broken", says="root-key.pem")
    assert (cli.folder / "b.tar").read_bytes() == before
    assert not [path.name for path in cli.folder.iterdir() if "c.tar" in path.name or "restore" in path.name]


def test_a_restore_can_be_rehearsed(cli: Cli) -> None:
    cli.ok("backup", "b.tar")
    cli.data("certificates", "issue", NUMBERS[0])
    head = cli.position()
    result = cli("restore", "b.tar", "--dry-run")
    assert (result.exit_code, "Dry run" in result.stderr, "log-frozen" in result.stderr) == (1, True, True)
    cli.ok("backup", "now.tar")
    assert cli.data("restore", "now.tar", "--dry-run")["kept"] is None
    assert cli.position() == head
    assert sorted(path.name for path in cli.folder.iterdir() if "restore" in path.name) == []


def test_on_a_new_machine_nobody_can_tell(cli: Cli) -> None:
    cli.data("certificates", "issue", NUMBERS[0])
    cli.ok("backup", "b.tar")
    there = cli.folder / "there"
    there.mkdir()
    said = cli.ok("restore", "b.tar", "--data", str(there / "data"))
    assert "No signed checkpoint was found outside" in said.stderr
    known = cli.data(
        "restore",
        "b.tar",
        "--data",
        str(there / "data"),
        TITLE_REGISTRY_CHECKPOINTS=str(cli.folder / "data.checkpoints"),
    )
    assert known["outside"]["size"] == cli.position()


# the doctor


def tile(data: Path) -> None:
    """One byte of the newest entry bundle."""
    bundles = [path for path in (data / "log" / "tile" / "entries").rglob("*") if path.is_file()]
    path = max(bundles, key=lambda one: one.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def event(data: Path) -> None:
    other = engine.changed("clerk-01", "clerk-07")
    damage(data / "registry.db", f"UPDATE stored_events SET state={other} WHERE topic='title-awarded/1'")


def kept(data: Path) -> None:
    path = data / "log" / "checkpoints"
    content = bytearray(path.read_bytes())
    content[content.index("— ".encode()) + 60] ^= 1
    path.write_bytes(content)


def published(data: Path) -> None:
    path = data / "log" / "checkpoint"
    path.write_bytes(path.read_bytes().replace(b"/log\n", b"/dog\n", 1))


def outside(data: Path) -> None:
    next(data.with_name("data.checkpoints").iterdir()).write_bytes(b"something else")


def no_outside(data: Path) -> None:
    shutil.rmtree(data.with_name("data.checkpoints"))


@pytest.mark.parametrize(
    ("do", "outcome", "says"),
    [
        (tile, "failed", "log rebuild"),
        (event, "failed", "restore"),
        (kept, "failed", ""),
        (published, "failed", ""),
        (outside, "failed", "来历"),
        (no_outside, "warning", "old copy"),
    ],
)
def test_the_doctor_reads_the_log_again(cli: Cli, do: Callable[[Path], None], outcome: str, says: str) -> None:
    cli.data("certificates", "issue", NUMBERS[0])
    assert checks(cli, status=0)["Log"]["outcome"] == "ok"
    do(cli.folder / "data")
    log = checks(cli, status=outcome == "failed")["Log"]
    assert log["outcome"] == outcome
    assert log["fix"] if outcome == "warning" else log["found"]
    assert says in log["fix"]


def test_the_doctor_checks_every_certificate_unless_it_is_to_be_quick(cli: Cli) -> None:
    for number in NUMBERS[:3]:
        cli.data("certificates", "issue", number)
    found = checks(cli, status=0)
    assert found["Certificates"]["found"].startswith("3 certificates")
    assert {"Log", "History", "Certificates"} & checks(cli, "--quick", status=0).keys() == {"Log"}
    ring = cli.folder / "data" / "keys" / "keys.json"
    without = [one for one in Keyring.load(ring).records if one.purpose is not Purpose.E_CERTIFICATE]
    old = next(one for one in Keyring.load(ring).records if one.purpose is Purpose.E_CERTIFICATE)
    cli.data("keys", "rotate", "e-certificate", *operator_in(cli.folder))
    fresh = next(
        one for one in Keyring.load(ring).records if one.purpose is Purpose.E_CERTIFICATE and one.kid != old.kid
    )
    whole = ring.read_bytes()
    Keyring([*without, fresh]).save(ring)  # the public key that signed them is lost
    assert checks(cli, status=0)["Certificates"]["outcome"] == "ok"
    assert ring.read_bytes() == whole  # opening the folder followed the key set in the log


def test_keys_from_before_checkpoints_were_cosigned(cli: Cli) -> None:
    ring = cli.folder / "data" / "keys" / "keys.json"
    Keyring([one for one in Keyring.load(ring).records if one.purpose is not Purpose.COSIGNATURE]).save(ring)
    found = checks(cli, status=0)["Keys"]
    assert (found["outcome"], found["fix"]) == ("warning", "title-registry keys rotate cosignature")
    cli.ok(*found["fix"].split()[1:], *operator_in(cli.folder))
    assert checks(cli, status=0)["Keys"]["outcome"] == "ok"
