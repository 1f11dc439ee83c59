"""All measurements by name, over registries that are made for them in a temporary folder and are gone afterwards."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from api.bench import documents, proving, reading, verifying, writing
from api.bench.apart import Imported, apart
from api.bench.engines import Engine, engine_of
from api.bench.figures import Figure, Measured, medians
from api.bench.goals import judged
from api.bench.material import OFFICER, commands, issue_some, new_registry, write_list
from api.bench.opening import PASSPHRASE
from api.documents.press import Press
from registry.service import Registry
from registry.titles.award import AwardTitle

DEFAULT_SIZE = 20_000
CERTIFICATES = 500
AWARDS = 300
SMALL = 1_000  # fewer titles only show that everything runs: then nothing is done often or for long
ENGINES = ("sqlite", "postgresql")
Progress = Callable[[str], None]


@dataclass
class Bench:
    """The measurements over one list of `size` rows, imported once."""

    folder: Path
    size: int
    engine: Engine
    _opened: list[Registry] = field(default_factory=list)
    _asked: int = 0

    def close(self) -> None:
        """Close every registry that was opened."""
        for registry in self._opened:
            registry.close()

    @cached_property
    def data(self) -> Path:
        """The data folder of the registry with the list."""
        new_registry(self.folder / "data", self.database).close()
        return self.folder / "data"

    @cached_property
    def database(self) -> str:
        """Where its log is."""
        return self.engine.database("data")

    @cached_property
    def imported(self) -> Imported:
        """The import of the list, in a process of its own."""
        source = self.folder / "list.csv"
        write_list(source, self.size)
        found: Imported = apart("import", self.data, source, kind=Imported)
        return found

    @cached_property
    def registry(self) -> Registry:
        """The registry with the list in it."""
        assert self.imported
        return self._keep(Registry.open(self.data, PASSPHRASE))

    def _keep(self, registry: Registry) -> Registry:
        self._opened.append(registry)
        return registry

    @cached_property
    def codes(self) -> list[str]:
        """Codes of certificates of titles all over the list."""
        return issue_some(self.registry, Press(), CERTIFICATES if self.size >= SMALL else 10)

    @property
    def duration(self) -> float:
        """Seconds of what is done for a time rather than for a number of titles."""
        return 2.0 if self.size >= SMALL else 0.1

    @cached_property
    def tenth(self) -> "Bench":
        """The same with a tenth of the rows."""
        folder = self.folder / "tenth"
        folder.mkdir()
        return Bench(folder, max(self.size // 10, 1), self.engine, self._opened)

    def new(self, name: str) -> Registry:
        """An empty registry beside."""
        return self._keep(new_registry(self.folder / name, self.engine.database(name)))

    def awards(self, count: int) -> list[AwardTitle]:
        """Awards of people who are in no list and in no earlier call; at most as many as the list has."""
        count, after = min(count, self.size), max(self.size, self._asked)
        self._asked = after + count
        return list(commands(self.registry, self.folder, count, after))

    # what is written

    def imports(self) -> list[Measured]:
        """A list end to end, and its memory."""
        return writing.imports(self.imported, self.engine, self.data, self.database)

    def award(self) -> list[Measured]:
        """One award after another."""
        return [writing.award(self.new("award"), self.awards(AWARDS), self.engine)]

    def award_group(self) -> list[Measured]:
        """Awards from 32 callers."""
        return [writing.award_group(self.new("group"), self.awards(4 * AWARDS))]

    # what is read

    def replay(self) -> list[Measured]:
        """The log as far as it needs no key, and with every check."""
        return [reading.replayed(self.registry), reading.checked(self.registry)]

    def register_rebuild(self) -> list[Measured]:
        """The register anew, alone and while writes arrive."""
        self._asked = max(self.size, self._asked) + 20_000  # more than the writer can get through
        return reading.rebuild(self.registry, self.folder, self._asked - 20_000)

    def verify(self) -> list[Measured]:
        """Verification over HTTP."""
        return verifying.verify(self.data, self.codes, self.folder, self.duration)

    def start_up(self) -> list[Measured]:
        """A new process answers."""
        code, database = self.codes[0], self.engine.database("empty")
        return [reading.start_up(self.data, code, self.folder / "empty", database)]

    def growth(self) -> list[Measured]:
        """The same work at this size and at a tenth of it."""
        verify, award = self._growth_of_one()
        imports = [one.imported.whole / one.imported.rows * 1e6 for one in (self, self.tenth)]
        replay = [1e6 / reading.replayed(one.registry).value for one in (self, self.tenth)]
        note = f"{self.size:,} titles against {self.tenth.size:,}"
        both = {"growth_verify": verify, "growth_award": award, "growth_import": imports, "growth_replay": replay}
        return [Measured(name, value, floor, note) for name, (value, floor) in both.items()]

    def _growth_of_one(self) -> Sequence[list[float]]:
        new, sizes = self.awards(2 * AWARDS), (self, self.tenth)
        verify = medians(lambda one, code: one.registry.verifier.check(code), [(one, one.codes * 4) for one in sizes])
        award = medians(
            lambda one, command: one.registry.award(command, officer=OFFICER),
            [(one, new[n::2]) for n, one in enumerate(sizes)],
        )
        return verify, award

    # documents and proofs

    def sign_token(self) -> list[Measured]:
        """A token."""
        return [documents.sign_token(self.registry, self.codes[0])]

    def pdf(self) -> list[Measured]:
        """A signed page, by one process and by two."""
        return [
            documents.pdf(self.registry, self.codes[0]),
            documents.pdf_cores(self.data, self.codes[0], self.duration),
        ]

    def sequence(self) -> list[Measured]:
        """All events into the tree."""
        return [proving.sequence(self.registry, self.folder)]

    def prove(self) -> list[Measured]:
        """One inclusion proof."""
        return [proving.prove(self.folder)]

    def award_sequenced(self) -> list[Measured]:
        """An award while the log is sequenced, against one without."""
        return [proving.award_sequenced(self.new("alone"), self.new("sequenced"), self.awards(2_000))]

    def merge_delay(self) -> list[Measured]:
        """From an append to its checkpoint."""
        return [proving.merge_delay(self.new("delay"), self.awards(1_000))]

    def kit(self) -> list[Measured]:
        """The auditor's kit."""
        return [proving.kit(self.registry, self.folder)]


MEASUREMENTS: dict[str, Callable[[Bench], list[Measured]]] = {
    "import": Bench.imports,
    "award": Bench.award,
    "award_group": Bench.award_group,
    "replay": Bench.replay,
    "register_rebuild": Bench.register_rebuild,
    "verify": Bench.verify,
    "sign_token": Bench.sign_token,
    "pdf": Bench.pdf,
    "sequence": Bench.sequence,
    "prove": Bench.prove,
    "award_sequenced": Bench.award_sequenced,
    "merge_delay": Bench.merge_delay,
    "kit": Bench.kit,
    "start_up": Bench.start_up,
    "growth": Bench.growth,
}
NAMES = tuple(MEASUREMENTS)


def run(
    names: Sequence[str], size: int | None = None, engine: str = "sqlite", progress: Progress | None = None
) -> tuple[list[Figure], str]:
    """Take the named measurements (all by default) in this order; return the figures and the engine's version.

    `progress` hears each name before its measurement. Raise Unavailable where there is no PostgreSQL server to start.
    """
    figures = list[Figure]()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, engine_of(engine, Path(folder)) as used:
        bench = Bench(Path(folder), size or DEFAULT_SIZE, used)
        try:
            for name in [one for one in NAMES if one in names or not names]:
                if progress:
                    progress(name)
                figures += [judged(one, engine) for one in MEASUREMENTS[name](bench)]
        finally:
            bench.close()
        return figures, used.version
