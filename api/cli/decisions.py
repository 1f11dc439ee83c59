"""Decisions by two officers, each kind proposed by one and approved or refused by another. One factory makes them."""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

import msgspec
import typer

from api.cli import proposals
from api.cli.asking import Deciding
from api.cli.common import (
    Authority,
    DryRun,
    option,
    read_date,
    read_level,
    read_obtained,
    series_named,
    session_of,
    writing,
)
from api.cli.printing import particulars, say, show
from api.cli.proposals import Digest, ProposalId, Yes, ask, drawn, need_digest, show_open
from api.cli.tree import Commands
from registry.errors import BadInput
from registry.looks import Purpose
from registry.looks.looked import LookedProposal, LookedTitle
from registry.service import Registry
from registry.terms import Status
from registry.titles.decisions import WORDS, ProposeDecision, find_open
from registry.titles.events import DecisionKind, Particulars
from registry.titles.state import Proposal, Title

PANEL = "Decisions by two officers"
_GROUPS = {
    "revoke": (DecisionKind.REVOCATION, "撤销 Revoke: obtained wrongly; void, as a rule from the day of the award."),
    "invalidate": (DecisionKind.INVALIDATION, "注销 Invalidate: close a title without fault."),
    "suspend": (DecisionKind.SUSPENSION, "暂停 Suspend: not to be relied on until reinstated."),
    "reinstate": (DecisionKind.REINSTATEMENT, "恢复 Reinstate: valid again."),
    "correct": (DecisionKind.CORRECTION, "更正 Correct particulars that were recorded wrongly."),
}

Number = Annotated[str, typer.Argument(metavar="NUMBER", help="Certificate number, or the id of a title.")]
Document = Annotated[str, option("--document", metavar="NO", help="Number of the document that decides it.")]
Reason = Annotated[str, option("--reason", metavar="TEXT", help="Why. It is never shown to the public.")]
DecidedBy = Annotated[
    str | None,
    option(
        "--decided-by", metavar="CODE", help="Authority that decides; default the issuing one (or the one above it)."
    ),
]
EffectiveOn = Annotated[
    date | None,
    option("--effective-on", parser=read_date, metavar="DATE", help="Default: today; of 撤销 the day of the award."),
]
Sets = Annotated[
    list[str],
    option(
        "--set", metavar="FIELD=VALUE", help="A particular and its right value; may be repeated. An empty value: none."
    ),
]


def add_to(app: Commands) -> None:
    """Add the five kinds of decision, and the open proposals of all kinds."""
    app.add_typer(proposals.app, name="proposals", rich_help_panel=PANEL)
    for name, (kind, help_) in _GROUPS.items():
        app.add_typer(_group(kind, help_), name=name, rich_help_panel=PANEL)


def _group(kind: DecisionKind, help_: str) -> Commands:
    group = Commands(help_)
    group.command("propose", help=f"Propose a decision ({WORDS[kind]}). Another officer approves or refuses it.")(
        _correct if kind is DecisionKind.CORRECTION else _propose(kind)
    )
    group.command("approve", help=f"Approve a proposal ({WORDS[kind]}) of another officer. It holds at once.")(
        _approve(kind)
    )
    group.command("return", help="Return a proposal to its proposer for change (退回修改), with a reason.")(
        _close(kind, "returned", Registry.return_proposal)
    )
    group.command("refuse", help="Close a proposal without effect; its proposer may withdraw it so.")(
        _close(kind, "refused", Registry.refuse)
    )
    return group


# propose


def _propose(kind: DecisionKind) -> Callable[..., None]:
    def propose(
        ctx: typer.Context,
        number: Number,
        document: Document,
        reason: Reason,
        effective_on: EffectiveOn = None,
        decided_by: DecidedBy = None,
        authority: Authority = None,
        dry_run: DryRun = False,
    ) -> None:
        with writing(ctx, dry_run=dry_run) as (registry, officer):
            seen = _title(registry, number, authority, kind, document, officer)
            command = ProposeDecision(
                kind=kind,
                document_no=document,
                authority=_deciding(registry, seen.title, decided_by),
                reason=reason,
                effective_on=effective_on,
            )
            _proposed(ctx, registry, seen, command, officer)

    return propose


def _correct(
    ctx: typer.Context,
    number: Number,
    sets: Sets,
    document: Document,
    reason: Reason,
    effective_on: EffectiveOn = None,
    decided_by: DecidedBy = None,
    authority: Authority = None,
    dry_run: DryRun = False,
) -> None:
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        seen = _title(registry, number, authority, DecisionKind.CORRECTION, document, officer)
        command = ProposeDecision(
            kind=DecisionKind.CORRECTION,
            document_no=document,
            authority=_deciding(registry, seen.title, decided_by),
            reason=reason,
            effective_on=effective_on,
            corrected=corrected(registry, seen.title.award, sets),
        )
        _proposed(ctx, registry, seen, command, officer)


def _title(
    registry: Registry, number: str, authority: str | None, kind: DecisionKind, document: str, officer: str
) -> LookedTitle:
    """The title that is to be decided on: its holder is shown with the proposal, so it is a look."""
    stream, door = registry.find_title(number, authority), f"cli {_group_of(kind)} propose"
    return registry.looking.title(stream, actor=officer, purpose=Purpose.HANDLING, door=door, document=document)


def _group_of(kind: DecisionKind) -> str:
    return next(name for name, (one, _) in _GROUPS.items() if one is kind)


def _deciding(registry: Registry, title: Title, code: str | None) -> str:
    return registry.catalogue.authority(code or title.award.authority).code


def _proposed(
    ctx: typer.Context, registry: Registry, seen: LookedTitle, command: ProposeDecision, officer: str
) -> None:
    stream = seen.title.id
    proposal = registry.propose(stream, command, officer=officer)
    show_open(ctx, registry, LookedProposal(seen.sight, registry.title(stream), seen.name, proposal))
    group = _group_of(command.kind)
    say(f"Another officer approves it: title-registry --officer ID {group} approve {proposal.fact.proposal}")


_READ: dict[str, Callable[[str], Any]] = {
    "level": read_level,
    "obtained": read_obtained,
    "awarded_on": read_date,
    "published_on": read_date,
    "issued_on": read_date,
}
_OPTIONAL = ("committee_key", "published_on", "issued_on")


def corrected(registry: Registry, award: Particulars, sets: list[str]) -> Particulars:
    """The particulars with the given fields set. Ends with a usage error for an unknown field or a bad value."""
    changes: dict[str, Any] = {}
    for one in sets:
        name, equals, value = one.partition("=")
        if not equals or name not in Particulars.__struct_fields__:
            known = ", ".join(Particulars.__struct_fields__)
            raise typer.BadParameter(f"{one!r}: write FIELD=VALUE; fields: {known}", param_hint="--set")
        if not value.strip() and name not in _OPTIONAL:
            raise typer.BadParameter(f"{name} cannot be empty", param_hint="--set")
        try:
            changes[name] = _READ.get(name, str)(value.strip()) if value.strip() else None
        except typer.BadParameter as error:
            raise typer.BadParameter(f"{name}: {error.message}", param_hint="--set") from None
    if "series" in changes:
        changes["series"] = series_named(registry, changes["series"])
    if "authority" in changes:
        registry.catalogue.authority(changes["authority"])
    return msgspec.structs.replace(award, **changes)


# approve and refuse


def _approve(kind: DecisionKind) -> Callable[..., None]:
    def approve(
        ctx: typer.Context,
        proposal: ProposalId,
        digest: Digest = None,
        yes: Yes = False,
        purpose: Deciding = Purpose.DECIDING,
        dry_run: DryRun = False,
    ) -> None:
        need_digest(yes, digest)
        with writing(ctx, dry_run=dry_run) as (registry, officer):
            title, digest = _read(registry, kind, proposal, digest, officer, purpose)
            title = registry.approve(proposal, digest, officer=officer)
            status, decision = title.standing(registry.today)
            item = {"title": title.id, "number": title.award.number, "status": status, "decision": proposal}
            show(session_of(ctx).output, item, particulars({"Number": title.award.number, "Status": status.zh}))
            say(f"{WORDS[kind]} recorded: the next verification answers by it.")
            if decision is None and status is Status.VALID and kind is DecisionKind.CORRECTION:
                say(f"For a certificate with what is right: title-registry certificates issue {title.award.number}")

    return approve


def _read(
    registry: Registry, kind: DecisionKind, proposal: str, digest: str | None, officer: str, purpose: Purpose
) -> tuple[Title, str]:
    """Find the proposal; without a digest show it and ask, unless the answer is no anyway or it was carried out."""
    title = registry.title(proposal.partition(".")[0])
    if any(one.fact.proposal == proposal for one in title.decisions):
        return title, digest or ""
    open_ = find_open(title, proposal)
    check_kind(open_, kind)
    if digest is None and open_.proposed_by != officer:
        door = f"cli {_group_of(kind)} approve"
        ask(*drawn(registry, registry.looking.proposal(proposal, actor=officer, purpose=purpose, door=door)))
    return title, digest or open_.fact.digest


def _close(kind: DecisionKind, done: str, act: Callable[..., Title]) -> Callable[..., None]:
    """The command that closes a proposal without effect: refused, or returned for change."""

    def close(ctx: typer.Context, proposal: ProposalId, reason: Reason, dry_run: DryRun = False) -> None:
        with writing(ctx, dry_run=dry_run) as (registry, officer):
            check_kind(find_open(registry.title(proposal.partition(".")[0]), proposal), kind)
            title = act(registry, proposal, reason, officer=officer)
            show(
                session_of(ctx).output,
                {"title": title.id, "number": title.award.number, done: proposal},
                particulars({"Number": title.award.number, done.capitalize(): proposal}),
            )

    return close


def check_kind(proposal: Proposal, kind: DecisionKind) -> None:
    """Raise BadInput for a proposal of another kind: nobody approves a revocation as a correction."""
    if proposal.fact.kind is not kind:
        group = _group_of(proposal.fact.kind)
        raise BadInput(
            f"这是{WORDS[proposal.fact.kind]}提议，不是{WORDS[kind]}提议", fix=f"用 title-registry {group} …"
        )
