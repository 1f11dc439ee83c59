"""The signed token of an e-certificate: a tagged COSE_Sign1 (RFC 9052 section 4.2) in exactly one form.

    18([ << {1: -7, 4: kid, 16: typ} >>, {}, payload, signature ])

1 is the algorithm (ES256, RFC 9053), 4 the key id (the text of the JWKS kid in UTF-8), 16 the kind of token
(RFC 9596), for instance "zc1". There is no external data, and the encoding is deterministic (RFC 8949 section 4.2).
So any COSE library verifies the token with the JWKS, and kid, typ, payload and signature give back the same bytes.

Reading is strict. Only this shape is parsed, the token is rebuilt from what was read, and the two are compared: a
longer encoding of a length, another order, one header more, or a byte at the end is refused before any key is asked.
"""

from dataclasses import dataclass

import cbor2

from keys.errors import KeyNotUsable, SignatureInvalid, TokenMalformed
from keys.keyring import Keyring
from keys.signing import Algorithm, KeyState, Purpose, Signer

_BYTES, _TEXT = 0x40, 0x60  # major types 2 and 3 of CBOR


@dataclass(frozen=True, slots=True)
class Verified:
    """What a token with a good signature says, and the present state of the key that signed it (callers judge it)."""

    kid: str
    payload: bytes
    signature: bytes
    key_state: KeyState


def sign1(signer: Signer, typ: str, payload: bytes) -> bytes:
    """Sign the payload and return the token. Raise KeyNotUsable unless it is an ES256 key for e-certificates."""
    if signer.purpose is not Purpose.E_CERTIFICATE or signer.algorithm is not Algorithm.ES256:
        raise KeyNotUsable(f"密钥 {signer.kid} 的用途是 {signer.purpose.value}，不能签发证书令牌")
    return build1(signer.kid, typ, payload, signer.sign_raw(to_be_signed(signer.kid, typ, payload)))


def build1(kid: str, typ: str, payload: bytes, signature: bytes) -> bytes:
    """Rebuild a token from its stored parts, identical to the byte. It checks nothing: `verify1` does."""
    return cbor2.dumps(cbor2.CBORTag(18, [_protected(kid, typ), {}, payload, signature]))


def verify1(keyring: Keyring, typ: str, token: bytes) -> Verified:
    """Check a token and return what it says. No clock and no key state is judged here.

    (1) the bytes are a token in its one form; (2) it is of this kind; (3) the key is known; (4) the key is for
    e-certificates; (5) the signature holds. Raise TokenMalformed (1, 2), UnknownKey (3), SignatureInvalid (4, 5).
    """
    # (1) the bytes are a token in its one form
    kid, found, payload, signature = _parse(token)
    if build1(kid, found, payload, signature) != token:
        raise TokenMalformed("令牌不完整、有多余的字节，或编码不规范")
    # (2) it is of this kind
    if found != typ:
        raise TokenMalformed(f"令牌类型是 {found!r}，应为 {typ!r}")
    # (3) the key is known
    key = keyring.find(kid)
    # (4) the key is for e-certificates
    if key.purpose is not Purpose.E_CERTIFICATE or key.algorithm is not Algorithm.ES256:
        raise SignatureInvalid(f"密钥 {kid} 的用途是 {key.purpose.value}，不能签发证书令牌")
    # (5) the signature holds
    key.verify_raw(to_be_signed(kid, typ, payload), signature)
    return Verified(kid, payload, signature, key.state)


def _protected(kid: str, typ: str) -> bytes:
    return cbor2.dumps({1: -7, 4: kid.encode(), 16: typ})


def to_be_signed(kid: str, typ: str, payload: bytes) -> bytes:
    """The Sig_structure (RFC 9052 section 4.4): what the signature of a token covers."""
    return cbor2.dumps(["Signature1", _protected(kid, typ), b"", payload])


def _parse(token: bytes) -> tuple[str, str, bytes, bytes]:
    """Read the one shape: no general decoder meets bytes from outside, so nothing nests, and no size is believed."""
    protected, rest = _string(_after(token, b"\xd2\x84"), _BYTES)
    payload, rest = _string(_after(rest, b"\xa0"), _BYTES)
    signature, _ = _string(rest, _BYTES)
    kid, rest = _string(_after(protected, b"\xa3\x01\x26\x04"), _BYTES)
    typ, _ = _string(_after(rest, b"\x10"), _TEXT)
    if len(signature) != 64:
        raise TokenMalformed(f"令牌签名应为 64 字节，实为 {len(signature)} 字节")
    try:
        return kid.decode(), typ.decode(), payload, signature
    except UnicodeDecodeError:
        raise TokenMalformed("令牌头部不是 UTF-8 文字") from None


def _after(data: bytes, expected: bytes) -> bytes:
    if not data.startswith(expected):
        raise TokenMalformed("不是本登记系统的证书令牌")
    return data[len(expected) :]


def _string(data: bytes, major: int) -> tuple[bytes, bytes]:
    """Split a string off the front (RFC 8949 section 3). A length cut, padded or unknown fails at the rebuild."""
    if not data or data[0] & 0xE0 != major:
        raise TokenMalformed("不是本登记系统的证书令牌")
    width = {24: 1, 25: 2, 26: 4}.get(data[0] & 0x1F, 0)
    length = int.from_bytes(data[1 : 1 + width]) if width else data[0] & 0x1F
    end = 1 + width + length
    return data[1 + width : end], data[end:]
