"""The files of a key folder, and how each key in it is made and read.

    keys.json               the public key ring (JWK Set); replaced last, so it decides what counts
    secrets.bin             under the passphrase (scrypt): vault master key, index key, password of the key files
    <purpose>-<kid>.pem     a private key, PKCS#8 encrypted with that password
    issuing-<kid>.pem       the X.509 certificate of a document key
    root.pem, root-key.pem  the root above the issuing certificates; its key is needed only to rotate document keys

The password of the key files is 256 random bits. PKCS#8 as `cryptography` writes it stretches a password by only 2,048
rounds of PBKDF2; so a guess at the passphrase must pay for scrypt, whichever file is attacked.
"""

import os
from datetime import datetime, timedelta
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
from keys.errors import KeyStoreBroken
from keys.files import read_private, read_public, write_private
from keys.issuing import issue_certificate, make_root
from keys.keyring import KeyRecord, Keyring
from keys.signing import PublicKey, Purpose, RawPrivateKey

SIGNING_VALIDITY = timedelta(days=3 * 365 + 1)


class Secrets(msgspec.Struct, frozen=True):
    """What the passphrase opens. It shows nothing of itself, not even in a traceback with local variables."""

    master: bytes
    index_key: bytes
    pem_password: bytes

    def __repr__(self) -> str:
        return "Secrets(...)"


def fill(folder: Path, passphrase: bytes, now: datetime, organisation: str) -> None:
    """Write fresh secrets, the root and one key for each purpose into an empty folder; the key ring comes last."""
    secrets = Secrets(os.urandom(32), os.urandom(32), os.urandom(32).hex().encode())
    write_private(folder / "secrets.bin", sealing.seal(msgspec.json.encode(secrets), passphrase))
    root_key = generate_private_key(SECP256R1())
    write_private(folder / "root-key.pem", _encrypted(root_key, secrets))
    write_private(folder / "root.pem", make_root(root_key, organisation, now).public_bytes(Encoding.PEM))
    Keyring([make_key(folder, secrets, purpose, now) for purpose in Purpose]).save(folder / "keys.json")


def make_key(folder: Path, secrets: Secrets, purpose: Purpose, now: datetime) -> KeyRecord:
    """Write a new private key, and its certificate if it signs documents. It counts once keys.json names it."""
    ec_key = generate_private_key(SECP256R1())
    key: RawPrivateKey = ec_key
    if purpose is Purpose.CHECKPOINT:
        key = Ed25519PrivateKey.generate()
    elif purpose is Purpose.COSIGNATURE:
        key = MLDSA44PrivateKey.generate()
    public = PublicKey.of(key.public_key(), purpose)
    until = now + SIGNING_VALIDITY
    if purpose is Purpose.DOCUMENT:
        root, root_key = read_certificate(folder / "root.pem"), read_key(folder / "root-key.pem", secrets)
        if not isinstance(root_key, EllipticCurvePrivateKey) or root.public_key() != root_key.public_key():
            raise KeyStoreBroken("根证书 root.pem 与 root-key.pem 不符")
        certificate = issue_certificate(ec_key.public_key(), root, root_key, now)
        write_private(folder / f"issuing-{public.kid}.pem", certificate.public_bytes(Encoding.PEM))
        until = certificate.not_valid_after_utc
    write_private(key_path(folder, purpose, public.kid), _encrypted(key, secrets))
    return KeyRecord(public.kid, public.algorithm, purpose, public.spki(), now, until)


def _encrypted(key: RawPrivateKey, secrets: Secrets) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(secrets.pem_password))


def read_key(path: Path, secrets: Secrets) -> RawPrivateKey:
    """Decrypt a private key file. Raise LoosePermissions, or KeyStoreBroken if it is missing, damaged or foreign."""
    try:
        key = load_pem_private_key(read_private(path), secrets.pem_password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: a key file that is not encrypted
        raise KeyStoreBroken(f"私钥文件 {path} 已损坏，或不属于这个密钥库", fix="请从备份恢复该文件") from error
    if not isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey | MLDSA44PrivateKey):
        raise KeyStoreBroken(f"私钥文件 {path} 的密钥类型不受支持")
    return key


def read_certificate(path: Path) -> x509.Certificate:
    """Read a certificate file, PEM. Raise KeyStoreBroken if it is missing or damaged."""
    try:
        return x509.load_pem_x509_certificate(read_public(path))
    except ValueError as error:
        raise KeyStoreBroken(f"证书文件 {path} 已损坏", fix="请从备份恢复该文件") from error


def key_path(folder: Path, purpose: Purpose, kid: str) -> Path:
    """Return where the private key of that id lies."""
    return folder / f"{purpose.value.partition('/')[0]}-{kid}.pem"
