"""Erase a person: two officers decide in one unit of the log, then what lies outside the log is swept away.

The unit appends `holder-erased/1` and in the same transaction destroys the data key and the blind index. From then on
nothing personal in the log can be opened. What lies beside the log is swept right after it, and again later if the
program died in between: see `sweeping`.
"""

from collections.abc import Iterator, Sequence

import msgspec

from registry.authorising import Authorising
from registry.errors import Forbidden, NotFound, WrongState
from registry.holders import erasure
from registry.holders.holder import HOLDERS, ErasureBasis, ErasureProposal, ErasureProposed, Holder, LegalHoldPlaced
from registry.log.facts import NAMES, Fact, private_values
from registry.log.log import Log
from registry.log.unit import Unit
from registry.paper.application import APPLICATIONS
from registry.permissions import Permission
from registry.register.register import Register
from registry.requests.request import REQUESTS
from registry.sweeping import Sweeping
from registry.titles.state import TITLES, Title


class Erasing(msgspec.Struct, frozen=True):
    """What erasing needs."""

    log: Log
    register: Register
    authorising: Authorising
    sweeping: Sweeping

    # two officers

    def propose(
        self, holder: str, basis: ErasureBasis, document_no: str, authority: str, *, officer: str
    ) -> ErasureProposal:
        """Propose to erase a person; return the open proposal. The same again changes nothing.

        `authority` must be over every authority that issued a title of theirs; raise Forbidden otherwise.
        """
        self.authorising.catalogue.authority(authority)

        def body(unit: Unit) -> ErasureProposal:
            known = self._person(unit, holder, Permission.ERASE, authority, officer)
            self._require_over_all(holder, authority)
            proposal = f"{holder}.{unit.version(holder) + 1}"
            facts = erasure.propose(
                known, basis, document_no, authority, officer=officer, proposal=proposal, now=unit.now
            )
            known = unit.record(HOLDERS, holder, facts)
            return known.erasures[-1] if facts else self._same(known, basis, document_no, authority, officer, unit)

        return self.log.transact(body, actor=officer)

    @staticmethod
    def _same(
        known: Holder, basis: ErasureBasis, document_no: str, authority: str, officer: str, unit: Unit
    ) -> ErasureProposal:
        same = erasure.find_same(known, basis, document_no, authority, officer=officer, now=unit.now)
        assert same is not None  # that is why there was no fact
        return same

    def approve(self, proposal: str, digest: str, *, officer: str) -> Holder:
        """Approve as a second officer, an approver, and sweep. One that was carried out is only swept again.

        Raise WrongState under a legal hold, and while anything of the person is under way. Raise Unavailable if it was
        carried out but could not be swept yet: approve it again, or run doctor.
        """
        stream = proposal.partition(".")[0]

        def body(unit: Unit) -> Holder:
            unit.alone()  # whatever is begun meanwhile makes this one look again
            authority = self._authority_of(unit, stream, proposal)
            known = self._person(unit, stream, Permission.ERASE, authority, officer)
            self.authorising.require(officer, Permission.DECIDE, authority)
            facts = erasure.approve(known, proposal, officer=officer, digest=digest, now=unit.now)
            if facts:
                self._require_over_all(stream, authority)
                self._require_nothing_open(unit, stream)
                unit.destroy_key(stream)
            return unit.record(HOLDERS, stream, facts)

        done = self.log.transact(body, actor=officer, cause=proposal, long=True)  # it reads the whole log
        self.sweep(stream)
        return done

    def refuse(self, proposal: str, reason: str, *, officer: str) -> Holder:
        """Close a proposal without effect: an approver refuses it, its proposer withdraws it."""
        stream = proposal.partition(".")[0]

        def body(unit: Unit) -> Holder:
            authority = self._authority_of(unit, stream, proposal)
            known = self._person(unit, stream, Permission.ERASE, authority, officer)
            if erasure.find_open(known, proposal).proposed_by != officer:
                self.authorising.require(officer, Permission.DECIDE, authority)
            return unit.record(HOLDERS, stream, erasure.refuse(known, proposal, reason))

        return self.log.transact(body, actor=officer, cause=proposal)

    # legal holds

    def place_hold(self, holder: str, document_no: str, authority: str, *, officer: str) -> LegalHoldPlaced:
        """Keep a person's data from being erased, by a document of a dispute, an inspection or a court."""
        self.authorising.catalogue.authority(authority)

        def body(unit: Unit) -> LegalHoldPlaced:
            known = self._person(unit, holder, Permission.HOLD, authority, officer)
            self._require_touching(holder, authority)
            facts = erasure.place_hold(known, document_no, authority, hold=f"{holder}.{unit.version(holder) + 1}")
            holds = unit.record(HOLDERS, holder, facts).holds
            said = (document_no.strip(), authority)
            return next(one for one in holds if (one.document_no, one.authority) == said)

        return self.log.transact(body, actor=officer)

    def lift_hold(self, hold: str, document_no: str, *, officer: str) -> Holder:
        """End a hold, by a document."""
        stream = hold.partition(".")[0]

        def body(unit: Unit) -> Holder:
            placed = next((one for one in _holder(unit, stream).holds if one.hold == hold), None)
            known = self._person(unit, stream, Permission.HOLD, placed.authority if placed else None, officer)
            return unit.record(HOLDERS, stream, erasure.lift_hold(known, hold, document_no))

        return self.log.transact(body, actor=officer)

    # what waits

    def waiting(self, officer: str) -> list[ErasureProposal]:
        """The open proposals that an officer may see, in order of the holder. Reads the whole log."""
        found = (one for holder in self._with(ErasureProposed) for one in holder.erasures)
        return [one for one in found if self.authorising.sight(officer, Permission.ERASE, one.fact.authority)]

    def holds(self, officer: str) -> list[tuple[str, LegalHoldPlaced]]:
        """The holders under a legal hold that an officer may see, each with the hold. Reads the whole log."""
        found = [(holder.id, one) for holder in self._with(LegalHoldPlaced) for one in holder.holds]
        return [one for one in found if self.authorising.sight(officer, Permission.HOLD, one[1].authority)]

    def _with(self, fact: type[Fact]) -> Iterator[Holder]:
        self.log.require()
        for stream in self.log.recorder.streams_with(NAMES[fact]):
            known = self.log.load(HOLDERS, stream, sealed=True)
            if known is not None:
                yield known

    # who may

    def _person(self, unit: Unit, stream: str, permission: Permission, authority: str | None, officer: str) -> Holder:
        """The holder, after it is known that the officer has the right and is another person."""
        self.authorising.require(officer, permission, authority)
        known = _holder(unit, stream)
        self.authorising.require_other_person(officer, known)
        return known

    @staticmethod
    def _authority_of(unit: Unit, stream: str, proposal: str) -> str | None:
        """The authority of a proposal, open or carried out; None for one that is not there."""
        known = _holder(unit, stream)
        if known.erased and known.erased.proposal == proposal:
            return known.erased.authority
        return next((one.fact.authority for one in known.erasures if one.fact.proposal == proposal), None)

    def _require_over_all(self, holder: str, authority: str | None) -> None:
        for issuer in self.register.authorities_of(holder):
            if authority is None or not self.authorising.covers(authority, issuer):
                raise Forbidden("该持证人的职称不都由此机关管辖", fix="由管辖其全部职称的上级机关提议和批准")

    def _require_touching(self, holder: str, authority: str) -> None:
        issuers = self.register.authorities_of(holder)
        if issuers and not any(self.authorising.covers(authority, one) for one in issuers):
            raise Forbidden("该持证人没有由此机关管辖的职称", fix="由管辖其职称的机关办理")

    def _require_nothing_open(self, unit: Unit, holder: str) -> None:
        """What needs the person's data must be over first: afterwards nobody could read it any more."""
        open_ = [*self._open_matters(unit, holder)]
        if open_:
            raise WrongState(
                f"该持证人还有未办结的事项：{'、'.join(open_)}", fix="先办结（批准、不同意或答复）这些事项，再批准删除"
            )

    def _open_matters(self, unit: Unit, holder: str) -> Iterator[str]:
        for stream in self.register.streams_of(holder):
            title = unit.state(TITLES, stream) if stream.startswith(TITLES.prefix + "-") else None
            paper = unit.state(APPLICATIONS, stream) if stream.startswith(APPLICATIONS.prefix + "-") else None
            yield from (f"提议 {one.fact.proposal}" for one in (title.proposals if title else ()))
            if paper and paper.state in ("open", "returned"):
                yield f"换发申请 {stream}"
        for stream in self.log.streams_of(REQUESTS):
            request = unit.state(REQUESTS, stream)
            if request and request.fact.holder == holder and request.outcome is None:
                yield f"个人信息请求 {stream}"

    def sweep(self, holder: str) -> None:
        """Destroy what lies outside the log of a person who was erased: see `Sweeping`. Safe to repeat."""
        self.sweeping.sweep(holder)


def sealable(unit: Unit, title: Title, facts: Sequence[Fact]) -> Sequence[Fact]:
    """Facts about a title as they can be sealed: those of a person who was erased under a key of the title's own.

    A title outlives its holder's data and can still be revoked; why, belongs to the decision and not to the person.
    """
    known = unit.state(HOLDERS, title.holder)
    if known is None or not known.erased or not any(private_values(one) for one in facts):
        return facts
    unit.begin_key(title.id)
    return [msgspec.structs.replace(one, holder=title.id) if private_values(one) else one for one in facts]


def _holder(unit: Unit, stream: str) -> Holder:
    known = unit.state(HOLDERS, stream)
    if known is None:
        raise NotFound(f"没有持证人 {stream}", fix="核对")
    return known
