"""What the tests of the audit share: a registry with a long life in each module, its export, a copy to be damaged."""

import shutil
from pathlib import Path

import pytest

from keys.custody import Custody
from registry.audit import export
from registry.service import Registry
from tests import engine
from tests.audit_life import Life, live_through, renew_key
from tests.people import Clock


@pytest.fixture(scope="module")
def live(made: tuple[Path, Custody], passphrase: bytes, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """A registry in which everything has happened, with keys of its own. Not to be changed."""
    clock, path = Clock(), tmp_path_factory.mktemp("life") / "data"
    engine.copy(made[0], path)
    return renew_key(live_through(Registry.open(path, passphrase, clock), clock))


@pytest.fixture(scope="module")
def exported(live: Life, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its export. Not to be changed."""
    directory = tmp_path_factory.mktemp("export") / "export"
    export(live.registry, directory)
    return directory


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """A copy of the export, to be changed."""
    return Path(shutil.copytree(exported, tmp_path / "copy"))
