"""X.509 certificates for PDF signatures: a root of our own, and the issuing certificate under it (RFC 5280).

They are a sample: readers outside trust neither, and neither is legally a seal. A bureau puts the certificate of its
licensed authority in their place.
"""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from keys.errors import KeyNotUsable

ROOT_VALIDITY = timedelta(days=20 * 365 + 5)
ISSUING_VALIDITY = timedelta(days=3 * 365 + 1)

_ROOT_NAME = "样例根 / sample root, not legally a seal"
_ISSUING_NAME = "电子职称证书签发 / sample issuing"
_DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")  # id-kp-documentSigning, RFC 9336


def make_root(key: EllipticCurvePrivateKey, organisation: str, now: datetime) -> x509.Certificate:
    """Make the self-signed root: 20 years, may only sign end certificates and revocation lists.

    `organisation` has 1 to 64 characters (RFC 5280 appendix A.1, ub-organization-name); ValueError if not.
    """
    if not 1 <= len(organisation) <= 64:
        raise ValueError(f"an organisation has 1 to 64 characters, this has {len(organisation)}")
    name = _name(organisation, _ROOT_NAME)
    builder = _begin(name, name, key.public_key(), now, now + ROOT_VALIDITY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
    return builder.sign(key, SHA256())


def issue_certificate(
    public: EllipticCurvePublicKey, root: x509.Certificate, root_key: EllipticCurvePrivateKey, now: datetime
) -> x509.Certificate:
    """Issue a certificate for signing documents: 3 years, never beyond the root. Raise KeyNotUsable after its end."""
    if now >= root.not_valid_after_utc:
        raise KeyNotUsable(f"根证书已于 {root.not_valid_after_utc.isoformat()} 到期", fix="请创建新的密钥文件夹")
    organisation = str(root.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value)
    until = min(now + ISSUING_VALIDITY, root.not_valid_after_utc)
    issuer_key_id = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id)
    builder = _begin(root.subject, _name(organisation, _ISSUING_NAME), public, now, until)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(digital_signature=True, content_commitment=True), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([_DOCUMENT_SIGNING]), critical=False)
    return builder.add_extension(authority, critical=False).sign(root_key, SHA256())


def _begin(
    issuer: x509.Name, subject: x509.Name, public: EllipticCurvePublicKey, since: datetime, until: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().issuer_name(issuer).subject_name(subject).public_key(public)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(since).not_valid_after(until)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)


def _name(organisation: str, common_name: str) -> x509.Name:
    parts = (
        (NameOID.COUNTRY_NAME, "CN"),
        (NameOID.ORGANIZATION_NAME, organisation),
        (NameOID.COMMON_NAME, common_name),
    )
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _usage(
    *,
    digital_signature: bool = False,
    content_commitment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
