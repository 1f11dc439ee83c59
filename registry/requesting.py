"""Requests of a holder about their own data (PIPL 45 to 47): made by the holder or a clerk for them, answered once."""

import msgspec

from registry.authorising import Authorising
from registry.errors import Forbidden, NotFound
from registry.holders.holder import HOLDERS, Holder
from registry.log.log import Log
from registry.log.unit import Unit
from registry.permissions import Permission
from registry.register.register import Register
from registry.requests.request import REQUESTS, DataRequest, Outcome, RequestKind, answer, make


class Requesting(msgspec.Struct, frozen=True):
    """What requesting needs."""

    log: Log
    register: Register
    authorising: Authorising

    def make(self, holder: str, kind: RequestKind, text: str, *, officer: str) -> str:
        """Make a request as the holder (`officer` is their own stream) or as a clerk for them; return its stream."""

        def body(unit: Unit) -> str:
            known = self._holder(unit, holder, officer, own=Permission.READ_OWN)
            return unit.start(REQUESTS, make(known.id, kind, text))

        return self.log.transact(body, actor=officer)

    def answer(self, stream: str, outcome: Outcome, text: str, *, officer: str) -> DataRequest:
        """Answer a request as an officer over the holder. The same answer again changes nothing."""

        def body(unit: Unit) -> DataRequest:
            request = unit.state(REQUESTS, stream)
            if request is None:
                raise NotFound(f"没有请求 {stream}", fix="用 requests list 查看")
            known = self._holder(unit, request.fact.holder, officer, own=None)
            self.authorising.require_other_person(officer, known)
            return unit.record(REQUESTS, stream, answer(request, outcome, text))

        return self.log.transact(body, actor=officer, cause=stream)

    def all(self, holder: str | None = None) -> list[DataRequest]:
        """Every request, or those of one holder, oldest first."""
        found = (self.log.load(REQUESTS, stream) for stream in self.log.streams_of(REQUESTS))
        return [one for one in found if one and holder in (None, one.fact.holder)]

    def within(self, officer: str) -> list[DataRequest]:
        """The requests of the holders whom an officer may answer."""
        return [one for one in self.all() if self._may(officer, one.fact.holder)]

    def require_over(self, officer: str, holder: str) -> None:
        """Raise Forbidden unless an officer may answer this holder's requests, as by a copy of their data."""
        if not self._may(officer, holder):
            raise Forbidden("您没有办理此事的权限", fix="由管辖该持证人职称的机关的经办人办理")

    def _holder(self, unit: Unit, stream: str, officer: str, own: Permission | None) -> Holder:
        if own is not None and officer == stream:
            self.authorising.require(officer, own, stream)
        else:
            self.require_over(officer, stream)
        known = unit.state(HOLDERS, stream)
        if known is None:
            raise NotFound(f"没有持证人 {stream}", fix="核对")
        return known

    def _may(self, officer: str, holder: str) -> bool:
        """Whether an officer is over the authority of any of a holder's titles or applications."""
        over: list[str | None] = [*self.register.authorities_of(holder)] or [None]
        return any(self.authorising.sight(officer, Permission.ANSWER_REQUEST, one) for one in over)
