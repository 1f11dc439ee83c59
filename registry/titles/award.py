"""The award of a title: the command, as it comes from an approved list or a paper certificate, and the decision."""

from collections.abc import Sequence
from datetime import date

import msgspec

from registry.errors import AlreadyAwarded
from registry.holders.person import Person
from registry.log.facts import Fact, Private
from registry.terms import Level, Obtained
from registry.titles.content import PaperOrigin
from registry.titles.events import PaperMatched, Particulars, TitleAwarded
from registry.titles.state import Title


class AwardTitle(msgspec.Struct, frozen=True, kw_only=True):
    """Award one title to one person. Dates are civil dates of Beijing; the three of them are kept apart."""

    person: Person
    series: str  # 系列, as in the catalogue
    specialty: str  # 专业
    level: Level
    title_name: str  # 资格名称, as awarded
    obtained: Obtained
    committee: str  # 评审委员会, its name as awarded
    committee_key: str | None  # row of the yearly plan, e.g. "A1-1-09"
    approval_document: str  # 批准文号
    awarded_on: date  # 取得资格时间
    published_on: date | None = None  # 公布日期
    issued_on: date | None = None  # 发证日期
    authority: str  # code of the issuing authority, e.g. "331100"
    number: str | None = None  # 证书编号, opaque; None: the registry assigns one
    employer: str | None = None  # 工作单位


def particulars(command: AwardTitle, number: str) -> Particulars:
    """What the command says of the title itself, under this certificate number."""
    return Particulars(
        series=command.series,
        specialty=command.specialty,
        level=command.level,
        title_name=command.title_name,
        obtained=command.obtained,
        committee=command.committee,
        committee_key=command.committee_key,
        approval_document=command.approval_document,
        awarded_on=command.awarded_on,
        published_on=command.published_on,
        issued_on=command.issued_on,
        authority=command.authority,
        number=number,
    )


def award(
    command: AwardTitle,
    holder: str,
    number: str,
    title: Title | None,
    *,
    paper: PaperOrigin | None = None,
    application: str | None = None,
) -> Sequence[Fact]:
    """Award the title once; the same award again is no fact. Raise AlreadyAwarded if it differs.

    The same title is one of the same holder, series, specialty and title name (domain rule "duplicate award").
    """
    wanted = particulars(command, number)
    if title is None:
        employer = Private(command.employer) if command.employer else None
        return [TitleAwarded(holder=holder, award=wanted, employer=employer, paper=paper, application=application)]
    known = (title.awarded, title.award)
    if command.number is None:  # the registry chose the number: one corrected since makes no other award of it
        known = (msgspec.structs.replace(title.awarded, number=number), title.award)
    if title.holder == holder and wanted in known:
        return []
    raise AlreadyAwarded(
        f"该持证人已有同一职称（证书编号 {title.award.number}，{title.award.awarded_on} 取得），内容与本次不同",
        fix="核对编号、日期和文号；登记有误的用更正，确属重复的删去本行",
        title=title.id,
    )


def match_paper(title: Title, paper: PaperOrigin, application: str) -> Sequence[Fact]:
    """Say of a title registered already that this paper is its certificate; said already is no fact."""
    if title.paper == paper:
        return []
    return [PaperMatched(application=application, paper=paper)]
