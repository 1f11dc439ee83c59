"""The contract at the HTTP door: the table of statuses, the keys of an answer, and a description that is the truth."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from api import description_entrances, description_officers
from api.app import create_app
from api.employers import STATUS_CODES, respond
from registry.terms import Status
from registry.titles.answer import Answer
from registry.titles.verification import SENTENCES
from tests.served import Cabinet, Site

# what others may rely on; a change here needs a decision record
TABLE = {
    "valid": 200,
    "revoked": 200,
    "invalidated": 200,
    "superseded": 200,
    "suspended": 200,
    "not_yet_effective": 200,
    "tampered": 200,
    "unknown": 404,
    "link_expired": 410,
    "unreadable": 422,
    "unavailable": 503,
}
KEYS = {"status", "sentence", "checked_at", "log_position", "as_of", "known_at", "certificate", "steps"}
PUBLIC_ROUTES = {
    "GET /v/{code}",
    "GET /api/v1/verifications/{code}",
    "POST /api/v1/verifications",
    "POST /api/v1/verifications/batch",
    "GET /healthz",
    "GET /readyz",
    "GET /.well-known/jwks.json",
    "GET /docs",
    "GET /api/v1/verifications/{code}/receipt",
    "GET /log/checkpoint",
    "GET /log/tile/{level}/{number}",
    "GET /log/tile/entries/{number}",
}
Schema = dict[str, Any]


@pytest.mark.parametrize("status", TABLE)
def test_each_status_has_its_http_code_and_its_own_sentence(status: str) -> None:
    zh, en = SENTENCES[Status(status)]
    now = datetime(2026, 11, 22, 6, 5, 32, tzinfo=UTC)
    answer = Answer(status=Status(status), sentence=zh, sentence_en=en, checked_at=now, log_position=7)
    assert respond(answer).status_code == TABLE[status]
    assert len(set(SENTENCES.values())) == len(SENTENCES)


def test_the_table_is_whole() -> None:
    assert {status.value for status in Status} - {"offline"} == set(TABLE), "offline is said only where no server is"
    assert {status.value for status in STATUS_CODES} == {name for name, code in TABLE.items() if code != 200}


def test_every_status_that_a_certificate_or_upload_can_have_comes_over_http_with_its_code(
    site: Site, cabinet: Cabinet
) -> None:
    seen = set()
    for response in _answers(site, cabinet):
        if response.headers.get("content-type") == "application/json" and "sentence" in response.json():
            answer = response.json()
            seen.add(answer["status"])
            assert response.status_code == TABLE[answer["status"]]
            assert set(answer) >= KEYS
            told = response.status_code == 200 and answer["status"] != "tampered"
            assert (answer["certificate"] is not None) == told
    assert seen == set(TABLE) - {"link_expired", "unavailable"}


def test_the_answer_is_written_in_iso_dates_with_an_offset(site: Site, cabinet: Cabinet) -> None:
    answer = site.verified(cabinet.revoked.code)
    assert datetime.fromisoformat(answer["checked_at"]).utcoffset() is not None
    assert date.fromisoformat(answer["certificate"]["awarded_on"])
    assert [step["number"] for step in answer["steps"]] == list(range(1, 7))
    assert isinstance(answer["log_position"], int)


# the description


def _served(app: FastAPI) -> set[str]:
    found = set()
    for route in app.routes:
        if isinstance(route, Mount):
            found.add(f"GET {route.path}/{{name}}")
        else:
            assert isinstance(route, Route), route
            found |= {f"{one} {re.sub(':(path|int)', '', route.path)}" for one in (route.methods or set()) - {"HEAD"}}
    return found


def _described(app: FastAPI) -> set[str]:
    return {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}


def test_the_description_holds_every_route_and_no_other(cabinet: Cabinet) -> None:
    app = create_app(cabinet.registry)
    assert _served(app) == _described(app)
    assert _described(app) >= PUBLIC_ROUTES

    async def undescribed(_: Request) -> Response:
        return Response()

    app.add_route("/api/v1/new", undescribed)
    assert _served(app) - _described(app) == {"GET /api/v1/new"}


def test_the_description_is_openapi_3_1(site: Site) -> None:
    description = site.get("/openapi.json").json()
    assert re.fullmatch(r"3\.1\.\d", description["openapi"])
    assert set(description) <= {"openapi", "info", "paths", "components"}
    assert description["info"]["title"]
    assert description["info"]["version"]
    for path, operations in description["paths"].items():
        assert path.startswith("/")
        for method, operation in operations.items():
            assert method in {"get", "post", "put", "delete", "patch"}
            _check_operation(path, operation)
    for schema in _schemas(description):
        _check_schema(description, schema)


def _check_operation(path: str, operation: Schema) -> None:
    assert set(operation) <= {"summary", "tags", "parameters", "requestBody", "responses", "security"}
    assert operation["summary"]
    parameters = operation.get("parameters", [])
    for parameter in parameters:
        assert parameter["in"] in {"path", "query", "header"}
        assert parameter["in"] != "path" or parameter["required"] is True
        assert set(parameter) <= {"name", "in", "required", "schema", "description"}
    in_path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
    assert in_path == set(re.findall(r"{(\w+)}", path))
    assert len({(parameter["in"], parameter["name"]) for parameter in parameters}) == len(parameters)
    assert operation["responses"]
    for code, response in operation["responses"].items():
        assert re.fullmatch(r"[1-5]\d\d", code)
        assert response["description"]
    if "requestBody" in operation:
        assert operation["requestBody"]["content"]


def _schemas(description: Schema) -> Iterator[Schema]:
    yield from description["components"]["schemas"].values()
    for operations in description["paths"].values():
        for operation in operations.values():
            bodies = [*operation["responses"].values(), operation.get("requestBody", {})]
            yield from (media["schema"] for body in bodies for media in body.get("content", {}).values())
            yield from (parameter["schema"] for parameter in operation.get("parameters", []))


_WORDS = {"type", "enum", "const", "properties", "required", "items", "anyOf", "$ref", "format", "default", "title"}
_WORDS |= {
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "pattern",
    "contentMediaType",
    "description",
    "additionalProperties",
    "minItems",
    "maxItems",
    "prefixItems",
}


def _check_schema(description: Schema, schema: Schema) -> None:
    assert set(schema) <= _WORDS, schema
    if "$ref" in schema:
        _check_schema(description, {k: v for k, v in _found(description, schema["$ref"]).items() if k == "type"})
    for inner in (
        *schema.get("properties", {}).values(),
        *schema.get("anyOf", ()),
        *filter(None, [schema.get("items")]),
    ):
        if isinstance(inner, dict):
            _check_schema(description, inner)
    assert set(schema.get("required", ())) <= set(schema.get("properties", {}))


def _found(description: Schema, reference: str) -> Schema:
    at: Schema = description
    for part in reference.removeprefix("#/").split("/"):
        at = at[part]
    return at


# answers are what the description says


def _answers(site: Site, cabinet: Cabinet) -> Iterator[httpx.Response]:
    """Asks of every kind. A response knows its request, and so which operation it belongs to."""
    certificates = (
        cabinet.valid,
        cabinet.revoked,
        cabinet.invalidated,
        cabinet.suspended,
        cabinet.superseded,
        cabinet.converted,
    )
    for one in certificates:
        yield site.get(f"/api/v1/verifications/{one.code}")
        yield site.get(f"/v/{one.code}")
        yield site.asked(cabinet.qr(one))
    at = f"/api/v1/verifications/{cabinet.valid.code}"
    yield site.get(at, params={"as_of": "2000-01-01"})
    yield site.get(at, params={"as_of": "never"})
    yield site.get(f"/v/{cabinet.valid.code}", params={"as_of": "never"}, headers={"Accept": "text/html"})
    yield site.get("/api/v1/verifications/x")
    yield site.get("/v/x")
    yield site.asked(f"https://zc.example.cn/v/{cabinet.valid.code}#{cabinet.digits(cabinet.other)}")
    yield site.asked("9" * 41)
    yield site.post("/api/v1/verifications", content=b"{")
    yield site.post("/api/v1/verifications", content=b" " * 70_000)
    yield site.uploaded(b"rubbish")
    yield site.uploaded(cabinet.pdf(cabinet.valid))
    yield site.post("/v", files={"file": b"rubbish"})
    yield site.post("/v")
    yield site.get("/v", params={"code": cabinet.valid.code})
    yield site.get("/v", params={"code": "x"})
    yield site.post("/api/v1/verifications/batch", json={"codes": [cabinet.valid.code, "x"]})
    yield site.post("/api/v1/verifications/batch", json={"codes": []})
    yield site.post("/api/v1/verifications/batch", content=b" " * 70_000)
    for path in (
        "/",
        "/docs",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/.well-known/jwks.json",
        "/.well-known/key-set",
        "/.well-known/root.pem",
    ):
        yield site.get(path)
    yield from _log_answers(site)
    yield site.get(f"{at}/receipt")
    yield site.get(f"{at}/receipt", params={"as_of": "never"})
    yield site.get("/api/v1/verifications/x/receipt")
    yield site.get("/static/verify.css")
    yield site.get("/static/nothing")


def _log_answers(site: Site) -> Iterator[httpx.Response]:
    for name in ("checkpoint", "key", "policy", "tile/0/000", "tile/entries/000"):
        yield site.get(f"/log/2/{name}")  # there is none yet
    for name in ("inclusion?index=0&size=1", "consistency?old=0&new=1", "event/1"):
        yield site.get(f"/log/2/proof/{name}")
    yield from map(site.get, ("/log/checkpoint", "/log/key", "/log/policy"))
    yield from map(site.get, ("/log/tile/0/000", "/log/tile/entries/000"))
    for path in ("inclusion?index=0&size=1", "consistency?old=0&new=1", "event/1"):
        yield site.get(f"/log/proof/{path}")
    for path in ("inclusion?index=0", "inclusion?index=5&size=5", "consistency?old=2&new=1", "event/x", "event/9999"):
        yield site.get(f"/log/proof/{path}")


def test_every_answer_is_described_and_fits_its_schema(site: Site, cabinet: Cabinet) -> None:
    description, used = site.get("/openapi.json").json(), set()
    for response in (*_answers(site, cabinet), *_to_strangers(site, description)):
        template, operation = _operation_of(description, response.request)
        used.add(template)
        where = f"{response.request.method} {response.request.url} {response.status_code}"
        described = operation["responses"][str(response.status_code)]
        if response.status_code == 303:
            continue
        kind = response.headers["content-type"]
        media = described["content"].get(kind) or described["content"].get("*/*")
        assert media, f"{where}: {kind}, described is {sorted(described['content'])}"
        value = response.json() if kind.partition(";")[0].endswith("json") else response.text
        assert list(_wrong(description, media["schema"], value)) == [], where
    assert used == set(description["paths"])


def _to_strangers(site: Site, description: Schema) -> Iterator[httpx.Response]:
    """What somebody gets who is not signed in, at each door for those who are and at each entrance."""
    doors = {**description_officers.paths(), **description_entrances.paths()}
    assert doors.keys() <= description["paths"].keys()
    for path, operations in doors.items():
        for method in operations:
            yield site.request(method, re.sub(r"{\w+}", "1", path), follow_redirects=False)


def _operation_of(description: Schema, request: httpx.Request) -> tuple[str, Schema]:
    """The operation whose path fits; one without parameters goes first (OpenAPI 3.1, path templating)."""
    for template in sorted(description["paths"], key=lambda path: path.count("{")):
        pattern = re.sub(r"{\w+}", "[^/]+", template)
        if re.fullmatch(pattern, request.url.path) and request.method.lower() in description["paths"][template]:
            found: Schema = description["paths"][template][request.method.lower()]
            return template, found
    raise AssertionError(f"{request.method} {request.url} is not described")


_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}

_FORMATS = {"date": r"\d{4}-\d\d-\d\d", "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"}


def _wrong(description: Schema, schema: Schema, value: Any, at: str = "$") -> Iterator[str]:
    """Where a value does not fit a schema (JSON Schema 2020-12, the words that we use)."""
    if "$ref" in schema:
        yield from _wrong(description, _found(description, schema["$ref"]), value, at)
    if "anyOf" in schema and all(list(_wrong(description, one, value, at)) for one in schema["anyOf"]):
        yield f"{at} fits none of {schema['anyOf']}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at} is {value!r}, not one of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{at} is {value!r}, not {schema['const']!r}"
    if "type" in schema and not isinstance(value, _TYPES[schema["type"]]):
        yield f"{at} is {type(value).__name__}, not {schema['type']}"
    elif schema.get("format") in _FORMATS and not re.fullmatch(_FORMATS[schema["format"]], value):
        yield f"{at} is {value!r}, no {schema['format']}"
    if isinstance(value, dict) and "properties" in schema:
        yield from (f"{at}.{name} is missing" for name in schema.get("required", ()) if name not in value)
        yield from (f"{at}.{name} is not described" for name in value if name not in schema["properties"])
        for name, inner in schema["properties"].items():
            if name in value:
                yield from _wrong(description, inner, value[name], f"{at}.{name}")
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for place, inner in enumerate(value):
            yield from _wrong(description, schema["items"], inner, f"{at}[{place}]")


def test_the_validator_of_these_tests_notices_what_is_wrong() -> None:
    schema = {
        "type": "object",
        "required": ["a"],
        "properties": {"a": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"enum": [1, 2]}}]}},
    }
    assert list(_wrong({}, schema, {"a": None})) == []
    assert list(_wrong({}, schema, {"a": [1, 2, 1]})) == []
    for wrong in ({}, {"a": [3]}, {"a": "x"}, {"a": None, "b": 1}, []):
        assert list(_wrong({}, schema, wrong)), wrong


def test_the_docs_page_names_every_operation_and_links_to_the_description(site: Site) -> None:
    page, description = site.get("/docs").text, site.get("/openapi.json").json()
    for path, operations in description["paths"].items():
        for method in operations:
            assert f"{method.upper()} {path}" in page
    assert "href='/openapi.json'" in page
    assert "<script" not in page


def test_the_keys_are_those_of_the_certificates_and_hold_no_secret(site: Site, cabinet: Cabinet) -> None:
    response = site.get("/.well-known/jwks.json")
    assert response.headers["content-type"] == "application/jwk-set+json"
    keys = response.json()["keys"]
    assert cabinet.valid.kid in {key["kid"] for key in keys if key["purpose"] == "e-certificate/1"}
    assert "d" not in {member for key in keys for member in key}
    root = site.get("/.well-known/root.pem").text
    assert root.startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE" not in json.dumps(keys) + root
