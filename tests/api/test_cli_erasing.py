"""Erasing, legal holds, the copy of one's own data and requests, as an officer types them."""

import json

import pytest

from tests.api.conftest import IDENTITIES, NAMES, NUMBERS, Cli

DOCUMENT = ("--document", "丽人社删〔2026〕1号")
CHIEF = {"TITLE_REGISTRY_OFFICER": "chief-02"}


@pytest.fixture
def holder(cli: Cli) -> str:
    found: str = cli.data("titles", "show", NUMBERS[0])["holder"]
    return found


def proposed(cli: Cli) -> dict[str, str]:
    found: dict[str, str] = cli.data("holders", "erase", "propose", NUMBERS[0], "--basis", "request", *DOCUMENT)
    return found


def test_proposed_shown_and_approved(cli: Cli, holder: str) -> None:
    code = cli.data("certificates", "issue", NUMBERS[0])["code"]
    one = proposed(cli)
    assert (one["holder"], one["basis"], one["authority"]) == (holder, "request", "331100")
    assert [found["proposal"] for found in cli.data("holders", "erase", "list")] == [one["proposal"]]
    declined = cli("holders", "erase", "approve", one["proposal"], input="n\n", **CHIEF)
    assert (declined.exit_code, NAMES[0] in declined.stderr) == (1, True)
    done = cli.ok("holders", "erase", "approve", one["proposal"], "-o", "json", input="y\n", **CHIEF)
    assert "cannot be undone" in done.stderr
    assert json.loads(done.stdout)["left"] == []
    assert cli.data("holders", "show", holder)["name"] in ("[erased]", "（已删除）")
    assert cli.data("titles", "list", "--name", NAMES[0]) == []
    verified = cli.data("verify", code)
    assert (verified["status"], verified["certificate"]["name"]) == ("valid", "（已删除）")
    cli.refused("certificates", "issue", NUMBERS[0], code="wrong-state", says="已删除")
    cli.ok("holders", "erase", "approve", one["proposal"], "--digest", one["digest"], "--yes", **CHIEF)
    assert cli.data("holders", "erase", "list") == []


def test_refused_proposals(cli: Cli) -> None:
    one = proposed(cli)
    approve = ("holders", "erase", "approve", one["proposal"], "--yes", "--digest")
    cli.refused(*approve, one["digest"], code="needs-second-officer", says="提议人")
    cli.refused(*approve, "0" * 64, code="needs-second-officer", says="不一致", **CHIEF)
    cli.usage("holders", "erase", "approve", one["proposal"], "--yes", says="--digest")
    cli.refused("holders", "erase", "approve", f"{one['holder']}.99", code="not-found", **CHIEF)
    cli.usage("holders", "erase", "propose", NUMBERS[0], "--basis", "whim", *DOCUMENT, says="whim")
    cli.ok("holders", "erase", "refuse", one["proposal"], "--reason", "仍在保存期限内", **CHIEF)
    assert cli.data("holders", "erase", "list") == []


def test_a_dry_run_erases_nobody(cli: Cli) -> None:
    one = proposed(cli)
    before = cli.position()
    done = cli.ok(
        "holders", "erase", "approve", one["proposal"], "--digest", one["digest"], "--yes", "--dry-run", **CHIEF
    )
    assert "nothing was written" in done.stderr
    assert cli.position() == before
    assert cli.data("holders", "show", one["holder"])["name"] == NAMES[0]


def test_a_legal_hold(cli: Cli, holder: str) -> None:
    held = cli.data("holders", "hold", "place", NUMBERS[0], "--document", "（2026）浙11协执1号", **CHIEF)
    assert [one["hold"] for one in cli.data("holders", "hold", "list")] == [held["hold"]]
    one = proposed(cli)
    approve = ("holders", "erase", "approve", one["proposal"], "--digest", one["digest"], "--yes")
    cli.refused(*approve, code="wrong-state", says="（2026）浙11协执1号", **CHIEF)
    lifted = cli.data("holders", "hold", "lift", held["hold"], "--document", "解1", **CHIEF)
    assert (lifted["holder"], lifted["holds"]) == (holder, [])
    cli.ok(*approve, **CHIEF)


def test_a_copy_of_everything(cli: Cli, holder: str) -> None:
    out = cli.folder / "copy.json"
    cli.ok("holders", "export", NUMBERS[0], "--out", str(out))
    assert out.stat().st_mode & 0o777 == 0o600
    copy = json.loads(out.read_text())
    assert (copy["holder"], copy["person"]["name"]) == (holder, NAMES[0])
    assert copy["person"]["identity"]["number"] == IDENTITIES[0]
    assert {one["what"] for one in copy["events"]} == {"holder-registered/1", "title-awarded/1"}
    look = copy["looks"][0]
    assert (look["purpose"], look["what"], look["door"]) == ("处理本人请求", "个人信息副本", "办公终端")
    cli.usage("holders", "export", NUMBERS[0], "--out", str(out), says="exists already")
    cli.refused(
        "holders", "export", NUMBERS[0], "--out", str(out), "--force", code="forbidden", TITLE_REGISTRY_OFFICER="nobody"
    )


def test_a_request_is_made_and_answered(cli: Cli, holder: str) -> None:
    made = cli.data("requests", "make", NUMBERS[0], "copy", "--text", "请给我一份")
    [waiting] = cli.data("requests", "list")
    assert (waiting["request"], waiting["holder"], waiting["text"]) == (made["request"], holder, "请给我一份")
    answer = ("requests", "answer", made["request"])
    cli.refused(*answer, "refused", "--text", " ", code="bad-input", says="答复")
    assert cli.data(*answer, "done", "--text", "已当面交付")["answered_by"] == "clerk-01"
    assert cli.data("requests", "list") == []
    assert [one["outcome"] for one in cli.data("requests", "list", "--all")] == ["done"]
    cli.refused(*answer, "refused", "--text", "不同意", code="wrong-state", says="已经答复")
    cli.refused("requests", "answer", "request-0", "done", "--text", "好", code="not-found")
