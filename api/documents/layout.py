"""Sizes of type, decided by counting characters, so that the typesetter never has to measure and no text runs over.

A long text shrinks by steps. If all of them together are still too high for the page, the part whose next step saves
most shrinks again. What does not fit in its smallest step is refused by name. Widths and heights are in millimetres,
sizes in points.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from api.documents.measure import address_lines, lines_needed
from registry.errors import DocumentRefused

POINT = 0.352778  # millimetres
PAGE = 160.0
GUTTER = 6.0
THIRD = (PAGE - 2 * GUTTER) / 3
ROOM = 145.0  # height between the divider under the heading and the rule above the QR
_LABEL, _ENGLISH, _TITLE_LEAST, _PAD, _ROW_PAD = 4.9, 7.0, 7.0, 6.0, 3.0
_ROWS = (
    ("sex", "born", "identity"),
    ("series", "specialty", "obtained"),
    ("awarded", "number"),
    ("authority", "approval"),
)
_GAPS = {
    "name": (2.6, 0.5),
    "award": (4.6, 1.0),
    "grid": (3.6, 0.8),
    "remarks": (1.2, 0.5),
    "end": (3.0, 0.2),
}  # least, share


@dataclass(frozen=True)
class Part:
    """Texts that are set in one size: each with its name for people and its width; the steps are (size, most lines)."""

    fields: Mapping[str, tuple[str, float]]
    steps: tuple[tuple[float, int], ...]
    leading: float = 1.35  # line pitch in ems
    indent: int = 0  # ems before the first line


@dataclass(frozen=True)
class Setting:
    """One step of a part, with the lines that each of its texts takes."""

    size: float
    leading: float
    lines: Mapping[str, int]

    def height(self, key: str) -> float:
        """Height of that text in millimetres."""
        return (1 + (self.lines[key] - 1) * self.leading) * self.size * POINT


_WIDE = 2 * THIRD + GUTTER
PARTS: Mapping[str, Part] = {
    "bureau": Part({"bureau": ("发证机关", PAGE / 1.25)}, ((13.5, 1), (11.0, 1), (9.0, 1))),
    "name": Part({"name": ("姓名", PAGE - 16)}, ((25.0, 1), (20.0, 1), (16.0, 2), (13.0, 3)), 1.4),
    "statement": Part({"statement": ("评审委员会", PAGE)}, ((12.5, 2), (11.5, 3), (10.0, 4), (9.0, 5)), 1.62, 2),
    "title": Part({"title": ("资格名称", 108.0)}, ((25.0, 1), (19.0, 1), (15.0, 2), (12.0, 3)), 1.3),
    "grid": Part(
        {
            "sex": ("性别", THIRD),
            "born": ("出生年月", THIRD),
            "identity": ("证件号码", THIRD),
            "series": ("系列", THIRD),
            "specialty": ("专业", THIRD),
            "obtained": ("取得方式", THIRD),
            "awarded": ("取得资格时间", THIRD),
            "number": ("证书编号", _WIDE),
            "authority": ("发证机关", _WIDE),
            "approval": ("批准文号", THIRD),
        },
        ((11.5, 1), (10.5, 2), (9.5, 2), (8.5, 3)),
    ),
    "remarks": Part({"remarks": ("备注", PAGE)}, ((10.5, 1), (10.0, 2), (9.0, 4), (8.0, 6)), 1.5),
    "address": Part({"address": ("核验网址", 62.0)}, ((11.0, 1), (9.0, 2), (7.5, 4)), 1.3),
}
_MIDDLE = ("name", "statement", "title", "grid", "remarks")  # the parts that share the middle of the page


def lay_out(texts: Mapping[str, str]) -> dict[str, object]:
    """Return sizes and leads (points), heights, rows and gaps (millimetres), and the address cut into lines.

    Raise DocumentRefused, naming the field, if one does not fit even in its smallest step, or all of them together.
    """
    steps = {name: _settings(part, texts) for name, part in PARTS.items()}
    while _spare(steps) < 0:
        choices = [{**steps, name: steps[name][1:]} for name in _MIDDLE if len(steps[name]) > 1]
        if not choices:
            raise _too_much(texts)
        steps = max(choices, key=_spare)
    size = steps["address"][0].size
    cut = address_lines(texts["address"], PARTS["address"].fields["address"][1] / (size * POINT))
    return _spread({name: settings[0] for name, settings in steps.items()}, _spare(steps)) | {"address": cut}


def _settings(part: Part, texts: Mapping[str, str]) -> list[Setting]:
    """All steps in which every text of the part fits, largest first."""
    found = []
    for size, most in part.steps:
        lines = {key: _lines(part, key, texts[key], size) for key in part.fields}
        if max(lines.values()) <= most:
            found.append(Setting(size, part.leading, lines))
    if not found:
        raise _too_long(part, texts)
    return found


def _lines(part: Part, key: str, text: str, size: float) -> int:
    room = part.fields[key][1] / (size * POINT)
    return len(address_lines(text, room)) if key == "address" else lines_needed("　" * part.indent + text, room)


def _rows(grid: Setting) -> list[float]:
    return [_LABEL + max(map(grid.height, row)) + _ROW_PAD for row in _ROWS]


def _spare(steps: Mapping[str, list[Setting]]) -> float:
    """What the largest remaining steps leave of the room, in millimetres; negative if they need more."""
    name, statement, title, grid, remarks = (steps[part][0] for part in _MIDDLE)
    texts = name.height("name") + statement.height("statement") + _ENGLISH + _LABEL + remarks.height("remarks")
    award = _LABEL + max(title.height("title"), _TITLE_LEAST) + _PAD
    return ROOM - texts - award - sum(_rows(grid)) - sum(least for least, _ in _GAPS.values())


def _spread(chosen: Mapping[str, Setting], spare: float) -> dict[str, object]:
    """Give the room that is left to the rows of the grid and the gaps, up to what still looks like one piece."""
    row = min(spare * 0.1, 2.6)
    share = min((spare - 4 * row) / sum(share for _, share in _GAPS.values()), 6.5)
    by_key = {key: setting for setting in chosen.values() for key in setting.lines}
    return {
        "sizes": {key: setting.size for key, setting in by_key.items()},
        "leads": {key: (setting.leading - 1) * setting.size for key, setting in by_key.items()},
        "heights": {key: setting.height(key) for key, setting in by_key.items()},
        "rows": [height + row for height in _rows(chosen["grid"])],
        "gaps": {key: least + part * share for key, (least, part) in _GAPS.items()},
    }


def _too_long(part: Part, texts: Mapping[str, str]) -> DocumentRefused:
    size, most = part.steps[-1]
    key = max(part.fields, key=lambda key: _lines(part, key, texts[key], size))
    zh, width = part.fields[key]
    capacity = int(most * (width / (size * POINT)))
    return DocumentRefused(
        f"{zh}过长，放不下：“{texts[key][:20]}…”共{len(texts[key])}字，最小字号约可排{capacity}个汉字",
        fix=f"请核对{zh}是否有误；确实如此的，请制证人员调整版式",
        field=zh,
    )


def _too_much(texts: Mapping[str, str]) -> DocumentRefused:
    fields = {key: zh for name in _MIDDLE for key, (zh, _) in PARTS[name].fields.items()}
    longest = sorted(fields, key=lambda key: len(texts[key]), reverse=True)[:3]
    names = "、".join(f"{fields[key]}（{len(texts[key])}字）" for key in longest)
    return DocumentRefused(f"证书内容过多，一页放不下。最长的几项：{names}", fix="请缩短其中一项，或请制证人员调整版式")
