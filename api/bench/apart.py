"""Work that is measured in a process of its own, for its memory or its core: `python -m api.bench.apart`.

It reads the passphrase that all registries of a measurement have, and writes what it found as JSON.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from api.bench.figures import Watch, seconds
from api.bench.material import AUTHORITY, DOCUMENT, OFFICER, commands
from api.bench.opening import PASSPHRASE
from api.documents.press import Press
from registry.service import Registry
from registry.terms import utc_now
from registry.titles.certificate import token_of


class Imported(msgspec.Struct, frozen=True):
    """Rows and seconds of an import, those of its parts, and memory in MB: before, and at its peak."""

    rows: int
    seconds: float
    sequenced: float
    registered: float
    before: float
    peak: float

    @property
    def whole(self) -> float:
        """Seconds until the list is in the log, in the tree and in the register."""
        return self.seconds + self.sequenced + self.registered


def apart(work: str, folder: Path, *arguments: object, kind: Any = Any) -> Any:
    """Do one of the works below in a new process; return what it wrote."""
    done = subprocess.run(_command(work, folder, *arguments), check=True, stdout=subprocess.PIPE)  # noqa: S603
    return msgspec.json.decode(done.stdout, type=kind)


def begin(work: str, folder: Path, *arguments: object) -> "subprocess.Popen[bytes]":
    """Start one that waits: it writes a line when it is ready, and begins or ends when its input is closed."""
    process = subprocess.Popen(  # noqa: S603 - our own program
        _command(work, folder, *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def _command(work: str, folder: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "api.bench.apart", work, str(folder), *map(str, arguments)]


def _import(folder: Path, source: str) -> Imported:
    """Import a list, and bring tree and register up to it."""
    registry, receipts = Registry.open(folder, PASSPHRASE), []

    def work() -> None:
        receipts.append(registry.import_awards(Path(source), authority=AUTHORITY, document=DOCUMENT, officer=OFFICER))

    with Watch() as watch:
        took = seconds(work), seconds(registry.tlog.sequence), seconds(registry.register.catch_up)
    registry.close()
    return Imported(receipts[0].rows, *took, watch.before, watch.peak)


def _award(folder: Path, after: str, every: str) -> int:
    """Award one title after another, with a pause between, until the input is closed; return how many."""
    import select

    registry, done = Registry.open(folder, PASSPHRASE), 0
    for command in commands(registry, folder, 20_000, int(after)):
        if not done:
            _ready()
        if select.select([sys.stdin], [], [], float(every))[0]:
            break
        registry.award(command, officer=OFFICER)
        done += 1
    registry.close()
    return done


def _pages(folder: Path, code: str, duration: str) -> int:
    """Make signed pages of a certificate for so many seconds, from when the input is closed; return how many."""
    registry, press = Registry.open(folder, PASSPHRASE), Press()
    _, certificate = registry.certificate(code)
    content, token = certificate.content.reveal(), token_of(certificate)
    signer = registry.custody.document_signer(utc_now())
    press.certificate(content, token, signer)
    _ready()
    sys.stdin.read()
    done, until = 0, time.monotonic() + float(duration)
    while time.monotonic() < until:
        press.certificate(content, token, signer)
        done += 1
    registry.close()
    return done


def _ready() -> None:
    print("ready", flush=True)


_WORKS: dict[str, Any] = {"import": _import, "award": _award, "pages": _pages}


def main() -> None:
    """Do the work of argv: its name, the data folder, its arguments."""
    found = _WORKS[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
    sys.stdout.buffer.write(msgspec.json.encode(found))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
