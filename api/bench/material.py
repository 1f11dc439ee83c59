"""What the measurements work on: lists of synthetic people as CSV, registries filled from them, certificates."""

import csv
import random
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

from api.bench.opening import PASSPHRASE
from api.demo.bureau import Appointment, open_bureau
from api.demo.people import NOBODYS_DISTRICT
from api.documents.delivery import proof_of
from api.documents.press import Press
from registry.folder import Config
from registry.holders.identity import check_character
from registry.intake.rows import read_list
from registry.service import Registry
from registry.terms import Role
from registry.titles.award import AwardTitle

OFFICER, AUTHORITY, DOCUMENT = "bench", "331100", "BENCH〔2021〕1号"
COMMITTEE = "市建设工程技术人员中级专业技术职务任职资格评审委员会"
_HEADINGS = (
    "姓名",
    "证件号码",
    "工作单位",
    "评审委员会",
    "系列",
    "专业",
    "级别",
    "资格名称",
    "取得资格时间",
    "证书编号",
)
_FIRST = date(1955, 1, 1)


def write_list(path: Path, rows: int, after: int = 0) -> None:
    """Write a list of synthetic people as CSV; every row, here and after others, is another person."""
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(_HEADINGS)
        for n in range(after, after + rows):
            # 14,985,000 people a district code, by birth date and sequence; both codes are assigned to no place
            district = int(NOBODYS_DISTRICT) - n // 14_985_000
            born = _FIRST + timedelta(days=n // 999 % 15_000)
            first = f"{district}{born:%Y%m%d}{n % 999 + 1:03d}"
            title = ("工程技术人员", "建筑工程", "中级", "工程师", "2021-10-18", f"B{n:09d}")
            writer.writerow(("合成人员", first + check_character(first), f"虚构单位{n % 500}", COMMITTEE, *title))


def new_registry(folder: Path, database: str = "") -> Registry:
    """A registry in a new folder, with an officer who may award and issue."""
    config = Config(base_url="http://127.0.0.1:8000", sample=True, database=database)
    registry = Registry.create(folder, PASSPHRASE, config)
    open_bureau(registry, (Appointment(OFFICER, "样例测量", (Role.CLERK,)),))
    return registry


def commands(registry: Registry, folder: Path, count: int, after: int = 0) -> Iterator[AwardTitle]:
    """That many awards, each judged as a row of a list is when it is taken."""
    source = folder / f"awards-{after}.csv"
    write_list(source, count, after)
    rows = read_list(source, authority=AUTHORITY, document=DOCUMENT, catalogue=registry.catalogue, today=registry.today)
    return (row.result for row in rows if not isinstance(row.result, tuple))


def issue_some(registry: Registry, press: Press, count: int) -> list[str]:
    """Issue so many certificates, of titles all over the register, in two appends; return their codes."""
    streams: Sequence[str] = registry.register.without_certificate()
    chosen = random.Random(count).sample(streams, min(count, len(streams)))  # noqa: S311 - no secret
    return [one.code for one in registry.issuing.issue(chosen, proof_of(registry, press), officer=OFFICER)]
