"""The transparency log over HTTP as an auditor reads it: the tree again from its entries, with nothing of ours."""

import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cbor2
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from registry.audit.receipt import verify_receipt
from registry.proof.checkpoint import NoteKey
from registry.service import Registry
from registry.titles.events import DecisionKind
from tests import engine
from tests.api.test_http_verification import MALFORMED, UNKNOWN, as_path, assert_no_verdict
from tests.people import CLERK, awarding, decided, deciding, person, settable
from tests.served import NAME, Cabinet, Site, copied, found_registry, free_port, serving, until
from tests.tools import need

SECURITY = ("referrer-policy", "x-robots-tag", "x-content-type-options", "content-security-policy")
TEXT, BYTES = "text/plain; charset=utf-8", "application/octet-stream"


class Said(NamedTuple):
    """A checkpoint, read by hand."""

    origin: str
    size: int
    root: bytes
    text: bytes
    lines: list[str]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, Site]]:
    """A log with a full tile and a partial one beside it, and several checkpoints, served."""
    port = free_port()
    registry = found_registry(tmp_path_factory.mktemp("large") / "data", port)
    for n in range(150):
        stream = registry.award(awarding(person(n, NAME)), officer=CLERK)
        if n % 40 == 0:
            registry.issue(stream, settable, officer=CLERK)
    registry.tlog.sequence()
    with serving(registry.folder.path, port) as site:
        yield registry, site
    registry.close()


def read(site: Site) -> Said:
    """The checkpoint as it is served."""
    text, _, lines = site.get("/log/checkpoint").content.partition(b"\n\n")
    origin, size, root = text.decode().split("\n")
    return Said(origin, int(size), base64.b64decode(root), text + b"\n", lines.decode().splitlines())


def paths(kind: str, count: int) -> list[str]:
    """The tiles of that many hashes or entries, by the words of C2SP tlog-tiles; at most a thousand."""
    full, partial = divmod(count, 256)
    return [f"/log/tile/{kind}/{n:03}" for n in range(full)] + (
        [f"/log/tile/{kind}/{full:03}.p/{partial}"] * bool(partial)
    )


def entries_of(site: Site, size: int) -> list[bytes]:
    """Every leaf entry."""
    found = []
    for path in paths("entries", size):
        data, at = site.get(path).content, 0
        while at < len(data):
            end = at + 2 + int.from_bytes(data[at : at + 2])
            found.append(data[at + 2 : end])
            at = end
    return found


def mth(leaves: Sequence[bytes]) -> bytes:
    """MTH of leaf hashes (RFC 6962 section 2.1)."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + mth(leaves[:half]) + mth(leaves[half:])).digest()


def path_of(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]) (RFC 6962 section 2.1.1)."""
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*path_of(index, leaves[:half]), mth(leaves[half:])]
    return [*path_of(index - half, leaves[half:]), mth(leaves[:half])]


def proof_of(old: int, leaves: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """PROOF and SUBPROOF(m, D[n], b) (RFC 6962 section 2.1.2); empty from nothing."""
    if old in (0, len(leaves)):
        return [] if whole else [mth(leaves)]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if old <= half:
        return [*proof_of(old, leaves[:half], whole=whole), mth(leaves[half:])]
    return [*proof_of(old - half, leaves[half:], whole=False), mth(leaves[:half])]


def decoded(hashes: list[str]) -> list[bytes]:
    return [base64.b64decode(one) for one in hashes]


def assert_secure(response: httpx.Response) -> None:
    for name in SECURITY:
        assert name in response.headers, (response.url, name)


# tree and checkpoint


def test_the_tree_again_from_its_entries_has_the_signed_root(large: tuple[Registry, Site]) -> None:
    registry, site = large
    said = read(site)
    entries = entries_of(site, said.size)
    leaves = [hashlib.sha256(b"\x00" + one).digest() for one in entries]
    assert (len(leaves), mth(leaves)) == (said.size, said.root)
    assert said.size > 256
    stored = list(registry.log.recorder.rows_by_position(0, registry.log.head()))
    assert [[*cbor2.loads(one)[1:5], cbor2.loads(one)[6]] for one in entries] == [
        [position, stream, version, name, hashlib.sha256(state).digest()]
        for position, stream, version, name, state in stored
    ]
    assert b"".join(site.get(path).content for path in paths("0", said.size)) == b"".join(leaves)
    [above] = paths("1", said.size // 256)
    assert site.get(above).content == mth(leaves[:256])


def test_the_checkpoint_is_signed_by_the_keys_that_are_served(large: tuple[Registry, Site]) -> None:
    said, keys = read(large[1]), large[1].get("/log/key").text.splitlines()
    assert said.origin == large[0].config.base_url.removeprefix("http://") + "/log"
    signed = {
        name + base64.b64decode(data)[:4].hex(): base64.b64decode(data)[4:]
        for _, name, data in map(str.split, said.lines)
    }
    kinds = []
    for line in keys:
        name, _, rest = line.partition("+")
        key_id, _, material = rest.partition("+")
        kind, public = base64.b64decode(material)[:1], base64.b64decode(material)[1:]
        assert key_id == hashlib.sha256(f"{name}\n".encode() + kind + public).hexdigest()[:8]
        kinds.append(kind)
        signature = signed.pop(name + key_id)
        if kind == b"\x01":
            Ed25519PublicKey.from_public_bytes(public).verify(signature, said.text)
        else:
            time, origin = signature[:8], said.origin.encode()
            subtree = b"subtree/v1\n\0" + bytes([len(name)]) + name.encode() + time + bytes([len(origin)]) + origin
            subtree += bytes(8) + said.size.to_bytes(8) + said.root
            MLDSA44PublicKey.from_public_bytes(public).verify(signature[8:], subtree)
    assert (kinds, signed) == ([b"\x01", b"\x06"], {})


def test_what_comes_new_is_in_the_checkpoint_soon_and_extends_it(tmp_path: Path) -> None:
    registry = found_registry(tmp_path / "data", free_port())
    with serving(registry.folder.path) as site:
        before = read(site)
        registry.award(awarding(person(1)), officer=CLERK)
        registry.tlog.sequence()
        after = read(site)
        assert after.size == registry.log.head() > before.size
        leaves = [hashlib.sha256(b"\x00" + one).digest() for one in entries_of(site, after.size)]
        assert mth(leaves[: before.size]) == before.root
    registry.close()


# how files are served


def test_tiles_are_kept_for_ever_and_the_checkpoint_for_a_second(large: tuple[Registry, Site]) -> None:
    _, site = large
    checkpoint = site.get("/log/checkpoint")
    assert (checkpoint.headers["content-type"], checkpoint.headers["cache-control"]) == (TEXT, "public, max-age=1")
    assert_secure(checkpoint)
    size = read(site).size
    for path in [*paths("0", size), *paths("entries", size), *paths("1", 1)]:
        tile = site.get(path, headers={"Accept-Encoding": "identity"})
        assert (tile.status_code, tile.headers["content-type"]) == (200, BYTES)
        assert tile.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert_secure(tile)
        again = site.get(path, headers={"If-None-Match": tile.headers["etag"], "Accept-Encoding": "identity"})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tile.headers["etag"])
        changed = site.get(path, headers={"If-None-Match": '"another"', "Accept-Encoding": "identity"})
        assert changed.content == tile.content
        head = site.head(path, headers={"Accept-Encoding": "identity"})
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tile.headers["etag"])


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, identity", False),
        ("x-gzippy", False),
        ("", False),
    ],
)
def test_entries_are_compressed_for_whoever_takes_it(large: tuple[Registry, Site], accepted: str, packed: bool) -> None:
    with large[1].stream("GET", "/log/tile/entries/000", headers={"Accept-Encoding": accepted}) as answer:
        raw = b"".join(answer.iter_raw())
    plain = large[1].get("/log/tile/entries/000", headers={"Accept-Encoding": "identity"})
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
    assert (gzip.decompress(raw) if packed else raw) == plain.content
    assert (answer.headers["etag"] == plain.headers["etag"]) is not packed, "other bytes, another tag"


def test_what_is_not_in_the_log_is_404_in_words(large: tuple[Registry, Site]) -> None:
    _, site = large
    size = read(site).size
    beyond = f"{size // 256:03}.p/{size % 256 + 1}"
    for path in (
        f"/log/tile/0/{beyond}",
        f"/log/tile/entries/{beyond}",
        "/log/tile/0/001",
        "/log/tile/2/000",
        "/log/tile/64/000",
        "/log/tile/00/000",
        "/log/tile/-1/000",
        "/log/tile/0/0",
        "/log/tile/0/x000/000",
        "/log/tile/0/000.p/0",
        "/log/tile/0/000.p/256",
        "/log/tile/0/000.p/05",
        "/log/tile/0/000.p/5/",
        "/log/tile/0/",
        "/log/tile/x/000",
        "/log/tile/0/%2e%2e/%2e%2e/checkpoint",
        "/log/tile/entries/..%2f..%2f..%2fconfig.json",
        "/log/policy",
    ):
        gone = site.get(path)
        assert (gone.status_code, gone.headers["content-type"]) == (404, TEXT), path
        assert_secure(gone)
        assert gone.headers["cache-control"] == "no-store", "it may be there soon"


def test_tiles_ahead_of_the_checkpoint_are_not_served_yet(cabinet: Cabinet, site: Site) -> None:
    size = read(site).size
    assert size < 200
    registry = cabinet.registry
    registry.tlog.tiles.write(size, [b"not signed yet"])
    try:
        for kind in ("0", "entries"):
            assert registry.tlog.tiles.read(f"tile/{kind}/000.p/{size + 1}")
            assert site.get(f"/log/tile/{kind}/000.p/{size + 1}").status_code == 404
            assert site.get(f"/log/tile/{kind}/000.p/{size}").status_code == 200
    finally:
        for kind in ("0", "entries"):
            (registry.tlog.folder / f"tile/{kind}/000.p/{size + 1}").unlink()


def test_a_policy_is_served_where_there_is_one(large: tuple[Registry, Site]) -> None:
    registry, site = large
    registry.folder.policy.write_bytes(b"quorum none\n")
    try:
        served = site.get("/log/policy")
        assert (served.content, served.headers["content-type"]) == (b"quorum none\n", TEXT)
        assert_secure(served)
    finally:
        registry.folder.policy.unlink()


def test_nothing_in_the_whole_log_is_personal(large: tuple[Registry, Site]) -> None:
    _, site = large
    size = read(site).size
    everything = b"".join(entries_of(site, size))
    for n in (0, 1, 149):
        assert person(n).identity.number.encode() not in everything
    assert NAME.encode() not in everything


# proofs


def test_proofs_are_those_of_the_definition_at_every_size(large: tuple[Registry, Site]) -> None:
    _, site = large
    size = read(site).size
    leaves = [hashlib.sha256(b"\x00" + one).digest() for one in entries_of(site, size)]
    for of, index in [
        (1, 0),
        (2, 1),
        (7, 3),
        (255, 254),
        (256, 0),
        (257, 256),
        (size, 0),
        (size, 255),
        (size, size - 1),
    ]:
        proof = site.get("/log/proof/inclusion", params={"index": index, "size": of})
        found = proof.json()
        assert (found["index"], found["size"]) == (index, of)
        assert base64.b64decode(found["root"]) == mth(leaves[:of])
        assert decoded(found["hashes"]) == path_of(index, leaves[:of])
        assert_secure(proof)
    for old, new in [
        (0, 0),
        (0, 5),
        (1, 2),
        (3, 7),
        (4, 7),
        (6, 7),
        (256, 257),
        (255, size),
        (256, size),
        (size, size),
    ]:
        found = site.get("/log/proof/consistency", params={"old": old, "new": new}).json()
        assert (found["old"], found["new"]) == (old, new)
        assert base64.b64decode(found["old_root"]) == mth(leaves[:old])
        assert base64.b64decode(found["root"]) == mth(leaves[:new])
        assert decoded(found["hashes"]) == proof_of(old, leaves[:new])


def test_the_proof_of_an_event_stands_by_itself(large: tuple[Registry, Site]) -> None:
    registry, site = large
    said = read(site)
    for position in (1, 2, 100, 256, 257, said.size):
        answer = site.get(f"/log/proof/event/{position}")
        assert answer.headers["content-type"] == TEXT
        head, _, note = answer.text.partition("\n\n")
        first, extra, index, *hashes = head.split("\n")
        assert first == "c2sp.org/tlog-proof@v1"
        entry = base64.b64decode(extra.removeprefix("extra "))
        [(_, stream, version, name, state)] = registry.log.recorder.rows_by_position(position - 1, position)
        assert cbor2.loads(entry)[1:5] == [position, stream, version, name]
        assert cbor2.loads(entry)[6] == hashlib.sha256(state).digest()
        assert state not in answer.content, "the stored bytes are not given away"
        assert note.encode() == site.get("/log/checkpoint").content
        leaves = [hashlib.sha256(b"\x00" + one).digest() for one in entries_of(site, said.size)]
        assert leaves[int(index.removeprefix("index "))] == hashlib.sha256(b"\x00" + entry).digest()
        assert decoded(hashes) == path_of(position - 1, leaves)


@pytest.mark.parametrize(
    ("path", "pointers"),
    [
        ("inclusion", ["query/index", "query/size"]),
        ("inclusion?index=0", ["query/size"]),
        ("inclusion?index=00&size=5", ["query/index"]),
        ("inclusion?index=%2B1&size=5", ["query/index"]),
        ("inclusion?index=-1&size=5", ["query/index"]),
        ("inclusion?index=1&size=5.0", ["query/size"]),
        ("inclusion?index=%D9%A1&size=5", ["query/index"]),
        ("inclusion?index=1&size=5&size=6", ["query/size"]),
        ("inclusion?index=1&size=5&extra=1", ["query/extra"]),
        ("inclusion?index=1&size=" + "9" * 19, ["query/size"]),
        ("consistency?old=1", ["query/new"]),
        ("consistency?old=01&new=%201", ["query/new", "query/old"]),
        ("event/01", ["path/position"]),
        ("event/x", ["path/position"]),
        ("event/-1", ["path/position"]),
    ],
)
def test_a_malformed_question_is_told_where_it_is_wrong(
    large: tuple[Registry, Site], path: str, pointers: list[str]
) -> None:
    answer = large[1].get(f"/log/proof/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["code"] == "bad-request"
    assert [one["pointer"] for one in answer.json()["errors"]] == pointers
    assert_secure(answer)


def test_a_proof_that_there_is_none_of(large: tuple[Registry, Site]) -> None:
    _, site = large
    size = read(site).size
    for path in (
        "inclusion?index=5&size=5",
        "inclusion?index=0&size=0",
        f"inclusion?index=0&size={size + 1}",
        f"inclusion?index=0&size={'9' * 18}",
        "consistency?old=6&new=5",
        f"consistency?old=0&new={size + 1}",
        f"event/{size + 1}",
        "event/0",
    ):
        answer = site.get(f"/log/proof/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), path


def test_only_reading(large: tuple[Registry, Site]) -> None:
    for path in ("/log/checkpoint", "/log/tile/0/000", "/log/proof/inclusion", "/log/key"):
        for method in ("POST", "PUT", "DELETE"):
            assert large[1].request(method, path).status_code == 405, (method, path)


# receipts


def receipt_of(site: Site, code: str, **asked: str) -> httpx.Response:
    return site.get(f"/api/v1/verifications/{code}/receipt", params=asked)


def test_a_receipt_says_what_the_verification_says_and_holds_for_the_keys_that_are_served(
    site: Site, cabinet: Cabinet
) -> None:
    keys = [NoteKey.parse(line) for line in site.get("/log/key").text.splitlines()[:1]]
    for one in (cabinet.valid, cabinet.revoked, cabinet.suspended, cabinet.superseded, cabinet.converted):
        answer = receipt_of(site, one.code)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert answer.headers["cache-control"] == "no-store"
        receipt = verify_receipt(answer.content, keys)
        told = site.verified(one.code)
        assert answer.json()["answer"] | {"checked_at": None} == told | {"checked_at": None}
        names = [leaf.name for leaf in receipt.events.values()]
        assert names[0] == "title-awarded/1"
        assert {leaf.stream for leaf in receipt.events.values()} == {cabinet.stream(one)}
        assert ("title-revoked/1" in names) == (one is cabinet.revoked)


def test_a_receipt_as_of_a_date_and_as_known_at_a_time(site: Site, cabinet: Cabinet) -> None:
    early = receipt_of(site, cabinet.valid.code, as_of="2000-01-01").json()["answer"]
    assert (early["status"], early["as_of"]) == ("not_yet_effective", "2000-01-01")
    title = cabinet.registry.title(cabinet.stream(cabinet.revoked))
    before = title.decisions[-1].recorded_at.isoformat().replace("+00:00", "Z")
    signed = title.certificates[-1].signed_at
    assert signed
    known = receipt_of(site, cabinet.revoked.code, known_at=signed.isoformat())
    assert known.json()["answer"]["status"] == "valid"
    assert len(known.json()["events"]) < len(receipt_of(site, cabinet.revoked.code, known_at=before).json()["events"])
    wrong = receipt_of(site, cabinet.valid.code, as_of="never")
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "query/as_of")


def test_no_receipt_tells_more_of_an_unknown_code_than_its_verification(site: Site, cabinet: Cabinet) -> None:
    bodies = set()
    for one in (UNKNOWN, *MALFORMED, ""):
        path = f"/api/v1/verifications/{as_path(one)}"
        answer, told = site.get(f"{path}/receipt"), site.get(path)
        assert (answer.status_code, told.status_code) == (404, 404), one
        assert answer.headers["content-type"] == told.headers["content-type"]
        plain, other = ({**each.json(), "checked_at": None} for each in (answer, told))
        assert plain == other
        bodies.add(json.dumps(plain))
    assert len(bodies) == 1
    assert site.get("/api/v1/verifications/receipt").status_code == 404
    shouted = site.get(f"/api/v1/verifications/{cabinet.valid.code.lower()}/receipt")
    assert shouted.status_code == 200, "either case, as everywhere"


def test_an_event_of_just_now_is_in_the_receipt(site: Site, cabinet: Cabinet) -> None:
    one = cabinet.fresh[0]
    cabinet.decide(one, DecisionKind.SUSPENSION)
    answer = receipt_of(site, one.code).json()
    assert answer["answer"]["status"] == "suspended"
    names = [cbor2.loads(base64.b64decode(event["entry"]))[4] for event in answer["events"]]
    assert names[-1] == "title-suspended/1"


# a frozen log


@pytest.fixture
def yesterday(tmp_path: Path) -> Iterator[tuple[Site, Any, Registry]]:
    """Yesterday's copy of a data folder in the place of today's, with today's revocation signed outside; served."""
    registry = found_registry(tmp_path / "real", port := free_port())
    stream = registry.award(awarding(person(1, NAME)), officer=CLERK)
    certificate = registry.issue(stream, settable, officer=CLERK)
    assert registry.log.recorder.fold_in()
    copy = copied(registry.folder.path, tmp_path / "data")
    decided(registry, stream, deciding(DecisionKind.REVOCATION))
    registry.tlog.sequence()
    shutil.copytree(registry.tlog.outside.parent, tmp_path / "data.checkpoints")
    with serving(copy, port) as site:
        yield site, certificate, registry
    registry.close()


def test_from_a_frozen_log_comes_no_verdict_and_it_says_what_to_do(yesterday: tuple[Site, Any, Registry]) -> None:
    site, certificate, _ = yesterday
    for code in (certificate.code, UNKNOWN, "x"):
        assert_no_verdict(site, code)
    assert site.asked(certificate.code).json()["status"] == "unavailable"
    batch = site.post("/api/v1/verifications/batch", json={"codes": [certificate.code]}).json()
    assert [one["status"] for one in batch["answers"]] == ["unavailable"]
    for path in (
        f"/api/v1/verifications/{certificate.code}/receipt",
        "/log/proof/inclusion?index=0&size=1",
        "/log/proof/consistency?old=0&new=1",
        "/log/proof/event/1",
        "/readyz",
    ):
        answer = site.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json"), path
        problem = answer.json()
        assert problem["code"] == "log-frozen"
        assert "不表示证书有问题" in problem["detail"]
        assert "title-registry restore" in problem["fix"]
        assert str(site.data) not in answer.text
        assert_secure(answer)
    assert site.get("/healthz").status_code == 200


def test_what_was_published_stays_readable_and_nothing_is_signed(yesterday: tuple[Site, Any, Registry]) -> None:
    site, _, registry = yesterday
    said = read(site)
    assert said.size < registry.log.head()
    assert site.get(f"/log/tile/0/000.p/{said.size}").status_code == 200
    assert site.get("/log/key").text.count("\n") == 2
    assert site.get("/").status_code == 200
    assert site.get("/.well-known/jwks.json").status_code == 200
    until(lambda: re.search(r"sequencing failed.*旧副本", site.said))  # the operator reads why
    assert read(site) == said


def test_the_right_copy_put_back_heals_without_a_word(yesterday: tuple[Site, Any, Registry]) -> None:
    site, certificate, registry = yesterday
    site.stop()
    assert registry.log.recorder.fold_in()
    engine.put_back(registry.folder.path, site.data)
    with serving(site.data, site.port) as healed:
        assert healed.verified(certificate.code)["status"] == "revoked"
        assert healed.get("/readyz").status_code == 200


# by hand

# Where there is no curl, this does what the page asks of it.
CURL = """command -v curl >/dev/null || curl() { python3 -c '
import sys, urllib.request
sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())' "$2"; }
"""


def test_the_steps_of_the_page_on_proofs_work_as_they_stand(large: tuple[Registry, Site], tmp_path: Path) -> None:
    need("openssl", "bash", "sha256sum")
    registry, site = large
    stream = registry.award(awarding(person(200, NAME)), officer=CLERK)
    code = registry.issue(stream, settable, officer=CLERK).code
    page = (Path(__file__).parents[2] / "docs" / "proof.md").read_text()
    blocks = re.findall(r"```(sh|python)\n(.*?)```", page, re.DOTALL)

    def run(kind: str, text: str) -> str:
        command = ["bash", "-euo", "pipefail", "-c", CURL + text] if kind == "sh" else [sys.executable, "-c", text]
        variables = {"URL": str(site.base_url).rstrip("/"), "CODE": code, "PATH": "/usr/local/bin:/usr/bin:/bin"}
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True)
        return done.stdout

    said = [run(*one) for one in blocks]
    key, signature, leaf, inclusion, receipt, digest = said
    assert (key, receipt) == ("", "")
    assert signature == "Signature Verified Successfully\n"
    assert len(set(re.findall(r"[0-9a-f]{64}", leaf))) == 1
    assert len(re.findall(r"[0-9a-f]{64}", leaf)) == 2
    assert (inclusion, digest) == ("True\n", "True\n")
    of_the_receipt = "\n".join(line for line in blocks[1][1].splitlines() if "curl" not in line)
    assert run("sh", of_the_receipt) == "Signature Verified Successfully\n"
    (tmp_path / "note").write_text((tmp_path / "note").read_text().replace("sha256:", "sha256:0", 1))
    with pytest.raises(subprocess.CalledProcessError):
        run("sh", of_the_receipt)


def test_a_log_and_the_one_that_follows_it_each_at_its_own_address(tmp_path: Path) -> None:
    """C2SP: the prefix of a log is its origin. The old one stays there for everyone to compare."""
    registry = found_registry(tmp_path / "data", 8000)
    registry.award(awarding(person(1)), officer=CLERK)
    registry.tlog.sequence()
    old = registry.tlog.published()
    registry.tlog.outside.write_bytes(b"damaged")
    registry.tlog.succeed("第二存储损坏")
    registry.close()
    with serving(tmp_path / "data") as site:
        assert site.get("/log/checkpoint").content == old
        new = site.get("/log/2/checkpoint").text.split("\n")
        assert new[0] == "127.0.0.1:8000/log/2"
        assert int(new[1]) == int((old or b"").split(b"\n")[1]) + 1
        first = site.get(f"/log/2/tile/entries/000.p/{new[1]}").content
        assert (old or b"") in first
        proof = site.get(f"/log/2/proof/inclusion?index=0&size={new[1]}").json()
        assert base64.b64decode(proof["root"]) == base64.b64decode(new[2])
        assert site.get("/log/3/checkpoint").status_code == 404
        assert site.get("/readyz").status_code == 200


def test_the_page_offers_the_receipt_of_just_what_it_says(site: Site, cabinet: Cabinet) -> None:
    for query in ({}, {"as_of": "2022-01-01"}):
        page = site.get(f"/v/{cabinet.revoked.code}", params=query).text
        [link] = re.findall(r'id="receipt" download="[^"]+" href="([^"]+)"', page)
        receipt = verify_receipt(site.get(link.replace("&amp;", "&")).content, cabinet.registry.tlog.keys())
        assert receipt.answer.status == site.verified(cabinet.revoked.code, **query)["status"]
        assert str(receipt.answer.as_of or "") == query.get("as_of", "")
    for path in ("/v/nobodys-code", "/"):
        assert 'id="receipt"' not in site.get(path).text
