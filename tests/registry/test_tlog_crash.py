"""kill -9 at every point of sequencing: no two checkpoints disagree, no leaf is lost or doubled, and it goes on.

A process of its own forks a writer again and again. Each writer awards some titles, sequences, and dies at its n-th
system call that matters (open, rename, remove, lock, fsync); then everything on the disk is read by other means.
"""

import base64
import hashlib
import multiprocessing
import os
import random
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from keys.custody import Custody
from registry.audit import verify_live
from registry.folder import Folder
from registry.proof.tiles import split_bundle
from registry.service import Registry
from tests.people import CLERK, Clock, awarding, person
from tests.registry.test_tlog import leaf_entries, mth

ROUNDS = int(os.environ.get("CRASHES", "200"))
_CALLS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "fcntl.flock"}


class Fuse:
    """Counts the calls of this process from `light` on, and kills it at the n-th."""

    def __init__(self) -> None:
        self.left: int | None = None
        sys.addaudithook(lambda event, _: self.burn() if event in _CALLS else None)
        fsync = os.fsync

        def counted(descriptor: int) -> None:
            self.burn()
            fsync(descriptor)
            self.burn()

        os.fsync = counted

    def light(self, length: int) -> None:
        self.left = length

    def burn(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def write_and_die(path: Path, custody: Custody, first: int, count: int, length: int) -> None:
    """In a forked child: append, sequence, die on the way. It leaves with 7 if it came through."""
    fuse = Fuse()
    registry = Registry(Folder(path), custody, Clock())
    registry.log.transact(lambda unit: [_award(unit, n) for n in range(first, first + count)], actor=CLERK)
    fuse.light(length)
    registry.tlog.sequence()
    os._exit(7)


def _award(unit: Any, n: int) -> None:
    from registry.awarding import Awarding

    Awarding(unit).award(awarding(person(n)))


def notes_on_disk(registry: Registry) -> list[bytes]:
    """Every note there is, read by hand: the kept ones, the published one, the one in the second store."""
    paths = (registry.folder.tree / "checkpoint", registry.tlog.outside)
    found = [path.read_bytes() for path in paths if path.exists()]
    kept = (registry.folder.tree / "checkpoints").read_bytes()
    pieces = kept.split(b"\n\n")
    return [*found, *(text + b"\n\n" for text, signed in zip(pieces[::2], pieces[1::2], strict=False) if signed)]


def look(registry: Registry, known: dict[int, bytes]) -> None:
    """No checkpoint disagrees with another one, ever, or with the events."""
    entries = leaf_entries(registry)
    for note in notes_on_disk(registry):
        _, size, root, *_ = note.decode().split("\n")
        assert int(size) <= len(entries)
        if int(size) not in known:
            known[int(size)] = mth(entries[: int(size)])
        assert base64.b64decode(root) == known[int(size)], size


def whole(registry: Registry) -> None:
    """Every leaf stands once in the tiles, in the order of the events."""
    entries = leaf_entries(registry)
    store, size = registry.tlog.tiles, len(entries)
    found = []
    for number in range(-(-size // 256)):
        wide = min(256, size - 256 * number)
        name = f"tile/entries/{number:03}" + ("" if wide == 256 else f".p/{wide}")
        found += split_bundle(store.read(name) or b"")
        hashes = store.read(name.replace("entries", "0")) or b""
        assert hashes == b"".join(hashlib.sha256(b"\x00" + one).digest() for one in entries[256 * number :][:wide])
    assert found == entries


def drive(path: Path, passphrase: bytes, rounds: int, to: Connection) -> None:
    """Fork and kill `rounds` writers; tell how many died, or what was wrong."""
    custody, chance, known, first, died = Custody.open(path / "keys", passphrase), random.Random(), {}, 0, 0
    for round_ in range(rounds):
        count = chance.choice([1, 1, 2, 5, 20, 60])
        pid = os.fork()
        if pid == 0:
            write_and_die(path, custody, first, count, 1 + round_ % 50 if round_ % 4 else chance.randrange(1, 90))
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 7, status
        died += os.WIFSIGNALED(status)
        first += count
        registry = Registry(Folder(path), custody, Clock())
        look(registry, known)
        if chance.random() < 0.3:
            registry.tlog.sequence()
            whole(registry)
            look(registry, known)
        registry.close()
    to.send(died)


def test_killed_while_sequencing(registry: Registry, passphrase: bytes) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=drive, args=(registry.folder.path, passphrase, ROUNDS, theirs))
    process.start()
    theirs.close()
    died = ours.recv()
    process.join(60)
    assert process.exitcode == 0
    assert died > ROUNDS / 2
    registry.tlog.sequence()
    whole(registry)
    assert verify_live(registry).ok
