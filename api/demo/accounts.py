"""Ready accounts for every role of the demo, each made as its owner would make it: code, password, authenticator.

They are written down in clear in `accounts.json` of the demo's folder (mode 0600), which only a demo may do.
"""

import secrets
from pathlib import Path
from typing import Any

import msgspec
import pyotp
from rich.box import SIMPLE
from rich.table import Table

from api.demo.bureau import BUREAU, FOUNDERS
from api.signin.accounts import Accounts
from keys.files import write_private
from registry.errors import NotFound, Refused
from registry.service import Registry
from registry.terms import Role

HOLDER = "holder-demo"


def open_accounts(registry: Registry, holder: str) -> list[dict[str, Any]]:
    """An account for each officer and for one holder; written to accounts.json and returned."""
    accounts = Accounts.of(registry)
    roles = {actor: [Role.APPROVER] for actor in FOUNDERS} | {one.actor: list(one.roles) for one in BUREAU}
    made = [_account(accounts, actor, actor, held) for actor, held in roles.items()]
    made.append(_account(accounts, HOLDER, holder, [Role.HOLDER]))
    accounts.close()
    path = registry.folder.path / "accounts.json"
    write_private(path, msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
    return made


def _account(accounts: Accounts, login: str, actor: str, roles: list[Role]) -> dict[str, Any]:
    first, second = FOUNDERS if actor != FOUNDERS[0] else FOUNDERS[::-1]
    code = accounts.enrol(actor, by=first, alone=actor in FOUNDERS)
    if actor not in FOUNDERS:
        accounts.countersign(actor, by=second)
    password = secrets.token_urlsafe(18)
    begun = accounts.begin_enrolment(code, login, password, "127.0.0.1")
    recovery = _confirmed(accounts, begun.token, begun.secret)
    return {
        "login": login,
        "password": password,
        "totp_secret": begun.secret,
        "recovery_codes": list(recovery),
        "actor": actor,
        "roles": roles,
    }


def _confirmed(accounts: Accounts, token: str, secret: str) -> Any:
    """Show the authenticator's code; once more if the half minute ended in between."""
    try:
        return accounts.confirm_enrolment(token, pyotp.TOTP(secret).now())
    except Refused:
        return accounts.confirm_enrolment(token, pyotp.TOTP(secret).now())


def code_of(data: Path, login: str) -> str:
    """The one-time code of a demo account, this half minute. Raise NotFound for no such account."""
    path = data / "accounts.json"
    made = msgspec.json.decode(path.read_bytes()) if path.exists() else []
    for one in made:
        if one["login"] == login:
            return pyotp.TOTP(one["totp_secret"]).now()
    raise NotFound(f"演示数据中没有账号 {login}", fix=f"账号列在 {path}；没有的，先运行 title-registry demo")


def as_table(made: list[dict[str, Any]]) -> Table:
    """The accounts, for the end of the demo."""
    title = "Accounts, at /sign-in (the one-time code: title-registry demo --code LOGIN)"
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    for heading in ("login", "password", "roles"):
        table.add_column(heading, no_wrap=True)
    for one in made:
        table.add_row(one["login"], one["password"], ", ".join(one["roles"]))
    return table
