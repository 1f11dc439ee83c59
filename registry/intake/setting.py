"""What a title in a list must fit: the series, the known titles, and the committees of the yearly plan."""

import difflib
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from registry.catalogue.catalogue import Catalogue
from registry.catalogue.fit import Misfit, check_fit, check_initial_determination
from registry.catalogue.plan import Committee
from registry.intake.cells import Fault, required, text
from registry.intake.table import Cell
from registry.terms import Level, Obtained

_FIELDS = {"level": "level", "title-level": "level", "title": "title_name", "series": "series"}
_SUGGESTIONS = 200  # looking for the nearest name is slow; a list that is wrong throughout needs no more of them
_NEEDS_COMMITTEE = (Obtained.REVIEW, Obtained.EXAM_AND_REVIEW)


class Claimed(NamedTuple):
    """A title as a row claims it."""

    series: str
    title_name: str
    level: Level
    obtained: Obtained
    year: int


class Placed(NamedTuple):
    """The committee as awarded and its row of the plan, if it is in one; and what does not fit, by field."""

    name: str
    key: str | None
    faults: tuple[tuple[str, Fault], ...] = ()


class Setting:
    """The catalogue as one list meets it, with its answers cached: a list repeats few committees and titles."""

    def __init__(self, catalogue: Catalogue, authority: str) -> None:
        self._catalogue, self._authority = catalogue, catalogue.authority(authority)
        self._suggestions = _SUGGESTIONS
        self.series = lru_cache(maxsize=4096, typed=True)(self._series)
        self.level_fits = lru_cache(maxsize=4096)(self._level_fits)
        self.committee = lru_cache(maxsize=4096, typed=True)(self._committee)
        self.fit = lru_cache(maxsize=4096)(self._fit)

    def _series(self, cell: Cell) -> str | Fault:
        """The series as the catalogue names it."""
        value = required(cell)
        if isinstance(value, Fault):
            return value
        if found := self._catalogue.series_named(value):
            return found.name_zh
        near = self._nearest(value, (each.name_zh for each in self._catalogue.series))
        return Fault("series-unknown", f"“{value[:30]}”不是 27 个职称系列之一", near or "按职称系列目录填写系列名称")

    def _level_fits(self, series: str, title_name: str, level: Level) -> Fault | None:
        """A known title of a known series has known levels; an unknown one is not judged."""
        known = {each.level for each in self._catalogue.titles_named(title_name) if each.series == series}
        if not known or level in known:
            return None
        levels = "、".join(each.zh for each in Level if each in known)
        return Fault("title-level", f"“{title_name}”（{series}）是{levels}，不是{level.zh}", "核对级别和资格名称")

    def _committee(self, cell: Cell, obtained: Obtained, year: int | None) -> Committee | str | Fault:
        """The committee of that year's plan; its bare name where the plan need not have it."""
        name = required(cell) if obtained in _NEEDS_COMMITTEE else text(cell)
        if isinstance(name, Fault) or not name or year is None or obtained is Obtained.INITIAL_DETERMINATION:
            return name
        plan = self._catalogue.plan(year)
        found = plan.committee(name, self._authority.code) if plan else self._of_last_year(name, year)
        if found or not plan or obtained is not Obtained.REVIEW:
            return found or name
        near = self._nearest(name, (row.written_name for row in plan.rows if row.kind == "committee"))
        message = f"{year} 年度评审计划（{plan.document_no}）中没有“{name[:60]}”"
        return Fault("committee-unknown", message, near or "按年度评审计划填写评审委员会全称")

    def _of_last_year(self, name: str, year: int) -> Committee | None:
        """Some committees of a plan finish in the next year (annex 1, no. 20)."""
        plan = self._catalogue.plan(year - 1)
        found = plan.committee(name, self._authority.code) if plan else None
        return found if found and found.row.finish_year_effective == year else None

    def _fit(self, cell: Cell, claimed: Claimed) -> Placed:
        """Place a claimed title with its committee; every misfit under the field that it is about."""
        found = self.committee(cell, claimed.obtained, claimed.year)
        if isinstance(found, Committee):
            misfits = check_fit(
                found,
                level=claimed.level,
                authority=self._authority,
                title_name=claimed.title_name,
                series=claimed.series,
            )
            return Placed(_as_awarded(str(cell).strip(), found), found.row.key, _faults(misfits))
        return Placed(found if isinstance(found, str) else "", None, self._initial(claimed))

    def _initial(self, claimed: Claimed) -> tuple[tuple[str, Fault], ...]:
        if claimed.obtained is not Obtained.INITIAL_DETERMINATION or self._catalogue.plan(claimed.year) is None:
            return ()
        return _faults(check_initial_determination(level=claimed.level, authority=self._authority))

    def _nearest(self, name: str, names: Iterable[str]) -> str:
        self._suggestions -= 1
        found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.4) if self._suggestions >= 0 else []
        return f"是否应为“{found[0]}”？请核对" if found else ""


def _faults(misfits: list[Misfit]) -> tuple[tuple[str, Fault], ...]:
    return tuple((_FIELDS.get(m.rule, "committee"), Fault(m.rule, m.message_zh, m.fix_zh)) for m in misfits)


def _as_awarded(written: str, found: Committee) -> str:
    """The name as the list writes it, unless it writes only a number of the plan or the template of all counties."""
    return written if written.endswith("委员会") and "各县" not in written else found.name_zh
