"""What a person may ask of the bureau: a copy of everything that is held about them, and requests that are answered."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from api.cli.common import Authority, DryRun, new_file, opened, option, session_of, writing
from api.cli.holders import Who, holder_of
from api.cli.printing import Column, moment, particulars, say, show, show_list
from api.cli.tree import Commands
from keys.files import write_private
from registry.looks import Purpose, What
from registry.personal import own_data
from registry.requests.request import DataRequest, Outcome, RequestKind

requests_app = Commands("Requests of holders about their own data (PIPL 45 to 47).")


def add_to(app: Commands, holders: Commands) -> None:
    """Add `holders export`, and `requests`."""
    holders.command("export")(export_holder)
    app.add_typer(requests_app, name="requests", rich_help_panel="Every day")


def export_holder(
    ctx: typer.Context,
    who: Who,
    out: Annotated[Path, option("--out", metavar="FILE", help="The file to write (JSON, mode 0600, personal data).")],
    authority: Authority = None,
    force: Annotated[bool, option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write everything that is held about one person to a file, scans and all, to hand to them (PIPL 45)."""
    target, officer = new_file(out, force=force), session_of(ctx).officer
    with opened(ctx) as registry:
        holder = holder_of(registry, who, authority).id
        registry.requesting.require_over(officer, holder)
        registry.looking.holder(
            holder, actor=officer, purpose=Purpose.REQUEST, door="cli holders export", what=What.EXPORT
        )
        data = own_data(registry, holder)
        write_private(target, msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")
        item = {"holder": holder, "file": str(target), "events": len(data.events), "scans": len(data.scans)}
        facts = {"Holder": holder, "File": target, "Events": len(data.events), "Scans": len(data.scans)}
        show(session_of(ctx).output, item, particulars(facts))
        say("Hand it to the person themselves, after their identity document was seen, and delete the file.")


_REQUESTS = (
    Column("Request", lambda one: one["request"]),
    Column("Kind", lambda one: one["kind"]),
    Column("Holder", lambda one: one["holder"]),
    Column("Made", lambda one: moment(one["made_at"])[:16]),
    Column("Says", lambda one: one["text"], fold=True),
    Column("Outcome", lambda one: one["outcome"] or "waits"),
)
RequestId = Annotated[str, typer.Argument(metavar="REQUEST", help="Id of the request (from requests list).")]
Text = Annotated[str, option("--text", metavar="TEXT", help="In words; kept sealed under the holder's data key.")]


@requests_app.command("list")
def list_requests(
    ctx: typer.Context, all_: Annotated[bool, option("--all", help="Those that were answered, too.")] = False
) -> None:
    """List the requests that the acting officer may answer, oldest first."""
    officer = session_of(ctx).officer
    with opened(ctx) as registry:
        found = [one for one in registry.requesting.within(officer) if all_ or one.outcome is None]
        show_list(session_of(ctx).output, [_request(one) for one in found], _REQUESTS, empty="No request waits.")


@requests_app.command("make")
def make_request(
    ctx: typer.Context,
    who: Who,
    kind: Annotated[RequestKind, typer.Argument(metavar="KIND", help="copy, correction or erasure.")],
    text: Text,
    authority: Authority = None,
    dry_run: DryRun = False,
) -> None:
    """Enter a request that a holder made at the counter or by letter."""
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        holder = holder_of(registry, who, authority).id
        stream = registry.requesting.make(holder, kind, text, officer=officer)
        show(session_of(ctx).output, {"request": stream, "holder": holder}, particulars({"Request": stream}))


@requests_app.command("answer")
def answer_request(
    ctx: typer.Context,
    request: RequestId,
    outcome: Annotated[Outcome, typer.Argument(metavar="OUTCOME", help="done or refused.")],
    text: Text,
    dry_run: DryRun = False,
) -> None:
    """Answer a request, once; a refusal says why (PIPL 50)."""
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        done = registry.requesting.answer(request, outcome, text, officer=officer)
        item = _request(done)
        show(session_of(ctx).output, item, particulars({"Request": request, "Outcome": done.outcome, "Answer": text}))


def _request(one: DataRequest) -> dict[str, Any]:
    return {
        "request": one.id,
        "kind": one.fact.kind,
        "holder": one.fact.holder,
        "made_at": one.made_at,
        "made_by": one.made_by,
        "text": one.fact.text.get() or "[erased]",
        "outcome": one.outcome,
        "answer": (one.answer.get() or "[erased]") if one.answer else None,
        "answered_by": one.answered_by,
        "answered_at": one.answered_at,
    }
