"""Reading a person as somebody: how much each role sees of whose matter, and each clear look recorded before."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.errors import BadInput, Forbidden, NotFound, Unavailable
from registry.looks import Look, Purpose, What
from registry.looks.looked import opened
from registry.looks.shown import shown
from registry.permissions import Sight
from registry.register.register import Query
from registry.service import Registry
from registry.terms import Role
from registry.titles.events import DecisionKind
from tests.people import (
    CHIEF,
    CITY,
    CLERK,
    DOCUMENT,
    JINYUN,
    QINGTIAN,
    appoint,
    awarding,
    deciding,
    paper_of_1998,
    person,
    proposed,
    scans,
    staff,
)

NAME, MASKED = "林晓岚", "林*岚"
ASKING: dict[str, Any] = {"purpose": Purpose.HANDLING, "door": "cli test"}
QC, JC, AUDITOR, OFFICE, EMPLOYER, OPERATOR = (
    "qt-clerk",
    "jy-clerk",
    "auditor-1",
    "office-1",
    "employer-1",
    "operator-1",
)
CAST = {
    QC: (Role.CLERK, QINGTIAN),
    JC: (Role.CLERK, JINYUN),
    AUDITOR: (Role.AUDITOR, CITY),
    OFFICE: (Role.COMMITTEE_OFFICE, CITY),
    EMPLOYER: (Role.EMPLOYER, CITY),
    OPERATOR: (Role.OPERATOR, CITY),
}


class Town(NamedTuple):
    """A registry with an officer of every role, and a title of one person in Qingtian."""

    registry: Registry
    title: str
    holder: str

    def looks(self) -> list[Look]:
        """Every look, oldest first."""
        now = self.registry.clock()
        return list(self.registry.looks.between(now.replace(year=2020), now))[::-1]


@pytest.fixture
def town(registry: Registry) -> Town:
    """The town."""
    for n, (actor, (role, over)) in enumerate(CAST.items()):
        registry.appointing.register(actor, staff(100 + n), officer=CHIEF)
        appoint(registry, actor, role, over)
    title = registry.award(awarding(person(1), authority=QINGTIAN, employer="某设计院"), officer=CLERK)
    return Town(registry, title, registry.title(title).holder)


def test_the_county_sees_its_own_and_the_city_its_counties(town: Town) -> None:
    for actor in (QC, CLERK):
        seen = town.registry.looking.title(town.title, actor=actor, **ASKING)
        assert (seen.sight, seen.name, seen.title.id) == (Sight.CLEAR, NAME, town.title)
        assert opened(seen.title.employer, seen.sight) is not None
    assert [(one.actor, one.role, one.over, one.what, one.holder) for one in town.looks()] == [
        (QC, "clerk", QINGTIAN, "title", town.holder),
        (CLERK, "clerk", CITY, "title", town.holder),
    ]


@pytest.mark.parametrize("actor", [AUDITOR, OFFICE, None])
def test_masked_is_masked_and_no_look(town: Town, actor: str | None) -> None:
    looking = town.registry.looking
    seen = looking.title(town.title, actor=actor, **ASKING)
    assert (seen.sight, seen.name) == (Sight.MASKED, MASKED)
    assert opened(seen.title.employer, seen.sight) is None
    assert looking.holder(town.holder, actor=actor, **ASKING).name == MASKED
    assert [name for _, name in looking.search(Query(), actor=actor, **ASKING).rows] == [MASKED]
    assert town.looks() == []


@pytest.mark.parametrize("actor", [JC, EMPLOYER, OPERATOR, "nobody", "", "holder-01AAAAAAAAAAAAAAAAAAAAAAAA"])
def test_another_county_and_other_roles_see_nothing(town: Town, actor: str) -> None:
    registry, looking = town.registry, town.registry.looking
    open_ = proposed(registry, town.title, deciding(DecisionKind.REVOCATION, authority=QINGTIAN), QC).fact.proposal
    paper = registry.submit_paper(paper_of_1998(person(1), authority=QINGTIAN), None, scans(), officer=QC).id
    refusals = set()
    for attempt in (
        lambda: looking.title(town.title, actor=actor, **ASKING),
        lambda: looking.holder(town.holder, actor=actor, **ASKING),
        lambda: looking.application(paper, actor=actor, **ASKING),
        lambda: looking.application(paper, actor=actor, evidence=True, **ASKING),
        lambda: looking.proposal(open_, actor=actor, **ASKING),
        lambda: looking.proposal(f"{town.title}.99", actor=actor, **ASKING),  # nor whether there is such a proposal
        lambda: looking.documents([town.title], actor=actor, **ASKING),
    ):
        with pytest.raises(Forbidden) as caught:
            attempt()
        refusals.add((caught.value.message, caught.value.fix))
    assert len(refusals) == 1
    assert town.looks() == []


def test_a_holder_reads_by_other_doors(town: Town) -> None:
    with pytest.raises(Forbidden):
        town.registry.looking.title(town.title, actor=town.holder, **ASKING)


def test_a_role_that_was_taken_away_shows_nothing_at_once(town: Town) -> None:
    (grant,) = town.registry.authorising.standing(QC).officer.grants  # type: ignore[union-attr]
    town.registry.looking.title(town.title, actor=QC, **ASKING)
    town.registry.appointing.withdraw(grant.id, DOCUMENT, officer=CHIEF)
    with pytest.raises(Forbidden):
        town.registry.looking.title(town.title, actor=QC, **ASKING)
    assert len(town.looks()) == 1


def test_whoever_decides_is_recorded_as_the_one_who_decides(town: Town) -> None:
    appoint(town.registry, QC, Role.APPROVER, QINGTIAN)
    for purpose in (Purpose.HANDLING, Purpose.DECIDING):
        town.registry.looking.title(town.title, actor=QC, purpose=purpose, door="cli test")
    assert [one.role for one in town.looks()] == [Role.CLERK, Role.APPROVER]


def test_a_person_without_a_title_is_in_reach_of_their_application(town: Town) -> None:
    registry, looking = town.registry, town.registry.looking
    paper = registry.submit_paper(paper_of_1998(person(2), authority=JINYUN), None, scans(), officer=JC)
    for actor in (JC, CLERK):
        assert looking.holder(paper.fact.holder, actor=actor, **ASKING).sight is Sight.CLEAR
        assert looking.application(paper.id, actor=actor, **ASKING).name == NAME
    with pytest.raises(Forbidden):
        looking.holder(paper.fact.holder, actor=QC, **ASKING)


def test_a_person_with_titles_in_two_counties_is_in_reach_of_both_but_not_the_other_title(town: Town) -> None:
    registry, looking = town.registry, town.registry.looking
    other = registry.award(awarding(person(1), authority=JINYUN, specialty="市政工程"), officer=CLERK)
    for actor in (QC, JC):
        assert looking.holder(town.holder, actor=actor, **ASKING).name == NAME
    with pytest.raises(Forbidden):
        looking.title(other, actor=QC, **ASKING)


def test_a_name_is_that_of_the_day_and_of_what_was_known(town: Town) -> None:
    registry, day = town.registry, town.registry.today
    before = registry.log.head()
    how: dict[str, Any] = {"basis": "change", "document_no": "丽公户〔2026〕3号", "officer": CLERK}
    registry.rename_holder(town.holder, "林晓云", effective_on=day, **how)
    look = registry.looking.title
    assert look(town.title, actor=QC, **ASKING).name == "林晓云"
    assert look(town.title, actor=QC, as_of=day.replace(year=2022), **ASKING).name == NAME
    assert look(town.title, actor=QC, known_at=before, **ASKING).name == NAME
    assert look(town.title, actor=AUDITOR, known_at=before, **ASKING).name == MASKED


def test_a_title_that_went_to_another_county_is_theirs_with_all_its_past(town: Town) -> None:
    registry, looking, before = town.registry, town.registry.looking, town.registry.log.head()
    award = msgspec.structs.replace(registry.title(town.title).award, authority=JINYUN)
    correction = deciding(DecisionKind.CORRECTION, authority=QINGTIAN, corrected=award)
    proposal = proposed(registry, town.title, correction, QC).fact
    registry.approve(proposal.proposal, proposal.digest, officer=CHIEF)
    for known_at in (None, before):
        assert looking.title(town.title, actor=JC, known_at=known_at, **ASKING).name == NAME
        with pytest.raises(Forbidden):
            looking.title(town.title, actor=QC, known_at=known_at, **ASKING)
    assert {one.actor for one in town.looks()} == {JC}


def test_what_is_not_there(town: Town) -> None:
    looking = town.registry.looking
    for attempt in (
        lambda: looking.title("title-00000000000000000000000000", actor=CLERK, **ASKING),
        lambda: looking.title(town.title, actor=CLERK, known_at=0, **ASKING),
        lambda: looking.holder("holder-00000000000000000000000000", actor=CLERK, **ASKING),
        lambda: looking.application("paper-00000000000000000000000000", actor=CLERK, **ASKING),
        lambda: looking.proposal(f"{town.title}.99", actor=CLERK, **ASKING),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert town.looks() == []


def test_nothing_is_shown_that_cannot_be_recorded(town: Town) -> None:
    registry, looking = town.registry, town.registry.looking
    open_ = proposed(registry, town.title, deciding(DecisionKind.REVOCATION)).fact.proposal
    paper = registry.submit_paper(paper_of_1998(person(2)), None, scans(), officer=CLERK).id
    registry.folder.looks.write_bytes(b"in the way")
    for attempt in (
        lambda: looking.title(town.title, actor=CLERK, **ASKING),
        lambda: looking.holder(town.holder, actor=CLERK, **ASKING),
        lambda: looking.application(paper, actor=CLERK, **ASKING),
        lambda: looking.proposal(open_, actor=CLERK, **ASKING),
        lambda: looking.search(Query(), actor=CLERK, **ASKING),
        lambda: looking.documents([town.title], actor=CLERK, **ASKING),
    ):
        with pytest.raises(Unavailable) as caught:
            attempt()
        assert NAME not in str(caught.value)
    assert looking.title(town.title, actor=AUDITOR, **ASKING).name == MASKED  # there is nothing to record


def test_no_officer_has_it_written_that_the_person_looked(town: Town) -> None:
    looking, own = town.registry.looking, {**ASKING, "purpose": Purpose.OWN}
    for attempt in (
        lambda: looking.title(town.title, actor=CLERK, **own),
        lambda: looking.holder(town.holder, actor=CLERK, **own),
        lambda: looking.search(Query(), actor=CLERK, **own),
        lambda: looking.documents([town.title], actor=CLERK, **own),
    ):
        with pytest.raises(BadInput, match="本人查看"):
            attempt()
    assert town.looks() == []


def test_documents_are_for_whoever_sees_every_person_on_them(town: Town) -> None:
    registry, looking = town.registry, town.registry.looking
    other = registry.award(awarding(person(2), authority=JINYUN), officer=CLERK)
    for actor in (QC, AUDITOR):
        with pytest.raises(Forbidden):
            looking.documents([town.title, other], actor=actor, **ASKING)
    with pytest.raises(Forbidden):
        looking.documents([town.title, "title-00000000000000000000000000"], actor=CLERK, **ASKING)
    assert town.looks() == []
    looking.documents([town.title, other], actor=CLERK, **ASKING)
    assert [(one.what, one.stream) for one in town.looks()] == [(What.DOCUMENT, town.title), (What.DOCUMENT, other)]


# searching


@pytest.fixture
def many(town: Town) -> Town:
    """Twelve more titles, in turn of the city and of two counties."""
    for n in range(2, 14):
        town.registry.award(awarding(person(n, f"何{n}"), authority=(CITY, QINGTIAN, JINYUN)[n % 3]), officer=CLERK)
    return town


def pages(town: Town, actor: str | None, limit: int, **query: Any) -> Iterator[list[tuple[str, str, str]]]:
    """Page after page: authority, title, name."""
    cursor: str | None = None
    while True:
        found = town.registry.looking.search(Query(**query), actor=actor, limit=limit, cursor=cursor, **ASKING)
        yield [(row.authority, row.title, name) for row, name in found.rows]
        cursor = found.next
        if cursor is None:
            return


@pytest.mark.parametrize(
    ("actor", "reach"), [(QC, {QINGTIAN}), (JC, {JINYUN}), (CLERK, {CITY, QINGTIAN, JINYUN}), (None, None)]
)
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 50])
def test_pages_hold_what_is_in_reach_once_and_full(
    many: Town, actor: str | None, reach: set[str] | None, limit: int
) -> None:
    wanted = [
        row.title
        for row, _ in many.registry.register.search(Query(), today=many.registry.today, limit=1000).rows
        if reach is None or row.authority in reach
    ]
    found = list(pages(many, actor, limit))
    assert [title for page in found for _, title, _ in page] == wanted
    assert all(len(page) == limit for page in found[:-1])
    names = [name for page in found for _, _, name in page]
    assert all("*" in name for name in names) if actor is None else not any("*" in name for name in names)
    assert [one.stream for one in many.looks()] == ([] if actor is None else wanted)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cursor=st.none() | st.text(max_size=30) | st.sampled_from(["title-", "title-0", "0", "' OR 1=1 --"]),
    limit=st.integers(-3, 2000),
    authority=st.none() | st.sampled_from([CITY, QINGTIAN, JINYUN, "999999"]),
    name=st.none() | st.sampled_from(["何", "林", "h", "lxl", "", "何'", "%"]),
)
def test_no_row_of_another_county_ever(
    many: Town, cursor: str | None, limit: int, authority: str | None, name: str | None
) -> None:
    query = Query(authority=authority, name=name)
    found = many.registry.looking.search(query, actor=QC, limit=limit, cursor=cursor, **ASKING)
    assert {row.authority for row, _ in found.rows} <= {QINGTIAN}


def test_persons_are_searched_by_whoever_sees_them_only(many: Town) -> None:
    looking, identity = many.registry.looking, person(1).identity
    for actor in (AUDITOR, OFFICE, None, EMPLOYER, "nobody"):
        for question in ({"query": Query(name="林")}, {"query": Query(), "identity": identity}):
            with pytest.raises(Forbidden):
                looking.search(**question, actor=actor, **ASKING)  # type: ignore[arg-type]
    assert many.looks() == []
    for question in ({"query": Query(name="lxl")}, {"query": Query(), "identity": identity}):
        assert [row.title for row, _ in looking.search(**question, actor=QC, **ASKING).rows] == [many.title]  # type: ignore[arg-type]
        assert looking.search(**question, actor=JC, **ASKING).rows == []  # type: ignore[arg-type]
    assert looking.search(Query(), identity=person(77).identity, actor=CLERK, **ASKING).rows == []


def test_who_sees_one_county_in_clear_and_the_others_masked_finds_persons_in_that_one_only(many: Town) -> None:
    appoint(many.registry, QC, Role.COMMITTEE_OFFICE, CITY)
    looking = many.registry.looking
    rows = looking.search(Query(), actor=QC, **ASKING).rows
    assert {row.authority for row, _ in rows} == {CITY, QINGTIAN, JINYUN}
    assert all(("*" in name) is (row.authority != QINGTIAN) for row, name in rows)
    assert len(many.looks()) == sum(row.authority == QINGTIAN for row, _ in rows)
    by_name = looking.search(Query(name="何"), actor=QC, **ASKING).rows
    assert {row.authority for row, _ in by_name} == {QINGTIAN}
    elsewhere = next(row for row, _ in rows if row.authority == JINYUN)
    who = many.registry.holder(elsewhere.holder).identities()[0]
    assert looking.search(Query(), identity=who, actor=QC, **ASKING).rows == []


# what the person concerned reads


def test_the_person_reads_which_office_looked_and_never_which_officer(town: Town) -> None:
    registry = town.registry
    registry.appointing.register(
        "office-2", msgspec.structs.replace(staff(300), organisation="某评委会办公室"), officer=CHIEF
    )
    registry.looking.title(town.title, actor=QC, purpose=Purpose.HANDLING, door="cli titles show")
    registry.looking.title(town.title, actor=CLERK, purpose=Purpose.DECIDING, door="GET /api/v1/titles/{id}")
    (newest, first) = shown(registry.looks.about(town.holder), registry.authorising)
    assert (first.who, first.purpose, first.what, first.door) == (
        "青田县人力资源和社会保障局 经办人",
        "办理业务",
        "职称",
        "办公终端",
    )
    assert (newest.who, newest.purpose, newest.door) == ("丽水市人力资源和社会保障局 批准人", "审批", "网上服务")
    look = msgspec.structs.replace(town.looks()[0], actor="office-2", role=Role.COMMITTEE_OFFICE)
    (office,) = shown([look], registry.authorising)
    assert office.who == "某评委会办公室 评委会办公室"
    said = str([first, newest, office])
    for private in (QC, CLERK, "office-2", *(staff(n).name for n in range(4))):
        assert private not in said
