"""Check an export on any machine, without our database: what an auditor runs.

(1) the manifest's signature, and the hash of every file; nothing lies there that is not listed
(2) the tree over all stored bytes has the size and root of the signed checkpoint
(3) every event can be read; positions and versions have no gap
(4) every stream folds; two officers stand behind every decision
(5) the claims that follow from the facts are the claims in the export
(6) so are the rows of the register
(7) every certificate's signature holds where its content is open; the reference data is what was adopted
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keys.vault import DataKey
from registry.audit.compare import check_links, compare_claims, compare_rows, counts_of
from registry.audit.files import ExportFiles
from registry.audit.findings import Code, Finding, Findings, Report
from registry.audit.layout import EVENTS, IDENTITY, MANIFEST, REFERENCE, ROWS, Manifest
from registry.audit.order import Order
from registry.audit.rebuild import Rebuild
from registry.audit.scratch import Scratch, batches
from registry.errors import CorruptHistory
from registry.log.log import Log
from registry.log.mapper import decode
from registry.proof.checkpoint import NoteKey

if TYPE_CHECKING:
    from registry.service import Registry


def opener(log: Log) -> Callable[[str], DataKey | None]:
    """A look-up of data keys that keeps none of them in memory."""
    return lambda holder: log.data_keys()(holder)


def verify(
    directory: Path,
    *,
    trusted_checkpoint_key: NoteKey | None = None,
    beside: "Registry | None" = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Check an export. Everything that can still be checked is checked, whatever was found before.

    `trusted_checkpoint_key` is the auditor's own copy of the key (see NoteKey.parse); without it the export vouches
    for itself. `beside` is the registry that it came from: then sealed fields are opened with its data keys, identity
    claims are compared, and the export must be the beginning of its log. `progress` is told the events done, twice
    the number of events in all.

    Raise BadInput for a directory that is no export.
    """
    with closing(Scratch()) as scratch:
        return _Verification(directory, scratch, trusted_checkpoint_key, beside, progress or (lambda _: None)).report()


class _Verification:
    """One check of one export, in the order of the numbers above."""

    def __init__(
        self,
        directory: Path,
        scratch: Scratch,
        pinned: NoteKey | None,
        beside: "Registry | None",
        progress: Callable[[int], None],
    ) -> None:
        self.findings, self.scratch, self.pinned, self.beside = Findings(), scratch, pinned, beside
        self.files, self.progress = ExportFiles(directory, self.findings), progress

    def report(self) -> Report:
        """Check everything and say what was found."""
        manifest = self.files.manifest()
        key = self.files.key(manifest, self.pinned) if manifest else self.pinned
        self._files(manifest, key)
        order = self._order(key)
        rebuild = self._streams(order, key)
        counts = self._derived(order)
        if manifest:
            _check_manifest(manifest, order, counts, rebuild.digests, self.files, self.findings)
        if self.beside:
            _check_beside(self.beside, order, self.scratch, self.findings)
        return Report(
            what="export",
            head=order.size,
            root=order.root.hex(),
            pinned=self.pinned is not None,
            checkpoint_key=str(key or ""),
            personal="opened" if self.beside else "sealed",
            counts=counts,
            totals=dict(self.findings.totals),
            findings=self.findings.kept,
        )

    def _files(self, manifest: Manifest | None, key: NoteKey | None) -> None:
        if manifest:
            self.files.check_hashes(manifest)  # (1)
        if key:
            self.files.check_signature(key)

    def _order(self, key: NoteKey | None) -> Order:
        checkpoint = self.files.checkpoint(key) if key else None
        order = Order(self.findings, watched=checkpoint.size if checkpoint else None)
        for batch in batches(order.passing(self.files.events())):  # (3) positions
            self.scratch.put_events(batch)
            self.progress(order.size)
        if checkpoint:
            order.compare(checkpoint)  # (2)
        return order

    def _streams(self, order: Order, key: NoteKey | None) -> Rebuild:
        rebuild = Rebuild(
            self.scratch,
            self.findings,
            keyring=self.files.keyring(key),
            key_of=opener(self.beside.log) if self.beside else None,
            index=self.beside.custody.vault().blind_index if self.beside else None,
        )
        events = self.scratch.events_by_stream()
        rebuild.take_all(events, lambda done: self.progress(order.size + done))  # (3) versions, (4), (7)
        return rebuild

    def _derived(self, order: Order) -> dict[str, int]:
        check_links(self.scratch, self.findings)
        compare_claims(self.scratch, self.files.claims(), self.findings, identity=False)  # (5)
        for table in ROWS:
            compare_rows(self.scratch, table, self.files.rows(table), self.findings)  # (6)
        return counts_of(self.scratch, order)


def _check_manifest(
    manifest: Manifest,
    order: Order,
    counts: dict[str, int],
    digests: tuple[str, ...],
    files: ExportFiles,
    findings: Findings,
) -> None:
    last = _recorded_at(order)
    for what, expected, found in (
        ("head", order.size, manifest.head),
        ("created_at", last, manifest.created_at),
        *((f"counts.{name}", counts.get(name), manifest.counts.get(name)) for name in {*counts, *manifest.counts}),
    ):
        if expected != found:
            message = f"清单写的 {what} 与内容不符"
            findings.add(
                Finding(code=Code.COUNTS, message=message, file=MANIFEST, expected=str(expected), found=str(found))
            )
    adopted, present = digests[-1] if digests else "", files.reference_digest()
    if not adopted == present == manifest.reference_digest:
        message = "参考数据不是日志中采用的那一份"
        findings.add(Finding(code=Code.REFERENCE, message=message, file=REFERENCE, expected=adopted, found=present))


def _recorded_at(order: Order) -> object:
    if order.last is None:
        return None
    position, stream, version, name, state = order.last
    try:
        return decode(stream, version, name, state, position).recorded_at
    except CorruptHistory:
        return "unreadable"


def _check_beside(registry: "Registry", order: Order, scratch: Scratch, findings: Findings) -> None:
    """The live log must begin with what was exported, and hold the identity claims of its holders."""
    live = Order(Findings())
    for row in registry.log.recorder.rows_by_position(0, order.size):
        live.take(row)
    if (live.size, live.root) != (order.size, order.root):
        roots: dict[str, Any] = {"expected": live.root.hex(), "found": order.root.hex()}
        findings.add(Finding(code=Code.LIVE_DIFFERS, message="现存日志的开头不是这份导出", file=EVENTS, **roots))
    for (scope, index), (stream,), _ in scratch.claims((IDENTITY,)):
        found = registry.log.claimed(scope, index)
        if found != stream:
            code, message = Code.CLAIM_DIFFERS if found else Code.CLAIM_MISSING, "现存的证件索引与事实不符"
            findings.add(
                Finding(code=code, message=message, stream=stream, field=IDENTITY, expected=stream, found=found)
            )
