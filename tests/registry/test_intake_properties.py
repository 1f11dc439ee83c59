"""What always holds of a list: a right row is an award that says the same; any row is one Row and no exception."""

import tempfile
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from registry.catalogue.catalogue import load_catalogue
from registry.holders.identity import born, sex
from registry.intake.form import FORM, match
from registry.intake.judge import Judge
from registry.intake.table import Record, Row
from registry.titles.award import AwardTitle
from tests.lists import (
    DOCUMENT,
    HEADINGS,
    TODAY,
    csv_file,
    good,
    identity_number,
    jsonl_file,
    rows_of,
    table,
    xlsx_file,
)

HAN = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5)
NAMES = st.text(HAN, min_size=1, max_size=6) | st.lists(
    st.text(HAN, min_size=1, max_size=20), min_size=2, max_size=3
).map("·".join)
WORDS = st.text(HAN | st.sampled_from("A1（）-"), min_size=1, max_size=60).filter(lambda text: not text.startswith("-"))
NUMBERS = st.text(st.sampled_from("0123456789浙〔〕（）-０１Ａ"), min_size=1, max_size=64)
DAYS = st.dates(date(2021, 1, 1), date(2021, 12, 31))
WRITTEN = [
    lambda day: day.isoformat(),
    lambda day: f"{day.year}/{day.month}/{day.day}",
    lambda day: f"{day.year}.{day.month}.{day.day}",
    lambda day: f"{day.year}年{day.month}月{day.day}日",
]


@st.composite
def right_rows(draw: st.DrawFn) -> dict[str, Any]:
    """A row that is right, and under "day" the day meant."""
    n, day = draw(st.integers(1, 30_000)), draw(DAYS)
    write = draw(st.sampled_from(WRITTEN))
    number = draw(NUMBERS | st.just(""))
    row = good(n, 姓名=draw(NAMES), 专业=draw(WORDS), 工作单位=draw(WORDS), 证书编号=number)
    return row | {"取得资格时间": write(day), "公布日期": "", "day": day}


def in_file(write: Callable[..., Path], rows: Iterable[Any]) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return rows_of(write(Path(folder), rows))


@given(right_rows(), st.permutations(HEADINGS))
def test_a_right_row_is_an_award_that_says_the_same(row: dict[str, Any], headings: list[str]) -> None:
    (found,) = in_file(csv_file, table([row], headings))
    award = found.result
    assert isinstance(award, AwardTitle), award
    assert (award.person.name, award.person.identity.number) == (row["姓名"], row["证件号码"])
    assert (award.person.sex, award.person.born) == (sex(award.person.identity), born(award.person.identity))
    assert (award.specialty, award.employer, award.number or "") == (row["专业"], row["工作单位"], row["证书编号"])
    assert (award.awarded_on, award.committee_key, award.authority) == (row["day"], "A1-1-17", "331100")


@given(right_rows())
@settings(max_examples=20)
def test_all_kinds_of_files_say_the_same(row: dict[str, Any]) -> None:
    plain = {heading: row[heading] for heading in HEADINGS}
    results = [in_file(csv_file, table([plain])), in_file(xlsx_file, table([plain])), in_file(jsonl_file, [plain])]
    assert {found.result for (found,) in results} == {results[0][0].result}


TEXTS = st.text(max_size=30)
SCALARS = TEXTS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
CELLS = SCALARS | st.floats() | st.dates() | st.datetimes() | st.times() | st.timedeltas()
OF_NOTHING = {"备注": "一行"}  # so that the row is never blank


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(HEADINGS, TEXTS)))
def test_any_text_in_csv_is_one_row(values: dict[str, str]) -> None:
    (row,) = in_file(csv_file, table([good() | values | OF_NOTHING]))
    assert row.number == 2


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(HEADINGS, SCALARS)))
def test_any_value_in_json_is_one_row(values: dict[str, Any]) -> None:
    (row,) = in_file(jsonl_file, [good() | values | OF_NOTHING])
    assert row.number == 1


@given(st.lists(CELLS, min_size=len(FORM), max_size=len(FORM)))
def test_any_cells_of_a_spreadsheet_are_one_row(cells: list[Any]) -> None:
    columns, _ = match([column.heading for column in FORM])
    judge = Judge("名单", authority="331100", document=DOCUMENT, catalogue=load_catalogue(), today=TODAY)
    row = judge.row(Record(7, tuple(cells), columns))
    assert row.number == 7
    assert isinstance(row.result, tuple)
    assert row.result
    assert all(error.row == 7 and error.rule and error.message and error.fix for error in row.result)


@given(st.binary(max_size=400))
def test_any_bytes_under_right_headings_are_rows_or_errors(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = csv_file(Path(folder), table([good()]))
        path.write_bytes(path.read_bytes() + data)
        assert len(rows_of(path)) >= 1


@given(st.integers(1, 30_000))
def test_the_same_person_and_title_is_found_again(n: int) -> None:
    rows = [good(n), good(n + 1), good(n, 证书编号="另一个号")]
    last = in_file(csv_file, table(rows))[-1]
    assert isinstance(last.result, tuple)
    assert [error.rule for error in last.result] == ["repeated-title"]
    assert identity_number(n) == last.result[0].raw
