"""Charts as SVG, drawn here: how far each figure is from its goal, and the figure beside its floor."""

import math
from collections.abc import Sequence
from html import escape

from api.bench.figures import Figure

WIDTH, ROW, LEFT, RIGHT = 860, 26, 200, 110
MET, MISSED, FLOOR = "#1a7f4b", "#c2410c", "#94a3b8"
_LEAST, _MOST = 0.1, 10.0  # the ends of the axis: a tenth of the goal, ten times as good
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10)


def goals(figures: Sequence[Figure], reached: Sequence[float]) -> str:
    """A bar for each figure from the line of its goal: to the right it is better than asked, to the left it misses."""
    height = ROW * len(figures) + 56
    bottom = height - 26
    lines = [_tick(tick, bottom) for tick in _TICKS]
    bars = [_goal(ROW * n + 34, figure, far) for n, (figure, far) in enumerate(zip(figures, reached, strict=True))]
    heading = _text(_at(1), 18, "goal", "middle", "strong")
    return _svg(height, "How far each figure is from its goal", [*lines, heading, *bars])


def _at(far: float) -> float:
    """Where on the axis, by logarithm."""
    within = min(max(far, _LEAST), _MOST)
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log(within / _LEAST) / math.log(_MOST / _LEAST)


def _tick(tick: float, bottom: float) -> str:
    kind = "goal" if tick == 1 else "tick"
    line = f'<line class="{kind}" x1="{_at(tick):.1f}" x2="{_at(tick):.1f}" y1="26" y2="{bottom}"/>'
    return line + _text(_at(tick), bottom + 16, f"{tick:g}×", "middle", "small")


def _goal(y: float, figure: Figure, far: float) -> str:
    low, high = sorted((_at(1), _at(far)))
    colour = MET if figure.met else MISSED
    bar = f'<rect x="{low:.1f}" y="{y}" width="{max(high - low, 2):.1f}" height="15" rx="2" fill="{colour}"/>'
    said = f"{far:.2f}×" if far < 100 else f"{far:,.0f}×"
    label = _text(high + 6, y + 12, said, "start", "small")  # of one that misses, to the right of the line
    return _text(LEFT - 12, y + 12, figure.name, "end", "name") + bar + label


def beside(figure: Figure) -> str:
    """Two small bars: the figure and its floor, on one linear scale."""
    most = max(figure.value, figure.floor)
    colour = MET if figure.met else MISSED
    bars = [
        f'<rect x="0" y="{y}" width="{max(length / most * 180, 1):.1f}" height="8" rx="1" fill="{fill}"/>'
        for y, length, fill in ((1, figure.value, colour), (12, figure.floor, FLOOR))
    ]
    return f'<svg class="pair" width="180" height="21" role="img" aria-label="value and floor">{"".join(bars)}</svg>'


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
