"""Sealed fields, wrapped data keys and the blind index: they hold in their place and nowhere else."""

import hmac
import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import SealBroken
from keys.vault import DataKey, Vault

MASTER, INDEX_KEY = os.urandom(32), os.urandom(32)
VAULT = Vault(MASTER, INDEX_KEY)
NAME, BORN = b"holder-1|3|name", b"holder-1|3|born"


@given(st.binary(max_size=200), st.binary(max_size=60), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_field_opens_in_its_place_after_the_key_was_stored(clear: bytes, position: bytes, subject: str) -> None:
    key, wrapped = VAULT.new_data_key(subject)
    box = key.seal(clear, position)
    assert Vault(MASTER, INDEX_KEY).unwrap(subject, wrapped).open(box, position) == clear
    assert len(wrapped) == 60
    assert len(box) == len(clear) + 28


def test_another_implementation_opens_both_as_documented() -> None:
    key, wrapped = VAULT.new_data_key("holder-1")
    box = key.seal("㛃䶮".encode(), NAME)
    raw = AESGCM(MASTER).decrypt(wrapped[:12], wrapped[12:], b"data-key/1|holder-1")
    assert len(raw) == 32
    assert AESGCM(raw).decrypt(box[:12], box[12:], NAME).decode() == "㛃䶮"


def test_two_sealed_fields_swapped_do_not_open() -> None:
    key, _ = VAULT.new_data_key("holder-1")
    name, born = key.seal("张三".encode(), NAME), key.seal(b"1970-01-01", BORN)
    for box, position in ((name, BORN), (born, NAME)):
        with pytest.raises(SealBroken):
            key.open(box, position)


def test_two_wrapped_rows_swapped_do_not_open() -> None:
    _, first = VAULT.new_data_key("holder-1")
    _, second = VAULT.new_data_key("holder-2")
    for subject, wrapped in (("holder-1", second), ("holder-2", first)):
        with pytest.raises(SealBroken):
            VAULT.unwrap(subject, wrapped)


def test_the_field_of_another_holder_does_not_open() -> None:
    mine, _ = VAULT.new_data_key("holder-1")
    yours, _ = VAULT.new_data_key("holder-2")
    with pytest.raises(SealBroken):
        yours.open(mine.seal(b"x", NAME), NAME)


def test_a_wrapped_key_of_another_vault_does_not_open() -> None:
    _, wrapped = Vault(os.urandom(32), INDEX_KEY).new_data_key("holder-1")
    with pytest.raises(SealBroken):
        VAULT.unwrap("holder-1", wrapped)


def test_every_changed_bit_and_every_cut_is_refused() -> None:
    key, wrapped = VAULT.new_data_key("holder-1")
    box = key.seal(b"1970-01-01", BORN)
    for at in range(len(box) * 8):
        changed = bytearray(box)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(SealBroken):
            key.open(bytes(changed), BORN)
    for end in range(len(wrapped)):
        with pytest.raises(SealBroken):
            VAULT.unwrap("holder-1", wrapped[:end])
    for end in range(len(box)):
        with pytest.raises(SealBroken):
            key.open(box[:end], BORN)


def test_the_same_text_is_never_sealed_to_the_same_bytes() -> None:
    key, _ = VAULT.new_data_key("holder-1")
    assert len({key.seal(b"same", NAME)[:12] for _ in range(1000)}) == 1000
    assert len({VAULT.new_data_key("holder-1")[1] for _ in range(1000)}) == 1000


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_the_blind_index_is_equal_for_equal_texts_only(text: str, other: str) -> None:
    index = VAULT.blind_index(text)
    assert index == hmac.new(INDEX_KEY, b"blind-index/1|" + text.encode(), "sha256").hexdigest()
    assert (VAULT.blind_index(other) == index) is (other == text)


def test_the_blind_index_of_another_vault_differs() -> None:
    assert Vault(MASTER, os.urandom(32)).blind_index("x") != VAULT.blind_index("x")


@pytest.mark.parametrize(
    ("master", "index"), [(b"", INDEX_KEY), (MASTER, b"short"), (MASTER, MASTER)], ids=["empty", "short", "same"]
)
def test_keys_that_are_short_or_the_same_are_refused(master: bytes, index: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Vault(master, index)


def test_neither_shows_a_secret() -> None:
    key = DataKey(MASTER)
    for shown in (repr(VAULT), repr(key)):
        assert MASTER.hex() not in shown
        assert repr(MASTER) not in shown
    assert not hasattr(key, "__dict__")
