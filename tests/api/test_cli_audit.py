"""Audits on the command line: export, verify elsewhere, replay to a moment, and what differs between two."""

import json
from pathlib import Path

import pytest

from tests.api.conftest import NUMBERS, Cli


@pytest.fixture
def exported(cli: Cli) -> Path:
    """An export of the fixture's registry."""
    cli.ok("audit", "export", "before")
    return cli.folder / "before"


def revoke(cli: Cli) -> None:
    """Revoke the first title."""
    proposal = cli.data("revoke", "propose", NUMBERS[0], "--document", "丽人社撤〔2026〕2号", "--reason", "不实")
    done = ("revoke", "approve", proposal["proposal"], "--digest", proposal["digest"], "--officer", "chief-02")
    cli.ok(*done)


def test_an_export_is_verified_without_the_registry(cli: Cli, exported: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_text())
    (cli.folder / "data").rename(cli.folder / "gone")
    report = cli.data("audit", "verify", "before")
    assert (report["head"], report["findings"], report["personal"]) == (manifest["head"], [], "sealed")
    pinned = cli.ok("audit", "verify", "before", "--key", manifest["checkpoint_key"]).stdout
    assert "as it must be" in pinned
    assert "your own copy" in pinned
    (cli.folder / "gone").rename(cli.folder / "data")


def test_a_changed_export_ends_with_3_and_names_the_file(cli: Cli, exported: Path) -> None:
    claims = exported / "claims.jsonl"
    claims.write_bytes(claims.read_bytes().replace(NUMBERS[0].encode(), "浙〔2021〕999999".encode()))
    result = cli("audit", "verify", "before")
    assert result.exit_code == 3
    assert "file-changed" in result.stdout
    assert "claims.jsonl" in result.stdout
    told = cli("audit", "verify", "before", "-o", "json")
    assert told.exit_code == 3
    assert "file-changed" in {one["code"] for one in json.loads(told.stdout)["findings"]}


def test_the_live_registry_and_an_export_beside_it(cli: Cli, exported: Path) -> None:
    live = cli.data("audit", "verify")
    assert (live["what"], live["personal"], live["findings"]) == ("live", "opened", [])
    beside = cli.data("audit", "verify", "before", "--beside")
    assert (beside["root"], beside["personal"]) == (live["root"], "opened")


def test_replay_gives_the_register_at_a_moment(cli: Cli, exported: Path) -> None:
    revoke(cli)
    now = {one["number"]: one["status"] for one in cli.data("audit", "replay")}
    assert now == dict.fromkeys(NUMBERS, "valid") | {NUMBERS[0]: "revoked"}
    assert {one["status"] for one in cli.data("audit", "replay", "before")} == {"valid"}
    assert {one["status"] for one in cli.data("audit", "replay", "--as-of", "2021-09-19")} == {"not_yet_effective"}
    assert cli.data("audit", "replay", "--known-at", "2020-01-01T00:00:00+08:00") == []
    table = cli.ok("audit", "replay").stdout
    assert "林晓岚" not in table
    assert table.count("已撤销") == 1


def test_diff_names_the_fields_and_the_facts_behind_them(cli: Cli, exported: Path) -> None:
    assert cli.data("audit", "diff", "before", "live") == []
    revoke(cli)
    (one,) = cli.data("audit", "diff", "before", "live")
    changed = {field["field"]: (field["before"], field["after"], field["made_by"]["name"]) for field in one["fields"]}
    assert changed["status"] == ("valid", "revoked", "title-revoked/1")
    shown = cli.ok("audit", "diff", "before", "live").stdout
    assert "撤销 #" in shown
    added = cli.ok("audit", "diff", "live", "live", "--known-at-a", "2020-01-01T00:00:00+08:00").stdout
    assert added.count(" added ") == len(NUMBERS)


def test_what_is_no_export_or_was_asked_wrongly(cli: Cli, exported: Path) -> None:
    cli.refused("audit", "export", "before", code="refused", says="不覆盖")
    cli.refused("audit", "verify", str(cli.folder / "data"), code="bad-input")
    cli.refused("audit", "verify", "before", "--key", "nonsense", code="bad-input", says="检查点公钥")
    cli.usage("audit", "verify", "nowhere", says="there is no folder nowhere")
    cli.usage("audit", "replay", "nowhere", says="there is no folder nowhere")
    cli.usage("audit", "verify", "--beside", says="only for the folder of an export")
    cli.usage("audit", "diff", "live", says="Missing argument 'B'")
