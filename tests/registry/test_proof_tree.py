"""The tree: published roots, a second definition straight from the RFC, and going on where an edge stood."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.proof.tree import EMPTY_ROOT, RightEdge, leaf_hash

# Inputs and roots as published with the Certificate Transparency reference implementation.
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def edge_of(entries: list[bytes]) -> RightEdge:
    edge = RightEdge()
    for entry in entries:
        edge.append(leaf_hash(entry))
    return edge


def mth(entries: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word by word: k is the largest power of two smaller than n."""
    n = len(entries)
    if n == 0:
        return hashlib.sha256().digest()
    if n == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < n:
        k *= 2
    return hashlib.sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_the_published_roots(size: int) -> None:
    edge = edge_of(INPUTS[:size])
    assert (edge.size, edge.root().hex()) == (size, ROOTS[size])


def test_every_size_up_to_300_is_the_definition() -> None:
    entries, edge = [f"entry {n}".encode() for n in range(300)], RightEdge()
    assert edge.root() == mth([]) == EMPTY_ROOT
    for size, entry in enumerate(entries, 1):
        edge.append(leaf_hash(entry))
        assert edge.root() == mth(entries[:size]), size


@given(st.lists(st.binary(max_size=8), max_size=80), st.integers(0, 80))
def test_an_edge_laid_by_goes_on_as_if_it_had_never_stopped(entries: list[bytes], cut: int) -> None:
    first = edge_of(entries[:cut])
    resumed = RightEdge(first.size, first.hashes)
    for entry in entries[cut:]:
        resumed.append(leaf_hash(entry))
    assert resumed.root() == mth(entries)
    assert len(resumed.hashes) <= 7  # flat: the logarithm of 80
    assert first.root() == mth(entries[:cut]), "the first edge is not touched"


@pytest.mark.parametrize(("size", "hashes"), [(1, []), (0, [b"x" * 32]), (3, [b"x" * 32]), (1, [b"x"]), (-1, [])])
def test_what_is_no_right_edge_is_refused(size: int, hashes: list[bytes]) -> None:
    with pytest.raises(ValueError, match="right edge"):
        RightEdge(size, hashes)


def test_a_node_does_not_pass_for_a_leaf() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert edge_of([b"a", b"b"]).root() != leaf_hash(left + right)
