"""Forms: how one is read, and how what it asks for is done and noted.

Each goes through the engine's own verbs and is answered when it is on disk, by a redirect (302), as scripts expect it
(docs/howto/dashboard.md). What has gone meanwhile is no error. Every action is noted in the audit log, also one that
was refused.
"""

from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from lineshaft.engine.admin.mutate import MOST_JIDS
from lineshaft.engine.engine import Engine
from lineshaft.errors import LineshaftError, Refusal
from lineshaft.web.access.accounts import Role
from lineshaft.web.access.security import visitor_of
from lineshaft.web.site import Site

__all__ = ["MOST_FIELDS", "MOST_FORM_BYTES", "Form", "act", "field_of", "read_form", "refused"]

T = TypeVar("T")

#: A form with more than the keys of the largest page is none of ours.
MOST_FIELDS: Final = MOST_JIDS + 100

#: Taking it apart must not hold the loop; larger jobs come by PUSH, or by the API.
MOST_FORM_BYTES: Final = 2 << 20

Form = dict[str, list[str]]


async def act(
    request: Request,
    site: Site,
    role: Role,
    what: str,
    target: str,
    verb: Callable[[Engine], T],
    count: int | None = None,
) -> T:
    """Do something for the visitor, if he may, and note it. Raises Forbidden, Refusal, StoreError.

    A verb that returns how many it concerned has that noted.
    """
    who = visitor_of(request).name
    now = site.pulse.now()
    try:
        site.need(request, role)
        result = await site.backend.act(verb)
    except Exception as error:
        told = str(error) if isinstance(error, LineshaftError) else type(error).__name__
        site.audit.note(now, who, what, target, count, outcome=told)
        raise
    site.audit.note(now, who, what, target, result if isinstance(result, int) else count)
    return result


async def read_form(request: Request, *known: str) -> Form:
    """The fields of a form, of which all are `known`. Raises Refusal for others, and where it is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_FORM_BYTES:
            raise Refusal(f"a form has at most {MOST_FORM_BYTES >> 20} MiB")
    try:
        form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Refusal(f"a form has at most {MOST_FIELDS} fields") from None
    for name in form:
        # A field that is not looked at may have been meant to say: only these.
        if name not in known:
            raise Refusal(f"this form has no field {name[:60]!r}, only {', '.join(known)}")
    return form


def field_of(form: Form, name: str) -> str:
    """A field of a form; empty when it is not there."""
    return form.get(name, [""])[0]


def refused(text: str) -> Response:
    """A form that makes no sense."""
    return PlainTextResponse(text, 400)
