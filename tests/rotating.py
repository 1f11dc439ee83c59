"""Who rotates keys in the tests; and a rotation in a key folder that no registry watches over."""

from contextlib import closing
from datetime import datetime
from pathlib import Path

from keys.custody import Custody
from keys.keychange import retiring
from keys.keyring import KeyRecord
from keys.passphrase import read_passphrase
from keys.signing import Purpose
from registry.service import Registry
from registry.terms import Role
from tests.people import CHIEF, appoint, staff

OPERATOR = "ops-09"


def rotate(custody: Custody, purpose: Purpose, now: datetime) -> KeyRecord:
    """Make a key and let it count; return its record."""
    fresh = custody.make(purpose, now)
    custody.follow(lambda: [*retiring(custody.keyring.records, fresh), fresh])
    return fresh


def with_operator(registry: Registry) -> None:
    """Give a founded registry an operator."""
    registry.appointing.register(OPERATOR, staff(3), officer=CHIEF)
    appoint(registry, OPERATOR, Role.OPERATOR)
    registry.tlog.sequence()


def operator_in(folder: Path) -> tuple[str, str]:
    """Give the registry of a command line's folder an operator; return the option that says who acts."""
    with closing(Registry.open(folder / "data", read_passphrase(folder / "pp", {}))) as registry:
        with_operator(registry)
    return "--officer", OPERATOR
