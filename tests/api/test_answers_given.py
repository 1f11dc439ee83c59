"""Every door records the answers it gives; a killed service loses moments at most; an officer gets the recall."""

import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from registry.folder import Folder
from registry.terms import Role
from tests.api.conftest import NUMBERS, Cli
from tests.people import identity_number
from tests.served import NAME, Cabinet, copied, serving, until

UNKNOWN = "ZKYFSZ7WZKYFSZ7WY"
NOW = datetime.now(UTC)


def files(data: Path) -> list[Path]:
    return sorted(Folder(data).answers.glob("*.db"))


def rows(data: Path, columns: str = "channel, status, code", table: str = "answers") -> list[tuple[Any, ...]]:
    """What another program reads from the files, which must be whole."""
    found = list[tuple[Any, ...]]()
    for path in files(data):
        with closing(sqlite3.connect(path)) as c:
            assert c.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            found += c.execute(f"SELECT {columns} FROM {table} ORDER BY id").fetchall()
    return found


@pytest.fixture
def data(cabinet: Cabinet, tmp_path: Path) -> Path:
    """A copy without the answers that other tests have got of it."""
    data = copied(cabinet.registry.folder.path, tmp_path / "data")
    shutil.rmtree(data / "answers", ignore_errors=True)
    return data


def test_every_door_records_and_nothing_of_the_asker_is_kept(data: Path, cabinet: Cabinet) -> None:
    code, pdf = cabinet.valid.code, cabinet.pdf(cabinet.valid)
    asker = {
        "User-Agent": "Mozilla/5.0 (asker)",
        "X-Forwarded-For": "203.0.113.77",
        "Authorization": "Bearer asker-secret",
        "Cookie": "who=asker",
        "Referer": "https://employer.example.cn/staff/42",
    }
    with serving(data) as site:
        site.headers.update(asker)
        site.verified(code)
        site.verified(code, as_of="2025-01-01", known_at="2024-01-01T00:00:00+08:00")
        site.get(f"/v/{code}", params={"lang": "en", "by": "asker"})
        site.asked(code)
        site.asked(cabinet.qr(cabinet.valid))
        site.asked(cabinet.digits(cabinet.revoked))
        site.uploaded(pdf, "asker.pdf")
        site.post("/v", files={"file": ("asker.pdf", pdf)})
        site.post("/api/v1/verifications/batch", json={"codes": [code, UNKNOWN, cabinet.superseded.code]})
        site.verified(UNKNOWN)
        site.get("/v/nobodys-code")
        site.uploaded(b"no certificate", "asker.txt")
        site.stop()
    code, revoked, superseded = (one.code[:16] for one in (cabinet.valid, cabinet.revoked, cabinet.superseded))
    assert rows(data) == [
        ("code-json", "valid", code),
        ("code-page", "valid", code),
        ("code-json", "valid", code),
        ("token", "valid", code),
        ("token", "revoked", revoked),
        ("file", "valid", code),
        ("file", "valid", code),
        ("batch", "valid", code),
        ("batch", "superseded", superseded),
    ]
    counted = Counter[tuple[str, str]]()
    for channel, status, count in rows(data, "channel, status, count", "tallies"):
        counted[channel, status] += count
    assert counted == {
        ("code-json", "unknown"): 2,  # one of them as it was known before there was anything
        ("batch", "unknown"): 1,
        ("code-page", "unknown"): 1,
        ("file", "unreadable"): 1,
    }
    content = b"".join(path.read_bytes() for path in Folder(data).answers.iterdir())
    for private in (NAME, "林*岚", identity_number(1), UNKNOWN[:16], "nobodys", *asker.values(), "asker", "127.0.0.1"):
        assert private.encode() not in content, private


def test_answers_are_written_while_the_service_goes_on_and_a_kill_loses_moments_at_most(
    data: Path, cabinet: Cabinet
) -> None:
    code = cabinet.valid.code
    with serving(data) as site:
        for _ in range(50):
            site.verified(code)
        until(lambda: len(rows(data)) == 50)
        for _ in range(50):
            site.verified(code)
        site.process.kill()
        site.process.wait()
    assert 50 <= len(rows(data)) <= 100
    before = len(rows(data))
    with serving(data) as site:
        site.verified(code)
        site.stop()
    assert rows(data)[before:] == [("code-json", "valid", code[:16])]


def test_several_service_processes_write_one_file(data: Path, cabinet: Cabinet) -> None:
    with serving(data, workers=2) as site:
        for _ in range(100):
            answer = httpx.get(f"{site.base_url}/api/v1/verifications/{cabinet.valid.code}")  # a new connection
            assert answer.json()["status"] == "valid"
        site.stop()
    assert len(rows(data)) == 100


def test_a_log_that_cannot_be_written_stops_no_verification_and_is_said(data: Path, cabinet: Cabinet) -> None:
    code = cabinet.valid.code
    folder = Folder(data).answers
    folder.mkdir()
    months = {f"{at.year}-{at.month:02d}.db" for at in (NOW, datetime.now(UTC))}
    for month in months:
        (folder / month).write_bytes(b"garbage" * 1000)
    with serving(data) as site:
        assert site.verified(code)["status"] == "valid"
        until(lambda: "answers not recorded" in site.said)
        assert site.verified(code)["status"] == "valid"
        for month in months:
            (folder / month).unlink()
        until(lambda: files(data) and len(rows(data)) == 2)
        assert site.said.count("answers not recorded") == 1
        assert code not in site.said
        site.stop()


# --- the command line


OPERATOR = ("--officer", "operator-1")


def revoke(cli: Cli, number: str) -> None:
    why = ("--document", "丽人社撤〔2026〕9号", "--reason", "申报材料经查证不实")
    proposal = cli.data("revoke", "propose", number, *why)
    approving = ("--digest", proposal["digest"], "--officer", "chief-02")
    cli.ok("revoke", "approve", proposal["proposal"], *approving)


def test_an_officer_gets_the_answers_that_a_revocation_belies(cli: Cli) -> None:
    code = cli.data("certificates", "issue", NUMBERS[0])["code"]
    assert cli("verify", code).exit_code == 0
    assert cli("verify", code, "--as-of", "2025-05-01").exit_code == 0
    revoke(cli, NUMBERS[0])
    assert cli("verify", code).exit_code == 3
    found = cli.data("titles", "recall", NUMBERS[0])
    told = [(one["status"], one["version"], one["channel"], one["as_of"], one["belied"]) for one in found["answers"]]
    assert told == [("valid", 1, "cli", None, True), ("valid", 1, "cli", "2025-05-01", True)]
    assert found["window"]["from"] == "2021-09-20T00:00:00+08:00"
    assert found["revocation"]["document_no"] == "丽人社撤〔2026〕9号"
    assert (found["complete"], found["lost"]) == (False, 0)
    shown = cli.ok("titles", "recall", NUMBERS[0])
    assert shown.stdout.count("有效") == 2
    assert "answers are kept since" in shown.stderr
    assert NAME not in shown.output


def test_an_empty_recall_says_so_with_its_window(cli: Cli) -> None:
    cli.ok("certificates", "issue", NUMBERS[0])
    revoke(cli, NUMBERS[0])
    shown = cli.ok("titles", "recall", NUMBERS[0])
    assert shown.stdout == ""
    assert "No answer kept in this window said that the title is valid: 2021-09-20 00:00:00 to" in shown.stderr
    assert "no answer at all is kept" in shown.stderr
    assert cli.data("titles", "recall", NUMBERS[0])["answers"] == []


def test_a_recall_is_for_officers_and_for_revoked_titles(cli: Cli) -> None:
    cli.usage("titles", "recall", NUMBERS[0], says="officers only", TITLE_REGISTRY_OFFICER="")
    cli.refused("titles", "recall", NUMBERS[0], code="not-found", says="没有撤销决定")
    cli.appoint("operator-1", Role.OPERATOR)
    for officer in ("operator-1", "nobody"):
        cli.refused("titles", "recall", NUMBERS[0], "--officer", officer, code="forbidden")


def test_pruning_is_for_operators(cli: Cli) -> None:
    cli.usage("answers", "prune", says="officers only", TITLE_REGISTRY_OFFICER="")
    cli.refused("answers", "prune", code="forbidden")
    cli.appoint("operator-1", Role.OPERATOR)
    cli.refused("answers", "prune", "--keep", "5", *OPERATOR, code="bad-input", says="至少保存 6 个月")


def test_the_care_of_the_log(cli: Cli) -> None:
    code = cli.data("certificates", "issue", NUMBERS[0])["code"]
    cli("verify", code)
    cli("verify", UNKNOWN)
    cli.appoint("operator-1", Role.OPERATOR)
    kept = cli.data("answers", "status")
    assert (kept["answers"], kept["counted"], kept["lost"]) == (1, 1, 0)
    folder = cli.folder / "data" / "answers"
    for path in list(folder.iterdir()):  # with what SQLite keeps beside it
        path.rename(folder / f"2019-01{path.name[7:]}")
    assert cli.data("answers", "prune", "--dry-run", *OPERATOR) == [{"month": "2019-01"}]
    assert (folder / "2019-01.db").exists()
    assert cli.data("answers", "prune", *OPERATOR) == [{"month": "2019-01"}]
    assert list(folder.iterdir()) == []
    assert "No file is older than 36 months" in cli.ok("answers", "prune", *OPERATOR).stderr
