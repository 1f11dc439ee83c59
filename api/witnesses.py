"""The HTTP door of a witness (C2SP tlog-witness), and how a log reaches the doors of witnesses.

`POST /add-checkpoint` takes a request, `GET /` shows in plain text who this is and what it has cosigned; nothing else.
"""

import asyncio
import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from threading import Event, Timer
from urllib.parse import urlsplit

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from api.errors import PRIVATE, report
from keys.errors import KeysError
from registry.errors import RegistryError, Unavailable
from registry.proof.witness import MAX_BODY, Witness, WitnessFolder
from registry.proof.witnessing import ADD_CHECKPOINT

BODY_SECONDS = 10  # a request that takes longer to arrive is given up
ASK_SECONDS = 10  # a witness that takes longer to answer is given up
_MAX_REPLY = 128 * 1024  # bytes
_CONNECTIONS = 64
_log = structlog.get_logger("witness")


def app_of(witness: Witness) -> Starlette:
    """The application of one witness."""
    routes = [
        Route("/", partial(_front, witness.folder), methods=["GET"]),
        Route(ADD_CHECKPOINT, partial(_add_checkpoint, witness), methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={RegistryError: _unavailable, KeysError: _unavailable})


def front_page(folder: WitnessFolder) -> str:
    """Who this witness is and what it has cosigned, in plain text."""
    lines = [f"见证人 Witness  {folder.key.name}", f"公钥 Key  {folder.key}", ""]
    for log in folder.logs():
        lines += [f"日志 Log  {log.origin}", f"  规模 Size  {log.size}", f"  根 Root  {log.root.hex()}"]
        lines += [f"  联署 Cosigned  {log.cosigned or '-'}", *(f"  日志公钥 Log key  {vkey}" for vkey in log.vkeys), ""]
    return "\n".join(lines) + "\n"


async def _front(folder: WitnessFolder, _: Request) -> Response:
    return PlainTextResponse(await run_in_threadpool(front_page, folder), headers=PRIVATE)


async def _add_checkpoint(witness: Witness, request: Request) -> Response:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _body(request)
    except TimeoutError:
        raise HTTPException(408) from None
    reply = await run_in_threadpool(witness.add_checkpoint, body)
    if reply.alarm:
        _log.error("evidence", about=reply.alarm)
    return Response(reply.body, reply.status, {**PRIVATE, "Content-Type": reply.content_type})  # the type to the letter


async def _body(request: Request) -> bytes:
    """The body, read no further than one byte too many."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413)
    return body


async def _unavailable(_: Request, error: Exception) -> Response:
    return PlainTextResponse(f"暂时不能联署，错误编号 {report(error)}\n", 503, PRIVATE)


def serve(witness: Witness, *, host: str, port: int) -> None:
    """Serve a witness until SIGTERM or SIGINT. Raise Unavailable for an address that cannot be listened on."""
    config = uvicorn.Config(
        app_of(witness),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=5,
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        fix = "换一个端口（--port），或停掉占用它的程序"
        raise Unavailable(f"{host}:{port} 不能监听：{error.strerror}", fix=fix) from error
    with listening:
        # Inherited by what it accepts: asyncio would do so only for a socket that names its protocol. 40 ms a request.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        uvicorn.Server(config).run(sockets=[listening])


# the log's side


def post(address: str, body: bytes, seconds: float = ASK_SECONDS) -> tuple[int, bytes]:
    """Send a request to a witness and return status and body. Redirects are not followed, proxies not used.

    The certificate of an https address is checked. Raise Unavailable unless a whole answer of at most 128 KiB came
    within that time.
    """
    try:
        connection = _connection(address, seconds)
        connection.connect()
        with closing(connection), _cut_after(seconds, connection.sock):
            return _exchange(connection, urlsplit(address).path, body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(f"见证人 {address} 没有答复：{error}", fix="稍后会再试；检查策略文件中的地址") from error


def _connection(address: str, seconds: float) -> http.client.HTTPConnection:
    where = urlsplit(address)
    if where.scheme == "https" and where.hostname:
        trusting = ssl.create_default_context()
        return http.client.HTTPSConnection(where.hostname, where.port, timeout=seconds, context=trusting)
    if where.scheme == "http" and where.hostname:
        return http.client.HTTPConnection(where.hostname, where.port, timeout=seconds)
    raise ValueError("地址须以 https:// 或 http:// 开头")


def _exchange(connection: http.client.HTTPConnection, path: str, body: bytes) -> tuple[int, bytes]:
    connection.request("POST", path, body, {"Content-Type": "text/plain; charset=utf-8", "Connection": "close"})
    response = connection.getresponse()
    reply = response.read(_MAX_REPLY + 1)
    if response.length or len(reply) > _MAX_REPLY:
        raise ValueError("答复不完整，或太大")
    return response.status, reply


@contextmanager
def _cut_after(seconds: float, connected: socket.socket) -> Iterator[None]:
    """Cut the connection after that time: its own timeout is for each read, and a trickle would never end.

    Raise TimeoutError if it was cut: what was read until then may look like an answer.
    """
    late = Event()

    def cut() -> None:
        late.set()
        with suppress(OSError):
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = Timer(seconds, cut)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeoutError(f"{seconds} s")
