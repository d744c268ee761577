"""A job's value: its JSON exactly as its worker will receive it, so that a FETCH sends stored bytes untouched.

What the server alone keeps about a job stands in a line before it, and only where there is something to keep:

    {"args":[1],"jid":"..."}                        most jobs
    +{"seq":17,"priority":9}\\n{"args":[1],...}     a job with Extras

A JSON object cannot start with `+` and our JSON holds no newline outside strings, so the two cannot be confused.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct, json, structs

from lineshaft.job import DEFAULT_PRIORITY

__all__ = ["LETTERS", "NO_EXTRAS", "Extras", "Head", "decode_head", "join_moved", "join_value", "split_value"]


#: What stands for a feature in `Extras.uses` (see `features.FEATURES`).
LETTERS: Final = "usetbk"

_Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
_Instant = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_Priority = Annotated[int, Meta(ge=1, le=9)]


class Extras(Struct, frozen=True, omit_defaults=True, gc=False):
    """What the server keeps about a job and no worker is shown; the defaults are what most jobs have.

    Bounds are held against what is read, so that damage is met there, and not where something is made of it.
    """

    seq: _Count = 0  #: the job's identity, where the order in its key is another
    priority: _Priority = DEFAULT_PRIORITY
    recoveries: _Count = 0  #: how often it was taken back from a worker that vanished
    former: str = ""  #: the worker that it was taken back from last; its late ACK still counts
    uses: str = ""  #: the features that the job uses, a letter each (see `features.FEATURES`)
    lock: str = ""  #: the digest of a unique job, in hexadecimal
    backoff: str = ""  #: how long the job waits after a failure, as it was sent
    expires: _Instant = 0  #: from this instant on an expiring job is not to run any more
    place: _Count = 0  #: the order that the job keeps in its lane while it waits in a set; it holds that lane
    lane: str = ""  #: that lane
    bid: str = ""  #: the batch that it belongs to, or whose callback it is
    role: str = ""  #: of a callback: which one
    worker: str = ""  #: who had it when it failed last

    def at_home(self, *, seq: int, priority: int = DEFAULT_PRIORITY) -> "Extras":
        """The same with the seq and priority to be written where the key says them, or does not."""
        if seq == self.seq and priority == self.priority:
            return self
        return structs.replace(self, seq=seq, priority=priority)

    def own_priority(self, priority: int) -> int:
        """The job's priority, where `priority` is that in its key: a strict lane takes no notice of it there."""
        return priority if self.priority == DEFAULT_PRIORITY else self.priority

    def afresh(self) -> "Extras":
        """The same without what recoveries left on it, and without a place that it kept."""
        return structs.replace(self, seq=0, recoveries=0, former="", place=0, lane="")

    def after_failure(self, holder: str) -> "Extras":
        """The same afresh, and whose failure it was; a connection without a wid is nobody."""
        worker = "" if holder.startswith("\0") else holder
        return structs.replace(self, seq=0, recoveries=0, former="", place=0, lane="", worker=worker)


NO_EXTRAS: Final = Extras()

_encode_extras: Final = json.Encoder().encode
_decode_extras: Final = json.Decoder(Extras).decode


def join_value(extras: Extras, payload: bytes) -> bytes:
    """The stored value of a job."""
    if not extras.uses and extras == NO_EXTRAS:
        return payload
    return b"+%s\n%s" % (_encode_extras(extras), payload)


def join_moved(extras: Extras, seq: int, payload: bytes) -> bytes:
    """The same of a ready job whose key says its priority, and not its seq: nearly always there is nothing else."""
    if extras is NO_EXTRAS:
        return b'+{"seq":%d}\n%b' % (seq, payload)
    return join_value(extras.at_home(seq=seq), payload)


def split_value(value: bytes) -> tuple[Extras, bytes]:
    """The stored value of a job, taken apart. Raises one of UNREADABLE when it is damaged."""
    if value[:1] != b"+":
        return NO_EXTRAS, value
    line, _, payload = value.partition(b"\n")
    extras = _decode_extras(line[1:])
    if extras.uses:
        _check(extras)
    return extras, payload


def _check(extras: Extras) -> None:
    """Raises ValueError for a feature that there is not, or a lock that is none."""
    if extras.uses.strip(LETTERS):
        raise ValueError("it uses what there is not")
    if extras.lock:
        bytes.fromhex(extras.lock)


class Head(Struct, gc=False):
    """The few fields of a stored job that a FETCH needs, or its lease."""

    jid: str
    reserve_for: int | None = None
    jobtype: str = ""


decode_head: Final = json.Decoder(Head).decode
"""A job's payload to its Head."""
