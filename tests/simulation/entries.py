"""What the ledger keeps: of each reply, job, batch and FETCH, what is known of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "BatchEntry", "Fetching", "GivenBack", "Hold", "JobEntry"]


@dataclass(slots=True)
class Answer:
    """A reply, or that there will be none."""

    kind: str  #: `+`, `-`, `$`, or `lost`
    text: str = ""
    body: bytes | None = None
    position: int = 0
    number: int = 0

    @property
    def ok(self) -> bool:
        """It said yes."""
        return self.kind in {"+", "$"}

    def json(self) -> Any:
        """The body of a bulk reply."""
        assert self.body is not None
        return json.loads(self.body)


@dataclass(slots=True)
class Hold:
    """A job that a client was given and believes to have."""

    holder: str
    position: int
    number: int
    high: int  #: the highest that the wall clock has stood since
    until: int
    is_there: Callable[[], bool]  #: whether the server has heard of the holder often enough, ever since
    large: bool
    void: bool = False
    #: An ACK, FAIL or REQUEUE of it was sent, by whomever.
    released: bool = False


@dataclass(slots=True)
class GivenBack:
    """A REQUEUE that was answered +OK."""

    holder: str
    sent_wall: int
    jumps: int  #: of the wall clock, when it was sent
    answer: Answer


@dataclass(slots=True)
class JobEntry:
    """What is known of the jobs with one jid."""

    jid: str
    queue: str
    fields: dict[str, Any]
    low: int  #: the lowest that the wall clock stood between the push and its answer
    high: int  #: the highest since the push
    sent: int = 0
    kept: int = 0
    refused: int = 0
    sent_at: int = 0
    #: When its acceptance was heard of.
    kept_at: int | None = None
    #: What may have ended it, or taken its lock.
    endings: set[str] = field(default_factory=set)
    #: It has certainly ended, as far as so many commits are kept.
    over: int | None = None
    over_at: int = 0
    over_for_good: bool = False
    #: The numbers of the replies to its FAILs.
    fails_told: list[int] = field(default_factory=list)
    fails_sent: int = 0
    given_back: list[GivenBack] = field(default_factory=list)
    fetches: int = 0
    hold: Hold | None = None
    #: The number of the newest reply in which it was fetched.
    newest: int = 0
    #: It comes into being by itself: a callback, or what a plugin or a period pushed.
    by_itself: str = ""
    following: bool = False
    percents: set[int] = field(default_factory=set)
    success_shown: bool = False
    #: FAILs and REQUEUEs of it that are under way, of whomever: whether each may still be carried out.
    meddlers: list[Callable[[], bool]] = field(default_factory=list)

    @property
    def custom(self) -> dict[str, Any]:
        """Its `custom`."""
        found: dict[str, Any] = self.fields.get("custom") or {}
        return found

    @property
    def retry(self) -> int:
        """Its retries."""
        return int(self.fields.get("retry", 25))

    @property
    def alike(self) -> tuple[str, str, str] | None:
        """What it is unique by."""
        if not self.custom.get("unique_for"):
            return None
        return self.queue, str(self.fields["jobtype"]), json.dumps(self.fields["args"])


@dataclass(slots=True)
class BatchEntry:
    """What is known of a batch."""

    bid: str
    parent: str
    roles: dict[str, str]  #: role to the jid of its callback
    committed: bool = False
    commit_sent: bool = False
    #: The most that was shown, after which nothing may be less.
    shown: dict[str, int] = field(default_factory=dict)
    flushed: bool = False
    #: A callback of it wants no retry, so the end of a reservation ends it.
    fragile: bool = False


@dataclass(slots=True)
class Fetching:
    """A FETCH as it was sent, and what was known then."""

    holder: str
    queues: list[str]
    wall: int
    paused: dict[str, bool]
    resumes: int
    jumps: int
