"""Move the log to the other engine."""

from typing import Annotated, Any

import typer

from api.cli.common import DryRun, option, session_of
from api.cli.printing import particulars, say, show
from api.cli.tree import Commands
from registry.folder import Folder
from registry.moving import FILE, Moved, move
from registry.terms import utc_now

OPERATION = "Operation"


def add_to(app: Commands) -> None:
    """Add `move`."""
    app.command("move", rich_help_panel=OPERATION)(move_log)


def move_log(
    ctx: typer.Context,
    to: Annotated[
        str,
        option(
            "--to",
            metavar="URL|sqlite",
            help="postgresql://SERVER/DATABASE, without a password; or sqlite, back into the data folder's own file.",
        ),
    ],
    dry_run: DryRun = False,
) -> None:
    """Copy the log, event for event, into an empty store of another engine, prove it is the same, and go on there.

    Stop the service first. Nothing is switched before the copy has been compared row by row and has the root of the
    tree that was signed. The old store is kept and takes no event any more; delete it when its backups' time is over.
    """
    session = session_of(ctx)
    settings = session.settings
    folder = Folder(settings.data)
    folder.read_config()  # a folder that is none is said before a passphrase is asked for
    done = move(
        folder,
        to,
        settings.read_passphrase(),
        now=utc_now(),
        checkpoints=settings.checkpoints,
        dry_run=dry_run,
    )
    show(session.output, _item(done, dry_run=dry_run), particulars(_facts(done)))
    _say_how_it_stands(done, dry_run=dry_run)


def _item(done: Moved, *, dry_run: bool) -> dict[str, Any]:
    proven = done.proven
    return {
        "before": done.before,
        "now": done.before if dry_run else done.now,
        "events": proven.copied.events if proven else None,
        "claims": proven.copied.claims if proven else None,
        "data_keys": proven.copied.data_keys if proven else None,
        "tree_size": proven.size if proven else None,
        "root": proven.root.hex() if proven else None,
        "checkpoint": proven.signed if proven else None,
        "kept": str(done.kept) if done.kept else None,
        "dry_run": dry_run,
    }


def _facts(done: Moved) -> dict[str, object]:
    facts: dict[str, object] = {"From": done.before, "To": done.now}
    if done.proven:
        copied = done.proven.copied
        facts |= {
            "Copied": f"{copied.events:,} events, {copied.claims:,} claims, {copied.data_keys:,} data keys",
            "Tree": f"{done.proven.size:,} leaves, {done.proven.root.hex()}, the same in both stores",
            "Signed": f"{done.proven.signed:,} leaves, the same root as in the checkpoint",
        }
    return facts | {"Kept": done.kept}


def _say_how_it_stands(done: Moved, *, dry_run: bool) -> None:
    if done.before == done.now:
        say(f"Nothing to move: the log is there already{_aside(done)}.")
    elif dry_run:
        say("Dry run: the log is what was signed, and the new store can take it; nothing was written.")
    elif done.before == FILE:
        say(f"The registry goes on in PostgreSQL{_aside(done)}. Next: title-registry doctor; then start the service.")
    else:
        say(
            "The registry goes on in the file registry.db. The old schema is kept and takes no event any more; it holds"
            " data keys, so drop it when the backups of today expire. Next: title-registry doctor; then start the"
            " service."
        )


def _aside(done: Moved) -> str:
    return f"; the old file is kept as {done.kept.name}, and takes no event any more" if done.kept else ""
