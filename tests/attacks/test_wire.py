"""Bytes that no browser sends: two lengths, headers without end, bodies that never come, and names of other hosts."""

import socket
import time
from contextlib import ExitStack

import pytest

from tests.attacks.house import statuses, wire
from tests.served import Site

EVIL = b"evil.example"
_HOST = b"Host: 127.0.0.1\r\n"
_SMUGGLED = b"GET /api/v1/verifications/SMUGGLED HTTP/1.1\r\n" + _HOST + b"\r\n"


def posted(*headers: bytes, body: bytes = _SMUGGLED) -> bytes:
    """A POST to a public door, with these headers and another request where its body ends for one of two readers."""
    return b"POST /api/v1/verifications HTTP/1.1\r\n" + _HOST + b"\r\n".join(headers) + b"\r\n\r\n" + body


DOUBTFUL = {
    "length and chunks": posted(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + _SMUGGLED),
    "chunks and length": posted(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n" + _SMUGGLED),
    "two lengths": posted(b"Content-Length: 0", b"Content-Length: 5"),
    "two lengths in one": posted(b"Content-Length: 0, 5"),
    "a signed length": posted(b"Content-Length: +0"),
    "a negative length": posted(b"Content-Length: -1"),
    "a hexadecimal length": posted(b"Content-Length: 0x0"),
    "blank before the colon": posted(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n" + _SMUGGLED),
    "chunked that is not": posted(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + _SMUGGLED),
    "a folded header": posted(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n" + _SMUGGLED),
    "a vertical tab": posted(b"Transfer-Encoding:\x0bchunked", body=b"0\r\n\r\n" + _SMUGGLED),
    "a bad chunk size": posted(b"Transfer-Encoding: chunked", body=b"-1\r\n\r\n" + _SMUGGLED),
    "a chunk size of 2^64": posted(b"Transfer-Encoding: chunked", body=b"10000000000000000\r\n\r\n" + _SMUGGLED),
}


@pytest.mark.parametrize("sent", DOUBTFUL.values(), ids=DOUBTFUL)
def test_where_a_request_ends_is_never_in_doubt(site: Site, sent: bytes) -> None:
    """Smuggling: what a proxy may have read as a body is never answered as a request of its own."""
    answer = wire(site.port, sent, wait=1)
    assert len(statuses(answer)) <= 1, answer
    assert all(400 <= status < 500 for status in statuses(answer)), answer
    assert site.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\n" + _HOST + b"X: " + b"a" * 2_000_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + _HOST + b"".join(b"X%d: 1\r\n" % n for n in range(200_000)) + b"\r\n",
        b"GET /" + b"a" * 2_000_000 + b" HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"GET /v/\x00 HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"GET /v/%00%0d%0aSet-Cookie:x=1 HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"GET /healthz HTTP/1.1\r\n" + _HOST + b"X: a\x00b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
        b"\r\n" * 5_000 + b"\x00" * 100,
        b"GET http://evil.example/ HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"TRACE / HTTP/1.1\r\n" + _HOST + b"Cookie: __Host-session=secret\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=range(12),
)
def test_what_no_browser_sends_is_refused_and_nothing_falls_over(site: Site, sent: bytes) -> None:
    answer = wire(site.port, sent, wait=1)
    assert len(statuses(answer)) <= 1
    assert b"set-cookie" not in answer.lower()
    assert b"secret" not in answer, "a TRACE would give the cookie to a script"
    assert EVIL not in answer
    assert b"Traceback" not in answer
    assert site.get("/healthz").status_code == 200


def test_bodies_that_never_come_keep_nobody_waiting(site: Site) -> None:
    """Two hundred callers announce a body and send a byte of it; everybody else is served meanwhile."""
    head = b"POST /api/v1/verifications HTTP/1.1\r\n" + _HOST + b"Content-Length: 60000\r\n\r\n{"
    with ExitStack() as held:
        for _ in range(200):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", site.port), timeout=5))
            connection.sendall(head)
        started = time.perf_counter()
        for _ in range(20):
            assert site.get("/api/v1/verifications/7K3M9XQ4T2VD8HNRS").status_code == 404
        assert time.perf_counter() - started < 10
    assert site.get("/healthz").status_code == 200


HOSTS = (
    {"Host": "evil.example"},
    {"X-Forwarded-Host": "evil.example"},
    {"Forwarded": 'for=1.2.3.4;host="evil.example";proto=http'},
    {"X-Original-URL": "/evil.example"},
    {"X-Forwarded-Prefix": "//evil.example"},
    {"X-Forwarded-Proto": "javascript", "X-Forwarded-Scheme": "evil.example"},
    {"Referer": "https://evil.example/"},
)


@pytest.mark.parametrize("headers", HOSTS, ids=lambda headers: next(iter(headers)))
def test_the_name_that_a_request_gives_to_us_reaches_no_answer(site: Site, headers: dict[str, str]) -> None:
    """Host injection and cache poisoning: links, redirects and descriptions name the configured address only."""
    paths = ("/", "/v?code=7K3M9XQ4T2VD8HNRS", "/v/7K3M9XQ4T2VD8HNRS", "/sign-in", "/account", "/docs")
    for path in (*paths, "/openapi.json", "/api/v1/verifications/7K3M9XQ4T2VD8HNRS", "/nowhere", "/static", "/log"):
        answer = site.get(path, headers=headers | {"Accept": "text/html"})
        said = answer.text + "".join(f"{name}: {value}" for name, value in answer.headers.items())
        assert "evil" not in said, path
        assert "javascript:" not in said
        location = answer.headers.get("location", "/")
        assert location.startswith("/"), (path, location)
        assert not location.startswith("//")


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/",
        "//evil.example/%2e%2e",
        "/%5cevil.example/",
        "/%5cevil.example/..",
        "/static//evil.example/..",
    ],
)
def test_no_address_sends_a_browser_elsewhere(site: Site, path: str) -> None:
    """Open redirect by the path itself; by `next` see test_signin::test_nobody_is_sent_elsewhere."""
    for tail in ("", "/", "/?next=//evil.example"):
        answer = wire(site.port, f"GET {path}{tail} HTTP/1.1\r\nConnection: close\r\n".encode() + _HOST + b"\r\n")
        assert statuses(answer)[0] >= 400, answer
        assert b"location:" not in answer.lower()


def test_a_slash_too_many_leads_nowhere(site: Site) -> None:
    """A redirect that only mends a slash would name the host that the request gave."""
    for path in ("/static", "/sign-in/", "/v/", "/docs/", "/api/v1/titles/", "/log/checkpoint/"):
        answer = wire(site.port, f"GET {path} HTTP/1.1\r\nConnection: close\r\nHost: evil.example\r\n\r\n".encode())
        assert statuses(answer)[0] not in range(300, 400), answer
        assert EVIL not in answer
