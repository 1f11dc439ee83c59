"""The answer to a verification: a value, never an exception. Public: a masked name, no identity number, no reason."""

from datetime import date, datetime
from typing import Literal

import msgspec

from registry.terms import Level, Obtained, Status


class Step(msgspec.Struct, frozen=True):
    """One numbered step of the check and how it ended."""

    number: int
    name: str
    name_en: str
    outcome: Literal["passed", "failed", "not_done"]
    detail: str = ""


class PublicPaper(msgspec.Struct, frozen=True):
    """The paper certificate that was converted."""

    number: str
    issued_on: date | None
    remark: str


class PublicCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """What anyone may see of a certificate. `name` is masked (张*三)."""

    code: str
    version: int
    latest_version: int
    name: str
    title_name: str
    level: Level
    level_zh: str
    series: str
    specialty: str
    obtained: Obtained
    obtained_zh: str
    number: str
    authority: str
    authority_name: str
    awarded_on: date
    issued_on: date
    paper: PublicPaper | None = None


class PublicDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The decision behind a status: both dates, who decided, which document. Never the private reason."""

    kind: str
    effective_on: date
    recorded_at: datetime
    authority_name: str
    document_no: str
    from_the_start: bool


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer. `as_of` is the effective date asked about, `known_at` the recorded time; None means now."""

    status: Status
    sentence: str
    sentence_en: str
    checked_at: datetime
    log_position: int
    as_of: date | None = None
    known_at: datetime | None = None
    certificate: PublicCertificate | None = None
    decision: PublicDecision | None = None
    steps: tuple[Step, ...] = ()
