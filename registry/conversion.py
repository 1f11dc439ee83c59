"""From a pre-2007 paper certificate to a title: submitted with evidence, checked against the award if there is one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from registry.awarding import Awarding
from registry.errors import BadInput, NotFound, Refused, WrongState
from registry.holders.holder import HOLDERS
from registry.log.unit import Unit
from registry.paper.application import APPLICATIONS, Application, PaperRules, approve, paper_key, submit
from registry.paper.evidence import describe, keep
from registry.terms import Status
from registry.titles.award import AwardTitle, match_paper, particulars
from registry.titles.content import PaperOrigin
from registry.titles.state import TITLES


@dataclass(frozen=True)
class Scan:
    """A file handed in as evidence, and what it shows (scan, review_form, document)."""

    data: bytes
    role: str = "scan"


@dataclass(frozen=True)
class Conversion:
    """Applications within the rules of one registry; evidence is kept sealed in `folder`."""

    rules: PaperRules
    folder: Path

    def submit(self, unit: Unit, command: AwardTitle, issued_on: date | None, scans: Sequence[Scan]) -> str:
        """Apply, or apply again after it was returned; return the stream. The same application again changes nothing.

        Raise BadInput without a number or with evidence that is no picture, Refused for a title with an electronic
        certificate or outside the rules, WrongState if another content is under way.
        """
        evidence = [describe(scan.data, scan.role) for scan in scans]
        if not command.number:
            raise BadInput("缺少纸质证书编号", fix="填写纸质证书上的编号")
        wanted, origin = particulars(command, command.number), PaperOrigin(command.number, issued_on)
        holder = Awarding(unit).recognise(command.person)
        known = unit.claimed("paper", paper_key(holder, wanted))
        present = unit.state(APPLICATIONS, known) if known else None
        if present is None:
            _refuse_if_electronic(unit, f"{wanted.authority}|{wanted.number}")
        facts = submit(holder, wanted, origin, evidence, command.employer, self.rules, present)
        if known and not facts:
            return known
        for scan, one in zip(scans, evidence, strict=True):
            keep(self.folder, holder, one, scan.data, unit.data_key(holder))
        if known:
            unit.record(APPLICATIONS, known, facts)
        return known or unit.start(APPLICATIONS, facts)

    def approve(self, unit: Unit, stream: str, *, officer: str, digest: str) -> Application:
        """Approve as a second officer: matched with the award if there is one, else the title is awarded by it."""
        present = application_in(unit, stream)
        if present.state == "approved":
            return present
        title, new = Awarding(unit).award(self._command(unit, present), paper=present.fact.paper, application=stream)
        facts = approve(present, title, existing=not new, officer=officer, digest=digest)
        _refuse_if_closed(unit, title)
        _match(unit, title, present)
        return unit.record(APPLICATIONS, stream, facts)

    @staticmethod
    def _command(unit: Unit, present: Application) -> AwardTitle:
        holder = unit.state(HOLDERS, present.fact.holder)
        if holder is None:
            raise NotFound(f"没有持证人 {present.fact.holder}", fix="核对")
        person = msgspec.structs.replace(holder.person.reveal(), name=holder.name() or "")
        employer = present.fact.employer.get() if present.fact.employer else None
        return AwardTitle(person=person, employer=employer, **msgspec.structs.asdict(present.fact.award))


def _refuse_if_electronic(unit: Unit, number: str) -> None:
    stream = unit.claimed("number", number)
    title = unit.state(TITLES, stream) if stream else None
    if title is not None and title.certificate():
        raise Refused("该职称已有电子证书，不必换发", fix="按证书编号查验，或由持证人下载电子证书")


def _match(unit: Unit, stream: str, present: Application) -> None:
    """The title, awarded by this paper or before, carries its number and 依据纸质证书换发 from now on."""
    title = unit.state(TITLES, stream)
    if title is not None:
        unit.record(TITLES, stream, match_paper(title, present.fact.paper, present.id))


def _refuse_if_closed(unit: Unit, stream: str) -> None:
    title = unit.state(TITLES, stream)
    status = title.standing(None)[0] if title else None
    if status in (Status.REVOKED, Status.INVALIDATED):
        raise WrongState(f"登记的职称现为“{status.zh}”，不能换发", fix="对申请不予换发；确有错误的先作恢复决定")


def application_in(unit: Unit, stream: str) -> Application:
    """The application in a unit. Raise NotFound."""
    found = unit.state(APPLICATIONS, stream)
    if found is None:
        raise NotFound(f"没有申请 {stream}", fix="核对申请编号")
    return found
