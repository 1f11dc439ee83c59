"""A registry under two witnesses of other offices: its checkpoints show who cosigned, and a fork is refused by both."""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from registry.folder import Folder
from registry.proof.policy import Policy
from registry.service import Registry
from tests.people import CLERK, awarding, person
from tests.served import PASSPHRASE, found_registry, free_port, serving, until

PROGRAM = str(Path(sys.executable).with_name("title-registry"))
NAMES = ("archive", "audit-office")


def program(*arguments: object, **environment: str) -> str:
    """Run the command line; return what it printed."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    return done.stdout


@contextmanager
def witness(folder: Path, port: int) -> Iterator[None]:
    """A witness as its office runs it; ended by its own process."""
    process = subprocess.Popen(
        [PROGRAM, "log", "witness", "serve", str(folder), "--port", str(port)],
        env={**os.environ, "TITLE_REGISTRY_PASSPHRASE": "a witness"},
        stderr=subprocess.PIPE,
    )
    try:
        until(lambda: answers(port))
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


@pytest.fixture
def data(tmp_path: Path) -> Path:
    registry = found_registry(tmp_path / "data", 8000)
    registry.award(awarding(person(1)), officer=CLERK)
    registry.tlog.sequence()
    registry.close()
    return tmp_path / "data"


def reopened(data: Path) -> Registry:
    return Registry.open(data, PASSPHRASE)


def test_two_witnesses_cosign_what_the_service_publishes_and_refuse_its_fork(data: Path, tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    other = tmp_path / "fork"
    shutil.copytree(data, other)  # while no process has it open: closing a copied file drops SQLite's locks
    registry = reopened(data)
    [key] = registry.tlog.keys()
    lines = []
    for name, port in zip(NAMES, ports, strict=True):
        secret = {"TITLE_REGISTRY_PASSPHRASE": "a witness"}
        program("log", "witness", "init", tmp_path / name, "--name", f"{name}.example.cn/witness", **secret)
        program("log", "witness", "add-log", tmp_path / name, key, **secret)
        vkey = json.loads(program("-o", "json", "log", "witness", "show", tmp_path / name))["vkey"]
        lines.append(f"witness {name} {vkey} http://127.0.0.1:{port}")
    policy = f"log {key}\n" + "\n".join(lines) + f"\ngroup both 2 {' '.join(NAMES)}\nquorum both\n"
    registry.folder.policy.write_text(policy)
    (other / "log" / "policy").write_text(policy)

    def met(registry: Registry) -> tuple[str, ...]:
        judged = Policy.parse(policy.encode()).met_by(registry.tlog.published() or b"")
        return judged.by if judged.met else ()

    with witness(tmp_path / NAMES[0], ports[0]), witness(tmp_path / NAMES[1], ports[1]):
        with serving(data) as site:
            until(lambda: met(registry) == NAMES)
            registry.award(awarding(person(2)), officer=CLERK)  # by another process; the service takes it in
            until(lambda: site.get("/log/checkpoint").content.split(b"\n")[1] == b"%d" % registry.log.head())
            until(lambda: met(registry) == NAMES)
            note = site.get("/log/checkpoint").content
            assert Policy.parse(policy.encode()).met_by(note).by == NAMES
        forked = Registry(Folder(other), registry.custody)
        forked.award(awarding(person(3)), officer=CLERK)
        forked.tlog.sequence()
        with serving(other) as site:
            until(lambda: all(name in site.said for name in NAMES))
        assert met(forked) == ()
        forked.close()
    for name in NAMES:
        assert "fork" in program("-o", "json", "log", "witness", "show", tmp_path / name)
    registry.close()
