"""Dropping what need not be kept any longer: the months of the answers given and of the looks taken, by an operator."""

from collections.abc import Callable
from typing import Annotated

import typer

from api.cli.asking import named_asker
from api.cli.common import opened, option, session_of
from api.cli.printing import Column, show_list
from registry.answers import AnswerLog
from registry.looks import LookLog
from registry.months import KEPT_MONTHS, LEAST_MONTHS
from registry.permissions import Permission
from registry.service import Registry

Keep = Annotated[
    int,
    option(
        "--keep",
        metavar="MONTHS",
        help=f"Whole months to keep before the present one, {LEAST_MONTHS} at least [default: {KEPT_MONTHS}].",
    ),
]


def prune_months(
    ctx: typer.Context, log_of: Callable[[Registry], AnswerLog | LookLog], keep: int, *, dry_run: bool
) -> None:
    """Drop the expired months of this log of the registry, and list them."""
    officer = named_asker(ctx, "--officer")
    with opened(ctx) as registry:
        registry.authorising.require(officer, Permission.PRUNE, None)
        log = log_of(registry)
        months = [{"month": month} for month in (log.expired if dry_run else log.prune)(registry.clock(), keep)]
    show_list(
        session_of(ctx).output,
        months,
        (Column("To be dropped" if dry_run else "Dropped", lambda one: one["month"]),),
        empty=f"No file is older than {keep} months.",
    )
