"""The yearly review plan (年度职称评审计划, annex 1 of the notice): its rows, and its committees by name."""

from datetime import date
from functools import cached_property
from typing import Literal

import msgspec

from registry.catalogue.authorities import CITY, Authority
from registry.catalogue.words import folded, levels_of
from registry.terms import Level

_TEMPLATE = "各县（市、区）"


class PlanRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row of the plan. What is verbatim, parsed or inferred is listed in the file's `field_status`."""

    section: Literal[1, 2, 3]
    no: int
    key: str
    kind: Literal["committee", "provincial_recommendation", "initial_determination"]
    committee_name: str | None
    committee_grade: Literal["中级", "高级"] | None
    host_level: Literal["city", "county", "province"]
    supervising_level: Literal["city"] | None = None
    is_county_template: bool
    titles_raw: str
    titles_awarded: tuple[str, ...]
    award_levels: tuple[str, ...]
    titles_recommended: tuple[str, ...]
    recommend_levels_inferred: tuple[str, ...]
    awards: bool
    recommends: bool
    recommends_only: bool
    start_raw: str | None
    start_month: int | None
    finish_raw: str
    finish_month: int | None
    finish_months: tuple[int, ...] = ()
    finish_year_stated: int | None
    finish_year_effective: int | None
    finish_year_ambiguous: bool
    recurring: bool = False
    office: str
    phone: str | None
    phone_stated: bool
    serves: str
    autonomous_units_excluded: bool
    notes: tuple[str, ...]

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels awarded under this row; 初级 is 助理级 and 员级."""
        return tuple(level for word in self.award_levels for level in levels_of(word))

    @property
    def written_name(self) -> str:
        """The committee's name; sections 2 and 3 have none, there it is the title cell."""
        return self.committee_name or self.titles_raw


class PlanSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The notice that the plan is an annex of."""

    file: str
    title: str
    doc_no: str
    issued: date
    annex: str


class PlanFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file plan-YEAR.json, with its proof and the status of every field."""

    source: PlanSource
    verification: str
    sections: dict[str, str]
    columns: dict[str, tuple[str, ...]]
    field_status: dict[str, tuple[str, ...]]
    counts: dict[str, int]
    rows: tuple[PlanRow, ...]


class Committee(msgspec.Struct, frozen=True):
    """A row of the plan as somebody named it.

    `name_zh` has the county's name in place of 各县（市、区）. `seat` is the authority that publishes its awards: the
    city, or the county for its own committee (notice 二·三); None for a template that names no county, and for rows
    that are no committee. `titles` are the title names it awards, folded; empty where the plan names levels only.
    """

    row: PlanRow
    name_zh: str
    seat: str | None
    titles: frozenset[str]


class Plan(msgspec.Struct, frozen=True, dict=True):
    """The plan of one year. `titles` gives the accepted title names by row key, `authorities` the counties' names."""

    year: int
    document_no: str
    issued_on: date
    rows: tuple[PlanRow, ...]
    authorities: tuple[Authority, ...]
    titles: dict[str, frozenset[str]]

    def committee(self, name: str, authority: str) -> Committee | None:
        """Find a committee by name, by key (A1-1-09) or by its number in section 1 (9); None if there is none.

        Blanks and the width of brackets do not matter; 市… may be written 丽水市…; a county's own name may stand in
        place of 各县（市、区）. Without it, a template is that of `authority`, if that is a county.
        """
        row, county = self._index.get(folded(name).upper(), (None, None))
        if row is None:
            return None
        seat = self._seat(row, county or authority)
        return Committee(row, self._name(row, seat), seat, self.titles.get(row.key, frozenset()))

    def _seat(self, row: PlanRow, county: str) -> str | None:
        if row.kind != "committee":
            return None
        if row.is_county_template:
            return county if county in self._counties else None
        return CITY

    def _name(self, row: PlanRow, seat: str | None) -> str:
        if row.is_county_template and seat:
            return row.written_name.replace(_TEMPLATE, self._counties[seat].places[0])
        return row.written_name

    @cached_property
    def _counties(self) -> dict[str, Authority]:
        return {each.code: each for each in self.authorities if each.seat == "county"}

    @cached_property
    def _index(self) -> dict[str, tuple[PlanRow, str | None]]:
        index: dict[str, tuple[PlanRow, str | None]] = {}
        for row in self.rows:
            index |= {folded(name).upper(): (row, None) for name in _written(row)}
            if row.is_county_template:
                index |= {name: (row, county) for name, county in self._in_counties(row)}
        return index

    def _in_counties(self, row: PlanRow) -> list[tuple[str, str]]:
        return [
            (folded(before + row.written_name.replace(_TEMPLATE, place)).upper(), county.code)
            for county in self._counties.values()
            for place in county.places
            for before in ("", "丽水市")
        ]


def _written(row: PlanRow) -> list[str]:
    names = [row.written_name, row.key]
    if row.section == 1:
        names.append(str(row.no))
    if row.section == 1 and row.written_name.startswith("市"):
        names.append("丽水" + row.written_name)
    return names
