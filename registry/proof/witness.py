"""A witness (C2SP tlog-witness): cosigns a log's checkpoint once it extends the last one that it cosigned for that log.

    vkey          the witness's own verifier key, one line; what others pin
    key.bin       its private key (PKCS#8), sealed under the passphrase (keys/passphrase.py)
    witness.db    SQLite: the keys of the logs, the latest cosigned checkpoint of each, evidence of forks

What it says is worth as much as its memory. So the latest checkpoint is compared and replaced in one transaction, is on
the disk before it is cosigned, and can never go back. A folder without its database is not opened, and an old copy of
it must not be put back: give up that key, and begin with a new one.

(1) the old size that the request names is the size of the latest cosigned checkpoint
(2) one size has one root
(3) the consistency proof leads from the latest root to the new one (RFC 6962 section 2.1.2)
(4) the checkpoint is stored, and only then cosigned
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from keys import passphrase as sealing
from keys.errors import KeysError, KeyStoreBroken, KeyStoreExists
from keys.files import check_private_folder, read_private, read_public, sync_folder, write_private
from keys.signing import Purpose, Signer
from registry.errors import BadInput, ProofInvalid, RegistryError, Unavailable
from registry.proof.checkpoint import NoteKey, open_note
from registry.proof.cosignature import CosignerKey, cosign
from registry.proof.note import split_note
from registry.proof.proofs import verify_consistency
from registry.proof.tree import EMPTY_ROOT
from registry.proof.witnessing import Request, parse_request

MAX_BODY = 128 * 1024  # bytes; sixteen of the largest signatures, and as much again
MAX_UNPROVEN = 100  # rows of evidence for a log: anybody can send its checkpoint with a proof that fails
TEXT, SIZE = "text/plain; charset=utf-8", "text/x.tlog.size"

_WAIT_SECONDS = 10
_ALONE = "BEGIN IMMEDIATE"  # nobody else writes from the first statement on
_SCHEMA = """
CREATE TABLE log_keys (vkey TEXT PRIMARY KEY, origin TEXT NOT NULL) STRICT;
CREATE TABLE latest (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL, cosigned TEXT NOT NULL
) STRICT;
CREATE TABLE evidence (
    origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, kind TEXT NOT NULL, seen TEXT NOT NULL,
    cosigned BLOB NOT NULL, offered BLOB NOT NULL, PRIMARY KEY (origin, size, root, kind)
) STRICT;
CREATE TRIGGER latest_never_goes_back BEFORE UPDATE ON latest
WHEN NEW.origin <> OLD.origin OR NEW.size < OLD.size OR (NEW.size = OLD.size AND NEW.root <> OLD.root)
BEGIN SELECT RAISE(ABORT, 'the latest checkpoint never goes back'); END;
CREATE TRIGGER latest_stays BEFORE DELETE ON latest
BEGIN SELECT RAISE(ABORT, 'the latest checkpoint is never forgotten'); END;
CREATE TRIGGER evidence_unchanged BEFORE UPDATE ON evidence
BEGIN SELECT RAISE(ABORT, 'evidence is never changed'); END;
CREATE TRIGGER fork_stays BEFORE DELETE ON evidence WHEN OLD.kind = 'fork'
BEGIN SELECT RAISE(ABORT, 'evidence of a fork is never deleted'); END;
"""


def _now() -> datetime:
    return datetime.now(UTC)


class Reply(NamedTuple):
    """The answer to a request: HTTP status, body, content type. `alarm` is for the operator: new evidence, in words."""

    status: int
    body: bytes
    content_type: str = TEXT
    alarm: str = ""


class ServedLog(NamedTuple):
    """A log that is served: its verifier keys and its latest cosigned checkpoint (size 0 before the first)."""

    origin: str
    vkeys: tuple[str, ...]
    size: int
    root: bytes
    note: bytes
    cosigned: str


class Evidence(NamedTuple):
    """A signed checkpoint that does not extend the one cosigned before; both notes are whole.

    `fork`: another root at the same size, which only the log's key can have made. `unproven`: the proof sent with it
    failed; that may be the sender's doing, so ask the log for a proof.
    """

    origin: str
    size: int
    root: bytes
    kind: str
    seen: str
    cosigned: bytes
    offered: bytes


class WitnessFolder:
    """What a witness remembers, without its private key. Several processes may have it open at once."""

    def __init__(self, path: Path) -> None:
        """Open a folder. Raise KeyStoreBroken if it is none or lost a part, LoosePermissions if others may read it."""
        check_private_folder(path)
        self.path = path
        self.key = _own_key(path)
        if not (path / "witness.db").is_file():
            fix = "它记得已联署的检查点；没有它就不得再用这把密钥，请建立新的见证人"
            raise KeyStoreBroken(f"见证人的数据库 {path / 'witness.db'} 不在了", fix=fix)

    def add_log(self, vkey: str) -> NoteKey:
        """Serve a log, named by its verifier key; a further key of the same origin is one more. Raise BadInput."""
        key = NoteKey.parse(vkey.strip())
        with self._transaction(_ALONE) as state:
            state.execute("INSERT INTO log_keys VALUES (?, ?) ON CONFLICT DO NOTHING", (str(key), key.name))
        return key

    def logs(self) -> list[ServedLog]:
        """The logs that are served, by origin."""
        with self._transaction() as state:
            origins = state.execute("SELECT DISTINCT origin FROM log_keys ORDER BY origin").fetchall()
            return [_served(state, origin) for (origin,) in origins]

    def evidence(self) -> list[Evidence]:
        """The evidence against logs, oldest first."""
        with self._transaction() as state:
            return [Evidence(*row) for row in state.execute("SELECT * FROM evidence ORDER BY seen, rowid")]

    def keys_of(self, origin: str) -> list[NoteKey]:
        """The keys trusted for that origin; none if the log is not served."""
        with self._transaction() as state:
            rows = state.execute("SELECT vkey FROM log_keys WHERE origin = ?", (origin,)).fetchall()
        return [NoteKey.parse(vkey) for (vkey,) in rows]

    def take(self, request: Request, clock: Callable[[], datetime]) -> Reply | datetime:
        """Compare a signed request with what was cosigned before and store it: the time when that was so, or a refusal.

        The next request waits until this one is on the disk. Raise Unavailable if it cannot be stored.
        """
        with self._transaction(_ALONE) as state:
            latest, now = _served(state, request.checkpoint.origin), clock()
            refusal = _judge(request, latest)
            if refusal is None:
                _store(state, request, now)
                return now
            kind = _kind(request, latest, refusal)
            if kind and _keep(state, request, latest, kind, now):
                return refusal._replace(alarm=f"{kind}: {latest.origin} {request.checkpoint.size}")
            return refusal

    @contextmanager
    def _transaction(self, begin: str = "BEGIN") -> Iterator[sqlite3.Connection]:
        """One transaction; what it wrote is on the disk when the block ends. Raise Unavailable."""
        place = f"{(self.path / 'witness.db').absolute().as_uri()}?mode=rw"
        try:
            with closing(sqlite3.connect(place, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)) as state:
                state.execute("PRAGMA synchronous=FULL")
                state.execute(begin)
                yield state
                state.execute("COMMIT")
        except sqlite3.Error as error:
            raise Unavailable(f"见证人的数据库不能用：{error}", fix="检查磁盘与权限；不要放回旧副本") from error


class Witness:
    """A witness that can cosign: its folder, opened with the passphrase."""

    def __init__(self, folder: WitnessFolder, signer: Signer, clock: Callable[[], datetime]) -> None:
        self.folder, self._signer, self._clock = folder, signer, clock

    @classmethod
    def create(cls, path: Path, name: str, passphrase: bytes) -> WitnessFolder:
        """Make a witness of that name with a new Ed25519 key and no logs, or nothing.

        Raise KeyStoreExists if anything is there, BadInput for a name with blanks or a plus sign, PassphraseMissing.
        """
        private = Ed25519PrivateKey.generate()
        key = CosignerKey.of(name, Signer(private, Purpose.COSIGNATURE).public)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise KeyStoreExists(f"{path} 已存在且不为空，密钥从不覆盖", fix="请选用新的文件夹")
        path.parent.mkdir(parents=True, exist_ok=True)
        clear = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        draft = Path(mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            _make_database(draft / "witness.db")
            write_private(draft / "vkey", f"{key}\n".encode())
            write_private(draft / "key.bin", sealing.seal(clear, passphrase))
            draft.rename(path)
        finally:
            rmtree(draft, ignore_errors=True)
        sync_folder(path.parent)
        return WitnessFolder(path)

    @classmethod
    def open(cls, path: Path, passphrase: bytes, clock: Callable[[], datetime] = _now) -> "Witness":
        """Open a witness; about 0.1 s of scrypt. Raise WrongPassphrase, PassphraseMissing, or as WitnessFolder does."""
        folder = WitnessFolder(path)
        private = load_der_private_key(sealing.unseal(read_private(path / "key.bin"), passphrase), None)
        if not isinstance(private, Ed25519PrivateKey):
            raise KeyStoreBroken("见证人的私钥不是 Ed25519")
        signer = Signer(private, Purpose.COSIGNATURE)
        if CosignerKey.of(folder.key.name, signer.public) != folder.key:
            raise KeyStoreBroken("见证人的私钥与公钥文件 vkey 不符", fix="请从备份恢复 vkey 与 key.bin")
        return cls(folder, signer, clock)

    @property
    def key(self) -> CosignerKey:
        """The public key, which a policy pins."""
        return self.folder.key

    def add_checkpoint(self, body: bytes) -> Reply:
        """Answer one request: 200 with the cosignature line, or 400, 403, 404, 409, 413, 422 as C2SP tlog-witness says.

        Raise Unavailable if it could not be judged or stored; nothing is cosigned then.
        """
        if len(body) > MAX_BODY:
            return _refused(413, f"请求不得超过 {MAX_BODY} 字节")
        try:
            request = parse_request(body)
            trusted = self.folder.keys_of(request.checkpoint.origin)
            if not trusted:
                return _refused(404, "本见证人不受理这个日志")
            if not any(_signed(request.note, key) for key in trusted):
                return _refused(403, "没有可信密钥的有效签名")
        except BadInput as error:
            return _refused(400, error.message)
        taken = self.folder.take(request, self._clock)
        if isinstance(taken, Reply):
            return taken
        return Reply(200, cosign(split_note(request.note)[0], self.key.name, self._signer, taken))  # (4)


def _judge(request: Request, latest: ServedLog) -> Reply | None:
    """What refuses the request; None if the checkpoint extends the latest one."""
    new = request.checkpoint
    if new.size == latest.size and new.root != latest.root:  # (2), before (1): seen whatever old size is named
        return Reply(409, b"%d\n" % latest.size, SIZE)
    if request.old != latest.size:  # (1)
        return Reply(409, b"%d\n" % latest.size, SIZE)
    try:
        if request.proof and not request.old:
            raise ProofInvalid("旧规模为 0 时证明须为空")
        verify_consistency(latest.size, latest.root, new.size, new.root, request.proof)  # (3)
    except ProofInvalid as error:
        return _refused(422, error.message)
    return None


def _kind(request: Request, latest: ServedLog, refusal: Reply) -> str:
    """Which kind of evidence a refused request is; "" for none."""
    new = request.checkpoint
    if new.size == latest.size and new.root != latest.root:
        return "fork"
    return "unproven" if refusal.status == 422 and 0 < latest.size < new.size else ""


def _keep(state: sqlite3.Connection, request: Request, latest: ServedLog, kind: str, now: datetime) -> bool:
    """Keep evidence; whether it is new. Of what anybody could send there is a limit."""
    count = "SELECT count(*) FROM evidence WHERE origin = ? AND kind = 'unproven'"
    if kind == "unproven" and state.execute(count, (latest.origin,)).fetchone()[0] >= MAX_UNPROVEN:
        return False
    row = Evidence(*request.checkpoint, kind, _stamp(now), latest.note, request.note)
    kept = state.execute("INSERT INTO evidence VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row)
    return kept.rowcount > 0


def _store(state: sqlite3.Connection, request: Request, now: datetime) -> None:
    """Make this the latest. The same checkpoint sent before with a bad proof was no fork."""
    row = (*request.checkpoint, request.note, _stamp(now))
    replace = "DO UPDATE SET size=excluded.size, root=excluded.root, note=excluded.note, cosigned=excluded.cosigned"
    state.execute(f"INSERT INTO latest VALUES (?, ?, ?, ?, ?) ON CONFLICT (origin) {replace}", row)
    cleared = "DELETE FROM evidence WHERE origin = ? AND size = ? AND root = ? AND kind = 'unproven'"
    state.execute(cleared, request.checkpoint)


def _served(state: sqlite3.Connection, origin: str) -> ServedLog:
    vkeys = state.execute("SELECT vkey FROM log_keys WHERE origin = ? ORDER BY rowid", (origin,)).fetchall()
    latest = state.execute("SELECT size, root, note, cosigned FROM latest WHERE origin = ?", (origin,)).fetchone()
    return ServedLog(origin, tuple(vkey for (vkey,) in vkeys), *(latest or (0, EMPTY_ROOT, b"", "")))


def _make_database(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as state:
        state.execute("PRAGMA journal_mode=WAL")  # with synchronous=FULL a commit is on the disk when it returns
        state.executescript(_SCHEMA)
    path.chmod(0o600)


def _own_key(path: Path) -> CosignerKey:
    try:
        return CosignerKey.parse(read_public(path / "vkey").decode().removesuffix("\n"))
    except (RegistryError, UnicodeDecodeError) as error:
        raise KeyStoreBroken(f"见证人的公钥文件 {path / 'vkey'} 已损坏", fix="请从备份恢复该文件") from error


def _signed(note: bytes, key: NoteKey) -> bool:
    """Whether this key signed the note. Raise BadInput for what is no note."""
    try:
        open_note(note, key)
    except KeysError:
        return False
    return True


def _refused(status: int, why: str) -> Reply:
    return Reply(status, f"{why}\n".encode())


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds")
