"""Back the registry up into one file, and restore it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.common import DryRun, existing_file, new_file, opened, option, session_of
from api.cli.printing import complain, moment, particulars, say, show
from api.cli.tree import FAILED, Commands
from registry.backup import Manifest, Restored, back_up, restore
from registry.folder import Folder
from registry.terms import utc_now

OPERATION = "Operation"


def add_to(app: Commands) -> None:
    """Add `backup` and `restore`."""
    app.command("backup", rich_help_panel=OPERATION)(backup)
    app.command("restore", rich_help_panel=OPERATION)(restore_backup)


def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, a tar; best on another machine.")],
    force: Annotated[bool, option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write everything that a restore needs to one file, while the service goes on; the passphrase is not in it.

    The file is read back and checked: the store and its signed checkpoints, every key with this passphrase, every scan.
    Keep the passphrase and a copy of the last signed checkpoint elsewhere.
    """
    session, target = session_of(ctx), new_file(file, force=force)
    settings = session.settings
    folder = Folder(settings.data)
    folder.read_config()  # a folder that is none is said before a passphrase is asked for
    manifest = back_up(folder, target, settings.read_passphrase(), now=utc_now(), replace=force)
    with opened(ctx) as registry:
        frozen = registry.continuity.examine()
    item = {"file": str(target), **_item(manifest), "frozen": frozen}
    show(session.output, item, particulars({"Backup": target, **_facts(manifest)}))
    if frozen:
        say(f"Beware: this registry is frozen, and so is its backup: {frozen}")


def restore_backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `backup` wrote.")],
    database: Annotated[
        str,
        option(
            "--database",
            metavar="URL",
            help="An empty store for the log, postgresql://SERVER/DATABASE; default: the data folder's own file.",
        ),
    ] = "",
    dry_run: DryRun = False,
) -> None:
    """Put a backup in the place of the data folder, in one step; the folder that is there is kept under another name.

    Stop the service first. A backup of either engine restores into either. A copy that does not reach the last signed
    checkpoint is put in place, too, but answers "unavailable" and signs nothing, and the exit status is 1.
    """
    session = session_of(ctx)
    settings = session.settings
    done = restore(
        existing_file(file),
        settings.data,
        settings.read_passphrase(),
        now=utc_now(),
        checkpoints=settings.checkpoints,
        database=database,
        dry_run=dry_run,
    )
    outside = done.outside
    item: dict[str, Any] = {
        "data": str(settings.data),
        "database": database or None,
        **_item(done.manifest),
        "kept": str(done.kept) if done.kept else None,
        "outside": {"path": str(outside.path), "size": outside.checkpoint.size, "at": outside.at.isoformat()}
        if outside
        else None,
        "missing": _missing(done),
        "frozen": done.frozen.message if done.frozen else None,
        "dry_run": dry_run,
    }
    facts = {
        "Data folder": settings.data,
        "Log": database,
        **_facts(done.manifest),
        "Kept": done.kept,
        **_outside(done),
    }
    show(session.output, item, particulars(facts))
    _say_where_it_was(done.manifest.database, database)
    _say_how_it_stands(done, dry_run=dry_run)


def _item(manifest: Manifest) -> dict[str, Any]:
    return {
        "created_at": manifest.created_at.isoformat(),
        "expires_at": manifest.expiry.isoformat(),
        "log_position": manifest.head,
        "checkpoint": manifest.checkpoint,
        "files": len(manifest.files),
        "bytes": manifest.size,
    }


def _facts(manifest: Manifest) -> dict[str, object]:
    def count(folder: str) -> int:
        return sum(one.name.startswith(folder) for one in manifest.files)

    return {
        "Taken": moment(manifest.created_at),
        "Expires": f"{moment(manifest.expiry)}: delete it then",
        "Events": f"{manifest.head:,}, of them in a signed checkpoint: {manifest.checkpoint:,}",
        "Key files": count("keys/"),
        "Scans": count("evidence/"),
        "Size": f"{manifest.size:,} bytes in {len(manifest.files):,} files",
    }


def _outside(done: Restored) -> dict[str, object]:
    if done.outside is None:
        return {}
    size, missing = done.outside.checkpoint.size, _missing(done)
    return {
        "Last signed": f"{size:,} events, {moment(done.outside.at)}, {done.outside.path}",
        "Missing": f"{missing:,} events ({done.manifest.head + 1:,} to {size:,})" if missing else "",
    }


def _say_where_it_was(before: str, now: str) -> None:
    if before and not now:
        say(
            f"The log was at {before}; it is in the file registry.db now. To go on there: title-registry move --to URL."
        )


def _missing(done: Restored) -> int:
    """How many signed events the copy does not have."""
    return max(0, done.outside.checkpoint.size - done.manifest.head) if done.outside else 0


def _say_how_it_stands(done: Restored, *, dry_run: bool) -> None:
    """Prose after the facts; ends with status 1 for a copy from which nothing will be answered."""
    if dry_run:
        say("Dry run: the backup is whole and opens with this passphrase; nothing was written.")
    elif done.kept:
        say(f"The folder that was there is kept: {done.kept}")
    if done.frozen:
        complain(done.frozen.code, done.frozen.message, done.frozen.fix)
        say("From this copy nothing is answered or signed until a newer one is restored; it harms nobody meanwhile.")
        raise typer.Exit(FAILED)
    if done.outside is None:
        say(
            "No signed checkpoint was found outside the data folder, so nobody can tell whether this is the newest"
            " copy. Put the file from the old machine in its place (docs/recovery.md), and run title-registry doctor."
        )
    if not dry_run:
        say("Next: title-registry register rebuild; title-registry doctor; then start the service.")
