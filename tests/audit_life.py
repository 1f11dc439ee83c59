"""A life for audits: a small town's registry in which everything that can happen to a title has happened once."""

import shutil
import sqlite3
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec

from keys.custody import Custody
from registry.audit import verify_live
from registry.folder import Folder
from registry.holders.person import Identity
from registry.register.rows import TitleRow
from registry.service import Registry
from registry.terms import IdentityKind
from registry.titles.events import DecisionKind
from tests.people import (
    CHIEF,
    CLERK,
    Clock,
    awarding,
    deciding,
    identity_number,
    paper_of_1998,
    person,
    proposed,
    scans,
    settable,
)

NAMES = ("李明轩", "王㛃", "阿依古丽·买买提", "周建国", "陈䶮", "王莉")
PASSPORT, EMPLOYER, REASON = "E12345678", "丽水市某某设计院", "申报材料经查证不实"
SECRETS = (*NAMES, *(identity_number(n) for n in range(1, 6)), PASSPORT, EMPLOYER, REASON)


class Life:
    """What happened, and the register as it was after each step."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self.registry, self.clock = registry, clock
        self.titles: list[str] = []
        self.then: list[tuple[str, datetime, list[TitleRow]]] = []

    def step(self, what: str) -> None:
        rows = list(self.registry.register.all_rows("titles")) if self.registry.register.catch_up() else []
        self.then.append((what, self.clock.now, rows))
        report = verify_live(self.registry)
        assert report.ok, (what, report.findings)
        self.clock.forward(minutes=1)

    def decide(self, title: str, kind: DecisionKind, **more: Any) -> None:
        proposal = self.propose(title, kind, **more)
        self.step(f"{kind} proposed")
        self.registry.approve(proposal.fact.proposal, proposal.fact.digest, officer=CHIEF)
        self.step(f"{kind} approved")

    def propose(self, title: str, kind: DecisionKind, **more: Any) -> Any:
        return proposed(self.registry, title, deciding(kind, reason=REASON, **more))


def live_through(registry: Registry, clock: Clock) -> Life:
    """Awards, certificates, each decision, papers, a rename and a further identity document."""
    life = Life(registry, clock)
    for serial, name in enumerate(NAMES[:3], 1):
        life.titles.append(registry.award(awarding(person(serial, name), employer=EMPLOYER), officer=CLERK))
        life.step(f"awarded to {serial}")
    first, second, third = life.titles
    registry.issue(first, settable, officer=CLERK)
    life.step("certificate")
    corrected = msgspec.structs.replace(registry.title(first).award, specialty="市政工程")
    life.decide(first, DecisionKind.CORRECTION, corrected=corrected)
    registry.issue(first, settable, officer=CLERK)
    life.step("second version")
    life.decide(second, DecisionKind.REVOCATION)
    life.decide(second, DecisionKind.REINSTATEMENT, effective_on=date(2026, 3, 9))
    life.decide(third, DecisionKind.SUSPENSION, effective_on=date(2026, 4, 1))
    refused = life.propose(first, DecisionKind.INVALIDATION)
    registry.refuse(refused.fact.proposal, "不成立", officer=CHIEF)
    life.step("refused")
    life.propose(first, DecisionKind.INVALIDATION)
    life.step("still open")
    for serial, number in ((4, "浙丽 9801-0427"), (5, "浙丽 9801-0428")):
        command = paper_of_1998(person(serial, NAMES[serial - 1]), number=number, employer=EMPLOYER)
        application = registry.submit_paper(command, date(1998, 12, 28), scans(), officer=CLERK)
        life.step("paper submitted")
        if serial == 4:
            approved = registry.approve_paper(application.id, application.fact.digest, officer=CHIEF)
            life.titles.append(approved.title or "")
            registry.issue(life.titles[-1], settable, officer=CLERK)
        else:
            registry.refuse_paper(application.id, "字迹不清", officer=CHIEF)
        life.step("paper decided")
    holder = registry.title(third).holder
    registry.rename_holder(
        holder,
        NAMES[5],
        basis="change",
        document_no="丽公户〔2026〕1号",
        effective_on=date(2026, 2, 1),
        officer=CLERK,
    )
    registry.link_identity(
        holder, Identity(IdentityKind.PASSPORT, PASSPORT, country="CHN"), document_no="1", officer=CLERK
    )
    life.step("renamed and linked")
    return life


def fresh(made: tuple[Path, Custody], path: Path, clock: Clock) -> Registry:
    """A registry of its own in `path`, with the keys that were made once."""
    shutil.copytree(made[0], path)
    return Registry(Folder(path), made[1], clock)


def again(life: Life, path: Path) -> Registry:
    """A copy of the whole data folder in `path`, opened."""
    with closing(sqlite3.connect(life.registry.folder.log)) as c:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with closing(sqlite3.connect(life.registry.folder.register)) as c:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return fresh((life.registry.folder.path, life.registry.custody), path, life.clock)


def damage(path: Path, *statements: str) -> None:
    """Change a database behind the program's back, past the triggers."""
    with closing(sqlite3.connect(path)) as c, c:
        for trigger in ("stored_events_no_update", "stored_events_no_delete"):
            c.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        for statement in statements:
            assert c.execute(statement).rowcount > 0, statement


def bytes_of(directory: Path) -> dict[str, bytes]:
    """Every file under a directory, by name."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def stored_rows(path: Path) -> list[tuple[Any, ...]]:
    """Every stored event, read by a connection of our own."""
    with closing(sqlite3.connect(path)) as c:
        return c.execute("SELECT rowid, * FROM stored_events ORDER BY rowid").fetchall()
