"""The registry: one imperative method per capability. Doors call this and nothing below it.

Award:       import_awards / award -> Awarding -> log -> (register catches up when it is asked)
Certificate: issue -> certificate.prepare (every check, stored) -> certificate.sign (none left, stored)
Decision:    propose -> approve by another officer -> at once visible in verification
Who may:     every method that writes asks `authorising` inside its unit; `permissions.py` has the table
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from keys.backends import TokenSettings
from keys.custody import Custody
from keys.signing import Purpose
from registry.answers import AnswerLog, Recall, recall
from registry.appointing import Appointing
from registry.authorising import Authorising
from registry.awarding import Awarding, check_free, foreseen
from registry.catalogue.adoption import REFERENCE, STREAM, adopt
from registry.catalogue.catalogue import load_catalogue
from registry.continuity import Continuity
from registry.conversion import Conversion, Scan, application_in
from registry.erasing import Erasing, sealable
from registry.errors import BadInput, Forbidden, NotFound, Refused
from registry.folder import Config, Folder
from registry.holders.holder import HOLDERS, Holder, link_identity, rename
from registry.holders.identity import index_key
from registry.holders.person import Identity
from registry.intake.importing import ImportReceipt, import_rows
from registry.issuing import Issuing, Proof, title_in
from registry.keysets import KeyPublishing
from registry.log.facts import Fact, Recorded
from registry.log.log import KnownAt, Log
from registry.log.unit import Unit
from registry.looking import Looking
from registry.looks import LookLog
from registry.officers.officer import stream_of
from registry.paper.application import APPLICATIONS, Application, PaperRules
from registry.paper.application import refuse as refuse_paper
from registry.paper.application import return_ as return_application
from registry.permissions import Permission
from registry.proof.signers import origin_of
from registry.proof.tlog import TransparencyLog
from registry.register.register import Register
from registry.requesting import Requesting
from registry.sweeping import Sweeping
from registry.terms import civil_date, utc_now
from registry.titles import decisions
from registry.titles.award import AwardTitle
from registry.titles.code import parse_code
from registry.titles.decisions import ProposeDecision
from registry.titles.state import TITLES, Certificate, Proposal, Title
from registry.titles.verification import Verifier


class Registry:
    """One registry in one data folder. Safe to open in several processes at once."""

    def __init__(
        self,
        folder: Folder,
        custody: Custody,
        clock: Callable[[], datetime] = utc_now,
        checkpoints: Path | None = None,
    ) -> None:
        self.folder, self.custody, self.clock = folder, custody, clock
        self.config = folder.read_config()
        self.catalogue = load_catalogue()
        self.log = Log(folder.store, custody.vault(), clock)
        origin, outside = origin_of(self.config.base_url), folder.outside(checkpoints)
        self.tlog = TransparencyLog(folder.tree, origin, self.log.recorder, custody, outside, clock)
        self.continuity = Continuity(self.tlog)
        self.log.gate = self.continuity.require
        self.verifier = Verifier(self.log, lambda: custody.keyring, self.catalogue.authority)
        self.register = Register(folder.register, self.log)
        self.answers = AnswerLog(folder.answers)
        self.authorising = Authorising(self.log, self.catalogue)
        self.log.rests_on = stream_of
        self.appointing = Appointing(self.log, self.authorising, self.catalogue)
        self.looks = LookLog(folder.looks)
        self.looking = Looking(self.log, self.register, self.authorising, self.looks, clock)
        self.keysets = KeyPublishing(self.log, custody, self.authorising)
        self.issuing = Issuing(self.log, custody, self.catalogue, self.config, self.tlog, self.authorising)
        self.sweeping = Sweeping(self.log, self.register, folder)
        self.erasing = Erasing(self.log, self.register, self.authorising, self.sweeping)
        self.requesting = Requesting(self.log, self.register, self.authorising)
        self.conversion = Conversion(PaperRules(before=self.config.paper_before), folder.evidence)

    @classmethod
    def create(
        cls,
        path: Path,
        passphrase: bytes,
        config: Config,
        clock: Callable[[], datetime] = utc_now,
        checkpoints: Path | None = None,
        token: TokenSettings | None = None,
        also: Iterable[Purpose] = (),
    ) -> "Registry":
        """Make a data folder: keys, store, reference data. Refuse a folder that holds a registry.

        `token` and `also` choose where the keys are made and which more there are: see `Custody.create`.
        """
        folder = Folder(path)
        folder.create(config)
        try:
            custody = Custody.create(
                folder.keys, passphrase, clock(), organisation=config.organisation, token=token, also=also
            )
        except BaseException:
            folder.config.unlink()  # nothing was made, so that it can be tried again
            raise
        registry = cls(folder, custody, clock, checkpoints)
        registry.log.transact(
            lambda unit: unit.record(REFERENCE, STREAM, adopt(registry.catalogue, unit.state(REFERENCE, STREAM))),
            actor="system",
        )
        registry.keysets.begin()
        registry.tlog.sequence()
        return registry

    @classmethod
    def open(
        cls,
        path: Path,
        passphrase: bytes,
        clock: Callable[[], datetime] = utc_now,
        checkpoints: Path | None = None,
    ) -> "Registry":
        """Open a data folder. Raise Unavailable for a folder that is none, keys.errors.KeysError for a wrong key.

        `checkpoints` is the folder of the second store (None: beside the data folder). A copy that does not extend
        the checkpoint there opens, so that it can be examined, but answers nothing: see `continuity`.
        """
        folder = Folder(path)
        folder.read_config()
        registry = cls(folder, Custody.open(folder.keys, passphrase), clock, checkpoints)
        registry.keysets.catch_up()
        return registry

    def close(self) -> None:
        """Close the files of this thread."""
        self.answers.close()
        self.looks.close()
        self.log.close()
        self.register.close()

    @property
    def today(self) -> date:
        """The civil date now."""
        return civil_date(self.clock())

    # awards

    def award(self, command: AwardTitle, *, officer: str) -> str:
        """Award one title; return its stream. The same award again changes nothing."""
        self.catalogue.authority(command.authority)

        def body(unit: Unit) -> str:
            self.authorising.require(officer, Permission.AWARD, command.authority)
            return Awarding(unit).award(command)[0]

        return self.log.transact(body, actor=officer, foresees=foreseen(command, self.log.sealing.blind_index))

    def import_awards(
        self,
        path: Path,
        *,
        authority: str,
        document: str,
        officer: str,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> ImportReceipt:
        """Award a whole approved list (form 2-4), all or nothing; the same file twice changes nothing.

        Raise ListRefused with every row error, BadInput for a file that cannot be read as a list.
        """
        self.catalogue.authority(authority)
        right = Permission.CHECK_LIST if dry_run else Permission.AWARD
        return import_rows(
            self.log,
            path,
            authority=authority,
            document=document,
            officer=officer,
            authorise=lambda: self.authorising.require(officer, right, authority),
            catalogue=self.catalogue,
            today=self.today,
            dry_run=dry_run,
            progress=progress,
        )

    # looking up

    def find_title(self, number: str, authority: str | None = None) -> str:
        """The stream of a title by certificate number, or by its own id. A number is unique only within an authority.

        Raise NotFound, and BadInput if several authorities have that number and none was named.
        """
        if number.startswith(TITLES.prefix + "-") and self.log.load(TITLES, number) is not None:
            return number
        codes = [authority] if authority else [one.code for one in self.catalogue.authorities]
        found = {code: stream for code in codes if (stream := self.log.claimed("number", f"{code}|{number}"))}
        if len(found) > 1:
            names = "、".join(f"{self.catalogue.authority(code).name_zh}（{code}）" for code in found)
            raise BadInput(f"编号 {number} 在多个发证机关都有：{names}", fix="用 --authority 指明发证机关代码")
        if not found:
            raise NotFound(f"没有证书编号为 {number} 的职称", fix="核对编号和发证机关")
        return next(iter(found.values()))

    def title(self, stream: str, *, known_at: KnownAt | None = None) -> Title:
        """One title as known at a recorded time or log position (None: now). Raise NotFound if it was not known."""
        title = self.log.load(TITLES, stream, known_at=known_at)
        if title is None:
            raise NotFound(f"没有职称 {stream}{_then(known_at)}", fix="核对编号")
        return title

    def holder(self, stream: str, *, known_at: KnownAt | None = None) -> Holder:
        """One holder as known at a recorded time or log position (None: now). Raise NotFound if not known."""
        holder = self.log.load(HOLDERS, stream, known_at=known_at)
        if holder is None:
            raise NotFound(f"没有持证人 {stream}{_then(known_at)}", fix="核对")
        return holder

    def history(self, stream: str) -> list[Recorded[Any]]:
        """Every event of a stream, oldest first."""
        return self.log.history(stream)

    def holder_of(self, identity: Identity) -> str | None:
        """The holder with this identity number, found by the blind index."""
        return self.log.claimed("identity", self.custody.vault().blind_index(index_key(identity)))

    def recall(self, stream: str) -> Recall:
        """The answers that this title's revocation belies (officers only). Raise NotFound if it was never revoked."""
        return recall(self.title(stream), self.history(stream), self.answers)

    # decisions by two officers

    def propose(self, stream: str, command: ProposeDecision, *, officer: str) -> Proposal:
        """Propose a decision; return the open proposal. Only the issuing authority or the one above it decides."""
        salt = secrets.token_hex(16)

        def body(unit: Unit) -> str:
            self.authorising.require(officer, Permission.PROPOSE, command.authority)
            title = title_in(unit, stream)
            issuer = self.catalogue.authority(title.award.authority)
            if command.authority not in (issuer.code, issuer.parent):
                raise Refused(
                    f"{command.authority} 无权决定 {issuer.name_zh} 颁发的职称", fix="由发证机关或其上级作出决定"
                )
            if command.corrected:
                self.catalogue.authority(command.corrected.authority)
            proposal = f"{stream}.{unit.version(stream) + 1}"
            facts = decisions.propose(command, title, officer=officer, proposal=proposal, salt=salt, now=unit.now)
            self._record(unit, title, sealable(unit, title, facts))
            same = decisions.find_same(command, title, officer, unit.now)
            return same.fact.proposal if same else proposal

        proposal = self.log.transact(body, actor=officer)
        return decisions.find_open(self.title(stream), proposal)

    @staticmethod
    def _record(unit: Unit, title: Title, facts: Sequence[Fact]) -> Title:
        for fact in facts:
            if wanted := decisions.particulars_after(title, fact):
                check_free(unit, title, wanted)
        return unit.record(TITLES, title.id, facts)

    def approve(self, proposal: str, digest: str, *, officer: str) -> Title:
        """Approve a proposal over exactly this content. The next verification already answers by it."""
        stream = proposal.partition(".")[0]

        def body(unit: Unit) -> Title:
            title = title_in(unit, stream)
            self._require_decider(unit, title, proposal, officer)
            facts = decisions.approve(title, proposal, officer=officer, digest=digest, now=unit.now)
            return self._record(unit, title, facts)

        return self.log.transact(body, actor=officer, cause=proposal)

    def refuse(self, proposal: str, reason: str, *, officer: str) -> Title:
        """Close a proposal without effect."""
        stream, salt = proposal.partition(".")[0], secrets.token_hex(16)

        def body(unit: Unit) -> Title:
            title = title_in(unit, stream)
            open_ = decisions.find_open(title, proposal)
            right = Permission.PROPOSE if open_.proposed_by == officer else Permission.DECIDE
            self.authorising.require(officer, right, open_.fact.authority)
            facts = decisions.refuse(title, proposal, reason, salt=salt)
            return unit.record(TITLES, stream, sealable(unit, title, facts))

        return self.log.transact(body, actor=officer, cause=proposal)

    def return_proposal(self, proposal: str, reason: str, *, officer: str) -> Title:
        """Return a proposal for change (退回修改): it is closed, and its proposer may propose it anew, changed."""
        stream, salt = proposal.partition(".")[0], secrets.token_hex(16)

        def body(unit: Unit) -> Title:
            title = title_in(unit, stream)
            self._require_decider(unit, title, proposal, officer)
            facts = decisions.return_(title, proposal, reason, officer=officer, salt=salt)
            return unit.record(TITLES, stream, sealable(unit, title, facts))

        return self.log.transact(body, actor=officer, cause=proposal)

    def _require_decider(self, unit: Unit, title: Title, proposal: str, officer: str) -> None:
        """The second officer has the right over the deciding authority, and decides on another person's title."""
        open_ = title.proposal(proposal)
        self.authorising.require(officer, Permission.DECIDE, open_.fact.authority if open_ else title.award.authority)
        self.authorising.require_other_person(officer, unit.state(HOLDERS, title.holder))

    # holders

    def rename_holder(
        self, stream: str, name: str, *, basis: str, document_no: str, effective_on: date, officer: str
    ) -> Holder:
        """Change ("change") or correct ("correction") a holder's name by a document; certificates follow on request."""
        if basis not in ("change", "correction") or not name.strip() or not document_no.strip():
            raise BadInput("改名须写明新姓名、依据（change 或 correction）和文号", fix="补全后重试")

        def body(unit: Unit) -> Holder:
            holder = self._holder_to_change(unit, stream, officer)
            return unit.record(HOLDERS, stream, rename(holder, name.strip(), basis, document_no, effective_on))

        return self.log.transact(body, actor=officer)

    def link_identity(self, stream: str, identity: Identity, *, document_no: str, officer: str) -> Holder:
        """Link a further identity document to a holder. Raise Refused if it is another holder's."""

        def body(unit: Unit) -> Holder:
            other = unit.claimed("identity", unit.blind_index(index_key(identity)))
            if other not in (None, stream):
                raise Refused("该证件号码已属于另一持证人", fix="核对是否同一人；确属同一人的，提交人工合并")
            holder = self._holder_to_change(unit, stream, officer)
            return unit.record(HOLDERS, stream, link_identity(holder, identity, document_no))

        return self.log.transact(body, actor=officer)

    def _holder_to_change(self, unit: Unit, stream: str, officer: str) -> Holder:
        """The holder, whom an officer over the authority of any of their titles may change, but not themselves."""
        holder = unit.state(HOLDERS, stream)
        right, over = Permission.CHANGE_HOLDER, self.register.authorities_of(stream)
        if not any(self.authorising.sight(officer, right, authority) for authority in over):
            self.authorising.require(officer, right, over[0] if over else None)
        if holder is None:
            raise NotFound(f"没有持证人 {stream}", fix="核对")
        self.authorising.require_other_person(officer, holder)
        return holder

    # paper certificates

    def submit_paper(
        self, command: AwardTitle, issued_on: date | None, scans: Sequence[Scan], *, officer: str
    ) -> Application:
        """Apply to turn a paper certificate into an electronic one; the same application again changes nothing."""
        self.catalogue.authority(command.authority)

        def body(unit: Unit) -> str:
            own = officer if officer.startswith(HOLDERS.prefix + "-") else None
            self.authorising.require(officer, Permission.SUBMIT_PAPER, own or command.authority)
            if own not in (None, self.holder_of(command.person.identity)):
                raise Forbidden("只能为本人申请换发", fix="填写本人的证件号码；代他人申请的，由经办人办理")
            return self.conversion.submit(unit, command, issued_on, scans)

        return self.application(self.log.transact(body, actor=officer))

    def application(self, stream: str) -> Application:
        """One application, folded from the log. Raise NotFound."""
        found = self.log.load(APPLICATIONS, stream)
        if found is None:
            raise NotFound(f"没有申请 {stream}", fix="核对申请编号")
        return found

    def approve_paper(self, stream: str, digest: str, *, officer: str) -> Application:
        """Approve as a second officer: matched with the award if there is one, else the title is awarded by it."""

        def body(unit: Unit) -> Application:
            self._require_paper_decider(unit, stream, officer)
            return self.conversion.approve(unit, stream, officer=officer, digest=digest)

        return self.log.transact(body, actor=officer, cause=stream)

    def _require_paper_decider(self, unit: Unit, stream: str, officer: str) -> Application:
        """The second officer has the right over the issuing authority, and decides on another person's paper."""
        found = application_in(unit, stream)
        self.authorising.require(officer, Permission.DECIDE_PAPER, found.fact.award.authority)
        self.authorising.require_other_person(officer, unit.state(HOLDERS, found.fact.holder))
        return found

    def refuse_paper(self, stream: str, reason: str, *, officer: str) -> Application:
        """Refuse an application, with a reason."""
        salt = secrets.token_hex(16)

        def body(unit: Unit) -> Application:
            found = self._require_paper_decider(unit, stream, officer)
            return unit.record(APPLICATIONS, stream, refuse_paper(found, reason, salt=salt))

        return self.log.transact(body, actor=officer, cause=stream)

    def return_paper(self, stream: str, reason: str, *, officer: str) -> Application:
        """Return an application for change (退回修改); it may be submitted again."""
        salt = secrets.token_hex(16)

        def body(unit: Unit) -> Application:
            found = self._require_paper_decider(unit, stream, officer)
            return unit.record(APPLICATIONS, stream, return_application(found, reason, officer=officer, salt=salt))

        return self.log.transact(body, actor=officer, cause=stream)

    # certificates

    def issue(self, stream: str, proof: Proof, *, officer: str) -> Certificate:
        """Issue the e-certificate of a title: the newest version if it says what is right today, else a new one."""
        return self.issuing.issue([stream], proof, officer=officer)[0]

    def certificate(self, code: str) -> tuple[Title, Certificate]:
        """A signed certificate by its verification code. Raise NotFound."""
        canonical = parse_code(code)
        stream = self.log.claimed("code", canonical[:16])
        title = self.title(stream) if stream else None
        for one in title.certificates if title else ():
            if title and one.code == canonical and one.signature:
                return title, one
        raise NotFound("没有这个查验码的证书", fix="核对查验码")


def _then(known_at: KnownAt | None) -> str:
    return "" if known_at is None else "（按该登记时间或位置）"
