"""A browser, and a loopback site that serves the pages under the strict policy with a JWKS, and notes every request."""

import base64
import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cwt import COSE, COSEKey
from playwright.sync_api import Browser, sync_playwright

from api.pages import CONTENT_SECURITY_POLICY, STATIC_FOLDER, render_answer, render_error, render_home
from registry.terms import Level, Obtained, Status
from registry.titles.answer import Answer, PublicCertificate, PublicDecision, PublicPaper, Step
from registry.titles.verification import SENTENCES

CHROMIUM = Path("/usr/bin/chromium")
QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
QUIET += " --disable-component-update --disable-sync"
CODE = "7K3M9XQ4T2VD8HNRS"
OTHER_CODE = "Q7M4X9K2RT6VD3HNP"
CHECKED = datetime(2026, 11, 22, 6, 5, 32, tzinfo=UTC)
VIEW = {"host": "verify.example.cn", "sample": True, "phone": "0578-000 0000"}
DECIDED = (Status.REVOKED, Status.INVALIDATED, Status.SUSPENDED)
STEPS = (
    Step(1, "查验码的校验字符正确", "The check character is right", "passed"),
    Step(2, "查到对应的登记", "There is a record", "passed"),
    Step(3, "从事件重算出现时状态", "The present state was folded from the events", "passed", "4 个事件"),
    Step(4, "没有撤销、注销或暂停", "Not revoked, closed or suspended", "passed"),
)
FAILED = (Step(1, "文件签名与内容相符", "The signature fits the content", "failed", "内容在签名之后被改动"),)


def certificate() -> PublicCertificate:
    """A converted paper certificate of a person who does not exist: the longest of the ordinary pages."""
    return PublicCertificate(
        code=CODE,
        version=1,
        latest_version=1,
        name="周*国",
        title_name="高级工程师",
        level=Level.SENIOR_ASSOCIATE,
        level_zh="副高级",
        series="工程技术人员",
        specialty="建筑工程",
        obtained=Obtained.REVIEW,
        obtained_zh="评审",
        number="浙丽 9801-0427",
        authority="331100",
        authority_name="丽水市人力资源和社会保障局",
        awarded_on=date(1998, 11, 20),
        issued_on=date(2026, 3, 2),
        paper=PublicPaper("浙丽职 98-0427", date(1998, 12, 8), "依据纸质证书换发"),
    )


def decision(status: Status) -> PublicDecision:
    return PublicDecision(
        kind=status.value,
        effective_on=date(1998, 11, 20) if status == Status.REVOKED else date(2026, 3, 1),
        recorded_at=datetime(2026, 3, 4, 18, 30, tzinfo=UTC),
        authority_name="丽水市人力资源和社会保障局",
        document_no="丽人社撤〔2026〕2号",
        from_the_start=status == Status.REVOKED,
    )


def answer(status: Status) -> Answer:
    """An answer of that status as the registry gives it, with everything that belongs to it."""
    bare = status in (Status.UNKNOWN, Status.LINK_EXPIRED, Status.UNREADABLE, Status.UNAVAILABLE)
    return Answer(
        status=status,
        sentence=SENTENCES[status][0],
        sentence_en=SENTENCES[status][1],
        checked_at=CHECKED,
        log_position=1048213,
        certificate=None if bare else certificate(),
        decision=decision(status) if status in DECIDED else None,
        steps=() if bare else FAILED if status == Status.TAMPERED else STEPS,
    )


class Site:
    """The address of the served pages: `/STATUS/…` answers with that status, for any code."""

    code, other_code = CODE, OTHER_CODE

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.jwks: dict[str, list[dict[str, str]]] | None = None
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.requests.append(self.path)
                site.answer(self)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, status: Status | str, code: str = CODE) -> str:
        return f"{self.base}/{status}/{code}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        split = urlsplit(request.path)
        query = parse_qs(split.query)
        first, rest = ([*split.path[1:].split("/", 1), ""])[:2]
        view = {**VIEW, "elder": "elder" in query, "language": query.get("lang", ["zh"])[0]}
        if first == "static":
            kind = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}[rest.rsplit(".", 1)[1]]
            return self.send(request, 200, kind, (STATIC_FOLDER / rest).read_bytes())
        if first == ".well-known":
            return self.send(request, 200 if self.jwks else 503, "application/json", json.dumps(self.jwks).encode())
        return self.send(request, 200, "text/html; charset=utf-8", self.page(first, unquote(rest), view).encode())

    @staticmethod
    def page(first: str, rest: str, view: dict) -> str:
        if first == "error":
            return render_error(int(rest), error_id="c41f-90d2" if rest == "500" else None, **view)
        if first == "v" and rest:
            first = "valid"
        if first in list(Status):
            error_id = "c41f-90d2" if first == Status.UNAVAILABLE else None
            return render_answer(answer(Status(first)), code_shown=rest, error_id=error_id, **view)
        if first == "wrong":
            return render_home(typed="7K3M 9XQ4", error="查验码应为 17 位，现有 8 位。请对照证书补全。", **view)
        return render_home(**view)

    @staticmethod
    def send(request: BaseHTTPRequestHandler, status: int, kind: str, body: bytes) -> None:
        request.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        }.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)


class Issuer:
    """Signs tokens with the `cwt` library, an implementation that shares nothing with ours."""

    def __init__(self, kid: str = "2026-A") -> None:
        self.kid = kid
        private = ec.generate_private_key(ec.SECP256R1())
        numbers = private.private_numbers()
        x, y, d = (
            base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()
            for number in (numbers.public_numbers.x, numbers.public_numbers.y, numbers.private_value)
        )
        public = {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": "ES256", "use": "sig"}
        self.jwk = public
        self.key = COSEKey.from_jwk({**public, "d": d})

    def digits(self, code: str = CODE, typ: str = "zc1", **changed: object) -> str:
        """The token of `certificate()` with these claims changed, as it stands in the fragment."""
        header = {1: -7, 4: self.kid.encode(), 16: typ}
        return digits_of(COSE.new().encode_and_sign(self.payload(code, **changed), self.key, protected=header))

    def payload(self, code: str = CODE, **changed: object) -> bytes:
        return cbor2.dumps(claims(code, **changed))


def claims(code: str = CODE, **changed: object) -> dict[int, object]:
    """The claims of `certificate()` as they are coded in the QR."""
    crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = 0
    for character in code[:16]:
        number = number * 32 + crockford.index(character)
    days = [(day - date(1970, 1, 1)).days for day in (date(1998, 11, 20), date(2026, 3, 2))]
    named = {
        "code": number.to_bytes(10, "big"),
        "version": 1,
        "authority": 331100,
        "number": "浙丽 9801-0427",
        "name": "周*国",
        "title_name": "高级工程师",
        "level": 2,
        "series": "工程技术人员",
        "specialty": "建筑工程",
        "awarded_on": days[0],
        "issued_on": days[1],
        "paper_number": "浙丽职 98-0427",
    }
    return {key: value for key, value in enumerate((named | changed).values(), start=1) if value is not None}


def digits_of(token: bytes) -> str:
    """Seven bytes to 17 decimal digits, a rest of 1-6 bytes to 3, 5, 8, 10, 13 or 15."""
    width = {1: 3, 2: 5, 3: 8, 4: 10, 5: 13, 6: 15, 7: 17}
    groups = [token[at : at + 7] for at in range(0, len(token), 7)]
    return "".join(str(int.from_bytes(group, "big")).zfill(width[len(group)]) for group in groups)


def _fonts(folder: Path) -> Path:
    """A fontconfig file that adds the Chinese font of our dependencies: a bare machine has none."""
    spec = find_spec("manimgx_fonts_cjk")
    assert spec is not None
    assert spec.origin is not None
    fonts = folder / "fonts.conf"
    fonts.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f'<include ignore_missing="yes">/etc/fonts/fonts.conf</include><dir>{Path(spec.origin).parent}</dir>'
        f"<cachedir>{folder / 'cache'}</cachedir></fontconfig>"
    )
    return fonts


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The system's Chromium. Without it these tests are skipped, or fail where everything is required.

    It lives for one module: while it runs, so does an event loop, in which no other asyncio program can be tested.
    """
    if not CHROMIUM.exists():
        message = f"NO BROWSER: {CHROMIUM} is missing, the pages were NOT looked at (install Debian's chromium)"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(message)
        pytest.skip(message)
    fonts = _fonts(tmp_path_factory.mktemp("fonts"))
    environment = {**os.environ, "FONTCONFIG_FILE": str(fonts), "LANG": "C.UTF-8"}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET.split(), env=environment)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="session")
def stranger() -> Issuer:
    """Someone else, whose key bears the same id."""
    return Issuer()


@pytest.fixture
def shown(issuer: Issuer) -> Iterator[Site]:
    served = Site()
    served.jwks = {"keys": [issuer.jwk]}
    yield served
    served.server.shutdown()
    served.server.server_close()
