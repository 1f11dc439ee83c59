"""A registry of one's own for every test: a copy of one that was made once, with a clock that can be put forward."""

import os
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from keys import passphrase as passphrases
from keys.custody import Custody
from registry.folder import Config, Folder
from registry.service import Registry
from tests import engine
from tests.people import Clock, found

pytest.register_assert_rewrite("tests.check_log", "tests.scenario")

CONFIG = Config(base_url="https://zc.example.cn", phone="0578-000 0000")


_WITH_A_REGISTRY = {"made", "founded", "cabinet", "registry", "large", "site", "bureau", "served", "yesterday"}

# One passphrase with one salt makes one key: a process of tests computes it once, as a server does. It takes 0.1 s.
passphrases.scrypt = cache(passphrases.scrypt)  # type: ignore[assignment]

# A loaded machine is slow now and then; no test of ours is about time.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL: the tests that open a registry, but for those about the file of SQLite (see test_postgres*.py)."""
    if engine.ENGINE != "sqlite":
        left_out = [item for item in items if item.get_closest_marker("sqlite_file") or not _opens_a_registry(item)]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def _opens_a_registry(item: pytest.Item) -> bool:
    """Every fixture that has a registry is or rests on one of these."""
    return not _WITH_A_REGISTRY.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def passphrase() -> bytes:
    """The passphrase of every registry of the tests."""
    return "样例口令 correct horse".encode()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, passphrase: bytes) -> tuple[Path, Custody]:
    """One data folder, created and founded, and its opened keys (opening costs 0.1 s each time)."""
    path = tmp_path_factory.mktemp("made") / "data"
    registry = Registry.create(path, passphrase, engine.kept(CONFIG), Clock())
    found(registry)
    registry.close()
    return path, registry.custody


@pytest.fixture
def clock() -> Clock:
    """The clock of this test."""
    return Clock()


@pytest.fixture
def new_registry(made: tuple[Path, Custody], tmp_path: Path, clock: Clock) -> Iterator[Callable[[], Registry]]:
    """Makes fresh registries with the same keys, each in a folder of its own."""
    opened: list[Registry] = []

    def make() -> Registry:
        path = engine.copy(made[0], tmp_path / f"data-{len(opened)}")
        opened.append(Registry(Folder(path), made[1], clock))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def registry(new_registry: Callable[[], Registry]) -> Registry:
    """A fresh registry."""
    return new_registry()


@pytest.fixture
def second(registry: Registry, clock: Clock) -> Iterator[Registry]:
    """The same registry as another process opens it: connections and caches of its own."""
    other = Registry(Folder(registry.folder.path), registry.custody, clock)
    yield other
    other.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With REQUIRE_ALL=1 a test that could not be made is a failure: nothing may hide behind a skip."""
    report = yield
    if report.skipped and os.environ.get("REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_ALL=1, but this test was skipped: {report.longreprtext}"
    return report
