"""E-certificates: sign one or many, get a document again, and verify what anyone hands over."""

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.asking import Handling, asker, named_asker
from api.cli.common import Authority, DryRun, new_file, opened, option, session_of, writing
from api.cli.massissue import Refusal, issue_all
from api.cli.printing import Column, Output, complain, moment, particulars, say, show, table
from api.cli.tree import FAILED, PARTLY, Commands
from api.cli.verifying import verify
from keys.files import write_private
from registry.errors import Forbidden
from registry.looks import Purpose, What
from registry.looks.looked import shown_name
from registry.permissions import Sight
from registry.service import Registry
from registry.titles.code import format_code
from registry.titles.state import Certificate, Title

MOST_SHOWN = 50
_KINDS = (".pdf", ".png", ".svg")

app = Commands("Sign e-certificates and get their documents.")

Force = Annotated[bool, option("--force", help="Replace a file that is there.")]


def add_to(root: Commands) -> None:
    """Add the group `certificates` and the command `verify`."""
    root.add_typer(app, name="certificates", rich_help_panel="Every day")
    root.command("verify", rich_help_panel="Every day")(verify)


@app.command("issue")
def issue(
    ctx: typer.Context,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="Certificate number, or the id of a title.")],
    authority: Authority = None,
    out: Annotated[Path | None, option("--out", metavar="FILE.pdf", help="Also write the document there.")] = None,
    force: Force = False,
    purpose: Handling = Purpose.HANDLING,
    dry_run: DryRun = False,
) -> None:
    """Sign the e-certificate of a title. If the newest version says what is right, that one is kept."""
    from api.documents.delivery import proof_of
    from api.documents.press import Press

    target = document_path(out, force=force) if out else None
    with writing(ctx, dry_run=dry_run) as (registry, officer):
        press = Press(session_of(ctx).settings.extra_fonts)
        stream = registry.find_title(number, authority)
        sight = _look(registry, stream, officer, "issue", purpose, target)
        certificate = registry.issue(stream, proof_of(registry, press), officer=officer)
        if target:
            write_private(target, document(registry, press, certificate, target.suffix.lower()))
        _show(ctx, registry.title(stream), certificate, target, sight)


@app.command("show")
def show_certificate(
    ctx: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="Verification code.")],
    out: Annotated[
        Path | None, option("--out", metavar="FILE", help="Write the document (.pdf), or the QR alone (.png, .svg).")
    ] = None,
    force: Force = False,
    purpose: Handling = Purpose.HANDLING,
) -> None:
    """Show a certificate by its code; with --out get its document, or its QR alone (both for officers in reach)."""
    from api.documents.press import Press

    target = document_path(out, force=force) if out else None
    if target:
        named_asker(ctx, "--out")
    with opened(ctx) as registry:
        title, certificate = registry.certificate(code)
        sight = _look(registry, title.id, asker(ctx), "show", purpose, target)
        if target:
            press = Press(session_of(ctx).settings.extra_fonts)
            write_private(target, document(registry, press, certificate, target.suffix.lower()))
        _show(ctx, title, certificate, target, sight)


def _look(
    registry: Registry, stream: str, officer: str | None, verb: str, purpose: Purpose, target: Path | None
) -> Sight:
    """Look at the person on a certificate. Raise Forbidden for a document to whoever does not see the person."""
    what, door = What.DOCUMENT if target else What.TITLE, f"cli certificates {verb}"
    sight = registry.looking.title(stream, actor=officer, purpose=purpose, door=door, what=what).sight
    if target and sight is not Sight.CLEAR:
        raise Forbidden("电子证书含有个人信息，您的角色不能取得", fix="由有权的人员办理")
    return sight


def document_path(path: Path, *, force: bool) -> Path:
    """Where a document goes. Ends with a usage error for another kind than .pdf, .png and .svg."""
    if path.suffix.lower() not in _KINDS:
        raise typer.BadParameter(f"{path}: the name must end in {', '.join(_KINDS)}", param_hint="--out")
    return new_file(path, force=force)


def document(registry: Registry, press: Any, certificate: Certificate, kind: str) -> bytes:
    """The document as PDF, or its QR alone as PNG or SVG."""
    from api.documents.delivery import deliver, deliver_code

    if kind == ".pdf":
        return deliver(registry, press, certificate)
    return deliver_code(registry.custody.keyring, certificate, "png" if kind == ".png" else "svg")


def _show(ctx: typer.Context, title: Title, certificate: Certificate, written: Path | None, sight: Sight) -> None:
    content = certificate.content.get()
    url = f"{content.base_url}/v/{content.code}" if content else None
    item = {
        "title": title.id,
        "number": title.award.number,
        "authority": title.award.authority,
        "code": certificate.code,
        "version": certificate.version,
        "kid": certificate.kid,
        "signed_at": certificate.signed_at,
        "outdated": certificate.outdated,
        "url": url,
        "file": str(written) if written else None,
    }
    facts = {
        "Number": f"{title.award.number} {title.award.title_name}",
        "Name": shown_name(sight, content.name if content else ""),
        "Code": format_code(certificate.code),
        "Version": f"{certificate.version}{'（更正前）' if certificate.outdated else ''}",
        "Signed": moment(certificate.signed_at),
        "Verify at": url,
        "File": written,
    }
    show(session_of(ctx).output, item, particulars(facts))


@app.command("issue-all")
def issue_every(
    ctx: typer.Context,
    out: Annotated[Path | None, option("--out", metavar="DIR", help="Write the documents into this folder.")] = None,
    workers: Annotated[
        int, option("--workers", metavar="N", min=1, max=64, help="Processes that set documents [default: 1].")
    ] = 1,
    limit: Annotated[int | None, option("--limit", metavar="N", min=1, help="At most so many titles.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Sign the e-certificate of every valid title that has none. One that is refused does not stop the others."""
    session = session_of(ctx)
    officer = session.officer
    if out and not out.parent.is_dir():
        raise typer.BadParameter(f"the folder {out.parent} does not exist", param_hint="--out")
    if out and not dry_run:
        out.mkdir(exist_ok=True)
    with opened(ctx) as registry:
        streams = registry.register.without_certificate()[:limit]
        done = issue_all(
            registry, session.settings, streams, officer=officer, out=out, workers=workers, dry_run=dry_run
        )
    _sum_up(session.output, done, out, dry_run=dry_run)
    if done.refused:
        raise typer.Exit(PARTLY if done.issued else FAILED)


_REFUSED = (
    Column("Title", lambda one: one.number or one.title),
    Column("Rule", lambda one: one.code),
    Column("What to do", lambda one: f"{one.message}。{one.fix}", fold=True),
)


def _sum_up(output: Output, done: Any, out: Path | None, *, dry_run: bool) -> None:
    facts = {
        "Issued": len(done.issued),
        "Refused": len(done.refused),
        "Documents": f"{done.written} in {out}" if out else None,
    }
    refused: list[Refusal] = done.refused[:MOST_SHOWN]
    show(output, done, particulars(facts), *([table(refused, _REFUSED)] if refused else []))
    if output is Output.TABLE and len(done.refused) > MOST_SHOWN:
        say(f"The first {MOST_SHOWN} of {len(done.refused)} refusals are shown; -o json gives all.")
    if done.refused:
        complain(
            "partly-done" if done.issued else "refused",
            f"{len(done.refused)} titles were refused",
            "See each line above.",
        )
    if dry_run:
        say("Dry run: nothing was signed or written.")
    elif not done.issued and not done.refused:
        say("Every valid title has its certificate.")
