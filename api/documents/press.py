"""The press: sets a certificate as an A4 page in PDF/A-3a and PDF/UA-1, and signs it.

The page follows from the content and the token alone: the same bytes in every process, and on every machine with
the same pinned packages. Nothing is decided here: what is printed was fixed in `CertificateContent` before signing.
"""

from collections.abc import Mapping
from datetime import datetime, time
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import typst

from api.documents import layout, wording
from api.documents.fonts import FontSet
from api.documents.qr import QUIET_ZONE, draw_svg, qr_matrix, qr_text
from api.documents.signature import sign_pdf
from keys.custody import DocumentSigner
from registry.errors import DocumentRefused
from registry.terms import BEIJING
from registry.titles.code import format_code
from registry.titles.content import CertificateContent

TEMPLATE = "lishui-a4/1"
ATTACHMENT, PROOF = "certificate.cose", "certificate.tlog-proof"
STANDARDS: list[Any] = ["a-3a", "ua-1"]
_FOLDER = Path(__file__).parent / "template"
_EXAMPLE_BYTE = b"\xff"


class Press:
    """Sets and signs certificates. Making one costs nothing; the first use loads the fonts. One for each process."""

    def __init__(self, extra_fonts: Path | None = None) -> None:
        self._fonts = FontSet(extra_fonts)

    def proof(self, content: CertificateContent, token_size: int) -> None:
        """Check that the document can be made, before anything is signed; `token_size` is the token's length in bytes.

        Raise DocumentRefused for a missing glyph, text that does not fit, a QR too dense, or an unknown template.
        """
        self._check(content)
        layout.lay_out(_texts(content))
        qr_matrix(qr_text(content, _EXAMPLE_BYTE * token_size))

    def render(self, content: CertificateContent, token: bytes, proof: bytes = b"") -> bytes:
        """Return the unsigned PDF with the token attached as `certificate.cose`. Raise as `proof` does.

        `proof`, where there is one, is attached as `certificate.tlog-proof` (C2SP tlog-proof).
        """
        self._check(content)
        sheet = msgspec.json.encode(self._sheet(content, token, proof)).decode()
        try:
            page = self._compiler.compile(
                format="pdf", sys_inputs={"certificate": sheet}, pdf_standards=STANDARDS, timestamp=_midnight(content)
            )
        except typst.TypstError as error:
            raise DocumentRefused(
                f"证书排版失败：{error.message}", fix="请把证书编号和本提示告知系统维护人员"
            ) from error
        if not isinstance(page, bytes):
            raise DocumentRefused("证书排版失败：没有得到一个文件", fix="请把证书编号和本提示告知系统维护人员")
        return page

    def certificate(
        self, content: CertificateContent, token: bytes, signer: DocumentSigner, proof: bytes = b""
    ) -> bytes:
        """Return the signed PDF. Raise DocumentRefused as `render` does, or if the signer's certificate has expired."""
        return sign_pdf(self.render(content, token, proof), signer, _midnight(content))

    @cached_property
    def _compiler(self) -> typst.Compiler:
        source = _FOLDER / "certificate.typ"
        return typst.Compiler(source, root=_FOLDER, font_paths=self._fonts.typesetter, ignore_system_fonts=True)

    def _check(self, content: CertificateContent) -> None:
        if content.template != TEMPLATE:
            raise DocumentRefused(f"没有版式“{content.template}”", fix=f"本系统现有版式：{TEMPLATE}")
        for field, text in _free_texts(content).items():
            for ch in self._fonts.missing_glyphs(text)[:1]:
                raise DocumentRefused(
                    f"{field}中的第{text.index(ch) + 1}个字“{ch}”（U+{ord(ch):04X}）没有字形，印不出来",
                    fix="请核对该字；确实如此的，请在字体文件夹中加入含有该字的字体（如 HanaMin、天珩全字库）后再签发",
                    field=field,
                    character=ch,
                )

    def _sheet(self, content: CertificateContent, token: bytes, proof: bytes) -> dict[str, object]:
        """Everything that the template reads."""
        texts = _texts(content)
        address = qr_text(content, token)
        matrix = qr_matrix(address)
        return {
            "texts": texts,
            "layout": layout.lay_out(texts),
            "middle": layout.ROOM,
            "families": self._fonts.families,
            "sample": content.sample,
            "level": {"zh": content.level.zh, "en": content.level.en},
            "code": format_code(content.code),
            "issued": wording.civil(content.issued_on),
            "version": content.version,
            "seal-note": "样例 · 不具法律效力" if content.sample else "未加盖法定电子印章",
            "foot": [wording.EQUAL_EFFECT, (wording.SAMPLE_NOTICE if content.sample else "") + wording.NOT_OFFICIAL],
            "qr": draw_svg(matrix).decode(),
            "qr-alt": f"二维码：打开 {address.partition('#')[0]} 核验本证书，并含可离线核验的签名",
            "modules": len(matrix) - 2 * QUIET_ZONE,
            **_metadata(content, token, proof),
        }


def _metadata(content: CertificateContent, token: bytes, proof: bytes) -> dict[str, object]:
    return {
        "title": f"专业技术资格电子证书 {content.number}",
        "author": content.authority_name,
        "description": f"{content.authority_name}签发的专业技术资格电子证书",
        "keywords": [content.template, f"version {content.version}"],
        "token": list(token),
        "token-note": "可离线核验的签名令牌（COSE_Sign1，RFC 9052）",
        "proof": list(proof),
        "proof-note": "签发事件已入公开日志的证明（C2SP tlog-proof）",
    }


def _texts(content: CertificateContent) -> Mapping[str, str]:
    return {
        "bureau": content.authority_name,
        "name": content.name,
        "statement": wording.statement(content),
        "title": content.title_name,
        "sex": content.sex.zh if content.sex else wording.NO_VALUE,
        "born": wording.month(content.born_month),
        "identity": content.identity_masked,
        "series": content.series,
        "specialty": content.specialty or wording.NO_VALUE,
        "obtained": content.obtained.zh,
        "awarded": wording.civil(content.awarded_on),
        "approval": content.approval_document or wording.NO_VALUE,
        "authority": content.authority_name,
        "number": content.number,
        "remarks": wording.remarks(content),
        "address": wording.shown_address(content.base_url),
    }


def _free_texts(content: CertificateContent) -> Mapping[str, str]:
    """What people wrote, by the name of its field; the rest of the page is ours and always has its glyphs."""
    texts = _texts(content)
    fields = {zh: texts[key] for part in layout.PARTS.values() for key, (zh, _) in part.fields.items()}
    return fields | {"评审委员会": content.committee}


def _midnight(content: CertificateContent) -> datetime:
    """The instant that stands in the file: the beginning of the day of issue in Beijing."""
    return datetime.combine(content.issued_on, time(), BEIJING)
