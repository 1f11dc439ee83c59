"""Private keys in a PKCS#11 token: made there, sensitive, never extractable; they sign there and never leave it.

    <purpose>-<kid>          P-256 (CKM_ECDSA over a SHA-256 digest), or Ed25519 (CKM_EDDSA) for checkpoints
    root-<kid>               P-256, the key above the issuing certificates
    vault-<id>-master        AES-256: wraps the data keys with CKM_AES_GCM, in the format of `keys.vault`
    vault-<id>-index         generic secret: CKM_SHA256_HMAC of the blind index

Those are the labels. A token without CKM_EDDSA leaves the checkpoint key in the encrypted file, as it always does the
ML-DSA key; one without any other of these mechanisms is refused. Signatures of a token differ each time, unlike those
of files (RFC 6979); nothing but the bytes of a PDF made twice depends on it.
"""

import os
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from keys.backends.files import FileStore
from keys.backends.held import TokenEd25519Key, TokenP256Key
from keys.backends.token import Token, library
from keys.errors import CustodyUnavailable, KeyNotUsable, KeyStoreBroken
from keys.jwk import RawPublicKey, kid_of
from keys.signing import Purpose, RawPrivateKey
from keys.vault import Vault

if TYPE_CHECKING:
    from pkcs11 import Session

_NEEDED = ("EC_KEY_PAIR_GEN", "ECDSA", "AES_KEY_GEN", "AES_GCM", "GENERIC_SECRET_KEY_GEN", "SHA256_HMAC")
_ED25519_NEEDED = ("EC_EDWARDS_KEY_PAIR_GEN", "EDDSA")
_P256 = bytes.fromhex("06082a8648ce3d030107")  # the curve's object identifier
_ED25519 = b"\x13\x0cedwards25519"  # its name, as PKCS#11 v3.0 section 2.3.10 has it


class TokenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="custody", tag="pkcs11"):
    """Which token: path of the module, label of the token, path of the file with the PIN (mode 0600).

    `vault` and `in_token` are filled in when a key folder is made (see `prepared`).
    """

    module: str
    token: str
    pin_file: str
    vault: str = ""
    in_token: tuple[Purpose, ...] = ()

    def prepared(self) -> "TokenSettings":
        """Look at the token and say which keys it will hold. Raise CustodyUnavailable if it cannot hold the main ones.

        BackEndMissing, WrongPin and LoosePermissions are raised as well.
        """
        token, mechanism = self.open(), library().Mechanism
        known = token.use(lambda session: set(session.token.slot.get_mechanisms()))
        missing = [name for name in _NEEDED if mechanism[name] not in known]
        if missing:
            fix = "请换用支持它们的加密机，或使用加密文件（默认）"
            raise CustodyUnavailable(f"加密机 {self.token} 不支持 {'、'.join(missing)}", fix=fix)
        held = [Purpose.E_CERTIFICATE, Purpose.DOCUMENT]
        if all(mechanism[name] in known for name in _ED25519_NEEDED):
            held.append(Purpose.CHECKPOINT)
        return msgspec.structs.replace(self, vault=uuid4().hex[:8], in_token=tuple(held))

    def open(self) -> Token:
        """Return the token; nothing is asked of it yet."""
        return Token.at(self.module, self.token, Path(self.pin_file))


class TokenStore:
    """Keys in a token, and in files what the token does not hold."""

    def __init__(self, settings: TokenSettings, files: FileStore) -> None:
        self._settings, self._files, self._token = settings, files, settings.open()
        self._made: list[tuple[str, str]] = []

    def make(self, purpose: Purpose) -> RawPublicKey:
        """Make a key in the token, or in a file if the token holds none for this purpose."""
        if purpose not in self._settings.in_token:
            return self._files.make(purpose)
        word = purpose.value.partition("/")[0]
        return self._make_pair(word, _ED25519 if purpose is Purpose.CHECKPOINT else _P256)

    def open(self, purpose: Purpose, kid: str) -> RawPrivateKey:
        """Return a key that signs in the token, or one from a file. Raise KeyStoreBroken if the token has it not."""
        if purpose not in self._settings.in_token:
            return self._files.open(purpose, kid)
        label = f"{purpose.value.partition('/')[0]}-{kid}"
        self._require(label)
        public = self._public(label)
        if isinstance(public, Ed25519PublicKey):
            return TokenEd25519Key(public, lambda message: self._sign(label, message, "EDDSA"))
        return self._p256(label, public)

    def make_root(self) -> EllipticCurvePrivateKey:
        """Make the root key in the token."""
        public = self._make_pair("root", _P256)
        return self._p256(f"root-{kid_of(public)}", public)

    def open_root(self, root: x509.Certificate) -> EllipticCurvePrivateKey:
        """Return the root key. Raise KeyStoreBroken if the token has not the one of that certificate."""
        public = root.public_key()
        if not isinstance(public, EllipticCurvePublicKey):
            raise KeyStoreBroken("根证书 root.pem 的密钥不是 P-256")
        label = f"root-{kid_of(public)}"
        self._require(label)
        if self._public(label) != public:
            raise KeyStoreBroken(f"加密机中的 {label} 与根证书 root.pem 不符")
        return self._p256(label, public)

    def make_vault(self) -> None:
        """Make the two keys of the vault in the token."""
        kinds = library().KeyType
        self._make_secret("master", kinds.AES, ("ENCRYPT", "DECRYPT"), "AES_KEY_GEN")
        self._make_secret("index", kinds.GENERIC_SECRET, ("SIGN",), "GENERIC_SECRET_KEY_GEN")

    def vault(self) -> Vault:
        """Return the vault whose two keys are in the token; data keys in use are in memory, as with files."""
        return Vault.of(_MasterKey(self._token, self._vault_label("master")), self._mac)

    def discard(self) -> None:
        """Destroy what this object made, in the token and in files."""
        for kind, label in self._made:
            self._token.use(partial(self._token.forget, kind, label))
        self._made.clear()
        self._files.discard()

    def _vault_label(self, word: str) -> str:
        return f"vault-{self._settings.vault}-{word}"

    def _mac(self, message: bytes) -> bytes:
        label, mechanism = self._vault_label("index"), library().Mechanism.SHA256_HMAC
        return self._token.use(lambda _: bytes(self._key("SECRET_KEY", label).sign(message, mechanism=mechanism)))

    def _sign(self, label: str, message: bytes, mechanism: str) -> bytes:
        wanted = library().Mechanism[mechanism]
        return self._token.use(lambda _: bytes(self._key("PRIVATE_KEY", label).sign(message, mechanism=wanted)))

    def _key(self, kind: str, label: str) -> Any:
        return self._token.key(kind, label)

    def _p256(self, label: str, public: RawPublicKey) -> TokenP256Key:
        if not isinstance(public, EllipticCurvePublicKey):
            raise KeyStoreBroken(f"加密机中的 {label} 不是 P-256 密钥")
        return TokenP256Key(public, lambda message: self._sign(label, sha256(message).digest(), "ECDSA"))

    def _require(self, label: str) -> None:
        """Raise KeyStoreBroken now, and not at the first signature, if the token has no such private key."""
        self._token.use(lambda _: self._key("PRIVATE_KEY", label))

    def _public(self, label: str) -> RawPublicKey:
        return self._token.use(lambda _: _read_public(self._key("PUBLIC_KEY", label), label))

    def _make_pair(self, word: str, curve: bytes) -> RawPublicKey:
        """Make a key pair. Its final label has its id in it, so it is made under a name of chance and then named."""

        def make(session: "Session") -> RawPublicKey:
            p = library()
            kind = p.KeyType.EC if curve is _P256 else p.KeyType.EC_EDWARDS
            parameters = session.create_domain_parameters(kind, {p.Attribute.EC_PARAMS: curve}, local=True)
            public, private = parameters.generate_keypair(
                store=True,
                label=f"unnamed-{uuid4().hex}",
                capabilities=p.MechanismFlag.SIGN | p.MechanismFlag.VERIFY,
                private_template=_kept(p) | {p.Attribute.DERIVE: False},
            )
            self._check_kept(private)
            found = _read_public(public, word)
            label = f"{word}-{kid_of(found)}"
            for key in (public, private):
                key[p.Attribute.LABEL], key[p.Attribute.ID] = label, label.encode()
            self._made += [("PRIVATE_KEY", label), ("PUBLIC_KEY", label)]
            return found

        return self._token.use(make)

    def _make_secret(self, word: str, kind: Any, uses: tuple[str, ...], mechanism: str) -> None:
        def make(session: "Session") -> None:
            p, label = library(), self._vault_label(word)
            flags = p.MechanismFlag(0)
            for use in uses:
                flags |= p.MechanismFlag[use]
            key = session.generate_key(
                kind,
                256,
                store=True,
                label=label,
                id=label.encode(),
                capabilities=flags,
                mechanism=p.Mechanism[mechanism],
                template=_kept(p),
            )
            self._check_kept(key)
            self._made.append(("SECRET_KEY", label))

        self._token.use(make)

    def _check_kept(self, key: Any) -> None:
        """Believe no token: what it says of a new key is read back, and a key that could leave it is destroyed."""
        attribute = library().Attribute
        if not key[attribute.SENSITIVE] or key[attribute.EXTRACTABLE] or not key[attribute.NEVER_EXTRACTABLE]:
            key.destroy()
            raise KeyNotUsable(f"加密机 {self._settings.token} 生成的密钥可以导出", fix="请检查加密机的安全策略")


class _MasterKey:
    """The vault's master key in a token: encrypts and decrypts like `AESGCM`, with a tag of 16 bytes."""

    def __init__(self, token: Token, label: str) -> None:
        self._token, self._label = token, label

    def encrypt(self, nonce: bytes, data: bytes, position: bytes) -> bytes:
        return self._token.use(lambda _: self._run("encrypt", nonce, data, position))

    def decrypt(self, nonce: bytes, data: bytes, position: bytes) -> bytes:
        """Raise InvalidTag for data that was changed or moved."""
        if len(nonce) != 12 or len(data) < 16:
            raise InvalidTag

        def work(_: "Session") -> bytes:
            p = library()
            try:
                return self._run("decrypt", nonce, data, position)
            except p.PKCS11Error:
                self._prove_well()
                raise InvalidTag from None

        return self._token.use(work)

    def _prove_well(self) -> None:
        """Tokens report a wrong tag as one fault or another: it is the data's if the token still does its work."""
        nonce = os.urandom(12)
        self._run("decrypt", nonce, self._run("encrypt", nonce, b"well?", b""), b"")

    def _run(self, work: str, nonce: bytes, data: bytes, position: bytes) -> bytes:
        p = library()
        run: Callable[..., bytes] = getattr(self._token.key("SECRET_KEY", self._label), work)
        return run(data, mechanism=p.Mechanism.AES_GCM, mechanism_param=p.GCMParams(nonce, position, 128))


def _kept(p: Any) -> dict[Any, bool]:
    return {p.Attribute.SENSITIVE: True, p.Attribute.EXTRACTABLE: False, p.Attribute.PRIVATE: True}


def _read_public(key: Any, label: str) -> RawPublicKey:
    """Read the point. It is an OCTET STRING in DER; some tokens leave that off."""
    attribute = library().Attribute
    point, curve = bytes(key[attribute.EC_POINT]), bytes(key[attribute.EC_PARAMS])
    width = 65 if curve == _P256 else 32
    if len(point) == width + 2 and point[:2] == bytes((4, width)):
        point = point[2:]
    try:
        if curve == _P256:
            return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
        return Ed25519PublicKey.from_public_bytes(point)
    except ValueError as error:
        raise KeyStoreBroken(f"加密机中的公钥 {label} 无法读取：{error}") from error
