"""For auditors: export a history, verify it elsewhere, replay it to any moment, and say what differs between two."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from api.cli.common import AsOf, KnownAt, opened, option, read_date, read_moment, session_of
from api.cli.printing import Column, Output, heading, moment, particulars, progress, show, show_list, table
from api.cli.timeline import word_of
from api.cli.titles import title_columns
from api.cli.tree import Commands
from registry import audit
from registry.audit import Difference, Moment, Report
from registry.catalogue.catalogue import load_catalogue
from registry.proof.checkpoint import NoteKey
from registry.service import Registry

LIVE = "live"

app = Commands("Export, verify, replay and compare histories.")

Source = Annotated[
    str, typer.Argument(metavar="DIR", help="Folder of an export; default the live registry.", show_default=False)
]


def add_to(root: Commands) -> None:
    """Add `audit`."""
    root.add_typer(app, name="audit", rich_help_panel="Audit")


@contextmanager
def _source(ctx: typer.Context, name: str) -> Iterator[Registry | Path]:
    """The live registry, or the folder of an export; that one needs neither keys nor a data folder."""
    if name != LIVE:
        if not Path(name).is_dir():
            raise typer.BadParameter(f"there is no folder {name}", param_hint="DIR")
        yield Path(name)
        return
    with opened(ctx) as registry:
        yield registry


# export and verify


@app.command("export")
def export(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
) -> None:
    """Export the whole log with what is needed to check it elsewhere. Personal data stays sealed."""
    with opened(ctx) as registry, progress("Events", 2 * registry.log.head()) as done:
        manifest = audit.export(registry, folder, done)
    facts = {
        "Folder": folder,
        "Events": manifest.head,
        **{f"Number of {name}": count for name, count in manifest.counts.items() if name != "events"},
        "Checkpoint key": manifest.checkpoint_key,
    }
    show(session_of(ctx).output, {"folder": str(folder), "manifest": manifest}, particulars(facts))


@app.command("verify")
def verify(
    ctx: typer.Context,
    folder: Source = LIVE,
    key: Annotated[
        str | None, option("--key", metavar="LINE", help="Checkpoint key that you trust, as published; for an export.")
    ] = None,
    beside: Annotated[
        bool, option("--beside", help="Open sealed fields and compare with the live registry; for an export.")
    ] = False,
) -> None:
    """Check an export, or the live registry: tree, folds, two officers, claims, register, signatures.

    Exit status 0 if there is no finding, 3 if there is one, 1 if something could not be checked.
    """
    pinned = NoteKey.parse(key) if key else None
    if folder == LIVE and (pinned or beside):
        raise typer.BadParameter("only for the folder of an export", param_hint="--key, --beside")
    with _source(ctx, folder) as source, progress("Events") as done:
        if isinstance(source, Registry):
            report = audit.verify_live(source)
        elif beside:
            with opened(ctx) as registry:
                report = audit.verify(source, trusted_checkpoint_key=pinned, beside=registry, progress=done)
        else:
            report = audit.verify(source, trusted_checkpoint_key=pinned, progress=done)
    _show_report(session_of(ctx).output, report)
    if not report.ok:
        raise typer.Exit(report.exit_status)


_FINDINGS = (
    Column("Finding", lambda one: one.code),
    Column("Where", lambda one: _place(one), fold=True),
    Column("What", lambda one: one.message, fold=True),
    Column("Expected", lambda one: one.expected, fold=True),
    Column("Found", lambda one: one.found, fold=True),
)


def _place(finding: Any) -> str:
    places = ("file", "line", "position", "stream", "version", "table", "field")
    return " ".join(f"{name} {getattr(finding, name)}" for name in places if getattr(finding, name) is not None)


def _show_report(output: Output, report: Report) -> None:
    trust = "your own copy" if report.pinned else "the export's own: compare it with the published one"
    facts = {
        "Verdict": "as it must be" if report.ok else f"{sum(report.totals.values())} findings",
        "Checked": f"{report.what}, log position {report.head}, personal fields {report.personal}",
        "Tree root": report.root,
        "Checkpoint key": f"{report.checkpoint_key} ({trust})" if report.what == "export" else report.checkpoint_key,
        **{f"Number of {name}": count for name, count in report.counts.items()},
    }
    findings: list[Any] = [heading("Findings"), table(report.findings, _FINDINGS)] if report.findings else []
    show(output, report, particulars(facts), *findings)


# replay and diff


@app.command("replay")
def replay(ctx: typer.Context, folder: Source = LIVE, as_of: AsOf = None, known_at: KnownAt = None) -> None:
    """Fold the register anew, at any effective date, as known at any recorded time. No names are in it.

    Without --as-of, a title stands by its last decision, whenever that takes effect.
    """
    columns = [one for one in title_columns(load_catalogue()) if one.heading != "Name"]
    with _source(ctx, folder) as source:
        rows = map(msgspec.structs.asdict, audit.replay(source, as_of, known_at))
        show_list(session_of(ctx).output, rows, columns, empty="No title was recorded by then.")


_DIFFERENCES = (
    Column("Title", lambda one: one[0]),
    Column("Field", lambda one: one[2].field if one[1] == "changed" else one[1]),
    Column("A", lambda one: one[2].before, fold=True),
    Column("B", lambda one: one[2].after, fold=True),
    Column("By", lambda one: f"{word_of(one[2].made_by.name)} #{one[2].made_by.position}"),
    Column("Recorded", lambda one: moment(one[2].made_by.recorded_at)[:16]),
)
_SIDE = "Folder of an export, or: live."


@app.command("diff")
def diff(
    ctx: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help=_SIDE)],
    b: Annotated[str, typer.Argument(metavar="B", help=_SIDE)],
    as_of_a: Annotated[
        date | None, option("--as-of-a", parser=read_date, metavar="DATE", help="Effective date of A.")
    ] = None,
    known_at_a: Annotated[
        datetime | None, option("--known-at-a", parser=read_moment, metavar="TIME", help="Recorded time of A.")
    ] = None,
    as_of_b: Annotated[
        date | None, option("--as-of-b", parser=read_date, metavar="DATE", help="Effective date of B.")
    ] = None,
    known_at_b: Annotated[
        datetime | None, option("--known-at-b", parser=read_moment, metavar="TIME", help="Recorded time of B.")
    ] = None,
) -> None:
    """Say what differs between the register at two moments, and which fact made each difference."""
    output = session_of(ctx).output
    with _source(ctx, a) as left, _source(ctx, b) as right:
        found = audit.diff(Moment(left, as_of_a, known_at_a), Moment(right, as_of_b, known_at_b))
        items = _fields(found) if output is Output.TABLE else found
        show_list(output, items, _DIFFERENCES, empty="Nothing differs.")


def _fields(differences: Iterator[Difference]) -> Iterator[tuple[str, str, Any]]:
    """One line for each field; of a title that is only on one side the number is enough."""
    for one in differences:
        fields = one.fields if one.kind == "changed" else [field for field in one.fields if field.field == "number"]
        yield from ((one.title, one.kind, field) for field in fields)
