"""Who acts: officers registered as persons, roles granted by two approvers. `authorising` asks what came of it.

The first two approvers are founded together, once; nobody before them could have granted it.
"""

import secrets
from collections.abc import Sequence

from registry.authorising import Authorising
from registry.catalogue.catalogue import Catalogue
from registry.errors import BadInput, NotFound, Refused, WrongState
from registry.log.log import Log
from registry.log.unit import Unit
from registry.officers import officer as officers
from registry.officers.officer import OFFICERS, Officer, Staff, staff_key, stream_of
from registry.permissions import Permission
from registry.terms import Role


class Appointing:
    """Officers and their roles in one registry."""

    def __init__(self, log: Log, authorising: Authorising, catalogue: Catalogue) -> None:
        self.log, self.authorising, self.catalogue = log, authorising, catalogue

    def found(self, founders: Sequence[tuple[str, Staff]]) -> None:
        """Register the first two officers, approvers over the whole city, once: every later role needs two officers.

        Raise BadInput for one person, or one id, twice; WrongState for a registry that has been founded.
        """
        (first, one), (second, two) = founders
        if first == second or staff_key(one.identity) == staff_key(two.identity):
            raise BadInput("须由两名不同的人员共同开办登记库", fix="写明两个不同的人")

        def body(unit: Unit) -> None:
            if unit.claimed("founding", officers.FIRST):
                raise WrongState("登记库已有人员，不能再次开办", fix="由两名现有的批准人登记人员、授予角色")
            for place, (actor, staff) in enumerate(founders, 1):
                officer = self._registered(unit, actor, staff)
                unit.record(OFFICERS, officer.id, officers.found(officer, place, self.catalogue.root.code))

        self.log.transact(body, actor=officers.SYSTEM)

    def _registered(self, unit: Unit, actor: str, staff: Staff) -> Officer:
        stream = stream_of(officers.check_actor(actor))
        same = unit.claimed("identity", unit.blind_index(staff_key(staff.identity)))
        if same not in (None, stream):
            raise Refused(f"此人已登记，工号为 {officers.actor_of(same)}", fix="一人只有一个工号；给该工号授予角色")
        known = unit.state(OFFICERS, stream)
        facts = officers.register(actor, staff, known)
        if known is None:
            unit.start(OFFICERS, facts, stream)
        found = unit.state(OFFICERS, stream)
        assert found is not None
        return found

    def officer(self, actor: str) -> Officer:
        """One officer. Raise NotFound."""
        found = self.log.load(OFFICERS, stream_of(actor))
        if found is None:
            raise NotFound(f"没有工号为 {actor} 的人员", fix="用 officers list 查看")
        return found

    def all(self) -> list[Officer]:
        """All officers, by their ids."""
        found = (self.log.load(OFFICERS, stream) for stream in self.log.streams_of(OFFICERS))
        return [one for one in found if one is not None]

    def register(self, actor: str, staff: Staff, *, officer: str) -> Officer:
        """Register a person as an officer, without any role yet; the same person again changes nothing."""

        def body(unit: Unit) -> Officer:
            self.authorising.require(officer, Permission.PROPOSE_ROLE, None)
            return self._registered(unit, actor, staff)

        return self.log.transact(body, actor=officer)

    def propose(self, actor: str, role: Role, authority: str, document_no: str, *, officer: str) -> str:
        """Propose a role over an authority and those below it; return the id of the grant, which another approves."""
        self.catalogue.authority(authority)
        stream = stream_of(actor)

        def body(unit: Unit) -> str:
            self.authorising.require(officer, Permission.PROPOSE_ROLE, authority)
            known = self._officer_in(unit, stream)
            grant = f"{stream}.{unit.version(stream) + 1}"
            facts = officers.propose_role(known, role, authority, document_no, by=officer, grant=grant, now=unit.now)
            unit.record(OFFICERS, stream, facts)
            return grant if facts else officers.same_grant(known, role, authority)

        return self.log.transact(body, actor=officer)

    def grant(self, grant: str, digest: str, *, officer: str) -> Officer:
        """Grant a proposed role as a second officer over exactly this content."""
        stream = grant.rpartition(".")[0]

        def body(unit: Unit) -> Officer:
            known = self._officer_in(unit, stream)
            self._require_granter(known, grant, officer)
            facts = officers.grant_role(known, grant, by=officer, digest=digest, now=unit.now)
            return unit.record(OFFICERS, stream, facts)

        return self.log.transact(body, actor=officer, cause=grant)

    def refuse(self, grant: str, reason: str, *, officer: str) -> Officer:
        """Close a proposed role without effect, with a reason."""
        stream, salt = grant.rpartition(".")[0], secrets.token_hex(16)

        def body(unit: Unit) -> Officer:
            known = self._officer_in(unit, stream)
            self._require_granter(known, grant, officer)
            return unit.record(OFFICERS, stream, officers.refuse_role(known, grant, reason, salt=salt))

        return self.log.transact(body, actor=officer, cause=grant)

    def withdraw(self, grant: str, document_no: str, *, officer: str) -> Officer:
        """Take a role away at once. A registry keeps two approvers over the whole city: WrongState otherwise."""
        found = next((one for one in self.all() for held in one.grants if held.id == grant), None)
        if found is None:
            raise NotFound(f"没有角色 {grant}", fix="用 officers list 查看")

        def body(unit: Unit) -> Officer:
            known = self._officer_in(unit, found.id)
            self._require_granter(known, grant, officer)
            self._keep_two(known, grant)
            return unit.record(OFFICERS, known.id, officers.withdraw_role(known, grant, document_no))

        return self.log.transact(body, actor=officer, cause=grant)

    def _keep_two(self, officer: Officer, grant: str) -> None:
        def may_grant(one: Officer, without: str) -> bool:
            wanted = (Role.APPROVER, self.catalogue.root.code)
            return any((held.role, held.authority) == wanted and held.id != without for held in one.grants)

        others = [one for one in self.all() if one.id != officer.id and may_grant(one, "")]
        if len(others) < 2 and may_grant(officer, "") and not may_grant(officer, grant):
            raise WrongState("全市至少须有两名批准人，不能收回", fix="先授予另一人全市批准人角色")

    def _require_granter(self, known: Officer, grant: str, officer: str) -> None:
        held = {one.id: one.authority for one in known.grants}
        waiting = {one.fact.grant: one.fact.authority for one in known.proposals}
        self.authorising.require(officer, Permission.GRANT_ROLE, (waiting | held).get(grant))

    @staticmethod
    def _officer_in(unit: Unit, stream: str) -> Officer:
        found = unit.state(OFFICERS, stream)
        if found is None:
            raise NotFound(f"没有工号为 {officers.actor_of(stream)} 的人员", fix="先登记该人员（officers register）")
        return found
