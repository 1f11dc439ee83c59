"""The command line `title-registry`: a door like the others, over the one Registry."""

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
from pydantic import ValidationError

from api.cli import (
    accounts,
    auditing,
    backing,
    benching,
    certificates,
    custody,
    decisions,
    erasing,
    holders,
    lists,
    looking,
    measuring,
    moving,
    officers,
    operation,
    papers,
    proving,
    recalling,
    requesting,
    titles,
)
from api.cli.common import Session, option
from api.cli.printing import Output
from api.cli.tree import Commands, Root
from api.settings import Settings

_HELP = """\
Registry of professional titles (职称) and their verifiable electronic certificates.

Data goes to stdout, progress and prose to stderr. Exit status: 0 ok, 1 failed, 2 usage, 3 verification said no,
4 partly done. Begin with: title-registry demo, or title-registry init.
"""

app = Commands(_HELP, cls=Root, context_settings={"max_content_width": 100})


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"title-registry {version('title-registry')}")
        raise typer.Exit


@app.callback()
def common(
    ctx: typer.Context,
    data: Annotated[
        Path | None,
        option("--data", metavar="DIR", help="The data folder [env TITLE_REGISTRY_DATA; default ./data]."),
    ] = None,
    officer: Annotated[
        str | None,
        option(
            "--officer",
            metavar="ID",
            help="Who acts; needed to write and to see persons in clear [env TITLE_REGISTRY_OFFICER].",
        ),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        option(
            "--passphrase-file",
            metavar="FILE",
            help="Passphrase of the keys, mode 0600 [env TITLE_REGISTRY_PASSPHRASE_FILE; or the passphrase itself in"
            " TITLE_REGISTRY_PASSPHRASE].",
        ),
    ] = None,
    output: Annotated[
        Output, option("--output", "-o", metavar="FORM", help="table, json or jsonl [default: table].")
    ] = Output.TABLE,
    debug: Annotated[bool, option("--debug", help="Show where an unexpected error came from.")] = False,
    _: Annotated[
        bool, option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Read the common options; those on the command line come before the environment."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    named: dict[str, Any] = {"data": data, "officer": officer, "passphrase_file": passphrase_file}
    given = _unset() | {name: value for name, value in named.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = f"TITLE_REGISTRY_{'_'.join(map(str, first['loc'])).upper()}"
        raise typer.BadParameter(first["msg"], param_hint=name) from None
    data_given = data is not None or bool(os.environ.get("TITLE_REGISTRY_DATA"))
    ctx.obj = Session(settings, output, data_given, debug)


def _unset() -> dict[str, Any]:
    """What the environment sets to nothing, with its default: an empty variable is one that is not set."""
    fields = Settings.model_fields.items()
    return {name: field.default for name, field in fields if os.environ.get(f"TITLE_REGISTRY_{name.upper()}") == ""}


measuring.add_demo_to(app)
operation.add_to(app)
app.add_typer(lists.app, name="import", rich_help_panel="Every day")
app.add_typer(titles.app, name="titles", rich_help_panel="Every day")
recalling.add_to(titles.app)
erasing.add_to(holders.app)
requesting.add_to(app, holders.app)
app.add_typer(holders.app, name="holders", rich_help_panel="Every day")
app.add_typer(officers.app, name="officers", rich_help_panel="Officers")
app.add_typer(accounts.app, name="accounts", rich_help_panel="Officers")
app.add_typer(papers.app, name="paper", rich_help_panel="Every day")
certificates.add_to(app)
decisions.add_to(app)
auditing.add_to(app)
proving.add_to(app)
operation.add_care_to(app)
backing.add_to(app)
moving.add_to(app)
app.add_typer(custody.app, name="keys", rich_help_panel="Operation")
app.add_typer(recalling.answers_app, name="answers", rich_help_panel="Operation")
app.add_typer(looking.app, name="looks", rich_help_panel="Operation")
benching.add_bench_to(app)


def main() -> None:
    """Run the program."""
    app(prog_name="title-registry")


if __name__ == "__main__":
    main()
