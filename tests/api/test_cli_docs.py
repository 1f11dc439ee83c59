"""docs/cli.md is held to the program: its reference is the help of every command, its examples run as they stand."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from api.cli import app
from api.cli.reference import MARK, PROGRAM, helps, reference, rights
from registry.permissions import DOORS
from tests.api.conftest import Cli
from tests.api.test_cli_papers import FORM, SCAN
from tests.api.test_cli_program import PROGRAM as INSTALLED
from tests.api.test_cli_program import environment
from tests.lists import identity_number

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_reference_is_the_help_of_every_command() -> None:
    prose, _, written = PAGE.read_text().partition(MARK)
    assert written == reference(), "python -m api.cli.reference docs"
    assert len(prose) > 2000


def test_the_table_of_rights_is_that_of_the_program() -> None:
    prose, _, written = (PAGE.parent / "permissions.md").read_text().partition(MARK)
    assert written == rights(), "python -m api.cli.reference docs"
    assert len(prose) > 500


def test_every_command_has_a_row_in_the_table_and_every_row_a_command() -> None:
    """A new command without a row fails here."""
    root = get_command(app)
    commands = {f"cli {' '.join(words)}" for words in _leaves(root)}
    assert {door for door in DOORS if door.startswith("cli ")} == commands


def _leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words
    for name, each in (inner or {}).items():
        yield from _leaves(each, (*words, name))


def test_the_help_of_every_command_is_what_the_program_prints() -> None:
    for words, text in helps(80):  # the runner's own width
        shown = CliRunner().invoke(app, [*words.split()[1:], "--help"], prog_name=PROGRAM)
        assert (shown.exit_code, shown.stdout) == (0, text + "\n"), words


def test_the_installed_program_prints_that_help(cli: Cli) -> None:
    for words in ("", "certificates issue-all"):
        command = [INSTALLED, *words.split(), "--help"]
        shown = subprocess.run(command, env=environment(cli), capture_output=True, text=True, check=True)
        assert shown.stdout.strip() == dict(helps())[f"{PROGRAM} {words}".strip()].strip()


def test_every_command_and_every_option_is_explained() -> None:
    for words, text in helps():
        rows = re.findall(r"^  (-\S.*|[a-z-]+ .*)$", text, re.MULTILINE)
        for row in rows:
            assert len(row.split()) > 1, f"{words}: {row}"


def commands() -> list[str]:
    """The lines of the console blocks, in order."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


def waiting(cli: Cli) -> dict[str, str]:
    """What stands for ids in the examples: the newest open proposal or application, and its digest."""
    open_ = cli.data("proposals", "list") or cli.data("paper", "list")
    found = open_[-1] if open_ else {}
    name = str(found.get("proposal") or found.get("application") or "")
    return {"PROPOSAL": name, "APPLICATION": name, "DIGEST": str(found.get("digest", ""))}


def role_waiting(cli: Cli) -> dict[str, str]:
    """What stands for a role that waits: its id and its digest."""
    [found] = cli.data("officers", "show", "clerk-01")["waiting"]
    return {"GRANT": found["grant"], "ROLE": found["digest"]}


def test_the_examples_run_in_their_order(founded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_bytes((founded / "list.csv").read_bytes())
    people = [
        f"{name},样例人员,{identity_number(900 + n)}\n" for n, name in enumerate(("chief-01", "chief-02", "clerk-01"))
    ]
    (tmp_path / "founders.csv").write_text("".join(people[:2]))
    (tmp_path / "clerks.csv").write_text(people[2])
    (tmp_path / "identity.txt").write_text(identity_number(3) + "\n")
    (tmp_path / "scan.pdf").write_bytes(SCAN)
    (tmp_path / "form.json").write_text(json.dumps(FORM, ensure_ascii=False))
    environment, cli = dict[str, str](), Cli(tmp_path)
    for line in commands():
        words, _, source = line.partition(" < ")
        program, *args = shlex.split(words)
        if program == "export":
            environment |= dict(one.split("=", 1) for one in args)
            continue
        assert program == "title-registry"
        names = waiting(cli.at(environment)) if {"PROPOSAL", "APPLICATION", "DIGEST"} & set(args) else {}
        names |= role_waiting(cli.at(environment)) if "GRANT" in args else {}
        given = (tmp_path / source).read_text() if source else None
        cli.at(environment).ok(*(names.get(arg, arg) for arg in args), input=given)
    made = {path.name for path in tmp_path.iterdir()}
    assert {
        "registry",
        "passphrase",
        "empty.xlsx",
        "one.pdf",
        "certificates",
        "paper.pdf",
        "jwks.json",
        "export",
    } <= made
