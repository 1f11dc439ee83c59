"""Open a key folder with one passphrase, hand out signers, and rotate keys without orphaning what the old ones signed.

`folder.py` says what lies where. Every file has mode 0600 and the folder 0700; a looser secret file is refused. The
folder must not be a mount point itself: it is made whole beside its place and then renamed, so that there is a key
store or none.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
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
from keys.errors import KeyStoreBroken, KeyStoreExists
from keys.files import check_private_folder, read_private, read_public, sync_folder, write_private
from keys.folder import Secrets, fill, key_path, make_key, read_certificate, read_key
from keys.keyring import KeyRecord, Keyring
from keys.passphrase import read_passphrase
from keys.signing import KeyState, PublicKey, Purpose, RawPrivateKey, Signer
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
        self._keyring: tuple[tuple[int, int, int], Keyring] | None = None
        self._signers: dict[str, Signer] = {}
        self._documents: dict[str, DocumentSigner] = {}

    @classmethod
    def create(cls, folder: Path, passphrase: bytes, now: datetime, *, organisation: str) -> Self:
        """Make a key folder: all keys, root, issuing certificate and vault secrets, or nothing.

        Raise KeyStoreExists if anything is there, PassphraseMissing for an empty passphrase, and ValueError for an
        organisation that has not 1 to 64 characters. Keys may sign for three years from now.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise _exists(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            fill(draft, sealing.require(passphrase), _whole_second(now), organisation)
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
        path = self._folder / "keys.json"
        try:
            found = path.stat()
        except OSError as error:
            raise KeyStoreBroken(f"密钥环 {path} 无法读取：{error.strerror}") from error
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        if self._keyring is None or self._keyring[0] != stamp:
            self._keyring = (stamp, Keyring.load(path))
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
        return Vault(self._secrets.master, self._secrets.index_key)

    @property
    def root_certificate_pem(self) -> bytes:
        """The root certificate, PEM."""
        return public_only(self._folder).root_certificate_pem

    @property
    def chain_pem(self) -> bytes:
        """The issuing certificates, the current one first, then the root, PEM."""
        return public_only(self._folder).chain_pem

    def rotate(self, purpose: Purpose, now: datetime) -> KeyRecord:
        """Make a new key for this purpose and retire the old one, which verifies for ever. Return the new record."""
        with _alone(self._folder):
            known = self.keyring.records
            fresh = make_key(self._folder, self._secrets, purpose, _whole_second(now))
            Keyring([*(_retired(record, purpose) for record in known), fresh]).save(self._folder / "keys.json")
        return fresh

    def compromise(self, kid: str) -> KeyRecord:
        """Mark a key as compromised, for ever: it never signs again. Raise UnknownKey. Then `rotate` its purpose."""
        with _alone(self._folder):
            record = msgspec.structs.replace(self.keyring.record(kid), state=KeyState.COMPROMISED)
            self.keyring.put(record).save(self._folder / "keys.json")
        return record

    def change_passphrase(self, passphrase: bytes) -> None:
        """Seal the secrets under another passphrase. Backups made before still open with the old one."""
        with _alone(self._folder):
            write_private(self._folder / "secrets.bin", sealing.seal(msgspec.json.encode(self._secrets), passphrase))

    def _private_key(self, purpose: Purpose, kid: str) -> RawPrivateKey:
        key = read_key(key_path(self._folder, purpose, kid), self._secrets)
        if PublicKey.of(key.public_key(), purpose).kid != kid:
            raise KeyStoreBroken(f"私钥文件不是密钥 {kid} 的")
        return key


def _retired(record: KeyRecord, purpose: Purpose) -> KeyRecord:
    if record.purpose is purpose and record.state is KeyState.ACTIVE:
        return msgspec.structs.replace(record, state=KeyState.RETIRED)
    return record


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
