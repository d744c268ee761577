"""The ledger of a load: what its clients sent, and what they were told, over all lives of a server.

What is *for good* was answered with the promise that it is on disk; the rest (a FETCH, a plain ACK) a power cut may
take back. The laws that are held against it are in `laws`.
"""

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Ledger", "Place"]

#: Where an operator has put a job: `scheduled`, `ready`, `dead`, `gone`, or `flagged` (held, and cancelled); None while
#: a command that may move it has no answer.
Place = str | None


@dataclass
class Ledger:
    """What the clients were told."""

    pushed: set[str] = field(default_factory=set)
    fetched: set[str] = field(default_factory=set)
    #: What was sent that lets go of a job, by jid.
    let_go: set[str] = field(default_factory=set)
    acked: set[str] = field(default_factory=set)
    #: When the ACKs of this life were sent, while this life keeps what is finished (`[history]`).
    finished: dict[str, float] | None = None
    #: Batches that were committed, and the most that was shown of each.
    committed: set[str] = field(default_factory=set)
    totals: dict[str, int] = field(default_factory=dict)
    refused: int = 0

    # Of the queues with rules of their own

    #: Where the jobs of operators are, for good.
    places: dict[str, Place] = field(default_factory=dict)
    #: When a job that is to expire soon does: seconds since the epoch.
    expires: dict[str, float] = field(default_factory=dict)
    #: At the end of how many lives in a row it was there all the same.
    overdue: Counter[str] = field(default_factory=Counter)
    #: What each worker has in hand, whoever died meanwhile.
    in_hand: dict[str, list[str]] = field(default_factory=dict)
    #: What each worker said last that it has, for good: when it began to say so (ms), and the jids.
    named: dict[str, tuple[int, frozenset[str]]] = field(default_factory=dict)
    #: When a job of the throttled queue was asked for, and when it came.
    starts: list[tuple[float, float]] = field(default_factory=list)
    #: Whether the queue `paused`, and the periodic job `halted`, is paused, for good; None while nobody knows.
    is_paused: bool | None = None
    is_halted: bool | None = None
    #: How many commands were sent that may pause or resume.
    switches: int = 0
    #: How often something was done or seen: a law whose case never came says nothing.
    seen: Counter[str] = field(default_factory=Counter)
    #: What was wrong with a reply, in words.
    faults: list[str] = field(default_factory=list)

    def begin(self, *, keeps_history: bool) -> None:
        """A life of the server begins."""
        self.finished = {} if keeps_history else None

    def acknowledged(self, jid: str, sent: float) -> None:
        """It was answered; `sent` is when it was sent, by `time.monotonic`."""
        self.acked.add(jid)
        if self.finished is not None:
            self.finished[jid] = sent
