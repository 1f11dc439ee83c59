"""The table of rights, walked: every role over every authority against every right and matter, allowed and refused."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from registry.errors import Forbidden
from registry.permissions import RULES, Permission, Sight
from registry.service import Registry
from registry.terms import Role
from tests import engine
from tests.people import CHIEF, CITY, JINYUN, QINGTIAN, appoint, awarding, person, staff

OVER = (CITY, QINGTIAN, JINYUN)
ABOVE = {CITY: None, QINGTIAN: CITY, JINYUN: CITY}
GRANTED = tuple(role for role in Role if role is not Role.HOLDER)
# What must never come to pass, whatever the table says: written down here a second time, by hand.
NEVER_SEES_A_PERSON = (Role.OPERATOR,)
NEVER_IN_CLEAR = (Role.OPERATOR, Role.AUDITOR, Role.EMPLOYER)
DECIDES = {Permission.DECIDE, Permission.DECIDE_PAPER, Permission.GRANT_ROLE, Permission.HOLD}


class Case(NamedTuple):
    """Who, by which role over what."""

    actor: str
    role: Role
    over: str


@pytest.fixture(scope="module")
def cast(made: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, list[Case]]]:
    """A registry with one officer for each role over each authority, and two holders."""

    from registry.folder import Folder

    path, custody = made  # type: ignore[misc]
    folder = tmp_path_factory.mktemp("matrix") / "data"
    engine.copy(path, folder)
    registry = Registry(Folder(folder), custody)
    cases = []
    for n, (role, over) in enumerate((role, over) for role in GRANTED for over in OVER):
        actor = f"{role.value.replace('_', '-')}-{over}"
        registry.appointing.register(actor, staff(100 + n), officer=CHIEF)
        appoint(registry, actor, role, over)
        cases.append(Case(actor, role, over))
    for n in (1, 2):
        holder = registry.title(registry.award(awarding(person(n)), officer="clerk-331100")).holder
        cases.append(Case(holder, Role.HOLDER, holder))
    yield registry, cases
    registry.close()


def reaches(over: str, matter: str | None) -> bool:
    """By hand: the same, or the one right above it (there are two levels)."""
    return matter is None or over == matter or (matter in ABOVE and ABOVE[matter] == over)


def test_every_role_every_right_every_matter(cast: tuple[Registry, list[Case]]) -> None:
    registry, cases = cast
    matters = [None, *OVER, "999999", "", *(case.actor for case in cases if case.role is Role.HOLDER)]
    allowed = refused = 0
    for case in cases:
        for permission, rule in RULES.items():
            for matter in matters:
                wanted = rule.roles.get(case.role) if reaches(case.over, matter) else None
                assert registry.authorising.sight(case.actor, permission, matter) is wanted, (case, permission, matter)
                if wanted is None:
                    refused += 1
                    with pytest.raises(Forbidden):
                        registry.authorising.require(case.actor, permission, matter)
                else:
                    allowed += 1
                    assert registry.authorising.require(case.actor, permission, matter) is wanted
    assert allowed + refused == len(cases) * len(RULES) * len(matters) > 4_000
    assert allowed > 300


@pytest.mark.parametrize(
    "nobody", ["", "nobody", "clerk", "holder-01AAAAAAAAAAAAAAAAAAAAAAAA", "officer-clerk-01", "system"]
)
def test_nobody_we_know_has_no_right(registry: Registry, nobody: str) -> None:
    assert all(registry.authorising.sight(nobody, one, None) is None for one in Permission)


def test_a_refusal_says_nothing_of_the_matter(cast: tuple[Registry, list[Case]]) -> None:
    registry, _ = cast
    said = set()
    for matter in (JINYUN, "999999", "holder-x", None):
        with pytest.raises(Forbidden) as caught:
            registry.authorising.require("clerk-331121", Permission.DECIDE, matter)
        said.add((caught.value.message, caught.value.fix))
    assert len(said) == 1


# the table itself


def test_what_must_never_be() -> None:
    for permission, rule in RULES.items():
        for role, sight in rule.roles.items():
            assert role not in NEVER_SEES_A_PERSON or sight is Sight.NOTHING, (permission, role)
            assert role not in NEVER_IN_CLEAR or sight is not Sight.CLEAR, (permission, role)
    for permission in DECIDES:
        assert set(RULES[permission].roles) == {Role.APPROVER}, permission
    assert Role.OPERATOR not in RULES[Permission.MANAGE_ACCOUNTS].roles


def test_every_right_is_used_and_explained() -> None:
    assert set(RULES) == set(Permission)
    assert all(rule.why for rule in RULES.values())
