"""The demo of the main job, and the measurements of docs/performance.md."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from api.cli.common import option, session_of
from api.cli.printing import Column, show_list
from api.cli.tree import Commands

DEMO_FOLDER = Path("demo-data")


def add_demo_to(app: Commands) -> None:
    """Add `demo`."""
    app.command("demo", rich_help_panel="Begin")(demo)


def add_bench_to(app: Commands) -> None:
    """Add `bench`."""
    app.command("bench", rich_help_panel="Operation")(bench)


def demo(
    ctx: typer.Context,
    serve: Annotated[bool, option("--serve/--no-serve", help="Serve the pages afterwards [default: serve].")] = True,
    port: Annotated[int, option("--port", metavar="PORT", min=1, max=65535, help="Port [default: 8000].")] = 8000,
    code: Annotated[
        str | None, option("--code", metavar="LOGIN", help="Print the one-time code of a demo account, and stop.")
    ] = None,
) -> None:
    """Run the main job on sample data, in a new folder (demo-data unless --data names one)."""
    from api.demo.accounts import code_of
    from api.demo.story import run_demo

    session = session_of(ctx)
    data = session.settings.data if session.data_given else DEMO_FOLDER
    if code is not None:
        typer.echo(code_of(data, code))
        return
    run_demo(data, port=port, serve=serve)


_COLUMNS = (
    Column("Name", lambda one: one["name"]),
    Column("Value", lambda one: _number(one["value"])),
    Column("Unit", lambda one: one["unit"]),
    Column("Floor", lambda one: _number(one["floor"])),
    Column("Ratio", lambda one: _number(one["ratio"])),
    Column("Goal", lambda one: one["goal"]),
    Column("Met", lambda one: {True: "yes", False: "no", None: "-"}[one["met"]]),
)


def bench(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Which; default all.")] = None,
    size: Annotated[
        int | None, option("--size", metavar="N", min=1, help="How many titles; default each its own.")
    ] = None,
) -> None:
    """Measure this machine, each against its floor in the same run."""
    from api.bench.run import NAMES, run

    unknown = [name for name in names or () if name not in NAMES]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of: {', '.join(NAMES)}", param_hint="NAME")
    figures = [msgspec.to_builtins(one) for one in run(list(names or ()), size)]
    show_list(session_of(ctx).output, figures, _COLUMNS, empty="Nothing was measured.")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
