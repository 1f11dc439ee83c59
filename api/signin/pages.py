"""The pages of sign-in and account as text. They need no script; the policy is that of the public pages."""

import hashlib
import re
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from qrcode.image.svg import SvgPathImage
from qrcode.main import QRCode
from starlette.requests import Request
from starlette.responses import Response

from api.employers import page, view_of
from api.pages import HERE, STATIC_FOLDER, static_url
from registry.errors import RegistryError
from registry.terms import BEIJING

_STYLE: Final = "account.css"
_STYLE_HASH: Final = hashlib.sha256((STATIC_FOLDER / _STYLE).read_bytes()).hexdigest()[:12]


class View(NamedTuple):
    """How the reader wants the page; `posted`: it answers a form, so that no address shows the same again."""

    host: str
    language: str
    elder: bool
    sample: bool
    phone: str
    path: str
    next: str | None
    posted: bool

    def link(self, path: str, **query: str | None) -> str:
        """An address that keeps the reader's language and size of type."""
        kept = {name: value for name, value in query.items() if value}
        kept |= {"elder": "1"} if self.elder else {}
        kept |= {"lang": "en"} if self.language == "en" else {}
        return path + ("?" + urlencode(kept) if kept else "")

    def same(self, **change: Any) -> str:
        """The address of this page in another language or size."""
        return self._replace(**change).link(self.path, next=self.next)


def render(request: Request, template: str, status: int = 200, *, next: str | None = None, **about: Any) -> Response:
    """A page, never cached. `problems` maps each field (or "" for the whole form) to what is wrong with it."""
    posted = request.method not in ("GET", "HEAD")
    view = View(**view_of(request), path=request.url.path, next=next, posted=posted)
    known: dict[str, Any] = {"problems": {}, "actor": None, "said": None, "next": next} | about
    answer = page(_JINJA.get_template(template).render(view=view, **known), status)
    # With the public pages' `no-referrer` a browser would send `Origin: null` with our own forms (Fetch, 3.2).
    answer.headers["Referrer-Policy"] = "same-origin"
    return answer


def chosen(request: Request, chinese: str, english: str) -> str:
    """A sentence in the reader's language."""
    return english if view_of(request)["language"] == "en" else chinese


def words(error: RegistryError) -> str:
    """What was wrong and what to do, as one text."""
    return f"{error.message}。{error.fix}" if error.fix else error.message


def problem_page(request: Request, status: int, heading: tuple[str, str], sentence: str, fix: str = "") -> Response:
    """The page that says why nobody was signed in, or why something was not done."""
    return render(
        request, "sign_in_refused.html", status, heading=chosen(request, *heading), sentence=sentence, fix=fix
    )


def qr_picture(text: str) -> Markup:
    """A QR code as a drawing inside the page: no address would ever show the secret that it carries."""
    code = QRCode(border=0, image_factory=SvgPathImage)
    code.add_data(text)
    code.make(fit=True)
    return Markup(code.make_image().to_string(encoding="unicode"))  # noqa: S704 - drawn here, no text of anybody in it


@pass_context
def _in_language(context: Context, chinese: str, english: str) -> str:
    return english if context["view"].language == "en" else chinese


def _static(name: str) -> str:
    return f"/static/{name}?v={_STYLE_HASH}" if name == _STYLE else static_url(name)


def _environment() -> Environment:
    jinja = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.globals.update(t=_in_language, static=_static)
    jinja.filters.update(fours=lambda text: " ".join(re.findall(".{1,4}", text)))
    jinja.filters.update(clock=lambda moment: f"{moment.astimezone(BEIJING):%Y-%m-%d %H:%M}")
    return jinja


_JINJA: Final = _environment()
