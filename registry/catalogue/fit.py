"""Does an award fit the committee that the yearly plan lists (annex 1)? Findings are values; the caller refuses."""

from collections.abc import Iterator

import msgspec

from registry.catalogue.authorities import CITY, Authority
from registry.catalogue.catalogue import load_catalogue
from registry.catalogue.plan import Committee
from registry.catalogue.words import folded
from registry.terms import Level

_NO_AWARD = {
    "provincial_recommendation": (
        "“{name}”列在计划第二部分：本市只审核推荐，由省高（中）评委评审，本市不授予",
        "请从本名单删去；省里评审通过的，以省级公布文件为准",
    ),
    "initial_determination": (
        "“{name}”是大中专毕业生初定，不是评审委员会",
        "初定取得的，取得方式请填“初定”，不填评审委员会",
    ),
}


class Misfit(msgspec.Struct, frozen=True):
    """One way in which an award does not fit. `rule` is stable: not-a-committee, recommend-only, level, authority,
    title, title-level, series."""

    rule: str
    message_zh: str
    fix_zh: str


def check_fit(
    committee: Committee, *, level: Level, authority: Authority, title_name: str, series: str
) -> list[Misfit]:
    """Every misfit of an award by this committee; empty if it fits. Source: annex 1 and the notice 二·三.

    Who may apply (the plan's `serves`) is not judged here: it needs the person's employer.
    """
    row = committee.row
    if row.kind in _NO_AWARD:
        message, fix = _NO_AWARD[row.kind]
        return [Misfit("not-a-committee", message.format(name=row.written_name), fix)]
    if row.recommends_only:
        message = f"{committee.name_zh}（计划序号{row.no}）只推荐，不授予职称：“{row.titles_raw}”"
        return [Misfit("recommend-only", message, "请填写授予该职称的高评委；推荐不是取得资格")]
    return [
        *_level(committee, level),
        *_authority(committee, authority),
        *_title(committee, title_name),
        *_title_level(level, title_name, series),
        *_series(committee, series),
    ]


def check_initial_determination(*, level: Level, authority: Authority) -> list[Misfit]:
    """Misfits of an 初定 (plan, section 3): never senior; 中级 is the city's for the counties too, 初级 each its own.

    That a county determines its own 初级 is inferred: the row serves 市本级 only for 初级.
    """
    if level in (Level.SENIOR_FULL, Level.SENIOR_ASSOCIATE):
        return [Misfit("level", f"初定只有中级和初级，没有{level.zh}", "请核对级别，或把取得方式改为“评审”")]
    if level is Level.INTERMEDIATE and authority.seat == "county":
        message = f"各县（市、区）的初定中级由市人力社保局办理，不是{authority.name_zh}"
        return [Misfit("authority", message, f"发证机关请填 {CITY}")]
    return []


def _level(committee: Committee, level: Level) -> Iterator[Misfit]:
    if level not in committee.row.levels:
        awarded = "、".join(each.zh for each in committee.row.levels)
        only = "只推荐" if level.zh in committee.row.recommend_levels_inferred else "不授予"
        message = f"{committee.name_zh}授予{awarded}，{only}{level.zh}"
        yield Misfit("level", message, "请核对级别和评审委员会，与年度评审计划一致")


def _authority(committee: Committee, authority: Authority) -> Iterator[Misfit]:
    if committee.seat == authority.code:
        return
    if committee.seat is None:
        message = f"“{committee.name_zh}”指各县自己的评审委员会，看不出是哪个县（市、区）的"
        yield Misfit("authority", message, "请写明县（市、区）名，并以该县（市、区）人力社保局为发证机关")
        return
    right = load_catalogue().authority(committee.seat)
    message = f"{committee.name_zh}的评审结果由{right.name_zh}发文公布，不是{authority.name_zh}"
    yield Misfit("authority", message, f"发证机关请填 {right.code}，或核对评审委员会")


def _title(committee: Committee, title_name: str) -> Iterator[Misfit]:
    if committee.titles and folded(title_name) not in committee.titles:
        message = f"{committee.name_zh}不授予“{title_name}”，计划所列资格为“{committee.row.titles_raw}”"
        yield Misfit("title", message, "请核对资格名称和评审委员会，与年度评审计划一致")


def _title_level(level: Level, title_name: str, series: str) -> Iterator[Misfit]:
    meanings = load_catalogue().titles_named(title_name)
    named = load_catalogue().series_named(series)
    within = [each for each in meanings if named and each.series == named.name_zh] or meanings
    if within and level not in {each.level for each in within}:
        levels = "、".join(sorted({each.level.zh for each in within}))
        yield Misfit("title-level", f"“{title_name}”是{levels}，不是{level.zh}", "请核对资格名称和级别")


def _series(committee: Committee, series: str) -> Iterator[Misfit]:
    """Only a known series is judged, and only against all series that the committee's titles can belong to."""
    named = load_catalogue().series_named(series)
    possible = {each.series for title in committee.titles for each in load_catalogue().titles_named(title)}
    if named and possible and named.name_zh not in possible:
        message = f"{committee.name_zh}所评资格不属于“{named.name_zh}”系列，而属于{'、'.join(sorted(possible))}"
        yield Misfit("series", message, "请核对系列和评审委员会")
