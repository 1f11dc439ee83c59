"""Certificates on the command line: sign one or many, get documents, and verify them on line and off line."""

import json
import os
import stat

import pytest

from api.documents.scanning import read_codes
from tests.api.conftest import LIST, NUMBERS, Cli
from tests.lists import csv_file, good, table

NO_GLYPH = "\u9ff0"  # a character of names in Unicode 13 that the font does not have


def printed(pdf: bytes) -> str:
    """What a scanner reads from the first page."""
    (code,) = read_codes(pdf, 150)
    return code


def certificate(cli: Cli, *more: str) -> dict[str, str]:
    """The certificate of the first title."""
    issued: dict[str, str] = cli.data("certificates", "issue", NUMBERS[0], *more)
    return issued


def test_a_certificate_is_signed_once_and_its_document_comes_out_the_same(cli: Cli) -> None:
    first = certificate(cli, "--out", "one.pdf")
    before = cli.position()
    again = certificate(cli, "--out", "two.pdf")
    assert (again["code"], again["version"], cli.position()) == (first["code"], 1, before)
    one, two = (cli.folder / "one.pdf").read_bytes(), (cli.folder / "two.pdf").read_bytes()
    assert one == two
    assert printed(one).startswith(f"http://127.0.0.1:8000/v/{first['code']}#")
    assert stat.S_IMODE((cli.folder / "one.pdf").stat().st_mode) == 0o600


def test_a_document_never_replaces_a_file_unless_forced(cli: Cli) -> None:
    (cli.folder / "one.pdf").write_text("mine")
    before = cli.position()
    for out, says in (("one.pdf", "exists already"), ("one.doc", ".pdf, .png, .svg"), ("no/one.pdf", "folder no")):
        cli.usage("certificates", "issue", NUMBERS[0], "--out", out, says=says)
    assert ((cli.folder / "one.pdf").read_text(), cli.position()) == ("mine", before)
    cli.ok("certificates", "issue", NUMBERS[0], "--out", "one.pdf", "--force")
    assert (cli.folder / "one.pdf").read_bytes().startswith(b"%PDF-")
    cli.usage("certificates", "issue", NUMBERS[0], "--out", ".", says="must end in")


@pytest.mark.skipif(os.geteuid() != 0 and not os.access("/proc", os.W_OK), reason="needs a folder that refuses files")
def test_a_folder_that_takes_no_file_is_an_error_and_no_traceback(cli: Cli) -> None:
    result = cli("certificates", "issue", NUMBERS[0], "--out", "/proc/one.pdf")
    assert result.exit_code == 1
    assert "Error [file]: /proc/" in result.stderr
    assert "Traceback" not in result.output


def test_a_dry_run_checks_the_document_and_stores_nothing(cli: Cli) -> None:
    before = cli.position()
    cli.ok("certificates", "issue", NUMBERS[0], "--out", "one.pdf", "--dry-run")
    every = cli.data("certificates", "issue-all", "--dry-run", "--out", "all")
    assert (len(every["issued"]), cli.position()) == (len(NUMBERS), before)
    assert not (cli.folder / "one.pdf").exists()
    assert not (cli.folder / "all").exists()


def test_every_way_to_hand_a_certificate_over_leads_to_the_same_answer(cli: Cli) -> None:
    issued = certificate(cli, "--out", "one.pdf")
    for kind in ("png", "svg"):
        cli.ok("certificates", "show", issued["code"].lower(), "--out", f"one.{kind}")
    text = printed((cli.folder / "one.pdf").read_bytes())
    digits = text.partition("#")[2]
    answers = [cli.data("verify", one) for one in (issued["code"], issued["url"], text, digits, "one.pdf", "one.png")]
    assert {one["status"] for one in answers} == {"valid"}
    assert {one["certificate"]["code"] for one in answers} == {issued["code"]}
    assert {one["certificate"]["name"] for one in answers} == {"林*岚"}
    (svg,) = [(cli.folder / "one.svg").read_text()]
    assert svg.startswith("<svg ")
    shown = cli.ok("verify", "one.pdf").stdout
    assert shown.startswith("有效  Valid\n证书真实")
    assert shown.count("✓") == 6
    assert "林晓岚" not in shown


def test_what_is_not_valid_ends_with_3(cli: Cli) -> None:
    issued = certificate(cli, "--out", "one.pdf")
    data = bytearray((cli.folder / "one.pdf").read_bytes())
    data[len(data) // 2] ^= 1
    (cli.folder / "changed.pdf").write_bytes(data)
    text = printed((cli.folder / "one.pdf").read_bytes())
    other = text.replace(issued["code"], "7K3M9XQ4T2VD8HNRS")
    (cli.folder / "photo.jpg").write_bytes(b"no picture")
    for target, status, options in (
        ("changed.pdf", "签名不符", ()),
        (other, "签名不符", ()),
        ("photo.jpg", "无法识别", ()),
        ("7K3M9XQ4T2VD8HNRS", "未查到", ()),
        ("???", "未查到", ()),
        (issued["code"], "尚未生效", ("--as-of", "2021-09-19")),
        (issued["code"], "未查到", ("--known-at", "2020-01-01T00:00:00+08:00")),
    ):
        result = cli("verify", target, *options)
        assert (result.exit_code, result.stdout.split()[0]) == (3, status), target


def test_off_line_the_signature_alone_is_checked_and_no_data_folder_is_needed(cli: Cli) -> None:
    certificate(cli, "--out", "one.pdf")
    cli.ok("keys", "export", "jwks.json")
    cli.ok("keys", "root", "root.pem")
    text = printed((cli.folder / "one.pdf").read_bytes())
    (cli.folder / "data").rename(cli.folder / "gone")
    offline = ("--offline", "--keys", "jwks.json")
    answers = [cli.data("verify", one, *offline, "--root", "root.pem") for one in (text, "one.pdf")]
    assert [one["status"] for one in answers] == ["offline", "offline"]
    assert [one["certificate"]["number"] for one in answers] == [NUMBERS[0], NUMBERS[0]]
    assert "状态未核实" in cli.ok("verify", text.partition("#")[2], *offline).stdout
    changed = text[:-1] + str((int(text[-1]) + 1) % 10)
    for target in (changed, text.replace("/v/", "/v/0")):
        tampered = cli("verify", target, *offline)
        assert (tampered.exit_code, tampered.stdout.split()[0]) == (3, "签名不符")
    (cli.folder / "one.pdf").write_bytes((cli.folder / "one.pdf").read_bytes() + b"\n")
    assert cli("verify", "one.pdf", *offline, "--root", "root.pem").exit_code == 3
    (cli.folder / "gone").rename(cli.folder / "data")


def test_a_key_known_to_be_compromised_vouches_for_nothing_off_line(cli: Cli) -> None:
    certificate(cli, "--out", "one.pdf")
    text = printed((cli.folder / "one.pdf").read_bytes())
    jwks = cli.ok("keys", "export").stdout.replace('"active"', '"compromised"')
    (cli.folder / "jwks.json").write_text(jwks)
    result = cli("verify", text, "--offline", "--keys", "jwks.json")
    assert (result.exit_code, result.stdout.split()[0]) == (3, "暂时无法核验")
    assert "compromised" in result.stdout


def test_verify_says_how_to_ask(cli: Cli) -> None:
    (cli.folder / "jwks.json").write_text("{}")
    (cli.folder / "some.pdf").write_bytes(b"%PDF-1.4")
    offline = ("--offline", "--keys", "jwks.json")
    cli.usage("verify", "gone.pdf", says="there is no file gone.pdf")
    cli.usage("verify", "7K3M9XQ4T2VD8HNRS", "--offline", says="--keys jwks.json")
    cli.usage("verify", "7K3M9XQ4T2VD8HNRS", "--keys", "jwks.json", says="only for --offline")
    cli.usage("verify", "x#1", "--offline", "--keys", "gone.json", says="there is no file gone.json")
    cli.usage("verify", "x#1", *offline, "--as-of", "2021-01-01", says="ask on line")
    cli.refused("verify", "x#123", *offline, code="key-store-broken")
    cli.ok("keys", "export", "jwks.json", "--force")
    cli.usage("verify", "7K3M9XQ4T2VD8HNRS", *offline, says="carries no signature")
    cli.usage("verify", "some.pdf", *offline, says="--root root.pem")
    cli.usage("verify", "some.pdf", *offline, "--root", "jwks.json", says="no certificate in PEM")
    assert cli("verify", "x#12", *offline).stdout.startswith("无法识别")


def test_one_bad_title_does_not_stop_the_others(cli: Cli) -> None:
    path = csv_file(cli.folder, table([good(40, 姓名=f"林{NO_GLYPH}"), good(41, 姓名="何青")]))
    cli.ok("import", "awards", str(path), *LIST)
    bad = "浙〔2021〕000040"
    rehearsed = cli("certificates", "issue-all", "--dry-run", "-o", "json")
    done = cli("certificates", "issue-all", "-o", "json")
    for result in (rehearsed, done):
        assert result.exit_code == 4
        assert len(json.loads(result.stdout)["issued"]) == len(NUMBERS) + 1
        (refused,) = json.loads(result.stdout)["refused"]
        assert (refused["number"], refused["code"]) == (bad, "document-refused")
        assert "U+9FF0" in refused["message"]
    again = cli("certificates", "issue-all")
    assert again.exit_code == 1  # only the bad one was left
    assert bad in again.stdout
    assert "Error [refused]: 1 titles were refused" in again.stderr
    cli.refused("certificates", "issue", bad, code="document-refused", says="没有字形")


def test_many_are_signed_and_set_by_several_processes(cli: Cli) -> None:
    done = cli.data("certificates", "issue-all", "--out", "all", "--workers", "2", "--limit", "4")
    files = sorted((cli.folder / "all").iterdir())
    assert [path.name for path in files] == sorted(f"331100_{one['number']}_v1.pdf" for one in done["issued"])
    assert done["written"] == len(done["issued"]) == 4
    assert {printed(path.read_bytes()).partition("#")[0][-17:] for path in files} == {
        one["code"] for one in done["issued"]
    }
    rest = cli.ok("certificates", "issue-all")
    assert "Issued   3" in rest.stdout
    assert "Every valid title has its certificate" in cli.ok("certificates", "issue-all").stderr


def test_unknown_codes_and_titles_that_do_not_stand(cli: Cli) -> None:
    cli.refused("certificates", "show", "7K3M9XQ4T2VD8HNRS", code="not-found")
    cli.refused("certificates", "show", "7K3M", code="bad-code", says="17位")
    cli.refused("certificates", "issue", "404", code="not-found")
    cli.usage("certificates", "issue-all", "--out", "no/where", says="the folder no does not exist")
    cli.usage("certificates", "issue-all", "--workers", "0", says="--workers")
