"""Take an approved list in, all or nothing: read rows, award each in one unit, refuse the whole with every error."""

import gc
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import msgspec

from registry.awarding import Awarding
from registry.catalogue.catalogue import Catalogue
from registry.errors import AlreadyAwarded, HolderConflict, ListRefused, NumberTaken, Refused
from registry.intake.form import INDEX
from registry.intake.reading import Reading, reading
from registry.intake.table import Row, RowError
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
        with (
            _settled(),
            reading(path, authority=authority, document=document, catalogue=catalogue, today=today) as source,
        ):
            intake = _Intake(source, Awarding(unit), progress)
            for rows in source.batches:
                intake.take(rows)
                unit.flush_if_large()
                if len(intake.errors) >= MAX_ERRORS:
                    break
        if intake.errors:
            said = f"名单有 {len(intake.errors)} 处错误，整份未登记（共读 {intake.read} 行）"
            raise ListRefused(said, intake.errors, fix="逐条改正后重新导入")
        return ImportReceipt(intake.read, intake.awarded, intake.same, digest, document, dry_run)

    return log.transact(body, actor=officer, cause=f"list:{digest}", dry_run=dry_run, long=True)


@contextmanager
def _settled() -> Iterator[None]:
    """While a list makes objects, those alive before are not looked through for garbage again and again (15 %)."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Intake:
    """One list on its way in: what was read, awarded, and so already; every error."""

    def __init__(self, source: Reading, awarding: Awarding, progress: Callable[[int], None] | None) -> None:
        self._source, self._awarding, self._progress = source, awarding, progress
        self.errors = list[RowError]()
        self.read = self.awarded = self.same = 0

    def take(self, rows: Sequence[Row]) -> None:
        """Award the next rows, or note what is wrong with them."""
        if not self.errors:
            self._awarding.foresee(row.result for row in rows if isinstance(row.result, AwardTitle))
        for row in rows:
            self.read += 1
            if isinstance(row.result, tuple):
                self.errors.extend(row.result)
            elif not self.errors:  # else the list is refused already; go on to name every error of the rows themselves
                self._award(row.number, row.result)
            if self._progress and self.read % PROGRESS_EVERY == 0:
                self._progress(self.read)
            if len(self.errors) >= MAX_ERRORS:
                break

    def _award(self, number: int, command: AwardTitle) -> None:
        try:
            new = self._awarding.award(command)[1]
        except Refused as error:
            self.errors.append(_against_the_register(number, command, self._source, error))
        else:
            self.awarded, self.same = self.awarded + new, self.same + (not new)


# What the register refuses is said at the cell that decides it: its field, and how that field was written.
_DECIDED_BY: dict[str, tuple[str, Callable[[AwardTitle], str]]] = {
    NumberTaken.code: ("number", lambda command: command.number or ""),
    HolderConflict.code: ("name", lambda command: command.person.name),
    AlreadyAwarded.code: ("title_name", lambda command: command.title_name),
}


def _against_the_register(number: int, command: AwardTitle, source: Reading, error: Refused) -> RowError:
    field, raw = _DECIDED_BY.get(error.code, ("name", lambda _: ""))
    place = INDEX[field]
    return RowError(
        sheet=source.sheet,
        row=number,
        column=source.letters[place],
        heading=source.headings[place],
        raw=raw(command),
        rule=error.code,
        message=error.message,
        fix=error.fix,
    )


def file_digest(path: Path) -> str:
    """The SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
