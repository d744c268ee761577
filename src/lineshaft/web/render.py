"""Rendering: templates to pages, in the visitor's language, with links that know the prefix of a proxy.

Everything that comes from clients goes through Jinja's escaping; no template marks anything as safe. The templates are
compiled when the server starts, since compiling one takes longer than a page may hold the loop.

A template is written piece by piece, between which others may have their turn; each piece goes through a generator for
every template it stands in, which costs more than the piece. So what is repeated, a row, is a macro: one piece. And
little is called for every row: a call from a template costs as much as three escaped values.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request

from lineshaft import __version__
from lineshaft.clock import format_instant
from lineshaft.web.access.accounts import Role
from lineshaft.web.access.security import visitor_of
from lineshaft.web.language import Language, choose
from lineshaft.web.pace import Pace

__all__ = ["STATIC", "Renderer", "apart", "cut", "href", "language_of", "prefix_of"]

TEMPLATES: Final = Path(__file__).parent / "templates"
STATIC: Final = Path(__file__).parent / "static"


def prefix_of(request: Request) -> str:
    """What a proxy puts in front of every path; empty without one."""
    prefix: str = request.scope["lineshaft.prefix"]
    return prefix


def language_of(request: Request) -> Language:
    """The language that the browser asks for."""
    return choose(request.headers.get("accept-language", ""))


def href(prefix: str, *parts: str, **query: object) -> str:
    """A link within the pages: the parts of its path, and a query of which what is empty is left out."""
    path = prefix + "/" + "/".join(quote(part, safe="") for part in parts)
    asked = {name: value for name, value in query.items() if value not in ("", None, 0)}
    return f"{path}?{urlencode(asked)}" if asked else path


def cut(text: object, most: int) -> str:
    """A text that fits, with a sign where it was cut."""
    whole = str(text)
    return whole if len(whole) <= most else whole[: most - 1] + "…"


def apart(name: str) -> str:
    """A name within a sentence of ours; one that is written from right to left leaves the rest of it as it is."""
    return name if name.isascii() else f"\u2068{name}\u2069"


class Renderer:
    """All templates, compiled."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._env = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            cache_size=-1,
        )
        self._env.filters["cut"] = cut
        self._env.globals.update(version=__version__)
        for name in self._env.list_templates():
            self._env.get_template(name)
        self._digests = {path.name: _digest(path) for path in STATIC.iterdir()}

    async def page(self, request: Request, template: str, now: int, context: Mapping[str, Any]) -> bytes:
        """A page for this request, written a little at a time: a long one must not hold the loop."""
        written: list[str] = []
        for piece in self._pieces(request, template, now, context):
            written.append(piece)
            await self._pace.rest()
        return "".join(written).encode("utf-8", "replace")

    def _pieces(self, request: Request, template: str, now: int, context: Mapping[str, Any]) -> Iterator[str]:
        language, prefix, visitor = language_of(request), prefix_of(request), visitor_of(request)
        ago, moment = _dates(language, now)
        return self._env.get_template(template).generate(
            _=partial(_text, language),
            ngettext=language.ngettext,
            lang=language,
            number=language.number,
            span=language.span,
            bytesize=language.size,
            ago=ago,
            moment=moment,
            href=partial(href, prefix),
            static=partial(self._static, prefix),
            who=visitor,
            may=lambda role: visitor.may(Role[role.upper()]),
            now=now,
            **context,
        )

    def _static(self, prefix: str, name: str) -> str:
        return href(prefix, "static", name, v=self._digests[name])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _text(language: Language, text: str, **fields: object) -> str:
    """A text of the catalogue, with what belongs into it."""
    translated = language.gettext(text)
    # In the catalogue a sign that stands for itself is doubled, whether there are fields or not.
    return translated % fields if fields else translated.replace("%%", "%")


def _dates(language: Language, now: int) -> tuple[Callable[[int], Markup], Callable[[int], Markup]]:
    """How long ago an instant was, and when exactly: as short as a table wants it, and in full.

    Numbers and texts of the catalogue: there is nothing in them to escape.
    """

    def ago(instant: int) -> Markup:
        stamp = format_instant(instant)
        exact = f"{stamp[:10]} {stamp[11:19]} UTC"
        return Markup(f'<time datetime="{stamp}" title="{exact}">{language.ago(now, instant)}</time>')

    def moment(instant: int) -> Markup:
        stamp = format_instant(instant)
        exact = f"{stamp[:10]} {stamp[11:19]} UTC"
        told = language.ago(now, instant)
        return Markup(f'<time datetime="{stamp}">{exact}</time> <span class="dim">({told})</span>')

    return ago, moment
