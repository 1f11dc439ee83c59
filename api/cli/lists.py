"""Approved lists (form 2-4): take one in, or get the template."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.common import DryRun, existing_file, new_file, opened, option, session_of
from api.cli.printing import Column, Output, complain, particulars, progress, say, show, table
from api.cli.tree import FAILED, Commands
from registry.errors import ListRefused
from registry.intake.importing import ImportReceipt
from registry.intake.table import RowError

MOST_SHOWN = 50

app = Commands("Take approved lists in.")

_COLUMNS = (
    Column("Sheet", lambda one: one.sheet),
    Column("Row", lambda one: one.row),
    Column("Col", lambda one: one.column),
    Column("Heading", lambda one: one.heading),
    Column("Value", lambda one: one.raw, fold=True),
    Column("Rule", lambda one: one.rule),
    Column("What to do", lambda one: f"{one.message}。{one.fix}", fold=True),
)


@app.command("awards")
def awards(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The list: .xlsx, .csv (UTF-8 or GB 18030) or .jsonl.")],
    authority: Annotated[str, option("--authority", metavar="CODE", help="Issuing authority, such as 331100.")],
    document: Annotated[str, option("--document", metavar="NO", help="Number of the approval document (批准文号).")],
    dry_run: DryRun = False,
    errors_to: Annotated[
        Path | None,
        option("--errors-to", metavar="OUT.xlsx", help="If the list is refused, write a copy with every error marked."),
    ] = None,
) -> None:
    """Award a whole approved list (form 2-4), all or nothing. The same file twice changes nothing."""
    session = session_of(ctx)
    existing_file(file)
    copy = new_file(errors_to, force=True) if errors_to else None
    officer = session.officer
    with opened(ctx) as registry, progress("Rows read") as done:
        try:
            receipt = registry.import_awards(
                file, authority=authority, document=document, officer=officer, dry_run=dry_run, progress=done
            )
            if not dry_run:
                registry.tlog.sequence()
        except ListRefused as error:
            refused: ListRefused | None = error
        else:
            refused = None
    if refused:
        _refuse(session.output, refused, file, copy)
        raise typer.Exit(FAILED)
    _receipt(session.output, receipt)


def _receipt(output: Output, receipt: ImportReceipt) -> None:
    facts = {
        "Rows": receipt.rows,
        "Awarded": receipt.awarded,
        "Already so": receipt.same,
        "Document": receipt.document,
        "SHA-256": receipt.sha256,
    }
    show(output, receipt, particulars(facts))
    if receipt.dry_run:
        say("Dry run: every row passed; nothing was written.")


def _refuse(output: Output, error: ListRefused, file: Path, copy: Path | None) -> None:
    item: dict[str, Any] = {"code": error.code, "message": error.message, "fix": error.fix, "errors": error.errors}
    show(output, item, _errors_table(error.errors[:MOST_SHOWN]))
    complain(error.code, error.message, error.fix)
    if output is Output.TABLE and len(error.errors) > MOST_SHOWN:
        say(f"The first {MOST_SHOWN} of {len(error.errors)} errors are shown; -o json or --errors-to gives all.")
    if copy:
        from registry.intake.errors_copy import write_errors_copy

        write_errors_copy(file, error.errors, copy)
        say(f"A copy of the list with every error marked is in {copy}. It holds personal data.")


def _errors_table(errors: Sequence[RowError]) -> Any:
    columns = _COLUMNS if any(one.sheet for one in errors) else _COLUMNS[1:]
    return table(errors, columns)


@app.command("template")
def template(
    file: Annotated[Path, typer.Argument(metavar="FILE.xlsx", help="Where to write it.")] = Path("form-2-4.xlsx"),
    force: Annotated[bool, option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write an empty list to fill in. It is our default form, not the official one."""
    from registry.intake.template import write_template

    if file.suffix.lower() != ".xlsx":
        raise typer.BadParameter("the template is a spreadsheet; name a file that ends in .xlsx")
    write_template(new_file(file, force=force))
    say(f"Template written to {file}. Fill it in, then: title-registry import awards {file} --dry-run …")
