"""What is looked up before a unit of work runs, in one read: it spares round trips and decides nothing."""

import pytest

from registry.awarding import Awarding, foreseen
from registry.errors import NumberTaken, Unavailable
from registry.log.changes import Claim, Foresight
from registry.log.log import Log
from registry.log.unit import Unit
from registry.service import Registry
from tests.check_log import check_log
from tests.people import CLERK, awarding, person

SCOPES = ("identity", "number", "title", "code")


def _claims(registry: Registry) -> list[Claim]:
    held = [Claim(scope, key) for scope, key, _ in registry.log.recorder.claims()]
    odd = [Claim("number", key) for key in ("", "\0", "\ud800", "x" * 5_000, "331100|nobody's")]
    return [*held, *odd, *(Claim(scope, one.key) for one in held for scope in SCOPES), held[0]]


def test_one_look_sees_what_single_ones_see(registry: Registry) -> None:
    for n in (1, 2, 3):
        registry.award(awarding(person(n), number=f"N{n}"), officer=CLERK)
    recorder = registry.log.recorder
    claims, streams = _claims(registry), [*recorder.streams_of("title-"), f"officer-{CLERK}", CLERK, "nobody", CLERK]
    seen = recorder.look(claims, streams)
    assert seen.holders == {claim: recorder.claimed(claim) for claim in claims}
    assert seen.versions == {stream: recorder.version(stream) for stream in streams}
    assert len([one for one in seen.holders.values() if one]) == len(set(recorder.claims()))
    assert sorted(set(seen.versions.values()))[:2] == [0, 1]
    empty = recorder.look([], [])
    assert (empty.holders, empty.versions) == ({}, {})


def test_what_was_foreseen_and_is_so_no_longer_is_looked_up_again(registry: Registry, second: Registry) -> None:
    command = awarding(person(1), number="N1")
    asked: list[tuple[str | None, str | None]] = []

    def body(unit: Unit) -> str:
        claims = foresight.claims
        asked.append((unit.claimed(*claims[0]), unit.claimed(*claims[1])))
        if len(asked) == 1:  # another process is faster, after the look and before the append
            second.award(command, officer=CLERK)
        return Awarding(unit).award(command)[0]

    foresight = foreseen(command, registry.log.sealing.blind_index)
    title = registry.log.transact(body, actor=CLERK, foresees=foresight)
    theirs = second.title(title)
    assert asked == [(None, None), (theirs.holder, theirs.id)]
    assert [row[0] for row in registry.log.recorder.rows_by_position(0, 99) if row[1] == title] == [registry.log.head()]
    check_log(registry)


def test_a_number_that_was_free_when_it_was_foreseen_is_refused_to_the_slower(
    registry: Registry, second: Registry
) -> None:
    command, runs = awarding(person(1), number="N1"), []

    def body(unit: Unit) -> str:
        runs.append(unit.claimed("number", f"{command.authority}|N1"))
        if len(runs) == 1:
            second.award(awarding(person(2), number="N1"), officer=CLERK)
        return Awarding(unit).award(command)[0]

    head = registry.log.head()
    foresight = foreseen(command, registry.log.sealing.blind_index)
    with pytest.raises(NumberTaken):
        registry.log.transact(body, actor=CLERK, foresees=foresight)
    assert registry.log.head() == head + 2  # the other's holder and title
    assert len(runs) == 2
    check_log(registry)


def test_what_nobody_foresaw_is_looked_up_when_it_is_asked_for(registry: Registry) -> None:
    first = registry.award(awarding(person(1), number="N1"), officer=CLERK)

    def body(unit: Unit) -> str | None:
        return unit.claimed("number", f"{awarding(person(1)).authority}|N1")

    other = Foresight([Claim("number", "331100|other")])
    assert registry.log.transact(body, actor=CLERK, foresees=other) == first
    assert registry.log.transact(body, actor=CLERK) == first


def test_without_keys_nothing_is_foreseen_and_nothing_written(registry: Registry) -> None:
    reader = Log(registry.folder.store, None)
    with pytest.raises(Unavailable, match="without keys"):
        foreseen(awarding(person(1)), reader.sealing.blind_index)
    with pytest.raises(Unavailable, match="without keys"):
        reader.transact(lambda unit: unit.now, actor=CLERK)
    reader.close()
