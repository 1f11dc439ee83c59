"""Open a key folder with one passphrase, hand out signers, make new keys, and follow the key set that is in force.

`folder.py` says what lies where. Every file has mode 0600 and the folder 0700; a looser secret file is refused. The
folder must not be a mount point itself: it is made whole beside its place and then renamed, so that there is a key
store or none.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Self

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from keys import passphrase as sealing
from keys.backends import TokenSettings
from keys.errors import KeyNotUsable, KeyStoreBroken, KeyStoreExists
from keys.files import check_private_folder, read_private, read_public, sync_folder, write_private
from keys.folder import (
    Secrets,
    check_root,
    fill,
    key_path,
    make_approver,
    make_key,
    open_key,
    open_vault,
    read_certificate,
    read_key,
)
from keys.keyring import KeyRecord, Keyring
from keys.passphrase import read_passphrase
from keys.signing import KeyState, Purpose, RawPrivateKey, Signer
from keys.vault import Vault

__all__ = ["Custody", "DocumentSigner", "PublicStore", "public_only", "read_passphrase"]


@dataclass(frozen=True, slots=True)
class DocumentSigner:
    """What a PDF signature needs: the private key, its certificate, and the certificates above it (the root)."""

    key: EllipticCurvePrivateKey
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class PublicStore:
    """What a key folder shows without a passphrase. PEM is bytes; the chain has issuing certificates, then the root."""

    keyring: Keyring
    root_certificate_pem: bytes
    chain_pem: bytes


def public_only(folder: Path) -> PublicStore:
    """Read the public part of a key folder. Raise KeyStoreBroken if it is missing or wrong."""
    keyring = Keyring.load(folder / "keys.json")
    root = read_public(folder / "root.pem")
    own = [record for record in keyring.records if record.purpose is Purpose.DOCUMENT]
    own.sort(key=lambda record: (record.state is KeyState.ACTIVE, record.not_before), reverse=True)
    issuing = [read_public(folder / f"issuing-{record.kid}.pem") for record in own]
    return PublicStore(keyring, root, b"".join([*issuing, root]))


class Custody:
    """An open key folder. Private keys are decrypted when first used; a rotation by another process is seen at once."""

    def __init__(self, folder: Path, secrets: Secrets) -> None:
        self._folder, self._secrets = folder, secrets
        self._ring = folder / "keys.json"
        self._keyring: tuple[tuple[int, int, int], Keyring] | None = None
        self._signers: dict[str, Signer] = {}
        self._documents: dict[str, DocumentSigner] = {}

    @classmethod
    def create(
        cls,
        folder: Path,
        passphrase: bytes,
        now: datetime,
        *,
        organisation: str,
        token: TokenSettings | None = None,
        also: Iterable[Purpose] = (),
    ) -> Self:
        """Make a key folder: all keys, root, issuing certificate and vault secrets, or nothing.

        With `token`, keys are made in that PKCS#11 token as far as it can hold them (see `backends`). `also` names
        purposes that are off by default: SM2_SEAL.

        Raise KeyStoreExists if anything is there, PassphraseMissing for an empty passphrase, and ValueError for an
        organisation that has not 1 to 64 characters. Keys may sign for three years from now.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise _exists(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            fill(draft, sealing.require(passphrase), _whole_second(now), organisation, token, also)
            draft.rename(folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another process was faster
                raise _exists(folder) from error
            raise
        finally:
            rmtree(draft, ignore_errors=True)
        sync_folder(folder.parent)
        return cls.open(folder, passphrase)

    @classmethod
    def open(cls, folder: Path, passphrase: bytes) -> Self:
        """Open a key folder; about 0.1 s of scrypt, and no private key is decrypted yet.

        Raise WrongPassphrase, PassphraseMissing, LoosePermissions, or KeyStoreBroken (also if there is none).
        """
        check_private_folder(folder)
        clear = sealing.unseal(read_private(folder / "secrets.bin"), passphrase)
        custody = cls(folder, msgspec.json.decode(clear, type=Secrets))
        custody.keyring  # noqa: B018 - a broken key ring shows now, not at the first signature
        return custody

    @property
    def keyring(self) -> Keyring:
        """The public keys as they are on the disk now; read again when the file was replaced."""
        try:
            found = self._ring.stat()
        except OSError as error:
            raise KeyStoreBroken(f"密钥环 {self._ring} 无法读取：{error.strerror}") from error
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        if self._keyring is None or self._keyring[0] != stamp:
            self._keyring = (stamp, Keyring.load(self._ring))
        return self._keyring[1]

    def signer(self, purpose: Purpose, now: datetime) -> Signer:
        """Return the signer for this purpose. Raise KeyNotUsable if its key is expired, not yet valid, or out of use.

        Ask for it at each signature and do not keep it: that is what stops an expired key from signing.
        """
        kid = self.keyring.current(purpose, now).kid
        if kid not in self._signers:
            self._signers[kid] = Signer(self._private_key(purpose, kid), purpose)
        return self._signers[kid]

    def document_signer(self, now: datetime) -> DocumentSigner:
        """Return key and certificates for PDF signatures. Raise KeyNotUsable like `signer`; do not keep it either."""
        kid = self.keyring.current(Purpose.DOCUMENT, now).kid
        if kid not in self._documents:
            key = self._private_key(Purpose.DOCUMENT, kid)
            certificate = read_certificate(self._folder / f"issuing-{kid}.pem")
            if not isinstance(key, EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
                raise KeyStoreBroken(f"证书 issuing-{kid}.pem 与密钥 {kid} 不符")
            self._documents[kid] = DocumentSigner(key, certificate, (read_certificate(self._folder / "root.pem"),))
        return self._documents[kid]

    def vault(self) -> Vault:
        """Return the vault of this folder: data keys and blind index."""
        return open_vault(self._folder, self._secrets)

    @property
    def root_certificate_pem(self) -> bytes:
        """The root certificate, PEM."""
        return public_only(self._folder).root_certificate_pem

    @property
    def chain_pem(self) -> bytes:
        """The issuing certificates, the current one first, then the root, PEM."""
        return public_only(self._folder).chain_pem

    def make(self, purpose: Purpose, now: datetime) -> KeyRecord:
        """Make a new key for this purpose. It counts once `follow` has put it among the keys of a key set.

        Raise KeyNotUsable for approvers' keys: `make_approver` makes those, and they never sign anything else.
        """
        if purpose is Purpose.KEY_SET:
            raise KeyNotUsable("批准人的密钥不在签发密钥之列", fix="请用 keys ceremony approver")
        with _alone(self._folder):
            return make_key(self._folder, self._secrets, purpose, _whole_second(now))

    def follow(self, read: Callable[[], Iterable[KeyRecord]]) -> None:
        """Let exactly the keys that `read` gives count from now on, in every process; nothing is written if they do.

        It is asked while no other process may follow, so that what was in force earlier never comes back.
        """
        with _alone(self._folder):
            ring = Keyring(read())
            if ring.records != self.keyring.records:
                ring.save(self._folder / "keys.json")

    def require_private(self, record: KeyRecord) -> None:
        """Return if the private key of this record is here. Raise KeyStoreBroken if it is missing or another's."""
        self._private_key(record.purpose, record.kid)

    def require_root(self) -> None:
        """Return if the root key is here and belongs to the root certificate. Raise KeyStoreBroken if not."""
        check_root(self._folder, self._secrets)

    def make_approver(self) -> Signer:
        """Make an approver's key in this folder. It is not off line: a registry hands over to people."""
        with _alone(self._folder):
            return self.approver(make_approver(self._folder, self._secrets))

    def approver(self, kid: str) -> Signer:
        """The approver's key of that id in this folder. Raise KeyStoreBroken if it is not there."""
        return Signer(read_key(key_path(self._folder, Purpose.KEY_SET, kid), self._secrets), Purpose.KEY_SET)

    def approver_kids(self) -> list[str]:
        """The ids of the approvers' keys in this folder; none after a hand-over."""
        files = self._folder.glob(key_path(self._folder, Purpose.KEY_SET, "*").name)
        return sorted(path.stem.rpartition("-")[2] for path in files)

    def discard_approvers(self, keep: Container[str]) -> None:
        """Destroy the approvers' keys of this folder but those to keep: what approves no more helps only a thief."""
        with _alone(self._folder):
            for kid in self.approver_kids():
                if kid not in keep:
                    key_path(self._folder, Purpose.KEY_SET, kid).unlink(missing_ok=True)

    def change_passphrase(self, passphrase: bytes) -> None:
        """Seal the secrets under another passphrase. Backups made before still open with the old one."""
        with _alone(self._folder):
            write_private(self._folder / "secrets.bin", sealing.seal(msgspec.json.encode(self._secrets), passphrase))

    def _private_key(self, purpose: Purpose, kid: str) -> RawPrivateKey:
        return open_key(self._folder, self._secrets, purpose, kid)


def _whole_second(now: datetime) -> datetime:
    """Keys live by whole seconds, as JWKS and X.509 do. A time without a zone is a fault of the caller (ValueError)."""
    if now.tzinfo is None:
        raise ValueError("a time zone is needed")
    return now.astimezone(UTC).replace(microsecond=0)


def _exists(folder: Path) -> KeyStoreExists:
    return KeyStoreExists(f"{folder} 已存在且不为空，密钥从不覆盖", fix="请选用新的文件夹，或打开已有的密钥库")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time change a key folder. The lock goes with the process, whatever ends it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
