"""An approved list sent over HTTP: a job that survives a reload, its errors at their cells, and what is kept of it."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest

from registry.service import Registry
from registry.terms import Role
from tests.api.bureau import Bureau, Reader, refused
from tests.lists import csv_file, good, identity_number, table, xlsx_file
from tests.people import CITY, CLERK, JINYUN, QINGTIAN
from tests.served import until

DOCUMENT = "丽人社〔2021〕100号"
IMPORTS = "/api/v1/award-imports"


@pytest.fixture
def bureau(registry: Registry) -> Iterator[Bureau]:
    """The service over a fresh registry."""
    made = Bureau(registry)
    yield made
    made.close()


@pytest.fixture
def clerk(bureau: Bureau) -> Reader:
    """The clerk, signed in."""
    return bureau.signed_in(CLERK)


def sent(reader: Reader, file: Path | tuple[str, bytes], query: str = "", **changes: Any) -> httpx.Response:
    """Send a list in."""
    name, data = file if isinstance(file, tuple) else (file.name, file.read_bytes())
    fields = {"authority": CITY, "document": DOCUMENT} | changes.pop("fields", {})
    return reader.post(IMPORTS + query, data=fields, files={"file": (name, data, "text/html")}, **changes)


def ended(bureau: Bureau, reader: Reader, response: httpx.Response) -> Any:
    """The job that a list became, when it has ended."""
    assert response.status_code == 202, response.text
    return bureau.job(reader, response.headers["location"])


def left(bureau: Bureau) -> list[Path]:
    """The files that ended jobs have left in the data folder; a job lets its lock go last."""
    folder = bureau.registry.folder.path / "jobs"
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"] if folder.exists() else []
    until(lambda: not folder.exists() or not [*folder.iterdir()] or found)
    return found


def test_a_list_is_tried_then_taken_in_and_nothing_of_it_is_left(bureau: Bureau, clerk: Reader, tmp_path: Path) -> None:
    file = csv_file(tmp_path, table([good(n) for n in range(1, 4)]))
    before = bureau.registry.log.head()
    tried = ended(bureau, clerk, sent(clerk, file, "?dry_run=true"))
    assert (tried["state"], tried["result"]["dry_run"], tried["result"]["rows"]) == ("done", True, 3)
    assert bureau.registry.log.head() == before
    done = ended(bureau, clerk, sent(clerk, file))
    assert (done["state"], done["result"]["awarded"], done["rows_read"]) == ("done", 3, 3)
    found = clerk.read("/api/v1/titles", min_position=done["result"]["log_position"])["titles"]
    assert len(found) == 3
    again = ended(bureau, clerk, sent(clerk, file))
    assert (again["result"]["awarded"], again["result"]["same"]) == (0, 3)
    assert left(bureau) == []


def test_a_refused_list_names_every_cell_and_comes_back_marked_and_harmless(
    bureau: Bureau, clerk: Reader, tmp_path: Path
) -> None:
    rows = [
        good(1),
        good(2, 级别="初级", 工作单位='=HYPERLINK("http://x","y")'),
        good(3, 备注="@SUM(1)", 系列="无此系列"),
    ]
    rows += [good(4, 专业="+1+1"), good(5, 备注="-2+3"), good(6, 证书编号="\t=1")]
    file = xlsx_file(tmp_path, table(rows))
    before = bureau.registry.log.head()
    job = ended(bureau, clerk, sent(clerk, file))
    assert (job["state"], job["result"]["code"]) == ("refused", "list-refused")
    places = {(one["row"], one["heading"], one["rule"]) for one in job["result"]["errors"]}
    assert {row for row, *_ in places} >= {3, 4}
    assert bureau.registry.log.head() == before

    copy = clerk.get(job["errors_copy"])
    assert copy.headers["content-disposition"] == 'attachment; filename="errors.xlsx"'
    assert "sandbox" in copy.headers["content-security-policy"]
    book = openpyxl.load_workbook(io.BytesIO(copy.content))
    cells = [cell for page in book for row in page.iter_rows() for cell in row if isinstance(cell.value, str)]
    assert not [cell.value for cell in cells if cell.value.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert not [cell for cell in cells if cell.data_type == "f"]
    assert {"'+1+1", "'-2+3", "'@SUM(1)"} <= {cell.value for cell in cells}
    assert b"<f>" not in b"".join(
        zipfile.ZipFile(io.BytesIO(copy.content)).read(f"xl/worksheets/sheet{n}.xml") for n in (1, 2)
    )


def test_a_job_and_its_copy_are_their_owners_only(bureau: Bureau, clerk: Reader, tmp_path: Path) -> None:
    response = sent(clerk, csv_file(tmp_path, table([good(1, 级别="初级")])))
    job = ended(bureau, clerk, response)
    chief = bureau.officer("clerk-09", Role.CLERK)
    for path in (response.headers["location"], job["errors_copy"]):
        others = chief.get(path)
        refused(others, 404, "not-found")
        nowhere = chief.get(path.replace(job["job"], "job-01K00000000000000000000000"))
        assert others.content == nowhere.content
    for strange in ("..", "job-..", "%2e%2e%2fconfig.json", "job-%00", "job-" + "x" * 5_000):
        assert clerk.get(f"/api/v1/jobs/{strange}").status_code == 404


def test_what_a_job_leaves_names_nobody_in_clear(bureau: Bureau, clerk: Reader, tmp_path: Path) -> None:
    name, number = "欧阳见山", identity_number(5)
    ended(bureau, clerk, sent(clerk, csv_file(tmp_path, table([good(5, 姓名=name, 级别="初级")]))))
    path = bureau.registry.folder.path / "requests.db"
    assert path.stat().st_mode & 0o777 == 0o600
    held = b"".join(one.read_bytes() for one in path.parent.glob("requests.db*"))
    for secret in (name, number, "初级"):
        assert secret.encode() not in held
    assert left(bureau) == []


def test_a_job_whose_process_died_is_told_as_interrupted(bureau: Bureau, clerk: Reader, tmp_path: Path) -> None:
    job = ended(bureau, clerk, sent(clerk, csv_file(tmp_path, table([good(1)]))))
    with bureau.app.state.requests.transaction() as c:  # as a process that was killed leaves it
        c.execute("UPDATE jobs SET state='running', result=NULL WHERE id=?", (job["job"],))
    assert clerk.read(f"/api/v1/jobs/{job['job']}")["state"] == "interrupted"


def test_who_may_send_what_where(bureau: Bureau, clerk: Reader, tmp_path: Path) -> None:
    file = csv_file(tmp_path, table([good(1)]))
    office = bureau.officer("office-01", Role.COMMITTEE_OFFICE)
    county = bureau.officer("331121-01", Role.CLERK, QINGTIAN)
    auditor = bureau.officer("audit-01", Role.AUDITOR)
    assert ended(bureau, office, sent(office, file, "?dry_run=true"))["state"] == "done"
    refused(sent(office, file), 403, "forbidden")
    refused(sent(county, file), 403, "forbidden")
    refused(sent(county, file, fields={"authority": JINYUN}), 403, "forbidden")
    refused(sent(auditor, file, "?dry_run=true"), 403, "forbidden")
    refused(sent(bureau.nobody(), file), 401, "sign-in-needed")
    assert clerk.read("/api/v1/titles")["titles"] == []


def bomb() -> bytes:
    """An .xlsx whose one sheet unpacks to 200 MB."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("[Content_Types].xml", "<Types/>")
        with package.open("xl/worksheets/sheet1.xml", "w") as sheet:
            for _ in range(200):
                sheet.write(bytes(1 << 20))
    return out.getvalue()


def traversal() -> bytes:
    """An .xlsx with a part that would be unpacked elsewhere."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        package.writestr("../../title-registry-escaped", "x")
    return out.getvalue()


@pytest.mark.parametrize(
    "file",
    [
        ("list.xlsx", bomb()),
        ("list.xlsx", traversal()),
        ("../../etc/passwd", b"x"),
        ("list.xls", b"\xd0\xcf\x11\xe0"),
        ("list.csv", b"\x00\xff\xfe not a list"),
        ("list.jsonl", b"{"),
        ("", b"x"),
        ("a" * 300 + ".csv", "姓名\n".encode()),
        ("list.CSV\x00.exe", b"x"),
    ],
    ids=["bomb", "traversal", "path", "xls", "bytes", "json", "nameless", "long", "nul"],
)
def test_what_is_no_list_is_refused_whole(bureau: Bureau, clerk: Reader, file: tuple[str, bytes]) -> None:
    before = bureau.registry.log.head()
    response = sent(clerk, file)
    if response.status_code == 202:
        job = bureau.job(clerk, response.headers["location"])
        assert job["state"] == "refused", job
        assert job["result"]["code"]
        assert job["result"]["fix"]
    else:
        refused(response, 422, "bad-request")
    assert bureau.registry.log.head() == before
    assert left(bureau) == []
    folders = [bureau.registry.folder.path, *bureau.registry.folder.path.parents[:4]]
    assert [one for one in folders if (one / "title-registry-escaped").exists()] == []


def test_a_form_is_read_strictly(bureau: Bureau, clerk: Reader, tmp_path: Path) -> None:
    file = csv_file(tmp_path, table([good(1)]))
    refused(sent(clerk, file, "?dry_run=perhaps"), 422, "bad-request", "query/dry_run")
    refused(sent(clerk, file, "?dryrun=true"), 422, "bad-request")
    refused(sent(clerk, file, fields={"authority": "999999"}), 422, "bad-request", "/authority")
    refused(sent(clerk, file, fields={"document": " "}), 422, "bad-request", "/document")
    refused(sent(clerk, ("list.csv", b"")), 422, "bad-request", "/file")
    refused(sent(clerk, ("list.csv", bytes(33 * 1024 * 1024))), 413, "too-large")
    refused(clerk.post(IMPORTS, {}), 422, "bad-request")
    other = clerk.post(IMPORTS, data={"authority": CITY, "document": DOCUMENT}, files={"list": ("a.csv", b"x")})
    refused(other, 422, "bad-request", "/list")


def test_the_same_list_under_one_key_is_one_job(bureau: Bureau, clerk: Reader, tmp_path: Path) -> None:
    file = csv_file(tmp_path, table([good(1)]))
    first = sent(clerk, file, key="list-1")
    second = sent(clerk, file, key="list-1")  # the boundary of the form is another one
    assert first.headers["location"] == second.headers["location"]
    assert first.json() == second.json()
    refused(sent(clerk, file, key="list-1", fields={"document": "另一文号"}), 422, "idempotency-key-reused")
    assert ended(bureau, clerk, first)["state"] == "done"
