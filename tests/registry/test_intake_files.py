"""Files that come in: CSV and JSON Lines in every encoding, headings in any order, and files that are refused whole."""

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from registry.catalogue.catalogue import load_catalogue
from registry.errors import BadInput, NotFound
from registry.intake.repeats import Repeats
from registry.intake.rows import read_list
from tests.lists import (
    DOCUMENT,
    HEADINGS,
    TODAY,
    awards_of,
    csv_bytes,
    csv_file,
    errors_of,
    good,
    identity_number,
    jsonl_file,
    opened,
    rows_of,
    table,
    xlsx_file,
)


def written(folder: Path, data: bytes, name: str = "名单.csv") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def refused(path: Path) -> BadInput:
    with pytest.raises(BadInput) as caught:
        opened(path)
    assert caught.value.message.startswith(path.name)
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_csv_is_read_in_the_encodings_of_spreadsheet_programs(tmp_path: Path, encoding: str) -> None:
    rows = [good(n, 姓名=name) for n, name in enumerate(["林晓岚", "㛃䶮", "𠮷野", "阿依古丽·买买提"])]
    awards = awards_of(csv_file(tmp_path, table(rows), encoding))
    assert [award.person.name for award in awards] == ["林晓岚", "㛃䶮", "𠮷野", "阿依古丽·买买提"]
    assert {award.approval_document for award in awards} == {DOCUMENT}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_json_lines_are_read_in_the_same_encodings(tmp_path: Path, encoding: str) -> None:
    line = json.dumps({key: value for key, value in good().items() if value}, ensure_ascii=False)
    path = written(tmp_path, f"{line}\n".encode(encoding), "名单.jsonl")
    assert awards_of(path) == awards_of(csv_file(tmp_path, table([good()])))


def test_gb18030_of_2022_has_no_private_characters(tmp_path: Path) -> None:
    data = csv_bytes(table([good(姓名="林甲岚")]), "gb18030").replace(
        "林甲岚".encode("gb18030"), b"\xc1\xd6\xfe\x59\xe1\xb0"
    )
    (award,) = awards_of(written(tmp_path, data))
    assert award.person.name == "林\u9fb4岚"


@pytest.mark.parametrize("write", [csv_file, xlsx_file])
def test_headings_stand_in_any_order_and_by_other_names(tmp_path: Path, write: Any) -> None:
    headings = random.Random(5).sample(HEADINGS, len(HEADINGS))
    cells = table([good(n) for n in range(3)], headings)
    other = {
        "证件号码": "*身份证号码",
        "姓名": "姓 名",
        "评审委员会": "评委会名称",
        "取得资格时间": "取得资格时间（必填）",
    }
    cells[0] = [other.get(heading, heading) for heading in headings]
    assert awards_of(write(tmp_path, cells)) == awards_of(csv_file(tmp_path, table([good(n) for n in range(3)])))


def test_a_title_may_stand_above_the_headings_and_rows_keep_their_numbers(tmp_path: Path) -> None:
    cells = [["评审通过人员名单"], [], *table([good(1), {}, good(2, 级别="初级")])]
    (first, second) = rows_of(csv_file(tmp_path, cells))
    assert (first.number, second.number) == (4, 6)
    assert isinstance(second.result, tuple)
    assert [(error.row, error.column) for error in second.result] == [(6, "L")]


@pytest.mark.parametrize("mark", ["\t", ";"])
def test_another_delimiter_is_told_by_the_headings(tmp_path: Path, mark: str) -> None:
    data = "\n".join(mark.join(map(str, row)) for row in table([good()]))
    assert len(awards_of(written(tmp_path, data.encode()))) == 1


def test_columns_the_form_does_not_use_are_named(tmp_path: Path) -> None:
    cells = table([good()])
    cells[0].append("联系电话")
    cells[1].append("0578-000 0000")
    listed = opened(csv_file(tmp_path, cells))
    assert listed.ignored == ("联系电话",)
    assert len(list(listed)) == 1


def test_numbered_rows_without_a_person_are_no_rows(tmp_path: Path) -> None:
    cells = table([good(1), {"序号": "2"}, {"序号": "3"}, dict.fromkeys(HEADINGS, " ")])
    assert [row.number for row in rows_of(csv_file(tmp_path, cells))] == [2]


def test_a_broken_byte_is_named_in_its_row(tmp_path: Path) -> None:
    data = csv_bytes(table([good(1), good(2, 姓名="林晓岚"), good(3)]))
    broken = data.replace("林晓岚".encode(), "林晓岚".encode()[:-1], 2).replace(
        "林晓岚".encode()[:-1], "林晓岚".encode(), 1
    )
    (error,) = errors_of(written(tmp_path, broken))
    assert (error.row, error.column, error.rule) == (3, "B", "encoding")
    assert "0xE5" in error.message


def test_a_broken_byte_in_gb18030_is_named_in_its_row(tmp_path: Path) -> None:
    data = csv_bytes(table([good(1), good(2, 工作单位="某某局")]), "gb18030").replace(
        "某某局".encode("gb18030"), b"\xc4\xb3\xff\xff"
    )
    (error,) = errors_of(written(tmp_path, data))
    assert (error.row, error.column, error.rule) == (3, "H", "encoding")


BAD_CSV_ROWS = [
    (lambda row: [*row, "多", "余"], "too-many-cells"),
    (lambda row: ["x" * 70_000, *row[1:]], "row-too-long"),
    (lambda row: [*row, *[""] * 600], "row-too-long"),
]


@pytest.mark.parametrize(("spoil", "rule"), BAD_CSV_ROWS)
def test_a_row_that_is_not_one_is_named_and_the_next_is_read(tmp_path: Path, spoil: Any, rule: str) -> None:
    cells = table([good(1), good(2), good(3)])
    cells[2] = spoil(cells[2])
    rows = rows_of(csv_file(tmp_path, cells))
    assert [row.number for row in rows] == [2, 3, 4]
    assert isinstance(rows[1].result, tuple)
    assert [error.rule for error in rows[1].result] == [rule]
    assert not isinstance(rows[2].result, tuple)


def test_a_quote_that_never_ends_is_named_where_it_begins(tmp_path: Path) -> None:
    data = csv_bytes(table([good(1), good(2, 备注="开口")])).replace("开口".encode(), '"开口'.encode())
    (error,) = errors_of(written(tmp_path, data))
    assert (error.row, error.rule) == (3, "csv-quotes")


def test_missing_cells_at_the_end_of_a_row_are_empty(tmp_path: Path) -> None:
    cells = table([good()])
    cells[1] = cells[1][: HEADINGS.index("证书编号")]
    (award,) = awards_of(csv_file(tmp_path, cells))
    assert award.number is None


GOOD_LINE = json.dumps(good(2), ensure_ascii=False)
BAD_LINES = [
    ("{", "bad-json"),
    ("姓名：林晓岚", "bad-json"),
    ("[1, 2]", "bad-json"),
    ('"林晓岚"', "bad-json"),
    ("null", "bad-json"),
    ("[" * 100_000, "bad-json"),
    ("[" * 60_000, "bad-json"),
    ('{"序号": NaN}', "bad-json"),
    ('{"序号": ' + "9" * 5_000 + "}", "bad-json"),
    (GOOD_LINE[:-1] + ', "姓名": "又一个"}', "duplicate-heading"),
    (GOOD_LINE[:-1] + ', "name": "又一个"}', "duplicate-heading"),
    (GOOD_LINE.replace('"姓名"', '"名"'), "missing-heading"),
    (GOOD_LINE.replace('"林晓岚"', '["林晓岚"]'), "bad-json"),
    (GOOD_LINE.replace('"林晓岚"', '{"姓": "林"}'), "bad-json"),
    (GOOD_LINE.replace('"林晓岚"', "null"), "required"),
    (GOOD_LINE.replace('"林晓岚"', '"\\ud83d"'), "control-character"),
    (GOOD_LINE.replace(f'"{identity_number(2)}"', identity_number(2).replace("X", "1")), "identity-rounded"),
]


@pytest.mark.parametrize(("line", "rule"), BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_bad_json_line_is_named_and_the_next_is_read(tmp_path: Path, line: str, rule: str) -> None:
    first, last = (json.dumps(good(n), ensure_ascii=False) for n in (1, 3))
    rows = rows_of(written(tmp_path, f"{first}\n\n{line}\n{last}\n".encode(), "名单.jsonl"))
    assert [row.number for row in rows] == [1, 3, 4]
    assert isinstance(rows[1].result, tuple)
    assert [(error.row, error.column, error.rule) for error in rows[1].result] == [(3, "", rule)]


def test_json_lines_take_field_names_and_stray_orders(tmp_path: Path) -> None:
    row = good()
    named = {"name": row["姓名"], "identity": row["证件号码"], "committee": row["评审委员会"], "series": row["系列"]}
    named |= {"specialty": "建筑工程", "level": "中级", "title_name": "工程师", "awarded_on": "2021-09-20"}
    turned = dict(reversed(named.items())) | {"identity": identity_number(2)}
    first, second = awards_of(jsonl_file(tmp_path, [named, turned]))
    assert (first.person.name, second.person.name) == ("林晓岚", "林晓岚")


def headings_without(name: str) -> list[str]:
    return [heading for heading in HEADINGS if heading != name]


def renamed(old: str, new: str) -> bytes:
    return csv_bytes([[new if h == old else h for h in HEADINGS], *table([good()])[1:]])


REFUSED: list[tuple[str, bytes, str, str]] = [
    # file, content, rule, what the message or fix says
    ("名单.csv", b"", "empty-file", ""),
    ("名单.csv", b"\xef\xbb\xbf\r\n\r\n", "empty-file", ""),
    ("名单.csv", csv_bytes(table([])), "empty-list", ""),
    ("名单.csv", csv_bytes(table([good()], headings_without("证件号码"))), "missing-heading", "证件号码"),
    ("名单.csv", renamed("证件号码", "证件号马"), "missing-heading", "“证件号马”请改为“证件号码”"),
    ("名单.csv", renamed("证书编号", "证书编码"), "unknown-heading", "“证书编码”请改为“证书编号”"),
    ("名单.csv", renamed("备注", "姓名"), "duplicate-heading", "B 列和 T 列"),
    ("名单.csv", renamed("备注", "身份证号"), "duplicate-heading", "D 列和 T 列"),
    ("名单.csv", "没有,标题\n".encode() * 20, "missing-heading", "姓名"),
    ("名单.csv", csv_bytes(table([good()]), "utf-16"), "encoding-utf16", "UTF-8"),
    ("名单.csv", csv_bytes(table([good()]), "utf-16-le"), "encoding-utf16", "UTF-8"),
    ("名单.csv", b"PK\x03\x04rest", "wrong-kind", ".xlsx"),
    ("名单.jsonl", b"[\n", "bad-json", "JSON"),
    ("名单.jsonl", csv_bytes(table([good()])), "bad-json", "JSON"),
    ("名单.jsonl", '{"姓名": "林晓岚"}\n'.encode(), "missing-heading", "证件号码"),
    ("名单.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old-format", ".xlsx"),
    ("名单.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old-format", ".xlsx"),
    ("名单.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "password", "取消密码"),
    ("名单.xlsx", b"", "empty-file", ""),
    ("名单.xlsx", b"<html><table>", "corrupt", "另存为"),
    ("名单.xlsx", b"PK\x03\x04 cut off", "corrupt", "另存为"),
    ("名单.pdf", b"%PDF-1.7", "unknown-kind", ".csv"),
    ("名单", b"x", "unknown-kind", ".csv"),
]


@pytest.mark.parametrize(("name", "data", "rule", "said"), REFUSED, ids=range(len(REFUSED)))
def test_a_file_is_refused_before_its_first_row(tmp_path: Path, name: str, data: bytes, rule: str, said: str) -> None:
    error = refused(written(tmp_path, data, name))
    assert error.about["rule"] == rule
    assert said in error.message + error.fix


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "没有.csv").about["rule"] == "no-file"


def test_a_list_needs_an_approval_document_and_a_known_authority(tmp_path: Path) -> None:
    path, catalogue = csv_file(tmp_path, table([good()])), load_catalogue()
    with pytest.raises(BadInput, match="批准文号"):
        read_list(path, authority="331100", document="  ", catalogue=catalogue, today=TODAY)
    with pytest.raises(NotFound, match="330100"):
        read_list(path, authority="330100", document=DOCUMENT, catalogue=catalogue, today=TODAY)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_long_list_streams_in_flat_memory(tmp_path: Path, suffix: str) -> None:
    def peak(rows: int) -> int:
        people = [good(n) for n in range(1, rows + 1)]
        path = csv_file(tmp_path, table(people)) if suffix == "csv" else jsonl_file(tmp_path, people)
        del people
        tracemalloc.start()
        assert sum(1 for _ in opened(path)) == rows
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(4_000) - peak(1_000) < 3_000 * 400  # bytes a row; rows that are kept take over 800


def test_repeats_are_found_as_a_dict_finds_them() -> None:
    rnd, repeats, seen = random.Random(3), Repeats(), dict[str, int]()
    for row in range(1, 20_000):
        value = str(rnd.randrange(8_000))
        assert repeats.first_row(value, row) == seen.get(value)
        seen.setdefault(value, row)
