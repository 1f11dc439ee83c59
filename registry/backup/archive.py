"""The file of a backup: a plain tar, which any tar program opens, with a manifest of all its members at its end.

    registry.db                 events, claims and data keys, as of one moment; of PostgreSQL too, as rows of a file
    log/checkpoint, checkpoints the newest signed checkpoint, and every one published; log/policy for witnesses; log/2/
                                the same of a log that follows the first, with what it follows (predecessor)
    config.json, keys/…         settings, with the log in the file above; the keys as they lie, under the passphrase
    evidence/…                  scans, sealed
    answers/…, looks/…          the answers given and the looks taken, month by month
    accounts.db, oidc.json      who can sign in, as hashes; the providers, without their secrets
    manifest.json               name, size and SHA-256 of each, and what the copy holds
    manifest.sha256             the SHA-256 of manifest.json, as sha256sum writes it

Not in it: the tiles of the log and the register, which follow from the events (a stale one beside them would be one
more thing to doubt), and the passphrase. An archive is read in one way only: plain files of these names, each once, all
of them listed, no other.
"""

import hashlib
import os
import re
import tarfile
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from keys.files import sync_folder
from registry.errors import BadInput

SCHEMA = "title-registry/backup/1"
KEPT = timedelta(days=90)
MANIFEST, DIGEST = "manifest.json", "manifest.sha256"
REQUIRED = ("registry.db", "config.json", "keys/keys.json", "keys/secrets.bin", "keys/root.pem")
_MOST_MANIFEST = 256 * 1024**2  # bytes; a million scans
_CHUNK = 1024**2
_NAME = re.compile(
    r"registry\.db|config\.json|accounts\.db|oidc\.json|log/policy|log/(?:[2-9]/)?(?:checkpoint|checkpoints|predecessor)|keys/[\w-][\w.-]{0,120}"
    r"|evidence/[\w-][\w.-]{0,150}|(?:answers|looks)/[\w-][\w.-]{0,120}",
    re.ASCII,
)
_WHOLE = "换用另一份完整的备份文件；不要拆开或重新打包"
# What Python's reader of tar files raises for bytes that are none.
_UNREADABLE = (tarfile.TarError, ValueError, IndexError, KeyError, OverflowError, EOFError, MemoryError)


class Member(msgspec.Struct, frozen=True):
    """One file of a backup: its name, its size in bytes, its SHA-256 in hex."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. `registry` is the SHA-256 of the root certificate in hex: no rotation changes it.

    `head` is the position of the newest event; `checkpoint` the size of the newest signed tree, 0 before the first.
    `expires_at` is when it must be gone, for the sake of who was erased since; None: written before there was such a
    time, and then it is 90 days. `database` is the address where the log was, empty for a file; nobody reads it but to
    tell it.
    """

    schema: str = SCHEMA
    created_at: datetime
    registry: str
    head: int
    checkpoint: int
    files: list[Member]
    expires_at: datetime | None = None
    database: str = ""

    @property
    def expiry(self) -> datetime:
        """When the backup must be gone."""
        return self.expires_at or self.created_at + KEPT

    @property
    def size(self) -> int:
        """The bytes of all files together."""
        return sum(one.size for one in self.files)


class Source(NamedTuple):
    """A file to take in, and its name in the backup."""

    name: str
    path: Path


class _Schema(msgspec.Struct):
    schema: str


# writing


def write_archive(path: Path, sources: Iterable[Source], describe: Callable[[list[Member]], Manifest]) -> Manifest:
    """Write the sources and their manifest to a new file of mode 0600; it is on the disk when this returns.

    A file is taken as long as it is when it is opened. Raise BadInput for one whose name no backup has.
    """
    members = list[Member]()
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for source in sources:
                members.append(_add(tar, source))
            manifest = describe(members)
            data = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
            for name, content in ((MANIFEST, data), (DIGEST, _digest_of(data))):
                tar.addfile(_header(name, len(content)), BytesIO(content))
        out.flush()
        os.fsync(out.fileno())
    return manifest


def _digest_of(manifest: bytes) -> bytes:
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


def _add(tar: tarfile.TarFile, source: Source) -> Member:
    if not _NAME.fullmatch(source.name):
        raise BadInput(f"{source.path} 不是登记库的文件，备份不知如何处理", fix="把它移到数据文件夹之外")
    with source.path.open("rb") as file:
        size, content = os.fstat(file.fileno()).st_size, _Hashed(file)
        tar.addfile(_header(source.name, size), content)
    return Member(source.name, size, content.digest.hexdigest())


def _header(name: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode = size, 0o600
    return header


class _Hashed:
    """A file that is hashed while it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


# reading


def read_archive(path: Path, into: Path | None = None) -> Manifest:
    """Check a backup whole, every hash included, and unpack it into an empty folder if one is given.

    What was unpacked is on the disk when this returns, files of mode 0600 in folders of mode 0700. Raise BadInput for
    anything but a whole backup in its one form; the folder may then hold a part of it.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            manifest = _read(tar, into)
    except _UNREADABLE as error:
        raise BadInput(f"{path} 不是备份文件，或已损坏：{error}", fix=_WHOLE) from error
    if into is not None:
        for folder in {into, *((into / one.name).parent for one in manifest.files)}:
            sync_folder(folder)
    return manifest


def _read(tar: tarfile.TarFile, into: Path | None) -> Manifest:
    found, end = dict[str, Member](), dict[str, bytes]()
    for header in tar:
        late = end and header.name != DIGEST
        if late or header.name in found or header.name in end or not _is_plain(header):
            raise BadInput(f"备份中有不该有的成员 {header.name!r}", fix=_WHOLE)
        if header.name in (MANIFEST, DIGEST):
            end[header.name] = _content(tar, header)
        else:
            found[header.name] = _take(tar, header, into)
    if MANIFEST not in end or end.get(DIGEST) != _digest_of(end[MANIFEST]):
        raise BadInput("备份没有完好的清单：文件不完整、已损坏，或不是本程序的备份", fix=_WHOLE)
    manifest = _manifest(end[MANIFEST])
    _compare(manifest, found)
    return manifest


def _is_plain(header: tarfile.TarInfo) -> bool:
    """A regular file (no link, folder, device or sparse file) of a name that a backup has: no other path."""
    return (
        header.type == tarfile.REGTYPE
        and not header.issparse()
        and (header.name in (MANIFEST, DIGEST) or _NAME.fullmatch(header.name) is not None)
    )


def _content(tar: tarfile.TarFile, header: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(header)
    if file is None or header.size > _MOST_MANIFEST:
        raise BadInput(f"备份中的 {header.name} 过大", fix=_WHOLE)
    return file.read()


def _manifest(data: bytes) -> Manifest:
    try:
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema != SCHEMA:
            raise BadInput(f"备份的格式是 {schema}，本程序只认识 {SCHEMA}", fix="用写出它的那一版程序恢复，再升级")
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BadInput(f"备份的清单不能读取：{error}", fix=_WHOLE) from error


def _take(tar: tarfile.TarFile, header: tarfile.TarInfo, into: Path | None) -> Member:
    content, digest = tar.extractfile(header), hashlib.sha256()
    assert content is not None  # a regular file
    with open(os.open(_place(into, header.name), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
        while data := content.read(_CHUNK):
            digest.update(data)
            out.write(data)
        out.flush()
        if into is not None:
            os.fsync(out.fileno())
    return Member(header.name, header.size, digest.hexdigest())


def _place(into: Path | None, name: str) -> Path:
    if into is None:
        return Path(os.devnull)
    path = into / name
    path.parent.mkdir(exist_ok=True, parents=True, mode=0o700)
    return path


def _compare(manifest: Manifest, found: dict[str, Member]) -> None:
    listed = {one.name: one for one in manifest.files}
    for name in sorted(listed.keys() | found.keys() | set(REQUIRED)):
        if name not in found:
            raise BadInput(f"备份缺少 {name}", fix=_WHOLE)
        if found[name] != listed.get(name):
            raise BadInput(f"备份中的 {name} 与清单不符：文件已损坏或被改动", fix=_WHOLE)
    if len(listed) != len(manifest.files):
        raise BadInput("备份的清单中有重复的文件", fix=_WHOLE)
