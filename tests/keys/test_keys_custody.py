"""Lives of a key folder: made, opened, rotated, compromised, attacked; read by openssl and pyHanko."""

import io
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pyhanko.pdf_utils.generic import StreamObject
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.signers import PdfSignatureMetadata, SimpleSigner, sign_pdf
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore

from keys.cose import sign1, verify1
from keys.custody import Custody, public_only, read_passphrase
from keys.errors import (
    KeyNotUsable,
    KeyStoreBroken,
    KeyStoreExists,
    LoosePermissions,
    PassphraseMissing,
    WrongPassphrase,
)
from keys.keyring import KeyRecord, Keyring
from keys.signing import Algorithm, KeyState, Purpose, sign, verify
from tests.rotating import rotate

NOW = datetime(2026, 3, 1, 9, 30, 15, 123456, tzinfo=UTC)
BEGIN = NOW.replace(microsecond=0)
LATER = NOW + timedelta(days=400)
YEARS = timedelta(days=365)
PASSPHRASE = "样例口令 correct horse".encode()
BUREAU = "丽水市人力资源和社会保障局"
ISSUING = Purpose.of_registry()


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One key folder for the whole module; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("custody") / "keys"
    Custody.create(folder, PASSPHRASE, NOW, organisation=BUREAU)
    return folder


@pytest.fixture
def folder(created: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(created, tmp_path / "keys"))


@pytest.fixture
def custody(folder: Path) -> Custody:
    return Custody.open(folder, PASSPHRASE)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Create


def test_a_new_folder_has_one_key_for_each_purpose(custody: Custody) -> None:
    algorithms = {record.purpose: record.algorithm for record in custody.keyring.records}
    assert algorithms == {
        Purpose.E_CERTIFICATE: Algorithm.ES256,
        Purpose.DOCUMENT: Algorithm.ES256,
        Purpose.CHECKPOINT: Algorithm.ED25519,
        Purpose.COSIGNATURE: Algorithm.ML_DSA_44,
    }
    for purpose in ISSUING:
        signature = sign(custody.signer(purpose, NOW), purpose, b"body")
        verify(custody.keyring.find(custody.keyring.current(purpose, NOW).kid), purpose, b"body", signature)


def test_nobody_else_may_read_any_file(created: Path) -> None:
    assert created.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in created.iterdir()} == {0o600}


def test_no_private_key_lies_in_clear(created: Path, custody: Custody) -> None:
    everything = b"".join(contents(created).values())
    for purpose in ISSUING:
        key = custody.signer(purpose, NOW)._key
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        assert der not in everything
    assert everything.count(b"BEGIN ENCRYPTED PRIVATE KEY") == 5
    assert b"BEGIN PRIVATE KEY" not in everything


def test_key_files_do_not_open_with_the_passphrase_itself(created: Path) -> None:
    # Else a guess at the passphrase would cost 2,048 rounds of PBKDF2 and not one scrypt.
    for path in created.glob("*-*.pem"):
        if b"ENCRYPTED" in path.read_bytes():
            # One wrong password of 256 leaves a right padding, and is found by what is behind it.
            with pytest.raises(ValueError, match=r"Incorrect password|Could not deserialize"):
                load_pem_private_key(path.read_bytes(), PASSPHRASE)


def test_keys_are_never_overwritten(folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(KeyStoreExists, match="从不覆盖"):
        Custody.create(folder, b"another", NOW, organisation=BUREAU)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["keys"]


def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "notes.txt").write_text("mine")
    with pytest.raises(KeyStoreExists):
        Custody.create(tmp_path / "keys", PASSPHRASE, NOW, organisation=BUREAU)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(KeyStoreExists):
        Custody.create(tmp_path / "file", PASSPHRASE, NOW, organisation=BUREAU)


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o755)
    Custody.create(tmp_path / "keys", PASSPHRASE, NOW, organisation=BUREAU)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("passphrase", "now", "organisation", "error"),
    [
        (b"", NOW, BUREAU, PassphraseMissing),
        (PASSPHRASE, NOW, "局" * 65, ValueError),
        (PASSPHRASE, NOW.replace(tzinfo=None), BUREAU, ValueError),
    ],
    ids=["no passphrase", "a name of 65 characters", "a time without a zone"],
)
def test_a_creation_that_fails_leaves_nothing(
    tmp_path: Path, passphrase: bytes, now: datetime, organisation: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Custody.create(tmp_path / "keys", passphrase, now, organisation=organisation)
    assert list(tmp_path.iterdir()) == []


def test_of_two_creations_at_once_one_wins_and_its_keys_work(tmp_path: Path) -> None:
    def create(passphrase: bytes) -> Custody | KeyStoreExists:
        try:
            return Custody.create(tmp_path / "keys", passphrase, NOW, organisation=BUREAU)
        except KeyStoreExists as refusal:
            return refusal

    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(create, [b"first", b"second"]))
    winners = [outcome for outcome in outcomes if isinstance(outcome, Custody)]
    assert len(winners) == 1
    assert len(sign(winners[0].signer(Purpose.CHECKPOINT, NOW), Purpose.CHECKPOINT, b"")) == 64
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


# Open


def test_a_wrong_passphrase_is_refused(folder: Path) -> None:
    with pytest.raises(WrongPassphrase):
        Custody.open(folder, PASSPHRASE + b" ")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreBroken, match="nothing"):
        Custody.open(tmp_path / "nothing", PASSPHRASE)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_loose_secrets_are_refused_with_the_command_that_mends_them(folder: Path, mode: int) -> None:
    path = folder / "secrets.bin"
    path.chmod(mode)
    with pytest.raises(LoosePermissions) as refusal:
        Custody.open(folder, PASSPHRASE)
    assert f"{path} 的权限为 {mode:04o}" in refusal.value.message
    assert refusal.value.fix == f"请执行：chmod 600 {path}"
    subprocess.run(refusal.value.fix.removeprefix("请执行：").split(), check=True)
    Custody.open(folder, PASSPHRASE)


def test_a_loose_key_file_is_refused_when_it_is_used(folder: Path, custody: Custody) -> None:
    for path in folder.glob("e-certificate-*.pem"):
        path.chmod(0o644)
    with pytest.raises(LoosePermissions, match="e-certificate-"):
        custody.signer(Purpose.E_CERTIFICATE, NOW)


def test_a_loose_folder_is_refused(folder: Path) -> None:
    folder.chmod(0o750)
    with pytest.raises(LoosePermissions, match="chmod 700"):
        Custody.open(folder, PASSPHRASE)


def test_every_damage_to_the_secrets_is_refused(folder: Path) -> None:
    path = folder / "secrets.bin"
    whole = path.read_bytes()
    for at in (0, 24, 25, 26, 45, 60, len(whole) - 1):  # magic, cost, salt, nonce, sealed, tag
        changed = bytearray(whole)
        changed[at] ^= 0x80
        path.write_bytes(changed)
        with pytest.raises((WrongPassphrase, KeyStoreBroken)):
            Custody.open(folder, PASSPHRASE)
    for end in (0, 30, 50, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises((WrongPassphrase, KeyStoreBroken)):
            Custody.open(folder, PASSPHRASE)


@pytest.mark.parametrize("name", ["secrets.bin", "keys.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(KeyStoreBroken, match=name):
        Custody.open(folder, PASSPHRASE)


def test_a_damaged_key_file_is_named(folder: Path, custody: Custody) -> None:
    path = next(folder.glob("checkpoint-*.pem"))
    path.write_bytes(path.read_bytes().replace(b"A", b"B", 1))
    with pytest.raises(KeyStoreBroken, match=path.name):
        custody.signer(Purpose.CHECKPOINT, NOW)


def test_a_key_file_in_the_place_of_another_is_refused(folder: Path, custody: Custody) -> None:
    document, token = next(folder.glob("document-*.pem")), next(folder.glob("e-certificate-*.pem"))
    shutil.copy(document, token)
    with pytest.raises(KeyStoreBroken, match="不是密钥"):
        custody.signer(Purpose.E_CERTIFICATE, NOW)


def test_the_public_part_needs_no_passphrase(folder: Path, custody: Custody) -> None:
    public = public_only(folder)
    assert public.keyring.records == custody.keyring.records
    assert public.root_certificate_pem == custody.root_certificate_pem
    assert public.chain_pem == custody.chain_pem


def test_another_passphrase_opens_the_same_keys(folder: Path, custody: Custody) -> None:
    index = custody.vault().blind_index("x")
    custody.change_passphrase(b"another")
    with pytest.raises(WrongPassphrase):
        Custody.open(folder, PASSPHRASE)
    again = Custody.open(folder, b"another")
    assert again.vault().blind_index("x") == index
    assert again.signer(Purpose.DOCUMENT, NOW).kid == custody.signer(Purpose.DOCUMENT, NOW).kid
    with pytest.raises(PassphraseMissing):
        custody.change_passphrase(b"")
    Custody.open(folder, b"another")


def test_the_vault_is_the_same_after_opening_again(folder: Path, custody: Custody) -> None:
    key, wrapped = custody.vault().new_data_key("holder-1")
    box = key.seal(b"x", b"holder-1|1|name")
    assert Custody.open(folder, PASSPHRASE).vault().unwrap("holder-1", wrapped).open(box, b"holder-1|1|name") == b"x"


def test_the_open_folder_shows_no_secret(custody: Custody) -> None:
    assert repr(custody._secrets) == "Secrets(...)"
    assert custody._secrets.pem_password.decode() not in repr(vars(custody))


# Rotate


@pytest.mark.parametrize("purpose", ISSUING)
def test_after_rotation_the_new_key_signs_and_the_old_one_verifies_for_ever(custody: Custody, purpose: Purpose) -> None:
    old = custody.signer(purpose, NOW)
    before = sign(old, purpose, b"before")
    fresh = rotate(custody, purpose, LATER)
    assert fresh.not_before == LATER.replace(microsecond=0)
    assert custody.signer(purpose, LATER).kid == fresh.kid != old.kid
    found = custody.keyring.find(old.kid)
    assert found.state is KeyState.RETIRED
    verify(found, purpose, b"before", before)
    with pytest.raises(KeyNotUsable, match="已停用"):  # not even with the clock set back
        custody.signer(purpose, NOW)
    assert len(custody.keyring.records) == len(ISSUING) + 1


def without_cosignature_key(folder: Path) -> Path:
    """A key folder as it was made before there were cosignatures."""
    keyring = public_only(folder).keyring
    Keyring(one for one in keyring.records if one.purpose is not Purpose.COSIGNATURE).save(folder / "keys.json")
    next(folder.glob("cosignature-*.pem")).unlink()
    return folder


def test_a_folder_from_before_cosignatures_works_as_before_and_is_given_a_key_by_a_rotation(folder: Path) -> None:
    custody = Custody.open(without_cosignature_key(folder), PASSPHRASE)
    before = custody.keyring.records
    for purpose in set(ISSUING) - {Purpose.COSIGNATURE}:
        signer = custody.signer(purpose, NOW)
        verify(custody.keyring.find(signer.kid), purpose, b"body", sign(signer, purpose, b"body"))
    with pytest.raises(KeyNotUsable, match=r"cosignature/1.*一把也没有.*rotate"):
        custody.signer(Purpose.COSIGNATURE, NOW)
    fresh = rotate(custody, Purpose.COSIGNATURE, LATER)
    assert (fresh.algorithm, fresh.state) == (Algorithm.ML_DSA_44, KeyState.ACTIVE)
    assert custody.signer(Purpose.COSIGNATURE, LATER).kid == fresh.kid
    assert public_only(folder).keyring.records == (*before, fresh)


def test_another_process_signs_with_the_new_key_at_once(folder: Path, custody: Custody) -> None:
    other = Custody.open(folder, PASSPHRASE)
    token = sign1(other.signer(Purpose.E_CERTIFICATE, NOW), "zc1", b"payload")
    fresh = rotate(custody, Purpose.E_CERTIFICATE, LATER)
    assert other.signer(Purpose.E_CERTIFICATE, LATER).kid == fresh.kid
    assert verify1(other.keyring, "zc1", token).key_state is KeyState.RETIRED


def test_folders_that_follow_at_once_end_with_what_was_read_last(folder: Path, custody: Custody) -> None:
    before, read = custody.keyring.records, list[int]()
    created = [custody.make(purpose, LATER) for purpose in ISSUING]

    def follow(_: int) -> None:
        def now() -> list[KeyRecord]:
            read.append(len(read))
            return [*before, *created[: len(read)]]

        Custody.open(folder, PASSPHRASE).follow(now)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(follow, created))
    assert public_only(folder).keyring.records == (*before, *created)


def test_the_approvers_key_never_stands_among_the_keys_that_issue(folder: Path, custody: Custody) -> None:
    signer = custody.make_approver()
    assert custody.approver_kids() == [signer.kid]
    assert signer.kid not in {record.kid for record in custody.keyring.records}
    assert custody.approver(signer.kid).public == signer.public
    with pytest.raises(KeyNotUsable, match="不在签发密钥之列"):
        custody.make(Purpose.KEY_SET, LATER)
    with pytest.raises(KeyNotUsable, match="一把也没有"):
        custody.signer(Purpose.KEY_SET, LATER)
    custody.discard_approvers({signer.kid})
    assert custody.approver_kids() == [signer.kid]
    custody.discard_approvers(())
    assert custody.approver_kids() == []
    with pytest.raises(KeyStoreBroken, match="无法读取"):
        custody.approver(signer.kid)


def test_a_rotation_cut_before_its_end_changes_nothing(folder: Path, custody: Custody) -> None:
    # What a crash leaves: a key file that keys.json does not name.
    shutil.copy(next(folder.glob("checkpoint-*.pem")), folder / "checkpoint-aaaaaaaa.pem")
    assert custody.signer(Purpose.CHECKPOINT, NOW).kid == custody.keyring.current(Purpose.CHECKPOINT, NOW).kid
    rotate(custody, Purpose.CHECKPOINT, LATER)
    assert len(custody.keyring.records) == len(ISSUING) + 1


def test_an_expired_key_never_signs(custody: Custody) -> None:
    for purpose in ISSUING:
        custody.signer(purpose, NOW + 2 * YEARS)
        with pytest.raises(KeyNotUsable, match="到期"):
            custody.signer(purpose, NOW + 4 * YEARS)
    custody.document_signer(NOW + 2 * YEARS)
    with pytest.raises(KeyNotUsable, match="到期"):
        custody.document_signer(NOW + 4 * YEARS)
    with pytest.raises(KeyNotUsable, match="起才有效"):
        custody.signer(Purpose.DOCUMENT, NOW - timedelta(days=1))


def test_a_compromised_key_never_signs_again_and_stays_visible(folder: Path, custody: Custody) -> None:
    lost = custody.keyring.current(Purpose.E_CERTIFICATE, NOW)
    marked = msgspec.structs.replace(lost, state=KeyState.COMPROMISED, compromised_from=7)
    custody.follow(custody.keyring.put(marked).records.__iter__)
    with pytest.raises(KeyNotUsable, match="已泄露"):
        custody.signer(Purpose.E_CERTIFICATE, NOW)
    rotate(custody, Purpose.E_CERTIFICATE, LATER)
    assert public_only(folder).keyring.record(lost.kid) == marked
    assert [marked.counts(leaf) for leaf in (0, 6, 7, 8)] == [True, True, False, False]


def test_no_certificate_outlives_the_root(custody: Custody) -> None:
    assert rotate(custody, Purpose.DOCUMENT, NOW + 19 * YEARS).not_after == BEGIN + timedelta(days=20 * 365 + 5)
    with pytest.raises(KeyNotUsable, match="根证书"):
        rotate(custody, Purpose.DOCUMENT, NOW + 21 * YEARS)


# X.509


def openssl(*arguments: str, folder: Path) -> str:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_openssl_accepts_the_chain_before_and_after_a_rotation(folder: Path, custody: Custody) -> None:
    rotate(custody, Purpose.DOCUMENT, NOW + timedelta(days=1))
    paths = sorted(folder.glob("issuing-*.pem"))
    assert len(paths) == 2
    when = str(int((NOW + timedelta(days=2)).timestamp()))
    for path in paths:
        verdict = openssl("verify", "-x509_strict", "-attime", when, "-CAfile", "root.pem", path.name, folder=folder)
        assert verdict == f"{path.name}: OK\n"
    (folder / "chain.pem").write_bytes(custody.chain_pem)
    assert openssl("verify", "-attime", when, "-CAfile", "root.pem", "chain.pem", folder=folder) == "chain.pem: OK\n"
    first = x509.load_pem_x509_certificates(custody.chain_pem)[0]
    assert first == custody.document_signer(NOW + timedelta(days=2)).certificate


def test_openssl_refuses_the_certificate_under_another_root(folder: Path, tmp_path: Path) -> None:
    Custody.create(tmp_path / "other", PASSPHRASE, NOW, organisation=BUREAU)
    issuing = next(folder.glob("issuing-*.pem"))
    verdict = openssl("verify", "-CAfile", str(tmp_path / "other" / "root.pem"), issuing.name, folder=folder)
    assert "verification failed" in verdict


def test_openssl_reads_what_the_certificates_may_do(folder: Path) -> None:
    show = ("x509", "-noout", "-nameopt", "utf8,sep_comma_plus", "-subject", "-issuer", "-ext")
    extensions = "basicConstraints,keyUsage,extendedKeyUsage,subjectKeyIdentifier,authorityKeyIdentifier"
    root = openssl(*show, extensions, "-in", "root.pem", folder=folder)
    leaf = openssl(*show, extensions, "-in", next(folder.glob("issuing-*.pem")).name, folder=folder)
    assert "CA:TRUE, pathlen:0" in root
    assert "Certificate Sign, CRL Sign" in root
    assert root.count("样例根 / sample root, not legally a seal") == 2
    assert "CA:FALSE" in leaf
    assert "Digital Signature, Non Repudiation" in leaf
    assert "1.3.6.1.5.5.7.3.36" in leaf
    assert BUREAU in leaf
    assert root.split("Key Identifier: \n")[1].split()[0] == leaf.split("Authority Key Identifier: \n")[1].split()[0]


def signed_pdf(custody: Custody) -> bytes:
    own = custody.document_signer(NOW)
    writer = PdfFileWriter()
    writer.insert_page(PageObject(contents=writer.add_object(StreamObject(stream_data=b"")), media_box=(0, 0, 99, 99)))
    plain = io.BytesIO()
    writer.write(plain)
    certificate, root = (
        asn1_x509.Certificate.load(c.public_bytes(Encoding.DER)) for c in (own.certificate, *own.chain)
    )
    key = asn1_keys.PrivateKeyInfo.load(own.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    signer = SimpleSigner(certificate, key, SimpleCertificateStore.from_certs([root]))
    how = PdfSignatureMetadata(field_name="seal", subfilter=SigSeedSubFilter.PADES, md_algorithm="sha256")
    return bytes(sign_pdf(IncrementalPdfFileWriter(plain), how, signer).getvalue())


def test_pyhanko_accepts_a_signature_under_the_root_and_refuses_a_changed_byte(custody: Custody) -> None:
    document = signed_pdf(custody)
    root = asn1_x509.Certificate.load(custody.document_signer(NOW).chain[0].public_bytes(Encoding.DER))
    context = ValidationContext(trust_roots=[root], moment=NOW + timedelta(days=1))
    status = validate_pdf_signature(PdfFileReader(io.BytesIO(document)).embedded_signatures[0], context)
    assert (status.intact, status.valid, status.trusted) == (True, True, True)
    changed = document.replace(b"99 ]", b"98 ]", 1)
    assert changed != document
    status = validate_pdf_signature(PdfFileReader(io.BytesIO(changed)).embedded_signatures[0], context)
    assert not status.intact


# The passphrase


def private_file(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_the_file_comes_before_the_environment(tmp_path: Path) -> None:
    given, named = private_file(tmp_path / "given", b"one\n"), private_file(tmp_path / "named", b"two\r\n")
    environment = {"TITLE_REGISTRY_PASSPHRASE_FILE": str(named), "TITLE_REGISTRY_PASSPHRASE": "三"}
    assert read_passphrase(given, environment) == b"one"
    assert read_passphrase(None, environment) == b"two"
    assert read_passphrase(None, {"TITLE_REGISTRY_PASSPHRASE": "三"}) == "三".encode()


def test_spaces_and_all_but_one_line_end_belong_to_the_passphrase(tmp_path: Path) -> None:
    assert read_passphrase(private_file(tmp_path / "file", b" a b \n\n"), {}) == b" a b \n"


def test_a_loose_passphrase_file_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    path = private_file(tmp_path / "file", b"one", 0o644)
    with pytest.raises(LoosePermissions, match=f"0644.*chmod 600 {path}"):
        read_passphrase(path, {})


def test_no_passphrase_is_refused_and_the_ways_to_give_one_are_named(tmp_path: Path) -> None:
    for file, environment in ((None, {}), (None, {"TITLE_REGISTRY_PASSPHRASE": ""})):
        with pytest.raises(PassphraseMissing, match="TITLE_REGISTRY_PASSPHRASE_FILE"):
            read_passphrase(file, environment)
    with pytest.raises(PassphraseMissing):
        read_passphrase(private_file(tmp_path / "empty", b"\n"), {})


def test_a_missing_passphrase_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreBroken, match="nothing"):
        read_passphrase(None, {"TITLE_REGISTRY_PASSPHRASE_FILE": str(tmp_path / "nothing")})
