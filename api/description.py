"""The description of the HTTP contract: plain routes are described by hand here, and shown at /docs without a CDN."""

import html
from typing import Any

import msgspec
from fastapi import FastAPI

from registry.terms import Status
from registry.titles.answer import Answer

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
_CODE = {
    "name": "code",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "Verification code: 17 characters, either case, blanks and hyphens accepted.",
}
_STATUSES = {
    "200": ("valid, revoked, invalidated, superseded, suspended, not_yet_effective, tampered", "Answer"),
    "404": ("unknown: malformed or not registered; not found is not forged", "Answer"),
    "410": ("link_expired", "Answer"),
    "422": ("unreadable, or a malformed request", "Answer"),
    "503": ("unavailable: could not be checked; says nothing about the certificate", "Answer"),
}


def _responses(*codes: str) -> dict[str, Any]:
    return {
        code: {
            "description": _STATUSES[code][0],
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{_STATUSES[code][1]}"}}},
        }
        for code in codes
    }


def _operation(summary: str, **more: Any) -> dict[str, Any]:
    return {"summary": summary, "tags": ["verification"], **more}


def _json_body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


_TARGET = {
    "type": "object",
    "required": ["target"],
    "additionalProperties": False,
    "properties": {"target": {"type": "string", "description": "code, URL, QR text, or token digits"}},
}
_CODES = {
    "type": "object",
    "required": ["codes"],
    "additionalProperties": False,
    "properties": {"codes": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 100}},
}
_FILE = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary", "description": "PDF or picture, at most 5 MiB"}},
}


def _plain(summary: str, kind: str) -> dict[str, Any]:
    return {"get": {"summary": summary, "tags": ["operation"], "responses": {"200": {"description": kind}}}}


def paths() -> dict[str, Any]:
    """The routes that are described by hand."""
    upload = _json_body(_TARGET)
    upload["content"]["multipart/form-data"] = {"schema": _FILE}
    many = {"200": {"description": "one answer for each code, in order"}, "422": {"description": "malformed request"}}
    page = {"200": {"description": "the answer as a page (HTML)"}, "404": {"description": "unknown, as a page"}}
    return {
        "/v/{code}": {
            "get": _operation("The page behind the QR", parameters=[_CODE, _AS_OF, _KNOWN_AT], responses=page)
        },
        "/api/v1/verifications/{code}": {
            "get": _operation(
                "Verify a code", parameters=[_CODE, _AS_OF, _KNOWN_AT], responses=_responses("200", "404", "422", "503")
            )
        },
        "/api/v1/verifications": {
            "post": _operation(
                "Verify a token, a URL, a PDF or a picture",
                parameters=[_AS_OF, _KNOWN_AT],
                requestBody=upload,
                responses=_responses("200", "404", "422", "503"),
            )
        },
        "/api/v1/verifications/batch": {
            "post": _operation(
                "Verify several codes", parameters=[_AS_OF, _KNOWN_AT], requestBody=_json_body(_CODES), responses=many
            )
        },
        "/.well-known/jwks.json": _plain("Public keys (RFC 7517)", "JWK set"),
        "/.well-known/root.pem": _plain("The root of the PDF signatures", "PEM"),
        "/healthz": _plain("The process runs", "ok"),
        "/readyz": _plain("The log can be read and a key is in force", "ready, with the log position"),
    }


def openapi(app: FastAPI) -> dict[str, Any]:
    """The whole description. The schema of an answer comes from its type."""
    _, components = msgspec.json.schema_components([Answer], ref_template="#/components/schemas/{name}")
    return {
        "openapi": "3.1.0",
        "info": {"title": app.title, "version": app.version, "summary": "Verify certificates of professional titles"},
        "paths": paths(),
        "components": {"schemas": components},
    }


def docs_page(description: dict[str, Any]) -> str:
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
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Title registry: HTTP</title>"
        "<link rel='stylesheet' href='/static/verify.css'><main><h1>HTTP</h1>"
        f"<p>The full description is <a href='/openapi.json'>/openapi.json</a>. Statuses: {statuses}.</p>"
        + "".join(rows)
        + "</main></html>"
    )
