"""The checks of `doctor`: each says what was found and, if it is not well, what to do."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Literal

import msgspec

from api.settings import Settings
from keys.custody import Custody
from keys.errors import KeysError
from keys.signing import Purpose
from registry.audit import verify_live
from registry.errors import CorruptHistory, RegistryError
from registry.folder import Folder
from registry.service import Registry
from registry.terms import utc_now

SOON = timedelta(days=90)
LITTLE_SPACE = 1024**3  # bytes


class Check(msgspec.Struct, frozen=True):
    """One check and how it ended."""

    name: str
    outcome: Literal["ok", "warning", "failed"]
    found: str
    fix: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """Every check in order. What needs an open registry is left out if it cannot be opened."""
    folder = Folder(settings.data)
    yield _tried("Python", lambda: (sys.version.split()[0], ""))
    yield _tried("Data folder", lambda: _folder(folder))
    needed = [_tried("Keys", lambda: _keys(folder, settings)), _tried("Store", lambda: _store(folder))]
    yield from needed
    yield _tried("Disk", lambda: _disk(settings))
    yield _tried("Fonts", lambda: _fonts(settings))
    if all(one.outcome != "failed" for one in needed):
        registry = Registry.open(settings.data, settings.read_passphrase())
        yield _tried("History", lambda: _history(registry))
        registry.close()


def _tried(name: str, look: Callable[[], tuple[str, str]]) -> Check:
    """A check that says what to do is a warning; one that raises has failed."""
    try:
        found, fix = look()
    except (RegistryError, KeysError) as error:
        return Check(name, "failed", error.message, error.fix)
    except (OSError, sqlite3.DatabaseError) as error:
        return Check(name, "failed", str(error), "repair it, or restore it from a backup")
    return Check(name, "warning" if fix else "ok", found, fix)


def _folder(folder: Folder) -> tuple[str, str]:
    config, mode = folder.read_config(), folder.path.stat().st_mode & 0o777
    fix = f"chmod 700 {folder.path}" if mode & 0o077 else ""
    if not config.sample and config.base_url.startswith("http://"):
        fix = fix or "the address in every QR is http: a real registry needs https, chosen at init"
    if not config.sample and (folder.path / "passphrase").exists():
        fix = "the passphrase lies beside what it protects: move it away, and name it by TITLE_REGISTRY_PASSPHRASE_FILE"
    return f"{folder.path}, mode {mode:03o}, {config.base_url}{', sample' if config.sample else ''}", fix


def _keys(folder: Folder, settings: Settings) -> tuple[str, str]:
    custody, now = Custody.open(folder.keys, settings.read_passphrase()), utc_now()
    current = [custody.keyring.current(purpose, now) for purpose in Purpose]
    custody.document_signer(now)
    for purpose in Purpose:
        custody.signer(purpose, now)
    soon = [one for one in current if one.not_after - now < SOON]
    fix = "; ".join(f"title-registry keys rotate {one.purpose.value.partition('/')[0]}" for one in soon)
    return f"{len(custody.keyring.records)} keys; signing until {min(one.not_after for one in current):%Y-%m-%d}", fix


def _store(folder: Folder) -> tuple[str, str]:
    connection = sqlite3.connect(f"file:{folder.log}?mode=ro", uri=True)
    try:
        said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    finally:
        connection.close()
    if said != "ok":
        raise sqlite3.DatabaseError(f"{folder.log}: {said}")
    return f"{folder.log.name}, {folder.log.stat().st_size:,} bytes, whole", ""


def _history(registry: Registry) -> tuple[str, str]:
    """Everything is read again: folds, claims, register, signatures."""
    report = verify_live(registry)
    if not report.ok:
        first = report.findings[0]
        raise CorruptHistory(f"{first.code}：{first.message}", fix="title-registry audit verify 列出全部")
    return f"{report.head:,} events, {report.counts.get('titles', 0):,} titles: read again, all as it must be", ""


def _disk(settings: Settings) -> tuple[str, str]:
    free = shutil.disk_usage(settings.data if settings.data.exists() else os.curdir).free
    return f"{free / 1024**3:.1f} GiB free", "make room" if free < LITTLE_SPACE else ""


def _fonts(settings: Settings) -> tuple[str, str]:
    from api.documents.fonts import FontSet

    fonts = FontSet(settings.extra_fonts)
    missing = fonts.missing_glyphs("丽水市人力资源和社会保障局专业技术资格证书㛃䶮·")
    if missing:
        return f"without {'、'.join(missing)}", "name a folder with further fonts in TITLE_REGISTRY_EXTRA_FONTS"
    return f"{', '.join(fonts.families)}", ""
