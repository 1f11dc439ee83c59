"""Lists taken in beside answering: an upload becomes a job, whose state any later request of its owner can read.

The list lies in a file of its own (0600) while the job waits and runs, locked by the process that does it: a lock that
is free tells that the process died. Then nothing was awarded, because a list is taken whole or not at all. What a
refused list leaves (its errors, the marked copy) names people: it is kept sealed, for a day, for its owner only.
"""

import fcntl
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from api.doors import hidden, sealer
from api.errors import BadRequest, Pointed, report
from api.idempotency import RequestStore
from keys.errors import KeysError
from registry.errors import CorruptHistory, ListRefused, RegistryError, Unavailable
from registry.intake.errors_copy import write_errors_copy
from registry.service import Registry
from registry.terms import new_id

LEFT_SECONDS = 60
MOST_OPEN = 3  # jobs of one officer that wait or run
_ENDINGS = (".xlsx", ".csv", ".jsonl", ".xls")
_OPEN = ("waiting", "running")


class TooManyJobs(BadRequest):
    """The officer has as many jobs under way as one may have. Answered with 409; ask again when one is done."""

    status, code = 409, "too-many-jobs"

    def __init__(self) -> None:
        super().__init__([Pointed("", f"您已有 {MOST_OPEN} 份名单在处理，请等其中一份完成")])
        self.headers = {"Retry-After": "5"}


class Order(NamedTuple):
    """What is to be taken in, for whom."""

    actor: str
    authority: str
    document: str
    dry_run: bool


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands: waiting, running, done, refused (what is wrong is listed), failed or interrupted."""

    job: str
    state: str
    rows_read: int
    result: msgspec.Raw | None
    errors_copy: bool


class Jobs:
    """The jobs of one registry. Each process does its own one after another; every process can tell of all."""

    def __init__(self, registry: Registry, store: RequestStore) -> None:
        self.registry, self.store, self.folder = registry, store, registry.folder.path / "jobs"
        self._sealer = sealer(registry, "job")
        self._workers = ThreadPoolExecutor(1, thread_name_prefix="jobs")
        self._making = threading.Lock()

    def close(self) -> None:
        """End after the jobs that wait and run."""
        self._workers.submit(self._close_files)
        self._workers.shutdown(wait=True)

    def _close_files(self) -> None:
        self.registry.register.close()
        self.registry.log.recorder.close()

    def begin(self, order: Order, name: str, data: bytes) -> str:
        """Lay the list by and begin; return the job's id. Raise TooManyJobs, Unavailable without room."""
        job = new_id("job", self.registry.clock())
        ending = Path(name).suffix.lower()
        with self._making:
            self._sweep()
            with self.store.transaction() as c:
                open_ = c.execute("SELECT id FROM jobs WHERE actor=? AND state IN (?, ?)", (order.actor, *_OPEN))
                if sum(self._alive(row[0]) for row in open_.fetchall()) >= MOST_OPEN:
                    raise TooManyJobs
                c.execute("INSERT INTO jobs VALUES (?, ?, 'waiting', ?, 0, NULL, NULL)", self._first(job, order))
            path, held = self._lay_by(job, ending if ending in _ENDINGS else ".other", data)
        self._workers.submit(self._run, job, order, path, held)
        return job

    def _first(self, job: str, order: Order) -> tuple[str, str, float]:
        return job, order.actor, self.store.clock()

    def _lay_by(self, job: str, ending: str, data: bytes) -> tuple[Path, BinaryIO]:
        """The list in a folder of its job, with its lock held."""
        folder = self.folder / job
        try:
            folder.mkdir(parents=True, mode=0o700)
            held = open(os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600), "rb+")  # noqa: SIM115 - held on
            fcntl.flock(held, fcntl.LOCK_EX)
            path = folder / f"list{ending}"
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.write(data)
        except OSError as error:
            raise Unavailable(f"the list cannot be laid by: {error.strerror}", fix="稍后再试") from error
        return path, held

    def _alive(self, job: str) -> bool:
        """Whether a process holds the job's lock."""
        try:
            with (self.folder / job / "lock").open("rb+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _sweep(self) -> None:
        """Remove the lists that a process left when it died: they name people. A new folder may not be locked yet."""
        for left in self.folder.iterdir() if self.folder.is_dir() else ():
            if time.time() - left.stat().st_mtime > LEFT_SECONDS and not self._alive(left.name):
                _remove(left)

    # doing

    def _run(self, job: str, order: Order, path: Path, held: BinaryIO) -> None:
        copy: bytes | None = None
        try:
            self._note(job, "running", 0)
            state, result = "done", self._take(job, order, path)
        except ListRefused as error:
            copy = _copy(path, error)
            state, result = "refused", _refused(error) | {"errors": error.errors}
        except (Unavailable, CorruptHistory, KeysError) as error:
            state, result = "failed", _failed(error)
        except RegistryError as error:
            state, result = "refused", _refused(error)
        except Exception as error:  # noqa: BLE001 - whatever it was, the job must not stay open
            state, result = "failed", _failed(error)
        try:
            _empty(path.parent, but="lock")  # it names people: whoever hears of the end finds it gone
            self._finish(job, state, result, copy)
        except RegistryError as error:
            report(error)  # told as interrupted
        finally:
            _remove(path.parent)
            held.close()

    def _take(self, job: str, order: Order, path: Path) -> dict[str, Any]:
        receipt = self.registry.import_awards(
            path,
            authority=order.authority,
            document=order.document,
            officer=order.actor,
            dry_run=order.dry_run,
            progress=lambda rows: self._note(job, "running", rows),
        )
        return msgspec.structs.asdict(receipt) | {"log_position": self.registry.log.head()}

    def _note(self, job: str, state: str, rows: int) -> None:
        with self.store.transaction() as c:
            c.execute("UPDATE jobs SET state=?, rows=? WHERE id=?", (state, rows, job))

    def _finish(self, job: str, state: str, result: dict[str, Any], copy: bytes | None) -> None:
        rows = result.get("rows")
        box = self._sealer.seal(msgspec.json.encode(result), f"result|{job}".encode())
        sealed = self._sealer.seal(copy, f"copy|{job}".encode()) if copy else None
        with self.store.transaction() as c:
            said = (state, rows, box, sealed, job)
            c.execute("UPDATE jobs SET state=?, rows=coalesce(?, rows), result=?, copy=? WHERE id=?", said)

    # telling

    def find(self, job: str, actor: str) -> Job:
        """A job of this actor. Raise NotFound alike for one that is not there, is past its day, or is another's."""
        row = self._row(job, actor)
        interrupted = False
        if row[0] in _OPEN and not self._alive(job):
            row = self._row(job, actor)  # it may have ended meanwhile: its lock is let go last
            interrupted = row[0] in _OPEN
        state, rows, box, copied = row
        result = msgspec.Raw(self._sealer.open(box, f"result|{job}".encode())) if box else None
        state = "interrupted" if interrupted else state
        return Job(job=job, state=state, rows_read=rows, result=result, errors_copy=bool(copied))

    def _row(self, job: str, actor: str) -> tuple[str, int, bytes | None, int]:
        with self.store.transaction() as c:
            asked = "SELECT state, rows, result, copy IS NOT NULL FROM jobs WHERE id=? AND actor=?"
            row: tuple[str, int, bytes | None, int] | None = c.execute(asked, (job, actor)).fetchone()
        if row is None:
            raise hidden()
        return row

    def errors_copy(self, job: str, actor: str) -> bytes:
        """The marked copy of a refused list. Raise NotFound alike if there is none, or the job is another's."""
        with self.store.transaction() as c:
            row = c.execute("SELECT copy FROM jobs WHERE id=? AND actor=?", (job, actor)).fetchone()
        if row is None or row[0] is None:
            raise hidden()
        return self._sealer.open(row[0], f"copy|{job}".encode())


def _empty(folder: Path, but: str = "") -> None:
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.name != but:
            file.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    _empty(folder)
    if folder.is_dir():
        folder.rmdir()


def _copy(path: Path, error: ListRefused) -> bytes | None:
    """The marked copy; None if none can be made. The job tells its errors all the same."""
    out = path.with_name("errors.xlsx")
    try:
        write_errors_copy(path, error.errors, out)
        return out.read_bytes()
    except Exception as failure:  # noqa: BLE001 - the copy is a help, not the answer
        report(failure)
        return None


def _refused(error: RegistryError) -> dict[str, Any]:
    return {"code": error.code, "detail": error.message, "fix": error.fix}


def _failed(error: Exception) -> dict[str, Any]:
    fix = f"重新提交；仍然如此的，告知系统维护人员，错误编号 {report(error)}"
    return {"code": getattr(error, "code", "internal"), "detail": "系统没有完成这份名单，没有登记任何一行", "fix": fix}
