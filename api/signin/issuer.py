"""What an identity provider publishes and answers: its discovery document, its keys, the exchange of a code.

Nothing of it is believed further than TLS and its own signature carry: addresses are https (plain http to this machine
only), no redirect is followed, an answer has 256 KiB and 10 seconds at most, and the document must name the very issuer
that was configured (OpenID Connect Discovery 1.0, 4.3).
"""

import threading
import time
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from api.signin.idtoken import PublicKey, TokenRefused
from api.signin.origin import is_loopback
from registry.errors import Unavailable

TIMEOUT_SECONDS, MAX_ANSWER = 10, 256 * 1024
DOCUMENT_SECONDS, KEYS_SECONDS, REFETCH_SECONDS = 3600, 900, 60
_KINDS = frozenset({"RSA", "EC", "OKP"})
_RSA_2048 = 342  # base64url characters of a modulus of 2048 bits
T = TypeVar("T")


class Document(msgspec.Struct, frozen=True):
    """The part of the discovery document that we use; a member that is missing or of another type is refused."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class TokenAnswer(msgspec.Struct, frozen=True):
    """What the exchange of a code yields; the access token is not used."""

    id_token: str


class _Keys(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


class Issuer:
    """One provider, with what it published last. Safe to use from several threads."""

    def __init__(self, issuer: str) -> None:
        self.issuer = _checked(issuer)
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False)
        self._lock = threading.Lock()
        self._document: tuple[float, Document] | None = None
        self._keys: tuple[float, list[dict[str, Any]]] | None = None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def document(self) -> Document:
        """The discovery document, at most an hour old. Raise Unavailable if it cannot be had or is another issuer's."""
        with self._lock:
            if self._document is None or time.monotonic() - self._document[0] > DOCUMENT_SECONDS:
                self._document = (time.monotonic(), self._fetch_document())
            return self._document[1]

    def _fetch_document(self) -> Document:
        found = self._ask("GET", self.issuer.rstrip("/") + "/.well-known/openid-configuration", Document)
        if found.issuer != self.issuer:
            raise Unavailable("统一身份认证的配置文件不是所设签发方的", fix="核对 oidc.json 的 issuer")
        for address in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
            _checked(address)
        return found

    def key(self, kid: str) -> PublicKey:
        """The issuer's signing key of this id. An unknown id has the keys fetched again, at most once a minute.

        Raise TokenRefused for an id that is unknown, or that two keys bear.
        """
        address = self.document.jwks_uri
        with self._lock:
            age = time.monotonic() - self._keys[0] if self._keys else KEYS_SECONDS + 1
            if age > KEYS_SECONDS or (age > REFETCH_SECONDS and not self._named(kid)):
                self._keys = (time.monotonic(), self._ask("GET", address, _Keys).keys)
            found = self._named(kid)
        if len(found) != 1:
            raise TokenRefused("签发方没有公布这把密钥" if not found else "密钥编号不唯一")
        return _public_key(found[0])

    def _named(self, kid: str) -> list[dict[str, Any]]:
        return [one for one in (self._keys[1] if self._keys else []) if one.get("kid") == kid]

    def exchange(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> TokenAnswer:
        """Exchange a code at the token endpoint. Raise TokenRefused if the provider refuses it."""
        return self._ask("POST", self.document.token_endpoint, TokenAnswer, data=form, auth=basic)

    def _ask(self, method: str, address: str, kind: type[T], **sent: Any) -> T:
        """Ask and decode. Raise Unavailable for what cannot be had or read, TokenRefused for a 400 or 401."""
        try:
            with self._client.stream(method, address, headers={"Accept": "application/json"}, **sent) as answer:
                if answer.status_code in (400, 401) and method == "POST":
                    raise TokenRefused("登录凭据无效或已用过")
                if answer.status_code != 200:
                    raise Unavailable(f"统一身份认证应答 {answer.status_code}", fix="稍后再试")
                return msgspec.json.decode(_limited(answer), type=kind)
        except (httpx.HTTPError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unavailable("统一身份认证暂时不可用", fix="稍后再试，或用本系统的账号登录") from error


def _limited(answer: httpx.Response) -> bytes:
    """The body, at most MAX_ANSWER bytes after decompression, within the time of one answer."""
    body, until = bytearray(), time.monotonic() + TIMEOUT_SECONDS
    for chunk in answer.iter_bytes(16 * 1024):
        body += chunk
        if len(body) > MAX_ANSWER or time.monotonic() > until:
            raise Unavailable("统一身份认证的应答过大或过慢", fix="稍后再试")
    return bytes(body)


def _checked(address: str) -> str:
    """An address that may be asked. Raise Unavailable for plain http to another machine."""
    parts = urlsplit(address)
    local = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not (parts.hostname and (parts.scheme == "https" or local)):
        raise Unavailable("统一身份认证的地址须为 https", fix="核对 oidc.json 和签发方的配置文件")
    return address


def _public_key(jwk: dict[str, Any]) -> PublicKey:
    """A key for signatures. Raise TokenRefused for a shared secret, a key for encryption, or what is no key."""
    if jwk.get("kty") not in _KINDS or jwk.get("use", "sig") != "sig" or "k" in jwk:
        raise TokenRefused("密钥不是签名公钥")
    if jwk["kty"] == "RSA" and len(str(jwk.get("n"))) < _RSA_2048:
        raise TokenRefused("密钥过短")
    try:
        key = import_key(jwk)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise TokenRefused("密钥不能读取") from error
    if not isinstance(key, RSAKey | ECKey | OKPKey):
        raise TokenRefused("密钥不是签名公钥")
    return key
