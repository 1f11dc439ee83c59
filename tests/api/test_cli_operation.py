"""Setting up and running a registry: init, keys, register, settings, doctor, and the service as a process."""

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import NUMBERS, Cli
from tests.api.test_cli_program import PROGRAM, environment
from tests.audit_life import damage
from tests.rotating import operator_in

# init


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The program in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Cli(tmp_path)


def test_init_makes_a_passphrase_and_a_folder_for_oneself_and_says_what_comes_next(bare: Cli) -> None:
    result = bare.ok("init", "--base-url", "https://zc.example.cn", "--organisation", "丽水市测试局")
    assert stat.S_IMODE((bare.folder / "pp").stat().st_mode) == 0o600
    assert stat.S_IMODE((bare.folder / "data").stat().st_mode) == 0o700
    assert len((bare.folder / "pp").read_text().strip()) == 44  # 32 bytes in base 64
    for said in ("Keep a copy", "TITLE_REGISTRY_PASSPHRASE_FILE", "import template", "title-registry serve"):
        assert said in result.stderr
    assert (bare.folder / "pp").read_text().strip() not in result.output
    assert bare.data("config", "check")["data"]["organisation"] == "丽水市测试局"
    assert bare.data("titles", "list", TITLE_REGISTRY_OFFICER="") == []


def test_init_uses_the_passphrase_that_is_there(bare: Cli) -> None:
    bare.ok("init", TITLE_REGISTRY_PASSPHRASE_FILE="", TITLE_REGISTRY_PASSPHRASE="correct horse")
    assert not (bare.folder / "pp").exists()
    given = {"TITLE_REGISTRY_PASSPHRASE_FILE": "", "TITLE_REGISTRY_PASSPHRASE": "correct horse"}
    opened = bare("titles", "list", TITLE_REGISTRY_OFFICER="", **given)
    assert opened.exit_code == 0


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (("--base-url", "zc.example.cn"), 1, "http(s)://"),
        (("--base-url", "https://zc.example.cn/"), 1, "末尾不带斜杠"),
        (("--organisation", "局" * 65), 2, "1 to 64 characters"),
        (("--passphrase-file", "no/pp"), 2, "the folder no does not exist"),
    ],
)
def test_init_refuses_and_leaves_nothing(bare: Cli, options: tuple[str, ...], status: int, says: str) -> None:
    result = bare("init", *options)
    assert (result.exit_code, list(bare.folder.iterdir())) == (status, [])
    assert says in result.stderr


def test_init_rehearses(bare: Cli) -> None:
    assert "would be made" in bare.ok("init", "--dry-run").stderr
    assert list(bare.folder.iterdir()) == []
    assert bare("init", "--dry-run", TITLE_REGISTRY_PASSPHRASE_FILE="").exit_code == 1  # no passphrase


def test_init_never_touches_a_registry(cli: Cli) -> None:
    for more in ((), ("--dry-run",), ("--passphrase-file", "fresh")):
        cli.refused("init", *more, code="refused", says="已经是一个登记库")
    assert not (cli.folder / "fresh").exists()
    assert len(cli.data("titles", "list")) == len(NUMBERS)


# keys


def test_keys_are_listed_rotated_and_published_and_old_certificates_stay_valid(cli: Cli) -> None:
    operator = operator_in(cli.folder)
    code = cli.data("certificates", "issue", NUMBERS[0])["code"]
    old = cli.data("keys", "list", TITLE_REGISTRY_PASSPHRASE_FILE="gone")  # needs no passphrase
    assert [(one["purpose"], one["state"]) for one in old] == [
        ("e-certificate/1", "active"),
        ("document/1", "active"),
        ("checkpoint/1", "active"),
        ("cosignature/1", "active"),
    ]
    dry = cli.data("keys", "rotate", "e-certificate", "--dry-run", *operator)
    assert dry["kid"] == old[0]["kid"]
    assert cli.data("keys", "list") == old
    fresh = cli.data("keys", "rotate", "e-certificate", *operator)
    states = {one["kid"]: one["state"] for one in cli.data("keys", "list")}
    assert (states[old[0]["kid"]], states[fresh["kid"]]) == ("retired", "active")
    assert cli("verify", code).exit_code == 0
    jwks = json.loads(cli.ok("keys", "export").stdout)["keys"]
    assert {one["kid"] for one in jwks} == set(states)
    assert not any("d" in one for one in jwks)
    assert cli.ok("keys", "root").stdout.startswith("-----BEGIN CERTIFICATE-----")


def test_keys_that_cannot_be(cli: Cli) -> None:
    cli.usage("keys", "rotate", "everything", says="e-certificate, document, checkpoint")
    (cli.folder / "jwks.json").write_text("mine")
    cli.usage("keys", "export", "jwks.json", says="exists already")
    assert (cli.folder / "jwks.json").read_text() == "mine"
    result = cli("keys", "list", "--data", "nowhere")
    assert (result.exit_code, "[unavailable]" in result.stderr) == (1, True)


# register, settings, health


def test_the_register_can_be_thrown_away_and_built_again(cli: Cli) -> None:
    before = cli.data("titles", "list")
    status = cli.data("register", "status")
    assert (status["behind"], status["rows"]["titles"]) == (0, len(NUMBERS))
    for file in (cli.folder / "data").glob("register.db*"):
        file.unlink()
    assert cli.data("register", "status")["behind"] == status["log_position"]
    assert cli.data("register", "rebuild")["register_position"] == status["log_position"]
    assert cli.data("titles", "list") == before


@pytest.mark.sqlite_file  # without settings nobody knows where a log in PostgreSQL is, not even this test
def test_settings_are_shown_and_a_broken_file_is_named(cli: Cli) -> None:
    shown = cli.data("config", "check", TITLE_REGISTRY_PORT="9000")
    assert (shown["process"]["port"], shown["data"]["sample"]) == (9000, True)
    assert (cli.folder / "pp").read_text().strip() not in json.dumps(shown)
    (cli.folder / "data" / "config.json").write_text('{"base_url": 7}')
    cli.refused("config", "check", code="unavailable", says="config.json 不能读取")


@pytest.mark.sqlite_file  # the doctor warns of the settings that make the tests' server quick
def test_a_healthy_registry(cli: Cli) -> None:
    assert {one["outcome"] for one in cli.data("doctor")} == {"ok"}
    assert "All is well" in cli.ok("doctor").stderr


@pytest.mark.parametrize(
    ("name", "check", "outcome"),
    [
        ("loose", "Data folder", "warning"),
        ("passphrase", "Keys", "failed"),
        pytest.param("file", "Store", "failed", marks=pytest.mark.sqlite_file),
        ("table", "Log", "failed"),
        ("register", "History", "failed"),
    ],
)
def test_the_doctor_finds_what_is_wrong_and_says_what_to_do(cli: Cli, name: str, check: str, outcome: str) -> None:
    data = cli.folder / "data"
    if name == "loose":
        data.chmod(0o755)
    elif name == "passphrase":
        (cli.folder / "pp").write_text("another")
    elif name == "file":
        (data / "registry.db").write_bytes(b"no database")
    elif name == "table":
        damage(data / "registry.db", "ALTER TABLE stored_events RENAME TO lost")
    else:
        cli.ok("titles", "list")  # makes it
        connection = sqlite3.connect(data / "register.db")
        connection.execute("UPDATE titles SET specialty='x'")
        connection.commit()
        connection.close()
    result = cli("doctor", "-o", "json")
    found = {one["name"]: one for one in json.loads(result.stdout)}
    assert (found[check]["outcome"], result.exit_code) == (outcome, outcome == "failed")
    assert found[check]["fix"]


# the demo and the measurements


def test_the_demo_never_replaces_a_registry(cli: Cli) -> None:
    cli.refused("demo", "--no-serve", code="refused", says="不是演示数据")
    assert len(cli.data("titles", "list")) == len(NUMBERS)


def test_a_measurement_is_a_figure_beside_its_floor(cli: Cli) -> None:
    (figure,) = cli.data("bench", "sign_token", "--size", "100")
    assert {"name", "value", "floor", "ratio", "goal", "unit", "met"} <= set(figure)
    assert figure["name"] == "sign_token"
    cli.usage("bench", "everything", says="sign_token")


# the service


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def service(cli: Cli, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The program serving with two processes; ended if the test has not done so."""
    process = subprocess.Popen(
        [PROGRAM, "serve", "--port", str(port), "--workers", "2"],
        env=environment(cli),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def answered(port: int, path: str) -> bytes:
    """The body of an answer, as soon as the service gives one (within 20 s)."""
    until = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            if time.monotonic() > until:
                raise
            os.sched_yield()


def test_the_service_answers_stops_at_once_and_logs_no_code(
    cli: Cli, service: subprocess.Popen[bytes], port: int
) -> None:
    code = cli.data("certificates", "issue", NUMBERS[0])["code"]
    assert json.loads(answered(port, "/readyz"))["status"] == "ready"
    assert "林*岚".encode() in answered(port, f"/v/{code}")
    busy = cli("serve", "--port", str(port))
    assert (busy.exit_code, "--port" in busy.stderr) == (1, True)
    waiting = socket.create_connection(("127.0.0.1", port))  # somebody who never finishes a request
    waiting.sendall(b"POST /v HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
    service.send_signal(signal.SIGTERM)
    out, err = service.communicate(timeout=10)
    waiting.close()
    assert (service.returncode, out) == (0, b"")
    assert f"http://127.0.0.1:{port}".encode() in err
    assert err.rstrip().endswith(b"Stopped.")
    assert code.encode() not in err


def test_serve_refuses_before_it_starts(cli: Cli) -> None:
    cli.refused("serve", "--passphrase-file", "list.csv", code="loose-permissions")
    cli.refused("serve", "--host", "203.0.113.5", code="unavailable", says="203.0.113.5")
    cli.usage("serve", "--port", "0", says="--port")
    cli.usage("serve", "--workers", "many", says="--workers")
