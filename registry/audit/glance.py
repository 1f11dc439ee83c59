"""Whether all is well with a live log, found out quickly and in flat memory. What is wrong is for looking closely.

(1) every leaf of the published tree follows from the stored events, and every byte of its tiles from the leaves
(2) every checkpoint that was kept has the root of the tiles at its size
(3) every event is in a stream that folds, without a gap, and was its officer's to record
(4) every seal opens; the claims and register rows that follow from the states have the prints of those that are kept

(1) and (2), and what of (3) and (4) needs no key, is done in pieces by two processes. Raise Unwell, or any error of
ours, where it is not so.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from os import urandom
from typing import TYPE_CHECKING, NamedTuple

from registry.audit.checkpoints import KeptNotes, keys_of, open_note
from registry.audit.findings import Code, Findings
from registry.audit.layout import ROWS
from registry.audit.leafing import Stored, Tiles, Unwell
from registry.audit.pieces import Derived, Folds, Job, Piece, leaves, roles_of
from registry.audit.prints import KEY_SIZE, Printing, Prints, claims_name
from registry.audit.rebuild import Rebuild
from registry.audit.scratch import Scratch
from registry.audit.sharing import shared
from registry.holders.holder import HOLDERS
from registry.paper.application import APPLICATIONS
from registry.proof.proofs import tree_root
from registry.proof.tree import leaf_hash
from registry.register import tables
from registry.register.folding import KeysInOrder
from registry.streams import KINDS
from registry.titles.state import TITLES

if TYPE_CHECKING:
    from registry.service import Registry

_SEALED = (TITLES, APPLICATIONS)  # nothing sealed is in their claims and rows


class Seen(NamedTuple):
    """The root over all events, how many kept checkpoints agree with it, and how much there is of everything."""

    root: bytes
    checkpoints: int
    counts: dict[str, int]


def at_history(registry: "Registry", head: int, published: bytes | None) -> Seen:
    """(1) to (3), as far as it needs no key: a replay of the log."""
    job = _job(registry, head, published, _folds)
    with shared(job, registry.log.recorder) as sharing:
        done = sharing.finish()
    if sum(one.events for one in done) != head:
        raise Unwell  # a stream of no kind that we know
    return Seen(*_tree(registry, job), {"events": head, "streams": sum(one.streams for one in done)})


def _folds(size: int) -> Sequence[Piece]:
    large = [Folds(f"{kind.prefix}-") for kind in (TITLES, HOLDERS)]
    small = [Folds(f"{prefix}-") for prefix in KINDS if prefix not in (TITLES.prefix, HOLDERS.prefix)]
    return [*large, *leaves(size), *small]


def at_everything(registry: "Registry", head: int, published: bytes | None) -> tuple[Seen, Rebuild]:
    """All of it. The rebuild knows the key sets and the reference data that the log tells of."""
    job = _job(
        registry, head, published, lambda size: [*(Derived(f"{kind.prefix}-") for kind in _SEALED), *leaves(size)]
    )
    prints, findings = Prints(job.key), Findings()
    with shared(job, registry.log.recorder) as sharing, closing(Scratch()) as scratch:
        sink = Printing(prints, scratch, registry.custody.vault().blind_index, elsewhere=_SEALED)
        rebuild = _judged(registry, job, sink, findings)
        if findings.kept or any(scratch.missing_links()):
            raise Unwell
        for one in sharing.finish():
            prints.merge(one.prints)
    found = prints.all()
    if found != _kept(registry, job.key):
        raise Unwell
    counts = {"events": head, "streams": rebuild.streams}
    counts |= {name: found[name][0] if name in found else 0 for name in ("claims", *ROWS)}
    return Seen(*_tree(registry, job), counts), rebuild


def _judged(registry: "Registry", job: Job, sink: Printing, findings: Findings) -> Rebuild:
    """Fold every stream with its personal fields opened, kind by kind: each time the keys come in order."""
    log, keyring = registry.log, registry.custody.keyring
    keys, roles = KeysInOrder(log), roles_of(log.recorder, job)
    first = 0 if job.predecessor is None else 1
    rebuild, events = Rebuild(sink, findings, keyring=keyring, key_of=keys, first=first, roles=roles), 0
    for prefix in sorted(KINDS):
        with keys.beginning():
            events += rebuild.take_all(log.recorder.rows_by_stream(job.head, f"{prefix}-"))
    if events != job.head:
        raise Unwell  # a stream of no kind that we know
    return rebuild


def _kept(registry: "Registry", key: bytes) -> dict[str, tuple[int, bytes]]:
    """The prints of the claims and of the register as they are kept."""
    prints = Prints(key)
    for scope, claims in groupby(registry.log.recorder.claims(), key=itemgetter(0)):
        prints.add(claims_name(scope), claims)
    for table, (row, _) in tables.TABLES.items():
        columns = ", ".join(row.__struct_fields__)
        prints.add(table, registry.register.connection.execute(f"SELECT {columns} FROM {table}"))
    return prints.all()


# the tree


def _job(registry: "Registry", head: int, published: bytes | None, pieces: Callable[[int], Sequence[Piece]]) -> Job:
    findings = Findings()
    newest = open_note(published, keys_of(registry), Code.CHECKPOINT, findings) if published else None
    size = newest.size if newest else 0
    if findings.kept or size > head + registry.tlog.leaves.first:
        raise Unwell
    return Job(
        place=str(registry.log.recorder.place),
        head=head,
        folder=str(registry.tlog.folder),
        size=size,
        root=newest.root if newest else b"",
        predecessor=registry.tlog.predecessor,
        parents={one.code: one.parent for one in registry.catalogue.authorities},
        key=urandom(KEY_SIZE),
        pieces=pieces(size),
    )


def _tree(registry: "Registry", job: Job) -> tuple[bytes, int]:
    """After the leaves were seen to be in the tiles: what lies above them, every kept checkpoint, and the root."""
    tlog, findings, tiles = registry.tlog, Findings(), Tiles(registry.tlog.folder, job.size)
    tiles.check_upper()
    kept = KeptNotes(tlog.kept.path, keys_of(registry), findings, up_to=job.size)
    if any(tree_root(one.size, tiles.reader) != one.root for one in kept):
        raise Unwell
    edge = tiles.edge()
    if findings.kept or (job.root and edge.root() != job.root):
        raise Unwell
    stored = Stored(registry.log.recorder, job.predecessor)
    for entry in stored.entries(job.size, job.head + stored.first):
        edge.append(leaf_hash(entry))
    return edge.root(), kept.count
