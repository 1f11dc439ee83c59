"""What commands share: who acts on which data folder, the registry opened for one command, options that are read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from api.cli.printing import Output, say
from api.cli.rehearsal import Rehearsed, rehearsing
from api.settings import Settings
from registry.errors import BadInput
from registry.folder import Folder
from registry.log.log import KnownAt
from registry.service import Registry
from registry.terms import YEARS, IdentityKind, Level, Obtained, Status

N = TypeVar("N", Level, Obtained, Status, IdentityKind)


@dataclass(frozen=True)
class Session:
    """The common options of one run of the program. `data_given`: the data folder was named."""

    settings: Settings
    output: Output
    data_given: bool
    debug: bool

    @property
    def officer(self) -> str:
        """Who acts. Ends with a usage error if nobody was named."""
        name = (self.settings.officer or "").strip()
        if not name:
            raise typer.BadParameter(
                "this command writes; say who acts, with --officer ID or TITLE_REGISTRY_OFFICER",
                param_hint="--officer",
            )
        return name


def session_of(ctx: typer.Context) -> Session:
    """The session that the common options made."""
    session: Session = ctx.find_root().obj
    return session


@contextmanager
def opened(ctx: typer.Context) -> Iterator[Registry]:
    """The registry of the data folder, closed at the end."""
    settings = session_of(ctx).settings
    Folder(settings.data).read_config()  # a folder that is none is said before a passphrase is asked for
    registry = Registry.open(settings.data, settings.read_passphrase(), checkpoints=settings.checkpoints)
    try:
        yield registry
    finally:
        registry.close()


@contextmanager
def writing(ctx: typer.Context, *, dry_run: bool = False) -> Iterator[tuple[Registry, str]]:
    """The registry and the officer who acts; what was written is in a published checkpoint at the end.

    A dry run does everything but append, and ends the block there.
    """
    officer = session_of(ctx).officer
    with opened(ctx) as registry:
        if not dry_run:
            yield registry, officer
            registry.tlog.sequence()
            return
        with rehearsing(registry):
            try:
                yield registry, officer
            except Rehearsed:
                if session_of(ctx).output is not Output.TABLE:
                    print('{"dry_run": true}')
                say("Dry run: every check passed; nothing was written.")


# options that are read


def read_date(text: str | date) -> date:
    """A civil date, 2021-09-20. Ends with a usage error for anything else."""
    if isinstance(text, date):
        return text
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date; write it as 2021-09-20") from None


def read_moment(text: str | datetime) -> datetime:
    """An instant with its offset, 2026-11-22T14:05:00+08:00. Ends with a usage error for anything else."""
    if isinstance(text, datetime):
        return text
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time; write it as 2026-11-22T14:05:00+08:00") from None
    if not YEARS[0] <= found.year <= YEARS[1]:
        raise typer.BadParameter(f"{text!r} is no time of a register: write a year of 2 to 9998")
    if found.tzinfo is None:
        raise typer.BadParameter(f"{text!r} lacks the offset; write it as 2026-11-22T14:05:00+08:00")
    return found


def read_known(text: str | KnownAt) -> KnownAt:
    """An instant with its offset, or a log position (0: nothing was known). Ends with a usage error for neither."""
    if isinstance(text, str) and text.strip().isascii() and text.strip().isdigit():
        return int(text)
    return text if isinstance(text, int) else read_moment(text)


def _word(kind: type[N], *some: N) -> Callable[[str], N]:
    """A reader of stored words (all of the kind, or some of them) by value or Chinese name."""
    known_words = some or tuple(kind)
    words = {one.value: one for one in known_words} | {one.zh: one for one in known_words}

    def read(text: str) -> N:
        if text.strip() not in words:
            known = ", ".join(f"{one.value} ({one.zh})" for one in known_words)
            raise typer.BadParameter(f"{text!r} is none of: {known}")
        return words[text.strip()]

    return read


read_level: Callable[[str], Level] = _word(Level)
read_obtained: Callable[[str], Obtained] = _word(Obtained)
read_kind: Callable[[str], IdentityKind] = _word(IdentityKind)
read_status: Callable[[str], Status] = _word(
    Status, Status.VALID, Status.REVOKED, Status.INVALIDATED, Status.SUSPENDED, Status.NOT_YET_EFFECTIVE
)


def series_named(registry: Registry, name: str) -> str:
    """The series of this name as the catalogue writes it. Raise BadInput for none of the 27."""
    series = registry.catalogue.series_named(name)
    if series is None:
        known = "、".join(one.name_zh for one in registry.catalogue.series)
        raise BadInput(f"没有名为“{name}”的系列", fix=f"系列：{known}")
    return series.name_zh


def option(*names: str, help: str, **more: Any) -> Any:
    """An option, with its default shown only where it says something."""
    return typer.Option(*names, help=help, show_default=more.pop("show_default", False), **more)


AsOf = Annotated[
    date | None, option("--as-of", parser=read_date, metavar="DATE", help="Effective date asked about; default today.")
]
KNOWN_AT = "TIME|POSITION"
Known = Annotated[
    Any,  # of KnownAt; the framework takes no union, the parser sees to it
    option(
        "--known-at",
        parser=read_known,
        metavar=KNOWN_AT,
        help="Recorded time asked about, with its offset, or a log position; default now.",
    ),
]
Authority = Annotated[
    str | None,
    option("--authority", metavar="CODE", help="Issuing authority, where several have that number (331100)."),
]
DryRun = Annotated[bool, option("--dry-run", help="Check everything and write nothing.")]


def new_file(path: Path, *, force: bool = False) -> Path:
    """A path to write to. Ends with a usage error if its folder is missing, or if it is there and not forced."""
    if not path.parent.is_dir():
        raise typer.BadParameter(f"the folder {path.parent} does not exist")
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder")
    if path.exists() and not force:
        raise typer.BadParameter(f"{path} exists already; name another file, or use --force")
    return path


def existing_file(path: Path) -> Path:
    """A file that is there. Ends with a usage error if not."""
    if not path.is_file():
        raise typer.BadParameter(f"there is no file {path}")
    return path
