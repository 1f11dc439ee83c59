"""The 27 title series with their level names, names of former times, and the codes of GB/T 8561-2001.

Identity of a title is (series, track, level): one name can mean several, and a level is never derived from a name.
The sources date no name, so there is no "name valid on a day": a certificate keeps the name as awarded.
A field that is not declared here is an error, so nothing in a file is dropped unseen.
"""

import msgspec

from registry.terms import Level


class Track(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a series: the title name at each level word (正高级 to 员级), None where there is none."""

    track: str
    titles: dict[str, str | None]
    provenance: str

    def name_at(self, level: Level) -> str | None:
        """The title name at this level; the artists' contain `{专业}`."""
        return self.titles[level.zh]


class Series(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """系列: one of the 27 national title series."""

    no: int
    name_zh: str
    name_en: str
    tracks: tuple[Track, ...]


class FormerTitle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A title name before a reform, its level then, and the name that replaced it."""

    old: str
    level: str
    now: str
    source: str


class LevelWord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A level as the series file numbers it."""

    code: str
    zh: str
    en: str


class SeriesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file title_series.json."""

    note: str
    levels: tuple[LevelWord, ...]
    level_code_basis: str
    zhejiang_or_notice_only: tuple[str, ...]
    series: tuple[Series, ...]
    legacy_titles: tuple[FormerTitle, ...]


class CodedTitle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A title of GB/T 8561-2001: three digits, level word, name."""

    code: str
    level: str
    name: str


class CodeGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group of GB/T 8561-2001."""

    group: str
    name: str
    titles: tuple[CodedTitle, ...]


class CodeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file gbt8561.json: a transcribed secondary copy, see its `source`."""

    standard: str
    source: str
    rule: str
    groups: tuple[CodeGroup, ...]


class CompactName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One name that a compact notation stands for."""

    track: str
    name: str


class Compact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A compact notation, such as 主任（中）医（药、护、技）师, and what it stands for."""

    written: str
    series: str
    level: str
    names: tuple[CompactName, ...]


class CompactFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file compact_titles.json."""

    note: str
    provenance: str
    compact: tuple[Compact, ...]


class TitleMeaning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that a title name can mean. `now` is today's name if this one is of former times."""

    series: str
    track: str
    level: Level
    now: str | None = None
