"""The job as it travels: what a client may send, what a worker is given, what a failure leaves on it.

One record, `Job`, serves the wire and the disk. `args` and `custom` stay raw bytes from the socket to the
worker, so no float is rounded and no key is moved. What the server keeps about a job and no worker may see
(its priority, for one: a client refuses a job with a field that it does not know) is not in here but in
`engine.value`.

After `admit` a job is one that the server can hold: every check has passed, defaults stand where the
protocol wants them, and what is absent, null, empty or zero is None and so not encoded
(docs/protocol.md, "The job").
"""

from typing import Annotated, Any, Final

from msgspec import DecodeError, Meta, Raw, Struct
from msgspec import json as msgspec_json

from lineshaft.errors import Refusal
from lineshaft.fields import Decoder, instant_of

__all__ = [
    "ABSENT",
    "ARGS_FIRST",
    "DEFAULT_PRIORITY",
    "DEFAULT_QUEUE",
    "DEFAULT_RESERVE_SECONDS",
    "DEFAULT_RETRY",
    "MAX_JID_LENGTH",
    "MAX_RESERVE_SECONDS",
    "MIN_RESERVE_SECONDS",
    "UNREADABLE",
    "Failure",
    "Job",
    "admit",
    "decode_pushed",
    "decode_pushed_list",
    "decode_stored",
    "encode_job",
    "refuse_args",
    "reserve_seconds",
    "take_instant",
    "take_priority",
]

DEFAULT_QUEUE: Final = "default"
DEFAULT_RETRY: Final = 25
DEFAULT_PRIORITY: Final = 5

#: Long enough for every client's job ids with room to spare; it bounds the keys of the index.
MAX_JID_LENGTH: Final = 512
MIN_RESERVE_SECONDS: Final = 60
MAX_RESERVE_SECONDS: Final = 86_400
DEFAULT_RESERVE_SECONDS: Final = 1800

#: Clients hold these in 32-bit integers.
SmallInt = Annotated[int, Meta(ge=-(2**31), lt=2**31)]

ABSENT: Final = Raw(b"")
"""What a raw field holds that was not sent."""

ARGS_FIRST: Final = b'{"args":['
"""How an encoded job begins whose `args` is an array: they come first, so one look tells."""

#: The priorities as clients spell them; raw, since one may send a number that fits nowhere.
_PRIORITIES: Final = {b"%d" % priority: priority for priority in range(1, 10)}


class Failure(Struct, kw_only=True, omit_defaults=True):
    """What the last failures of a job left on it, as its next worker sees it."""

    retry_count: int  #: 0 on the first failure
    remaining: int  #: retries left, never below 0
    failed_at: str  #: when it failed first, RFC 3339
    next_at: str | None = None  #: when it runs again; absent on a dead job
    message: str
    errtype: str
    backtrace: list[str] | None = None


class Job(Struct, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """A job with the fields of the protocol; None is absent.

    `args` comes first so that its kind can be seen at a fixed place of the encoded job. The record is not
    tracked by the garbage collector: none of its values can refer back to it.
    """

    args: Raw = ABSENT
    jid: str = ""
    queue: str | None = None
    jobtype: str = ""
    at: str | None = None
    retry: SmallInt | None = None
    reserve_for: SmallInt | None = None
    backtrace: SmallInt | None = None
    created_at: str | None = None
    enqueued_at: Any = None  #: the server's; whatever a client sends here is dropped
    failure: Any = None  #: the server's, a Failure
    custom: Raw = ABSENT
    priority: Raw = ABSENT  #: taken off by `take_priority`; a wrong type or range means the default


class _StoredJob(Job, gc=False, omit_defaults=True):
    """A job as it is read back, with its failure typed."""

    failure: Failure | None = None


_pushed: Final = Decoder(Job)
decode_pushed = _pushed.decode
"""Bytes of a PUSH to a Job, not yet admitted. Raises Refusal `invalid JSON: ...`."""

decode_pushed_list = _pushed.decode_list
"""Bytes of a PUSHB to its Jobs. Raises Refusal for the whole list when one is not a job-shaped object."""

#: What a decoder raises over bytes that are not what they were: text that is none is no DecodeError.
UNREADABLE: Final = (DecodeError, ValueError, OverflowError, RecursionError)

decode_stored = msgspec_json.Decoder(_StoredJob).decode
"""Bytes that `encode_job` made, to a Job. Raises one of UNREADABLE when they are damaged."""

encode_job = msgspec_json.Encoder().encode
"""A Job to the bytes that are stored and sent to the worker."""


def admit(job: Job, stamp: str) -> str:
    """Check a pushed job and bring it into the form in which it is held; `stamp` is now, RFC 3339. Returns its queue.

    Raises Refusal with the texts that clients match. The job may be half normalised then, and is dropped.
    """
    if not 8 <= len(job.jid) <= MAX_JID_LENGTH:
        raise Refusal("jobs must have a reasonable jid parameter")
    if not job.jobtype:
        raise Refusal("jobs must have a jobtype parameter")
    if job.args is ABSENT:
        raise Refusal("jobs must have an args parameter")
    queue = job.queue
    if not queue:
        job.queue = queue = DEFAULT_QUEUE
    if job.retry is None:
        job.retry = DEFAULT_RETRY
    if job.reserve_for is not None:
        _admit_reserve_for(job)
    if job.backtrace == 0:
        job.backtrace = None
    if not job.created_at:
        job.created_at = stamp
    if job.failure is not None:
        job.failure = None
    if job.custom is not ABSENT:
        _admit_custom(job)
    return queue


def _admit_reserve_for(job: Job) -> None:
    if job.reserve_for and job.reserve_for > MAX_RESERVE_SECONDS:
        raise Refusal("jobs cannot be reserved for more than one day")
    job.reserve_for = job.reserve_for or None


def _admit_custom(job: Job) -> None:
    custom = bytes(job.custom)
    if custom.startswith(b'{"'):
        return
    if custom == b"null" or (custom[:1] == b"{" and not custom[1:-1].strip()):
        job.custom = ABSENT
    elif custom[:1] != b"{":
        raise Refusal("invalid JSON: custom must be an object")


def refuse_args(job: Job) -> Refusal:
    """The refusal for a job whose `args` is no array."""
    if bytes(job.args) == b"null":
        return Refusal("jobs must have an args parameter")
    return Refusal("invalid JSON: args must be an array")


def take_instant(job: Job, *, after: int) -> int | None:
    """When the job asks to run, in milliseconds; None for at once, as for what is not `after`. Raises Refusal."""
    at, job.at = job.at, job.at or None
    if not at:
        return None
    instant = instant_of("at", at)
    return instant if instant is not None and instant > after else None


def take_priority(job: Job) -> int:
    """Take the priority off the job, since no worker is shown it: 1 to 9, the default for anything else."""
    if job.priority is ABSENT:
        return DEFAULT_PRIORITY
    sent, job.priority = bytes(job.priority), ABSENT
    return _PRIORITIES.get(sent, DEFAULT_PRIORITY)


def reserve_seconds(reserve_for: int | None, default: int = DEFAULT_RESERVE_SECONDS) -> int:
    """How long a worker may hold a job that asked for `reserve_for`, in seconds."""
    if reserve_for is None:
        return default
    return max(reserve_for, MIN_RESERVE_SECONDS)
