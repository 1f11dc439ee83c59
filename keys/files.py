"""Files of a key folder: written whole or not at all, and read only when nobody else can touch them."""

import os
import stat
from pathlib import Path
from secrets import token_hex

from keys.errors import KeyStoreBroken, LoosePermissions


def write_private(path: Path, content: bytes) -> None:
    """Write a file with mode 0600 and replace the old one in one step, on the disk before this returns."""
    draft = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def read_private(path: Path) -> bytes:
    """Read a secret file. Raise LoosePermissions if group or others have any right, KeyStoreBroken if unreadable."""
    try:
        with path.open("rb") as file:
            # The mode of what was opened, not of what stands at the path a moment later.
            _refuse_loose(path, os.fstat(file.fileno()).st_mode, 0o600)
            return file.read()
    except OSError as error:
        raise KeyStoreBroken(f"密钥文件 {path} 无法读取：{error.strerror}") from error


def read_public(path: Path) -> bytes:
    """Read a file without secrets. Raise KeyStoreBroken if it is missing or unreadable."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyStoreBroken(f"文件 {path} 无法读取：{error.strerror}") from error


def check_private_folder(folder: Path) -> None:
    """Raise LoosePermissions if group or others have any right on the folder, KeyStoreBroken if it is not there."""
    try:
        _refuse_loose(folder, folder.stat().st_mode, 0o700)
    except OSError as error:
        raise KeyStoreBroken(f"密钥文件夹 {folder} 无法读取：{error.strerror}", fix="请先创建密钥") from error


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk: a replaced file survives a power cut only with its folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_loose(path: Path, mode: int, wanted: int) -> None:
    if stat.S_IMODE(mode) & 0o077:
        message = f"{path} 的权限为 {stat.S_IMODE(mode):04o}，同组或其他用户可以访问"
        raise LoosePermissions(message, fix=f"请执行：chmod {wanted:o} {path}")
