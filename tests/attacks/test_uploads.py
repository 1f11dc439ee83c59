"""Names that lead elsewhere, files that unpack to more than there is room for, and forms without end."""

import io
import json
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.api.bureau import Bureau, Reader
from tests.attacks.house import doors_of
from tests.lists import good, table, xlsx_file
from tests.people import CITY, PDF, identity_number

WAYS_OUT = (
    "..",
    "../../../../etc/passwd",
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%252f..%252fetc%252fpasswd",
    "....//....//etc/passwd",
    "..\\..\\etc\\passwd",
    "..%5c..%5cetc%5cpasswd",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "%c0%ae%c0%ae%c0%afetc%c0%afpasswd",
    "..;/..;/etc/passwd",
    "../registry.db",
    "../../keys/secrets.json",
    "config.json%00.pdf",
    "file:///etc/passwd",
    "~root/.ssh/id_rsa",
)
SECRETS = (b"root:", b"SQLite format 3", b"BEGIN ", b'"salt"', b'"wrapped"', b"base_url")


def test_no_parameter_of_any_path_leads_into_a_folder(bureau: Bureau, chief: Reader) -> None:
    """Path traversal at every parameter of every door, one after the other, with all of its rights."""
    doors = [door for door in sorted(doors_of(bureau.app)) if door.startswith("GET ") and "{" in door]
    doors.append("GET /static/{name}")
    assert len(doors) > 15
    for door in doors:
        path = door.partition(" ")[2]
        names = path.replace("}", "{").split("{")[1::2]
        for name in names:
            for out in WAYS_OUT:
                address = path.replace("{" + name + "}", out)
                for other in names:
                    address = address.replace("{" + other + "}", "1")
                answer = chief.client.request("GET", address, headers=chief.headers)
                assert answer.status_code != 200 or answer.headers["content-type"].startswith("text/html"), address
                assert answer.status_code < 500, (address, answer.text)
                assert not [one for one in SECRETS if one in answer.content], address


def files_of(folder: Path) -> set[Path]:
    """Every file below a folder, and beside it."""
    return {path for path in folder.parent.rglob("*") if path.is_file()}


PAPER = {
    "name": "林晓岚",
    "identity": identity_number(1),
    "number": "浙丽 9801-0427",
    "title_name": "高级工程师",
    "level": "senior_associate",
    "series": "工程技术人员",
    "specialty": "建筑工程",
    "committee": "丽水地区工程技术高级职务评审委员会",
    "approval_document": "丽地人〔1998〕215号",
    "awarded_on": "1998-11-20",
    "authority": CITY,
}


@pytest.mark.parametrize("name", [*WAYS_OUT, "a\r\nX-Injected: 1.pdf", 'a";x="b.pdf', "con", "a" * 200 + ".pdf", "."])
def test_the_name_of_a_file_never_becomes_a_path_or_a_header(bureau: Bureau, clerk: Reader, name: str) -> None:
    """A scan is kept under its holder and its hash, whatever its sender calls it."""
    before = files_of(bureau.registry.folder.path)
    files = [("scan", (name, PDF, "text/html"))]
    answer = clerk.post("/api/v1/paper-applications", data={"application": json.dumps(PAPER)}, files=files)
    assert answer.status_code == 201, answer.text
    seen = clerk.read(answer.headers["location"])
    scan = clerk.get(f"{answer.headers['location']}/evidence/{seen['evidence'][0]['sha256']}")
    assert scan.content == PDF
    assert (
        scan.headers["content-disposition"] == f'attachment; filename="scan-{seen["evidence"][0]["sha256"][:12]}.pdf"'
    )
    assert "x-injected" not in scan.headers
    assert "passwd" not in scan.headers["content-disposition"]
    made = files_of(bureau.registry.folder.path) - before
    assert all(path.is_relative_to(bureau.registry.folder.path) for path in made), made
    assert not [path for path in made if "passwd" in path.name or path.suffix == ".html"]


# --- bombs


def _png(width: int, height: int) -> bytes:
    """A picture that says it is so large, and holds a megabyte of nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
        + chunk(b"IEND", b"")
    )


def _pdf_stream(size: int) -> bytes:
    """A PDF whose one stream unpacks to so many bytes."""
    packed = zlib.compress(bytes(size), 9)
    body = b"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Count 1/Kids[3 0 R]>>endobj\n"
    body += b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>endobj\n"
    body += b"4 0 obj<</Length %d/Filter/FlateDecode>>stream\n" % len(packed) + packed + b"\nendstream endobj\n"
    return body + b"trailer<</Root 1 0 R>>\n%%EOF"


def _pages_in_a_ring() -> bytes:
    """A PDF whose pages contain themselves."""
    body = b"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    body += b"2 0 obj<</Type/Pages/Count 9/Kids[2 0 R 2 0 R]>>endobj\n"
    return body + b"trailer<</Root 1 0 R/Prev 0>>\nstartxref\n0\n%%EOF"


def _sheet(kind: str) -> bytes:
    """A spreadsheet of many parts, or with a part that is packed beyond reason."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("[Content_Types].xml", "<Types/>")
        if kind == "parts":
            for n in range(20_000):
                package.writestr(f"xl/worksheets/sheet{n}.xml", "")
        else:
            package.writestr("xl/workbook.xml", bytes(150_000_000))
    return out.getvalue()


def _declaring(entities: str) -> bytes:
    """A good list whose sheet declares entities, and has the last of them in the place of the name."""
    with TemporaryDirectory() as folder:
        good_list = xlsx_file(Path(folder), table([good(1)])).read_bytes()
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good_list)) as package, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as changed:
        for part in package.namelist():
            text = package.read(part)
            name = next((one for one in ("林晓岚".encode(), b"&#26519;&#26195;&#23706;") if one in text), None)
            if name:
                head = b"" if text.startswith(b"<?xml") else b"<?xml version='1.0' encoding='UTF-8'?>"
                begin, _, rest = (head + text).partition(b"?>")
                text = begin + b"?><!DOCTYPE x [" + entities.encode() + b"]>" + rest
                text = text.replace(name, b"&last;")
            changed.writestr(part, text)
    return out.getvalue()


_TENFOLD = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
_LAUGHS = f'<!ENTITY a0 "{"ha" * 50}">{_TENFOLD}<!ENTITY last "&a9;">'
BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a picture of 50,000 by 50,000": ("图片过大", lambda: _png(50_000, 50_000)),
    "a picture of 2^31 by 1": ("图片过大", lambda: _png(2**31 - 1, 1)),
    "a stream of 300 MB": ("没有数字签名", lambda: _pdf_stream(300_000_000)),
    "pages in a ring": ("没有数字签名", _pages_in_a_ring),
    "a sheet of 20,000 parts": ("20001 个部分", lambda: _sheet("parts")),
    "a sheet of 150 MB": ("压缩炸弹", lambda: _sheet("size")),
    "a sheet of entities": ("list.xlsx", lambda: _declaring(_LAUGHS)),
    "a sheet that reads a file": ("list.xlsx", lambda: _declaring('<!ENTITY last SYSTEM "file:///etc/passwd">')),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_an_answer_and_takes_no_memory(
    bureau: Bureau, clerk: Reader, bomb: tuple[str, Callable[[], bytes]]
) -> None:
    """At the public door, as a scan and as a list: answered, nothing registered, at most 200 MB held meanwhile."""
    says, made = bomb
    data, before = made(), bureau.registry.log.head()
    tracemalloc.start()
    try:
        public = clerk.client.request("POST", "/api/v1/verifications", files={"file": ("a", data)})
        assert public.status_code == 422, public.text
        told = public.text
        if data.startswith(b"PK"):
            job = _sent(bureau, clerk, data)
            assert job["state"] == "refused", job
            told = str(job)
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()
    assert says in told
    assert "root:" not in told
    assert "haha" not in told
    assert bureau.registry.log.head() == before


def _sent(bureau: Bureau, clerk: Reader, data: bytes) -> Any:
    fields = {"authority": CITY, "document": "丽人社〔2021〕100号"}
    answer = clerk.post("/api/v1/award-imports", data=fields, files={"file": ("list.xlsx", data)})
    assert answer.status_code == 202, answer.text
    return bureau.job(clerk, answer.headers["location"])


# The form parser leaves a part that never ends to the garbage collector; it lies in memory, like the rest of the form.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_form_without_end_is_refused(bureau: Bureau, clerk: Reader) -> None:
    """Many parts, many fields, a header of a part without end, a boundary that never closes."""
    b = b'--x\r\nContent-Disposition: form-data; name="n%d"\r\n\r\n1\r\n'
    forms = {
        "parts": b"".join(b % n for n in range(5_000)) + b"--x--\r\n",
        "files": b"".join(b.replace(b"\r\n\r\n", b'; filename="a"\r\n\r\n') % n for n in range(2_000)) + b"--x--\r\n",
        "header": b'--x\r\nContent-Disposition: form-data; name="file"; '
        + b"a" * 1_000_000
        + b"\r\n\r\n1\r\n--x--\r\n",
        "headers": b"--x\r\n" + b"X: 1\r\n" * 50_000 + b"\r\n1\r\n--x--\r\n",
        "never closed": b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"1" * 100_000,
        "no parts": b"--x--\r\n",
        "none": b"",
    }
    before = bureau.registry.log.head()
    for path in ("/api/v1/verifications", "/v", "/api/v1/award-imports", "/api/v1/paper-applications"):
        for name, body in forms.items():
            headers = clerk.headers | {"Content-Type": "multipart/form-data; boundary=x"}
            answer = clerk.client.request("POST", path, content=body, headers=headers)
            assert answer.status_code in (413, 422), (path, name, answer.status_code, answer.text[:200])
        for boundary in ("", "x" * 500, "x\r\ny", "é"):
            headers = clerk.headers | {"Content-Type": f"multipart/form-data; boundary={boundary}".encode()}
            if "\n" not in boundary:
                answer = clerk.client.request("POST", path, content=forms["parts"], headers=headers)
                assert answer.status_code in (413, 422), (path, boundary, answer.status_code)
    assert bureau.registry.log.head() == before
