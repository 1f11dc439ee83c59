"""Who reads at the command line, and for what. Whoever does not say who they are sees names masked."""

from typing import Annotated

import typer

from api.cli.common import option, session_of
from registry.looks import Purpose

_PURPOSES = tuple(one for one in Purpose if one is not Purpose.OWN)


def asker(ctx: typer.Context) -> str | None:
    """The officer who reads, if one was named."""
    return (session_of(ctx).settings.officer or "").strip() or None


def named_asker(ctx: typer.Context, hint: str) -> str:
    """The officer who reads. Ends with a usage error that names `hint`, the option that shows a person."""
    officer = asker(ctx)
    if officer is None:
        raise typer.BadParameter(
            "for officers only; say who asks, with --officer ID or TITLE_REGISTRY_OFFICER",
            param_hint=hint,
        )
    return officer


def read_purpose(text: str | Purpose) -> Purpose:
    """A purpose by its word or its Chinese name. Ends with a usage error for anything else."""
    found = {one.value: one for one in _PURPOSES} | {one.zh: one for one in _PURPOSES}
    if text not in found:
        known = ", ".join(f"{one.value} ({one.zh})" for one in _PURPOSES)
        raise typer.BadParameter(f"{text!r} is none of: {known}")
    return found[text]


def _option(default: str) -> object:
    return option(
        "--purpose",
        parser=read_purpose,
        metavar="WORD",
        help=f"For what persons are looked at; recorded with each look [default: {default}].",
    )


Handling = Annotated[Purpose, _option("handling")]
Searching = Annotated[Purpose, _option("search")]
Deciding = Annotated[Purpose, _option("deciding")]
