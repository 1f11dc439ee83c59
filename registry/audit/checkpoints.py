"""Checkpoints that were kept: each is signed by the log, larger than the one before, and has the root of the events.

They are read one by one while the tree grows, so that one pass over the events and no memory is needed for them all.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from keys.errors import KeysError
from registry.audit.findings import Code, Finding, Findings
from registry.errors import BadInput, RegistryError
from registry.proof.checkpoint import Checkpoint, NoteKey
from registry.proof.cosignature import CosignerKey, cosignatures
from registry.proof.kept import KeptCheckpoints
from registry.proof.note import split_note
from registry.proof.policy import Policy
from registry.proof.signers import open_by
from registry.proof.tree import EMPTY_ROOT, RightEdge

if TYPE_CHECKING:
    from registry.service import Registry


class Signed(NamedTuple):
    """The size and root that a log has signed, and where that was read: the file, and the number of the note in it."""

    size: int
    root: bytes
    file: str
    line: int | None = None


class Keys(NamedTuple):
    """The keys that sign a log's checkpoints, and those whose cosignatures can be checked."""

    log: Sequence[NoteKey]
    cosigners: Sequence[CosignerKey] = ()


def keys_of(registry: "Registry") -> Keys:
    """The keys of a live registry's own log."""
    return Keys(registry.tlog.keys(), registry.tlog.cosigner_keys())


class KeptNotes:
    """The notes in a file of kept checkpoints, up to a size (None: all). What is wrong with one goes to `findings`."""

    def __init__(self, path: Path, keys: Keys, findings: Findings, up_to: int | None = None) -> None:
        self._path, self._keys, self._findings, self._up_to = path, keys, findings, up_to
        self.count = self.bytes = 0
        self.last: Checkpoint | None = None

    def __iter__(self) -> Iterator[Signed]:
        """The checkpoints that hold, each larger than the one before; none without a key to judge them by."""
        if not self._keys.log:
            return
        for number, note in enumerate(KeptCheckpoints(self._path).all(), 1):
            self.bytes += len(note) + 1
            place: dict[str, Any] = {"file": self._path.name, "line": number}
            checkpoint = open_note(note, self._keys, Code.KEPT_SIGNATURE, self._findings, **place)
            if checkpoint is None:
                continue
            if self._up_to is not None and checkpoint.size > self._up_to:
                return
            if self.last and checkpoint.size <= self.last.size:
                sizes: dict[str, Any] = {"expected": f"> {self.last.size}", "found": str(checkpoint.size)}
                self._findings.add(
                    Finding(code=Code.KEPT_ORDER, message="检查点不是由小到大，或重复", **place, **sizes)
                )
                continue
            self.last, self.count = checkpoint, self.count + 1
            yield Signed(checkpoint.size, checkpoint.root, **place)

    def check_end(self, newest: Checkpoint | None) -> None:
        """After all were read: the file holds nothing but notes, and the last of them is the newest checkpoint."""
        if not self._path.is_file() or not self._keys.log:
            return  # a finding already
        if self.bytes != self._path.stat().st_size:
            self._add("检查点文件在最后一个签名记录之后有多余或残缺的内容")
        elif newest is not None and self.last != newest:
            self._add("最后一个检查点不是 checkpoint 中的那一个")

    def _add(self, message: str) -> None:
        self._findings.add(Finding(code=Code.KEPT, message=message, file=self._path.name))


def open_note(note: bytes, keys: Keys, code: Code, findings: Findings, **place: Any) -> Checkpoint | None:
    """The checkpoint in a note that the log signed; None, with a finding. A cosignature that fails is one, too."""
    try:
        checkpoint = open_by(note, keys.log)
    except (RegistryError, KeysError) as error:
        findings.add(Finding(code=code, message=error.message, **place))
        return None
    try:
        cosignatures(note, keys.cosigners)
    except (RegistryError, KeysError) as error:
        findings.add(Finding(code=Code.COSIGNATURE, message=error.message, **place))
    return checkpoint


class Witnessed(NamedTuple):
    """Who cosigned a checkpoint, by the names of the keys, and whether that meets a policy (None: there is none)."""

    by: tuple[str, ...] = ()
    policy: Literal["met", "not met"] | None = None


def witnessed(note: bytes, keys: Keys, policy: Policy | None) -> Witnessed:
    """Judge the cosignatures of a checkpoint. One that fails counts for nothing here; `open_note` has told."""
    try:
        by = tuple(sorted({one.key.name for one in cosignatures(note, keys.cosigners)}))
        met = policy.met_by(note).met if policy else None
    except (RegistryError, KeysError):
        by, met = (), False if policy else None
    return Witnessed(by, None if met is None else "met" if met else "not met")


def read_given(paths: Sequence[Path], keys: Keys, findings: Findings) -> list[Signed]:
    """The checkpoints that an auditor kept, one in each file, by size. Raise BadInput for a file that is none."""
    found = []
    for path in paths:
        try:
            note = path.read_bytes()
            split_note(note)
        except (OSError, BadInput) as error:
            raise BadInput(f"{path} 不是检查点：{error}", fix="给出一个原样保存的检查点文件") from error
        checkpoint = open_note(note, keys, Code.CHECKPOINT, findings, file=str(path))
        if checkpoint is not None:
            found.append(Signed(checkpoint.size, checkpoint.root, str(path)))
    return sorted(found)


class Watch:
    """Compares the tree with signed checkpoints, ascending in size, while it grows."""

    def __init__(self, signed: Iterator[Signed], findings: Findings) -> None:
        self._signed, self._findings = signed, findings
        self._next = next(signed, None)
        while self._next is not None and self._next.size == 0:
            self._compare(EMPTY_ROOT)

    @property
    def size(self) -> int:
        """The size at which to look next; -1 when all were seen."""
        return self._next.size if self._next else -1

    def look(self, edge: RightEdge) -> None:
        """Compare every checkpoint of this size."""
        while self._next is not None and self._next.size == edge.size:
            self._compare(edge.root())

    def _compare(self, root: bytes) -> None:
        assert self._next is not None
        if self._next.root != root:
            message = f"签出的前 {self._next.size} 个事件的根与这里的不同：日志已分叉，或事件被改动"
            roots = {"expected": self._next.root.hex(), "found": root.hex()}
            self._add(Code.FORK, message, **roots)
        self._next = next(self._signed, None)

    def end(self, size: int) -> None:
        """The tree has come to its end; what was signed beyond is missing from it."""
        while self._next is not None:
            sizes = {"expected": str(self._next.size), "found": str(size)}
            self._add(Code.BEYOND, "检查点所签的事件多于这里的，其后的被截去或尚未导出", **sizes)
            self._next = next(self._signed, None)

    def _add(self, code: Code, message: str, **values: Any) -> None:
        assert self._next is not None
        place: dict[str, Any] = {"file": self._next.file, "line": self._next.line}
        self._findings.add(Finding(code=code, message=message, **place, **values))
