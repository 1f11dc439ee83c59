"""Move the log of a registry to the other engine, and go on there.

(1) nobody serves the data folder, and nobody has the log open; it stays so to the end
(2) the log extends what was signed
(3) it is copied into an empty store, in one transaction, compared row by row, and has the same tree
(4) one setting is changed in one step: from here on the registry is in the new store
(5) the old store is kept, but takes no event any more; a file also gets a name that tells when

Killed before (4) the old store is in force as before, and a second run finds the copy or makes it anew. Killed after
it, the new one is; a second run has nothing to do but (5) for a file.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from keys.custody import Custody
from keys.files import sync_folder
from keys.keyring import Keyring
from registry.backup.contents import published_in
from registry.backup.holding import alone, own_like, set_database
from registry.backup.transfer import Proven, transfer
from registry.folder import Folder
from registry.log.copying import Held, HeldFile, events_at, held
from registry.log.pgserver import checked

FILE = "sqlite"


class Moved(NamedTuple):
    """Where the log was and is, what proves the copy, and the old file's new name.

    `proven` is None where nothing was copied: the log was there already, or a dry run found the new store empty.
    """

    before: str
    now: str
    proven: Proven | None
    kept: Path | None


def move(
    folder: Folder,
    database: str,
    passphrase: bytes,
    *,
    now: datetime,
    checkpoints: Path | None = None,
    dry_run: bool = False,
) -> Moved:
    """Move the log of a data folder to a postgresql:// address, or back into its file with "sqlite".

    `checkpoints` is the folder with the last signed checkpoints, if it is not the one beside the data folder. A dry run
    checks what it can and changes nothing. Raise Refused if something uses the registry or the new store is not empty,
    Unavailable if a store cannot be opened or has another schema, LogFrozen if the log is not what was signed,
    CorruptHistory for a copy that differs, keys.errors.KeysError for a wrong passphrase: the old store is in force.
    """
    wanted = "" if database == FILE else checked(database)
    keyring = Custody.open(folder.keys, passphrase).keyring
    with alone(folder.path):  # (1)
        present = folder.read_config().database
        if present == wanted:
            kept = _set_aside(folder, now) if wanted and folder.log.exists() and not dry_run else None
            return Moved(present or FILE, database, None, kept)
        with held(folder.store, in_force=True) as source:
            published_in(folder, source, keyring, checkpoints or folder.beside).compare()  # (2)
            proven = _copied(folder, keyring, source, wanted, dry_run=dry_run)  # (3)
            kept = None if dry_run else _switch(folder, source, wanted, now)
    return Moved(present or FILE, database, proven, kept)


def _copied(folder: Folder, keyring: Keyring, source: Held, database: str, *, dry_run: bool) -> Proven | None:
    draft = folder.log.with_name(f".{folder.log.name}.moving")
    for ending in ("", "-wal", "-journal"):  # of a run that was killed
        draft.with_name(draft.name + ending).unlink(missing_ok=True)
    place = database or (folder.log if folder.log.exists() else draft)
    if dry_run and not events_at(place):
        return None
    with held(place) as target:
        proven = transfer(folder, keyring, source, target)
        if not dry_run:
            target.commit()
    if place == draft:
        own_like(draft, folder.path)
        draft.rename(folder.log)
        sync_folder(folder.path)
    return proven


def _switch(folder: Folder, source: Held, database: str, now: datetime) -> Path | None:
    source.leave(database or FILE)
    set_database(folder, database)  # (4)
    source.commit()  # (5)
    return _rename(folder, now) if isinstance(source, HeldFile) else None


def _set_aside(folder: Folder, now: datetime) -> Path:
    """A file that is not in force any more, from a run that was interrupted after (4)."""
    with held(folder.log, in_force=True) as old:
        old.leave(folder.read_config().database)
        old.commit()
        return _rename(folder, now)


def _rename(folder: Folder, now: datetime) -> Path:
    stem = f"{folder.log.name}.before-move-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    names = (folder.log.with_name(stem + (f"-{n}" if n else "")) for n in range(1000))
    kept = folder.log.rename(next(name for name in names if not name.exists()))
    sync_folder(folder.path)
    return kept
