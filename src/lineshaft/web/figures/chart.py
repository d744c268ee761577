"""Charts: from numbers to the points of an SVG. Pure; what draws them is in the templates.

A curve is drawn into a box of WIDTH by HEIGHT that the page stretches to its place; texts stand beside it in HTML, so
nothing written is stretched.
"""

import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

__all__ = ["Axis", "area", "axis", "bars", "columns", "hours", "line", "spark"]

WIDTH: Final = 1000
HEIGHT: Final = 180

SPARK_WIDTH: Final = 100
SPARK_HEIGHT: Final = 22
#: Points of a small curve; more cannot be told apart.
SPARK_POINTS: Final = 48

#: How many parts an axis is divided into.
PARTS: Final = 3


class Axis(Struct, frozen=True):
    """The upright axis: its top, and the values of its lines from the top to zero."""

    top: float
    marks: tuple[float, ...]


def axis(highest: float) -> Axis:
    """An axis of round numbers that holds `highest`."""
    step = 1.0
    wanted = max(highest, 1e-9) / PARTS
    while step < wanted:
        step *= 10
    while step / 10 >= wanted:
        step /= 10
    # Now step/10 < wanted <= step: the smallest of these round parts of it will do.
    step = max(min(part * step for part in (0.1, 0.2, 0.25, 0.5, 1.0) if part * step >= wanted), 1.0)
    return Axis(step * PARTS, tuple(step * number for number in range(PARTS, -1, -1)))


def line(values: Sequence[float], top: float, steps: int) -> str:
    """The points of a curve that ends at the right; of `steps` values fewer leave room at the left."""
    return _points(values, WIDTH, HEIGHT, top or 1.0, steps=steps)


def area(values: Sequence[float], top: float, steps: int) -> str:
    """The points of what lies under such a curve."""
    begin = WIDTH - WIDTH * (len(values) - 1) / max(steps - 1, 1)
    return f"{begin:.1f},{HEIGHT} {line(values, top, steps)} {WIDTH},{HEIGHT}"


def bars(days: Sequence[tuple[int, int]], top: float) -> list[dict[str, object]]:
    """A bar for each day, how much was processed in it, and on it one for what failed."""
    step = WIDTH / max(len(days), 1)
    drawn: list[dict[str, object]] = []
    for number, (processed, failed) in enumerate(days):
        for value, is_failed in ((processed, False), (min(failed, processed), True)):
            height = HEIGHT * min(value / (top or 1.0), 1)
            if value:
                drawn.append(
                    {
                        "x": f"{number * step + step * 0.12:.1f}",
                        "width": f"{step * 0.76:.1f}",
                        "y": f"{HEIGHT - height:.1f}",
                        "height": f"{height:.1f}",
                        "failed": is_failed,
                    }
                )
    return drawn


def hours(counts: Sequence[int]) -> list[dict[str, str]]:
    """A small column for each number, in a box as of a small curve."""
    step, top = SPARK_WIDTH / max(len(counts), 1), max(counts, default=0) or 1
    room = SPARK_HEIGHT - 2
    return [
        {
            "x": f"{number * step + step * 0.1:.1f}",
            "width": f"{step * 0.8:.1f}",
            "y": f"{SPARK_HEIGHT - max(room * count / top, 2):.1f}",
            "height": f"{max(room * count / top, 2):.1f}",
        }
        for number, count in enumerate(counts)
        if count
    ]


def columns(counts: Sequence[int]) -> list[dict[str, str]]:
    """A column for each class of a histogram. Their heights are of logarithms: the rare slow ones are what matters."""
    step = WIDTH / max(len(counts), 1)
    top = math.log1p(max(counts, default=0)) or 1.0
    return [
        {
            "x": f"{number * step + step * 0.08:.1f}",
            "width": f"{step * 0.84:.1f}",
            "y": f"{HEIGHT - HEIGHT * math.log1p(count) / top:.1f}",
            "height": f"{HEIGHT * math.log1p(count) / top:.1f}",
        }
        for number, count in enumerate(counts)
        if count
    ]


def spark(values: Sequence[float]) -> str:
    """The points of a small curve without an axis: from its lowest to its highest value."""
    kept = _thinned(values)
    if len(kept) < 2:
        kept = [*kept, *kept] or [0.0, 0.0]
    low, high = min(kept), max(kept)
    if high == low:
        # What does not change runs along the bottom.
        return f"0,{SPARK_HEIGHT - 2} {SPARK_WIDTH},{SPARK_HEIGHT - 2}"
    room = SPARK_HEIGHT - 4
    return _points([value - low for value in kept], SPARK_WIDTH, room, high - low, shift=2)


def _points(
    values: Sequence[float], width: int, height: int, top: float, *, shift: int = 0, steps: int | None = None
) -> str:
    if not values:
        return ""
    step = width / max((steps or len(values)) - 1, 1)
    begin = width - step * (len(values) - 1)
    return " ".join(
        f"{begin + number * step:.1f},{shift + height - height * min(value / top, 1):.1f}"
        for number, value in enumerate(values)
    )


def _thinned(values: Sequence[float]) -> list[float]:
    """At most SPARK_POINTS of the values, each the highest of its stretch, so that no peak is lost."""
    if len(values) <= SPARK_POINTS:
        return list(values)
    size = len(values) / SPARK_POINTS
    return [max(values[int(part * size) : int((part + 1) * size)]) for part in range(SPARK_POINTS)]
