"""The command line over a data folder of one's own, made by `init` itself and copied for every test."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.testing
from typer.testing import CliRunner, Result

from api.cli import app
from keys.passphrase import read_passphrase
from registry.folder import Folder
from registry.service import Registry
from registry.terms import Role
from tests import engine
from tests.lists import csv_file, good, identity_number, table
from tests.people import CHIEF, CITY, appoint, found, staff
from tests.served import Cabinet, Site, found_registry, free_port, serving

NAMES = ("林晓岚", "周建国", "欧阳娜娜", "阿卜杜热合曼·麦麦提", "张三", "张三", "王㛃")
NUMBERS = tuple(f"浙〔2021〕{n:06d}" for n in range(1, len(NAMES) + 1))
IDENTITIES = tuple(identity_number(n) for n in range(1, len(NAMES) + 1))
# The tree of commands is made once, and not anew at every call: 0.05 s.
typer.testing._get_command = cache(typer.testing._get_command)

LIST = ("--authority", "331100", "--document", "丽人社〔2021〕100号")


class Cli(NamedTuple):
    """Runs the program in a folder that holds `data`, `pp` (the passphrase) and `list.csv`; clerk-01 acts."""

    folder: Path
    environment: tuple[tuple[str, str], ...] = ()

    def at(self, environment: dict[str, str]) -> "Cli":
        """The same with other variables."""
        return Cli(self.folder, tuple(environment.items()))

    def __call__(self, *args: str, input: str | None = None, **env: str) -> Result:
        """Run; the result has `exit_code`, `stdout` and `stderr`."""
        variables = {
            "TITLE_REGISTRY_DATA": str(self.folder / "data"),
            "TITLE_REGISTRY_PASSPHRASE_FILE": str(self.folder / "pp"),
            "TITLE_REGISTRY_OFFICER": "clerk-01",
            "COLUMNS": "100",
        }
        return CliRunner().invoke(
            app, list(args), input=input, env=variables | dict(self.environment) | env, prog_name="title-registry"
        )

    def ok(self, *args: str, input: str | None = None, **env: str) -> Result:
        """Run what must succeed."""
        result = self(*args, input=input, **env)
        assert result.exit_code == 0, result.output
        return result

    def data(self, *args: str, **env: str) -> Any:
        """Run what must succeed, and read its data as JSON."""
        return json.loads(self.ok(*args, "-o", "json", **env).stdout)

    def refused(self, *args: str, code: str, says: str = "", input: str | None = None, **env: str) -> Result:
        """Run what must be refused: status 1, the rule and what to do on stderr, no traceback, the log as it was."""
        before = self.position()
        result = self(*args, input=input, **env)
        assert result.exit_code == 1, result.output
        assert f"Error [{code}]: " in result.stderr
        assert says in result.stderr
        assert "Traceback" not in result.output
        assert self.position() == before
        return result

    def usage(self, *args: str, says: str, input: str | None = None, **env: str) -> None:
        """Run what is a usage error: status 2, nothing on stdout, a message on stderr."""
        result = self(*args, input=input, **env)
        assert result.exit_code == 2, result.output
        assert says in result.stderr
        assert result.stdout == ""

    def appoint(self, actor: str, role: Role, authority: str = CITY) -> None:
        """Register an officer with this role."""
        with closing(Registry.open(self.folder / "data", read_passphrase(self.folder / "pp", {}))) as registry:
            registry.appointing.register(actor, staff(500 + sum(actor.encode())), officer=CHIEF)
            appoint(registry, actor, role, authority)
            registry.tlog.sequence()

    def position(self) -> int:
        """How many events the log has."""
        return engine.events(Folder(self.folder / "data"))


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a registry made by `init`, and a list of seven people imported."""
    folder = tmp_path_factory.mktemp("founded")
    rows = [good(n, 姓名=name) for n, name in enumerate(NAMES, 1)]
    csv_file(folder, table(rows)).rename(folder / "list.csv")
    cli = Cli(folder)
    cli.ok("init", "--base-url", "http://127.0.0.1:8000", "--sample", *engine.option())
    with closing(Registry.open(folder / "data", read_passphrase(folder / "pp", {}))) as registry:
        found(registry)
    cli.ok("import", "awards", str(folder / "list.csv"), *LIST)
    return folder


@pytest.fixture
def cli(founded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The program over a copy of that folder, which is also the current one."""
    folder = tmp_path / "work"
    shutil.copytree(founded, folder, ignore=lambda at, _: ["data"] if at == str(founded) else [])
    engine.copy(founded / "data", folder / "data")
    monkeypatch.chdir(folder)
    return Cli(folder)


# the service


@pytest.fixture(scope="session")
def cabinet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cabinet]:
    """A registry with a certificate in every state, opened by the test's own process."""
    registry = found_registry(tmp_path_factory.mktemp("served") / "data", free_port())
    yield Cabinet(registry)
    registry.close()


@pytest.fixture(scope="session")
def site(cabinet: Cabinet) -> Iterator[Site]:
    """The same registry, served at the address that its codes lead to by a process of its own."""
    with serving(cabinet.registry.folder.path, int(cabinet.registry.config.base_url.rpartition(":")[2])) as served:
        yield served
