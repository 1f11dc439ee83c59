"""Paper certificates on the command line: from options or from a file, with scans, by two officers."""

import json
from pathlib import Path

import pytest

from tests.api.conftest import Cli
from tests.lists import identity_number

CHIEF = ("--officer", "chief-02")
SCAN = b"%PDF-1.4\n% a made-up scan\n"
FORM = {
    "name": "周建军",
    "identity": identity_number(77),
    "number": "浙丽 9801-0427",
    "title": "高级工程师",
    "level": "副高级",
    "series": "工程技术人员系列",
    "specialty": "建筑工程",
    "committee": "丽水地区工程技术高级职务评审委员会",
    "approval_document": "丽地人〔1998〕215号",
    "awarded_on": "1998-11-20",
    "issued_on": "1998-12-28",
    "authority": "331100",
}
SUBMIT = ("paper", "submit", "--scan", "scan.pdf", "--file", "form.json")


@pytest.fixture(autouse=True)
def files(cli: Cli) -> None:
    """A scan and a filled form, in the current folder."""
    (cli.folder / "scan.pdf").write_bytes(SCAN)
    (cli.folder / "form.json").write_text(json.dumps(FORM, ensure_ascii=False))


def test_a_paper_of_1998_becomes_a_title_with_its_number_and_the_title_of_its_time(cli: Cli) -> None:
    application = cli.data(*SUBMIT)
    assert cli.data(*SUBMIT)["application"] == application["application"]  # the same again changes nothing
    assert [one["state"] for one in cli.data("paper", "list", "--state", "open")] == ["open"]
    approve = ("paper", "approve", application["application"], "--digest", application["digest"])
    title = cli.data(*approve, *CHIEF)["title"]
    shown = cli.data("titles", "show", FORM["number"])
    assert (shown["title"], shown["name"], shown["paper"]["issued_on"]) == (title, "周建军", "1998-12-28")
    assert (shown["award"]["title_name"], shown["award"]["level"]) == ("高级工程师", "senior_associate")
    certificate = cli.ok("certificates", "issue", FORM["number"], "--out", "new.pdf")
    assert "周建军" in certificate.stdout
    assert "依据纸质证书换发" in cli.ok("verify", "new.pdf").stdout


def test_options_say_the_same_and_come_before_the_file(cli: Cli) -> None:
    options = [part for name, value in FORM.items() for part in (f"--{name.replace('_', '-')}", value)]
    from_options = cli.data("paper", "submit", "--scan", "scan.pdf", *options)
    assert from_options["award"]["series"] == "工程技术人员"
    assert cli.data(*SUBMIT)["application"] == from_options["application"]
    cli.ok("paper", "refuse", from_options["application"], "--reason", "姓名有误")
    changed = cli.data(*SUBMIT, "--specialty", "市政工程")
    assert changed["award"]["specialty"] == "市政工程"


def test_the_second_officer_sees_the_scans_that_were_handed_in(cli: Cli) -> None:
    (cli.folder / "form.png").write_bytes(b"\x89PNG\r\n\x1a\n made up")
    application = cli.data(*SUBMIT, "--review-form", "form.png")["application"]
    sealed = b"".join(path.read_bytes() for path in (cli.folder / "data" / "evidence").iterdir())
    assert SCAN not in sealed
    cli.ok("paper", "show", application, "--evidence-to", "looked")
    assert sorted(path.suffix for path in (cli.folder / "looked").iterdir()) == [".pdf", ".png"]
    (scan,) = (cli.folder / "looked").glob("scan-*.pdf")
    assert scan.read_bytes() == SCAN
    asked = cli("paper", "approve", application, *CHIEF, input="n\n")
    assert asked.exit_code == 1
    assert "not yet: approval awards it" in asked.stderr
    cli.ok("paper", "approve", application, *CHIEF, input="y\n")


def test_everything_that_is_missing_is_named_at_once(cli: Cli) -> None:
    cli.usage(
        "paper", "submit", "--scan", "scan.pdf", "--name", "周建军", says="--identity, --number, --title, --level"
    )
    cli.usage("paper", "submit", says="--scan")
    cli.usage("paper", "submit", "--scan", "gone.pdf", "--file", "form.json", says="there is no file gone.pdf")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "truncated"),
        ('{"nmae": "x"}', "nmae"),
        ('{"level": "高"}', "level"),
        ('{"awarded_on": "20-11-1998"}', "awarded_on"),
        ("[]", "object"),
    ],
)
def test_a_form_that_cannot_be_read(cli: Cli, content: str, says: str) -> None:
    (cli.folder / "form.json").write_text(content)
    cli.usage(*SUBMIT, says=says)


def test_a_form_that_is_no_text(cli: Cli) -> None:
    (cli.folder / "form.json").write_bytes('{"name": "周"}'.encode("gbk"))
    cli.usage(*SUBMIT, says="form.json")
    (cli.folder / "form.json").unlink()
    cli.usage(*SUBMIT, says="form.json")


def test_what_the_registry_itself_refuses(cli: Cli, tmp_path: Path) -> None:
    cli.refused(*SUBMIT, "--awarded-on", "2012-03-01", code="refused", says="不在换发范围")
    cli.refused(*SUBMIT, "--identity", "331102199001011230", code="doubtful-identity")
    cli.refused(*SUBMIT, "--authority", "999999", code="not-found")
    cli.refused(*SUBMIT, "--obtained", "初定", code="refused")
    (cli.folder / "scan.pdf").write_text("no scan")
    cli.refused(*SUBMIT, code="bad-input", says="PDF、PNG 或 JPEG")
    cli.refused("paper", "approve", "paper-00000000000000000000000000", *CHIEF, code="not-found")
    cli.usage("paper", "list", "--state", "gone", says="open, approved, returned, refused")


def test_the_one_who_submits_does_not_approve_and_a_refusal_says_why(cli: Cli) -> None:
    application = cli.data(*SUBMIT)
    name = application["application"]
    cli.refused("paper", "approve", name, "--digest", application["digest"], code="needs-second-officer")
    cli.refused("paper", "approve", name, "--digest", "0" * 64, *CHIEF, code="needs-second-officer", says="不一致")
    cli.refused("paper", "refuse", name, "--reason", " ", *CHIEF, code="bad-input")
    assert "扫描不清" in cli.ok("paper", "refuse", name, "--reason", "扫描不清", *CHIEF).stdout
    cli.refused("paper", "approve", name, *CHIEF, code="wrong-state", says="不予换发")


def test_a_title_that_the_reference_data_does_not_know_is_pointed_out(cli: Cli) -> None:
    assert "请对照原件" in cli.ok(*SUBMIT, "--level", "中级").stderr


def test_a_dry_run_keeps_nothing_not_even_a_scan(cli: Cli) -> None:
    before = cli.position()
    cli.ok(*SUBMIT, "--dry-run")
    assert cli.position() == before
    assert not (cli.folder / "data" / "evidence").exists()
