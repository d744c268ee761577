"""A figure at a glance, as several pages show some side by side."""

from msgspec import Struct

__all__ = ["Tile"]


class Tile(Struct, frozen=True):
    """A figure, what it is of, and how it has changed."""

    label: str
    value: str
    delta: str = ""
    href: str = ""
    points: str = ""  #: of a small curve
    bad: bool = False
