"""Bad cells, by hand: each has its own rule, and is named with row, column letter, heading, raw value and a fix."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from registry.holders.person import Identity
from registry.terms import IdentityKind, Level, Obtained, Sex
from tests.lists import (
    COMMITTEE,
    HEADINGS,
    awards_of,
    csv_file,
    errors_of,
    good,
    identity_number,
    rows_of,
    table,
    xlsx_file,
)

NUMBER = identity_number(1)
WRONG_CHECK = NUMBER[:17] + ("1" if NUMBER[17] != "1" else "2")
BAD_TEXT = [
    # heading, value as text, rule
    ("姓名", "", "required"),
    ("姓名", "林 晓岚", "name-blank"),
    ("姓名", "林　岚", "name-blank"),
    ("姓名", "阿依古丽•买买提", "name-separator"),
    ("姓名", "阿依古丽・买买提", "name-separator"),
    ("姓名", "阿依古丽.买买提", "name-separator"),
    ("姓名", "·买买提", "name-separator-place"),
    ("姓名", "林晓岚2", "name-digits"),
    ("姓名", "林晓２", "name-digits"),
    ("姓名", "林晓岚（女）", "name-character"),
    ("姓名", "林晓lan", "name-character"),
    ("姓名", "SMITH <b>", "name-character"),
    ("姓名", "林\ue816岚", "name-private-use"),
    ("姓名", "林晓岚\U000e0100", "name-variation-selector"),
    ("姓名", "林\u200b晓岚", "control-character"),
    ("姓名", "林\n晓岚", "line-break"),
    ("姓名", "林\x07晓岚", "control-character"),
    ("姓名", "林" * 101, "too-long"),
    ("证件类型", "工作证", "kind-unknown"),
    ("证件号码", "", "required"),
    ("证件号码", "3.31102E+17", "identity-rounded"),
    ("证件号码", "331102199001011000", "identity-rounded"),
    ("证件号码", f'="{NUMBER}"', "formula-text"),
    ("证件号码", NUMBER[:16], "identity-length"),
    ("证件号码", WRONG_CHECK, "identity-check-character"),
    ("证件号码", "33110219901301123X", "identity-birth-date"),
    ("证件号码", "991102199001011230", "identity-kind"),
    ("证件号码", "00" + NUMBER[2:], "identity-region"),
    ("证件号码", "3311O2" + NUMBER[6:], "identity-character"),
    ("证件号码", "1" * 65, "too-long"),
    ("性别", "未知", "sex-unknown"),
    ("性别", "女" if int(NUMBER[16]) % 2 else "男", "sex-conflict"),
    ("出生日期", "1990-01-02", "born-conflict"),
    ("出生日期", "1990年13月", "date-invalid"),
    ("工作单位", "单位" * 101, "too-long"),
    ("评审委员会", "", "required"),
    ("评审委员会", "市建筑工程技术人员中级职务评审委员会", "committee-unknown"),
    ("评审委员会", "市经济专业人员中级专业技术职务任职资格评审委员会", "recommend-only"),
    ("评审委员会", "各县（市、区）卫技人员中级专业技术职务任职资格评审委员会", "recommend-only"),
    ("评审委员会", "各县（市、区）中小学教师中级专业技术职务任职资格评审委员会", "authority"),
    ("系列", "", "required"),
    ("系列", "工程技术", "series-unknown"),
    ("专业", "", "required"),
    ("级别", "", "required"),
    ("级别", "初级", "level-ambiguous"),
    ("级别", "高级", "level-ambiguous"),
    ("级别", "三级", "level-unknown"),
    ("级别", "副高级", "title-level"),
    ("资格名称", "", "required"),
    ("资格名称", "农艺师", "title"),
    ("取得方式", "推荐", "obtained-unknown"),
    ("取得资格时间", "", "required"),
    ("取得资格时间", "2021-02-30", "date-invalid"),
    ("取得资格时间", "2021-09", "date-no-day"),
    ("取得资格时间", "20/9/2021", "date-ambiguous"),
    ("取得资格时间", "21.9.20", "date-ambiguous"),
    ("取得资格时间", "44459", "date-serial"),
    ("取得资格时间", "20210920", "date-unreadable"),
    ("取得资格时间", "2021-9/20", "date-unreadable"),
    ("取得资格时间", "2021-09-20T00:00:00Z", "date-unreadable"),
    ("取得资格时间", "二〇二一年九月", "date-unreadable"),
    ("取得资格时间", "2026-03-03", "date-future"),
    ("取得资格时间", "1948-12-31", "date-too-early"),
    ("公布日期", "2021-09-19", "date-order"),
    ("发证日期", "2021-09-19", "date-order"),
    ("证书编号", "浙" * 65, "too-long"),
    ("证书编号", "浙2021\x0001", "control-character"),
    ("证书编号", "2.02101E+11", "number-rounded"),
    ("证书编号", "'00127", "leading-apostrophe"),
    ("号码已核对", "大概", "confirmed-unknown"),
]


def letter(heading: str) -> str:
    return "ABCDEFGHIJKLMNOPQRST"[HEADINGS.index(heading)]


@pytest.mark.parametrize(("heading", "value", "rule"), BAD_TEXT)
def test_a_bad_text_is_named_by_its_rule_and_place(tmp_path: Path, heading: str, value: str, rule: str) -> None:
    path = csv_file(tmp_path, table([good(2), good(1, **{heading: value})]))
    _, row = rows_of(path)
    assert isinstance(row.result, tuple)
    found = [error for error in row.result if error.rule == rule]
    assert [(e.row, e.column, e.heading, e.sheet) for e in found] == [(3, letter(heading), heading, None)]
    assert found[0].raw == value[:500]
    assert found[0].message
    assert found[0].fix


BAD_CELLS: list[tuple[str, Any, str, str]] = [
    ("姓名", 20210920, "name-digits", "20210920"),
    ("证件号码", 331102199001011234, "identity-rounded", "331102199001011000"),
    ("证件号码", 331102900101123, "identity-number-cell", "331102900101123"),
    ("证件号码", 12345678, "identity-number-cell", "12345678"),
    ("证件号码", date(2021, 9, 20), "date-cell", "2021-09-20"),
    ("证件号码", True, "boolean-cell", "TRUE"),
    ("系列", 3, "number-cell", "3"),
    ("级别", 3.5, "number-cell", "3.5"),
    ("资格名称", date(2021, 9, 20), "date-cell", "2021-09-20"),
    ("取得资格时间", 44459, "date-serial", "44459"),
    ("取得资格时间", 20210920, "date-unreadable", "20210920"),
    ("取得资格时间", datetime.fromisoformat("2026-03-03T08:30"), "date-future", "2026-03-03 08:30:00"),
    ("证书编号", 127, "number-cell", "127"),
    ("证书编号", date(2003, 1, 27), "date-cell", "2003-01-27"),
]


@pytest.mark.parametrize(("heading", "value", "rule", "raw"), BAD_CELLS)
def test_a_cell_that_excel_has_changed_is_named(
    tmp_path: Path, heading: str, value: object, rule: str, raw: str
) -> None:
    (error,) = errors_of(xlsx_file(tmp_path, table([good(**{heading: value})])))
    assert (error.sheet, error.row, error.column, error.heading) == ("名单", 2, letter(heading), heading)
    assert (error.rule, error.raw) == (rule, raw)


def test_every_error_of_a_row_is_reported(tmp_path: Path) -> None:
    row = good(姓名="林 岚", 证件号码="3.31E+17", 级别="初级", 取得资格时间="2021-02-30", 证书编号="'1")
    rules = [(error.column, error.rule) for error in errors_of(csv_file(tmp_path, table([row])))]
    assert rules == [
        ("B", "name-blank"),
        ("D", "identity-rounded"),
        ("L", "level-ambiguous"),
        ("O", "date-invalid"),
        ("R", "leading-apostrophe"),
    ]


GOOD_DATES = ["2021-09-20", "2021/9/20", "2021.9.20", "2021年9月20日", "２０２１-０９-２０", " 2021-09-20 "]


@pytest.mark.parametrize("written", GOOD_DATES)
def test_dates_are_read_as_people_write_them(tmp_path: Path, written: str) -> None:
    (award,) = awards_of(csv_file(tmp_path, table([good(取得资格时间=written)])))
    assert award.awarded_on == date(2021, 9, 20)


@pytest.mark.parametrize("value", [date(2021, 9, 20), datetime.fromisoformat("2021-09-20T23:59")])
def test_a_date_cell_is_that_day(tmp_path: Path, value: date) -> None:
    (award,) = awards_of(xlsx_file(tmp_path, table([good(取得资格时间=value)])))
    assert award.awarded_on == date(2021, 9, 20)


NAMES = [
    "林晓岚",
    "欧阳娜娜",
    "㛃䶮",
    "阿卜杜热合曼·买买提",
    "买买提" * 16 + "江江",
    "𠮷野",
    "SMITH, JOHN O'NEIL",
    "José",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_all_kinds_are_kept_as_written(tmp_path: Path, name: str) -> None:
    (award,) = awards_of(csv_file(tmp_path, table([good(姓名=f"　{name} ")])))
    assert award.person.name == name


@pytest.mark.parametrize("number", ["0000127", "浙〔2021〕００１", "丽 98－01", "(2003)0127", "第127号"])
def test_a_certificate_number_is_opaque(tmp_path: Path, number: str) -> None:
    for path in (
        csv_file(tmp_path, table([good(证书编号=number)])),
        xlsx_file(tmp_path, table([good(证书编号=number)])),
    ):
        (award,) = awards_of(path)
        assert award.number == number


def test_sex_and_birth_come_from_the_number(tmp_path: Path) -> None:
    (award,) = awards_of(csv_file(tmp_path, table([good()])))
    assert award.person.identity == Identity(IdentityKind.RESIDENT_ID, NUMBER)
    assert award.person.born == date(int(NUMBER[6:10]), int(NUMBER[10:12]), int(NUMBER[12:14]))
    assert award.person.sex is (Sex.MALE if int(NUMBER[16]) % 2 else Sex.FEMALE)


def test_the_month_of_birth_may_be_stated_and_must_agree(tmp_path: Path) -> None:
    (award,) = awards_of(csv_file(tmp_path, table([good(出生日期=f"{NUMBER[6:10]}.{NUMBER[10:12]}")])))
    assert award.person.born_day_known
    (error,) = errors_of(csv_file(tmp_path, table([good(出生日期="1950.01")])))
    assert error.rule == "born-conflict"


def test_a_passport_needs_its_country_and_states_its_birth(tmp_path: Path) -> None:
    foreign = {"姓名": "SMITH JOHN", "证件类型": "护照", "证件号码": "E12345678", "性别": "男", "出生日期": "1940年5月"}
    (error,) = errors_of(csv_file(tmp_path, table([good(**foreign)])))
    assert (error.rule, error.column) == ("identity-country", letter("签发国"))
    (award,) = awards_of(csv_file(tmp_path, table([good(**foreign, 签发国="USA")])))
    assert award.person.identity == Identity(IdentityKind.PASSPORT, "E12345678", country="USA")
    assert (award.person.sex, award.person.born) == (Sex.MALE, date(1940, 5, 1))
    assert not award.person.born_day_known


def test_a_leading_apostrophe_and_blanks_are_only_ways_of_writing_an_identity_number(tmp_path: Path) -> None:
    (award,) = awards_of(csv_file(tmp_path, table([good(证件号码=f"\t'{NUMBER} ")])))
    assert award.person.identity.number == NUMBER


def test_a_wrong_check_character_passes_only_when_confirmed(tmp_path: Path) -> None:
    (award,) = awards_of(csv_file(tmp_path, table([good(证件号码=WRONG_CHECK, 号码已核对="是")])))
    assert award.person.identity == Identity(IdentityKind.RESIDENT_ID, WRONG_CHECK, confirmed=True)
    (error,) = errors_of(csv_file(tmp_path, table([good(证件号码=WRONG_CHECK, 号码已核对="否")])))
    assert error.rule == "identity-check-character"


def test_fifteen_digits_are_upgraded_and_repeat_the_eighteen(tmp_path: Path) -> None:
    old = NUMBER[:6] + NUMBER[8:17]
    path = csv_file(tmp_path, table([good(1), good(1, 证件号码=old, 证书编号="另一个")]))
    (error,) = errors_of(path)
    assert (error.rule, error.row) == ("repeated-title", 3)
    (award,) = awards_of(csv_file(tmp_path, table([good(证件号码=old)])))
    assert award.person.identity == Identity(IdentityKind.RESIDENT_ID, NUMBER, alias=old)


@pytest.mark.parametrize(
    ("written", "level"), [("正高级", Level.SENIOR_FULL), ("副高", Level.SENIOR_ASSOCIATE), ("员级", Level.TECHNICIAN)]
)
def test_the_level_is_the_one_stated(tmp_path: Path, written: str, level: Level) -> None:
    row = good(级别=written, 资格名称="某级某师", 取得方式="确认", 评审委员会="")
    (award,) = awards_of(csv_file(tmp_path, table([row])))
    assert award.level is level


def test_the_level_is_never_derived_from_a_name_but_a_known_title_must_have_it(tmp_path: Path) -> None:
    teacher = good(系列="中小学教师", 资格名称="高级教师", 级别="正高级", 取得方式="确认", 评审委员会="")
    (error,) = errors_of(csv_file(tmp_path, table([teacher])))
    assert (error.rule, error.column) == ("title-level", letter("级别"))
    assert "副高级" in error.message


def test_the_committee_is_found_in_the_plan_of_the_year(tmp_path: Path) -> None:
    written = [COMMITTEE, "丽水" + COMMITTEE, "A1-1-17", "17"]
    for name in written:
        (award,) = awards_of(csv_file(tmp_path, table([good(评审委员会=name)])))
        assert award.committee_key == "A1-1-17"
        assert award.committee in (COMMITTEE, "丽水" + COMMITTEE)


def test_a_county_publishes_its_own_committee(tmp_path: Path) -> None:
    teacher = {"系列": "中小学教师", "专业": "数学", "资格名称": "一级教师"}
    name = "各县（市、区）中小学教师中级专业技术职务任职资格评审委员会"
    path = csv_file(tmp_path, table([good(**teacher, 评审委员会=name)]))
    (award,) = awards_of(path, "331121")
    assert award.committee == "青田县中小学教师中级专业技术职务任职资格评审委员会"
    (error,) = errors_of(csv_file(tmp_path, table([good(**teacher, 评审委员会="青田县" + name[7:])])), "331122")
    assert (error.rule, error.column) == ("authority", letter("评审委员会"))


def test_a_year_without_a_plan_takes_the_committee_as_written(tmp_path: Path) -> None:
    old = good(评审委员会="丽水地区工程技术职务评审委员会", 取得资格时间="1998-11-20", 公布日期="")
    (award,) = awards_of(csv_file(tmp_path, table([old])))
    assert (award.committee, award.committee_key) == ("丽水地区工程技术职务评审委员会", None)


def test_a_committee_that_finishes_next_year_is_judged_by_the_plan_it_is_in(tmp_path: Path) -> None:
    artist = {"系列": "工艺美术专业人员", "专业": "青瓷", "资格名称": "工艺美术师"}
    late = good(**artist, 评审委员会="A1-1-20", 取得资格时间="2022-03-20", 公布日期="")
    rows = rows_of(csv_file(tmp_path, table([late])))
    assert not isinstance(rows[0].result, tuple), rows
    assert rows[0].result.committee_key == "A1-1-20"


def test_an_initial_determination_needs_no_committee_but_is_never_senior(tmp_path: Path) -> None:
    first = good(取得方式="初定", 评审委员会="")
    (award,) = awards_of(csv_file(tmp_path, table([first])))
    assert (award.obtained, award.committee, award.committee_key) == (Obtained.INITIAL_DETERMINATION, "", None)
    (error,) = errors_of(csv_file(tmp_path, table([first | {"级别": "副高级", "资格名称": "高级工程师"}])))
    assert (error.rule, error.column) == ("level", letter("级别"))


def test_the_nearest_series_and_committee_are_suggested(tmp_path: Path) -> None:
    row = good(系列="工程技术员", 评审委员会="市建设工程技术人员中级评审委员会")
    fixes = {error.rule: error.fix for error in errors_of(csv_file(tmp_path, table([row])))}
    assert "“工程技术人员”" in fixes["series-unknown"]
    assert f"“{COMMITTEE}”" in fixes["committee-unknown"]


def test_a_repeated_title_or_number_names_the_first_row(tmp_path: Path) -> None:
    rows = [
        good(1),
        good(2),
        good(1, 证书编号="甲"),
        good(3, 证书编号=good(2)["证书编号"]),
        good(1, 专业="水利工程", 证书编号="乙"),
    ]
    errors = errors_of(csv_file(tmp_path, table(rows)))
    assert [(e.row, e.rule, e.column) for e in errors] == [(4, "repeated-title", "D"), (5, "repeated-number", "R")]
    assert ["第 2 行" in errors[0].message, "第 3 行" in errors[1].message] == [True, True]
