"""The CMS of a PAdES B-B signature (RFC 5652, RFC 5035, RFC 5754, RFC 6211), in exactly one form, written as DER.

    ContentInfo { signedData, [0] SignedData { 1, { sha256 }, { data }, [0] certificates, { SignerInfo {
        1, issuer and serial number, sha256, [0] signed attributes, ecdsa-with-SHA256, signature } } } }

It is one fixed form, so plain bytes do: ASN.1 objects take ten times as long. pyHanko, poppler and OpenSSL judge it in
the tests. Reading is strict: who holds digest, certificates and signature writes the CMS again and compares, so that no
unsigned bit is loose.
"""

from collections.abc import Sequence
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from keys.custody import DocumentSigner
from keys.errors import SignatureInvalid

_INTEGER, _OCTETS, _SEQUENCE, _SET, _FIRST, _SECOND = 0x02, 0x04, 0x30, 0x31, 0xA0, 0xA1
_DATA = bytes.fromhex("06092a864886f70d010701")
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_CONTENT_TYPE = bytes.fromhex("06092a864886f70d010903")
_MESSAGE_DIGEST = bytes.fromhex("06092a864886f70d010904")
_ALGORITHM_PROTECTION = bytes.fromhex("06092a864886f70d010934")
_SIGNING_CERTIFICATE_V2 = bytes.fromhex("060b2a864886f70d010910022f")
_SHA256_OID = bytes.fromhex("0609608648016503040201")
_ECDSA_OID = bytes.fromhex("06082a8648ce3d040302")
_SIGNING = ECDSA(SHA256(), deterministic_signing=True)
_VERIFYING = ECDSA(SHA256())


def detached_signature(digest: bytes, signer: DocumentSigner) -> bytes:
    """Return the DER of a detached CMS signature over a SHA-256 digest, with the signer's certificates in it.

    It is verified before it leaves. Raise SignatureInvalid if the signer's key and certificate do not belong together.
    """
    message = _tlv(_SET, _attributes(digest, signer.certificate))
    return rebuilt(digest, signer.certificate, signer.chain, signer.key.sign(message, _SIGNING))


def rebuilt(digest: bytes, certificate: x509.Certificate, chain: Sequence[x509.Certificate], signature: bytes) -> bytes:
    """Return the CMS with this signature in it, identical to the byte. Raise SignatureInvalid if it does not hold."""
    attributes = _attributes(digest, certificate)
    _verify(_tlv(_SET, attributes), certificate, signature)
    info = _tlv(
        _SEQUENCE,
        _integer(1),
        _tlv(_SEQUENCE, certificate.issuer.public_bytes(), _integer(certificate.serial_number)),
        _SHA256,
        _tlv(_FIRST, attributes),
        _ECDSA,
        _tlv(_OCTETS, signature),
    )
    certificates = sorted(each.public_bytes(Encoding.DER) for each in (certificate, *chain))
    parts = (_tlv(_SET, _SHA256), _tlv(_SEQUENCE, _DATA), _tlv(_FIRST, *certificates), _tlv(_SET, info))
    return _tlv(_SEQUENCE, _SIGNED_DATA, _tlv(_FIRST, _tlv(_SEQUENCE, _integer(1), *parts)))


def _attributes(digest: bytes, certificate: x509.Certificate) -> bytes:
    """What is signed: the kind of content, its digest, and the certificate, so that no other can take its place."""
    own = _tlv(_SEQUENCE, _tlv(_OCTETS, sha256(certificate.public_bytes(Encoding.DER)).digest()))
    values = (
        (_CONTENT_TYPE, _DATA),
        (_MESSAGE_DIGEST, _tlv(_OCTETS, digest)),
        (_ALGORITHM_PROTECTION, _tlv(_SEQUENCE, _SHA256, _tlv(_SECOND, _ECDSA_OID))),
        (_SIGNING_CERTIFICATE_V2, _tlv(_SEQUENCE, _tlv(_SEQUENCE, own))),
    )
    # a set is written in the order of its encoded members (X.690 section 11.6)
    return b"".join(sorted(_tlv(_SEQUENCE, kind, _tlv(_SET, value)) for kind, value in values))


def _verify(message: bytes, certificate: x509.Certificate, signature: bytes) -> None:
    public = certificate.public_key()
    if not isinstance(public, EllipticCurvePublicKey):
        raise SignatureInvalid("签发证书的密钥不是 P-256", fix="请轮换文件签名密钥")
    try:
        public.verify(signature, message, _VERIFYING)
    except InvalidSignature:
        raise SignatureInvalid("文件签名与签发证书的公钥不符", fix="请检查密钥文件夹，或轮换文件签名密钥") from None


def _tlv(tag: int, *parts: bytes) -> bytes:
    """Tag, length and value (X.690 section 8.1); the length in the fewest bytes (section 10.1)."""
    value = b"".join(parts)
    if len(value) < 0x80:
        return bytes((tag, len(value))) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + value


def _integer(number: int) -> bytes:
    return _tlv(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1))


_SHA256 = _tlv(_SEQUENCE, _SHA256_OID)
_ECDSA = _tlv(_SEQUENCE, _ECDSA_OID)
