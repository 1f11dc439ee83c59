"""What a command prints: data on stdout (table, json, jsonl), progress and prose on stderr. NO_COLOR is honoured."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
from rich.console import Console, ConsoleRenderable
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from registry.terms import BEIJING

SECONDS_BETWEEN_LINES = 2.0
_WIDE = 1000  # what is not a terminal gets its lines whole


class Output(StrEnum):
    """The forms of data on stdout."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


class Column(NamedTuple):
    """A column of a table: its heading, its text for an item, and whether it may be folded."""

    heading: str
    text: Callable[[Any], object]
    fold: bool = False


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDE
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=width, soft_wrap=not stream.isatty())


def say(text: ConsoleRenderable | str = "") -> None:
    """Prose, or what is drawn for people to read before they answer, on stderr."""
    _draw(text, stderr=True)


def complain(code: str, message: str, fix: str = "") -> None:
    """An error, on stderr: the stable code of the rule, what was wrong, what to do."""
    console = _console(stderr=True)
    console.print(Text.assemble(("Error", "bold red"), f" [{code}]: {message}"))
    if fix:
        console.print(Text.assemble(("To do", "bold"), f": {fix}"))


def show(output: Output, item: Any, *drawn: ConsoleRenderable | str) -> None:
    """One thing: as JSON, or as it is drawn for people."""
    if output is Output.TABLE:
        for each in drawn:
            _draw(each)
    else:
        print(_json(item, indent=2 if output is Output.JSON else None))


def show_list(output: Output, items: Iterable[Any], columns: Sequence[Column], *, empty: str) -> None:
    """Several things: a table (or what to say if there is none), a JSON array, or one JSON object a line."""
    if output is Output.JSONL:
        for item in items:
            print(_json(item))
    elif output is Output.JSON:
        print(_json(list(items), indent=2))
    elif whole := list(items):
        _draw(table(whole, columns))
    else:
        say(empty)


def _draw(each: ConsoleRenderable | str, *, stderr: bool = False) -> None:
    """Print, closer together where it is narrow; what is not a terminal gets no blanks at the ends of lines."""
    console = _console(stderr=stderr)
    if isinstance(each, Table) and _natural_width(console, each) > console.width:
        each.padding = (0, 1, 0, 0)
    if console.is_terminal:
        console.print(each)
        return
    with console.capture() as lines:
        console.print(each)
    text = "\n".join(line.rstrip() for line in lines.get().splitlines())
    print(text, file=sys.stderr if stderr else sys.stdout)


def _natural_width(console: Console, drawn: Table) -> int:
    return drawn.__rich_measure__(console, console.options.update(width=_WIDE)).maximum


def table(items: Iterable[Any], columns: Sequence[Column]) -> Table:
    """A table with headings."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        drawn.add_column(column.heading, no_wrap=not column.fold, overflow="fold", min_width=6 if column.fold else None)
    for item in items:
        drawn.add_row(*(_cell(column.text(item)) for column in columns))
    return drawn


def particulars(facts: Mapping[str, object]) -> Table:
    """Facts below each other, with their names before them; empty ones are left out."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    drawn.add_column(style="bold", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in facts.items():
        if value not in (None, "", ()):
            drawn.add_row(name, _cell(value))
    return drawn


def heading(text: str) -> Text:
    """A heading over a part of the output."""
    return Text(f"\n{text}", style="bold underline")


def chinese(kind: type[StrEnum], value: str) -> str:
    """The Chinese name of a stored word."""
    return next(str(getattr(one, "zh", one)) for one in kind if one == value)


def _cell(value: object) -> Text:
    return value if isinstance(value, Text) else Text("" if value is None else str(value))


def moment(instant: datetime | str | None) -> str:
    """An instant in Beijing, to the second, with its offset."""
    if not instant:
        return ""
    at = datetime.fromisoformat(instant) if isinstance(instant, str) else instant
    return at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S +08:00")


def _json(item: Any, indent: int | None = None) -> str:
    return json.dumps(msgspec.to_builtins(item), ensure_ascii=False, indent=indent)


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Gives a function that is told how much is done: a bar on a terminal, else a line now and then."""
    if sys.stderr.isatty():
        with _bar(total) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.update(task, completed=done)
    else:
        yield _lines(what, total)


def _bar(total: int | None) -> Progress:
    counted = [BarColumn(), MofNCompleteColumn()] if total else [TextColumn("{task.completed:,.0f}")]
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        *counted,
        TimeElapsedColumn(),
        console=_console(stderr=True),
        transient=True,
    )


def _lines(what: str, total: int | None) -> Callable[[int], None]:
    last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            say(f"{what}: {done:,}" + (f" of {total:,}" if total else ""))

    return tell
