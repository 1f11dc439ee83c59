"""The demo as a newcomer runs it, judged by other programs: what it leaves must be what it says."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import zxingcpp
from cwt import COSE, COSEKey

from tests.served import serving
from tests.tools import need

PROGRAM = Path(sys.executable).with_name("title-registry")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The data folder of one run of the demo, and its summary."""
    data = tmp_path_factory.mktemp("demo") / "data"
    done = subprocess.run([PROGRAM, "--data", data, "demo", "--no-serve"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return data, json.loads((data / "summary.json").read_text())


@pytest.fixture(scope="module")
def base(demo: tuple[Path, dict[str, Any]]) -> Iterator[str]:
    with serving(demo[0]) as site:
        yield str(site.base_url)


def test_every_state_is_there(demo: tuple[Path, dict[str, Any]]) -> None:
    states = demo[1]["states"]
    assert {"valid", "revoked", "invalidated", "suspended", "superseded"} <= {state["status"] for state in states}
    assert any(state["from_paper"] and state["status"] == "valid" for state in states)
    collision = [state["authority"] for state in states if state["number"] == "2003-0127"]
    assert sorted(collision) == ["331121", "331122"]


def _rendered(pdf: Path) -> memoryview:
    """The page as poppler renders it at 150 dpi, in grey (PGM: P5, width, height, 255, then the pixels)."""
    pgm = subprocess.run(["pdftoppm", "-gray", "-r", "150", pdf], capture_output=True, check=True).stdout
    _, width, height, _ = pgm.split(maxsplit=4)[:4]
    return memoryview(pgm[-int(width) * int(height) :]).cast("B", shape=[int(height), int(width)])


def test_each_printed_code_is_read_and_its_token_verified_by_other_programs(demo: tuple[Path, dict[str, Any]]) -> None:
    need("pdftoppm")
    data, summary = demo
    jwks = json.loads((data / summary["jwks"]).read_text())
    keys = [COSEKey.from_jwk({**key, "alg": "ES256"}) for key in jwks["keys"] if key["kty"] == "EC"]
    for state in summary["states"]:
        [code] = zxingcpp.read_barcodes(_rendered(data / state["pdf"]))
        assert code.text == state["qr_text"]
        digits = code.text.partition("#")[2]
        token = b"".join(
            int(part).to_bytes({3: 1, 5: 2, 8: 3, 10: 4, 13: 5, 15: 6, 17: 7}[len(part)], "big")
            for part in (digits[at : at + 17] for at in range(0, len(digits), 17))
        )
        assert COSE.new().decode(token, keys)


def test_pdfsig_and_openssl_accept_what_was_signed(demo: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    need("pdfsig", "openssl")
    data, summary = demo
    for state in summary["states"][:3]:
        said = subprocess.run(["pdfsig", data / state["pdf"]], capture_output=True, text=True).stdout
        assert "Signature is Valid" in said
        assert "Total document signed" in said
        broken = bytearray((data / state["pdf"]).read_bytes())
        broken[broken.find(b"stream") + 200] ^= 1
        (tmp_path / "broken.pdf").write_bytes(broken)
        said = subprocess.run(["pdfsig", tmp_path / "broken.pdf"], capture_output=True, text=True).stdout
        assert "Signature is Valid" not in said
    export = data / summary["export"]
    chain = subprocess.run(
        ["openssl", "verify", "-CAfile", export / "root.pem", export / "chain.pem"], capture_output=True, text=True
    )
    assert chain.stdout.endswith(": OK\n")


def test_every_link_works_in_the_served_site(demo: tuple[Path, dict[str, Any]], base: str) -> None:
    for state in demo[1]["states"]:
        answer = httpx.get(f"{base}/api/v1/verifications/{state['code']}").json()
        page = httpx.get(f"{base}/v/{state['code']}")
        assert answer["status"] == state["status"]
        assert answer["certificate"]["number"] == state["number"]
        assert page.status_code == 200
        uploaded = httpx.post(
            f"{base}/api/v1/verifications", files={"file": (demo[0] / state["pdf"]).read_bytes()}, timeout=20
        )
        assert uploaded.json()["status"] == state["status"]


def test_the_export_verifies_on_its_own_and_a_changed_byte_is_found(
    demo: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    export = shutil.copytree(demo[0] / demo[1]["export"], tmp_path / "export")
    command = [PROGRAM, "--data", tmp_path / "nowhere", "audit", "verify", export]
    assert subprocess.run(command, capture_output=True).returncode == 0
    events = bytearray((export / "events.jsonl").read_bytes())
    events[len(events) // 2] ^= 1
    (export / "events.jsonl").write_bytes(events)
    assert subprocess.run(command, capture_output=True).returncode == 3


def test_nothing_personal_stands_in_clear_outside_the_register(demo: tuple[Path, dict[str, Any]]) -> None:
    data = demo[0]
    needles = [needle.encode() for needle in ("周㛃", "买买提·吐尔逊", "王莉", "331199", "虚构单位")]
    for path in data.rglob("*"):
        named = path.parent.name in ("lists", "certificates") or path.name.startswith("register.db")
        if path.is_file() and not named:
            content = path.read_bytes()
            assert not [needle for needle in needles if needle in content], path.name
