"""Cosignatures: real ones of other people's software, the messages written a second time, and every way to be wrong."""

import base64
import hashlib
import struct
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.errors import KeyNotUsable, KeysError, SignatureInvalid
from keys.signing import Algorithm, Purpose, Signer
from registry.errors import BadInput, RegistryError
from registry.proof.checkpoint import Checkpoint, NoteKey, open_checkpoint, open_note, sign_checkpoint
from registry.proof.cosignature import Cosignature, CosignerKey, add_signatures, cosign, cosignatures

# A checkpoint of a public staging log with two of its witnesses, as served; the key of one of them as it is published
# in github.com/transparency-dev/formats, note/note_cosigv1_test.go.
ARCHE = """\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA2\
3oHP7Ry1k3ZFWwQ=
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/\
TmN9DAg==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfB\
w==
""".encode()
ARCHE_KEY = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
REMORA = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"

# Made with filippo.io/mldsa from this seed: github.com/FiloSottile/torchwood, cmd/litewitness/testdata/mldsa.txt.
TORCHWOOD_SEED = "2886adc2b0eabfce67c0472939127998bf886cf256bfee8ba76a253fce1146e0"
TORCHWOOD_TEXT = b"example.com/mldsa-log\n1\n+zoErtsZtGO6sfiSV/v4UJSIyowisE8hvjw0q5+bD38=\n"
TORCHWOOD_SIGNATURE = """
td9FxQAAAAAAAAAAkjFvCxC6244QGemHL0hurmk5M3Hj6noQQtBM1TiwnC1lFmT+t+cUG9W0ENlRQtV20lJFLKCzoJ08ulQEkfiVueKHeMyURh97Iup0R9
d41Monv472jkyfDoX3ILyX/kEOuSV4Ed2tU4VmtDSbP0rofMWAbKJRMnzCpNIT5xMe3tRbWLVTvAtnX9OB4UMKL1dvGS/uuhqW9Ddjik2D8veitBvk3TbQ
cT8fanSyZqCbDZ5zzw5JS3Gu5oD1zK7z+KiyqbzKUhglESs7YXFbeU0E03FrXdAPYS6GAuZtBWTJp4DEm4rL+NqU6Xp0n2ehhqd1rFAJUAcsE5CFakQdlm
KkkzVMy3VZYll5ptS0amlYfGqX6/N9bJAYdAoWWpdgCep5eXCutQcTQXc69UocKT99/vholeAP1097GfS+hNL2ndNS2ieMnj8XLD1LCHVoBjKZUIObB0lx
3leGRe9VjYgTRAY2WlE+K32b6Iz1rKzzDD8YBNQdkHgdx44uPOU3I+8szYS6NzQ2Z0QlqAtz0j9vZu9yEUUxCEORAiMAHLtV5oWZ/RvSE7qq5B0b8WrHGP
GoR/qUNK4ECmlIe/SRo6M7yRrPs3das3ox1bkC3f92c98ewHLeQtLwwsqQJny6rlYaiaiPMxgdT2CVcJEcKOfaK8pdy2fucBDxHrQitpGkeLJLmWk6LLxR
/Ut6s6xNyyKSuZlVslS40n9MJ837uMmJFyecKPliwAj8HzTWQywSkMpEQfJyr4i2Kfa2paOZ4izmotRTfdvbFWlWFwuGLWOQ0X/pKaExpdNDwqahAwbfGk
w/iHbsV7ZIlNIuSNs2ccQvnjM8xqkT6sYYVxYiHpmk5sOwGsdeiMdwQqn7Q/Lz+uc3F6k/r0Ox7MJTX6fPhFdhe8RJg/77USR/MIGiT4YZHV+XgrtbV0jv
MEgB4yEOircsScaBmLv18tTn1GiGlzFjK/s7gOzjk70jf1qCZ1MNgDAPstd/5sXdwYON0FnA5zPUp9yMkq1/wZq+DuePQDT6nj8zgFrkrvl8s7nibKKaL2
bKcje5YP3CFcXLZoESZnC3BJkV85VqXlAKl+dctM3vNfMVrqk3/boBARw27mdKLsysIREkWR4caByW0csjL3Js9tn1hB0yf6hIGo8mvPIUjPIXn1rFSSKW
kQlq15wu2gwEo9FdVF5beMdF4LVwuO9PZ1Y4oXuRE2pIzMWq/jEzHAZ7GucP7yzU78X767ucrwO/AXjMlLUsLLFZaQcHHBsrQJLpy5w1Jn/L7XFyR2g0lB
OdT+lSOhx7j33oIlzxmqdR47ovtkg+LJpbAJG7n/JiQ/h/xffe3VdqSsrB8S4ltKz+rq51swoZ59zmRzWaoNkyWX0eu0E7y6EfpfrKEmr0H+fYtVnJvCzn
WFKzbv7oDXKC0pOyKZsNctvFwhSGEEURCs1G+4IrAEWG2Y231thQ8HdMvaMcm+ocvBGhZjmE7bXFkdiJ7S09csFjljFDGCiGRiU+flxkyiqpa1DDgeFRWO
EyNAdMeY2iQMTJU9ApqNVrPpjGbg7kL0HrfKCQM236d16DKfXIiUmZw/NONKnrliAIs6/WSzKdW/JUyTLiKfPV1ItODmw5eNz7lV36dR8g3us/bpWp4OaD
IInrLxYZRfkLHLvXGGg5ogY2k/FMno/3UBbS0QfstK+ByB/pFVYCHWgDjctwpOHaqAAXAiWHAUh1KOpXBMv8qndpzhsYhvKbrL371aBST0e3iPW/K4x+kF
fgdeClsftS9RnE8KDCf4Uz+9QMP9sxj4+ZACztE19eBVaSvCqv54wO6n5248UzbqPXzA1dweKQziw/FnPWC7qMrcs3jDi6PBPhpruk1xBy08MQg58l4Yzu
XrPm5gAyiUAyfNszvhTotaU02oljhvg24CycDo/2PvQY7sBmisIsVVeHssiRxg23CMgWHaPMDn6OM+IhF2xaAqJOjfnsFBWlvMg8LxsrBnOQ1YABVLLtMv
CSaIvgBjPt8XtLn9gZ0HL9OvGsR3efWHTR5p4nZyuHH2Nm8F3nWKVkEI4p4H6Yo5O0hkzCi1ZB7QT3uEIeR0Hq3g/bLTzmm6XzsjWSmQ8CtPapmXX476QT
44wU0CWJ096SqUGUq2ZCDg3kFkV0BuKPIfLCt4sYK9bjj8UZCqkhyHbVm2x+HQwk8mNnDbUd7PK89riPjA33KX0Sw32RE0uKtB0sC8m7t028aEupsRx56/
M0jBgeYmEHuRrXpW9nuOkQPTBaHdmYBHNkzTF2arPzZK3diFuhKPvmSQh2CN6g8r0p3EN+dmps1fIUfHM6emkEuaod+ZG83vyJsyd5B2oPMTVP12z8VJtD
RAYfA5bRj+HEw2aD4f23u/Zq3PHk2C9T5LTAu28WCuO/EpXGSIkq1/hRpyE0qhJSnPN9/iE74PoU1OgjGBv6uSUsNhNZJeMe2W23s8EAyStB5+u83IBgUc
trGwXzNdoC9LY1p+kNFSAZXIggNB3alVzoS+D9rcCYTUAafpkdwLaYq5/w0wRchljkG61rl+gZCiwtqZv3SHVxO7kRTAzfHsGDB1yc/9Sz++IMGyFHYvuq
tclhpHPPToFByaVl687b1P4t2i/U4fWPZ4BBhN5Q7HGTxubspw1GY2MjBYU5OXvEJu9aWeibkM/fg6QrxPRYNsJBNJQRywMjYHj6AefrZeGXGxSNgS50kC
NBvV7XTli/17y3MFgR4WfNmBK3BqKb87v3DBMVnLHcqvw1ZVjFPv91q0XYaDdVFHqOnS4Fh5nfwh1qfuvKrUZlwFPcwW+pG4YDyjx90MTFugpQ6KfEusmU
hB5Dqr79nYWbOhW3e0PCEZtxmVrH9EtCHEgO6wnkWjPke6XULARu0ECF1gZvQczEjKfzxCt6Rknz+27lXyzgzRyHWxr0kB/pFty+8IebrDfIW9757d+1QL
onDTmkLQiirF0ygsgQALmk1KljcHD/qiAZPHh5YX+Q2VdDfIfGeMXmCg3nX5r5DINcx47fNHtgWeGn8MjF8Hnff6x+ZU/7YqcBrDOvGqn46FBvuRY0+mWk
Ro576207vQR/023owl7pXZ5p/75V5yDkTZWDtXsfKjpypcxrWIBsg5GC25nZdjQQGBtFUF1pfn+xvunq9AEIFidYY2Vyc3mYw8TW7PkVKis5PENhdbfJHD
tIdIiQsLe+1Nr+/wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA4eKDU=
"""

SEEN = datetime(2026, 3, 1, 9, 30, 15, tzinfo=UTC)
LOG = Signer(Ed25519PrivateKey.generate(), Purpose.CHECKPOINT)
ORIGIN = "zc.example.cn/log"
LOG_KEY = NoteKey.of(ORIGIN, LOG.public)
CHECKPOINT = Checkpoint(ORIGIN, 5, hashlib.sha256(b"root").digest())
TEXT, NOTE = CHECKPOINT.text(), sign_checkpoint(CHECKPOINT, LOG)
ED25519_KEY, ML_DSA_KEY = Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate()
ED25519, ML_DSA = Signer(ED25519_KEY, Purpose.COSIGNATURE), Signer(ML_DSA_KEY, Purpose.COSIGNATURE)
WITNESS = "档案馆.example/w1"
BOTH = pytest.mark.parametrize("signer", [ED25519, ML_DSA], ids=["ed25519", "ml-dsa-44"])


def key_of(signer: Signer, name: str = WITNESS) -> CosignerKey:
    return CosignerKey.of(name, signer.public)


def relabelled(key: CosignerKey | NoteKey, data: bytes) -> bytes:
    """A signature line that says it is that key's."""
    return f"— {key.name} {base64.b64encode(key.id + data).decode()}\n".encode()


def data_of(line: bytes) -> bytes:
    """What follows the key id in a signature line, read by hand."""
    return base64.b64decode(line.split(b" ")[2])[4:]


# what others made


def test_a_real_checkpoint_was_cosigned_by_its_witness() -> None:
    key = CosignerKey.parse(REMORA)
    assert (key.name, key.algorithm, key.id.hex(), str(key)) == (
        "remora.n621.de",
        Algorithm.ED25519,
        "da77ade7",
        REMORA,
    )
    assert cosignatures(ARCHE, [key]) == [Cosignature(key, datetime.fromtimestamp(0x6A122120, UTC))]
    assert open_checkpoint(ARCHE, NoteKey.parse(ARCHE_KEY)).size == 1432088532
    with pytest.raises(SignatureInvalid, match=r"remora\.n621\.de"):
        cosignatures(ARCHE.replace(b"\n1432088532\n", b"\n1432088533\n"), [key])


def test_a_cosignature_of_the_go_implementation_holds() -> None:
    public = MLDSA44PrivateKey.from_seed_bytes(bytes.fromhex(TORCHWOOD_SEED)).public_key().public_bytes_raw()
    key = CosignerKey("example.com/mldsa-log", Algorithm.ML_DSA_44, public)
    assert str(key).startswith(
        "example.com/mldsa-log+b5df45c5+BuhtcL97l3dcitjZ8Y9J54gmQ1TWn/BMF0yePKpTzhlFCkN6ouJDf+9k"
    )
    assert CosignerKey.parse(str(key)) == key
    note = TORCHWOOD_TEXT + f"\n— {key.name} {''.join(TORCHWOOD_SIGNATURE.split())}\n".encode()
    assert cosignatures(note, [key]) == [Cosignature(key, datetime(1970, 1, 1, tzinfo=UTC))]
    with pytest.raises(SignatureInvalid):
        cosignatures(note.replace(b"\n1\n", b"\n2\n"), [key])


# the same, written a second time


def second_reading(line: bytes, name: str, public: Ed25519PublicKey | MLDSA44PublicKey) -> int:
    """Verify the signature line of a cosigner of CHECKPOINT with struct and the library's own key; return the time."""
    dash, own, encoded = line.decode().removesuffix("\n").split(" ")
    data = base64.b64decode(encoded)
    kind = b"\x04" if isinstance(public, Ed25519PublicKey) else b"\x06"
    assert (dash, own) == ("—", name)
    assert data[:4] == hashlib.sha256(name.encode() + b"\n" + kind + public.public_bytes_raw()).digest()[:4]
    (time,) = struct.unpack(">Q", data[4:12])
    if isinstance(public, Ed25519PublicKey):
        root = base64.b64encode(CHECKPOINT.root).decode()
        public.verify(data[12:], f"cosignature/v1\ntime {time}\n{ORIGIN}\n5\n{root}\n".encode())
    else:
        cosigner, origin = name.encode(), ORIGIN.encode()
        layout = f">12sB{len(cosigner)}sQB{len(origin)}sQQ32s"
        fields = (b"subtree/v1\n\0", len(cosigner), cosigner, time, len(origin), origin, 0, 5, CHECKPOINT.root)
        public.verify(data[12:], struct.pack(layout, *fields), b"")
    return time


@BOTH
def test_a_cosignature_reads_the_same_in_a_second_reader(signer: Signer) -> None:
    line = cosign(TEXT, WITNESS, signer, SEEN)
    public = (ED25519_KEY if signer is ED25519 else ML_DSA_KEY).public_key()
    assert second_reading(line, WITNESS, public) == int(SEEN.timestamp())
    assert cosignatures(NOTE + line, [key_of(signer)]) == [Cosignature(key_of(signer), SEEN)]


@settings(max_examples=30)
@given(
    st.text(
        st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="+"), min_size=1, max_size=60
    ),
    st.integers(0, 2**63),
    st.binary(min_size=32, max_size=32),
    st.integers(0, int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())),
)
def test_whatever_was_cosigned_holds_and_says_when(name: str, size: int, root: bytes, seconds: int) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    text = Checkpoint(ORIGIN, size, root).text()
    for signer in (ED25519, ML_DSA):
        key = key_of(signer, name)
        assert CosignerKey.parse(str(key)) == key
        note = text + b"\n" + cosign(text, name, signer, at)
        assert cosignatures(note, [key]) == [Cosignature(key, at)]


def test_the_time_is_an_instant_in_whole_seconds_wherever_the_clock_stands() -> None:
    there = SEEN.astimezone(timezone(timedelta(hours=8))).replace(microsecond=999_999)
    assert cosign(TEXT, WITNESS, ED25519, there) == cosign(TEXT, WITNESS, ED25519, SEEN)


@settings(max_examples=200)
@given(st.data())
def test_no_changed_byte_goes_unnoticed(data: st.DataObject) -> None:
    line = data.draw(st.sampled_from(LINES))
    note = bytearray(TEXT + b"\n" + line)
    place = data.draw(st.integers(0, len(note) - 1))
    note[place] ^= data.draw(st.integers(1, 255))
    keys = [key_of(ED25519), key_of(ML_DSA)]
    with suppress(RegistryError, KeysError):
        assert cosignatures(bytes(note), keys) == []  # the line names no key that we asked for


LINES = [cosign(TEXT, WITNESS, signer, SEEN) for signer in (ED25519, ML_DSA)]


# one kind of signature never passes for another


@BOTH
def test_a_cosignature_is_no_signature_of_the_log(signer: Signer) -> None:
    line = cosign(TEXT, ORIGIN, signer, SEEN)
    with pytest.raises(SignatureInvalid, match="没有密钥"):
        open_note(TEXT + b"\n" + line, LOG_KEY)
    same_key = NoteKey(ORIGIN, ED25519_KEY.public_key().public_bytes_raw())
    for data in (data_of(line), data_of(line)[8:]):
        with pytest.raises(SignatureInvalid):
            open_note(TEXT + b"\n" + relabelled(same_key, data), same_key)


def test_a_signature_of_the_log_is_no_cosignature_even_by_the_same_key() -> None:
    note = sign_checkpoint(CHECKPOINT, Signer(ED25519_KEY, Purpose.CHECKPOINT))
    key, data = key_of(ED25519, ORIGIN), data_of(note.rpartition(b"\n\n")[2])
    assert cosignatures(note, [key]) == []
    for forged in (data, bytes(8) + data, int(SEEN.timestamp()).to_bytes(8) + data):
        with pytest.raises(SignatureInvalid):
            cosignatures(note + relabelled(key, forged), [key])


def test_a_cosignature_of_one_kind_is_none_of_the_other() -> None:
    one, two = key_of(ED25519), key_of(ML_DSA)
    for key, line in ((two, LINES[0]), (one, LINES[1])):
        with pytest.raises(SignatureInvalid):
            cosignatures(NOTE + relabelled(key, data_of(line)), [key])


def test_an_ml_dsa_key_signs_its_name_with_it() -> None:
    other = key_of(ML_DSA, "other.example/w2")
    with pytest.raises(SignatureInvalid):
        cosignatures(NOTE + relabelled(other, data_of(LINES[1])), [other])


def test_a_cosignature_moves_to_no_other_time_and_no_other_checkpoint() -> None:
    for signer, line in zip((ED25519, ML_DSA), LINES, strict=True):
        key, later = key_of(signer), int(SEEN.timestamp() + 1).to_bytes(8)
        with pytest.raises(SignatureInvalid):
            cosignatures(NOTE + relabelled(key, later + data_of(line)[8:]), [key])
        for changed in (
            CHECKPOINT._replace(size=6),
            CHECKPOINT._replace(origin="b"),
            CHECKPOINT._replace(root=bytes(32)),
        ):
            with pytest.raises(SignatureInvalid):
                cosignatures(changed.text() + b"\n" + line, [key])


# whose lines are judged


def test_lines_of_others_are_not_judged_and_a_bad_one_of_ours_is_refused() -> None:
    note = add_signatures(NOTE, b"".join(LINES))
    assert open_checkpoint(note, LOG_KEY) == CHECKPOINT
    both = [key_of(ED25519), key_of(ML_DSA)]
    assert [one.key for one in cosignatures(note, both)] == both
    assert [one.key for one in cosignatures(note, both[1:])] == both[1:]
    assert cosignatures(note, []) == []
    broken = note + relabelled(key_of(ED25519), bytes(72))
    assert [one.key for one in cosignatures(broken, both[1:])] == both[1:]
    with pytest.raises(SignatureInvalid, match=WITNESS):
        cosignatures(broken, both)


def test_a_witness_may_have_cosigned_twice() -> None:
    again = cosign(TEXT, WITNESS, ED25519, SEEN + timedelta(hours=1))
    found = cosignatures(add_signatures(NOTE, LINES[0] + again), [key_of(ED25519)])
    assert [one.at for one in found] == [SEEN, SEEN + timedelta(hours=1)]


@pytest.mark.parametrize("seconds", [2**63, 2**64 - 1, 2**63 - 1, 253402300800])
@BOTH
def test_a_time_that_no_clock_can_show_is_refused_though_it_is_signed(signer: Signer, seconds: int) -> None:
    key, name, origin = key_of(signer), WITNESS.encode(), ORIGIN.encode()
    message = b"cosignature/v1\ntime %d\n" % seconds + TEXT
    if signer is ML_DSA:
        names = (bytes([len(name)]) + name, bytes([len(origin)]) + origin)
        message = b"subtree/v1\n\0" + names[0] + struct.pack(">Q", seconds) + names[1]
        message += struct.pack(">QQ", 0, 5) + CHECKPOINT.root
    line = relabelled(key, struct.pack(">Q", seconds) + signer.sign_raw(message))
    with pytest.raises(SignatureInvalid, match="时间"):
        cosignatures(NOTE + line, [key])


@BOTH
@pytest.mark.parametrize("length", [1, 7, 8, 9, 63, 64, 71, 73, 2427, 2429])
def test_a_cosignature_of_another_length_is_refused(signer: Signer, length: int) -> None:
    key = key_of(signer)
    whole = data_of(LINES[0] if signer is ED25519 else LINES[1])
    with pytest.raises(SignatureInvalid):
        cosignatures(NOTE + relabelled(key, (whole + bytes(2429))[:length]), [key])


# what is not cosigned


@BOTH
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"not a checkpoint\n",
        TEXT[:-1],
        TEXT.replace(b"\n5\n", b"\n05\n"),
        TEXT + b"\n",
        b"\n" + TEXT,
        TEXT + b"a\x01\n",
    ],
)
def test_what_is_no_checkpoint_is_not_cosigned(signer: Signer, text: bytes) -> None:
    with pytest.raises(BadInput):
        cosign(text, WITNESS, signer, SEEN)


def test_extension_lines_are_cosigned_by_ed25519_and_refused_by_ml_dsa_which_would_not_cover_them() -> None:
    text = TEXT + b"extension\n"
    line = cosign(text, WITNESS, ED25519, SEEN)
    assert [one.at for one in cosignatures(text + b"\n" + line, [key_of(ED25519)])] == [SEEN]
    with pytest.raises(SignatureInvalid):
        cosignatures(TEXT + b"other\n\n" + line, [key_of(ED25519)])
    with pytest.raises(BadInput, match="扩展行"):
        cosign(text, WITNESS, ML_DSA, SEEN)
    with pytest.raises(BadInput, match="扩展行"):
        cosignatures(text + b"\n" + LINES[1], [key_of(ML_DSA)])


@pytest.mark.parametrize("at", [SEEN.replace(tzinfo=None), datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)])
def test_a_time_without_a_zone_or_before_1970_is_refused(at: datetime) -> None:
    with pytest.raises(ValueError, match="time zone"):
        cosign(TEXT, WITNESS, ED25519, at)


def test_only_a_cosignature_key_cosigns() -> None:
    for private in (ED25519_KEY, ML_DSA_KEY):
        for purpose in set(Purpose) - {Purpose.COSIGNATURE}:
            with pytest.raises(KeyNotUsable, match="不能联署"):
                cosign(TEXT, WITNESS, Signer(private, purpose), SEEN)
    with pytest.raises(KeyNotUsable, match="ES256"):
        cosign(TEXT, WITNESS, Signer(generate_private_key(SECP256R1()), Purpose.COSIGNATURE), SEEN)
    with pytest.raises(KeyNotUsable, match="cosignature/1"):
        sign_checkpoint(CHECKPOINT, ED25519)


def test_names_that_ml_dsa_cannot_carry_are_refused() -> None:
    long = "w" * 256
    assert cosignatures(NOTE + cosign(TEXT, long, ED25519, SEEN), [key_of(ED25519, long)])
    with pytest.raises(BadInput, match="255"):
        key_of(ML_DSA, long)
    text = CHECKPOINT._replace(origin="丽" * 86).text()
    with pytest.raises(BadInput, match="255"):
        cosign(text, WITNESS, ML_DSA, SEEN)


# keys as others pin them


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\x01b", "a\u3000b"])
def test_a_name_that_would_break_the_format_is_refused(name: str) -> None:
    for signer in (ED25519, ML_DSA):
        with pytest.raises(BadInput):
            cosign(TEXT, name, signer, SEEN)


def test_a_verifier_key_is_read_whole_or_not_at_all() -> None:
    keys = [REMORA, str(key_of(ED25519)), str(key_of(ML_DSA))]
    assert [str(CosignerKey.parse(key)) for key in keys] == keys
    for key in keys:
        for wrong in (
            *(key[:at] for at in range(0, len(key), 7)),
            key[1:],
            key + "A",
            key + "\n",
            f" {key}",
            key.upper(),
        ):
            with pytest.raises(BadInput):
                CosignerKey.parse(wrong)


def test_a_log_key_is_no_cosigner_key_and_the_reverse() -> None:
    with pytest.raises(BadInput, match="不是联署公钥"):
        CosignerKey.parse(str(LOG_KEY))
    for signer in (ED25519, ML_DSA):
        with pytest.raises(BadInput, match="不是检查点公钥"):
            NoteKey.parse(str(key_of(signer)))


def test_a_public_key_of_another_width_or_algorithm_is_refused() -> None:
    for algorithm, width in ((Algorithm.ED25519, 1312), (Algorithm.ML_DSA_44, 32), (Algorithm.ES256, 32)):
        with pytest.raises(BadInput):
            CosignerKey(WITNESS, algorithm, bytes(width))


# adding to a note


def test_lines_are_appended_once() -> None:
    note = add_signatures(NOTE, LINES[0])
    assert note == NOTE + LINES[0]
    assert add_signatures(note, LINES[0] + LINES[1] + LINES[1]) == note + LINES[1]
    assert add_signatures(note, b"") == note
    assert add_signatures(NOTE, LINES[0][:-1]) == note


@pytest.mark.parametrize(
    "lines", [b"\n", b"- a AAAA\n", LINES[0] + b"\n" + LINES[1], TEXT, LINES[0].replace(b" ", b"  ")]
)
def test_lines_that_are_no_signatures_are_refused(lines: bytes) -> None:
    with pytest.raises(BadInput):
        add_signatures(NOTE, lines)


def test_a_note_takes_no_more_than_a_note_may_have() -> None:
    many = b"".join(cosign(TEXT, f"w{number}", ED25519, SEEN) for number in range(100))
    with pytest.raises(BadInput, match="签名记录"):
        add_signatures(NOTE, many)
    with pytest.raises(BadInput):
        add_signatures(TEXT, LINES[0])
