"""The same checks straight over the live store, with the data keys: after every test step, and in `doctor`."""

from contextlib import closing
from typing import TYPE_CHECKING, Any

from registry.audit.compare import check_links, compare_claims, compare_rows, counts_of
from registry.audit.findings import Code, Finding, Findings, Report
from registry.audit.layout import REFERENCE
from registry.audit.order import Order
from registry.audit.rebuild import Rebuild
from registry.audit.scratch import Scratch, kept_claims
from registry.audit.verify import opener
from registry.errors import Unavailable
from registry.register import tables

if TYPE_CHECKING:
    from registry.service import Registry

_ATTEMPTS = 5


def verify_live(registry: "Registry") -> Report:
    """Check log, claims (identity too), register (names too) and certificates of a live registry, as of one moment.

    Raise Unavailable if other processes keep moving the register on while this one looks.
    """
    for _ in range(_ATTEMPTS):
        with registry.log.snapshot():
            head = registry.log.head()
            registry.register.catch_up()
            with registry.register.snapshot():
                if registry.register.position == head:
                    return _verify(registry, head)
    raise Unavailable("登记簿一直在变动，没有取得一致的时刻", fix="稍后再试")


def _verify(registry: "Registry", head: int) -> Report:
    findings = Findings()
    with closing(Scratch()) as scratch:
        order = Order(findings)
        for row in registry.log.recorder.rows_by_position(0, head):
            order.take(row)
        _compare(registry, head, scratch, findings)
        counts = counts_of(scratch, order)
    return Report(
        what="live",
        head=head,
        root=order.root.hex(),
        pinned=False,
        checkpoint_key="",
        personal="opened",
        counts=counts,
        totals=dict(findings.totals),
        findings=findings.kept,
    )


def _compare(registry: "Registry", head: int, scratch: Scratch, findings: Findings) -> None:
    custody, log = registry.custody, registry.log
    index = custody.vault().blind_index
    rebuild = Rebuild(scratch, findings, keyring=custody.keyring, key_of=opener(log), index=index)
    rebuild.take_all(log.recorder.rows_by_stream(head))
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
