"""docs/formats.md is the truth: its example is recomputed, and verified from the page alone by another library."""

import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cwt import COSE, COSEKey

from api.documents.qr import QUIET_ZONE, qr_matrix, qr_text
from keys.cose import sign1
from keys.signing import Purpose, Signer
from registry.terms import Level, Obtained
from registry.titles import token as tokens
from registry.titles.code import new_code
from tests.api.certificates import changed
from tests.served import Cabinet, Site

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
RFC_6979_A_2_5 = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721


def block(name: str) -> str:
    """A fenced block of the page, by the word behind its language."""
    [found] = re.findall(rf"^```\w+ {name}\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose header row begins with that word."""
    rows = PAGE[PAGE.index(f"| {heading} |") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if not row.startswith("|---")]


# the page is what the code does


def test_the_example_is_what_we_would_print() -> None:
    signer = Signer(derive_private_key(RFC_6979_A_2_5, SECP256R1()), Purpose.E_CERTIFICATE)
    claims = json.loads(block("claims"))
    random, code = block("code").split()
    assert new_code(bytes.fromhex(random)) == code
    content = changed(
        code=code,
        version=claims["2"],
        base_url="https://zc.example.cn",
        authority=str(claims["3"]),
        number=claims["4"],
        name_masked=claims["5"],
        title_name=claims["6"],
        level=tuple(Level)[claims["7"] - 1],
        series=claims["8"],
        specialty=claims["9"],
        obtained=Obtained.REVIEW,
        awarded_on=date(1970, 1, 1) + timedelta(claims["10"]),
        issued_on=date(1970, 1, 1) + timedelta(claims["11"]),
    )
    payload = tokens.payload(content, claims["13"])
    token = sign1(signer, tokens.TYP, payload)
    assert payload.hex() == "".join(block("payload").split())
    assert token.hex() == "".join(block("token").split())
    assert qr_text(content, token) == "".join(block("qr").split())
    assert json.loads(block("jwk"))["kid"] == signer.kid
    assert (len(qr_matrix(qr_text(content, token))) - 2 * QUIET_ZONE - 17) // 4 == 14
    for said in (
        f"their {len(payload)} bytes",
        f"token of {len(token)} bytes",
        f"{len(qr_text(content, token))} characters",
    ):
        assert said in PAGE


def test_the_claims_of_the_page_are_those_of_the_code() -> None:
    rows = table("key")[1:]
    names = ("CODE", "VERSION", "AUTHORITY", "NUMBER", "NAME", "TITLE", "LEVEL", "SERIES", "SPECIALTY", "AWARDED")
    names += ("ISSUED", "PAPER", "LEAF")
    assert {int(key): name.upper() for key, name, *_ in rows} == {getattr(tokens, name): name for name in names}
    [levels] = [meaning for key, _, _, meaning in rows if int(key) == tokens.LEVEL]
    assert levels == ", ".join(f"{n} {level.zh}" for n, level in enumerate(Level, 1))


# the page alone is enough


def by_the_page(text: str, jwks: list[dict[str, Any]]) -> tuple[str, dict[int, Any]]:
    """Verify a QR text with what the page says and the library `cwt`; return the code in its path and the claims."""
    address, _, digits = text.partition("#")
    sizes, widths = (list(map(int, row[1:])) for row in table("bytes"))
    size_of = dict(zip(widths, sizes, strict=True))
    groups = [digits[at : at + 17] for at in range(0, len(digits), 17)]
    token = b"".join(int(group).to_bytes(size_of[len(group)], "big") for group in groups)
    keys = [COSEKey.from_jwk(key) for key in jwks if key["kty"] == "EC"]
    return address.rpartition("/v/")[2], cbor2.loads(COSE.new().decode(token, keys))


def the_code_of(random: bytes) -> str:
    """The code of ten random bytes, by the words of the page."""
    [alphabet] = re.findall(r"`([0-9A-Z]{32})`", PAGE)
    number = int.from_bytes(random, "big")
    body = [alphabet[number // 32**place % 32] for place in range(15, -1, -1)]
    return "".join(body) + alphabet[number % 37]


def test_the_example_verifies_from_the_page_alone() -> None:
    code, claims = by_the_page("".join(block("qr").split()), [json.loads(block("jwk"))])
    assert {
        str(key): value.hex() if isinstance(value, bytes) else value for key, value in claims.items()
    } == json.loads(block("claims"))
    assert the_code_of(claims[1]) == code == block("code").split()[1]
    token = cbor2.loads(bytes.fromhex("".join(block("token").split())))
    assert token.tag == int(re.findall(r"(\d+)\(\[ <<", PAGE)[0])
    assert token.value[0].hex() == block("protected")
    assert cbor2.loads(token.value[0]) == {1: -7, 4: json.loads(block("jwk"))["kid"].encode(), 16: "zc1"}
    assert token.value[1] == {}


def test_a_changed_digit_of_the_example_does_not_verify() -> None:
    text = "".join(block("qr").split())
    place = len(text) - 40
    with pytest.raises(Exception, match=r"[Ff]ailed to verify|[Vv]erif"):
        by_the_page(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :], [json.loads(block("jwk"))])


def test_certificates_of_a_registry_verify_from_the_page_and_the_served_keys(site: Site, cabinet: Cabinet) -> None:
    jwks = site.get("/.well-known/jwks.json").json()["keys"]
    keys = [key for key in jwks if key["purpose"] == "e-certificate/1"]
    assert {"kid", "alg", "use", "purpose", "state", "nbf", "exp"} <= set(keys[0])
    for certificate in (cabinet.valid, cabinet.newer, cabinet.converted):
        code, claims = by_the_page(cabinet.qr(certificate), keys)
        content = certificate.content.reveal()
        assert the_code_of(claims[1]) == code == certificate.code
        assert (claims[2], claims[4], claims[5]) == (content.version, content.number, "林*岚")
        assert date(1970, 1, 1) + timedelta(claims[10]) == content.awarded_on
        assert (12 in claims) == (certificate is cabinet.converted)
