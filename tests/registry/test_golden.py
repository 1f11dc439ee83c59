"""Stored bytes are for ever. Every stored name has a golden file, and the program still reads and writes it.

The files are add-only. If one of these tests fails because a shape changed: leave the file, give the new shape the next
number (`what-happened/2`), register an upcast from the old one, and add a file for the new name.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from registry import streams
from registry.errors import CorruptHistory
from registry.log import facts, mapper
from registry.log.facts import FACTS, PRIVATE, UPCASTS, Fact, Private, Recorded, private_values, stored, upcast
from registry.log.mapper import FactMapper, decode
from tests.examples import EXAMPLES, OLD, SEALED

GOLDEN = Path(__file__).parents[1] / "golden"
AT = datetime(2026, 3, 2, 1, 30, 15, 123456, tzinfo=UTC)


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name.replace('/', '-')}.json").read_bytes()


def recorded(fact: Fact) -> Recorded[Any]:
    return Recorded("title-0001", 7, fact, AT, "clerk-01", "command-01KJP2N7E0", "list:5e5e")


def test_the_streams_are_loaded() -> None:
    assert set(streams.KINDS) == {"holder", "title", "paper", "officer", "request", "keyset", "reference"}


@pytest.mark.parametrize("name", sorted({*FACTS, *UPCASTS}))
def test_every_stored_name_has_its_golden_file(name: str) -> None:
    assert golden(name)


def test_no_stored_name_was_dropped() -> None:
    known = {name.replace("/", "-") for name in (*FACTS, *UPCASTS, *SEALED)}
    assert {path.stem for path in GOLDEN.glob("*.json")} <= known


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_bytes_of_a_fact(name: str) -> None:
    """Read: the golden bytes say just this. Written: just these bytes."""
    event = decode("title-0001", 7, name, golden(name))
    assert event == recorded(EXAMPLES[name])
    again = FactMapper().to_stored_event(recorded(EXAMPLES[name]))
    assert (again.topic, again.state) == (name, golden(name))


@pytest.mark.parametrize("name", sorted(OLD))
def test_the_bytes_of_an_old_name_are_read_as_what_it_became(name: str) -> None:
    assert decode("title-0001", 7, name, golden(name)) == recorded(OLD[name])


def test_every_old_name_has_its_example() -> None:
    assert set(OLD) == set(UPCASTS)


def test_the_examples_fill_every_field() -> None:
    for name, fact in EXAMPLES.items():
        assert all(getattr(fact, field) is not None for field in fact.__struct_fields__), name


@pytest.mark.parametrize("place", sorted(SEALED))
def test_the_bytes_in_a_box(place: str) -> None:
    name, field = place.rsplit(".", 1)
    kind = PRIVATE[FACTS[name]][field]
    assert msgspec.json.decode(golden(place), type=kind) == SEALED[place]
    assert msgspec.json.encode(SEALED[place]) == golden(place)


def test_every_private_field_has_its_example() -> None:
    assert set(SEALED) == {f"{name}.{field}" for name, cls in FACTS.items() for field in PRIVATE[cls]}


# --- what may not be stored, and what old names become


@pytest.fixture
def own_names() -> Iterator[None]:
    """Facts of this test only; gone afterwards."""
    tables: list[Any] = [FACTS, facts.NAMES, PRIVATE, UPCASTS, mapper._decoders]
    kept = [(table, dict(table)) for table in tables]
    yield
    for table, before in kept:
        table.clear()
        table.update(before)


def test_a_personal_field_in_clear_is_not_stored() -> None:
    fact = EXAMPLES["holder-renamed/1"]
    clear: Fact = msgspec.structs.replace(fact, name=Private("林晓岚"))
    with pytest.raises(TypeError) as caught:
        FactMapper().to_stored_event(recorded(clear))
    assert "林晓岚" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name, fact in EXAMPLES.items() if private_values(fact)])
def test_a_box_that_is_no_box_is_corrupt(name: str) -> None:
    """A name in clear where a box must be is found when it is read."""
    for place in ('"in clear: 林晓岚"', '{"text":"x"}', "17"):
        broken = golden(name).replace(b'"YSBzZWFsZWQgYm94"', place.encode())
        assert broken != golden(name)
        with pytest.raises(CorruptHistory) as caught:
            decode("title-0001", 7, name, broken)
        assert "title-0001" in caught.value.message


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("title-awarded/9", b"{}"),
        ("title-revoked/1", b"{}"),
        ("title-revoked/1", b"not json"),
        ("title-revoked/1", b"\xff\xfe"),
        ("title-revoked/1", b""),
        ("title-revoked/1", golden("title-revoked/1")[:-1]),
        ("title-revoked/1", golden("title-revoked/1").replace(b"2021-09-20", b"2021-09-31")),
        ("certificate-signed/1", golden("certificate-signed/1").replace(b'"version":2', b'"version":"2"')),
    ],
)
def test_bytes_that_are_no_fact_are_corrupt(name: str, state: bytes) -> None:
    with pytest.raises(CorruptHistory) as caught:
        decode("title-0001", 7, name, state)
    assert "title-0001 version 7" in caught.value.message


def test_a_stored_name_is_never_taken_twice(own_names: None) -> None:
    for taken in ("title-awarded/1", "title-revoked/1"):
        with pytest.raises(ValueError, match=taken):

            @stored(taken)
            class Again(Fact, frozen=True, kw_only=True):
                pass

        with pytest.raises(ValueError, match=taken):
            upcast(taken, to="x/2")(lambda fact: fact)


def test_a_private_field_needs_a_holder(own_names: None) -> None:
    with pytest.raises(ValueError, match="holder"):

        @stored("letter-sent/1")
        class LetterSent(Fact, frozen=True, kw_only=True):
            address: Private[str]


def test_an_old_shape_is_read_as_the_new_one(own_names: None) -> None:
    """Two steps: /1 had one text, /2 split it, /3 renamed a field. The box goes through untouched."""

    @stored("letter-sent/3")
    class LetterSent(Fact, frozen=True, kw_only=True):
        holder: str
        by: str
        on: str
        address: Private[str]

    @upcast("letter-sent/1", to="letter-sent/2")
    def split(fact: dict[str, Any]) -> dict[str, Any]:
        way, _, on = fact.pop("how").partition(" ")
        return fact | {"way": way, "on": on}

    @upcast("letter-sent/2", to="letter-sent/3")
    def rename(fact: dict[str, Any]) -> dict[str, Any]:
        return fact | {"by": fact.pop("way")}

    head = b'{"recorded_at":"2026-03-02T01:30:15.123456Z","actor":"clerk-01","command_id":"command-01KJP2N7E0","fact":'
    old = head + b'{"holder":"h","how":"post 2020-01-02","address":"YSBzZWFsZWQgYm94"},"cause":"list:5e5e"}'
    middle = head + b'{"holder":"h","way":"post","on":"2020-01-02","address":"YSBzZWFsZWQgYm94"},"cause":"list:5e5e"}'
    expected = LetterSent(holder="h", by="post", on="2020-01-02", address=Private(box=b"a sealed box"))
    for name, state in (("letter-sent/1", old), ("letter-sent/2", middle)):
        assert decode("title-0001", 7, name, state) == recorded(expected)
    with pytest.raises(CorruptHistory):
        decode("title-0001", 7, "letter-sent/1", old.replace(b'"how"', b'"who"'))
