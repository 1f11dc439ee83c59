"""Check an export on any machine, without our database: what an auditor runs.

(1) the manifest's signature, and the hash of every file; nothing lies there that is not listed
(2) the tree over all stored bytes has the size and root of the signed checkpoint, and of every one that was kept;
    every byte of the tiles follows from it
(3) every event can be read; positions and versions have no gap
(4) every stream folds; two officers stand behind every decision, each in the role then; key sets follow each other
(5) the claims that follow from the facts are the claims in the export
(6) so are the rows of the register, and the figures of the statistics
(7) every certificate's signature holds, over its digest, and over its content where that is open; the reference data
    is what was adopted; the program in the export is ours
"""

import heapq
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from keys.keyring import Keyring
from keys.vault import DataKey
from registry.audit import keysets
from registry.audit.checkpoints import KeptNotes, Keys, Watch, Witnessed, open_note, read_given, witnessed
from registry.audit.compare import check_links, compare_claims, compare_rows, counts_of
from registry.audit.declared import check_beside, check_manifest
from registry.audit.files import ExportFiles
from registry.audit.findings import Code, Findings, Report
from registry.audit.layout import CHECKPOINT, CHECKPOINTS, PREDECESSOR, ROWS, TILES, Manifest
from registry.audit.order import Order
from registry.audit.rebuild import Rebuild
from registry.audit.roles import Roles
from registry.audit.scratch import Scratch, batches
from registry.audit.statistics import Tally
from registry.audit.tiling import Tiling
from registry.catalogue.catalogue import load_catalogue
from registry.log.log import Log
from registry.proof.checkpoint import NoteKey
from registry.proof.signers import cosigner_keys, log_keys

if TYPE_CHECKING:
    from registry.service import Registry


def opener(log: Log) -> Callable[[str], DataKey | None]:
    """A look-up of data keys that keeps none of them in memory."""
    return lambda holder: log.data_keys()(holder)


def verify(
    directory: Path,
    *,
    trusted_checkpoint_key: NoteKey | None = None,
    checkpoints: Sequence[Path] = (),
    beside: "Registry | None" = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Check an export. Everything that can still be checked is checked, whatever was found before.

    `trusted_checkpoint_key` is the auditor's own copy of the key (see NoteKey.parse); without it the export vouches
    for itself. `checkpoints` are files with checkpoints that the auditor kept: this history must extend each.
    `beside` is the registry that it came from: then sealed fields are opened with its data keys, claims are compared,
    and the export must be the beginning of its log. `progress` is told the events done, twice the number of events in
    all.

    Raise BadInput for a directory that is no export, or a file that is no checkpoint.
    """
    with closing(Scratch(beside.custody.vault().blind_index if beside else None)) as scratch:
        check = _Verification(directory, scratch, trusted_checkpoint_key, beside, progress or (lambda _: None))
        return check.report(checkpoints)


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
        self.policy = self.files.policy()
        self.roles = Roles({one.code: one.parent for one in load_catalogue().authorities})

    def report(self, given: Sequence[Path]) -> Report:
        """Check everything and say what was found."""
        manifest = self.files.manifest()
        key = self.files.key(manifest, self.pinned) if manifest else self.pinned
        self._files(manifest, key)
        keyring = self.files.keyring(key)
        keys = self._keys(key, keyring)
        kept = KeptNotes(self.files.directory / CHECKPOINTS, keys, self.findings)
        order = self._order(manifest, keys, kept, given)
        rebuild = self._streams(order, keyring)
        counts = self._derived(order)
        if manifest:
            check_manifest(manifest, order, counts, rebuild.digests, self.files, self.findings)
        if self.beside:
            check_beside(self.beside, order, self.scratch, self.findings)
        cosigned = self._cosigned(keys)
        return Report(
            what="export",
            head=order.size,
            root=order.root.hex(),
            pinned=self.pinned is not None,
            checkpoint_key=str(key or ""),
            personal="opened" if self.beside else "sealed",
            counts=counts,
            checkpoints=kept.count,
            cosigned_by=cosigned.by,
            policy=cosigned.policy,
            totals=dict(self.findings.totals),
            findings=self.findings.kept,
        )

    def _files(self, manifest: Manifest | None, key: NoteKey | None) -> None:
        if manifest:
            self.files.check_hashes(manifest)  # (1)
        if key:
            self.files.check_signature(key)
        self.files.check_kit(manifest)  # (7)

    def _keys(self, key: NoteKey | None, keyring: Keyring | None) -> Keys:
        """Every key of this log; the one alone that must have signed, where the key ring does not know it."""
        witnesses = [one for one, _ in self.policy.witnesses.values()] if self.policy else []
        if key is None:
            return Keys(())
        own = log_keys(keyring, key.name) if keyring else []
        if keyring is None or key not in own:
            return Keys((key,), witnesses)
        return Keys(own, [*cosigner_keys(keyring, key.name), *witnesses])

    def _order(self, manifest: Manifest | None, keys: Keys, kept: KeptNotes, given: Sequence[Path]) -> Order:
        findings, note = self.findings, self.files.note()
        newest = open_note(note, keys, Code.CHECKPOINT, findings, file=CHECKPOINT) if note and keys.log else None
        others = read_given(given, keys, findings)
        watch = Watch(heapq.merge(kept, others, key=lambda one: one.size), findings)
        tiling = Tiling(self.files.tile, findings)
        order = Order(findings, newest.size if newest else None, watch, tiling, self.files.tile(PREDECESSOR))
        for batch in batches(self.roles.passing(order.passing(self.files.events()))):  # (3) positions
            self.scratch.put_events(batch)
            self.progress(order.size)
        order.end()
        if newest:
            order.compare(newest)  # (2)
        kept.check_end(newest)
        listed = (name for name in (manifest.files if manifest else ()) if name.startswith(TILES))
        tiling.check_listed(listed, order.leaves)
        return order

    def _cosigned(self, keys: Keys) -> Witnessed:
        note = self.files.note()
        return witnessed(note, keys, self.policy) if note else Witnessed()

    def _streams(self, order: Order, keyring: Keyring | None) -> Rebuild:
        rebuild = Rebuild(
            self.scratch,
            self.findings,
            keyring=keyring,
            key_of=opener(self.beside.log) if self.beside else None,
            first=order.first,
            roles=self.roles,
        )
        events = self.scratch.events_by_stream()
        rebuild.take_all(events, lambda done: self.progress(order.size + done))  # (3) versions, (4), (7)
        keysets.compare(rebuild.keysets, keyring, self.findings)
        return rebuild

    def _derived(self, order: Order) -> dict[str, int]:
        check_links(self.scratch, self.findings)
        compare_claims(self.scratch, self.files.claims(), self.findings, identity=False)  # (5)
        for table in ROWS:
            compare_rows(self.scratch, table, self.files.rows(table), self.findings)  # (6)
        with closing(Tally()) as tally:
            for of in self.scratch.values("titles", Tally.COLUMNS):
                tally.take_title(of)
            for row in self.scratch.structs("papers"):
                tally.take(row)
            self.files.check_statistics(tally.statistics())
        return counts_of(self.scratch, order)
