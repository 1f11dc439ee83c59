"""The public keys by id, with validity and state: what a verifier pins, and what is published as a JWKS.

The file is a JWK Set (RFC 7517). Each key has kty, crv, x, (y,) or kty, pub (RFC 9964), then kid, alg, use="sig", and
members of ours that other readers ignore: "purpose", "state", "nbf"/"exp" in seconds since 1970 (signing from nbf until
before exp), and on a compromised key "compromised_from": its signatures count only on leaves before that index.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from keys import jwk
from keys.errors import KeyNotUsable, KeyStoreBroken, UnknownKey
from keys.files import read_public, write_private
from keys.signing import Algorithm, KeyState, PublicKey, Purpose

_JWK_ALG = {
    Algorithm.ES256: "ES256",
    Algorithm.ED25519: "EdDSA",
    Algorithm.ML_DSA_44: jwk.ML_DSA_44,
    Algorithm.SM2: "SM2",  # a name of ours: none is registered
}


class KeyRecord(msgspec.Struct, frozen=True):
    """A public key (SubjectPublicKeyInfo, DER), when it may sign (UTC, not_after excluded), and its state.

    `compromised_from` is a leaf index of the transparency log, on a compromised key only.
    """

    kid: str
    algorithm: Algorithm
    purpose: Purpose
    public: bytes
    not_before: datetime
    not_after: datetime
    state: KeyState = KeyState.ACTIVE
    compromised_from: int | None = None

    def counts(self, leaf: int) -> bool:
        """Whether what it signed for that leaf counts: always, or before the position from which it is compromised."""
        return self.state is not KeyState.COMPROMISED or leaf < (self.compromised_from or 0)

    def why_unusable(self, now: datetime) -> str | None:
        """Say why the key must not sign at that instant, or None if it may."""
        if self.state is not KeyState.ACTIVE:
            return {KeyState.RETIRED: "已停用", KeyState.COMPROMISED: "已泄露"}[self.state]
        if now < self.not_before:
            return f"自 {self.not_before.isoformat()} 起才有效"
        return f"已于 {self.not_after.isoformat()} 到期" if now >= self.not_after else None


class _Jwk(msgspec.Struct, omit_defaults=True, kw_only=True):
    kty: str
    crv: str = ""
    x: str = ""
    kid: str
    alg: str
    use: Literal["sig"]
    purpose: Purpose
    nbf: int
    exp: int
    state: KeyState
    compromised_from: int | None = None
    y: str = ""
    pub: str = ""
    d: str = ""  # a private key: read only to be refused; so is priv, its name in an AKP key
    priv: str = ""


class _Jwks(msgspec.Struct):
    keys: list[_Jwk]


class Keyring:
    """A set of public keys that never changes; a change makes a new one. Retired and compromised keys stay in it."""

    def __init__(self, records: Iterable[KeyRecord]) -> None:
        """Take the records. Raise KeyStoreBroken for two keys of one id, or an id that is not the key's own."""
        self.records = tuple(records)
        self._keys = {r.kid: PublicKey.from_spki(r.public, r.purpose, r.state) for r in self.records}
        self._records = {r.kid: r for r in self.records}
        if len(self._keys) != len(self.records):
            raise KeyStoreBroken("密钥环中有两把密钥编号相同")
        for record in self.records:
            key = self._keys[record.kid]
            if (key.kid, key.algorithm) != (record.kid, record.algorithm):
                raise KeyStoreBroken(f"密钥 {record.kid} 的编号或算法与公钥不符（应为 {key.kid}、{key.algorithm}）")
            if record.compromised_from is not None and record.state is not KeyState.COMPROMISED:
                raise KeyStoreBroken(f"密钥 {record.kid} 没有标为已泄露，却写有 compromised_from")

    def find(self, kid: str) -> PublicKey:
        """Return the key of that id, in whatever state it is (see `.state`). Raise UnknownKey."""
        try:
            return self._keys[kid]
        except KeyError:
            raise UnknownKey(f"密钥环中没有编号为 {kid!r} 的密钥", fix="请更新密钥环（JWKS）后再核验") from None

    def record(self, kid: str) -> KeyRecord:
        """Return the whole record of that id. Raise UnknownKey."""
        self.find(kid)
        return self._records[kid]

    def current(self, purpose: Purpose, now: datetime) -> KeyRecord:
        """Return the newest key that may sign for this purpose now. Raise KeyNotUsable, saying why each may not."""
        own = [record for record in self.records if record.purpose is purpose]
        usable = [record for record in own if record.why_unusable(now) is None]
        if usable:
            return max(usable, key=lambda record: record.not_before)
        reasons = "；".join(f"{record.kid} {record.why_unusable(now)}" for record in own)
        raise KeyNotUsable(f"没有可用于 {purpose.value} 的密钥：{reasons or '一把也没有'}", fix="请更换密钥（rotate）")

    def put(self, record: KeyRecord) -> "Keyring":
        """Return a key ring with this record added, or in the place of the one with its id."""
        return Keyring((self._records | {record.kid: record}).values())

    def to_jwks(self) -> dict[str, Any]:
        """Return the key ring as a JWK Set, ready for JSON. It holds no secret."""
        keys = [_to_jwk(record, self._keys[record.kid]) for record in self.records]
        return {"keys": [msgspec.to_builtins(key) for key in keys]}

    @classmethod
    def from_jwks(cls, jwks: dict[str, Any]) -> "Keyring":
        """Read what `to_jwks` gives; members that we do not know are ignored.

        Raise KeyStoreBroken for what is missing or wrong, an id that does not follow from the key, or a private key.
        """
        try:
            return cls([_to_record(key) for key in msgspec.convert(jwks, _Jwks).keys])
        except (msgspec.ValidationError, OverflowError, OSError) as error:
            raise KeyStoreBroken(f"密钥环（JWKS）无法读取：{error}") from error

    @classmethod
    def load(cls, path: Path) -> "Keyring":
        """Read a JWKS file. Raise KeyStoreBroken if it is missing or wrong."""
        try:
            jwks = msgspec.json.decode(read_public(path))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise KeyStoreBroken(f"密钥环文件 {path} 不是 JSON：{error}") from error
        return cls.from_jwks(jwks)

    def save(self, path: Path) -> None:
        """Write the JWKS file, replacing it in one step: a reader sees the old one or the new one."""
        write_private(path, msgspec.json.format(msgspec.json.encode(self.to_jwks()), indent=2) + b"\n")


def _to_jwk(record: KeyRecord, key: PublicKey) -> _Jwk:
    return _Jwk(
        **({"alg": _JWK_ALG[record.algorithm]} | jwk.to_members(key.key)),
        kid=record.kid,
        use="sig",
        purpose=record.purpose,
        nbf=int(record.not_before.timestamp()),
        exp=int(record.not_after.timestamp()),
        state=record.state,
        compromised_from=record.compromised_from,
    )


def _to_record(key: _Jwk) -> KeyRecord:
    if key.d or key.priv:
        member = "d" if key.d else "priv"
        raise KeyStoreBroken(f"密钥 {key.kid} 含有私钥（{member}）", fix="私钥不得写入 JWKS；请视其为已泄露")
    members = {"kty": key.kty, "crv": key.crv, "x": key.x, "y": key.y, "alg": key.alg, "pub": key.pub}
    public = PublicKey.of(jwk.from_members(members), key.purpose)
    if _JWK_ALG[public.algorithm] != key.alg:
        raise KeyStoreBroken(f"密钥 {key.kid} 的 alg={key.alg} 与公钥不符")
    since, until = (datetime.fromtimestamp(seconds, UTC) for seconds in (key.nbf, key.exp))
    life = (since, until, key.state, key.compromised_from)
    return KeyRecord(key.kid, public.algorithm, key.purpose, public.spki(), *life)
