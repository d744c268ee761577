"""Custom: what a job asks of the server's features, read once, when it is pushed.

`custom` is the client's own: its bytes stay as they are, and keys that are not here mean nothing to the server. The
keys that are have to be of their type, since a job that is believed to be unique and is not does harm.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Final

from msgspec import Meta, Raw, Struct, ValidationError, json

from lineshaft.backoff import parse_backoff
from lineshaft.engine.feature import BATCHED, EXPIRING, TRACKED, UNIQUE, UNIQUE_UNTIL_START
from lineshaft.engine.leases import NEVER
from lineshaft.engine.value import Extras
from lineshaft.errors import Refusal
from lineshaft.fields import instant_of
from lineshaft.job import Job

__all__ = ["NO_WISHES", "Wishes", "read_custom"]

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


class _Asked(Struct, frozen=True):
    """What a `custom` asks for, whichever job carries it and whenever it comes."""

    wishes: Wishes | None  #: all but the lock and the expiry
    uses: str
    unique_for: int  #: milliseconds; 0 for a job that is not unique
    expires_in: int | None  #: milliseconds
    expires_at: int | None  #: an instant


NO_WISHES: Final = Wishes(Extras())

_decode: Final = json.Decoder(Custom).decode

#: What is no longer than this, which any limit allows, is remembered once it was read: the jobs of one kind often ask
#: in the same words.
SHORT_BYTES: Final = 200


def read_custom(job: Job, now: int, at: int | None, *, most: int | None = None) -> Wishes | None:
    """What a pushed job asks for, which is to run at `at`, or now; None for nothing.

    `most` is how many bytes a `custom` may have that comes in; None for one that is here already. Raises Refusal.
    """
    custom = bytes(job.custom)
    asked = _remembered(custom) if len(custom) <= SHORT_BYTES else _read(custom, most)
    if not asked.unique_for and asked.expires_in is None and asked.expires_at is None:
        return asked.wishes
    begin = now if at is None else at
    known = (asked.wishes or NO_WISHES).extras
    lock = _digest(job) if asked.unique_for else ""
    extras = Extras(uses=asked.uses, lock=lock, backoff=known.backoff, expires=_expires(asked, begin), bid=known.bid)
    return Wishes(extras, begin + asked.unique_for if lock else 0)


def _expires(asked: _Asked, begin: int) -> int:
    """When a job is not to run any more; 0 for never."""
    if asked.expires_in is None and asked.expires_at is None:
        return 0
    after = NEVER if asked.expires_in is None else begin + asked.expires_in
    return max(min(after, NEVER if asked.expires_at is None else asked.expires_at), 1)


def _read(sent: bytes, most: int | None = None) -> _Asked:
    """Read a `custom`. Raises Refusal."""
    if most is not None and len(sent) > most:
        raise Refusal(f"custom is too large: {len(sent)} bytes, and the limit is {most}")
    try:
        custom = _decode(sent)
    except ValidationError as error:
        raise Refusal(f"invalid custom: {error}") from None
    expires_in = None if custom.expires_in is None else milliseconds(custom.expires_in)
    expires_at = instant_of("expires_at", custom.expires_at)
    unique_for = milliseconds(custom.unique_for or 0)
    bid = _bid(custom.bid)
    timed = "" if expires_in is None and expires_at is None else EXPIRING
    unique = _unique_letter(custom.unique_until) if unique_for else ""
    tracked = TRACKED if bytes(custom.track) in {b"1", b"true"} else ""
    uses = timed + unique + tracked + (BATCHED if bid else "")
    extras = Extras(uses=uses, backoff=_backoff(custom.backoff), bid=bid)
    return _Asked(None if extras == NO_WISHES.extras else Wishes(extras), uses, unique_for, expires_in, expires_at)


_remembered: Final = lru_cache(maxsize=1024)(_read)


def milliseconds(seconds: float) -> int:
    """Seconds as a client gives them, rounded up."""
    return -int(-min(seconds, MAX_SECONDS) * 1000 // 1)


def _unique_letter(until: str | None) -> str:
    if until in (None, "", "success"):
        return UNIQUE
    if until == "start":
        return UNIQUE_UNTIL_START
    raise Refusal('invalid custom: unique_until must be "success" or "start"')


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
