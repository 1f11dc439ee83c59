"""Write the log up to one checkpoint, and all that is needed to check it elsewhere, into a new directory.

The same checkpoint, keys and program give the same bytes: nothing in an export depends on when or where it was made,
and Ed25519 signatures are deterministic (RFC 8032). Names and identity numbers leave only as the log's sealed boxes.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import msgspec

from keys.errors import KeysError
from keys.signing import Purpose, Signer
from registry.audit import layout
from registry.audit.compare import counts_of
from registry.audit.draft import Draft
from registry.audit.findings import Code, Findings
from registry.audit.layout import Manifest, Row
from registry.audit.order import Order
from registry.audit.rebuild import Rebuild
from registry.audit.scratch import BATCH, Scratch
from registry.audit.statistics import Tally
from registry.errors import CorruptHistory, Refused, RegistryError, Unavailable
from registry.log.log import Log
from registry.log.mapper import decode
from registry.proof.checkpoint import Checkpoint, NoteKey, sign_note
from registry.proof.kept import size_of
from registry.proof.signers import open_by
from registry.proof.tiles import resources

if TYPE_CHECKING:
    from registry.service import Registry

_UNFOLDABLE = (Code.EVENT, Code.VERSION, Code.STREAM, Code.FOLD)


def export(
    registry: "Registry",
    directory: Path,
    progress: Callable[[int], None] | None = None,
    *,
    at: int | None = None,
) -> Manifest:
    """Export the log up to now, or up to the kept checkpoint of size `at`; the directory is there whole or not at all.

    What was interrupted is found in DIR.partial, checked, and taken up again, up to the size that it was begun with.
    `progress` is told the number of events done; every event is gone through twice.

    Raise Refused for a directory that is not empty, a size without checkpoint, or a leftover of something else;
    CorruptHistory for a log that cannot be folded (see `doctor`) or that is not what was signed; LogFrozen;
    keys.errors.KeyNotUsable if no checkpoint key may sign now.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Refused(f"{directory} 已存在且不为空，导出从不覆盖", fix="换一个新的文件夹")
    registry.continuity.require()
    signer = registry.custody.signer(Purpose.CHECKPOINT, registry.clock())
    draft = Draft(directory)
    with draft.alone():
        note = _wanted(registry, draft, at)
        draft.put(layout.CHECKPOINT, [note])
        try:
            manifest = _fill(_Task(draft, registry, note, progress or (lambda _: None)), signer)
        except CorruptHistory:
            draft.discard()
            raise
        draft.finish()
    return manifest


def _wanted(registry: "Registry", draft: Draft, at: int | None) -> bytes:
    """The note of the checkpoint to export: the one that was begun, the one asked for, or that of now."""
    begun = draft.checkpoint()
    if begun is not None:
        at = _begun(registry, draft, begun, at)
    elif at is None:
        at = _now(registry)
    published = registry.tlog.published()
    return published if published and size_of(published) == at else _kept(registry, at)


def _now(registry: "Registry") -> int:
    checkpoint = registry.tlog.sequence()
    if checkpoint is None:
        raise Unavailable("证明日志正忙", fix="稍后再试")
    return checkpoint.size


def _begun(registry: "Registry", draft: Draft, note: bytes, at: int | None) -> int:
    fix = f"删除 {draft.folder}，或换一个导出文件夹"
    try:
        begun = open_by(note, registry.tlog.keys())
    except (RegistryError, KeysError) as error:
        raise Refused(f"{draft.folder} 是另一个登记库中断的导出，或已损坏", fix=fix) from error
    if at not in (None, begun.size):
        raise Refused(f"{draft.folder} 是规模为 {begun.size} 的中断的导出，不是 {at}", fix=f"先完成它，或{fix}")
    return begun.size


def _kept(registry: "Registry", size: int) -> bytes:
    below = above = ""
    for note in registry.tlog.checkpoints():
        found = size_of(note)
        if found == size:
            return note
        if found > size:
            above = str(found)
            break
        below = str(found)
    near = " 和 ".join(one for one in (below, above) if one) or "（无）"
    raise Refused(f"没有规模为 {size} 的检查点，最近的是 {near}", fix="用 --at 指定其中之一")


class _Task(NamedTuple):
    """What is exported where."""

    draft: Draft
    registry: "Registry"
    note: bytes
    progress: Callable[[int], None]

    @property
    def checkpoint(self) -> Checkpoint:
        return open_by(self.note, self.registry.tlog.keys())


def _fill(task: _Task, signer: Signer) -> Manifest:
    draft, registry, checkpoint = task.draft, task.registry, task.checkpoint
    order = _write_events(task, checkpoint)
    for name in resources(checkpoint.size):
        draft.keep(name, _tile(registry, name))
    with closing(Scratch()) as scratch:
        rebuild = _write_derived(task, scratch, order.size)
        counts = counts_of(scratch, order)
    _write_keys_and_reference(task, checkpoint.size)
    manifest = Manifest(
        schema=layout.SCHEMA,
        product=layout.product(),
        created_at=decode(*_last(registry.log, order.size)).recorded_at if order.size else None,
        head=order.size,
        checkpoint_key=str(NoteKey.of(checkpoint.origin, signer.public)),
        reference_digest=rebuild.digests[-1] if rebuild.digests else "",
        counts=counts,
        files=draft.entries(),
    )
    content, name = manifest.encode(), layout.manifest_signer(checkpoint.origin)
    draft.put(layout.MANIFEST, [content])
    draft.put(layout.MANIFEST_NOTE, [sign_note(layout.manifest_text(content), name, signer)])
    return manifest


def _tile(registry: "Registry", name: str) -> bytes:
    data = registry.tlog.tiles.read(name)
    if data is None:
        raise Unavailable(f"瓦片 {name} 缺失", fix="运行 title-registry log rebuild，由事件重建，再运行同一命令")
    return data


def _last(log: Log, head: int) -> tuple[str, int, str, bytes]:
    _, stream, number, name, state = next(log.recorder.rows_by_position(head - 1, head))
    return stream, number, name, state


def _write_events(task: _Task, checkpoint: Checkpoint) -> Order:
    findings, predecessor = Findings(), task.registry.tlog.predecessor
    order = Order(findings, predecessor=predecessor)
    events = checkpoint.size - order.first
    with task.draft.continued(layout.EVENTS) as file:
        _read_back(file, order, events)
        begun = order.size
        rows = task.registry.log.recorder.rows_by_position(begun, events)
        file.writelines(map(layout.write_event, _told(order.passing(rows), begun, task.progress)))
    if findings.kept:
        raise CorruptHistory(findings.kept[0].message, fix="运行 doctor；必要时从备份恢复")
    if (order.leaves, order.root) != (checkpoint.size, checkpoint.root):
        what = "事件（或中断的导出中的事件）" if begun else "事件"
        raise CorruptHistory(f"{what}与检查点所签的根不符，没有导出", fix="再试一次；仍不符则运行 doctor")
    return order


def _read_back(file: BinaryIO, order: Order, size: int) -> None:
    """Take in the whole lines of an earlier run, as far as they can be its; leave the file ready to go on writing.

    Whether they are the events of this log is for the root to tell.
    """
    end = 0
    for line in file:
        try:
            row = layout.read_event(line.removesuffix(b"\n"))
        except ValueError:
            break
        if row[0] != order.size + 1 or row[0] > size or not line.endswith(b"\n"):
            break
        order.take(row)
        end += len(line)
    file.seek(end)
    file.truncate()


def _told(rows: Iterator[Row], done: int, progress: Callable[[int], None]) -> Iterator[Row]:
    for row in rows:
        yield row
        done += 1
        if done % BATCH == 0:
            progress(done)
    progress(done)


def _write_derived(task: _Task, scratch: Scratch, size: int) -> Rebuild:
    """Claims, register and statistics as they follow from the events up to there, not as the live tables are by now."""
    findings = Findings()
    rebuild = Rebuild(scratch, findings)
    rows = task.registry.log.recorder.rows_by_stream(size)
    rebuild.take_all(rows, lambda done: task.progress(size + done))
    broken = findings.first(*_UNFOLDABLE)
    if broken:
        raise CorruptHistory(f"{broken.stream}：{broken.message}", fix="运行 doctor；必要时从备份恢复")
    claims = scratch.claims(scratch.scopes())
    task.draft.put(layout.CLAIMS, (layout.write_claim(*key, *stream) for key, stream, _ in claims))
    with closing(Tally()) as tally:
        kept = ((table, row) for table in layout.ROWS for row in tally.passing(scratch.structs(table)))
        task.draft.put(layout.REGISTER, (layout.write_row(table, row) for table, row in kept))
        task.draft.put(layout.STATISTICS, [tally.statistics().encode()])
    return rebuild


def _write_keys_and_reference(task: _Task, size: int) -> None:
    draft, registry = task.draft, task.registry
    draft.put(layout.CHECKPOINTS, (note + b"\n" for note in registry.tlog.checkpoints() if size_of(note) <= size))
    policy = registry.folder.policy
    if registry.tlog.predecessor is not None:
        draft.put(layout.PREDECESSOR, [registry.tlog.predecessor])
    if policy.is_file():
        draft.put(layout.POLICY, [policy.read_bytes()])
    jwks = msgspec.json.format(msgspec.json.encode(registry.custody.keyring.to_jwks()), indent=2) + b"\n"
    draft.put(layout.KEYS, [jwks])
    draft.put(layout.ROOT_CERTIFICATE, [registry.custody.root_certificate_pem])
    draft.put(layout.CHAIN, [registry.custody.chain_pem])
    draft.put(layout.KIT, [layout.kit()])
    for name, data in registry.catalogue.files.items():
        draft.put(f"{layout.REFERENCE}/{name}", [data])
