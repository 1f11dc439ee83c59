"""Proofs: published vectors, RFC 6962 word by word for every size up to 300, and every change of a proof refused."""

import base64
import hashlib
import json
from collections.abc import Callable
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ProofInvalid
from registry.proof.proofs import (
    HashReader,
    consistency_proof,
    inclusion_proof,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from registry.proof.tree import EMPTY_ROOT, RightEdge

# A second definition, straight from RFC 6962 section 2.1. D[begin:end] is named by its bounds, so that it can be kept.

D = [b"entry %d" % n for n in range(2000)]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def largest_power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


@cache
def mth(begin: int, end: int) -> bytes:
    """MTH(D[begin:end]), section 2.1."""
    n = end - begin
    if n == 0:
        return sha256(b"")
    if n == 1:
        return sha256(b"\x00" + D[begin])
    k = largest_power_below(n)
    return sha256(b"\x01" + mth(begin, begin + k) + mth(begin + k, end))


def path(m: int, begin: int, end: int) -> list[bytes]:
    """PATH(m, D[begin:end]), section 2.1.1."""
    n = end - begin
    if n == 1:
        return []
    k = largest_power_below(n)
    if m < k:
        return [*path(m, begin, begin + k), mth(begin + k, end)]
    return [*path(m - k, begin + k, end), mth(begin, begin + k)]


def subproof(m: int, begin: int, end: int, b: bool) -> list[bytes]:
    """SUBPROOF(m, D[begin:end], b), section 2.1.2."""
    n = end - begin
    if m == n:
        return [] if b else [mth(begin, end)]
    k = largest_power_below(n)
    if m <= k:
        return [*subproof(m, begin, begin + k, b), mth(begin + k, end)]
    return [*subproof(m - k, begin + k, end, False), mth(begin, begin + k)]


def way(m: int, n: int) -> str:
    """The turns from leaf m to the root: what an inclusion proof says of index and size besides its hashes."""
    if n == 1:
        return ""
    k = largest_power_below(n)
    return way(m, k) + "<" if m < k else way(m - k, n - k) + ">"


def growth(m: int, n: int, b: bool = True) -> str:
    """The turns of SUBPROOF: what a consistency proof says of the two sizes besides its hashes."""
    if m == n:
        return "whole" if b else "part"
    k = largest_power_below(n)
    return growth(m, k, b) + "<" if m <= k else growth(m - k, n - k, False) + ">"


class Reader:
    """Reads complete subtrees of the first `size` leaves, counts, and knows nothing else."""

    def __init__(self, size: int) -> None:
        self.size, self.reads = size, 0

    def __call__(self, level: int, index: int) -> bytes:
        begin, end = index << level, (index + 1) << level
        assert 0 <= begin < end <= self.size, "asked for what is not a complete subtree"
        self.reads += 1
        return mth(begin, end)


def holds(check: Callable[..., None], *claim: Any) -> bool:
    try:
        check(*claim)
    except ProofInvalid:
        return False
    return True


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# Published vectors

INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
# Published with the Certificate Transparency reference implementation; leaves counted from 0 here.
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
    (6, 7): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}


def published_reader() -> HashReader:
    """Complete subtrees of the eight published leaves, added up level by level."""
    levels = [[sha256(b"\x00" + entry) for entry in INPUTS]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([sha256(b"\x01" + below[n] + below[n + 1]) for n in range(0, len(below), 2)])
    return lambda level, index: levels[level][index]


@pytest.mark.parametrize("size", range(9))
def test_the_published_roots(size: int) -> None:
    assert tree_root(size, published_reader()) == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_the_published_inclusion_proofs(index: int, size: int) -> None:
    proof = [bytes.fromhex(one) for one in INCLUSION[index, size]]
    assert inclusion_proof(index, size, published_reader()) == proof
    verify_inclusion(sha256(b"\x00" + INPUTS[index]), index, size, proof, ROOTS[size])


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_the_published_consistency_proofs(old: int, new: int) -> None:
    proof = [bytes.fromhex(one) for one in CONSISTENCY[old, new]]
    assert consistency_proof(old, new, published_reader()) == proof
    verify_consistency(old, ROOTS[old], new, ROOTS[new], proof)


def published(name: str) -> list[Any]:
    file = Path(__file__).parents[1] / "golden" / "merkle" / f"{name}.json"
    vectors = json.loads(file.read_text())["vectors"]
    assert {vector["wantErr"] for vector in vectors} == {True, False}
    return [pytest.param(vector, id=vector["file"]) for vector in vectors]


def decoded(vector: dict[str, Any], field: str) -> bytes:
    return base64.b64decode(vector[field], validate=True)


def proof_of(vector: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(one, validate=True) for one in vector["proof"] or []]


@pytest.mark.parametrize("vector", published("inclusion"))
def test_inclusion_is_judged_as_by_transparency_dev(vector: dict[str, Any]) -> None:
    claim = (decoded(vector, "leafHash"), vector["leafIdx"], vector["treeSize"], proof_of(vector))
    assert holds(verify_inclusion, *claim, decoded(vector, "root")) is not vector["wantErr"]


@pytest.mark.parametrize("vector", published("consistency"))
def test_consistency_is_judged_as_by_transparency_dev(vector: dict[str, Any]) -> None:
    old, new = (vector["size1"], decoded(vector, "root1")), (vector["size2"], decoded(vector, "root2"))
    assert holds(verify_consistency, *old, *new, proof_of(vector)) is not vector["wantErr"]


# Every size


def test_roots_are_the_definition_and_those_of_the_right_edge_at_every_size_up_to_300() -> None:
    edge = RightEdge()
    for size in range(301):
        reader = Reader(size)
        assert tree_root(size, reader) == mth(0, size) == edge.root()
        assert reader.reads == size.bit_count()
        edge.append(mth(size, size + 1))


def test_inclusion_is_the_definition_at_every_index_of_every_size_up_to_300() -> None:
    for size in range(1, 301):
        reader, root = Reader(size), mth(0, size)
        for index in range(size):
            reader.reads = 0
            proof = inclusion_proof(index, size, reader)
            assert proof == path(index, 0, size), (index, size)
            assert reader.reads <= 2 * size.bit_length()
            verify_inclusion(mth(index, index + 1), index, size, proof, root)


def test_consistency_is_the_definition_at_every_pair_of_sizes_up_to_300() -> None:
    for new in range(301):
        reader, root = Reader(new), mth(0, new)
        for old in range(new + 1):
            reader.reads = 0
            proof = consistency_proof(old, new, reader)
            assert proof == ([] if old == 0 else subproof(old, 0, new, True)), (old, new)
            assert reader.reads <= 2 * new.bit_length()
            verify_consistency(old, mth(0, old), new, root, proof)


@given(st.data())
def test_inclusion_at_any_size_up_to_2000(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 2000))
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, Reader(size))
    assert proof == path(index, 0, size)
    verify_inclusion(mth(index, index + 1), index, size, proof, mth(0, size))


@given(st.data())
def test_consistency_at_any_sizes_up_to_2000(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, 2000))
    old = data.draw(st.integers(1, new))
    proof = consistency_proof(old, new, Reader(new))
    assert proof == subproof(old, 0, new, True)
    verify_consistency(old, mth(0, old), new, mth(0, new), proof)


def test_a_tree_of_two_to_the_forty_costs_no_more_than_its_height() -> None:
    """No list of leaves could be held: a proof asks only for what it needs."""
    asked: list[tuple[int, int]] = []

    def reader(level: int, index: int) -> bytes:
        asked.append((level, index))
        return sha256(b"%d %d" % (level, index))

    size, index = (1 << 40) + 12345, 1 << 39
    inclusion_proof(index, size, reader)
    consistency_proof(index + 777, size, reader)
    tree_root(size, reader)
    assert len(asked) < 5 * 41


# Changes. The leaves are all different, as ours are: each names its position in the log.


@given(st.data())
def test_a_flipped_bit_of_leaf_proof_or_root_breaks_inclusion(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 2000))
    index = data.draw(st.integers(0, size - 1))
    hashes = [mth(index, index + 1), *path(index, 0, size), mth(0, size)]
    which = data.draw(st.integers(0, len(hashes) - 1))
    hashes[which] = flipped(hashes[which], data.draw(st.integers(0, 255)))
    assert not holds(verify_inclusion, hashes[0], index, size, hashes[1:-1], hashes[-1])


@given(st.data())
def test_a_flipped_bit_of_proof_or_root_breaks_consistency(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, 2000))
    old = data.draw(st.integers(1, new))
    hashes = [mth(0, old), *subproof(old, 0, new, True), mth(0, new)]
    which = data.draw(st.integers(0, len(hashes) - 1))
    hashes[which] = flipped(hashes[which], data.draw(st.integers(0, 255)))
    assert not holds(verify_consistency, old, hashes[0], new, hashes[-1], hashes[1:-1])


def test_no_leaf_passes_at_another_index_of_the_same_tree() -> None:
    for size in range(1, 65):
        root = mth(0, size)
        for index in range(size):
            leaf, proof = mth(index, index + 1), path(index, 0, size)
            passing = [
                other for other in range(-1, size + 2) if holds(verify_inclusion, leaf, other, size, proof, root)
            ]
            assert passing == [index], size


def test_another_index_or_size_passes_only_where_the_way_to_the_root_is_the_same() -> None:
    """Leaf 0 of 5 and of 8 leaves have ways of one shape: only the signed checkpoint says which size the root has."""
    claims = [(index, size) for size in range(1, 18) for index in range(size)]
    same = 0
    for (index, size), (other, its_size) in product(claims, claims):
        proof, root = path(index, 0, size), mth(0, size)
        passes = holds(verify_inclusion, mth(index, index + 1), other, its_size, proof, root)
        assert passes is (way(index, size) == way(other, its_size)), (index, size, other, its_size)
        same += passes
    assert same > len(claims)


def test_other_sizes_are_consistent_only_where_the_growth_is_the_same() -> None:
    pairs = list(combinations(range(1, 18), 2))
    others = [*pairs, *((size, size) for size in range(18)), *((0, size) for size in range(18))]
    same = 0
    for (old, new), (its_old, its_new) in product(pairs, others):
        proof = subproof(old, 0, new, True)
        passes = holds(verify_consistency, its_old, mth(0, old), its_new, mth(0, new), proof)
        alike = its_old > 0 and growth(old, new) == growth(its_old, its_new)
        assert passes is alike, (old, new, its_old, its_new)
        same += passes
    assert same > len(pairs)


def test_no_old_root_of_another_size_is_consistent() -> None:
    for old, new in combinations(range(1, 40), 2):
        proof, root = subproof(old, 0, new, True), mth(0, new)
        for wrong in set(range(41)) - {old}:
            assert not holds(verify_consistency, old, mth(0, wrong), new, root, proof)
        for wrong in set(range(41)) - {new}:
            assert not holds(verify_consistency, old, mth(0, old), new, mth(0, wrong), proof)


# Refusals

SIZES = (1, 2, 3, 6, 7, 8, 11)


def refused_inclusion(index: int, size: int, **changed: Any) -> str:
    claim = {"leaf": mth(index, index + 1), "proof": path(index, 0, size), "root": mth(0, size)} | changed
    with pytest.raises(ProofInvalid) as caught:
        verify_inclusion(index=claim.get("at", index), size=size, **{k: v for k, v in claim.items() if k != "at"})
    assert caught.value.fix
    return caught.value.message


def refused_consistency(old: int, new: int, proof: list[bytes], old_root: bytes, new_root: bytes) -> str:
    with pytest.raises(ProofInvalid) as caught:
        verify_consistency(old, old_root, new, new_root, proof)
    assert caught.value.fix
    return caught.value.message


@pytest.mark.parametrize("size", SIZES)
def test_a_proof_that_is_too_long_or_too_short_is_refused(size: int) -> None:
    proof = path(1 % size, 0, size)
    for more in ([*proof, mth(0, size)], [mth(0, size), *proof]):
        refused_inclusion(1 % size, size, proof=more)
    for n in range(len(proof)):
        refused_inclusion(1 % size, size, proof=proof[:n])
        refused_inclusion(1 % size, size, proof=proof[n + 1 :])


@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 3), (3, 7), (4, 8), (6, 8), (7, 11)])
def test_a_consistency_proof_that_is_too_long_or_too_short_is_refused(old: int, new: int) -> None:
    proof, roots = subproof(old, 0, new, True), (mth(0, old), mth(0, new))
    for extra in (*roots, *proof):
        refused_consistency(old, new, [*proof, extra], *roots)
        refused_consistency(old, new, [extra, *proof], *roots)
    for n in range(len(proof)):
        refused_consistency(old, new, proof[:n], *roots)
        refused_consistency(old, new, proof[n + 1 :], *roots)


@pytest.mark.parametrize("at", [-1, -5, 5, 6, 1 << 64])
def test_an_index_outside_of_the_tree_is_refused(at: int) -> None:
    assert "5" in refused_inclusion(2, 5, at=at)


@pytest.mark.parametrize("size", [0, -1, -8])
def test_a_tree_without_leaves_includes_nothing(size: int) -> None:
    for index in (-1, 0, 1):
        assert not holds(verify_inclusion, mth(0, 1), index, size, [], EMPTY_ROOT)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_what_is_not_32_bytes_long_is_no_hash(length: int) -> None:
    wrong, proof = bytes(length), path(2, 0, 5)
    messages = {refused_inclusion(2, 5, leaf=wrong), refused_inclusion(2, 5, root=wrong)}
    messages |= {refused_inclusion(2, 5, proof=[*proof[:n], wrong, *proof[n + 1 :]]) for n in range(len(proof))}
    grown = subproof(3, 0, 5, True)
    messages |= {refused_consistency(3, 5, [*grown[:n], wrong, *grown[n + 1 :]], mth(0, 3), mth(0, 5)) for n in (0, 1)}
    messages |= {refused_consistency(3, 5, grown, wrong, mth(0, 5)), refused_consistency(3, 5, grown, mth(0, 3), wrong)}
    messages |= {refused_consistency(size, size, [], wrong, wrong) for size in (0, 3)}
    messages.add(refused_consistency(0, 3, [], EMPTY_ROOT, wrong))
    assert all("32" in message for message in messages)


@pytest.mark.parametrize(("old", "new"), [(2, 1), (1, 0), (-1, 0), (-1, 3), (-2, -1), (-1, -1), (0, -1)])
def test_a_log_neither_shrinks_nor_has_a_negative_size(old: int, new: int) -> None:
    roots = mth(0, max(old, 0)), mth(0, max(new, 0))
    refused_consistency(old, new, [], *roots)
    refused_consistency(old, new, [mth(0, 1)], *roots)


def test_two_equal_sizes_have_one_root_and_no_proof() -> None:
    for size in (0, 1, 2, 7):
        root, other = mth(0, size), mth(0, 3)
        verify_consistency(size, root, size, root, [])
        refused_consistency(size, size, [root], root, root)
        refused_consistency(size, size, [], root, other)
        refused_consistency(size, size, [], other, root)


def test_no_leaves_have_the_one_empty_root_however_alike_two_others_are() -> None:
    refused_consistency(0, 0, [], mth(0, 3), mth(0, 3))


def test_anything_extends_the_empty_tree_but_only_its_real_root() -> None:
    verify_consistency(0, EMPTY_ROOT, 5, mth(0, 5), [])
    refused_consistency(0, 5, [mth(0, 5)], EMPTY_ROOT, mth(0, 5))
    refused_consistency(0, 5, [], mth(0, 1), mth(0, 5))
    refused_consistency(0, 5, [], mth(0, 5), mth(0, 5))


def test_what_cannot_be_proven_is_not_made() -> None:
    reader = Reader(5)
    for index, size in ((5, 5), (-1, 5), (0, 0), (0, -1), (6, 5)):
        with pytest.raises(ValueError, match=str(index)):
            inclusion_proof(index, size, reader)
    for old, new in ((5, 4), (-1, 5), (-2, -1), (1, 0)):
        with pytest.raises(ValueError, match=str(old)):
            consistency_proof(old, new, reader)
    with pytest.raises(ValueError, match="-1"):
        tree_root(-1, reader)
    assert reader.reads == 0


def test_a_forked_log_is_found_at_every_place() -> None:
    """Two logs of 11 leaves that part at one leaf: nothing proves the one to extend the other past that place."""
    for place in range(11):
        forked = list(D[:11])
        forked[place] = b"something else"
        edge = RightEdge()
        for entry in forked:
            edge.append(sha256(b"\x00" + entry))
        for old in range(1, 11):
            proof = subproof(old, 0, 11, True)
            assert not holds(verify_consistency, old, mth(0, old), 11, edge.root(), proof)
