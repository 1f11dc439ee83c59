"""Further processes of our own: started anew, never forked, and none outlives the one that started it."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from os import environ
from pathlib import Path
from threading import Thread
from typing import Any


def started(module: str, *arguments: str, without: Sequence[str], **streams: Any) -> "subprocess.Popen[bytes]":
    """Run a module of this package, whatever folder this process is in; environment names that begin so are left out.

    So our secrets are not passed on. Its input is a pipe, which ends with us; its output goes nowhere unless asked for,
    and its errors never: they could name people.
    """
    known = {name: value for name, value in environ.items() if not name.startswith(tuple(without))}
    known["PYTHONPATH"] = str(Path(__file__).parents[1])
    command = [sys.executable, "-P", "-m", module, *arguments]
    given: dict[str, Any] = {"stdout": subprocess.DEVNULL} | streams
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=known, **given)  # noqa: S603 - our own program


def end_with_parent() -> None:
    """In a process that multiprocessing has spawned: end by SIGTERM when the one that spawned it has ended.

    A parent that is killed takes nobody along: its workers would serve on and hold the port. Elsewhere it does nothing.
    """
    if parent := multiprocessing.parent_process():
        Thread(target=_end_after, args=(parent,), name="parent", daemon=True).start()


def _end_after(parent: Any) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
