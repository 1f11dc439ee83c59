"""What must hold of every certificate: its key, its code, its place in the log, and its signature, sealed or open.

The signature covers a content that is sealed. Since `certificate-signed/2` the digest of what was signed is in the log,
and ECDSA verifies over the digest alone; with the content open the digest is made again.
"""

import hashlib
from collections.abc import Iterator

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from keys.cose import to_be_signed
from keys.errors import KeysError
from keys.keyring import Keyring
from keys.signing import PublicKey, Purpose
from registry.audit.findings import Code, Finding
from registry.errors import RegistryError
from registry.log.facts import NAMES
from registry.titles.certificate import token_of
from registry.titles.code import parse_code
from registry.titles.events import CertificateSigned
from registry.titles.state import Certificate, Title
from registry.titles.token import TYP, payload, read

_OVER_DIGEST = ECDSA(Prehashed(SHA256()))
_WIDTH, _DIGEST = 64, 32  # bytes

Wrong = tuple[Code, str]


def certificates(title: Title, keyring: Keyring, first: int = 0) -> Iterator[Finding]:
    """What is wrong with the certificates of a title."""
    for number, one in enumerate(title.certificates, 1):
        wrong = _certificate(one, number, keyring, first)
        if wrong:
            yield Finding(code=wrong[0], message=wrong[1], stream=title.id, field=f"certificate {number}")


def signed(name: str, fact: CertificateSigned) -> Wrong | None:
    """What is wrong with what a signed event says by its stored name: from the second form on, leaf and digest."""
    said = (fact.leaf is not None, fact.digest is not None)
    if said == ((True, True) if name == NAMES[CertificateSigned] else (False, False)):
        return None
    return Code.CERTIFICATE_LEAF, "签发事件没有叶子编号和摘要，或旧格式的事件带有它们"


def _certificate(one: Certificate, number: int, keyring: Keyring, first: int) -> Wrong | None:
    try:
        if one.version != number or parse_code(one.code) != one.code:
            return Code.CERTIFICATE, "证书的版本号不连续，或查验码的写法不规范"
        record = keyring.record(one.kid)
        if record.purpose is not Purpose.E_CERTIFICATE or not record.not_before <= one.prepared_at < record.not_after:
            return Code.CERTIFICATE_KEY, f"密钥 {one.kid} 在准备证书时不能签发证书"
        if one.signature is None:
            return None
        return _sealed(one, keyring.find(one.kid), first) or _opened(one, keyring)
    except RegistryError as error:
        return Code.CERTIFICATE, error.message
    except KeysError as error:
        code = Code.CERTIFICATE_KEY if error.code == "unknown-key" else Code.CERTIFICATE_SIGNATURE
        return code, error.message


def _sealed(one: Certificate, key: PublicKey, first: int) -> Wrong | None:
    """What anybody can check: the place in the log, and the signature over the digest."""
    signature, digest = one.signature or b"", one.digest
    if len(signature) != _WIDTH:
        return Code.CERTIFICATE_SIGNATURE, f"签名长度应为 {_WIDTH} 字节，实为 {len(signature)} 字节"
    own = one.prepared_position - 1 + first
    if one.leaf is not None and not own - first <= one.leaf <= own:  # one less: issued in the log before
        return Code.CERTIFICATE_LEAF, f"叶子编号应为 {own}，实为 {one.leaf}"
    if digest is None:
        return None  # signed before there was a transparency log: the signature needs the content
    if len(digest) != _DIGEST:
        return Code.CERTIFICATE_DIGEST, f"摘要长度应为 {_DIGEST} 字节，实为 {len(digest)} 字节"
    if not _holds(key, digest, signature):
        return Code.CERTIFICATE_SIGNATURE, "证书的签名与所记的摘要不符"
    return None


def _opened(one: Certificate, keyring: Keyring) -> Wrong | None:
    """What the open content tells; nothing while it is sealed or when it was erased."""
    content = one.content.get()
    if content is None:
        return None
    if (content.code, content.version) != (one.code, one.version):
        return Code.CERTIFICATE, "证书内容的查验码或版本与登记的不同"
    covered = to_be_signed(one.kid, TYP, payload(content, one.leaf))
    if one.digest is not None and hashlib.sha256(covered).digest() != one.digest:
        return Code.CERTIFICATE_DIGEST, "所记的摘要不是证书内容的摘要"
    read(keyring, token_of(one))
    return None


def _holds(key: PublicKey, digest: bytes, signature: bytes) -> bool:
    if not isinstance(key.key, EllipticCurvePublicKey):
        return False
    der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    try:
        key.key.verify(der, digest, _OVER_DIGEST)
    except InvalidSignature:
        return False
    return True
