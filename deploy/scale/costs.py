"""What was measured, with the command that measured it, and what is merely assumed. The model adds nothing to these."""

from typing import NamedTuple


class Cost(NamedTuple):
    """One figure, and where it is from."""

    name: str
    value: float
    unit: str
    source: str


_BENCH = "`title-registry bench {}`"
_SIZES = "`python -m deploy.scale.sizes 20000 300`"


def _bench(name: str, value: float, unit: str, measurement: str) -> Cost:
    return Cost(name, value, unit, _BENCH.format(measurement))


def _size(name: str, value: float) -> Cost:
    return Cost(name, value, "bytes", _SIZES)


def _server(name: str, value: float) -> Cost:
    return Cost(name, value, "bytes", "the same with the address of an empty schema")


MEASURED: tuple[Cost, ...] = (
    _bench("one award, SQLite", 1_601, "awards/s", "award"),
    _bench("import of a list", 8_289, "rows/s", "import --size 1000000"),
    _bench("replay of leaves and folds, two processes", 174_129, "events/s", "replay --size 1000000"),
    _bench("every check, two processes", 35_068, "events/s", "replay --size 1000000"),
    _bench("rebuilding the register, two processes", 116_804, "events/s", "register_rebuild --size 1000000"),
    _bench("sequencing", 139_758, "leaves/s", "sequence"),
    _bench("the auditor's kit, two processes", 51_518, "events/s", "kit --size 1000000"),
    _bench("verification, one worker", 5_878, "requests/s", "verify --size 1000000"),
    _bench("an empty route of the same server", 8_662, "requests/s", "verify --size 1000000"),
    _bench("verification in PostgreSQL, of an empty route", 0.52, "ratio", "verify --engine postgresql"),
    _bench("verification, p50 at 16 callers", 2.4, "ms", "verify --size 1000000"),
    _bench("verification, p99 at 16 callers", 5.55, "ms", "verify --size 1000000"),
    _bench("a signed PDF", 9.8, "ms", "pdf"),
    _bench("from append to checkpoint, p99", 518, "ms", "merge_delay"),
    _size("event holder-registered/1", 457),
    _size("event title-awarded/1", 684),
    _size("event certificate-prepared/1", 1_106),
    _size("event certificate-signed/2", 321),
    _size("row of an event beside what is stored in it", 116.8),
    _size("index entry of an event", 47.1),
    _size("claim", 112.3),
    _size("data key", 114.1),
    _size("title in the register, with names and indexes", 695.9),
    _size("leaf entry", 127.5),
    _size("checkpoint, kept", 3_456),
    _size("recorded answer of a verification", 55.7),
    _size("answer of a verification, JSON", 1_305),
    _server("row of an event beside what is stored in it, PostgreSQL", 113.9),
    _server("index entries of an event, PostgreSQL", 115.2),
    _server("claim, PostgreSQL", 128.1),
    _server("index entry of a claim, PostgreSQL", 90.3),
    _server("data key, PostgreSQL", 127.8),
    _server("index entry of a data key, PostgreSQL", 59.4),
)

ASSUMED: tuple[Cost, ...] = (
    Cost("holders", 80e6, "people", "professionals with a title in the whole country"),
    Cost("titles", 84e6, "titles", "few people hold two"),
    Cost("certificates", 66e6, "certificates", "two events each: prepared, signed"),
    Cost("decisions", 4e6, "events", "corrections, revocations, erasures; as large as an award"),
    Cost("new titles a year", 4e6, "titles", "each with a certificate, in 60 working days of 8 hours"),
    Cost("peak of verifications", 10_000, "requests/s", "given"),
    Cost("mean of verifications", 500, "requests/s", "a twentieth of the peak over the year"),
    Cost(
        "fill of a page after random inserts", 0.69, "", "B-tree theory (ln 2); the measured pages were filled sorted"
    ),
    Cost("random read of an SSD", 0.1, "ms", "NVMe data sheets"),
    Cost("cold reads a verification", 5, "pages", "claim, index, two of events, data key; none of them in memory"),
    Cost("titles of a province", 5e6, "titles", "a populous one"),
    Cost("bureaus", 333, "registries", "one a prefecture; counties use the city's"),
    Cost("fast disk", 1.0, "CNY/GB/month", "list price of a cloud's SSD, rounded"),
    Cost("object store", 0.12, "CNY/GB/month", "list price, rounded"),
)

_VALUES = {one.name: one.value for one in (*MEASURED, *ASSUMED)}


def cost(name: str) -> float:
    """The figure of that name. Raise KeyError for one that nobody measured or assumed."""
    return _VALUES[name]
