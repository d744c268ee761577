"""A graph of a soak: one panel below the other, over the same time, as an SVG that needs nothing beside it."""

from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["draw"]

WIDTH, PANEL, GAP = 860, 96, 40
LEFT, RIGHT, TOP = 84, 20, 56

#: Colours that can be read on white and on black.
COLOURS = ("#3b78c9", "#c9702b", "#5a9a3c")


def draw(
    title: str, times: Sequence[float], panels: Mapping[str, Mapping[str, Sequence[float]]], *, judged_from: float
) -> str:
    """Panels by their heading, each with its series by name; what is before `judged_from` seconds is marked."""
    height = TOP + len(panels) * (PANEL + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        '     font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="15" fill="#222">{escape(title)}</text>',
    ]
    for number, (heading, series) in enumerate(panels.items()):
        parts += _panel(heading, times, series, TOP + number * (PANEL + GAP), judged_from)
    return "\n".join([*parts, "</svg>\n"])


def _panel(
    heading: str, times: Sequence[float], series: Mapping[str, Sequence[float]], top: int, judged_from: float
) -> list[str]:
    """One panel: its axis from zero to a round number, and its curves."""
    highest = _round_up(max((value for values in series.values() for value in values), default=1.0))
    span = (times[-1] - times[0]) or 1.0
    wide = WIDTH - LEFT - RIGHT

    def x(time: float) -> float:
        return LEFT + wide * (time - times[0]) / span

    bottom = top + PANEL
    parts = [
        f'<text x="{LEFT}" y="{top - 7}" fill="#222">{escape(heading)}</text>',
        f'<rect x="{LEFT}" y="{top}" width="{max(x(judged_from) - LEFT, 0):.1f}" height="{PANEL}" fill="#eee"/>',
        f'<path d="M{LEFT} {top}H{WIDTH - RIGHT}M{LEFT} {bottom}H{WIDTH - RIGHT}" stroke="#bbb"/>',
        f'<text x="{LEFT - 8}" y="{top + 4}" text-anchor="end" fill="#444">{highest:g}</text>',
        f'<text x="{LEFT - 8}" y="{bottom + 4}" text-anchor="end" fill="#444">0</text>',
        f'<text x="{WIDTH - RIGHT}" y="{bottom + 16}" text-anchor="end" fill="#444">{span / 60:.0f} min</text>',
    ]
    for values, colour in zip(series.values(), COLOURS, strict=False):
        points = " ".join(
            f"{x(time):.1f},{bottom - PANEL * min(value / highest, 1):.1f}"
            for time, value in zip(times, values, strict=True)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    names = "   ".join(
        f'<tspan fill="{colour}">{escape(name)}</tspan>' for name, colour in zip(series, COLOURS, strict=False)
    )
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{top - 7}" text-anchor="end" xml:space="preserve">{names}</text>')
    return parts


def _round_up(value: float) -> float:
    """The next 1, 2 or 5 with noughts behind it."""
    step = 1e-3
    while True:
        for part in (1, 2, 5):
            if step * part >= value:
                return step * part
        step *= 10
