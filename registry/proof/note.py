"""Signed notes (C2SP signed-note): a text and the lines of those who signed it, read and written in one form.

    a text that ends with a newline
                                          a blank line
    — name AbCd…                          base64(key id || signature); what the signature covers is the key's business

A key id is the first four bytes of SHA-256(name || 0x0A || material), and a pinned key is written as a verifier key,
`name+hex key id+base64(material)`. The material is one byte for the type of signature, then the public key:
0x01 Ed25519 over the text, 0x04 and 0x06 cosignatures with Ed25519 and ML-DSA-44 (C2SP tlog-cosignature).
"""

import base64
import binascii
import hashlib
import re
from typing import NamedTuple

from registry.errors import BadInput

MAX_BYTES, MAX_SIGNATURES = 1_000_000, 100

_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+=*)")


class Signature(NamedTuple):
    """One signature of a note: the name and id of the key, and what it signed with. Nothing is verified."""

    name: str
    key_id: bytes
    data: bytes

    def line(self) -> bytes:
        """The line of this signature in a note."""
        return f"— {self.name} {base64.b64encode(self.key_id + self.data).decode()}\n".encode()


def split_note(note: bytes) -> tuple[bytes, list[Signature]]:
    """The text of a note, and its signatures, unverified. Raise BadInput for what is no note.

    A note has at most 1,000,000 bytes and 1 to 100 signatures.
    """
    text, blank, signatures = note.rpartition(b"\n\n")
    text += b"\n"
    whole = blank and len(note) <= MAX_BYTES and is_text(text)
    lines = signatures.split(b"\n")
    if not whole or lines.pop() or not 0 < len(lines) <= MAX_SIGNATURES:
        raise BadInput("不是签名记录（signed note）", fix="重新取得文件，不要改动其中的空行和换行")
    return text, [read_line(line) for line in lines]


def read_line(line: bytes) -> Signature:
    """Read a signature line, without its newline. Raise BadInput unless it is one, in its one spelling."""
    match = _LINE.fullmatch(line.decode(errors="replace"))
    data = read_base64(match[2]) if match else None
    if match is None or data is None or len(data) < 5:
        raise BadInput("签名记录的签名行不合格式", fix="重新取得文件")
    return Signature(match[1], data[:4], data[4:])


def is_text(text: bytes) -> bool:
    """Whether a note can have this text: UTF-8 that ends with a newline, without other control characters."""
    try:
        characters = text.decode()
    except UnicodeDecodeError:
        return False
    return text.endswith(b"\n") and text != b"\n" and all(one >= " " or one == "\n" for one in characters)


def is_name(name: str) -> bool:
    """Whether a key can have this name: not empty, no blank, no plus sign, nothing that breaks a line."""
    return bool(name) and not re.search(r"[\s+\x00-\x1f]", name)


def key_id(name: str, material: bytes) -> bytes:
    """The id of a key, four bytes."""
    return hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]


def verifier_key(name: str, material: bytes) -> str:
    """A key as others pin it, one line without a newline."""
    return f"{name}+{key_id(name, material).hex()}+{base64.b64encode(material).decode()}"


def read_verifier_key(text: str) -> tuple[str, bytes] | None:
    """The name and material of a verifier key; None unless it is one, whole and with the right key id."""
    name, _, rest = text.partition("+")
    material = read_base64(rest.partition("+")[2])
    if not material or not is_name(name) or verifier_key(name, material) != text:
        return None
    return name, material


def read_base64(text: str) -> bytes | None:
    """Decode base64 in its one form; None for any other spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None
