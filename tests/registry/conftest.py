"""What the tests of the audit share: a registry with a long life in each module, its export, a copy to be damaged."""

import shutil
from pathlib import Path

import pytest

from keys.custody import Custody
from registry.audit import export
from tests.audit_life import Life, fresh, live_through
from tests.people import Clock


@pytest.fixture(scope="module")
def live(made: tuple[Path, Custody], tmp_path_factory: pytest.TempPathFactory) -> Life:
    """A registry in which everything has happened. Not to be changed."""
    clock = Clock()
    return live_through(fresh(made, tmp_path_factory.mktemp("life") / "data", clock), clock)


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
