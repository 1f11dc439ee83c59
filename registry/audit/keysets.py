"""The key sets in the log: each follows from the one before, with enough approvals; the key ring has their keys."""

from collections.abc import Iterator

from keys.errors import KeySetRefused, UnknownKey
from keys.keyring import Keyring
from keys.keyset import Approval, check_next, parse
from registry.audit.findings import Code, Finding, Findings
from registry.audit.layout import KEYS
from registry.keyset.keyset import STREAM, KeySetPublished, KeySets
from registry.log.facts import Recorded


def before(state: KeySets | None, event: Recorded[KeySetPublished]) -> Iterator[Finding]:
    """What is wrong with a key set that was published after those of the state."""
    fact = event.fact
    previous = state.published[-1].document if state else None
    approvals = tuple(Approval(one.kid, one.signature) for one in fact.approvals)
    try:
        version, wrong = check_next(previous, fact.document, approvals).version, ""
    except KeySetRefused as error:
        version, wrong = fact.version, error.message
    if wrong or version != fact.version or event.stream != STREAM:
        yield Finding(
            code=Code.KEYSET,
            message=wrong or "密钥集不在其位，或写的版本与文件不同",
            position=event.position,
            stream=event.stream,
            version=event.version,
        )


def compare(newest: KeySets | None, keyring: Keyring | None, findings: Findings) -> None:
    """The key ring has every key of the key set in force, as that says it is; it may know worse of one by now."""
    if newest is None or keyring is None:
        return
    try:
        keyset = parse(newest.published[-1].document)
    except KeySetRefused:
        return  # found where the stream is folded
    for record in keyset.keys:
        try:
            own = keyring.record(record.kid)
            same = (own.public, own.purpose, own.not_before, own.not_after) == (
                record.public,
                record.purpose,
                record.not_before,
                record.not_after,
            )
        except UnknownKey:
            same, own = False, record
        lost = record.compromised_from
        if not same or (lost is not None and (own.compromised_from is None or own.compromised_from > lost)):
            message = f"密钥 {record.kid} 与现行密钥集所写的不同"
            findings.add(Finding(code=Code.KEYSET, message=message, file=KEYS, field=record.kid))
