"""A witness as others meet it: its commands, its HTTP door in processes of its own, and a log that asks over HTTP."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner, Result

from api import witnesses
from api.cli import common, witnessing
from api.cli.tree import Commands, Root
from api.witnesses import app_of, post
from registry.errors import Unavailable
from registry.proof.policy import Policy
from registry.proof.witness import MAX_BODY, Witness, WitnessFolder
from registry.proof.witnessing import gather
from tests.registry.test_proof_witness import FORK, LOG, NAME, ORIGIN, STRANGER, Log, asking, cosigned_at, root_of
from tests.served import free_port

# The common options and these commands alone, as the program has them under `log witness`.
program = Commands("Witness.", cls=Root)
program.callback()(common)
program.add_typer(witnessing.app, name="witness")
START_SECONDS = 60
_RUN = """
from api.cli import common, witnessing
from api.cli.tree import Commands, Root
program = Commands("Witness.", cls=Root)
program.callback()(common)
program.add_typer(witnessing.app, name="witness")
program()
"""


def run(folder: Path, *args: str, **env: str) -> Result:
    """Run a command; the passphrase is in the file `pp` beside the witness."""
    variables = {"TITLE_REGISTRY_PASSPHRASE_FILE": str(folder.parent / "pp"), "COLUMNS": "200"}
    return CliRunner().invoke(program, ["witness", *args], env=variables | env)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a witness made by the program, which serves the log."""
    folder = tmp_path / "witness"
    assert run(folder, "init", str(folder), "--name", NAME).exit_code == 0
    assert run(folder, "add-log", str(folder), LOG.vkey).exit_code == 0
    return folder


# the commands


def test_init_prints_the_key_that_others_pin_and_makes_a_passphrase_file(tmp_path: Path) -> None:
    folder = tmp_path / "witness"
    made = run(folder, "init", str(folder), "--name", NAME)
    assert (made.exit_code, made.stdout) == (0, f"{WitnessFolder(folder).key}\n")
    assert (tmp_path / "pp").stat().st_mode & 0o777 == 0o600
    assert Witness.open(folder, (tmp_path / "pp").read_bytes().strip()).key.name == NAME
    again = run(folder, "init", str(folder), "--name", NAME)
    assert (again.exit_code, "[key-store-exists]" in again.stderr) == (1, True)


def test_show_needs_no_passphrase_and_shows_logs_and_evidence(folder: Path) -> None:
    witness = Witness.open(folder, (folder.parent / "pp").read_bytes().strip())
    empty = json.loads(run(folder, "show", str(folder), "-o", "json").stdout)
    assert [(log["size"], log["cosigned"]) for log in empty["logs"]] == [(0, "")]
    witness.add_checkpoint(LOG.request(0, 9))
    witness.add_checkpoint(FORK.request(9, 9))
    (folder.parent / "pp").unlink()
    (folder / "key.bin").unlink()
    shown = json.loads(run(folder, "show", str(folder), "-o", "json").stdout)
    assert (shown["vkey"], shown["name"]) == (str(witness.key), NAME)
    assert [(log["origin"], log["size"], log["note"]) for log in shown["logs"]] == [(ORIGIN, 9, LOG.note(9).decode())]
    (fork,) = shown["evidence"]
    assert (fork["kind"], fork["cosigned"], fork["offered"]) == ("fork", LOG.note(9).decode(), FORK.note(9).decode())
    drawn = run(folder, "show", str(folder)).stdout
    assert all(part in drawn for part in (NAME, str(witness.key), ORIGIN, root_of(LOG.leaves[:9]).hex()[:16], "fork"))


@pytest.mark.parametrize(
    ("args", "code", "env"),
    [
        (("add-log", "WITNESS", "nonsense"), "bad-input", {}),
        (("add-log", "WITNESS", LOG.vkey.replace("zc", "zd")), "bad-input", {}),
        (("init", "ELSEWHERE", "--name", "a b"), "bad-input", {}),
        (("show", "ELSEWHERE"), "key-store-broken", {}),
        (("serve", "WITNESS", "--port", "1"), "passphrase-missing", {"TITLE_REGISTRY_PASSPHRASE_FILE": ""}),
        (("serve", "WITNESS", "--port", "1"), "wrong-passphrase", {"TITLE_REGISTRY_PASSPHRASE_FILE": "WRONG"}),
    ],
)
def test_a_command_that_is_refused_says_why_and_changes_nothing(
    folder: Path, args: tuple[str, ...], code: str, env: dict[str, str]
) -> None:
    (folder.parent / "wrong").write_text("wrong")
    (folder.parent / "wrong").chmod(0o600)
    beside = folder.parent
    names = {"WITNESS": str(folder), "ELSEWHERE": str(beside / "elsewhere"), "WRONG": str(beside / "wrong")}
    before = WitnessFolder(folder).logs()
    done = run(folder, *(names.get(arg, arg) for arg in args), **{key: names.get(one, one) for key, one in env.items()})
    assert (done.exit_code, f"Error [{code}]" in done.stderr, "Traceback" in done.output) == (1, True, False)
    assert WitnessFolder(folder).logs() == before
    assert not (folder.parent / "elsewhere").exists()


# the door


class Door(httpx.Client):
    """A witness in a process of its own, and a client of it."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        super().__init__(base_url=f"http://127.0.0.1:{self.port}", timeout=30)
        self.folder, self.output = folder, folder.with_name(f"served-{self.port}.log")
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        environment["TITLE_REGISTRY_PASSPHRASE_FILE"] = str(folder.parent / "pp")
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _RUN, "witness", "serve", str(folder), "--port", str(self.port)],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def await_answer(self) -> "Door":
        """Return when it answers. Raise AssertionError if it ended or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.output.read_text()
            try:
                self.get("/")
            except httpx.TransportError:
                time.sleep(0.02)
            else:
                return self
        raise AssertionError(f"no answer in {START_SECONDS} s")

    def offer(self, body: bytes) -> httpx.Response:
        """Ask for a cosignature."""
        return self.post("/add-checkpoint", content=body)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End this process, and no other."""
        self.process.send_signal(how)
        return self.process.wait(20)


@contextmanager
def served(folder: Path, doors: int = 1) -> Iterator[list[Door]]:
    """As many processes that serve the folder, until the end of the block."""
    started = [Door(folder) for _ in range(doors)]
    try:
        yield [door.await_answer() for door in started]
    finally:
        for door in started:
            if door.process.poll() is None:
                door.end(signal.SIGKILL)
            door.close()


def test_the_whole_life_of_a_witness_over_http(folder: Path) -> None:
    key = str(WitnessFolder(folder).key)
    with served(folder) as (door,):
        first = door.offer(LOG.request(0, 9))
        assert (first.status_code, first.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert abs(cosigned_at(first.content, LOG.text(9), key) - time.time()) < 60
        statuses = {
            "stale": door.offer(LOG.request(0, 12)),
            "fork": door.offer(FORK.request(9, 9)),
            "unproven": door.offer(FORK.request(9, 12)),
            "unknown": door.offer(Log(LOG.leaves, LOG.key, "other.example/log").request(0, 3)),
            "stranger": door.offer(STRANGER.request(9, 12)),
            "malformed": door.offer(b"old 9\n"),
            "old above size": door.offer(asking(13, [], LOG.note(12))),
            "large": door.offer(bytes(MAX_BODY + 1)),
            "elsewhere": door.post("/add-checkpoint/more"),
            "reading": door.get("/add-checkpoint"),
            "writing": door.post("/"),
        }
        assert {what: answer.status_code for what, answer in statuses.items()} == {
            "stale": 409,
            "fork": 409,
            "unproven": 422,
            "unknown": 404,
            "stranger": 403,
            "malformed": 400,
            "old above size": 400,
            "large": 413,
            "elsewhere": 404,
            "reading": 405,
            "writing": 405,
        }
        for what in ("stale", "fork"):
            assert (statuses[what].content, statuses[what].headers["content-type"]) == (b"9\n", "text/x.tlog.size")
        front = door.get("/")
        assert front.headers["content-type"] == "text/plain; charset=utf-8"
        root = root_of(LOG.leaves[:9]).hex()
        assert all(part in front.text for part in (key, ORIGIN, LOG.vkey, "规模 Size  9\n", root))
        assert door.end() in (0, -signal.SIGTERM)
        assert f"fork: {ORIGIN} 9" in door.output.read_text()
    with served(folder) as (door,):
        assert door.offer(LOG.request(0, 12)).content == b"9\n"
        assert door.offer(LOG.request(9, 12)).status_code == 200


def test_a_log_that_is_added_while_it_runs_is_served(folder: Path) -> None:
    other = Log([b"x", b"y"], origin="other.example/log")
    with served(folder) as (door,):
        assert door.offer(other.request(0, 2)).status_code == 404
        assert run(folder, "add-log", str(folder), other.vkey).exit_code == 0
        assert door.offer(other.request(0, 2)).status_code == 200


def test_a_port_in_use_is_said(folder: Path) -> None:
    with served(folder) as (door,):
        done = run(folder, "serve", str(folder), "--port", str(door.port))
        assert (done.exit_code, "Error [unavailable]" in done.stderr) == (1, True)


def test_two_processes_race_200_rounds_and_cosign_one_tree(folder: Path) -> None:
    key, log, latest = str(WitnessFolder(folder).key), Log([b"0"], LOG.key), 0
    with served(folder, doors=2) as doors, ThreadPoolExecutor(2) as pool:
        for n in range(200):
            log.leaves += [b"%d" % n, b"%d more" % n]
            other = log.forked(len(log.leaves) - 1) if n % 2 else log
            sizes = (len(log.leaves), len(log.leaves) - 1 + n % 2)  # odd rounds: two roots at one size
            sides = list(zip((log, other), sizes, strict=True))
            bodies = [side.request(latest, size) for side, size in sides]
            replies = list(pool.map(Door.offer, doors, bodies))
            assert sorted(reply.status_code for reply in replies) == [200, 409]
            winner = [reply.status_code for reply in replies].index(200)
            log, latest = sides[winner]
            cosigned_at(replies[winner].content, log.text(latest), key)
            assert replies[1 - winner].content == b"%d\n" % latest
    (state,) = WitnessFolder(folder).logs()
    assert (state.size, state.root) == (latest, root_of(log.leaves[:latest]))


def test_killed_at_any_moment_it_stands_by_what_it_has_cosigned(folder: Path) -> None:
    random, log, cosigned = Random(7), Log([b"%d" % n for n in range(400)], LOG.key), 0
    for _ in range(4):
        with served(folder) as (door,):
            killer = threading.Timer(random.uniform(0.02, 0.3), door.process.kill)
            killer.start()
            cosigned = grow(door, log, cosigned)
            killer.join()
            door.process.wait(20)
        (state,) = WitnessFolder(folder).logs()
        assert state.size in (cosigned, cosigned + 1)  # stored, and killed before it could say so
        assert state.root == root_of(log.leaves[: state.size])
        cosigned = state.size
    with served(folder) as (door,):
        assert door.offer(log.forked(cosigned - 1).request(cosigned, cosigned + 1)).status_code == 422
        assert door.offer(log.request(cosigned, cosigned + 1)).status_code == 200


def grow(door: Door, log: Log, size: int) -> int:
    """Let the log grow leaf by leaf until the witness is gone; the last size that it cosigned."""
    while size < len(log.leaves):
        try:
            reply = door.offer(log.request(size, size + 1))
        except httpx.TransportError:
            return size
        assert reply.status_code == 200
        size += 1
    return size


def test_a_body_that_does_not_arrive_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witnesses, "BODY_SECONDS", 0.05)
    app, said = app_of(Witness.open(folder, (folder.parent / "pp").read_bytes().strip())), list[Any]()

    async def receive() -> Any:
        if not said:
            await asyncio.Event().wait()

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "method": "POST", "path": "/add-checkpoint", "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))
    assert said[0]["status"] == 408


def test_without_its_database_it_answers_503_and_cosigns_nothing(folder: Path) -> None:
    with served(folder) as (door,):
        (folder / "witness.db").rename(folder / "lost.db")
        answer = door.offer(LOG.request(0, 9))
        assert (answer.status_code, "—" in answer.text) == (503, False)
        assert str(folder) not in answer.text
        assert not (folder / "witness.db").exists()


# the log's side


def test_a_log_asks_over_http(folder: Path) -> None:
    with served(folder) as (door,):
        key, down = WitnessFolder(folder).key, f"http://127.0.0.1:{free_port()}"
        other = Witness.create(folder.parent / "other", "other.example/w", b"x").key
        lines = (f"witness a {key} {door.base_url}", f"witness b {other} {down}", "group g any a b", "quorum g", "")
        policy, sizes = Policy.parse("\n".join(lines).encode()), dict[str, int]()
        for size in (5, 12):
            found = gather(LOG.note(size), policy, LOG.proof, post, sizes)
            cosigned_at(found.lines, LOG.text(size), str(key))
            assert (set(found.skipped), sizes) == ({"b"}, {"a": size})
            assert policy.met_by(LOG.note(size) + found.lines).by == ("a",)


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def answering(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that answers each POST in that way; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self)

        def log_message(self, format: str, *args: object) -> None: ...

    class Quiet(HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None: ...  # a client that went away

    server = Quiet(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def plain(status: int, body: bytes, claimed: int | None = None, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body) if claimed is None else claimed)}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def test_status_and_body_come_back_and_redirects_are_not_followed() -> None:
    with answering(plain(409, b"9\n")) as address:
        assert post(f"{address}/add-checkpoint", b"x") == (409, b"9\n")
    with answering(plain(307, b"", Location="http://127.0.0.1:1/")) as address:
        assert post(address, b"x") == (307, b"")


@pytest.mark.parametrize(
    "answer", [plain(200, bytes(128 * 1024 + 1)), plain(200, b"short", claimed=10)], ids=["too large", "cut off"]
)
def test_a_reply_that_is_too_large_or_cut_off_is_no_answer(answer: Answer) -> None:
    with answering(answer) as address, pytest.raises(Unavailable):
        post(address, b"x")


def test_a_witness_that_trickles_is_given_up_in_time() -> None:
    stopped = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not stopped.wait(0.02):
            handler.wfile.write(b"X-More: x\r\n")
            if handler.wfile.closed:
                return

    with answering(trickle) as address:
        begun = time.monotonic()
        try:
            with pytest.raises(Unavailable):
                post(address, b"x", seconds=0.3)
        finally:
            stopped.set()
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize("address", ["ftp://localhost/", "localhost:8010", "http:///x", "http://localhost:99999/", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Unavailable):
        post(address, b"x")


def test_an_https_certificate_that_nobody_vouches_for_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with answering(plain(200, b"ok\n"), tls) as address:
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            post(address, b"x")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # what the machine trusts
        assert post(address, b"x") == (200, b"ok\n")
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            post(address.replace("localhost", "127.0.0.1"), b"x")


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    key, name = generate_private_key(SECP256R1()), x509.Name.from_rfc4514_string("CN=localhost")
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(pem)
    (folder / "cert.pem").write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    return folder / "cert.pem", folder / "key.pem"
