"""The proof of one event: that exactly these stored bytes are a leaf of the log that was signed."""

from typing import TYPE_CHECKING

from registry.audit.layout import write_event
from registry.errors import NotFound
from registry.proof.kept import size_of
from registry.proof.tlog_proof import TlogProof
from registry.titles.state import Certificate

if TYPE_CHECKING:
    from registry.service import Registry


def prove_event(registry: "Registry", position: int) -> TlogProof:
    """The proof that a stored event is in the log, in the oldest checkpoint that has it; the same whenever it is asked.

    The extra data is the event's line as in an export (events.jsonl), from which the leaf entry is made again. Raise
    NotFound for an event that no published checkpoint covers yet.
    """
    index = registry.tlog.index_of(position)
    note = registry.tlog.checkpoint_covering(index)
    row = next(iter(registry.log.recorder.rows_by_position(position - 1, position)), None)
    if note is None or row is None:
        raise NotFound(f"事件 {position} 还没有进入已发布的检查点", fix="稍后再试")
    size = size_of(note)
    return TlogProof(index, registry.tlog.inclusion(index, size), note, write_event(row).removesuffix(b"\n"))


def prove_certificate(registry: "Registry", certificate: Certificate) -> TlogProof:
    """The proof of the event by which a certificate was signed. Raise NotFound for one that was not."""
    if not certificate.signed_position:
        raise NotFound(f"证书 {certificate.code} 尚未签发", fix="先签发")
    return prove_event(registry, certificate.signed_position)
