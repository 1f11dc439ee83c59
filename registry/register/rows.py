"""The rows of the register, as pure functions of folded states: the same for live, rebuild and replay.

Rows hold names in clear; the register is a file of its own that can be destroyed and rebuilt. No identity number is
in it: exact identity is looked up by blind index in the log.
"""

from datetime import date
from functools import lru_cache

import msgspec

from registry.holders.holder import Holder
from registry.paper.application import Application
from registry.terms import civil_date
from registry.titles.state import Title


class TitleRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One title in the register. `status` is that on `as_of` (None: by the last decision), `status_from` its day."""

    title: str
    holder: str
    number: str
    authority: str
    series: str
    specialty: str
    level: str
    title_name: str
    obtained: str
    committee: str
    approval_document: str
    awarded_on: str
    year: int
    status: str
    status_from: str | None
    from_paper: bool
    certificate: str | None
    version: int
    issued_on: str | None
    open_proposals: int


class NameRow(msgspec.Struct, frozen=True, gc=False):
    """One name of a holder, current or former, with its pinyin and initials for searching."""

    holder: str
    name: str
    pinyin: str
    initials: str
    current: bool


class ProposalRow(msgspec.Struct, frozen=True, gc=False):
    """An open proposal, waiting for a second officer."""

    proposal: str
    title: str
    kind: str
    effective_on: str
    document_no: str
    proposed_by: str
    proposed_at: str
    digest: str


class PaperRow(msgspec.Struct, frozen=True, gc=False):
    """An application to convert a paper certificate."""

    application: str
    holder: str
    authority: str
    number: str
    title_name: str
    state: str
    submitted_by: str
    submitted_at: str
    digest: str
    title: str | None


def title_row(title: Title, as_of: date | None = None) -> TitleRow:
    """The row of a title as it stands on a date."""
    status, _ = title.standing(as_of)
    award, newest = title.award, title.certificate()
    return TitleRow(
        title=title.id,
        holder=title.holder,
        number=award.number,
        authority=award.authority,
        series=award.series,
        specialty=award.specialty,
        level=str(award.level),  # the words alone: SQLite asks a long time what an enum is
        title_name=award.title_name,
        obtained=str(award.obtained),
        committee=award.committee,
        approval_document=award.approval_document,
        awarded_on=award.awarded_on.isoformat(),
        year=award.awarded_on.year,
        status=str(status),
        status_from=_ruling_from(title, as_of) if title.decisions else None,
        from_paper=title.paper is not None,
        certificate=newest.code if newest else None,
        version=newest.version if newest else 0,
        issued_on=civil_date(newest.prepared_at).isoformat() if newest else None,
        open_proposals=len(title.proposals),
    )


def _ruling_from(title: Title, as_of: date | None) -> str | None:
    days = (one.fact.effective_on for one in reversed(title.decisions))
    return next((day.isoformat() for day in days if as_of is None or day <= as_of), None)


def proposal_rows(title: Title) -> list[ProposalRow]:
    """The open proposals of a title."""
    return [
        ProposalRow(
            one.fact.proposal,
            title.id,
            str(one.fact.kind),
            one.fact.effective_on.isoformat(),
            one.fact.document_no,
            one.proposed_by,
            one.proposed_at.isoformat(),
            one.fact.digest,
        )
        for one in title.proposals
    ]


def paper_row(application: Application) -> PaperRow:
    """The row of an application."""
    fact = application.fact
    return PaperRow(
        application.id,
        fact.holder,
        fact.award.authority,
        fact.award.number,
        fact.award.title_name,
        application.state,
        application.submitted_by,
        application.submitted_at.isoformat(),
        fact.digest,
        application.title,
    )


def name_rows(holder: Holder) -> list[NameRow]:
    """The rows of a holder's names; none when they were erased, whatever a key that came back would open."""
    if holder.erased:
        return []
    current, names = holder.name(), dict.fromkeys(holder.all_names())
    return [NameRow(holder.id, name, *pinyin(name), name == current) for name in names]


def pinyin(name: str) -> tuple[str, str]:
    """The pinyin of a name without tones and blanks, and its initials; other letters in lower case."""
    syllables = [*map(_syllable, name)]
    return "".join(syllables), "".join([one[:1] for one in syllables])


@lru_cache(maxsize=20_000)
def _syllable(character: str) -> str:
    from pypinyin import Style, lazy_pinyin  # 0.2 s and 45 MB, which whoever writes no names is spared

    return "".join(lazy_pinyin(character, style=Style.NORMAL)).lower().strip()
