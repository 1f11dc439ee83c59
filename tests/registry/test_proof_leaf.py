"""The leaf of a stored event, against a general CBOR library, and what it never holds."""

import hashlib
import json

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import CorruptHistory
from registry.proof.leaf import leaf_entry, stored_leaf_hash

STATE = '{"recorded_at":"2026-03-01T00:00:00Z","actor":"clerk-01","fact":{"name":"㛃"}}'.encode()


@given(
    position=st.one_of(st.integers(1, 300), st.integers(1, 1 << 40)),
    stream=st.text(max_size=300),
    version=st.integers(1, 70_000),
    name=st.text(max_size=40),
    recorded_at=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
def test_the_entry_is_deterministic_cbor(position: int, stream: str, version: int, name: str, recorded_at: str) -> None:
    state = json.dumps({"actor": "x", "recorded_at": recorded_at}).encode()
    entry = leaf_entry(position, stream, version, name, state)
    parts = ["leaf/1", position, stream, version, name, recorded_at, hashlib.sha256(state).digest()]
    assert entry == cbor2.dumps(parts, canonical=True)


def test_an_entry_holds_the_hash_of_the_bytes_and_not_the_bytes() -> None:
    entry = leaf_entry(7, "holder-1", 1, "holder-registered/1", STATE)
    assert "㛃".encode() not in entry
    assert b"clerk-01" not in entry
    assert cbor2.loads(entry)[-1] == hashlib.sha256(STATE).digest()


def test_every_part_of_a_stored_event_is_in_its_leaf() -> None:
    first = stored_leaf_hash(7, "title-1", 1, "title-awarded/1", STATE)
    others = [
        stored_leaf_hash(8, "title-1", 1, "title-awarded/1", STATE),
        stored_leaf_hash(7, "title-2", 1, "title-awarded/1", STATE),
        stored_leaf_hash(7, "title-1", 2, "title-awarded/1", STATE),
        stored_leaf_hash(7, "title-1", 1, "title-revoked/1", STATE),
        stored_leaf_hash(7, "title-1", 1, "title-awarded/1", STATE + b" "),
    ]
    assert first == stored_leaf_hash(7, "title-1", 1, "title-awarded/1", STATE)
    assert len({first, *others}) == 6


@pytest.mark.parametrize("state", [b"", b"no json", b"{}", b'{"recorded_at":1}', b'{"recorded_at":"\xff"}'])
def test_stored_bytes_without_a_recorded_time_are_named_by_their_place(state: bytes) -> None:
    with pytest.raises(CorruptHistory, match=r"event 7 \(title-1 version 3\)"):
        leaf_entry(7, "title-1", 3, "title-awarded/1", state)
