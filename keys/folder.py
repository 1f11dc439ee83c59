"""The files of a key folder, and how each key in it is made and read.

    keys.json               the public key ring (JWK Set); replaced last, so it decides what counts
    secrets.bin             under the passphrase (scrypt): vault master key, index key, password of the key files
    custody.json            only where a PKCS#11 token holds keys: which one, and of which purposes
    <purpose>-<kid>.pem     a private key, PKCS#8 encrypted with that password
    key-set-<kid>.pem       an approver's private key, likewise; until people with keys of their own have taken over
    issuing-<kid>.pem       the X.509 certificate of a document key
    root.pem, root-key.pem  the root above the issuing certificates; its key is needed only to rotate document keys

`backends` says where private keys live. Where a token holds a key, its file is not there; and where it holds the vault
keys, they are not in `secrets.bin`.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from keys import passphrase as sealing
from keys.backends import FileStore, KeyStore, Secrets, TokenSettings, TokenStore, store_of, write_settings
from keys.backends.files import key_path, read_key
from keys.errors import KeyStoreBroken
from keys.files import read_public, write_private
from keys.issuing import issue_certificate, make_root
from keys.keyring import KeyRecord, Keyring
from keys.signing import PublicKey, Purpose, RawPrivateKey
from keys.vault import Vault

__all__ = [
    "Secrets",
    "check_root",
    "fill",
    "key_path",
    "make_approver",
    "make_key",
    "open_key",
    "open_vault",
    "read_certificate",
    "read_key",
]

SIGNING_VALIDITY = timedelta(days=3 * 365 + 1)


def fill(
    folder: Path,
    passphrase: bytes,
    now: datetime,
    organisation: str,
    token: TokenSettings | None = None,
    also: Iterable[Purpose] = (),
) -> None:
    """Write fresh secrets, the root and one key for each purpose into an empty folder; the key ring comes last.

    With `token`, the keys that it can hold are made in it, and destroyed again if anything fails. `also` names
    purposes that are off by default.
    """
    secrets = Secrets.fresh(vault=token is None)
    write_private(folder / "secrets.bin", sealing.seal(msgspec.json.encode(secrets), passphrase))
    if token is not None:
        write_settings(folder, token.prepared())
    store = store_of(folder, secrets)
    try:
        if isinstance(store, TokenStore):
            store.make_vault()
        root = make_root(store.make_root(), organisation, now)
        write_private(folder / "root.pem", root.public_bytes(Encoding.PEM))
        records = [_make_key(folder, store, purpose, now) for purpose in (*Purpose.of_registry(), *also)]
        Keyring(records).save(folder / "keys.json")
    except BaseException:
        store.discard()
        raise


def make_key(folder: Path, secrets: Secrets, purpose: Purpose, now: datetime) -> KeyRecord:
    """Make a new private key, and its certificate if it signs documents. It counts once keys.json names it.

    Nothing of it stays if that fails. Raise KeyStoreBroken, KeyNotUsable (root expired) or CustodyUnavailable.
    """
    store = store_of(folder, secrets)
    try:
        return _make_key(folder, store, purpose, now)
    except BaseException:
        store.discard()
        raise


def make_approver(folder: Path, secrets: Secrets) -> str:
    """Write a new approver's key (Ed25519, for key sets); return its id. It never stands in keys.json."""
    return PublicKey.of(FileStore(folder, secrets).make(Purpose.KEY_SET), Purpose.KEY_SET).kid


def open_key(folder: Path, secrets: Secrets, purpose: Purpose, kid: str) -> RawPrivateKey:
    """Return the private key of that id, from its file or in its token. Raise KeyStoreBroken if it is another one."""
    key = store_of(folder, secrets).open(purpose, kid)
    if PublicKey.of(key.public_key(), purpose).kid != kid:
        raise KeyStoreBroken(f"私钥文件不是密钥 {kid} 的", fix="放回正确的私钥文件")
    return key


def check_root(folder: Path, secrets: Secrets) -> None:
    """Return if the root key is here and is the one of `root.pem`. Raise KeyStoreBroken if not."""
    store_of(folder, secrets).open_root(read_certificate(folder / "root.pem"))


def open_vault(folder: Path, secrets: Secrets) -> Vault:
    """Return the vault of this folder; its keys are in `secrets.bin` or in the token."""
    return store_of(folder, secrets).vault()


def read_certificate(path: Path) -> x509.Certificate:
    """Read a certificate file, PEM. Raise KeyStoreBroken if it is missing or damaged."""
    try:
        return x509.load_pem_x509_certificate(read_public(path))
    except ValueError as error:
        raise KeyStoreBroken(f"证书文件 {path} 已损坏", fix="请从备份恢复该文件") from error


def _make_key(folder: Path, store: KeyStore, purpose: Purpose, now: datetime) -> KeyRecord:
    public = PublicKey.of(store.make(purpose), purpose)
    until = now + SIGNING_VALIDITY
    if purpose is Purpose.DOCUMENT:
        certificate = _certify(folder, store, public, now)
        write_private(folder / f"issuing-{public.kid}.pem", certificate.public_bytes(Encoding.PEM))
        until = certificate.not_valid_after_utc
    return KeyRecord(public.kid, public.algorithm, purpose, public.spki(), now, until)


def _certify(folder: Path, store: KeyStore, public: PublicKey, now: datetime) -> x509.Certificate:
    """Issue the certificate of a document key, and check it: a device may sign wrongly."""
    root = read_certificate(folder / "root.pem")
    if not isinstance(public.key, EllipticCurvePublicKey):
        raise KeyStoreBroken("文件签名密钥不是 P-256")
    certificate = issue_certificate(public.key, root, store.open_root(root), now)
    certificate.verify_directly_issued_by(root)
    return certificate
