"""The people of a made-up bureau: officers for every role, appointed by two founders. Nobody here exists."""

from typing import Final, NamedTuple

from api.demo.people import Synthetic
from registry.holders.identity import parse
from registry.officers.officer import Staff, find_waiting
from registry.service import Registry
from registry.terms import Role

FOUNDERS: Final = ("approver-01", "approver-02")
DOCUMENT: Final = "丽人社样授〔2026〕1号"
CITY, QINGTIAN = "331100", "331121"


class Appointment(NamedTuple):
    """An officer to be, with roles over one authority."""

    actor: str
    name: str
    roles: tuple[Role, ...]
    authority: str = CITY
    organisation: str | None = None


BUREAU: Final = (
    Appointment("clerk-01", "样例经办一", (Role.CLERK,)),
    Appointment("clerk-02", "样例经办二", (Role.CLERK,)),
    Appointment("qingtian-clerk", "样例青田经办", (Role.CLERK,), QINGTIAN),
    Appointment("qingtian-approver", "样例青田批准", (Role.APPROVER,), QINGTIAN),
    Appointment("committee-01", "样例评委会", (Role.COMMITTEE_OFFICE,), CITY, "样例评委会办公室"),
    Appointment("employer-01", "样例单位人事", (Role.EMPLOYER,), CITY, "样例建筑设计院"),
    Appointment("auditor-01", "样例审计", (Role.AUDITOR,)),
    Appointment("operator-01", "样例运维", (Role.OPERATOR,)),
)


def open_bureau(registry: Registry, bureau: tuple[Appointment, ...] = BUREAU) -> None:
    """Found the registry with its two founders; they register everybody else and grant the roles."""
    people, appointing = Synthetic(331100), registry.appointing
    first, second = FOUNDERS
    appointing.found([(actor, _staff(people, f"样例批准{n}")) for actor, n in zip(FOUNDERS, "一二", strict=True)])
    for one in bureau:
        appointing.register(one.actor, _staff(people, one.name, one.organisation), officer=first)
        for role in one.roles:
            grant = appointing.propose(one.actor, role, one.authority, DOCUMENT, officer=first)
            waiting = find_waiting(appointing.officer(one.actor), grant)
            appointing.grant(grant, waiting.fact.digest, officer=second)


def _staff(people: Synthetic, name: str, organisation: str | None = None) -> Staff:
    return Staff(name, parse(people.identity()), organisation)
