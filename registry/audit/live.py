"""The same checks straight over the live store, with the data keys: after every test step, and in `doctor`."""

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

from keys.errors import KeysError
from registry.audit import keysets
from registry.audit.checkpoints import KeptNotes, Watch, keys_of, open_note, witnessed
from registry.audit.compare import check_links, compare_claims, compare_rows, counts_of
from registry.audit.findings import Code, Finding, Findings, Report
from registry.audit.glance import Seen, at_everything, at_history
from registry.audit.layout import CHECKPOINT, REFERENCE
from registry.audit.leafing import Unwell
from registry.audit.order import Order
from registry.audit.pieces import Nowhere
from registry.audit.rebuild import Rebuild
from registry.audit.roles import Roles
from registry.audit.scratch import Scratch, kept_claims
from registry.audit.tiling import Tiling
from registry.audit.verify import opener
from registry.errors import CorruptHistory, RegistryError, Unavailable
from registry.proof.tiles import TileStore
from registry.register import tables

if TYPE_CHECKING:
    from registry.service import Registry

_ATTEMPTS = 5


def verify_live(registry: "Registry") -> Report:
    """Check log, tree, claims (identity too), register (names too) and certificates of a live registry at one moment.

    Every checkpoint that was ever published and every tile of the newest one are compared with the events; that the
    log has gone on since is no finding.

    Raise Unavailable if the store cannot be read, or other processes keep moving the register on while this one looks.
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


def verify_history(registry: "Registry") -> Report:
    """Replay the log of a live registry, which needs none of its keys; nothing personal is opened.

    Every leaf, made anew in log order, against every published tile and checkpoint; then every stream of every kind
    folded in order: versions without a gap, what may follow what, two officers, each in the role for it then. Claims,
    register, seals and certificates are left to `verify_live`. Raise Unavailable if the store cannot be read.
    """
    published = registry.tlog.published()  # before the snapshot, so that its events are in there
    with registry.log.snapshot():
        head, findings = registry.log.head(), Findings()
        try:
            seen = at_history(registry, head, published)
        except Unavailable:
            raise  # what cannot be read is not judged: a closer look would be at another moment
        except (Unwell, RegistryError, KeysError):
            seen = _retold_closely(registry, head, published, findings)
        return _report("history", registry, head, published, seen, findings)


def _retold_closely(registry: "Registry", head: int, published: bytes | None, findings: Findings) -> Seen:
    roles = _roles(registry)
    order, count = _tree(registry, head, published, findings, roles)
    rebuild = Rebuild(Nowhere(), findings, roles=roles)
    events = rebuild.take_all(registry.log.recorder.rows_by_stream(head))
    return Seen(order.root, count, {"events": events, "streams": rebuild.streams})


def _verify(registry: "Registry", head: int, published: bytes | None, frozen: str | None) -> Report:
    findings = Findings()
    if frozen:
        findings.add(Finding(code=Code.FROZEN, message=frozen))
    try:
        seen, rebuild = at_everything(registry, head, published)
    except Unavailable:
        raise  # what cannot be read is not judged: a closer look would be at another moment
    except (Unwell, RegistryError, KeysError):
        seen, rebuild = _looked_closely(registry, head, published, findings)
    keysets.compare(rebuild.keysets, registry.custody.keyring, findings)
    _check_reference(registry, rebuild, findings)
    return _report("live", registry, head, published, seen, findings)


def _report(
    what: Literal["live", "history"],
    registry: "Registry",
    head: int,
    published: bytes | None,
    seen: Seen,
    findings: Findings,
) -> Report:
    return Report(
        what=what,
        head=head,
        root=seen.root.hex(),
        pinned=False,
        checkpoint_key="",
        personal="opened" if what == "live" else "sealed",
        counts=seen.counts,
        checkpoints=seen.checkpoints,
        cosigned_by=witnessed(published, keys_of(registry), None).by if published else (),
        totals=dict(findings.totals),
        findings=findings.kept,
    )


def _roles(registry: "Registry") -> Roles:
    return Roles({one.code: one.parent for one in registry.catalogue.authorities})


def _looked_closely(
    registry: "Registry", head: int, published: bytes | None, findings: Findings
) -> tuple[Seen, Rebuild]:
    """Something is not as it must be: everything, one after another and laid side by side, to say what it is."""
    with closing(Scratch(registry.custody.vault().blind_index)) as scratch:
        roles = _roles(registry)
        order, count = _tree(registry, head, published, findings, roles)
        rebuild = _compare(registry, head, scratch, findings, roles)
        return Seen(order.root, count, counts_of(scratch, order)), rebuild


def _tree(
    registry: "Registry", head: int, published: bytes | None, findings: Findings, roles: Roles
) -> tuple[Order, int]:
    """The tree over the stored events, and how many kept checkpoints it agrees with."""
    tlog, keys = registry.tlog, keys_of(registry)
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


def _compare(registry: "Registry", head: int, scratch: Scratch, findings: Findings, roles: Roles) -> Rebuild:
    custody, log = registry.custody, registry.log
    first = 0 if registry.tlog.predecessor is None else 1
    rebuild = Rebuild(scratch, findings, keyring=custody.keyring, key_of=opener(log), first=first, roles=roles)
    rebuild.take_all(log.recorder.rows_by_stream(head))
    check_links(scratch, findings)
    kept = (((scope, key), (stream,)) for scope, key, stream in kept_claims(log))
    compare_claims(scratch, kept, findings, identity=True)
    for table in tables.TABLES:
        compare_rows(scratch, table, registry.register.all_rows(table), findings)
    return rebuild


def _check_reference(registry: "Registry", rebuild: Rebuild, findings: Findings) -> None:
    adopted = rebuild.digests[-1] if rebuild.digests else ""
    if adopted != registry.catalogue.digest:
        digests: dict[str, Any] = {"expected": adopted, "found": registry.catalogue.digest}
        findings.add(Finding(code=Code.REFERENCE, message="程序的参考数据还没有采用", file=REFERENCE, **digests))
