"""Synthetic people and lists. No one here exists: district code 331199 is assigned to no place, employers say 虚构."""

import csv
import random
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from openpyxl import Workbook

from registry.holders.identity import check_character

NOBODYS_DISTRICT = "331199"
Row = dict[str, str]

_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高梁郑谢宋唐许邓韩冯曹彭曾肖田董潘袁蔡蒋余叶程魏苏吕丁任卢姚沈钟姜崔谭陆"
    "范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常汤兰蓝"
)
_GIVEN = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华建文玉兰志国海燕春梅晓红云飞新民思远佳怡子涵浩然梓萱雨桐俊辉"
    "嘉欣立群永康德胜培根若溪"
)
# 评审委员会 (annex 1 number), series, specialty, level, title name, how many
_CITY_COMMITTEES = (
    ("2", "体育专业人员", "体育教练", "中级", "一级教练", 4),
    ("4", "技工院校教师", "机电技术", "中级", "讲师", 4),
    ("5", "自然科学研究人员", "专利", "中级", "助理研究员", 4),
    ("6", "公共法律服务专业人员", "律师", "中级", "三级律师", 4),
    ("8", "农业技术人员", "农艺", "中级", "农艺师", 6),
    ("8", "农业技术人员", "畜牧", "中级", "畜牧师", 3),
    ("9", "工程技术人员", "农业工程", "中级", "工程师", 5),
    ("10", "工程技术人员", "林业工程", "中级", "工程师", 6),
    ("11", "工程技术人员", "水利工程", "中级", "工程师", 6),
    ("12", "工程技术人员", "交通工程", "中级", "工程师", 6),
    ("13", "工程技术人员", "特种设备", "中级", "工程师", 5),
    ("14", "工程技术人员", "广播电视工程", "中级", "工程师", 3),
    ("15", "工程技术人员", "生态环境工程", "中级", "工程师", 6),
    ("16", "工程技术人员", "快递工程", "中级", "工程师", 3),
    ("17", "工程技术人员", "建筑工程", "中级", "工程师", 8),
    ("18", "工程技术人员", "建筑施工", "助理级", "助理工程师", 8),
    ("18", "工程技术人员", "建筑施工", "中级", "工程师", 6),
    ("20", "工艺美术专业人员", "青瓷", "中级", "工艺美术师", 5),
    ("22", "卫生技术人员", "内科", "正高级", "主任医师", 4),
    ("22", "卫生技术人员", "护理", "副高级", "副主任护师", 6),
    ("25", "中小学教师", "小学语文", "中级", "一级教师", 8),
    ("27", "中小学教师", "初中数学", "副高级", "高级教师", 8),
    ("28", "中等职业学校教师", "烹饪", "副高级", "高级讲师", 4),
)
# Rare characters, an interpunct (U+00B7), and two people of one name.
_SPECIAL_NAMES = ("周㛃", "龚䶮", "买买提·吐尔逊", "陈建国", "陈建国", "王丽")


class Synthetic:
    """Draws people who do not exist, the same ones every time."""

    def __init__(self, seed: int = 20210602) -> None:
        self._random = random.Random(seed)  # noqa: S311 - sample data, nothing secret
        self._used: set[str] = set()

    def identity(self) -> str:
        """An identity number that is nobody's and has a right check character."""
        while True:
            born = date(1960, 1, 1) + timedelta(days=self._random.randrange(12_000))
            first = f"{NOBODYS_DISTRICT}{born:%Y%m%d}{self._random.randrange(1, 1000):03d}"
            if first not in self._used:
                self._used.add(first)
                return first + check_character(first)

    def name(self) -> str:
        """A name of two or three characters."""
        given = "".join(self._random.sample(_GIVEN, self._random.choice((1, 2, 2))))
        return self._random.choice(_SURNAMES) + given


def city_rows(committee_name: dict[str, str], people: Synthetic) -> Iterator[Row]:
    """The city's list of 2021: every committee that awards, 122 people, six of them with special names."""
    special, count = list(_SPECIAL_NAMES), 0
    for number, series, specialty, level, title, how_many in _CITY_COMMITTEES:
        for _ in range(how_many):
            count += 1
            name = special.pop(0) if special and count % 9 == 1 else people.name()
            yield _row(
                count, name, people.identity(), committee_name[number], series, specialty, level, title, "2021-10-18"
            )


def county_rows(place: str, people: Synthetic) -> Iterator[Row]:
    """A county's list of 2003; both counties used the number 2003-0127."""
    for count, number in enumerate(("2003-0125", "2003-0126", "2003-0127"), 1):
        committee = f"{place}中小学教师中级专业技术职务任职资格评审委员会"
        row = _row(
            count,
            people.name(),
            people.identity(),
            committee,
            "中小学教师",
            "小学数学",
            "中级",
            "一级教师",
            "2003-11-05",
        )
        yield {**row, "证书编号": number}


def _row(count: int, name: str, identity: str, committee: str, *about: str) -> Row:
    series, specialty, level, title, awarded_on = about
    return {
        "序号": str(count),
        "姓名": name,
        "证件号码": identity,
        "工作单位": f"合成数据第{count}单位（虚构）",
        "评审委员会": committee,
        "系列": series,
        "专业": specialty,
        "级别": level,
        "资格名称": title,
        "取得方式": "评审",
        "取得资格时间": awarded_on,
    }


def write_xlsx(path: Path, rows: list[Row]) -> None:
    """Write a list as a spreadsheet, every cell as text."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("评审通过人员名单（合成）")
    sheet.append(list(rows[0]))
    for row in rows:
        sheet.append(list(row.values()))
    book.save(path)


def write_csv(path: Path, rows: list[Row]) -> None:
    """Write a list as CSV (UTF-8 with BOM, as spreadsheets like it)."""
    with path.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
