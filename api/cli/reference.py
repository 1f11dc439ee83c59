"""The help of every command as one document. `python -m api.cli.reference docs/cli.md` writes it into that file."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from api.cli import app

PROGRAM = "title-registry"
MARK = "<!-- What follows is written by: python -m api.cli.reference docs/cli.md -->\n"
WIDTH = 98  # what a terminal of 100 columns leaves


def helps(width: int = WIDTH) -> Iterator[tuple[str, str]]:
    """Each command with its words, and its help set in that many columns."""
    yield from _helps(get_command(app), None, PROGRAM, width)


def _helps(command: Any, parent: Any, name: str, width: int) -> Iterator[tuple[str, str]]:
    context: Any = typer.Context(command, info_name=name, parent=parent, terminal_width=width)
    yield context.command_path, command.get_help(context)
    for each, inner in getattr(command, "commands", {}).items():
        yield from _helps(inner, context, each, width)


def reference() -> str:
    """The reference as Markdown."""
    return "".join(f"\n### {name}\n\n```text\n{text}\n```\n" for name, text in helps())


def write(path: Path) -> None:
    """Replace what follows the mark in the file. Raise ValueError if the mark is not there."""
    prose, mark, _ = path.read_text("utf-8").partition(MARK)
    if not mark:
        raise ValueError(f"{path} has no line {MARK!r}")
    path.write_text(prose + MARK + reference(), "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
