"""The table of doors, walked over HTTP: every role over a city and a county, by session and by key, at every route.

What is expected is worked out from the table alone; the tree of authorities is written down here a second time.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from api.jobs import Order
from keys.custody import Custody
from registry.folder import Folder
from registry.permissions import RULES, Permission, Sight
from registry.service import Registry
from registry.terms import Role
from registry.titles.events import DecisionKind
from tests import engine
from tests.api.bureau import PAGE, Bureau, Reader
from tests.attacks.house import doors_of, rights, unlimited
from tests.lists import COMMITTEE, csv_bytes, good, table
from tests.people import (
    CITY,
    CLERK,
    JINYUN,
    QINGTIAN,
    Clock,
    awarding,
    deciding,
    identity_number,
    paper_of_1998,
    person,
    proposed,
    scans,
    settable,
)

PLACES = (QINGTIAN, JINYUN, CITY)  # a county officer's own county, another county, the city
OVER = (QINGTIAN, CITY)
WAYS = ("session", "stale", "key", "key without the right")
GRANTED = tuple(role for role in Role if role is not Role.HOLDER)
# Doors that want every factor shown within the last five minutes: approving, and a copy of everything held.
FRESH = {
    "POST /api/v1/proposals/{id}/approval",
    "POST /api/v1/paper-applications/{id}/approval",
    "GET /api/v1/me/data",
}
DOORS = rights()
_NEXT = count(5_000)


class Who(NamedTuple):
    """Somebody at the doors: one role over one authority, a holder, or nobody."""

    actor: str | None
    role: Role | None
    over: str


class Matter(NamedTuple):
    """What there is to be seen in one authority."""

    place: str
    n: int
    title: str
    holder: str
    proposal: str
    paper: str
    scan: str
    code: str


class Probe(NamedTuple):
    """How a door is asked about a matter, and how it answers whoever does not reach that.

    `out` is a status, or None where the answer is a list that does not hold `shows`. `clear`: who is not to see the
    person is refused, "first" before the matter is looked for, or "last".
    """

    ask: Callable[["Stage", Matter, Who], dict[str, Any]]
    out: int | None = 404
    clear: str | None = None
    shows: Callable[[Matter], str] = lambda matter: matter.title


class Stage(NamedTuple):
    """A service with somebody for every role, a matter in every place, and the ways in of everybody."""

    bureau: Bureau
    people: tuple[Who, ...]
    matters: tuple[Matter, ...]
    sessions: dict[tuple[str, str], str]
    jobs: dict[str, str]

    @property
    def registry(self) -> Registry:
        """The registry behind it."""
        return self.bureau.registry

    def headers(self, who: Who, way: str, permission: Permission) -> Iterator[dict[str, str]]:
        """The headers of a request by this way; a key is ended afterwards."""
        if who.actor is None:
            yield dict(PAGE)
            return
        if way in ("session", "stale"):
            yield PAGE | {"Cookie": f"__Host-session={self.sessions[who.actor, way]}"}
            return
        rights = {one for one in Permission if RULES[one].roles} - ({permission} if way != "key" else set())
        accounts, until = self.bureau.app.state.accounts, self.registry.clock() + timedelta(days=1)
        key = accounts.make_api_key(who.actor, "matrix", rights, until)
        yield PAGE | {"Authorization": f"Bearer {key}"}
        accounts.end_api_key(accounts.api_key(key).id, who.actor)


# the probes of doors that are about a matter


def _get(path: str) -> Callable[[Stage, Matter, Who], dict[str, Any]]:
    return lambda _stage, matter, _who: {"method": "GET", "path": path.format(**matter._asdict())}


def _post(path: str, **body: Any) -> Callable[[Stage, Matter, Who], dict[str, Any]]:
    return lambda _stage, matter, _who: {"method": "POST", "path": path.format(**matter._asdict()), "json": body}


def _waiting(stage: Stage, matter: Matter, who: Who) -> tuple[str, str]:
    """A proposal that waits, made by the clerk in person if a clerk asks: they may withdraw their own only."""
    document = f"丽人社决〔2026〕{next(_NEXT)}号"
    command = deciding(DecisionKind.SUSPENSION, document_no=document, authority=matter.place)
    by = who.actor if who.role is Role.CLERK and reaches(who, matter) else CLERK
    made = proposed(stage.registry, matter.title, command, by or CLERK).fact
    return made.proposal, made.digest


def _settling(ending: str) -> Callable[[Stage, Matter, Who], dict[str, Any]]:
    """Approving is asked with a digest that is wrong, so that the matter stays as it is: 409 tells of being let in."""

    def ask(stage: Stage, matter: Matter, who: Who) -> dict[str, Any]:
        if ending == "approval":
            return _post("/api/v1/proposals/{proposal}/approval", digest="0" * 64)(stage, matter, who)
        proposal = _waiting(stage, matter, who)[0] if lets_in(ending, who, matter) else matter.proposal
        return {"method": "POST", "path": f"/api/v1/proposals/{proposal}/{ending}", "json": {"reason": "材料不足"}}

    return ask


def lets_in(ending: str, who: Who, matter: Matter) -> bool:
    """Whether somebody may close a proposal here, so that one has to be made for it."""
    allowed = RULES[DOORS[f"POST /api/v1/proposals/{{id}}/{ending}"]].roles
    return who.role in allowed and reaches(who, matter)


def _settling_paper(ending: str) -> Callable[[Stage, Matter, Who], dict[str, Any]]:
    def ask(stage: Stage, matter: Matter, who: Who) -> dict[str, Any]:
        paper, body = matter.paper, {"digest": "0" * 64} if ending == "approval" else {"reason": "看不清"}
        if ending != "approval" and who.role is Role.APPROVER and reaches(who, matter):
            n = next(_NEXT)
            command = paper_of_1998(person(n), authority=matter.place, number=f"浙丽 {n}")
            paper = stage.registry.submit_paper(command, None, scans(), officer=CLERK).id
        return {"method": "POST", "path": f"/api/v1/paper-applications/{paper}/{ending}", "json": body}

    return ask


def _awarding(_stage: Stage, matter: Matter, _who: Who) -> dict[str, Any]:
    n = next(_NEXT)
    body = {
        "name": "周建国",
        "identity": identity_number(n),
        "committee": COMMITTEE,
        "series": "工程技术人员",
        "specialty": "建筑工程",
        "level": "intermediate",
        "title_name": "工程师",
        "awarded_on": "2021-09-20",
        "document": "丽人社〔2021〕100号",
        "authority": matter.place,
        "number": f"浙〔2021〕{n:06d}",
    }
    return {"method": "POST", "path": "/api/v1/awards", "json": body}


def _importing(stage: Stage, matter: Matter, who: Who) -> dict[str, Any]:
    _ended(stage, who)  # nobody has more than three under way
    fields = {"authority": matter.place, "document": "丽人社〔2021〕100号"}
    file = ("list.csv", csv_bytes(table([good(next(_NEXT) % 800, 级别="无此级别")])))
    return {"method": "POST", "path": "/api/v1/award-imports?dry_run=true", "data": fields, "files": {"file": file}}


def _submitting(_stage: Stage, matter: Matter, _who: Who) -> dict[str, Any]:
    body = {
        "name": "林晓岚",
        "identity": identity_number(matter.n),
        "number": f"丽 {next(_NEXT)}",
        "title_name": "高级工程师",
        "level": "senior_associate",
        "series": "工程技术人员",
        "specialty": "建筑工程",
        "committee": "丽水地区工程技术高级职务评审委员会",
        "approval_document": "丽地人〔1998〕215号",
        "awarded_on": "1998-11-20",
        "authority": matter.place,
    }
    files = [("scan", ("a.pdf", b"%PDF-1.4\n" + str(next(_NEXT)).encode()))]
    form = {"data": {"application": json.dumps(body)}, "files": files}
    return {"method": "POST", "path": "/api/v1/paper-applications", **form}


def _proposing(_stage: Stage, matter: Matter, _who: Who) -> dict[str, Any]:
    body = {
        "title": matter.title,
        "kind": "suspension",
        "document_no": f"丽人社决〔2026〕{next(_NEXT)}号",
        "authority": matter.place,
        "reason": "经查证",
    }
    return {"method": "POST", "path": "/api/v1/proposals", "json": body}


def _finding(_stage: Stage, matter: Matter, _who: Who) -> dict[str, Any]:
    return {"method": "POST", "path": "/api/v1/holders/search", "json": {"identity": identity_number(matter.n)}}


PROBES = {
    "GET /api/v1/titles": Probe(_get("/api/v1/titles?authority={place}&limit=200"), None),
    "GET /api/v1/titles/{id}": Probe(_get("/api/v1/titles/{title}")),
    "GET /api/v1/titles/{id}/history": Probe(_get("/api/v1/titles/{title}/history")),
    "GET /api/v1/holders/{id}": Probe(_get("/api/v1/holders/{holder}")),
    "POST /api/v1/holders/search": Probe(_finding, None, "first", lambda matter: matter.holder),
    "POST /api/v1/awards": Probe(_awarding, 403),
    "POST /api/v1/award-imports": Probe(_importing, 403),
    "POST /api/v1/titles/{id}/certificates": Probe(_post("/api/v1/titles/{title}/certificates")),
    "GET /api/v1/certificates/{code}.pdf": Probe(_get("/api/v1/certificates/{code}.pdf")),
    "GET /api/v1/me/certificates/{id}.pdf": Probe(_get("/api/v1/me/certificates/{code}.pdf")),
    "POST /api/v1/proposals": Probe(_proposing),
    "GET /api/v1/proposals": Probe(_get("/api/v1/proposals?limit=200"), None, shows=lambda matter: matter.proposal),
    "GET /api/v1/proposals/{id}": Probe(_get("/api/v1/proposals/{proposal}")),
    "POST /api/v1/proposals/{id}/approval": Probe(_settling("approval")),
    "POST /api/v1/proposals/{id}/refusal": Probe(_settling("refusal")),
    "POST /api/v1/proposals/{id}/return": Probe(_settling("return")),
    "POST /api/v1/paper-applications": Probe(_submitting, 403),
    "GET /api/v1/paper-applications": Probe(
        _get("/api/v1/paper-applications?limit=200"), None, shows=lambda matter: matter.paper
    ),
    "GET /api/v1/paper-applications/{id}": Probe(_get("/api/v1/paper-applications/{paper}")),
    "GET /api/v1/paper-applications/{id}/evidence/{sha256}": Probe(
        _get("/api/v1/paper-applications/{paper}/evidence/{scan}"), clear="last"
    ),
    "POST /api/v1/paper-applications/{id}/approval": Probe(_settling_paper("approval")),
    "POST /api/v1/paper-applications/{id}/refusal": Probe(_settling_paper("refusal")),
    "POST /api/v1/paper-applications/{id}/return": Probe(_settling_paper("return")),
    "GET /api/v1/events": Probe(lambda *_: {"method": "GET", "path": "/api/v1/events?limit=1"}, 403),
}
JUDGED = {"POST /api/v1/awards"}  # which authority publishes a committee's results is asked after the right
OF_THE_CITY = {"GET /api/v1/events"}  # about the whole log: the city's matter, whatever place is tried
OWN_JOB = {"GET /api/v1/jobs/{id}": "{}", "GET /api/v1/jobs/{id}/errors.xlsx": "{}/errors.xlsx"}


# the stage


@pytest.fixture(scope="module")
def stage(made: tuple[Path, Custody], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A bureau with an officer for each role over the city and over a county, three matters, and their holders."""
    folder, clock = tmp_path_factory.mktemp("doors") / "data", Clock()
    engine.copy(made[0], folder)
    registry = Registry(Folder(folder), made[1], clock)
    bureau = Bureau(registry)
    unlimited(bureau.app)
    matters = tuple(_matter(registry, n, place) for n, place in enumerate(PLACES, 1))
    people = [Who(None, None, "")]
    for role in GRANTED:
        for over in OVER:
            actor = f"{role.value.replace('_', '-')}-{over}"
            bureau.officer(actor, role, over)
            people.append(Who(actor, role, over))
    people.append(Who(matters[0].holder, Role.HOLDER, matters[0].holder))
    sessions = {}
    for way in ("stale", "session"):
        for who in people[1:]:
            sessions[who.actor or "", way] = bureau.app.state.accounts.open_session(who.actor, None)
        if way == "stale":
            clock.forward(minutes=6)
    yield Stage(bureau, tuple(people), matters, sessions, {})
    bureau.close()
    registry.close()


def _matter(registry: Registry, n: int, place: str) -> Matter:
    title = registry.award(awarding(person(n), authority=place, number=f"甲{n}"), officer=CLERK)
    code = registry.issue(title, settable, officer=CLERK).code
    command = deciding(DecisionKind.REVOCATION, document_no="丽人社决〔2026〕1号", authority=place)
    proposal = proposed(registry, title, command).fact.proposal
    application = paper_of_1998(person(n + 100), authority=place, number=f"浙丽 {n}")
    paper = registry.submit_paper(application, None, scans(), officer=CLERK)
    holder, scan = registry.title(title).holder, paper.fact.evidence[0].sha256
    return Matter(place, n, title, holder, proposal, paper.id, scan, code)


def reaches(who: Who, matter: Matter) -> bool:
    """By hand: the same authority, or the city over its counties; a holder reaches what is their own."""
    return who.over in (matter.place, matter.holder) or who.over == CITY


# what the table says


def expected(door: str, who: Who, matter: Matter, way: str) -> int:
    """The answer by the table: 401, 403, 404 for what is out of reach, or 200 for being let in."""
    permission, probe = DOORS[door], PROBES.get(door)
    if permission is Permission.PUBLIC:
        return 200
    if who.actor is None or (permission is Permission.ACCOUNT and way.startswith("key")):
        return 401
    if who.role not in RULES[permission].roles or way == "key without the right" or (way == "key" and door in FRESH):
        return 403
    if way == "stale" and door in FRESH:
        return 401
    return 200 if probe is None else _about(probe, RULES[permission].roles[who.role], door, who, matter)


def _about(probe: Probe, sight: Sight, door: str, who: Who, matter: Matter) -> int:
    masked = sight is not Sight.CLEAR
    if probe.clear == "first" and masked:
        return 403
    if not (who.over == CITY if door in OF_THE_CITY else reaches(who, matter)):
        return probe.out or 404
    return 403 if probe.clear == "last" and masked else 200


def observed(door: str, answer: httpx.Response, matter: Matter) -> int:
    """The answer as it came: a list that does not show the matter is as good as 404."""
    assert answer.status_code < 500, (door, answer.text)
    probe = PROBES.get(door)
    if answer.status_code in (401, 403):
        return answer.status_code
    if probe is None:
        return 200
    if answer.status_code == 404:
        assert "不在您的权限范围内" in answer.text, (door, answer.text)
        return 404
    judged = (409, 422) if door in JUDGED else (409,)
    assert answer.status_code < 300 or answer.status_code in judged, (door, answer.text)
    return 200 if probe.out is not None or probe.shows(matter) in answer.text else 404


# the walk


def served(stage: Stage) -> set[str]:
    """Every door of the application, as the table names it."""
    return doors_of(stage.bureau.app)


def test_every_route_has_a_row_and_every_row_a_route(stage: Stage) -> None:
    assert served(stage) - set(DOORS) == set(), "routes without a row in the table of doors"
    assert set(DOORS) - served(stage) == set(), "rows without a route"


def test_every_door_about_a_matter_is_probed_with_one(stage: Stage) -> None:
    about = {one for one in served(stage) if "{" in one and DOORS[one] not in (Permission.PUBLIC, Permission.ACCOUNT)}
    assert about - set(PROBES) - set(OWN_JOB) == set()
    assert set(PROBES) | set(OWN_JOB) | FRESH <= served(stage)


def test_every_role_every_route_every_place_every_way(stage: Stage) -> None:
    doors = sorted(door for door in served(stage) if door != "GET /static")
    seen = Counter[int]()
    for door in doors:
        for who in stage.people[: 1 if door == "POST /sign-out" else None]:  # it would end their sessions
            seen += walk(stage, door, who)
    assert seen.total() > 3_000
    assert min(seen[200], seen[401], seen[403], seen[404]) > 100, seen


def walk(stage: Stage, door: str, who: Who) -> Counter[int]:
    """Ask one door as one person, by every way about every place; count the answers."""
    seen = Counter[int]()
    places = stage.matters if door in PROBES else stage.matters[:1]
    for way in WAYS if who.actor else WAYS[:1]:
        for headers in stage.headers(who, way, DOORS[door]):
            for matter in places:
                asked = question(stage, door, who, matter)
                answer = stage.bureau.client.request(**asked, headers=headers)
                wanted = expected(door, who, matter, way)
                assert observed(door, answer, matter) == wanted, (door, who, matter.place, way, answer.text)
                seen[wanted] += 1
                if door == "POST /api/v1/award-imports" and answer.status_code == 202:
                    stage.jobs[who.actor or ""] = answer.json()["job"]
    return seen


def question(stage: Stage, door: str, who: Who, matter: Matter) -> dict[str, Any]:
    """The request for a door: its probe's, one about a job of one's own, or the plainest there is."""
    if door in PROBES:
        return PROBES[door].ask(stage, matter, who)
    method, _, path = door.partition(" ")
    if door in OWN_JOB:
        return {"method": method, "path": "/api/v1/jobs/" + OWN_JOB[door].format(_own_job(stage, who))}
    form = {"data": {"nothing": "1"}} if method == "POST" else {}
    return {"method": method, "path": re.sub(r"\{[^}]*\}", "1", path), **form}


def _own_job(stage: Stage, who: Who) -> str:
    """A refused list that this person sent, for whoever may send one."""
    if who.role not in RULES[Permission.CHECK_LIST].roles:
        return "job-01K00000000000000000000000"
    if (who.actor or "") not in stage.jobs:
        order = Order(who.actor or "", who.over, "丽人社〔2021〕100号", dry_run=True)
        data = csv_bytes(table([good(1, 级别="无此级别")]))
        stage.jobs[who.actor or ""] = stage.bureau.app.state.jobs.begin(order, "list.csv", data)
    return _ended(stage, who)


def _ended(stage: Stage, who: Who) -> str:
    """The id of the job that somebody sent last, once it has ended."""
    job = stage.jobs.get(who.actor or "", "")
    if job:
        cookie = f"__Host-session={stage.sessions[who.actor or '', 'session']}"
        stage.bureau.job(Reader(stage.bureau.client, cookie), f"/api/v1/jobs/{job}")
    return job
