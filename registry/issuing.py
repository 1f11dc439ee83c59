"""From a title and its holder to a signed certificate: prepare (every check, stored), then sign (none left)."""

import os
from collections.abc import Callable, Sequence
from datetime import date

import msgspec

from keys.custody import Custody
from keys.signing import Purpose
from registry.authorising import Authorising
from registry.catalogue.catalogue import Catalogue
from registry.errors import NotFound, WrongState
from registry.folder import Config
from registry.holders.holder import HOLDERS, Holder
from registry.holders.identity import mask
from registry.log.log import Log
from registry.log.unit import Unit
from registry.masking import mask_name
from registry.permissions import Permission
from registry.proof.tlog import TransparencyLog
from registry.terms import civil_date
from registry.titles.certificate import check_issuable, prepare, sign
from registry.titles.code import draw_code
from registry.titles.content import CertificateContent
from registry.titles.state import TITLES, Certificate, Title

ROTATIONS = 3  # as often may the signing key be replaced while certificates are prepared
Proof = Callable[[CertificateContent], None]


class Issuing(msgspec.Struct, frozen=True):
    """What issuing needs: keys, reference data, and the settings that are printed."""

    log: Log
    custody: Custody
    catalogue: Catalogue
    config: Config
    tlog: TransparencyLog
    authorising: Authorising

    def issue(self, streams: Sequence[str], proof: Proof, *, officer: str) -> list[Certificate]:
        """Issue the certificates of titles: all prepared in one append, then all signed in one.

        Between the two what was prepared enters the transparency log: the token carries its leaf index. In the end
        the signed certificates are in a published checkpoint, too.

        `proof` is the last check before anything is stored; it raises DocumentRefused if a content cannot be set. A
        title whose newest certificate says what is right today gets no new one. Raise WrongState or NotFound.
        """

        def sign_all(unit: Unit) -> None:
            for stream in streams:
                self._sign(unit, stream)

        for _ in range(ROTATIONS):
            kid = self._prepare_all(streams, proof, officer)
            self.tlog.sequence()
            if self.custody.signer(Purpose.E_CERTIFICATE, self.log.clock()).kid == kid:
                break  # else the key was replaced meanwhile: what was prepared for the old one is prepared anew
        self.log.transact(sign_all, actor=officer, long=True)
        self.tlog.sequence()
        return [self._newest(stream) for stream in streams]

    def _prepare_all(self, streams: Sequence[str], proof: Proof, officer: str) -> str:
        """Prepare each title's certificate for the key in force; return its id."""
        now = self.log.clock()
        kid = self.custody.signer(Purpose.E_CERTIFICATE, now).kid

        def body(unit: Unit) -> None:
            for stream in streams:
                authority = title_in(unit, stream).award.authority
                self.authorising.require(officer, Permission.ISSUE, authority)
                self._prepare(unit, stream, proof, kid, civil_date(now))

        self.log.transact(body, actor=officer, long=True)
        return kid

    def _prepare(self, unit: Unit, stream: str, proof: Proof, kid: str, today: date) -> None:
        title = title_in(unit, stream)
        check_issuable(title, today)
        holder = unit.state(HOLDERS, title.holder)
        if holder is None:
            raise NotFound(f"没有持证人 {title.holder}", fix="核对")
        if holder.erased:
            raise WrongState("持证人的个人信息已删除，不能再签发证书", fix="已发出的证书仍可核验")
        content = self._content(title, holder, today)
        facts = prepare(title, content, kid, today, is_void=self._is_void(title))
        if facts:
            proof(content)
        unit.record(TITLES, stream, facts)

    def _is_void(self, title: Title) -> bool:
        """Whether the newest certificate was signed by a key that was compromised before."""
        newest = title.certificates[-1] if title.certificates else None
        if newest is None or newest.signature is None:
            return False
        leaf = newest.leaf if newest.leaf is not None else newest.prepared_position - 1
        return not self.custody.keyring.record(newest.kid).counts(leaf)

    def _newest(self, stream: str) -> Certificate:
        title = self.log.load(TITLES, stream)
        if title is None:
            raise NotFound(f"没有职称 {stream}", fix="核对编号")
        return title.certificates[-1]

    def _sign(self, unit: Unit, stream: str) -> None:
        prepared = title_in(unit, stream).certificates[-1]
        leaf = self.tlog.index_of(prepared.prepared_position)
        signer = self.custody.signer(Purpose.E_CERTIFICATE, unit.now)
        unit.record(TITLES, stream, sign(prepared, leaf, signer, self.custody.keyring))

    def _content(self, title: Title, holder: Holder, today: date) -> CertificateContent:
        """Everything that will be printed: the name in force today, the title name as it was awarded."""
        award, person = title.award, holder.person.reveal()
        name, version = holder.name(today) or person.name, len(title.certificates) + 1
        return CertificateContent(
            code=draw_code(os.urandom),
            version=version,
            base_url=self.config.base_url,
            authority=award.authority,
            authority_name=self.catalogue.authority(award.authority).name_zh,
            number=award.number,
            name=name,
            sex=person.sex,
            born_month=person.born.strftime("%Y-%m") if person.born else None,
            identity_masked=mask(person.identity),
            series=award.series,
            specialty=award.specialty,
            level=award.level,
            title_name=award.title_name,
            obtained=award.obtained,
            committee=award.committee,
            awarded_on=award.awarded_on,
            approval_document=award.approval_document,
            issued_on=today,
            paper=title.paper,
            remarks=(f"第 {version} 版，此前版本已换发为本证书。",) if version > 1 else (),
            sample=self.config.sample,
            name_masked=mask_name(name),
        )


def title_in(unit: Unit, stream: str) -> Title:
    """The title in a unit. Raise NotFound."""
    title = unit.state(TITLES, stream)
    if title is None:
        raise NotFound(f"没有职称 {stream}", fix="核对编号")
    return title
