"""How commands are put together: common options may stand anywhere, help has groups, an error has one exit status.

Exit status: 0 ok; 1 failed; 2 usage; 3 verification said no; 4 partly done.
"""

import errno
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from api.cli.printing import complain, say
from api.errors import report
from keys.errors import KeysError
from registry.errors import RegistryError

C = TypeVar("C", bound=Callable[..., Any])

FAILED, USAGE, SAID_NO, PARTLY = 1, 2, 3, 4

_WITH_VALUE = ("--data", "--officer", "--passphrase-file", "--output")
_FLAGS = ("--debug",)
_OUTPUT = re.compile(r"-o(?!$)=?(?=.)")
PANELS = ("Begin", "Every day", "Decisions by two officers", "Officers", "Audit", "Operation")
_COMMON = "Common options (--data, --officer, --passphrase-file, -o, --debug): see title-registry --help."


class Command(TyperCommand):
    """A command whose help names the common options."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The usage line without the braces that typer puts around what is needed."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the epilog of the command, then where the common options are explained."""
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(_COMMON)


class Group(TyperGroup):
    """Commands under their headings, in the order in which they were added."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each heading."""
        sections: dict[str, list[tuple[str, str]]] = {panel: [] for panel in PANELS}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            heading = command.rich_help_panel or "Commands"
            sections.setdefault(heading, []).append((name, command.get_short_help_str(200)))
        for heading, rows in ((heading, rows) for heading, rows in sections.items() if rows):
            with formatter.section(heading):
                formatter.write_dl(rows)


class Root(Group):
    """The program: brings the common options to the front and turns errors into messages and exit statuses."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the common options from wherever they stand before `--`."""
        return super().parse_args(ctx, list(_common_first(args)))

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Our errors end with 1 and say what to do; any other ends with 1 and an error id."""
        try:
            return super().invoke(ctx)
        except (RegistryError, KeysError) as error:
            complain(error.code, error.message, error.fix)
            raise typer.Exit(FAILED) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            complain("file", f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "))
            raise typer.Exit(FAILED) from error
        except Exception as error:
            if not _is_ours(error):
                raise
            _unexpected(error, debug=ctx.params.get("debug", False))
            raise typer.Exit(FAILED) from error


class Commands(typer.Typer):
    """A group of commands, without markup in its help."""

    def __init__(self, help: str, **options: Any) -> None:
        options = {"cls": Group, "no_args_is_help": True, "add_completion": False, **options}
        super().__init__(help=help, rich_markup_mode=None, pretty_exceptions_enable=False, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[C], C]:
        """Add a command."""
        return super().command(name, cls=Command, **options)


def _is_ours(error: Exception) -> bool:
    """Whether it is a fault of this program; what typer raises ends a command in its own way."""
    from typer.exceptions import Abort, Exit, TyperException

    return not isinstance(error, Abort | Exit | TyperException)


def _unexpected(error: Exception, *, debug: bool) -> None:
    if debug:
        say(traceback.format_exc())
    complain(
        "internal",
        f"{type(error).__name__} (error id {report(error)})",
        "Nothing was half written. Run the command again with --debug and send what it prints to the maintainers.",
    )


def _common_first(args: Sequence[str]) -> Iterator[str]:
    """The common options with their values, then everything else in order."""
    rest, waiting = list[str](), iter(args)
    for arg in waiting:
        if arg == "--":
            rest += [arg, *waiting]
        elif arg in (*_WITH_VALUE, "-o"):
            yield from (arg, *_next(waiting))
        elif arg in _FLAGS or arg.startswith(tuple(f"{name}=" for name in _WITH_VALUE)) or _OUTPUT.match(arg):
            yield arg
        else:
            rest.append(arg)
    yield from rest


def _next(waiting: Iterator[str]) -> list[str]:
    return [value for value in [next(waiting, None)] if value is not None]
