"""Set a registry up and keep it well: init, register status and rebuild, config check, doctor."""

import base64
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import msgspec
import typer

from api.cli.common import DryRun, opened, option, session_of
from api.cli.doctoring import examine
from api.cli.keeping import (
    Keeping,
    KeptIn,
    Label,
    Module,
    PinFile,
    Seal,
    SealAlgorithm,
    also_made,
    token_settings,
)
from api.cli.printing import Column, Output, particulars, progress, say, show, show_list
from api.cli.tree import FAILED, Commands
from api.sequencing import DUTIES, lag, leader_of
from api.settings import Settings
from keys.backends import TokenSettings
from keys.custody import read_passphrase
from keys.files import write_private
from keys.passphrase import FILE_VARIABLE, VARIABLE
from registry.folder import Config, Folder
from registry.service import Registry

BEGIN, OPERATION = "Begin", "Operation"
_PASSPHRASE_BYTES = 32

register_app = Commands("The current register, a projection of the log that can be rebuilt at any time.")
config_app = Commands("Settings.")


def add_to(app: Commands) -> None:
    """Add `init`."""
    app.command("init", rich_help_panel=BEGIN)(init)


def add_care_to(app: Commands) -> None:
    """Add `serve`, `register`, `config` and `doctor`."""
    app.command("serve", rich_help_panel=OPERATION)(serve)
    app.add_typer(register_app, name="register", rich_help_panel=OPERATION)
    app.add_typer(config_app, name="config", rich_help_panel=OPERATION)
    app.command("doctor", rich_help_panel=OPERATION)(doctor)


def init(
    ctx: typer.Context,
    base_url: Annotated[
        str,
        option(
            "--base-url", metavar="URL", help="Public address, printed into every QR [default: http://127.0.0.1:8000]."
        ),
    ] = "http://127.0.0.1:8000",
    organisation: Annotated[
        str | None,
        option("--organisation", metavar="NAME", help="Name in the certificates of the keys, 1-64 characters."),
    ] = None,
    phone: Annotated[
        str, option("--phone", metavar="NO", help="Telephone number shown on the verification page.")
    ] = "",
    sample: Annotated[
        bool, option("--sample", help="Mark every certificate as a sample without legal effect.")
    ] = False,
    database: Annotated[
        str,
        option(
            "--database",
            metavar="URL",
            help="Keep the log in PostgreSQL: postgresql://…, without a password [default: a file in the data folder].",
        ),
    ] = "",
    custody: KeptIn = Keeping.FILES,
    pkcs11_module: Module = None,
    pkcs11_token: Label = None,
    pkcs11_pin_file: PinFile = None,
    seal_algorithm: Seal = SealAlgorithm.NONE,
    dry_run: DryRun = False,
) -> None:
    """Make a data folder: store, keys, reference data.

    The passphrase comes from --passphrase-file or the environment; a file that does not exist is made, with a random
    passphrase.
    """
    settings = session_of(ctx).settings
    config = Config(base_url=base_url, phone=phone, sample=sample, database=database)
    if organisation is not None:
        config = msgspec.structs.replace(config, organisation=organisation)
    if not 1 <= len(config.organisation) <= 64:
        raise typer.BadParameter("a name of 1 to 64 characters", param_hint="--organisation")
    token = token_settings(custody, pkcs11_module, pkcs11_token, pkcs11_pin_file)
    if dry_run:
        _rehearse_init(settings, config, token)
        return
    _check_vacant(settings, config)
    if token is not None:
        token.prepared()  # a token that will not do is told before anything is written
    fresh = _fresh_passphrase_file(settings)
    if fresh:
        _write_passphrase(fresh)
    registry = Registry.create(
        settings.data,
        settings.read_passphrase(),
        config,
        checkpoints=settings.checkpoints,
        token=token,
        also=also_made(seal_algorithm),
    )
    item = {"data": str(settings.data), "base_url": config.base_url, "passphrase_file": str(fresh) if fresh else None}
    facts = {"Data folder": settings.data, "Address": config.base_url, "Organisation": config.organisation}
    show(session_of(ctx).output, item, particulars(facts))
    registry.close()
    _say_next(settings, fresh)


def passphrase_file(settings: Settings) -> Path | None:
    """The passphrase file that was named, on the command line or in the environment."""
    named = settings.passphrase_file or os.environ.get(FILE_VARIABLE)
    return Path(named) if named else None


def _fresh_passphrase_file(settings: Settings) -> Path | None:
    file = passphrase_file(settings)
    return file if file and not file.exists() else None


def _write_passphrase(file: Path) -> None:
    """Make a passphrase file of 32 random bytes in base 64, mode 0600. Ends with a usage error if it cannot be."""
    if not file.parent.is_dir():
        raise typer.BadParameter(f"the folder {file.parent} does not exist", param_hint="--passphrase-file")
    write_private(file, base64.b64encode(os.urandom(_PASSPHRASE_BYTES)) + b"\n")
    say(f"A passphrase was made and written to {file} (mode 0600).")
    say(
        "Keep a copy of it away from this machine: without it nobody can read the names or sign. It is not recoverable."
    )


def _rehearse_init(settings: Settings, config: Config, token: TokenSettings | None) -> None:
    """Make a registry that is thrown away: the same checks, and the folder itself must still be free.

    A token is looked at, and no key is made in it.
    """
    if token is not None:
        token.prepared()
    passphrase = b"rehearsal" if _fresh_passphrase_file(settings) else settings.read_passphrase()
    _check_vacant(settings, config)
    with TemporaryDirectory() as folder:
        Registry.create(Path(folder) / "data", passphrase, msgspec.structs.replace(config, database="")).close()
    say(f"Dry run: {settings.data} would be made, for {config.base_url}; nothing was written.")


def _check_vacant(settings: Settings, config: Config) -> None:
    """Raise what making the folder would raise, before a passphrase is made for it."""
    with TemporaryDirectory() as folder:
        Folder(Path(folder) / "data").create(config)
    if Folder(settings.data).config.exists():
        Folder(settings.data).create(config)  # there is one: this says so, and writes nothing


def _say_next(settings: Settings, fresh: Path | None) -> None:
    say("\nNext:")
    if fresh:
        say(f"  export {FILE_VARIABLE}={fresh.resolve()}")
    elif not passphrase_file(settings):
        say(f"  (keep {VARIABLE} set, or better: a file and {FILE_VARIABLE})")
    say(f"  export TITLE_REGISTRY_DATA={settings.data.resolve()}")
    say("  title-registry officers found founders.csv     # two approvers: id,name,identity number")
    say("  title-registry officers register --help        # they register others and grant them roles")
    say("  title-registry import template list.xlsx       # an empty list to fill in")
    say("  title-registry serve                           # the verification pages, and /sign-in")


def serve(
    ctx: typer.Context,
    host: Annotated[
        str | None, option("--host", metavar="ADDRESS", help="Address to listen on [default: 127.0.0.1].")
    ] = None,
    port: Annotated[
        int | None, option("--port", metavar="PORT", min=1, max=65535, help="Port [default: 8000].")
    ] = None,
    workers: Annotated[
        int | None, option("--workers", metavar="N", min=1, max=64, help="Processes [default: 1].")
    ] = None,
) -> None:
    """Serve the verification pages and the API until interrupted. No code is ever written to a log."""
    from api import serving

    settings = session_of(ctx).settings
    host, port, workers = host or settings.host, port or settings.port, workers or settings.workers
    with opened(ctx) as registry:
        base_url = registry.config.base_url
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    say(f"Starting the service at {address} with {workers} process{'es' if workers > 1 else ''}; Ctrl-C stops it.")
    if base_url != address:
        say(f"Certificates lead to {base_url}; see that it reaches this address.")
    file = passphrase_file(settings)
    with redirect_stdout(sys.stderr):  # where the server's log goes
        serving.serve(
            settings.data.resolve(),
            host=host,
            port=port,
            workers=workers,
            passphrase_file=file.resolve() if file else None,
        )
    say("Stopped.")


# the register


@register_app.command("status")
def register_status(ctx: typer.Context) -> None:
    """Show up to which position of the log the register holds. The next look-up takes in whatever is missing."""
    with opened(ctx) as registry:
        head, position = registry.log.head(), registry.register.position
        counts = {
            table: registry.register.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("titles", "names", "proposals", "papers")
        }
        item = {"log_position": head, "register_position": position, "behind": head - position, "rows": counts}
        facts: dict[str, Any] = {"Log": head, "Register": position, "Behind": head - position}
        facts |= {f"Rows of {table}": count for table, count in counts.items()}
        now = lag(registry)
        leaders = {duty: leader_of(registry.folder.path, duty) for duty in DUTIES}
        behind = {"tree_size": now.leaves, "register_behind_seconds": now.register_seconds}
        item |= behind | {"tree_behind_seconds": now.tree_seconds}
        item["leaders"] = {duty: f"{one.host}:{one.process}" for duty, one in leaders.items() if one}
        facts |= {"Tree": now.leaves, "Oldest not in register (s)": round(now.register_seconds, 1)}
        facts |= {"Oldest not in tree (s)": round(now.tree_seconds, 1)}
        facts |= {f"Last {duty}": f"{one.host}:{one.process}" for duty, one in leaders.items() if one}
        show(session_of(ctx).output, item, particulars(facts))


@register_app.command("rebuild")
def register_rebuild(ctx: typer.Context) -> None:
    """Build the register anew from the log, beside the live one, and switch."""
    with opened(ctx) as registry:
        with progress("Events", registry.log.head()) as done:
            position = registry.register.rebuild(done)
        show(session_of(ctx).output, {"register_position": position}, particulars({"Register": position}))


# settings and health


@config_app.command("check")
def config_check(ctx: typer.Context) -> None:
    """Show the settings in force, and check that they can be used."""
    session = session_of(ctx)
    settings, config = session.settings, Folder(session.settings.data).read_config()
    read_passphrase(passphrase_file(settings), os.environ) if passphrase_file(settings) else settings.read_passphrase()
    process: dict[str, Any] = {
        "data": str(settings.data),
        "passphrase": str(passphrase_file(settings) or "from the environment, or beside the data"),
        "officer": settings.officer,
        "extra_fonts": str(settings.extra_fonts) if settings.extra_fonts else None,
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
    }
    data: dict[str, Any] = {
        "base_url": config.base_url,
        "organisation": config.organisation,
        "phone": config.phone,
        "sample": config.sample,
        "paper_before": config.paper_before.isoformat(),
    }
    show(session.output, {"process": process, "data": data}, particulars(process | data))


_CHECKS = (
    Column("", lambda one: {"ok": "✓", "warning": "!", "failed": "✗"}[one.outcome]),
    Column("Check", lambda one: one.name),
    Column("Found", lambda one: one.found, fold=True),
    Column("To do", lambda one: one.fix, fold=True),
)


def doctor(
    ctx: typer.Context,
    quick: Annotated[bool, option("--quick", help="Do not read every event, tile and certificate again.")] = False,
) -> None:
    """Check that this registry can do its work; read log, tree, claims, register and certificates again."""
    session = session_of(ctx)
    checks = list(examine(session.settings, quick=quick))
    show_list(session.output, checks, _CHECKS, empty="")
    failed = [one for one in checks if one.outcome == "failed"]
    if failed:
        raise typer.Exit(FAILED)
    if session.output is Output.TABLE:
        say("All is well." if all(one.outcome == "ok" for one in checks) else "It works; see the warnings.")
