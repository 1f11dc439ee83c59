"""A report of one run: a table in Markdown, and one HTML page with charts that needs nothing beside it."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import msgspec

from api.bench import charts
from api.bench.figures import Figure
from api.bench.goals import WORKS, reached
from api.bench.machine import Machine

_STYLE = """
body { font: 15px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif; color: #0f172a;
  background: #fff; max-width: 1080px; margin: 32px auto; padding: 0 24px; }
h1 { font-size: 25px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 34px 0 8px; }
p { margin: 4px 0 12px; max-width: 72ch; } .lead { color: #475569; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; margin: 10px 0; }
dt { color: #475569; } dd { margin: 0; }
code { font: 13px ui-monospace, monospace; background: #f1f5f9; padding: 2px 6px; }
svg { display: block; max-width: 100%; height: auto; }
svg text { font-size: 13px; fill: #0f172a; }
svg .small { font-size: 12px; fill: #475569; } svg .strong { font-weight: 600; } svg .tick { stroke: #e2e8f0; }
svg .goal { stroke: #0f172a; stroke-dasharray: 4 3; }
table { border-collapse: collapse; width: 100%; font-size: 14px; } .scroll { overflow-x: auto; }
th, td { text-align: left; padding: 7px 10px; border-bottom: 1px solid #e2e8f0; vertical-align: top; }
th { color: #475569; font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; }
td small { display: block; color: #475569; }
.met { color: #1a7f4b; font-weight: 600; } .missed { color: #c2410c; font-weight: 600; }
.pair { margin-top: 5px; }
.key { display: inline-block; margin-left: 10px; width: 11px; height: 11px; border-radius: 2px; margin-right: 5px; }
"""
_HEADINGS = ("Figure", "Value", "Floor", "Ratio", "Value over floor", "Goal", "Met")


def write(folder: Path, engine: str, figures: Sequence[Figure], machine: Machine, command: str) -> list[Path]:
    """Write `bench-ENGINE.md` and `bench-ENGINE.html` into a folder, made if there is none; return both."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"md": markdown, "html": html}
    written = []
    for ending, page in pages.items():
        path = folder / f"bench-{engine}.{ending}"
        path.write_text(page(engine, figures, machine, command), encoding="utf-8")
        written.append(path)
    return written


def markdown(engine: str, figures: Sequence[Figure], machine: Machine, command: str) -> str:
    """The table, with the machine and the command."""
    about = ", ".join(f"{name} {value}" for name, value in msgspec.structs.asdict(machine).items())
    lines = [f"`{command}` ({about}):", "", "| figure | value | floor in the same run | ratio | goal | met |"]
    lines.append("|---|---|---|---|---|---|")
    for one in figures:
        work = WORKS[one.name]
        cells = (
            f"`{one.name}`: {work.what}" + (f" ({one.note})" if one.note else ""),
            f"{number(one.value)} {one.unit}",
            f"{number(one.floor)}: {work.floor}",
            number(one.ratio),
            one.goal,
            "yes" if one.met else "**no**",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def html(engine: str, figures: Sequence[Figure], machine: Machine, command: str) -> str:
    """One page: the machine, how far each figure is from its goal, and the table with value and floor as bars."""
    met = sum(one.met for one in figures)
    chart = charts.goals(figures, [reached(one, engine) for one in figures])
    about = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
        for name, value in msgspec.structs.asdict(machine).items()
    )
    rows = "".join(_row(one) for one in figures)
    numeric = ("Value", "Floor", "Ratio")
    headings = "".join(f"<th{_number_class(one in numeric)}>{one}</th>" for one in _HEADINGS)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Title registry: {engine}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>Title registry, measured on {escape(machine.engine)}</h1>"
        f'<p class="lead">{met} of {len(figures)} goals are met. Each was taken beside its floor in the same run,'
        " because machines and their neighbours differ: compare ratios, not rates.</p>"
        f"<p><code>{escape(command)}</code></p><dl>{about}</dl>"
        "<h2>How far each figure is from its goal</h2>"
        '<p class="lead">1× is just what is asked; the axis is logarithmic. '
        f"{_key(charts.MET, 'met')} {_key(charts.MISSED, 'missed')}</p>{chart}"
        "<h2>Every figure beside its floor</h2>"
        f'<p class="lead">{_key(charts.MET, "value")} {_key(charts.MISSED, "value that misses its goal")}'
        f" {_key(charts.FLOOR, 'floor')}</p>"
        f'<div class="scroll"><table><thead><tr>{headings}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</body></html>\n"
    )


def _row(one: Figure) -> str:
    work = WORKS[one.name]
    met = '<span class="met">yes</span>' if one.met else '<span class="missed">no</span>'
    note = f"<small>{escape(one.note)}</small>" if one.note else ""
    return (
        f"<tr><td><strong>{escape(one.name)}</strong><small>{escape(work.what)}</small>{note}</td>"
        f'<td class="number">{number(one.value)}<small>{escape(one.unit)}</small></td>'
        f'<td class="number">{number(one.floor)}</td><td class="number">{number(one.ratio)}</td>'
        f"<td>{charts.beside(one)}<small>floor: {escape(work.floor)}</small></td>"
        f"<td>{escape(one.goal)}</td><td>{met}</td></tr>"
    )


def _number_class(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


def _key(colour: str, word: str) -> str:
    return f'<span class="key" style="background:{colour}"></span>{word}'


def number(value: float) -> str:
    """A number as people read it: three significant figures, or none behind the point from a hundred on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
