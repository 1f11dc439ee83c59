"""An ID token, checked as OpenID Connect Core 3.1.3.7 asks, and more narrowly where a narrower way is safe.

1. The algorithm is one of ours, never `none` and never a shared secret's (RFC 8725, 3.1).
2. The header does not say where its key is (jku, x5u, jwk, x5c), and has no extension (crit).
3. The key is the one of that `kid` in the issuer's own JWKS; the signature holds.
4. iss, aud (azp), exp, iat, nbf, nonce, sub, acr; 60 seconds of leeway for a clock.
"""

import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, extract_compact

from registry.errors import Refused

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
LEEWAY_SECONDS = 60
_SELF_MADE = ("jku", "x5u", "jwk", "x5c", "crit")
_MAX_TOKEN = 64 * 1024

PublicKey = RSAKey | ECKey | OKPKey


class TokenRefused(Refused):
    """What the identity provider sent does not prove who signs in. Nobody is signed in."""

    code = "sign-in-refused"

    def __init__(self, why: str) -> None:
        super().__init__(f"统一身份认证的应答不可信：{why}", fix="请重新登录；仍然如此的，请告知本局")


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a token must say. `nonce` is this sign-in's own; `acr` is None where any way of signing in will do."""

    issuer: str
    client_id: str
    nonce: str
    acr: str | None = None


class Claims(msgspec.Struct, frozen=True):
    """Who signed in there: the issuer's own name for the person, when they did (None: not said), everything said."""

    subject: str
    signed_in_at: int | None
    said: Mapping[str, Any]

    def text(self, name: str) -> str | None:
        """A claim that is a text; None for one that is missing or empty or something else."""
        value = self.said.get(name)
        return value.strip() or None if isinstance(value, str) else None


class _Algorithms(JWSRegistry):
    """Our algorithms and no other. The library warns of `EdDSA`, which RFC 9864 renames: its signature is as good."""

    def get_alg(self, name: str) -> Any:
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


def read_id_token(token: str, expected: Expected, key_of: Callable[[str], PublicKey], now: datetime) -> Claims:
    """Check an ID token and return what it says. Raise TokenRefused, naming the first thing that is wrong."""
    if len(token) > _MAX_TOKEN:
        raise TokenRefused("令牌过长")
    key = _key_for(token, key_of)
    try:
        said = jwt.decode(token, key, registry=_Algorithms()).claims
    except (JoseError, ValueError, TypeError) as error:
        raise TokenRefused("签名无效") from error
    _check_addressed(said, expected)
    _check_times(said, int(now.timestamp()))
    return _about(said, expected)


def _key_for(token: str, key_of: Callable[[str], PublicKey]) -> PublicKey:
    """(1), (2) and the first half of (3): the issuer's key of this token's `kid`."""
    try:
        header = extract_compact(token.encode()).headers()
    except (JoseError, ValueError) as error:
        raise TokenRefused("不是签名令牌") from error
    if header.get("alg") not in ALGORITHMS:
        raise TokenRefused("签名算法不被接受")
    if any(name in header for name in _SELF_MADE):
        raise TokenRefused("令牌自带密钥或扩展")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise TokenRefused("没有密钥编号")
    return key_of(kid)


def _check_addressed(said: Mapping[str, Any], expected: Expected) -> None:
    if said.get("iss") != expected.issuer:
        raise TokenRefused("签发方不符")
    audience = said.get("aud")
    several = audience if isinstance(audience, list) else [audience]
    if expected.client_id not in several:
        raise TokenRefused("令牌不是发给本系统的")
    if (len(several) > 1 or "azp" in said) and said.get("azp") != expected.client_id:
        raise TokenRefused("令牌不是发给本系统的（azp）")
    nonce = said.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise TokenRefused("不是这次登录的令牌（nonce）")


def _check_times(said: Mapping[str, Any], now: int) -> None:
    expires, issued, begins = (_seconds(said, name) for name in ("exp", "iat", "nbf"))
    if expires is None or expires <= now - LEEWAY_SECONDS:
        raise TokenRefused("令牌已过期")
    if issued is None or issued > now + LEEWAY_SECONDS:
        raise TokenRefused("令牌的签发时刻不对")
    if begins is not None and begins > now + LEEWAY_SECONDS:
        raise TokenRefused("令牌尚未生效")


def _seconds(said: Mapping[str, Any], name: str) -> int | None:
    """A time claim; None if it is missing. Raise TokenRefused if it is no number."""
    value = said.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise TokenRefused(f"{name} 不是时刻")
    return int(value)


def _about(said: Mapping[str, Any], expected: Expected) -> Claims:
    subject = said.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise TokenRefused("没有说明是谁（sub）")
    if expected.acr is not None and said.get("acr") != expected.acr:
        raise TokenRefused("登录方式的安全等级不够（acr）")
    return Claims(subject, _seconds(said, "auth_time"), said)
