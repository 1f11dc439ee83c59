"""The reference data: everything of annex 1 is there and typed, committees are found, and awards fit or do not."""

import json
import subprocess
from importlib import resources
from pathlib import Path

import msgspec
import pytest

from registry.catalogue.catalogue import Catalogue, load_catalogue
from registry.catalogue.fit import Misfit, check_fit, check_initial_determination
from registry.catalogue.plan import Committee, Plan
from registry.catalogue.words import levels_of
from registry.errors import NotFound
from registry.terms import Level

CITY = "331100"
QINGTIAN, JINYUN = "331121", "331122"
DATA = Path(str(resources.files("registry.catalogue") / "data"))
FULL, ASSOCIATE, MIDDLE, ASSISTANT, TECHNICIAN = Level


def the_plan() -> Plan:
    plan = load_catalogue().plan(2021)
    assert plan is not None
    return plan


def committee(name: str, authority: str = CITY) -> Committee:
    found = the_plan().committee(name, authority)
    assert found is not None
    return found


def fit(found: Committee, level: Level, title: str, series: str = "", authority: str = CITY) -> list[str]:
    misfits = check_fit(
        found, level=level, authority=load_catalogue().authority(authority), title_name=title, series=series
    )
    assert all(each.message_zh and each.fix_zh for each in misfits)
    return [each.rule for each in misfits]


# --- the files


def test_the_digest_is_that_of_a_listing_by_sha256sum() -> None:
    names = sorted(path.name for path in DATA.glob("*.json"))
    listing = subprocess.run(["sha256sum", *names], cwd=DATA, check=True, capture_output=True).stdout
    digest = subprocess.run(["sha256sum"], input=listing, check=True, capture_output=True).stdout.split()[0].decode()
    catalogue = load_catalogue()
    assert catalogue.digest == digest
    assert list(catalogue.files) == names
    assert all(catalogue.files[name] == (DATA / name).read_bytes() for name in names)


def test_one_changed_byte_is_another_digest() -> None:
    files = dict(load_catalogue().files)
    files["gbt8561.json"] += b"\n"
    assert Catalogue(files).digest != load_catalogue().digest


def test_a_field_that_the_code_does_not_know_is_refused_not_dropped() -> None:
    files = dict(load_catalogue().files)
    plan = json.loads(files["plan-2021.json"])
    plan["rows"][0]["quota"] = 3
    files["plan-2021.json"] = json.dumps(plan).encode()
    with pytest.raises(msgspec.ValidationError, match="quota"):
        Catalogue(files)


def test_reading_the_plan_drops_nothing() -> None:
    raw = json.loads((DATA / "plan-2021.json").read_bytes())["rows"]
    for row, typed in zip(raw, the_plan().rows, strict=True):
        back = msgspec.json.decode(msgspec.json.encode(typed))
        assert {key: back[key] for key in row} == row


# --- the plan of 2021 (annex 1), counted by hand in the notice


def test_sixty_two_rows_in_three_sections() -> None:
    plan = the_plan()
    assert (plan.year, plan.document_no, plan.issued_on.isoformat()) == (2021, "丽人社〔2021〕53号", "2021-06-02")
    assert [[row.no for row in plan.rows if row.section == section] for section in (1, 2, 3)] == [
        list(range(1, 29)),
        list(range(1, 34)),
        [1],
    ]
    assert len({row.key for row in plan.rows}) == len({row.written_name for row in plan.rows}) == 62


def numbers(flag: str) -> list[int]:
    return [row.no for row in the_plan().rows if row.section == 1 and getattr(row, flag)]


def test_the_flags_of_the_first_section() -> None:
    assert numbers("recommends_only") == [7, 21]
    assert [no for no in range(1, 29) if no not in numbers("recommends")] == [18, 19, 20, 22, 27, 28]
    assert numbers("is_county_template") == [21, 23, 24]
    assert numbers("autonomous_units_excluded") == [4, 5, *range(21, 29)]
    assert [row.no for row in the_plan().rows if row.committee_grade == "高级"] == [22, 27, 28]
    assert [row.no for row in the_plan().rows if row.section == 1 and row.phone is None] == [21, 23, 24]


def test_the_years_and_months_that_the_plan_states() -> None:
    by_key = {row.key: row for row in the_plan().rows}
    stated = {key: row.finish_year_stated for key, row in by_key.items() if row.finish_year_stated}
    assert stated == {"A1-1-20": 2022, "A1-2-15": 2022}
    assert [key for key, row in by_key.items() if row.finish_year_ambiguous] == ["A1-2-02"]
    assert by_key["A1-2-02"].finish_year_effective is None
    assert by_key["A1-3-01"].finish_months == (2, 5, 8, 11)
    assert all(row.start_month is None for row in by_key.values() if row.section != 1)


def test_there_is_no_plan_for_another_year() -> None:
    assert load_catalogue().plan(2020) is None
    assert [plan.year for plan in load_catalogue().plans] == [2021]


def test_level_words() -> None:
    assert levels_of("初级") == (ASSISTANT, TECHNICIAN)
    assert levels_of("初级及以上") == tuple(Level)
    for row in the_plan().rows:
        assert all(levels_of(word) for word in (*row.award_levels, *row.recommend_levels_inferred))
    with pytest.raises(KeyError):
        levels_of("高级")


# --- authorities

AUTHORITIES = {
    "331100": "丽水市",
    "331102": "莲都区",
    "331121": "青田县",
    "331122": "缙云县",
    "331123": "遂昌县",
    "331124": "松阳县",
    "331125": "云和县",
    "331126": "庆元县",
    "331127": "景宁畲族自治县",
    "331181": "龙泉市",
}


@pytest.mark.parametrize(("code", "place"), AUTHORITIES.items())
def test_the_city_and_nine_counties(code: str, place: str) -> None:
    authority = load_catalogue().authority(code)
    assert authority.name_zh == place + "人力资源和社会保障局"
    assert authority.name_en.endswith("Human Resources and Social Security Bureau")
    assert (authority.seat, authority.parent) == (("city", None) if code == CITY else ("county", CITY))


def test_there_are_ten_and_no_other_is_found() -> None:
    assert [each.code for each in load_catalogue().authorities] == list(AUTHORITIES)
    for code in ("331101", "330000", "", "青田县"):
        with pytest.raises(NotFound, match="发证机关") as caught:
            load_catalogue().authority(code)
        assert "331100" in caught.value.fix


# --- finding a committee

WATER = "市水利工程技术人员中级专业技术职务任职资格评审委员会"
SCHOOL = "各县（市、区）中小学教师中级专业技术职务任职资格评审委员会"


@pytest.mark.parametrize(
    "name", [WATER, "丽水" + WATER, " 市水利工程技术人员\n中级专业技术职务 任职资格评审委员会", "A1-1-11"]
)
def test_a_city_committee_by_its_names(name: str) -> None:
    for authority in (CITY, QINGTIAN, "000000"):
        found = committee(name, authority)
        assert (found.row.key, found.name_zh, found.seat) == ("A1-1-11", WATER, CITY)


@pytest.mark.parametrize("name", ["11", "１１", "a1-1-11", "Ａ1-1-11"])
def test_a_committee_by_number_or_key_however_written(name: str) -> None:
    assert committee(name).row.no == 11


def test_brackets_of_either_width() -> None:
    written = "市自然科学研究(专利)人员中级专业技术职务任职资格评审委员会"
    assert committee(written).row.no == committee(written.replace("(", "（").replace(")", "）")).row.no == 5


@pytest.mark.parametrize("place", [*AUTHORITIES.values(), "景宁县"][1:])
def test_a_county_committee_by_the_countys_name(place: str) -> None:
    code = {name: code for code, name in AUTHORITIES.items()} | {"景宁县": "331127"}
    for before in ("", "丽水市"):
        found = committee(before + SCHOOL.replace("各县（市、区）", place), CITY)
        full = AUTHORITIES[code[place]]
        assert (found.row.no, found.seat) == (23, code[place])
        assert found.name_zh == SCHOOL.replace("各县（市、区）", full)


@pytest.mark.parametrize("name", [SCHOOL, SCHOOL.replace("（", "(").replace("）", ")"), "A1-1-23", "23"])
def test_the_template_is_the_county_authoritys_own(name: str) -> None:
    found = committee(name, JINYUN)
    assert (found.seat, found.name_zh) == (JINYUN, SCHOOL.replace("各县（市、区）", "缙云县"))
    nobodys = committee(name, CITY)
    assert (nobodys.seat, nobodys.name_zh) == (None, SCHOOL)


@pytest.mark.parametrize("name", ["", "0", "29", "62", "A1-1-29", "A1-4-01", "水利", "杭州市" + WATER, WATER + "。"])
def test_what_is_not_in_the_plan_is_not_found(name: str) -> None:
    assert the_plan().committee(name, CITY) is None


# --- fit: all 28 committees, written out by hand from the notice

FITS = [
    (1, MIDDLE, "馆员", "图书资料专业人员"),
    (1, MIDDLE, "馆员", "群众文化专业人员"),
    (1, MIDDLE, "三级演员", "艺术专业人员"),
    (2, MIDDLE, "一级教练", "体育专业人员"),
    (2, MIDDLE, "中级教练", "体育专业人员"),
    (3, MIDDLE, "讲师", "高等学校教师"),
    (3, MIDDLE, "助理研究员", "哲学社会科学研究人员"),
    (3, MIDDLE, "讲师", "党校教师"),
    (4, MIDDLE, "讲师", "技工院校教师"),
    (4, MIDDLE, "一级实习指导教师", "技工院校教师"),
    (5, MIDDLE, "助理研究员", "自然科学研究人员"),
    (6, MIDDLE, "三级律师", "公共法律服务专业人员"),
    (6, MIDDLE, "三级公证员", "公共法律服务专业人员"),
    (8, MIDDLE, "农艺师", "农业技术人员"),
    (8, MIDDLE, "畜牧师", "农业技术人员"),
    (8, MIDDLE, "兽医师", "农业技术人员系列"),
    *((no, MIDDLE, "工程师", "工程技术人员") for no in (9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)),
    (18, ASSISTANT, "助理工程师", "工程技术人员"),
    (20, MIDDLE, "工艺美术师", "工艺美术专业人员"),
    (20, ASSISTANT, "助理工艺美术师", "工艺美术专业人员"),
    (22, FULL, "主任医师", "卫生技术人员"),
    (22, FULL, "主任中医师", "卫生技术人员"),
    (22, FULL, "主任药师", "卫生技术人员"),
    (22, FULL, "主任中药师", "卫生技术人员"),
    (22, FULL, "主任护师", "卫生技术人员"),
    (22, FULL, "主任技师", "卫生技术人员"),
    (22, ASSOCIATE, "副主任医师", "卫生技术人员"),
    (22, ASSOCIATE, "副主任中药师", "卫生技术人员"),
    (22, ASSOCIATE, "副主任护师", "卫生技术人员"),
    (25, MIDDLE, "一级教师", "中小学教师"),
    (25, MIDDLE, "实验师", "实验技术人才"),
    (25, MIDDLE, "实验师", "中小学教师"),
    (25, MIDDLE, "助理研究员", "自然科学研究人员"),
    (26, MIDDLE, "讲师", "中等职业学校教师"),
    (26, MIDDLE, "一级实习指导教师", "中等职业学校教师"),
    (27, ASSOCIATE, "高级教师", "中小学教师"),
    (27, ASSOCIATE, "高级实验师", "实验技术人才"),
    (27, ASSOCIATE, "副研究员", "哲学社会科学研究人员"),
    (28, ASSOCIATE, "高级讲师", "中等职业学校教师"),
    (28, ASSOCIATE, "高级实习指导教师", "中等职业学校教师"),
]
COUNTY_FITS = [
    (23, MIDDLE, "一级教师", "中小学教师"),
    (23, MIDDLE, "实验师", "实验技术人才"),
    (23, MIDDLE, "助理研究员", "哲学社会科学研究人员"),
    (24, MIDDLE, "讲师", "中等职业学校教师"),
    (24, MIDDLE, "一级实习指导教师", "中等职业学校教师"),
]


@pytest.mark.parametrize(("no", "level", "title", "series"), FITS)
def test_what_a_city_committee_awards(no: int, level: Level, title: str, series: str) -> None:
    assert fit(committee(str(no)), level, title, series) == []
    assert fit(committee(str(no)), level, title, series, QINGTIAN) == ["authority"]


@pytest.mark.parametrize(("no", "level", "title", "series"), COUNTY_FITS)
@pytest.mark.parametrize("county", list(AUTHORITIES)[1:])
def test_what_a_county_committee_awards(no: int, level: Level, title: str, series: str, county: str) -> None:
    assert fit(committee(str(no), county), level, title, series, county) == []


def test_the_table_is_of_all_28_committees() -> None:
    assert {no for no, *_ in FITS + COUNTY_FITS} | {7, 21} == set(range(1, 29))


@pytest.mark.parametrize("no", range(1, 29))
def test_every_level_that_the_plan_does_not_give_is_a_misfit(no: int) -> None:
    awarded = {level for number, level, *_ in FITS + COUNTY_FITS if number == no}
    authority = QINGTIAN if no in (21, 23, 24) else CITY
    for level in set(Level) - awarded:
        rules = fit(committee(str(no), authority), level, "某资格", "", authority)
        assert rules[0] == ("recommend-only" if no in (7, 21) else "level")


def test_a_recommendation_is_not_an_award() -> None:
    assert fit(committee("7"), ASSOCIATE, "高级经济师", "经济专业人员") == ["recommend-only"]
    assert fit(committee("21", QINGTIAN), ASSOCIATE, "副主任医师", "卫生技术人员", QINGTIAN) == ["recommend-only"]
    [misfit] = check_fit(
        committee("9"), level=ASSOCIATE, authority=load_catalogue().authority(CITY), title_name="工程师", series=""
    )[:1]
    assert "授予中级，只推荐副高级" in misfit.message_zh


def test_the_second_and_third_sections_are_no_committees_that_award() -> None:
    for row in the_plan().rows:
        if row.section > 1:
            assert fit(committee(row.key), MIDDLE, "工程师", "工程技术人员") == ["not-a-committee"]
    assert fit(committee("大中专毕业生初定"), MIDDLE, "工程师") == ["not-a-committee"]
    assert fit(committee("高级会计师"), ASSOCIATE, "高级会计师") == ["not-a-committee"]


def test_a_county_committee_and_another_authority() -> None:
    qingtian = committee("青田县中小学教师中级专业技术职务任职资格评审委员会")
    assert fit(qingtian, MIDDLE, "一级教师", "中小学教师", QINGTIAN) == []
    assert fit(qingtian, MIDDLE, "一级教师", "中小学教师", JINYUN) == ["authority"]
    assert fit(qingtian, MIDDLE, "一级教师", "中小学教师", CITY) == ["authority"]
    assert fit(committee(SCHOOL, CITY), MIDDLE, "一级教师", "中小学教师", CITY) == ["authority"]


@pytest.mark.parametrize(
    ("no", "level", "title", "series", "rules"),
    [
        (9, MIDDLE, "农艺师", "", ["title"]),
        (22, FULL, "主任中护师", "卫生技术人员", ["title"]),
        (22, FULL, "主任（中）医（药、护、技）师", "卫生技术人员", ["title"]),
        (22, FULL, "副主任医师", "卫生技术人员", ["title-level"]),
        (22, ASSOCIATE, "主任中药师", "卫生技术人员", ["title-level"]),
        (18, MIDDLE, "助理工程师", "工程技术人员", ["title-level"]),
        (27, ASSOCIATE, "正高级教师", "中小学教师", ["title", "title-level"]),
        (25, MIDDLE, "中学一级教师", "中小学教师", ["title"]),
        (1, MIDDLE, "研究馆员", "图书资料专业人员", ["title-level"]),
        (9, MIDDLE, "工程师", "卫生技术人员", ["series"]),
        (9, ASSOCIATE, "高级工程师", "工程技术人员", ["level", "title"]),
    ],
)
def test_titles_that_do_not_fit(no: int, level: Level, title: str, series: str, rules: list[str]) -> None:
    assert fit(committee(str(no)), level, title, series) == rules


def test_initial_determination_is_the_citys_for_the_middle_level() -> None:
    city, county = load_catalogue().authority(CITY), load_catalogue().authority(QINGTIAN)

    def rules(level: Level, of: str) -> list[str]:
        found: list[Misfit] = check_initial_determination(level=level, authority=city if of == CITY else county)
        return [each.rule for each in found]

    assert rules(MIDDLE, CITY) == rules(ASSISTANT, CITY) == rules(TECHNICIAN, CITY) == []
    assert rules(MIDDLE, QINGTIAN) == ["authority"]
    assert rules(ASSISTANT, QINGTIAN) == []
    assert rules(ASSOCIATE, CITY) == rules(FULL, QINGTIAN) == ["level"]


# --- title names


@pytest.mark.parametrize(
    ("name", "meanings"),
    [
        ("高级教师", {("中小学教师", "", ASSOCIATE)}),
        ("小学高级教师", {("中小学教师", "", MIDDLE)}),
        ("高级记者", {("新闻专业人员", "记者", FULL)}),
        ("主任记者", {("新闻专业人员", "记者", ASSOCIATE)}),
        ("主任医师", {("卫生技术人员", "医", FULL)}),
        ("一级演员", {("艺术专业人员", "级别+专业", FULL)}),
        ("一级教练", {("体育专业人员", "教练员", MIDDLE)}),
        ("一级教师", {("中小学教师", "", MIDDLE)}),
        ("主治医师", {("卫生技术人员", "医", MIDDLE)}),
        ("舞台技师", {("艺术专业人员", "级别+专业", MIDDLE)}),
        ("副译审", {("翻译专业人员", "", ASSOCIATE)}),
        ("编辑", {("新闻专业人员", "编辑", MIDDLE), ("出版专业人员", "", MIDDLE)}),
        (
            "研究馆员",
            {("图书资料专业人员", "", FULL), ("文物博物专业人员", "", FULL), ("档案专业人员", "", FULL)},
        ),
        ("一级木匠", set()),
        ("{专业}", set()),
    ],
)
def test_a_level_is_looked_up_and_never_read_off_the_name(name: str, meanings: set[tuple[str, str, Level]]) -> None:
    found = load_catalogue().titles_named(name)
    assert {(each.series, each.track, each.level) for each in found} == meanings
    assert len(found) == len(meanings)


def test_every_name_of_the_series_file_is_found_at_its_level() -> None:
    for series in json.loads((DATA / "title_series.json").read_bytes())["series"]:
        for track in series["tracks"]:
            for word, name in track["titles"].items():
                if name and "{" not in name and "（" not in name:
                    found = load_catalogue().titles_named(name)
                    assert (series["name_zh"], track["track"], word) in {(m.series, m.track, m.level.zh) for m in found}


def test_former_names_say_what_replaced_them() -> None:
    former = json.loads((DATA / "title_series.json").read_bytes())["legacy_titles"]
    assert len(former) == len(load_catalogue().former_titles) == 23
    for each in former:
        found = load_catalogue().titles_named(each["old"])
        assert {(m.now, m.level.zh) for m in found} == {(each["now"], each["level"])}


def test_27_series_by_name() -> None:
    catalogue = load_catalogue()
    assert [series.no for series in catalogue.series] == list(range(1, 28))
    for name in ("工程技术人员", " 工程技术人员 ", "工程技术人员系列"):
        series = catalogue.series_named(name)
        assert series is not None
        assert series.no == 5
    assert catalogue.series_named("思想政治工作人员") is None
    assert catalogue.series_named("") is None


def test_the_codes_end_in_the_digit_of_their_level() -> None:
    titles = [title for group in load_catalogue().code_groups for title in group.titles]
    assert len(titles) == len({title.code for title in titles})
    for title in titles:
        assert title.code == "416" or list(Level)[int(title.code[2]) - 1].zh == title.level
