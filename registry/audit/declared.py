"""What an export says of itself, and what stands beside it, against what was found: manifest, live log."""

from typing import TYPE_CHECKING, Any

from registry.audit.compare import compare_claims
from registry.audit.files import ExportFiles
from registry.audit.findings import Code, Finding, Findings
from registry.audit.layout import EVENTS, IDENTITY, MANIFEST, REFERENCE, Manifest
from registry.audit.order import Order
from registry.audit.scratch import Scratch, kept_claims
from registry.errors import CorruptHistory
from registry.log.changes import Claim
from registry.log.mapper import decode

if TYPE_CHECKING:
    from registry.service import Registry


def check_manifest(
    manifest: Manifest,
    order: Order,
    counts: dict[str, int],
    digests: tuple[str, ...],
    files: ExportFiles,
    findings: Findings,
) -> None:
    """Head, time and counts of the manifest are those of the content; the reference data is what was adopted last."""
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


def check_beside(registry: "Registry", order: Order, scratch: Scratch, findings: Findings) -> None:
    """The live log begins with what was exported, and holds its identity claims; all claims, if it has not gone on."""
    live = Order(Findings(), predecessor=registry.tlog.predecessor)
    for row in registry.log.recorder.rows_by_position(0, order.size):
        live.take(row)
    if (live.size, live.root) != (order.size, order.root):
        roots: dict[str, Any] = {"expected": live.root.hex(), "found": order.root.hex()}
        findings.add(Finding(code=Code.LIVE_DIFFERS, message="现存日志的开头不是这份导出", file=EVENTS, **roots))
    with registry.log.snapshot():
        if registry.log.head() == order.size:
            kept = (((scope, key), (stream,)) for scope, key, stream in kept_claims(registry.log, identity=False))
            compare_claims(scratch, kept, findings, identity=False)
    _check_identities(registry, scratch, findings)


def _check_identities(registry: "Registry", scratch: Scratch, findings: Findings) -> None:
    for (scope, index), (stream,), _ in scratch.claims((IDENTITY,)):
        found = registry.log.recorder.claimed(Claim(scope, index))
        if found != stream:
            code, message = Code.CLAIM_DIFFERS if found else Code.CLAIM_MISSING, "现存的证件索引与事实不符"
            findings.add(
                Finding(code=code, message=message, stream=stream, field=IDENTITY, expected=stream, found=found)
            )
