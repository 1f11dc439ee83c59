"""Take an approved list in, all or nothing: read rows, award each in one unit, refuse the whole with every error."""

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import msgspec

from registry.awarding import Awarding
from registry.catalogue.catalogue import Catalogue
from registry.errors import AlreadyAwarded, HolderConflict, ListRefused, NumberTaken, Refused
from registry.intake.form import INDEX
from registry.intake.rows import AwardList, Row, RowError, read_list
from registry.log.log import Log
from registry.log.unit import Unit
from registry.titles.award import AwardTitle

MAX_ERRORS = 5_000
PROGRESS_EVERY = 500


class ImportReceipt(msgspec.Struct, frozen=True):
    """What an import did: rows read, titles awarded, rows that were so already; the file by its SHA-256 (hex)."""

    rows: int
    awarded: int
    same: int
    sha256: str
    document: str
    dry_run: bool


def import_rows(
    log: Log,
    path: Path,
    *,
    authority: str,
    document: str,
    officer: str,
    authorise: Callable[[], object],
    catalogue: Catalogue,
    today: date,
    dry_run: bool,
    progress: Callable[[int], None] | None,
) -> ImportReceipt:
    """Award every row or none, if `authorise` lets it. Raise ListRefused with the row errors, at most 5,000.

    The rows are checked, sealed and laid by outside the log; one short transaction then appends them.
    """
    digest = file_digest(path)

    def body(unit: Unit) -> ImportReceipt:
        authorise()
        errors, counts, awarding = list[RowError](), [0, 0, 0], Awarding(unit)
        rows = read_list(path, authority=authority, document=document, catalogue=catalogue, today=today)
        for row in rows:
            counts[0] += 1
            _take(row, rows, awarding, errors, counts)
            unit.flush_if_large()
            if progress and counts[0] % PROGRESS_EVERY == 0:
                progress(counts[0])
            if len(errors) >= MAX_ERRORS:
                break
        if errors:
            raise ListRefused(
                f"名单有 {len(errors)} 处错误，整份未登记（共读 {counts[0]} 行）", errors, fix="逐条改正后重新导入"
            )
        return ImportReceipt(counts[0], counts[1], counts[2], digest, document, dry_run)

    return log.transact(body, actor=officer, cause=f"list:{digest}", dry_run=dry_run)


def _take(row: Row, source: AwardList, awarding: Awarding, errors: list[RowError], counts: list[int]) -> None:
    if isinstance(row.result, tuple):
        errors.extend(row.result)
        return
    if errors:
        return  # the list is refused already; go on reading to name every error of the rows themselves
    try:
        counts[1 if awarding.award(row.result)[1] else 2] += 1
    except Refused as error:
        errors.append(_against_the_register(row.number, row.result, source, error))


# What the register refuses is said at the cell that decides it: its field, and how that field was written.
_DECIDED_BY: dict[str, tuple[str, Callable[[AwardTitle], str]]] = {
    NumberTaken.code: ("number", lambda command: command.number or ""),
    HolderConflict.code: ("name", lambda command: command.person.name),
    AlreadyAwarded.code: ("title_name", lambda command: command.title_name),
}


def _against_the_register(number: int, command: AwardTitle, source: AwardList, error: Refused) -> RowError:
    field, raw = _DECIDED_BY.get(error.code, ("name", lambda _: ""))
    place = INDEX[field]
    return RowError(
        sheet=source.sheet,
        row=number,
        column=source.columns.letters[place],
        heading=source.columns.headings[place],
        raw=raw(command),
        rule=error.code,
        message=error.message,
        fix=error.fix,
    )


def file_digest(path: Path) -> str:
    """The SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
