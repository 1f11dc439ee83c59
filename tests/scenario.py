"""given(facts).when(decide).then(facts): histories for pure decisions, without a store.

    given(awarded()).when(lambda title: propose(..., title, ...)).then(DecisionProposed(...))
    given(awarded(), by(CLERK, proposal)).when(...).refused(NeedsSecondOfficer)

A fact is recorded by CLERK, one minute after the one before; `by(officer, fact, at)` says otherwise.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest

from registry.errors import RegistryError
from registry.holders.holder import HOLDERS, HolderRegistered
from registry.keyset.keyset import KEYSETS, KeySetPublished
from registry.log.facts import Fact, Recorded
from registry.log.kind import Kind
from registry.officers.officer import OFFICERS, OfficerRegistered
from registry.paper.application import APPLICATIONS, PaperSubmitted
from registry.requests.request import REQUESTS, DataRequestMade
from registry.titles.events import TitleAwarded
from registry.titles.state import TITLES
from tests.people import BEGIN, CLERK

_KINDS: dict[type[Fact], Kind[Any]] = {
    HolderRegistered: HOLDERS,
    TitleAwarded: TITLES,
    PaperSubmitted: APPLICATIONS,
    OfficerRegistered: OFFICERS,
    DataRequestMade: REQUESTS,
    KeySetPublished: KEYSETS,
}


class by(NamedTuple):
    """A fact that another officer recorded, or at another time."""

    officer: str
    fact: Fact
    at: datetime | None = None


class When(NamedTuple):
    """What a decision came to: facts, or a refusal."""

    facts: Sequence[Fact] | None
    error: RegistryError | None

    def then(self, *facts: Fact) -> None:
        """These facts and no others; none: it was so already."""
        assert self.error is None, self.error
        assert list(self.facts or ()) == list(facts)

    def refused(self, kind: type[RegistryError]) -> RegistryError:
        """Refused with exactly this error, which says what to do; return it."""
        if self.error is None:
            pytest.fail(f"not refused: {self.facts}")
        assert type(self.error) is kind, repr(self.error)
        assert self.error.message
        assert self.error.fix
        return self.error


class Given(NamedTuple):
    """A history, folded."""

    state: Any

    def when(self, decide: Callable[[Any], Sequence[Fact]]) -> When:
        """Decide over the state."""
        try:
            return When(decide(self.state), None)
        except RegistryError as error:
            return When(None, error)


def given(*facts: Fact | by) -> Given:
    """Fold these facts; none: nothing has happened."""
    told = [fact if isinstance(fact, by) else by(CLERK, fact) for fact in facts]
    kind = _KINDS[type(told[0].fact)] if told else None
    state = None
    for version, (officer, fact, at) in enumerate(told, 1):
        now = at or BEGIN + timedelta(minutes=version)
        stream = kind.prefix + "-0001" if kind else ""
        state = kind.evolve(state, Recorded(stream, version, fact, now, officer, "command-0")) if kind else None
    return Given(state)
