"""Look into an .xlsx package before any program unpacks it: is it too large, or made to be, or not a package at all."""

import re
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from registry.errors import BadInput
from registry.intake.table import refusal

MOST_BYTES = 160 * 1024 * 1024  # unpacked, all parts together
MOST_PARTS = 1_000
HIGHEST_RATIO = 500  # of a part larger than a megabyte; those of real lists stay below 100
USE_CSV = "把名单另存为 CSV UTF-8 再导入，CSV 没有行数限制"
_CHUNK = 1 << 20
_ENCRYPTED = 0x1  # zip flag bit 0
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SHEET = re.compile(rb"<(?:\w+:)?sheet\s[^>]*>")
_SHEET_ID = re.compile(rb"\s\w+:id\s*=\s*[\"']([^\"']+)[\"']")
_RELATION = re.compile(rb"<(?:\w+:)?Relationship\s[^>]*>")
_ATTRIBUTE = re.compile(rb"\s(Id|Target)\s*=\s*[\"']([^\"']+)[\"']")


def check_package(path: Path) -> None:
    """Refuse what is not an .xlsx, needs a password, or is too large when unpacked.

    Every part is inflated once and counted, because a directory can lie about sizes; at most 160 MB are inflated.
    """
    with path.open("rb") as file:
        _check_beginning(path, file.read(8))
        try:
            with zipfile.ZipFile(file) as package:
                _check_directory(path, package.infolist())
                for part in package.infolist():
                    _check_part(path, file, part)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, OSError) as error:
            raise _corrupt(path) from error


def sheet_bytes(path: Path, place: int) -> bytes:
    """The XML of the sheet at this place in the workbook, counted from 0. The package has been checked before."""
    with zipfile.ZipFile(path) as package:
        try:
            sheets = _SHEET.findall(package.read("xl/workbook.xml"))
            identifier = _SHEET_ID.search(sheets[place])
            targets = _targets(package.read("xl/_rels/workbook.xml.rels"))
            target = targets[identifier[1]] if identifier else ""
            return package.read(target[1:] if target.startswith("/") else str(PurePosixPath("xl") / target))
        except (KeyError, IndexError, UnicodeDecodeError) as error:
            raise _corrupt(path) from error


def _targets(relations: bytes) -> dict[bytes, str]:
    found = [dict(_ATTRIBUTE.findall(each)) for each in _RELATION.findall(relations)]
    return {each[b"Id"]: each[b"Target"].decode() for each in found if len(each) == 2}


def _check_beginning(path: Path, beginning: bytes) -> None:
    if not beginning:
        raise refusal(path, "empty-file", "文件是空的", "检查是否选错了文件")
    if beginning.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in path.read_bytes():
            raise refusal(path, "password", "有打开密码", "在表格软件中取消密码，再保存")
        raise refusal(path, "old-format", "是旧的 .xls 格式，后缀却是 .xlsx", "在表格软件中另存为 .xlsx")
    if not beginning.startswith(b"PK"):
        raise refusal(
            path, "corrupt", "不是 .xlsx 文件的内容（可能是改了后缀的网页或文本）", "在表格软件中打开，另存为 .xlsx"
        )


def _check_directory(path: Path, parts: list[zipfile.ZipInfo]) -> None:
    names = {part.filename.casefold() for part in parts}
    if len(names) < len(parts) or "[content_types].xml" not in names:
        raise _corrupt(path)
    if any(part.flag_bits & _ENCRYPTED for part in parts):
        raise refusal(path, "password", "有密码", "取消密码，再保存")
    if any(part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for part in parts):
        raise _corrupt(path)
    unpacked = sum(part.file_size for part in parts)
    if len(parts) > MOST_PARTS or unpacked > MOST_BYTES:
        size = f"解压后共 {unpacked // 2**20} MB，{len(parts)} 个部分"
        raise refusal(path, "too-large", f"{size}，超过上限 {MOST_BYTES // 2**20} MB", USE_CSV)
    if any(part.file_size > max(_CHUNK, HIGHEST_RATIO * part.compress_size) for part in parts):
        raise _bomb(path)


def _check_part(path: Path, file: BinaryIO, part: zipfile.ZipInfo) -> None:
    file.seek(part.header_offset)
    header = file.read(30)  # the local header; its names may be longer than the directory's
    file.seek(
        part.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    )
    size = _inflated(file, part) if part.compress_type == zipfile.ZIP_DEFLATED else part.compress_size
    if size != part.file_size:
        raise _bomb(path)


def _inflated(file: BinaryIO, part: zipfile.ZipInfo) -> int:
    """The bytes that a part really unpacks to; counting stops just past the size that the directory states."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    size, rest = 0, b""
    while not inflate.eof and size <= part.file_size and (rest := inflate.unconsumed_tail or file.read(_CHUNK)):
        size += len(inflate.decompress(rest, _CHUNK))
    return size


def _corrupt(path: Path) -> BadInput:
    return refusal(path, "corrupt", "已损坏，或不是完整的 .xlsx 文件", "在表格软件中打开，另存为新的 .xlsx")


def _bomb(path: Path) -> BadInput:
    return refusal(path, "zip-bomb", "压缩比异常，像是有意做成的压缩炸弹", f"不要打开此文件；{USE_CSV}")
