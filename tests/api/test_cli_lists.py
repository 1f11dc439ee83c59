"""Approved lists on the command line: dry run, receipt, refusal with every error, the annotated copy, the template."""

import json
from hashlib import sha256
from pathlib import Path

from openpyxl import load_workbook

from tests.api.conftest import LIST, Cli
from tests.lists import csv_file, good, table, xlsx_file


def bad_rows() -> list[dict[str, str]]:
    """Three rows: one is right, one was rounded by a spreadsheet, one has a day that does not exist."""
    return [good(31), good(32, 证件号码="3.31102E+17"), good(33, 取得资格时间="2021-02-30")]


def test_a_dry_run_counts_and_writes_nothing_then_the_import_gives_a_receipt(cli: Cli) -> None:
    path = csv_file(cli.folder, table([good(31), good(32)]))
    before = cli.position()
    dry = cli.data("import", "awards", str(path), *LIST, "--dry-run")
    assert (dry["rows"], dry["awarded"], dry["same"], dry["dry_run"]) == (2, 2, 0, True)
    assert cli.position() == before
    done = cli.data("import", "awards", str(path), *LIST)
    assert (done["rows"], done["awarded"], done["same"]) == (2, 2, 0)
    assert done["sha256"] == sha256(path.read_bytes()).hexdigest()
    assert cli.position() == before + 4  # two people and two titles


def test_the_same_file_twice_changes_nothing(cli: Cli) -> None:
    before = cli.position()
    again = cli.ok("import", "awards", "list.csv", *LIST)
    assert "Already so  7" in again.stdout
    assert cli.position() == before


def test_a_refused_list_names_row_column_value_rule_and_what_to_do(cli: Cli) -> None:
    path = csv_file(cli.folder, table(bad_rows()))
    result = cli.refused("import", "awards", str(path), *LIST, code="list-refused")
    rounded = next(line for line in result.stdout.splitlines() if "3.31102E+17" in line)
    assert rounded.split()[:5] == ["3", "D", "证件号码", "3.31102E+17", "identity-rounded"]
    assert "2021-02-30" in result.stdout


def test_every_error_is_in_the_json_and_at_most_50_in_the_table(cli: Cli) -> None:
    path = csv_file(cli.folder, table(good(n, 取得资格时间="2021-02-30") for n in range(100, 160)))
    shown = cli.refused("import", "awards", str(path), *LIST, code="list-refused")
    assert shown.stdout.count("2021-02-30") == 50
    assert "The first 50 of 60 errors are shown" in shown.stderr
    told = cli.refused("import", "awards", str(path), *LIST, "-o", "json", code="list-refused")
    errors = json.loads(told.stdout)["errors"]
    assert [(one["row"], one["column"], one["rule"]) for one in errors] == [
        (n, "O", "date-invalid") for n in range(2, 62)
    ]


def test_the_annotated_copy_marks_the_cells_that_are_wrong(cli: Cli) -> None:
    path = xlsx_file(cli.folder, table(bad_rows()))
    cli.refused("import", "awards", str(path), *LIST, "--errors-to", "marked.xlsx", code="list-refused")
    page = load_workbook(cli.folder / "marked.xlsx").worksheets[0]
    marked = {cell.coordinate for row in page.iter_rows() for cell in row if cell.comment}
    assert {"D3", "O4"} <= marked


def test_a_list_that_cannot_be_used_at_all(cli: Cli, tmp_path: Path) -> None:
    other = tmp_path / "list.pdf"
    other.write_bytes(b"%PDF-1.4")
    cli.refused("import", "awards", str(other), *LIST, code="bad-input", says="不能识别后缀")
    cli.usage("import", "awards", "gone.csv", *LIST, says="there is no file gone.csv")
    cli.usage(
        "import", "awards", "list.csv", *LIST, "--errors-to", "no/where.xlsx", says="the folder no does not exist"
    )
    cli.refused(
        "import", "awards", "list.csv", "--authority", "999999", "--document", "x", code="not-found", says="331100"
    )


def test_the_template_is_a_list_that_the_import_understands(cli: Cli) -> None:
    cli.ok("import", "template", "form.xlsx")
    cli.refused("import", "awards", "form.xlsx", *LIST, code="bad-input", says="没有一行内容")
    cli.usage("import", "template", "form.xlsx", says="exists already")
    cli.ok("import", "template", "form.xlsx", "--force")
    cli.usage("import", "template", "form.csv", says="ends in .xlsx")
