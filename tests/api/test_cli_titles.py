"""Looking up on the command line: by number, name, pinyin and identity; one title with both clocks; persons."""

import pytest

from tests.api.conftest import IDENTITIES, LIST, NUMBERS, Cli
from tests.lists import identity_number


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--number", NUMBERS[2]), [NUMBERS[2]]),
        (("--name", "欧阳"), [NUMBERS[2]]),
        (("--name", "ouyang"), [NUMBERS[2]]),
        (("--name", "zjg"), [NUMBERS[1]]),
        (("--name", "张三"), [NUMBERS[4], NUMBERS[5]]),
        (("--level", "中级", "--year", "2021", "--authority", "331100", "--series", "工程技术人员系列"), list(NUMBERS)),
        (("--level", "senior_full"), []),
        (("--status", "valid", "--name", "王"), [NUMBERS[6]]),
        (("--status", "已撤销"), []),
    ],
)
def test_titles_are_found(cli: Cli, options: tuple[str, ...], found: list[str]) -> None:
    assert sorted(one["number"] for one in cli.data("titles", "list", *options)) == found


def test_a_table_for_people_and_a_word_when_there_is_nothing(cli: Cli) -> None:
    shown = cli.ok("titles", "list", "--name", "王").stdout.splitlines()
    assert shown[0].split() == [
        "Number",
        "Name",
        "Title",
        "Level",
        "Series",
        "Issuer",
        "Awarded",
        "Status",
        "Certificate",
    ]
    assert shown[1].split() == [
        NUMBERS[6],
        "王㛃",
        "工程师",
        "中级",
        "工程技术人员",
        "丽水市",
        "2021-09-20",
        "有效",
        "-",
    ]
    nothing = cli.ok("titles", "list", "--name", "nobody")
    assert nothing.stdout == ""
    assert "No title matches" in nothing.stderr


def test_pages_follow_each_other_by_the_cursor(cli: Cli) -> None:
    seen, more = [], list[str]()
    while True:
        page = cli.ok("titles", "list", "--limit", "3", "-o", "jsonl", *more)
        seen += page.stdout.splitlines()
        if "--cursor" not in page.stderr:
            break
        more = ["--cursor", page.stderr.split("--cursor ")[1].strip()]
    assert len(seen) == len(set(seen)) == len(NUMBERS)


def test_an_identity_number_finds_exactly_its_holder_and_the_shell_need_not_keep_it(cli: Cli) -> None:
    typed = cli.ok("titles", "list", "--identity", IDENTITIES[3])
    assert NUMBERS[3] in typed.stdout
    assert "your shell keeps" in typed.stderr
    quiet = cli.ok("titles", "list", "--identity", "-", input=IDENTITIES[3] + "\n")
    assert quiet.stdout == typed.stdout
    assert quiet.stderr == ""
    assert cli.ok("titles", "list", "--identity", "-", input=identity_number(31) + "\n").stdout == ""


def test_what_cannot_be_an_identity_number_or_a_series(cli: Cli) -> None:
    cli.refused("titles", "list", "--identity", "-", input="123\n", code="bad-identity")
    cli.refused("titles", "list", "--series", "工程", code="bad-input", says="工程技术人员")
    cli.refused("titles", "list", "--authority", "999999", code="not-found")


def test_one_title_on_a_date_as_known_at_a_time(cli: Cli) -> None:
    now = cli.data("titles", "show", NUMBERS[0])
    assert (now["status"], now["name"], now["award"]["number"]) == ("valid", "林晓岚", NUMBERS[0])
    assert [(one["event"], one["effective_on"], one["actor"]) for one in now["timeline"]] == [
        ("title-awarded/1", "2021-09-20", "clerk-01")
    ]
    assert cli.data("titles", "show", NUMBERS[0], "--as-of", "2021-09-19")["status"] == "not_yet_effective"
    before = ("--known-at", "2020-01-01T00:00:00+08:00")
    cli.refused("titles", "show", NUMBERS[0], *before, code="not-found", says="按该登记时间")
    cli.refused("titles", "show", "浙〔1999〕1", code="not-found", says="浙〔1999〕1")


def test_two_authorities_with_one_number_need_to_be_told_apart(cli: Cli) -> None:
    paper = ("--number", NUMBERS[0], "--scan", "scan.pdf", "--authority", "331121")
    (cli.folder / "scan.pdf").write_bytes(b"%PDF-1.4 made up")
    cli.ok(
        *("paper", "submit", *paper, "--name", "何青", "--identity", "-", "--title", "工程师", "--level", "中级"),
        *("--series", "工程技术人员", "--specialty", "建筑", "--committee", "青田县评委会"),
        *("--approval-document", "青人〔1999〕1号", "--awarded-on", "1999-01-05"),
        input=identity_number(31) + "\n",
    )
    (application,) = cli.data("paper", "list")
    approve = ("paper", "approve", application["application"], "--digest", application["digest"])
    cli.ok(*approve, "--officer", "chief-02")
    refused = cli.refused("titles", "show", NUMBERS[0], code="bad-input", says="--authority")
    assert "331100" in refused.stderr
    assert "331121" in refused.stderr
    assert cli.data("titles", "show", NUMBERS[0], "--authority", "331121")["name"] == "何青"
    assert cli.data("titles", "show", NUMBERS[0], "--authority", "331100")["name"] == "林晓岚"


def test_a_person_by_a_number_of_theirs_with_the_identity_masked(cli: Cli) -> None:
    shown = cli.ok("holders", "show", NUMBERS[1]).stdout
    assert "周建国" in shown
    assert IDENTITIES[1] not in shown
    assert IDENTITIES[1][:6] + "********" + IDENTITIES[1][-4:] in shown
    assert IDENTITIES[1] not in cli.ok("holders", "show", NUMBERS[1], "-o", "json").stdout


def test_a_changed_name_is_found_by_both_and_a_dry_run_changes_nothing(cli: Cli) -> None:
    rename = ("holders", "rename", NUMBERS[1], "周建均", "--document", "丽公户〔2026〕3号")
    before = cli.position()
    dry = cli.ok(*rename, "--dry-run")
    assert (dry.stdout, cli.position()) == ("", before)
    assert "nothing was written" in dry.stderr
    cli.ok(*rename)
    for name in ("周建国", "周建均", "zhoujianjun"):
        assert [one["name"] for one in cli.data("titles", "list", "--name", name)] == ["周建均"]
    cli.refused("holders", "rename", NUMBERS[1], " ", "--document", "x", code="bad-input")


def test_a_further_document_leads_to_the_same_person_and_never_to_two(cli: Cli) -> None:
    permit = ("--identity", "-", "--identity-kind", "台湾居民来往大陆通行证", "--document", "丽公户〔2026〕4号")
    cli.ok("holders", "link", NUMBERS[1], *permit, input="12345678\n")
    found = cli.data("titles", "list", "--identity", "12345678", "--identity-kind", "taiwan_permit")
    assert [one["number"] for one in found] == [NUMBERS[1]]
    cli.refused("holders", "link", NUMBERS[2], *permit, input="12345678\n", code="refused", says="另一持证人")
    cli.refused("holders", "show", "holder-00000000000000000000000000", code="not-found")


def test_the_list_of_the_fixture_is_the_one_that_was_imported(cli: Cli) -> None:
    assert cli.data("import", "awards", "list.csv", *LIST)["same"] == len(NUMBERS)
