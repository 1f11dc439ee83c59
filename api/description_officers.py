"""The description of the doors of signed-in readers, for /openapi.json: written here by hand, one line a door.

What a query or a body may say comes from the very types that read it.
"""

from typing import Any, Final, NamedTuple

import msgspec

from api.awards import Award
from api.doors import DecidingQuery, HandlingQuery, Reading
from api.history import EventsQuery
from api.holders import Asked
from api.imports import ImportQuery
from api.officers import HolderSearch, TitlesQuery
from api.paperform import PaperForm
from api.papers import PapersQuery
from api.proposals import Approval, Because, ProposalsQuery, Proposed

Schema = dict[str, Any]

_REFS = "#/components/schemas/{name}"
_JSON, _PROBLEM_JSON = "application/json", "application/problem+json"
_QUERIES = (Reading, HandlingQuery, DecidingQuery, TitlesQuery, ProposalsQuery, PapersQuery, EventsQuery, ImportQuery)
BODIES: Final = (Award, Proposed, Approval, Because, HolderSearch, Asked, PaperForm)
"""The types of bodies, for the components of the description."""

SECURITY_SCHEMES: Final[Schema] = {
    "session": {"type": "apiKey", "in": "cookie", "name": "__Host-session", "description": "from a sign-in"},
    "key": {"type": "http", "scheme": "bearer", "description": "an API key; never where a fresh sign-in is needed"},
}

_FILE: Schema = {"type": "string", "format": "binary"}
_TEXT: Schema = {"type": "string", "minLength": 1}
_LIST_FORM: Schema = {
    "type": "object",
    "required": ["file", "authority", "document"],
    "properties": {"file": _FILE, "authority": _TEXT, "document": _TEXT},
}
_PAPER_FORM: Schema = {
    "type": "object",
    "required": ["application", "scan"],
    "properties": {
        "application": {"type": "string", "contentMediaType": _JSON, "description": "a PaperForm as JSON"},
        "scan": {"type": "array", "items": _FILE, "minItems": 1},
        "review_form": _FILE,
        "document": _FILE,
    },
}
_PROBLEMS = {
    "401": "not signed in, or not lately enough where that is needed",
    "403": "no role for this, or another authority's matter",
    "404": "not there, or out of reach: the same answer",
    "409": "it does not follow from how things stand, or a second officer is needed; nothing was done",
    "413": "larger than is taken",
    "422": "a malformed request; `errors` name the places",
    "503": "could not be done now, or the log is behind `min_position`",
}
_READ, _OF_ONE = ("401", "403", "422", "503"), ("401", "403", "404", "422", "503")
_WRITE = ("401", "403", "404", "409", "413", "422", "503")


class _Door(NamedTuple):
    method: str
    path: str
    summary: str
    tag: str
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | Schema | None = None
    status: str = "200"
    kind: str = _JSON


_PDF, _ANY = "application/pdf", "*/*"
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_PROPOSAL, _PAPER = "/api/v1/proposals/{id}", "/api/v1/paper-applications/{id}"
_DOORS = (
    _Door("get", "/api/v1/titles", "Search the titles within reach", "officers", TitlesQuery),
    _Door("get", "/api/v1/titles/{id}", "One title as it stands today", "officers", HandlingQuery),
    _Door("get", "/api/v1/titles/{id}/history", "Every event of one title", "auditors", HandlingQuery),
    _Door("post", "/api/v1/titles/{id}/certificates", "Sign the certificate of a title", "officers", status="201"),
    _Door("get", "/api/v1/certificates/{code}.pdf", "A certificate's document", "officers", HandlingQuery, kind=_PDF),
    _Door("post", "/api/v1/holders/search", "Find a holder by identity number", "officers", body=HolderSearch),
    _Door("get", "/api/v1/holders/{id}", "One holder", "officers", HandlingQuery),
    _Door("post", "/api/v1/awards", "Award one title", "officers", body=Award, status="201"),
    _Door("post", "/api/v1/award-imports", "Take a list in", "officers", ImportQuery, _LIST_FORM, "202"),
    _Door("get", "/api/v1/jobs/{id}", "How a job of one's own stands", "officers", Reading),
    _Door("get", "/api/v1/jobs/{id}/errors.xlsx", "The refused list, marked", "officers", Reading, kind=_XLSX),
    _Door("get", "/api/v1/proposals", "The open proposals within reach", "officers", ProposalsQuery),
    _Door("post", "/api/v1/proposals", "Propose a decision", "officers", body=Proposed, status="201"),
    _Door("get", _PROPOSAL, "What an open proposal would do", "officers", DecidingQuery),
    _Door("post", _PROPOSAL + "/approval", "Approve it, after a fresh sign-in", "officers", body=Approval),
    _Door("post", _PROPOSAL + "/refusal", "Refuse or withdraw it", "officers", body=Because),
    _Door("post", _PROPOSAL + "/return", "Return it to be changed", "officers", body=Because),
    _Door("get", "/api/v1/paper-applications", "The applications within reach", "officers", PapersQuery),
    _Door("post", "/api/v1/paper-applications", "Hand a paper in", "holders", body=_PAPER_FORM, status="201"),
    _Door("get", _PAPER, "One application", "officers", DecidingQuery),
    _Door("post", _PAPER + "/approval", "Approve it, after a fresh sign-in", "officers", body=Approval),
    _Door("post", _PAPER + "/refusal", "Refuse it", "officers", body=Because),
    _Door("post", _PAPER + "/return", "Return it to be changed", "officers", body=Because),
    _Door("get", _PAPER + "/evidence/{sha256}", "The bytes of a scan", "officers", DecidingQuery, kind=_ANY),
    _Door("get", "/api/v1/me/titles", "One's own titles", "holders", Reading),
    _Door("get", "/api/v1/me/certificates/{id}.pdf", "One's own certificate", "holders", Reading, kind=_PDF),
    _Door("get", "/api/v1/me/lookups", "Who looked at one's own data", "holders", Reading),
    _Door("get", "/api/v1/me/data", "Everything held about oneself, after a fresh sign-in", "holders", Reading),
    _Door("get", "/api/v1/me/requests", "One's own requests", "holders", Reading),
    _Door("post", "/api/v1/me/requests", "Ask about one's own data", "holders", body=Asked, status="201"),
    _Door("get", "/api/v1/events", "The log, personal fields sealed", "auditors", EventsQuery),
    _Door("get", "/metrics", "Figures of the service (Prometheus)", "operation", kind="text/plain; version=0.0.4"),
)
_NOT_ONCE = frozenset({"/api/v1/holders/search"})  # a POST that only reads takes no Idempotency-Key


def paths() -> Schema:
    """The doors by path and method."""
    found: Schema = {}
    for door in _DOORS:
        found.setdefault(door.path, {})[door.method] = _operation(door)
    return found


def schemas() -> Schema:
    """The schemas of bodies, and of whatever they and the queries refer to."""
    _, components = msgspec.json.schema_components([*BODIES, *_QUERIES], ref_template=_REFS)
    return {name: one for name, one in components.items() if not name.endswith("Query") and name != "Reading"}


def _operation(door: _Door) -> Schema:
    writes = door.method == "post" and door.path not in _NOT_ONCE
    reads = _OF_ONE if "{" in door.path else _READ
    codes = _WRITE if door.method == "post" else reads
    responses = {
        code: _content(_PROBLEMS[code], _PROBLEM_JSON, {"$ref": _REFS.format(name="Problem")}) for code in codes
    }
    answer: Schema = {"type": "object"} if door.kind == _JSON else {"type": "string"}
    responses[door.status] = _content("done" if writes else "found", door.kind, answer)
    parameters = [*_in_path(door.path), *_in_query(door.query), *([_KEY] if writes else [])]
    said: Schema = {"summary": door.summary, "tags": [door.tag], "security": [{"session": []}, {"key": []}]}
    return said | {"parameters": parameters} | _body(door.body) | {"responses": responses}


_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "description": "Sent again with the same body within a day, it gets the same answer and is done once.",
}


def _content(description: str, kind: str, schema: Schema) -> Schema:
    return {"description": description, "content": {kind: {"schema": schema}}}


def _body(body: type[msgspec.Struct] | Schema | None) -> Schema:
    if body is None:
        return {}
    if isinstance(body, dict):
        return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": body}}}}
    schema = {"$ref": _REFS.format(name=body.__name__)}
    return {"requestBody": {"required": True, "content": {_JSON: {"schema": schema}}}}


def _in_path(path: str) -> list[Schema]:
    names = [part.partition("}")[0] for part in path.split("{")[1:]]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _in_query(query: type[msgspec.Struct] | None) -> list[Schema]:
    """The parameters that a query type reads. One that may be left out is left out, never null."""
    if query is None:
        return []
    _, components = msgspec.json.schema_components([query], ref_template=_REFS)
    return [
        {"name": name, "in": "query", "schema": _given(schema)}
        for name, schema in components[query.__name__]["properties"].items()
    ]


def _given(schema: Schema) -> Schema:
    kinds = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 else {name: value for name, value in schema.items() if name != "default"}
