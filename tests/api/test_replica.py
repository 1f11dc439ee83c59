"""Verifications from a streaming replica of a real PostgreSQL: as fresh as the primary, or not from there."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.replica import ReplicaVerifier, read_from
from registry.errors import BadInput, Unavailable
from registry.folder import Config
from registry.service import Registry
from registry.terms import Status
from registry.titles.events import DecisionKind
from tests import engine
from tests.people import CLERK, awarding, decided, deciding, found, person, settable
from tests.served import PASSPHRASE, until

pytestmark = pytest.mark.sqlite_file  # it brings servers of its own: once is enough


class Replica(engine.Server):
    """A hot standby that streams from another server, copied from it by pg_basebackup."""

    def __init__(self, primary: engine.Server) -> None:
        self._primary = primary
        super().__init__(**engine.QUICK, hot_standby="on")

    def _run(self, program: str, *arguments: str) -> None:
        if program != "initdb":
            super()._run(program, *arguments)
            return
        source = f"host={self._primary.folder} user=postgres"
        super()._run("pg_basebackup", "-D", str(self.data), "-d", source, "-R", "-X", "stream", "-c", "fast")

    def pause(self, *, on: bool) -> None:
        """Let it replay nothing, or go on."""
        self.ask("SELECT pg_wal_replay_pause()" if on else "SELECT pg_wal_replay_resume()")
        wanted = "paused" if on else "not paused"
        until(lambda: self.ask("SELECT pg_get_wal_replay_pause_state()") == wanted)

    def ask(self, statement: str) -> Any:
        """One value from it."""
        with psycopg.connect(self.url(), autocommit=True) as c:
            row = c.execute(statement.encode()).fetchone()
            return row[0] if row else None


@pytest.fixture(scope="module")
def primary() -> Iterator[engine.Server]:
    """A server from which another streams."""
    server = engine.Server(**engine.QUICK, max_wal_senders="4")
    yield server
    server.remove()


@pytest.fixture(scope="module")
def replica(primary: engine.Server) -> Iterator[Replica]:
    """The other."""
    server = Replica(primary)
    yield server
    server.remove()


@pytest.fixture
def read(primary: engine.Server, replica: Replica, tmp_path: Path) -> Iterator[tuple[Registry, ReplicaVerifier, str]]:
    """A registry in the primary, its verifier that reads from the replica, and the code of a valid certificate."""
    schema = f"r{time.monotonic_ns()}"
    config = Config(base_url="http://127.0.0.1:1", sample=True, database=primary.url(schema))
    registry = Registry.create(tmp_path / "data", PASSPHRASE, config)
    found(registry)
    title = registry.award(awarding(person(1)), officer=CLERK)
    code = registry.issue(title, settable, officer=CLERK).code
    _replayed(registry, replica, schema)
    read_from(registry, replica.url(schema))
    verifier = registry.verifier
    assert isinstance(verifier, ReplicaVerifier)
    yield registry, verifier, code
    registry.close()


def _replayed(registry: Registry, replica: Replica, schema: str) -> None:
    until(lambda: replica.ask(f"SELECT to_regclass('{schema}.stored_events') IS NOT NULL"))
    head = registry.log.head()
    until(lambda: replica.ask(f"SELECT max(position) FROM {schema}.stored_events") == head)


def test_a_replica_that_has_everything_answers(read: tuple[Registry, ReplicaVerifier, str]) -> None:
    _, verifier, code = read
    answer = verifier.check(code)
    assert (answer.status, verifier.answered) == (Status.VALID, 1)
    assert answer.certificate
    assert answer.certificate.name


def test_a_fresh_revocation_is_never_read_as_valid_from_a_replica_that_stands_still(
    read: tuple[Registry, ReplicaVerifier, str], replica: Replica
) -> None:
    registry, verifier, code = read
    assert verifier.check(code).status is Status.VALID
    replica.pause(on=True)
    try:
        decided(registry, registry.certificate(code)[0].id, deciding(DecisionKind.REVOCATION))
        assert verifier.check(code).status is Status.REVOKED
        assert verifier.check(code).log_position == registry.log.head()
        assert verifier.answered == 1, "the replica still says valid, and was not asked"
    finally:
        replica.pause(on=False)
    until(lambda: verifier.check(code).status is Status.REVOKED and verifier.answered > 1)


def test_a_fresh_certificate_is_not_unknown_because_the_replica_stands_still(
    read: tuple[Registry, ReplicaVerifier, str], replica: Replica
) -> None:
    registry, verifier, _ = read
    replica.pause(on=True)
    try:
        title = registry.award(awarding(person(2)), officer=CLERK)
        assert verifier.check(registry.issue(title, settable, officer=CLERK).code).status is Status.VALID
    finally:
        replica.pause(on=False)


def test_without_the_primary_nothing_is_answered_and_afterwards_everything_again(
    read: tuple[Registry, ReplicaVerifier, str], primary: engine.Server
) -> None:
    _, verifier, code = read
    assert verifier.check(code).status is Status.VALID
    primary.stop(signal.SIGQUIT)
    try:
        with pytest.raises(Unavailable):
            verifier.check(code)
    finally:
        primary.start()
    assert verifier.check(code).status is Status.VALID


def test_a_replica_that_is_gone_leaves_the_primary(
    read: tuple[Registry, ReplicaVerifier, str], replica: Replica
) -> None:
    _, verifier, code = read
    replica.stop(signal.SIGQUIT)
    try:
        assert verifier.check(code).status is Status.VALID
        assert verifier.answered == 0
    finally:
        replica.start()


def test_the_database_of_another_registry_is_no_replica(
    read: tuple[Registry, ReplicaVerifier, str], primary: engine.Server, tmp_path: Path
) -> None:
    registry, _, code = read
    schema = f"r{time.monotonic_ns()}"
    config = Config(base_url="http://127.0.0.1:1", sample=True, database=primary.url(schema))
    other = Registry.create(tmp_path / "other", PASSPHRASE, config)
    found(other)
    for n in range(3, 8):
        other.award(awarding(person(n)), officer=CLERK)
    other.close()
    registry.verifier = ReplicaVerifier(registry, primary.url(schema))
    assert registry.verifier.check(code).status is Status.VALID
    assert registry.verifier.answered == 0


def test_a_registry_in_a_file_has_no_replica(registry: Registry) -> None:
    with pytest.raises(BadInput, match="只读副本"):
        read_from(registry, "postgresql://nowhere/x")
