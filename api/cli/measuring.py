"""The demo of the main job."""

from pathlib import Path
from typing import Annotated

import typer

from api.cli.common import option, session_of
from api.cli.tree import Commands

DEMO_FOLDER = Path("demo-data")


def add_demo_to(app: Commands) -> None:
    """Add `demo`."""
    app.command("demo", rich_help_panel="Begin")(demo)


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
