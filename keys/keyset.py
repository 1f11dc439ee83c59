"""Which keys count: a document that names them, approved by a threshold of people, one version after the other.

The document is text, and the text is what is signed (purpose "key-set/1"), hashed and logged: JSON with sorted members,
no blanks, nothing escaped that need not be, in UTF-8. It is read in that one spelling only:

    type "key-set/1" · version 1, 2, … · created (UTC, whole seconds) · previous (SHA-256 of the text before, or null)
    threshold · approvers: [kid, label, offline, kty, crv, x] · keys: as in the JWK Set, with compromised_from or null

The rule is that of the root role of The Update Framework (specification, section 5.3): the people named in the version
before must approve, as many as it says, and so must those named in the new one. `check_next` numbers its steps.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, Self

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from keys import jwk
from keys.errors import KeySetRefused, KeyStoreBroken, SignatureInvalid
from keys.keyring import KeyRecord, Keyring
from keys.signing import KeyState, PublicKey, Purpose, Signer, sign, verify

MOST_BYTES = 1_000_000
MOST_APPROVERS = 32
_SECONDS = "%Y-%m-%dT%H:%M:%SZ"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Approver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One person's public key (Ed25519, RFC 8037). `offline` says that it lies outside every key folder."""

    kid: str
    label: str
    offline: bool
    x: str
    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"

    @classmethod
    def of(cls, key: Ed25519PublicKey, label: str, *, offline: bool) -> Self:
        """Name a public key by its person."""
        return cls(jwk.kid_of(key), label.strip(), offline, jwk.to_members(key)["x"])

    @property
    def public(self) -> PublicKey:
        """The key, for approvals and nothing else. Raise KeyStoreBroken if it is none."""
        members = {"kty": self.kty, "crv": self.crv, "x": self.x}
        return PublicKey.of(jwk.from_members(members), Purpose.KEY_SET)


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signature of one approver over the text of a document."""

    kid: str
    signature: bytes


class SignedKeySet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document with the approvals under which it was published."""

    document: str
    approvals: tuple[Approval, ...]


class KeySet(msgspec.Struct, frozen=True):
    """What a document says."""

    version: int
    created: datetime
    previous: str | None
    threshold: int
    approvers: tuple[Approver, ...]
    keys: tuple[KeyRecord, ...]

    def key(self, kid: str) -> KeyRecord:
        """One of the keys. Raise UnknownKey."""
        return Keyring(self.keys).record(kid)


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["key-set/1"]
    version: int
    created: str
    previous: str | None
    threshold: int
    approvers: tuple[Approver, ...]
    keys: list[dict[str, Any]]


def canonical(keyset: KeySet) -> str:
    """The text of a document: the one spelling in which it is approved and read."""
    own = [key | {"compromised_from": key.get("compromised_from")} for key in Keyring(keyset.keys).to_jwks()["keys"]]
    written = {
        "type": "key-set/1",
        "version": keyset.version,
        "created": keyset.created.astimezone(UTC).strftime(_SECONDS),
        "previous": keyset.previous,
        "threshold": keyset.threshold,
        "approvers": [msgspec.to_builtins(one) for one in keyset.approvers],
        "keys": own,
    }
    return json.dumps(written, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(document: str) -> str:
    """The SHA-256 of a document in hex: what the next one names, and what approvers compare."""
    return hashlib.sha256(document.encode()).hexdigest()


def parse(document: str) -> KeySet:
    """Read a document and check it in itself. Raise KeySetRefused for any other spelling, and for what cannot be."""
    try:
        if len(document.encode()) > MOST_BYTES:
            raise KeySetRefused(f"密钥集文件超过 {MOST_BYTES} 字节")
        written = msgspec.json.decode(document.encode(), type=_Written)
        created = datetime.strptime(written.created, _SECONDS).replace(tzinfo=UTC)
        keys = Keyring.from_jwks({"keys": written.keys}).records
        keyset = KeySet(written.version, created, written.previous, written.threshold, written.approvers, keys)
        same = canonical(keyset) == document
    except (msgspec.MsgspecError, ValueError, KeyStoreBroken) as error:  # ValueError: no such day, half a character
        raise KeySetRefused(f"密钥集文件无法读取：{error}") from error
    if not same:
        raise KeySetRefused("密钥集文件的写法不规范（须为排序、无空白的 JSON）", fix="请勿改动文件，重新取得原件")
    _check_numbers(keyset)
    _check_approvers(keyset)
    _check_keys(keyset)
    return keyset


def approve(signer: Signer, document: str) -> Approval:
    """Approve a document. Raise KeyNotUsable for a key of another purpose, KeySetRefused for what is no document."""
    parse(document)
    return Approval(signer.kid, sign(signer, Purpose.KEY_SET, document.encode()))


def check_next(previous: str | None, document: str, approvals: Sequence[Approval]) -> KeySet:
    """Return what a document says if it may come into force after the previous one (None: it is the first).

    (1) it is well formed; (2) its version is the next one; (3) it names the previous text by its hash; (4) no key of
    the previous is lost, altered, or brought back; (5) every approval is an approver's, and holds; (6) as many
    different approvers of the previous one approve as that asks for; (7) and of its own. Raise KeySetRefused.
    """
    keyset, before = parse(document), parse(previous) if previous is not None else None  # (1)
    version = before.version + 1 if before else 1
    if keyset.version != version:  # (2)
        raise KeySetRefused(f"密钥集版本应为 {version}，实为 {keyset.version}", fix="以现行密钥集为基础重新拟制")
    if previous is not None and keyset.previous != digest_of(previous):  # (3)
        raise KeySetRefused("该密钥集不是接在现行密钥集之后的", fix="以现行密钥集为基础重新拟制")
    if before:
        _check_lives(before, keyset)  # (4)
    known = {one.kid: one for one in (*(before.approvers if before else ()), *keyset.approvers)}
    approving = {_checked(known, document, approval) for approval in approvals}  # (5)
    if before:
        _require(before, approving, "现行")  # (6)
    _require(keyset, approving, "新")  # (7)
    return keyset


def check_chain(sets: Sequence[SignedKeySet], pinned: str | None = None) -> KeySet:
    """Check documents one after the other, from the first version or from a pinned text on; return the newest.

    A set that is the pinned one itself is passed over. Raise KeySetRefused for the first that may not follow.
    """
    newest = parse(pinned) if pinned is not None else None
    for one in sets:
        if newest is None or one.document != pinned:
            newest, pinned = check_next(pinned, one.document, one.approvals), one.document
    if newest is None:
        raise KeySetRefused("文件中没有密钥集")
    return newest


def missing(previous: KeySet | None, keyset: KeySet, approvals: Iterable[Approval]) -> tuple[int, int]:
    """How many approvers of the previous set and of the new one still have to approve. No signature is looked at."""
    given = {one.kid for one in approvals}
    old = max(0, previous.threshold - len(given & {one.kid for one in previous.approvers})) if previous else 0
    return old, max(0, keyset.threshold - len(given & {one.kid for one in keyset.approvers}))


def _checked(known: dict[str, Approver], document: str, approval: Approval) -> str:
    if approval.kid not in known:
        raise KeySetRefused(f"{approval.kid} 不是批准人，其签名不算数", fix="去掉该批准文件后重试")
    try:
        verify(known[approval.kid].public, Purpose.KEY_SET, document.encode(), approval.signature)
    except SignatureInvalid:
        name = known[approval.kid].label
        raise KeySetRefused(f"{name}（{approval.kid}）的批准签名与文件不符", fix="请其对本文件重新签名") from None
    return approval.kid


def _require(keyset: KeySet, approving: set[str], which: str) -> None:
    count = len(approving & {one.kid for one in keyset.approvers})
    if count < keyset.threshold:
        wanted = f"{which}密钥集须有 {keyset.threshold} 名不同的批准人批准，只有 {count} 名"
        raise KeySetRefused(wanted, fix="请其余批准人用 keys ceremony sign 批准后再发布")


def _check_numbers(keyset: KeySet) -> None:
    if keyset.version < 1 or (keyset.version == 1) != (keyset.previous is None):
        raise KeySetRefused("密钥集版本从 1 起；第 1 版没有前一版，其余各版须写明前一版的摘要")
    if keyset.previous is not None and not _DIGEST.fullmatch(keyset.previous):
        raise KeySetRefused("前一版的摘要应为 64 位小写十六进制")
    if not 1 <= keyset.threshold <= len(keyset.approvers) <= MOST_APPROVERS:
        count = f"门槛 {keyset.threshold}，批准人 {len(keyset.approvers)} 名"
        raise KeySetRefused(f"{count}：门槛须在 1 与批准人数之间，批准人至多 {MOST_APPROVERS} 名")


def _check_approvers(keyset: KeySet) -> None:
    for one in keyset.approvers:
        if not 1 <= len(one.label) <= 100 or one.label != one.label.strip() or not one.label.isprintable():
            raise KeySetRefused(f"批准人 {one.kid} 须有 1 至 100 字的姓名或职务，首尾无空白")
        try:
            own = one.public.kid
        except KeyStoreBroken as error:
            raise KeySetRefused(f"批准人 {one.label} 的公钥无效：{error.message}") from error
        if own != one.kid:
            raise KeySetRefused(f"批准人 {one.label} 的编号 {one.kid} 与公钥不符（应为 {own}）")
    if len({one.kid for one in keyset.approvers}) < len(keyset.approvers):
        raise KeySetRefused("同一把批准人密钥写了两次")
    if len({one.label for one in keyset.approvers}) < len(keyset.approvers):
        raise KeySetRefused("两把批准人密钥同名：一人只有一把", fix="写明不同的人")


def _check_keys(keyset: KeySet) -> None:
    approving = {one.kid for one in keyset.approvers}
    for record in keyset.keys:
        if record.purpose is Purpose.KEY_SET or record.kid in approving:
            raise KeySetRefused(f"{record.kid} 是批准人的密钥，不能用于签发")
        compromised = record.state is KeyState.COMPROMISED
        if compromised != (record.compromised_from is not None) or (record.compromised_from or 0) < 0:
            raise KeySetRefused(f"密钥 {record.kid}：已泄露的须写明日志位置（不小于 0），其余的不得写")
        if record.not_before >= record.not_after:
            raise KeySetRefused(f"密钥 {record.kid} 的有效期为空")


def _check_lives(before: KeySet, keyset: KeySet) -> None:
    """A key stays what it was; active may become retired or compromised, retired compromised, and nothing goes back."""
    if used := {one.kid for one in before.approvers} & {one.kid for one in keyset.keys}:
        raise KeySetRefused(f"{min(used)} 是批准人的密钥，不能用于签发")
    named = {one.kid: one.x for one in before.approvers}
    if moved := [one.kid for one in keyset.approvers if named.get(one.kid, one.x) != one.x]:
        raise KeySetRefused(f"批准人编号 {moved[0]} 换成了另一把公钥")  # else the new one would approve as the old
    now = {record.kid: record for record in keyset.keys}
    for old in before.keys:
        new = now.get(old.kid)
        if new is None:
            raise KeySetRefused(f"密钥 {old.kid} 不见了；停用的密钥也要保留，以便核验旧证书")
        if _bare(old) != _bare(new):
            raise KeySetRefused(f"密钥 {old.kid} 的用途、公钥或有效期被改动")
        if _ORDER.index(new.state) < _ORDER.index(old.state):
            raise KeySetRefused(f"密钥 {old.kid} 已是 {old.state.value}，不能改回 {new.state.value}")
        if old.compromised_from is not None and (new.compromised_from or 0) > old.compromised_from:
            raise KeySetRefused(f"密钥 {old.kid} 自位置 {old.compromised_from} 起已泄露，位置只能提前，不能推后")


_ORDER = (KeyState.ACTIVE, KeyState.RETIRED, KeyState.COMPROMISED)


def _bare(record: KeyRecord) -> KeyRecord:
    return msgspec.structs.replace(record, state=KeyState.ACTIVE, compromised_from=None)
