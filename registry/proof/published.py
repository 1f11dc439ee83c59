"""A log as it is published and as it lies on the disk: checkpoints, tiles, proofs, and whether the events still agree.

Nothing here writes. A log that another one follows is read in just this way.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from keys.errors import KeysError
from keys.keyring import Keyring
from registry.errors import LogFrozen, NotFound, RegistryError
from registry.proof.checkpoint import Checkpoint, NoteKey
from registry.proof.comparing import Comparison
from registry.proof.cosignature import CosignerKey
from registry.proof.kept import KeptCheckpoints, size_of
from registry.proof.leaves import PREDECESSOR, Events, Leaves, folder_of, position_of
from registry.proof.proofs import consistency_proof, inclusion_proof
from registry.proof.signers import cosigner_keys, log_keys, open_by
from registry.proof.tiles import TileStore
from registry.proof.tree import RightEdge


class PublishedLog:
    """One log of a registry: the first, or the one of that `generation`. Safe in several threads and processes."""

    def __init__(
        self,
        root: Path,
        origin: str,
        events: Events,
        keyring: Callable[[], Keyring],
        outside: Path,
        generation: int,
    ) -> None:
        self.generation, self._keyring, self.folder = generation, keyring, folder_of(root, generation)
        self.origin = origin if generation == 1 else f"{origin}/{generation}"
        self.outside = outside if generation == 1 else outside.with_name(f"{outside.name}.{generation}")
        self.leaves = Leaves(events, read_file(self.folder / PREDECESSOR))
        self.tiles, self.kept = TileStore(self.folder), KeptCheckpoints(self.folder / "checkpoints")

    @property
    def predecessor(self) -> bytes | None:
        """The first leaf entry of a log that follows another; None for the first log of all."""
        return self.leaves.predecessor

    # what is published

    def keys(self) -> list[NoteKey]:
        """Every key that signs or has signed this log's checkpoints."""
        return log_keys(self._keyring(), self.origin)

    def cosigner_keys(self) -> list[CosignerKey]:
        """Every ML-DSA-44 key with which this log cosigns or has cosigned."""
        return cosigner_keys(self._keyring(), self.origin)

    def published(self) -> bytes | None:
        """The newest checkpoint as a note, with whatever cosignatures were gathered; None before the first."""
        return read_file(self.folder / "checkpoint")

    def checkpoint(self) -> Checkpoint | None:
        """The newest published checkpoint. Raise SignatureInvalid or BadInput for one that does not hold."""
        note = self.published()
        return open_by(note, self.keys()) if note else None

    def checkpoints(self) -> Iterator[bytes]:
        """Every checkpoint that was ever published, oldest first, without the cosignatures gathered later."""
        return self.kept.all()

    def checkpoint_covering(self, index: int) -> bytes | None:
        """The oldest checkpoint whose tree has that leaf; None if none has it yet."""
        return self.kept.covering(index)

    # proofs

    def index_of(self, position: int) -> int:
        """The leaf index of a stored event by its position in the log. Raise NotFound if it is no leaf yet."""
        size = self._size()
        guess = min(position - 1 + self.leaves.first, size - 1)
        if guess >= 0 and self.position(guess, size) == position:
            return guess
        low, high = 0, size  # positions grow with the index, but may leave gaps
        while low < high:
            middle = (low + high) // 2
            if self.position(middle, size) < position:
                low = middle + 1
            else:
                high = middle
        if low < size and self.position(low, size) == position:
            return low
        raise NotFound(f"事件 {position} 还没有进入证明日志", fix="稍后再试")

    def entry(self, index: int) -> bytes:
        """The leaf entry of that index. Raise NotFound beyond the published tree."""
        size = self._size()
        if not 0 <= index < size:
            raise NotFound(f"证明日志没有第 {index} 个叶子（现有 {size} 个）", fix="核对编号")
        return next(self.tiles.entries(index, index + 1, size))

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The inclusion proof (RFC 6962 section 2.1.1) of a leaf in the tree of that size. Raise NotFound."""
        if not 0 <= index < size <= self._size():
            raise NotFound(f"没有这样的包含证明：叶子 {index}，规模 {size}", fix="规模不得超过最新检查点")
        return inclusion_proof(index, size, self.tiles.reader(self._size()))

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The consistency proof (RFC 6962 section 2.1.2) between two sizes. Raise NotFound."""
        if not 0 <= old <= new <= self._size():
            raise NotFound(f"没有这样的一致性证明：{old} 到 {new}", fix="规模不得超过最新检查点")
        return consistency_proof(old, new, self.tiles.reader(self._size()))

    def _size(self) -> int:
        note = self.published()
        return size_of(note) if note else 0

    def position(self, index: int, size: int) -> int:
        """The log position in a leaf of the tree of that size."""
        return position_of(next(self.tiles.entries(index, index + 1, size)))

    # whether the events agree

    def last(self) -> Checkpoint:
        """The newest kept checkpoint; that of the empty tree before the first. Raise SignatureInvalid, BadInput."""
        note = self.kept.last()
        return open_by(note, self.keys()) if note else Checkpoint(self.origin, 0, RightEdge().root())

    def compare(self) -> None:
        """Compare the log with its last checkpoint, here and in the second store; cheap, not every leaf.

        Raise LogFrozen if it does not extend them.
        """
        outside = self.outside_checkpoint()  # first: what is there was kept before, also by another process just now
        self.comparison().newest(self.last(), outside)

    def comparison(self) -> Comparison:
        """What compares the events with what was signed."""
        return Comparison(self.leaves, self.tiles)

    def outside_checkpoint(self) -> Checkpoint | None:
        """The checkpoint in the second store. Raise LogFrozen for one that is not this log's."""
        note = read_file(self.outside)
        try:
            return open_by(note, self.keys()) if note is not None else None
        except (RegistryError, KeysError) as error:
            message = f"第二存储中的检查点 {self.outside} 不是本日志签发的，或已损坏：{error}"
            raise LogFrozen(message, fix="核对该文件的来历，不要直接删除") from error


def read_file(path: Path) -> bytes | None:
    """The bytes of a file; None if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
