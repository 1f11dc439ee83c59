"""Checkpoints: the size and root of the log under a signature, as signed notes (C2SP signed-note and tlog-checkpoint).

    origin                                the text: the log's name, its size in decimal, its root in base64
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
                                          a blank line
    — origin AbCd…                        base64(key id || Ed25519 signature over the text, its last newline included)

The key id is the first four bytes of SHA-256(name || 0x0A || 0x01 || public key). A pinned key is written as a verifier
key, `name+hex key id+base64(0x01 || public key)`, as other tools for such logs write it.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keys.errors import KeyNotUsable, SignatureInvalid
from keys.signing import Algorithm, PublicKey, Purpose, Signer
from registry.errors import BadInput

_ED25519 = b"\x01"
_MAX_BYTES, _MAX_SIGNATURES = 1_000_000, 100
_SIGNATURE_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+=*)")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class NoteKey:
    """A key that signs notes under a name. The name has no blank and no plus sign."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not self.name or re.search(r"[\s+]", self.name) or len(self.public) != 32:
            raise BadInput(f"“{self.name}”不能用作签名记录的名称", fix="名称不得有空格或加号，公钥为 32 字节")

    @classmethod
    def of(cls, name: str, key: PublicKey) -> "NoteKey":
        """Give a checkpoint key its name. Raise KeyNotUsable for a key of another purpose or algorithm."""
        if key.purpose is not Purpose.CHECKPOINT or not isinstance(key.key, Ed25519PublicKey):
            raise KeyNotUsable(f"密钥 {key.kid} 的用途是 {key.purpose.value}，不能签署检查点")
        return cls(name, key.key.public_bytes(Encoding.Raw, PublicFormat.Raw))

    @classmethod
    def parse(cls, text: str) -> "NoteKey":
        """Read a verifier key. Raise BadInput unless it is one, whole and with the right key id."""
        name, _, rest = text.partition("+")
        _, _, encoded = rest.partition("+")
        data = _base64(encoded)
        if data is None or len(data) != 33 or data[:1] != _ED25519 or str(cls(name, data[1:])) != text:
            raise BadInput("不是检查点公钥（名称+密钥编号+公钥）", fix="照原样填写发布的一整行")
        return cls(name, data[1:])

    @property
    def id(self) -> bytes:
        """The key id, four bytes."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    def verify(self, text: bytes, signature: bytes) -> None:
        """Check a signature over the text of a note. Raise SignatureInvalid."""
        key = PublicKey.of(Ed25519PublicKey.from_public_bytes(self.public), Purpose.CHECKPOINT)
        key.verify_raw(text, signature)


def sign_note(text: bytes, name: str, signer: Signer) -> bytes:
    """Sign the text of a note and return the note. Raise KeyNotUsable for a key that is not for checkpoints.

    Raise BadInput for a text that no note can have: empty, no newline at its end, or with control characters.
    """
    if signer.algorithm is not Algorithm.ED25519:
        raise KeyNotUsable(f"密钥 {signer.kid} 不是 Ed25519，不能签署检查点")
    key = NoteKey.of(name, signer.public)
    if not _is_text(text):
        raise BadInput("签名记录的正文须以换行结尾，不得有控制字符", fix="改正正文")
    line = base64.b64encode(key.id + signer.sign_raw(text)).decode()
    return text + f"\n— {name} {line}\n".encode()


def open_note(note: bytes, key: NoteKey) -> bytes:
    """Return the text of a note that this key has signed; signatures of other keys are not judged.

    Raise BadInput for what is no note, SignatureInvalid without a signature of this key or with one that fails.
    """
    text, found = _parse(note)
    own = [data[4:] for name, data in found if (name, data[:4]) == (key.name, key.id)]
    if not own:
        raise SignatureInvalid(f"没有密钥 {key.name}（{key.id.hex()}）的签名", fix="核对固定的公钥")
    for signature in own:
        key.verify(text, signature)
    return text


class Checkpoint(NamedTuple):
    """How large the log was, and the root over its leaves. `origin` names the log."""

    origin: str
    size: int
    root: bytes

    def text(self) -> bytes:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """Sign a checkpoint under its origin as the name, and return the note."""
    return sign_note(checkpoint.text(), checkpoint.origin, signer)


def open_checkpoint(note: bytes, key: NoteKey) -> Checkpoint:
    """Return the checkpoint that this key has signed. Raise SignatureInvalid, or BadInput for what is no checkpoint.

    The origin must be the key's name. Extension lines, which we never write, are refused.
    """
    lines = open_note(note, key).decode().split("\n")
    root = _base64(lines[2]) if len(lines) == 4 else None
    if root is None or len(root) != 32 or lines[0] != key.name or not _SIZE.fullmatch(lines[1]):
        raise BadInput("不是检查点：应为来源、大小、根哈希三行", fix="重新取得检查点")
    return Checkpoint(lines[0], int(lines[1]), root)


def _parse(note: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The text of a note, and name and bytes of each signature."""
    text, blank, signatures = note.rpartition(b"\n\n")
    text += b"\n"
    lines = signatures.split(b"\n")
    if (
        not blank
        or not _is_text(text)
        or len(note) > _MAX_BYTES
        or lines.pop()
        or not 0 < len(lines) <= _MAX_SIGNATURES
    ):
        raise BadInput("不是签名记录（signed note）", fix="重新取得文件，不要改动其中的空行和换行")
    return text, [_signature(line) for line in lines]


def _signature(line: bytes) -> tuple[str, bytes]:
    match = _SIGNATURE_LINE.fullmatch(line.decode(errors="replace"))
    data = _base64(match[2]) if match else None
    if match is None or data is None or len(data) < 5:
        raise BadInput("签名记录的签名行不合格式", fix="重新取得文件")
    return match[1], data


def _is_text(text: bytes) -> bool:
    try:
        characters = text.decode()
    except UnicodeDecodeError:
        return False
    return text.endswith(b"\n") and text != b"\n" and all(one >= " " or one == "\n" for one in characters)


def _base64(text: str) -> bytes | None:
    """Decode base64 in its one form; None for any other spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None
