"""One record to one row: every cell by its named rule, then what must agree between cells. All errors are reported."""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple, TypeVar

from registry.catalogue.catalogue import Catalogue
from registry.errors import BadInput
from registry.holders import identity as identities
from registry.holders.person import Identity, Person
from registry.intake import cells, names, words
from registry.intake.cells import Born, Fault
from registry.intake.form import FORM, INDEX
from registry.intake.repeats import Repeats
from registry.intake.setting import Claimed, Placed, Setting
from registry.intake.table import Cell, Record, Row, RowError
from registry.terms import IdentityKind, Level, Obtained, Sex
from registry.titles.award import AwardTitle

_Value = TypeVar("_Value")
_NAME, _KIND, _IDENTITY, _COUNTRY = (INDEX[field] for field in ("name", "kind", "identity", "country"))
_SEX, _BORN, _EMPLOYER, _COMMITTEE = (INDEX[field] for field in ("sex", "born", "employer", "committee"))
_SERIES, _SPECIALTY, _LEVEL, _TITLE = (INDEX[field] for field in ("series", "specialty", "level", "title_name"))
_OBTAINED, _NUMBER, _CONFIRMED = (INDEX[field] for field in ("obtained", "number", "confirmed"))
_AWARDED, _PUBLISHED, _ISSUED = (INDEX[field] for field in ("awarded_on", "published_on", "issued_on"))
_REQUIRED = Fault("required", "必填，不能为空", "填写此格")
_REMEMBERED = 4096  # groups of cells; a list repeats few titles and dates


class _Faults(list[tuple[int, Fault]]):
    """The faults of a row, each with the place of its field in the form."""

    def keep(self, field: int, value: _Value | Fault) -> _Value | None:
        """The value if it is right; otherwise None, and the fault is noted."""
        if isinstance(value, Fault):
            self.append((field, value))
            return None
        return value


class _Title(NamedTuple):
    series: str
    specialty: str
    level: Level
    title_name: str


class _Dates(NamedTuple):
    awarded_on: date | None
    published_on: date | None
    issued_on: date | None


class Judge:
    """Judges the records of one list, in order: an earlier row is known to a later one that repeats it."""

    def __init__(self, sheet: str | None, *, authority: str, document: str, catalogue: Catalogue, today: date) -> None:
        self._sheet, self._authority, self._document, self._today = sheet, authority, document, today
        self._setting = Setting(catalogue, authority)
        self._titles, self._numbers = Repeats(), Repeats()
        self._title = lru_cache(_REMEMBERED, typed=True)(self._judge_title)
        self._dates = lru_cache(_REMEMBERED, typed=True)(self._judge_dates)

    def row(self, record: Record) -> Row:
        """The award that the record asks for, or all its errors. Never raises for what a cell contains."""
        if not record.cells:
            return Row(record.number, record.errors)
        faults, row = _Faults(), record.cells
        person = self._person(row, faults)
        title, title_faults = self._title(row[_SERIES], row[_SPECIALTY], row[_LEVEL], row[_TITLE])
        dates, date_faults = self._dates(row[_AWARDED], row[_PUBLISHED], row[_ISSUED])
        faults += title_faults + date_faults
        obtained = faults.keep(_OBTAINED, words.obtained(row[_OBTAINED]) or Obtained.REVIEW)
        placed = self._place(row[_COMMITTEE], title, obtained, dates.awarded_on, faults)
        employer = faults.keep(_EMPLOYER, cells.text(row[_EMPLOYER]))
        number = faults.keep(_NUMBER, cells.certificate_number(row[_NUMBER]))
        if person and person.born and dates.awarded_on and dates.awarded_on <= person.born:
            faults.append((_AWARDED, Fault("awarded-before-birth", "不晚于出生日期", "核对取得资格时间和证件号码")))
        self._check_repeats(record.number, person, title, number, faults)
        if faults or record.errors or not (person and title and dates.awarded_on and obtained and placed):
            return Row(record.number, self._errors(record, faults))
        award = AwardTitle(
            person=person,
            series=title.series,
            specialty=title.specialty,
            level=title.level,
            title_name=title.title_name,
            obtained=obtained,
            committee=placed.name,
            committee_key=placed.key,
            approval_document=self._document,
            awarded_on=dates.awarded_on,
            published_on=dates.published_on,
            issued_on=dates.issued_on,
            authority=self._authority,
            number=number,
            employer=employer or None,
        )
        return Row(record.number, award)

    def _person(self, row: Sequence[Cell], faults: _Faults) -> Person | None:
        name = faults.keep(_NAME, names.person_name(row[_NAME]))
        identity = self._identity(row, faults)
        sex = faults.keep(_SEX, words.sex(row[_SEX]))
        born = faults.keep(_BORN, cells.born(row[_BORN], self._today))
        if identity and (stated := identities.born(identity)):
            number_sex = identities.sex(identity)
            faults.keep(_SEX, _sex_conflict(sex, number_sex))
            faults.keep(_BORN, _born_conflict(born, stated))
            sex, born = number_sex, Born(stated, day_known=True)
        if not (name and identity):
            return None
        return Person(name, identity, sex, born.day, born.day_known) if born else Person(name, identity, sex)

    def _identity(self, row: Sequence[Cell], faults: _Faults) -> Identity | None:
        number = faults.keep(_IDENTITY, cells.identity_text(row[_IDENTITY]))
        kind = faults.keep(_KIND, words.kind(row[_KIND]) or IdentityKind.RESIDENT_ID)
        confirmed = faults.keep(_CONFIRMED, words.confirmed(row[_CONFIRMED]))
        country = faults.keep(_COUNTRY, cells.text(row[_COUNTRY]))
        if kind is None or number is None:
            return None
        try:
            return identities.parse(number, kind=kind, country=country, confirmed=bool(confirmed), today=self._today)
        except BadInput as error:
            faults.append(_identity_fault(error))
        return None

    def _judge_title(self, series: Cell, specialty: Cell, level: Cell, name: Cell) -> tuple[_Title | None, _Faults]:
        faults = _Faults()
        of_series = faults.keep(_SERIES, self._setting.series(series))
        of_specialty = faults.keep(_SPECIALTY, cells.required(specialty))
        at_level = faults.keep(_LEVEL, words.level(level) or _REQUIRED)
        title_name = faults.keep(_TITLE, cells.required(name))
        if of_series and at_level and title_name:
            faults.keep(_LEVEL, self._setting.level_fits(of_series, title_name, at_level))
        if not (of_series and of_specialty and at_level and title_name):
            return None, faults
        return _Title(of_series, of_specialty, at_level, title_name), faults

    def _judge_dates(self, awarded: Cell, published: Cell, issued: Cell) -> tuple[_Dates, _Faults]:
        faults = _Faults()
        awarded_on = faults.keep(_AWARDED, cells.day(awarded, self._today) or _REQUIRED)
        published_on = faults.keep(_PUBLISHED, cells.day(published, self._today))
        issued_on = faults.keep(_ISSUED, cells.day(issued, self._today))
        for field, later in ((_PUBLISHED, published_on), (_ISSUED, issued_on)):
            if awarded_on and later and later < awarded_on:
                faults.append((field, Fault("date-order", f"早于取得资格时间 {awarded_on}", "核对这两个日期")))
        return _Dates(awarded_on, published_on, issued_on), faults

    def _place(
        self, cell: Cell, title: _Title | None, obtained: Obtained | None, awarded_on: date | None, faults: _Faults
    ) -> Placed | None:
        year = awarded_on.year if awarded_on else None
        named = faults.keep(_COMMITTEE, self._setting.committee(cell, obtained or Obtained.REVIEW, year))
        if named is None or title is None or obtained is None or year is None:
            return None
        placed = self._setting.fit(cell, Claimed(title.series, title.title_name, title.level, obtained, year))
        known = {fault.rule for _, fault in faults} if placed.faults else set()  # of title-level: it is judged twice
        faults += [(INDEX[field], fault) for field, fault in placed.faults if fault.rule not in known]
        return placed

    def _check_repeats(
        self, row: int, person: Person | None, title: _Title | None, number: str | None, faults: _Faults
    ) -> None:
        if person and title:
            slot = (identities.index_key(person.identity), title.series, title.specialty, title.title_name)
            if first := self._titles.first_row("\0".join(slot), row):
                message = f"与第 {first} 行是同一人的同一职称（系列、专业、资格名称都相同）"
                faults.append((_IDENTITY, Fault("repeated-title", message, "删除重复的一行")))
        if number and (first := self._numbers.first_row(number, row)):
            faults.append((_NUMBER, Fault("repeated-number", f"与第 {first} 行的证书编号相同", "按原件核对两行的编号")))

    def _errors(self, record: Record, faults: _Faults) -> tuple[RowError, ...]:
        """What the reader found, then the faults, but none at a cell that the reader found broken."""
        broken = {error.column for error in record.errors} - {""}
        kept = [each for each in faults if record.columns.letters[each[0]] not in broken]
        return (*record.errors, *(self._error(record, field, fault) for field, fault in kept))

    def _error(self, record: Record, field: int, fault: Fault) -> RowError:
        return RowError(
            sheet=self._sheet,
            row=record.number,
            column=record.columns.letters[field],
            heading=record.columns.headings[field] or FORM[field].heading,
            raw=cells.shown(record.cells[field])[:500],
            rule=fault.rule,
            message=fault.message,
            fix=fault.fix,
        )


def _identity_fault(error: BadInput) -> tuple[int, Fault]:
    rule = str(error.about.get("rule", error.code))
    name = "identity-rounded" if rule == "spreadsheet" else f"identity-{rule}"
    return _COUNTRY if rule == "country" else _IDENTITY, Fault(name, error.message, error.fix)


def _sex_conflict(stated: Sex | None, derived: Sex | None) -> Fault | None:
    if stated is None or stated is derived or derived is None:
        return None
    message = f"填写的是{stated.zh}，证件号码（第17位）表示{derived.zh}"
    return Fault("sex-conflict", message, "对照证件核对性别和证件号码")


def _born_conflict(stated: Born | None, derived: date) -> Fault | None:
    if stated is None or stated.day == (derived if stated.day_known else derived.replace(day=1)):
        return None
    return Fault("born-conflict", "填写的出生日期与证件号码（第7至14位）不一致", "对照证件核对出生日期和证件号码")
