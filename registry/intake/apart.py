"""The other process of a large import: it reads and judges a list and sends the rows. See `reading`."""

import json
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import msgspec

from registry.catalogue.catalogue import load_catalogue
from registry.errors import BadInput
from registry.intake.reading import BATCH, Asked, End, Head, Rows, Said
from registry.intake.rows import read_list
from registry.intake.table import Row
from registry.titles.award import AwardTitle


def main() -> None:
    """Read the list that standard input names, and send what it says to standard output."""
    asked = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Asked)
    try:
        _read(asked)
    except BadInput as error:
        _say(End(error.code, error.message, error.fix, error.about))


def _read(asked: Asked) -> None:
    rows = read_list(
        Path(asked.path),
        authority=asked.authority,
        document=asked.document,
        catalogue=load_catalogue(),
        today=asked.today,
    )
    _say(Head(rows.sheet, rows.columns.letters, rows.columns.headings))
    while batch := [(row.number, _what(row)) for row in islice(rows, BATCH)]:
        _say(Rows(batch))
    _say(End())


def _what(row: Row) -> AwardTitle | str:
    if isinstance(row.result, AwardTitle):
        return row.result
    return json.dumps([msgspec.structs.asdict(error) for error in row.result])


_encode: Callable[[Said], bytes] = msgspec.msgpack.Encoder().encode


def _say(said: Said) -> None:
    data = _encode(said)
    sys.stdout.buffer.write(len(data).to_bytes(4) + data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
