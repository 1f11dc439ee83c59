"""Looking at persons on the command line: masked unless an officer in reach asks, and each clear look recorded."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from registry.terms import Role
from tests.api.conftest import IDENTITIES, NAMES, NUMBERS, Cli
from tests.api.test_cli_decisions import propose
from tests.api.test_cli_papers import FORM, SCAN, SUBMIT
from tests.people import JINYUN, QINGTIAN

NOBODY = {"TITLE_REGISTRY_OFFICER": ""}
AUDITOR, OPERATOR, COUNTY = ("--officer", "auditor-1"), ("--officer", "operator-1"), ("--officer", "qt-clerk")
CHIEF = ("--officer", "chief-02")
REASON = "申报材料经查证不实"


@pytest.fixture
def staffed(cli: Cli) -> Cli:
    """The folder with an auditor, an operator and a clerk of a county as well; everything in it is the city's."""
    cli.appoint("auditor-1", Role.AUDITOR)
    cli.appoint("operator-1", Role.OPERATOR)
    cli.appoint("qt-clerk", Role.CLERK, QINGTIAN)
    (cli.folder / "scan.pdf").write_bytes(SCAN)
    (cli.folder / "form.json").write_text(json.dumps(FORM, ensure_ascii=False))
    return cli


@pytest.fixture
def matters(staffed: Cli) -> list[tuple[str, ...]]:
    """Every command that reads, over a title, a proposal, an application and a certificate."""
    proposal = propose(staffed, "revoke", NUMBERS[0])["proposal"]
    application = staffed.data(*SUBMIT)["application"]
    code = staffed.data("certificates", "issue", NUMBERS[1])["code"]
    shutil.rmtree(staffed.folder / "data" / "looks")
    return [
        ("titles", "list"),
        ("titles", "list", "--as-of", "2026-01-01"),
        ("titles", "show", NUMBERS[0]),
        ("holders", "show", NUMBERS[0]),
        ("proposals", "list"),
        ("proposals", "show", proposal),
        ("paper", "list"),
        ("paper", "show", application),
        ("certificates", "show", code),
    ]


def rows(cli: Cli) -> list[tuple[str, ...]]:
    """The looks in the files, oldest first: who, at which door, for what, at what."""
    found = list[tuple[str, ...]]()
    for path in sorted((cli.folder / "data" / "looks").glob("*.db")):
        with closing(sqlite3.connect(path)) as c:
            found += c.execute("SELECT actor, door, purpose, what FROM looks ORDER BY id").fetchall()
    return found


def private(output: str) -> list[str]:
    """What of the persons in the folder is in an output."""
    names = [*NAMES, str(FORM["name"]), *IDENTITIES, *(one[:6] + "********" + one[-4:] for one in IDENTITIES)]
    return [one for one in (*names, REASON) if one in output]


@pytest.mark.parametrize("output", ["table", "json"])
def test_whoever_does_not_say_who_they_are_sees_names_masked(
    staffed: Cli, matters: list[tuple[str, ...]], output: str
) -> None:
    for command in matters:
        result = staffed.ok(*command, "-o", output, **NOBODY)
        assert private(result.output) == [], command
        assert result.stdout, command
    assert "林*岚" in staffed.ok("titles", "show", NUMBERS[0], **NOBODY).stdout
    assert rows(staffed) == []


def test_an_auditor_sees_masked_names_and_is_no_look(staffed: Cli, matters: list[tuple[str, ...]]) -> None:
    for command in matters:
        assert private(staffed.ok(*command, *AUDITOR).output) == [], command
    assert rows(staffed) == []


@pytest.mark.parametrize("officer", [COUNTY, OPERATOR, ("--officer", "nobody")])
def test_whoever_is_out_of_reach_sees_nothing(
    staffed: Cli, matters: list[tuple[str, ...]], officer: tuple[str, ...]
) -> None:
    for command in matters:
        if officer == COUNTY and command[1] == "list":
            assert staffed.data(*command, *officer) == []
            continue
        assert staffed.refused(*command, *officer, code="forbidden").stdout == "", command
    assert rows(staffed) == []


def test_an_officer_in_reach_sees_the_person_and_each_look_is_recorded(
    staffed: Cli, matters: list[tuple[str, ...]]
) -> None:
    seen = {command[:2]: private(staffed.ok(*command).output) for command in matters}
    assert all(seen[command] for command in seen if command[1] == "show" or command[0] == "titles")
    doors = Counter(f"{door} {purpose} {what}" for _, door, purpose, what in rows(staffed))
    assert doors == {
        "cli titles list search title": 2 * len(NUMBERS),
        "cli titles show handling title": 1,
        "cli holders show handling holder": 1,
        "cli proposals show deciding proposal": 1,
        "cli paper show handling application": 1,
        "cli certificates show handling title": 1,
    }
    staffed.ok("titles", "show", NUMBERS[0], "--purpose", "处理本人请求")
    assert rows(staffed)[-1] == ("clerk-01", "cli titles show", "request", "title")
    staffed.usage("titles", "show", NUMBERS[0], "--purpose", "own", says="handling (办理业务)")


def test_nothing_is_shown_where_the_look_cannot_be_recorded(staffed: Cli, matters: list[tuple[str, ...]]) -> None:
    (staffed.folder / "data" / "looks").write_bytes(b"in the way")
    for command in matters:
        if command[0] == "titles" or command[1] == "show":
            refused = staffed.refused(*command, code="unavailable")
            assert (refused.stdout, private(refused.output)) == ("", []), command
    out = staffed.refused("certificates", "issue", NUMBERS[0], "--out", "one.pdf", code="unavailable")
    assert (out.stdout, (staffed.folder / "one.pdf").exists()) == ("", False)
    staffed.ok("titles", "show", NUMBERS[0], *AUDITOR)


LIMIT = 1 << 20  # bytes that a file may have in a process that is short of room
_SHORT = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT}, {LIMIT}))"
_COPY = """INSERT INTO looks SELECT NULL, at, 'somebody', role, over, door, purpose, document, holder, what, stream
  FROM looks WHERE id=1"""


def short_of_room(cli: Cli, *args: str) -> "subprocess.CompletedProcess[str]":
    """Run as the clerk in a process of its own that cannot write beyond the limit."""
    given = {
        "TITLE_REGISTRY_DATA": "data",
        "TITLE_REGISTRY_PASSPHRASE_FILE": "pp",
        "TITLE_REGISTRY_OFFICER": "clerk-01",
    }
    command = [sys.executable, "-c", f"{_SHORT}; from api.cli import main; main()", *args]
    return subprocess.run(command, cwd=cli.folder, env=os.environ | given, capture_output=True, text=True, timeout=60)


def test_on_a_full_disk_nothing_is_shown_that_would_be_a_look(staffed: Cli) -> None:
    staffed.ok("titles", "show", NUMBERS[0])
    (file,) = (staffed.folder / "data" / "looks").glob("*.db")
    waiting = file.with_name(file.name + "-wal")
    with closing(sqlite3.connect(file, isolation_level=None)) as c:  # open, so that what waits is not folded in
        c.execute(_COPY)
        while waiting.stat().st_size < LIMIT:
            c.execute(_COPY)
        size = waiting.stat().st_size
        for command in (("titles", "list"), ("titles", "show", NUMBERS[0])):
            refused = short_of_room(staffed, *command)
            assert (refused.returncode, refused.stdout) == (1, ""), refused.stderr
            assert "Error [unavailable]: 查看记录" in refused.stderr
            assert private(refused.stderr) == []
        masked = short_of_room(staffed, "titles", "list", *AUDITOR)
        assert (masked.returncode, "林*岚" in masked.stdout) == (0, True), masked.stderr
        assert waiting.stat().st_size == size
    assert NAMES[0] in staffed.ok("titles", "show", NUMBERS[0]).stdout


def test_the_second_officer_looks_before_deciding(staffed: Cli) -> None:
    proposal = propose(staffed, "revoke", NUMBERS[0])["proposal"]
    application = staffed.data(*SUBMIT)["application"]
    staffed("revoke", "approve", proposal, *CHIEF, input="n\n")
    staffed.ok("paper", "approve", application, *CHIEF, input="y\n")
    assert rows(staffed)[-2:] == [
        ("chief-02", "cli revoke approve", "deciding", "proposal"),
        ("chief-02", "cli paper approve", "deciding", "application"),
    ]
    before = len(rows(staffed))
    (staffed.folder / "data" / "looks").rename(staffed.folder / "looks")
    (staffed.folder / "data" / "looks").write_bytes(b"in the way")
    refused = staffed.refused("revoke", "approve", proposal, *CHIEF, input="y\n", code="unavailable")
    assert private(refused.output) == []
    assert before > 0


def test_scans_and_documents_are_for_officers_who_see_the_person(staffed: Cli, matters: list[tuple[str, ...]]) -> None:
    application, code = matters[7][2], matters[8][2]
    scans, document = ("paper", "show", application, "--evidence-to", "s"), ("certificates", "show", code, "--out")
    for command in (scans, (*document, "one.pdf"), (*document, "one.svg")):
        staffed.usage(*command, says="--officer ID", **NOBODY)
        assert staffed.refused(*command, *AUDITOR, code="forbidden").stdout == ""
    assert not [path for path in ("s", "one.pdf", "one.svg") if (staffed.folder / path).exists()]
    assert rows(staffed) == []
    staffed.ok(*scans)
    staffed.ok(*document, "one.pdf")
    staffed.ok("certificates", "issue-all", "--out", "all")
    assert [what for *_, what in rows(staffed)] == ["application", "evidence", *["document"] * len(NUMBERS)]


def test_persons_are_searched_by_officers_who_see_them(staffed: Cli) -> None:
    for option, value in (("--name", "林"), ("--identity", "-")):
        staffed.usage("titles", "list", option, value, input=IDENTITIES[0] + "\n", says="--officer ID", **NOBODY)
        refused = staffed.refused(
            "titles", "list", option, value, *AUDITOR, input=IDENTITIES[0] + "\n", code="forbidden"
        )
        assert refused.stdout == ""
        assert staffed.ok("titles", "list", option, value, *COUNTY, input=IDENTITIES[0] + "\n").stdout == ""
        assert NAMES[0] in staffed.ok("titles", "list", option, value, input=IDENTITIES[0] + "\n").stdout


def test_lists_of_an_earlier_day_hold_what_is_in_reach_page_by_page(staffed: Cli) -> None:
    county = ("paper", "submit", "--scan", "scan.pdf", "--file", "form.json", "--authority", QINGTIAN)
    application = staffed.data(*county)
    staffed.ok("paper", "approve", application["application"], "--digest", application["digest"], *CHIEF)
    then = ("titles", "list", "--as-of", "2026-01-01")
    assert [one["name"] for one in staffed.data(*then, *COUNTY)] == [FORM["name"]]
    assert staffed.data(*then, "--authority", "331100", *COUNTY) == []
    whole = staffed.data(*then)
    assert len(whole) == len(NUMBERS) + 1
    paged, more = list[Any](), list[str]()
    while True:
        page = staffed.ok(*then, "--limit", "3", "-o", "jsonl", *more)
        paged += [json.loads(line) for line in page.stdout.splitlines()]
        if "--cursor" not in page.stderr:
            break
        more = ["--cursor", page.stderr.split("--cursor ")[1].strip()]
    assert paged == whole


def test_an_earlier_list_has_the_titles_that_are_in_reach_now(staffed: Cli) -> None:
    before, then = str(staffed.position()), ("titles", "list", "--as-of", "2026-01-01", "--known-at")
    assert staffed.data(*then, before, *COUNTY) == []
    moved = staffed.data(
        *("correct", "propose", NUMBERS[0], "--set", f"authority={QINGTIAN}"),
        *("--document", "丽人社更〔2026〕1号", "--reason", REASON),
    )
    staffed.ok("correct", "approve", moved["proposal"], "--digest", moved["digest"], *CHIEF)
    shutil.rmtree(staffed.folder / "data" / "looks")
    (one,) = staffed.data(*then, before, *COUNTY)
    assert (one["name"], one["authority"]) == (NAMES[0], "331100")  # its authority as it was then
    assert rows(staffed) == [("qt-clerk", "cli titles list", "search", "title")]
    staffed.appoint("city-less", Role.CLERK, JINYUN)
    assert staffed.data(*then, before, "--officer", "city-less") == []


# looks …


def test_an_auditor_reads_who_looked_and_at_whom(staffed: Cli) -> None:
    staffed.ok("titles", "show", NUMBERS[0])
    staffed.ok("holders", "show", NUMBERS[0], *CHIEF, "--purpose", "audit")
    staffed.ok("titles", "show", NUMBERS[1], *CHIEF)
    of = staffed.data("looks", "of", NUMBERS[0], *AUDITOR)
    assert [(one["actor"], one["purpose"], one["what"]) for one in of] == [
        ("chief-02", "audit", "holder"),
        ("clerk-01", "handling", "title"),
    ]
    by = staffed.ok("looks", "by", "chief-02", *AUDITOR)
    assert by.stdout.count("办理业务") == by.stdout.count("审计") == 1
    assert private(by.output) == []
    assert "newest 1" in staffed.ok("looks", "by", "chief-02", "--limit", "1", *AUDITOR).stderr
    assert "nobody in clear" in staffed.ok("looks", "by", "clerk-03", *AUDITOR).stderr
    assert {one["actor"] for one in staffed.data("looks", "of", of[0]["holder"], *AUDITOR)} == {"chief-02", "clerk-01"}


def test_looks_are_for_auditors_in_reach(staffed: Cli) -> None:
    staffed.ok("titles", "show", NUMBERS[0])
    staffed.appoint("auditor-2", Role.AUDITOR, QINGTIAN)
    for command in (("looks", "of", NUMBERS[0]), ("looks", "by", "clerk-01")):
        staffed.usage(*command, says="--officer ID", **NOBODY)
        for officer in ((), CHIEF, OPERATOR, COUNTY, ("--officer", "nobody")):
            assert staffed.refused(*command, *officer, code="forbidden").stdout == ""
    assert staffed.refused("looks", "of", NUMBERS[0], "--officer", "auditor-2", code="forbidden").stdout == ""
    assert staffed.data("looks", "by", "clerk-01", "--officer", "auditor-2") == []
    staffed.refused("looks", "of", "404", *AUDITOR, code="not-found")


def test_the_care_of_the_log_of_looks(staffed: Cli) -> None:
    staffed.ok("titles", "list")
    status = staffed.data("looks", "status", **NOBODY)
    assert (status["looks"], list(status["months"].values())) == (len(NUMBERS), [len(NUMBERS)])
    assert private(staffed.ok("looks", "status", **NOBODY).output) == []
    folder = staffed.folder / "data" / "looks"
    for path in list(folder.iterdir()):  # with what SQLite keeps beside it
        path.rename(folder / f"2019-01{path.name[7:]}")
    staffed.usage("looks", "prune", says="--officer ID", **NOBODY)
    for officer in ((), CHIEF, AUDITOR):
        staffed.refused("looks", "prune", *officer, code="forbidden")
    staffed.refused("looks", "prune", "--keep", "5", *OPERATOR, code="bad-input", says="至少保存 6 个月")
    assert staffed.data("looks", "prune", "--dry-run", *OPERATOR) == [{"month": "2019-01"}]
    assert (folder / "2019-01.db").exists()
    assert staffed.data("looks", "prune", *OPERATOR) == [{"month": "2019-01"}]
    assert list(folder.iterdir()) == []
    assert "No file is older than 36 months" in staffed.ok("looks", "prune", *OPERATOR).stderr


def test_a_damaged_file_of_looks_is_named(staffed: Cli) -> None:
    folder: Path = staffed.folder / "data" / "looks"
    folder.mkdir(exist_ok=True)
    (folder / "2019-01.db").write_bytes(b"garbage" * 1000)
    staffed.refused("looks", "status", code="unavailable", says="2019-01.db")
    staffed.refused("looks", "of", NUMBERS[0], *AUDITOR, code="unavailable", says="2019-01.db")
