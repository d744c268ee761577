"""Rendering: templates to pages, in the visitor's language, with links that know the prefix of a proxy.

Everything that comes from clients goes through Jinja's escaping; no template marks anything as safe. The templates are
compiled when the server starts, since compiling one takes longer than a page may hold the loop.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from starlette.requests import Request

from lineshaft import __version__
from lineshaft.clock import format_instant
from lineshaft.web.accounts import Role
from lineshaft.web.language import Language, choose
from lineshaft.web.security import visitor_of

__all__ = ["STATIC", "Renderer", "cut", "href", "language_of", "prefix_of"]

#: After so long others have their turn.
STRETCH_SECONDS: Final = 0.001

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


class Renderer:
    """All templates, compiled."""

    def __init__(self) -> None:
        self._env = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            cache_size=-1,
            extensions=["jinja2.ext.i18n"],
        )
        self._env.install_gettext_callables(_gettext, _ngettext, newstyle=True)  # type: ignore[attr-defined]
        self._env.filters["cut"] = cut
        self._env.globals.update(version=__version__, iso=format_instant)
        for name in self._env.list_templates():
            self._env.get_template(name)
        self._digests = {path.name: _digest(path) for path in STATIC.iterdir()}

    async def page(self, request: Request, template: str, now: int, context: Mapping[str, Any]) -> bytes:
        """A page for this request, written a millisecond at a time: a long one must not hold the loop."""
        written: list[str] = []
        began = perf_counter()
        for piece in self._pieces(request, template, now, context):
            written.append(piece)
            if perf_counter() - began > STRETCH_SECONDS:
                await asyncio.sleep(0)
                began = perf_counter()
        return "".join(written).encode("utf-8", "replace")

    def _pieces(self, request: Request, template: str, now: int, context: Mapping[str, Any]) -> Iterator[str]:
        language, prefix, visitor = language_of(request), prefix_of(request), visitor_of(request)
        return self._env.get_template(template).generate(
            lang=language,
            number=language.number,
            span=language.span,
            bytesize=language.size,
            ago=partial(language.ago, now),
            exact=language.instant,
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


@pass_context
def _gettext(context: Context, text: str) -> str:
    language: Language = context["lang"]
    return language.gettext(text)


@pass_context
def _ngettext(context: Context, one: str, many: str, count: int) -> str:
    language: Language = context["lang"]
    # Filled in here, so that the number has its digits in groups.
    return language.ngettext(one, many, count).replace("%(num)s", language.number(count))
