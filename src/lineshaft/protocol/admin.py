"""The arguments of the verbs that operators use: what is looked at, copied, adopted, and whom a worker hears from.

As in `commands`: bytes to records, bounded and of the right types; whether it makes sense is for the engine to say.
"""

from typing import Annotated, Final

from msgspec import Meta, Raw, Struct

from lineshaft.clock import parse_instant
from lineshaft.errors import Refusal
from lineshaft.fields import Decoder

__all__ = [
    "Adoption",
    "Inspect",
    "Signal",
    "instant_of",
    "parse_adopt",
    "parse_backup",
    "parse_inspect",
    "parse_signal",
]

#: As the kernel has it.
MAX_PATH_LENGTH: Final = 4096

Text = Annotated[str, Meta(max_length=1000)]


class Adoption(Struct, frozen=True, forbid_unknown_fields=True):
    """A job that comes from another server; its place is one of `lifecycle.Place`."""

    job: Raw
    place: str | None = None
    at: str | None = None  #: when it is due there, or when it died; RFC 3339


class Inspect(Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody wants to look at, and how much of it."""

    what: str | None = None
    cursor: Annotated[str, Meta(max_length=4096)] | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] | None = None
    # Of jobs.
    place: str | None = None
    jid: Text | None = None
    wid: Text | None = None
    newest: bool | None = None  #: of a set: the latest first
    # Of jobs, as a MUTATE chooses them.
    queue: Text | None = None
    jobtype: Text | None = None
    errtype: Text | None = None
    text: Text | None = None
    since: str | None = None
    until: str | None = None


class Signal(Struct, frozen=True, forbid_unknown_fields=True):
    """A worker is to go quiet or to terminate."""

    wid: str | None = None
    state: str | None = None


class _SentBackup(Struct, frozen=True, forbid_unknown_fields=True):
    """A BACKUP as it was sent."""

    dir: str | None = None


parse_adopt: Final = Decoder(Adoption).decode_list
"""Bytes of an ADOPT. Raises Refusal `invalid JSON: ...` for the whole."""

parse_inspect: Final = Decoder(Inspect).decode
"""Bytes of an INSPECT. Raises Refusal `invalid JSON: ...`."""

parse_signal: Final = Decoder(Signal).decode
"""Bytes of a SIGNAL. Raises Refusal `invalid JSON: ...`."""

_decode_backup: Final = Decoder(_SentBackup).decode


def parse_backup(argument: bytes) -> str:
    """Bytes of a BACKUP to its directory. Raises Refusal `invalid JSON: ...`, or `missing dir`."""
    directory = _decode_backup(argument).dir
    if not directory:
        raise Refusal("missing dir")
    if len(directory) > MAX_PATH_LENGTH:
        raise Refusal(f"dir is longer than {MAX_PATH_LENGTH} characters")
    return directory


def instant_of(name: str, sent: str | None) -> int | None:
    """An instant that was sent as RFC 3339; None for none. Raises Refusal."""
    if not sent:
        return None
    try:
        return parse_instant(sent)
    except (ValueError, OverflowError):
        raise Refusal(f"invalid timestamp for '{name}': {sent[:100]}") from None
