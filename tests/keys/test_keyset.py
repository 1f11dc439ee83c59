"""Key set documents: who must approve, what may follow what. A second reader, with `cryptography` alone, must agree."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from keys import keychange
from keys.errors import KeyNotUsable, KeySetRefused, UnknownKey
from keys.keyring import KeyRecord
from keys.keyset import (
    Approval,
    Approver,
    KeySet,
    SignedKeySet,
    _check_lives,
    approve,
    canonical,
    check_chain,
    check_next,
    digest_of,
    missing,
    parse,
)
from keys.signing import KeyState, Purpose, Signer, sign

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(days=400)
PEOPLE = [Signer(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32), Purpose.KEY_SET) for n in range(1, 8)]
TOKENS = [Signer(derive_private_key(n, SECP256R1()), Purpose.E_CERTIFICATE) for n in range(2, 6)]
LOG = Signer(Ed25519PrivateKey.from_private_bytes(b"L" * 32), Purpose.CHECKPOINT)


def person(n: int, label: str = "") -> Approver:
    key = PEOPLE[n].public.key
    assert isinstance(key, Ed25519PublicKey)
    return Approver.of(key, label or f"第{n}人", offline=True)


def record(signer: Signer, **more: Any) -> KeyRecord:
    return KeyRecord(signer.kid, signer.algorithm, signer.purpose, signer.public.spki(), NOW, LATER, **more)


def set_of(n: int = 3, k: int = 2, **changes: Any) -> KeySet:
    fields: dict[str, Any] = {
        "version": 1,
        "created": NOW,
        "previous": None,
        "threshold": k,
        "approvers": tuple(person(i) for i in range(n)),
        "keys": (record(TOKENS[0]), record(LOG)),
    }
    return KeySet(**fields | changes)


def after(before: KeySet, **changes: Any) -> KeySet:
    follows = {"version": before.version + 1, "previous": digest_of(canonical(before))}
    return msgspec.structs.replace(before, **follows | changes)


def approvals(document: str, *who: int) -> list[Approval]:
    return [approve(PEOPLE[n], document) for n in who]


# a second reader


def second_reader(previous: str | None, document: str, given: Sequence[tuple[str, bytes]]) -> bool:
    """Whether a document may come into force, by the published description of the format alone."""
    new, old = json.loads(document), json.loads(previous) if previous else None
    if json.dumps(new, sort_keys=True, separators=(",", ":"), ensure_ascii=False) != document:
        return False
    hash_before = hashlib.sha256(previous.encode()).hexdigest() if previous else None
    if (new["version"], new["previous"]) != ((old["version"] + 1 if old else 1), hash_before):
        return False
    approving = set()
    for kid, signature in given:
        (x,) = {one["x"] for each in (old, new) if each for one in each["approvers"] if one["kid"] == kid}
        key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x + "="))
        try:
            key.verify(signature, b"title-registry/signed/1\0key-set/1\0" + document.encode())
        except InvalidSignature:
            return False
        approving.add(kid)
    for each in (old, new):
        if each and len(approving & {one["kid"] for one in each["approvers"]}) < each["threshold"]:
            return False
    order = ["active", "retired", "compromised"]
    now = {one["kid"]: one for one in new["keys"]}
    for one in old["keys"] if old else ():
        there = now.get(one["kid"])
        if there is None or order.index(there["state"]) < order.index(one["state"]):
            return False
        if one["compromised_from"] is not None and there["compromised_from"] > one["compromised_from"]:
            return False
    return True


def accepted(previous: str | None, document: str, given: Sequence[Approval]) -> bool:
    """Whether ours accepts it; the second reader must say the same."""
    try:
        check_next(previous, document, given)
    except KeySetRefused:
        ours = False
    else:
        ours = True
    assert second_reader(previous, document, [(one.kid, one.signature) for one in given]) is ours
    return ours


# the document


def test_a_document_has_one_spelling() -> None:
    keyset = set_of()
    document = canonical(keyset)
    assert parse(document) == keyset
    written = json.loads(document)
    assert (written["type"], written["version"], written["created"]) == ("key-set/1", 1, "2026-03-01T09:30:00Z")
    assert written["keys"][0]["compromised_from"] is None
    assert written["keys"][0]["nbf"] == int(NOW.timestamp())
    assert "第0人" in document
    assert digest_of(document) == hashlib.sha256(document.encode()).hexdigest()


RESPELLED: dict[str, Callable[[str], str]] = {
    "a blank": lambda text: text.replace(":", ": ", 1),
    "a line end": lambda text: text + "\n",
    "escaped": lambda text: text.replace("第", "\\u7b2c", 1),
    "another order": lambda text: json.dumps(dict(reversed(json.loads(text).items())), separators=(",", ":")),
    "a member twice": lambda text: text.replace('"version":1', '"version":2,"version":1'),
    "a fraction": lambda text: text.replace('"version":1', '"version":1.0'),
    "a member more": lambda text: text.replace('"version":1', '"version":1,"zeal":1'),
    "a member of a key more": lambda text: text.replace('"use":"sig"', '"use":"sig","x5u":"http://a"', 1),
    "a member less": lambda text: text.replace('"version":1,', "").replace(',"version":1', ""),
    "no such day": lambda text: text.replace("2026-03-01", "2026-02-30"),
    "not JSON": lambda text: text[:-1],
    "half a character": lambda text: text.replace("第", "\ud800", 1),
    "a private key": lambda text: text.replace('"use":"sig"', '"d":"AA","use":"sig"', 1),
    "too long": lambda text: text.replace("第0人", "人" * 400_000),
}


@pytest.mark.parametrize("respell", RESPELLED.values(), ids=RESPELLED)
def test_any_other_spelling_is_refused(respell: Callable[[str], str]) -> None:
    document = canonical(set_of())
    changed = respell(document)
    assert changed != document
    with pytest.raises(KeySetRefused):
        parse(changed)


@given(st.integers(0, 1200), st.characters(codec="utf-8"))
@settings(max_examples=60)
def test_no_text_but_the_canonical_one_is_ever_read(place: int, character: str) -> None:
    document = canonical(set_of())
    changed = document[: place % len(document)] + character + document[place % len(document) + 1 :]
    try:
        read = parse(changed)
    except KeySetRefused:
        return
    assert canonical(read) == changed


IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "version 0": ({"version": 0}, "版本从 1 起"),
    "a first version after another": ({"previous": "0" * 64}, "版本从 1 起"),
    "a second version after none": ({"version": 2}, "版本从 1 起"),
    "a hash that is none": ({"version": 2, "previous": "A" * 64}, "十六进制"),
    "nobody need approve": ({"threshold": 0}, "门槛"),
    "more than there are": ({"threshold": 4}, "门槛"),
    "no approver": ({"threshold": 1, "approvers": ()}, "门槛"),
    "one key twice": ({"approvers": (person(0), person(0, "另一人"))}, "写了两次"),
    "one person with two keys": ({"approvers": (person(0, "甲"), person(1, "甲"))}, "一人只有一把"),
    "a person without a name": ({"threshold": 1, "approvers": (msgspec.structs.replace(person(0), label=""),)}, "姓名"),
    "a name in blanks": ({"threshold": 1, "approvers": (msgspec.structs.replace(person(0), label=" 甲"),)}, "首尾"),
    "an id of another": ({"approvers": (msgspec.structs.replace(person(0), kid="aaaaaaaa"), person(1))}, "与公钥不符"),
    "no public key": ({"approvers": (msgspec.structs.replace(person(0), x="AA"), person(1))}, "公钥无效"),
    "an approver who issues": (
        {"keys": (record(Signer(PEOPLE[0]._key, Purpose.CHECKPOINT)),)},
        "不能用于签发",
    ),
    "an approver's purpose": ({"keys": (record(PEOPLE[5]),)}, "不能用于签发"),
    "compromised, but since when": ({"keys": (record(LOG, state=KeyState.COMPROMISED),)}, "日志位置"),
    "compromised from below": (
        {"keys": (record(LOG, state=KeyState.COMPROMISED, compromised_from=-1),)},
        "日志位置",
    ),
    "no time to sign": ({"keys": (msgspec.structs.replace(record(LOG), not_after=NOW),)}, "有效期为空"),
}


@pytest.mark.parametrize(("changes", "why"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_cannot_be_is_refused(changes: dict[str, Any], why: str) -> None:
    document = canonical(set_of(**changes))
    with pytest.raises(KeySetRefused, match=why):
        parse(document)
    with pytest.raises(KeySetRefused, match=why):
        approve(PEOPLE[0], document)


# who must approve


@given(st.data(), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=60)
def test_k_of_the_set_before_and_k_of_its_own_and_not_one_less(data: st.DataObject, n: int, m: int) -> None:
    old_k, new_k = data.draw(st.integers(1, n)), data.draw(st.integers(1, m))
    shift = data.draw(st.integers(0, 2))
    before = set_of(n, old_k)
    following = after(before, threshold=new_k, approvers=tuple(person(i + shift) for i in range(m)))
    old, new = canonical(before), canonical(following)
    everyone = sorted({*range(n), *range(shift, m + shift)})
    who = data.draw(st.lists(st.sampled_from(everyone), max_size=9))  # the same person twice counts once
    enough = len(set(who) & set(range(n))) >= old_k and len(set(who) & set(range(shift, m + shift))) >= new_k
    given = approvals(new, *who)
    assert accepted(old, new, given) is enough
    assert (missing(before, following, given) == (0, 0)) is enough


def test_every_two_of_three_are_enough_and_no_one_alone() -> None:
    before = set_of(3, 2)
    old, new = canonical(before), canonical(after(before, created=LATER))
    for pair in combinations(range(3), 2):
        assert accepted(old, new, approvals(new, *pair))
    for one in range(3):
        with pytest.raises(KeySetRefused, match="须有 2 名不同的批准人批准，只有 1 名"):
            check_next(old, new, approvals(new, one, one, one))


def test_the_first_version_needs_its_own_approvers() -> None:
    document = canonical(set_of(3, 2))
    assert accepted(None, document, approvals(document, 0, 2))
    assert not accepted(None, document, approvals(document, 0))


def test_new_people_cannot_appoint_themselves_nor_be_appointed_unasked() -> None:
    before = set_of(2, 2)
    new = canonical(after(before, threshold=1, approvers=(person(5), person(6))))
    for who, why in (((5, 6), "现行"), ((0, 1), "新"), ((0, 5), "现行")):
        with pytest.raises(KeySetRefused, match=why):
            check_next(canonical(before), new, approvals(new, *who))
    assert accepted(canonical(before), new, approvals(new, 0, 1, 6))


def test_an_approval_that_is_not_one_is_refused() -> None:
    document = canonical(set_of(3, 1))
    good = approvals(document, 0)
    with pytest.raises(KeySetRefused, match="不是批准人"):
        check_next(None, document, [*good, *approvals(document, 6)])
    other = approvals(canonical(set_of(3, 2)), 1)
    for bad in (other, [Approval(PEOPLE[1].kid, good[0].signature)], [Approval(PEOPLE[1].kid, b"")]):
        with pytest.raises(KeySetRefused, match=r"第1人.*与文件不符"):
            check_next(None, document, [*good, *bad])
    with pytest.raises(KeyNotUsable, match="用途"):
        approve(LOG, document)
    same_key = Signer(PEOPLE[0]._key, Purpose.CHECKPOINT)  # a signature for another purpose, by the very same key
    moved = Approval(PEOPLE[0].kid, sign(same_key, Purpose.CHECKPOINT, document.encode()))
    with pytest.raises(KeySetRefused, match="与文件不符"):
        check_next(None, document, [moved])


# what may follow


def test_neither_a_step_back_nor_a_jump_nor_another_history() -> None:
    one = set_of(3, 1)
    two = after(one, created=LATER)
    three = after(two)
    texts = [canonical(each) for each in (one, two, three)]
    for previous, document, why in (
        (texts[1], texts[0], "版本应为 3，实为 1"),
        (texts[1], texts[1], "版本应为 3，实为 2"),
        (texts[0], texts[2], "版本应为 2，实为 3"),
        (None, texts[1], "版本应为 1，实为 2"),
        (canonical(set_of(3, 2)), texts[1], "不是接在现行密钥集之后"),
    ):
        given = approvals(document, 0, 1)
        with pytest.raises(KeySetRefused, match=why):
            check_next(previous, document, given)
        assert not accepted(previous, document, given)
    assert accepted(texts[1], texts[2], approvals(texts[2], 0))


def given_up(position: int) -> KeyRecord:
    return record(TOKENS[0], state=KeyState.COMPROMISED, compromised_from=position)


RETIRED = record(TOKENS[0], state=KeyState.RETIRED)
LIVES: dict[str, tuple[KeyRecord, tuple[KeyRecord, ...], str]] = {
    "lost": (record(TOKENS[0]), (), "不见了"),
    "active again": (RETIRED, (record(TOKENS[0]),), "不能改回 active"),
    "trusted again": (given_up(5), (record(TOKENS[0]),), "不能改回 active"),
    "merely retired": (given_up(5), (RETIRED,), "不能改回 retired"),
    "later": (given_up(5), (given_up(6),), "只能提前"),
    "longer": (
        record(TOKENS[0]),
        (msgspec.structs.replace(record(TOKENS[0]), not_after=LATER + timedelta(days=1)),),
        "被改动",
    ),
    "for another purpose": (
        record(TOKENS[0]),
        (msgspec.structs.replace(record(TOKENS[0]), purpose=Purpose.DOCUMENT),),
        "被改动",
    ),
}


@pytest.mark.parametrize(("old", "new", "why"), LIVES.values(), ids=LIVES)
def test_no_key_comes_back_or_is_altered(old: KeyRecord, new: tuple[KeyRecord, ...], why: str) -> None:
    before = set_of(1, 1, keys=(old,))
    document = canonical(after(before, keys=new))
    with pytest.raises(KeySetRefused, match=why):
        check_next(canonical(before), document, approvals(document, 0))


@given(st.lists(st.sampled_from([record(TOKENS[0]), RETIRED, *map(given_up, range(4))]), min_size=2, max_size=5))
@settings(max_examples=60)
def test_whatever_is_published_a_key_only_ever_counts_for_less(lives: list[KeyRecord]) -> None:
    current = set_of(1, 1, keys=(lives[0],))
    for life in lives[1:]:
        following = after(current, keys=(life,))
        document = canonical(following)
        if not accepted(canonical(current), document, approvals(document, 0)):
            continue
        old, new = current.keys[0], following.keys[0]
        assert all(old.counts(leaf) or not new.counts(leaf) for leaf in range(6))
        assert new.state is not KeyState.ACTIVE or old.state is KeyState.ACTIVE
        current = following


def test_an_approver_of_before_cannot_become_a_key_that_issues() -> None:
    before = set_of(2, 1)
    turned = record(Signer(PEOPLE[0]._key, Purpose.CHECKPOINT))
    document = canonical(after(before, approvers=(person(1),), threshold=1, keys=(*before.keys, turned)))
    with pytest.raises(KeySetRefused, match="不能用于签发"):
        check_next(canonical(before), document, approvals(document, 1))


def test_an_approvers_id_never_passes_to_another_key() -> None:
    """Ids have 40 bits: a key that was searched for until it has another's id must not approve in their name."""
    before = set_of(2, 1)
    found = msgspec.structs.replace(person(0), x=person(5).x)  # as such a search would end
    with pytest.raises(KeySetRefused, match="换成了另一把公钥"):
        _check_lives(before, after(before, approvers=(found, person(1))))


# chains, and what a rotation and a compromise make


def signed(keyset: KeySet, *who: int) -> SignedKeySet:
    document = canonical(keyset)
    return SignedKeySet(document, tuple(approvals(document, *who)))


def test_a_chain_of_changes() -> None:
    one = keychange.first((record(TOKENS[0]), record(LOG)), person(0), NOW)
    two = keychange.rotated(one, record(TOKENS[1]), LATER)
    assert [key.state for key in two.keys] == [KeyState.RETIRED, KeyState.ACTIVE, KeyState.ACTIVE]
    three = keychange.handed_over(two, 2, [person(1), person(2), person(3)], LATER)
    four = keychange.compromised(three, TOKENS[1].kid, 9, record(TOKENS[2]), LATER)
    assert (four.key(TOKENS[1].kid).compromised_from, four.key(TOKENS[2].kid).state) == (9, KeyState.ACTIVE)
    chain = [signed(one, 0), signed(two, 0), signed(three, 0, 1, 2), signed(four, 1, 3)]
    assert check_chain(chain) == four
    assert check_chain(chain[2:], chain[1].document) == four
    assert check_chain(chain[2:], chain[2].document) == four
    for broken in (chain[1:], chain[:2] + chain[3:], chain[::-1], [*chain[:3], signed(four, 0, 1)], []):
        with pytest.raises(KeySetRefused):
            check_chain(broken)
    with pytest.raises(UnknownKey):
        keychange.compromised(four, "nosuchid", 1, None, LATER)


def test_what_a_document_changes_is_said_in_words() -> None:
    one = keychange.first((record(TOKENS[0]),), person(0), NOW)
    assert [each.en for each in keychange.differences(None, one)] == [
        f"new key {TOKENS[0].kid} (e-certificate/1, ES256), active, 2026-03-01 - 2027-04-05",
        f"new approver 第0人 ({PEOPLE[0].kid}), kept off line",
        "1 of 1 approvers must approve",
    ]
    two = keychange.compromised(one, TOKENS[0].kid, 4, None, NOW)
    (difference,) = keychange.differences(one, two)
    assert difference.zh == f"密钥 {TOKENS[0].kid} (e-certificate/1, ES256)：在用 → 已泄露，自日志位置 4 起"
    assert difference.en == f"key {TOKENS[0].kid} (e-certificate/1, ES256): active -> compromised from log position 4"
    three = keychange.handed_over(two, 1, [person(1), person(2)], NOW)
    assert [each.en for each in keychange.differences(two, three)] == [
        f"new approver 第1人 ({PEOPLE[1].kid}), kept off line",
        f"new approver 第2人 ({PEOPLE[2].kid}), kept off line",
        f"approver 第0人 ({PEOPLE[0].kid}) leaves",
        "1 of 2 approvers must approve",
    ]
    with pytest.raises(KeySetRefused, match="不是接在"):
        keychange.differences(one, three)
