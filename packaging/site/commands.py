"""The page of all commands, made of the parsers that run them."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lineshaft.cli.app import build_app
from lineshaft.cli.work import parser

__all__ = ["page"]

_HEAD: Final = """# Commands

Every command with its arguments and flags, as `lineshaft COMMAND --help` prints them. What they have in common (exit
codes, `--json`, filters) is on the page of [the command line](../command-line.md).

"""


def page() -> str:
    """Its Markdown."""
    text: str = build_app().generate_docs(output_format="markdown", flatten_commands=True, heading_level=2)
    _, _, commands = text.partition("\n## lineshaft serve\n")
    assert commands, "the parser's page has changed its shape"
    sections = re.split(r"^## (lineshaft .+)$", f"## lineshaft serve\n{commands}", flags=re.MULTILINE)[1:]
    return _HEAD + "\n".join(
        f"## {heading}\n\n{_work() if heading == 'lineshaft work' else text.strip()}\n"
        for heading, text in zip(sections[::2], sections[1::2], strict=True)
    )


def _work() -> str:
    """The worker's command has a parser of its own."""
    with _columns(90):
        return f"```text\n{parser().format_help().strip()}\n```"


@contextmanager
def _columns(number: int) -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(number)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
