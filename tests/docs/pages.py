"""The project's pages as the tests of this folder read them: blocks of code, inline code, tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, and its text with the last newline."""

    language: str
    text: str


def read(name: str) -> str:
    """The text of a page, named from the project's root."""
    return (ROOT / name).read_text("utf-8")


def prose(text: str) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", text)


def blocks(text: str, *languages: str) -> list[Block]:
    """The fenced blocks of these languages, in order."""
    found = [Block(language, body) for language, body in _FENCE.findall(text)]
    return [block for block in found if block.language in languages]


def every_block() -> Iterator[tuple[str, Block]]:
    """The fenced blocks of all pages and of the examples' own, each with its page as named from the project's root."""
    for page in [*PAGES, *sorted((ROOT / "examples").rglob("*.md"))]:
        for language, body in _FENCE.findall(page.read_text("utf-8")):
            yield str(page.relative_to(ROOT)), Block(language, body)


def inline(text: str) -> list[str]:
    """Everything set as code inside the text; line breaks in it are spaces."""
    return [" ".join(code.split()) for code in _INLINE.findall(prose(text))]


def section(text: str, heading: str) -> str:
    """What stands under a heading, whatever its level, up to the next one of that level or above."""
    start = re.search(rf"^(#+) {re.escape(heading)}\n", text, re.MULTILINE)
    assert start is not None, f"no heading {heading!r}"
    end = re.compile(rf"^#{{1,{len(start[1])}}} ", re.MULTILINE).search(text, start.end())
    return text[start.end() : end.start() if end else len(text)]


def table(text: str, *, head: str) -> list[list[str]]:
    """The rows of the table whose header row begins with the cell `head`."""
    found = re.search(rf"^\| {re.escape(head)} \|.*\n\|[ |:-]+\|\n((?:\|.*\n)*)", text, re.MULTILINE)
    assert found is not None, f"no table that begins with {head!r}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]
