"""Filter: which of the jobs of a place are meant, by what an operator can say about them.

One function for all who ask: the pages that list jobs, the counts before a bulk action, and the bulk action itself
(`mutate`), so that what is shown, counted and changed is the same.
"""

from functools import lru_cache
from typing import Final

from msgspec import Struct

from lineshaft.engine.stats.groups import digest_of
from lineshaft.job import DEFAULT_QUEUE, Job

__all__ = ["EVERYTHING", "MOST_TEXT", "Filter", "contains"]

#: A text to look for is compared with every job; a longer one finds nothing that a shorter one would not.
MOST_TEXT: Final = 1000


class Filter(Struct, frozen=True, omit_defaults=True):
    """What a job must be like; what is empty, or 0, asks for nothing."""

    jobtype: str = ""  #: exactly
    queue: str = ""  #: exactly
    errtype: str = ""  #: that of the last failure, exactly
    text: str = ""  #: anywhere in the job as it is stored, arguments and error among it; case does not matter
    since: int = 0  #: an instant: due (dead: died) at or after it
    until: int = 0  #: an instant: due (dead: died) before it
    group: str = ""  #: the digest of a group of failures, in hexadecimal

    def matches(self, job: Job, payload: bytes, due: int) -> bool:
        """Whether a job is meant; `due` is the instant in its key, 0 for a job in a queue."""
        if self.jobtype and job.jobtype != self.jobtype:
            return False
        if self.queue and (job.queue or DEFAULT_QUEUE) != self.queue:
            return False
        if self.errtype and (job.failure is None or job.failure.errtype != self.errtype):
            return False
        if (self.since and due < self.since) or (self.until and due >= self.until):
            return False
        if self.group and digest_of(job).hex() != self.group:
            return False
        return not self.text or contains(payload, self.text)


EVERYTHING: Final = Filter()


def contains(payload: bytes, text: str) -> bool:
    """Whether a text stands in a stored job, whatever its case."""
    folded, plain = _folded(text)
    if payload.isascii():
        # Most jobs: for ASCII, lower case is the folded case, and nothing has to be decoded.
        return plain is not None and plain in payload.lower()
    return folded in payload.decode("utf-8", "replace").casefold()


@lru_cache(maxsize=64)
def _folded(text: str) -> tuple[str, bytes | None]:
    """A text as it is looked for, and as bytes where ASCII can hold it."""
    folded = text.casefold()
    return folded, folded.encode() if folded.isascii() else None
