"""The program itself: common options, exit statuses, what goes to stdout and what to stderr."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from api.cli.tree import Commands, Root
from tests.api.conftest import NUMBERS, Cli

PROGRAM = str(Path(sys.executable).parent / "title-registry")


def environment(cli: Cli, **more: str) -> dict[str, str]:
    """What the program itself needs, and nothing that would colour its output."""
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    named = {"TITLE_REGISTRY_DATA": str(cli.folder / "data"), "TITLE_REGISTRY_PASSPHRASE_FILE": str(cli.folder / "pp")}
    return plain | named | {"COLUMNS": "100", "TERM": "xterm-256color"} | more


def test_the_installed_program_lists_titles_and_says_that_there_are_more(cli: Cli) -> None:
    command = [PROGRAM, "titles", "list", "--limit", "2", "-o", "jsonl"]
    done = subprocess.run(command, env=environment(cli), capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert [set(json.loads(line)) >= {"number", "name", "status"} for line in done.stdout.splitlines()] == [True, True]
    assert done.stderr.startswith("More follow: add --cursor title-")


def test_the_installed_program_ends_with_3_when_verification_says_no(cli: Cli) -> None:
    done = subprocess.run(
        [PROGRAM, "verify", "7K3M 9XQ4 T2VD 8HNR S"], env=environment(cli), capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert done.stdout.startswith("未查到  Not found")
    assert done.stderr == ""


def test_a_reader_that_stops_reading_is_no_fault(cli: Cli) -> None:
    done = subprocess.run(
        f"{PROGRAM} titles list -o json | head -c 1",
        shell=True,
        env=environment(cli),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "["
    assert "Traceback" not in done.stderr


def on_a_terminal(cli: Cli, *args: str, **env: str) -> bytes:
    """What the program writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *args], env=environment(cli, **env), stdout=theirs, stderr=theirs, stdin=theirs
    )
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:  # how a terminal says that the other side has gone
        pass
    os.close(ours)
    process.wait()
    return seen


def test_colours_on_a_terminal_and_none_with_no_color(cli: Cli) -> None:
    args = ("verify", "7K3M 9XQ4 T2VD 8HNR S")
    assert b"\x1b[1;33m" in on_a_terminal(cli, *args)
    plain = on_a_terminal(cli, *args, NO_COLOR="1")
    assert b"\x1b[1;33m" not in plain
    assert b";33m" not in plain
    assert "未查到".encode() in plain


def test_common_options_stand_before_or_after_the_command(cli: Cli) -> None:
    asked = ("titles", "list", "--number", NUMBERS[0])
    first = json.loads(cli.ok("-o", "json", *asked).stdout)
    assert first == json.loads(cli.ok(*asked, "-ojson").stdout) == json.loads(cli.ok(*asked, "--output=json").stdout)
    assert first[0]["number"] == NUMBERS[0]
    nowhere = ("--data", str(cli.folder / "nowhere"))
    for args in ((*nowhere, *asked), (*asked, *nowhere)):
        assert "nowhere 不是登记库" in cli(*args).stderr


def test_what_follows_two_dashes_is_no_option(cli: Cli) -> None:
    assert cli("verify", "--", "--data").exit_code == 3  # a code like any other, and not found


def test_the_command_line_comes_before_the_environment(cli: Cli) -> None:
    title = cli.data("titles", "show", NUMBERS[0])
    assert {one["actor"] for one in title["timeline"]} == {"clerk-01"}
    cli.ok("--officer", "clerk-03", "certificates", "issue", NUMBERS[0])
    assert {one["actor"] for one in cli.data("titles", "show", NUMBERS[0])["timeline"]} == {"clerk-01", "clerk-03"}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("titles", "lst"), "Did you mean 'list'?"),
        (("titles", "show"), "Missing argument 'NUMBER'"),
        (("titles", "list", "--limit", "0"), "--limit"),
        (("titles", "list", "--level", "高"), "intermediate (中级)"),
        (("titles", "list", "--status", "gone"), "revoked (已撤销)"),
        (("titles", "list", "-o", "yaml"), "'table', 'json'"),
        (("titles", "show", NUMBERS[0], "--as-of", "2021-02-30"), "'2021-02-30' is not a date"),
        (("titles", "show", NUMBERS[0], "--known-at", "2026-03-02T09:00:00"), "lacks the offset"),
        (("titles", "show", NUMBERS[0], "--known-at", "soon"), "'soon' is not a time"),
        (("titles", "show", NUMBERS[0], "--known-at", "0001-01-01T00:00:00+09:01"), "a year of 2 to 9998"),
        (("--bogus", "titles", "list"), "No such option: --bogus"),
    ],
)
def test_a_usage_error_ends_with_2_and_says_what_is_right(cli: Cli, args: tuple[str, ...], says: str) -> None:
    cli.usage(*args, says=says)


def test_nobody_writes_without_saying_who(cli: Cli) -> None:
    for args in (
        ("import", "awards", "list.csv", "--authority", "331100", "--document", "x"),
        ("certificates", "issue", NUMBERS[0]),
        ("certificates", "issue-all"),
        ("revoke", "propose", NUMBERS[0], "--document", "x", "--reason", "y"),
        ("keys", "rotate", "document"),
    ):
        cli.usage(*args, says="--officer ID or TITLE_REGISTRY_OFFICER", TITLE_REGISTRY_OFFICER=" ")


def test_a_bad_setting_in_the_environment_is_named(cli: Cli) -> None:
    cli.usage("titles", "list", says="TITLE_REGISTRY_PORT", TITLE_REGISTRY_PORT="eighty")


def test_a_folder_that_is_no_registry(cli: Cli) -> None:
    result = cli("titles", "list", "--data", str(cli.folder / "nowhere"))
    assert result.exit_code == 1
    assert "Error [unavailable]" in result.stderr
    assert "title-registry init" in result.stderr
    assert not (cli.folder / "nowhere").exists()


def test_a_wrong_passphrase_and_none_at_all(cli: Cli) -> None:
    (cli.folder / "other").write_text("not this one")
    (cli.folder / "other").chmod(0o600)
    cli.refused("titles", "list", "--passphrase-file", "other", code="wrong-passphrase", says="口令不对")
    (cli.folder / "other").write_text("\n")
    cli.refused("titles", "list", "--passphrase-file", "other", code="passphrase-missing")


def test_a_passphrase_that_others_can_read_is_refused(cli: Cli) -> None:
    (cli.folder / "pp").chmod(0o640)
    cli.refused("titles", "list", code="loose-permissions", says="chmod 600")


def broken() -> typer.Typer:
    """A program with a fault, made of the same parts."""
    app = Commands("Broken.", cls=Root)

    @app.callback()
    def common(debug: bool = False) -> None:
        pass

    @app.command("divide")
    def divide(by: int) -> None:
        print(1 // by)

    @app.command("other")
    def other() -> None:
        raise AssertionError

    return app


def test_a_fault_of_ours_is_one_line_with_an_id_and_a_traceback_only_when_asked() -> None:
    quiet = CliRunner().invoke(broken(), ["divide", "0"])
    assert quiet.exit_code == 1
    assert "Error [internal]: ZeroDivisionError (error id " in quiet.stderr
    assert "Traceback" not in quiet.output
    loud = CliRunner().invoke(broken(), ["divide", "0", "--debug"])
    assert loud.exit_code == 1
    assert "Traceback" in loud.stderr
    assert "divide" in loud.stderr
    assert loud.stdout == ""
