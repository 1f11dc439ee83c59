"""Draw the static ornament: `python -m api.documents.ornament > api/documents/template/ornament.svg`.

Waves for the water and ridges for the hills of 丽水, in celadon greens. Every coordinate is a whole hundredth of a
millimetre: short whole numbers are what the typesetter reads fastest. Nothing here says anything. The pale parts stay
under a contrast of 1.3 on white, so that no word printed over them is harder to read.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import acos, atan2, cos, hypot, pi, sin, sqrt

WIDTH, HEIGHT = 21000, 29700
EDGE, NOTCH = 800, 900  # distance of the frame from the paper's edge; radius of its hollow corners
INNER = 610  # inset of the innermost line
FRAME = {0: 50, 110: 12, 560: 12, INNER: 30}  # inset from the outer line: stroke width
BAND_FLOOR, WAVE = 140, 220  # where the band of waves begins, and the radius of a wave
RIDGES = (
    (
        "#f4f9f7",
        ((0, 500), (1900, 1500), (3600, 900), (6400, 2850), (9300, 1500), (12400, 3300), (15000, 1700), (18300, 900)),
    ),
    (
        "#edf5f2",
        ((0, 1700), (2500, 700), (5200, 1650), (8600, 500), (11400, 1500), (14300, 900), (16700, 2500), (18300, 2000)),
    ),
    ("#e5f0ec", ((0, 600), (2900, 1100), (6000, 350), (9700, 900), (13300, 300), (16100, 950), (18300, 700))),
)
CONTOURS, CONTOUR_GAP = 3, 130
JADE, PALE, GOLD = "#1f5d54", "#d9e8e3", "#a8843f"

Point = tuple[float, float]


def ornament() -> str:
    """Return the whole SVG for an A4 page. The same text every time."""
    parts = [*_hills(), *_frame(), *_waves(), *_corners(), *_divider()]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="210mm" height="297mm" viewBox="0 0 {WIDTH} {HEIGHT}">'
    return "\n".join([head, *parts, "</svg>", ""])


def _path(d: str, *, fill: str = "none", stroke: str = "none", width: int = 0) -> str:
    line = f' stroke="{stroke}" stroke-width="{width}"' if width else ""
    return f'<path fill="{fill}"{line} d="{d}"/>'


def _xy(*points: Point) -> str:
    return " ".join(f"{round(x)} {round(y)}" for x, y in points)


def _frame() -> Iterator[str]:
    for inset, width in FRAME.items():
        yield _path(_outline(inset), stroke=JADE if inset != 110 else GOLD, width=width)


def _corner(inset: int) -> tuple[int, int, float]:
    """Distance of a line of the frame from the page's edge, radius of its hollow corners, and where they begin.

    All lines have the centres of the corners in common.
    """
    radius = NOTCH + inset
    return EDGE + inset, radius, EDGE + sqrt(radius * radius - inset * inset)


def _outline(inset: int) -> str:
    near, radius, reach = _corner(inset)
    arc = f"A{radius} {radius} 0 0 0"
    return (
        f"M{_xy((reach, near))}H{round(WIDTH - reach)}{arc} {_xy((WIDTH - near, reach))}V{round(HEIGHT - reach)}"
        f"{_foot(inset)}V{round(reach)}{arc} {_xy((reach, near))}Z"
    )


def _foot(inset: int) -> str:
    """The lower edge of the frame from right to left, with both its corners."""
    near, radius, reach = _corner(inset)
    arc = f"A{radius} {radius} 0 0 0"
    return f"{arc} {_xy((WIDTH - reach, HEIGHT - near))}H{round(reach)}{arc} {_xy((near, HEIGHT - reach))}"


def _waves() -> Iterator[str]:
    """Two rows of waves along each side, crests inwards; the row behind shows only between the crests in front."""
    for length, place in (
        (WIDTH, lambda s, h: (s, EDGE + h)),
        (WIDTH, lambda s, h: (WIDTH - s, HEIGHT - EDGE - h)),
        (HEIGHT, lambda s, h: (EDGE + h, HEIGHT - s)),
        (HEIGHT, lambda s, h: (WIDTH - EDGE - h, s)),
    ):
        room = length - 2 * (EDGE + NOTCH + 640)
        count = room // (2 * WAVE)
        start = (length - count * 2 * WAVE) / 2 + WAVE
        arcs = []
        for i in range(count):
            arcs += [(start + 2 * WAVE * i, BAND_FLOOR, r, 0.0) for r in (WAVE, 145, 70)]
        for i in range(count - 1):
            arcs += [(start + WAVE + 2 * WAVE * i, BAND_FLOOR + 130, r, _hidden(r)) for r in (WAVE, 145)]
        yield _path("".join(_arc(place, *arc) for arc in arcs), stroke=JADE, width=11)


def _hidden(radius: int) -> float:
    """The angle from the base up to which a wave behind is covered by its neighbours in front."""
    dx, dy = WAVE, 130
    distance = hypot(dx, dy)
    along = (distance**2 + radius**2 - WAVE**2) / (2 * distance * radius)
    return max(0.0, acos(max(-1.0, min(1.0, along))) - atan2(dy, dx))


def _arc(place: Callable[[float, float], Point], s: float, floor: float, radius: int, start: float) -> str:
    ends = [(s + radius * cos(a), floor + radius * sin(a)) for a in (start, pi - start)]
    first, last = (place(*end) for end in ends)
    return f"M{_xy(first)}A{radius} {radius} 0 0 1 {_xy(last)}"


def _corners() -> Iterator[str]:
    """A flower of eight petals in each hollow corner."""
    for x in (EDGE + 290, WIDTH - EDGE - 290):
        for y in (EDGE + 290, HEIGHT - EDGE - 290):
            yield _path("".join(_petal(x, y, k * pi / 4) for k in range(8)), stroke=JADE, width=14)
            yield f'<circle cx="{x}" cy="{y}" r="90" fill="{GOLD}"/>'


def _petal(x: int, y: int, angle: float) -> str:
    def at(radius: float, turn: float) -> Point:
        return x + radius * cos(angle + turn), y + radius * sin(angle + turn)

    out, back = _xy(at(260, -0.62), at(400, -0.42), at(430, 0)), _xy(at(400, 0.42), at(260, 0.62), at(130, 0))
    return f"M{_xy(at(130, 0))}C{out}C{back}"


def _hills() -> Iterator[str]:
    """Three ranges of hills at the foot, each with contour lines that die away."""
    left, bottom = EDGE + INNER, HEIGHT - EDGE - INNER
    for colour, heights in RIDGES:
        ridge = [(left + x * (WIDTH - 2 * left) / 18300, bottom - 1100 - y) for x, y in heights]
        yield _path(f"{_smooth(ridge)}V{round(HEIGHT - _corner(INNER)[2])}{_foot(INNER)}Z", fill=colour)
        for k in range(1, CONTOURS + 1):
            lower = [(x, y + k * CONTOUR_GAP + (bottom - y) * 0.05 * k) for x, y in ridge]
            yield _path(_smooth(lower), stroke=PALE, width=10)


def _smooth(points: Sequence[Point]) -> str:
    """A curve through the points that is level at each of them: hills have round tops and round valleys."""
    text = f"M{_xy(points[0])}"
    for (x0, y0), (x1, y1) in pairwise(points):
        pull = (x1 - x0) * 0.45
        text += f"C{_xy((x0 + pull, y0), (x1 - pull, y1), (x1, y1))}"
    return text


def _divider() -> Iterator[str]:
    y, middle = 6020, WIDTH // 2
    yield _path(f"M{middle - 3000} {y}H{middle - 420}M{middle + 420} {y}H{middle + 3000}", stroke=GOLD, width=18)
    arcs = [f"M{middle + dx - r} {y + 60}a{r} {r} 0 0 1 {2 * r} 0" for dx in (-210, 210) for r in (180, 110, 45)]
    arcs += [f"M{middle - r} {y - 60}a{r} {r} 0 0 1 {2 * r} 0" for r in (180, 110, 45)]
    yield _path("".join(arcs), stroke=JADE, width=18)


if __name__ == "__main__":
    print(ornament(), end="")
