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
#: Letters are found fast, but each of these may have to be tried again at every place of a text.
MAX_WILDCARDS: Final = 32

#: A star, a question mark, a set (which the pattern's end closes too), or a letter that stands for itself.
_TOKEN: Final = re.compile(r"[*?]|\[(\^?)((?:\\.|[^\]\\])*+\\?)(?:\]|\Z)|(?:\\(?=.))?(.)", re.DOTALL)
#: What a set is made of: a letter behind a backslash, a range, a letter.
_INSIDE: Final = re.compile(r"\\(.)|([^\\])-(.)|(.)", re.DOTALL)


class Glob:
    """A compiled pattern; `matches` tells whether it covers a whole text."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MAX_PATTERN:
            raise Refusal(f"invalid format: a regexp may have at most {MAX_PATTERN} characters")
        if sum(token[0][0] in "?[" for token in _TOKEN.finditer(pattern)) > MAX_WILDCARDS:
            raise Refusal(f"invalid format: a regexp may have at most {MAX_WILDCARDS} of ? and [...]")
        (first, _), *rest = _pieces(pattern)
        self._first = re.compile(first, re.DOTALL)
        self._middle = [re.compile(piece, re.DOTALL) for piece, length in rest[:-1] if length]
        self._last = re.compile(rest[-1][0], re.DOTALL) if rest else None
        self._last_length = rest[-1][1] if rest else 0

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


def _pieces(pattern: str) -> list[tuple[str, int]]:
    """The pieces between the stars, each as a regular expression and the number of letters that it covers."""
    pieces, piece, length = [], "", 0
    for token in _TOKEN.finditer(pattern):
        negated, inside, letter = token.groups()
        if token[0] == "*":
            pieces.append((piece, length))
            piece, length = "", 0
            continue
        if token[0] == "?":
            piece += "."
        elif inside is not None:
            piece += _letters(inside, negated)
        else:
            piece += re.escape(letter)
        length += 1
    return [*pieces, (piece, length)]


def _letters(inside: str, negated: str) -> str:
    """A set of letters as a regular expression; a range may stand the wrong way round."""
    letters = ""
    for escaped, low, high, letter in _INSIDE.findall(inside):
        if low:
            letters += "-".join(re.escape(end) for end in sorted((low, high)))
        else:
            letters += re.escape(escaped or letter)
    if letters:
        return f"[{negated}{letters}]"
    return "." if negated else "(?!)"
