"""What the documents take from the program: the help of every command, and the table of rights.

`python -m api.cli.reference docs` writes both into their files.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from api.cli import app
from registry.permissions import DOORS, RULES, Permission

PROGRAM = "title-registry"
MARK = "<!-- What follows is written by: python -m api.cli.reference docs -->\n"
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


def rights() -> str:
    """The table of rights as Markdown: who may do what, what they see of a person, and at which doors."""
    heads = "| right | who, and what they see of a person | why |\n|---|---|---|\n"
    rows = (f"| `{one}` | {_who(one)} | {rule.why} |\n" for one, rule in RULES.items())
    doors = "| door | right |\n|---|---|\n" + "".join(f"| `{door}` | `{one}` |\n" for door, one in DOORS.items())
    return f"\n## Rights\n\n{heads}{''.join(rows)}\n## Doors\n\n{doors}"


def _who(permission: Permission) -> str:
    roles = RULES[permission].roles.items()
    return ", ".join(f"{role.zh} {role} ({sight})" for role, sight in roles) or "no role is needed"


def write(path: Path, text: str) -> None:
    """Replace what follows the mark in the file. Raise ValueError if the mark is not there."""
    prose, mark, _ = path.read_text("utf-8").partition(MARK)
    if not mark:
        raise ValueError(f"{path} has no line {MARK!r}")
    path.write_text(prose + MARK + text, "utf-8")


if __name__ == "__main__":
    docs = Path(sys.argv[1])
    write(docs / "cli.md", reference())
    write(docs / "permissions.md", rights())
