"""What an employer is told. Answers are values; it folds ONE title stream and reads no projection.

The steps, numbered as in the answer:
 (1) the code, or the token's signature over its claims, holds
 (2) the code is registered
 (3) the record of the title is read from the log
 (4) the certificate was signed, a token shown is that very certificate, and its key was not compromised by then
 (5) how the title stands on the date asked about, as known at the time asked about
 (6) whether this is the newest version
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from keys.cose import verify1
from keys.errors import KeysError, UnknownKey
from keys.keyring import Keyring
from keys.signing import KeyState
from registry.catalogue.authorities import Authority
from registry.errors import BadCode, BadInput
from registry.log.facts import Recorded
from registry.log.kind import Found
from registry.log.log import KnownAt, Log, as_known
from registry.masking import mask_name
from registry.terms import Status, civil_date
from registry.titles.answer import Answer, PublicCertificate, PublicDecision, PublicPaper, Step
from registry.titles.certificate import PAPER_REMARK
from registry.titles.code import parse_code
from registry.titles.content import CertificateContent
from registry.titles.events import CertificatePrepared
from registry.titles.state import Certificate, Decision, Title, evolve
from registry.titles.token import TYP, assemble, read

STEPS = (
    ("查验码或签名", "Code or signature"),
    ("查验码已登记", "Code is registered"),
    ("读取登记记录", "Record read from the log"),
    ("证书已签发", "Certificate was signed"),
    ("当前状态", "Standing"),
    ("最新版本", "Newest version"),
)
# One answer for malformed and unknown codes: it must not tell which of the two it was.
NOT_FOUND = (Step(1, "查验码正确且已登记", "Code is well formed and registered", "failed"),)
SENTENCES = {
    Status.VALID: ("证书真实，核验时处于有效状态。", "The certificate is genuine and valid at the time of the check."),
    Status.REVOKED: (
        "曾经发放，现已撤销。不能再作为有效证书使用。",
        "It was issued and has been revoked. It can no longer be used.",
    ),
    Status.INVALIDATED: ("曾经发放，现已注销（无过错）。", "It was issued and has been closed, without fault."),
    Status.SUPERSEDED: (
        "证书真实，但已换发新版。请以新版证书为准。",
        "The certificate is genuine, but a newer version of it exists.",
    ),
    Status.SUSPENDED: ("证书真实，现已暂停使用。", "The certificate is genuine and suspended for now."),
    Status.NOT_YET_EFFECTIVE: ("证书真实，但在所查日期尚未生效。", "Genuine, but not yet effective on that date."),
    Status.TAMPERED: (
        "文件或二维码与签发时的内容不一致。请勿采信。",
        "The file or code does not match what was issued. Do not rely on it.",
    ),
    Status.UNKNOWN: (
        "没有查到这个查验码。未查到不等于假证。",
        "This code was not found. Not found does not mean forged.",
    ),
    Status.LINK_EXPIRED: ("链接已失效，请持证人重新生成。", "This link has expired. Ask the holder for a new one."),
    Status.UNREADABLE: ("无法识别，不是本系统签发的证书文件或二维码。", "Not a certificate or code of this registry."),
    Status.UNAVAILABLE: (
        "系统没有得到结果。这不表示证书有问题。",
        "It could not be checked. This says nothing about the certificate.",
    ),
    Status.OFFLINE: (
        "签名真实，但未联网核对现时状态。可能已撤销或换发。",
        "The signature is genuine; the present status was not checked.",
    ),
}
ERASED_NAME = "（已删除）"  # no name can be so: brackets are in none
ERASED = (
    "持证人的个人信息已依法删除，姓名不再显示；职称的登记不受影响。",
    "The holder's personal data were erased by law; the record of the title stands.",
)
NO_CODE = "0" * 17  # looked up for a malformed code, so that it costs what an unknown one costs


class Verifier:
    """Answers for codes and tokens over one log. `keyring` gives the keys of now; `authority_of` names an authority."""

    def __init__(self, log: Log, keyring: Callable[[], Keyring], authority_of: Callable[[str], Authority]) -> None:
        self.log, self.keyring, self.authority_of = log, keyring, authority_of

    def find(self, texts: Sequence[str]) -> list[Found]:
        """What the log holds under each of these verification codes, in one read. Raise Unavailable."""
        return self._look_up([_code(text)[:16] for text in texts])

    def check(
        self, text: str, found: Found | None = None, *, as_of: date | None = None, known_at: KnownAt | None = None
    ) -> Answer:
        """Answer for a verification code; malformed and unknown codes get the same answer.

        `found` is what `find` has found under it a moment ago; None: it is looked up now. Asked by a log position, the
        answer rests on the log up to there, and its `known_at` is the time of that event.

        Raise Unavailable or CorruptHistory when it could not be checked; a door must not let that look like a verdict.
        """
        code = _code(text)
        return self._judge(code, found or self._look_up([code[:16]])[0], as_of, known_at)

    def check_token(self, token: bytes, *, as_of: date | None = None, known_at: KnownAt | None = None) -> Answer:
        """Answer for a token: the signature first, then the certificate it names in the log."""
        try:
            claims = read(self.keyring(), token)  # (1)
        except KeysError as error:
            head, known = self._known(self.log.head(), known_at)
            return self._answer(Status.TAMPERED, head, as_of, known, _steps(1, failed=error.code))
        except BadInput:
            head, known = self._known(self.log.head(), known_at)
            return self._answer(Status.UNREADABLE, head, as_of, known, ())
        return self._judge(claims.code16, self._look_up([claims.code16])[0], as_of, known_at, token)

    def _look_up(self, bodies: Sequence[str]) -> list[Found]:
        """What the log holds under codes without their check character."""
        return self.log.find("code", bodies)  # (2)

    def _judge(
        self,
        code: str,
        registered: Found,
        as_of: date | None,
        known_at: KnownAt | None,
        token: bytes | None = None,
    ) -> Answer:
        head, known = self._known(registered.head, known_at)
        events, wrapped = registered.events(), registered.wrapped  # (3)
        title = _fold(as_known(events, known_at))
        found = _version_of(title, code) if title else None
        if title is None or found is None or found.signature is None:
            if token is not None and known_at is None and (lost := self._stolen(_kid(self.keyring(), token))):
                return self._answer(Status.TAMPERED, head, as_of, known, _steps(2, failed=lost))
            return self._answer(Status.UNKNOWN, head, as_of, known, NOT_FOUND)
        if token is not None and _differs(token, found, self._content(events, found, wrapped)):  # (4)
            return self._answer(Status.TAMPERED, head, as_of, known, _DIFFERS)
        if lost := self._stolen(found.kid, found):
            return self._answer(Status.TAMPERED, head, as_of, known, _steps(4, failed=lost))
        status, decision = title.standing(as_of or civil_date(known or self.log.clock()))  # (5)
        newest = title.certificate() or found
        if status is Status.VALID and (newest.version > found.version or found.outdated):  # (6)
            status = Status.SUPERSEDED
        shown = newest if status is Status.SUPERSEDED else found
        content = self._content(events, shown, wrapped)
        return self._answer(
            status,
            head,
            as_of,
            known,
            _STANDING[status] if content else _without_person(_STANDING[status]),
            self._certificate(title, found, shown, newest, content),
            self._decision(title, decision),
        )

    def _stolen(self, kid: str, found: Certificate | None = None) -> str | None:
        """Since when its key is compromised, in words, for a certificate that does not count by that; None if it does.

        A signature of a compromised key counts for a leaf before the position from which it is compromised, and
        without a certificate in the log for nothing. It is judged by what is known of the key now.
        """
        try:
            record = self.keyring().record(kid)
        except UnknownKey:
            return None
        if found is not None and record.counts(found.leaf if found.leaf is not None else found.prepared_position - 1):
            return None
        if record.state is not KeyState.COMPROMISED:
            return None
        since = record.compromised_from or 0
        return (
            f"签名密钥 {kid} 自日志位置 {since} 起已泄露，其后的签名不算数 / key compromised from log position {since}"
        )

    def _known(self, head: int, known_at: KnownAt | None) -> tuple[int, datetime | None]:
        """The position that an answer rests on, and the recorded time that it is as known at."""
        return (min(head, known_at) if isinstance(known_at, int) else head), self.log.moment(known_at)

    def _content(
        self, events: Sequence[Recorded[Any]], certificate: Certificate, wrapped: bytes | None
    ) -> CertificateContent | None:
        """What that version says. Only this box is opened; None when the holder's data key was destroyed."""
        for event in events:
            if isinstance(event.fact, CertificatePrepared) and event.fact.version == certificate.version:
                content: CertificateContent | None = self.log.opened(event, "content", wrapped)
                return content
        return None

    def _answer(
        self,
        status: Status,
        head: int,
        as_of: date | None,
        known_at: datetime | None,
        steps: tuple[Step, ...],
        certificate: PublicCertificate | None = None,
        decision: PublicDecision | None = None,
    ) -> Answer:
        zh, en = SENTENCES[status]
        erased = certificate is not None and certificate.name == ERASED_NAME
        return Answer(
            status=status,
            sentence=zh + ERASED[0] if erased else zh,
            sentence_en=f"{en} {ERASED[1]}" if erased else en,
            checked_at=self.log.clock(),
            log_position=head,
            as_of=as_of,
            known_at=known_at,
            certificate=certificate,
            decision=decision,
            steps=steps,
        )

    def _certificate(
        self,
        title: Title,
        found: Certificate,
        shown: Certificate,
        newest: Certificate,
        content: CertificateContent | None,
    ) -> PublicCertificate:
        award, origin = title.award, title.paper
        paper = PublicPaper(origin.number, origin.issued_on, PAPER_REMARK) if origin else None
        return PublicCertificate(
            code=found.code,
            version=found.version,
            latest_version=newest.version,
            name=(content.name_masked or mask_name(content.name)) if content else ERASED_NAME,
            title_name=award.title_name,
            level=award.level,
            level_zh=award.level.zh,
            series=award.series,
            specialty=award.specialty,
            obtained=award.obtained,
            obtained_zh=award.obtained.zh,
            number=award.number,
            authority=award.authority,
            authority_name=self.authority_of(award.authority).name_zh,
            awarded_on=award.awarded_on,
            issued_on=civil_date(shown.prepared_at),
            paper=paper,
        )

    def _decision(self, title: Title, decision: Decision | None) -> PublicDecision | None:
        if decision is None:
            return None
        return PublicDecision(
            kind=decision.status,
            effective_on=decision.fact.effective_on,
            recorded_at=decision.recorded_at,
            authority_name=self.authority_of(decision.fact.authority).name_zh,
            document_no=decision.fact.document_no,
            from_the_start=decision.fact.effective_on <= title.award.awarded_on,
        )


def _code(text: str) -> str:
    try:
        return parse_code(text)
    except BadCode:
        return NO_CODE


def _fold(events: Iterable[Recorded[Any]]) -> Title | None:
    title: Title | None = None
    for event in events:
        title = evolve(title, event)
    return title


def _kid(keyring: Keyring, token: bytes) -> str:
    return verify1(keyring, TYP, token).kid


def _version_of(title: Title, code: str) -> Certificate | None:
    return next((one for one in title.certificates if one.code[:16] == code[:16]), None)


def _differs(token: bytes, found: Certificate, content: CertificateContent | None) -> bool:
    """Whether a token that verifies is not that of the record. What was erased is known by its signature alone."""
    assert found.signature is not None
    if content is None:
        return token[-64:] != found.signature
    return assemble(content, found.kid, found.signature, found.leaf) != token


def _steps(last: int, *, failed: str | None = None, standing: Status | None = None) -> tuple[Step, ...]:
    """The steps up to `last`; with `failed` the last one failed and the rest was not done."""
    steps = []
    for number, (name, name_en) in enumerate(STEPS, 1):
        outcome = "passed" if number < last or (number == last and failed is None) else "not_done"
        detail = ""
        if number == last and failed is not None:
            outcome, detail = "failed", failed
        elif standing is not None and number == 5:
            outcome, detail = ("passed" if standing in (Status.VALID, Status.SUPERSEDED) else "failed"), standing.zh
        elif standing is Status.SUPERSEDED and number == 6:
            outcome = "failed"
        steps.append(Step(number, name, name_en, outcome, detail))  # type: ignore[arg-type]
    return tuple(steps)


def _without_person(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The same, saying where the record is read that the person's data are no longer in it."""
    third = msgspec.structs.replace(steps[2], detail="personal data erased")
    return (*steps[:2], third, *steps[3:])


_DIFFERS = _steps(4, failed="token differs from the record")
_STANDING = {status: _steps(6, standing=status) for status in Status}
