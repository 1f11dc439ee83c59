"""For auditors: who looked at a person, and at whom an officer looked. And the care of the log of looks."""

from collections.abc import Iterable
from itertools import islice
from typing import Annotated

import typer

from api.cli.asking import named_asker
from api.cli.common import Authority, DryRun, opened, option, session_of
from api.cli.holders import Who, holder_of
from api.cli.printing import Column, moment, particulars, say, show, show_list
from api.cli.pruning import Keep, prune_months
from api.cli.tree import Commands
from registry.looks import Look
from registry.months import KEPT_MONTHS
from registry.permissions import Permission

app = Commands("Looks: which officer saw whom in clear, when and for what; never a name.")

Limit = Annotated[int, option("--limit", metavar="N", min=1, max=10_000, help="The newest so many [default: 100].")]
_COLUMNS = (
    Column("Time (Beijing)", lambda one: moment(one.at)[:19]),
    Column("Officer", lambda one: one.actor),
    Column("Role", lambda one: f"{one.role.zh} {one.over}"),
    Column("Purpose", lambda one: one.purpose.zh),
    Column("Saw", lambda one: one.what.zh),
    Column("Of", lambda one: one.stream),
    Column("Document", lambda one: one.document, fold=True),
    Column("Door", lambda one: one.door, fold=True),
)


@app.command("of")
def looks_of(ctx: typer.Context, who: Who, authority: Authority = None, limit: Limit = 100) -> None:
    """List who looked at a person, newest first. For auditors in reach of a title or application of theirs."""
    officer = named_asker(ctx, "--officer")
    with opened(ctx) as registry:
        holder = holder_of(registry, who, authority).id
        reach = registry.looking.reach(officer, Permission.READ_LOOKS)
        if not reach.keys() & set(registry.looking.authorities_of(holder)):
            registry.authorising.require(officer, Permission.READ_LOOKS, registry.looking.authorities_of(holder)[0])
        _show(ctx, registry.looks.about(holder), limit, "Nobody looked at this person in clear.")


@app.command("by")
def looks_by(
    ctx: typer.Context,
    who: Annotated[str, typer.Argument(metavar="OFFICER", help="Id of the officer (工号), such as clerk-01.")],
    limit: Limit = 100,
) -> None:
    """List at whom an officer looked, newest first. For auditors: what was seen by a role over what is in reach."""
    officer = named_asker(ctx, "--officer")
    with opened(ctx) as registry:
        reach = registry.looking.reach(officer, Permission.READ_LOOKS)
        found = (one for one in registry.looks.by(who) if one.over in reach)
        _show(ctx, found, limit, "This officer looked at nobody in clear.")


def _show(ctx: typer.Context, looks: Iterable[Look], limit: int, empty: str) -> None:
    found = list(islice(looks, limit + 1))
    show_list(session_of(ctx).output, found[:limit], _COLUMNS, empty=empty)
    if len(found) > limit:
        say(f"Only the newest {limit} are shown; --limit shows more.")


@app.command("status")
def status(ctx: typer.Context) -> None:
    """Read every file of the log of looks through, and say how many looks each month holds."""
    with opened(ctx) as registry:
        counts = registry.looks.examine()
    facts = {month: f"{count:,}" for month, count in counts.items()} or {"Looks": "none"}
    item = {"months": counts, "looks": sum(counts.values())}
    show(session_of(ctx).output, item, particulars(facts))


@app.command("prune")
def prune(ctx: typer.Context, keep: Keep = KEPT_MONTHS, dry_run: DryRun = False) -> None:
    """Drop the files of the months that need not be kept any longer. Nobody learns then who looked in them."""
    prune_months(ctx, lambda registry: registry.looks, keep, dry_run=dry_run)
