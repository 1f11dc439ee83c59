"""Inclusion and consistency proofs over a tree whose complete subtrees can be read (RFC 6962 section 2.1).

Both proofs walk from the root down to one place and note what stands beside the way: O(log n) subtrees, of which only
those at the right edge are not complete and are put together. Verification is that of RFC 9162 sections 2.1.3.2 and
2.1.4.2, which says for every bit of index and size whether a hash stands left or right.

A proof binds the leaf and the roots. It binds index and sizes only so far as another way to the root belongs to them
(leaf 0 of 5 and of 8 leaves have ways of one shape): the sizes must come from a signed checkpoint.
"""

from collections.abc import Callable, Sequence

from registry.errors import ProofInvalid
from registry.proof.tree import EMPTY_ROOT, HASH_SIZE, node_hash

HashReader = Callable[[int, int], bytes]
"""(level, index): the root of the complete subtree of 2**level leaves, the index-th at that level."""


def tree_root(size: int, reader: HashReader) -> bytes:
    """The root over the first `size` leaves, by the recursive definition. ValueError for a negative size."""
    if size < 0:
        raise ValueError(f"a tree has no {size} leaves")
    return _root(0, size, reader) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, reader: HashReader) -> list[bytes]:
    """The audit path of a leaf (section 2.1.1), from its sibling up. ValueError unless 0 <= index < size."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    path, begin, end = list[bytes](), 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(_root(middle, end, reader))
            end = middle
        else:
            path.append(_root(begin, middle, reader))
            begin = middle
    return path[::-1]


def consistency_proof(old: int, new: int, reader: HashReader) -> list[bytes]:
    """The proof that the tree of the new size extends that of the old one (section 2.1.2).

    Empty for equal sizes and for old 0. ValueError unless 0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise ValueError(f"there is no proof from size {old} to {new}")
    if old in (0, new):
        return []
    path, begin, end = list[bytes](), 0, new
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            path.append(_root(middle, end, reader))
            end = middle
        else:
            path.append(_root(begin, middle, reader))
            begin = middle
    known = begin == 0  # what is left is the whole old tree, whose root the verifier has
    return [*([] if known else [_root(begin, end, reader)]), *path[::-1]]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return if the leaf hash is at that index of the tree with that root. Raise ProofInvalid otherwise."""
    if not 0 <= index < size:
        raise ProofInvalid(f"规模 {size} 的树没有第 {index} 个叶子", fix="核对证明和检查点")
    _check_hashes(leaf, root, *proof)
    at, last, found = index, size - 1, leaf
    for one in proof:
        if last == 0:
            raise ProofInvalid("包含证明太长", fix="重新取得证明")
        if at & 1 or at == last:
            found = node_hash(one, found)
            at, last = _skip_edge(at, last)
        else:
            found = node_hash(found, one)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofInvalid("包含证明太短", fix="重新取得证明")
    if found != root:
        raise ProofInvalid("包含证明得出的根不是检查点的根", fix="核对条目、证明和检查点是否属于同一份")


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Return if the new tree begins with the old one. Raise ProofInvalid otherwise.

    The empty tree begins every tree; its root must be that of no leaves, and the proof empty.
    """
    if not 0 <= old_size <= new_size:
        raise ProofInvalid(f"规模不能从 {old_size} 到 {new_size}", fix="核对两个检查点的先后")
    _check_hashes(old_root, new_root, *proof)
    if old_size in (0, new_size):
        expected = EMPTY_ROOT if old_size == 0 else new_root
        if proof or old_root != expected or (new_size == 0 and new_root != EMPTY_ROOT):
            raise ProofInvalid("两个检查点的根不一致，或证明应为空", fix="保留两个检查点：这可能是日志分叉")
        return
    _verify_growth(old_size, old_root, new_size, new_root, proof)


def _verify_growth(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]  # a complete old tree is its own beginning
    if not path:
        raise ProofInvalid("一致性证明太短", fix="重新取得证明")
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for one in path[1:]:
        if last == 0:
            raise ProofInvalid("一致性证明太长", fix="重新取得证明")
        if at & 1 or at == last:
            old, new = node_hash(one, old), node_hash(one, new)
            at, last = _skip_edge(at, last)
        else:
            new = node_hash(new, one)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofInvalid("一致性证明太短", fix="重新取得证明")
    if (old, new) != (old_root, new_root):
        raise ProofInvalid("一致性证明不成立：新的日志不是旧的延续", fix="保留两个检查点：这可能是日志分叉")


def _skip_edge(at: int, last: int) -> tuple[int, int]:
    """Go up past the levels at which a node at the right edge has no sibling."""
    while at and not at & 1:
        at, last = at >> 1, last >> 1
    return at, last


def _check_hashes(*hashes: bytes) -> None:
    if any(len(one) != HASH_SIZE for one in hashes):
        raise ProofInvalid("哈希须为 32 字节", fix="重新取得证明")


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1


def _root(begin: int, end: int, reader: HashReader) -> bytes:
    """The root over the leaves from `begin` to before `end`: a part that the recursive definition cuts out."""
    size = end - begin
    if size & (size - 1) == 0:
        return reader(size.bit_length() - 1, begin // size)
    middle = begin + _split(size)
    return node_hash(_root(begin, middle, reader), _root(middle, end, reader))
