"""Write the log as of one head, and all that is needed to check it elsewhere, into a new directory.

The same log gives the same bytes: nothing in an export depends on when or where it was made, and Ed25519 signatures
are deterministic (RFC 8032). Names and identity numbers leave only as the sealed boxes that the log holds.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import msgspec

from keys.signing import Purpose, Signer
from registry.audit import layout
from registry.audit.compare import counts_of
from registry.audit.findings import Code, Findings
from registry.audit.layout import FileEntry, Manifest
from registry.audit.order import Order
from registry.audit.rebuild import Rebuild
from registry.audit.scratch import Scratch, kept_claims
from registry.errors import CorruptHistory, Refused
from registry.log.log import Log
from registry.log.mapper import decode
from registry.proof.checkpoint import Checkpoint, NoteKey, sign_checkpoint, sign_note

if TYPE_CHECKING:
    from registry.service import Registry

_UNFOLDABLE = (Code.EVENT, Code.VERSION, Code.STREAM, Code.FOLD)


def origin_of(base_url: str) -> str:
    """The name of a registry's log: its address without the scheme (C2SP tlog-checkpoint), and "/log"."""
    return base_url.partition("://")[2] + "/log"


def export(registry: "Registry", directory: Path, progress: Callable[[int], None] | None = None) -> Manifest:
    """Export the log up to its present head; the directory is there whole or not at all.

    `progress` is told the number of events done; every event is gone through twice.

    Raise Refused for a directory that is not empty, CorruptHistory for a log that cannot be folded (see `doctor`),
    keys.errors.KeyNotUsable if no checkpoint key may sign now.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Refused(f"{directory} 已存在且不为空，导出从不覆盖", fix="换一个新的文件夹")
    signer = registry.custody.signer(Purpose.CHECKPOINT, registry.clock())
    directory.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        with registry.log.snapshot():
            manifest = _fill(draft, registry, signer, progress or (lambda _: None))
        draft.rename(directory)
    finally:
        rmtree(draft, ignore_errors=True)
    return manifest


def _fill(draft: Path, registry: "Registry", signer: Signer, progress: Callable[[int], None]) -> Manifest:
    log, origin = registry.log, origin_of(registry.config.base_url)
    head = log.head()
    order = _write_events(draft, log, head, progress)
    _write(draft / layout.CLAIMS, (layout.write_claim(*one) for one in kept_claims(log, identity=False)))
    with closing(Scratch()) as scratch:
        rebuild = _write_register(draft, scratch, log, head, lambda done: progress(head + done))
        counts = counts_of(scratch, order)
    _write_keys_and_reference(draft, registry)
    _write(draft / layout.CHECKPOINT, [sign_checkpoint(Checkpoint(origin, order.size, order.root), signer)])
    manifest = Manifest(
        schema=layout.SCHEMA,
        product=f"title-registry {version('title-registry')}",
        created_at=decode(*_last(log, head)).recorded_at if head else None,
        head=head,
        checkpoint_key=str(NoteKey.of(origin, signer.public)),
        reference_digest=rebuild.digests[-1] if rebuild.digests else "",
        counts=counts,
        files=dict(_files(draft)),
    )
    _write_manifest(draft, manifest, layout.manifest_signer(origin), signer)
    return manifest


def _write_manifest(draft: Path, manifest: Manifest, name: str, signer: Signer) -> None:
    content = manifest.encode()
    _write(draft / layout.MANIFEST, [content])
    _write(draft / layout.MANIFEST_NOTE, [sign_note(layout.manifest_text(content), name, signer)])


def _last(log: Log, head: int) -> tuple[str, int, str, bytes]:
    _, stream, number, name, state = next(log.recorder.rows_by_position(head - 1, head))
    return stream, number, name, state


def _write_events(draft: Path, log: Log, head: int, progress: Callable[[int], None]) -> Order:
    findings = Findings()
    order = Order(findings)
    rows = order.passing(log.recorder.rows_by_position(0, head))
    _write(draft / layout.EVENTS, map(layout.write_event, rows))
    if findings.kept:
        raise CorruptHistory(findings.kept[0].message, fix="运行 doctor；必要时从备份恢复")
    progress(order.size)
    return order


def _write_register(draft: Path, scratch: Scratch, log: Log, head: int, progress: Callable[[int], None]) -> Rebuild:
    findings = Findings()
    rebuild = Rebuild(scratch, findings)
    rebuild.take_all(log.recorder.rows_by_stream(head), progress)
    broken = findings.first(*_UNFOLDABLE)
    if broken:
        raise CorruptHistory(f"{broken.stream}：{broken.message}", fix="运行 doctor；必要时从备份恢复")
    rows = (layout.write_row(table, row) for table in layout.ROWS for row in scratch.structs(table))
    _write(draft / layout.REGISTER, rows)
    return rebuild


def _write_keys_and_reference(draft: Path, registry: "Registry") -> None:
    jwks = msgspec.json.format(msgspec.json.encode(registry.custody.keyring.to_jwks()), indent=2) + b"\n"
    _write(draft / layout.KEYS, [jwks])
    _write(draft / layout.ROOT_CERTIFICATE, [registry.custody.root_certificate_pem])
    _write(draft / layout.CHAIN, [registry.custody.chain_pem])
    (draft / layout.REFERENCE).mkdir()
    for name, data in registry.catalogue.files.items():
        _write(draft / layout.REFERENCE / name, [data])


def _write(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file, all the way to the disk."""
    with path.open("xb") as out:
        out.writelines(parts)
        out.flush()
        os.fsync(out.fileno())


def _files(draft: Path) -> list[tuple[str, FileEntry]]:
    paths = sorted(path for path in draft.rglob("*") if path.is_file())
    return [(path.relative_to(draft).as_posix(), layout.file_entry(path)) for path in paths]
