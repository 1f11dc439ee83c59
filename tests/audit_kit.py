"""What an insider does with an export: make everything anew after a change, and sign it with the registry's own keys.

Nothing here is the kit's; the tiles and the signatures are the product's, so that the two programs must agree.
"""

import json
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from keys.custody import Custody
from keys.signing import Purpose
from registry.audit import layout, verify_export
from registry.proof.checkpoint import Checkpoint, sign_checkpoint, sign_note
from registry.proof.cosignature import cosign
from registry.proof.leaf import leaf_entry
from registry.proof.tiles import TileStore
from registry.proof.tree import RightEdge, leaf_hash

ORIGIN = "zc.example.cn/log"
KIT = Path(__file__).parents[1] / "registry" / "audit" / "verify_export.py"


def run_kit(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Run the kit as an auditor does, in an interpreter that sees nothing of ours; its exit status and JSON report."""
    done = subprocess.run([sys.executable, "-I", KIT, *arguments, "--json"], capture_output=True, text=True)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def kit_here(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """The same within this process, which is quicker."""
    status = verify_export.main([*map(str, arguments), "--json", "--jobs", "1"])
    said = capsys.readouterr()
    assert not said.err, said.err
    return status, json.loads(said.out)


def lines_of(directory: Path, name: str) -> list[bytes]:
    """The lines of a file, without their newlines."""
    return (directory / name).read_bytes().splitlines()


def write_lines(directory: Path, name: str, lines: list[bytes]) -> None:
    """Write the lines of a file."""
    (directory / name).write_bytes(b"".join(line + b"\n" for line in lines))


def sign_tree(directory: Path, custody: Custody, at: datetime, sizes: tuple[int, ...] = ()) -> None:
    """Make tiles and checkpoints anew: one checkpoint at each of these sizes and one over everything."""
    entries = [leaf_entry(*layout.read_event(line)) for line in lines_of(directory, layout.EVENTS)]
    shutil.rmtree(directory / "tile", ignore_errors=True)
    TileStore(directory).write(0, entries)
    edge, notes = RightEdge(), list[bytes]()
    for entry in entries:
        edge.append(leaf_hash(entry))
        if edge.size in (*sizes, len(entries)):
            notes.append(note_of(Checkpoint(ORIGIN, edge.size, edge.root()), custody, at))
    (directory / "checkpoints").write_bytes(b"".join(note + b"\n" for note in notes))
    (directory / layout.CHECKPOINT).write_bytes(notes[-1])


def note_of(checkpoint: Checkpoint, custody: Custody, at: datetime) -> bytes:
    """A checkpoint signed and cosigned with the registry's own keys."""
    note = sign_checkpoint(checkpoint, custody.signer(Purpose.CHECKPOINT, at))
    return note + cosign(checkpoint.text(), ORIGIN, custody.signer(Purpose.COSIGNATURE, at), at)


def sign_manifest(directory: Path, custody: Custody, at: datetime, origin: str = ORIGIN, **more: Any) -> None:
    """Make the manifest anew over what lies there, with these fields changed, and sign it."""
    old = json.loads((directory / layout.MANIFEST).read_bytes())
    found = (path for path in sorted(directory.rglob("*")) if path.is_file())
    names = {path.relative_to(directory).as_posix() for path in found} - {layout.MANIFEST, layout.MANIFEST_NOTE}
    files = {name: msgspec.to_builtins(layout.file_entry(directory / name)) for name in sorted(names)}
    manifest = json.dumps(old | {"files": files} | more).encode()
    (directory / layout.MANIFEST).write_bytes(manifest)
    note = sign_note(
        layout.manifest_text(manifest), layout.manifest_signer(origin), custody.signer(Purpose.CHECKPOINT, at)
    )
    (directory / layout.MANIFEST_NOTE).write_bytes(note)
