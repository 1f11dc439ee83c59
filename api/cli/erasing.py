"""Erase a person's data by two officers, and keep it from being erased by a legal hold."""

from contextlib import closing
from typing import Annotated, Any

import msgspec
import typer

from api.cli.common import Authority, DryRun, opened, option, session_of, writing
from api.cli.decisions import Document, Reason
from api.cli.holders import Who, holder_of
from api.cli.printing import Column, moment, particulars, say, show, show_list
from api.cli.proposals import Digest, ProposalId, Yes, ask, need_digest
from api.cli.tree import Commands
from api.signin.accounts import Accounts
from registry.holders.erasure import PROPOSAL_LIFETIME, WORDS, find_open
from registry.holders.holder import ErasureBasis, ErasureProposal, Holder
from registry.holders.identity import mask
from registry.looks import Purpose
from registry.service import Registry

erase_app = Commands("Erase a person's data, by two officers. What was erased cannot be brought back.")
hold_app = Commands("Legal holds: keep a person's data from being erased.")

DecidedBy = Annotated[
    str | None,
    option("--decided-by", metavar="CODE", help="Authority that decides; default the one over all their titles."),
]
_BASES = ", ".join(f"{basis.value} ({word})" for basis, word in WORDS.items())


def add_to(holders: Commands) -> None:
    """Add `holders erase` and `holders hold`."""
    holders.add_typer(erase_app, name="erase")
    holders.add_typer(hold_app, name="hold")


# erase


@erase_app.command("propose")
def propose(
    ctx: typer.Context,
    who: Who,
    basis: Annotated[ErasureBasis, option("--basis", metavar="WHY", help=f"{_BASES}.")],
    document: Document,
    decided_by: DecidedBy = None,
    authority: Authority = None,
    dry_run: DryRun = False,
) -> None:
    """Propose to erase a person's data. An approver approves or refuses it within 72 hours."""
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        holder = holder_of(registry, who, authority).id
        over = decided_by or _over_all(registry, holder)
        proposal = registry.erasing.propose(holder, basis, document, over, officer=officer)
        show(session_of(ctx).output, _item(proposal), particulars(_facts(registry, proposal, officer, "propose")))
        say(f"Another officer approves it: title-registry --officer ID holders erase approve {proposal.fact.proposal}")


def _over_all(registry: Registry, holder: str) -> str:
    """The lowest authority that is over all titles of a holder; the highest there is for a holder without any."""
    issuers, covers = registry.register.authorities_of(holder), registry.authorising.covers
    known = [one.code for one in registry.catalogue.authorities]
    over = [code for code in known if all(covers(code, issuer) for issuer in issuers)]
    return min(over, key=lambda code: sum(covers(code, one) for one in known)) if issuers else _highest(registry)


def _highest(registry: Registry) -> str:
    return next(one.code for one in registry.catalogue.authorities if one.parent is None)


@erase_app.command("approve")
def approve(
    ctx: typer.Context, proposal: ProposalId, digest: Digest = None, yes: Yes = False, dry_run: DryRun = False
) -> None:
    """Approve an erasure that another officer proposed: it is carried out at once, for ever."""
    need_digest(yes, digest)
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        stream = proposal.partition(".")[0]
        known = registry.holder(stream)
        if not (known.erased and known.erased.proposal == proposal):
            open_ = find_open(known, proposal)
            if digest is None and open_.proposed_by != officer:
                ask(
                    particulars(_facts(registry, open_, officer, "approve")),
                    "This cannot be undone: the data key is destroyed.",
                )
            digest = digest or open_.fact.digest
        with closing(Accounts.of(registry)) as accounts:
            registry.sweeping.also.append(accounts.forget)
            registry.erasing.approve(proposal, digest or "", officer=officer)
        left = registry.erasing.sweeping.left(stream)
        show(
            session_of(ctx).output,
            {"holder": stream, "erased": True, "proposal": proposal, "left": left},
            particulars({"Holder": stream, "Erased": "data key, blind index, names, scans, documents"}),
        )
        say("Backups made before still hold the data until they expire: see docs/privacy.md.")


@erase_app.command("refuse")
def refuse(ctx: typer.Context, proposal: ProposalId, reason: Reason, dry_run: DryRun = False) -> None:
    """Close a proposal without effect; its proposer may withdraw it so."""
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        holder = registry.erasing.refuse(proposal, reason, officer=officer)
        show(
            session_of(ctx).output,
            {"holder": holder.id, "refused": proposal},
            particulars({"Holder": holder.id, "Refused": proposal}),
        )


_WAITING = (
    Column("Proposal", lambda one: one["proposal"]),
    Column("Basis", lambda one: WORDS[ErasureBasis(one["basis"])]),
    Column("Document", lambda one: one["document_no"], fold=True),
    Column("Authority", lambda one: one["authority"]),
    Column("Proposed by", lambda one: one["proposed_by"]),
    Column("Lapses", lambda one: moment(one["lapses_at"])[:16]),
)


@erase_app.command("list")
def list_waiting(ctx: typer.Context) -> None:
    """List the open proposals that the acting officer may see."""
    officer = session_of(ctx).officer
    with opened(ctx) as registry:
        items = [_item(one) for one in registry.erasing.waiting(officer)]
        show_list(session_of(ctx).output, items, _WAITING, empty="No erasure is proposed.")


def _item(proposal: ErasureProposal) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(proposal.fact),
        "proposed_by": proposal.proposed_by,
        "proposed_at": proposal.proposed_at,
        "lapses_at": proposal.proposed_at + PROPOSAL_LIFETIME,
    }


def _facts(registry: Registry, proposal: ErasureProposal, officer: str, door: str) -> dict[str, object]:
    """What is proposed, for whom: the name is a look at the person, and recorded as one."""
    fact, purpose = proposal.fact, Purpose.DECIDING if door == "approve" else Purpose.HANDLING
    seen = registry.looking.holder(fact.holder, actor=officer, purpose=purpose, door=f"cli holders erase {door}")
    known = seen.holder
    return {
        "Erase": f"{seen.name}, {_numbers(known)}",
        "Titles": len(registry.register.streams_of(fact.holder)),
        "Holder": fact.holder,
        "Basis": WORDS[fact.basis],
        "Document": fact.document_no,
        "Authority": registry.catalogue.authority(fact.authority).name_zh,
        "Under hold": "、".join(one.document_no for one in known.holds),
        "Proposed": f"{moment(proposal.proposed_at)} by {proposal.proposed_by}",
        "Lapses": moment(proposal.proposed_at + PROPOSAL_LIFETIME),
        "Proposal": fact.proposal,
        "Digest": fact.digest,
    }


def _numbers(known: Holder) -> str:
    return "; ".join(mask(one) for one in known.identities())


# legal holds


@hold_app.command("place")
def place(
    ctx: typer.Context,
    who: Who,
    document: Document,
    decided_by: DecidedBy = None,
    authority: Authority = None,
    dry_run: DryRun = False,
) -> None:
    """Keep a person's data from being erased, by a document of a dispute, an inspection or a court."""
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        holder = holder_of(registry, who, authority).id
        over = decided_by or _over_all(registry, holder)
        hold = registry.erasing.place_hold(holder, document, over, officer=officer)
        item = {"holder": holder, **msgspec.structs.asdict(hold)}
        show(session_of(ctx).output, item, particulars({"Holder": holder, "Hold": hold.hold, "Document": document}))
        say(f"To end it: title-registry holders hold lift {hold.hold} --document NO")


@hold_app.command("lift")
def lift(
    ctx: typer.Context,
    hold: Annotated[str, typer.Argument(metavar="HOLD", help="Id of the hold (from holders hold list).")],
    document: Document,
    dry_run: DryRun = False,
) -> None:
    """End a legal hold, by a document."""
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        holder = registry.erasing.lift_hold(hold, document, officer=officer)
        item = {"holder": holder.id, "lifted": hold, "holds": [one.hold for one in holder.holds]}
        show(session_of(ctx).output, item, particulars({"Holder": holder.id, "Lifted": hold}))


_HOLDS = (
    Column("Hold", lambda one: one["hold"]),
    Column("Document", lambda one: one["document_no"], fold=True),
    Column("Authority", lambda one: one["authority"]),
)


@hold_app.command("list")
def list_holds(ctx: typer.Context) -> None:
    """List the legal holds that the acting officer may see."""
    officer = session_of(ctx).officer
    with opened(ctx) as registry:
        found = registry.erasing.holds(officer)
        items = [{"holder": holder, **msgspec.structs.asdict(hold)} for holder, hold in found]
        show_list(session_of(ctx).output, items, _HOLDS, empty="Nobody is under a legal hold.")
