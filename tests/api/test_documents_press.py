"""The page: what it says, that nothing overlaps, that it is accessible, and that it is the same everywhere."""

import re
import subprocess
import sys
from datetime import date
from itertools import combinations
from pathlib import Path

import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyhanko.pdf_utils.reader import PdfFileReader

from api.documents import layout, measure, ornament, wording
from api.documents.press import Press
from registry.errors import DocumentRefused
from registry.terms import Obtained
from registry.titles.content import CertificateContent, PaperOrigin
from tests.api.certificates import CODE, FROM_PAPER, ORDINARY, STRESS, changed
from tests.tools import need

PRESS = Press()
TOKEN = bytes(range(200))
TEMPLATE = Path(layout.__file__).parent / "template"
FRAME = 14.4 / 25.4 * 72  # the inner line of the frame, in points
CHINESE = st.text(alphabet="丽水市高级工程师（〔2021〕、·，。", min_size=1, max_size=60)


def page_of(content: CertificateContent) -> pypdfium2.PdfPage:
    document = pypdfium2.PdfDocument(PRESS.render(content, TOKEN))
    assert len(document) == 1
    return document[0]


def text_of(content: CertificateContent) -> str:
    return str(page_of(content).get_textpage().get_text_bounded()).replace("\r\n", "")


def overlaps(page: pypdfium2.PdfPage) -> list[tuple[str, str]]:
    """Pairs of pieces of text whose boxes share more than a sixth of the smaller one."""
    text = page.get_textpage()
    boxes = [text.get_rect(i) for i in range(text.count_rects())]
    found = []
    for a, b in combinations(boxes, 2):
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        smaller = min((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
        if width > 0 and height > 0 and width * height > smaller / 6:
            found.append((text.get_text_bounded(*a), text.get_text_bounded(*b)))
    return found


def test_every_word_of_the_certificate_is_on_the_page() -> None:
    text = text_of(ORDINARY)
    for expected in (
        "丽水市人力资源和社会保障局",
        "专业技术资格电子证书",
        "Electronic Certificate of Professional Title Qualification",
        "林晓岚",
        "经丽水市建设工程技术人员高级工程师职务任职资格评审委员会评审通过，取得下列专业技术资格，特发此证。",
        "高级工程师",
        "副高级",
        "1985年3月",
        "331102********0042",
        "工程技术人员",
        "建筑工程",
        "2021年11月20日",
        "丽人社〔2021〕127号",
        "33112021G0100427",
        " ".join(re.findall(".{1,4}", CODE)),
        "zc.example.cn/v",
        "2026年3月2日",
        "电子证书与纸质证书具有同等效用（浙人社发〔2017〕117号）",
        "并非省统一版式",
    ):
        assert expected in text, expected


def test_a_converted_paper_certificate_says_so_and_keeps_its_number() -> None:
    text = text_of(FROM_PAPER)
    assert "依据纸质证书换发。原纸质证书编号：浙丽9801-0427，发证日期：1998年12月28日。" in text.replace(" ", "")
    assert "龚㛃䶮" in text
    assert "第2版" in text


@pytest.mark.parametrize("way", Obtained)
def test_only_a_review_says_passed_by_review(way: Obtained) -> None:
    content = changed(obtained=way)
    assert ("评审通过" in wording.statement(content)) == (way is Obtained.REVIEW)
    assert wording.statement(content).endswith("取得下列专业技术资格，特发此证。")
    PRESS.proof(content, len(TOKEN))


def test_a_sample_says_so_three_times_and_a_real_one_never() -> None:
    assert text_of(ORDINARY).count("样例") == 3
    real = text_of(changed(sample=False))
    assert "样例" not in real
    assert "SAMPLE" not in real
    assert "未加盖法定电子印章" in real, "the seal area never passes for a seal"


@pytest.mark.parametrize("content", [ORDINARY, FROM_PAPER, STRESS], ids=["ordinary", "paper", "stress"])
def test_nothing_overlaps_or_leaves_the_frame(content: CertificateContent) -> None:
    page = page_of(content)
    assert overlaps(page) == []
    text = page.get_textpage()
    for left, bottom, right, top in (text.get_rect(i) for i in range(text.count_rects())):
        assert FRAME < left < right < 595.3 - FRAME
        assert FRAME < bottom < top < 841.9 - FRAME


@settings(max_examples=25, deadline=None)
@given(name=CHINESE, committee=CHINESE, title=CHINESE, specialty=CHINESE, approval=CHINESE, remark=CHINESE)
def test_whatever_is_written_either_fits_or_is_refused(
    name: str, committee: str, title: str, specialty: str, approval: str, remark: str
) -> None:
    content = changed(
        name=name[:50],
        committee=committee,
        title_name=title,
        specialty=specialty,
        approval_document=approval,
        remarks=(remark, remark),
    )
    page: pypdfium2.PdfPage | DocumentRefused
    try:
        page = page_of(content)
    except DocumentRefused as refusal:
        page = refusal
    if isinstance(page, DocumentRefused):
        assert page.fix
        return
    assert overlaps(page) == []


@pytest.mark.parametrize(
    "field", ["name", "committee", "title_name", "series", "specialty", "number", "approval_document", "authority_name"]
)
def test_the_longest_text_that_a_field_takes_still_stays_in_its_place(field: str) -> None:
    longest = changed()
    for size in range(10, 400, 3):
        content = changed(**{field: ("国" * size)})
        try:
            PRESS.proof(content, len(TOKEN))
        except DocumentRefused:
            break
        longest = content
    assert len(getattr(longest, field)) >= 30
    page = page_of(longest)
    assert overlaps(page) == []
    assert "国" * 30 in text_of(longest)


@given(text=CHINESE, room=st.floats(10, 40))
def test_a_narrower_column_never_takes_fewer_lines(text: str, room: float) -> None:
    assert measure.lines_needed(text, room) <= measure.lines_needed(text, room * 0.8)


@given(address=st.text(alphabet="abc./-", min_size=1, max_size=120), room=st.floats(5, 30))
def test_an_address_cut_into_lines_is_still_the_same_address(address: str, room: float) -> None:
    lines = measure.address_lines(address, room)
    assert "".join(lines) == address
    assert all(len(line) * measure.MONO <= room for line in lines)


def test_the_same_bytes_come_out_of_another_process() -> None:
    script = (
        "import sys; from api.documents.press import Press; from tests.api.certificates import FROM_PAPER\n"
        "sys.stdout.buffer.write(Press().render(FROM_PAPER, bytes(range(200))))"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, cwd=TEMPLATE.parents[2])
    assert other.stdout == PRESS.render(FROM_PAPER, TOKEN)


def test_another_content_makes_another_file() -> None:
    assert PRESS.render(changed(number="33112021G0100428"), TOKEN) != PRESS.render(ORDINARY, TOKEN)


def test_the_file_is_tagged_archival_and_carries_the_token(tmp_path: Path) -> None:
    path = tmp_path / "certificate.pdf"
    path.write_bytes(PRESS.render(ORDINARY, TOKEN))
    with path.open("rb") as file:
        root = PdfFileReader(file).root
        assert root["/MarkInfo"]["/Marked"]
        assert root["/StructTreeRoot"]["/K"]
        assert root["/Lang"] == "zh-CN"
        assert root["/ViewerPreferences"]["/DisplayDocTitle"]
        attached = root["/AF"][0]
        assert (attached["/UF"], attached["/AFRelationship"]) == ("certificate.cose", "/Data")
        assert attached["/EF"]["/F"].data == TOKEN
        metadata = root["/Metadata"].data.decode()
    assert "<pdfaid:part>3</pdfaid:part><pdfaid:conformance>A</pdfaid:conformance>" in re.sub(r"\s", "", metadata)
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata
    assert ORDINARY.number in metadata


def test_poppler_reads_the_page_in_order_and_finds_all_fonts_embedded(tmp_path: Path) -> None:
    need("pdftotext")
    path = tmp_path / "certificate.pdf"
    path.write_bytes(PRESS.render(FROM_PAPER, TOKEN))

    def ask(*command: str) -> str:
        return subprocess.run([*command], capture_output=True, check=True).stdout.decode(errors="replace")

    structure = ask("pdfinfo", "-struct-text", str(path))
    order = [
        "丽水市人力",
        "专业技术资格电子证书",
        "龚㛃䶮",
        "评审通过",
        "资格名称",
        "副高级",
        "证书编号",
        "备注",
        "查验码",
        "签发日期",
    ]
    places = [structure.index(word) for word in order]
    assert places == sorted(places)
    assert " H1 " in structure
    assert "龚㛃䶮 同志：" in ask("pdftotext", str(path), "-")
    fonts = [line.split() for line in ask("pdffonts", str(path)).splitlines()[2:]]
    assert all(row[-5] == "yes" and row[-3] == "yes" for row in fonts), "embedded, and with a map to Unicode"


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_colour_of_text_can_be_read_on_the_darkest_hill() -> None:
    source = (TEMPLATE / "certificate.typ").read_text()
    colours = dict(re.findall(r'#let (\w+) = rgb\("(#\w{6})"\)', source))
    darkest = min((colour for colour, _ in ornament.RIDGES), key=luminance)
    for name in ("ink", "jade", "quiet", "red"):
        assert contrast(colours[name], darkest) >= 4.5, name
    for pale in (darkest, ornament.PALE):
        assert contrast(pale, "#ffffff") <= 1.3


def test_the_ornament_is_what_its_module_draws() -> None:
    assert (TEMPLATE / "ornament.svg").read_text() == ornament.ornament()


def test_a_name_that_no_font_can_print_is_refused_by_character_code_point_and_field() -> None:
    with pytest.raises(DocumentRefused, match="姓名中的第2个字“\U00030000”（U\\+30000）没有字形") as refusal:
        PRESS.proof(changed(name="王\U00030000"), len(TOKEN))
    assert "字体文件夹" in refusal.value.fix


def test_a_hidden_character_in_a_number_is_refused() -> None:
    with pytest.raises(DocumentRefused, match=r"证书编号中的第3个字.*U\+200B"):
        PRESS.render(changed(number="33\u200b1120"), TOKEN)


def test_a_name_of_fifty_characters_fits_and_one_of_two_hundred_is_refused() -> None:
    fifty = ("阿卜杜热合曼·" * 8)[:50]
    assert len(fifty) == 50
    PRESS.proof(changed(name=fifty), len(TOKEN))
    with pytest.raises(DocumentRefused, match=r"姓名过长.*共200字"):
        PRESS.proof(changed(name="王" * 200), len(TOKEN))


def test_many_long_texts_that_fit_one_by_one_but_not_together_are_refused() -> None:
    full = {"committee": "会" * 190, "title_name": "师" * 75, "specialty": "业" * 45, "series": "列" * 45}
    with pytest.raises(DocumentRefused, match=r"一页放不下.*评审委员会") as refusal:
        PRESS.proof(
            changed(
                name="王" * 80, approval_document="文" * 45, remarks=("备" * 300,), authority_name="局" * 30, **full
            ),
            len(TOKEN),
        )
    assert "请缩短" in refusal.value.fix


def test_a_word_that_cannot_be_broken_is_refused() -> None:
    with pytest.raises(DocumentRefused, match="证书编号过长"):
        PRESS.proof(changed(number="X" * 60), len(TOKEN))


def test_a_token_that_makes_the_code_too_dense_is_refused_before_signing() -> None:
    with pytest.raises(DocumentRefused, match="二维码过密"):
        PRESS.proof(ORDINARY, 400)


def test_an_unknown_template_is_refused() -> None:
    with pytest.raises(DocumentRefused, match="没有版式“lishui-a4/9”"):
        PRESS.render(changed(template="lishui-a4/9"), TOKEN)


def test_what_is_not_known_is_a_dash_and_a_paper_without_date_says_no_date() -> None:
    content = changed(sex=None, born_month=None, specialty="", paper=PaperOrigin("0427", None))
    text = text_of(content)
    assert text.count("—") == 3
    assert "原纸质证书编号：0427。" in text.replace(" ", "")
    assert wording.civil(date(2021, 1, 5)) == "2021年1月5日"
