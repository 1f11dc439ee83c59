"""Take a backup while the registry works: nobody waits for it, and what it says is in it has been looked at.

(1) the store is copied as of one moment: a file by SQLite's online backup, not by VACUUM, which may number rows anew,
    and a row's number is the position of its event; of PostgreSQL the rows, in one snapshot, into such a file
(2) the checkpoints that the copied store reaches; a newer one would make a whole copy look like an old one
(3) the keys: a certificate in the store is never newer than they are; the key ring first, whose files are all there
(4) scans, which are on the disk before an application names them
(5) the copy is checked, written, read back, and gets its name
"""

import hashlib
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from keys.files import sync_folder
from registry.backup.archive import Manifest, Member, Source, read_archive, write_archive
from registry.backup.contents import examine
from registry.backup.holding import set_database
from registry.errors import CorruptHistory, Refused, Unavailable
from registry.folder import Folder
from registry.log.copying import as_of_now, held
from registry.log.copying import copy as copy_rows
from registry.proof.kept import KeptCheckpoints, size_of
from registry.proof.leaves import PREDECESSOR, folder_of, generation_of

_SQLITE = b"SQLite format 3\0"
_BESIDE = ("-wal", "-shm", "-journal")  # of a store; its copy needs none


def back_up(folder: Folder, target: Path, passphrase: bytes, *, now: datetime, replace: bool = False) -> Manifest:
    """Write a backup of a data folder to one file and say what it holds. Other processes go on reading and writing.

    The file appears whole and checked, or not at all. Raise Refused if it is there and is not to be replaced, or would
    lie in the data folder; CorruptHistory, LogFrozen, Unavailable or keys.errors.KeysError if something that a restore
    needs is missing or wrong, or does not open with this passphrase.
    """
    target = target.absolute()
    folder.read_config()
    _check_target(folder, target, replace=replace)
    with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as draft:
        copy = _copy(folder, Path(draft, "data"))
        evidence = {path.name: path for path in _files(folder.evidence)}
        contents = examine(copy, passphrase, evidence.keys())

        def describe(files: list[Member]) -> Manifest:
            root = hashlib.sha256((copy.keys / "root.pem").read_bytes()).hexdigest()
            return Manifest(
                created_at=now,
                registry=root,
                head=contents.head,
                checkpoint=contents.checkpoint,
                files=files,
                expires_at=now + timedelta(days=copy.read_config().keep_backups),
                database=folder.read_config().database,
            )

        archive = Path(draft, "archive")
        manifest = write_archive(archive, _sources(copy, evidence), describe)
        if read_archive(archive) != manifest:  # the bytes on the disk, not those in memory
            raise CorruptHistory("备份写出后读回，与写出的不同", fix="检查磁盘；换一个位置重试")
        _check_target(folder, target, replace=replace)
        archive.replace(target)
    sync_folder(target.parent)
    return manifest


def _check_target(folder: Folder, target: Path, *, replace: bool) -> None:
    if folder.path.resolve() in (target.parent.resolve(), *target.parent.resolve().parents):
        raise Refused(f"备份 {target} 在数据文件夹里面，会随它一起丢失", fix="写到另一个文件夹，最好在另一台机器上")
    if target.is_dir() or (target.exists() and not replace):
        raise Refused(f"{target} 已存在", fix="换一个文件名；确要替换的，用 --force")


def _copy(folder: Folder, path: Path) -> Folder:
    """Copy everything but the scans."""
    copy = Folder(path)
    for one in (path, copy.keys, copy.tree):
        one.mkdir(mode=0o700)
    _copy_log(folder, copy)  # (1)
    _copy_checkpoints(folder, copy, _head(copy.log))  # (2)
    names = ["keys.json", *sorted(file.name for file in _files(folder.keys) if file.name != "keys.json")]
    for name in names:  # (3)
        _copy_file(folder.keys / name, copy.keys / name)
    _copy_file(folder.config, copy.config)
    if copy.read_config().database:
        set_database(copy, "")  # its log is in the file beside it
    doors = [file for name in ("accounts.db", "oidc.json") if (file := folder.path / name).is_file()]
    for file in (*doors, *_files(folder.answers), *_files(folder.looks)):
        _copy_either(file, copy.path / file.relative_to(folder.path))
    return copy


def _copy_log(folder: Folder, copy: Folder) -> None:
    database = folder.read_config().database
    if not database:
        _copy_store(folder.log, copy.log)
        return
    with as_of_now(database) as source, held(copy.log) as target:
        copy_rows(source, target)
        target.commit()


def _copy_either(file: Path, target: Path) -> None:
    if file.name.endswith(_BESIDE):
        return
    target.parent.mkdir(exist_ok=True, mode=0o700)
    with file.open("rb") as content:
        is_store = content.read(len(_SQLITE)) == _SQLITE
    (_copy_store if is_store else _copy_file)(file, target)


def _copy_file(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o600)


def _copy_store(source: Path, target: Path) -> None:
    """Copy a store in one read transaction: later writes are not in it, and no writer waits."""
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as live,
            closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy)
    except sqlite3.DatabaseError as error:
        raise Unavailable(f"{source} 不能读取：{error}", fix="运行 title-registry doctor") from error


def _head(store: Path) -> int:
    try:
        with closing(sqlite3.connect(f"{store.resolve().as_uri()}?mode=ro", uri=True)) as c:
            return int(c.execute("SELECT max(rowid) FROM stored_events").fetchone()[0] or 0)
    except sqlite3.DatabaseError as error:
        raise Unavailable(f"{store.name} 不能读取：{error}", fix="运行 title-registry doctor") from error


def _copy_checkpoints(folder: Folder, copy: Folder, head: int) -> None:
    """Those of the present log as far as the copied store reaches; those of logs before it as they are."""
    if folder.policy.exists():
        _copy_file(folder.policy, copy.policy)
    present = generation_of(folder.tree)
    for number in range(1, present + 1):
        source, target = folder_of(folder.tree, number), folder_of(copy.tree, number)
        target.mkdir(mode=0o700, exist_ok=True)
        first = 0 if number == 1 else 1
        if first:
            _copy_file(source / PREDECESSOR, target / PREDECESSOR)
        _copy_notes(source, target, head + first if number == present else sys.maxsize)


def _copy_notes(source: Path, target: Path, most: int) -> None:
    last = b""
    with (target / "checkpoints").open("wb") as out:
        for note in KeptCheckpoints(source / "checkpoints").all():
            if size_of(note) <= most:
                out.write(note + b"\n")
                last = note
    published = source / "checkpoint"
    note = published.read_bytes() if published.exists() else b""
    if last:  # the published one may have cosignatures that the kept one lacks
        (target / "checkpoint").write_bytes(note if note.startswith(last.partition(b"\n\n")[0]) else last)


def _files(folder: Path) -> list[Path]:
    """The files in a folder, but for drafts that a writer has not finished."""
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]


def _sources(copy: Folder, evidence: dict[str, Path]) -> Iterator[Source]:
    for path in sorted(copy.path.rglob("*")):
        if path.is_file() and not path.name.endswith(_BESIDE):
            yield Source(path.relative_to(copy.path).as_posix(), path)
    for name, path in evidence.items():
        yield Source(f"evidence/{name}", path)
