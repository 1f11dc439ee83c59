"""The checks of `doctor`: each says what was found and, if it is not well, what to do.

It works on a log that is frozen, too, and on keys from before there was one for every purpose. Unless it is to be
quick, it reads everything again: every event against the tiles and every signed checkpoint, every fold, claim and row,
and every certificate.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Literal

import msgspec

from api.settings import Settings
from keys.custody import Custody
from keys.errors import KeysError
from keys.signing import Purpose
from registry.audit import verify_live
from registry.audit.findings import Code, Finding, Report
from registry.errors import CorruptHistory, RegistryError
from registry.folder import Folder
from registry.log.engine import examined
from registry.proof.comparing import REBUILD, RESTORE
from registry.service import Registry
from registry.terms import utc_now

SOON = timedelta(days=90)
LITTLE_SPACE = 1024**3  # bytes
_OF_LOG = (
    Code.CHECKPOINT,
    Code.TAIL_MISSING,
    Code.TREE_ROOT,
    Code.FROZEN,
    Code.KEPT_SIGNATURE,
    Code.KEPT_ORDER,
    Code.FORK,
    Code.BEYOND,
    Code.COSIGNATURE,
)
_OF_TILES = (Code.ENTRIES, Code.TILE)
_OF_CERTIFICATES = (
    Code.CERTIFICATE,
    Code.CERTIFICATE_KEY,
    Code.CERTIFICATE_SIGNATURE,
    Code.CERTIFICATE_LEAF,
    Code.CERTIFICATE_DIGEST,
)


class Check(msgspec.Struct, frozen=True):
    """One check and how it ended."""

    name: str
    outcome: Literal["ok", "warning", "failed"]
    found: str
    fix: str = ""


def examine(settings: Settings, *, quick: bool = False) -> Iterator[Check]:
    """Every check in order, those of an open registry only if it opens; `quick` does not read everything again."""
    folder = Folder(settings.data)
    yield _tried("Python", lambda: (sys.version.split()[0], ""))
    yield _tried("Data folder", lambda: _folder(folder))
    needed = [_tried("Keys", lambda: _keys(folder, settings)), _tried("Store", lambda: examined(folder.store))]
    yield from needed
    yield _tried("Disk", lambda: _disk(settings))
    yield _tried("Fonts", lambda: _fonts(settings))
    if all(one.outcome != "failed" for one in needed):
        registry = Registry.open(settings.data, settings.read_passphrase(), checkpoints=settings.checkpoints)
        try:
            yield from _opened(registry, quick=quick)
        finally:
            registry.close()


def _opened(registry: Registry, *, quick: bool) -> Iterator[Check]:
    """The checks of an open registry. One pass over everything gives three of them."""
    try:
        report = None if quick else verify_live(registry)
    except (RegistryError, KeysError) as error:
        yield _tried("Log", lambda: _log(registry, None))
        yield Check("History", "failed", error.message, error.fix)
        return
    yield _tried("Log", lambda: _log(registry, report))
    if report is None:
        return
    yield _tried("Answers", lambda: _answers(registry))
    yield _tried("Looks", lambda: _looks(registry))
    yield _tried("Erasures", lambda: _erasures(registry))
    yield _tried("History", lambda: _history(report))
    yield _tried("Certificates", lambda: _certificates(registry, report))


def _looks(registry: Registry) -> tuple[str, str]:
    counts = registry.looks.examine()
    return f"{sum(counts.values())} looks in {len(counts)} months", ""


def _erasures(registry: Registry) -> tuple[str, str]:
    """Who was erased is gone from beside the log, too; what a crash has left is swept now."""
    found = registry.sweeping.examine()
    swept = f"; left by a crash and swept now: {len(found.left)}" if found.left else ""
    fix = f"delete old data folders: {', '.join(found.kept)}" if found.erased and found.kept else ""
    return f"{found.erased} persons erased{swept}", fix


def _tried(name: str, look: Callable[[], tuple[str, str]]) -> Check:
    """A check that says what to do is a warning; one that raises has failed."""
    try:
        found, fix = look()
    except (RegistryError, KeysError) as error:
        return Check(name, "failed", error.message, error.fix)
    except OSError as error:
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
    there = {record.purpose for record in custody.keyring.records}
    # A folder from before checkpoints were cosigned has no key for it; every other purpose needs one.
    needed = [purpose for purpose in Purpose.of_registry() if purpose in there or purpose is not Purpose.COSIGNATURE]
    current = [custody.keyring.current(purpose, now) for purpose in needed]
    custody.document_signer(now)
    for purpose in needed:
        custody.signer(purpose, now)
    soon = [one.purpose for one in current if one.not_after - now < SOON] + [
        one for one in Purpose.of_registry() if one not in needed
    ]
    fix = "; ".join(f"title-registry keys rotate {purpose.value.partition('/')[0]}" for purpose in soon)
    return f"{len(custody.keyring.records)} keys; signing until {min(one.not_after for one in current):%Y-%m-%d}", fix


def _log(registry: Registry, report: Report | None) -> tuple[str, str]:
    """The log against what was signed: here, in the second store, and, with a report, leaf by leaf and note by note."""
    log = registry.tlog
    log.compare()
    checkpoint, head = log.checkpoint(), registry.log.head()
    if report:
        tiles = [one for one in report.findings if one.code in _OF_TILES]
        _refuse_findings([one for one in report.findings if one.code in _OF_LOG], fix=RESTORE)
        _refuse_findings(tiles, fix=REBUILD)
    if checkpoint is None:
        return f"{head:,} events, no signed checkpoint yet", "title-registry log checkpoint"
    found = f"{checkpoint.size:,} of {head:,} events in the signed tree"
    if not log.outside.exists():
        return (
            f"{found}; no checkpoint in the second store {log.outside}",
            "an old copy would pass unnoticed: put the file back from where it went, or, if there never was one,"
            " title-registry log checkpoint",
        )
    return f"{found}{'; read again, all as it was signed' if report else ''}; the last one also in {log.outside}", ""


def _history(report: Report) -> tuple[str, str]:
    """Everything was read again: folds, claims, register."""
    _refuse_findings([one for one in report.findings if one.code not in (*_OF_LOG, *_OF_TILES, *_OF_CERTIFICATES)])
    return f"{report.head:,} events, {report.counts.get('titles', 0):,} titles: read again, all as it must be", ""


def _certificates(registry: Registry, report: Report) -> tuple[str, str]:
    """Every certificate was decoded and its signature checked."""
    _refuse_findings([one for one in report.findings if one.code in _OF_CERTIFICATES])
    rows = registry.log.recorder.rows_by_position(0, report.head)
    signed = sum(name.startswith("certificate-signed/") for _, _, _, name, _ in rows)
    return f"{signed:,} certificates: decoded, every signature holds", ""


def _refuse_findings(findings: Sequence[Finding], fix: str = "title-registry audit verify 列出全部") -> None:
    if findings:
        first, more = findings[0], f"（共 {len(findings)} 项）" if len(findings) > 1 else ""
        where = f"（{first.stream}）" if first.stream else ""
        raise CorruptHistory(f"{first.code}：{first.message}{where}{more}", fix=fix)


def _answers(registry: Registry) -> tuple[str, str]:
    """What verification answered, month by month; a recall needs it."""
    kept = registry.answers.examine()
    fix = f"{kept.lost} answers were lost: see the log of the service for the time, and the disk" if kept.lost else ""
    return f"{kept.answers:,} answers in {len(kept.months)} months", fix


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
