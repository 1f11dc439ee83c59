"""A person whose name and number stand nowhere else goes through everything that succeeds and fails: no log names them.

What the service prints is read as it left its process; what the command line logs is caught from structlog and from
the standard library. Control: the same search finds a canary that is really printed.
"""

import json
import logging
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from structlog.testing import capture_logs

from api.documents.delivery import deliver
from api.documents.press import Press
from api.errors import report
from registry.errors import CorruptHistory
from registry.service import Registry
from registry.titles.certificate import token_of
from registry.titles.digits import to_digits
from tests.api.conftest import LIST, NUMBERS, Cli
from tests.lists import csv_file, good, table
from tests.people import CLERK, awarding, fifteen, identity_number, person, settable
from tests.served import Site, found_registry, free_port, serving, until

NAME, NUMBER, PASSPORT = "鑫䶮㛃", identity_number(9_321), "QX7719332"
EMPLOYER = "靐龗建筑设计院"
CANARIES = (NAME, NUMBER, fifteen(NUMBER), PASSPORT, EMPLOYER)
_PARAMETER = re.compile(r"\{[^}]*\}")


def forms(word: str) -> set[str]:
    """The word as a log could have it: as it is, escaped for an address, for JSON or by repr of bytes."""
    escaped = json.dumps(word)[1:-1]
    return {word, quote(word), quote(word).lower(), escaped, escaped.upper(), repr(word.encode())[2:-1]}


def sung(text: str) -> set[str]:
    """The canaries that are heard in a text."""
    return {word for word in CANARIES if any(form in text for form in forms(word))}


def test_the_search_hears_a_canary() -> None:
    for word in (NAME, NUMBER):
        for said in (word, quote(word), json.dumps(word), repr(word.encode())):
            assert sung(f"GET /api/v1/holders/{said} 500") == {word}
    assert sung("nothing here") == set()


# the service


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    registry = found_registry(tmp_path_factory.mktemp("canary") / "data", free_port())
    stream = registry.award(awarding(person(9_321, NAME, number=NUMBER), employer=EMPLOYER), officer=CLERK)
    registry.issue(stream, settable, officer=CLERK)
    yield registry
    registry.close()


@pytest.fixture
def site(told: Registry) -> Iterator[Site]:
    with serving(told.folder.path, int(told.config.base_url.rpartition(":")[2])) as served:
        yield served


def knock(site: Site, method: str, path: str, **more: Any) -> int:
    """One request of which only the beginning of the answer is read; a stream that goes on is left."""
    with suppress(httpx.ReadError, httpx.RemoteProtocolError), site.stream(method, path, **more) as response:
        return response.status_code
    return 0


def headers(word: str) -> dict[str, str]:
    plain = quote(word)
    return {"user-agent": plain, "referer": f"https://x.example/{plain}", "cookie": f"session={plain}"}


def test_no_door_tells_the_log(told: Registry, site: Site) -> None:
    """Every path of the description, with canaries in each place that a request has."""
    paths: dict[str, dict[str, Any]] = site.get("/openapi.json").json()["paths"]
    seen = set()
    for word in (NAME, NUMBER):
        for path, methods in paths.items():
            address = _PARAMETER.sub(quote(word), path)
            about: dict[str, Any] = {"params": {"name": word, "identity": word}, "headers": headers(word)}
            for method in methods:
                body = {} if method == "get" else {"json": {"name": word, "identity": word, "target": word}}
                seen.add(knock(site, method.upper(), address, **about, **body))
                seen.add(knock(site, method.upper(), address, **about, content=b'{"name": "' + word.encode()))
    assert {404, 422} <= seen
    _everything_else(told, site)
    site.stop()
    assert "Uvicorn running" in site.said
    assert sung(site.said) == set()


def _everything_else(told: Registry, site: Site) -> None:
    """Pages, uploads, wrong paths and methods, what is no HTTP at all; and the certificate itself."""
    [title] = told.register.streams_of(told.holder_of(person(9_321, NAME).identity) or "")
    certificate = told.title(title).certificates[0]
    pdf = deliver(told, Press(), certificate)
    assert site.verified(certificate.code)["status"] == "valid"
    assert site.uploaded(pdf, f"{NAME}.pdf").json()["status"] == "valid"
    assert site.asked(f"{told.config.base_url}/v/{certificate.code}#{to_digits(token_of(certificate))}").is_success
    for word in CANARIES:
        for data in (word.encode(), b"%PDF-1.7 " + word.encode(), pdf[:-90] + word.encode(), b"PK\x03\x04" + pdf):
            site.uploaded(data, f"{quote(word)}.pdf")
        site.asked(word)
        for path in (f"/v/{word}", f"/{word}", f"/api/v1/{word}", f"/v?code={word}", f"/static/{word}"):
            for method in ("GET", "POST", "DELETE"):
                knock(site, method, path, headers={"accept": "text/html"})
        site.post("/api/v1/verifications", content=f'{{"target": "{word}"'.encode())
        site.post("/v", files={"file": (f"{quote(word)}.xlsx", word.encode())}, data={"code": word})
        with closing(socket.create_connection(("127.0.0.1", site.port))) as raw:
            raw.sendall(f"GET /{word} NOT-HTTP {word}\r\nX: {word}\r\n\r\n".encode())
            raw.recv(1000)
    assert "Invalid HTTP request" in site.said


@pytest.mark.sqlite_file
def test_a_failure_inside_tells_the_log_where_and_not_whom(told: Registry, site: Site) -> None:
    """The data key is damaged: the answer is 503, the log has an error id and no person."""
    [title] = told.register.streams_of(told.holder_of(person(9_321, NAME).identity) or "")
    code, holder = told.title(title).certificates[0].code, told.title(title).holder
    with closing(sqlite3.connect(told.folder.log)) as c, c:
        [(wrapped,)] = c.execute("SELECT wrapped FROM data_keys WHERE holder=?", (holder,)).fetchall()
        c.execute("UPDATE data_keys SET wrapped=zeroblob(60) WHERE holder=?", (holder,))
    try:
        answer = site.get(f"/api/v1/verifications/{code}", params={"name": NAME})
    finally:
        with closing(sqlite3.connect(told.folder.log)) as c, c:
            c.execute("UPDATE data_keys SET wrapped=? WHERE holder=?", (wrapped, holder))
    assert answer.status_code == 503
    until(lambda: "error_id" in site.said and "SealBroken" in site.said)
    assert sung(site.said + answer.text) == set()


# the command line


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """What is logged, by structlog and by the standard library at every level."""
    caplog.set_level(logging.DEBUG)
    with capture_logs() as events:
        yield events
    assert sung(repr(events) + caplog.text) == set()


def test_an_error_that_names_someone_is_logged_without_its_words(heard: list[Any]) -> None:
    error_id = report(CorruptHistory(f"the seal of {NAME}, {NUMBER}, is broken", fix=NAME, who=NUMBER))
    assert [(one["kind"], one["error_id"]) for one in heard] == [("CorruptHistory", error_id)]


def test_the_command_line_logs_nobody(cli: Cli, heard: list[Any], tmp_path: Path) -> None:
    """A list with errors, the same mended, searches that find and do not, a scan that is none, a number that is none.

    What it prints is for the officer who asked, and may name a person; a number it never repeats.
    """
    wrong = NUMBER[:-1] + ("0" if NUMBER[-1] != "0" else "1")
    said = []
    for n, number in enumerate((wrong, "12", f"{NUMBER}9")):
        bad = csv_file(tmp_path, table([good(8, 姓名=NAME, 身份证号=number)])).rename(tmp_path / f"bad-{n}.csv")
        said.append(cli("import", "awards", str(bad), *LIST))
    fine = csv_file(tmp_path, table([good(8, 姓名=NAME)])).rename(tmp_path / "good.csv")
    said += [cli("import", "awards", str(fine), *LIST), cli("import", "awards", str(fine), *LIST)]
    for args in (
        ("titles", "list", "--name", NAME),
        ("titles", "show", NUMBER),
        ("titles", "show", NUMBERS[0]),
        ("titles", "list", "--identity", wrong),
        ("titles", "list", "--identity", NUMBER),
        ("holders", "show", NUMBER),
        ("holders", "show", f"holder-{NAME}"),
        ("holders", "link", NUMBERS[0], "--identity", wrong, "--document", "1"),
        ("holders", "link", NUMBERS[0], "--identity", NUMBER, "--document", "1"),
        ("holders", "rename", NUMBERS[1], NAME, "--document", "丽公1号"),
        ("paper", "submit", "--name", NAME, "--identity", NUMBER, "--scan", str(fine)),
        ("verify", NAME),
        ("nonsense", NAME, NUMBER),
    ):
        said.append(cli(*args, "--debug") if args[0] == "nonsense" else cli(*args))
    assert {0, 1, 2} <= {one.exit_code for one in said}
    assert not any("Traceback" in one.output for one in said)
    refused = "".join(one.stderr for one in said if one.exit_code == 1)
    assert not sung(refused) & {EMPLOYER, PASSPORT}
    assert not heard or all(set(one) <= {"event", "log_level", "error_id", "kind", "place"} for one in heard)
