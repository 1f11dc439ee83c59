"""The registry: one imperative method per capability. Doors call this and nothing below it.

Award:       import_awards / award -> Awarding -> log -> (register catches up when it is asked)
Certificate: issue -> certificate.prepare (every check, stored) -> certificate.sign (none left, stored)
Decision:    propose -> approve by another officer -> at once visible in verification
"""

import secrets
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from keys.custody import Custody
from registry.answers import AnswerLog, Recall, recall
from registry.awarding import Awarding, check_free
from registry.catalogue.adoption import REFERENCE, STREAM, adopt
from registry.catalogue.catalogue import load_catalogue
from registry.continuity import Continuity
from registry.conversion import Conversion, Scan, application_in
from registry.errors import BadInput, NotFound, Refused
from registry.folder import Config, Folder
from registry.holders.holder import HOLDERS, Holder, link_identity, rename
from registry.holders.identity import index_key
from registry.holders.person import Identity
from registry.intake.importing import ImportReceipt, import_rows
from registry.issuing import Issuing, Proof, title_in
from registry.log.facts import Fact, Recorded
from registry.log.log import KnownAt, Log
from registry.log.unit import Unit
from registry.paper.application import APPLICATIONS, Application, PaperRules
from registry.paper.application import refuse as refuse_paper
from registry.proof.signers import origin_of
from registry.proof.tlog import TransparencyLog
from registry.register.register import Register
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
        self.log = Log(folder.log, custody.vault(), clock)
        origin, outside = origin_of(self.config.base_url), folder.outside(checkpoints)
        self.tlog = TransparencyLog(folder.tree, origin, self.log.recorder, custody, outside, clock)
        self.continuity = Continuity(self.tlog)
        self.log.gate = self.continuity.require
        self.verifier = Verifier(self.log, lambda: custody.keyring, self.catalogue.authority)
        self.register = Register(folder.register, self.log)
        self.answers = AnswerLog(folder.answers)
        self.issuing = Issuing(self.log, custody, self.catalogue, self.config, self.tlog)
        self.conversion = Conversion(PaperRules(before=self.config.paper_before), folder.evidence)

    @classmethod
    def create(
        cls,
        path: Path,
        passphrase: bytes,
        config: Config,
        clock: Callable[[], datetime] = utc_now,
        checkpoints: Path | None = None,
    ) -> "Registry":
        """Make a data folder: keys, store, reference data. Refuse a folder that holds a registry."""
        folder = Folder(path)
        folder.create(config)
        try:
            custody = Custody.create(folder.keys, passphrase, clock(), organisation=config.organisation)
        except BaseException:
            folder.config.unlink()  # nothing was made, so that it can be tried again
            raise
        registry = cls(folder, custody, clock, checkpoints)
        registry.log.transact(
            lambda unit: unit.record(REFERENCE, STREAM, adopt(registry.catalogue, unit.state(REFERENCE, STREAM))),
            actor="system",
        )
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
        return cls(folder, Custody.open(folder.keys, passphrase), clock, checkpoints)

    def close(self) -> None:
        """Close the files of this thread."""
        self.answers.close()
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
        return self.log.transact(lambda unit: Awarding(unit).award(command)[0], actor=officer)

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
        return import_rows(
            self.log,
            path,
            authority=authority,
            document=document,
            officer=officer,
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
            self._record(unit, title, facts)
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
            facts = decisions.approve(title, proposal, officer=officer, digest=digest, now=unit.now)
            return self._record(unit, title, facts)

        return self.log.transact(body, actor=officer, cause=proposal)

    def refuse(self, proposal: str, reason: str, *, officer: str) -> Title:
        """Close a proposal without effect."""
        stream, salt = proposal.partition(".")[0], secrets.token_hex(16)

        def body(unit: Unit) -> Title:
            return unit.record(TITLES, stream, decisions.refuse(title_in(unit, stream), proposal, reason, salt=salt))

        return self.log.transact(body, actor=officer, cause=proposal)

    # holders

    def rename_holder(
        self, stream: str, name: str, *, basis: str, document_no: str, effective_on: date, officer: str
    ) -> Holder:
        """Change ("change") or correct ("correction") a holder's name by a document; certificates follow on request."""
        if basis not in ("change", "correction") or not name.strip() or not document_no.strip():
            raise BadInput("改名须写明新姓名、依据（change 或 correction）和文号", fix="补全后重试")

        def body(unit: Unit) -> Holder:
            holder = unit.state(HOLDERS, stream)
            if holder is None:
                raise NotFound(f"没有持证人 {stream}", fix="核对")
            return unit.record(HOLDERS, stream, rename(holder, name.strip(), basis, document_no, effective_on))

        return self.log.transact(body, actor=officer)

    def link_identity(self, stream: str, identity: Identity, *, document_no: str, officer: str) -> Holder:
        """Link a further identity document to a holder. Raise Refused if it is another holder's."""

        def body(unit: Unit) -> Holder:
            other = unit.claimed("identity", unit.blind_index(index_key(identity)))
            if other not in (None, stream):
                raise Refused("该证件号码已属于另一持证人", fix="核对是否同一人；确属同一人的，提交人工合并")
            holder = unit.state(HOLDERS, stream)
            if holder is None:
                raise NotFound(f"没有持证人 {stream}", fix="核对")
            return unit.record(HOLDERS, stream, link_identity(holder, identity, document_no))

        return self.log.transact(body, actor=officer)

    # paper certificates

    def submit_paper(
        self, command: AwardTitle, issued_on: date | None, scans: Sequence[Scan], *, officer: str
    ) -> Application:
        """Apply to turn a paper certificate into an electronic one; the same application again changes nothing."""
        self.catalogue.authority(command.authority)
        stream = self.log.transact(lambda unit: self.conversion.submit(unit, command, issued_on, scans), actor=officer)
        return self.application(stream)

    def application(self, stream: str) -> Application:
        """One application, folded from the log. Raise NotFound."""
        found = self.log.load(APPLICATIONS, stream)
        if found is None:
            raise NotFound(f"没有申请 {stream}", fix="核对申请编号")
        return found

    def approve_paper(self, stream: str, digest: str, *, officer: str) -> Application:
        """Approve as a second officer: matched with the award if there is one, else the title is awarded by it."""
        return self.log.transact(
            lambda unit: self.conversion.approve(unit, stream, officer=officer, digest=digest),
            actor=officer,
            cause=stream,
        )

    def refuse_paper(self, stream: str, reason: str, *, officer: str) -> Application:
        """Refuse an application, with a reason."""
        salt = secrets.token_hex(16)

        def body(unit: Unit) -> Application:
            return unit.record(APPLICATIONS, stream, refuse_paper(application_in(unit, stream), reason, salt=salt))

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
