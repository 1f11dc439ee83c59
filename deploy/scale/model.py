"""The registry of a whole country on paper: tables that follow from the unit costs in `costs`.

python -m deploy.scale.model              prints the tables
python -m deploy.scale.model FILE.md      puts each between its marks in the document
"""

import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.scale.costs import ASSUMED, MEASURED, Cost, cost
from deploy.scale.queueing import Service, calibrated, simulated

WIDTH = 256
HASH = 32
YEAR_SECONDS = 365 * 86_400
WORKING_SECONDS = 250 * 8 * 3_600
MONTHS_OF_ANSWERS = 36

Table = tuple[Sequence[str], Sequence[Sequence[str]]]


class Store(NamedTuple):
    """Something that is kept: how many there are, the room that one takes in SQLite and in PostgreSQL, and where."""

    name: str
    items: float
    sqlite: float
    server: float
    disk: str

    @property
    def gigabytes(self) -> float:
        """All of them, the log being in PostgreSQL."""
        return self.items * self.server / 1e9


def events() -> float:
    """How many events the country has."""
    return cost("holders") + cost("titles") + 2 * cost("certificates") + cost("decisions")


def stores() -> list[Store]:
    """Everything that grows with the register, and where it lies."""
    holders, titles, certificates = cost("holders"), cost("titles"), cost("certificates")
    answers = cost("mean of verifications") * YEAR_SECONDS * MONTHS_OF_ANSWERS / 12
    beside = "row of an event beside what is stored in it"
    indexes = cost("index entry of an event"), cost("index entries of an event, PostgreSQL")
    return [
        Store("events", events(), _stored() + cost(beside), _stored() + cost(f"{beside}, PostgreSQL"), "fast"),
        Store("indexes of the events", events(), *indexes, "fast"),
        _scattered("claims: identity; number and slot; code", holders + 2 * titles + certificates, "claim"),
        _scattered("data keys", holders, "data key"),
        _beside("register, rebuilt from the log", titles, "title in the register, with names and indexes", "fast"),
        _beside("tree: entry bundles", events(), "leaf entry", "object", more=2),
        Store("tree: hash tiles", events() * WIDTH / (WIDTH - 1), HASH, HASH, "object"),
        _beside(
            "checkpoints of a year, two a second in office hours", 2 * WORKING_SECONDS, "checkpoint, kept", "object"
        ),
        _beside(f"answers given, {MONTHS_OF_ANSWERS} months", answers, "recorded answer of a verification", "object"),
    ]


def _scattered(name: str, items: float, cell: str) -> Store:
    """Rows whose keys are random: in SQLite the table itself is the index, in PostgreSQL only the index fills badly."""
    fill = cost("fill of a page after random inserts")
    there = cost(f"{cell}, PostgreSQL") + cost(f"index entry of a {cell}, PostgreSQL") / fill
    return Store(name, items, cost(cell) / fill, there, "fast")


def _beside(name: str, items: float, cell: str, disk: str, *, more: float = 0) -> Store:
    each = cost(cell) + more
    return Store(name, items, each, each, disk)


def _stored() -> float:
    """The mean of what is stored of an event; a decision is taken to be as large as an award."""
    certificate = cost("event certificate-prepared/1") + cost("event certificate-signed/2")
    awards = cost("titles") + cost("decisions")
    whole = cost("holders") * cost("event holder-registered/1") + awards * cost("event title-awarded/1")
    return (whole + cost("certificates") * certificate) / events()


class Tiles(NamedTuple):
    """The files of one kind ("entries", "0", "1", ...) that a log of some size has."""

    kind: str
    full: int
    partial: int  # how wide the one that is not full is; 0 when there is none
    bytes: float


def tiles(size: int, entry: float) -> list[Tiles]:
    """The files of a tree of that many leaves (C2SP tlog-tiles), an entry taking so many bytes and its length two."""
    found, count, level = [Tiles("entries", size // WIDTH, size % WIDTH, size * (entry + 2))], size, 0
    while count:
        found.append(Tiles(str(level), count // WIDTH, count % WIDTH, count * HASH))
        count, level = count // WIDTH, level + 1
    return found


def service() -> Service:
    """The service time of a verification that explains what the bench saw."""
    p50, p99 = (cost(f"verification, {part} at 16 callers") for part in ("p50", "p99"))
    return calibrated(cost("verification, one worker"), p50, p99)


def service_by_server() -> Service:
    """The same with the log in PostgreSQL: as much slower as the bench saw it, and as uneven."""
    rate = cost("an empty route of the same server") * cost("verification in PostgreSQL, of an empty route")
    return Service(1000 / rate, service().sigma)


# tables


def inputs(costs: Sequence[Cost]) -> Table:
    """What went in, with where it is from."""
    return ("what", "value", "unit", "from"), [(c.name, _number(c.value), c.unit, c.source) for c in costs]


def sizes() -> Table:
    """What is kept, and what one copy of it costs a year."""
    prices = {"fast": cost("fast disk"), "object": cost("object store")}
    rows, found = [], stores()
    for one in found:
        each = f"{one.sqlite:.0f}", f"{one.server:.0f}"
        yearly = one.gigabytes * prices[one.disk] * 12
        rows.append((one.name, _count(one.items), *each, _gb(one.gigabytes), one.disk, f"{yearly:,.0f}"))
    for disk, price in prices.items():
        size = sum(one.gigabytes for one in found if one.disk == disk)
        rows.append((f"all of it, {disk}", "", "", "", _gb(size), disk, f"{size * price * 12:,.0f}"))
    return ("what", "items", "bytes, SQLite", "bytes, PostgreSQL", "size", "disk", "CNY a year"), rows


def tree() -> Table:
    """The files of the tree."""
    rows = [
        (one.kind, f"{one.full:,}", str(one.partial or "none"), _gb(one.bytes / 1e9))
        for one in tiles(int(events()), cost("leaf entry"))
    ]
    return ("level", "full files, kept for ever", "partial one, wide", "size"), rows


def verification() -> Table:
    """Verifications at the peak by the number of processes, the log in a file beside them."""
    return _at_peak(service(), (2, 3, 4, 6, 8, 12))


def verification_by_server() -> Table:
    """The same, the log in PostgreSQL."""
    return _at_peak(service_by_server(), (4, 5, 6, 8, 12, 16))


def _at_peak(ours: Service, processes: Sequence[int]) -> Table:
    rate, rows = cost("peak of verifications"), []
    cold = ours.slower(cost("random read of an SSD") * cost("cold reads a verification"))
    for workers in processes:
        calm = simulated(rate, workers, ours)
        part = _slow(rate, workers, ours), _slow(rate, workers, ours, 2), _slow(rate, workers - workers // 2, ours)
        rows.append((str(workers), f"{calm.utilisation:.0%}", f"{calm.p50:.2f} ms", *part, _slow(rate, workers, cold)))
    head = (
        "processes",
        "busy",
        "p50",
        "p99",
        "p99, every tenth second doubled",
        "p99, half of them lost",
        "p99, all cold",
    )
    return head, rows


def _slow(rate: float, workers: int, ours: Service, burst: float = 1.0) -> str:
    """The p99 in words; a queue that grows without end has none."""
    if rate * ours.mean / 1000 / workers >= 1:
        return "queue grows"
    return f"{simulated(rate, workers, ours, burst=burst).p99:.1f} ms"


def shares() -> Table:
    """Processes by the share of checks that are made from a token and a status list, without asking."""
    rate, ours, rows = cost("peak of verifications"), service_by_server(), []
    for share in (0.0, 0.5, 0.9, 0.99):
        asked = rate * (1 - share)
        workers = max(2, math.ceil(2 * asked * ours.mean / 1000))
        traffic = asked * cost("answer of a verification, JSON") * 8 / 1e6
        rows.append((f"{share:.0%}", f"{asked:,.0f}", str(workers), f"{traffic:.1f} Mbit/s"))
    return ("checked off line", "requests/s that ask", "processes, at most half busy", "answers"), rows


def status_list() -> Table:
    """What a list of one bit a certificate would take, compressed as well as can be (its entropy)."""
    rows = []
    for share in (0.001, 0.01, 0.05):
        bits = -(share * math.log2(share) + (1 - share) * math.log2(1 - share))
        whole = cost("certificates") / 8
        rows.append((f"{share:.1%}", _mb(whole), _mb(whole * bits), _mb(whole * bits / cost("bureaus"))))
    return ("not valid", "one bit each", "compressed, country", "compressed, one bureau"), rows


def times() -> Table:
    """How long the long work takes, for the country, a province and a bureau."""
    parts = (events(), cost("titles of a province") * events() / cost("titles"), events() / cost("bureaus"))
    works = (
        ("import of its titles as lists", "import of a list", cost("titles") / events()),
        ("sequencing it anew", "sequencing", 1.0),
        ("replay of leaves and folds", "replay of leaves and folds, two processes", 1.0),
        ("every check", "every check, two processes", 1.0),
        ("rebuilding the register", "rebuilding the register, two processes", 1.0),
        ("the auditor's kit, two processes", "the auditor's kit, two processes", 1.0),
    )
    rows = [(name, *(_hours(part * share / cost(unit)) for part in parts)) for name, unit, share in works]
    pages = cost("certificates") / events() * cost("a signed PDF") / 1000
    rows.append(("setting and signing every PDF, one core", *(_hours(part * pages) for part in parts)))
    return ("work", "country", "province", "bureau"), rows


def writes() -> Table:
    """What one writer is asked for, and what it can."""
    busy = cost("new titles a year") / (60 * 8 * 3_600)
    rows = [
        ("country, all in one log", f"{busy:.1f}", f"{3 * busy:.1f}"),
        ("one bureau of many", f"{busy / cost('bureaus'):.3f}", f"{3 * busy / cost('bureaus'):.3f}"),
        ("ten times the country", f"{10 * busy:.0f}", f"{30 * busy:.0f}"),
    ]
    return ("in the season's office hours", "new titles/s", "writes/s (award, two for the certificate)"), rows


TABLES: dict[str, Callable[[], Table]] = {
    "measured": lambda: inputs(MEASURED),
    "assumed": lambda: inputs(ASSUMED),
    "sizes": sizes,
    "tree": tree,
    "verification": verification,
    "verification by server": verification_by_server,
    "shares": shares,
    "status list": status_list,
    "times": times,
    "writes": writes,
}


def markdown(table: Table) -> str:
    """A table as it stands in a document."""
    head, rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def put_in(text: str) -> str:
    """The document with every table made anew between its marks. Raise ValueError for a mark that names none."""

    def made(match: re.Match[str]) -> str:
        if match[2] not in TABLES:
            raise ValueError(f"there is no table {match[2]}")
        return f"{match[1]}\n{markdown(TABLES[match[2]]())}<!-- end -->"

    return re.sub(r"(<!-- table: ([a-z ]+) -->)\n.*?<!-- end -->", made, text, flags=re.DOTALL)


def printed() -> Iterator[str]:
    """Every table with its name."""
    for name, table in TABLES.items():
        yield f"{name}\n\n{markdown(table())}"


def _number(value: float) -> str:
    if value and (abs(value) < 10 or value != int(value)) and abs(value) < 1_000:
        return f"{value:g}"
    return f"{value:,.0f}"


def _count(value: float) -> str:
    return f"{value / 1e6:,.0f} M"


def _gb(value: float) -> str:
    return f"{value:,.0f} GB" if value >= 1 else f"{value * 1000:,.1f} MB" if value > 1e-3 else f"{value * 1e6:,.1f} kB"


def _mb(value: float) -> str:
    return f"{value / 1e6:.2f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB"


def _hours(seconds: float) -> str:
    return (
        f"{seconds / 3600:.1f} h"
        if seconds >= 3600
        else f"{seconds / 60:.1f} min"
        if seconds >= 60
        else f"{seconds:.0f} s"
    )


def main() -> None:
    """Print the tables, or put them into the named document."""
    if len(sys.argv) == 1:
        print("\n".join(printed()))
        return
    document = Path(sys.argv[1])
    document.write_text(put_in(document.read_text()))


if __name__ == "__main__":
    main()
