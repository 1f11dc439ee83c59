"""A POST sent twice under one `Idempotency-Key` is done once: the answer of the first is given again, for a day.

Only what succeeded is kept: what was refused wrote nothing, and may be asked again. A row holds no name: the key and
the body are kept as keyed hashes, the answer sealed to its row under a key that only the open vault yields.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api.doors import answer, keyed, sealer
from api.employers import registry_of
from api.errors import BadRequest, Pointed
from registry.errors import Unavailable
from registry.service import Registry

KEPT_SECONDS = 24 * 3600
GIVEN_UP_SECONDS = 300  # a request that was cut off may be sent again after so long
_TABLES = """
CREATE TABLE IF NOT EXISTS requests (
    key TEXT PRIMARY KEY, asked TEXT NOT NULL, begun REAL NOT NULL, answer BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, actor TEXT NOT NULL, state TEXT NOT NULL, begun REAL NOT NULL, rows INTEGER NOT NULL,
    result BLOB, copy BLOB) WITHOUT ROWID;
"""


class Done(NamedTuple):
    """What a write did, as ids and positions only: an HTTP status, a body to be encoded, where the new thing is."""

    status: int
    item: Any
    location: str | None = None


class _Kept(msgspec.Struct, frozen=True):
    status: int
    item: msgspec.Raw
    location: str | None


class KeyReused(BadRequest):
    """The key was used for another request. Nothing was done. Answered with 422."""

    code = "idempotency-key-reused"

    def __init__(self) -> None:
        super().__init__([Pointed("header/Idempotency-Key", "这个键已用于另一请求；新的请求用新的键")])


class InProgress(BadRequest):
    """The same request is being done now. Answered with 409; ask again shortly."""

    status, code = 409, "in-progress"

    def __init__(self) -> None:
        super().__init__([Pointed("header/Idempotency-Key", "同一请求正在办理，请稍后再取结果")])
        self.headers = {"Retry-After": "1"}


class RequestStore:
    """The file `requests.db` (0600): answered requests and jobs of the last day. Safe in threads and processes."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path, self.clock = path, clock

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One short transaction that writes; what is past its day goes first. Raise Unavailable if it cannot be."""
        try:
            connection = self._open()
            try:
                connection.execute("BEGIN IMMEDIATE")
                past = self.clock() - KEPT_SECONDS
                connection.execute("DELETE FROM requests WHERE begun<?", (past,))
                connection.execute("DELETE FROM jobs WHERE begun<?", (past,))
                yield connection
                connection.execute("COMMIT")
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise Unavailable(
                f"requests.db 不能读写：{error}", fix="稍后再试；仍然如此的，请告知系统维护人员"
            ) from error

    def _open(self) -> sqlite3.Connection:
        if not self.path.exists():
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=10)
        connection.execute("PRAGMA secure_delete=ON")
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name='jobs'").fetchone():
            connection.executescript(_TABLES)
        return connection


class Once:
    """One request under one key of one actor."""

    def __init__(self, store: RequestStore, registry: Registry, actor: str, key: str, asked: Sequence[bytes]) -> None:
        digest = sha256(b"".join(sha256(part).digest() for part in asked)).hexdigest()
        self.store, self._sealer = store, sealer(registry, "request")
        self.key, self.asked = (
            keyed(registry, f"door-request/1|{actor}|{key}"),
            keyed(registry, f"door-asked/1|{digest}"),
        )

    def begin(self) -> Done | None:
        """Note that it is begun; return the answer if it was given already. Raise KeyReused or InProgress."""
        now = self.store.clock()
        with self.store.transaction() as c:
            row = c.execute("SELECT asked, begun, answer FROM requests WHERE key=?", (self.key,)).fetchone()
            if row and row[0] != self.asked:
                raise KeyReused
            if row and row[2] is None and now - row[1] < GIVEN_UP_SECONDS:
                raise InProgress
            if not row or row[2] is None:
                c.execute("REPLACE INTO requests VALUES (?, ?, ?, NULL)", (self.key, self.asked, now))
                return None
        kept = msgspec.json.decode(self._sealer.open(row[2], self.key.encode()), type=_Kept)
        return Done(kept.status, kept.item, kept.location)

    def end(self, done: Done | None) -> None:
        """Keep the answer; None: it was refused, and the key is free again."""
        with self.store.transaction() as c:
            if done is None:
                c.execute("DELETE FROM requests WHERE key=?", (self.key,))
                return
            kept = _Kept(done.status, msgspec.Raw(msgspec.json.encode(done.item)), done.location)
            box = self._sealer.seal(msgspec.json.encode(kept), self.key.encode())
            c.execute("UPDATE requests SET answer=? WHERE key=?", (box, self.key))


def store_of(request: Request) -> RequestStore:
    """The store of this process."""
    store: RequestStore = request.app.state.requests
    return store


async def once(request: Request, actor: str, asked: Sequence[bytes], do: Callable[[], Done]) -> Response:
    """Do a write in a thread, and do it once for one `Idempotency-Key`. `asked` is all that the body says.

    Raise BadRequest for a key that is none, KeyReused, InProgress, and whatever `do` raises.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return _answered(await run_in_threadpool(do))
    if not 0 < len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise BadRequest([Pointed("header/Idempotency-Key", "须为 1 到 255 个可见的 ASCII 字符")])
    said = (f"{request.method} {request.url.path}?{request.url.query}".encode(), *asked)
    one = Once(store_of(request), registry_of(request), actor, key, said)
    return _answered(await run_in_threadpool(_do_once, one, do))


def _do_once(one: Once, do: Callable[[], Done]) -> Done:
    if known := one.begin():
        return known
    done = None
    try:
        done = do()
    finally:
        one.end(done)
    return done


def _answered(done: Done) -> Response:
    return answer(done.item, done.status, location=done.location)
