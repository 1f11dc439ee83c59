"""For auditors and for whoever keeps a proof: the transparency log (C2SP tlog-tiles, prefix /log), signed receipts.

Public; no sign-in. A leaf holds nothing personal: position, stream, name, time and the hash of the stored bytes. What
was published stays readable whatever happens to the log; what is answered anew needs a log that extends it.
"""

import base64
import gzip
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from functools import wraps

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from api.asking import moments
from api.employers import JsonAnswer, checked, noted, registry_of, respond
from api.errors import PRIVATE, BadRequest, Pointed, problem
from api.waiting import reach_asked
from registry.answers import Channel
from registry.audit.receipt import make_receipt
from registry.errors import LogFrozen, NotFound
from registry.proof.kept import size_of
from registry.proof.proofs import tree_root
from registry.proof.published import PublishedLog
from registry.proof.tiles import ENTRIES, WIDTH
from registry.proof.tlog_proof import TlogProof
from registry.service import Registry

_Handler = Callable[[Request], Awaitable[Response]]

_SECONDS = {**PRIVATE, "Cache-Control": "public, max-age=1"}
_MINUTES = {**PRIVATE, "Cache-Control": "public, max-age=300"}
_FOR_EVER = {**PRIVATE, "Cache-Control": "public, max-age=31536000, immutable"}
_COUNT = re.compile(r"0|[1-9][0-9]{0,17}")
_FROZEN = "登记数据没有延续最后签出的检查点，暂停一切答复。这不表示证书有问题"
_WHY = "title-registry log status 显示原因"


def frozen(error: LogFrozen) -> Response:
    """503 with what to do. The error's own words stay inside: they may name paths of this machine."""
    return problem(503, error.code, _FROZEN, fix=f"{error.fix}（{_WHY}）")


def _unfrozen(handler: _Handler) -> _Handler:
    """The handler, asked only while the log extends what was signed last."""

    @wraps(handler)
    async def guarded(request: Request) -> Response:
        try:
            registry_of(request).continuity.require()
            return await handler(request)
        except LogFrozen as error:
            return frozen(error)

    return guarded


def _log(request: Request) -> PublishedLog | None:
    """The log that the path names: /log the first, /log/2 the one that followed it (C2SP: the prefix is the origin)."""
    return registry_of(request).tlog.earlier(request.path_params.get("generation", 1))


def _proving(request: Request) -> PublishedLog:
    log = _log(request)
    if log is None:
        raise NotFound("没有这个日志", fix="核对地址中的编号")
    return log


# what was published


async def checkpoint(request: Request) -> Response:
    """GET /log/checkpoint: the newest signed note, also while the log is frozen."""
    log = _log(request)
    return _text(log.published() if log else None, _SECONDS)


async def tile(request: Request) -> Response:
    """GET /log/tile/{level}/{number}, of hashes: full ones, and partial ones of every size up to the checkpoint."""
    level, number = request.path_params["level"], request.path_params["number"]
    return _kept(request, _published(_log(request), level, number))


async def entries(request: Request) -> Response:
    """GET /log/tile/entries/{number}: leaf entries, each after its length; compressed for whoever takes gzip."""
    data = _published(_log(request), ENTRIES, request.path_params["number"])
    return _kept(request, data, compressed=_takes_gzip(request.headers.get("accept-encoding", "")))


def _published(tlog: PublishedLog | None, kind: str, number: str) -> bytes | None:
    """A tile or entry bundle; None for what reaches beyond the published tree, which may still become another."""
    if tlog is None:
        return None
    data, note = tlog.tiles.read(f"tile/{kind}/{number}"), tlog.published()
    if data is None or note is None:
        return None
    full, _, width = number.partition(".p/")
    last = int(full.replace("/", "").replace("x", "")) * WIDTH + int(width or WIDTH)
    return data if last << (0 if kind == ENTRIES else 8 * int(kind)) <= size_of(note) else None


def _kept(request: Request, data: bytes | None, *, compressed: bool = False) -> Response:
    """What never changes: it may be kept for ever, and asked about by its ETag (RFC 9110 section 8.8.3)."""
    if data is None:
        return _text(None, PRIVATE)
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}{"-gzip" if compressed else ""}"'
    headers = {**_FOR_EVER, "ETag": tag, "Vary": "Accept-Encoding"}
    known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    if known & {tag, "*"}:
        return Response(None, 304, headers)
    if compressed:
        data, headers["Content-Encoding"] = gzip.compress(data, mtime=0), "gzip"
    return Response(data, 200, headers, "application/octet-stream")


def _takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding names gzip, and not with a weight of zero (RFC 9110 section 12.5.3)."""
    coded = [one.replace(" ", "").lower().split(";") for one in accepted.split(",")]
    return any(name == "gzip" and not re.fullmatch(r"q=0(\.0*)?", "".join(weight)) for name, *weight in coded)


async def keys(request: Request) -> Response:
    """GET /log/key: a verifier key a line: Ed25519 of the log first, then its ML-DSA-44 cosigners; old ones too."""
    log = _log(request)
    lines = "".join(f"{one}\n" for one in (*log.keys(), *log.cosigner_keys())) if log else ""
    return _text(lines.encode() or None, _MINUTES)


async def policy(request: Request) -> Response:
    """GET /log/policy: which witnesses this log asks to cosign (C2SP tlog-policy)."""
    file = registry_of(request).folder.policy
    return _text(file.read_bytes() if file.is_file() else None, _MINUTES)


def _text(data: bytes | None, headers: dict[str, str]) -> Response:
    if data is None:
        return PlainTextResponse("not here\n", 404, PRIVATE)
    return PlainTextResponse(data, 200, headers)


# proofs


@_unfrozen
async def inclusion(request: Request) -> Response:
    """GET /log/proof/inclusion?index=&size=: that a leaf is in the tree of that size (RFC 6962 section 2.1.1)."""
    tlog = _proving(request)
    index, size = _counts(request, "index", "size")
    hashes = tlog.inclusion(index, size)
    return _json({"index": index, "size": size, "root": _root(tlog, size), "hashes": _texts(hashes)})


@_unfrozen
async def consistency(request: Request) -> Response:
    """GET /log/proof/consistency?old=&new=: that the larger tree extends the smaller (RFC 6962 section 2.1.2)."""
    tlog = _proving(request)
    old, new = _counts(request, "old", "new")
    hashes = _texts(tlog.consistency(old, new))
    return _json({"old": old, "new": new, "old_root": _root(tlog, old), "root": _root(tlog, new), "hashes": hashes})


@_unfrozen
async def event(request: Request) -> Response:
    """GET /log/proof/event/{position}: that an event is in the newest checkpoint, as a file (C2SP tlog-proof).

    Its extra data is the leaf entry, so that a reader can make the leaf hash again. An event's stored bytes are not
    given away here: only the holder and the bureau have them, and the entry holds their SHA-256, so whoever has them
    can show that they are the ones. The newest checkpoint and not the first: it has what witnesses cosigned.
    """
    tlog, position = _proving(request), _count("path/position", request.path_params["position"])
    index, note = tlog.index_of(position), tlog.published()
    if note is None:
        raise NotFound("还没有已发布的检查点", fix="稍后再试")
    proof = TlogProof(index, tlog.inclusion(index, size_of(note)), note, tlog.entry(index))
    return PlainTextResponse(proof.encode(), 200, PRIVATE)


def _counts(request: Request, *names: str) -> list[int]:
    """Exactly these parameters, each once, in decimal without sign or leading zero. Raise BadRequest naming each."""
    given, errors = request.query_params.multi_items(), list[Pointed]()
    for name in sorted({name for name, _ in given}.union(names)):
        values = [value for each, value in given if each == name]
        if name not in names:
            errors.append(Pointed(f"query/{name}", f"没有参数 {name}"))
        elif len(values) != 1 or not _COUNT.fullmatch(values[0]):
            errors.append(Pointed(f"query/{name}", f"{name} 应给出一次，为没有正负号和前导零的十进制数"))
    if errors:
        raise BadRequest(errors)
    return [_count(f"query/{name}", request.query_params[name]) for name in names]


def _count(pointer: str, text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise BadRequest([Pointed(pointer, "应为没有正负号和前导零的十进制数")])
    return int(text)


def _root(tlog: PublishedLog, size: int) -> str:
    return base64.b64encode(tree_root(size, tlog.tiles.reader(size))).decode()


def _texts(hashes: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(one).decode() for one in hashes]


def _json(value: object) -> Response:
    return JsonAnswer(msgspec.json.encode(value))


# receipts


@_unfrozen
async def receipt(request: Request) -> Response:
    """GET /api/v1/verifications/{code}/receipt: the answer under a signature, with the proof of what it rests on.

    For a code that is about no certificate the answer is that of the verification itself. In a thread: it may wait
    until new events are in a checkpoint.
    """
    as_of, known_at = moments(request)
    await reach_asked(request)
    return await run_in_threadpool(_receipt, registry_of(request), request.path_params["code"], as_of, known_at)


def _receipt(registry: Registry, code: str, as_of: date | None, known_at: datetime | None) -> Response:
    answer, _ = checked(registry, code, as_of, known_at)
    noted(registry, answer, Channel.CODE_JSON)
    if answer.certificate is None:
        return respond(answer)
    return JsonAnswer(make_receipt(registry, answer, code))


# Stands before the route of a bare code, for there everything behind the prefix is a code.
RECEIPT_ENDING = "/receipt"
RECEIPT = Route("/api/v1/verifications/{code:path}" + RECEIPT_ENDING, receipt, methods=["GET"])
_FOLLOWING = "/log/{generation:int}"
ROUTES = [
    Route(f"{prefix}{path}", handler, methods=["GET"])
    for prefix in ("/log", _FOLLOWING)
    for path, handler in (
        ("/checkpoint", checkpoint),
        ("/key", keys),
        ("/policy", policy),
        ("/tile/entries/{number:path}", entries),
        ("/tile/{level}/{number:path}", tile),
        ("/proof/inclusion", inclusion),
        ("/proof/consistency", consistency),
        ("/proof/event/{position}", event),
    )
]
