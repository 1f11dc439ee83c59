"""The judged rows of a list in batches: read here, or, for a large file, by a process of its own.

Reading and judging takes as long as deciding and sealing, so that two processes take half the time. The other process
gets no key, no store and no setting of ours, only the file's name; it is started anew (never forked: a fork of a
server would take its threads' locks, its connections and its keys along). So it also serves where the keys are in a
token. What it sends are the rows in order; what it finds wrong with the file as a whole it sends as that.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias, cast

import msgspec

from registry.catalogue.catalogue import Catalogue, load_catalogue
from registry.errors import BadInput, Unavailable
from registry.intake.rows import read_list
from registry.intake.table import Row, RowError
from registry.processes import started
from registry.titles.award import AwardTitle

LARGE = 1 << 20  # bytes; about 5,000 rows of CSV
BATCH = 500  # rows
PIPE = 1 << 20  # bytes on their way: some batches, so that neither process waits for the other
_SECRET = ("TITLE_REGISTRY_", "PG")


class Reading(NamedTuple):
    """An opened list: its sheet, the letters and headings of its columns in the order of the form, its rows."""

    sheet: str | None
    letters: tuple[str, ...]
    headings: tuple[str, ...]
    batches: Iterator[Sequence[Row]]


class Asked(msgspec.Struct, frozen=True):
    """What the other process is told."""

    path: str
    authority: str
    document: str
    today: date


class Head(msgspec.Struct, frozen=True, tag=True):
    """What it says first: the list as opened."""

    sheet: str | None
    letters: tuple[str, ...]
    headings: tuple[str, ...]


class Rows(msgspec.Struct, frozen=True, tag=True):
    """Rows in order: each an award, or its errors as JSON (broken bytes of a file are no text for msgpack)."""

    rows: list[tuple[int, AwardTitle | str]]


class End(msgspec.Struct, frozen=True, tag=True):
    """All rows were sent, or why no more come: `code` is that of BadInput; "" is the end of the list."""

    code: str = ""
    message: str = ""
    fix: str = ""
    about: dict[str, Any] = {}


Said: TypeAlias = Head | Rows | End
_decode: Callable[[bytes], Said] = msgspec.msgpack.Decoder(Said).decode


@contextmanager
def reading(path: Path, *, authority: str, document: str, catalogue: Catalogue, today: date) -> Iterator[Reading]:
    """Open a list as `rows.read_list` does, with what it refuses; the other process ends with the block.

    Raise Unavailable if it dies; then what was read so far must not count.
    """
    if path.is_file() and path.stat().st_size >= LARGE and catalogue is load_catalogue():
        asked = Asked(str(path.absolute()), authority, document, today)
        with _apart(asked) as said:
            yield _as_said(said)
        return
    rows = read_list(path, authority=authority, document=document, catalogue=catalogue, today=today)
    yield Reading(rows.sheet, rows.columns.letters, rows.columns.headings, iter(lambda: list(islice(rows, BATCH)), []))


@contextmanager
def _apart(asked: Asked) -> Iterator[Iterator[Said]]:
    """Start the other process and return what it says."""
    with started("registry.intake.apart", without=_SECRET, stdout=subprocess.PIPE, pipesize=PIPE) as process:
        try:
            yield _messages(process, msgspec.msgpack.encode(asked))
        finally:
            process.kill()


def _messages(process: "subprocess.Popen[bytes]", asked: bytes) -> Iterator[Said]:
    asking, telling = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    with suppress(BrokenPipeError):  # it died at once; then it tells nothing
        asking.write(asked)
        asking.close()
    while len(size := telling.read(4)) == 4 and len(data := telling.read(int.from_bytes(size))) == int.from_bytes(size):
        said = _decode(data)
        if not isinstance(said, End):
            yield said
        elif said.code:
            raise BadInput(said.message, fix=said.fix, **said.about)
        else:
            return
    raise Unavailable("读取名单的进程中断，没有登记任何一行", fix="重新导入；仍然如此的，检查内存和磁盘")


def _as_said(said: Iterator[Said]) -> Reading:
    head = cast("Head", next(said))
    return Reading(head.sheet, head.letters, head.headings, (_rows(one) for one in said if isinstance(one, Rows)))


def _rows(said: Rows) -> Sequence[Row]:
    return [Row(number, _errors(what) if isinstance(what, str) else what) for number, what in said.rows]


def _errors(text: str) -> tuple[RowError, ...]:
    return tuple(RowError(**one) for one in json.loads(text))
