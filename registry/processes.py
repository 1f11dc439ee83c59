"""A second process of our own that helps with long work: started anew, never forked, and without our secrets."""

import subprocess
import sys
from collections.abc import Sequence
from os import environ
from pathlib import Path
from typing import Any


def started(module: str, *arguments: str, without: Sequence[str], **streams: Any) -> "subprocess.Popen[bytes]":
    """Run a module of this package, whatever folder this process is in; environment names that begin so are left out.

    Its input is a pipe; its output goes nowhere unless asked for, and its errors never: they could name people.
    """
    known = {name: value for name, value in environ.items() if not name.startswith(tuple(without))}
    known["PYTHONPATH"] = str(Path(__file__).parents[1])
    command = [sys.executable, "-P", "-m", module, *arguments]
    given: dict[str, Any] = {"stdout": subprocess.DEVNULL} | streams
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=known, **given)  # noqa: S603 - our own program
