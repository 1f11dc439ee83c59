"""Private keys in encrypted files of the key folder: the default, and where every key goes that no token can hold.

    <purpose>-<kid>.pem     a private key, PKCS#8 encrypted with a password that only `secrets.bin` holds
    <purpose>-<kid>.sealed  an SM2 key, for which there is no PKCS#8 writer here: its bytes, sealed with that password
    root-key.pem            the key above the issuing certificates

The password of the key files is 256 random bits. PKCS#8 as `cryptography` writes it stretches a password by only 2,048
rounds of PBKDF2; so a guess at the passphrase must pay for scrypt, whichever file is attacked.
"""

import os
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from keys import passphrase as sealing
from keys.errors import KeyStoreBroken, WrongPassphrase
from keys.files import read_private, write_private
from keys.jwk import RawPublicKey, kid_of
from keys.signing import Purpose, RawPrivateKey
from keys.sm2 import Sm2PrivateKey
from keys.vault import Vault


class Secrets(msgspec.Struct, frozen=True):
    """What the passphrase opens. It shows nothing of itself, not even in a traceback with local variables.

    Where a token keeps the vault keys, `master` and `index_key` are empty.
    """

    master: bytes
    index_key: bytes
    pem_password: bytes

    @classmethod
    def fresh(cls, *, vault: bool) -> "Secrets":
        """Make secrets; `vault` says whether the vault keys are among them."""
        master, index_key = (os.urandom(32), os.urandom(32)) if vault else (b"", b"")
        return cls(master, index_key, os.urandom(32).hex().encode())

    def __repr__(self) -> str:
        return "Secrets(...)"


class FileStore:
    """Keys in encrypted files of one folder."""

    def __init__(self, folder: Path, secrets: Secrets) -> None:
        self._folder, self._secrets = folder, secrets
        self._made: list[Path] = []

    def make(self, purpose: Purpose) -> RawPublicKey:
        """Write a new key, of the algorithm that this purpose has."""
        key = _generate(purpose)
        public = key.public_key()
        self._write(key_path(self._folder, purpose, kid_of(public)), key)
        return public

    def open(self, purpose: Purpose, kid: str) -> RawPrivateKey:
        """Decrypt a key. Raise as `read_key` does."""
        return read_key(key_path(self._folder, purpose, kid), self._secrets)

    def make_root(self) -> EllipticCurvePrivateKey:
        """Write a new root key."""
        key = generate_private_key(SECP256R1())
        self._write(self._root, key)
        return key

    def open_root(self, root: x509.Certificate) -> EllipticCurvePrivateKey:
        """Decrypt the root key. Raise KeyStoreBroken if it is not the one of that certificate."""
        key = read_key(self._root, self._secrets)
        if not isinstance(key, EllipticCurvePrivateKey) or root.public_key() != key.public_key():
            raise KeyStoreBroken("根证书 root.pem 与 root-key.pem 不符", fix="放回正确的 root-key.pem")
        return key

    def vault(self) -> Vault:
        """Return the vault with the two keys out of `secrets.bin`."""
        return Vault(self._secrets.master, self._secrets.index_key)

    def discard(self) -> None:
        """Remove the files that this object wrote."""
        for path in self._made:
            path.unlink(missing_ok=True)
        self._made.clear()

    @property
    def _root(self) -> Path:
        return self._folder / "root-key.pem"

    def _write(self, path: Path, key: RawPrivateKey) -> None:
        self._made.append(path)
        if isinstance(key, Sm2PrivateKey):
            write_private(path, sealing.seal(key.private_bytes_raw(), self._secrets.pem_password))
            return
        protection = BestAvailableEncryption(self._secrets.pem_password)
        write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))


def read_key(path: Path, secrets: Secrets) -> RawPrivateKey:
    """Decrypt a private key file. Raise LoosePermissions, or KeyStoreBroken if it is missing, damaged or foreign."""
    content = read_private(path)
    try:
        if path.suffix == _SEALED:
            return Sm2PrivateKey.from_private_bytes(sealing.unseal(content, secrets.pem_password))
        key = load_pem_private_key(content, secrets.pem_password)
    except (ValueError, TypeError, UnsupportedAlgorithm, WrongPassphrase) as error:  # TypeError: not encrypted at all
        raise KeyStoreBroken(f"私钥文件 {path} 已损坏，或不属于这个密钥库", fix="请从备份恢复该文件") from error
    if not isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey | MLDSA44PrivateKey):
        raise KeyStoreBroken(f"私钥文件 {path} 的密钥类型不受支持")
    return key


def key_path(folder: Path, purpose: Purpose, kid: str) -> Path:
    """Return where the private key of that id lies."""
    suffix = _SEALED if purpose is Purpose.SM2_SEAL else ".pem"
    return folder / f"{purpose.value.partition('/')[0]}-{kid}{suffix}"


_SEALED = ".sealed"


def _generate(purpose: Purpose) -> RawPrivateKey:
    match purpose:
        case Purpose.CHECKPOINT | Purpose.KEY_SET:
            return Ed25519PrivateKey.generate()
        case Purpose.COSIGNATURE:
            return MLDSA44PrivateKey.generate()
        case Purpose.SM2_SEAL:
            return Sm2PrivateKey.generate()
    return generate_private_key(SECP256R1())
