"""What is measured, against which floor, and the goal of each figure: one table for each engine.

A ratio is always value / floor. Where less is better (milliseconds, megabytes) the goal names the most.
"""

from typing import NamedTuple

from api.bench.figures import Figure, Measured


class Work(NamedTuple):
    """A figure in words: what is done, what the floor does in the same run, and the unit of both."""

    what: str
    floor: str
    unit: str


class Goal(NamedTuple):
    """What is to be reached. All that are given must hold."""

    least_ratio: float | None = None
    most_ratio: float | None = None
    least: float | None = None
    most: float | None = None

    @property
    def words(self) -> str:
        """The goal for people."""
        bounds = (
            (">= {:g} x the floor", self.least_ratio),
            ("<= {:g} x the floor", self.most_ratio),
            (">= {:,.0f}", self.least),
            ("<= {:,.0f}", self.most),
        )
        return " and ".join(text.format(bound) for text, bound in bounds if bound is not None)

    def reached(self, value: float, ratio: float) -> float:
        """How far it is reached, by the bound that is furthest away: 1 is just met, 2 is twice as good."""
        parts = (
            (ratio, self.least_ratio),
            (self.most_ratio, ratio),
            (value, self.least),
            (self.most, value),
        )
        return min(have / max(want, 1e-9) for have, want in parts if have is not None and want is not None)


WORKS = {
    "import": Work(
        "a CSV list end to end: parse, check, seal, claim, append, tree, register; all or nothing",
        "raw insert of the same rows into the same tables with the same keys, one transaction",
        "rows/s",
    ),
    "import_memory": Work("peak memory of the import, its processes together", "the process before", "MB"),
    "award": Work("one durable award after another (2 events, 4 claims)", "one durable one-row insert", "awards/s"),
    "award_group": Work("awards from 32 concurrent callers", "the same by one caller alone", "awards/s"),
    "replay": Work(
        "every leaf made anew in log order against all published tiles and checkpoints; then every stream of every kind"
        " folded in order: versions, what may follow what, two officers, roles (no key, nothing opened)",
        "select + typed decode of the same events",
        "events/s",
    ),
    "every_check": Work(
        "all of that with every seal opened, and certificates' signatures, claims with their blind indexes, links, data"
        " keys and the rows of the register",
        "select + typed decode of the same events",
        "events/s",
    ),
    "register_rebuild": Work(
        "the register built anew beside the live one, and switched",
        "select + typed decode + insert of its rows with its indexes",
        "events/s",
    ),
    "register_rebuild_busy": Work(
        "the same while another process awards 50 titles a second", "the floor above", "events/s"
    ),
    "verify": Work(
        "GET /api/v1/verifications/{code} over HTTP, random codes, 16 callers, one worker",
        "an empty FastAPI async route of the same server",
        "requests/s",
    ),
    "verify_p99": Work("its slowest hundredth", "that of the empty route", "ms"),
    "sign_token": Work("token: claims, COSE_Sign1, verified after signing", "a bare ES256 signature", "tokens/s"),
    "pdf": Work(
        "a certificate checked, set as PDF/A-3a and signed, one core",
        "the same page through bare typst + a bare pyHanko signature",
        "pages/s",
    ),
    "pdf_cores": Work("the same by two processes", "by one", "pages/s"),
    "sequence": Work(
        "all events into leaves, tiles on the disk and a signed tree", "the same entries hashed and written", "leaves/s"
    ),
    "prove": Work("an inclusion proof among 10^6 leaves, from cold tiles", "reading the one tile of the leaf", "ms"),
    "award_sequenced": Work("one award while the log is sequenced beside it", "the same without", "ms"),
    "merge_delay": Work("from an append to the published checkpoint that has it, p99", "the same, p50", "ms"),
    "kit": Work("the auditor's kit over an export, in its own process", "reading and hashing its files", "events/s"),
    "start_up": Work(
        "a new process opens the registry and answers a verification", "the same with an empty registry", "ms"
    ),
    "growth_verify": Work("one verification in the process, p50", "with a tenth of the titles", "ms"),
    "growth_award": Work("one award, p50", "with a tenth of the titles", "ms"),
    "growth_import": Work("one row of an import", "of a list with a tenth of the rows", "us"),
    "growth_replay": Work("one event of the replay", "with a tenth of the events", "us"),
}

SQLITE = {
    "import": Goal(least_ratio=0.55, least=12_500),  # a million rows within 80 s
    "import_memory": Goal(most=300),
    "award": Goal(least_ratio=0.7),
    "award_group": Goal(least_ratio=3),
    "replay": Goal(least_ratio=0.5, least=150_000),
    "every_check": Goal(least_ratio=0.5, least=150_000),
    "register_rebuild": Goal(least_ratio=0.6, least=150_000),
    "register_rebuild_busy": Goal(least_ratio=0.6, least=150_000),
    "verify": Goal(least_ratio=0.75),
    "verify_p99": Goal(most=10),
    "sign_token": Goal(least_ratio=0.7),
    "pdf": Goal(least_ratio=2),
    "pdf_cores": Goal(least_ratio=1.8),
    "sequence": Goal(least=50_000),
    "prove": Goal(most=2),
    "award_sequenced": Goal(most_ratio=1.1),  # "no measurable cost": that is what one run can tell apart
    "merge_delay": Goal(most=2_000),
    "kit": Goal(least=50_000),
    "start_up": Goal(most=2_000),
    "growth_verify": Goal(most_ratio=1.2),
    "growth_award": Goal(most_ratio=1.2),
    "growth_import": Goal(most_ratio=1.2),
    "growth_replay": Goal(most_ratio=1.2),
}
POSTGRESQL = SQLITE | {
    "import": Goal(least=10_000),  # a million rows within 100 s
    "award": Goal(least_ratio=0.6),
    "award_group": Goal(least_ratio=6),
    "replay": Goal(least_ratio=0.5),
    "every_check": Goal(least_ratio=0.5),
    "register_rebuild": Goal(least_ratio=0.5),
    "register_rebuild_busy": Goal(least_ratio=0.5),
    "verify": Goal(least_ratio=0.5),
}
GOALS = {"sqlite": SQLITE, "postgresql": POSTGRESQL}


def judged(measured: Measured, engine: str) -> Figure:
    """The figure with the goal of that engine, and whether it is met."""
    name, value, floor, note = measured
    goal, ratio = GOALS[engine][name], value / floor
    met = goal.reached(value, ratio) >= 1
    return Figure(name, _short(value), _short(floor), _short(ratio), goal.words, WORKS[name].unit, met, note)


def reached(figure: Figure, engine: str) -> float:
    """How far a figure is from its goal: 1 is just met."""
    return GOALS[engine][figure.name].reached(figure.value, figure.value / figure.floor)


def _short(value: float) -> float:
    return round(value, 1) if value >= 1000 else float(f"{value:.4g}")
