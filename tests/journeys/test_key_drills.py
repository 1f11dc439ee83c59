"""Drills: a key is rotated, a key is stolen, the keys are handed over to people; on line and off line.

Each drill holds certificates from before, between and after, and what a thief made with the stolen key.
"""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.cli.offline import verify_offline
from api.documents.delivery import deliver, printed_code, proof_of
from api.documents.press import Press
from api.employers import check_file, check_text
from keys.ceremony import Draft, approve_draft, combine, make_approver, open_approver
from keys.cose import sign1
from keys.custody import Custody
from keys.errors import KeyNotUsable, KeySetRefused, KeyStoreBroken, UnknownKey
from keys.keyring import Keyring
from keys.keyset import Approver, check_chain, parse
from keys.signing import KeyState, Purpose, Signer
from registry.audit.proving import prove_certificate
from registry.errors import BadInput, Forbidden, Refused
from registry.folder import Folder
from registry.service import Registry
from registry.terms import Status
from registry.titles.certificate import token_of
from registry.titles.code import draw_code
from registry.titles.content import CertificateContent
from registry.titles.digits import to_digits
from registry.titles.state import Certificate
from registry.titles.token import TYP, payload
from tests import engine
from tests.api.conftest import NUMBERS, Cli, founded  # noqa: F401 - the fixture
from tests.api.conftest import cli as cli
from tests.conftest import CONFIG
from tests.people import CHIEF, CLERK, Clock, awarding, found, person
from tests.rotating import OPERATOR, operator_in, with_operator

PRESS = Press()


class Bureau:
    """A registry of one's own with an operator, and a verifier who has its public keys and nothing else."""

    def __init__(self, folder: Path, passphrase: bytes) -> None:
        self.clock, self.folder, self.passphrase = Clock(), folder, passphrase
        self.registry = Registry.create(folder / "data", passphrase, engine.kept(CONFIG), self.clock)
        found(self.registry)
        with_operator(self.registry)
        self._people = 0

    def issue(self) -> tuple[Certificate, bytes]:
        """Award and issue to one more person; return the certificate and its PDF, a day later than the last."""
        self._people += 1
        self.clock.forward(days=1)
        stream = self.registry.award(awarding(person(self._people)), officer=CLERK)
        certificate = self.registry.issue(stream, proof_of(self.registry, PRESS), officer=CLERK)
        return certificate, deliver(self.registry, PRESS, certificate)

    def on_line(self, target: str | bytes) -> Status:
        """What the registry answers."""
        check = check_file if isinstance(target, bytes) else check_text
        return check(self.registry, target, None, None).status  # type: ignore[arg-type]

    def off_line(self, target: str | bytes) -> Status:
        """What a verifier says who has taken the public keys of now with them."""
        return self.off_line_answer(target).status

    def off_line_answer(self, target: str | bytes) -> Any:
        """The whole answer."""
        keys, root = self.folder / "jwks.json", self.folder / "root.pem"
        self.registry.custody.keyring.save(keys)
        root.write_bytes(self.registry.custody.root_certificate_pem)
        return verify_offline(target, keys, root)

    def stolen(self, purpose: Purpose) -> Signer:
        """The private key in use now, in the hands of a thief."""
        return Signer(self.registry.custody._private_key(purpose, self.current(purpose)), purpose)

    def current(self, purpose: Purpose) -> str:
        """The id of the key that signs now."""
        return self.registry.custody.signer(purpose, self.clock()).kid

    def head(self) -> int:
        """The size of the log."""
        return self.registry.log.head()


@pytest.fixture
def bureau(tmp_path: Path, passphrase: bytes) -> Iterator[Bureau]:
    made = Bureau(tmp_path, passphrase)
    yield made
    made.registry.close()


def forged(genuine: Certificate, thief: Signer, leaf: int | None) -> str:
    """A QR with another name, number and code, as a thief makes it with a stolen key."""
    content: CertificateContent = msgspec.structs.replace(
        genuine.content.reveal(), name="冒名", name_masked="冒*", number="假0001", code=draw_code(os.urandom)
    )
    token = sign1(thief, TYP, payload(content, leaf))
    return f"{content.base_url}/v/{content.code}#{to_digits(token)}"


# rotation


def test_a_rotation_interrupts_nothing(bureau: Bureau) -> None:
    registry = bureau.registry
    before, before_pdf = bureau.issue()
    old = {purpose: bureau.current(purpose) for purpose in Purpose.of_registry()}
    for purpose in old:
        draft = registry.keysets.rotate(purpose, officer=OPERATOR)
        assert draft.missing() == (0, 0)
    assert all(bureau.current(purpose) != kid for purpose, kid in old.items())
    after, after_pdf = bureau.issue()
    assert (before.kid, after.kid) == (old[Purpose.E_CERTIFICATE], bureau.current(Purpose.E_CERTIFICATE))
    for target in (printed_code(before), before_pdf, printed_code(after), after_pdf):
        assert (bureau.on_line(target), bureau.off_line(target)) == (Status.VALID, Status.OFFLINE)
    assert [parse(one.document).version for one in registry.keysets.chain()] == [1, 2, 3, 4, 5]
    assert check_chain(registry.keysets.chain()).keys == registry.custody.keyring.records


def test_who_has_not_heard_of_a_rotation_calls_nothing_forged(bureau: Bureau, tmp_path: Path) -> None:
    bureau.registry.custody.keyring.save(tmp_path / "old.json")
    bureau.registry.keysets.rotate(Purpose.E_CERTIFICATE, officer=OPERATOR)
    certificate, _ = bureau.issue()
    answer = verify_offline(printed_code(certificate), tmp_path / "old.json", None)
    assert (answer.status, answer.steps[1].detail) == (Status.UNAVAILABLE, "unknown-key")


def test_an_expired_key_never_signs_and_a_rotation_helps(bureau: Bureau) -> None:
    certificate, _ = bureau.issue()
    bureau.clock.forward(days=4 * 365)
    with pytest.raises(KeyNotUsable, match="到期"):
        bureau.current(Purpose.E_CERTIFICATE)
    for purpose in Purpose.of_registry():
        bureau.registry.keysets.rotate(purpose, officer=OPERATOR)
    later, _ = bureau.issue()
    for one in (certificate, later):
        code = printed_code(one)
        assert (bureau.on_line(code), bureau.off_line(code)) == (Status.VALID, Status.OFFLINE)


# compromise


def test_a_stolen_token_key(bureau: Bureau) -> None:
    """From before: valid. Issued by the thief through the registry, or made at home with whatever claim: refused."""
    before, before_pdf = bureau.issue()
    thief, since = bureau.stolen(Purpose.E_CERTIFICATE), bureau.head()
    between, between_pdf = bureau.issue()
    home = [forged(before, thief, leaf) for leaf in (0, before.leaf, since, since + 99, None)]
    assert [bureau.off_line(qr) for qr in home] == [Status.OFFLINE] * len(home)  # nobody knows yet

    bureau.registry.keysets.compromise(before.kid, since, officer=OPERATOR)
    after, after_pdf = bureau.issue()
    assert after.kid != before.kid  # a new key was made in the same step

    for target in (printed_code(before), before_pdf, printed_code(after), after_pdf):
        assert bureau.on_line(target) is Status.VALID
    for target in (printed_code(after), after_pdf, before_pdf):
        assert bureau.off_line(target) is Status.OFFLINE
    assert bureau.off_line(printed_code(before)) is Status.UNAVAILABLE  # a QR brings no proof from the log
    for target in (printed_code(between), between_pdf):
        assert (bureau.on_line(target), bureau.off_line(target)) == (Status.TAMPERED, Status.TAMPERED)
    assert [bureau.on_line(qr) for qr in home] == [Status.TAMPERED] * len(home)
    assert {bureau.off_line(qr) for qr in home} == {Status.TAMPERED, Status.UNAVAILABLE}
    answer = bureau.registry.verifier.check(between.code)
    assert f"自日志位置 {since} 起已泄露" in answer.steps[3].detail
    assert f"compromised from log position {since}" in answer.steps[3].detail
    with pytest.raises(KeyNotUsable, match="已泄露"):
        Keyring([bureau.registry.custody.keyring.record(before.kid)]).current(Purpose.E_CERTIFICATE, bureau.clock())


def test_who_holds_a_certificate_of_the_thief_s_time_gets_another(bureau: Bureau) -> None:
    """Genuine, but signed after the key was stolen: it does not count, and issuing again makes one that does."""
    position = bureau.head()
    certificate, _ = bureau.issue()
    stream = bureau.registry.certificate(certificate.code)[0].id
    bureau.registry.keysets.compromise(certificate.kid, position, officer=OPERATOR)
    assert bureau.on_line(certificate.code) is Status.TAMPERED
    again = bureau.registry.issue(stream, proof_of(bureau.registry, PRESS), officer=CLERK)
    assert (again.version, bureau.on_line(again.code)) == (2, Status.VALID)
    assert bureau.registry.issue(stream, proof_of(bureau.registry, PRESS), officer=CLERK) == again


def test_a_rotation_while_a_certificate_is_being_made(bureau: Bureau) -> None:
    """Between preparing and signing another process replaces the key: the certificate is made with the new one."""
    sequence, rotated = bureau.registry.tlog.sequence, list[str]()

    def rotated_meanwhile() -> Any:
        if not rotated:
            rotated.append(bureau.current(Purpose.E_CERTIFICATE))
            bureau.registry.keysets.rotate(Purpose.E_CERTIFICATE, officer=OPERATOR)
        return sequence()

    bureau.registry.tlog.sequence = rotated_meanwhile  # type: ignore[method-assign]
    certificate, pdf = bureau.issue()
    assert certificate.kid == bureau.current(Purpose.E_CERTIFICATE) != rotated[0]
    assert bureau.on_line(pdf) is Status.VALID


def test_the_proof_of_another_certificate_vouches_for_no_forgery(bureau: Bureau) -> None:
    """A thief with both keys sets a page of their own, and attaches the proof of a genuine certificate."""
    genuine, genuine_pdf = bureau.issue()
    thief, documents = bureau.stolen(Purpose.E_CERTIFICATE), bureau.registry.custody.document_signer(bureau.clock())
    content = msgspec.structs.replace(genuine.content.reveal(), name="冒名", name_masked="冒*")
    token = sign1(thief, TYP, payload(content, genuine.leaf))
    proof = prove_certificate(bureau.registry, genuine).encode()
    pdf = PRESS.certificate(content, token, documents, proof)
    bureau.registry.keysets.compromise(genuine.kid, bureau.head(), officer=OPERATOR)
    assert (bureau.on_line(pdf), bureau.off_line(pdf)) == (Status.TAMPERED, Status.UNAVAILABLE)
    assert (bureau.on_line(genuine_pdf), bureau.off_line(genuine_pdf)) == (Status.VALID, Status.OFFLINE)


def test_a_proof_signed_by_a_stolen_log_key_vouches_for_nothing(bureau: Bureau) -> None:
    genuine, pdf = bureau.issue()
    for purpose in (Purpose.E_CERTIFICATE, Purpose.CHECKPOINT):
        bureau.registry.keysets.compromise(bureau.current(purpose), bureau.head(), officer=OPERATOR)
    assert (bureau.on_line(pdf), bureau.off_line(pdf)) == (Status.VALID, Status.UNAVAILABLE)
    assert bureau.on_line(printed_code(genuine)) is Status.VALID


def test_a_stolen_document_key(bureau: Bureau) -> None:
    """Its pages count around what was logged before; and even then what is shown counts, and not the page."""
    before, before_pdf = bureau.issue()
    signer, since = bureau.registry.custody.document_signer(bureau.clock()), bureau.head()
    between, between_pdf = bureau.issue()
    reset = PRESS.certificate(
        msgspec.structs.replace(before.content.reveal(), name="冒名"), token_of(before), signer, b""
    )
    kid = bureau.current(Purpose.DOCUMENT)
    bureau.registry.keysets.compromise(kid, since, officer=OPERATOR)
    _, after_pdf = bureau.issue()
    for pdf in (before_pdf, reset, after_pdf):
        assert (bureau.on_line(pdf), bureau.off_line(pdf)) == (Status.VALID, Status.OFFLINE)
    for pdf in (before_pdf, reset):
        for answer in (check_file(bureau.registry, pdf, None, None), bureau.off_line_answer(pdf)):
            assert "勿以版面为准" in answer.steps[0].detail
            assert "rely on what is shown here" in answer.steps[0].detail
            shown = answer.certificate
            assert (shown["name"] if isinstance(shown, dict) else shown.name) == "林*岚"
    assert (bureau.on_line(between_pdf), bureau.off_line(between_pdf)) == (Status.TAMPERED, Status.TAMPERED)
    assert bureau.on_line(printed_code(between)) is Status.VALID  # its QR was signed with another key
    assert bureau.off_line_answer(after_pdf).steps[0].detail == ""


def test_a_compromise_can_only_be_put_earlier(bureau: Bureau) -> None:
    certificate, _ = bureau.issue()
    publishing, kid, leaf = bureau.registry.keysets, certificate.kid, certificate.leaf
    assert leaf is not None
    publishing.compromise(kid, leaf + 1, officer=OPERATOR)
    assert bureau.registry.verifier.check(certificate.code).status is Status.VALID
    chain = publishing.chain()
    for position, error, why in (
        (leaf + 1, Refused, "已自位置"),
        (leaf + 2, Refused, "已自位置"),
        (-1, BadInput, "日志位置须在"),
        (bureau.head() + 1, BadInput, "日志位置须在"),
    ):
        with pytest.raises(error, match=why):
            publishing.compromise(kid, position, officer=OPERATOR)
    with pytest.raises(UnknownKey):
        publishing.compromise("nosuchid", 0, officer=OPERATOR)
    assert publishing.chain() == chain
    publishing.compromise(kid, leaf, officer=OPERATOR)
    assert bureau.registry.verifier.check(certificate.code).status is Status.TAMPERED


# who may, what a crash leaves, and folders from before


def test_only_an_operator_changes_keys(bureau: Bureau) -> None:
    publishing = bureau.registry.keysets
    before = publishing.chain(), bureau.registry.custody.keyring.records
    draft = Draft(None, "{}")
    for officer in (CLERK, CHIEF, "nobody"):
        for attempt in (
            lambda who: publishing.rotate(Purpose.DOCUMENT, officer=who),
            lambda who: publishing.compromise(bureau.current(Purpose.DOCUMENT), 0, officer=who),
            lambda who: publishing.hand_over(1, [], officer=who),
            lambda who: publishing.publish(draft, officer=who),
        ):
            with pytest.raises(Forbidden):
                attempt(officer)
    assert (publishing.chain(), bureau.registry.custody.keyring.records) == before


def test_after_a_crash_between_log_and_key_ring_the_next_opening_follows_the_log(bureau: Bureau) -> None:
    ring = bureau.folder / "data" / "keys" / "keys.json"
    before = ring.read_bytes()
    old = bureau.current(Purpose.E_CERTIFICATE)
    bureau.registry.keysets.rotate(Purpose.E_CERTIFICATE, officer=OPERATOR)
    fresh, after = bureau.current(Purpose.E_CERTIFICATE), ring.read_bytes()
    ring.write_bytes(before)  # as if the process had ended between the two
    assert bureau.current(Purpose.E_CERTIFICATE) == old
    with closing(Registry.open(bureau.folder / "data", bureau.passphrase, bureau.clock)) as other:
        assert other.custody.signer(Purpose.E_CERTIFICATE, bureau.clock()).kid == fresh
        assert ring.read_bytes() == after
    assert bureau.current(Purpose.E_CERTIFICATE) == fresh


def test_another_process_follows_at_once_and_a_key_made_twice_is_in_force_once(bureau: Bureau) -> None:
    with closing(Registry.open(bureau.folder / "data", bureau.passphrase, bureau.clock)) as other:
        stale = other.keysets.rotate(Purpose.DOCUMENT, officer=OPERATOR)
        assert bureau.current(Purpose.DOCUMENT) == other.custody.signer(Purpose.DOCUMENT, bureau.clock()).kid
        bureau.registry.keysets.rotate(Purpose.DOCUMENT, officer=OPERATOR)
        with pytest.raises(KeySetRefused, match="版本应为 4，实为 2"):
            other.keysets.publish(stale, officer=OPERATOR)
        assert len(other.keysets.chain()) == 3


def test_a_folder_from_before_key_sets_begins_with_its_first_rotation(tmp_path: Path, passphrase: bytes) -> None:
    clock, folder = Clock(), Folder(tmp_path / "data")
    folder.create(CONFIG)
    custody = Custody.create(folder.keys, passphrase, clock(), organisation=CONFIG.organisation)
    with closing(Registry(folder, custody, clock)) as registry:
        found(registry)
        with_operator(registry)
        assert registry.keysets.newest() is None
        before = custody.keyring.records
        registry.keysets.rotate(Purpose.CHECKPOINT, officer=OPERATOR)
        first, second = (parse(one.document) for one in registry.keysets.chain())
        assert (first.keys, first.threshold, [one.offline for one in first.approvers]) == (before, 1, [False])
        assert second.keys == custody.keyring.records


def test_a_set_whose_private_key_is_not_here_is_not_published(bureau: Bureau) -> None:
    """Else nothing could be signed from then on."""
    people = handed_over(bureau, 1, "甲")
    draft = bureau.registry.keysets.rotate(Purpose.E_CERTIFICATE, officer=OPERATOR)
    fresh = parse(draft.document).keys[-1].kid
    (bureau.folder / "data" / "keys" / f"e-certificate-{fresh}.pem").unlink()
    with pytest.raises(KeyStoreBroken, match="无法读取"):
        bureau.registry.keysets.publish(combine(draft, [approve_draft(people[0], draft)]), officer=OPERATOR)
    bureau.issue()


# people


def handed_over(bureau: Bureau, k: int, *names: str) -> list[Signer]:
    """Hand the keys over to people with keys of their own; return their signers."""
    public, signers = list[Approver](), list[Signer]()
    for name in names:
        path = bureau.folder / f"{name}.key"
        public.append(make_approver(path, name.encode(), name))
        signers.append(open_approver(path, name.encode()))
    draft = bureau.registry.keysets.hand_over(k, public, officer=OPERATOR)
    with pytest.raises(KeySetRefused, match="新密钥集须有"):
        bureau.registry.keysets.publish(draft, officer=OPERATOR)
    bureau.registry.keysets.publish(
        combine(draft, [approve_draft(one, draft) for one in signers[:k]]), officer=OPERATOR
    )
    return signers


def test_two_of_three_people_and_one_is_away(bureau: Bureau) -> None:
    publishing = bureau.registry.keysets
    before, _ = bureau.issue()
    first, _, third = handed_over(bureau, 2, "甲", "乙", "丙")
    assert bureau.registry.custody.approver_kids() == []  # what approves no more is destroyed

    draft = publishing.rotate(Purpose.E_CERTIFICATE, officer=OPERATOR)
    assert draft.missing() == (2, 2)
    between, _ = bureau.issue()
    assert between.kid == before.kid  # until it is published the old key signs
    alone = combine(draft, [approve_draft(first, draft), approve_draft(first, draft)])
    with pytest.raises(KeySetRefused, match="只有 1 名"):
        publishing.publish(alone, officer=OPERATOR)
    assert bureau.current(Purpose.E_CERTIFICATE) == before.kid
    whole = combine(alone, [approve_draft(third, draft)])
    publishing.publish(whole, officer=OPERATOR)
    publishing.publish(whole, officer=OPERATOR)  # again: nothing happens
    after, _ = bureau.issue()
    assert after.kid != before.kid

    lost = publishing.compromise(after.kid, bureau.head(), officer=OPERATOR)
    assert bureau.registry.custody.keyring.record(after.kid).state is KeyState.ACTIVE  # a draft changes nothing
    publishing.publish(combine(lost, [approve_draft(one, lost) for one in (third, first)]), officer=OPERATOR)
    last, _ = bureau.issue()
    for one in (before, between, after, last):
        assert bureau.on_line(printed_code(one)) is Status.VALID
    assert [parse(one.document).version for one in publishing.chain()] == [1, 2, 3, 4]
    assert check_chain(publishing.chain()).threshold == 2


# the same from the command line


def test_the_drills_from_the_command_line(cli: Cli) -> None:
    ops = operator_in(cli.folder)

    def issued(n: int) -> str:
        cli.ok("certificates", "issue", NUMBERS[n], "--out", f"{n}.pdf")
        return str(cli.folder / f"{n}.pdf")

    def status(target: str, *options: str) -> str:
        return str(json.loads(cli("verify", target, *options, "-o", "json").stdout)["status"])

    def off_line(target: str) -> str:
        cli.ok("keys", "export", "jwks.json", "--force")
        cli.ok("keys", "root", "root.pem", "--force")
        return status(target, "--offline", "--keys", "jwks.json", "--root", "root.pem")

    before = issued(0)
    cli.refused("keys", "rotate", "e-certificate", code="forbidden")
    since = cli.position()
    between = issued(1)
    kid = cli.data("keys", "list")[0]["kid"]
    given_up = cli.data("keys", "compromise", kid, "--from", str(since), *ops)
    assert (given_up["state"], given_up["compromised_from"]) == ("compromised", since)
    after = issued(2)
    assert [status(one) for one in (before, between, after)] == ["valid", "tampered", "valid"]
    assert [off_line(one) for one in (before, between, after)] == ["offline", "tampered", "offline"]
    assert str(since) in cli.ok("keys", "list").stdout

    for name in ("甲", "乙", "丙"):
        (cli.folder / f"{name}.pp").write_text(name)
        (cli.folder / f"{name}.pp").chmod(0o600)
        with_key = ("--key-passphrase-file", f"{name}.pp")
        cli.ok("keys", "ceremony", "approver", f"{name}.key", "--label", name, *with_key)
    cli.ok("keys", "ceremony", "hand-over", "甲.key.pub", "乙.key.pub", "丙.key.pub", "--threshold", "2", *ops)
    draft = "key-set-3.draft"
    shown = cli.data("keys", "ceremony", "show", draft)
    assert shown["missing"] == {"before": 0, "after": 2}
    assert "须由 3 名批准人中的 2 名批准" in cli.ok("keys", "ceremony", "show", draft).stdout

    def approve(name: str, draft: str) -> str:
        digest = cli.data("keys", "ceremony", "show", draft)["digest"]
        given = ("--key-passphrase-file", f"{name}.pp", "--digest", digest, "--out", f"{draft}.{name}")
        cli.ok("keys", "ceremony", "sign", draft, f"{name}.key", *given)
        return f"{draft}.{name}"

    first = approve("甲", draft)
    cli.refused("keys", "publish", draft, first, *ops, code="key-set-refused", says="只有 1 名")
    cli.refused("keys", "publish", draft, first, first, *ops, code="key-set-refused", says="只有 1 名")
    cli.refused("keys", "publish", draft, first, approve("丙", draft), code="forbidden")
    cli.ok("keys", "publish", draft, first, f"{draft}.丙", *ops)

    cli.ok("keys", "rotate", "document", "--out", "rotation", *ops)
    kid = cli.data("keys", "list")[1]["kid"]
    assert cli.data("keys", "list")[1]["state"] == "active"
    cli.ok("keys", "publish", "rotation", approve("乙", "rotation"), approve("丙", "rotation"), *ops)
    assert {one["kid"]: one["state"] for one in cli.data("keys", "list")}[kid] == "retired"
    assert [status(one) for one in (before, between, after)] == ["valid", "tampered", "valid"]

    (cli.folder / "sets.json").write_text(cli.ok("keys", "set", "--all").stdout)
    (cli.folder / "first.json").write_text(json.dumps(json.loads((cli.folder / "sets.json").read_text())[0]))
    (cli.folder / "data").rename(cli.folder / "gone")
    assert "4 key sets" in cli.ok("keys", "verify-set", "sets.json").stderr
    cli.ok("keys", "verify-set", "sets.json", "--since", "first.json")
    sets = json.loads((cli.folder / "sets.json").read_text())
    sets[2]["approvals"] = sets[2]["approvals"][:1]
    (cli.folder / "sets.json").write_text(json.dumps(sets))
    (cli.folder / "gone").rename(cli.folder / "data")
    cli.refused("keys", "verify-set", "sets.json", code="key-set-refused", says="须有")
    cli.ok("doctor")
