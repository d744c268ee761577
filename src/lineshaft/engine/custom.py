"""Custom: what a job asks of the server's features, read once, when it is pushed.

`custom` is the client's own: its bytes stay as they are, and keys that are not here mean nothing to the server. The
keys that are have to be of their type, since a job that is believed to be unique and is not does harm.
"""

from hashlib import blake2b
from typing import Annotated, Final

from msgspec import Meta, Raw, Struct, ValidationError, json

from lineshaft.backoff import parse_backoff
from lineshaft.clock import parse_instant
from lineshaft.engine.batch import BATCHED
from lineshaft.engine.expiring import EXPIRING
from lineshaft.engine.records import Extras
from lineshaft.engine.tracks import TRACKED
from lineshaft.engine.unique import UNIQUE, UNIQUE_UNTIL_START
from lineshaft.errors import Refusal
from lineshaft.job import Job

__all__ = ["Wishes", "read_custom"]

#: A hundred years: what is further away is as good as never, and an instant must fit into its key.
MAX_SECONDS: Final = 100 * 366 * 86_400

#: Ours have 18 characters; a longer one is none of them, and need not be kept whole.
MAX_BID_LENGTH: Final = 100

Seconds = Annotated[float, Meta(ge=0)]


class Custom(Struct, gc=False):
    """The keys of `custom` that the server knows."""

    unique_for: Seconds | None = None
    unique_until: str | None = None
    expires_at: str | None = None
    expires_in: Seconds | None = None
    track: Raw = Raw(b"")  #: as `backoff`: only 1 and true are ours
    bid: Raw = Raw(b"")  #: as `backoff`
    backoff: Raw = Raw(b"")  #: a client may have its own use for the word, so only a string is ours


class Wishes(Struct, frozen=True, gc=False):
    """What a job asks for: what its Extras are to keep, and what only the push needs."""

    extras: Extras
    lock_until: int = 0


_decode: Final = json.Decoder(Custom).decode


def read_custom(job: Job, now: int, at: int | None) -> Wishes | None:
    """What a pushed job asks for, which is to run at `at`, or now; None for nothing. Raises Refusal."""
    try:
        custom = _decode(job.custom)
    except ValidationError as error:
        raise Refusal(f"invalid custom: {error}") from None
    begin = now if at is None else at
    uses = lock = ""
    expires = _expires(custom, begin)
    if expires is not None:
        uses += EXPIRING
    lock_until = 0
    if custom.unique_for:
        uses += _unique_letter(custom.unique_until)
        lock, lock_until = _digest(job), begin + milliseconds(custom.unique_for)
    if bytes(custom.track) in {b"1", b"true"}:
        uses += TRACKED
    bid = _bid(custom.bid)
    if bid:
        uses += BATCHED
    extras = Extras(uses=uses, lock=lock, backoff=_backoff(custom.backoff), expires=expires or 0, bid=bid)
    return Wishes(extras, lock_until) if extras != _NOTHING else None


_NOTHING: Final = Extras()


def milliseconds(seconds: float) -> int:
    """Seconds as a client gives them, rounded up."""
    return -int(-min(seconds, MAX_SECONDS) * 1000 // 1)


def _unique_letter(until: str | None) -> str:
    if until in (None, "", "success"):
        return UNIQUE
    if until == "start":
        return UNIQUE_UNTIL_START
    raise Refusal('invalid custom: unique_until must be "success" or "start"')


def _expires(custom: Custom, begin: int) -> int | None:
    """The instant after which the job is not to run; None when it may at any time."""
    ends = []
    if custom.expires_in is not None:
        ends.append(begin + milliseconds(custom.expires_in))
    if custom.expires_at:
        try:
            ends.append(parse_instant(custom.expires_at))
        except (ValueError, OverflowError):
            raise Refusal(f"invalid timestamp for 'expires_at': {custom.expires_at[:100]}") from None
    return max(min(ends), 1) if ends else None


def _bid(sent: Raw) -> str:
    """The batch that a job asks to join; what no bid can be names a batch that is not known."""
    if bytes(sent)[:1] != b'"':
        return ""
    bid: str = json.decode(sent)
    return bid[:MAX_BID_LENGTH]


def _backoff(sent: Raw) -> str:
    """What stands under `backoff`, if it is a string at all."""
    if bytes(sent)[:1] != b'"':
        return ""
    text: str = json.decode(sent)
    try:
        parse_backoff(text)
    except ValueError as error:
        raise Refusal(f"invalid custom: {error}") from None
    return text


def _digest(job: Job) -> str:
    """Tells jobs apart by type, arguments (byte for byte) and queue."""
    queue, jobtype, args = (job.queue or "").encode(), job.jobtype.encode(), bytes(job.args)
    text = b"%d:%b%d:%b%d:%b" % (len(queue), queue, len(jobtype), jobtype, len(args), args)
    return blake2b(text, digest_size=16).hexdigest()
