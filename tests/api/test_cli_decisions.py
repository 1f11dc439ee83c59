"""Decisions on the command line: every kind by two officers, over what the second one has read."""

import pytest

from tests.api.conftest import NUMBERS, Cli

CHIEF = ("--officer", "chief-02")
WHY = ("--document", "丽人社决〔2026〕2号", "--reason", "申报材料经查证不实")


def propose(cli: Cli, kind: str, number: str, *more: str) -> dict[str, str]:
    """Propose as clerk-01; the proposal."""
    proposal: dict[str, str] = cli.data(kind, "propose", number, *WHY, *more)
    return proposal


def decide(cli: Cli, kind: str, number: str, *more: str) -> str:
    """Propose as clerk-01 and approve as chief-02; the status then."""
    proposal = propose(cli, kind, number, *more)
    done = cli.data(kind, "approve", proposal["proposal"], "--digest", proposal["digest"], *CHIEF)
    return str(done["status"])


@pytest.mark.parametrize(
    ("kind", "status", "in_force"),
    [
        ("revoke", "revoked", "2021-09-20"),
        ("invalidate", "invalidated", None),
        ("suspend", "suspended", None),
    ],
)
def test_a_decision_and_its_undoing(cli: Cli, kind: str, status: str, in_force: str | None) -> None:
    assert decide(cli, kind, NUMBERS[0]) == status
    shown = cli.data("titles", "show", NUMBERS[0])
    assert shown["decision"]["document_no"] == "丽人社决〔2026〕2号"
    assert in_force in (None, shown["decision"]["effective_on"])
    assert [one["actor"] for one in shown["timeline"]] == ["clerk-01", "clerk-01", "chief-02"]
    assert [one["number"] for one in cli.data("titles", "list", "--status", status)] == [NUMBERS[0]]
    assert decide(cli, "reinstate", NUMBERS[0]) == "valid"


def test_the_next_verification_answers_by_it(cli: Cli) -> None:
    code = cli.data("certificates", "issue", NUMBERS[0])["code"]
    assert cli("verify", code).exit_code == 0
    decide(cli, "revoke", NUMBERS[0])
    after = cli("verify", code)
    assert after.exit_code == 3
    assert after.stdout.startswith("已撤销  Revoked")
    assert "丽人社决〔2026〕2号" in after.stdout
    assert "申报材料" not in after.output  # the reason is private


def test_the_second_officer_reads_and_is_asked(cli: Cli) -> None:
    proposal = propose(cli, "revoke", NUMBERS[0])["proposal"]
    before = cli.position()
    no = cli("revoke", "approve", proposal, *CHIEF, input="n\n")
    assert no.exit_code == 1
    assert "申报材料经查证不实" in no.stderr
    assert "林晓岚" in no.stderr
    nobody = cli("revoke", "approve", proposal, *CHIEF, input="")
    assert (nobody.exit_code, cli.position()) == (1, before)
    yes = cli.ok("revoke", "approve", proposal, *CHIEF, input="y\n")
    assert "已撤销" in yes.stdout
    assert cli.position() == before + 1
    again = cli.ok("revoke", "approve", proposal, *CHIEF)
    assert (again.stdout, cli.position()) == (yes.stdout, before + 1)


def test_the_proposer_does_not_approve_and_is_not_asked(cli: Cli) -> None:
    proposal = propose(cli, "revoke", NUMBERS[0])
    refused = cli.refused("revoke", "approve", proposal["proposal"], code="needs-second-officer", says="两名经办人")
    assert "Approve" not in refused.output
    with_digest = ("revoke", "approve", proposal["proposal"], "--digest", proposal["digest"], "--yes")
    cli.refused(*with_digest, code="needs-second-officer")


def test_approval_is_of_the_very_content_that_was_read(cli: Cli) -> None:
    proposal = propose(cli, "revoke", NUMBERS[0])["proposal"]
    cli.refused("revoke", "approve", proposal, "--digest", "0" * 64, *CHIEF, code="needs-second-officer", says="不一致")
    cli.usage("revoke", "approve", proposal, "--yes", *CHIEF, says="--digest HEX")
    cli.refused("correct", "approve", proposal, *CHIEF, code="bad-input", says="title-registry revoke")
    cli.refused("correct", "refuse", proposal, "--reason", "x", *CHIEF, code="bad-input")
    cli.refused("revoke", "approve", "title-00000000000000000000000000.2", *CHIEF, code="not-found")
    cli.refused(
        "revoke", "approve", proposal.partition(".")[0] + ".99", *CHIEF, code="not-found", says="proposals list"
    )


def test_a_proposal_waits_is_shown_and_can_be_refused(cli: Cli) -> None:
    assert cli.data("proposals", "list") == []
    proposal = propose(cli, "suspend", NUMBERS[2])
    assert [one["proposal"] for one in cli.data("proposals", "list")] == [proposal["proposal"]]
    assert cli.data("proposals", "show", proposal["proposal"]) == proposal
    assert "72 hours" in cli.ok("proposals", "show", proposal["proposal"]).stdout
    cli.refused("suspend", "refuse", proposal["proposal"], "--reason", " ", *CHIEF, code="bad-input")
    cli.ok("suspend", "refuse", proposal["proposal"], "--reason", "证据不足", *CHIEF)
    assert cli.data("proposals", "list") == []
    assert cli.data("titles", "show", NUMBERS[2])["status"] == "valid"
    cli.refused("suspend", "approve", proposal["proposal"], *CHIEF, code="not-found")


def test_a_correction_says_field_by_field_what_was_and_what_is_right(cli: Cli) -> None:
    sets = (
        "--set",
        "specialty=市政工程",
        "--set",
        "awarded_on=2021-09-19",
        "--set",
        "level=副高级",
        "--set",
        "published_on=",
    )
    proposal = propose(cli, "correct", NUMBERS[1], *sets)
    shown = cli.ok("proposals", "show", proposal["proposal"]).stdout
    assert [line.split() for line in shown.split("Right\n")[1].splitlines()] == [
        ["专业", "建筑工程", "市政工程"],
        ["级别", "中级", "副高级"],
        ["取得资格时间", "2021-09-20", "2021-09-19"],
        ["公布日期", "2021-10-08", "（空）"],
    ]
    cli.ok("correct", "approve", proposal["proposal"], "--digest", proposal["digest"], *CHIEF)
    award = cli.data("titles", "show", NUMBERS[1])["award"]
    assert (award["specialty"], award["awarded_on"], award["level"]) == ("市政工程", "2021-09-19", "senior_associate")
    assert "published_on" not in award


@pytest.mark.parametrize(
    ("set_", "says"),
    [
        ("speciality=市政工程", "fields: series, specialty, level"),
        ("specialty", "FIELD=VALUE"),
        ("specialty=", "specialty cannot be empty"),
        ("awarded_on=2021-09-32", "awarded_on: '2021-09-32' is not a date"),
        ("level=高", "level: '高' is none of"),
    ],
)
def test_a_correction_that_cannot_be_read(cli: Cli, set_: str, says: str) -> None:
    cli.usage("correct", "propose", NUMBERS[0], "--set", set_, *WHY, says=says)


def test_what_the_registry_itself_refuses(cli: Cli) -> None:
    cli.refused("correct", "propose", NUMBERS[0], "--set", f"number={NUMBERS[1]}", *WHY, code="number-taken")
    cli.refused("correct", "propose", NUMBERS[0], "--set", "specialty=建筑工程", *WHY, code="bad-input", says="相同")
    cli.refused("correct", "propose", NUMBERS[0], "--set", "series=工程", *WHY, code="bad-input")
    cli.refused("reinstate", "propose", NUMBERS[0], *WHY, code="wrong-state", says="有效")
    cli.refused("revoke", "propose", NUMBERS[0], *WHY, "--decided-by", "331121", code="refused", says="无权决定")
    cli.refused("revoke", "propose", NUMBERS[0], *WHY, "--effective-on", "2021-01-01", code="bad-input")
    cli.refused("revoke", "propose", "404", *WHY, code="not-found")


def test_a_dry_run_makes_every_check_and_writes_nothing(cli: Cli) -> None:
    before = cli.position()
    dry = cli.ok("revoke", "propose", NUMBERS[0], *WHY, "--dry-run", "-o", "json")
    assert (dry.stdout, cli.position()) == ('{"dry_run": true}\n', before)
    cli.refused("reinstate", "propose", NUMBERS[0], *WHY, "--dry-run", code="wrong-state")
    proposal = propose(cli, "revoke", NUMBERS[0])
    approve = ("revoke", "approve", proposal["proposal"], "--digest", proposal["digest"], "--dry-run")
    cli.ok(*approve, *CHIEF)
    cli.refused(*approve, code="needs-second-officer")
    cli.ok("revoke", "refuse", proposal["proposal"], "--reason", "x", "--dry-run")
    assert cli.data("titles", "show", NUMBERS[0])["proposals"] == [proposal["proposal"]]
