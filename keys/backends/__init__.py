"""Where private keys live. A key folder without `custody.json` keeps them itself, in encrypted files: the default.

    custody.json    {"custody": "pkcs11", "module": ..., "token": ..., "pin_file": ..., "vault": ..., "in_token": [...]}

It names a PKCS#11 token that holds the keys of the purposes in `in_token`, the root key and both vault keys; the keys
of all other purposes stay in encrypted files. It holds no secret, and module and PIN file may be changed by hand, for
instance after a move to another machine.
"""

from pathlib import Path
from typing import Protocol

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from keys.backends.files import FileStore, Secrets
from keys.backends.pkcs11 import TokenSettings, TokenStore
from keys.errors import KeyStoreBroken
from keys.files import read_public, write_private
from keys.jwk import RawPublicKey
from keys.signing import Purpose, RawPrivateKey
from keys.vault import Vault

__all__ = ["FileStore", "KeyStore", "Secrets", "TokenSettings", "TokenStore", "store_of", "write_settings"]

_SETTINGS = "custody.json"


class KeyStore(Protocol):
    """Makes private keys and lends them out to sign. A key in a token signs there and never leaves it."""

    def make(self, purpose: Purpose) -> RawPublicKey:
        """Make a private key for this purpose, keep it, and return its public key."""

    def open(self, purpose: Purpose, kid: str) -> RawPrivateKey:
        """Return the key of that id. Raise KeyStoreBroken if it is not there, CustodyUnavailable without its token."""

    def make_root(self) -> EllipticCurvePrivateKey:
        """Make and keep the key above the issuing certificates."""

    def open_root(self, root: x509.Certificate) -> EllipticCurvePrivateKey:
        """Return the key of that root certificate."""

    def vault(self) -> Vault:
        """Return the vault: it wraps the holders' data keys and computes the blind index."""

    def discard(self) -> None:
        """Destroy what this object made, because the work that it was made for failed."""


def store_of(folder: Path, secrets: Secrets) -> KeyStore:
    """Return the store of this folder. Raise KeyStoreBroken if `custody.json` is there and wrong."""
    files = FileStore(folder, secrets)
    path = folder / _SETTINGS
    if not path.exists():
        return files
    try:
        settings = msgspec.json.decode(read_public(path), type=TokenSettings)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KeyStoreBroken(f"设置文件 {path} 无法读取：{error}", fix="请修正该文件，或从备份恢复") from error
    return TokenStore(settings, files)


def write_settings(folder: Path, settings: TokenSettings) -> None:
    """Write `custody.json`."""
    write_private(folder / _SETTINGS, msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n")
