"""Tokens that are not ours, or ours in the wrong place, at the public door; and codes that are guessed."""

import hmac
import re
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from keys.cose import build1, to_be_signed, verify1
from keys.errors import KeysError
from keys.signing import Purpose, Signer
from registry.service import Registry
from registry.titles.certificate import token_of
from registry.titles.digits import to_digits
from registry.titles.events import DecisionKind
from tests.api.bureau import Bureau
from tests.people import CLERK, awarding, decided, deciding, person, settable

Forge = Callable[[Registry, bytes], bytes]


def parts(token: bytes) -> tuple[dict[Any, Any], bytes, bytes]:
    """Protected header, payload and signature of a token."""
    protected, _, payload, signature = cbor2.loads(token).value
    return cbor2.loads(protected), payload, signature


def headed(change: dict[Any, Any], unprotected: dict[Any, Any] | None = None) -> Forge:
    """The token with something else in its header, and the signature as it was."""

    def forge(_: Registry, token: bytes) -> bytes:
        header, payload, signature = parts(token)
        protected = cbor2.dumps({name: value for name, value in (header | change).items() if value is not None})
        return cbor2.dumps(cbor2.CBORTag(18, [protected, unprotected or {}, payload, signature]))

    return forge


def by(purpose: Purpose) -> Forge:
    """The same claims under the key of another purpose, named and truly used as far as it can."""

    def forge(registry: Registry, token: bytes) -> bytes:
        _, payload, _ = parts(token)
        signer = registry.custody.signer(purpose, registry.clock())
        signature = signer.sign_raw(to_be_signed(signer.kid, "zc1", payload))
        return build1(signer.kid, "zc1", payload, signature[:64].ljust(64, b"\0"))

    return forge


def by_a_stranger(registry: Registry, token: bytes) -> bytes:
    """A key of the forger's own, under the name of ours."""
    _, payload, _ = parts(token)
    ours = registry.custody.signer(Purpose.E_CERTIFICATE, registry.clock())
    own = Signer(generate_private_key(SECP256R1()), Purpose.E_CERTIFICATE)
    return build1(ours.kid, "zc1", payload, own.sign_raw(to_be_signed(ours.kid, "zc1", payload)))


def by_public_key_as_secret(registry: Registry, token: bytes) -> bytes:
    """Algorithm confusion: HMAC 256/256 (5) over the same bytes, with the public key as the secret."""
    header, payload, _ = parts(token)
    key = registry.custody.keyring.find(header[4].decode())
    protected = cbor2.dumps(header | {1: 5})
    mac = hmac.digest(key.spki(), cbor2.dumps(["MAC0", protected, b"", payload]), "sha256")
    return cbor2.dumps(cbor2.CBORTag(18, [protected, {}, payload, mac * 2]))


def as_mac0(_: Registry, token: bytes) -> bytes:
    """The same parts under the tag of COSE_Mac0 (17)."""
    return cbor2.dumps(cbor2.CBORTag(17, cbor2.loads(token).value))


FORGERIES: dict[str, Forge] = {
    "alg EdDSA": headed({1: -8}),
    "alg ES384": headed({1: -35}),
    "alg HMAC": headed({1: 5}),
    "alg none": headed({1: 0}),
    "no alg": headed({1: None}),
    "alg as text": headed({1: "ES256"}),
    "alg outside the signature": headed({1: None}, {1: -7}),
    "no key named": headed({4: None}),
    "another kind of token": headed({16: "zc2"}),
    "a critical header": headed({2: [99], 99: 1}),
    "a key brought along": headed({}, {-1: {1: 2, -1: 1}}),
    "a chain brought along": headed({}, {33: b"\x30\x00"}),
    "the checkpoint key": by(Purpose.CHECKPOINT),
    "the document key": by(Purpose.DOCUMENT),
    "a stranger's key": by_a_stranger,
    "the public key as a secret": by_public_key_as_secret,
    "a MAC for a signature": as_mac0,
}


class Issued(NamedTuple):
    """A title and the token of its certificate."""

    stream: str
    code: str
    token: bytes


def issued(registry: Registry, n: int = 1) -> Issued:
    """The n-th person's title with a certificate."""
    stream = registry.award(awarding(person(n)), officer=CLERK)
    certificate = registry.issue(stream, settable, officer=CLERK)
    return Issued(stream, certificate.code, token_of(certificate))


def verdict(bureau: Bureau, token: bytes) -> Any:
    """The public answer for a token's digits."""
    return bureau.client.request("POST", "/api/v1/verifications", json={"target": to_digits(token)}).json()


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_no_forged_token_is_ever_valid(bureau: Bureau, forge: Forge) -> None:
    token = issued(bureau.registry).token
    assert verdict(bureau, token)["status"] == "valid"
    forged = forge(bureau.registry, token)
    with pytest.raises(KeysError):  # off line, where only the signature speaks
        verify1(bureau.registry.custody.keyring, "zc1", forged)
    answer = verdict(bureau, forged)
    assert answer["status"] in ("tampered", "unreadable"), answer
    assert answer["certificate"] is None


def test_a_token_of_another_registry_and_an_old_one_played_again(
    bureau: Bureau, new_registry: Callable[[], Registry]
) -> None:
    """Played again after a revocation it says revoked; of another bureau with the same keys it is unknown here."""
    answer = verdict(bureau, issued(new_registry(), 2).token)
    assert (answer["status"], answer["certificate"]) == ("unknown", None)
    ours = issued(bureau.registry)
    assert verdict(bureau, ours.token)["status"] == "valid"
    decided(bureau.registry, ours.stream, deciding(DecisionKind.REVOCATION))
    assert verdict(bureau, ours.token)["status"] == "revoked"


# --- guessing codes


UNKNOWN = "ZZZZZZZZZZZZZZZZ6"
GUESSES = {
    "malformed": ("7K3M9XQ4T2VD8HNRX", "abc", "UUUUUUUUUUUUUUUUU", "7K3M-9XQ4", "a" * 300),
    "unknown": ("7K3M9XQ4T2VD8HNRS", UNKNOWN),
}
PUBLIC = ("/api/v1/verifications/{}", "/api/v1/verifications/{}/receipt", "/v/{}")


@pytest.mark.parametrize("path", PUBLIC)
def test_a_guess_tells_by_its_answer_nothing_but_that_it_is_wrong(bureau: Bureau, path: str) -> None:
    """Unknown and malformed codes: one status, one body (but for the moment and for what was typed)."""
    issued(bureau.registry)
    seen = set()
    shown = path == "/v/{}"  # the page repeats what was typed: only codes of one length can be compared
    for code in [*GUESSES["malformed"][: 1 if shown else None], *GUESSES["unknown"]]:
        answer = bureau.client.request("GET", path.format(code))
        body = answer.text.replace(code, "").replace(code.lower(), "")
        body = re.sub(r'<[a-z]+ [^>]*class="code[^>]*>[^<]*', "", body)
        body = re.sub(r"[0-9A-Z]{4}([ -][0-9A-Z]{1,4})+", "", body)
        body = re.sub(r"\d{4}-\d\d-\d\d[T ][0-9:.]+(Z|\+08:00)?", "", body)
        seen.add((answer.status_code, answer.headers["content-type"], body))
    assert len(seen) == 1, [one[2][:3000] for one in seen]


def test_a_guess_tells_by_its_time_nothing_of_how_wrong_it_is(bureau: Bureau) -> None:
    """Medians of requests in turns; they must lie within a factor of two of each other, in one run on one machine."""
    issued(bureau.registry)
    taken: dict[str, list[float]] = {"7K3M9XQ4T2VD8HNRX": [], "7K3M9XQ4T2VD8HNRS": [], UNKNOWN: []}
    for n in range(330):
        for code, times in taken.items():
            started = time.perf_counter()
            bureau.client.request("GET", f"/api/v1/verifications/{code}")
            if n >= 30:
                times.append(time.perf_counter() - started)
    medians = [statistics.median(times) for times in taken.values()]
    assert max(medians) < 2 * min(medians), taken.keys() | {str(one) for one in medians}
