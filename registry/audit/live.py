"""The same checks straight over the live store, with the data keys: after every test step, and in `doctor`."""

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from registry.audit import keysets
from registry.audit.checkpoints import KeptNotes, Keys, Watch, open_note, witnessed
from registry.audit.compare import check_links, compare_claims, compare_rows, counts_of
from registry.audit.findings import Code, Finding, Findings, Report
from registry.audit.layout import CHECKPOINT, REFERENCE
from registry.audit.order import Order
from registry.audit.rebuild import Rebuild
from registry.audit.roles import Roles
from registry.audit.scratch import Scratch, kept_claims
from registry.audit.tiling import Tiling
from registry.audit.verify import opener
from registry.errors import CorruptHistory, Unavailable
from registry.proof.tiles import TileStore
from registry.register import tables

if TYPE_CHECKING:
    from registry.service import Registry

_ATTEMPTS = 5


def verify_live(registry: "Registry") -> Report:
    """Check log, tree, claims (identity too), register (names too) and certificates of a live registry at one moment.

    Every checkpoint that was ever published and every tile of the newest one are compared with the events; that the
    log has gone on since is no finding.

    Raise Unavailable if other processes keep moving the register on while this one looks.
    """
    for _ in range(_ATTEMPTS):
        published = registry.tlog.published()  # before the snapshot, so that its events are in there
        frozen = registry.continuity.examine()
        with registry.log.snapshot():
            head = registry.log.head()
            registry.register.catch_up()
            with registry.register.snapshot():
                if registry.register.position == head:
                    return _verify(registry, head, published, frozen)
    raise Unavailable("登记簿一直在变动，没有取得一致的时刻", fix="稍后再试")


def _verify(registry: "Registry", head: int, published: bytes | None, frozen: str | None) -> Report:
    findings = Findings()
    if frozen:
        findings.add(Finding(code=Code.FROZEN, message=frozen))
    keys = Keys(registry.tlog.keys(), registry.tlog.cosigner_keys())
    with closing(Scratch()) as scratch:
        roles = Roles({one.code: one.parent for one in registry.catalogue.authorities})
        order, count = _tree(registry, head, published, keys, findings, roles)
        _compare(registry, head, scratch, findings, roles)
        counts = counts_of(scratch, order)
    return Report(
        what="live",
        head=head,
        root=order.root.hex(),
        pinned=False,
        checkpoint_key="",
        personal="opened",
        counts=counts,
        checkpoints=count,
        cosigned_by=witnessed(published, keys, None).by if published else (),
        totals=dict(findings.totals),
        findings=findings.kept,
    )


def _tree(
    registry: "Registry", head: int, published: bytes | None, keys: Keys, findings: Findings, roles: Roles
) -> tuple[Order, int]:
    """The tree over the stored events, and how many kept checkpoints it agrees with."""
    tlog = registry.tlog
    newest = open_note(published, keys, Code.CHECKPOINT, findings, file=CHECKPOINT) if published else None
    size = newest.size if newest else 0
    kept = KeptNotes(tlog.kept.path, keys, findings, up_to=size)
    tlog.tiles.forget()
    tiling = Tiling(_reader(tlog.tiles), findings, size)
    order = Order(findings, size, Watch(iter(kept), findings), tiling, tlog.predecessor)
    for row in registry.log.recorder.rows_by_position(0, head):
        order.take(row)
        roles.take(row)
    order.end()
    if newest:
        order.contain(newest)
    return order, kept.count


def _reader(tiles: TileStore) -> Callable[[str], bytes | None]:
    def read(name: str) -> bytes | None:
        try:
            return tiles.read(name)
        except CorruptHistory:
            return b""

    return read


def _compare(registry: "Registry", head: int, scratch: Scratch, findings: Findings, roles: Roles) -> None:
    custody, log = registry.custody, registry.log
    index = custody.vault().blind_index
    first = 0 if registry.tlog.predecessor is None else 1
    rebuild = Rebuild(
        scratch, findings, keyring=custody.keyring, key_of=opener(log), index=index, first=first, roles=roles
    )
    rebuild.take_all(log.recorder.rows_by_stream(head))
    keysets.compare(rebuild.keysets, custody.keyring, findings)
    check_links(scratch, findings)
    kept = (((scope, key), (stream,)) for scope, key, stream in kept_claims(log))
    compare_claims(scratch, kept, findings, identity=True)
    for table in tables.TABLES:
        compare_rows(scratch, table, registry.register.all_rows(table), findings)
    _check_reference(registry, rebuild, findings)


def _check_reference(registry: "Registry", rebuild: Rebuild, findings: Findings) -> None:
    adopted = rebuild.digests[-1] if rebuild.digests else ""
    if adopted != registry.catalogue.digest:
        digests: dict[str, Any] = {"expected": adopted, "found": registry.catalogue.digest}
        findings.add(Finding(code=Code.REFERENCE, message="程序的参考数据还没有采用", file=REFERENCE, **digests))
