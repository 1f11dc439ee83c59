"""What is done away from the machine that issues: an approver's key, the look at a draft, the approval of it.

A key file is the private key (Ed25519, PKCS#8) sealed under its person's own passphrase; beside it lies the public part
that the bureau names in the key set. k-of-n is k approvals by different persons: no key is ever put together from
parts.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from keys.errors import KeyNotUsable, KeySetRefused, KeyStoreBroken, KeyStoreExists
from keys.files import read_private, read_public, write_private
from keys.keychange import Difference, differences
from keys.keyset import Approval, Approver, KeySet, SignedKeySet, approve, digest_of, missing, parse
from keys.passphrase import require, seal, unseal
from keys.signing import Purpose, Signer


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document on its way: the text that it follows, its own text, and the approvals so far."""

    previous: str | None
    document: str
    approvals: tuple[Approval, ...] = ()

    @property
    def digest(self) -> str:
        """The SHA-256 of the document: what approvers tell each other by another way."""
        return digest_of(self.document)

    def changes(self) -> list[Difference]:
        """What it changes. Raise KeySetRefused if it is malformed or does not follow the text that it names."""
        before, after = self.read()
        return differences(before, after)

    def missing(self) -> tuple[int, int]:
        """How many approvers of the set before and of the new one still have to approve."""
        return missing(*self.read(), self.approvals)

    def read(self) -> tuple[KeySet | None, KeySet]:
        """The set before and the new one. Raise KeySetRefused if either is malformed."""
        return parse(self.previous) if self.previous is not None else None, parse(self.document)

    def with_approvals(self, approvals: Iterable[Approval]) -> "Draft":
        """The draft with further approvals; who approves twice is counted once."""
        by_kid = {one.kid: one for one in (*approvals, *self.approvals)}
        return msgspec.structs.replace(self, approvals=tuple(by_kid[kid] for kid in sorted(by_kid)))

    @property
    def signed(self) -> SignedKeySet:
        """The document with its approvals, as it is published."""
        return SignedKeySet(self.document, self.approvals)


class ApprovalFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An approval as it comes back from an approver: it names the document that it is for."""

    digest: str
    approval: Approval


def make_approver(path: Path, passphrase: bytes, label: str) -> Approver:
    """Make an approver's key file with mode 0600, sealed under a passphrase; return the public part.

    Raise KeyStoreExists if the file is there, PassphraseMissing, and KeySetRefused for a label that names nobody.
    """
    if path.exists():
        raise KeyStoreExists(f"{path} 已存在，密钥从不覆盖", fix="请选用新的文件名")
    if not 1 <= len(label.strip()) <= 100 or not label.isprintable():
        raise KeySetRefused("批准人须有 1 至 100 字的姓名或职务")
    key = Ed25519PrivateKey.generate()
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    write_private(path, seal(der, require(passphrase)))
    return Approver.of(key.public_key(), label, offline=True)


def open_approver(path: Path, passphrase: bytes) -> Signer:
    """Open an approver's key file. Raise LoosePermissions, WrongPassphrase, or KeyStoreBroken if it is none."""
    der = unseal(read_private(path), passphrase)
    try:
        key = load_der_private_key(der, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyStoreBroken(f"{path} 不是批准人的密钥文件") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyStoreBroken(f"{path} 不是批准人的密钥文件")
    return Signer(key, Purpose.KEY_SET)


def approve_draft(signer: Signer, draft: Draft) -> ApprovalFile:
    """Approve a draft. Raise KeySetRefused for one that does not follow its text, KeyNotUsable for a stranger's key."""
    draft.changes()
    before, after = draft.read()
    if signer.kid not in {one.kid for one in (*(before.approvers if before else ()), *after.approvers)}:
        raise KeyNotUsable(f"密钥 {signer.kid} 不是这两版密钥集的批准人", fix="核对密钥文件")
    return ApprovalFile(draft.digest, approve(signer, draft.document))


def combine(draft: Draft, approvals: Iterable[ApprovalFile]) -> Draft:
    """Put approvals that came back into a draft. Raise KeySetRefused for the approval of another document."""
    files = list(approvals)
    for one in files:
        if one.digest != draft.digest:
            raise KeySetRefused(f"{one.approval.kid} 批准的是另一份文件", fix="请其对本文件重新签名")
    return draft.with_approvals(one.approval for one in files)


def read_draft(path: Path) -> Draft:
    """Read a draft. Raise KeySetRefused if it is none."""
    found: Draft = _read(path, Draft, "草案")
    return found


def read_approval(path: Path) -> ApprovalFile:
    """Read an approval. Raise KeySetRefused if it is none."""
    found: ApprovalFile = _read(path, ApprovalFile, "批准文件")
    return found


def read_approver(path: Path) -> Approver:
    """Read the public part of an approver's key. Raise KeySetRefused if it is none."""
    found: Approver = _read(path, Approver, "批准人公钥文件")
    return found


def read_chain(path: Path) -> list[SignedKeySet]:
    """Read one published document or a list of them, oldest first. Raise KeySetRefused if it is neither."""
    found = _read(path, SignedKeySet | list[SignedKeySet], "密钥集文件")
    return found if isinstance(found, list) else [found]


def text_of(value: Draft | ApprovalFile | Approver | SignedKeySet | list[SignedKeySet]) -> bytes:
    """How any of these is written to a file."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _read(path: Path, kind: Any, name: str) -> Any:
    try:
        return msgspec.json.decode(read_public(path), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise KeySetRefused(f"{path} 不是{name}：{error}") from error
