"""Verify whatever anyone hands over: a code, an address, a QR text, a picture, a PDF; on line or off line."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from api.cli.common import AsOf, Known, existing_file, opened, option, session_of
from api.cli.offline import verify_offline
from api.cli.printing import Column, chinese, heading, moment, particulars, show, table
from api.cli.tree import SAID_NO
from registry.answers import Channel
from registry.log.log import KnownAt
from registry.service import Registry
from registry.terms import Status
from registry.titles.answer import Answer
from registry.titles.code import format_code

_GOOD, _BAD = (Status.VALID, Status.OFFLINE), (Status.REVOKED, Status.INVALIDATED, Status.TAMPERED)
_SUFFIXES = (".pdf", ".png", ".jpg", ".jpeg")
_MARKS = {"passed": "✓", "failed": "✗", "not_done": "-"}


def verify(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Code, address, QR text, or a PDF or picture file.")],
    offline: Annotated[
        bool, option("--offline", help="Check the signature only, with --keys; needs no data folder.")
    ] = False,
    keys: Annotated[
        Path | None, option("--keys", metavar="FILE", help="Public keys (JWKS), for --offline; see keys export.")
    ] = None,
    root: Annotated[
        Path | None, option("--root", metavar="FILE", help="Root certificate (PEM), for a PDF; see keys root.")
    ] = None,
    as_of: AsOf = None,
    known_at: Known = None,
) -> None:
    """Verify a certificate. Exit status 0 if it is valid (off line: if the signature holds), 3 for anything else."""
    data = _file(target)
    if offline:
        _check_offline_options(keys, as_of, known_at)
        answer: Any = verify_offline(data or target, existing_file(keys) if keys else Path(), root)
        show(session_of(ctx).output, answer, *_drawn(answer, answer.facts()))
    else:
        if keys or root:
            raise typer.BadParameter("only for --offline; on line the data folder has the keys", param_hint="--keys")
        with opened(ctx) as registry:
            registry.continuity.require()  # says why, where an answer could only say that it could not be checked
            answer = _ask(registry, data or target, as_of, known_at)
            registry.answers.record(answer, Channel.CLI)
        show(session_of(ctx).output, answer, *_drawn(answer, _facts(answer)))
    if answer.status not in _GOOD:
        raise typer.Exit(SAID_NO)


def _check_offline_options(keys: Path | None, as_of: date | None, known_at: KnownAt | None) -> None:
    if keys is None:
        raise typer.BadParameter("say which public keys to trust: --keys jwks.json", param_hint="--offline")
    if as_of or known_at:
        raise typer.BadParameter("the signature knows no history; ask on line", param_hint="--as-of, --known-at")


def _file(target: str) -> bytes | None:
    """The bytes if it names a file. Ends with a usage error for a missing file, which is not a forged certificate."""
    try:
        path = Path(target)
        if path.is_file():
            return path.read_bytes()
    except (OSError, ValueError):  # a QR text is longer than a file name may be
        return None
    if path.suffix.lower() in _SUFFIXES and "://" not in target:
        raise typer.BadParameter(f"there is no file {target}", param_hint="TARGET")
    return None


def _ask(registry: Registry, target: str | bytes, as_of: date | None, known_at: KnownAt | None) -> Answer:
    from api.employers import check_file, check_text

    if isinstance(target, bytes):
        return check_file(registry, target, as_of, known_at)
    return check_text(registry, target, as_of, known_at)


def _facts(answer: Answer) -> dict[str, object]:
    one, decision = answer.certificate, answer.decision
    facts: dict[str, object] = {}
    if one:
        facts = {
            "Name": one.name,
            "Title": f"{one.title_name}（{one.level_zh}）",
            "Series": f"{one.series} {one.specialty}",
            "Number": one.number,
            "Authority": one.authority_name,
            "Awarded": one.awarded_on,
            "Issued": one.issued_on,
            "Version": f"{one.version} of {one.latest_version}",
            "Code": format_code(one.code),
            "Paper": f"{one.paper.number}，{one.paper.remark}" if one.paper else None,
        }
    if decision:
        facts |= {
            "Decision": f"{chinese(Status, decision.kind)}，{decision.authority_name}，{decision.document_no}",
            "Effective": f"{decision.effective_on}{'（自始）' if decision.from_the_start else ''}",
            "Recorded": moment(decision.recorded_at),
        }
    if answer.as_of or answer.known_at:
        facts["Asked about"] = f"{answer.as_of or 'today'}, as known {moment(answer.known_at) or 'now'}"
    return facts | {"Checked": f"{moment(answer.checked_at)}, log position {answer.log_position}"}


_STEPS = (
    Column("", lambda one: _MARKS[one.outcome]),
    Column("Step", lambda one: one.number),
    Column("What", lambda one: f"{one.name} / {one.name_en}"),
    Column("", lambda one: one.detail, fold=True),
)


def _drawn(answer: Any, facts: dict[str, object]) -> list[Any]:
    status: Status = answer.status
    style = "bold green" if status in _GOOD else "bold red" if status in _BAD else "bold yellow"
    said = Text.assemble((f"{status.zh}  {status.en}", style), f"\n{answer.sentence}\n{answer.sentence_en}\n")
    steps = [heading("Steps"), table(answer.steps, _STEPS)] if answer.steps else []
    return [said, particulars(facts), *steps]
