"""What each title name can mean: the index from a name to (series, track, level)."""

import re
from collections.abc import Iterator

from registry.catalogue.series import CodeFile, CompactFile, FormerTitle, SeriesFile, TitleMeaning
from registry.catalogue.words import folded, levels_of
from registry.terms import Level

_ARTIST = re.compile(r"[一二三四]级(.+)")
_SPECIALTY = "{专业}"


class Meanings:
    """Index of title names, built once from the series, the former names, the compact notations and GB/T 8561.

    The artists' names are a level and a specialty (一级演员); only specialties that the sources name are known, because
    一级 with anything would also read 一级教师 as an artist's.
    """

    def __init__(self, series: SeriesFile, codes: CodeFile, compact: CompactFile) -> None:
        self._index: dict[str, list[TitleMeaning]] = {}
        self._compact = {each.written: tuple(name.name for name in each.names) for each in compact.compact}
        self._former = {(each.old, levels_of(each.level)[0]): each.now for each in series.legacy_titles}
        for written, meaning in self._plain(series):
            for name in self._compact.get(written, (written,)):
                self._add(name, meaning)
        for short in compact.compact:
            for meant in short.names:
                self._add(meant.name, TitleMeaning(short.series, meant.track, levels_of(short.level)[0]))
        for name, meaning in self._artists(series, codes):
            self._add(name, meaning)
        for former in series.legacy_titles:
            self._add_former(former)

    def of(self, title_name: str) -> list[TitleMeaning]:
        """Everything that the name can mean; empty if the catalogue does not know it, which does not make it wrong."""
        return list(self._index.get(folded(title_name), ()))

    def names_meant(self, written: str, levels: tuple[Level, ...]) -> frozenset[str]:
        """The names, folded, that a title cell of the plan accepts: compact notations expanded, today's name added."""
        names = set(self._compact.get(written, (written,)))
        names |= {self._former[written, level] for level in levels if (written, level) in self._former}
        return frozenset(folded(name) for name in names)

    def _add(self, name: str, meaning: TitleMeaning) -> None:
        known = self._index.setdefault(folded(name), [])
        if meaning not in known:
            known.append(meaning)

    def _plain(self, file: SeriesFile) -> Iterator[tuple[str, TitleMeaning]]:
        for each, track, level, name in _names(file):
            if _SPECIALTY not in name:
                yield name, TitleMeaning(each, track, level)

    def _artists(self, file: SeriesFile, codes: CodeFile) -> Iterator[tuple[str, TitleMeaning]]:
        coded = [title.name for group in codes.groups if group.name.startswith("艺术人员") for title in group.titles]
        reformed = [former.now for former in file.legacy_titles if not self.of(former.now)]
        specialties = {found[1] for name in coded + reformed if (found := _ARTIST.fullmatch(name))}
        for each, track, level, name in _names(file):
            if _SPECIALTY in name:
                yield from (
                    (name.replace(_SPECIALTY, s), TitleMeaning(each, track, level)) for s in sorted(specialties)
                )

    def _add_former(self, former: FormerTitle) -> None:
        level = levels_of(former.level)[0]
        for meaning in self.of(former.now):
            self._add(former.old, TitleMeaning(meaning.series, meaning.track, level, former.now))


def _names(file: SeriesFile) -> Iterator[tuple[str, str, Level, str]]:
    for series in file.series:
        for track in series.tracks:
            for level in Level:
                if name := track.name_at(level):
                    yield series.name_zh, track.track, level, name
