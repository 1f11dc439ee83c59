"""Reference data and its loader: title series, codes, authorities and yearly plans, with one digest over all files."""

import hashlib
import re
from functools import cache
from importlib import resources

import msgspec

from registry.catalogue.authorities import Authority, AuthorityFile
from registry.catalogue.meanings import Meanings
from registry.catalogue.plan import Plan, PlanFile, PlanRow
from registry.catalogue.series import CodeFile, CodeGroup, CompactFile, FormerTitle, Series, SeriesFile, TitleMeaning
from registry.catalogue.words import folded
from registry.errors import NotFound

# A title cell that ends so names a level (群众文化专业中级), not a title.
_LEVEL_ENDINGS = ("高级", "副高", "中级", "初级", "职称", "职务")


class Catalogue:
    """All reference data. `files` are the bytes as delivered, by name; `digest` identifies them together.

    The digest is the SHA-256 of the listing `sha256sum` prints for the files in order of name.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = dict(sorted(files.items()))
        self.digest = _digest(self.files)
        series = msgspec.json.decode(files["title_series.json"], type=SeriesFile)
        codes = msgspec.json.decode(files["gbt8561.json"], type=CodeFile)
        compact = msgspec.json.decode(files["compact_titles.json"], type=CompactFile)
        self.authorities: tuple[Authority, ...] = msgspec.json.decode(
            files["authorities.json"], type=AuthorityFile
        ).authorities
        self.series: tuple[Series, ...] = series.series
        self.former_titles: tuple[FormerTitle, ...] = series.legacy_titles
        self.code_groups: tuple[CodeGroup, ...] = codes.groups
        self._meanings = Meanings(series, codes, compact)
        self._authorities = {each.code: each for each in self.authorities}
        self._series = {folded(each.name_zh): each for each in self.series}
        self._plans = {
            plan.year: plan for name in self.files if name.startswith("plan-") for plan in [self._plan(name)]
        }

    def authority(self, code: str) -> Authority:
        """The bureau with this code. Raises NotFound."""
        if code not in self._authorities:
            raise NotFound(
                f"没有代码为“{code}”的发证机关",
                fix="请填写丽水市（331100）或所属县（市、区）的6位代码：" + "、".join(self._authorities),
            )
        return self._authorities[code]

    @property
    def root(self) -> Authority:
        """The authority above all others: the city's."""
        return next(each for each in self.authorities if each.parent is None)

    def series_named(self, name_zh: str) -> Series | None:
        """The series of this name, also with 系列 behind it; None if it is not one of the 27."""
        name = folded(name_zh)
        return self._series.get(name) or self._series.get(name.removesuffix("系列"))

    def titles_named(self, title_name: str) -> list[TitleMeaning]:
        """Every (series, track, level) that a title name can mean, today's names and former ones; empty if unknown."""
        return self._meanings.of(title_name)

    @property
    def plans(self) -> tuple[Plan, ...]:
        """Every yearly plan, oldest first."""
        return tuple(self._plans[year] for year in sorted(self._plans))

    def plan(self, year: int) -> Plan | None:
        """The review plan of the year, or None."""
        return self._plans.get(year)

    def _plan(self, name: str) -> Plan:
        file = msgspec.json.decode(self.files[name], type=PlanFile)
        year = re.search(r"([0-9]{4})年度", file.source.annex)
        if year is None:
            raise ValueError(f"{name} does not say which year it plans")
        titles = {row.key: self._titles(row) for row in file.rows if row.kind == "committee"}
        return Plan(int(year[1]), file.source.doc_no, file.source.issued, file.rows, self.authorities, titles)

    def _titles(self, row: PlanRow) -> frozenset[str]:
        concrete = [title for title in row.titles_awarded if not title.endswith(_LEVEL_ENDINGS)]
        return frozenset[str]().union(*(self._meanings.names_meant(title, row.levels) for title in concrete))


@cache
def load_catalogue() -> Catalogue:
    """The catalogue that comes with the package; read once."""
    folder = resources.files("registry.catalogue") / "data"
    return Catalogue({each.name: each.read_bytes() for each in folder.iterdir() if each.name.endswith(".json")})


def _digest(files: dict[str, bytes]) -> str:
    listing = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    return hashlib.sha256(listing.encode()).hexdigest()
