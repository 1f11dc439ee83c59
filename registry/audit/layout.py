"""The files of an audit export and their lines. docs/adr/0004-audit-export.md says why they are so.

events.jsonl     one line an event, in log order; "state" holds the stored bytes as they are
claims.jsonl     one line a claim, all but the identity claims, in order of scope and key
register.jsonl   one line a row of the register (papers, proposals, titles), without names
statistics.json  the figures of the register
checkpoint       the newest signed size and root of the tree over all events, with whatever cosignatures it has
checkpoints      every checkpoint that was published up to that size, oldest first, each followed by one empty line
predecessor      the first leaf entry, if the log follows another (registry/proof/leaves.py)
tile/            the tree and its leaf entries as tiles (C2SP tlog-tiles), exactly those of that size
policy           whose cosignatures are asked for (C2SP tlog-policy), if there is one
keys.json        the public keys (JWK Set); root.pem, chain.pem the certificates above document signatures
reference/       the reference data: title series, codes, authorities, plans
verify_export.py a program that checks all this without sharing code with this one
manifest.json    head, counts, and size and SHA-256 of every file above
manifest.note    the signed SHA-256 of manifest.json
"""

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import msgspec

from registry.errors import CorruptHistory
from registry.register.rows import PaperRow, ProposalRow, TitleRow

SCHEMA = "title-registry/export/2"
EVENTS, CLAIMS, REGISTER = "events.jsonl", "claims.jsonl", "register.jsonl"
KEYS, ROOT_CERTIFICATE, CHAIN = "keys.json", "root.pem", "chain.pem"
STATISTICS, REFERENCE, POLICY, KIT = "statistics.json", "reference", "policy", "verify_export.py"
CHECKPOINT, CHECKPOINTS, PREDECESSOR, TILES = "checkpoint", "checkpoints", "predecessor", "tile/"
MANIFEST, MANIFEST_NOTE = "manifest.json", "manifest.note"
REQUIRED = (EVENTS, CLAIMS, REGISTER, STATISTICS, KEYS, ROOT_CERTIFICATE, CHAIN, CHECKPOINT, CHECKPOINTS, KIT)
_TILE = r"tile/(entries|[0-9]{1,2})/(x[0-9]{3}/)*[0-9]{3}(\.p/[0-9]{1,3})?"
FILE_NAME = re.compile(rf"{_TILE}|(reference/)?[a-z0-9][a-z0-9_-]*(\.[a-z0-9]+)?")
# The claims of this scope stay at home: their keys are made from identity numbers. So do the names of the register.
IDENTITY = "identity"
ROWS: dict[str, type[msgspec.Struct]] = {"papers": PaperRow, "proposals": ProposalRow, "titles": TitleRow}

Row = tuple[int, str, int, str, bytes]
"""A stored event: position, stream, version, stored name, stored bytes."""


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the export: its size in bytes and its SHA-256 in hex."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an export holds. `created_at` is the recorded time of its last event, so that it can be made again."""

    schema: str
    product: str
    created_at: datetime | None
    head: int
    checkpoint_key: str
    reference_digest: str
    counts: dict[str, int]
    files: dict[str, FileEntry]

    def encode(self) -> bytes:
        """The bytes of manifest.json."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic"), indent=2) + b"\n"


def manifest_text(manifest: bytes) -> bytes:
    """The text that manifest.note signs. Its first line is no origin of a log, so it is never a checkpoint."""
    return f"{SCHEMA}\nsha256:{hashlib.sha256(manifest).hexdigest()}\n".encode()


def manifest_signer(origin: str) -> str:
    """The name under which the checkpoint key signs manifests: not the log's, so the key id differs too."""
    return f"{origin}/export"


_Count = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class EventLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of events.jsonl."""

    position: _Count
    stream: str
    version: _Count
    name: str
    state: msgspec.Raw


class ClaimLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of claims.jsonl."""

    scope: str
    key: str
    stream: str


class RowLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of register.jsonl; the row has the fields of its table."""

    table: str
    row: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_event_line = msgspec.json.Decoder(EventLine).decode
_claim_line = msgspec.json.Decoder(ClaimLine).decode
_row_line = msgspec.json.Decoder(RowLine).decode
_row = {table: msgspec.json.Decoder(kind).decode for table, kind in ROWS.items()}


def write_event(row: Row) -> bytes:
    """The line of an event. The stored bytes go in as they are; raise CorruptHistory if they are not one JSON value."""
    position, stream, version, name, state = row
    try:
        line = _encode(EventLine(position, stream, version, name, msgspec.Raw(state)))
        if b"\n" not in line and line.decode() and read_event(line) == row:
            return line + b"\n"
    except (ValueError, TypeError, AttributeError):  # a damaged store can hold anything
        pass
    raise CorruptHistory(f"事件 {position}（{stream} 第 {version} 版）的存储内容不是单行 JSON", fix="运行 doctor")


def read_event(line: bytes) -> Row:
    """Read what `write_event` wrote, in exactly that form. Raise ValueError for anything else."""
    one = _event_line(line)
    if _encode(one) != line:
        raise ValueError("not in the one form")
    return one.position, one.stream, one.version, one.name, bytes(one.state)


def write_claim(scope: str, key: str, stream: str) -> bytes:
    """The line of a claim."""
    return _encode(ClaimLine(scope, key, stream)) + b"\n"


def read_claim(line: bytes) -> tuple[tuple[str, str], tuple[str]]:
    """Read a claim: its scope and key, and its stream. Raise ValueError for another form."""
    one = _claim_line(line)
    if _encode(one) != line:
        raise ValueError("not in the one form")
    return (one.scope, one.key), (one.stream,)


def write_row(table: str, row: msgspec.Struct) -> bytes:
    """The line of a row of the register."""
    return _encode(RowLine(table, msgspec.Raw(_encode(row)))) + b"\n"


def read_row(line: bytes) -> tuple[str, msgspec.Struct]:
    """Read a row of the register and its table. Raise ValueError for another form."""
    one = _row_line(line)
    if one.table not in _row:
        raise ValueError(f"no table {one.table}")
    row: msgspec.Struct = _row[one.table](one.row)
    if _encode(RowLine(one.table, msgspec.Raw(_encode(row)))) != line:
        raise ValueError("not in the one form")
    return one.table, row


def product() -> str:
    """What this program calls itself in a manifest."""
    return f"title-registry {version('title-registry')}"


def kit() -> bytes:
    """The program that goes with every export, as this version of ours has it."""
    return Path(__file__).with_name(KIT).read_bytes()


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers, from 1, in flat memory. A last line without a newline keeps none."""
    with path.open("rb") as source:
        for number, line in enumerate(source, 1):
            yield number, line.removesuffix(b"\n")


def file_entry(path: Path) -> FileEntry:
    """Size and SHA-256 of a file as it is on the disk."""
    with path.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    return FileEntry(path.stat().st_size, digest)
