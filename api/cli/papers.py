"""Pre-2007 paper certificates: submitted with a scan, approved by a second officer."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from api.cli.asking import Deciding, Handling, asker, named_asker
from api.cli.common import (
    DryRun,
    existing_file,
    opened,
    option,
    read_date,
    read_level,
    read_obtained,
    session_of,
    writing,
)
from api.cli.decisions import Reason
from api.cli.paperform import PaperForm, award_of, read_form, warn_of_unknown_title
from api.cli.paperview import STATES, drawn_application, show_application
from api.cli.printing import Column, moment, say, show_list
from api.cli.proposals import Digest, Yes, ask, need_digest
from api.cli.titles import Country, Kind
from api.cli.tree import Commands
from registry.conversion import Scan
from registry.errors import Forbidden
from registry.looks import Purpose
from registry.looks.looked import LookedApplication, shown_name
from registry.paper.application import Application
from registry.paper.evidence import fetch
from registry.permissions import Permission, Sight
from registry.service import Registry
from registry.terms import Level, Obtained

app = Commands("Turn pre-2007 paper certificates into electronic ones.")

Id = Annotated[str, typer.Argument(metavar="APPLICATION", help="Id of the application (from paper list).")]
_TYPES = {"application/pdf": "pdf", "image/png": "png", "image/jpeg": "jpg"}


@app.command("submit")
def submit(
    ctx: typer.Context,
    scan: Annotated[list[Path], option("--scan", metavar="FILE", help="Scan or photo of the paper; may be repeated.")],
    file: Annotated[
        Path | None, option("--file", metavar="JSON", help="The particulars as JSON, under the names of the options.")
    ] = None,
    name: Annotated[str | None, option("--name", metavar="NAME", help="Name of the holder.")] = None,
    identity: Annotated[
        str | None,
        option("--identity", metavar="NUMBER", help="Identity number; - reads it from stdin, not kept by the shell."),
    ] = None,
    identity_kind: Kind = None,
    country: Country = None,
    confirmed: Annotated[
        bool, option("--confirmed", help="The number was compared with the document although its check digit is wrong.")
    ] = False,
    number: Annotated[str | None, option("--number", metavar="NUMBER", help="Number on the paper, as it is.")] = None,
    title: Annotated[str | None, option("--title", metavar="NAME", help="Title name of that time.")] = None,
    level: Annotated[
        Level | None, option("--level", parser=read_level, metavar="LEVEL", help="Level, such as 副高级.")
    ] = None,
    series: Annotated[str | None, option("--series", metavar="SERIES", help="Series (系列).")] = None,
    specialty: Annotated[str | None, option("--specialty", metavar="NAME", help="Specialty (专业).")] = None,
    obtained: Annotated[
        Obtained | None,
        option("--obtained", parser=read_obtained, metavar="WAY", help="Way of obtaining; default review (评审)."),
    ] = None,
    committee: Annotated[str | None, option("--committee", metavar="NAME", help="Review committee.")] = None,
    approval_document: Annotated[
        str | None, option("--approval-document", metavar="NO", help="Approval document (批准文号).")
    ] = None,
    awarded_on: Annotated[
        date | None, option("--awarded-on", parser=read_date, metavar="DATE", help="取得资格时间.")
    ] = None,
    issued_on: Annotated[
        date | None, option("--issued-on", parser=read_date, metavar="DATE", help="Date on the paper, if it has one.")
    ] = None,
    authority: Annotated[str | None, option("--authority", metavar="CODE", help="Issuing authority.")] = None,
    employer: Annotated[str | None, option("--employer", metavar="NAME", help="Employer, if known.")] = None,
    review_form: Annotated[
        Path | None, option("--review-form", metavar="FILE", help="Scan of the review form.")
    ] = None,
    document_scan: Annotated[
        Path | None, option("--document-scan", metavar="FILE", help="Scan of the approval document.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Apply to turn a paper certificate into an electronic one. The same application again changes nothing.

    Give the particulars as options, or as JSON with --file; an option comes before the file.
    """
    form = read_form(
        file,
        PaperForm(
            name=name,
            identity=identity,
            identity_kind=identity_kind,
            country=country,
            confirmed=confirmed,
            number=number,
            title=title,
            level=level,
            series=series,
            specialty=specialty,
            obtained=obtained,
            committee=committee,
            approval_document=approval_document,
            awarded_on=awarded_on,
            issued_on=issued_on,
            authority=authority,
            employer=employer,
        ),
    )
    scans = [Scan(existing_file(one).read_bytes()) for one in scan]
    for role, path in (("review_form", review_form), ("document", document_scan)):
        scans += [Scan(existing_file(path).read_bytes(), role)] if path else []
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        command = award_of(registry, form)
        warn_of_unknown_title(registry, command)
        application = registry.submit_paper(command, form.issued_on, scans, officer=officer)
        name = shown_name(Sight.MASKED, command.person.name)  # whoever submits it knows whose it is
        show_application(ctx, registry, LookedApplication(Sight.MASKED, application, name))
        say(f"Another officer approves it: title-registry --officer ID paper approve {application.id}")


_COLUMNS = (
    Column("Application", lambda one: one.application),
    Column("State", lambda one: STATES[one.state]),
    Column("Number", lambda one: one.number, fold=True),
    Column("Title", lambda one: one.title_name, fold=True),
    Column("Authority", lambda one: one.authority),
    Column("Submitted", lambda one: moment(one.submitted_at)[:10]),
    Column("By", lambda one: one.submitted_by),
)


@app.command("list")
def list_papers(
    ctx: typer.Context,
    state: Annotated[
        str | None, option("--state", metavar="STATE", help="open, approved, returned or refused; default every state.")
    ] = None,
) -> None:
    """List the applications, oldest first; to an officer those in reach."""
    if state not in (None, *STATES):
        raise typer.BadParameter(f"{state!r} is none of: {', '.join(STATES)}", param_hint="--state")
    with opened(ctx) as registry:
        reach = registry.looking.reach(asker(ctx), Permission.READ_PAPERS)
        found = [one for one in registry.register.papers(state) if one.authority in reach]
        show_list(session_of(ctx).output, found, _COLUMNS, empty="There is no application.")


@app.command("show")
def show_paper(
    ctx: typer.Context,
    application: Id,
    evidence_to: Annotated[
        Path | None,
        option("--evidence-to", metavar="DIR", help="Write the scans there, in clear, to look at (personal data)."),
    ] = None,
    purpose: Handling = Purpose.HANDLING,
) -> None:
    """Show an application; with --evidence-to also write its scans. Without an officer the name is masked."""
    if evidence_to:
        named_asker(ctx, "--evidence-to")
    with opened(ctx) as registry:
        seen = _look(registry, application, asker(ctx), "show", purpose)
        if evidence_to and seen.sight is not Sight.CLEAR:
            raise Forbidden("材料含有个人信息，您的角色不能查看", fix="由有权的经办人查看")
        if evidence_to:
            _look(registry, application, asker(ctx), "show", purpose, evidence=True)
        show_application(ctx, registry, seen)
        if evidence_to:
            _write_evidence(registry, seen.application, evidence_to)


def _look(
    registry: Registry, application: str, officer: str | None, verb: str, purpose: Purpose, *, evidence: bool = False
) -> LookedApplication:
    door = f"cli paper {verb}"
    return registry.looking.application(application, actor=officer, purpose=purpose, door=door, evidence=evidence)


@app.command("approve")
def approve(
    ctx: typer.Context,
    application: Id,
    digest: Digest = None,
    yes: Yes = False,
    purpose: Deciding = Purpose.DECIDING,
    dry_run: DryRun = False,
) -> None:
    """Approve an application of another officer: the title is awarded, or matched with its award."""
    need_digest(yes, digest)
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        seen = _look(registry, application, officer, "approve", purpose)
        found = seen.application
        if digest is None and found.state == "open" and found.submitted_by != officer:
            ask(*drawn_application(registry, seen))
        done = registry.approve_paper(application, digest or found.fact.digest, officer=officer)
        show_application(ctx, registry, LookedApplication(seen.sight, done, seen.name))
        say(f"Sign its certificate: title-registry certificates issue {done.title}")


@app.command("return")
def return_(ctx: typer.Context, application: Id, reason: Reason, dry_run: DryRun = False) -> None:
    """Return an application for change (退回修改), with a reason. It may be submitted again, changed."""
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        seen = _look(registry, application, officer, "return", Purpose.DECIDING)
        done = registry.return_paper(application, reason, officer=officer)
        show_application(ctx, registry, LookedApplication(seen.sight, done, seen.name))


@app.command("refuse")
def refuse(ctx: typer.Context, application: Id, reason: Reason, dry_run: DryRun = False) -> None:
    """Refuse an application, with a reason. The holder may apply again."""
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        seen = _look(registry, application, officer, "refuse", Purpose.DECIDING)
        done = registry.refuse_paper(application, reason, officer=officer)
        show_application(ctx, registry, LookedApplication(seen.sight, done, seen.name))


def _write_evidence(registry: Registry, application: Application, folder: Path) -> None:
    key = registry.log.data_keys()(application.fact.holder)
    if key is None:
        say("The holder's data key was destroyed; the scans can no longer be read.")
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for one in application.fact.evidence:
        data = fetch(registry.conversion.folder, application.fact.holder, one, key)
        path = folder / f"{one.role}-{one.sha256[:12]}.{_TYPES[one.media_type]}"
        path.write_bytes(data)
        say(f"Written: {path}")
