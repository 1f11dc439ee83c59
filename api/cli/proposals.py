"""Open proposals: what each would do, and the question before it is approved."""

import sys
from datetime import timedelta
from typing import Annotated, Any

import typer

from api.cli.asking import Deciding, asker
from api.cli.common import opened, option, session_of
from api.cli.printing import Column, heading, moment, particulars, say, show, show_list, table
from api.cli.timeline import differences, hidden, reason
from api.cli.tree import FAILED, Commands
from registry.looks import Purpose
from registry.looks.looked import LookedProposal
from registry.permissions import Sight
from registry.service import Registry
from registry.titles.decisions import PROPOSAL_LIFETIME, WORDS
from registry.titles.events import DecisionKind
from registry.titles.state import TITLES, Proposal

ProposalId = Annotated[str, typer.Argument(metavar="PROPOSAL", help="Id of the proposal (from proposals list).")]
Digest = Annotated[
    str | None,
    option(
        "--digest",
        metavar="HEX",
        help="Digest of the content you have read; without it you are shown it and asked.",
    ),
]
Yes = Annotated[bool, option("--yes", help="Do not ask; needs --digest.")]

app = Commands("Proposals that wait for a second officer.")


def need_digest(yes: bool, digest: str | None) -> None:
    """End with a usage error for --yes without --digest: nobody approves what nobody has read."""
    if yes and not digest:
        raise typer.BadParameter("say which content you have read: --digest HEX", param_hint="--yes")


def ask(*parts: Any) -> None:
    """Show on stderr what is to be approved, and ask. Ends the command if the answer is not yes."""
    for each in parts:
        say(each)
    typer.echo("Approve exactly this? [y/N] ", nl=False, err=True)
    answer = sys.stdin.readline().strip().lower()
    if not sys.stdin.isatty():
        say()
    if answer not in ("y", "yes"):
        say("Not approved; nothing was written.")
        raise typer.Exit(FAILED)


_COLUMNS = (
    Column("Proposal", lambda one: one.proposal),
    Column("What", lambda one: WORDS[DecisionKind(one.kind)]),
    Column("Effective", lambda one: one.effective_on),
    Column("Document", lambda one: one.document_no, fold=True),
    Column("Proposed by", lambda one: one.proposed_by),
    Column("Proposed", lambda one: moment(one.proposed_at)[:16]),
)


@app.command("list")
def list_proposals(ctx: typer.Context) -> None:
    """List the open proposals, oldest first; to an officer those in reach."""
    with opened(ctx) as registry:
        reach = registry.looking.reach(asker(ctx))
        found = [one for one in registry.register.proposals() if _authority(registry, one.title) in reach]
        show_list(session_of(ctx).output, found, _COLUMNS, empty="No proposal is open.")


def _authority(registry: Registry, stream: str) -> str | None:
    title = registry.log.load(TITLES, stream, sealed=True)
    return title.award.authority if title else None


@app.command("show")
def show_proposal(ctx: typer.Context, proposal: ProposalId, purpose: Deciding = Purpose.DECIDING) -> None:
    """Show what an open proposal would do, and its digest; the person and the reason to an officer in reach only."""
    with opened(ctx) as registry:
        door = "cli proposals show"
        show_open(ctx, registry, registry.looking.proposal(proposal, actor=asker(ctx), purpose=purpose, door=door))


def show_open(ctx: typer.Context, registry: Registry, seen: LookedProposal) -> None:
    """Show an open proposal as far as it was seen."""
    title, proposal = seen.title, seen.proposal
    fact = proposal.fact
    item = {
        "proposal": fact.proposal,
        "kind": fact.kind,
        "title": title.id,
        "number": title.award.number,
        "effective_on": fact.effective_on,
        "document_no": fact.document_no,
        "authority": fact.authority,
        "reason": _reason(seen),
        "proposed_by": proposal.proposed_by,
        "proposed_at": proposal.proposed_at,
        "lapses_at": proposal.proposed_at + PROPOSAL_LIFETIME,
        "digest": fact.digest,
        "corrected": fact.corrected,
    }
    show(session_of(ctx).output, item, *drawn(registry, seen))


_DIFFERENCES = (
    Column("Field", lambda one: one[0]),
    Column("Recorded", lambda one: one[1], fold=True),
    Column("Right", lambda one: one[2], fold=True),
)


def drawn(registry: Registry, seen: LookedProposal) -> list[Any]:
    """What an open proposal would do, for people, as far as it was seen."""
    proposal, award = seen.proposal, seen.title.award
    fact = proposal.fact
    facts = {
        "Decision": WORDS[fact.kind],
        "Title": f"{award.number} {award.title_name}（{award.series} {award.specialty}）",
        "Holder": seen.name,
        "Effective": fact.effective_on,
        "Document": fact.document_no,
        "Authority": registry.catalogue.authority(fact.authority).name_zh,
        "Reason": _reason(seen),
        "Proposed": f"{moment(proposal.proposed_at)} by {proposal.proposed_by}",
        "Lapses": _lapses(proposal),
        "Proposal": fact.proposal,
        "Digest": fact.digest,
    }
    changes = differences(award, fact.corrected) if fact.corrected else []
    return [particulars(facts), *([heading("Corrected"), table(changes, _DIFFERENCES)] if changes else [])]


def _reason(seen: LookedProposal) -> str:
    return (reason if seen.sight is Sight.CLEAR else hidden)(seen.proposal.fact.reason)


def _lapses(proposal: Proposal) -> str:
    hours = PROPOSAL_LIFETIME // timedelta(hours=1)
    return f"{moment(proposal.proposed_at + PROPOSAL_LIFETIME)} ({hours} hours after)"
