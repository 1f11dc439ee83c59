"""A proof that an entry is in a log, in one text that can be checked off line (C2SP tlog-proof).

c2sp.org/tlog-proof@v1
extra YWdlLXYx...                         optional, base64; not authenticated by itself
index 73894                               the leaf index
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
...                                       the inclusion proof, one hash a line, from the leaf up
                                          a blank line
example.com/fancylog                      the checkpoint, with every signature it has
...
"""

import base64
import re
from typing import NamedTuple

from registry.errors import BadInput
from registry.proof.checkpoint import Checkpoint, NoteKey, open_checkpoint, read_checkpoint
from registry.proof.note import read_base64, split_note
from registry.proof.proofs import verify_inclusion
from registry.proof.tree import HASH_SIZE, leaf_hash

FIRST = b"c2sp.org/tlog-proof@v1"
MAX_BYTES = 1_000_000
MAX_HASHES = 63
_INDEX = re.compile(rb"index (0|[1-9][0-9]{0,18})")


class TlogProof(NamedTuple):
    """The index of a leaf, its inclusion proof, the checkpoint as a note, and what the application adds (`extra`)."""

    index: int  # type: ignore[assignment]  # a leaf index, as the specification calls it
    hashes: list[bytes]
    checkpoint: bytes
    extra: bytes | None = None

    def encode(self) -> bytes:
        """The text."""
        lines = [FIRST]
        if self.extra is not None:
            lines.append(b"extra " + base64.b64encode(self.extra))
        lines += [b"index %d" % self.index, *map(base64.b64encode, self.hashes)]
        return b"\n".join(lines) + b"\n\n" + self.checkpoint

    @classmethod
    def parse(cls, data: bytes) -> "TlogProof":
        """Read a proof in its one spelling; nothing is verified.

        Raise BadInput for any other, a checkpoint that is none, more than 63 hashes, or more than 1,000,000 bytes.
        """
        head, blank, checkpoint = data.partition(b"\n\n")
        first, *lines = head.split(b"\n")
        extra = read_base64(_ascii(lines.pop(0)[6:])) if lines and lines[0].startswith(b"extra ") else None
        match = _INDEX.fullmatch(lines.pop(0)) if lines else None
        hashes = [read_base64(_ascii(line)) or b"" for line in lines]
        wrong = not blank or not checkpoint or match is None or len(hashes) > MAX_HASHES or len(data) > MAX_BYTES
        if wrong or match is None or first != FIRST or any(len(one) != HASH_SIZE for one in hashes):
            raise BadInput("不是日志证明（c2sp.org/tlog-proof@v1）", fix="重新取得 .tlog-proof 文件，不要改动")
        proof = cls(int(match[1]), hashes, checkpoint, extra)
        if proof.encode() != data:  # an extra that is no base64, or a line too many
            raise BadInput("日志证明的写法不规范", fix="重新取得 .tlog-proof 文件，不要改动")
        read_checkpoint(split_note(checkpoint)[0])
        return proof

    def verify(self, entry: bytes, key: NoteKey) -> Checkpoint:
        """Check that this leaf entry is in the log that signed with this key; return the checkpoint.

        Raise SignatureInvalid or BadInput for the checkpoint, ProofInvalid for the inclusion.
        """
        checkpoint = open_checkpoint(self.checkpoint, key)
        verify_inclusion(leaf_hash(entry), self.index, checkpoint.size, self.hashes, checkpoint.root)
        return checkpoint


def _ascii(text: bytes) -> str:
    return text.decode("ascii", "replace")
