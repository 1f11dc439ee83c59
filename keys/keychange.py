"""The next key set document: what a rotation, a compromise or a hand-over makes of the one in force, and in words."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from keys.errors import KeySetRefused
from keys.keyring import KeyRecord
from keys.keyset import Approver, KeySet, canonical, digest_of
from keys.signing import KeyState

ZH = {KeyState.ACTIVE: "在用", KeyState.RETIRED: "已停用", KeyState.COMPROMISED: "已泄露"}
_KEPT = {True: ("离线保管", "kept off line"), False: ("存于密钥文件夹，未离线", "in the key folder, not off line")}


class Difference(NamedTuple):
    """One difference between two documents, in words."""

    zh: str
    en: str


def first(keys: Iterable[KeyRecord], approver: Approver, now: datetime) -> KeySet:
    """Version 1: the keys that are there, and one approver."""
    return KeySet(1, now.replace(microsecond=0), None, 1, (approver,), tuple(keys))


def rotated(current: KeySet, fresh: KeyRecord, now: datetime) -> KeySet:
    """With a new key for its purpose; the one in use until now is retired, and verifies for ever."""
    return _next(current, now, keys=(*retiring(current.keys, fresh), fresh))


def retiring(keys: Iterable[KeyRecord], fresh: KeyRecord) -> Iterator[KeyRecord]:
    """The keys with those retired that were active for the purpose of a fresh one."""
    for one in keys:
        active = one.purpose is fresh.purpose and one.state is KeyState.ACTIVE
        yield msgspec.structs.replace(one, state=KeyState.RETIRED) if active else one


def compromised(current: KeySet, kid: str, position: int, fresh: KeyRecord | None, now: datetime) -> KeySet:
    """With a key compromised from a leaf index on, and a new one in its place if it was in use. Raise UnknownKey."""
    lost = msgspec.structs.replace(current.key(kid), state=KeyState.COMPROMISED, compromised_from=position)
    keys = tuple(lost if one.kid == kid else one for one in current.keys)
    return _next(current, now, keys=(*keys, fresh) if fresh else keys)


def handed_over(current: KeySet, threshold: int, approvers: Sequence[Approver], now: datetime) -> KeySet:
    """With other approvers and another threshold; the keys stay."""
    return _next(current, now, threshold=threshold, approvers=tuple(approvers))


def _next(current: KeySet, now: datetime, **changes: object) -> KeySet:
    before = digest_of(canonical(current))
    fields = {"version": current.version + 1, "created": now.replace(microsecond=0), "previous": before}
    return msgspec.structs.replace(current, **fields | changes)


def differences(before: KeySet | None, after: KeySet) -> list[Difference]:
    """What a document changes, for those who are asked to approve it; for the first one everything.

    Raise KeySetRefused for a document that does not follow that one: a smaller change could be shown than is signed.
    """
    if after.previous != (digest_of(canonical(before)) if before else None):
        raise KeySetRefused("该密钥集不是接在所给的前一版之后的", fix="取得正确的前一版")
    old = {one.kid: one for one in before.keys} if before else {}
    said = [one for key in after.keys for one in _of_key(old.get(key.kid), key)]
    return said + list(_of_approvers(before, after))


def _of_key(old: KeyRecord | None, new: KeyRecord) -> Iterator[Difference]:
    what = f"{new.kid} ({new.purpose.value}, {new.algorithm.value})"
    life = f"{new.not_before:%Y-%m-%d} - {new.not_after:%Y-%m-%d}"
    zh, en = ZH[new.state], new.state.value
    if new.compromised_from is not None:
        zh, en = f"{zh}，自日志位置 {new.compromised_from} 起", f"{en} from log position {new.compromised_from}"
    if old is None:
        yield Difference(f"新增密钥 {what}，{zh}，{life}", f"new key {what}, {en}, {life}")
    elif old != new:
        since = "" if old.compromised_from is None else f" {old.compromised_from}"
        yield Difference(f"密钥 {what}：{ZH[old.state]}{since} → {zh}", f"key {what}: {old.state.value}{since} -> {en}")


def _of_approvers(before: KeySet | None, after: KeySet) -> Iterator[Difference]:
    old = before.approvers if before else ()
    for one in after.approvers:
        if one not in old:
            zh, en = _KEPT[one.offline]
            yield Difference(
                f"新增批准人 {one.label}（{one.kid}），{zh}", f"new approver {one.label} ({one.kid}), {en}"
            )
    for one in old:
        if one not in after.approvers:
            yield Difference(f"批准人 {one.label}（{one.kid}）不再批准", f"approver {one.label} ({one.kid}) leaves")
    if before is None or (before.threshold, len(old)) != (after.threshold, len(after.approvers)):
        zh = f"须由 {len(after.approvers)} 名批准人中的 {after.threshold} 名批准"
        yield Difference(zh, f"{after.threshold} of {len(after.approvers)} approvers must approve")
