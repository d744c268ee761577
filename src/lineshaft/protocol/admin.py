"""The arguments of the verbs that operators use: to look, to act on many jobs, to copy and adopt, to reach workers.

As in `commands`: bytes to records, bounded and of the right types; whether it makes sense is for the engine to say.
"""

from typing import Annotated, Final

from msgspec import Meta, Raw, Struct

from lineshaft.errors import Refusal
from lineshaft.fields import Decoder
from lineshaft.protocol.commands import SUBCOMMANDS

__all__ = [
    "Adoption",
    "Filter",
    "Inspect",
    "Mutate",
    "Signal",
    "parse_adopt",
    "parse_backup",
    "parse_cron",
    "parse_inspect",
    "parse_mutate",
    "parse_signal",
]

#: As the kernel has it.
MAX_PATH_LENGTH: Final = 4096

Text = Annotated[str, Meta(max_length=1000)]
"""What jobs are compared with."""


class Filter(Struct, frozen=True, forbid_unknown_fields=True):
    """Which jobs a MUTATE is about; nothing set means all.

    An unknown or differently cased key is refused, unlike everywhere else: dropping it would widen the command, in
    the end to every job there is.
    """

    jids: list[str] | None = None
    jobtype: str | None = None
    regexp: str | None = None
    # Beyond the protocol; as `engine.search.filter` has it.
    queue: Text | None = None
    errtype: Text | None = None
    text: Text | None = None
    since: str | None = None
    until: str | None = None


class Mutate(Struct, frozen=True, forbid_unknown_fields=True):
    """Something is to be done to many jobs at once."""

    cmd: str | None = None
    target: str | None = None
    filter: Filter | None = None


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

_decode_mutate: Final = Decoder(Mutate).decode
_decode_backup: Final = Decoder(_SentBackup).decode


def parse_mutate(argument: bytes) -> Mutate:
    """Bytes of a MUTATE. Raises Refusal `invalid format`."""
    try:
        return _decode_mutate(argument)
    except Refusal:
        raise Refusal("invalid format") from None


def parse_cron(argument: bytes) -> tuple[str, str]:
    """CRON's subcommand, in upper case whatever it was, and the name after it. Raises Refusal."""
    subcommand, _, rest = argument.strip().partition(b" ")
    word, name = subcommand.decode(errors="replace").upper(), rest.strip().decode(errors="replace")
    if word not in SUBCOMMANDS["CRON"]:
        raise Refusal(f"no such CRON subcommand: {word[:50]}")
    if word != "LIST" and not name:
        raise Refusal(f"CRON {word} needs the name of a periodic job")
    if word == "LIST" and name:
        raise Refusal("CRON LIST takes no name")
    return word, name


def parse_backup(argument: bytes) -> str:
    """Bytes of a BACKUP to its directory. Raises Refusal `invalid JSON: ...`, or `missing dir`."""
    directory = _decode_backup(argument).dir
    if not directory:
        raise Refusal("missing dir")
    if len(directory) > MAX_PATH_LENGTH:
        raise Refusal(f"dir is longer than {MAX_PATH_LENGTH} characters")
    return directory
