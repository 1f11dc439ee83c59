"""Officers on the command line: founded by two, registered, granted, taken away; rubbish is refused."""

import json
from pathlib import Path

import pytest

from tests.api.conftest import Cli
from tests.people import identity_number

FIRST = f"a-01,样例甲,{identity_number(50_001)}\n"
SECOND = f"a-02,样例乙,{identity_number(50_002)}\n"
NEW = f"b-01,样例丙,{identity_number(50_003)},样例单位\n"


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A registry that was just made."""
    monkeypatch.chdir(tmp_path)
    cli = Cli(tmp_path)
    cli.ok("init", "--base-url", "https://zc.example.cn")
    return cli


def test_a_bureau_begins(fresh: Cli) -> None:
    """init, two founders, a clerk by two approvers; then the clerk may, and nobody else."""
    said = fresh.ok("officers", "found", "-", input="id,name,identity\n" + FIRST + SECOND)
    assert "officers register" in said.stderr
    assert "样例" not in said.output
    fresh.ok("officers", "register", "-", "--officer", "a-01", input=NEW)
    over = ("--authority", "331100", "--document", "授〔2026〕1号")
    told = fresh.data("officers", "propose", "b-01", "clerk", *over, "--officer", "a-01")
    approve = ("officers", "approve", told["grant"])
    fresh.refused(*approve, "--digest", told["digest"], "--yes", "--officer", "a-01", code="needs-second-officer")
    asked = fresh.ok(*approve, "--officer", "a-02", input="y\n")
    assert told["digest"] in asked.stderr
    [clerk] = [one for one in fresh.data("officers", "list") if one["officer"] == "b-01"]
    assert [(one["role"], one["authority"]) for one in clerk["roles"]] == [("clerk", "331100")]
    assert clerk["name"] is None
    fresh.refused("officers", "register", "-", "--officer", "b-01", input=NEW, code="forbidden")
    fresh.ok("officers", "withdraw", told["grant"], "--document", "授〔2026〕2号", "--officer", "a-02")
    assert fresh.data("officers", "show", "b-01")["roles"] == []


def test_names_are_shown_to_approvers_only(cli: Cli) -> None:
    names = {one["name"] for one in cli.data("officers", "list", "--officer", "chief-02")}
    assert len(names) == 3
    assert None not in names
    for officer in ("nobody", ""):
        assert {one["name"] for one in cli.data("officers", "list", TITLE_REGISTRY_OFFICER=officer)} == {None}


@pytest.mark.parametrize(
    ("people", "code", "says"),
    [
        (FIRST, "bad-input", "1 名"),
        (FIRST + SECOND + NEW, "bad-input", "3 名"),
        (FIRST + FIRST, "bad-input", "不同"),
        (FIRST + "a-02,样例乙\n", "bad-input", "第 2 行"),
        (FIRST + "a-02,样例乙,331199\n", "bad-identity", ""),
        (FIRST + "A 02,样例乙," + identity_number(50_002), "bad-input", "工号"),
        ("\x00\x01", "bad-input", ""),
    ],
)
def test_founders_that_cannot_be_read_found_nothing(fresh: Cli, people: str, code: str, says: str) -> None:
    fresh.refused("officers", "found", "-", input=people, code=code, says=says)


def test_founded_once(cli: Cli) -> None:
    cli.refused("officers", "found", "-", input=FIRST + SECOND, code="wrong-state", says="再次")


def test_a_role_that_is_none(cli: Cli) -> None:
    over = ("--authority", "331100", "--document", "号", "--officer", "chief-02")
    cli.usage("officers", "propose", "clerk-01", "king", *over, says="none of")
    cli.usage("officers", "propose", "clerk-01", "holder", *over, says="none of")


def test_a_dry_run_writes_nothing(cli: Cli) -> None:
    before = cli.position()
    cli.ok("officers", "register", "-", "--officer", "chief-02", "--dry-run", input=NEW)
    over = ("--authority", "331121", "--document", "号")
    cli.ok("officers", "propose", "clerk-01", "approver", *over, "--officer", "chief-02", "--dry-run")
    assert cli.position() == before
    assert "b-01" not in json.dumps(cli.data("officers", "list"))


def test_a_refused_role_is_gone(cli: Cli) -> None:
    over = ("--authority", "331121", "--document", "号", "--officer", "chief-02")
    grant = cli.data("officers", "propose", "clerk-01", "approver", *over)["grant"]
    assert cli.data("officers", "show", "clerk-01")["waiting"][0]["grant"] == grant
    cli.ok("officers", "refuse", grant, "--reason", "无此编制", "--officer", "clerk-03")
    assert cli.data("officers", "show", "clerk-01")["waiting"] == []
    cli.refused("officers", "approve", grant, "--officer", "clerk-03", code="not-found")
