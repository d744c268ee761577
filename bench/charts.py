"""Charts as SVG, written by hand: few shapes, readable on a light and on a dark page, the same bytes for the same data.

Colours follow the reader's setting through a media query; each chart brings its own background, so that it can be read
wherever it is shown. Text is text, and every bar has its number beside it, so that no colour has to be told apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Bar", "Group", "Line", "bar_chart", "line_chart", "span_chart"]

WIDTH = 760
LABEL_WIDTH = 220
NUMBER_WIDTH = 130
BAR_HEIGHT = 14
PALETTE = (("#2a78d6", "#3987e5"), ("#8b8a85", "#8f8e89"), ("#eb6834", "#d95926"), ("#1baf7a", "#199e70"))
_LIGHT = "".join(f".c{i}{{fill:{light};stroke:{light}}}" for i, (light, _) in enumerate(PALETTE))
_DARK = "".join(f".c{i}{{fill:{dark};stroke:{dark}}}" for i, (_, dark) in enumerate(PALETTE))
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#0b0b0b}.t{font-size:15px;font-weight:600}.m{fill:#52514e}"
    ".e{text-anchor:end}.k{text-anchor:middle}.b{fill:#fcfcfb}.g{stroke:#dddcd8;stroke-width:1}.w{stroke:#52514e}"
    f"{_LIGHT}.l{{fill:none;stroke-width:2}}"
    "@media(prefers-color-scheme:dark){text{fill:#fff}.m{fill:#c3c2b7}.b{fill:#1a1a19}.g{stroke:#3a3a38}"
    f".w{{stroke:#c3c2b7}}{_DARK}.l{{fill:none}}}}"
)


@dataclass(frozen=True)
class Bar:
    """One number: how long it is drawn, in which colour, and the text beside it."""

    value: float
    colour: int
    text: str


@dataclass(frozen=True)
class Group:
    """The bars that stand under one label."""

    label: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Line:
    """The points of a line, by x."""

    name: str
    colour: int
    points: Sequence[tuple[float, float]]


Span = tuple[int, Sequence[float]]
"""A colour, and instants in milliseconds in their order."""


def bar_chart(title: str, legend: Sequence[str], groups: Sequence[Group], *, mark: float | None = None) -> str:
    """Horizontal bars in groups; `mark` is a value with a line through all of them."""
    most = max((bar.value for group in groups for bar in group.bars), default=1.0) or 1.0
    room = WIDTH - LABEL_WIDTH - NUMBER_WIDTH
    y, parts = 62.0, []
    for group in groups:
        middle = y + len(group.bars) * (BAR_HEIGHT + 2) / 2 + 3
        parts.append(_text(LABEL_WIDTH - 8, middle, group.label, "e"))
        for bar in group.bars:
            long = max(1.0, bar.value / most * room)
            parts.append(f'<rect class="c{bar.colour}" x="{LABEL_WIDTH}" y="{y:.0f}" width="{long:.1f}" height="12"/>')
            parts.append(_text(LABEL_WIDTH + long + 5, y + 10.5, bar.text, "m"))
            y += BAR_HEIGHT + 2
        y += 8
    if mark is not None:
        x = LABEL_WIDTH + mark / most * room
        parts.insert(0, f'<line class="w" stroke-dasharray="3 3" x1="{x:.1f}" x2="{x:.1f}" y1="56" y2="{y:.0f}"/>')
    return _picture(title, legend, parts, y + 6)


def span_chart(title: str, legend: Sequence[str], groups: Sequence[tuple[str, Sequence[Span]]]) -> str:
    """On a logarithmic axis of milliseconds: for each label and colour some instants, joined by a line."""
    values = [value for _, spans in groups for _, found in spans for value in found if value > 0]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))
    scale = (WIDTH - LABEL_WIDTH - 40) / math.log10(high / low)

    def x(value: float) -> float:
        return LABEL_WIDTH + math.log10(max(value, low) / low) * scale

    y, parts = 70.0, []
    for label, spans in groups:
        parts.append(_text(LABEL_WIDTH - 8, y + len(spans) * 9 - 2, label, "e"))
        for colour, found in spans:
            ends = f'x1="{x(found[0]):.1f}" x2="{x(found[-1]):.1f}" y1="{y:.0f}" y2="{y:.0f}"'
            parts.append(f'<line class="c{colour}" stroke-width="2" {ends}/>')
            parts += [f'<circle class="c{colour}" cx="{x(one):.1f}" cy="{y:.0f}" r="4"/>' for one in found]
            y += 18
        y += 10
    ticks = [low * 10**power for power in range(round(math.log10(high / low)) + 1)]
    grid = [f'<line class="g" x1="{x(one):.1f}" x2="{x(one):.1f}" y1="56" y2="{y:.0f}"/>' for one in ticks]
    words = [_text(x(one), y + 14, f"{one:g} ms", "m k") for one in ticks]
    return _picture(title, legend, [*grid, *parts, *words], y + 24)


def line_chart(title: str, x_title: str, lines: Sequence[Line]) -> str:
    """Lines over a logarithmic x; y begins at 0. The legend is the lines' names."""
    height, left, bottom = 300, 70, 262
    xs = sorted({x for line in lines for x, _ in line.points})
    most = max(y for line in lines for _, y in line.points)
    step = _step(most)
    top = math.ceil(most / step) * step

    def place(x: float, y: float) -> str:
        across = math.log(x / xs[0]) / math.log(xs[-1] / xs[0]) if xs[-1] > xs[0] else 0
        return f"{left + across * (WIDTH - left - 40):.1f},{bottom - y / top * 196:.1f}"

    parts = []
    for number in range(round(top / step) + 1):
        y = bottom - number * step / top * 196
        parts.append(f'<line class="g" x1="{left}" x2="{WIDTH - 30}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(left - 8, y + 4, f"{number * step:,.0f}", "m e"))
    parts += [_text(float(place(x, 0).split(",")[0]), bottom + 16, f"{x:,.0f}", "m k") for x in xs]
    for line in lines:
        found = [place(x, y) for x, y in line.points]
        parts.append(f'<polyline class="c{line.colour} l" points="{" ".join(found)}"/>')
        for point in found:
            across, down = point.split(",")
            parts.append(f'<circle class="c{line.colour}" cx="{across}" cy="{down}" r="3.5"/>')
    parts.append(_text((left + WIDTH) / 2, height - 6, x_title, "m k"))
    return _picture(title, [line.name for line in lines], parts, height + 4, [line.colour for line in lines])


def _step(most: float) -> float:
    """Between two lines of the grid, so that there are from four to ten of them."""
    step = float(10 ** math.floor(math.log10(most)))
    return step / 5 if most < 2 * step else step / 2 if most < 5 * step else step


def _picture(
    title: str, legend: Sequence[str], parts: Sequence[str], height: float, colours: Sequence[int] | None = None
) -> str:
    """The whole file: background, title, legend, and what is drawn."""
    x, keys = 20.0, []
    for number, name in enumerate(legend):
        colour = colours[number] if colours else number
        keys.append(f'<rect class="c{colour}" x="{x:.0f}" y="35" width="10" height="10"/>')
        keys.append(_text(x + 15, 44, name, "m"))
        x += 34 + 6.4 * len(name)
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">'
    back = '<rect class="b" width="100%" height="100%" rx="6"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", back, _text(20, 23, title, "t"), *keys, *parts, "</svg>", ""])


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
