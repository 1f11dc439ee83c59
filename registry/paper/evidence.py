"""Scans and photos beside the log: one file each, sealed under the holder's data key, named by holder and SHA-256."""

import hashlib
from pathlib import Path

from keys.files import write_private
from keys.vault import DataKey
from registry.errors import BadInput, CorruptHistory
from registry.paper.application import Evidence

MAX_BYTES = 20 * 1024 * 1024
ROLES = ("scan", "review_form", "document")
_MAGIC = {b"%PDF-": "application/pdf", b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


def describe(data: bytes, role: str) -> Evidence:
    """Describe a file by its bytes. Raise BadInput for anything but PDF, PNG or JPEG, or more than 20 MiB."""
    if role not in ROLES:
        raise BadInput(f"未知的材料类别 {role}", fix=f"类别只能是 {'、'.join(ROLES)}")
    if not data or len(data) > MAX_BYTES:
        raise BadInput(f"材料大小 {len(data)} 字节，须在 1 字节到 20 MiB 之间", fix="重新扫描，降低分辨率")
    kind = next((name for magic, name in _MAGIC.items() if data.startswith(magic)), None)
    if kind is None:
        raise BadInput("材料不是 PDF、PNG 或 JPEG", fix="另存为 PDF、PNG 或 JPEG 后重新提交")
    return Evidence(hashlib.sha256(data).hexdigest(), role, kind, len(data))


def keep(folder: Path, holder: str, evidence: Evidence, data: bytes, key: DataKey) -> None:
    """Write the sealed file; it is on disk before the fact that names it is stored."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(_path(folder, holder, evidence), key.seal(data, _position(holder, evidence)))


def fetch(folder: Path, holder: str, evidence: Evidence, key: DataKey) -> bytes:
    """Read a file back and check it against its hash. Raise CorruptHistory if it is another."""
    data = key.open(_path(folder, holder, evidence).read_bytes(), _position(holder, evidence))
    if hashlib.sha256(data).hexdigest() != evidence.sha256:
        raise CorruptHistory(f"evidence {evidence.sha256} does not match its hash")
    return data


def _path(folder: Path, holder: str, evidence: Evidence) -> Path:
    return folder / f"{holder}-{evidence.sha256}.sealed"


def _position(holder: str, evidence: Evidence) -> bytes:
    return f"evidence|{holder}|{evidence.sha256}".encode()
