"""Languages: the catalogue of texts, and how numbers, spans and instants are written.

The English texts are in the templates; another language is a catalogue of them, `locale/CODE/LC_MESSAGES/messages.po`,
read directly at the start, so that there is no step between an edit and its effect. A text that a catalogue lacks is
shown in English. Babel reads the catalogues and knows how numbers are grouped.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from babel import Locale
from babel.messages.pofile import read_po

from lineshaft.clock import format_instant

__all__ = ["LOCALES", "Language", "choose", "languages"]

LOCALES: Final = Path(__file__).parent / "locale"

_SECOND: Final = 1000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR

_UNITS: Final = (("d", _DAY), ("h", _HOUR), ("min", _MINUTE), ("s", _SECOND))
_SIZES: Final = ("B", "kB", "MB", "GB", "TB")


class Language:
    """One language: texts, and the look of numbers."""

    def __init__(self, code: str, messages: dict[str, str], plurals: dict[str, tuple[str, ...]]) -> None:
        self.code = code
        self._messages = messages
        self._plurals = plurals
        locale = Locale.parse(code)
        self._is_plural: Callable[[int], str] = locale.plural_form
        symbols = locale.number_symbols["latn"]
        self._group = str(symbols["group"])
        self._point = str(symbols["decimal"])

    def has(self, text: str) -> bool:
        """Whether the catalogue has a text of its own for this one."""
        return text in self._messages or text in self._plurals

    def gettext(self, text: str) -> str:
        """A text in this language."""
        return self._messages.get(text, text)

    def ngettext(self, one: str, many: str, count: int, *, more: str = "") -> str:
        """A text that depends on a number, which stands for `%(num)s`: its digits in groups, and behind them `more`."""
        forms = self._plurals.get(one)
        if forms is None:
            text = one if count == 1 else many
        else:
            text = forms[0] if self._is_plural(count) == "one" else forms[-1]
        return text.replace("%(num)s", self.number(count) + more)

    def number(self, value: int) -> str:
        """A whole number, its digits in groups."""
        return f"{value:,}".replace(",", self._group)

    def decimal(self, value: float, digits: int = 1) -> str:
        """A number with so many digits behind the point."""
        whole, _, rest = f"{value:,.{digits}f}".partition(".")
        return whole.replace(",", self._group) + (self._point + rest if rest else "")

    def short(self, value: float) -> str:
        """A large number as it is said: 182.4 M."""
        for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
            if value >= size:
                return f"{self.decimal(value / (1e3 if unit == 'k' else size))} {unit}"
        return self.number(round(value))

    def rate(self, value: float) -> str:
        """So many per second: small ones with a digit behind the point."""
        return self.decimal(value) if 0 < value < 10 else self.number(round(value))

    def span(self, milliseconds: float) -> str:
        """A span of time, in its two largest units."""
        left = max(int(milliseconds), 0)
        if left < _SECOND:
            return f"{left} ms"
        if left < 10 * _SECOND:
            return f"{self.decimal(left / _SECOND)} s"
        if left < _MINUTE:
            return f"{left // _SECOND} s"
        for (unit, size), (part, fraction) in pairwise(_UNITS):
            if left >= size:
                rest = left % size // fraction
                return f"{self.number(left // size)} {unit}" + (f" {rest} {part}" if rest else "")
        raise AssertionError("a minute is the smallest that is left")

    def size(self, count: int) -> str:
        """So many bytes."""
        value = float(count)
        for unit in _SIZES:
            if value < 1000 or unit == _SIZES[-1]:
                return f"{self.decimal(value, 0 if unit == 'B' or value >= 100 else 1)} {unit}"
            value /= 1000
        raise AssertionError("the last unit takes all")

    def ago(self, now: int, instant: int) -> str:
        """How long ago an instant was, or in how long it will be."""
        span = self.about(abs(now - instant))
        pattern = self.gettext("{span} ago") if instant <= now else self.gettext("in {span}")
        return pattern.format(span=span)

    def about(self, milliseconds: int) -> str:
        """A span in its largest unit, rounded, as is enough for how long ago something was."""
        for unit, size in _UNITS:
            count = (milliseconds + size // 2) // size
            if count >= 2 or (unit == "s" or (unit == "min" and count)):
                return f"{self.number(count)} {unit}"
        raise AssertionError("the last unit takes all")

    def instant(self, instant: int) -> str:
        """An instant, for who wants to know exactly: UTC, to the second."""
        stamp = format_instant(instant)
        return f"{stamp[:10]} {stamp[11:19]} UTC"


@cache
def languages() -> dict[str, Language]:
    """All languages there are, English among them, by code."""
    found = {"en": Language("en", {}, {})}
    for path in sorted(LOCALES.glob("*/LC_MESSAGES/messages.po")):
        code = path.parent.parent.name
        with path.open("rb") as file:
            catalogue = read_po(file, locale=code)
        messages: dict[str, str] = {}
        plurals: dict[str, tuple[str, ...]] = {}
        for message in catalogue:
            if not message.id or message.fuzzy or not message.string:
                continue
            if isinstance(message.string, str):
                messages[str(message.id)] = message.string
            else:
                plurals[message.id[0]] = tuple(message.string)
        found[code] = Language(code, messages, plurals)
    return found


def choose(accepted: str) -> Language:
    """The language that an Accept-Language header likes best; English when there is none of its own."""
    known = languages()
    wishes: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted[:500].split(",")):
        tag, _, quality = part.strip().partition(";q=")
        try:
            wishes.append((-float(quality or 1), place, tag.partition("-")[0].lower()))
        except ValueError:
            continue
    return next((known[code] for _, _, code in sorted(wishes) if code in known), known["en"])
