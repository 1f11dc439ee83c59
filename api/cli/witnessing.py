"""A witness of transparency logs: init, add-log, show, serve. These commands need no registry and no data folder."""

import base64
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import ConsoleRenderable

from api.cli.common import option, session_of
from api.cli.operation import passphrase_file
from api.cli.printing import Column, heading, moment, particulars, say, show, table
from api.cli.tree import Commands
from keys.custody import read_passphrase
from keys.files import write_private
from keys.passphrase import VARIABLE
from registry.proof.witness import Evidence, ServedLog, Witness, WitnessFolder

app = Commands("A witness: it cosigns the checkpoints of logs that only grow, and keeps evidence of those that fork.")

FOLDER = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of the witness.")]
_PASSPHRASE_BYTES = 32

_LOGS = (
    Column("Log", lambda one: one["origin"], fold=True),
    Column("Size", lambda one: one["size"]),
    Column("Root", lambda one: one["root"][:16]),
    Column("Cosigned", lambda one: moment(one["cosigned"])),
    Column("Keys", lambda one: len(one["vkeys"])),
)
_EVIDENCE = (
    Column("Evidence", lambda one: one["kind"]),
    Column("Log", lambda one: one["origin"], fold=True),
    Column("Size", lambda one: one["size"]),
    Column("Root offered", lambda one: one["root"][:16]),
    Column("Seen", lambda one: moment(one["seen"])),
)


def _passphrase(ctx: typer.Context, folder: Path) -> bytes:
    """The passphrase: from the file named, the environment, or the file `passphrase` in the folder."""
    named, beside = passphrase_file(session_of(ctx).settings), folder / "passphrase"
    if named is None and not os.environ.get(VARIABLE) and beside.exists():
        named = beside
    return read_passphrase(named, os.environ)


@app.command("init")
def init(
    ctx: typer.Context,
    folder: FOLDER,
    name: Annotated[str, option("--name", metavar="NAME", help="Its name, such as archive.example.cn/witness.")],
) -> None:
    """Make a witness with a new key, and print the verifier key that others pin.

    The passphrase comes from --passphrase-file or the environment; a file that does not exist is made, with a random
    passphrase.
    """
    file = passphrase_file(session_of(ctx).settings)
    if file and not file.exists():
        if not file.parent.is_dir():
            raise typer.BadParameter(f"the folder {file.parent} does not exist", param_hint="--passphrase-file")
        write_private(file, base64.b64encode(os.urandom(_PASSPHRASE_BYTES)) + b"\n")
        say(f"A passphrase was made and written to {file} (mode 0600). Keep a copy of it: it is not recoverable.")
    made = Witness.create(folder, name, _passphrase(ctx, folder))
    item = {"folder": str(folder), "name": made.key.name, "vkey": str(made.key)}
    show(session_of(ctx).output, item, str(made.key))
    say(f"Next: title-registry log witness add-log {folder} VKEY")
    say("Never put back an old copy of this folder: make a new witness instead.")


@app.command("add-log")
def add_log(
    ctx: typer.Context,
    folder: FOLDER,
    vkey: Annotated[str, typer.Argument(metavar="VKEY", help="The log's verifier key, name+id+key, in one line.")],
) -> None:
    """Serve a log, or trust a further key of it. A witness that runs needs no restart."""
    key = WitnessFolder(folder).add_log(vkey)
    show(session_of(ctx).output, {"origin": key.name, "vkey": str(key)}, particulars({"Log": key.name, "Key": key}))


@app.command("show")
def show_witness(ctx: typer.Context, folder: FOLDER) -> None:
    """Show the verifier key, the logs with their latest sizes, and the evidence. Needs no passphrase.

    A fork is two checkpoints of one size, both signed by the log: with -o json they are printed whole. Unproven is a
    checkpoint that came with a wrong proof; that may be the sender's doing.
    """
    opened = WitnessFolder(folder)
    logs, evidence = [_log_item(one) for one in opened.logs()], [_evidence_item(one) for one in opened.evidence()]
    item = {"name": opened.key.name, "vkey": str(opened.key), "logs": logs, "evidence": evidence}
    drawn: list[ConsoleRenderable] = [particulars({"Witness": opened.key.name, "Key": opened.key})]
    if logs:
        drawn += [heading("Logs"), table(logs, _LOGS)]
    if evidence:
        drawn += [heading("Evidence"), table(evidence, _EVIDENCE)]
    show(session_of(ctx).output, item, *drawn)


def _log_item(one: ServedLog) -> dict[str, Any]:
    return one._asdict() | {"root": one.root.hex(), "note": one.note.decode()}


def _evidence_item(one: Evidence) -> dict[str, Any]:
    notes = {"cosigned": one.cosigned.decode(), "offered": one.offered.decode()}
    return one._asdict() | notes | {"root": one.root.hex()}


@app.command("serve")
def serve(
    ctx: typer.Context,
    folder: FOLDER,
    host: Annotated[
        str, option("--host", metavar="ADDRESS", help="Address to listen on [default: 127.0.0.1].")
    ] = "127.0.0.1",
    port: Annotated[int, option("--port", metavar="PORT", min=1, max=65535, help="Port [default: 8010].")] = 8010,
) -> None:
    """Serve the witness until interrupted: POST /add-checkpoint, and GET / to see what it has cosigned."""
    from api import witnesses

    witness = Witness.open(folder, _passphrase(ctx, folder))
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    say(f"Starting witness {witness.key.name} at {address}; Ctrl-C stops it.")
    with redirect_stdout(sys.stderr):  # where the server's log goes
        witnesses.serve(witness, host=host, port=port)
    say("Stopped.")
