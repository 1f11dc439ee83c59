"""The QR: what we draw, a second program reads. zxing-cpp is the reader throughout."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zxingcpp import read_barcodes

from api.documents.qr import qr_matrix, qr_png, qr_svg, qr_text
from api.documents.reading import read_image
from registry.errors import DocumentRefused
from registry.titles.digits import from_digits
from tests.api.certificates import CODE, ORDINARY


def test_the_text_is_the_address_and_the_token_in_digits() -> None:
    assert qr_text(ORDINARY, b"\x00\xff") == f"https://zc.example.cn/v/{CODE}#00255"


@settings(max_examples=12, deadline=None)
@given(token=st.binary(min_size=1, max_size=260))
def test_every_token_comes_back_from_the_picture(token: bytes) -> None:
    text = read_image(qr_png(qr_text(ORDINARY, token), scale=3))
    assert text is not None
    address, _, digits = text.partition("#")
    assert address == f"https://zc.example.cn/v/{CODE}"
    assert from_digits(digits) == token


def test_a_reader_finds_level_q_and_at_most_version_16_for_a_long_token() -> None:
    matrix = qr_matrix(qr_text(ORDINARY, bytes(range(240))))
    pixels = bytes(0 if module else 255 for row in matrix for module in row)
    grey = memoryview(pixels).cast("B", (len(matrix), len(matrix)))
    (code,) = read_barcodes(grey)
    assert code.ec_level == "Q"
    assert 12 <= int(code.extra["Version"]) <= 16  # type: ignore[index]


def test_the_quiet_zone_is_four_white_modules() -> None:
    matrix = qr_matrix(qr_text(ORDINARY, b"token"))
    edge = range(4)
    assert not any(any(matrix[i]) or any(matrix[-1 - i]) for i in edge)
    assert not any(row[i] or row[-1 - i] for row in matrix for i in edge)
    assert matrix[4][4:11] == [True] * 7, "the finder begins right after it"


def test_a_token_too_long_for_version_16_is_refused() -> None:
    with pytest.raises(DocumentRefused, match="二维码过密") as refusal:
        qr_matrix(qr_text(ORDINARY, b"\x07" * 400))
    assert "核验网址" in refusal.value.fix


def test_a_token_of_zeros_is_refused_and_does_not_crash() -> None:
    with pytest.raises(DocumentRefused, match="一长串零"):
        qr_matrix(qr_text(ORDINARY, bytes(180)))


def test_far_too_long_a_token_is_refused_in_the_same_words() -> None:
    with pytest.raises(DocumentRefused, match="二维码过密"):
        qr_matrix(qr_text(ORDINARY, bytes(5000)))


def test_the_svg_has_as_many_dark_modules_as_the_code() -> None:
    text = qr_text(ORDINARY, b"a token")
    runs = qr_svg(text).decode().rsplit(' d="', 1)[1].split("h")[1::2]
    assert sum(int(run.split("v")[0]) for run in runs) == sum(map(sum, qr_matrix(text)))


@pytest.mark.parametrize("scale", [0, 41])
def test_a_picture_of_no_sensible_size_is_refused(scale: int) -> None:
    with pytest.raises(ValueError, match="1 to 40"):
        qr_png("text", scale)
