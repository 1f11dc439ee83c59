"""The passphrase: where it comes from, and bytes that only it opens.

Format of such bytes: `title-registry-secrets/1\\n`, log2 of the scrypt cost N (1 byte), salt (16), nonce (12), then
AES-256-GCM over the clear bytes; all before the nonce is additional data. The key is scrypt(passphrase, salt, N, r=8,
p=1) (RFC 7914): N = 2^15 costs 32 MB and about 0.1 s, once per start of a process.
"""

import os
from collections.abc import Mapping
from hashlib import scrypt
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys.errors import KeyStoreBroken, PassphraseMissing, WrongPassphrase
from keys.files import read_private

VARIABLE, FILE_VARIABLE = "TITLE_REGISTRY_PASSPHRASE", "TITLE_REGISTRY_PASSPHRASE_FILE"

_MAGIC = b"title-registry-secrets/1\n"
_COST, _HIGHEST_COST = 15, 20
_HEADER = len(_MAGIC) + 1 + 16


def read_passphrase(file: Path | None, environment: Mapping[str, str]) -> bytes:
    """Return the passphrase from the file, else TITLE_REGISTRY_PASSPHRASE_FILE, else TITLE_REGISTRY_PASSPHRASE.

    One line end after it is dropped. Raise PassphraseMissing (none, or empty), LoosePermissions, KeyStoreBroken.
    """
    if file is None and environment.get(FILE_VARIABLE):
        file = Path(environment[FILE_VARIABLE])
    if file is not None:
        return require(read_private(file).removesuffix(b"\n").removesuffix(b"\r"))
    return require(environment.get(VARIABLE, "").encode(errors="surrogateescape"))


def require(passphrase: bytes) -> bytes:
    """Return the passphrase. Raise PassphraseMissing if it is empty."""
    if not passphrase:
        fix = f"请把口令写入权限为 600 的文件，并设置 {FILE_VARIABLE}（或设置 {VARIABLE}）"
        raise PassphraseMissing("没有密钥口令，或口令为空", fix=fix)
    return passphrase


def seal(clear: bytes, passphrase: bytes) -> bytes:
    """Seal bytes under a passphrase, with a fresh salt."""
    header = _MAGIC + bytes([_COST]) + os.urandom(16)
    nonce = os.urandom(12)
    return header + nonce + _cipher(header, require(passphrase)).encrypt(nonce, clear, header)


def unseal(box: bytes, passphrase: bytes) -> bytes:
    """Open what `seal` gave. Raise WrongPassphrase (also if it was changed), KeyStoreBroken if it is no such box."""
    header, nonce = box[:_HEADER], box[_HEADER : _HEADER + 12]
    # The cost is read before it can be trusted: a changed byte must not ask for terabytes.
    if not header.startswith(_MAGIC) or len(nonce) < 12 or not _COST <= header[len(_MAGIC)] <= _HIGHEST_COST:
        raise KeyStoreBroken("密钥库的机密文件已损坏", fix="请从备份恢复密钥文件夹")
    try:
        return _cipher(header, require(passphrase)).decrypt(nonce, box[_HEADER + 12 :], header)
    except InvalidTag:
        fix = "请核对口令；若口令无误，请从备份恢复密钥文件夹"
        raise WrongPassphrase("口令不对，或机密文件被改动", fix=fix) from None


def _cipher(header: bytes, passphrase: bytes) -> AESGCM:
    cost, salt = 1 << header[len(_MAGIC)], header[-16:]
    return AESGCM(scrypt(passphrase, salt=salt, n=cost, r=8, p=1, maxmem=129 * 8 * cost + 4096 * 1024, dklen=32))
