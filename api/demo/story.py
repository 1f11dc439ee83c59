"""The demo told in order: lists, awards, a paper certificate, decisions by two officers, certificates, an audit."""

import base64
import secrets
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from api.demo.accounts import as_table, open_accounts
from api.demo.bureau import open_bureau
from api.demo.people import Synthetic, city_rows, county_rows, write_csv, write_xlsx
from api.documents.delivery import deliver, deliver_code, proof_of
from api.documents.press import Press
from api.documents.qr import qr_png, qr_text
from keys.files import write_private
from registry.audit import export, verify
from registry.conversion import Scan
from registry.errors import Refused
from registry.folder import Config, Folder
from registry.holders.identity import born, parse, sex
from registry.holders.person import Person
from registry.intake.importing import file_digest
from registry.register.register import Query
from registry.service import Registry
from registry.terms import Level, Obtained
from registry.titles.award import AwardTitle
from registry.titles.certificate import token_of
from registry.titles.decisions import ProposeDecision
from registry.titles.events import DecisionKind
from registry.titles.state import Certificate, Title

CLERK, APPROVER = "clerk-01", "approver-02"
KINDS: tuple[Literal["png", "svg"], ...] = ("png", "svg")
CITY, QINGTIAN, JINYUN = "331100", "331121", "331122"
console = Console(stderr=True)


@dataclass(frozen=True)
class Shown:
    """One certificate of the final table: what it shows, and what verification must answer."""

    what: str
    status: str
    title: Title
    certificate: Certificate


def run_demo(data: Path, *, port: int, serve: bool) -> None:
    """Run the main job into a new data folder and, with `serve`, serve it until interrupted.

    A folder of an earlier demo is replaced; any other existing folder is refused.
    """
    _clear(data)
    registry = _found(data, port)
    _import_lists(registry)
    press = Press()
    shown = _states(registry, press)
    _documents(registry, press)
    _audit(registry)
    summary = _summary(registry, shown)
    _table(registry, shown, summary)
    console.print(as_table(open_accounts(registry, shown[0].title.holder)))
    registry.close()
    if serve:
        from api.serving import serve as serve_data

        serve_data(data, host="127.0.0.1", port=port, workers=1)


def _clear(data: Path) -> None:
    if data.exists() and any(data.iterdir()):
        if not (data / "summary.json").exists() and not (data / "demo").exists():
            raise Refused(f"{data} 已有内容，且不是演示数据", fix="换一个空文件夹")
        shutil.rmtree(data)
    shutil.rmtree(Folder(data).beside, ignore_errors=True)


def _found(data: Path, port: int) -> Registry:
    passphrase = base64.b64encode(secrets.token_bytes(32))
    config = Config(base_url=f"http://127.0.0.1:{port}", sample=True, phone="0578-000 0000")
    registry = Registry.create(data, passphrase, config)
    open_bureau(registry)
    (data / "demo").touch()
    write_private(data / "passphrase", passphrase + b"\n")
    plan = registry.catalogue.plan(2021)
    rows = len(plan.rows) if plan else 0
    console.print(f"[bold]1[/] Registry made in {data}: keys, log, and the plan of 2021 (annex 1, {rows} rows)")
    return registry


def _progress() -> Progress:
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def _import_lists(registry: Registry) -> None:
    people, lists = Synthetic(), registry.folder.path / "lists"
    lists.mkdir()
    plan = registry.catalogue.plan(2021)
    names = {str(row.no): row.committee_name or "" for row in plan.rows if row.section == 1} if plan else {}
    write_xlsx(lists / "2021-city.xlsx", list(city_rows(names, people)))
    write_csv(lists / "2003-qingtian.csv", list(county_rows("青田县", people)))
    write_csv(lists / "2003-jinyun.csv", list(county_rows("缙云县", people)))
    awarded = 0
    for name, authority, document in (
        ("2021-city.xlsx", CITY, "丽人社样〔2021〕12号"),
        ("2003-qingtian.csv", QINGTIAN, "青人劳样〔2003〕45号"),
        ("2003-jinyun.csv", JINYUN, "缙人劳样〔2003〕51号"),
    ):
        receipt = registry.import_awards(lists / name, authority=authority, document=document, officer=CLERK)
        again = registry.import_awards(lists / name, authority=authority, document=document, officer=CLERK)
        awarded += receipt.awarded
        console.print(
            f"  {name}: {receipt.awarded} titles; the same file again: {again.awarded} new, {again.same} same"
        )
    console.print(f"[bold]2[/] {awarded} titles awarded from three lists of synthetic people")


def _states(registry: Registry, press: Press) -> list[Shown]:
    titles = _find(registry)
    paper = _convert_paper(registry)
    streams = [*(title.id for title in titles.values()), paper]
    registry.issuing.issue(streams, proof_of(registry, press), officer=CLERK)
    for what, kind, document in (
        ("revoked", DecisionKind.REVOCATION, "丽人社样撤〔2026〕2号"),
        ("invalidated", DecisionKind.INVALIDATION, "丽人社样注〔2026〕1号"),
        ("suspended", DecisionKind.SUSPENSION, "丽人社样停〔2026〕1号"),
    ):
        _decide(registry, titles[what], kind, document)
    corrected = titles["corrected"]
    _decide(registry, corrected, DecisionKind.CORRECTION, "丽人社样更〔2026〕1号", specialty="建筑工程（给排水）")
    _rename(registry, titles["renamed holder"])
    for title in (corrected, titles["renamed holder"]):
        registry.issue(title.id, proof_of(registry, press), officer=CLERK)
    console.print("[bold]3[/] A 1998 paper certificate converted; revoked, invalidated, suspended, corrected, renamed")
    shown = [_shown(registry, name, titles[name].id) for name in titles]
    return [*shown, _shown(registry, "paper of 1998", paper)]


def _find(registry: Registry) -> dict[str, Title]:
    """Pick one title for each state: two with special names, the others from two committees."""

    def pick(query: Query, index: int = 0) -> Title:
        found = registry.register.search(query, today=registry.today, limit=50)
        return registry.title(found.rows[index][0].title)

    engineers = Query(specialty="建筑工程", authority=CITY)
    return {
        "rare character": pick(Query(name="周㛃")),
        "interpunct name": pick(Query(name="买买提·吐尔逊")),
        "revoked": pick(engineers, 1),
        "invalidated": pick(engineers, 2),
        "suspended": pick(engineers, 3),
        "corrected": pick(engineers, 4),
        "renamed holder": pick(Query(name="王丽")),
        "number 1 of 2": pick(Query(number="2003-0127", authority=QINGTIAN)),
        "number 2 of 2": pick(Query(number="2003-0127", authority=JINYUN)),
    }


def _convert_paper(registry: Registry) -> str:
    people = Synthetic(1998)
    identity = parse(people.identity())
    command = AwardTitle(
        person=Person("周建国", identity, sex(identity), born(identity)),
        series="工程技术人员",
        specialty="建筑工程",
        level=Level.SENIOR_ASSOCIATE,
        title_name="高级工程师",
        obtained=Obtained.REVIEW,
        committee="丽水地区工程技术人员高级工程师职务任职资格评审委员会",
        committee_key=None,
        approval_document="丽署职改样〔1998〕27号",
        awarded_on=date(1998, 11, 20),
        authority=CITY,
        number="浙丽 9801-0427",
    )
    scan = Scan(qr_png("SYNTHETIC SCAN OF A PAPER CERTIFICATE", 4))
    applied = registry.submit_paper(command, date(1998, 12, 28), [scan], officer=CLERK)
    approved = registry.approve_paper(applied.id, applied.fact.digest, officer=APPROVER)
    return approved.title or ""


def _decide(registry: Registry, title: Title, kind: DecisionKind, document: str, **corrected: Any) -> None:
    command = ProposeDecision(
        kind=kind,
        document_no=document,
        authority=CITY,
        reason="演示：合成数据",
        corrected=msgspec.structs.replace(title.award, **corrected) if corrected else None,
    )
    proposal = registry.propose(title.id, command, officer=CLERK)
    registry.approve(proposal.fact.proposal, proposal.fact.digest, officer=APPROVER)


def _rename(registry: Registry, title: Title) -> None:
    registry.rename_holder(
        title.holder,
        "王莉",
        basis="change",
        document_no="莲公样〔2026〕18号",
        effective_on=registry.today,
        officer=CLERK,
    )


def _shown(registry: Registry, what: str, stream: str) -> Shown:
    title = registry.title(stream)
    certificate = title.certificates[0]
    answer = registry.verifier.check(certificate.code)
    return Shown(what, answer.status, title, certificate)


def _documents(registry: Registry, press: Press) -> None:
    """Issue the rest, then write every PDF and QR; each is read back and verified before it is written."""
    pending = registry.register.without_certificate()
    registry.issuing.issue(pending, proof_of(registry, press), officer=CLERK)
    folder = registry.folder.path / "certificates"
    folder.mkdir()
    certificates = [
        one
        for row, _ in registry.register.search(Query(), today=registry.today, limit=1000).rows
        for one in registry.title(row.title).certificates
    ]
    with _progress() as progress:
        for certificate in progress.track(certificates, description="PDF and QR"):
            (folder / f"{certificate.code}.pdf").write_bytes(deliver(registry, press, certificate))
            for kind in KINDS:
                picture = deliver_code(registry.custody.keyring, certificate, kind)
                (folder / f"{certificate.code}.{kind}").write_bytes(picture)
    console.print(f"[bold]4[/] {len(certificates)} certificates signed, printed, read back and verified: {folder}")


def _audit(registry: Registry) -> None:
    target = registry.folder.path / "export"
    manifest = export(registry, target)
    report = verify(target)
    if not report.ok:
        raise Refused(f"导出的审计数据没有通过核对：{report.findings[:3]}", fix="运行 doctor")
    console.print(f"[bold]5[/] Audit export of {manifest.head} events verified: {target}")


def _summary(registry: Registry, shown: list[Shown]) -> dict[str, Any]:
    folder = registry.folder.path
    (folder / "jwks.json").write_bytes(msgspec.json.encode(registry.custody.keyring.to_jwks()))
    (folder / "root.pem").write_bytes(registry.custody.root_certificate_pem)
    states = [
        {
            "what": one.what,
            "status": one.status,
            "authority": one.title.award.authority,
            "number": one.title.award.number,
            "code": one.certificate.code,
            "url": f"{registry.config.base_url}/v/{one.certificate.code}",
            "qr_text": qr_text(one.certificate.content.reveal(), token_of(one.certificate)),
            "pdf": f"certificates/{one.certificate.code}.pdf",
            "from_paper": one.title.paper is not None,
        }
        for one in shown
    ]
    summary = {
        "base_url": registry.config.base_url,
        "jwks": "jwks.json",
        "root": "root.pem",
        "export": "export",
        "lists": {path.name: file_digest(path) for path in sorted((folder / "lists").iterdir())},
        "states": states,
    }
    (folder / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    return summary


def _table(registry: Registry, shown: list[Shown], summary: dict[str, Any]) -> None:
    table = Table(title="One link for each state (synthetic people)", title_justify="left", box=SIMPLE, pad_edge=False)
    for heading in ("status", "what", "link"):
        table.add_column(heading, no_wrap=True)
    for one, state in zip(shown, summary["states"], strict=True):
        table.add_row(one.status, one.what, state["url"])
    console.print(table)
    console.print(f"Everything is in {registry.folder.path}; summary.json lists it.")
