"""Audits on the command line: export, verify elsewhere, replay to a moment, and what differs between two."""

import json
from pathlib import Path

import pytest

from tests.api.conftest import NUMBERS, Cli
from tests.audit_life import damage


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


def test_the_history_is_replayed_without_opening_anything_and_a_gap_ends_with_3(cli: Cli) -> None:
    report = cli.data("audit", "history")
    assert (report["what"], report["personal"], report["findings"]) == ("history", "sealed", [])
    assert report["counts"]["events"] == report["head"]
    damage(cli.folder / "data" / "registry.db", "UPDATE stored_events SET originator_version=9 WHERE rowid=1")
    told = cli("audit", "history", "-o", "json")
    assert told.exit_code == 3
    assert "version-order" in {one["code"] for one in json.loads(told.stdout)["findings"]}
    assert cli("audit", "history").exit_code == 3


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
    one, *figures = cli.data("audit", "diff", "before", "live")
    changed = {field["field"]: (field["before"], field["after"], field["made_by"]["name"]) for field in one["fields"]}
    assert changed["status"] == ("valid", "revoked", "title-revoked/1")
    assert [(one["of"][2], one["before"], one["after"]) for one in figures if one["figure"] == "by_authority"] == [
        ("revoked", 0, 1), ("valid", len(NUMBERS), len(NUMBERS) - 1),
    ]  # fmt: skip
    shown = cli.ok("audit", "diff", "before", "live").stdout
    assert "撤销 #" in shown
    assert "by_authority 331100" in shown
    added = cli.ok("audit", "diff", "live", "live", "--known-at-a", "2020-01-01T00:00:00+08:00").stdout
    assert added.count(" added ") == len(NUMBERS)


def test_every_question_takes_a_log_position_for_a_time(cli: Cli) -> None:
    first = cli.data("titles", "show", NUMBERS[0])
    head = cli.data("audit", "verify")["head"]
    revoke(cli)
    here = ("--known-at", str(head))
    assert cli.data("titles", "show", NUMBERS[0])["status"] == "revoked"
    then = cli.data("titles", "show", NUMBERS[0], *here)
    assert (then["status"], then["known_at"], then["timeline"]) == ("valid", head, first["timeline"])
    assert f"as known at log position {head}" in cli.ok("titles", "show", NUMBERS[0], *here).stdout
    cli.refused("titles", "show", NUMBERS[0], "--known-at", "0", code="not-found", says="按该登记时间或位置")
    listed = {one["number"]: (one["status"], one["name"]) for one in cli.data("titles", "list", *here)}
    assert listed[NUMBERS[0]] == ("valid", "林晓岚")
    assert {one["number"] for one in cli.data("titles", "list", "--status", "revoked", "--as-of", "2026-01-01")} == {
        NUMBERS[0]
    }
    cli.refused("titles", "list", "--name", "林", *here, code="bad-input", says="按姓名")
    assert {one["status"] for one in cli.data("audit", "replay", *here)} == {"valid"}
    found = cli.data("audit", "diff", "live", "live", "--known-at-a", str(head), "--known-at-b", str(head + 2))
    assert [one.get("title") for one in found if one["kind"] == "changed"] == [first["title"]]
    cli.usage("audit", "replay", "--known-at", "-3", says="is not a time")


def test_statistics_at_any_moment(cli: Cli, exported: Path) -> None:
    revoke(cli)
    now = cli.data("audit", "statistics")
    assert (now["titles"], now["holders"]) == (len(NUMBERS), len(NUMBERS))
    assert sum(count for *_, count in now["by_year"]) == len(NUMBERS)
    assert {status for _, _, status, _ in now["by_authority"]} == {"valid", "revoked"}
    assert {status for _, _, status, _ in cli.data("audit", "statistics", "before")["by_authority"]} == {"valid"}
    assert cli.data("audit", "statistics", "before") == json.loads((exported / "statistics.json").read_bytes())
    assert cli.data("audit", "statistics", "--known-at", "0")["titles"] == 0
    shown = cli.ok("audit", "statistics").stdout
    assert "已撤销" in shown
    assert "By series" in shown


def test_an_export_of_an_earlier_checkpoint(cli: Cli, exported: Path) -> None:
    size = json.loads((exported / "manifest.json").read_bytes())["head"]
    revoke(cli)
    cli.ok("audit", "export", "then", "--at", str(size))
    files = [{path.name: path.read_bytes() for path in (cli.folder / one).glob("*.*")} for one in ("then", "before")]
    assert files[0] == files[1]
    cli.refused("audit", "export", "never", "--at", str(size + 10_000), code="refused", says="最近的是")
    cli.ok("audit", "export", "now")
    kept = ("--checkpoint", str(exported / "checkpoint"))
    assert cli.data("audit", "verify", "now", *kept)["findings"] == []
    told = cli("audit", "verify", "before", "--checkpoint", str(cli.folder / "now" / "checkpoint"), "-o", "json")
    assert (told.exit_code, {one["code"] for one in json.loads(told.stdout)["findings"]}) == (3, {"checkpoint-beyond"})
    cli.usage("audit", "verify", "now", "--checkpoint", "nowhere", says="there is no file nowhere")


def test_what_is_no_export_or_was_asked_wrongly(cli: Cli, exported: Path) -> None:
    cli.refused("audit", "export", "before", code="refused", says="不覆盖")
    cli.refused("audit", "verify", str(cli.folder / "data"), code="bad-input")
    cli.refused("audit", "verify", "before", "--key", "nonsense", code="bad-input", says="检查点公钥")
    cli.usage("audit", "verify", "nowhere", says="there is no folder nowhere")
    cli.usage("audit", "replay", "nowhere", says="there is no folder nowhere")
    cli.usage("audit", "verify", "--beside", says="only for the folder of an export")
    cli.usage("audit", "diff", "live", says="Missing argument 'B'")
