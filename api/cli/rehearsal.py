"""A dry run on the very path of the real one: a log that does everything but append, and then ends the command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from registry.conversion import Conversion
from registry.log.log import Rehearsed
from registry.service import Registry

__all__ = ["Rehearsed", "rehearsing"]


@contextmanager
def rehearsing(registry: Registry) -> Iterator[None]:
    """Let the registry rehearse: its log appends nothing, and evidence goes to a folder that is thrown away."""
    conversion, registry.log.rehearsing = registry.conversion, True
    try:
        with TemporaryDirectory() as evidence:
            registry.conversion = Conversion(conversion.rules, Path(evidence))
            yield
    finally:
        registry.conversion, registry.log.rehearsing = conversion, False
