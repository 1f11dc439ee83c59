"""Whole lives, drawn at random: after every step the log holds and every answer is that of a simple second model.

The model knows nothing of events. A title is its slot, its number, a list of (status, from day) and its certificates;
what must be refused, and why, is worked out here a second time.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from keys.custody import Custody
from registry.errors import (
    AlreadyAwarded,
    HolderConflict,
    NeedsSecondOfficer,
    NotFound,
    NumberTaken,
    RegistryError,
    WrongState,
)
from registry.folder import Folder
from registry.service import Registry
from registry.terms import civil_date
from registry.titles.events import DecisionKind
from tests import engine
from tests.check_log import check_log
from tests.people import (
    CHIEF,
    CLERK,
    THIRD,
    Clock,
    awarding,
    correcting,
    deciding,
    paper_of_1998,
    person,
    scans,
    settable,
)

PERSONS, SPECIALTIES, DOCUMENTS = range(3), ("建筑工程", "给水排水"), ("丽人社〔2021〕100号", "丽人社〔2026〕3号")
NAMES = ("林晓岚", "林小莉", "林小丽")
OFFICERS = (CLERK, CHIEF, THIRD)
CAN = {
    "valid": ("revocation", "invalidation", "suspension", "correction"),
    "suspended": ("revocation", "invalidation", "reinstatement", "correction"),
    "invalidated": ("revocation", "reinstatement"),
    "revoked": ("reinstatement",),
}
BECOMES = {
    "revocation": "revoked", "invalidation": "invalidated", "suspension": "suspended", "reinstatement": "valid",
}  # fmt: skip


@dataclass
class Holder:
    """A person as the model knows them."""

    names: list[str] = field(default_factory=list)
    changes: list[tuple[date, str]] = field(default_factory=list)

    def name(self, on: date) -> str:
        return next((name for day, name in reversed(self.changes) if day <= on), self.names[0])


@dataclass
class Title:
    """A title as the model knows it."""

    stream: str
    who: int
    command: Any
    numbers: list[str]  # oldest first
    specialty: str
    rulings: list[tuple[str, date]] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    printed: list[tuple[str, str]] = field(default_factory=list)
    corrected_since: int = 0  # certificates made before the last correction
    first: tuple[str, str, str] = ("", "", "")

    @property
    def number(self) -> str:
        return self.numbers[-1]

    def says_the_same(self, command: Any) -> bool:
        """Whether an award is this one, as it was awarded or as it is now; a list without numbers leaves them open."""
        if command.approval_document != self.command.approval_document:
            return False
        known = ((self.command.specialty, self.numbers[0]), (self.specialty, self.number))
        return any(command.specialty == specialty and command.number in (None, number) for specialty, number in known)

    def ends(self) -> str:
        return self.rulings[-1][0] if self.rulings else "valid"

    def stands(self, on: date) -> str:
        if on < self.command.awarded_on:
            return "not_yet_effective"
        return next((status for status, day in reversed(self.rulings) if day <= on), "valid")

    def holds_slot(self) -> bool:
        return self.ends() in ("valid", "suspended")

    def verdict(self, code: str, on: date) -> str:
        place = self.codes.index(code)
        old = place < len(self.codes) - 1 or place < self.corrected_since
        status = self.stands(on)
        return "superseded" if status == "valid" and old else status


@dataclass
class Proposal:
    """A proposal as the model knows it."""

    id: str
    digest: str
    title: Title
    kind: str
    by: str
    at: Any
    command: Any
    open: bool = True
    done: bool = False


@dataclass
class Paper:
    """An application as the model knows it."""

    id: str
    digest: str
    who: int
    by: str
    number: str
    state: str = "open"


class Lives(RuleBasedStateMachine):
    """All that officers can do, in any order, to a few persons who keep getting in each other's way."""

    made: ClassVar[tuple[Path, Custody]]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp(prefix="lives-"))
        engine.copy(self.made[0], self.folder / "data")
        self.clock = Clock()
        self.registry = Registry(Folder(self.folder / "data"), self.made[1], self.clock)
        self.holders: dict[int, Holder] = {}
        self.titles: list[Title] = []
        self.proposals: list[Proposal] = []
        self.papers: list[Paper] = []

    def teardown(self) -> None:
        self.registry.close()
        shutil.rmtree(self.folder)

    # the model's own helpers

    @property
    def today(self) -> date:
        return civil_date(self.clock.now)

    def expect(self, error: type[RegistryError] | None, step: Callable[[], Any]) -> Any:
        """Do it; it must be refused with just this error and write nothing, or succeed if there is none."""
        head = self.registry.log.head()
        if error is None:
            return step()
        with pytest.raises(RegistryError) as caught:
            step()
        assert type(caught.value) is error, repr(caught.value)
        assert caught.value.fix
        assert self.registry.log.head() == head
        return None

    def unchanged(self, step: Callable[[], Any]) -> Any:
        head = self.registry.log.head()
        result = step()
        assert self.registry.log.head() == head
        return result

    def in_slot(self, who: int, specialty: str, title_name: str, but: Title | None = None) -> Title | None:
        return next(
            (one for one in self.titles if one is not but and one.holds_slot() and one.who == who
             and (one.specialty, one.command.title_name) == (specialty, title_name)), None,
        )  # fmt: skip

    def numbered(self, number: str | None) -> Title | None:
        return next((one for one in self.titles if number in one.numbers), None)

    def came_from(self, who: int, command: Any) -> Title | None:
        """A title that this very list once awarded and that has left its slot since."""
        key = (command.specialty, command.title_name, command.approval_document)
        for one in self.titles:
            left = not one.holds_slot() or one.specialty != one.command.specialty
            if one.who == who and one.first == key and left:
                return one
        return None

    def refusal_of(self, who: int, command: Any) -> tuple[type[RegistryError] | None, Title | None]:
        """Why an award is refused, or the title that it already is; (None, None) for a new one."""
        holder = self.holders.get(who)
        if holder and command.person.name not in holder.names:
            return HolderConflict, None
        same = self.numbered(command.number)
        if same and same.who != who:
            return NumberTaken, None
        same = same or self.came_from(who, command)
        same = same or self.in_slot(who, command.specialty, command.title_name)
        if same is None:
            return None, None
        return (None, same) if same.says_the_same(command) else (AlreadyAwarded, None)

    def take(self, who: int, command: Any, stream: str) -> None:
        title = self.registry.title(stream)
        first = (command.specialty, command.title_name, command.approval_document)
        self.titles.append(Title(stream, who, command, [title.award.number], command.specialty, first=first))

    def meet(self, who: int, name: str) -> None:
        self.holders.setdefault(who, Holder([name]))

    # rules

    @rule(
        who=st.sampled_from(PERSONS), specialty=st.sampled_from(SPECIALTIES), document=st.sampled_from(DOCUMENTS),
        number=st.sampled_from([None, None, "丽7", "丽8"]), name=st.sampled_from(NAMES[:2]),
    )  # fmt: skip
    def award(self, who: int, specialty: str, document: str, number: str | None, name: str) -> None:
        command = awarding(person(who, name), specialty=specialty, approval_document=document, number=number)
        error, same = self.refusal_of(who, command)
        if same:
            assert self.unchanged(lambda: self.registry.award(command, officer=CLERK)) == same.stream
        elif stream := self.expect(error, lambda: self.registry.award(command, officer=CLERK)):
            self.meet(who, name)
            self.take(who, command, stream)

    @precondition(lambda self: bool(self.titles))
    @rule(data=st.data())
    def award_the_same_again(self, data: st.DataObject) -> None:
        title = data.draw(st.sampled_from(self.titles))
        if title.command.title_name == "高级工程师":
            return
        told = title.command
        assert self.unchanged(lambda: self.registry.award(told, officer=THIRD)) == title.stream

    @precondition(lambda self: bool(self.holders))
    @rule(data=st.data(), name=st.sampled_from(NAMES), days=st.integers(-400, 3))
    def rename(self, data: st.DataObject, name: str, days: int) -> None:
        who = data.draw(st.sampled_from(sorted(self.holders)))
        holder = self.holders[who]
        stream = self.registry.holder_of(person(who).identity)
        assert stream
        day = self.today + timedelta(days=days)
        about: Any = {"basis": "change", "document_no": "丽公1号", "effective_on": day, "officer": CLERK}
        last = holder.changes[-1][1] if holder.changes else holder.names[0]
        if name == last:
            self.unchanged(lambda: self.registry.rename_holder(stream, name, **about))
            return
        assert self.registry.rename_holder(stream, name, **about).name() == name
        holder.names.append(name)
        holder.changes.append((day, name))

    @precondition(lambda self: bool(self.titles))
    @rule(
        data=st.data(), kind=st.sampled_from(DecisionKind), officer=st.sampled_from(OFFICERS),
        days=st.sampled_from([None, None, -30, 0, 2]), right=st.sampled_from([*SPECIALTIES, "丽7", "丽9"]),
    )  # fmt: skip
    def propose(self, data: st.DataObject, kind: DecisionKind, officer: str, days: int | None, right: str) -> None:
        title = data.draw(st.sampled_from(self.titles))
        day = None if days is None else max(self.today + timedelta(days=days), title.command.awarded_on)
        command = deciding(kind, effective_on=day)
        specialty, number = title.specialty, title.number
        if kind is DecisionKind.CORRECTION:
            which = "specialty" if right in SPECIALTIES else "number"
            if right in (title.specialty, title.number):
                return
            command = correcting(self.registry.title(title.stream), **{which: right})
            specialty, number = (right, number) if which == "specialty" else (specialty, right)
        error: type[RegistryError] | None = None if kind in CAN[title.ends()] else WrongState
        same = self.open_same(title, command, officer)
        if not error and not same and kind in ("correction", "reinstatement"):
            error = self.clash(title, specialty, number)
        made = self.expect(error, lambda: self.registry.propose(title.stream, command, officer=officer))
        if made and same:
            assert made.fact.proposal == same.id
        elif made:
            self.proposals.append(
                Proposal(made.fact.proposal, made.fact.digest, title, kind, officer, self.clock.now, command)
            )

    def open_same(self, title: Title, command: Any, officer: str) -> Proposal | None:
        day = command.effective_on or (title.command.awarded_on if command.kind == "revocation" else self.today)
        for one in self.proposals:
            begun = one.command.effective_on
            begun = begun or (title.command.awarded_on if one.kind == "revocation" else civil_date(one.at))
            fresh = self.clock.now - one.at <= timedelta(hours=72)
            same = (one.title, one.by, one.kind, begun, one.command.corrected)
            if one.open and fresh and same == (title, officer, command.kind, day, command.corrected):
                return one
        return None

    def clash(self, title: Title, specialty: str, number: str) -> type[RegistryError] | None:
        held = self.registry.log.claimed("number", f"331100|{number}")
        if held not in (None, title.stream):
            return NumberTaken
        return AlreadyAwarded if self.in_slot(title.who, specialty, title.command.title_name, title) else None

    @precondition(lambda self: bool(self.proposals))
    @rule(data=st.data(), officer=st.sampled_from(OFFICERS), wrong=st.sampled_from([False, False, False, True]))
    def approve(self, data: st.DataObject, officer: str, wrong: bool) -> None:
        one = data.draw(st.sampled_from(self.proposals))
        digest = "0" * 64 if wrong else one.digest
        step = lambda: self.registry.approve(one.id, digest, officer=officer)  # noqa: E731
        if one.done:
            self.unchanged(step)
            return
        if self.expect(self.why_not(one, officer, wrong), step):
            self.carry_out(one)

    def why_not(self, one: Proposal, officer: str, wrong: bool) -> type[RegistryError] | None:
        if not one.open:
            return NotFound
        if officer == one.by or wrong:
            return NeedsSecondOfficer
        if self.clock.now - one.at > timedelta(hours=72) or one.kind not in CAN[one.title.ends()]:
            return WrongState
        if one.kind == "correction":
            return self.clash(one.title, one.command.corrected.specialty, one.command.corrected.number)
        return self.clash(one.title, one.title.specialty, one.title.number) if one.kind == "reinstatement" else None

    def carry_out(self, one: Proposal) -> None:
        one.open, one.done = False, True
        title = one.title
        if one.kind == "correction":
            title.specialty = one.command.corrected.specialty
            title.numbers.append(one.command.corrected.number)
            title.corrected_since = len(title.codes)
            return
        by_rule = title.command.awarded_on if one.kind == "revocation" else civil_date(one.at)
        title.rulings.append((BECOMES[one.kind], one.command.effective_on or by_rule))

    @precondition(lambda self: bool(self.proposals))
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.proposals))
        self.expect(None if one.open else NotFound, lambda: self.registry.refuse(one.id, "证据不足", officer=CHIEF))
        one.open = False

    @precondition(lambda self: bool(self.titles))
    @rule(data=st.data())
    def issue(self, data: st.DataObject) -> None:
        title = data.draw(st.sampled_from(self.titles))
        error = None if title.stands(self.today) == "valid" else WrongState
        made = self.expect(error, lambda: self.registry.issue(title.stream, settable, officer=CLERK))
        if made is None:
            return
        says = (self.holders[title.who].name(self.today), title.specialty + title.number)
        current = bool(title.printed) and len(title.codes) > title.corrected_since and title.printed[-1] == says
        assert (made.code == title.codes[-1]) if current else (made.code not in title.codes)
        if not current:
            title.codes.append(made.code)
            title.printed.append(says)
        assert made.version == len(title.codes)

    @rule(who=st.sampled_from(PERSONS), officer=st.sampled_from(OFFICERS), number=st.sampled_from(["浙1", "浙2"]))
    def submit_paper(self, who: int, officer: str, number: str) -> None:
        holder = self.holders.get(who)
        command = paper_of_1998(person(who, holder.names[-1] if holder else NAMES[0]), number=number)
        under_way = [one for one in self.papers if (one.who, one.number) == (who, number) and one.state != "refused"]

        def step() -> Any:
            return self.registry.submit_paper(command, None, scans(), officer=officer)

        if under_way:
            assert self.unchanged(step).id == under_way[0].id
            return
        electronic = self.numbered(number)
        if electronic and electronic.codes:
            return  # which of two refusals it is, is told in test_paper
        made = step()
        self.meet(who, command.person.name)
        self.papers.append(Paper(made.id, made.fact.digest, who, officer, number))

    @precondition(lambda self: bool(self.papers))
    @rule(data=st.data(), officer=st.sampled_from(OFFICERS))
    def approve_paper(self, data: st.DataObject, officer: str) -> None:
        one = data.draw(st.sampled_from(self.papers))
        step = lambda: self.registry.approve_paper(one.id, one.digest, officer=officer)  # noqa: E731
        if one.state == "approved":
            self.unchanged(step)
            return
        command = paper_of_1998(person(one.who, self.holders[one.who].names[-1]), number=one.number)
        error, same = self.refusal_of(one.who, command)
        if not error and one.state == "refused":
            error = WrongState
        if not error and officer == one.by:
            error = NeedsSecondOfficer
        if not error and same and not same.holds_slot():
            error = WrongState
        if done := self.expect(error, step):
            one.state = "approved"
            assert not same or done.title == same.stream
            if not same:
                self.take(one.who, command, done.title)

    @precondition(lambda self: bool(self.papers))
    @rule(data=st.data())
    def refuse_paper(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.papers))
        error = None if one.state == "open" else WrongState
        self.expect(error, lambda: self.registry.refuse_paper(one.id, "看不清", officer=CHIEF))
        if not error:
            one.state = "refused"

    @rule(hours=st.sampled_from([0.5, 8, 15, 73, 24 * 40]))
    def time_passes(self, hours: float) -> None:
        self.clock.forward(hours=hours)

    # what always holds

    @invariant()
    def the_log_holds(self) -> None:
        check_log(self.registry)

    @invariant()
    def every_answer_is_that_of_the_model(self) -> None:
        for title in self.titles:
            for code in title.codes:
                assert self.registry.verifier.check(code).status == title.verdict(code, self.today)
                for day in (title.command.awarded_on, self.today - timedelta(days=30), self.today + timedelta(days=9)):
                    assert self.registry.verifier.check(code, as_of=day).status == title.verdict(code, day)

    @invariant()
    def every_number_leads_to_its_title(self) -> None:
        for title in self.titles:
            assert self.registry.find_title(title.number) == title.stream
            assert self.registry.title(title.stream).award.specialty == title.specialty


def test_whole_lives(made: tuple[Path, Custody]) -> None:
    Lives.made = made
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
