"""Globs as Redis matches them: `*`, `?`, `[abc]`, `[^a-z]`, and a backslash before what is meant literally.

The pattern comes from a client and runs over every job of a set, so it must not be able to take long: between
two stars stands a piece of fixed length, and taking the leftmost match of each piece is enough. That is linear
in the text for each piece, where a regular expression with several `.*` can go back and forth for ever.
"""

import re
from typing import Final

from lineshaft.errors import Refusal

__all__ = ["Glob"]

#: Nobody writes a longer one by hand, and each piece costs a pass over every job.
MAX_PATTERN: Final = 1000


class Glob:
    """A compiled pattern; `matches` tells whether it covers a whole text."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MAX_PATTERN:
            raise Refusal(f"invalid format: a regexp may have at most {MAX_PATTERN} characters")
        first, *rest = _pieces(pattern)
        self._first = re.compile(first, re.DOTALL)
        self._starred = bool(rest)
        self._middle = [re.compile(piece, re.DOTALL) for piece in rest[:-1] if piece]
        self._last = re.compile(f"(?:{rest[-1]})\\Z", re.DOTALL) if rest else None
        self._last_length = len(_plain_length(rest[-1])) if rest else 0

    def matches(self, text: str) -> bool:
        """Whether the pattern covers all of `text`."""
        start = self._first.match(text)
        if start is None:
            return False
        if self._last is None:
            return start.end() == len(text)
        position = start.end()
        for piece in self._middle:
            found = piece.search(text, position)
            if found is None:
                return False
            position = found.end()
        tail = len(text) - self._last_length
        return tail >= position and self._last.match(text, tail) is not None


def _pieces(pattern: str) -> list[str]:
    """The pieces between the stars, each as a regular expression of fixed length."""
    pieces, piece, at = [], "", 0
    while at < len(pattern):
        letter = pattern[at]
        at += 1
        if letter == "*":
            pieces.append(piece)
            piece = ""
        elif letter == "?":
            piece += "."
        elif letter == "[" and (end := pattern.find("]", at + 1)) > 0:
            piece += _letters(pattern[at:end])
            at = end + 1
        elif letter == "\\" and at < len(pattern):
            piece += re.escape(pattern[at])
            at += 1
        else:
            piece += re.escape(letter)
    return [*pieces, piece]


def _letters(inside: str) -> str:
    """A set of letters: `[^...]` and ranges as they stand, everything else literally."""
    negated = inside.startswith("^")
    letters = inside[1:] if negated else inside
    escaped = re.sub(r"([\[\]\\^&~|])", r"\\\1", letters)
    return f"[{'^' if negated else ''}{escaped}]" if escaped else "(?!)"


def _plain_length(piece: str) -> str:
    """A stand-in with as many letters as the piece matches."""
    return re.sub(r"\[\^?(?:\\.|[^\]\\])*\]|\\.|.", "x", piece, flags=re.DOTALL)
