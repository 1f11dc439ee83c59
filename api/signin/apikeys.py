"""API keys, for programs: `tr_` + 8 characters that may be shown + `_` + a secret.

The secret is 256 random bits as 43 characters of base62, then 6 that check the whole key (CRC-32), so that a typing
error and a scanner for secrets know without asking. The file keeps the SHA-256 of the key: that of 256 random bits
needs no slow hash.
"""

import hashlib
import hmac
import secrets
import string
import zlib
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import msgspec

from api.signin.database import Database, instant, seconds
from api.signin.logins import no_number
from registry.errors import BadInput, NotFound
from registry.permissions import RULES, Permission
from registry.terms import civil_date

LONGEST = timedelta(days=365)
MOST_KEYS, MOST_NAME = 20, 60
_START, _PREFIX, _SECRET, _CHECK = "tr_", 8, 43, 6
_LENGTH = len(_START) + _PREFIX + 1 + _SECRET + _CHECK
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_COLUMNS = "id, actor, name, limits, made, until, used_on"


class ApiKey(msgspec.Struct, frozen=True):
    """A key in force, without its secret. `id` and `prefix` are the part that may be shown; `used_on` a day here."""

    id: str
    actor: str
    name: str
    limits: frozenset[Permission]
    made_at: datetime
    until: datetime
    used_on: date | None

    @property
    def prefix(self) -> str:
        """What the key begins with."""
        return _START + self.id


class ApiKeys:
    """The API keys of one accounts file."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database, self._clock = database, clock

    def make_api_key(self, actor: str, name: str, limits: Iterable[Permission], until: datetime) -> str:
        """Make a key that has these rights of its actor at most; return it, this once.

        Raise BadInput without a name, a right of a person, or an end within a year; or for a 21st key.
        """
        now, rights = self._clock(), frozenset(limits)
        name = no_number(name.strip(), "名称")
        if not 0 < len(name) <= MOST_NAME:
            raise BadInput(f"密钥须有名称，不超过 {MOST_NAME} 个字符", fix="写明由哪个系统使用")
        if not rights or not all(RULES[one].roles for one in rights):
            raise BadInput("密钥须写明可以办理的事项", fix="至少选一项某个角色拥有的权限，例如 read-titles")
        if not timedelta(0) < until - now <= LONGEST:
            raise BadInput("密钥的有效期须在一年以内", fix="写明一年以内的到期时间")
        key = _new_key()
        row = (_id_of(key), actor, name, _mark(key), _written(rights), seconds(now), seconds(until))
        with self._database.writing() as c:
            in_force = "SELECT count(*) FROM api_keys WHERE actor=? AND ended IS NULL AND until>?"
            if c.execute(in_force, (actor, seconds(now))).fetchone()[0] >= MOST_KEYS:
                raise BadInput(f"每人最多 {MOST_KEYS} 把有效的密钥", fix="先停用不再使用的密钥")
            c.execute("INSERT INTO api_keys VALUES (?,?,?,?,?,?,?,NULL,NULL)", row)
        return key

    def api_key(self, key: str) -> ApiKey | None:
        """The key in force, or None; what cannot be a key is not even looked up. It counts as used today."""
        if not is_whole(key):
            return None
        now = self._clock()
        rows = self._database.read(
            f"SELECT mark, {_COLUMNS} FROM api_keys WHERE id=? AND ended IS NULL AND until>?", _id_of(key), seconds(now)
        )
        kept = rows[0][0] if rows else bytes(32)
        if not hmac.compare_digest(kept, _mark(key)) or not rows:
            return None
        found, today = _api_key(rows[0][1:]), civil_date(now)
        if found.used_on != today:
            self._database.write("UPDATE api_keys SET used_on=? WHERE id=?", today.isoformat(), found.id)
        return found

    def api_keys(self, actor: str) -> Sequence[ApiKey]:
        """An actor's keys in force, the oldest first."""
        where = "WHERE actor=? AND ended IS NULL AND until>? ORDER BY made, id"
        rows = self._database.read(f"SELECT {_COLUMNS} FROM api_keys {where}", actor, seconds(self._clock()))
        return [_api_key(row) for row in rows]

    def owner_of_api_key(self, key: str) -> str:
        """The actor of a key in force, by its id. Raise NotFound."""
        where = "WHERE id=? AND ended IS NULL AND until>?"
        rows = self._database.read(f"SELECT actor FROM api_keys {where}", key, seconds(self._clock()))
        if not rows:
            raise NotFound(f"没有有效的密钥 {_START}{key}", fix="用 accounts api-key list 查看")
        return str(rows[0][0])

    def end_api_key(self, key: str, actor: str) -> None:
        """End a key of this actor, by its id, for ever; another's stays as it is."""
        now = seconds(self._clock())
        self._database.write("UPDATE api_keys SET ended=? WHERE id=? AND actor=? AND ended IS NULL", now, key, actor)

    def prune(self, before: int) -> int:
        """Drop the keys that are over since an instant."""
        return self._database.write("DELETE FROM api_keys WHERE until<=? OR ended<=?", before, before)


def is_whole(key: str) -> bool:
    """Whether a text has the form of a key and its check characters are right. It says nothing else of it."""
    body, check = key[:-_CHECK], key[-_CHECK:]
    return len(key) == _LENGTH and key.isascii() and key.startswith(_START) and _check(body) == check


def _new_key() -> str:
    prefix = "".join(secrets.choice(_BASE62) for _ in range(_PREFIX))
    body = f"{_START}{prefix}_{_base62(secrets.randbits(256), _SECRET)}"
    return body + _check(body)


def _check(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, size: int) -> str:
    digits = ""
    for _ in range(size):
        number, rest = divmod(number, 62)
        digits = _BASE62[rest] + digits
    return digits


def _id_of(key: str) -> str:
    return key[len(_START) : len(_START) + _PREFIX]


def _mark(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _written(limits: Iterable[Permission]) -> str:
    return " ".join(sorted(one.value for one in limits))


def _api_key(row: Sequence[Any]) -> ApiKey:
    ident, actor, name, limits, made, until, used_on = row
    rights = frozenset(Permission(one) for one in limits.split())
    used = date.fromisoformat(used_on) if used_on else None
    return ApiKey(ident, actor, name, rights, instant(made), instant(until), used)
