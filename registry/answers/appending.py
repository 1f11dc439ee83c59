"""Append to the month files: a batch is one transaction and, whatever its length, one statement."""

from collections import Counter
from typing import Any

import msgspec

from registry.answers.given import COLUMNS, Gap, Waiting
from registry.months import Months, Pen, to_ms

# A statement for each row would take the interpreter away from those who answer, once for each row.
_INSERT = "INSERT INTO answers ({}) SELECT {} FROM json_each(?)".format(
    ", ".join(COLUMNS), ", ".join(f"json_extract(value, '$[{n}]')" for n in range(len(COLUMNS)))
)


class Appender:
    """Writes by one open connection. For one thread at a time."""

    def __init__(self, months: Months) -> None:
        self.months, self._pen = months, Pen(months)

    def append(self, month: str, found: list[Waiting], gap: Gap | None) -> None:
        """Append answers about certificates, the count of all others, and a gap. Raise Unavailable; nothing is kept."""
        rows = [_row(one) for one in found if one.code is not None]
        others = Counter((one.status, one.channel) for one in found if one.code is None)
        with self.months.errors(month):
            c = self._pen.at(month)
            try:
                c.execute("BEGIN IMMEDIATE")
                c.execute(_INSERT, (msgspec.json.encode(rows).decode(),))
                for (status, channel), count in others.items():
                    row = (to_ms(found[0].at), status, channel, count)
                    c.execute("INSERT INTO tallies (at, status, channel, count) VALUES (?,?,?,?)", row)
                if gap:
                    lost = (to_ms(gap.began), to_ms(gap.ended), gap.lost)
                    c.execute("INSERT INTO gaps (began, ended, lost) VALUES (?,?,?)", lost)
                c.execute("COMMIT")
            except BaseException:
                self.close()  # which rolls back; and the file is looked at anew
                raise

    def close(self) -> None:
        """Close the file."""
        self._pen.close()


def _row(one: Waiting) -> tuple[Any, ...]:
    moments = one.as_of, one.known_at
    return to_ms(one.at), one.code, one.version, one.status, *moments, one.log_position, one.channel
