"""The public pages as text: the answer to a verification, the start page and the error pages. No routes here.

A page needs no script and allows a strict content security policy (`CONTENT_SECURITY_POLICY`): one style sheet, one
deferred script, no inline style and no inline script. Whoever serves them adds `Cache-Control: no-store`.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from registry.errors import BadCode
from registry.terms import BEIJING, Level, Status
from registry.titles.answer import Answer
from registry.titles.code import parse_code
from registry.titles.verification import SENTENCES

Language = Literal["zh", "en"]

HERE: Final = Path(__file__).parent
STATIC_FOLDER: Final = HERE / "static"
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HOME: Final = "/"
NON_VERDICTS: Final = frozenset(
    {Status.UNKNOWN, Status.LINK_EXPIRED, Status.UNREADABLE, Status.UNAVAILABLE, Status.OFFLINE}
)
# The content of these is not the registry's word, so nothing of it may stand on the page as a fact.
WITHOUT_FACTS: Final = NON_VERDICTS | {Status.TAMPERED}
# These come from an upload only: the same address asked again would answer about something else.
WITHOUT_ADDRESS: Final = frozenset({Status.TAMPERED, Status.UNREADABLE, Status.OFFLINE})


class ErrorText(NamedTuple):
    """What an error page says: heading and sentence, in Chinese and in English."""

    heading: tuple[str, str]
    sentence: tuple[str, str]


ERRORS: Final[Mapping[int, ErrorText]] = {
    404: ErrorText(
        ("没有这个页面", "Page not found"),
        (
            "网址可能输错或不完整。这与证书的真伪无关。",
            "The address may be mistyped or incomplete. This says nothing about any certificate.",
        ),
    ),
    403: ErrorText(
        ("没有权限", "Not allowed"),
        (
            "您没有办理此事的权限。需要权限的，请联系本机关的批准人。",
            "You may not do this. If you need to, ask an approver of your authority for the role.",
        ),
    ),
    405: ErrorText(
        ("不能这样打开", "Not opened this way"),
        (
            "这个网址不接受这种请求。请从首页重新核验。",
            "This address does not take that kind of request. Please start again from the first page.",
        ),
    ),
    413: ErrorText(
        ("文件太大", "The file is too large"),
        (
            "请上传原来的证书文件，或只拍二维码。这与证书的真伪无关。",
            "Please send the original file, or a photo of the QR code only. This says nothing about any certificate.",
        ),
    ),
    429: ErrorText(
        ("查询太频繁", "Too many requests"),
        (
            "请过一分钟再试。这与证书的真伪无关。",
            "Please try again in a minute. This says nothing about any certificate.",
        ),
    ),
    500: ErrorText(
        ("系统出错了", "Something went wrong"),
        (
            "我们已记录这次错误，请稍后再试。这与证书的真伪无关。",
            "The error was recorded; please try again later. This says nothing about any certificate.",
        ),
    ),
}


def render_answer(
    answer: Answer,
    *,
    code_shown: str,
    host: str,
    language: Language,
    elder: bool,
    sample: bool,
    phone: str,
    error_id: str | None = None,
) -> str:
    """The page for one answer, whatever its status. `code_shown` is the code asked for, or empty after an upload
    without one; facts appear only where the registry vouches for them; `error_id` belongs to `unavailable`.
    """
    code = _canonical(code_shown)
    repeatable = code and answer.status not in WITHOUT_ADDRESS
    moment = {"as_of": answer.as_of, "known_at": answer.known_at}
    extra = {name: value.isoformat() for name, value in moment.items() if value and repeatable}
    return _page(
        "answer.html",
        _View(host, language, elder, sample, phone, f"/v/{quote(code)}" if repeatable else HOME, extra),
        answer=answer,
        certificate=None if answer.status in WITHOUT_FACTS else answer.certificate,
        code=code,
        asked=f"?{urlencode(extra)}" if extra else "",
        error_id=error_id,
    )


def render_home(
    *,
    host: str,
    language: Language,
    elder: bool,
    sample: bool,
    phone: str,
    typed: str = "",
    error: str | None = None,
    error_field: Literal["code", "file"] = "code",
) -> str:
    """The start page: one question, answered with the typed code or a file. `error` is shown above and at its
    field, and `typed` stays in the box.
    """
    view = _View(host, language, elder, sample, phone, HOME, {})
    return _page("home.html", view, typed=typed, error=error, error_field=error_field)


def render_error(
    status: int, *, host: str, language: Language, elder: bool, sample: bool, phone: str, error_id: str | None = None
) -> str:
    """The page for HTTP 403, 404, 405, 413, 429 or any other error (as 500). It never looks like a verdict."""
    view = _View(host, language, elder, sample, phone, HOME, {})
    return _page("error.html", view, text=ERRORS.get(status, ERRORS[500]), status=status, error_id=error_id)


def _canonical(typed: str) -> str:
    """The 17 characters of a code however it was typed; what is no code stays as typed, at most 64 characters."""
    try:
        return parse_code(typed)
    except BadCode:
        return typed.strip()[:64]


def static_url(name: str) -> str:
    """The address of a static file with a hash of its content, so that it may be cached for ever."""
    return f"/static/{name}?v={_HASHES[name]}"


class _View(NamedTuple):
    """How the reader wants to see the page, and which address shows the same again."""

    host: str
    language: Language
    elder: bool
    sample: bool
    phone: str
    address: str
    extra: Mapping[str, str]

    def link(self, path: str | None = None, **change: Any) -> str:
        """An address that keeps the reader's view, with `language` or `elder` changed if given."""
        wanted = self._replace(**change)
        query = {} if path is not None else dict(self.extra)
        query |= {"elder": "1"} if wanted.elder else {}
        query |= {"lang": "en"} if wanted.language == "en" else {}
        return (self.address if path is None else path) + ("?" + urlencode(query) if query else "")


@pass_context
def _in_language(context: Context, chinese: str, english: str) -> str:
    return english if context["view"].language == "en" else chinese


@pass_context
def _day(context: Context, day: date | datetime) -> str:
    if isinstance(day, datetime):
        day = day.astimezone(BEIJING).date()
    return _in_language(context, f"{day.year}年{day.month}月{day.day}日", f"{day.day} {day:%B %Y}")


def _clock(instant: datetime, seconds: bool = False) -> str:
    return f"{instant.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"[: 19 if seconds else 16]


def _sentences(text: str) -> tuple[str, str]:
    """Split the first sentence from what follows: what follows is what the reader must not miss."""
    first, _, rest = re.sub(r"(?<=[。])|(?<=\.) ", "\0", text, count=1).partition("\0")
    return first, rest.strip()


def _grouped(code: str) -> str:
    return " ".join(re.findall(".{1,4}", code)) if len(code) == 17 else code


def _page(template: str, view: _View, **about: Any) -> str:
    return _TEMPLATES[template].render(view=view, **about)


def _environment() -> Environment:
    jinja = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.globals.update(t=_in_language, home=HOME, static=static_url, Status=Status, SENTENCES=SENTENCES)
    jinja.globals.update(non_verdicts=NON_VERDICTS, levels=list(Level))
    jinja.filters.update(day=_day, clock=_clock, sentences=_sentences, grouped=_grouped)
    return jinja


_HASHES: Final = {
    path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in sorted(STATIC_FOLDER.glob("verify.*"))
}
_JINJA: Final = _environment()
_TEMPLATES: Final = {name: _JINJA.get_template(name) for name in ("answer.html", "home.html", "error.html")}
