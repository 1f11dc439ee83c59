"""The measurements of docs/performance.md on the command line."""

import shlex
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from api.cli.common import option, session_of
from api.cli.printing import Column, show_list
from api.cli.tree import Commands


class Engine(StrEnum):
    """The engines that can be measured."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


def add_bench_to(app: Commands) -> None:
    """Add `bench`."""
    app.command("bench", rich_help_panel="Operation")(bench)


_COLUMNS = (
    Column("Name", lambda one: one["name"]),
    Column("Value", lambda one: _number(one["value"])),
    Column("Unit", lambda one: one["unit"]),
    Column("Floor", lambda one: _number(one["floor"])),
    Column("Ratio", lambda one: _number(one["ratio"])),
    Column("Goal", lambda one: one["goal"]),
    Column("Met", lambda one: "yes" if one["met"] else "no"),
)


def bench(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Which; default all.")] = None,
    size: Annotated[int | None, option("--size", metavar="N", min=1, help="How many titles [default: 20000].")] = None,
    engine: Annotated[
        Engine, option("--engine", help="Which engine; postgresql starts a server of its own [default: sqlite].")
    ] = Engine.SQLITE,
    report: Annotated[
        Path | None, option("--report", metavar="DIR", help="Write a report there too: Markdown, and HTML with charts.")
    ] = None,
) -> None:
    """Measure this machine, each against its floor in the same run."""
    from api.bench.machine import describe
    from api.bench.report import write
    from api.bench.run import NAMES, run

    unknown = [name for name in names or () if name not in NAMES]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of: {', '.join(NAMES)}", param_hint="NAME")
    if report is not None and report.exists() and not report.is_dir():
        raise typer.BadParameter(f"{report} is a file", param_hint="--report")
    figures, version = run(names or (), size, engine, _say)
    if report is not None:
        machine = describe(version, Path(tempfile.gettempdir()))
        for path in write(report, engine, figures, machine, _command()):
            typer.echo(f"wrote {path}", err=True)
    show_list(
        session_of(ctx).output,
        [msgspec.to_builtins(one) for one in figures],
        _COLUMNS,
        empty="Nothing was measured.",
    )


def _say(name: str) -> None:
    typer.echo(f"measuring {name} …", err=True)


def _command() -> str:
    return shlex.join(["title-registry", *sys.argv[1:]])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
