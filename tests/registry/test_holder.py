"""Persons: registered once, recognised by number, renamed with a document, never merged by name."""

from datetime import date
from typing import Any

import msgspec
import pytest

from registry.errors import BadInput, DoubtfulIdentity, HolderConflict, NotFound, Refused, RegistryError
from registry.holders.holder import HolderRegistered, HolderRenamed, IdentityLinked, link_identity, register, rename
from registry.holders.identity import parse
from registry.holders.person import Identity, Person
from registry.log.facts import Private
from registry.service import Registry
from registry.terms import IdentityKind, Sex
from tests.check_log import check_log
from tests.people import CLERK, awarding, fifteen, identity_number, person
from tests.scenario import given

LIN = person(7)
PASSPORT = Identity(IdentityKind.PASSPORT, "E0000077", country="JPN")
REGISTERED = HolderRegistered(holder="holder-0001", person=Private(LIN))


def renamed(name: str, on: date = date(2024, 5, 6)) -> HolderRenamed:
    return HolderRenamed(
        holder="holder-0001", name=Private(name), basis="change", document_no="丽公〔2024〕12号", effective_on=on
    )


def change(who: Person, **fields: Any) -> Person:
    changed: Person = msgspec.structs.replace(who, **fields)
    return changed


def refused(registry: Registry, kind: type[RegistryError], step: Any) -> RegistryError:
    """Exactly this error, with a fix, and the log as it was."""
    head = registry.log.head()
    with pytest.raises(RegistryError) as caught:
        step()
    assert type(caught.value) is kind, repr(caught.value)
    assert caught.value.message
    assert caught.value.fix
    assert registry.log.head() == head
    return caught.value


# --- decisions


def test_a_person_is_registered_once() -> None:
    given().when(lambda holder: register("holder-0001", LIN, holder)).then(REGISTERED)
    given(REGISTERED).when(lambda holder: register("holder-9999", LIN, holder)).then()


def test_a_former_name_is_still_the_same_person() -> None:
    history = given(REGISTERED, renamed("林晓兰"))
    history.when(lambda holder: register("", LIN, holder)).then()
    history.when(lambda holder: register("", change(LIN, name="林晓兰"), holder)).then()


def test_a_name_never_borne_is_a_conflict() -> None:
    error = (
        given(REGISTERED).when(lambda holder: register("", change(LIN, name="陈一"), holder)).refused(HolderConflict)
    )
    assert LIN.identity.number not in error.message


@pytest.mark.parametrize("other", [{"sex": Sex.MALE}, {"born": date(1961, 2, 3)}])
def test_another_sex_or_birth_date_is_a_conflict(other: dict[str, Any]) -> None:
    told = change(LIN, **other)
    assert told != LIN
    given(REGISTERED).when(lambda holder: register("", told, holder)).refused(HolderConflict)


def test_what_is_not_said_is_no_conflict() -> None:
    given(REGISTERED).when(lambda holder: register("", change(LIN, sex=None, born=None), holder)).then()


@pytest.mark.parametrize("month_first", [True, False])
def test_a_birth_month_agrees_with_any_day_of_it(month_first: bool) -> None:
    """A passport states no birth date; lists often give the month only, kept as its first day."""
    month = Person("Tanaka Yui", PASSPORT, None, date(1975, 4, 1), born_day_known=False)
    day = Person("Tanaka Yui", PASSPORT, None, date(1975, 4, 17))
    first, later = (month, day) if month_first else (day, month)
    known = HolderRegistered(holder="holder-0001", person=Private(first))
    given(known).when(lambda holder: register("", later, holder)).then()
    other = change(later, born=date(1975, 5, 1))
    given(known).when(lambda holder: register("", other, holder)).refused(HolderConflict)


def test_a_rename_is_a_fact_and_the_present_name_is_none() -> None:
    given(REGISTERED).when(
        lambda holder: rename(holder, "林晓兰", "change", "丽公〔2024〕12号", date(2024, 5, 6))
    ).then(renamed("林晓兰"))
    given(REGISTERED, renamed("林晓兰")).when(
        lambda holder: rename(holder, "林晓兰", "change", "丽公〔2024〕12号", date(2024, 5, 6))
    ).then()


def test_the_name_in_force_depends_on_the_date() -> None:
    holder = given(REGISTERED, renamed("林晓兰", date(2024, 5, 6)), renamed("林小兰", date(2026, 12, 1))).state
    assert holder.name(date(2024, 5, 5)) == "林晓岚"
    assert holder.name(date(2024, 5, 6)) == "林晓兰"
    assert holder.name(date(2026, 11, 30)) == "林晓兰"
    assert holder.name(date(2026, 12, 1)) == holder.name() == "林小兰"
    assert holder.all_names() == ["林晓岚", "林晓兰", "林小兰"]


def test_a_document_is_linked_once() -> None:
    linked = IdentityLinked(holder="holder-0001", identity=Private(PASSPORT), document_no="丽公〔2025〕3号")
    given(REGISTERED).when(lambda holder: link_identity(holder, PASSPORT, "丽公〔2025〕3号")).then(linked)
    given(REGISTERED, linked).when(lambda holder: link_identity(holder, PASSPORT, "丽公〔2025〕3号")).then()
    given(REGISTERED).when(lambda holder: link_identity(holder, LIN.identity, "丽公〔2025〕3号")).then()


# --- in the registry


def test_the_15_digit_number_finds_the_same_holder(registry: Registry) -> None:
    number = identity_number(41)
    old = person(41, number=fifteen(number))
    assert old.identity.alias == fifteen(number)
    first = registry.award(awarding(old, number="老-1"), officer=CLERK)
    again = registry.award(awarding(person(41), specialty="给水排水"), officer=CLERK)
    assert registry.title(first).holder == registry.title(again).holder == registry.holder_of(parse(number))
    assert registry.holder_of(parse(fifteen(number))) == registry.title(first).holder
    check_log(registry)


def test_two_persons_of_the_same_name_and_birth_date_stay_two(registry: Registry) -> None:
    one, two = person(901), person(902)
    assert (one.name, one.born) == (two.name, two.born)
    titles = [registry.title(registry.award(awarding(each), officer=CLERK)) for each in (one, two)]
    assert titles[0].holder != titles[1].holder
    assert titles[0].award.number != titles[1].award.number
    check_log(registry)


def test_a_wrong_check_character_is_never_repaired(registry: Registry) -> None:
    right = identity_number(55)
    wrong = right[:17] + ("1" if right[17] != "1" else "2")
    refused(registry, DoubtfulIdentity, lambda: registry.award(awarding(person(55, number=wrong)), officer=CLERK))
    confirmed = Person("林晓岚", parse(wrong, confirmed=True))
    title = registry.title(registry.award(awarding(confirmed), officer=CLERK))
    assert registry.holder(title.holder).identities() == [parse(wrong, confirmed=True)]
    assert registry.holder_of(parse(right)) is None
    check_log(registry)


def test_a_conflict_writes_nothing(registry: Registry) -> None:
    registry.award(awarding(LIN), officer=CLERK)
    other = awarding(change(LIN, name="陈一"), specialty="给水排水")
    refused(registry, HolderConflict, lambda: registry.award(other, officer=CLERK))
    check_log(registry)


def test_a_renamed_holder_is_found_by_either_name(registry: Registry) -> None:
    holder = registry.title(registry.award(awarding(LIN), officer=CLERK)).holder
    about = {"basis": "change", "document_no": "丽公〔2024〕12号", "effective_on": date(2024, 5, 6), "officer": CLERK}
    assert registry.rename_holder(holder, " 林晓兰 ", **about).name() == "林晓兰"  # type: ignore[arg-type]
    head = registry.log.head()
    registry.rename_holder(holder, "林晓兰", **about)  # type: ignore[arg-type]
    assert registry.log.head() == head
    for name in ("林晓岚", "林晓兰"):
        registry.award(awarding(change(LIN, name=name)), officer=CLERK)
    assert registry.log.head() == head
    check_log(registry)


@pytest.mark.parametrize(
    "change_", [{"basis": "whim"}, {"name": " "}, {"document_no": " "}], ids=["basis", "name", "document"]
)
def test_a_rename_without_name_basis_or_document_is_refused(registry: Registry, change_: dict[str, Any]) -> None:
    holder = registry.title(registry.award(awarding(LIN), officer=CLERK)).holder
    right = {"name": "林晓兰", "basis": "change", "document_no": "丽公1号"}
    about: dict[str, Any] = {**right, "effective_on": date(2024, 5, 6), "officer": CLERK, **change_}
    refused(registry, BadInput, lambda: registry.rename_holder(holder, **about))


@pytest.mark.parametrize("stream", ["holder-0000", "no stream at all", ""])
def test_there_is_no_such_holder(registry: Registry, stream: str) -> None:
    about: Any = {"basis": "change", "document_no": "丽公1号", "effective_on": date(2024, 5, 6), "officer": CLERK}
    refused(registry, NotFound, lambda: registry.holder(stream))
    refused(registry, NotFound, lambda: registry.rename_holder(stream, "林晓兰", **about))
    refused(registry, NotFound, lambda: registry.link_identity(stream, PASSPORT, document_no="1", officer=CLERK))


def test_a_title_is_no_holder(registry: Registry) -> None:
    """An id of another kind is simply not found: nothing is wrong with the log."""
    title = registry.award(awarding(LIN), officer=CLERK)
    holder = registry.title(title).holder
    refused(registry, NotFound, lambda: registry.holder(title))
    refused(registry, NotFound, lambda: registry.title(holder))
    refused(registry, NotFound, lambda: registry.application(title))


def test_a_linked_passport_finds_the_holder(registry: Registry) -> None:
    holder = registry.title(registry.award(awarding(LIN), officer=CLERK)).holder
    registry.link_identity(holder, PASSPORT, document_no="丽公〔2025〕3号", officer=CLERK)
    by_passport = Person(LIN.name, PASSPORT)
    again = registry.award(awarding(by_passport, specialty="给水排水"), officer=CLERK)
    assert registry.title(again).holder == holder == registry.holder_of(PASSPORT)
    check_log(registry)


def test_a_number_of_another_holder_is_not_linked(registry: Registry) -> None:
    holder = registry.title(registry.award(awarding(LIN), officer=CLERK)).holder
    registry.award(awarding(person(8, "陈一")), officer=CLERK)
    other = person(8).identity
    refused(registry, Refused, lambda: registry.link_identity(holder, other, document_no="1", officer=CLERK))
    check_log(registry)
