"""For officers: the answers that a revocation belies, and the care of the log of answers given."""

from datetime import datetime
from typing import Annotated, Any

import typer

from api.cli.asking import named_asker
from api.cli.common import Authority, DryRun, opened, session_of
from api.cli.printing import Column, Output, moment, particulars, say, show, show_list
from api.cli.pruning import Keep, prune_months
from api.cli.tree import Commands
from registry.answers import GivenAnswer, Recall
from registry.months import KEPT_MONTHS
from registry.permissions import Permission
from registry.service import Registry

answers_app = Commands("The answers given to verifications: what was answered and when, never who asked.")


def add_to(app: Commands) -> None:
    """Add `recall` to the commands about titles."""
    app.command("recall")(recall_answers)


def recall_answers(
    ctx: typer.Context,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="Certificate number, or the id of a title.")],
    authority: Authority = None,
) -> None:
    """List the answers that vouched for a title while its revocation was in effect but not recorded. Officers only."""
    officer = named_asker(ctx, "--officer")
    with opened(ctx) as registry:
        stream = registry.find_title(number, authority)
        registry.authorising.require(officer, Permission.RECALL, registry.title(stream).award.authority)
        found = registry.recall(stream)
        output = session_of(ctx).output
        if output is Output.JSON:
            show(output, _item(registry, found))
            return
        rows = [_row(found, one) for one in found.answers]
        empty = f"No answer kept in this window said that the title is valid: {_window(found)}."
        if output is Output.TABLE:
            say(_said(registry, found))
        show_list(output, rows, _COLUMNS, empty=empty)


@answers_app.command("status")
def status(ctx: typer.Context) -> None:
    """Read every file of the log through, and say what it holds."""
    with opened(ctx) as registry:
        kept = registry.answers.examine()
    facts = {
        "Kept since": moment(kept.began) or "nothing kept yet",
        "Months (UTC)": ", ".join(kept.months),
        "About certificates": f"{kept.answers:,}",
        "Only counted": f"{kept.counted:,} (unknown codes, files that are not ours, and the like)",
        "Lost": f"{kept.lost:,}",
    }
    show(session_of(ctx).output, kept, particulars(facts))


@answers_app.command("prune")
def prune(ctx: typer.Context, keep: Keep = KEPT_MONTHS, dry_run: DryRun = False) -> None:
    """Drop the files of the months that need not be kept any longer. A recall cannot look into them any more."""
    prune_months(ctx, lambda registry: registry.answers, keep, dry_run=dry_run)


def _row(found: Recall, one: GivenAnswer) -> dict[str, Any]:
    return {
        "at": one.at,
        "status": one.status,
        "version": one.version,
        "channel": one.channel,
        "as_of": one.as_of,
        "known_at": one.known_at,
        "log_position": one.log_position,
        "belied": found.belied(one),
    }


def _item(registry: Registry, found: Recall) -> dict[str, Any]:
    decision = found.decision
    return {
        "title": found.title,
        "number": registry.title(found.title).award.number,
        "revocation": {
            "document_no": decision.document_no,
            "authority": decision.authority,
            "effective_on": decision.effective_on,
            "recorded_at": found.end,
        },
        "window": {"from": found.start, "to": found.end},
        "records_since": found.records_since,
        "lost": found.lost,
        "complete": found.complete,
        "answers": [_row(found, one) for one in found.answers],
    }


def _window(found: Recall) -> str:
    return f"{_second(found.start)} to {_second(found.end)} (Beijing time)"


def _said(registry: Registry, found: Recall) -> str:
    """The window in words, and from when on answers were kept if that is not all of it."""
    name = registry.catalogue.authority(found.decision.authority).name_zh
    lines = [
        f"撤销 {found.decision.document_no}，{name}: effective {found.decision.effective_on}, recorded"
        f" {_second(found.end)}",
        f"Window: {_window(found)}",
    ]
    if found.records_since is None:
        lines.append("Note: no answer at all is kept; what was answered is not known.")
    elif found.records_since > found.start:
        lines.append(f"Note: answers are kept since {_second(found.records_since)} only; earlier ones are not known.")
    if found.lost:
        lines.append(f"Note: {found.lost} answers, about whatever title, could not be kept in this window.")
    return "\n".join(lines)


def _second(at: datetime) -> str:
    return moment(at)[:19]


_COLUMNS = (
    Column("Time (Beijing)", lambda row: moment(row["at"])[:19]),
    Column("Status", lambda row: row["status"].zh),
    Column("Version", lambda row: row["version"]),
    Column("Channel", lambda row: row["channel"]),
    Column("As of", lambda row: row["as_of"] or "that day"),
    Column("Known at", lambda row: moment(row["known_at"])[:19] or "then"),
    Column("Belied", lambda row: "yes" if row["belied"] else "no: about an earlier day"),
)
