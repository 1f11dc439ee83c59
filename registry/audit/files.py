"""The files of an export as they were found: the manifest under its signature, the hashes, the lines."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import msgspec

from keys.errors import KeysError
from keys.keyring import Keyring
from registry.audit import layout
from registry.audit.findings import Code, Finding, Findings
from registry.audit.layout import Manifest, Row
from registry.audit.scratch import Scratch, batches
from registry.audit.statistics import Statistics
from registry.errors import BadInput, CorruptHistory, RegistryError
from registry.proof.checkpoint import NoteKey, open_note
from registry.proof.policy import Policy
from registry.proof.signers import log_keys

T = TypeVar("T")


class ExportFiles:
    """An export on the disk. Reading goes on past what is damaged and tells `findings`."""

    def __init__(self, directory: Path, findings: Findings) -> None:
        self.directory, self._findings = directory, findings

    def manifest(self) -> Manifest | None:
        """The manifest; None, with a finding, if it is not one. Raise BadInput for a directory that is no export."""
        path = self.directory / layout.MANIFEST
        if not path.is_file():
            raise BadInput(f"{self.directory} 不是审计导出（没有 {layout.MANIFEST}）", fix="指明导出的文件夹")
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except (ValueError, OSError) as error:
            self._add(Code.MANIFEST, f"清单无法读取：{error}", layout.MANIFEST)
            return None
        if manifest.schema != layout.SCHEMA:
            self._add(Code.MANIFEST, f"清单的格式是 {manifest.schema}，本程序只认 {layout.SCHEMA}", layout.MANIFEST)
            return None
        return manifest

    def key(self, manifest: Manifest, pinned: NoteKey | None) -> NoteKey | None:
        """The key that must have signed: the pinned one, else the one that the export names."""
        try:
            own = NoteKey.parse(manifest.checkpoint_key)
        except RegistryError as error:
            self._add(Code.MANIFEST, error.message, layout.MANIFEST)
            return pinned
        if pinned is not None and own != pinned:
            message = "导出所用的检查点公钥不是固定的那一把"
            self._add(Code.KEY_NOT_PINNED, message, layout.MANIFEST, expected=str(pinned), found=str(own))
        return pinned or own

    def check_signature(self, key: NoteKey) -> None:
        """Check manifest.note: it covers every byte of the manifest, and so every file."""
        try:
            text = open_note(
                (self.directory / layout.MANIFEST_NOTE).read_bytes(),
                NoteKey(layout.manifest_signer(key.name), key.public),
            )
            if text != layout.manifest_text((self.directory / layout.MANIFEST).read_bytes()):
                raise BadInput("签名的不是这份清单")
        except (RegistryError, KeysError) as error:
            self._add(Code.MANIFEST_SIGNATURE, error.message, layout.MANIFEST_NOTE)
        except OSError as error:
            self._add(Code.FILE_MISSING, f"文件无法读取：{error.strerror}", layout.MANIFEST_NOTE)

    def check_hashes(self, manifest: Manifest) -> None:
        """Check size and hash of every listed file; a file that is not listed, or not a plain file, is a finding."""
        for name in sorted({*manifest.files, *layout.REQUIRED}):
            self._check_file(name, manifest)
        known = {*manifest.files, layout.MANIFEST, layout.MANIFEST_NOTE}
        known |= {parent.as_posix() for name in manifest.files for parent in PurePosixPath(name).parents}
        for path in sorted(self.directory.rglob("*")):
            name = path.relative_to(self.directory).as_posix()
            if name not in known or path.is_symlink():
                self._add(Code.FILE_UNLISTED, "清单中没有的文件", name)

    def _check_file(self, name: str, manifest: Manifest) -> None:
        path, entry = self.directory / name, manifest.files.get(name)
        if entry is None or not layout.FILE_NAME.fullmatch(name):
            self._add(Code.MANIFEST, f"清单没有列出 {name}，或名称不允许", layout.MANIFEST)
        elif not path.is_file() or path.is_symlink():
            self._add(Code.FILE_MISSING, "清单中的文件不存在", name)
        else:
            try:
                found = layout.file_entry(path)
            except OSError as error:
                self._add(Code.UNREADABLE, f"文件无法读取：{error.strerror}", name)
                return
            if found != entry:
                self._add(Code.FILE_CHANGED, "文件与清单不符", name, expected=entry.sha256, found=found.sha256)

    def keyring(self, key: NoteKey | None) -> Keyring | None:
        """The public keys; None, with a finding, if they cannot be read. The checkpoint key must be among them."""
        try:
            keyring = Keyring.load(self.directory / layout.KEYS)
            own = log_keys(keyring, key.name) if key else [None]
        except KeysError as error:
            self._add(Code.KEYS, error.message, layout.KEYS)
            return None
        if key not in own:
            self._add(Code.KEYS, "公钥环中没有签署检查点的公钥", layout.KEYS)
        return keyring

    def policy(self) -> Policy | None:
        """Whose cosignatures are asked for; None if the export has no policy, or, with a finding, an unreadable one."""
        path = self.directory / layout.POLICY
        try:
            return Policy.parse(path.read_bytes()) if path.is_file() else None
        except (RegistryError, OSError) as error:
            self._add(Code.POLICY, f"见证策略无法读取：{error}", layout.POLICY)
            return None

    def note(self) -> bytes | None:
        """The newest checkpoint as it was signed; None if the file is missing, which is a finding already."""
        try:
            return (self.directory / layout.CHECKPOINT).read_bytes()
        except OSError:
            return None

    def tile(self, name: str) -> bytes | None:
        """The bytes of a tile or entry bundle; None if there is no such file."""
        path = self.directory / name
        try:
            return None if path.is_symlink() else path.read_bytes()
        except OSError:
            return None

    def check_kit(self, manifest: Manifest | None) -> None:
        """The program in the export is the one that goes with this version of ours."""
        found, own = self.tile(layout.KIT), layout.kit()
        if found is None or found == own:
            return  # a missing file is a finding already
        digests = {"expected": hashlib.sha256(own).hexdigest(), "found": hashlib.sha256(found).hexdigest()}
        if manifest is not None and manifest.product != layout.product():
            message = f"导出由 {manifest.product} 制作，其中的核验程序无法由本版本核对"
            self._add(Code.KIT_OTHER, message, layout.KIT, **digests)
        else:
            self._add(Code.KIT, "导出中的核验程序不是本版本所附的那一个，不要运行它", layout.KIT, **digests)

    def check_statistics(self, rebuilt: Statistics) -> None:
        """The figures in the export are those of the rebuilt register, in their one form."""
        path = self.directory / layout.STATISTICS
        try:
            data = path.read_bytes()
            found = msgspec.json.decode(data, type=Statistics).figures()
        except OSError:
            return  # a finding already
        except ValueError as error:
            self._add(Code.STATISTICS, f"统计无法读取：{error}", layout.STATISTICS)
            return
        expected = rebuilt.figures()
        for counted in sorted(one for one in {*expected, *found} if expected.get(one) != found.get(one)):
            numbers = {"expected": str(expected.get(counted, 0)), "found": str(found.get(counted, 0))}
            self._add(Code.STATISTICS, "统计与登记簿不符", layout.STATISTICS, field=" ".join(counted), **numbers)
        if expected == found and data != rebuilt.encode():
            self._add(Code.STATISTICS, "统计的写法或次序不规范", layout.STATISTICS)

    def reference_digest(self) -> str:
        """The digest of the reference data: SHA-256 of what `sha256sum` lists for the files in order of name."""
        paths = sorted((self.directory / layout.REFERENCE).glob("*"))
        listing = "".join(f"{layout.file_entry(path).sha256}  {path.name}\n" for path in paths if path.is_file())
        return hashlib.sha256(listing.encode()).hexdigest()

    def events(self) -> Iterator[Row]:
        """The events in the order of the file; a line that cannot be read is a finding and left out."""
        return self._read(layout.EVENTS, layout.read_event)

    def claims(self) -> Iterator[tuple[tuple[str, str], tuple[str]]]:
        """The claims: (scope, key) and the stream."""
        return self._read(layout.CLAIMS, layout.read_claim)

    def rows(self, table: str) -> Iterator[msgspec.Struct]:
        """The rows of one table of the register."""
        return (row for name, row in self._read(layout.REGISTER, layout.read_row) if name == table)

    def _read(self, name: str, read: Callable[[bytes], T]) -> Iterator[T]:
        path = self.directory / name
        if not path.is_file():
            return  # a finding already
        for number, line in layout.lines(path):
            try:
                yield read(line)
            except ValueError:
                self._findings.add(Finding(code=Code.LINE, message="这一行不合格式", file=name, line=number))

    def _add(self, code: Code, message: str, file: str, **more: Any) -> None:
        self._findings.add(Finding(code=code, message=message, file=file, **more))


def sorted_events(directory: Path) -> Iterator[Row]:
    """The events of an export stream by stream, in flat memory. Raise CorruptHistory for a line that is no event."""
    findings = Findings()
    files, scratch = ExportFiles(directory, findings), Scratch()
    if files.manifest() is None:
        raise CorruptHistory(findings.kept[0].message, fix="先用 audit verify 核验")
    try:
        for batch in batches(files.events()):
            scratch.put_events(batch)
        if findings.kept:
            raise CorruptHistory(f"{layout.EVENTS} 第 {findings.kept[0].line} 行不是事件", fix="先用 audit verify 核验")
        yield from scratch.events_by_stream()
    finally:
        scratch.close()
