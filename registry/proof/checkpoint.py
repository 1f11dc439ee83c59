"""Checkpoints: the size and root of the log under a signature, as signed notes (C2SP signed-note and tlog-checkpoint).

    origin                                the text: the log's name, its size in decimal, its root in base64
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
                                          a blank line
    — origin AbCd…                        base64(key id || Ed25519 signature over the text, its last newline included)

The type byte of such a key is 0x01; `note.py` says what key ids, verifier keys and signature lines look like.
"""

import base64
import re
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from keys.errors import KeyNotUsable, SignatureInvalid
from keys.signing import Algorithm, PublicKey, Purpose, Signer
from registry.errors import BadInput
from registry.proof import note as notes

_ED25519 = b"\x01"
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class NoteKey:
    """A key that signs notes under a name. The name has no blank and no plus sign."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not notes.is_name(self.name) or len(self.public) != 32:
            raise BadInput(f"“{self.name}”不能用作签名记录的名称", fix="名称不得有空格或加号，公钥为 32 字节")

    @classmethod
    def of(cls, name: str, key: PublicKey) -> "NoteKey":
        """Give a checkpoint key its name. Raise KeyNotUsable for a key of another purpose or algorithm."""
        if key.purpose is not Purpose.CHECKPOINT or not isinstance(key.key, Ed25519PublicKey):
            raise KeyNotUsable(f"密钥 {key.kid} 的用途是 {key.purpose.value}，不能签署检查点")
        return cls(name, key.key.public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> "NoteKey":
        """Read a verifier key. Raise BadInput unless it is one, whole and with the right key id."""
        name, material = notes.read_verifier_key(text) or ("", b"")
        if len(material) != 33 or material[:1] != _ED25519:
            raise BadInput("不是检查点公钥（名称+密钥编号+公钥）", fix="照原样填写发布的一整行")
        return cls(name, material[1:])

    @property
    def id(self) -> bytes:
        """The key id, four bytes."""
        return notes.key_id(self.name, _ED25519 + self.public)

    def __str__(self) -> str:
        return notes.verifier_key(self.name, _ED25519 + self.public)

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
    if not notes.is_text(text):
        raise BadInput("签名记录的正文须以换行结尾，不得有控制字符", fix="改正正文")
    return text + b"\n" + notes.Signature(name, key.id, signer.sign_raw(text)).line()


def open_note(note: bytes, key: NoteKey) -> bytes:
    """Return the text of a note that this key has signed; signatures of other keys are not judged.

    Raise BadInput for what is no note, SignatureInvalid without a signature of this key or with one that fails.
    """
    text, found = notes.split_note(note)
    own = [one.data for one in found if (one.name, one.key_id) == (key.name, key.id)]
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
    text = open_note(note, key)
    checkpoint = read_checkpoint(text)
    if checkpoint.origin != key.name or checkpoint.text() != text:
        raise _no_checkpoint()
    return checkpoint


def read_checkpoint(text: bytes) -> Checkpoint:
    """Read the checkpoint in the text of a note, of anybody's log; extension lines are let pass. Raise BadInput."""
    lines = text.decode(errors="replace").split("\n")
    root = notes.read_base64(lines[2]) if notes.is_text(text) and len(lines) > 3 and all(lines[:-1]) else None
    if root is None or len(root) != 32 or not _SIZE.fullmatch(lines[1]):
        raise _no_checkpoint()
    return Checkpoint(lines[0], int(lines[1]), root)


def _no_checkpoint() -> BadInput:
    return BadInput("不是检查点：应为来源、大小、根哈希三行", fix="重新取得检查点")
