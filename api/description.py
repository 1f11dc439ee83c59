"""The description of the HTTP contract: plain routes are described by hand here, and shown at /docs without a CDN."""

import html
from typing import Any

import msgspec
from fastapi import FastAPI

from api import description_entrances, description_officers
from api.asking import MAX_BATCH
from api.errors import Pointed
from api.waiting import MOST_POSITION
from registry.terms import Status
from registry.titles.answer import Answer

Schema = dict[str, Any]

_AS_OF = {
    "name": "as_of",
    "in": "query",
    "schema": {"type": "string", "format": "date"},
    "description": "Effective date asked about (civil date in Beijing); default today.",
}
_KNOWN_AT = {
    "name": "known_at",
    "in": "query",
    "schema": {"type": "string", "format": "date-time"},
    "description": "Recorded time asked about, with its offset; default now.",
}
_MIN_POSITION = {
    "name": "min_position",
    "in": "query",
    "schema": {"type": "integer", "minimum": 0, "maximum": MOST_POSITION},
    "description": "The `log_position` of a write that must be seen; 503 `behind` if that takes more than 2 s.",
}
_MOMENTS = [_AS_OF, _KNOWN_AT]
_READ = [*_MOMENTS, _MIN_POSITION]
_CODE = {
    "name": "code",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "Verification code: 17 characters, either case, blanks and hyphens accepted.",
}
_VIEW = [
    {"name": "lang", "in": "query", "schema": {"type": "string", "enum": ["zh", "en"]}, "description": "Language."},
    {"name": "elder", "in": "query", "schema": {"type": "string", "enum": ["1"]}, "description": "Large print."},
]
_TYPED = {"name": "code", "in": "query", "schema": {"type": "string"}, "description": "What was typed."}
_ANSWER, _PROBLEM = ({"$ref": f"#/components/schemas/{name}"} for name in ("Answer", "Problem"))
_JSON, _PROBLEM_JSON, _HTML = "application/json", "application/problem+json", "text/html; charset=utf-8"
_STATUSES = {
    "200": "valid, revoked, invalidated, superseded, suspended, not_yet_effective, tampered",
    "404": "unknown: malformed or not registered; not found is not forged",
    "410": "link_expired",
    "422": "unreadable: not one of ours",
    "503": "unavailable: could not be checked; says nothing about the certificate",
}
_TARGET: Schema = {
    "type": "object",
    "required": ["target"],
    "additionalProperties": False,
    "properties": {"target": {"type": "string", "description": "code, URL, QR text, or token digits"}},
}
_CODES: Schema = {
    "type": "object",
    "required": ["codes"],
    "additionalProperties": False,
    "properties": {"codes": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_BATCH}},
}
_FILE: Schema = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary", "description": "PDF, PNG or JPEG, at most 5 MB"}},
}
_ANSWERS: Schema = {
    "type": "object",
    "required": ["answers"],
    "properties": {"answers": {"type": "array", "items": _ANSWER, "description": "one for each code, in order"}},
}
_RECEIPT: Schema = {
    "type": "object",
    "required": ["answer", "checkpoint", "events", "note", "schema"],
    "properties": {
        "answer": _ANSWER,
        "checkpoint": {"type": "string", "description": "signed note"},
        "events": {"type": "array", "items": {"type": "object"}},
        "note": {"type": "string", "description": "signed note over the SHA-256 of all the rest"},
        "schema": {"const": "title-registry/receipt/1"},
    },
}
_READY: Schema = {
    "type": "object",
    "required": ["status", "log_position"],
    "properties": {
        "status": {"const": "ready"},
        "log_position": {"type": "integer"},
        "register_position": {"type": "integer"},
        "tree_size": {"type": "integer", "description": "leaves under the newest checkpoint"},
        "register_behind_seconds": {"type": "number", "description": "age of the oldest event not in the register"},
        "tree_behind_seconds": {"type": "number", "description": "age of the oldest event under no checkpoint"},
    },
}
_INTEGER: Schema = {"type": "integer"}
_HASH: Schema = {"type": "string", "description": "SHA-256 in base64"}
_TEXT, _BYTES = "text/plain; charset=utf-8", "application/octet-stream"


class Problem(msgspec.Struct):
    """A problem document (RFC 9457). `code` is stable; `errors` name each place in the request."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    fix: str | msgspec.UnsetType = msgspec.UNSET
    errors: list[Pointed] | msgspec.UnsetType = msgspec.UNSET


def _content(description: str, **schemas: Schema) -> Schema:
    return {"description": description, "content": {kind: {"schema": schema} for kind, schema in schemas.items()}}


def _answers(*codes: str) -> Schema:
    """The answers by HTTP status; a malformed request is a problem document under 422."""
    found = {code: _content(_STATUSES[code], **{_JSON: _ANSWER}) for code in codes}
    found["422"] = _content("a malformed request", **{_PROBLEM_JSON: _PROBLEM})
    if "503" in codes:
        behind = _STATUSES["503"] + ", or behind: the log has not reached `min_position` yet"
        found["503"] = _content(behind, **{_JSON: _ANSWER, _PROBLEM_JSON: _PROBLEM})
    if "422" in codes:
        found["422"] = _content(
            _STATUSES["422"] + ", or a malformed request", **{_JSON: _ANSWER, _PROBLEM_JSON: _PROBLEM}
        )
    return found


_BEHIND = _content("behind: the log has not reached `min_position` yet", **{_PROBLEM_JSON: _PROBLEM})


def _pages(**codes: str) -> Schema:
    return {code.removeprefix("_"): _content(text, **{_HTML: {"type": "string"}}) for code, text in codes.items()}


def _operation(summary: str, tag: str, responses: Schema, **more: Any) -> Schema:
    return {"summary": summary, "tags": [tag], **more, "responses": responses}


def _body(**schemas: Schema) -> Schema:
    return {"required": True, "content": {kind: {"schema": schema} for kind, schema in schemas.items()}}


def _plain(summary: str, description: str, kind: str, schema: Schema, **problems: str) -> Schema:
    responses = {"200": _content(description, **{kind: schema})}
    responses |= {
        code.removeprefix("_"): _content(text, **{_PROBLEM_JSON: _PROBLEM}) for code, text in problems.items()
    }
    return {"get": _operation(summary, "operation", responses)}


def _programs() -> Schema:
    too_large = {"413": _content("larger than is taken", **{_PROBLEM_JSON: _PROBLEM})}
    many = {"200": _content("the answers", **{_JSON: _ANSWERS}), "422": _answers()["422"], "503": _BEHIND}
    return {
        "/api/v1/verifications/{code}": {
            "get": _operation(
                "Verify a code", "verification", _answers("200", "404", "410", "503"), parameters=[_CODE, *_READ]
            )
        },
        "/api/v1/verifications/{code}/receipt": _receipt(),
        "/api/v1/verifications": {
            "post": _operation(
                "Verify a token, a URL, a PDF or a picture",
                "verification",
                _answers("200", "404", "410", "422", "503") | too_large,
                parameters=_READ,
                requestBody=_body(**{_JSON: _TARGET, "multipart/form-data": _FILE}),
            )
        },
        "/api/v1/verifications/batch": {
            "post": _operation(
                "Verify several codes",
                "verification",
                many | too_large,
                parameters=_READ,
                requestBody=_body(**{_JSON: _CODES}),
            )
        },
    }


def _people() -> Schema:
    verdict = _pages(
        _200="the answer", _404="unknown", _410="link_expired", _422="malformed request", _503="unavailable"
    )
    uploaded = _pages(
        _200="the answer", _404="unknown", _413="too large", _422="unreadable, or no file", _503="unavailable"
    )
    found = {"303": {"description": "on to the answer"}} | _pages(_422="not a code; the page says what is wrong")
    form = _body(**{"multipart/form-data": _FILE})
    return {
        "/": {"get": _operation("The start page", "pages", _pages(_200="the page"), parameters=_VIEW)},
        "/v": {
            "get": _operation("From a typed code to its answer", "pages", found, parameters=[_TYPED, *_VIEW]),
            "post": _operation("The answer for a PDF or a picture", "pages", uploaded, requestBody=form),
        },
        "/v/{code}": {
            "get": _operation("The page behind the QR", "pages", verdict, parameters=[_CODE, *_MOMENTS, *_VIEW])
        },
    }


def _log() -> Schema:
    number = _named("path", "number", "Three digits each, all but the last with x: x001/x234/067; .p/5 if partial.")
    level = _named("path", "level", "0 to 63; a hash stands for 256**level leaves.")
    first = {
        "/log/checkpoint": _file("The newest signed checkpoint (C2SP tlog-checkpoint)", _TEXT),
        "/log/key": _file("The verifier keys of the log, one a line", _TEXT),
        "/log/policy": _file("Which witnesses cosign (C2SP tlog-policy)", _TEXT),
        "/log/tile/entries/{number}": _file("An entry bundle (C2SP tlog-tiles)", _BYTES, number),
        "/log/tile/{level}/{number}": _file("A tile of hashes (C2SP tlog-tiles)", _BYTES, level, number),
        "/log/proof/inclusion": _proof("Inclusion proof (RFC 6962)", ("index", "size"), ("root",)),
        "/log/proof/consistency": _proof("Consistency proof (RFC 6962)", ("old", "new"), ("old_root", "root")),
        "/log/proof/event/{position}": _proof("An event's proof (C2SP tlog-proof)", ("position",)),
    }
    return first | {path.replace("/log", "/log/{generation}", 1): _following(one) for path, one in first.items()}


def _following(item: Schema) -> Schema:
    """The same of a log that follows the first one."""
    generation = _named("path", "generation", "2 for the log that followed the first one, and so on.")
    get = item["get"]
    return {"get": {**get, "parameters": [generation, *get.get("parameters", ())]}}


def _named(place: str, name: str, description: str) -> Schema:
    return {"name": name, "in": place, "required": True, "schema": {"type": "string"}, "description": description}


def _file(summary: str, kind: str, *parameters: Schema) -> Schema:
    found = {"200": _content("the file", **{kind: {"type": "string"}})}
    found["404"] = _content("not in the published log", **{_TEXT: {"type": "string"}})
    if kind == _BYTES:
        found["304"] = {"description": "as you have it"}
    return {"get": _operation(summary, "transparency log", found, parameters=list(parameters))}


def _proof(summary: str, asked: tuple[str, ...], roots: tuple[str, ...] = ()) -> Schema:
    """A proof in JSON with these roots; without roots it is a file."""
    fields: Schema = dict.fromkeys(asked, _INTEGER) | dict.fromkeys(roots, _HASH)
    fields["hashes"] = {"type": "array", "items": _HASH}
    whole: Schema = {_JSON: {"type": "object", "required": list(fields), "properties": fields}}
    problems = {"404": "not in the published log", "422": "a malformed request", "503": "log-frozen: ask later"}
    found = {code: _content(text, **{_PROBLEM_JSON: _PROBLEM}) for code, text in problems.items()}
    found["200"] = _content("the proof", **(whole if roots else {_TEXT: {"type": "string"}}))
    place = "query" if roots else "path"
    parameters = [_named(place, name, "Decimal, without sign or leading zero.") for name in asked]
    return {"get": _operation(summary, "transparency log", found, parameters=parameters)}


def _receipt() -> Schema:
    frozen = "unavailable, or log-frozen: says nothing about the certificate"
    found = _answers("404", "503") | {"200": _content("the receipt, see docs/proof.md", **{_JSON: _RECEIPT})}
    found["503"] = _content(frozen, **{_JSON: _ANSWER, _PROBLEM_JSON: _PROBLEM})
    asked = [_CODE, *_READ]
    return {"get": _operation("The answer for a code, signed and proven", "verification", found, parameters=asked)}


def _operations() -> Schema:
    text, anything = {"type": "string"}, {"type": "object"}
    name = {"name": "name", "in": "path", "required": True, "schema": text, "description": "A file of the pages."}
    static = _plain("Style sheet, script and drawings of the pages", "the file", "*/*", text, _404="no such file")
    static["get"]["parameters"] = [name]
    return {
        "/.well-known/jwks.json": _plain("Public keys (RFC 7517)", "JWK set", "application/jwk-set+json", anything),
        "/.well-known/key-set": _plain(
            "The key set in force, with its approvals", "JSON", _JSON, anything, _404="none"
        ),
        "/.well-known/root.pem": _plain("The root of the PDF signatures", "PEM", "application/x-pem-file", text),
        "/healthz": _plain("The process runs", "ok", _JSON, anything),
        "/readyz": _plain("The log can be read and a key is in force", "ready", _JSON, _READY, _503="not ready"),
        "/openapi.json": _plain("This description (OpenAPI 3.1)", "the description", _JSON, anything),
        "/docs": _plain("This description as a page", "the page", _HTML, text),
        "/static/{name}": static,
    }


def openapi(app: FastAPI) -> Schema:
    """The whole description. The schemas of an answer and of a problem come from their types."""
    _, components = msgspec.json.schema_components([Answer, Problem], ref_template="#/components/schemas/{name}")
    inside = description_officers
    return {
        "openapi": "3.1.0",
        "info": {"title": app.title, "version": app.version, "summary": "Verify certificates of professional titles"},
        "paths": _programs() | _people() | _log() | _operations() | inside.paths() | description_entrances.paths(),
        "components": {"schemas": components | inside.schemas(), "securitySchemes": inside.SECURITY_SCHEMES},
    }


def docs_page(description: Schema) -> str:
    """The description as one plain page."""
    rows = [
        f"<h2><code>{method.upper()} {html.escape(path)}</code></h2><p>{html.escape(operation['summary'])}</p><ul>"
        + "".join(
            f"<li><b>{code}</b> {html.escape(answer['description'])}</li>"
            for code, answer in operation["responses"].items()
        )
        + "</ul>"
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    ]
    statuses = ", ".join(status.value for status in Status)
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'><title>Title registry: HTTP</title>"
        "<link rel='stylesheet' href='/static/verify.css'><main><h1>HTTP</h1>"
        f"<p>The full description is <a href='/openapi.json'>/openapi.json</a>. Statuses: {statuses}.</p>"
        + "".join(rows)
        + "</main></html>"
    )
