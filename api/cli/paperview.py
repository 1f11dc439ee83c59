"""An application to convert a paper certificate, as it is shown: name and reason as far as they are seen."""

from typing import Any

import typer

from api.cli.common import session_of
from api.cli.printing import Column, heading, moment, particulars, show, table
from api.cli.timeline import hidden
from api.cli.timeline import reason as reason_text
from api.cli.titles import award_facts
from registry.looks.looked import LookedApplication
from registry.permissions import Sight
from registry.service import Registry

STATES = {"open": "待批准", "approved": "已批准", "returned": "退回修改", "refused": "不予换发"}


def show_application(ctx: typer.Context, registry: Registry, seen: LookedApplication) -> None:
    """Show an application as far as it was seen."""
    application, fact = seen.application, seen.application.fact
    item = {
        "application": application.id,
        "state": application.state,
        "holder": fact.holder,
        "name": seen.name,
        "award": fact.award,
        "paper": fact.paper,
        "evidence": fact.evidence,
        "submitted_by": application.submitted_by,
        "submitted_at": application.submitted_at,
        "decided_by": application.decided_by,
        "decided_at": application.decided_at,
        "title": application.title,
        "reason": _reason(seen),
        "digest": fact.digest,
    }
    show(session_of(ctx).output, item, *drawn_application(registry, seen))


_EVIDENCE = (
    Column("Evidence", lambda one: {"scan": "纸质证书", "review_form": "评审表", "document": "批准文件"}[one.role]),
    Column("Type", lambda one: one.media_type),
    Column("Bytes", lambda one: f"{one.size:,}"),
    Column("SHA-256", lambda one: one.sha256, fold=True),
)


def _reason(seen: LookedApplication) -> str | None:
    if seen.application.reason is None:
        return None
    return (reason_text if seen.sight is Sight.CLEAR else hidden)(seen.application.reason)


def drawn_application(registry: Registry, seen: LookedApplication) -> list[Any]:
    """An application for people, as far as it was seen."""
    application, fact = seen.application, seen.application.fact
    known = registry.log.claimed("number", f"{fact.award.authority}|{fact.award.number}")
    facts = {
        "Application": application.id,
        "State": STATES[application.state],
        "Name": seen.name,
        **award_facts(registry, fact.award),
        "On the paper": fact.paper.issued_on,
        "Registered": _registered(known) if application.state == "open" else None,
        "Submitted": f"{moment(application.submitted_at)} by {application.submitted_by}",
        "Decided": f"{moment(application.decided_at)} by {application.decided_by}" if application.decided_by else None,
        "Reason": _reason(seen),
        "Title id": application.title,
        "Digest": fact.digest,
    }
    return [particulars(facts), heading("Evidence"), table(fact.evidence, _EVIDENCE)]


def _registered(title: str | None) -> str:
    return f"already awarded as {title}: approval matches it" if title else "not yet: approval awards it"
