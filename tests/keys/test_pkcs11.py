"""A registry whose keys are in a PKCS#11 token: SoftHSM2, a real one in software, each run with tokens of its own."""

import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cwt import COSE, COSEKey

from api.documents.delivery import deliver, proof_of
from api.documents.press import Press
from keys import passphrase as sealing
from keys.backends import FileStore, Secrets, TokenSettings, TokenStore
from keys.backends.token import Token
from keys.custody import Custody
from keys.errors import (
    BackEndMissing,
    CustodyUnavailable,
    KeyNotUsable,
    KeysError,
    KeyStoreBroken,
    LoosePermissions,
    SealBroken,
    WrongPin,
)
from keys.signing import Purpose, sign, verify
from keys.vault import Vault
from registry.backup import back_up
from registry.backup.restoring import restore
from registry.catalogue.adoption import REFERENCE, STREAM, adopt
from registry.folder import Config, Folder
from registry.service import Registry
from registry.titles.certificate import token_of
from tests.people import CLERK, Clock, awarding, found, person, settable
from tests.rotating import rotate
from tests.tools import need

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(days=400)
PASSPHRASE = "样例口令 with a token".encode()
PIN, SO_PIN, LABEL = "271828", "31415926", "registry"
IN_TOKEN = (Purpose.E_CERTIFICATE, Purpose.DOCUMENT, Purpose.CHECKPOINT)
# A search that a lost session has ended is ended again by the library when it forgets it, and says so on stderr.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. 'pkcs11._pkcs11.OperationContext:pytest.PytestUnraisableExceptionWarning"
)
PLACES = ("softhsm", "x86_64-linux-gnu/softhsm", "aarch64-linux-gnu/softhsm", "pkcs11")


def module() -> str:
    """Where the module is. Without it nothing here can be checked, and that is said loudly."""
    need("softhsm2-util", "openssl")
    pytest.importorskip("pkcs11", reason="NOT CHECKED: python-pkcs11 is not installed")
    for place in PLACES:
        for lib in ("/usr/lib", "/usr/lib64"):
            if (path := Path(lib, place, "libsofthsm2.so")).exists():
                return str(path)
    pytest.skip("NOT CHECKED: libsofthsm2.so is missing on this machine; .ci/run installs it")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the tokens, and the PIN in a file."""
    module()
    place = tmp_path_factory.mktemp("softhsm")
    (place / "tokens").mkdir()
    (place / "softhsm2.conf").write_text(f"directories.tokendir = {place / 'tokens'}\nlog.level = ERROR\n")
    private(place / "pin", PIN + "\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(place / "softhsm2.conf")
    make_token(LABEL)
    make_token("empty")
    yield place
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


def make_token(label: str) -> None:
    command = f"softhsm2-util --init-token --free --label {label} --so-pin {SO_PIN} --pin {PIN}"
    subprocess.run(command.split(), check=True, capture_output=True)


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def settings(place: Path) -> TokenSettings:
    return TokenSettings(module(), LABEL, str(place / "pin"))


@pytest.fixture(scope="module")
def created(settings: TokenSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("custody") / "keys"
    Custody.create(folder, PASSPHRASE, NOW, organisation="丽水市人力资源和社会保障局", token=settings)
    return folder


@pytest.fixture
def folder(created: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(created, tmp_path / "keys"))


@pytest.fixture
def custody(folder: Path) -> Custody:
    return Custody.open(folder, PASSPHRASE)


@pytest.fixture
def token(settings: TokenSettings) -> Token:
    return settings.open()


def objects(token: Token) -> set[tuple[str, str]]:
    """Class and label of everything in the token."""
    import pkcs11

    def look(session: pkcs11.Session) -> set[tuple[str, str]]:
        return {(one.object_class.name, one[pkcs11.Attribute.LABEL]) for one in session.get_objects()}

    return token.use(look)


def change(folder: Path, **settings: Any) -> None:
    """Change `custody.json` as an administrator does, in an editor."""
    path = folder / "custody.json"
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | settings))


# What lies where


def test_the_folder_holds_only_what_the_token_does_not(created: Path) -> None:
    kinds = {path.name.partition("-")[0].partition(".")[0] for path in created.iterdir()}
    assert kinds == {"keys", "secrets", "custody", "root", "issuing", "cosignature"}
    assert not (created / "root-key.pem").exists()
    secrets = msgspec.json.decode(sealing.unseal((created / "secrets.bin").read_bytes(), PASSPHRASE), type=Secrets)
    assert (secrets.master, secrets.index_key) == (b"", b"")
    assert PIN.encode() not in b"".join(path.read_bytes() for path in created.iterdir())


def test_every_key_in_the_token_is_sensitive_and_was_never_extractable(created: Path, token: Token) -> None:
    import pkcs11

    def look(session: pkcs11.Session) -> int:
        of_keys = [pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.ObjectClass.SECRET_KEY]
        found = [key for kind in of_keys for key in session.get_objects({pkcs11.Attribute.CLASS: kind})]
        for key in found:
            for name in ("SENSITIVE", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE", "LOCAL", "PRIVATE"):
                assert key[pkcs11.Attribute[name]] is True, (key, name)
            assert key[pkcs11.Attribute.EXTRACTABLE] is False
        return len(found)

    assert token.use(look) >= 6  # three signing keys, the root, and the vault's two


def test_the_token_refuses_to_give_a_key_away(created: Path, token: Token) -> None:
    import pkcs11

    def attack(session: pkcs11.Session) -> None:
        wrapping = session.generate_key(pkcs11.KeyType.AES, 256, capabilities=pkcs11.MechanismFlag.WRAP)
        for kind in (pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.ObjectClass.SECRET_KEY):
            for key in session.get_objects({pkcs11.Attribute.CLASS: kind, pkcs11.Attribute.TOKEN: True}):
                with pytest.raises(pkcs11.AttributeSensitive):
                    key[pkcs11.Attribute.VALUE]
                with pytest.raises(pkcs11.PKCS11Error):
                    key[pkcs11.Attribute.EXTRACTABLE] = True
                with pytest.raises(pkcs11.PKCS11Error):
                    key[pkcs11.Attribute.SENSITIVE] = False
                with pytest.raises(pkcs11.PKCS11Error):
                    wrapping.wrap_key(key, mechanism=pkcs11.Mechanism.AES_KEY_WRAP)

    token.use(attack)


def test_our_own_code_has_no_way_to_take_a_key_out(custody: Custody) -> None:
    key: Any = custody.document_signer(NOW).key
    checkpoint: Any = custody.signer(Purpose.CHECKPOINT, NOW)._key
    takes: list[Callable[[], object]] = [
        key.private_numbers,
        checkpoint.private_bytes_raw,
        lambda: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        lambda: checkpoint.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        lambda: key.exchange(None, key.public_key()),
    ]
    for take in takes:
        with pytest.raises(KeyNotUsable, match="不能取出"):
            take()


# Signing, judged by others


def test_every_purpose_signs_and_an_independent_library_accepts(custody: Custody) -> None:
    for purpose in Purpose.of_registry():
        signer = custody.signer(purpose, NOW)
        verify(custody.keyring.find(signer.kid), purpose, b"body", sign(signer, purpose, b"body"))
        raw, public = signer.sign_raw(b"message"), signer.public.key
        if isinstance(public, EllipticCurvePublicKey):
            r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
            public.verify(encode_dss_signature(r, s), b"message", ECDSA(SHA256()))
        elif isinstance(public, Ed25519PublicKey):
            public.verify(raw, b"message")
    assert {type(custody.signer(purpose, NOW)._key).__module__ for purpose in IN_TOKEN} == {"keys.backends.held"}


def test_another_digest_is_refused(custody: Custody) -> None:
    from cryptography.hazmat.primitives.hashes import SHA384

    key = custody.document_signer(NOW).key
    assert isinstance(key, EllipticCurvePrivateKey)
    with pytest.raises(KeyNotUsable, match="SHA-256"):
        key.sign(b"message", ECDSA(SHA384()))


def test_openssl_accepts_the_certificates_that_the_root_in_the_token_issued(folder: Path, custody: Custody) -> None:
    custody.make(Purpose.DOCUMENT, LATER)
    issued = list(folder.glob("issuing-*.pem"))
    assert len(issued) == 2
    for path in issued:
        begin = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_before_utc
        at = str(int(begin.timestamp()) + 60)
        command = ["openssl", "verify", "-x509_strict", "-attime", at, "-CAfile", "root.pem", path.name]
        assert subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout == f"{path.name}: OK\n"


@pytest.fixture
def registry(settings: TokenSettings, tmp_path: Path) -> Iterator[Registry]:
    """A founded registry with its keys in the token."""
    folder, clock = Folder(tmp_path / "data"), Clock()
    folder.create(Config(base_url="https://zc.example.cn"))
    custody = Custody.create(folder.keys, PASSPHRASE, clock(), organisation="丽水市某局", token=settings)
    registry = Registry(folder, custody, clock)
    registry.log.transact(
        lambda unit: unit.record(REFERENCE, STREAM, adopt(registry.catalogue, unit.state(REFERENCE, STREAM))),
        actor="system",
    )
    registry.tlog.sequence()
    found(registry)
    yield registry
    registry.close()


def test_a_certificate_is_issued_verified_and_delivered(registry: Registry, tmp_path: Path) -> None:
    need("pdfsig")
    press = Press()
    stream = registry.award(awarding(person(1)), officer=CLERK)
    certificate = registry.issue(stream, proof_of(registry, press), officer=CLERK)
    assert registry.verifier.check(certificate.code).status == "valid"
    # the token, by another library with the published keys
    jwks = registry.custody.keyring.to_jwks()["keys"]
    keys = [COSEKey.from_jwk({**key, "alg": "ES256"}) for key in jwks if key["purpose"] == "e-certificate/1"]
    assert COSE.new().decode(token_of(certificate), keys)
    # the document, by poppler
    pdf = tmp_path / "certificate.pdf"
    pdf.write_bytes(deliver(registry, press, certificate))
    said = subprocess.run(["pdfsig", str(pdf)], capture_output=True, text=True, check=False).stdout
    assert "Signature is Valid." in said
    assert "Total document signed" in said
    # and the registry opens again in a process that has never seen the token
    script = f"""
from pathlib import Path
from registry.service import Registry
registry = Registry.open(Path({str(registry.folder.path)!r}), {PASSPHRASE!r})
print(registry.verifier.check({certificate.code!r}).status)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "valid", done.stderr


# The vault


def test_data_keys_open_for_their_subject_only(custody: Custody, folder: Path) -> None:
    key, wrapped = custody.vault().new_data_key("holder-1")
    box = key.seal(b"secret", b"place")
    again = Custody.open(folder, PASSPHRASE).vault()
    assert again.unwrap("holder-1", wrapped).open(box, b"place") == b"secret"
    changed = [wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :] for at in range(len(wrapped))]
    for subject, broken in [("holder-2", wrapped), *(("holder-1", one) for one in (*changed, b"", wrapped[:20]))]:
        with pytest.raises(SealBroken):
            again.unwrap(subject, broken)
    assert again.unwrap("holder-1", wrapped).open(box, b"place") == b"secret"


def test_the_formats_are_those_of_the_vault_in_files(token: Token, settings: TokenSettings, tmp_path: Path) -> None:
    """Keys that we know are put into the token: what it wraps opens outside, and the other way round."""
    import pkcs11

    master, index = sha256(b"master").digest(), sha256(b"index").digest()

    def put(session: pkcs11.Session) -> None:
        aes = {pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.AES, pkcs11.Attribute.VALUE: master}
        mac = {pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.GENERIC_SECRET, pkcs11.Attribute.VALUE: index}
        uses = pkcs11.Attribute.ENCRYPT, pkcs11.Attribute.DECRYPT, pkcs11.Attribute.SIGN
        for word, key in (("master", aes), ("index", mac)):
            kind = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, pkcs11.Attribute.TOKEN: False}
            label = {pkcs11.Attribute.LABEL: f"vault-known-{word}"}
            session.create_object(kind | key | label | dict.fromkeys(uses, True))

    token.use(put)
    try:
        known = msgspec.structs.replace(settings, vault="known")
        inside = TokenStore(known, FileStore(tmp_path, Secrets(b"", b"", b""))).vault()
        outside = Vault(master, index)
        for one, other in ((inside, outside), (outside, inside)):
            key, wrapped = one.new_data_key("holder-1")
            assert other.unwrap("holder-1", wrapped).open(key.seal(b"text", b"place"), b"place") == b"text"
        assert inside.blind_index("证件号码") == outside.blind_index("证件号码")
    finally:  # known keys are as readable as their test wants them; no other test may meet them in this session
        for word in ("master", "index"):
            token.use(partial(token.forget, "SECRET_KEY", f"vault-known-{word}"))


# Rotation


def test_rotation_happens_in_the_token_and_old_signatures_stay_good(custody: Custody, token: Token) -> None:
    for purpose in IN_TOKEN:
        old = custody.signer(purpose, NOW)
        signature, before = sign(old, purpose, b"body"), objects(token)
        fresh = rotate(custody, purpose, LATER)
        new = custody.signer(purpose, LATER)
        assert new.kid == fresh.kid != old.kid
        label = f"{purpose.value.partition('/')[0]}-{new.kid}"
        assert objects(token) - before == {("PRIVATE_KEY", label), ("PUBLIC_KEY", label)}
        verify(custody.keyring.find(old.kid), purpose, b"body", signature)
        verify(custody.keyring.find(new.kid), purpose, b"new", sign(new, purpose, b"new"))


def test_a_making_that_fails_leaves_nothing_in_token_or_folder(
    settings: TokenSettings, token: Token, tmp_path: Path, created: Path
) -> None:
    before = objects(token)
    with pytest.raises(ValueError, match="64 characters"):
        Custody.create(tmp_path / "keys", PASSPHRASE, NOW, organisation="局" * 65, token=settings)
    assert objects(token) == before
    assert not (tmp_path / "keys").exists()
    with pytest.raises(KeyNotUsable, match="根证书已于"):
        Custody.open(created, PASSPHRASE).make(Purpose.DOCUMENT, NOW + timedelta(days=21 * 365))
    assert objects(token) == before


# Threads, processes, a token that is gone


def sign_many(folder: Path) -> None:
    custody = Custody.open(folder, PASSPHRASE)
    for purpose in IN_TOKEN * 10:
        signer = custody.signer(purpose, NOW)
        verify(signer.public, purpose, b"body", sign(signer, purpose, b"body"))


def test_many_threads_sign_at_once_while_sessions_are_lost(custody: Custody, token: Token) -> None:
    vault, (_, wrapped) = custody.vault(), custody.vault().new_data_key("holder-1")

    def work(number: int) -> None:
        if number % 15 == 7:
            token.use(lambda session: session.close())  # behind our back, as when a token is drawn and put back
        body, purpose = str(number).encode(), IN_TOKEN[number % 3]
        signer = custody.signer(purpose, NOW)
        verify(signer.public, purpose, body, sign(signer, purpose, body))
        vault.unwrap("holder-1", wrapped)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(240)))


def test_two_other_processes_and_this_one_sign_at_once(folder: Path) -> None:
    script = f"from pathlib import Path; from {__name__} import sign_many; sign_many(Path({str(folder)!r}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    others = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(2)]
    sign_many(folder)
    assert [other.wait(60) for other in others] == [0, 0]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_forked_while_another_thread_signs_does_not_wait_for_it(folder: Path, token: Token) -> None:
    sign_many(folder)
    signing, go_on = Event(), Event()

    def hold(_: object) -> None:
        signing.set()
        go_on.wait(60)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(token.use, hold)
        signing.wait(60)
        child = multiprocessing.get_context("fork").Process(target=sign_many, args=(folder,))
        child.start()
        child.join(20)
        go_on.set()
    child.kill()
    child.join()
    assert child.exitcode == 0
    sign_many(folder)


def test_without_the_token_nothing_is_signed_and_when_it_is_back_all_goes_on(registry: Registry, place: Path) -> None:
    stream = registry.award(awarding(person(1)), officer=CLERK)
    head = registry.log.head()
    (place / "tokens").rename(place / "drawn")
    try:
        with pytest.raises(CustodyUnavailable, match="加密机 registry") as refusal:
            registry.issue(stream, settable, officer=CLERK)
        assert refusal.value.fix
        with pytest.raises(CustodyUnavailable):
            registry.custody.vault().blind_index("证件号码")
        assert registry.log.head() == head
    finally:
        (place / "drawn").rename(place / "tokens")
    certificate = registry.issue(stream, settable, officer=CLERK)
    assert registry.verifier.check(certificate.code).status == "valid"


def test_a_key_that_was_destroyed_in_the_token_is_told(custody: Custody, token: Token) -> None:
    fresh = custody.make(Purpose.E_CERTIFICATE, LATER)
    label = f"e-certificate-{fresh.kid}"
    token.use(lambda _: token.forget("PRIVATE_KEY", label))
    custody.follow(lambda: custody.keyring.put(fresh).records)
    for use in (lambda: custody.signer(Purpose.E_CERTIFICATE, LATER), lambda: custody.require_private(fresh)):
        with pytest.raises(KeyStoreBroken, match=label):
            use()


def test_another_token_than_the_one_with_the_keys_opens_nothing(folder: Path) -> None:
    change(folder, token="empty")
    custody = Custody.open(folder, PASSPHRASE)
    for use in (
        lambda: custody.signer(Purpose.E_CERTIFICATE, NOW),
        custody.require_root,
        lambda: custody.vault().blind_index("证件号码"),
    ):
        with pytest.raises(KeyStoreBroken, match="加密机 empty 中没有"):
            use()


def test_the_root_is_checked_against_its_certificate(folder: Path, custody: Custody, tmp_path: Path) -> None:
    custody.require_root()
    Custody.create(tmp_path / "other", PASSPHRASE, NOW, organisation="另一局")
    shutil.copy(tmp_path / "other" / "root.pem", folder / "root.pem")
    with pytest.raises(KeyStoreBroken, match="没有标签为 root-"):
        custody.require_root()


# Settings that are wrong


def test_a_wrong_pin_is_not_tried_again_until_its_file_changes(folder: Path, tmp_path: Path) -> None:
    pin = private(tmp_path / "pin", "000000")
    change(folder, pin_file=str(pin))
    custody = Custody.open(folder, PASSPHRASE)
    for _ in range(2):
        with pytest.raises(WrongPin, match="拒绝了 PIN"):
            custody.vault().blind_index("证件号码")
    # The right PIN, read at the next use; nothing needs to be started again.
    private(pin, PIN)
    assert len(custody.vault().blind_index("证件号码")) == 64


def test_a_wrong_pin_reaches_the_token_only_once(settings: TokenSettings, tmp_path: Path) -> None:
    """The token itself says whether a login failed since the last good one (CKF_USER_PIN_COUNT_LOW)."""
    import pkcs11

    def failed() -> bool:
        tokens = pkcs11.lib(settings.module).get_tokens(token_label="empty")
        return bool(next(tokens).flags & pkcs11.TokenFlag.USER_PIN_COUNT_LOW)

    pin = private(tmp_path / "pin", "000000")
    token = Token(settings.module, "empty", pin)
    with pytest.raises(WrongPin):
        token.use(lambda session: session)
    assert failed()
    right = f"import pkcs11; pkcs11.lib({settings.module!r}).get_token(token_label='empty').open(user_pin={PIN!r})"
    subprocess.run([sys.executable, "-c", right], check=True)
    assert not failed()
    with pytest.raises(WrongPin):
        token.use(lambda session: session)
    assert not failed()


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"module": "/nowhere/libtoken.so"}, BackEndMissing, "找不到 PKCS#11 模块"),
        ({"module": __file__}, BackEndMissing, "不是可用的 PKCS#11 模块"),
        ({"token": "nobody"}, CustodyUnavailable, "NoSuchToken"),
        ({"pin_file": "/nowhere/pin"}, KeyStoreBroken, "无法读取"),
    ],
    ids=["no module", "no PKCS#11 module", "no token", "no PIN file"],
)
def test_wrong_settings_are_told_and_make_nothing(
    settings: TokenSettings, tmp_path: Path, changed: dict[str, str], error: type[KeysError], says: str
) -> None:
    wrong = msgspec.structs.replace(settings, **changed)
    with pytest.raises(error, match=says) as refusal:
        Custody.create(tmp_path / "keys", PASSPHRASE, NOW, organisation="某局", token=wrong)
    assert refusal.value.fix or error is KeyStoreBroken
    assert not list(tmp_path.iterdir())


def test_a_pin_that_others_can_read_or_an_empty_one_is_refused(settings: TokenSettings, tmp_path: Path) -> None:
    loose, empty = private(tmp_path / "loose", PIN), private(tmp_path / "empty", "\n")
    loose.chmod(0o640)
    for path, error in ((loose, LoosePermissions), (empty, WrongPin)):
        with pytest.raises(error):
            msgspec.structs.replace(settings, pin_file=str(path)).prepared()


@pytest.mark.parametrize("content", [b"", b"{}", b'{"custody":"pkcs11"}', b'{"custody":"cloud"}', b"\xff"])
def test_a_settings_file_that_is_wrong_is_told(folder: Path, content: bytes) -> None:
    (folder / "custody.json").write_bytes(content)
    with pytest.raises(KeyStoreBroken, match=r"custody\.json"):
        Custody.open(folder, PASSPHRASE).signer(Purpose.E_CERTIFICATE, NOW)


def test_without_the_package_a_folder_of_files_works_and_one_of_a_token_says_why(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    files = Custody.create(tmp_path / "files", PASSPHRASE, NOW, organisation="某局")
    assert sign(files.signer(Purpose.CHECKPOINT, NOW), Purpose.CHECKPOINT, b"body")
    with pytest.raises(BackEndMissing, match=r"title-registry\[pkcs11\]"):
        Custody.open(folder, PASSPHRASE).signer(Purpose.CHECKPOINT, NOW)


def test_a_backup_is_taken_and_restored_with_the_token_at_hand_and_not_without(
    registry: Registry, place: Path, tmp_path: Path
) -> None:
    stream = registry.award(awarding(person(1)), officer=CLERK)
    certificate = registry.issue(stream, settable, officer=CLERK)
    archive, other = tmp_path / "today.tar", tmp_path / "again"
    back_up(registry.folder, archive, PASSPHRASE, now=NOW)
    (place / "tokens").rename(place / "drawn")
    try:
        for work in (
            lambda: back_up(registry.folder, tmp_path / "tomorrow.tar", PASSPHRASE, now=NOW),
            lambda: restore(archive, other, PASSPHRASE, now=NOW),
        ):
            with pytest.raises(CustodyUnavailable):
                work()
    finally:
        (place / "drawn").rename(place / "tokens")
    assert not other.exists()
    assert not (tmp_path / "tomorrow.tar").exists()
    restore(archive, other, PASSPHRASE, now=NOW)
    again = Registry.open(other, PASSPHRASE, Clock())
    assert again.verifier.check(certificate.code).status == "valid"
    assert sign(again.custody.signer(Purpose.CHECKPOINT, again.clock()), Purpose.CHECKPOINT, b"body")
    again.close()
