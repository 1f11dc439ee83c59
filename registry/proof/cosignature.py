"""Cosignatures: who else saw a checkpoint, and when (C2SP tlog-cosignature). They stand in its note as further lines.

    — name base64(key id || time || signature)        time: seconds since 1970, 8 bytes, big-endian, below 2^63

What a cosignature covers is never the text of the note alone, so no log's signature passes for one:

(1) Ed25519, type 0x04: "cosignature/v1\\ntime <T>\\n" and then the text. The name is not in it: one key, one name.
(2) ML-DSA-44, type 0x06: "subtree/v1\\n\\0", name, time, origin, 0, size, root; numbers in 8 bytes, big-endian, name
    and origin with their length in one byte before them. No extension line is in it, so notes with one are refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from keys.errors import KeyNotUsable, SignatureInvalid
from keys.signing import Algorithm, PublicKey, Purpose, Signer
from registry.errors import BadInput
from registry.proof.checkpoint import Checkpoint, read_checkpoint
from registry.proof.note import Signature, is_name, key_id, read_line, read_verifier_key, split_note, verifier_key

_TYPES = {Algorithm.ED25519: b"\x04", Algorithm.ML_DSA_44: b"\x06"}
_WIDTHS = {Algorithm.ED25519: 32, Algorithm.ML_DSA_44: 1312}
_LAST = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())  # the specification allows up to 2^63 - 1


@dataclass(frozen=True, slots=True)
class CosignerKey:
    """A key that cosigns under a name: Ed25519 or ML-DSA-44. The name has no blank and no plus sign."""

    name: str
    algorithm: Algorithm
    public: bytes

    def __post_init__(self) -> None:
        if not is_name(self.name) or len(self.public) != _WIDTHS.get(self.algorithm):
            raise BadInput(f"“{self.name}”不能用作联署公钥", fix="名称不得有空格或加号；公钥为 Ed25519 或 ML-DSA-44")
        if self.algorithm is Algorithm.ML_DSA_44:
            _short(self.name)

    @classmethod
    def of(cls, name: str, key: PublicKey) -> "CosignerKey":
        """Give a cosignature key its name. Raise KeyNotUsable for a key of another purpose or algorithm."""
        if key.purpose is not Purpose.COSIGNATURE or not isinstance(key.key, Ed25519PublicKey | MLDSA44PublicKey):
            what = f"用途是 {key.purpose.value}，算法是 {key.algorithm.value}"
            raise KeyNotUsable(f"密钥 {key.kid} 的{what}，不能联署检查点")
        return cls(name, key.algorithm, key.key.public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> "CosignerKey":
        """Read a verifier key. Raise BadInput unless it is one of a cosigner, whole and with the right key id."""
        name, material = read_verifier_key(text) or ("", b"")
        algorithm = next((one for one, kind in _TYPES.items() if kind == material[:1]), None)
        if algorithm is None or len(material) != 1 + _WIDTHS[algorithm]:
            raise BadInput("不是联署公钥（名称+密钥编号+公钥，类型 04 或 06）", fix="照原样填写发布的一整行")
        return cls(name, algorithm, material[1:])

    @property
    def id(self) -> bytes:
        """The key id, four bytes."""
        return key_id(self.name, self._material)

    def __str__(self) -> str:
        return verifier_key(self.name, self._material)

    @property
    def _material(self) -> bytes:
        return _TYPES[self.algorithm] + self.public

    def verify(self, text: bytes, timestamped: bytes) -> datetime:
        """Check time and signature, as they follow the key id, over the text of a note. Return the time, UTC.

        The first second of 1970 says nothing of the time. Raise SignatureInvalid (also for a time beyond the year
        9999, which no clock has shown), BadInput for a text that is no checkpoint.
        """
        seconds = int.from_bytes(timestamped[:8])
        if len(timestamped) < 8 or seconds > _LAST:
            raise SignatureInvalid(f"{self.name} 的联署没有可用的时间")
        try:
            self._key().verify_raw(_message(self, text, seconds), timestamped[8:])
        except SignatureInvalid as error:
            raise SignatureInvalid(f"{self.name} 的联署与检查点不符：{error.message}") from None
        return datetime.fromtimestamp(seconds, UTC)

    def _key(self) -> PublicKey:
        ed25519 = self.algorithm is Algorithm.ED25519
        read = Ed25519PublicKey.from_public_bytes if ed25519 else MLDSA44PublicKey.from_public_bytes
        return PublicKey.of(read(self.public), Purpose.COSIGNATURE)


class Cosignature(NamedTuple):
    """A cosignature that holds: whose it is, and when it was made (UTC)."""

    key: CosignerKey
    at: datetime


def cosign(text: bytes, name: str, signer: Signer, at: datetime) -> bytes:
    """Cosign the checkpoint in the text of a note, at that instant. Return the signature line, with its newline.

    Whether the checkpoint extends what was cosigned before is the caller's duty. Raise KeyNotUsable for a key that is
    not for cosignatures, BadInput for what is no checkpoint, ValueError for a time without a zone or before 1970.
    """
    if at.tzinfo is None or at.timestamp() < 0:
        raise ValueError("a time zone is needed, and a time since 1970")
    key, seconds = CosignerKey.of(name, signer.public), int(at.timestamp())
    timestamped = seconds.to_bytes(8) + signer.sign_raw(_message(key, text, seconds))
    return Signature(name, key.id, timestamped).line()


def cosignatures(note: bytes, keys: Sequence[CosignerKey]) -> list[Cosignature]:
    """The cosignatures of these keys on a checkpoint, in the order of the note; those of other keys are not judged.

    Raise SignatureInvalid for a line that names one of these keys and fails, BadInput for what is no checkpoint. The
    log's own signature is not looked at.
    """
    text, found = split_note(note)
    read_checkpoint(text)
    known = [(one, key) for one in found for key in keys if (one.name, one.key_id) == (key.name, key.id)]
    return [Cosignature(key, key.verify(text, one.data)) for one, key in known]


def add_signatures(note: bytes, lines: bytes) -> bytes:
    """Append signature lines to a note; those that it has already are dropped. Nothing is verified.

    Raise BadInput for what is no note or no signature lines, or for more than a note may have.
    """
    have = [one.line() for one in split_note(note)[1]]
    fresh = dict.fromkeys(read_line(line).line() for line in lines.removesuffix(b"\n").split(b"\n") if lines)
    whole = note + b"".join(line for line in fresh if line not in have)
    split_note(whole)
    return whole


def _message(key: CosignerKey, text: bytes, seconds: int) -> bytes:
    """What a cosignature covers."""
    checkpoint = read_checkpoint(text)
    if key.algorithm is Algorithm.ED25519:  # (1)
        return b"cosignature/v1\ntime %d\n" % seconds + text
    return _subtree(key.name, checkpoint, seconds, text)  # (2)


def _subtree(name: str, checkpoint: Checkpoint, seconds: int, text: bytes) -> bytes:
    if checkpoint.text() != text:
        raise BadInput("ML-DSA-44 联署不涵盖检查点的扩展行", fix="只联署来源、大小、根哈希三行的检查点")
    span = (0).to_bytes(8) + checkpoint.size.to_bytes(8)
    return b"subtree/v1\n\0" + _short(name) + seconds.to_bytes(8) + _short(checkpoint.origin) + span + checkpoint.root


def _short(text: str) -> bytes:
    """A text of 1 to 255 bytes after its length (RFC 8446 section 3.4). Raise BadInput for a longer one."""
    data = text.encode()
    if len(data) > 255:
        raise BadInput("名称或来源超过 255 字节，ML-DSA-44 不能联署", fix="改用较短的名称")
    return bytes((len(data),)) + data
