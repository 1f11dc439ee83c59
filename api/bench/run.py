"""Each measurement with its floor. Small by default (`size` rows); the goals are those of docs/performance.md."""

import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from socket import socket

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from api.bench import proving
from api.bench.documents import bare_page, signed_page
from api.bench.figures import Figure, rate, seconds
from api.bench.load import Load
from api.bench.material import PASSPHRASE, import_apart, issue_one, new_registry, write_list
from api.bench.server import EMPTY
from api.documents.press import Press
from keys.cose import sign1
from keys.signing import Purpose
from registry.audit import replay
from registry.intake.rows import read_list
from registry.log.mapper import decode
from registry.service import Registry
from registry.terms import utc_now
from registry.titles.award import AwardTitle
from registry.titles.certificate import token_of
from registry.titles.token import TYP, payload

DEFAULT_SIZE = 20_000
CALLERS, SECONDS = 16, 3.0


@dataclass
class Bench:
    """The measurements over one list of `size` rows in one temporary folder."""

    folder: Path
    size: int

    @cached_property
    def source(self) -> Path:
        """The list as CSV."""
        path = self.folder / "list.csv"
        write_list(path, self.size)
        return path

    @cached_property
    def registry(self) -> Registry:
        """A registry with the list imported."""
        registry = new_registry(self.folder / "data")
        registry.import_awards(self.source, authority="331100", document="BENCH〔2021〕1号", officer="bench")
        return registry

    def imports(self) -> Figure:
        """A CSV list end to end, all or nothing, against a raw insert of the same rows into the same tables."""
        new_registry(self.folder / "import").close()
        receipt, took, grown = import_apart(self.folder / "import", self.source)
        value, floor = receipt.rows / took, receipt.rows / self._raw_insert(self.folder / "import" / "registry.db")
        note = f"{receipt.rows} rows, peak memory grew by {grown:.0f} MB"
        return _figure("import", value, floor, "rows/s", 3_000, ">= 3,000 rows/s", note)

    def _raw_insert(self, database: Path) -> float:
        into = self.folder / "raw.db"
        with sqlite3.connect(database) as c:
            schema = [row[0] for row in c.execute("SELECT sql FROM sqlite_master WHERE type='table'")]
            tables = {
                table: c.execute(f"SELECT * FROM {table}").fetchall()
                for table in ("stored_events", "claims", "data_keys")
            }
        raw = sqlite3.connect(into, isolation_level=None)
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")
        for statement in schema:
            raw.execute(statement)

        def insert() -> None:
            raw.execute("BEGIN IMMEDIATE")
            for table, rows in tables.items():
                raw.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows)
            raw.execute("COMMIT")

        took = seconds(insert)
        raw.close()
        return took

    def award(self) -> Figure:
        """One durable award after another, against one durable one-row insert."""
        registry, count = new_registry(self.folder / "award"), 300
        commands = self._commands(registry, count)
        value = count / seconds(lambda: [registry.award(command, officer="bench") for command in commands])
        floor = count / seconds(lambda: _durable_inserts(self.folder / "floor.db", count))
        return _figure("award", value, floor, "awards/s", 0.7 * floor, ">= 0.7 of a durable insert")

    def _commands(self, registry: Registry, count: int) -> list[AwardTitle]:
        source = self.folder / "awards.csv"
        write_list(source, count)
        rows = read_list(
            source, authority="331100", document="BENCH〔2021〕1号", catalogue=registry.catalogue, today=registry.today
        )
        return [row.result for row in rows if not isinstance(row.result, tuple)]

    def award_sequenced(self) -> Figure:
        """An award while the log is sequenced, against one without."""
        alone, sequenced = new_registry(self.folder / "alone"), new_registry(self.folder / "sequenced")
        return proving.award_sequenced(alone, sequenced, self._commands(alone, 2_000))

    def sequence(self) -> Figure:
        """All events into the tree."""
        return proving.sequence(self.registry, self.folder)

    def prove(self) -> Figure:
        """One inclusion proof."""
        return proving.prove(self.folder)

    def merge_delay(self) -> Figure:
        """From an append to its checkpoint."""
        registry = new_registry(self.folder / "delay")
        return proving.merge_delay(registry, self._commands(registry, 1_000))

    def kit(self) -> Figure:
        """The auditor's kit."""
        return proving.kit(self.registry, self.folder)

    def replay(self) -> Figure:
        """Read, decode and fold every stream, against reading and decoding alone."""
        log = self.registry.log
        head = log.head()
        value = rate(lambda: _consume(replay(log, None, None)), head)
        rows = log.recorder.rows_by_position
        floor = rate(lambda: _consume(decode(r[1], r[2], r[3], r[4], r[0]) for r in rows(0, head)), head)
        return _figure("replay", value, floor, "events/s", 60_000, ">= 60,000 events/s")

    def register_rebuild(self) -> Figure:
        """The register built anew beside the live one and switched, against reading and decoding alone."""
        log = self.registry.log
        head = log.head()
        value = rate(self.registry.register.rebuild, head)
        rows = log.recorder.rows_by_position
        floor = rate(lambda: _consume(decode(r[1], r[2], r[3], r[4], r[0]) for r in rows(0, head)), head)
        return _figure("register_rebuild", value, floor, "events/s", 30_000, ">= 30,000 events/s")

    def verify(self) -> Figure:
        """GET of a verification over HTTP by 16 callers, against an empty FastAPI async route of the same server."""
        code = issue_one(self.registry, Press())
        port = _free_port()
        passphrase = self.folder / "passphrase"
        passphrase.write_bytes(PASSPHRASE)
        passphrase.chmod(0o600)
        server = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "api.bench.server", str(self.registry.folder.path), str(port)],
            env={"TITLE_REGISTRY_PASSPHRASE_FILE": str(passphrase), "PATH": ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_ready(port)
            loads = [(_load(port, EMPTY), _load(port, f"/api/v1/verifications/{code}")) for _ in range(3)]
        finally:
            server.terminate()
            server.wait(15)
        empty, ours = max(pair[0].rate for pair in loads), max(pair[1].rate for pair in loads)
        note = f"p50 {loads[-1][1].p50:.1f} ms, p99 {loads[-1][1].p99:.1f} ms at {CALLERS} callers"
        return _figure("verify", ours, empty, "requests/s", 0.6 * empty, ">= 0.6 of an empty route", note)

    def sign_token(self) -> Figure:
        """A token (claims, COSE_Sign1, verified after signing) against a bare ES256 signature that nobody verifies."""
        registry, count = self.registry, 500
        signer = registry.custody.signer(Purpose.E_CERTIFICATE, utc_now())
        _, certificate = registry.certificate(issue_one(registry, Press()))
        content = certificate.content.reveal()
        value = rate(lambda: [sign1(signer, TYP, payload(content, 0)) for _ in range(count)], count)
        body = payload(content, 0)
        bare, scheme = registry.custody.document_signer(utc_now()).key, ec.ECDSA(hashes.SHA256())
        floor = rate(lambda: [bare.sign(body, scheme) for _ in range(count)], count)
        return _figure("sign_token", value, floor, "tokens/s", 0.7 * floor, ">= 0.7 of bare ES256")

    def pdf(self) -> Figure:
        """A signed PDF/A-3a certificate against a bare typst page and a bare pyHanko signature of it."""
        registry, press = self.registry, Press()
        _, certificate = registry.certificate(issue_one(registry, press))
        content, token = certificate.content.reveal(), token_of(certificate)
        signer = registry.custody.document_signer(utc_now())
        value, floor = (
            min(measure(press, content, token, signer) for _ in range(2)) for measure in (signed_page, bare_page)
        )
        goal = "<= 1.3 of bare typst + bare pyHanko"
        return Figure(
            "pdf", round(value, 1), round(floor, 1), round(value / floor, 3), goal, "ms", value <= 1.3 * floor
        )


def _figure(name: str, value: float, floor: float, unit: str, least: float, goal: str, note: str = "") -> Figure:
    return Figure(name, round(value, 1), round(floor, 1), round(value / floor, 3), goal, unit, value >= least, note)


MEASUREMENTS: dict[str, Callable[[Bench], Figure]] = {
    "import": Bench.imports,
    "award": Bench.award,
    "replay": Bench.replay,
    "register_rebuild": Bench.register_rebuild,
    "verify": Bench.verify,
    "sign_token": Bench.sign_token,
    "pdf": Bench.pdf,
    "sequence": Bench.sequence,
    "prove": Bench.prove,
    "award_sequenced": Bench.award_sequenced,
    "merge_delay": Bench.merge_delay,
    "kit": Bench.kit,
}
NAMES = tuple(MEASUREMENTS)


def run(names: list[str], size: int | None = None) -> list[Figure]:
    """Take the named measurements (all by default) in this order, each beside its floor."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), size or DEFAULT_SIZE)
        return [MEASUREMENTS[name](bench) for name in names or NAMES]


def _consume(items: object) -> None:
    for _ in items:  # type: ignore[attr-defined]
        pass


def _durable_inserts(path: Path, count: int) -> None:
    c = sqlite3.connect(path, isolation_level=None)
    c.execute("PRAGMA journal_mode=WAL")
    c.execute("PRAGMA synchronous=FULL")
    c.execute("CREATE TABLE t (a TEXT, b INTEGER, c TEXT, d BLOB)")
    for n in range(count):
        c.execute("INSERT INTO t VALUES (?,?,?,?)", ("stream", n, "name/1", b"x" * 400))
    c.close()


def _wait_ready(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise TimeoutError("the server did not get ready within 30 s")


def _load(port: int, path: str) -> Load:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "api.bench.load", str(port), path, str(CALLERS), str(SECONDS)],
        check=True,
        capture_output=True,
    )
    return msgspec.json.decode(done.stdout, type=Load)


def _free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
