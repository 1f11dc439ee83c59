"""The e-certificate: prepare (every check), then sign (no check left). The content is stored before it is signed."""

import hashlib
from collections.abc import Sequence
from datetime import date

import msgspec

from keys.cose import sign1, to_be_signed
from keys.keyring import Keyring
from keys.signing import Signer
from registry.errors import CorruptHistory, WrongState
from registry.log.facts import Fact, Private
from registry.terms import Status
from registry.titles.content import CertificateContent
from registry.titles.events import CertificatePrepared, CertificateSigned
from registry.titles.state import Certificate, Title
from registry.titles.token import TYP, assemble, payload, read

PAPER_REMARK = "依据纸质证书换发"


def content_of(certificate: Certificate) -> CertificateContent:
    """What a certificate says. Raise WrongState when its holder's data were erased: it cannot be made any more."""
    content = certificate.content.get()
    if content is None:
        raise WrongState(
            "持证人的个人信息已删除（或没有打开密钥），这份证书不能再制作",
            fix="已发出的证书仍可按查验码或二维码核验",
        )
    return content


def same_print(old: CertificateContent, new: CertificateContent) -> bool:
    """Whether two versions say the same, apart from code, version, issue date and the remark about versions."""
    blank = {"code": "", "version": 0, "issued_on": date.min, "remarks": ()}
    return msgspec.structs.replace(old, **blank) == msgspec.structs.replace(new, **blank)


def _same(certificate: Certificate, content: CertificateContent) -> bool:
    return same_print(certificate.content.reveal(), content)


def check_issuable(title: Title, today: date) -> None:
    """Raise WrongState unless the title stands as valid today."""
    status, _ = title.standing(today)
    if status is not Status.VALID:
        raise WrongState(f"该职称现为“{status.zh}”，不能签发电子证书", fix="查看该职称的历史")


def prepare(
    title: Title, content: CertificateContent, kid: str, today: date, *, is_void: bool = False
) -> Sequence[Fact]:
    """Store what will be signed. The newest version saying the same is no fact, signed or waiting for this key.

    `is_void`: the signature of the newest version no longer counts, for its key was compromised. Raise WrongState if
    the title does not stand as valid.
    """
    check_issuable(title, today)
    newest = title.certificates[-1] if title.certificates else None
    if (
        newest
        and not newest.outdated
        and not is_void
        and (newest.signature or newest.kid == kid)
        and _same(newest, content)
    ):
        return []
    return [
        CertificatePrepared(
            holder=title.holder, version=content.version, code=content.code, kid=kid, content=Private(content)
        )
    ]


def sign(certificate: Certificate, leaf: int, signer: Signer, keyring: Keyring) -> Sequence[Fact]:
    """Sign what was prepared, with its leaf index, verify it, and say so; one already signed is no fact."""
    if certificate.signature:
        return []
    if signer.kid != certificate.kid:
        raise WrongState(f"证书由密钥 {certificate.kid} 预备，现用密钥为 {signer.kid}", fix="由原密钥完成，或联系运维")
    content = content_of(certificate)
    claims = payload(content, leaf)
    token = sign1(signer, TYP, claims)
    read(keyring, token)
    digest = hashlib.sha256(to_be_signed(signer.kid, TYP, claims)).digest()
    return [
        CertificateSigned(version=certificate.version, kid=signer.kid, signature=token[-64:], leaf=leaf, digest=digest)
    ]


def token_of(certificate: Certificate) -> bytes:
    """The token of a signed certificate, as stored. Raise CorruptHistory if it was not signed, WrongState if erased."""
    if certificate.signature is None:
        raise CorruptHistory(f"certificate {certificate.code} is not signed")
    return assemble(content_of(certificate), certificate.kid, certificate.signature, certificate.leaf)
