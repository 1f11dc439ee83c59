"""Awards: once for a holder, one number within an authority, and what the registry numbers itself."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from registry.errors import AlreadyAwarded, BadInput, NotFound, NumberTaken, Refused, RegistryError
from registry.log.facts import Private
from registry.service import Registry
from registry.terms import Level
from registry.titles.award import AwardTitle, award, particulars
from registry.titles.events import DecisionKind, TitleAwarded
from tests.check_log import check_log
from tests.people import CITY, CLERK, JINYUN, QINGTIAN, awarding, correcting, decided, deciding, person
from tests.scenario import given

COMMAND = awarding(person(3))
AWARDED = TitleAwarded(holder="holder-0001", award=particulars(COMMAND, "X-1"))


def deciding_award(command: AwardTitle, number: str = "X-1", holder: str = "holder-0001") -> Callable[[Any], Any]:
    return lambda title: award(command, holder, number, title)


def changed(command: AwardTitle, **fields: Any) -> AwardTitle:
    other: AwardTitle = msgspec.structs.replace(command, **fields)
    return other


def refused(registry: Registry, kind: type[RegistryError], command: AwardTitle) -> RegistryError:
    """Exactly this error, with a fix, and the log as it was."""
    head = registry.log.head()
    with pytest.raises(RegistryError) as caught:
        registry.award(command, officer=CLERK)
    assert type(caught.value) is kind, repr(caught.value)
    assert caught.value.fix
    assert registry.log.head() == head
    return caught.value


# --- decisions


def test_a_title_is_awarded_once() -> None:
    given().when(deciding_award(COMMAND)).then(AWARDED)
    given(AWARDED).when(deciding_award(COMMAND)).then()


def test_the_employer_is_a_private_field() -> None:
    employer = TitleAwarded(holder="holder-0001", award=particulars(COMMAND, "X-1"), employer=Private("丽水建工"))
    given().when(deciding_award(changed(COMMAND, employer="丽水建工"))).then(employer)


@pytest.mark.parametrize(
    "other",
    [
        {"awarded_on": date(2021, 9, 21)},
        {"level": Level.ASSISTANT},
        {"approval_document": "丽人社〔2021〕101号"},
        {"published_on": date(2021, 10, 1)},
    ],
    ids=lambda one: next(iter(one)),
)
def test_the_same_title_with_other_particulars_is_refused(other: dict[str, Any]) -> None:
    error = given(AWARDED).when(deciding_award(changed(COMMAND, number="X-1", **other))).refused(AlreadyAwarded)
    assert "X-1" in error.message


def test_another_holders_title_is_never_taken_for_ones_own() -> None:
    given(AWARDED).when(deciding_award(COMMAND, holder="holder-0002")).refused(AlreadyAwarded)


# --- in the registry


def test_the_same_list_twice_changes_nothing(registry: Registry) -> None:
    streams = [registry.award(awarding(person(n, f"第{n}人")), officer=CLERK) for n in range(5)]
    head = registry.log.head()
    assert [registry.award(awarding(person(n, f"第{n}人")), officer=CLERK) for n in range(5)] == streams
    assert registry.log.head() == head
    check_log(registry)


def test_a_duplicate_award_is_refused(registry: Registry) -> None:
    registry.award(COMMAND, officer=CLERK)
    error = refused(registry, AlreadyAwarded, changed(COMMAND, awarded_on=date(2022, 9, 20)))
    assert "3311002021000001" in error.message
    check_log(registry)


def test_another_specialty_series_or_title_name_is_another_title(registry: Registry) -> None:
    others: list[dict[str, Any]] = [
        {},
        {"specialty": "给水排水"},
        {"series": "经济专业人员"},
        {"title_name": "高级工程师"},
    ]
    streams = {registry.award(changed(COMMAND, **each), officer=CLERK) for each in others}
    assert len(streams) == 4
    assert len({registry.title(each).holder for each in streams}) == 1
    check_log(registry)


def test_one_number_of_two_counties_is_two_titles(registry: Registry) -> None:
    """Qingtian and Jinyun both have a 2003-0127; leading zeros, dashes and 〔〕 are part of a number."""
    one = registry.award(awarding(person(1), authority=QINGTIAN, number="2003-0127"), officer=CLERK)
    two = registry.award(awarding(person(2), authority=JINYUN, number="2003-0127"), officer=CLERK)
    assert one != two
    assert registry.find_title("2003-0127", QINGTIAN) == one
    assert registry.find_title("2003-0127", JINYUN) == two
    with pytest.raises(BadInput) as caught:
        registry.find_title("2003-0127")
    assert QINGTIAN in caught.value.message
    assert JINYUN in caught.value.message
    assert caught.value.fix
    check_log(registry)


def test_a_number_of_another_person_is_taken(registry: Registry) -> None:
    registry.award(awarding(person(1), number="丽〔2003〕0127"), officer=CLERK)
    error = refused(registry, NumberTaken, awarding(person(2), number="丽〔2003〕0127"))
    assert "丽〔2003〕0127" in error.message
    refused(registry, AlreadyAwarded, awarding(person(1), number="丽〔2003〕0127", specialty="给水排水"))
    check_log(registry)


@pytest.mark.parametrize("authority", ["999999", "丽水", "", "331100 "])
def test_an_unknown_authority_is_refused(registry: Registry, authority: str) -> None:
    refused(registry, NotFound, awarding(person(1), authority=authority))
    check_log(registry)


@pytest.mark.parametrize("number", ["nothing", "title-0000", ""])
def test_there_is_no_such_number(registry: Registry, number: str) -> None:
    with pytest.raises(NotFound) as caught:
        registry.find_title(number)
    assert caught.value.fix
    with pytest.raises(NotFound):
        registry.title(number)


def test_a_title_is_found_by_its_own_id(registry: Registry) -> None:
    stream = registry.award(COMMAND, officer=CLERK)
    assert registry.find_title(stream) == stream
    assert registry.find_title("3311002021000001") == registry.find_title("3311002021000001", CITY) == stream


def test_own_numbers_count_up_by_authority_and_year(registry: Registry) -> None:
    def number(n: int, **fields: Any) -> str:
        return registry.title(registry.award(awarding(person(n), **fields), officer=CLERK)).award.number

    assert number(1) == "3311002021000001"
    assert number(2) == "3311002021000002"
    assert number(3, authority=QINGTIAN) == "3311212021000001"
    assert number(4, awarded_on=date(2022, 9, 20)) == "3311002022000001"
    assert number(5) == "3311002021000003"
    check_log(registry)


@pytest.mark.parametrize(
    "legacy", ["3311002021000007", "3311002021²", "3311002021浙字七号", "3311002021", "33110020210000070"]
)
def test_own_numbers_keep_clear_of_old_ones_that_look_alike(registry: Registry, legacy: str) -> None:
    registry.award(awarding(person(1), number=legacy), officer=CLERK)
    numbers = {registry.title(registry.award(awarding(person(n)), officer=CLERK)).award.number for n in range(2, 5)}
    assert len(numbers | {legacy}) == 4
    assert all(number.startswith("3311002021") for number in numbers)
    check_log(registry)


@for_all(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_awarding_again_is_never_a_fact(number: str, specialty: str) -> None:
    command = changed(COMMAND, specialty=specialty, number=number)
    history = given(*award(command, "holder-0001", number, None))
    history.when(deciding_award(command, number)).then()


# --- after decisions


@pytest.mark.parametrize("numbered", [True, False], ids=["with numbers", "without numbers"])
@pytest.mark.parametrize("kind", [DecisionKind.REVOCATION, DecisionKind.INVALIDATION])
def test_revoked_then_the_same_list_again_changes_nothing(
    registry: Registry, kind: DecisionKind, numbered: bool
) -> None:
    """The list of 2021 must not bring back what was revoked in 2026."""
    command = changed(COMMAND, number="丽〔2021〕7" if numbered else None)
    stream = registry.award(command, officer=CLERK)
    decided(registry, stream, deciding(kind))
    head = registry.log.head()
    assert registry.award(command, officer=CLERK) == stream
    assert registry.log.head() == head
    check_log(registry)


@pytest.mark.parametrize("numbered", [True, False], ids=["with numbers", "without numbers"])
@pytest.mark.parametrize(
    "right",
    [
        {"specialty": "给水排水"},
        {"number": "丽〔2021〕8"},
        {"awarded_on": date(2021, 9, 22)},
        {"number": "丽〔2021〕8", "specialty": "给水排水", "awarded_on": date(2021, 9, 22)},
    ],
    ids=lambda one: "+".join(one),
)
def test_corrected_then_the_same_list_again_changes_nothing(
    registry: Registry, right: dict[str, Any], numbered: bool
) -> None:
    command = changed(COMMAND, number="丽〔2021〕7" if numbered else None)
    stream = registry.award(command, officer=CLERK)
    decided(registry, stream, correcting(registry.title(stream), **right))
    head = registry.log.head()
    assert registry.award(command, officer=CLERK) == stream
    as_corrected = {**right, "number": right.get("number", command.number) if numbered else None}
    assert registry.award(changed(command, **as_corrected), officer=CLERK) == stream
    assert registry.log.head() == head
    check_log(registry)


def test_revoked_and_awarded_again_by_a_new_list_is_a_new_title(registry: Registry) -> None:
    first = registry.award(COMMAND, officer=CLERK)
    refused(registry, AlreadyAwarded, changed(COMMAND, approval_document="丽人社〔2026〕3号"))
    decided(registry, first, deciding(DecisionKind.REVOCATION))
    anew = changed(COMMAND, approval_document="丽人社〔2026〕3号", awarded_on=date(2026, 1, 5))
    second = registry.award(anew, officer=CLERK)
    assert second != first
    assert registry.title(second).award.number == "3311002026000001"
    assert registry.award(anew, officer=CLERK) == second
    assert registry.award(COMMAND, officer=CLERK) == first
    check_log(registry)


def test_revoked_does_not_come_back_under_another_number(registry: Registry) -> None:
    """The same list with numbers filled in later is still the list that was revoked."""
    first = registry.award(COMMAND, officer=CLERK)
    decided(registry, first, deciding(DecisionKind.REVOCATION))
    refused(registry, AlreadyAwarded, changed(COMMAND, number="丽〔2021〕7"))
    check_log(registry)


def test_a_number_is_never_used_again(registry: Registry) -> None:
    first = registry.award(awarding(person(1), number="丽〔2021〕7"), officer=CLERK)
    decided(registry, first, deciding(DecisionKind.REVOCATION))
    refused(registry, NumberTaken, awarding(person(2), number="丽〔2021〕7"))
    anew = awarding(person(1), number="丽〔2021〕7", approval_document="丽人社〔2026〕3号")
    refused(registry, AlreadyAwarded, anew)
    check_log(registry)


def test_an_erroneous_double_is_invalidated_and_the_other_stands(registry: Registry) -> None:
    right = registry.award(COMMAND, officer=CLERK)
    double = registry.award(changed(COMMAND, series="建设工程人员"), officer=CLERK)
    decided(registry, double, deciding(DecisionKind.INVALIDATION))
    assert registry.title(double).standing(None)[0] == "invalidated"
    assert registry.title(right).standing(None)[0] == "valid"
    check_log(registry)


def test_a_bad_list_changes_nothing_and_names_the_row(registry: Registry, tmp_path: Path) -> None:
    """The rows themselves are intake's; here the registry's own refusal comes out of a list, all or nothing."""
    registry.award(awarding(person(1), number="丽〔2021〕7"), officer=CLERK)
    head, rows = registry.log.head(), []
    plan = registry.catalogue.plan(2021)
    assert plan
    committee = next(row.written_name for row in plan.rows if row.key == "A1-1-17")
    for n in (3, 2):
        who, one = person(n), awarding(person(n))
        rows.append({
            "name": who.name, "identity": who.identity.number, "series": "工程技术人员", "specialty": one.specialty,
            "level": "中级", "title_name": "工程师", "awarded_on": "2021-09-20",
            "number": "丽〔2021〕7" if n == 2 else "丽〔2021〕9",
            "committee": committee,
        })  # fmt: skip
    path = tmp_path / "list.jsonl"
    path.write_bytes(b"\n".join(msgspec.json.encode(row) for row in rows))
    with pytest.raises(Refused) as caught:
        registry.import_awards(path, authority=CITY, document=COMMAND.approval_document, officer=CLERK)
    assert [(one.row, one.rule) for one in getattr(caught.value, "errors", ())] == [(2, "number-taken")]
    assert registry.log.head() == head
    check_log(registry)
