"""Which keys count is decided by documents in the log; the key ring in the key folder follows the newest of them.

    rotate / compromise / hand_over -> a draft -> approvals -> publish: checked and appended in one unit -> follow

Until people have taken over (`keys ceremony hand-over`) the one approver's key lies in the key folder, and approves at
once. After that a draft waits for approvals. A key made for a draft counts when its set is in force, and until then
the old one signs. After a crash between append and `follow` the next opening of the folder follows.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from keys import keychange
from keys.ceremony import Draft
from keys.custody import Custody
from keys.errors import KeysError, KeySetRefused
from keys.keyset import Approval, Approver, KeySet, SignedKeySet, approve, canonical, check_next, parse
from keys.signing import KeyState, Purpose
from registry.authorising import Authorising
from registry.errors import BadInput, Refused, RegistryError
from registry.keyset import keyset as published
from registry.keyset.keyset import KEYSETS, STREAM, KeySetPublished
from registry.log.log import Log
from registry.log.unit import Unit
from registry.permissions import Permission

SYSTEM = "system"
LABEL = "本机密钥文件夹（未离线）"


class KeyPublishing:
    """Publishes the key sets of one registry. `custody` is of the folder that follows them."""

    def __init__(self, log: Log, custody: Custody, authorising: Authorising) -> None:
        self.log, self.custody, self.authorising = log, custody, authorising

    # reading

    def chain(self) -> tuple[SignedKeySet, ...]:
        """Every document that has been in force, oldest first; none in a registry from before key sets."""
        found = self.log.current(KEYSETS, STREAM)
        return tuple(_signed(one) for one in found.published) if found else ()

    def newest(self) -> SignedKeySet | None:
        """The document in force."""
        return next(reversed(self.chain()), None)

    # writing

    def begin(self) -> None:
        """Publish version 1, with the keys that are there and one approver in the key folder, if there is none yet."""
        if self.newest() is not None:
            return
        key = cast("Ed25519PublicKey", self.custody.make_approver().public.key)
        approver, now = Approver.of(key, LABEL, offline=False), self._now()
        draft = self._drafted(keychange.first(self.custody.keyring.records, approver, now), None)
        try:
            self.log.transact(lambda unit: self._put(unit, draft), actor=SYSTEM)
        except KeySetRefused:  # another process began
            if self.newest() is None:
                raise
        self.follow()

    def rotate(self, purpose: Purpose, *, officer: str) -> Draft:
        """Make a new key for a purpose, and draft that the old one is retired.

        What every method here drafts is in force when it returns if nobody else must approve (`Draft.missing`).
        """
        current = self._current(officer)
        fresh = self.custody.make(purpose, self._now())
        return self._propose(keychange.rotated(current, fresh, self._now()), current, officer)

    def compromise(self, kid: str, position: int, *, officer: str) -> Draft:
        """Draft that a key counts only for leaves before a position; if it was in use, with a new key in its place.

        Raise UnknownKey, BadInput for a position beyond the log, Refused where it is known to be so already.
        """
        current = self._current(officer)
        record = current.key(kid)
        if not 0 <= position <= self.log.head():
            raise BadInput(f"日志位置须在 0 与 {self.log.head()} 之间", fix="写密钥最后可信时日志的大小")
        if record.compromised_from is not None and record.compromised_from <= position:
            raise Refused(f"密钥 {kid} 已自位置 {record.compromised_from} 起作废", fix="位置只能提前，不能推后")
        in_use = record.state is KeyState.ACTIVE
        fresh = self.custody.make(record.purpose, self._now()) if in_use else None
        return self._propose(keychange.compromised(current, kid, position, fresh, self._now()), current, officer)

    def hand_over(self, threshold: int, approvers: Sequence[Approver], *, officer: str) -> Draft:
        """Draft other approvers and another threshold. Those of now must approve, and as many of the new ones."""
        current = self._current(officer)
        return self._propose(keychange.handed_over(current, threshold, approvers, self._now()), current, officer)

    def publish(self, draft: Draft, *, officer: str) -> KeySet:
        """Put a draft into force; the one in force again changes nothing.

        Raise KeySetRefused if it does not follow the one in force or lacks approvals, KeyStoreBroken if the private
        key of a new key is not in this folder, Forbidden.
        """

        def body(unit: Unit) -> KeySet:
            self.authorising.require(officer, Permission.MANAGE_KEYS, None)
            keyset = parse(draft.document)
            self._require_private(keyset)
            self._put(unit, draft)
            return keyset

        keyset = self.log.transact(body, actor=officer)
        self.follow()
        return keyset

    def follow(self) -> None:
        """Bring the key folder in line with the log; nothing is to be done in a registry without a key set."""
        if self.newest() is not None:
            self.custody.follow(lambda: self._in_force().keys)
            self.custody.discard_approvers({one.kid for one in self._in_force().approvers})

    def catch_up(self) -> None:
        """Follow when a folder is opened. A copy that answers nothing is left as it is: whoever asks it is told why."""
        with suppress(RegistryError, KeysError):
            self.follow()

    def _now(self) -> datetime:
        return self.log.clock().astimezone(UTC).replace(microsecond=0)

    def _current(self, officer: str) -> KeySet:
        self.authorising.require(officer, Permission.MANAGE_KEYS, None)
        self.begin()
        return self._in_force()

    def _in_force(self) -> KeySet:
        newest = self.newest()
        assert newest is not None
        return parse(newest.document)

    def _drafted(self, keyset: KeySet, before: KeySet | None) -> Draft:
        """The draft, approved by the key in the folder where that is an approver's."""
        draft = Draft(canonical(before) if before else None, canonical(keyset))
        asked = {one.kid for one in (*(before.approvers if before else ()), *keyset.approvers)}
        own = [self.custody.approver(kid) for kid in self.custody.approver_kids() if kid in asked]
        parse(draft.document)
        return draft.with_approvals(approve(one, draft.document) for one in own)

    def _propose(self, keyset: KeySet, before: KeySet, officer: str) -> Draft:
        draft = self._drafted(keyset, before)
        if draft.missing() == (0, 0):
            self.publish(draft, officer=officer)
        return draft

    def _require_private(self, keyset: KeySet) -> None:
        known = {one.kid for one in self.custody.keyring.records}
        for record in keyset.keys:
            if record.state is KeyState.ACTIVE and record.kid not in known:
                self.custody.require_private(record)

    @staticmethod
    def _put(unit: Unit, draft: Draft) -> None:
        sets = unit.state(KEYSETS, STREAM)
        newest = sets.published[-1].document if sets else None
        if newest == draft.document:
            return
        keyset = check_next(newest, draft.document, draft.approvals)
        approvals = tuple(published.Approval(one.kid, one.signature) for one in draft.approvals)
        fact = KeySetPublished(version=keyset.version, document=draft.document, approvals=approvals)
        unit.record(KEYSETS, STREAM, [fact])


def _signed(one: KeySetPublished) -> SignedKeySet:
    return SignedKeySet(one.document, tuple(Approval(each.kid, each.signature) for each in one.approvals))
