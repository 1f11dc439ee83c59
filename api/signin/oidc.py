"""Sign-in through an identity provider: OpenID Connect, authorisation code with PKCE (S256), state and nonce.

The provider says who somebody is; the registry alone says whom it knows by that (`matching.py`), and what they may do.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote_plus, urlencode

import msgspec

from api.signin.idtoken import Claims, Expected, TokenRefused, read_id_token
from api.signin.issuer import Issuer
from keys.files import read_private
from registry.errors import Unavailable
from registry.terms import IdentityKind

FILE = "oidc.json"
AGAIN_SECONDS = 300


class SignsIn(StrEnum):
    """The kind of persons whom a provider may sign in; it never signs in others."""

    HOLDERS = "holders"
    OFFICERS = "officers"
    EMPLOYERS = "employers"


class Provider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One identity provider, as `oidc.json` in the data folder describes it.

    `id` stands in addresses; `name` on the button. `client_secret_file` lies in the data folder, mode 0600 (None: a
    public client, PKCE alone). `identity_claim` carries the identity number, `name_claim` the name, which must then be
    one the holder has had. `acr`: what the token must say of the way of signing in; without it an officer shows our own
    second factor too.
    """

    id: str
    name: str
    issuer: str
    client_id: str
    signs_in: SignsIn
    name_en: str = ""
    client_secret_file: str | None = None
    identity_claim: str | None = None
    identity_kind: IdentityKind = IdentityKind.RESIDENT_ID
    name_claim: str | None = None
    scope: str = "openid"
    acr: str | None = None


class Asked(NamedTuple):
    """One sign-in under way: where the browser goes, and what is kept here until it comes back."""

    address: str
    state: str
    nonce: str
    verifier: str


class Providers:
    """The providers of one registry, with what they published last."""

    def __init__(self, folder: Path, found: Sequence[Provider]) -> None:
        self.folder = folder
        self._known = {one.id: (one, Issuer(one.issuer)) for one in found}

    @classmethod
    def read(cls, folder: Path) -> "Providers":
        """Those of `oidc.json`; none if there is no such file. Raise Unavailable for one that cannot be used."""
        path = folder / FILE
        if not path.exists():
            return cls(folder, [])
        try:
            found = msgspec.json.decode(path.read_bytes(), type=list[Provider])
        except (OSError, msgspec.MsgspecError) as error:
            raise Unavailable(f"{path} 不能读取：{error}", fix="按文档修改该文件") from error
        if len({one.id for one in found}) < len(found) or not all(one.id.isalnum() for one in found):
            raise Unavailable(f"{path} 的 id 须为不重复的字母和数字", fix="修改 id")
        return cls(folder, found)

    def __iter__(self) -> Iterator[Provider]:
        return iter(provider for provider, _ in self._known.values())

    def get(self, name: str) -> Provider | None:
        """The provider of this id."""
        return self._known[name][0] if name in self._known else None

    def begin(self, provider: Provider, redirect_uri: str, *, again: bool = False) -> Asked:
        """Ask the provider who this is; `again`: they must sign in there once more. Raise Unavailable."""
        document = self._known[provider.id][1].document
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        query = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": redirect_uri,
            "scope": provider.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        query |= {"prompt": "login", "max_age": "0"} if again else {}
        query |= {"acr_values": provider.acr} if provider.acr else {}
        mark = "&" if "?" in document.authorization_endpoint else "?"
        return Asked(f"{document.authorization_endpoint}{mark}{urlencode(query)}", state, nonce, verifier)

    def finish(
        self,
        provider: Provider,
        redirect_uri: str,
        code: str,
        asked: Asked,
        now: datetime,
        *,
        iss: str | None = None,
        again: bool = False,
    ) -> Claims:
        """Exchange the code and check the ID token. Raise TokenRefused or Unavailable.

        `iss` is the answer's own word for who sent it (RFC 9207), against a mix-up of two providers.
        """
        issuer = self._known[provider.id][1]
        if iss != issuer.issuer and (iss is not None or issuer.document.authorization_response_iss_parameter_supported):
            raise TokenRefused("应答来自另一签发方")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": asked.verifier,
        }
        basic, more = self._credentials(provider, issuer)
        token = issuer.exchange(form | more, basic).id_token
        expected = Expected(issuer=issuer.issuer, client_id=provider.client_id, nonce=asked.nonce, acr=provider.acr)
        claims = read_id_token(token, expected, issuer.key, now)
        if again and (claims.signed_in_at is None or now.timestamp() - claims.signed_in_at > AGAIN_SECONDS):
            raise TokenRefused("没有重新登录")
        return claims

    def _credentials(self, provider: Provider, issuer: Issuer) -> tuple[tuple[str, str] | None, dict[str, str]]:
        """How this client shows who it is: by a header where the provider takes that (RFC 6749, 2.3.1)."""
        if provider.client_secret_file is None:
            return None, {"client_id": provider.client_id}
        secret = read_private(self.folder / provider.client_secret_file).decode().strip()
        if "client_secret_basic" in issuer.document.token_endpoint_auth_methods_supported:
            return (quote_plus(provider.client_id), quote_plus(secret)), {}
        return None, {"client_id": provider.client_id, "client_secret": secret}

    def close(self) -> None:
        """Close the connections."""
        for _, issuer in self._known.values():
            issuer.close()


def _challenge(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
