"""The description of the pages on which people sign in, enrol and see their account, for /openapi.json."""

from typing import Any, Final

Schema = dict[str, Any]

_PAGE: Schema = {"text/html; charset=utf-8": {"schema": {"type": "string"}}}
_EITHER: Schema = {**_PAGE, "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_TEXT: Schema = {"type": "string"}
_WORDS: Final = {
    "200": "the page",
    "303": "on to the next page",
    "401": "not the right account, password or code; or not signed in",
    "403": "from another site, or not allowed",
    "404": "no such provider",
    "422": "something is missing or wrong; the page says what",
    "429": "too many tries; Retry-After says how long to wait",
    "502": "the provider did not answer as it must",
}
_CODES: Final = ("login", "password", "code", "next")
# method, path, what it is, what a form says (None: nothing), answers
_PAGES: Final = (
    ("get", "/sign-in", "The sign-in page", None, ("200", "303")),
    (
        "post",
        "/sign-in",
        "Sign in with account, password and one-time code",
        _CODES,
        ("303", "401", "403", "422", "429"),
    ),
    ("post", "/sign-out", "End this session", (), ("303", "403", "422")),
    ("get", "/sign-in/again", "Confirm who you are, before what needs it", None, ("200", "303", "401")),
    ("post", "/sign-in/again", "Confirm with password and code", _CODES, ("303", "401", "403", "422", "429")),
    ("get", "/sign-in/with/{provider}", "On to an OpenID provider", None, ("303", "404", "502")),
    (
        "get",
        "/sign-in/with/{provider}/back",
        "Back from the provider",
        None,
        ("303", "401", "403", "404", "422", "502"),
    ),
    ("get", "/sign-in/with/{provider}/code", "The second factor after a provider", None, ("200", "303", "401", "404")),
    ("post", "/sign-in/with/{provider}/code", "The same, typed", ("code",), ("303", "401", "403", "404", "422", "429")),
    ("get", "/enrol", "Where an enrolment code is redeemed", None, ("200",)),
    (
        "post",
        "/enrol",
        "Redeem it: choose account and password",
        ("enrolment", "login", "password"),
        ("200", "303", "401", "403", "422", "429"),
    ),
    ("post", "/enrol/confirm", "Confirm the authenticator", ("code",), ("200", "303", "401", "403", "422", "429")),
    ("get", "/account", "One's own account, sessions and API keys", None, ("200", "303", "401")),
    ("post", "/account/sessions/end", "End one of one's sessions", ("session",), ("303", "401", "403", "422")),
    ("post", "/account/keys/end", "End one of one's API keys", ("key",), ("303", "401", "403", "422")),
)


def paths() -> Schema:
    """The pages by path and method."""
    found: Schema = {}
    for method, path, summary, fields, codes in _PAGES:
        found.setdefault(path, {})[method] = _operation(path, summary, fields, codes)
    return found


def _operation(path: str, summary: str, fields: tuple[str, ...] | None, codes: tuple[str, ...]) -> Schema:
    responses: Schema = {code: {"description": _WORDS[code]} for code in codes}
    for code in set(codes) - {"303"}:
        responses[code]["content"] = _PAGE if code == "200" else _EITHER
    operation: Schema = {"summary": summary, "tags": ["sign-in"], "responses": responses}
    if "{provider}" in path:
        operation["parameters"] = [{"name": "provider", "in": "path", "required": True, "schema": _TEXT}]
    if fields is not None:
        form: Schema = {"type": "object", "properties": dict.fromkeys(fields, _TEXT)}
        operation["requestBody"] = {"content": {"application/x-www-form-urlencoded": {"schema": form}}}
    return operation
