"""Reading a person's record as somebody: as much as their role shows over this matter, and each clear look recorded.

Every door of signed-in readers reads through here. A look is on the disk before anything is returned; if it cannot be
recorded, nothing is shown. `actor` None is whoever runs a command on the machine without saying who: they see what the
public sees, names masked.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Final

import msgspec

from registry.authorising import Authorising
from registry.errors import BadInput, Forbidden, NotFound, Unavailable
from registry.holders.holder import HOLDERS
from registry.holders.identity import index_key
from registry.holders.person import Identity
from registry.log.log import KnownAt, Log
from registry.looks import Look, LookLog, Purpose, What
from registry.looks.looked import (
    ERASED,
    Asking,
    LookedApplication,
    LookedHolder,
    LookedProposal,
    LookedRows,
    LookedTitle,
    SeenAs,
    opened,
    shown_name,
)
from registry.paper.application import APPLICATIONS
from registry.permissions import RULES, Permission, Sight
from registry.register.register import Query, Register
from registry.register.rows import TitleRow
from registry.terms import Role, civil_date
from registry.titles.decisions import find_open
from registry.titles.state import TITLES

_UNNAMED: Final = SeenAs(Sight.MASKED, None, "")


class Looking(msgspec.Struct, frozen=True):
    """What looking needs."""

    log: Log
    register: Register
    authorising: Authorising
    looks: LookLog
    clock: Callable[[], datetime]

    def title(
        self,
        stream: str,
        *,
        actor: str | None,
        purpose: Purpose,
        door: str,
        document: str = "",
        as_of: date | None = None,
        known_at: KnownAt | None = None,
        permission: Permission = Permission.READ_TITLES,
        what: What | None = None,
    ) -> LookedTitle:
        """One title as known then, with the name in force on that day (None: now, the newest).

        Who has the matter now sees its past as well; who had it then does not. Raise NotFound, Forbidden, and
        Unavailable if the look cannot be recorded.
        """
        now = self.log.load(TITLES, stream)
        title = now if known_at is None else self.log.load(TITLES, stream, known_at=known_at)
        if now is None or title is None:
            raise NotFound(f"没有职称 {stream}", fix="核对编号")
        asking = Asking(actor, purpose, door, document)
        seen = self._seen(asking, permission, [now.award.authority])
        looked = what or (What.HISTORY if permission is Permission.READ_HISTORY else What.TITLE)
        self._record(asking, [(seen, title.holder, looked, stream)])
        return LookedTitle(seen.sight, title, self._name(seen, title.holder, as_of, known_at))

    def holder(
        self,
        stream: str,
        *,
        actor: str | None,
        purpose: Purpose,
        door: str,
        document: str = "",
        what: What = What.HOLDER,
    ) -> LookedHolder:
        """One person, in reach by the authority of any title or application of theirs. Raise as `title` does."""
        holder = self.log.load(HOLDERS, stream)
        if holder is None:
            raise NotFound(f"没有持证人 {stream}", fix="核对")
        asking = Asking(actor, purpose, door, document)
        seen = self._seen(asking, Permission.READ_TITLES, self.authorities_of(stream))
        self._record(asking, [(seen, stream, what, stream)])
        return LookedHolder(seen.sight, holder, self._name(seen, stream))

    def authorities_of(self, holder: str) -> list[str]:
        """The authorities that have to do with a person; the city's alone for one who has no title or application."""
        return self.register.authorities_of(holder) or [self.authorising.catalogue.root.code]

    def application(
        self, stream: str, *, actor: str | None, purpose: Purpose, door: str, document: str = "", evidence: bool = False
    ) -> LookedApplication:
        """One application, or with `evidence` a scan of it. Raise as `title` does."""
        found = self.log.load(APPLICATIONS, stream)
        if found is None:
            raise NotFound(f"没有申请 {stream}", fix="核对申请编号")
        asking, holder = Asking(actor, purpose, door, document), found.fact.holder
        seen = self._seen(asking, Permission.READ_PAPERS, [found.fact.award.authority])
        self._record(asking, [(seen, holder, What.EVIDENCE if evidence else What.APPLICATION, stream)])
        return LookedApplication(seen.sight, found, self._name(seen, holder))

    def proposal(self, proposal: str, *, actor: str | None, purpose: Purpose, door: str) -> LookedProposal:
        """One open proposal with its title. Raise as `title` does."""
        stream, asking = proposal.partition(".")[0], Asking(actor, purpose, door)
        title = self.log.load(TITLES, stream)
        if title is None:
            raise NotFound(f"没有待处理的提议 {proposal}", fix="用 proposals list 查看待处理的提议")
        seen = self._seen(asking, Permission.READ_TITLES, [title.award.authority])
        open_ = find_open(title, proposal)
        self._record(asking, [(seen, title.holder, What.PROPOSAL, stream)])
        return LookedProposal(seen.sight, title, self._name(seen, title.holder), open_)

    def documents(self, streams: Sequence[str], *, actor: str, purpose: Purpose, door: str) -> None:
        """Record that the documents of many titles are about to be handed out. Raise Forbidden unless all are clear."""
        asking, looks = Asking(actor, purpose, door), []
        for stream in streams:
            title = self.log.load(TITLES, stream)
            seen = self._seen(asking, Permission.READ_TITLES, [title.award.authority] if title else [])
            if title is None or seen.sight is not Sight.CLEAR:
                raise Forbidden("电子证书含有个人信息，您的角色不能取得", fix="由有权的人员办理")
            looks.append((seen, title.holder, What.DOCUMENT, stream))
        self._record(asking, looks)

    # several titles

    def search(
        self,
        query: Query,
        *,
        actor: str | None,
        purpose: Purpose,
        door: str,
        identity: Identity | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> LookedRows:
        """The titles in reach that match, a page at a time. Each title shown in clear is a look.

        Raise Forbidden as `reach` does, and Unavailable if the looks cannot be recorded.
        """
        reach = self.reach(actor, by_person=bool(query.name or identity))
        if identity is not None:
            holder = self._holder_of(identity)
            if holder is None or query.holder not in (None, holder):
                return LookedRows([], None)
            query = msgspec.structs.replace(query, holder=holder)
        today = civil_date(self.clock())
        found = self.register.search(query, today=today, limit=limit, cursor=cursor, within=sorted(reach))
        seen = [reach[row.authority] for row, _ in found.rows]
        return LookedRows(self.rows(found.rows, seen, Asking(actor, purpose, door)), found.next)

    def reach(
        self, actor: str | None, permission: Permission = Permission.READ_TITLES, *, by_person: bool = False
    ) -> dict[str, SeenAs]:
        """The authorities whose matters this actor sees, and how; `by_person`: those where persons are seen in clear.

        Whoever sees names masked may not search by name or identity number: what they find would tell it. Raise
        Forbidden if nothing is in reach.
        """
        asking, found = Asking(actor, Purpose.SEARCH, ""), dict[str, SeenAs]()
        for one in self.authorising.catalogue.authorities:
            try:
                found[one.code] = self._seen(asking, permission, [one.code])
            except Forbidden:
                continue
        clear = {code: seen for code, seen in found.items() if seen.sight is Sight.CLEAR}
        if by_person and not clear:
            raise Forbidden(
                "您不能这样查询：姓名和证件号码只供经办该事项的人员查询", fix="按编号查询，或由有权的人员办理"
            )
        if not found:
            raise Forbidden("您没有办理此事的权限", fix="由有权的人员办理；需要权限的，按规定申请授予角色")
        return clear if by_person else found

    def rows(
        self, found: Sequence[tuple[TitleRow, str]], seen: Sequence[SeenAs], asking: Asking
    ) -> list[tuple[TitleRow, str]]:
        """Titles with their names as far as each is seen; the looks are recorded. Raise Unavailable."""
        both = list(zip(found, seen, strict=True))
        self._record(asking, [(how, row.holder, What.TITLE, row.title) for (row, name), how in both if name])
        return [(row, shown_name(how.sight, name)) for (row, name), how in both]

    def _holder_of(self, identity: Identity) -> str | None:
        if self.log.vault is None:
            raise Unavailable("没有口令，不能按证件号码查找", fix="给出口令后再试")
        return self.log.claimed("identity", self.log.vault.blind_index(index_key(identity)))

    # how much

    def _seen(self, asking: Asking, permission: Permission, about: Sequence[str]) -> SeenAs:
        """The most that this actor sees by a role over any of these authorities. Raise Forbidden."""
        if asking.actor is None:
            return _UNNAMED
        allowed, covers = RULES[permission].roles, self.authorising.covers
        found = [
            SeenAs(allowed[role], role, over)
            for role, over in self.authorising.standing(asking.actor).roles
            if role in allowed and any(covers(over, one) for one in about)
        ]
        if not found:
            raise Forbidden("您没有办理此事的权限", fix="由有权的人员办理；需要权限的，按规定申请授予角色")
        deciding = asking.purpose is Purpose.DECIDING
        return max(found, key=lambda one: (one.sight is Sight.CLEAR, (one.role is Role.APPROVER) is deciding))

    def _name(self, seen: SeenAs, holder: str, as_of: date | None = None, known_at: KnownAt | None = None) -> str:
        """The name as far as it is seen. The look was recorded before."""
        known = self.log.load(HOLDERS, holder, known_at=known_at)
        return shown_name(seen.sight, (known.name(as_of) if known else None) or "")

    def _record(self, asking: Asking, looks: Sequence[tuple[SeenAs, str, What, str]]) -> None:
        """Record the clear ones among these looks: how, at whom, at what, in which stream. Raise BadInput, Unavailable.

        Nobody who comes here is the person concerned, so none may have it written that they were.
        """
        if asking.purpose is Purpose.OWN:
            raise BadInput("查看的用途不能是“本人查看”", fix="说明办理业务、审批等实际用途")
        at = self.clock()
        self.looks.record(
            [
                Look(
                    at=at,
                    actor=asking.actor,
                    role=seen.role,
                    over=seen.over,
                    door=asking.door,
                    purpose=asking.purpose,
                    document=asking.document[:60],
                    holder=holder,
                    what=what,
                    stream=stream,
                )
                for seen, holder, what, stream in looks
                if seen.sight is Sight.CLEAR and seen.role is not None and asking.actor is not None
            ]
        )


__all__ = ["ERASED", "Asking", "Looking", "opened"]
