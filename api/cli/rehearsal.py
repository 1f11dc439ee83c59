"""A dry run on the very path of the real one: a log that does everything but append, and then ends the command."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import msgspec

from registry.conversion import Conversion
from registry.log.log import Log
from registry.log.unit import Unit
from registry.service import Registry

T = TypeVar("T")


class Rehearsed(Exception):
    """The unit of work passed every check and was not appended. `result` is what its body returned."""

    def __init__(self, result: Any) -> None:
        super().__init__("rehearsed")
        self.result = result


class RehearsalLog(Log):
    """A log that appends nothing: a unit of work that passes raises Rehearsed, one that does not raises as ever."""

    def transact(
        self,
        body: Callable[[Unit], T],
        *,
        actor: str,
        command_id: str | None = None,
        cause: str | None = None,
        dry_run: bool = True,
    ) -> T:
        """Run the body without appending; raise Rehearsed with its result."""
        raise Rehearsed(super().transact(body, actor=actor, command_id=command_id, cause=cause, dry_run=True))


@contextmanager
def rehearsing(registry: Registry) -> Iterator[None]:
    """Let the registry rehearse: its log appends nothing, and evidence goes to a folder that is thrown away."""
    real, rehearsed = registry.log, RehearsalLog(registry.folder.log, registry.custody.vault(), registry.clock)
    rehearsed.gate = real.gate
    registry.log = rehearsed
    registry.issuing = msgspec.structs.replace(registry.issuing, log=rehearsed)
    try:
        with TemporaryDirectory() as evidence:
            registry.conversion = Conversion(registry.conversion.rules, Path(evidence))
            yield
    finally:
        real.close()
