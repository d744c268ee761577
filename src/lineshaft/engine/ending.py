"""How a job leaves the server: what a feature is told when it does."""

from enum import StrEnum

__all__ = ["Ending"]


class Ending(StrEnum):
    """How a job leaves the server; FLUSH, which takes everything that belongs to a job too, is none of them."""

    DONE = "done"
    DISCARDED = "discarded"  #: failed and wanted no retry, or was thrown away by a MUTATE
    REMOVED = "removed"  #: its queue was
    EXPIRED = "expired"  #: it was not to run any more
    CANCELLED = "cancelled"  #: somebody said that it is not to run any more
    PRUNED = "pruned"  #: dead for long enough
