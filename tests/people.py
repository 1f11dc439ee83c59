"""Synthetic people and the commands that award, decide and convert for them. Nobody here exists."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from registry.conversion import Scan
from registry.holders.identity import born, parse, sex
from registry.holders.person import Person
from registry.officers.officer import Staff, find_waiting
from registry.service import Registry
from registry.terms import Level, Obtained, Role
from registry.titles.award import AwardTitle
from registry.titles.content import CertificateContent
from registry.titles.decisions import ProposeDecision
from registry.titles.events import DecisionKind, Particulars
from registry.titles.state import Proposal, Title

BEGIN = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)  # half past nine in the morning in Beijing
CLERK, CHIEF, THIRD = "clerk-01", "chief-02", "clerk-03"
QINGTIAN, JINYUN, CITY = "331121", "331122", "331100"
DOCUMENT = "丽人社〔2021〕100号"
PDF = b"%PDF-1.4\n% a made-up scan\n"


OFFICERS = (CLERK, CHIEF, THIRD)


class Clock:
    """The recorded clock of a test: it stands still until it is told to go on."""

    def __init__(self, now: datetime = BEGIN) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **units: float) -> datetime:
        """Let time pass (days=, hours=, minutes=, seconds=); return the new now."""
        self.now += timedelta(**units)
        return self.now


def check_character(first_17: str) -> str:
    """ISO 7064 MOD 11-2, found by trying all eleven: the sum of a(i) * 2^(i-1) from the right is 1 modulo 11."""
    for last in "0123456789X":
        values = [10 if character == "X" else int(character) for character in first_17 + last]
        if sum(value << place for place, value in enumerate(reversed(values))) % 11 == 1:
            return last
    raise AssertionError("one of the eleven always fits")


def identity_number(n: int, district: str = "331199") -> str:
    """The n-th made-up identity number of a district: men and women of 1960 to 1999, valid check characters.

    331199 is no district of any place.
    """
    birthday = date(1960, 1, 1) + timedelta(days=n // 900 * 7 % 14_000)
    first = f"{district}{birthday:%Y%m%d}{n % 900 + 1:03d}"
    return first + check_character(first)


def fifteen(number: str) -> str:
    """The old 15-digit form of an 18-digit number of a person born in 19xx."""
    return number[:6] + number[8:17]


def person(n: int, name: str = "林晓岚", *, number: str | None = None) -> Person:
    """The n-th made-up person; sex and birth date are those of the number."""
    identity = parse(number or identity_number(n))
    return Person(name, identity, sex(identity), born(identity))


def awarding(who: Person, **changes: Any) -> AwardTitle:
    """An award of 工程师 in 建筑工程 by review in September 2021; every field can be changed."""
    fields: dict[str, Any] = {
        "person": who,
        "series": "工程技术人员",
        "specialty": "建筑工程",
        "level": Level.INTERMEDIATE,
        "title_name": "工程师",
        "obtained": Obtained.REVIEW,
        "committee": "丽水市建设工程专业工程师评审委员会",
        "committee_key": "A1-1-17",
        "approval_document": DOCUMENT,
        "awarded_on": date(2021, 9, 20),
        "authority": CITY,
    }
    return AwardTitle(**fields | changes)


def paper_of_1998(who: Person, **changes: Any) -> AwardTitle:
    """A senior engineer of 1998 as the paper certificate says it: journey 1."""
    fields: dict[str, Any] = {
        "level": Level.SENIOR_ASSOCIATE,
        "title_name": "高级工程师",
        "committee": "丽水地区工程技术高级职务评审委员会",
        "committee_key": None,
        "approval_document": "丽地人〔1998〕215号",
        "awarded_on": date(1998, 11, 20),
        "number": "浙丽 9801-0427",
        "employer": "丽水地区第一建筑工程公司",
    }
    return awarding(who, **fields | changes)


def scans(*contents: bytes) -> list[Scan]:
    """Scans to hand in; one if nothing is said."""
    return [Scan(PDF + content) for content in contents or (b"",)]


def deciding(kind: DecisionKind, **changes: Any) -> ProposeDecision:
    """A decision of the city with a document and a reason."""
    fields: dict[str, Any] = {
        "kind": kind,
        "document_no": f"丽人社决〔2026〕{len(kind)}号",
        "authority": CITY,
        "reason": "申报材料经查证不实",
    }
    return ProposeDecision(**fields | changes)


def correcting(title: Title, **right: Any) -> ProposeDecision:
    """A correction of these fields of a title."""
    corrected: Particulars = msgspec.structs.replace(title.award, **right)
    return deciding(DecisionKind.CORRECTION, corrected=corrected, reason="登记有误，依原件更正")


def proposed(registry: Registry, stream: str, command: ProposeDecision, officer: str = CLERK) -> Proposal:
    """Propose a decision as the clerk."""
    return registry.propose(stream, command, officer=officer)


def decided(registry: Registry, stream: str, command: ProposeDecision) -> Title:
    """Propose as the clerk and approve as the chief."""
    proposal = proposed(registry, stream, command)
    return registry.approve(proposal.fact.proposal, proposal.fact.digest, officer=CHIEF)


def staff(n: int) -> Staff:
    """The n-th made-up officer. Nobody of them is a holder."""
    return Staff(("沈知远", "叶书宁", "吴可为", "季明")[n % 4], parse(identity_number(40_000 + n)))


def appoint(registry: Registry, actor: str, role: Role, authority: str = CITY) -> None:
    """Give an officer a role: proposed and granted by two of those who may, never by the officer."""
    first, second = [one for one in (CHIEF, THIRD, CLERK) if one != actor][:2]
    grant = registry.appointing.propose(actor, role, authority, "丽人社授〔2026〕1号", officer=first)
    waiting = find_waiting(registry.appointing.officer(actor), grant)
    registry.appointing.grant(grant, waiting.fact.digest, officer=second)


def found(registry: Registry) -> None:
    """A small bureau: three people who are clerks and approvers over the whole city."""
    registry.appointing.found([(CHIEF, staff(1)), (THIRD, staff(2))])
    registry.appointing.register(CLERK, staff(0), officer=CHIEF)
    appoint(registry, CLERK, Role.APPROVER)
    for one in OFFICERS:
        appoint(registry, one, Role.CLERK)
    registry.tlog.sequence()


def settable(_: CertificateContent) -> None:
    """The proof of a printer that can set everything."""
