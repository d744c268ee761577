"""For the reference: what our sources say in ways of their own.

`Commands.info` is written as `-> Talk[Info]` and marked `@verb`; who calls `client.info()` gets an `Info`, so that is
what is shown. And the fields of a record are documented by a comment, `#:`, or need none beside their name and type.
"""

import re
from typing import Any, Final

import griffe

__all__ = ["Talks"]

_COMMENT: Final = re.compile(r"#: ?(.*)")


class Talks(griffe.Extension):
    """Takes `Talk[...]` off what verbs return, and gives fields their comments."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """One function or method."""
        is_verb = any(str(decorator.value) == "verb" for decorator in func.decorators)
        if is_verb and isinstance(func.returns, griffe.ExprSubscript) and str(func.returns.left) == "Talk":
            func.returns = func.returns.slice

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """One field."""
        if attr.docstring is None and attr.lineno and not attr.name.startswith("_"):
            comment = _comment(attr.lines_collection[attr.filepath], attr.lineno - 1)
            bases = getattr(attr.parent, "bases", [])
            if comment or any(str(base) in ("Struct", "TypedDict") for base in bases):
                attr.docstring = griffe.Docstring(comment or "\u200b", parent=attr)


def _comment(lines: list[str], line: int) -> str:
    """What stands behind the field, or else above it."""
    if found := _COMMENT.search(lines[line]):
        return found[1]
    above: list[str] = []
    while line and (found := re.match(r" *#: ?(.*)", lines[line - 1])):
        above.insert(0, found[1])
        line -= 1
    return " ".join(above)
