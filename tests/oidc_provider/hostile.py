"""A small issuer on the loopback that signs whatever a test wants, so that every lie can be told over real HTTP."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_KEY = rsa.generate_private_key(65537, 2048)
SHORT_KEY = rsa.generate_private_key(65537, 1024)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
CLIENT = "registry"


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    """A number as a JWK writes it."""
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa_jwk(key: rsa.RSAPrivateKey, kid: str, **more: str) -> dict[str, Any]:
    """The public JWK of an RSA key."""
    public = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "n": number(public.n), "e": number(public.e), **more}


def ec_jwk(kid: str) -> dict[str, Any]:
    """The public JWK of the P-256 key."""
    public = EC_KEY.public_key().public_numbers()
    x, y = (b64(each.to_bytes(32, "big")) for each in (public.x, public.y))
    return {"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y}


def ed_jwk(kid: str) -> dict[str, Any]:
    """The public JWK of the Ed25519 key."""
    return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(ED_KEY.public_key().public_bytes_raw())}


def _rs256(data: bytes, key: rsa.RSAPrivateKey = RSA_KEY) -> bytes:
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def _ps256(data: bytes) -> bytes:
    return RSA_KEY.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


def _es256(data: bytes) -> bytes:
    r, s = decode_dss_signature(EC_KEY.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def hs256_with_public_key(data: bytes) -> bytes:
    """The old confusion: a MAC whose secret is the public key that everybody knows."""
    mac = hmac.HMAC(RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), hashes.SHA256())
    mac.update(data)
    return mac.finalize()


SIGNERS: dict[str, Callable[[bytes], bytes]] = {
    "RS256": _rs256,
    "PS256": _ps256,
    "ES256": _es256,
    "EdDSA": ED_KEY.sign,
}


def by_other(data: bytes) -> bytes:
    """Signed with RS256 by a key that the issuer never published."""
    return _rs256(data, OTHER_KEY)


def by_short(data: bytes) -> bytes:
    """Signed with a key of 1024 bits."""
    return _rs256(data, SHORT_KEY)


def signed(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A compact JWS written by hand, so that nothing of a library forbids it."""
    content = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{content}.{b64(sign(content.encode()))}"


class HostileIssuer:
    """What it publishes and answers can all be changed. `asked` holds every request: path and form."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "one"}
        self.claims: dict[str, Any] = {"sub": "somebody"}
        self.sign: Callable[[bytes], bytes] | None = None
        self.keys = [rsa_jwk(RSA_KEY, "one"), ec_jwk("two"), ed_jwk("three")]
        self.document: dict[str, Any] = {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/jwks",
        }
        self.nonce = ""
        self.used: set[str] = set()
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        self.asked.append((path, form))
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            return _json(self.document)
        if path == "/jwks":
            return _json({"keys": self.keys})
        if path == "/token" and form["code"] in self.used:
            return 400, {}, b'{"error":"invalid_grant"}'
        if path == "/token":
            self.used.add(form["code"])
            return _json({"id_token": self.token(), "access_token": "x", "token_type": "Bearer"})
        return 404, {}, b""

    def token(self) -> str:
        """An ID token with this issuer's present header, claims and signer."""
        now = int(time.time())
        claims = {"iss": self.address, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": self.nonce} | self.claims
        said = {name: value for name, value in claims.items() if value is not None}
        return signed(self.header, said, self.sign or SIGNERS[self.header["alg"]])

    def authorised(self, address: str, code: str = "") -> str:
        """What the browser would do at the authorisation endpoint: the address that it is sent back to."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        self.nonce = query["nonce"]
        code = code or f"code-{len(self.asked)}"
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"


def _json(value: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


@contextmanager
def hostile_issuer() -> Iterator[HostileIssuer]:
    """One that listens until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._give({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._give({name: values[0] for name, values in parse_qs(body).items()})

        def _give(self, form: dict[str, str]) -> None:
            status, headers, body = issuer.answer(self.path.partition("?")[0], form)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    issuer = HostileIssuer(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
