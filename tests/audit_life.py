"""A life for audits: a small town's registry in which everything that can happen has happened once."""

import sqlite3
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec

from keys.custody import Custody
from keys.signing import Purpose
from registry.audit import export, verify_live
from registry.folder import Folder
from registry.holders.holder import ErasureBasis
from registry.holders.person import Identity
from registry.officers.officer import find_waiting
from registry.register.rows import TitleRow
from registry.requests.request import Outcome, RequestKind
from registry.service import Registry
from registry.terms import IdentityKind, Role
from registry.titles.events import DecisionKind
from tests import engine
from tests.people import (
    CHIEF,
    CITY,
    CLERK,
    QINGTIAN,
    THIRD,
    Clock,
    awarding,
    deciding,
    identity_number,
    paper_of_1998,
    person,
    proposed,
    scans,
    settable,
    staff,
)
from tests.rotating import OPERATOR, with_operator

NAMES = ("李明轩", "王㛃", "阿依古丽·买买提", "周建国", "陈䶮", "王莉", "何小满", "吕清和")
PASSPORT, EMPLOYER, REASON = "E12345678", "丽水市某某设计院", "申报材料经查证不实"
WISH, OFFICER = "请把我的姓名更正过来", "331121-clerk-07"
SECRETS = (*NAMES, *(identity_number(n) for n in range(1, 9)), PASSPORT, EMPLOYER, REASON, WISH, staff(7).name)


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
    """Awards, certificates, each decision, papers, a rename; then roles, returns, requests, an erasure."""
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
    _officers(life)
    _returns(life)
    _privacy(life)
    return life


def renew_key(life: Life) -> Life:
    """A new key for certificates, in a key set; for a registry whose key folder is its own."""
    life.registry.keysets.rotate(Purpose.E_CERTIFICATE, officer=OPERATOR)
    life.registry.tlog.sequence()
    life.step("a new key")
    return life


def _officers(life: Life) -> None:
    """A county's clerk: one role refused, one granted and taken away again."""
    with_operator(life.registry)
    appointing = life.registry.appointing
    appointing.register(OFFICER, staff(7), officer=CHIEF)
    refused = appointing.propose(OFFICER, Role.APPROVER, QINGTIAN, "丽人社授〔2026〕7号", officer=CHIEF)
    appointing.refuse(refused, "不需要", officer=THIRD)
    grant = appointing.propose(OFFICER, Role.CLERK, QINGTIAN, "丽人社授〔2026〕8号", officer=CHIEF)
    life.step("role proposed")
    appointing.grant(grant, find_waiting(appointing.officer(OFFICER), grant).fact.digest, officer=THIRD)
    award = awarding(person(6, NAMES[6]), authority=QINGTIAN, employer=EMPLOYER)
    life.titles.append(life.registry.award(award, officer=OFFICER))
    appointing.withdraw(grant, "丽人社授〔2026〕9号", officer=CHIEF)
    life.registry.tlog.sequence()
    life.step("role withdrawn")


def _returns(life: Life) -> None:
    """A proposal and a paper that come back, changed."""
    registry, title = life.registry, life.titles[3]
    wrong = life.propose(title, DecisionKind.SUSPENSION, document_no="丽人社决〔2025〕7号")
    registry.return_proposal(wrong.fact.proposal, "文号写错", officer=CHIEF)
    life.step("proposal returned")
    life.decide(title, DecisionKind.SUSPENSION)
    command = paper_of_1998(person(7, NAMES[7]), number="浙丽 9801-0429", employer=EMPLOYER)
    application = registry.submit_paper(command, date(1998, 12, 28), scans(), officer=CLERK)
    registry.return_paper(application.id, "看不清", officer=CHIEF)
    life.step("paper returned")
    application = registry.submit_paper(command, date(1998, 12, 28), scans(b"sharp"), officer=THIRD)
    approved = registry.approve_paper(application.id, application.fact.digest, officer=CHIEF)
    life.titles.append(approved.title or "")
    life.step("paper submitted again and approved")


def _privacy(life: Life) -> None:
    """A request, a hold, an erasure; and a decision about the title of the person who was erased."""
    registry, title = life.registry, life.titles[-1]
    registry.issue(title, settable, officer=CLERK)
    holder = registry.title(title).holder
    request = registry.requesting.make(holder, RequestKind.ERASURE, WISH, officer=holder)
    registry.requesting.answer(request, Outcome.REFUSED, "在保全期间，不能删除", officer=CLERK)
    hold = registry.erasing.place_hold(holder, "（2026）浙1102行初3号", CITY, officer=CHIEF)
    early = registry.erasing.propose(holder, ErasureBasis.REQUEST, "丽人社删〔2026〕1号", CITY, officer=CLERK)
    registry.erasing.refuse(early.fact.proposal, "在保全期间", officer=CHIEF)
    registry.erasing.lift_hold(hold.hold, "（2026）浙1102行初3号之二", officer=CHIEF)
    life.step("hold lifted")
    open_ = registry.erasing.propose(holder, ErasureBasis.REQUEST, "丽人社删〔2026〕2号", CITY, officer=CLERK)
    registry.erasing.approve(open_.fact.proposal, open_.fact.digest, officer=CHIEF)
    life.step("erased")
    life.decide(title, DecisionKind.INVALIDATION)


def fresh(made: tuple[Path, Custody], path: Path, clock: Clock) -> Registry:
    """A registry of its own in `path`, with the keys that were made once."""
    engine.copy(made[0], path)
    return Registry(Folder(path), made[1], clock)


def again(life: Life, path: Path) -> Registry:
    """A copy of the whole data folder in `path`, opened."""
    assert life.registry.log.recorder.fold_in()
    assert life.registry.register.fold_in()
    return fresh((life.registry.folder.path, life.registry.custody), path, life.clock)


def damage(path: Path, *statements: str) -> None:
    """Change a database behind the program's back, past the triggers: a file, or the log that stands for it.

    The triggers are there again afterwards: whoever does such a thing covers the traces.
    """
    config = path.parent / "config.json"
    if path.name == "registry.db" and config.exists() and (database := Folder(path.parent).read_config().database):
        engine.damage(database, *statements)
        return
    with closing(sqlite3.connect(path)) as c, c:
        triggers = c.execute("SELECT name, sql FROM sqlite_master WHERE type='trigger'").fetchall()
        for trigger, _ in triggers:
            c.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            assert c.execute(statement).rowcount, statement  # -1 where nothing is counted: tables were changed
        if c.execute("SELECT 1 FROM sqlite_master WHERE name='stored_events'").fetchone():
            for _, made in triggers:
                c.execute(made)


def bytes_of(directory: Path) -> dict[str, bytes]:
    """Every file under a directory, by name."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def exported_after_compromise(life: Life, path: Path, passphrase: bytes) -> tuple[Path, str]:
    """An export of a copy in which the first certificate key is compromised from its third certificate on; its kid."""
    path = path / "lost"
    with closing(again(life, path)) as copied:
        kid = next(one.kid for one in copied.custody.keyring.records if one.purpose is Purpose.E_CERTIFICATE)
        leaves = [one.fact.leaf for title in life.titles for one in copied.history(title) if hasattr(one.fact, "leaf")]
    with closing(Registry.open(path, passphrase, life.clock)) as registry:
        registry.keysets.compromise(kid, sorted(leaves)[2], officer=OPERATOR)
        registry.tlog.sequence()
        export(registry, path.parent / "after")
    return path.parent / "after", kid
