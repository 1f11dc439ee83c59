"""What approvers do on machines of their own: make a key, look at a draft, approve it; and what is refused to them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from keys import keychange
from keys.ceremony import (
    Draft,
    approve_draft,
    combine,
    make_approver,
    open_approver,
    read_approval,
    read_approver,
    read_chain,
    read_draft,
    text_of,
)
from keys.errors import (
    KeyNotUsable,
    KeySetRefused,
    KeyStoreBroken,
    KeyStoreExists,
    LoosePermissions,
    PassphraseMissing,
    WrongPassphrase,
)
from keys.keyring import KeyRecord
from keys.keyset import Approver, KeySet, canonical, check_next
from keys.passphrase import seal, unseal
from keys.signing import Purpose, Signer, sign, verify

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
PASSPHRASE = "样例口令 correct horse".encode()
TOKENS = Signer(derive_private_key(2, SECP256R1()), Purpose.E_CERTIFICATE)
KEY = KeyRecord(TOKENS.kid, TOKENS.algorithm, TOKENS.purpose, TOKENS.public.spki(), NOW, NOW + timedelta(days=9))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Signer, Approver]]:
    """Three approvers, each with a key file and a passphrase of their own."""
    folder, made = tmp_path_factory.mktemp("people"), list[tuple[Signer, Approver]]()
    for name in ("甲", "乙", "丙"):
        public = make_approver(folder / name, name.encode(), f"批准人{name}")
        made.append((open_approver(folder / name, name.encode()), public))
    return made


def draft_for(people: list[tuple[Signer, Approver]], k: int = 2) -> Draft:
    """A hand-over from the first to all of them."""
    one = keychange.first([KEY], people[0][1], NOW)
    two = keychange.handed_over(one, k, [public for _, public in people], NOW)
    return Draft(canonical(one), canonical(two))


def test_a_key_file_is_private_sealed_and_opens_with_its_own_passphrase_alone(tmp_path: Path) -> None:
    path = tmp_path / "approver.key"
    public = make_approver(path, PASSPHRASE, " 王局长 ")
    assert path.stat().st_mode & 0o777 == 0o600
    assert (public.label, public.offline) == ("王局长", True)
    signer = open_approver(path, PASSPHRASE)
    assert (signer.kid, signer.public) == (public.kid, public.public)
    key = load_der_private_key(unseal(path.read_bytes(), PASSPHRASE), None)  # PKCS#8, for whoever needs it elsewhere
    assert isinstance(key, Ed25519PrivateKey)
    verify(public.public, Purpose.KEY_SET, b"body", sign(signer, Purpose.KEY_SET, b"body"))
    assert key.private_bytes_raw() not in path.read_bytes()
    with pytest.raises(WrongPassphrase):
        open_approver(path, b"another")
    path.chmod(0o640)
    with pytest.raises(LoosePermissions):
        open_approver(path, PASSPHRASE)


def test_a_key_file_that_cannot_be_made_or_opened(tmp_path: Path) -> None:
    path = tmp_path / "approver.key"
    for label in ("", "  ", "甲\n乙", "甲" * 101):
        with pytest.raises(KeySetRefused, match="姓名或职务"):
            make_approver(path, PASSPHRASE, label)
    with pytest.raises(PassphraseMissing):
        make_approver(path, b"", "甲")
    assert not path.exists()
    make_approver(path, PASSPHRASE, "甲")
    before = path.read_bytes()
    with pytest.raises(KeyStoreExists):
        make_approver(path, PASSPHRASE, "甲")
    assert path.read_bytes() == before
    other = derive_private_key(2, SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for clear in (b"no key", other):
        path.write_bytes(seal(clear, PASSPHRASE))
        with pytest.raises(KeyStoreBroken, match="不是批准人的密钥文件"):
            open_approver(path, PASSPHRASE)


def test_a_draft_goes_round_on_files_and_comes_back_approved(
    people: list[tuple[Signer, Approver]], tmp_path: Path
) -> None:
    path = tmp_path / "draft"
    path.write_bytes(text_of(draft_for(people)))
    returned = []
    for signer, _ in (people[2], people[0]):
        seen = read_draft(path)
        assert seen.changes()[-1].zh == "须由 3 名批准人中的 2 名批准"
        (tmp_path / signer.kid).write_bytes(text_of(approve_draft(signer, seen)))
        returned.append(read_approval(tmp_path / signer.kid))
    draft = read_draft(path)
    assert draft.missing() == (1, 2)
    assert combine(draft, returned[:1]).missing() == (1, 1)
    whole = combine(combine(draft, returned), returned[:1])  # one that comes back twice is there once
    assert (whole.missing(), len(whole.approvals)) == ((0, 0), 2)
    assert isinstance(check_next(whole.previous, whole.document, whole.approvals), KeySet)
    (tmp_path / "set").write_bytes(text_of(whole.signed))
    (tmp_path / "sets").write_bytes(text_of([whole.signed]))
    assert read_chain(tmp_path / "set") == read_chain(tmp_path / "sets") == [whole.signed]
    (tmp_path / "pub").write_bytes(text_of(people[0][1]))
    assert read_approver(tmp_path / "pub") == people[0][1]


def test_whoever_is_no_approver_approves_nothing(people: list[tuple[Signer, Approver]]) -> None:
    stranger = Signer(Ed25519PrivateKey.generate(), Purpose.KEY_SET)
    with pytest.raises(KeyNotUsable, match="不是这两版密钥集的批准人"):
        approve_draft(stranger, draft_for(people))


def test_an_approval_counts_for_its_own_draft_only(people: list[tuple[Signer, Approver]]) -> None:
    other = approve_draft(people[0][0], draft_for(people, 3))
    with pytest.raises(KeySetRefused, match="批准的是另一份文件"):
        combine(draft_for(people), [other])
    relabelled = msgspec.structs.replace(other, digest=draft_for(people).digest)
    whole = combine(draft_for(people), [relabelled])
    with pytest.raises(KeySetRefused, match="与文件不符"):
        check_next(whole.previous, whole.document, whole.approvals)


def test_a_draft_that_shows_another_past_is_not_approved(people: list[tuple[Signer, Approver]]) -> None:
    """Else a smaller change could be shown than the one that is signed."""
    draft = draft_for(people)
    milder = canonical(keychange.first([KEY], people[1][1], NOW))
    for previous in (milder, None):
        with pytest.raises(KeySetRefused):
            approve_draft(people[0][0], msgspec.structs.replace(draft, previous=previous))


def test_files_that_are_something_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"", b"{}", b"[1]", b'{"document":1,"approvals":[]}', b"\xff"):
        path.write_bytes(content)
        for read in (read_draft, read_approval, read_approver, read_chain):
            with pytest.raises(KeySetRefused, match="不是"):
                read(path)
    with pytest.raises(KeyStoreBroken):
        read_draft(tmp_path / "gone")
