"""For auditors: export a history, verify it elsewhere, ask about any moment, and say what differs between two."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from api.cli.common import KNOWN_AT, AsOf, Known, existing_file, opened, option, read_date, read_known, session_of
from api.cli.printing import (
    Column,
    Output,
    chinese,
    heading,
    moment,
    particulars,
    progress,
    say,
    show,
    show_list,
    table,
)
from api.cli.timeline import word_of
from api.cli.titles import title_columns
from api.cli.tree import Commands
from registry import audit
from registry.audit import Difference, Moment, Report, Statistics
from registry.catalogue.catalogue import load_catalogue
from registry.proof.checkpoint import NoteKey
from registry.service import Registry
from registry.terms import Level, Obtained, Status

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
    at: Annotated[
        int | None, option("--at", metavar="SIZE", min=0, help="Size of a checkpoint that was kept; default now.")
    ] = None,
) -> None:
    """Export the log up to a checkpoint with what is needed to check it elsewhere. Personal data stays sealed.

    What was interrupted is in DIR.partial; the same command goes on from there, up to the size that it was begun with.
    """
    with opened(ctx) as registry, progress("Events", 2 * (at or registry.log.head())) as done:
        manifest = audit.export(registry, folder, done, at=at)
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
    checkpoint: Annotated[
        list[Path] | None,
        option("--checkpoint", metavar="FILE", help="A checkpoint that you kept, which it must extend; repeatable."),
    ] = None,
    beside: Annotated[
        bool, option("--beside", help="Open sealed fields and compare with the live registry; for an export.")
    ] = False,
) -> None:
    """Check an export, or the live registry: tree, checkpoints, folds, two officers, claims, register, signatures.

    Exit status 0 if there is no finding, 3 if there is one, 1 if something could not be checked.
    """
    pinned = NoteKey.parse(key) if key else None
    kept = [existing_file(path) for path in checkpoint or ()]
    if folder == LIVE and (pinned or beside or kept):
        raise typer.BadParameter("only for the folder of an export", param_hint="--key, --checkpoint, --beside")
    with _source(ctx, folder) as source, progress("Events") as done:
        if isinstance(source, Registry):
            report = audit.verify_live(source)
        elif beside:
            with opened(ctx) as registry:
                report = audit.verify(
                    source, trusted_checkpoint_key=pinned, checkpoints=kept, beside=registry, progress=done
                )
        else:
            report = audit.verify(source, trusted_checkpoint_key=pinned, checkpoints=kept, progress=done)
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
        "Checkpoints": f"{report.checkpoints} kept, each of this history" if report.ok else report.checkpoints,
        "Cosigned by": ", ".join(report.cosigned_by) or "nobody",
        "Policy": report.policy or "none in it",
        "Checkpoint key": f"{report.checkpoint_key} ({trust})" if report.what == "export" else report.checkpoint_key,
        **{f"Number of {name}": count for name, count in report.counts.items()},
    }
    findings: list[Any] = [heading("Findings"), table(report.findings, _FINDINGS)] if report.findings else []
    show(output, report, particulars(facts), *findings)


# replay, statistics and diff


@app.command("history")
def history(ctx: typer.Context) -> None:
    """Replay the live log: each leaf against tiles and checkpoints, each stream folded. No personal field is opened.

    Claims, register, seals and certificates are left to audit verify. Exit status as there.
    """
    with opened(ctx) as registry:
        report = audit.verify_history(registry)
    _show_report(session_of(ctx).output, report)
    if not report.ok:
        raise typer.Exit(report.exit_status)


@app.command("replay")
def replay(ctx: typer.Context, folder: Source = LIVE, as_of: AsOf = None, known_at: Known = None) -> None:
    """Fold the register anew, at any effective date, as known at any recorded time or position. No names are in it.

    Without --as-of, a title stands by its last decision, whenever that takes effect.
    """
    columns = [one for one in title_columns(load_catalogue()) if one.heading != "Name"]
    with _source(ctx, folder) as source:
        rows = map(msgspec.structs.asdict, audit.replay(source, as_of, known_at))
        show_list(session_of(ctx).output, rows, columns, empty="No title was recorded by then.")


@app.command("statistics")
def statistics(ctx: typer.Context, folder: Source = LIVE, as_of: AsOf = None, known_at: Known = None) -> None:
    """Count the register, at any effective date, as known at any recorded time or position.

    Without --as-of, a title stands by its last decision, whenever that takes effect.
    """
    with _source(ctx, folder) as source:
        found = audit.replay_statistics(source, as_of, known_at)
    show(session_of(ctx).output, found, *_drawn(found))


def _drawn(found: Statistics) -> list[Any]:
    facts = {"Titles": found.titles, "Holders": found.holders, "With a certificate": found.certified}
    facts |= {f"Papers {state}": count for state, count in found.papers.items()}
    return [
        particulars(facts),
        *_counted("By authority", found.by_authority, ("Authority", str), ("Level", _level), ("Status", _status)),
        *_counted("By series", found.by_series, ("Series", str), ("Level", _level)),
        *_counted("By year of the award", found.by_year, ("Year", str), ("Obtained", _obtained)),
    ]


def _counted(title: str, rows: Sequence[tuple[Any, ...]], *columns: tuple[str, Any]) -> list[Any]:
    drawn = [_column(name, at, text) for at, (name, text) in enumerate(columns)]
    return [heading(title), table(rows, (*drawn, _column("Titles", -1, str)))] if rows else []


def _column(name: str, at: int, text: Callable[[Any], str]) -> Column:
    return Column(name, lambda row: text(row[at]))


def _level(word: str) -> str:
    return chinese(Level, word)


def _status(word: str) -> str:
    return chinese(Status, word)


def _obtained(word: str) -> str:
    return chinese(Obtained, word)


_DIFFERENCES = (
    Column("Title", lambda one: one[0]),
    Column("Field", lambda one: one[2].field if one[1] == "changed" else one[1]),
    Column("A", lambda one: one[2].before, fold=True),
    Column("B", lambda one: one[2].after, fold=True),
    Column("By", lambda one: f"{word_of(one[2].made_by.name)} #{one[2].made_by.position}"),
    Column("Recorded", lambda one: moment(one[2].made_by.recorded_at)[:16]),
)
_FIGURES: tuple[Column, ...] = (
    Column("Figure", lambda one: " ".join((one.figure, *one.of)), fold=True),
    Column("A", lambda one: one.before),
    Column("B", lambda one: one.after),
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
        Any, option("--known-at-a", parser=read_known, metavar=KNOWN_AT, help="Recorded time or log position of A.")
    ] = None,
    as_of_b: Annotated[
        date | None, option("--as-of-b", parser=read_date, metavar="DATE", help="Effective date of B.")
    ] = None,
    known_at_b: Annotated[
        Any, option("--known-at-b", parser=read_known, metavar=KNOWN_AT, help="Recorded time or log position of B.")
    ] = None,
) -> None:
    """Say what differs between the register at two moments, which fact made each difference, and which figures."""
    output = session_of(ctx).output
    with _source(ctx, a) as left, _source(ctx, b) as right:
        sides = Moment(left, as_of_a, known_at_a), Moment(right, as_of_b, known_at_b)
        found, figures = audit.diff(*sides), audit.diff_statistics(*sides)
        if output is not Output.TABLE:
            show_list(output, chain(found, figures), (), empty="")
            return
        counted = list(figures)
        show_list(output, _fields(found), _DIFFERENCES, empty="No title differs." if counted else "Nothing differs.")
        if counted:
            say("Figures that differ:")
            show_list(output, counted, _FIGURES, empty="")


def _fields(differences: Iterator[Difference]) -> Iterator[tuple[str, str, Any]]:
    """One line for each field; of a title that is only on one side the number is enough."""
    for one in differences:
        fields = one.fields if one.kind == "changed" else [field for field in one.fields if field.field == "number"]
        yield from ((one.title, one.kind, field) for field in fields)
