"""What the measurements work on: a list of synthetic people as CSV, a registry filled from it, one certificate."""

import csv
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import msgspec

from api.demo.bureau import Appointment, open_bureau
from api.demo.people import NOBODYS_DISTRICT
from api.documents.delivery import proof_of
from api.documents.press import Press
from registry.folder import Config
from registry.holders.identity import check_character
from registry.intake.importing import ImportReceipt
from registry.service import Registry
from registry.terms import Role

PASSPHRASE = b"bench only"
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


def write_list(path: Path, rows: int) -> None:
    """Write a list of synthetic people as CSV; every row is another person."""
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(_HEADINGS)
        for n in range(rows):
            # 49,950 people a district code; both codes are assigned to no place
            district = int(NOBODYS_DISTRICT) - n // 15_000_000
            born = _FIRST + timedelta(days=n // 999 % 15_000)
            first = f"{district}{born:%Y%m%d}{n % 999 + 1:03d}"
            title = ("工程技术人员", "建筑工程", "中级", "工程师", "2021-10-18", f"B{n:09d}")
            writer.writerow(("合成人员", first + check_character(first), f"虚构单位{n % 500}", COMMITTEE, *title))


def new_registry(folder: Path) -> Registry:
    """A registry in a new folder."""
    registry = Registry.create(folder, PASSPHRASE, Config(base_url="http://127.0.0.1:8000", sample=True))
    open_bureau(registry, (Appointment("bench", "样例测量", (Role.CLERK,)),))
    return registry


def import_apart(folder: Path, source: Path) -> tuple[ImportReceipt, float, float]:
    """Import in a process of its own: the receipt, seconds, and the growth of its peak memory in MB."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "api.bench.importer", folder, source], check=True, capture_output=True, text=True
    )
    told = msgspec.json.decode(done.stdout, type=tuple[ImportReceipt, float, float])
    return told[0], told[1], told[2]


def issue_one(registry: Registry, press: Press) -> str:
    """Issue one certificate; return its code."""
    stream = registry.register.without_certificate()[0]
    return registry.issue(stream, proof_of(registry, press), officer="bench").code
