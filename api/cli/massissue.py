"""Sign many certificates in batches, so that one bad title does not stop the others, and set their documents.

Signing is quick and is done here, a batch in two appends; setting a document takes some 50 ms and is done by several
processes. A batch's documents are on the disk before the next batch is signed.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from api.cli.printing import progress
from api.cli.rehearsal import Rehearsed, rehearsing
from api.documents.delivery import deliver, proof_of
from api.documents.press import Press
from api.settings import Settings
from keys.errors import KeysError
from keys.files import write_private
from registry.errors import RegistryError
from registry.issuing import Proof
from registry.looks import Purpose
from registry.processes import end_with_parent
from registry.service import Registry
from registry.titles.state import Certificate

BATCH = 200
DOOR = "cli certificates issue-all"
_UNSAFE = '/\\:*?"<>|% '

Task = tuple[str, Path]
"""A code, and the file that its document goes to."""
Refused = tuple[str, str, str]
"""The stable code, the message, and what to do."""
Setter = Callable[[Task], Refused | None]


class Issued(msgspec.Struct, frozen=True):
    """A title whose certificate was signed; `file` is its document."""

    title: str
    number: str
    code: str
    version: int
    file: str | None


class Refusal(msgspec.Struct, frozen=True):
    """A title that was refused: the stable code of the rule, what was wrong, what to do."""

    title: str
    number: str
    code: str
    message: str
    fix: str


class Done(msgspec.Struct):
    """What was done."""

    issued: list[Issued]
    refused: list[Refusal]
    written: int = 0


def issue_all(
    registry: Registry,
    settings: Settings,
    streams: Sequence[str],
    *,
    officer: str,
    out: Path | None,
    workers: int,
    dry_run: bool,
) -> Done:
    """Sign every title's certificate and write the documents into `out`; `refused` names the titles that were not."""
    done, press = Done([], []), Press(settings.extra_fonts)
    proof = proof_of(registry, press)
    sign = _rehearse if dry_run else _sign
    with _setters(registry, press, settings, workers) as set_all, progress("Certificates", len(streams)) as tell:
        for start in range(0, len(streams), BATCH):
            batch = streams[start : start + BATCH]
            signed = sign(registry, batch, proof, officer, done)
            tasks = [(one.code, out / file_name(one)) for one in signed.values()] if out and not dry_run else []
            if tasks:
                registry.looking.documents(list(signed), actor=officer, purpose=Purpose.HANDLING, door=DOOR)
            failed = {}
            for count, ((code, _), refused) in enumerate(zip(tasks, set_all(tasks), strict=True), 1):
                tell(start + count)
                if refused:
                    failed[code] = refused
            _record(done, signed, dict(tasks), failed)
            tell(start + len(batch))
    return done


def _record(done: Done, signed: dict[str, Certificate], files: dict[str, Path], failed: dict[str, Refused]) -> None:
    for stream, certificate in signed.items():
        number, file = certificate.content.reveal().number, files.get(certificate.code)
        if certificate.code in failed:
            done.refused.append(Refusal(stream, number, *failed[certificate.code]))
            continue
        done.written += file is not None
        done.issued.append(Issued(stream, number, certificate.code, certificate.version, str(file) if file else None))


# signing


def _sign(registry: Registry, batch: Sequence[str], proof: Proof, officer: str, done: Done) -> dict[str, Certificate]:
    """Sign a batch at once; if it is refused, one by one, so that only the bad titles are left out."""
    try:
        return dict(zip(batch, registry.issuing.issue(batch, proof, officer=officer), strict=True))
    except RegistryError as error:
        if len(batch) == 1:
            done.refused.append(_refusal(registry, batch[0], error))
            return {}
    found = dict[str, Certificate]()
    for stream in batch:
        found |= _sign(registry, [stream], proof, officer, done)
    return found


def _rehearse(
    registry: Registry, batch: Sequence[str], proof: Proof, officer: str, done: Done
) -> dict[str, Certificate]:
    """Check every title of a batch without storing anything."""
    with rehearsing(registry):
        for stream in batch:
            try:
                registry.issuing.issue([stream], proof, officer=officer)
            except Rehearsed:
                done.issued.append(Issued(stream, registry.title(stream).award.number, "", 0, None))
            except RegistryError as error:
                done.refused.append(_refusal(registry, stream, error))
    return {}


def _refusal(registry: Registry, stream: str, error: RegistryError) -> Refusal:
    return Refusal(stream, registry.title(stream).award.number, error.code, error.message, error.fix)


# documents


def file_name(certificate: Certificate) -> str:
    """`AUTHORITY_NUMBER_vVERSION.pdf`; what a file name cannot hold is percent-encoded, so two numbers never meet."""
    content = certificate.content.reveal()
    number = "".join(quote(one, safe="") if one in _UNSAFE or ord(one) < 32 else one for one in content.number)
    return f"{content.authority}_{number}_v{content.version}.pdf"


@contextmanager
def _setters(
    registry: Registry, press: Press, settings: Settings, workers: int
) -> Iterator[Callable[[Sequence[Task]], Iterator[Refused | None]]]:
    """Gives a function that sets documents, in this process or in several, and yields what was wrong with each."""
    if workers == 1:
        yield lambda tasks: (_set(registry, press, task) for task in tasks)
        return
    with ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        _begin,
        (settings.data, settings.read_passphrase(), settings.extra_fonts, settings.checkpoints),
    ) as pool:
        yield lambda tasks: pool.map(_set_here, tasks, chunksize=4)


_here: dict[str, tuple[Registry, Press]] = {}


def _begin(data: Path, passphrase: bytes, extra_fonts: Path | None, checkpoints: Path | None) -> None:
    end_with_parent()
    _here["parts"] = (Registry.open(data, passphrase, checkpoints=checkpoints), Press(extra_fonts))


def _set_here(task: Task) -> Refused | None:
    return _set(*_here["parts"], task)


def _set(registry: Registry, press: Press, task: Task) -> Refused | None:
    code, path = task
    try:
        write_private(path, deliver(registry, press, registry.certificate(code)[1]))
    except (RegistryError, KeysError) as error:
        return error.code, error.message, error.fix
    except OSError as error:
        return "file", f"{path}: {error.strerror}", "certificates show CODE --out FILE writes the document again"
    return None
