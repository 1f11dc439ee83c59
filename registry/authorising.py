"""May this person do this, here? Asked inside the unit that writes, so that a role taken away counts at once.

An actor is an officer ("331121-clerk-07") or a holder (the id of their stream). The tree of authorities decides what is
in reach: a county's officer reaches the county, the city's reaches the city and its counties.
"""

from typing import NamedTuple

from registry.catalogue.catalogue import Catalogue
from registry.errors import Forbidden
from registry.holders.holder import HOLDERS, Holder
from registry.holders.identity import index_key
from registry.log.log import Log
from registry.officers.officer import FIRST, OFFICERS, Officer, stream_of
from registry.permissions import RULES, Permission, Sight
from registry.terms import Role

_SIGHTS = (Sight.NOTHING, Sight.MASKED, Sight.CLEAR)


class Standing(NamedTuple):
    """What someone may do: each role with the authority that it is over; a holder's is their own stream."""

    actor: str
    roles: tuple[tuple[Role, str], ...]
    officer: Officer | None = None


class Authorising:
    """Answers for the roles in the log and the tree of authorities in the catalogue."""

    def __init__(self, log: Log, catalogue: Catalogue) -> None:
        self.log, self.catalogue = log, catalogue
        self._above = {one.code: one.parent for one in catalogue.authorities}

    def standing(self, actor: str) -> Standing:
        """What someone may do now; nobody we know has no role."""
        if actor.startswith(HOLDERS.prefix + "-"):
            holder = self.log.current(HOLDERS, actor)
            return Standing(actor, ((Role.HOLDER, actor),) if holder and not holder.erased else ())
        officer = self.log.current(OFFICERS, stream_of(actor))
        roles = tuple((one.role, one.authority) for one in officer.grants) if officer else ()
        return Standing(actor, roles, officer)

    def sight(self, actor: str, permission: Permission, about: str | None) -> Sight | None:
        """How much of a person this right shows of a matter; None: no such right over it.

        `about` is the authority of the matter, or the stream of the holder whose own it is; None: any will do.
        """
        allowed = RULES[permission].roles
        held = [(role, over) for role, over in self.standing(actor).roles if role in allowed]
        seen = [allowed[role] for role, over in held if about is None or self.covers(over, about)]
        return max(seen, key=_SIGHTS.index) if seen else None

    def require(self, actor: str, permission: Permission, about: str | None) -> Sight:
        """The same; raise Forbidden instead of None, in words that tell nothing of the matter."""
        sight = self.sight(actor, permission, about)
        if sight is None and self.log.claimed("founding", FIRST) is None:
            raise Forbidden(
                "登记库尚未开办：还没有任何人员", fix="由两名批准人共同开办：title-registry officers found FILE"
            )
        if sight is None:
            raise Forbidden("您没有办理此事的权限", fix="由有权的人员办理；需要权限的，按规定申请授予角色")
        return sight

    def covers(self, over: str, authority: str) -> bool:
        """Whether one authority is the other or stands above it (隶属)."""
        code: str | None = authority
        while code is not None and code != over:
            code = self._above.get(code)
        return code == over

    def require_other_person(self, actor: str, holder: Holder | None) -> None:
        """Raise Forbidden if an officer would decide on their own record (回避)."""
        officer = self.standing(actor).officer
        staff = officer.staff.get() if officer else None
        if staff is None or holder is None:
            return
        if index_key(staff.identity) in {index_key(one) for one in holder.identities()}:
            raise Forbidden("不能办理本人的事项（回避）", fix="由另一名有权的人员办理")
